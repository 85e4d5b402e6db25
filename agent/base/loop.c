/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"

#define EVENTS_A_TURN 256

struct loop {
	int epoll, wake;
	uint64_t now;
	atomic_bool stop;

	struct epoll_event events[EVENTS_A_TURN];
	int event_count;

	struct watch *again, **again_end;
	uint32_t turn;

	struct timer **heap; /* heap[1] is due first */
	size_t timers, timer_room;

	pthread_mutex_t lock; /* guards posts */
	struct post *posts, **posts_end;
};

static uint64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void loop_free(struct loop **at)
{
	struct loop *l = *at;

	if (!l)
		return;
	own_close(&l->epoll);
	own_close(&l->wake);
	pthread_mutex_destroy(&l->lock);
	free(l->heap);
	free(l);
	*at = NULL;
}

int loop_new(struct loop **out)
{
	owned(loop_free) struct loop *l = calloc(1, sizeof(*l));
	struct epoll_event e = { .events = EPOLLIN };

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	l->again_end = &l->again;
	l->posts_end = &l->posts;
	l->now = monotonic();
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll < 0 || l->wake < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &e))
		return -errno;
	*out = TAKE(l);
	return 0;
}

static int add(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &e) ? -errno : 0;
}

int loop_add(struct loop *l, struct watch *w)
{
	return add(l, w, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int loop_add_level(struct loop *l, struct watch *w, uint32_t events)
{
	return add(l, w, events);
}

void loop_del(struct loop *l, struct watch *w)
{
	if (w->fd >= 0)
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = 0; i < l->event_count; i++)
		if (l->events[i].data.ptr == w)
			l->events[i].events = 0;
	if (!w->again)
		return;
	for (struct watch **at = &l->again; *at; at = &(*at)->next_again)
		if (*at == w) {
			*at = w->next_again;
			if (l->again_end == &w->next_again)
				l->again_end = at;
			break;
		}
	w->again = false;
}

void loop_again(struct loop *l, struct watch *w)
{
	if (w->again)
		return;
	w->again = true;
	w->turn = l->turn;
	w->next_again = NULL;
	*l->again_end = w;
	l->again_end = &w->next_again;
}

/* ---- timers: a binary heap that knows each timer's place ---- */

static void settle(struct loop *l, struct timer *t, size_t at)
{
	while (at > 1 && l->heap[at / 2]->at > t->at) {
		l->heap[at] = l->heap[at / 2];
		l->heap[at]->place = at;
		at /= 2;
	}
	for (size_t child = 2 * at; child <= l->timers; child = 2 * at) {
		if (child < l->timers && l->heap[child + 1]->at < l->heap[child]->at)
			child++;
		if (l->heap[child]->at >= t->at)
			break;
		l->heap[at] = l->heap[child];
		l->heap[at]->place = at;
		at = child;
	}
	l->heap[at] = t;
	t->place = at;
}

void loop_timer_stop(struct loop *l, struct timer *t)
{
	size_t at = t->place;
	struct timer *last;

	if (!at)
		return;
	last = l->heap[l->timers--];
	t->place = 0;
	if (last != t)
		settle(l, last, at);
}

int loop_timer(struct loop *l, struct timer *t, uint64_t after_ns)
{
	t->at = l->now + after_ns;
	if (t->place) {
		settle(l, t, t->place);
		return 0;
	}
	if (l->timers + 2 > l->timer_room) {
		size_t room = l->timer_room ? 2 * l->timer_room : 64;
		struct timer **heap = realloc(l->heap, room * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		l->heap = heap;
		l->timer_room = room;
	}
	l->timers++;
	settle(l, t, l->timers);
	return 0;
}

uint64_t loop_now(const struct loop *l)
{
	return l->now;
}

static void run_timers(struct loop *l)
{
	while (l->timers && l->heap[1]->at <= l->now) {
		struct timer *t = l->heap[1];

		loop_timer_stop(l, t);
		t->due(t);
	}
}

/* ---- calls from other threads ---- */

static void wake(struct loop *l)
{
	uint64_t one = 1;

	(void)!write(l->wake, &one, sizeof(one)); /* EAGAIN means it is awake already */
}

void loop_post(struct loop *l, struct post *p)
{
	bool first;

	p->next = NULL;
	pthread_mutex_lock(&l->lock);
	first = !l->posts;
	*l->posts_end = p;
	l->posts_end = &p->next;
	pthread_mutex_unlock(&l->lock);
	if (first)
		wake(l);
}

static void run_posts(struct loop *l)
{
	struct post *p, *next;
	uint64_t n;

	(void)!read(l->wake, &n, sizeof(n));
	pthread_mutex_lock(&l->lock);
	p = l->posts;
	l->posts = NULL;
	l->posts_end = &l->posts;
	pthread_mutex_unlock(&l->lock);
	for (; p; p = next) {
		next = p->next;
		p->run(p);
	}
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	wake(l);
}

/* Milliseconds until the next timer, rounded up so that a turn is never spent waiting for the last microseconds. */
static int wait_ms(const struct loop *l)
{
	uint64_t left;

	if (l->again)
		return 0;
	if (!l->timers)
		return -1;
	if (l->heap[1]->at <= l->now)
		return 0;
	left = (l->heap[1]->at - l->now + 999999) / 1000000;
	return left > 3600000 ? 3600000 : (int)left;
}

/* Those who asked during this turn; who asks again meanwhile comes in the next one. */
static void run_again(struct loop *l)
{
	l->turn++;
	while (l->again && l->again->turn != l->turn) {
		struct watch *w = l->again;

		l->again = w->next_again;
		if (!l->again)
			l->again_end = &l->again;
		w->again = false;
		w->ready(w, 0);
	}
}

void loop_run(struct loop *l)
{
	while (!atomic_load(&l->stop)) {
		bool posted = false;
		int n = epoll_wait(l->epoll, l->events, EVENTS_A_TURN, wait_ms(l));

		l->now = monotonic();
		l->event_count = n < 0 ? 0 : n;
		for (int i = 0; i < l->event_count; i++) {
			struct watch *w = l->events[i].data.ptr;

			if (!w)
				posted = true;
			else if (l->events[i].events)
				w->ready(w, l->events[i].events);
		}
		l->event_count = 0;
		if (posted)
			run_posts(l);
		run_again(l);
		run_timers(l);
	}
	run_posts(l); /* who posted relies on being called */
}
