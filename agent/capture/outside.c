// SPDX-License-Identifier: Apache-2.0
/*
 * outside.c - what no cgroup hook can see: listeners that a unit's processes hold but did not make in the unit, or hold
 * in another network namespace, and Unix listeners. Found from /proc, guarded by address where that can be, else named.
 */
#include "capture/state.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/log.h"
#include "base/own.h"

#define PROCESSES_MOST 4096 /* looked at in one turn */
#define HELD_MOST      1000000
#define OTHERS_MOST    32 /* network namespaces besides ours */

/* A socket that a process of a unit has open. */
struct held {
	uint64_t inode;
	const struct watched *service;
	bool elsewhere; /* its owner is in another network namespace */
};

/* A process to read the tables of another network namespace through. */
struct other {
	uint64_t netns;
	int pid;
};

struct view {
	struct capture *c;
	struct held *held; /* sorted by inode once all are there */
	size_t count, processes;
	uint64_t netns; /* inode of ours */
	struct other others[OTHERS_MOST];
	size_t other_count;
	struct lines *out;
};

static void own_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static bool hold(struct view *v, struct held h)
{
	if (v->count == HELD_MOST)
		return false;
	if (!(v->count & (v->count + 1))) { /* grows at 0, 1, 3, 7, … */
		struct held *more = realloc(v->held, (v->count + 1) * 2 * sizeof(*more));

		if (!more)
			return false;
		v->held = more;
	}
	v->held[v->count++] = h;
	return true;
}

static int by_inode(const void *a, const void *b)
{
	const struct held *x = a, *y = b;

	return x->inode != y->inode ? (x->inode < y->inode ? -1 : 1) : x->elsewhere - y->elsewhere;
}

static const struct held *held_by(const struct view *v, uint64_t inode, bool elsewhere)
{
	struct held key = { .inode = inode, .elsewhere = elsewhere };

	return inode && v->count ? bsearch(&key, v->held, v->count, sizeof(key), by_inode) : NULL;
}

/* The listeners of a table like /proc/net/tcp, of another network namespace. */
static void table_elsewhere(struct view *v, int pid, const char *table)
{
	char path[64], line[512];
	owned(own_file) FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, table);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char ip[33], text[64];
		const struct held *h;
		struct end at = { 0 };
		unsigned port, state;
		uint64_t inode;

		if (sscanf(line, "%*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*d %" SCNu64, ip, &port,
		           &state, &inode) != 4 ||
		    state != 10)
			continue;
		h = held_by(v, inode, true);
		if (!h || !service_wants(h->service, (uint16_t)port))
			continue;
		at.port = (uint16_t)port;
		if (strlen(ip) == 8) {
			at.ip[2] = htonl(0xffff);
			at.ip[3] = (uint32_t)strtoul(ip, NULL, 16);
		} else if (strlen(ip) == 32) {
			for (int i = 3; i >= 0; i--, ip[(i + 1) * 8] = 0)
				at.ip[i] = (uint32_t)strtoul(ip + i * 8, NULL, 16);
		}
		end_text(&at, text, sizeof(text));
		lines_add(v->out, "%s: listener %s is in another network namespace: not guarded", h->service->name,
		          text);
	}
}

/* Unix listeners: of the namespace the process is in. */
static void table_unix(struct view *v, int pid, bool elsewhere)
{
	char path[64], line[512];
	owned(own_file) FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%d/net/unix", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char name[108] = "";
		const struct held *h;
		unsigned flags, type;
		uint64_t inode;

		/* __SO_ACCEPTCON is 1 << 16 */
		if (sscanf(line, "%*x: %*x %*x %x %x %*x %" SCNu64 " %107s", &flags, &type, &inode, name) < 3 ||
		    !(flags & 0x10000))
			continue;
		h = held_by(v, inode, elsewhere);
		if (h)
			lines_add(v->out, "%s: Unix listener %.100s: not guarded, this kernel runs no BPF LSM",
			          h->service->name, *name ? name : "without a name");
	}
}

static void other_note(struct view *v, uint64_t netns, int pid)
{
	for (size_t i = 0; i < v->other_count; i++)
		if (v->others[i].netns == netns)
			return;
	if (v->other_count < OTHERS_MOST)
		v->others[v->other_count++] = (struct other){ netns, pid };
}

static void process_look(struct view *v, int pid, const struct watched *s)
{
	char path[64];
	struct dirent *entry;
	struct stat st;
	bool elsewhere;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	elsewhere = !stat(path, &st) && st.st_ino != v->netns;
	if (elsewhere)
		other_note(v, st.st_ino, pid);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && (entry = readdir(d))) {
		char target[64];
		uint64_t inode;
		ssize_t n = readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = 0;
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1 &&
		    !hold(v, (struct held){ inode, s, elsewhere }))
			break;
	}
	if (d)
		closedir(d);
}

/* The processes of one cgroup of a unit. */
static void cgroup_look(struct view *v, const char *dir, const struct watched *s)
{
	char path[PATH_MAX];
	owned(own_file) FILE *f = NULL;
	int pid;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	f = fopen(path, "re");
	while (f && v->processes < PROCESSES_MOST && fscanf(f, "%d", &pid) == 1) {
		v->processes++;
		process_look(v, pid, s);
	}
}

/* Goes where the members are. */
static void tree_look(struct view *v, const char *dir, unsigned depth)
{
	struct dirent *entry;
	struct member m;
	const struct watched *s;
	uint64_t id;
	DIR *d;

	if (depth > 32 || cgroup_id(dir, &id) || bpf_map_lookup_elem(v->c->maps[MAP_MEMBERS], &id, &m))
		return;
	s = service_by_id(v->c, m.service);
	if (s)
		cgroup_look(v, dir, s);
	d = opendir(dir);
	while (d && (entry = readdir(d))) {
		owned(own_free) char *path = NULL;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    asprintf(&path, "%s/%s", dir, entry->d_name) < 0) {
			path = NULL;
			continue;
		}
		tree_look(v, path, depth + 1);
	}
	if (d)
		closedir(d);
}

void outside_look(struct capture *c, const struct diag_list *listeners, struct lines *out)
{
	struct view v = { .c = c, .out = out };
	struct stat st;

	if (stat("/proc/self/ns/net", &st))
		return;
	v.netns = st.st_ino;
	tree_look(&v, c->mount, 0);
	if (v.count)
		qsort(v.held, v.count, sizeof(*v.held), by_inode);
	for (size_t i = 0; i < v.other_count; i++) {
		table_elsewhere(&v, v.others[i].pid, "tcp");
		table_elsewhere(&v, v.others[i].pid, "tcp6");
		if (!c->fenced_unix)
			table_unix(&v, v.others[i].pid, true);
	}
	for (size_t i = 0; i < listeners->count; i++) {
		const struct diag_socket *l = &listeners->at[i];
		const struct held *h = held_by(&v, l->inode, false);
		struct member m;
		char text[64];

		if (!h || !service_wants(h->service, l->local.port) ||
		    (l->cgroup && !bpf_map_lookup_elem(c->maps[MAP_MEMBERS], &l->cgroup, &m) && m.service))
			continue;
		if (listener_guard(c, h->service, &l->local, "process"))
			continue;
		end_text(&l->local, text, sizeof(text));
		lines_add(out,
		          "%s: listener %s was made outside the cgroup: guarded by address; egress backstop and "
		          "getpeername "
		          "do not apply",
		          h->service->name, text);
	}
	if (!c->fenced_unix)
		table_unix(&v, getpid(), false);
	free(v.held);
}
