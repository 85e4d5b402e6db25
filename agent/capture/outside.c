// SPDX-License-Identifier: Apache-2.0
/*
 * outside.c - what no cgroup hook can see: listeners that a unit's processes hold but did not make in the unit, or hold
 * in a network namespace that cannot be guarded, and Unix listeners. Found from /proc, guarded by address where that
 * can be, else named.
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
#define OTHERS_MOST    (2 * NAMESPACES_MOST) /* network namespaces besides ours */

/* A socket that a process of a unit has open. */
struct held {
	uint64_t inode;
	const struct watched *service;
};

/* A process to read the tables of another network namespace through. */
struct other {
	uint64_t netns;
	int pid;
};

struct view {
	struct capture *c;
	struct held *held; /* sorted by inode once all are there */
	size_t count;
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

	return x->inode != y->inode ? (x->inode < y->inode ? -1 : 1) : 0;
}

static const struct held *held_by(const struct view *v, uint64_t inode)
{
	struct held key = { .inode = inode };

	return inode && v->count ? bsearch(&key, v->held, v->count, sizeof(key), by_inode) : NULL;
}

/* The listeners of a table like /proc/net/tcp, of a network namespace that is not guarded. */
static void table_elsewhere(struct view *v, uint64_t netns, int pid, const char *table)
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
		h = held_by(v, inode);
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
		lines_add(v->out,
		          "%s: listener %s in net:[%" PRIu64
		          "] is not guarded, only fenced if it is younger than the guard: %s",
		          h->service->name, text, netns, refused_why(v->c, netns));
	}
}

/* Unix listeners: of the namespace the process is in. */
static void table_unix(struct view *v, int pid)
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
		h = held_by(v, inode);
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

/* 0: gone, or not ours to see. */
uint64_t netns_inode(int pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return stat(path, &st) ? 0 : st.st_ino;
}

static bool process_look(void *arg, int pid, const struct watched *s)
{
	char path[64];
	struct dirent *entry;
	struct view *v = arg;
	uint64_t netns = netns_inode(pid);
	DIR *d;

	if (netns && netns != v->c->spaces[0]->inode)
		other_note(v, netns, pid);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && (entry = readdir(d))) {
		char target[64];
		uint64_t inode;
		ssize_t n = readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = 0;
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1 && !hold(v, (struct held){ inode, s }))
			break;
	}
	if (d)
		closedir(d);
	return true;
}

struct tour {
	struct capture *c;
	bool (*each)(void *arg, int pid, const struct watched *s);
	void *arg;
	size_t processes;
	bool over;
};

/* The processes of one cgroup of a unit. */
static void cgroup_look(struct tour *t, const char *dir, const struct watched *s)
{
	char path[PATH_MAX];
	owned(own_file) FILE *f = NULL;
	int pid;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	f = fopen(path, "re");
	while (f && !t->over && fscanf(f, "%d", &pid) == 1)
		t->over = ++t->processes > PROCESSES_MOST || !t->each(t->arg, pid, s);
}

/* Goes where the members are. */
static void tree_look(struct tour *t, const char *dir, unsigned depth)
{
	struct dirent *entry;
	struct member m;
	const struct watched *s;
	uint64_t id;
	DIR *d;

	if (t->over || depth > 32 || cgroup_id(dir, &id) || bpf_map_lookup_elem(t->c->maps[MAP_MEMBERS], &id, &m))
		return;
	s = service_by_id(t->c, m.service);
	if (s)
		cgroup_look(t, dir, s);
	d = opendir(dir);
	while (d && (entry = readdir(d))) {
		owned(own_free) char *path = NULL;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    asprintf(&path, "%s/%s", dir, entry->d_name) < 0) {
			path = NULL;
			continue;
		}
		tree_look(t, path, depth + 1);
	}
	if (d)
		closedir(d);
}

bool outside_each(struct capture *c, bool (*each)(void *arg, int pid, const struct watched *s), void *arg)
{
	struct tour t = { .c = c, .each = each, .arg = arg };

	tree_look(&t, c->mount, 0);
	return !t.over;
}

/* Listeners of one guarded namespace that were made outside their unit's cgroup. */
static void listeners_look(struct view *v, const struct space *in)
{
	owned(diag_free) struct diag_list all = { 0 };
	struct capture *c = v->c;

	if (diag_list(c, in, DIAG_LISTEN, &all))
		return;
	for (size_t i = 0; i < all.count; i++) {
		const struct diag_socket *l = &all.at[i];
		const struct held *h = held_by(v, l->inode);
		struct member m;
		char text[64];

		if (!h || !service_wants(h->service, l->local.port) ||
		    (l->cgroup && !bpf_map_lookup_elem(c->maps[MAP_MEMBERS], &l->cgroup, &m) && m.service))
			continue;
		if (listener_guard(c, h->service, in, &l->local, "process"))
			continue;
		end_text(&l->local, text, sizeof(text));
		lines_add(v->out,
		          "%s: listener %s was made outside the cgroup: guarded by address; egress backstop and "
		          "getpeername "
		          "do not apply",
		          h->service->name, text);
	}
}

void outside_look(struct capture *c, struct lines *out)
{
	struct view v = { .c = c, .out = out };

	outside_each(c, process_look, &v);
	if (v.count)
		qsort(v.held, v.count, sizeof(*v.held), by_inode);
	for (size_t i = 0; i < v.other_count; i++) {
		if (!space_by_inode(c, v.others[i].netns)) {
			table_elsewhere(&v, v.others[i].netns, v.others[i].pid, "tcp");
			table_elsewhere(&v, v.others[i].netns, v.others[i].pid, "tcp6");
		}
		if (!c->fenced_unix)
			table_unix(&v, v.others[i].pid);
	}
	for (size_t i = 0; i < c->space_count; i++)
		listeners_look(&v, c->spaces[i]);
	if (!c->fenced_unix)
		table_unix(&v, getpid());
	free(v.held);
}
