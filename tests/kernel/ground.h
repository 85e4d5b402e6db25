/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ground.h - where the kernel tests play: a network and mount namespace of its own for each test, cgroups under the
 * real mount, a bpffs in a temporary directory, small servers and clients, and a minimal agent over capture's door.
 *
 * All tests of one file have the same .timeout: Criterion 2.4.1 leaks its timers when they differ, and LSan fails it.
 *
 * The server tells each client whom it believes to serve ("accept|getpeername|getsockname\n") and then echoes. The
 * agent puts an 'A' before everything it passes on, so an answer that does not begin with it has been read by nobody.
 */
#pragma once

#include "tests/lib/test.h"
#include "capture/capture.h"
#include "base/log.h"
#include "base/own.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include "bpf/abi.h"

#define UNUSED __attribute__((unused))
#define HANG_S 300 /* of every test: nothing hangs for ever, and an emulated kernel takes its time */

struct ground {
	char mount[128]; /* of cgroup2 */
	char top[200];   /* our cgroup below it, absolute */
	char below[64];  /* the same, from the mount */
	char dir[64], pins[80];
};

static void die(const char *what)
{
	perror(what);
	_exit(2);
}

static UNUSED void sys(const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (system(line))
		die(line);
}

static void nap(unsigned ms)
{
	struct timespec t = { ms / 1000, (ms % 1000) * 1000000L };

	nanosleep(&t, NULL);
}

/* Kills what is in a tree of cgroups and removes it. */
static void cgroup_remove(const char *dir)
{
	char path[400], line[32];
	struct dirent *entry;
	DIR *d = opendir(dir);
	FILE *f;

	while (d && (entry = readdir(d)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%.200s/%.190s", dir, entry->d_name);
			cgroup_remove(path);
		}
	if (d)
		closedir(d);
	snprintf(path, sizeof(path), "%.300s/cgroup.procs", dir);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (atoi(line) != getpid())
			kill(atoi(line), SIGKILL);
	if (f)
		fclose(f);
	for (int i = 0; i < 200 && rmdir(dir) && errno == EBUSY; i++)
		nap(5);
}

/* What crashed tests have left. */
static void leftovers_remove(const char *mount)
{
	struct dirent *entry;
	DIR *d = opendir(mount);
	int pid;

	while (d && (entry = readdir(d)))
		if (sscanf(entry->d_name, "sluice-test-%d", &pid) == 1 && kill(pid, 0)) {
			char path[400];

			snprintf(path, sizeof(path), "%.128s/%.200s", mount, entry->d_name);
			cgroup_remove(path);
		}
	if (d)
		closedir(d);
}

static bool mount_find(char *at, size_t len)
{
	char line[1024], where[128] = "";
	FILE *f = fopen("/proc/self/mountinfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %*s %127s", where) == 1)
			break;
	if (f)
		fclose(f);
	snprintf(at, len, "%s", where);
	return *where;
}

static void leftover_dirs_remove(void)
{
	struct dirent *entry;
	DIR *d = opendir("/tmp");
	int pid;

	while (d && (entry = readdir(d)))
		if (sscanf(entry->d_name, "sluice-test-%d", &pid) == 1 && kill(pid, 0))
			unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
}

/* Without it the daemon refuses to start: it could not tell its network from others. */
static bool has_netns_cookie(void)
{
	owned(own_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	return !getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len);
}

/* False, with the reason printed, where the tests cannot run. */
static bool ground_make(struct ground *g)
{
	*g = (struct ground){ 0 };
	if (geteuid()) {
		puts("skip: not root");
		return false;
	}
	if (!mount_find(g->mount, sizeof(g->mount))) {
		puts("skip: no cgroup2");
		return false;
	}
	if (!has_netns_cookie()) {
		puts("skip: no SO_NETNS_COOKIE");
		return false;
	}
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		puts("skip: no namespaces");
		return false;
	}
	snprintf(g->dir, sizeof(g->dir), "/tmp/sluice-test-%d", getpid());
	mkdir(g->dir, 0700);
	if (mount("bpf", g->dir, "bpf", 0, NULL)) {
		puts("skip: no bpffs");
		return false;
	}
	snprintf(g->pins, sizeof(g->pins), "%s/sluice", g->dir);
	sys("ip link set lo up; for a in 10.9.0.1/32 10.9.0.2/32 10.9.0.77/32 fd00::1/128 fd00::77/128; do"
	    " ip addr add $a dev lo || exit 1; done");
	leftovers_remove(g->mount);
	leftover_dirs_remove();
	snprintf(g->below, sizeof(g->below), "sluice-test-%d", getpid());
	snprintf(g->top, sizeof(g->top), "%s/%s", g->mount, g->below);
	if (mkdir(g->top, 0755)) {
		puts("skip: cannot make cgroups");
		return false;
	}
	log_set_level(LOG_ERROR);
	return true;
}

static void ground_clear(struct ground *g)
{
	if (*g->top)
		cgroup_remove(g->top);
	if (*g->dir) {
		umount2(g->dir, MNT_DETACH);
		rmdir(g->dir);
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

#define GROUND(g)                                                                                                      \
	owned(ground_clear) struct ground g;                                                                           \
	if (!ground_make(&g))                                                                                          \
	return

/* The absolute directory of a cgroup of the ground; made if `make`. Ring of four. */
static const char *group(const struct ground *g, const char *name, bool make)
{
	static _Thread_local char ring[4][300];
	static _Thread_local int at;
	char *out = ring[at++ & 3];

	snprintf(out, sizeof(ring[0]), "%s/%s", g->top, name);
	if (make && mkdir(out, 0755) && errno != EEXIST)
		die(out);
	return out;
}

/* The same, as a service is configured: from the mount. */
static UNUSED const char *group_path(const struct ground *g, const char *name)
{
	static _Thread_local char ring[4][200];
	static _Thread_local int at;
	char *out = ring[at++ & 3];

	snprintf(out, sizeof(ring[0]), "/%s/%s", g->below, name);
	return out;
}

static void join(const char *dir)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die(path);
	close(fd);
}

/* ---- sockets ---- */

static socklen_t address(const char *ip, int port, struct sockaddr_storage *a)
{
	struct sockaddr_in *v4 = (void *)a;
	struct sockaddr_in6 *v6 = (void *)a;

	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, ip, &v6->sin6_addr) != 1)
		die(ip);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return sizeof(*v6);
}

static const char *text_of(const struct sockaddr_storage *a)
{
	static _Thread_local char ring[4][80];
	static _Thread_local int at;
	char ip[64], *out = ring[at++ & 3];
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;

	if (a->ss_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip));
	else
		inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip));
	snprintf(out, sizeof(ring[0]), "%s %d", ip, ntohs(a->ss_family == AF_INET ? v4->sin_port : v6->sin6_port));
	return out;
}

static int listen_on(const char *ip, int port)
{
	struct sockaddr_storage a;
	socklen_t len = address(ip, port, &a);
	int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (void *)&a, len) || listen(fd, 512))
		die("listen");
	return fd;
}

/* A connected socket with 2 s of patience, or -errno. `from` NULL: any. */
static int dial(const char *from, int from_port, const char *to, int port)
{
	struct sockaddr_storage a, b;
	socklen_t len = address(to, port, &a), from_len = address(from ? from : "10.9.0.77", from_port, &b);
	struct timeval wait = { .tv_sec = 2 };
	int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if ((from && bind(fd, (void *)&b, from_len)) || connect(fd, (void *)&a, len)) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}

/* Reads up to and without the newline. False on time-out, end or error. */
static bool read_line(int fd, char *line, size_t len)
{
	size_t n = 0;

	while (n < len - 1 && read(fd, line + n, 1) == 1) {
		if (line[n] == '\n') {
			line[n] = 0;
			return true;
		}
		n++;
	}
	line[n] = 0;
	return false;
}

/* Dials and reads the server's greeting; "" if none came, "!NAME" for the error of connect. */
static UNUSED const char *ask(const char *from, int from_port, const char *to, int port)
{
	static _Thread_local char line[512];
	int fd = dial(from, from_port, to, port);

	*line = 0;
	if (fd < 0)
		snprintf(line, sizeof(line), "!%s", strerrorname_np(-fd));
	else
		read_line(fd, line, sizeof(line));
	if (fd >= 0)
		close(fd);
	return line;
}

/* ---- the server ---- */

struct where {
	const char *ip;
	int port;
};

static void serve(const int *doors, int door_count)
{
	struct pollfd fds[64];
	int n = door_count;

	for (int i = 0; i < n; i++)
		fds[i] = (struct pollfd){ doors[i], POLLIN, 0 };
	for (;;) {
		if (poll(fds, (nfds_t)n, -1) < 0)
			die("poll");
		for (int i = 0; i < n; i++) {
			struct sockaddr_storage peer, seen, own;
			socklen_t a = sizeof(peer), b = sizeof(seen), c = sizeof(own);
			char buf[4096];
			ssize_t got;
			int fd;

			if (!fds[i].revents)
				continue;
			if (i < door_count) {
				fd = accept4(fds[i].fd, (void *)&peer, &a, SOCK_CLOEXEC);
				if (fd < 0 || n == ARRAY_LEN(fds) || getpeername(fd, (void *)&seen, &b) ||
				    getsockname(fd, (void *)&own, &c)) {
					close(fd);
					continue;
				}
				dprintf(fd, "%s|%s|%s\n", text_of(&peer), text_of(&seen), text_of(&own));
				fds[n++] = (struct pollfd){ fd, POLLIN, 0 };
				continue;
			}
			got = read(fds[i].fd, buf, sizeof(buf));
			if (got <= 0 || write(fds[i].fd, buf, (size_t)got) != got) {
				close(fds[i].fd);
				fds[i] = fds[--n];
				i--;
			}
		}
	}
}

/* Runs `body` in a child that dies with us. */
#define CHILD(...)                                                                                                     \
	({                                                                                                             \
		fflush(NULL);                                                                                          \
		pid_t child = fork();                                                                                  \
		if (!child) {                                                                                          \
			prctl(PR_SET_PDEATHSIG, SIGKILL);                                                              \
			signal(SIGPIPE, SIG_IGN);                                                                      \
			__VA_ARGS__;                                                                                   \
			_exit(0);                                                                                      \
		}                                                                                                      \
		child;                                                                                                 \
	})

/* A server in the cgroup `dir` (NULL: ours) on up to four addresses. Returns when it listens. */
static pid_t server_start(const char *dir, const struct where *at, int count)
{
	int ready[2], doors[4];
	char byte;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC))
		die("pipe");
	pid = CHILD({
		if (dir)
			join(dir);
		for (int i = 0; i < count; i++)
			doors[i] = listen_on(at[i].ip, at[i].port);
		if (write(ready[1], "r", 1) != 1)
			die("ready");
		serve(doors, count);
	});
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("server");
	close(ready[0]);
	return pid;
}

#define SERVER(dir, ...)                                                                                               \
	server_start(dir, (struct where[]){ __VA_ARGS__ }, ARRAY_LEN(((struct where[]){ __VA_ARGS__ })))

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Exit status of `body` in a child that has joined `dir`. */
#define INSIDE(dir, ...)                                                                                               \
	({                                                                                                             \
		int status = -1;                                                                                       \
		pid_t inside = CHILD({                                                                                 \
			join(dir);                                                                                     \
			__VA_ARGS__;                                                                                   \
		});                                                                                                    \
		waitpid(inside, &status, 0);                                                                           \
		WIFEXITED(status) ? WEXITSTATUS(status) : -1;                                                          \
	})
