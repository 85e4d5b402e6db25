/* SPDX-License-Identifier: Apache-2.0 */
/* restart_test.c - what comes back: units with a new cgroup, daemons over old pins, other configurations; and unpin. */
#include "agent.h"

TEST(restart, unit_has_no_window, .timeout = HANG_S)
{
	static const int ports[] = { 8000, 8001 };
	uint64_t steered;
	pid_t clients, server;
	const char *unit;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	unit = group(&g, "server", true);
	server = SERVER(unit, { "0.0.0.0", 8000 });
	clients = hammer(ports, 2);
	for (int i = 0; i < 20; i++) {
		nap(30);
		stop(server);
		cgroup_remove(unit);
		cr_assert_eq(mkdir(unit, 0755), 0);
		/* The same port and another one. */
		server = i % 2 ? SERVER(unit, { "0.0.0.0", 8000 }) : SERVER(unit, { "0.0.0.0", 8000 }, { "::", 8001 });
	}
	nap(50);
	cr_assert(stop_hammer(clients), "an unread byte came through");
	steered = tally(&g, TALLY_STEERED);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	cr_assert_gt(tally(&g, TALLY_STEERED), steered);
	agent_kill(&a);
	cr_assert_str_eq(ask(NULL, 0, "10.9.0.1", 8000), "!ECONNREFUSED");
}

/* The first client of the new server, on a port that was never seen, while nobody else connects. */
TEST(restart, unit_first_connection_is_steered, .timeout = HANG_S)
{
	const char *unit;
	pid_t server;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	unit = group(&g, "server", true);
	server = SERVER(unit, { "0.0.0.0", 8000 });
	stop(server);
	cr_assert_str_eq(ask(NULL, 0, "10.9.0.1", 8000), "", "guarded, though nobody listens: the client is reset");
	cgroup_remove(unit);
	cr_assert_eq(mkdir(unit, 0755), 0);
	SERVER(unit, { "0.0.0.0", 8005 });
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8005), 'A');
	agent_kill(&a);
}

TEST(restart, cgroup_that_is_not_there_yet, .timeout = HANG_S)
{
	struct guard guard = { .name = "deep" };
	char path[200];

	GROUND(g);
	snprintf(path, sizeof(path), "%s/b/c/", group_path(&g, "a"));
	guard.cgroup = path;
	struct agent a = agent_start(&g, &guard, 1);
	if (strstr(a.why, "not permitted")) {
		printf("skip: %s\n", a.why);
		return;
	}
	cr_assert_str_empty(a.why, "%s", a.why);
	group(&g, "a", true);
	group(&g, "a/x", true);
	SERVER(group(&g, "a/x", true), { "0.0.0.0", 8001 });
	for (int i = 0; i < 2; i++) {
		pid_t server;

		group(&g, "a/b", true);
		group(&g, "a/b/c", true);
		server = SERVER(group(&g, "a/b/c/d", true), { "0.0.0.0", 8000 });
		cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
		cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8001), '1', "a neighbour is not guarded");
		stop(server);
		cgroup_remove(group(&g, "a/b", false)); /* the way to it, too, comes back another one */
	}
	agent_kill(&a);
}

TEST(restart, unit_by_name_in_any_slice, .timeout = HANG_S)
{
	char slice[300], dir[400], unit[64];

	GROUND(g);
	snprintf(unit, sizeof(unit), "sluice-%d.service", getpid());
	snprintf(slice, sizeof(slice), "%s.slice", g.top);
	AGENT_OR_SKIP(a, &g, { .name = "by-unit", .unit = unit });
	/* In a directory that is no slice, a name is anybody's. */
	SERVER(group(&g, unit, true), { "0.0.0.0", 8001 });
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8001), '1');
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(mkdir(slice, 0755), 0);
		snprintf(dir, sizeof(dir), "%s/%s", slice, unit);
		cr_assert_eq(mkdir(dir, 0755), 0);
		SERVER(dir, { "0.0.0.0", 8000 });
		cr_expect_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
		cgroup_remove(slice);
	}
	agent_kill(&a);
}

TEST(restart, unit_found_where_it_runs, .timeout = HANG_S)
{
	char name[64], path[100];

	GROUND(g);
	snprintf(name, sizeof(name), "sluice-%d.service", getpid());
	snprintf(path, sizeof(path), "payload/%s", name);
	group(&g, "payload", true);
	SERVER(group(&g, path, true), { "0.0.0.0", 8000 });
	AGENT_OR_SKIP(a, &g, { .name = "by-unit", .unit = name });
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	agent_kill(&a);
}

static int pin_count(const struct ground *g)
{
	struct dirent *entry;
	DIR *d = opendir(g->pins);
	int n = 0;

	while (d && (entry = readdir(d)))
		n += entry->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

TEST(restart, daemon_over_its_pins, .timeout = HANG_S)
{
	static const int ports[] = { 8000 };
	pid_t clients;
	int pins;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 });
	pins = pin_count(&g);
	clients = hammer(ports, 1);
	for (int i = 0; i < 5; i++) {
		agent_kill(&a);
		cr_assert_str_eq(ask(NULL, 0, "10.9.0.1", 8000), "!ECONNREFUSED");
		if (i % 2)
			cgroup_remove(group(&g, "agent", false)); /* a service manager makes ours anew, too */
		/* Another service is put before ours: the numbers of the services change. */
		a = i % 2 ? AGENT(&g, { .name = "other", .cgroup = group_path(&g, "other") }, UNIT(g))
		          : AGENT(&g, UNIT(g));
		cr_assert_str_empty(a.why, "%s", a.why);
		cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
		cr_assert_eq(pin_count(&g), pins, "%d pins instead of %d", pin_count(&g), pins);
		cr_assert(strstr(agent_status(&a), i % 2 ? "0.0.0.0:8000 1\n" : "0.0.0.0:8000 0\n"));
	}
	cr_assert(stop_hammer(clients), "an unread byte came through");
	agent_kill(&a);
}

TEST(restart, service_removed_or_changed, .timeout = HANG_S)
{
	static const uint16_t only[] = { 8001 };

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g), { .name = "other", .cgroup = group_path(&g, "other") });
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 }, { "0.0.0.0", 8001 });
	SERVER(group(&g, "other", true), { "0.0.0.0", 9000 });
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 9000), 'A');
	agent_kill(&a);

	a = AGENT(&g, UNIT(g, .fail_open = true));
	cr_assert_str_empty(a.why, "%s", a.why);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 9000), '1', "no longer configured");
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	agent_kill(&a);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), '1', "fails open now");

	a = AGENT(&g, UNIT(g, .ports = only, .port_count = 1));
	cr_assert_str_empty(a.why, "%s", a.why);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), '1', "no longer listed");
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8001), 'A');
	agent_kill(&a);
	cr_assert_str_eq(ask(NULL, 0, "10.9.0.1", 8001), "!ECONNREFUSED", "fails closed again");

	a = AGENT(&g, { .name = "server", .cgroup = group_path(&g, "other") });
	cr_assert_str_empty(a.why, "%s", a.why);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8001), '1', "looked for elsewhere now");
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 9000), 'A');
	agent_kill(&a);
}

TEST(restart, pins_of_another_version_are_refused, .timeout = HANG_S)
{
	uint32_t zero = 0, other = 99;
	int fd;

	GROUND(g);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 });
	agent_kill(&a);
	fd = pinned(&g, "version");
	cr_assert_eq(bpf_map_update_elem(fd, &zero, &other, BPF_ANY), 0);
	close(fd);
	a = AGENT(&g, UNIT(g));
	cr_assert(strstr(a.why, "sluiced --unpin"), "%s", a.why);
	agent_kill(&a);
	cr_assert_str_eq(ask(NULL, 0, "10.9.0.1", 8000), "!ECONNREFUSED", "the gate stays as it was");
}

TEST(restart, unpin_takes_all_down, .timeout = HANG_S)
{
	GROUND(g);
	cr_assert_eq(capture_unpin(g.pins), 0, "nothing there is fine");
	AGENT_OR_SKIP(a, &g, UNIT(g));
	SERVER(group(&g, "server", true), { "0.0.0.0", 8000 });
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), 'A');
	agent_kill(&a);
	cr_assert_str_eq(ask(NULL, 0, "10.9.0.1", 8000), "!ECONNREFUSED");
	cr_assert_eq(capture_unpin(g.pins), 0);
	cr_assert_neq(access(g.pins, F_OK), 0);
	cr_assert_eq(*ask(NULL, 0, "10.9.0.1", 8000), '1');
	cr_assert_neq(capture_unpin("/tmp"), 0, "other people's files are not ours to remove");
}

TEST(restart, place_of_the_pins, .timeout = HANG_S)
{
	GROUND(g);
	/* /sys/fs/bpf is mounted where it is not. */
	snprintf(g.pins, sizeof(g.pins), "/sys/fs/bpf/sluice-test-%d", getpid());
	umount2("/sys/fs/bpf", MNT_DETACH);
	AGENT_OR_SKIP(a, &g, UNIT(g));
	agent_kill(&a);
	cr_assert_eq(access(g.pins, F_OK), 0);
	cr_assert_eq(capture_unpin(g.pins), 0);
	umount2("/sys/fs/bpf", MNT_DETACH);
	/* Elsewhere it is the operator's to mount, and he is told how. */
	snprintf(g.pins, sizeof(g.pins), "/tmp/sluice");
	a = AGENT(&g, UNIT(g));
	cr_assert(strstr(a.why, "mount -t bpf bpf /tmp"), "%s", a.why);
	agent_kill(&a);
}

TEST(restart, bad_configurations_are_named, .timeout = HANG_S)
{
	static const struct {
		struct guard guard;
		const char *says;
	} bad[] = {
		{ { .name = "a" }, "needs a unit, a cgroup or ports" },
		{ { .name = "" }, "name must have" },
		{ { .name = "a", .unit = "x/y" }, "cannot be a unit name" },
		{ { .name = "a", .cgroup = "/a/../b" }, "below the cgroup2 mount" },
		{ { .name = "a", .cgroup = "/" }, "below the cgroup2 mount" },
	};

	GROUND(g);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct agent a = agent_start(&g, &bad[i].guard, 1);

		cr_assert(strstr(a.why, bad[i].says), "%s", a.why);
		agent_kill(&a);
	}
	struct agent a = AGENT(&g, UNIT(g), { .name = "twin", .cgroup = group_path(&g, "server") });
	if (!strstr(a.why, "not permitted"))
		cr_assert(strstr(a.why, "another service has the same"), "%s", a.why);
	agent_kill(&a);
}
