/* SPDX-License-Identifier: Apache-2.0 */
/* agent.h - the smallest agent over capture's door, in a process of its own, and how the tests talk to it. */
#pragma once

#include "ground.h"

struct agent {
	pid_t pid;
	int control;
	char why[512]; /* empty: it is up */
};

struct pair {
	int client, up;
};

static void reset(int fd)
{
	struct linger now = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* One direction. False: both are to be closed. */
static bool pump(int from, int to, bool from_server)
{
	char buf[65536];
	ssize_t n = recv(from, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN;
	if (n == 0) {
		shutdown(to, SHUT_WR);
		return from_server; /* a client that leaves takes its dial along */
	}
	return send(to, buf, (size_t)n, 0) == n;
}

static void tell_status(struct capture *c, int fd)
{
	struct capture_status s;

	if (capture_status(c, &s))
		die("status");
	for (size_t i = 0; i < s.address_count; i++)
		dprintf(fd, "address %s %zu%s%s\n", s.addresses[i].text, s.addresses[i].service,
		        *s.addresses[i].namespace ? " " : "", s.addresses[i].namespace);
	for (size_t i = 0; i < s.uncovered_count; i++)
		dprintf(fd, "uncovered %s\n", s.uncovered[i]);
	for (size_t i = 0; i < s.missing_count; i++)
		dprintf(fd, "missing %s\n", s.missing[i]);
	for (size_t i = 0; i < s.tally_count; i++)
		dprintf(fd, "tally %s %llu\n", s.tally_names[i], (unsigned long long)s.tallies[i]);
	dprintf(fd, "dials %zu\nend\n", s.dials);
	capture_status_free(&s);
}

static void agent_run(struct capture *c, int control)
{
	static struct pair pairs[512];
	static struct pollfd fds[3 + 2 * ARRAY_LEN(pairs)];
	size_t n = 0;
	char byte;

	for (;;) {
		fds[0] = (struct pollfd){ capture_listener(c, 0, AF_INET), POLLIN, 0 };
		fds[1] = (struct pollfd){ capture_listener(c, 0, AF_INET6), POLLIN, 0 };
		fds[2] = (struct pollfd){ control, POLLIN, 0 };
		for (size_t i = 0; i < n; i++) {
			fds[3 + 2 * i] = (struct pollfd){ pairs[i].client, POLLIN, 0 };
			fds[4 + 2 * i] = (struct pollfd){ pairs[i].up, POLLIN, 0 };
		}
		if (poll(fds, 3 + 2 * n, -1) < 0)
			die("poll");
		for (size_t i = n; i-- > 0;)
			if ((fds[3 + 2 * i].revents && !pump(pairs[i].client, pairs[i].up, false)) ||
			    (fds[4 + 2 * i].revents && !pump(pairs[i].up, pairs[i].client, true))) {
				close(pairs[i].client);
				close(pairs[i].up);
				pairs[i] = pairs[--n];
			}
		if (fds[2].revents) {
			if (read(control, &byte, 1) != 1)
				_exit(0);
			if (byte == 's')
				tell_status(c, control);
			if (byte == 'a') {
				for (int i = 0; i < 5; i++) /* one of them looks at /proc */
					capture_audit(c);
				dprintf(control, "end\n");
			}
		}
		for (int f = 0; f < 2; f++) {
			struct pollfd up = { .events = POLLOUT };
			struct ends ends;
			size_t service;
			int client, err;

			if (!fds[f].revents)
				continue;
			client = accept4(fds[f].fd, NULL, NULL, SOCK_CLOEXEC);
			if (client < 0)
				continue;
			err = n == ARRAY_LEN(pairs) ? -EMFILE : capture_dial(c, client, &up.fd, &ends, &service);
			if (err) {
				reset(client);
				continue;
			}
			int failed = 0;
			socklen_t len = sizeof(failed);

			if (poll(&up, 1, 2000) != 1 || getsockopt(up.fd, SOL_SOCKET, SO_ERROR, &failed, &len) ||
			    failed || send(client, "A", 1, 0) != 1) {
				reset(client);
				close(up.fd);
				continue;
			}
			pairs[n++] = (struct pair){ client, up.fd };
		}
	}
}

/* Starts an agent in its own cgroup; returns when the gate is open to it, or `why` says why not. */
static struct agent agent_start(const struct ground *g, const struct guard *guards, size_t count)
{
	struct agent a = { .control = -1 };
	char own[200];
	int both[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both))
		die("socketpair");
	snprintf(own, sizeof(own), "/%s/agent", g->below);
	a.pid = CHILD({
		struct capture_options o = {
			.pins = g->pins, .own_cgroup = own, .guards = guards, .guard_count = count, .loops = 1
		};
		struct capture *c = NULL;
		char why[400] = "";
		int err;

		close(both[0]);
		err = capture_open(&c, &o, why, sizeof(why));
		if (!err && capture_doors(c))
			err = -EIO;
		dprintf(both[1], "%s%s\n", err ? "no: " : "", err ? why : "up");
		if (!err)
			agent_run(c, both[1]);
	});
	close(both[1]);
	a.control = both[0];
	if (!read_line(a.control, a.why, sizeof(a.why)))
		snprintf(a.why, sizeof(a.why), "no: the agent died");
	if (!strcmp(a.why, "up"))
		*a.why = 0;
	return a;
}

static UNUSED void agent_kill(struct agent *a)
{
	stop(a->pid);
	close(a->control);
	nap(50); /* the kernel closes its sockets */
}

/* The service that most tests guard. */
#define UNIT(g, ...)                                                                                                   \
	{                                                                                                              \
		.name = "server", .cgroup = group_path(&g, "server"), ##__VA_ARGS__                                    \
	}

/* Clients that connect as fast as they can, to 10.9.0.1 on the given ports, until stop_hammer(). */
static UNUSED pid_t hammer(const int *ports, int count)
{
	return CHILD({
		for (int i = 0;; i++) {
			struct timeval wait = { .tv_usec = 100000 };
			int fd = dial(NULL, 0, "10.9.0.1", ports[i % count]);
			char byte = 0;

			if (fd < 0)
				continue;
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
			if (read(fd, &byte, 1) == 1 && byte != 'A')
				_exit(1); /* unread */
			reset(fd);
		}
	});
}

/* True if no client has seen an unread byte. */
static UNUSED bool stop_hammer(pid_t pid)
{
	bool fine = waitpid(pid, NULL, WNOHANG) == 0;

	if (fine)
		stop(pid);
	return fine;
}

#define AGENT(g, ...) agent_start(g, (struct guard[]){ __VA_ARGS__ }, ARRAY_LEN(((struct guard[]){ __VA_ARGS__ })))

/* Starts it, or leaves the test with a skip where the kernel does not take BPF at all. */
#define AGENT_OR_SKIP(a, g, ...)                                                                                       \
	struct agent a = AGENT(g, __VA_ARGS__);                                                                        \
	if (strstr(a.why, "does not take") && strstr(a.why, "not permitted")) {                                        \
		printf("skip: %s\n", a.why);                                                                           \
		return;                                                                                                \
	}                                                                                                              \
	cr_assert_str_empty(a.why, "%s", a.why)

static UNUSED const char *agent_status(const struct agent *a)
{
	static char all[32768];
	char line[512];
	size_t n = 0;

	if (write(a->control, "s", 1) != 1)
		die("control");
	*all = 0;
	while (read_line(a->control, line, sizeof(line)) && strcmp(line, "end"))
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s\n", line);
	return all;
}

static UNUSED void agent_audit(const struct agent *a)
{
	char line[64];

	if (write(a->control, "a", 1) != 1 || !read_line(a->control, line, sizeof(line)))
		die("control");
}

/* ---- the pinned maps, seen from outside ---- */

static int pinned(const struct ground *g, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", g->pins, name);
	return bpf_obj_get(path);
}

static UNUSED uint64_t tally(const struct ground *g, enum tally what)
{
	owned(own_close) int fd = pinned(g, "tally");
	uint32_t key = what;
	uint64_t n = 0;

	bpf_map_lookup_elem(fd, &key, &n);
	return n;
}

/* Entries of a map; the last key is left in `key` (128 bytes) if it is not NULL. */
static UNUSED int entries(const struct ground *g, const char *map, void *key)
{
	owned(own_close) int fd = pinned(g, map);
	uint64_t next[16], last[16];
	int n = 0;

	for (bool more = !bpf_map_get_next_key(fd, NULL, next); more; n++) {
		memcpy(last, next, sizeof(last));
		more = !bpf_map_get_next_key(fd, last, next);
	}
	if (n && key)
		memcpy(key, last, sizeof(last));
	return n;
}
