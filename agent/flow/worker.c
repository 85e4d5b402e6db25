/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - one loop's share: listeners, rules, counters. */
#include "flow/private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "base/own.h"

#define ACCEPTS_A_TURN  64
#define ACCEPT_RETRY_NS 50000000u
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
static int files_for_clients(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur > INT_MAX)
		return INT_MAX;
	return (int)(r.rlim_cur - (r.rlim_cur / 8 < FILES_KEPT ? r.rlim_cur / 8 : FILES_KEPT));
}

/* Connections stay in the backlog. Asking again at once would only burn the core. */
static void accept_later(struct worker *w, struct watch *door, const char *why)
{
	log_warn("accept: error=%s retry_ms=50", why);
	loop_del(w->loop, door);
	if (loop_timer(w->loop, &w->retry, ACCEPT_RETRY_NS))
		loop_add_level(w->loop, door, EPOLLIN);
	else
		w->files_short = true;
}

static void accept_some(struct worker *w, struct watch *door)
{
	int most = files_for_clients();

	if (w->files_short) {
		owned(own_close) int next = fcntl(door->fd, F_DUPFD_CLOEXEC, 0);

		if (next < 0 || next >= most) {
			accept_later(w, door, "EMFILE");
			return;
		}
		w->files_short = false;
	}
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			flow_accept(w, fd);
			if (fd < most)
				continue;
			accept_later(w, door, "EMFILE"); /* that one has had its share of what is kept */
			return;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			accept_later(w, door, strerrorname_np(errno));
			return;
		}
		if (errno != ECONNABORTED && errno != EINTR && errno != EPROTO)
			return;
	}
}

static void door4_ready(struct watch *door, uint32_t events)
{
	struct worker *w = container_of(door, struct worker, doors[0]);

	(void)events;
	accept_some(w, door);
	flow_reap(w);
}

static void door6_ready(struct watch *door, uint32_t events)
{
	struct worker *w = container_of(door, struct worker, doors[1]);

	(void)events;
	accept_some(w, door);
	flow_reap(w);
}

static void retry_due(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, retry);

	for (int i = 0; i < 2; i++)
		if (w->doors[i].fd >= 0 && !w->leaving)
			loop_add_level(w->loop, &w->doors[i], EPOLLIN); /* EEXIST for the one that was not out */
}

int worker_new(struct worker **out, const struct worker_options *o, unsigned index, struct loop *l,
               struct ruleset *rules)
{
	static const int family[2] = { AF_INET, AF_INET6 };
	struct worker *w = calloc(1, sizeof(*w));

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
	w->retry.due = retry_due;
	w->passing = -1;
	w->pass_more.due = drain_more;
	w->doors[0] = (struct watch){ .ready = door4_ready, .fd = -1 };
	w->doors[1] = (struct watch){ .ready = door6_ready, .fd = -1 };
	for (int i = 0; i < 2; i++) {
		int err;

		w->doors[i].fd = capture_listener(o->capture, index, family[i]);
		if (w->doors[i].fd < 0)
			continue;
		err = loop_add_level(l, &w->doors[i], EPOLLIN);
		if (err) {
			free(w->services);
			free(w);
			return err;
		}
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
	for (int i = 0; i < 2; i++)
		if (w->doors[i].fd >= 0 && !w->leaving)
			loop_del(w->loop, &w->doors[i]);
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
