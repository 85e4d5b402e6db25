/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - one loop's share: listeners, rules, counters. */
#include "flow/private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"

#define ACCEPTS_A_TURN  64
#define ACCEPT_RETRY_NS 50000000u
#define SAY_SHORT_NS    10000000000u
#define DIALS_RETRY_NS  2000000u /* sockets of another namespace are on their way */
#define FILES_KEPT      128 /* descriptors, or an eighth of all, that no client gets: record, control, dials need some */

uint64_t unix_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t exact_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The first descriptor that is not for clients. The kernel gives the lowest that is free, so whoever gets one as high
 * as this knows that all below are taken. */
static int files_for_clients(uint64_t most)
{
	uint64_t kept = most / 8 < FILES_KEPT ? most / 8 : FILES_KEPT;

	return !most || most > INT_MAX ? INT_MAX : (int)(most - kept);
}

/* The connections stay in the backlog. Asking again at once would only burn the core. */
static void wait_with(struct door_watch *door, uint64_t ns)
{
	struct worker *w = door->worker;

	loop_del(w->loop, &door->watch);
	if (loop_timer(w->loop, &w->retry, ns))
		loop_add_level(w->loop, &door->watch, EPOLLIN);
}

/* Said now and then: it may be so for hours, twenty times a second. */
static void files_wait(struct door_watch *door, const char *why)
{
	struct worker *w = door->worker;
	uint64_t now = loop_now(w->loop);

	if (!w->short_said || now - w->short_said >= SAY_SHORT_NS) {
		log_warn("accept: connections wait: error=%s retry_ms=50", why);
		w->short_said = now;
	}
	wait_with(door, ACCEPT_RETRY_NS);
	w->files_short = true;
}

static void accept_some(struct door_watch *door)
{
	struct worker *w = door->worker;

	if (w->files_short) {
		owned(own_close) int next = fcntl(door->watch.fd, F_DUPFD_CLOEXEC, 0);

		if (next < 0 || next >= w->files_most) {
			files_wait(door, "EMFILE");
			return;
		}
		w->files_short = false;
	}
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd;

		if (door->netns && !capture_can_dial(w->o.capture, door->netns, door->family)) {
			wait_with(door, DIALS_RETRY_NS);
			return;
		}
		fd = accept4(door->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			flow_accept(w, fd);
			if (fd < w->files_most)
				continue;
			files_wait(door, "EMFILE"); /* that one has had its share of what is kept */
			return;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			files_wait(door, strerrorname_np(errno));
			return;
		}
		if (errno != ECONNABORTED && errno != EINTR && errno != EPROTO)
			return;
	}
}

static void door_ready(struct watch *watch, uint32_t events)
{
	struct door_watch *door = container_of(watch, struct door_watch, watch);
	struct worker *w = door->worker;

	(void)events;
	accept_some(door);
	flow_reap(w);
}

static void retry_due(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, retry);

	for (struct door_watch *d = w->doors; d && !w->leaving; d = d->next)
		loop_add_level(w->loop, &d->watch, EPOLLIN); /* EEXIST for those that were not out */
}

/* ---- the doors ---- */

static const int families[2] = { AF_INET, AF_INET6 };

/* Descriptors of our own, -1 where there is no listener. In the thread that lets namespaces come and go. */
static int doors_find(const struct worker *w, uint64_t netns, int fds[2])
{
	fds[0] = fds[1] = -1;
	for (int i = 0; i < 2; i++) {
		int fd = netns ? capture_listener_in(w->o.capture, netns, w->index, families[i])
		               : capture_listener(w->o.capture, w->index, families[i]);

		fds[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (fd >= 0 && fds[i] < 0) {
			int err = -errno;

			own_close(&fds[0]);
			return err;
		}
	}
	return 0;
}

/* Takes the descriptor. */
static int door_open(struct worker *w, uint64_t netns, int family, int listener)
{
	struct door_watch *door = calloc(1, sizeof(*door));
	int err = -ENOMEM;

	if (door) {
		*door = (struct door_watch){
			.watch = { .ready = door_ready, .fd = listener }, .worker = w, .netns = netns, .family = family
		};
		err = loop_add_level(w->loop, &door->watch, EPOLLIN);
	}
	if (err) {
		close(listener);
		free(door);
		return err;
	}
	door->next = w->doors;
	w->doors = door;
	if (netns)
		(void)capture_can_dial(w->o.capture, netns, family); /* so that the first need not wait */
	return 0;
}

static int doors_open(struct worker *w, uint64_t netns, const int fds[2])
{
	int err = 0;

	for (int i = 0; i < 2; i++) {
		int failed = fds[i] < 0 ? 0 : door_open(w, netns, families[i], fds[i]);

		err = err ? err : failed;
	}
	return err;
}

static void doors_shut(struct worker *w, bool all, uint64_t netns)
{
	struct door_watch **at = &w->doors, *door;

	while ((door = *at)) {
		if (!all && door->netns != netns) {
			at = &door->next;
			continue;
		}
		*at = door->next;
		if (!w->leaving)
			loop_del(w->loop, &door->watch);
		own_close(&door->watch.fd);
		free(door);
	}
}

void doors_leave(struct worker *w)
{
	for (struct door_watch *d = w->doors; d && !w->leaving; d = d->next)
		loop_del(w->loop, &d->watch);
}

struct door_call {
	struct post post;
	struct worker *worker;
	uint64_t netns;
	int fds[2];
};

static void open_posted(struct post *p)
{
	struct door_call *c = container_of(p, struct door_call, post);
	int err = 0;

	if (c->worker->leaving) {
		own_close(&c->fds[0]);
		own_close(&c->fds[1]);
	} else {
		err = doors_open(c->worker, c->netns, c->fds);
	}
	if (err)
		log_error("namespace: its connections cannot be accepted: error=%s", strerrorname_np(-err));
	free(c);
}

static void shut_posted(struct post *p)
{
	struct door_call *c = container_of(p, struct door_call, post);

	doors_shut(c->worker, false, c->netns);
	free(c);
}

int worker_open_doors(struct worker *w, uint64_t netns)
{
	struct door_call *c = malloc(sizeof(*c));
	int err = -ENOMEM;

	if (c) {
		*c = (struct door_call){ .post.run = open_posted, .worker = w, .netns = netns };
		err = doors_find(w, netns, c->fds);
	}
	if (err)
		free(c);
	else
		loop_post(w->loop, &c->post);
	return err;
}

int worker_shut_doors(struct worker *w, uint64_t netns)
{
	struct door_call *c = malloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct door_call){ .post.run = shut_posted, .worker = w, .netns = netns };
	loop_post(w->loop, &c->post);
	return 0;
}

/* ---- its life ---- */

int worker_new(struct worker **out, const struct worker_options *o, unsigned index, struct loop *l,
               struct ruleset *rules)
{
	struct worker *w = calloc(1, sizeof(*w));
	uint64_t spaces[1 + CAPTURE_SPACES];
	size_t count;
	int err = 0;

	if (!w)
		return -ENOMEM;
	w->services = calloc(o->service_count + 1, sizeof(*w->services));
	if (!w->services) {
		free(w);
		return -ENOMEM;
	}
	w->o = *o;
	if (!w->o.head_timeout_ms)
		w->o.head_timeout_ms = 60000;
	if (!w->o.stop_timeout_ms)
		w->o.stop_timeout_ms = 1000;
	if (!w->o.limits.body_max)
		w->o.limits.body_max = EXCHANGE_BODY_MAX;
	if (!w->o.limits.event_max)
		w->o.limits.event_max = EXCHANGE_EVENT_MAX;
	w->held_max = w->o.limits.body_max > w->o.limits.event_max ? w->o.limits.body_max : w->o.limits.event_max;
	w->loop = l;
	w->files_most = files_for_clients(o->files_most);
	w->retry.due = retry_due;
	w->passing = -1;
	w->pass_more.due = drain_more;
	w->index = index;
	spaces[0] = 0; /* ours */
	count = 1 + capture_spaces(o->capture, spaces + 1, CAPTURE_SPACES);
	for (size_t i = 0; i < count && !err; i++) {
		int fds[2];

		err = doors_find(w, spaces[i], fds);
		err = err ? err : doors_open(w, spaces[i], fds);
	}
	if (err) {
		doors_shut(w, true, 0);
		free(w->services);
		free(w);
		return err;
	}
	w->rules = ruleset_get(rules);
	*out = w;
	return 0;
}

struct new_rules {
	struct post post;
	struct worker *worker;
	struct ruleset *rules;
};

static void take_rules(struct post *p)
{
	struct new_rules *n = container_of(p, struct new_rules, post);
	struct ruleset *old = n->worker->rules;

	n->worker->rules = n->rules;
	ruleset_put(&old);
	free(n);
}

int worker_set_rules(struct worker *w, struct ruleset *rules)
{
	struct new_rules *n = malloc(sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->post.run = take_rules;
	n->worker = w;
	n->rules = ruleset_get(rules);
	loop_post(w->loop, &n->post);
	return 0;
}

static void copy_numbers(uint64_t *to, const uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void worker_stats(const struct worker *w, struct worker_stats *out)
{
	copy_numbers((uint64_t *)out, (const uint64_t *)&w->stats, sizeof(*out) / sizeof(uint64_t));
}

void worker_service_stats(const struct worker *w, size_t service, struct service_stats *out)
{
	copy_numbers((uint64_t *)out, (const uint64_t *)&w->services[service], sizeof(*out) / sizeof(uint64_t));
}

void worker_stop(struct worker *w)
{
	doors_shut(w, true, 0);
	loop_timer_stop(w->loop, &w->retry);
	drain_stop(w);
	while (w->flows)
		flow_end(w->flows, END_RST);
	flow_reap(w);
}

void worker_free(struct worker **at)
{
	struct worker *w = *at;

	if (!w)
		return;
	for (struct flow *f = w->dead; f; f = f->next)
		f->note_out = false; /* nobody runs the loop that would hear of it */
	flow_reap(w);
	ask_free(w);
	ruleset_put(&w->rules);
	free(w->services);
	free(w);
	*at = NULL;
}
