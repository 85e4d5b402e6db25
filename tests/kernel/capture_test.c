/* SPDX-License-Identifier: Apache-2.0 */
/* capture_test.c - the way in: who is steered, who passes, what each end believes, and what a dead agent leaves. */
#include "agent.h"

#include <net/if.h>
#include <pthread.h>

TEST(capture, ends_are_true, .timeout = HANG_S)
{
	static const struct {
		const char *from, *to;
		int port;
		const char *seen, *own;
	} way[] = {
		{ "10.9.0.77", "10.9.0.1", 8000, "10.9.0.77 %d", "10.9.0.1 8000" },
		{ "10.9.0.77", "10.9.0.1", 8001, "::ffff:10.9.0.77 %d", "::ffff:10.9.0.1 8001" },
		{ "fd00::77", "fd00::1", 8001, "fd00::77 %d", "fd00::1 8001" },
		{ "10.9.0.1", "10.9.0.1", 8000, "10.9.0.1 %d", "10.9.0.1 8000" },
		{ "127.0.0.1", "127.0.0.1", 8000, "127.0.0.1 %d", "127.0.0.1 8000" },
		{ "10.9.0.77", "10.9.0.2", 8002, "10.9.0.77 %d", "10.9.0.2 8002" },
	};
	char line[512], seen[100], want[400], there[100];

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 }, { "::", 8001 }, { "10.9.0.2", 8002 });
	for (size_t i = 0; i < ARRAY_LEN(way); i++) {
		int fd = dial(way[i].from, 5000 + (int)i, way[i].to, way[i].port);
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);

		cr_assert_geq(fd, 0, "%s: %s", way[i].to, strerror(-fd));
		cr_assert(read_line(fd, line, sizeof(line)));
		snprintf(seen, sizeof(seen), way[i].seen, 5000 + (int)i);
		snprintf(want, sizeof(want), "A%s|%s|%s", seen, seen, way[i].own);
		cr_assert_str_eq(line, want);
		cr_assert_eq(getpeername(fd, (void *)&peer, &len), 0);
		snprintf(there, sizeof(there), "%s %d", way[i].to, way[i].port);
		cr_assert_str_eq(text_of(&peer), there);
		cr_assert_eq(write(fd, "ping\n", 5), 5);
		cr_assert(read_line(fd, line, sizeof(line)));
		cr_assert_str_eq(line, "ping");
		close(fd);
	}
	cr_assert(strstr(agent_status(&a), "address 0.0.0.0:8000 0\n"));
	cr_assert(strstr(agent_status(&a), "address [::]:8001 0\n"));
	agent_kill(&a);
}

TEST(capture, link_local_keeps_its_scope, .timeout = HANG_S)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(8001) };
	struct timeval wait = { .tv_sec = 2 };
	char line[512];
	int fd;

	GROUND(g);
	sys("ip link add v0 type veth peer name v1 && ip addr add fe80::7/64 dev v0 nodad && ip link set v0 up &&"
	    " ip link set v1 up");
	to.sin6_scope_id = if_nametoindex("v0");
	inet_pton(AF_INET6, "fe80::7", &to.sin6_addr);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "::", 8001 });
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	cr_assert_eq(connect(fd, (void *)&to, sizeof(to)), 0);
	cr_assert(read_line(fd, line, sizeof(line)));
	cr_assert_eq(strncmp(line, "Afe80::7 ", 9), 0, "%s", line);
	cr_assert(strstr(line, "|fe80::7 8001"), "%s", line);
	close(fd);
	agent_kill(&a);
}

TEST(capture, no_daemon_is_refused, .timeout = HANG_S)
{
	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 }, { "::", 8001 });
	cr_assert_eq(*ask("10.9.0.77", 0, "10.9.0.1", 8000), 'A');
	agent_kill(&a);
	cr_assert_eq(entries(&g, "dials", NULL), 0, "a tuple was left");
	cr_assert_str_eq(ask("10.9.0.77", 0, "10.9.0.1", 8000), "!ECONNREFUSED");
	cr_assert_str_eq(ask("10.9.0.77", 0, "10.9.0.1", 8001), "!ECONNREFUSED");
	cr_assert_str_eq(ask("fd00::77", 0, "fd00::1", 8001), "!ECONNREFUSED");
	cr_assert_geq(tally(&g, TALLY_UNATTENDED), 3);
}

TEST(capture, killed_under_load_leaves_no_tuple, .timeout = HANG_S)
{
	int fd[20];
	char line[200];

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 });
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = dial(NULL, 0, "10.9.0.1", 8000);
		cr_assert_geq(fd[i], 0);
		cr_assert(read_line(fd[i], line, sizeof(line)));
	}
	cr_assert_eq(entries(&g, "dials", NULL), 20);
	agent_kill(&a);
	cr_assert_eq(entries(&g, "dials", NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		cr_assert_leq(read(fd[i], line, 1), 0, "a dead agent's client must see the end");
		close(fd[i]);
	}
}

TEST(capture, stranger_with_the_same_port_is_steered, .timeout = HANG_S)
{
	union {
		struct dial dial;
		char room[128];
	} key;
	char line[200];
	uint64_t passed;
	int first, stray;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 });
	first = dial("10.9.0.77", 0, "10.9.0.1", 8000);
	cr_assert(read_line(first, line, sizeof(line)));
	cr_assert_eq(entries(&g, "dials", &key), 1);
	passed = tally(&g, TALLY_OWN_DIAL);
	stray = dial("10.9.0.77", key.dial.agent.port, "10.9.0.1", 8000);
	cr_assert_geq(stray, 0);
	cr_assert(read_line(stray, line, sizeof(line)));
	cr_assert_eq(*line, 'A');
	cr_assert_eq(tally(&g, TALLY_OWN_DIAL), passed + 1, "only the agent's dial for the stranger may pass");
	close(stray);
	close(first);
	agent_kill(&a);
}

TEST(capture, unit_talks_to_itself, .timeout = HANG_S)
{
	const char *unit;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g), { .name = "other", .cgroup = group_path(&g, "other") });
	unit = group(&g, "server", true);
	SERVER(unit, { "0.0.0.0", 8000 });
	SERVER(group(&g, "other", true), { "0.0.0.0", 9000 });
	cr_assert_eq(INSIDE(unit, _exit(strncmp(ask("10.9.0.77", 5004, "10.9.0.1", 8000), "10.9.0.77 5004|", 15) != 0)),
	             0, "the unit's own client must reach its server directly, and be seen as it is");
	cr_assert_eq(INSIDE(unit, _exit(*ask("::ffff:10.9.0.77", 0, "::ffff:10.9.0.1", 8000) != '1')), 0,
	             "also with a socket for both families");
	cr_assert_eq(INSIDE(unit, _exit(*ask(NULL, 0, "::ffff:127.0.0.1", 8000) != '1')), 0);
	cr_assert_eq(INSIDE(unit, _exit(*ask(NULL, 0, "::ffff:10.9.0.1", 8000) != '1')), 0);
	cr_assert_eq(INSIDE(unit, _exit(*ask("10.9.0.77", 0, "10.9.0.1", 9000) != 'A')), 0,
	             "another service's server is not inside");
	nap(50);
	cr_assert_eq(entries(&g, "dials", NULL), 0);
	agent_kill(&a);
}

TEST(capture, door_dialled_directly_is_refused, .timeout = HANG_S)
{
	struct capture *c = NULL;
	char why[400] = "", own[200];
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	struct ends ends;
	size_t service;
	int fd, client, up = -1, err;

	GROUND(g);
	snprintf(own, sizeof(own), "/%s/agent", g.below);
	struct guard guard = UNIT(g);
	struct capture_options o = {
		.pins = g.pins, .own_cgroup = own, .guards = &guard, .guard_count = 1, .loops = 2
	};

	err = capture_open(&c, &o, why, sizeof(why));
	if (err == -EPERM) {
		printf("skip: %s\n", why);
		return;
	}
	cr_assert_eq(err, 0, "%s", why);
	cr_assert_eq(capture_doors(c), 0);
	for (int f = 0; f < 2; f++) {
		cr_assert_eq(getsockname(capture_listener(c, 0, f ? AF_INET6 : AF_INET), (void *)&at, &len), 0);
		fd = dial(NULL, 0, f ? "::1" : "127.0.0.1", ntohs(((struct sockaddr_in *)&at)->sin_port));
		cr_assert_geq(fd, 0);
		for (unsigned i = client = -1; client < 0 && ++i < 2;)
			client = accept4(capture_listener(c, i, f ? AF_INET6 : AF_INET), NULL, NULL, SOCK_CLOEXEC);
		cr_assert_geq(client, 0);
		cr_assert_eq(capture_dial(c, client, &up, &ends, &service), -ELOOP);
		cr_assert_eq(up, -1);
		close(client);
		close(fd);
		len = sizeof(at);
	}
	capture_close(&c);
	cr_assert_null(c);
	join(g.mount); /* or the cgroup could not be removed */
}

/* ---- two loops dialling at the same time: each server sees its right client ---- */

struct racer {
	struct capture *c;
	int listener;
	const char *to;
	pthread_barrier_t *both;
	int wrong, done;
};

static void *racer_run(void *at)
{
	struct racer *r = at;
	char line[512], want[100];

	for (int i = 0; i < 1000; i++) {
		struct sockaddr_storage own;
		socklen_t len = sizeof(own);
		struct pollfd p = { .events = POLLIN };
		struct ends ends;
		size_t service;
		int fd = dial("10.9.0.77", 0, r->to, 8000), client, up = -1;

		p.fd = r->listener;
		if (fd < 0 || poll(&p, 1, 2000) != 1 || (client = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC)) < 0) {
			r->wrong++;
			pthread_barrier_wait(r->both);
			continue;
		}
		/* The client of this dial is whoever was accepted: the other racer's, perhaps. */
		len = sizeof(own);
		getpeername(client, (void *)&own, &len);
		snprintf(want, sizeof(want), "%s|", text_of(&own));
		p = (struct pollfd){ .events = POLLIN };
		if (capture_dial(r->c, client, &up, &ends, &service) || (p.fd = up, poll(&p, 1, 2000) != 1)) {
			r->wrong++;
		} else {
			ssize_t n = read(up, line, sizeof(line) - 1);

			line[n > 0 ? n : 0] = 0;
			r->wrong += strncmp(line, want, strlen(want)) != 0;
		}
		/* The client of the other's dial must live until that is read. */
		pthread_barrier_wait(r->both);
		if (up >= 0)
			close(up);
		reset(client);
		reset(fd);
		r->done++;
	}
	return NULL;
}

TEST(capture, letters_do_not_mix, .timeout = HANG_S)
{
	struct racer r[2] = { { .to = "10.9.0.1" }, { .to = "10.9.0.2" } };
	struct capture *c = NULL;
	pthread_barrier_t both;
	pthread_t thread[2];
	char why[400] = "", own[200];
	int err;

	GROUND(g);
	snprintf(own, sizeof(own), "/%s/agent", g.below);
	struct guard guard = UNIT(g);
	struct capture_options o = {
		.pins = g.pins, .own_cgroup = own, .guards = &guard, .guard_count = 1, .loops = 1
	};

	signal(SIGPIPE, SIG_IGN);
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 });
	err = capture_open(&c, &o, why, sizeof(why));
	if (err == -EPERM) {
		printf("skip: %s\n", why);
		return;
	}
	cr_assert_eq(err, 0, "%s", why);
	cr_assert_eq(capture_doors(c), 0);
	pthread_barrier_init(&both, NULL, 2);
	/* Both racers take from the same door: what is accepted is mixed, what is dialled must not be. */
	for (int i = 0; i < 2; i++) {
		int flags = fcntl(capture_listener(c, 0, AF_INET), F_GETFL);

		fcntl(capture_listener(c, 0, AF_INET), F_SETFL, flags & ~O_NONBLOCK);
		r[i].c = c;
		r[i].both = &both;
		r[i].listener = capture_listener(c, 0, AF_INET);
		pthread_create(&thread[i], NULL, racer_run, &r[i]);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		cr_expect_eq(r[i].wrong, 0, "%d of 1000 dials showed another client", r[i].wrong);
		cr_expect_eq(r[i].done, 1000);
	}
	pthread_barrier_destroy(&both);
	nap(100);
	cr_expect_eq(entries(&g, "dials", NULL), 0);
	capture_close(&c);
	join(g.mount);
}

TEST(capture, maps_are_back_after_500_connections, .timeout = HANG_S)
{
	int guarded, members;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 });
	guarded = entries(&g, "guarded", NULL);
	members = entries(&g, "members", NULL);
	for (int i = 0; i < 500; i++)
		cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A', "connection %d", i);
	nap(100);
	cr_assert_eq(entries(&g, "dials", NULL), 0);
	cr_assert_eq(entries(&g, "guarded", NULL), guarded);
	cr_assert_eq(entries(&g, "members", NULL), members);
	agent_kill(&a);
}

/* No room for a tuple: the dial comes back to our own door, which must end it and not dial again. */
TEST(capture, full_dials_do_not_loop, .timeout = HANG_S)
{
	struct dial key = { .netns = 1 };
	struct end end = { 0 };
	int fd;
	uint32_t n = 0;
	uint64_t steered;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 });
	fd = pinned(&g, "dials");
	for (key.server.ip[0] = 0; !bpf_map_update_elem(fd, &key, &end, BPF_ANY); key.server.ip[0]++)
		n++;
	cr_assert_gt(n, 60000);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 0, "nothing may come back");
	nap(200);
	cr_assert_geq(tally(&g, TALLY_DIAL_LOST), 1);
	steered = tally(&g, TALLY_STEERED);
	nap(200);
	cr_assert_eq(tally(&g, TALLY_STEERED), steered, "it still goes round");
	for (uint32_t i = 0; i < n; i++) {
		key.server.ip[0] = i;
		bpf_map_delete_elem(fd, &key);
	}
	close(fd);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	agent_kill(&a);
}
