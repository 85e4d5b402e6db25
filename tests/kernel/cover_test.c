/* SPDX-License-Identifier: Apache-2.0 */
/* cover_test.c - what is guarded and what is not: ports, older sockets, nested cgroups, sockets from outside, the
 * fence. */
#include "agent.h"

#include <netinet/tcp.h>
#include <sys/un.h>

TEST(cover, fail_open, .timeout = HANG_S)
{
	char line[200];
	int fd;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g, .fail_open = true));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 }, { "::", 8001 });
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	cr_assert_eq(tally(&g, TALLY_OPEN_PASSED), 0);
	agent_kill(&a);
	cr_assert_eq(strncmp(ask("10.9.0.77", 5000, "10.9.0.1", 8000), "10.9.0.77 5000|", 15), 0, "payload must flow");
	cr_assert_eq(strncmp(ask("fd00::77", 5001, "fd00::1", 8001), "fd00::77 5001|", 14), 0);
	cr_assert_eq(tally(&g, TALLY_OPEN_PASSED), 2);
	cr_assert_eq(tally(&g, TALLY_FENCED), 0);

	/* A connection that came in while it was open ends when the daemon is back. */
	fd = dial(NULL, 0, "10.9.0.1", 8000);
	cr_assert(read_line(fd, line, sizeof(line)));
	a = AGENT(&g, UNIT(g, .fail_open = true));
	cr_assert_str_empty(a.why, "%s", a.why);
	cr_assert_leq(read(fd, line, 1), 0);
	close(fd);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	agent_kill(&a);
}

TEST(cover, port_list_of_a_unit, .timeout = HANG_S)
{
	static const uint16_t ports[] = { 8000, 8002 };

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g, .ports = ports, .port_count = 2));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 }, { "0.0.0.0", 8001 }, { "::", 8002 });
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8002), 'A');
	cr_assert_eq(strncmp(ask("10.9.0.77", 5000, "10.9.0.1", 8001), "10.9.0.77 5000|", 15), 0);
	agent_kill(&a);
}

TEST(cover, ports_alone, .timeout = HANG_S)
{
	static const uint16_t ports[] = { 8000 };
	char line[200];
	int fd;

	GROUND(g);
	SERVER(NULL, { "::", 8000 }, { "0.0.0.0", 8001 });
	fd = dial(NULL, 0, "10.9.0.1", 8000);
	cr_assert(read_line(fd, line, sizeof(line)));
	AGENT_OR_SKIP(a, &g, { .name = "port", .ports = ports, .port_count = 1 });
	cr_assert_leq(read(fd, line, 1), 0, "older than the guard");
	close(fd);
	cr_assert_eq(strncmp(ask("10.9.0.77", 5000, "10.9.0.1", 8000), "A::ffff:10.9.0.77 5000|", 23), 0);
	cr_assert_eq(strncmp(ask("fd00::77", 5000, "fd00::1", 8000), "Afd00::77 5000|", 15), 0);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8001), '1');
	cr_assert(strstr(agent_status(&a), "uncovered port: guarded by port alone"));
	agent_kill(&a);
	cr_assert_str_eq(ask(NULL, 0, "10.9.0.1", 8000), "!ECONNREFUSED");
}

TEST(cover, older_listener_and_connection, .timeout = HANG_S)
{
	char line[200];
	int v4, v6;

	GROUND(g);
	group(&g, "server", true);
	SERVER(group(&g, "server/worker", true), { "0.0.0.0", 8000 }, { "::", 8001 });
	v4 = dial("10.9.0.77", 0, "10.9.0.1", 8000);
	v6 = dial("fd00::77", 0, "fd00::1", 8001);
	cr_assert(read_line(v4, line, sizeof(line)) && *line == '1');
	cr_assert(read_line(v6, line, sizeof(line)) && *line == 'f');
	AGENT_OR_SKIP(a, &g, UNIT(g));
	cr_assert_leq(read(v4, line, 1), 0);
	cr_assert_leq(read(v6, line, 1), 0);
	close(v4);
	close(v6);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	cr_assert_eq(*ask("fd00::77", 0, "fd00::1", 8001), 'A');
	agent_kill(&a);
}

/* Talk inside the unit that is older than the guard goes on, and leaves no tuple behind. */
TEST(cover, older_talk_inside_goes_on, .timeout = HANG_S)
{
	int go[2], status;
	const char *unit;
	pid_t inner;

	GROUND(g);
	cr_assert_eq(pipe2(go, O_CLOEXEC), 0);
	unit = group(&g, "server", true);
	SERVER(unit, { "0.0.0.0", 8000 });
	inner = CHILD({
		char line[200], byte;
		int fd;

		join(unit);
		fd = dial(NULL, 0, "10.9.0.1", 8000);
		if (fd < 0 || !read_line(fd, line, sizeof(line)) || read(go[0], &byte, 1) != 1)
			_exit(1);
		_exit(write(fd, "still\n", 6) != 6 || !read_line(fd, line, sizeof(line)) || strcmp(line, "still"));
	});
	nap(100);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	cr_assert_eq(entries(&g, "dials", NULL), 1);
	cr_assert_eq(write(go[1], "g", 1), 1);
	waitpid(inner, &status, 0);
	cr_assert_eq(status, 0);
	agent_audit(&a);
	cr_assert_eq(entries(&g, "dials", NULL), 0);
	agent_kill(&a);
	close(go[0]);
	close(go[1]);
}

/* The daemon that wrote such a tuple is killed, and the talk ends while there is none: the next one takes it away. */
TEST(cover, older_talk_of_a_killed_daemon, .timeout = HANG_S)
{
	char line[200];
	const char *unit;
	pid_t inner;

	GROUND(g);
	unit = group(&g, "server", true);
	SERVER(unit, { "0.0.0.0", 8000 });
	inner = CHILD({
		join(unit);
		if (!read_line(dial(NULL, 0, "10.9.0.1", 8000), line, sizeof(line)))
			_exit(1);
		pause();
	});
	nap(100);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	agent_kill(&a);
	stop(inner);
	nap(50);
	cr_assert_eq(entries(&g, "dials", NULL), 1);
	a = AGENT(&g, UNIT(g));
	cr_assert_str_empty(a.why, "%s", a.why);
	cr_assert_eq(entries(&g, "dials", NULL), 0);
	agent_kill(&a);
}

/* Without doors nothing is destroyed: the fence alone must hold. */
TEST(cover, fence_holds_older_connections, .timeout = HANG_S)
{
	struct capture *c = NULL;
	char why[400] = "", own[200], line[200];
	int fd, err;
	pid_t server;

	GROUND(g);
	server = SERVER(group(&g, "server", true), { "0.0.0.0", 8000 });
	fd = dial(NULL, 0, "10.9.0.1", 8000);
	cr_assert(read_line(fd, line, sizeof(line)));
	snprintf(own, sizeof(own), "/%s/agent", g.below);
	struct guard guard = UNIT(g);
	struct capture_options o = {
		.pins = g.pins, .own_cgroup = own, .guards = &guard, .guard_count = 1, .loops = 1
	};

	err = capture_open(&c, &o, why, sizeof(why));
	if (err == -EPERM) {
		printf("skip: %s\n", why);
		return;
	}
	cr_assert_eq(err, 0, "%s", why);
	cr_assert_str_eq(ask(NULL, 0, "10.9.0.1", 8000), "!ECONNREFUSED", "no doors yet");
	cr_assert_eq(write(fd, "text\n", 5), 5);
	cr_assert_not(read_line(fd, line, sizeof(line)));
	cr_assert_geq(tally(&g, TALLY_FENCED), 1);
	/* What the dead server has left in its socket is the unit's text even when the unit's cgroup is gone. */
	stop(server);
	cgroup_remove(group(&g, "server", false));
	cr_assert_not(read_line(fd, line, sizeof(line)));
	cr_assert_str_empty(line);
	close(fd);
	capture_close(&c);
	join(g.mount);
}

/* A server whose client has gone must learn it by a RST, though its tuple is gone, too. */
TEST(cover, closed_dial_reaches_the_server, .timeout = HANG_S)
{
	int ready[2], status, fd;
	char byte, line[200];
	pid_t server;
	const char *unit;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	unit = group(&g, "server", true);
	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	server = CHILD({
		int door, up;

		join(unit);
		door = listen_on("0.0.0.0", 8000);
		if (write(ready[1], "r", 1) != 1)
			die("ready");
		up = accept(door, NULL, NULL);
		for (int i = 0; i < 100; i++) {
			if (send(up, "token\n", 6, MSG_NOSIGNAL) < 0)
				_exit(errno != ECONNRESET && errno != EPIPE);
			nap(20);
		}
		_exit(1);
	});
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	fd = dial(NULL, 0, "10.9.0.1", 8000);
	cr_assert(read_line(fd, line, sizeof(line)));
	close(fd);
	waitpid(server, &status, 0);
	cr_assert_eq(status, 0, "it was never told");
	agent_kill(&a);
	close(ready[0]);
	close(ready[1]);
}

TEST(cover, host_without_ipv6, .timeout = HANG_S)
{
	GROUND(g);
	sys("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 }, { "::", 8001 });
	cr_assert(strstr(agent_status(&a), "missing IPv6: "));
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8001), 'A');
	agent_kill(&a);
}

TEST(cover, nested_cgroups, .timeout = HANG_S)
{
	GROUND(g);
	group(&g, "server", true);
	group(&g, "server/before", true);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server/before", true), { "0.0.0.0", 8000 });
	group(&g, "server/after", true);
	SERVER(group(&g, "server/after/deep", true), { "0.0.0.0", 8001 });
	SERVER(group(&g, "neighbour", true), { "0.0.0.0", 8002 });
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8001), 'A');
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8002), '1');
	agent_kill(&a);
}

/* Two ends of one connection, for what needs one. */
static int connected(void)
{
	int door = listen_on("127.0.0.1", 9999), fd = dial("127.0.0.1", 0, "127.0.0.1", 9999);

	close(door);
	return fd;
}

TEST(cover, ktls_is_refused_in_the_unit, .timeout = HANG_S)
{
	const char *unit;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	unit = group(&g, "server", true);
	if (strstr(agent_status(&a), "missing cgroup/setsockopt")) {
		puts("skip: no cgroup/setsockopt");
		return;
	}
	cr_assert_eq(
		INSIDE(unit, _exit(setsockopt(connected(), IPPROTO_TCP, TCP_ULP, "tls", 3) == 0 || errno != EPERM)), 0);
	cr_assert_eq(INSIDE(group(&g, "x", true),
	                    _exit(setsockopt(connected(), IPPROTO_TCP, TCP_ULP, "tls", 3) != 0 && errno == EPERM)),
	             0, "not refused outside");
	cr_assert_eq(tally(&g, TALLY_KTLS), 1);
	agent_kill(&a);
}

/* Socket activation, inherited listeners: no hook sees them. */
TEST(cover, listener_from_outside_is_guarded_by_address, .timeout = HANG_S)
{
	const char *status;
	int doors[1];
	const char *unit;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	unit = group(&g, "server", true);
	doors[0] = listen_on("0.0.0.0", 8000);
	(void)CHILD({
		join(unit);
		serve(doors, 1);
	});
	close(doors[0]);
	nap(50);
	agent_audit(&a);
	status = agent_status(&a);
	cr_assert(strstr(status,
	                 "uncovered server: listener 0.0.0.0:8000 was made outside the cgroup: guarded by address; "
	                 "egress backstop and getpeername do not apply\n"),
	          "%s", status);
	cr_assert(strstr(status, "address 0.0.0.0:8000 0\n"));
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	agent_kill(&a);
}

TEST(cover, other_network_namespace_is_entered, .timeout = HANG_S)
{
	const char *status, *unit;
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	char want[200], in[64];
	struct stat st;
	int ready[2];
	char byte;
	pid_t pid;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	unit = group(&g, "server", true);
	snprintf(path.sun_path + 1, sizeof(path.sun_path) - 1, "sluice-test-%d", getpid());
	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = CHILD({
		int fd;

		join(unit);
		if (unshare(CLONE_NEWNET))
			die("unshare");
		listen_on("0.0.0.0", 8000);
		listen_on("::", 8001);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(fd, (void *)&path, sizeof(path)) || listen(fd, 1) || write(ready[1], "r", 1) != 1)
			die("unix");
		pause();
	});
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	snprintf(in, sizeof(in), "/proc/%d/ns/net", pid);
	cr_assert_eq(stat(in, &st), 0);
	agent_audit(&a);
	status = agent_status(&a);
	for (int i = 0; i < 2; i++) {
		snprintf(want, sizeof(want), "address %s 0 net:[%llu]\n", i ? "[::]:8001" : "0.0.0.0:8000",
		         (unsigned long long)st.st_ino);
		cr_assert(strstr(status, want), "%s", status);
	}
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), '!', "not in our namespace");
	if (strstr(status, "missing BPF LSM"))
		cr_assert(strstr(status, "uncovered server: Unix listener @sluice-test-"), "%s", status);
	/* The last process goes, and the namespace with it. */
	stop(pid);
	agent_audit(&a);
	cr_assert_not(strstr(agent_status(&a), "net:["), "%s", agent_status(&a));
	agent_kill(&a);
	close(ready[0]);
	close(ready[1]);
}
