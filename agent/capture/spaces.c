// SPDX-License-Identifier: Apache-2.0
/*
 * spaces.c - the network namespaces that units' processes are in: containers, pods, PrivateNetwork=.
 *
 * Each has a copy of `steer` and doors of its own: a listener of another namespace takes connections and completes
 * none. A container has a new namespace at every start, mostly long before its server listens. If it was quicker, the
 * address is guarded by the kernel side at listen(2) all the same and the fence lets no answer out until we are there.
 *
 * What we hold in a namespace keeps it alive. So we leave where no process of a unit is any more, but the link stays:
 * what is guarded there answers RST until somebody comes back, and link and addresses go when the kernel says that the
 * namespace is gone.
 */
#include "capture/state.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include "base/log.h"
#include "base/own.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

_Static_assert(CAPTURE_SPACES + 1 == NAMESPACES_MOST, "the kernel side has room for as many");

#define LEAVE_LOOKS  3          /* without a process of a unit */
#define LOOK_NS      500000000u /* of one look may go by with entering namespaces */
#define ASK_NS       100000000u /* what was asked for and has not come is asked for again */
#define ENTRIES_MANY 8192       /* of `guarded`, which has room for twice as many */

/* ---- the table ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct space *space_by_netns(const struct capture *c, uint64_t netns)
{
	for (size_t i = 0; i < c->space_count; i++)
		if (c->spaces[i]->netns == netns)
			return c->spaces[i];
	return NULL;
}

struct space *space_by_inode(const struct capture *c, uint64_t inode)
{
	for (size_t i = 0; i < c->space_count; i++)
		if (c->spaces[i]->inode == inode)
			return c->spaces[i];
	return NULL;
}

/* Not in the table. Takes `ns` if it succeeds. */
static struct space *space_new(const struct capture *c, uint64_t netns, uint64_t inode, int ns)
{
	struct space *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->listeners = malloc(2 * c->loops * sizeof(*s->listeners));
	if (!s->listeners) {
		free(s);
		return NULL;
	}
	for (unsigned i = 0; i < 2 * c->loops; i++)
		s->listeners[i] = -1;
	s->netns = netns;
	s->inode = inode;
	s->ns = ns;
	return s;
}

static void space_free(struct capture *c, struct space *s)
{
	doors_close(c, s);
	for (int f = 0; f < 2; f++)
		while (s->pools[f].count)
			close(s->pools[f].at[--s->pools[f].count]);
	if (s->ns >= 0)
		close(s->ns);
	free(s);
}

struct space *space_add(struct capture *c, uint64_t netns, uint64_t inode, int ns)
{
	struct space *s = c->space_count < NAMESPACES_MOST ? space_new(c, netns, inode, ns) : NULL;

	if (s)
		c->spaces[c->space_count++] = s;
	return s;
}

void space_remove(struct capture *c, struct space *s)
{
	size_t at = 0;

	while (c->spaces[at] != s)
		at++;
	c->spaces[at] = c->spaces[--c->space_count];
	space_free(c, s);
}

void space_text(const struct capture *c, const struct space *s, char *text, size_t len)
{
	*text = 0;
	if (s != c->spaces[0])
		snprintf(text, len, "net:[%llu]", (unsigned long long)s->inode);
}

/* ---- there and back ---- */

static int enter(const struct capture *c, const struct space *s)
{
	return s == c->spaces[0] || !setns(s->ns, CLONE_NEWNET) ? 0 : -errno;
}

static void leave(const struct capture *c, const struct space *s)
{
	if (s == c->spaces[0] || !setns(c->spaces[0]->ns, CLONE_NEWNET))
		return;
	log_error("capture: cannot go back to its own network namespace: error=%s", strerrorname_np(errno));
	abort(); /* nothing that is done from here on would be where it belongs */
}

int space_socket(const struct capture *c, const struct space *s, int family, int type, int protocol)
{
	int err = enter(c, s), fd;

	if (err)
		return err;
	fd = socket(family, type, protocol);
	if (fd < 0)
		fd = -errno;
	leave(c, s);
	return fd;
}

int capture_make_dials(const struct capture *c, uint64_t netns, int family, int *fds, size_t count)
{
	const struct space *s = space_by_netns(c, netns);
	int err = s ? enter(c, s) : -ENOENT, n = 0;

	if (err)
		return err;
	while ((size_t)n < count && !err) {
		fds[n] = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fds[n] < 0)
			err = -errno;
		else
			n++;
	}
	leave(c, s);
	return n ? n : err;
}

static int cookie_of(int fd, uint64_t *netns)
{
	socklen_t len = sizeof(*netns);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, netns, &len) ? -errno : 0;
}

/* ---- at the start ---- */

static int home(struct capture *c, struct why why)
{
	owned(own_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || cookie_of(fd, &c->netns)) {
		if (ns >= 0)
			close(ns);
		return because(why, -errno, "this kernel does not tell the cookie of a network namespace (5.14)");
	}
	if (ns < 0 || fstat(ns, &st) || !space_add(c, c->netns, st.st_ino, ns)) {
		if (ns >= 0)
			close(ns);
		return because(why, -ENOENT, "cannot open /proc/self/ns/net");
	}
	return 0;
}

/* A namespace of the program before this one: what enters it, and its listeners. */
static int take_kept(struct capture *c, const int *kept, struct why why)
{
	struct space *s;
	struct stat st;
	uint64_t netns;

	if (kept[0] < 0 || fstat(kept[0], &st) || kept[1] < 0 || cookie_of(kept[1], &netns) ||
	    fcntl(kept[0], F_SETFD, FD_CLOEXEC))
		return because(why, -EBADMSG, "a network namespace that was handed over is none");
	s = space_add(c, netns, st.st_ino, kept[0]);
	return s ? doors_make(c, s, kept + 1, why) : because(why, -ENOMEM, "out of memory");
}

int spaces_begin(struct capture *c, const int *kept, size_t kept_count, struct why why)
{
	size_t each = 2 * c->loops, at = each;
	int err = home(c, why);

	if (!err && kept && kept_count < each)
		err = because(why, -EBADMSG, "the listeners that were handed over are too few");
	err = err ? err : doors_make(c, c->spaces[0], kept, why);
	for (; !err && kept && at + 1 + each <= kept_count; at += 1 + each)
		err = take_kept(c, kept + at, why);
	return err;
}

int capture_keep(const struct capture *c, int **out, size_t *count)
{
	size_t each = 2 * c->loops, n = 0;
	int *fds = calloc(c->space_count * (1 + each), sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	for (size_t i = 0; i < c->space_count; i++) {
		if (i)
			fds[n++] = c->spaces[i]->ns;
		memcpy(fds + n, c->spaces[i]->listeners, each * sizeof(*fds));
		n += each;
	}
	*out = fds;
	*count = n;
	return 0;
}

/* ---- coming and going ---- */

static struct refused *refused_find(struct capture *c, uint64_t inode)
{
	for (size_t i = 0; i < c->refused_count; i++)
		if (c->refused[i].inode == inode)
			return &c->refused[i];
	return NULL;
}

/* Said once; its listeners are named for as long as they are there. */
static void refuse(struct capture *c, uint64_t inode, const char *reason)
{
	struct refused *r = refused_find(c, inode);

	if (!r && c->refused_count < NAMESPACES_MOST) {
		r = &c->refused[c->refused_count++];
		*r = (struct refused){ .inode = inode };
	}
	if (!r)
		return;
	r->seen = true;
	if (!strcmp(r->why, reason))
		return;
	snprintf(r->why, sizeof(r->why), "%s", reason);
	log_error("network namespace cannot be guarded, its servers are fenced namespace=net:[%llu] cause=\"%s\"",
	          (unsigned long long)inode, reason);
}

const char *refused_why(const struct capture *c, uint64_t inode)
{
	for (size_t i = 0; i < c->refused_count; i++)
		if (c->refused[i].inode == inode)
			return c->refused[i].why;
	return "it was not looked into yet";
}

/* Doors first: a link without them would turn away, or let pass what is `fail: open`, although we are there. */
static int space_up(struct capture *c, struct space *s, struct why why)
{
	int err = s->door_port[0] ? 0 : doors_make(c, s, NULL, why);

	if (!err && c->open) {
		err = doors_open(c, s);
		if (err)
			because(why, err, "its listeners cannot be put in place: %s", strerror(-err));
	}
	err = err ? err : programs_steer(c, s, why);
	if (!err) {
		err = listeners_begin(c, s);
		if (err)
			because(why, err, "its listeners cannot be listed: %s", strerror(-err));
	}
	if (err)
		return err;
	s->up = true;
	log_info("network namespace guarded namespace=net:[%llu]", (unsigned long long)s->inode);
	if (c->watcher.came)
		c->watcher.came(c->watcher.arg, s->netns);
	return 0;
}

static void space_leave(struct capture *c, struct space *s)
{
	uint64_t netns = s->netns;

	log_info("network namespace left: no process of a unit is in it any more namespace=net:[%llu]",
	         (unsigned long long)s->inode);
	space_remove(c, s);
	if (c->watcher.went)
		c->watcher.went(c->watcher.arg, netns);
}

/* Where nobody listens nobody misses us: those give way to one with a server. */
static int make_room(struct capture *c, const struct space *s, struct why why)
{
	bool busy[NAMESPACES_MOST] = { true }, serves = false;
	struct address next, last;
	bool more = c->space_count == NAMESPACES_MOST && !bpf_map_get_next_key(c->maps[MAP_GUARDED], NULL, &next);

	if (c->space_count < NAMESPACES_MOST)
		return 0;
	while (more) {
		serves |= next.netns == s->netns;
		for (size_t i = 1; i < c->space_count; i++)
			busy[i] |= next.netns == c->spaces[i]->netns;
		last = next;
		more = !bpf_map_get_next_key(c->maps[MAP_GUARDED], &last, &next);
	}
	for (size_t i = 1; i < c->space_count && serves; i++)
		if (!busy[i]) {
			space_leave(c, c->spaces[i]);
			return 0;
		}
	return because(why, -EUSERS, "%d are guarded, which is the most", NAMESPACES_MOST - 1);
}

/* Learns its cookie, and guards who listens there already: from here on they are fenced, whatever becomes of it. */
static int look_into(struct capture *c, struct space *s, struct why why)
{
	owned(own_close) int fd = space_socket(c, s, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return because(why, fd,
		               fd == -EPERM ? "to enter it, the daemon needs CAP_SYS_ADMIN: see sluiced(8)"
		                            : "it cannot be entered");
	err = cookie_of(fd, &s->netns);
	if (err || space_by_netns(c, s->netns))
		return because(why, -EEXIST, "its cookie cannot be told");
	err = listeners_begin(c, s);
	return err ? because(why, err, "its listeners cannot be listed: %s", strerror(-err)) : 0;
}

static int space_open(struct capture *c, uint64_t inode, int pid, struct why why)
{
	owned(own_close) int ns = -1;
	char path[64];
	struct space *s;
	struct stat st;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || fstat(ns, &st) || st.st_ino != inode)
		return -ESRCH; /* gone since it was seen */
	s = space_new(c, 0, inode, ns);
	if (!s)
		return because(why, -ENOMEM, "out of memory");
	(void)TAKE_FD(ns);
	err = look_into(c, s, why);
	err = err ? err : make_room(c, s, why);
	if (err) {
		space_free(c, s);
		return err;
	}
	c->spaces[c->space_count++] = s;
	err = space_up(c, s, why);
	if (err)
		space_remove(c, s);
	return err;
}

static bool look(void *arg, int pid, const struct watched *service)
{
	char text[sizeof(((struct refused *)0)->why)] = "";
	struct capture *c = arg;
	uint64_t inode = netns_inode(pid);
	struct space *s = inode ? space_by_inode(c, inode) : c->spaces[0];
	int err;

	(void)service;
	if (s) {
		s->unseen = 0;
		return true;
	}
	if (now_ns() - c->look_ns > LOOK_NS) {
		c->look_late = true; /* the next look goes on: others wait for us, too */
		return true;
	}
	err = space_open(c, inode, pid, (struct why){ text, sizeof(text) });
	if (err && err != -ESRCH)
		refuse(c, inode, text);
	return true;
}

void spaces_look(struct capture *c)
{
	char text[256] = "";

	c->look_ns = now_ns();
	c->look_late = false;
	for (size_t i = 0; i < c->refused_count; i++)
		c->refused[i].seen = false;
	for (size_t i = 1; i < c->space_count; i++) {
		struct space *s = c->spaces[i];

		s->unseen++;
		/* The program before this one has left it to us. */
		if (!s->up && space_up(c, s, (struct why){ text, sizeof(text) }))
			log_error("network namespace cannot be guarded namespace=net:[%llu] cause=\"%s\"",
			          (unsigned long long)s->inode, text);
	}
	if (!outside_each(c, look, c))
		return;
	for (size_t i = c->space_count; i-- > 1;)
		if (c->spaces[i]->unseen >= LEAVE_LOOKS)
			space_leave(c, c->spaces[i]);
	for (size_t i = c->refused_count; i-- > 0;)
		if (!c->refused[i].seen && !c->look_late)
			c->refused[i] = c->refused[--c->refused_count];
}

/* ---- what is left of those that are gone ---- */

static void forget_if(struct capture *c, bool (*gone)(struct capture *c, uint64_t netns, const void *arg),
                      const void *arg)
{
	struct address next, last;
	bool more = !bpf_map_get_next_key(c->maps[MAP_GUARDED], NULL, &next);

	while (more) {
		last = next;
		more = !bpf_map_get_next_key(c->maps[MAP_GUARDED], &last, &next);
		if (gone(c, last.netns, arg))
			bpf_map_delete_elem(c->maps[MAP_GUARDED], &last);
	}
}

static bool is_this(struct capture *c, uint64_t netns, const void *arg)
{
	(void)c;
	return netns == *(const uint64_t *)arg;
}

void space_gone(struct capture *c, uint64_t netns)
{
	forget_if(c, is_this, &netns);
}

static bool is_unknown(struct capture *c, uint64_t netns, const void *arg)
{
	(void)arg;
	return !space_by_netns(c, netns) && !pins_steered(c, netns);
}

/* Addresses of namespaces that had come and gone before we looked: of no use, and only in the way when they are many. A
 * namespace that cannot be entered is not among those we know, and stays fenced by its addresses. */
void orphans_forget(struct capture *c)
{
	struct address next, last;
	size_t n = 0;
	bool more = !bpf_map_get_next_key(c->maps[MAP_GUARDED], NULL, &next);

	pins_sweep_steer(c);
	while (more && n <= ENTRIES_MANY) {
		n++;
		last = next;
		more = !bpf_map_get_next_key(c->maps[MAP_GUARDED], &last, &next);
	}
	if (n > ENTRIES_MANY && !c->refused_count)
		forget_if(c, is_unknown, NULL);
}

/* ---- in the process that only dials ---- */

size_t capture_spaces(const struct capture *c, uint64_t *netns, size_t room)
{
	for (size_t i = 1; i < c->space_count && i <= room; i++)
		netns[i - 1] = c->spaces[i]->netns;
	return c->space_count - 1;
}

int capture_listener_in(const struct capture *c, uint64_t netns, unsigned loop, int family)
{
	const struct space *s = space_by_netns(c, netns);

	return s && loop < c->loops ? s->listeners[(family == AF_INET6) * c->loops + loop] : -1;
}

uint64_t capture_inode(const struct capture *c, uint64_t netns)
{
	const struct space *s = space_by_netns(c, netns);

	return s && s != c->spaces[0] ? s->inode : 0;
}

int capture_space_came(struct capture *c, uint64_t netns, uint64_t inode, const int *listeners)
{
	char text[128];
	struct space *s;
	int err = -EEXIST;

	pthread_mutex_lock(&c->dialling);
	if (!space_by_netns(c, netns)) {
		s = space_add(c, netns, inode, -1);
		err = s ? doors_make(c, s, listeners, (struct why){ text, sizeof(text) }) : -ENOMEM;
		if (s && err) {
			for (unsigned i = 0; i < 2 * c->loops; i++)
				s->listeners[i] = -1;
			space_remove(c, s);
		}
	}
	pthread_mutex_unlock(&c->dialling);
	return err;
}

void capture_space_went(struct capture *c, uint64_t netns)
{
	struct space *s;

	pthread_mutex_lock(&c->dialling);
	s = space_by_netns(c, netns);
	if (s && s != c->spaces[0])
		space_remove(c, s);
	pthread_mutex_unlock(&c->dialling);
}

void capture_take_dials(struct capture *c, uint64_t netns, int family, const int *fds, size_t count)
{
	struct space *s;
	size_t i = 0;

	pthread_mutex_lock(&c->dialling);
	s = space_by_netns(c, netns);
	if (s) {
		struct pool *p = &s->pools[family == AF_INET6];

		p->asked_ns = 0;
		while (i < count && p->count < POOL_MOST)
			p->at[p->count++] = fds[i++];
	}
	pthread_mutex_unlock(&c->dialling);
	for (; i < count; i++)
		close(fds[i]);
}

/* Every loop that has asked may take one before any other does. */
bool capture_can_dial(struct capture *c, uint64_t netns, int family)
{
	size_t enough = c->loops < POOL_MOST / 4 ? c->loops : POOL_MOST / 4;
	bool can = true, ask = false;
	struct space *s;

	pthread_mutex_lock(&c->dialling);
	s = space_by_netns(c, netns);
	if (s && s != c->spaces[0] && s->ns < 0) {
		struct pool *p = &s->pools[family == AF_INET6];
		uint64_t now = p->count < POOL_LOW + enough ? now_ns() : 0;

		can = p->count >= enough;
		ask = now && now - p->asked_ns > ASK_NS;
		if (ask)
			p->asked_ns = now;
	}
	pthread_mutex_unlock(&c->dialling);
	if (ask && c->ask)
		c->ask(c->ask_arg, netns, family);
	return can;
}

void capture_ask_with(struct capture *c, void (*ask)(void *arg, uint64_t netns, int family), void *arg)
{
	c->ask = ask;
	c->ask_arg = arg;
}

/* ---- what comes up elsewhere ---- */

/* Which it is, /proc tells. */
static int heard(void *arg, void *data, size_t len)
{
	(void)arg;
	(void)data;
	(void)len;
	return 0;
}

int spaces_watch(struct capture *c, struct why why)
{
	c->listens = ring_buffer__new(c->maps[MAP_LISTENS], heard, NULL, NULL);
	return c->listens ? 0 : because(why, -errno, "cannot map the ring of listeners: %s", strerror(errno));
}

void spaces_unwatch(struct capture *c)
{
	ring_buffer__free(TAKE(c->listens));
}

int capture_listens(const struct capture *c)
{
	return c->listens ? ring_buffer__epoll_fd(c->listens) : -1;
}

void capture_heard(struct capture *c)
{
	ring_buffer__consume(c->listens);
	spaces_look(c);
	(void)listeners_seed(c);
}
