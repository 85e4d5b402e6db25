/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - an epoll loop for one thread: descriptors, timers, and calls posted by other threads.
 *
 * Edge-triggered by default: a watcher reads or writes until EAGAIN, or until it has had its share of the turn and asks
 * for another with loop_again(). All calls but loop_post() and loop_stop() belong to the loop's own thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* Embedded in what it serves; the embedding struct owns the fd. */
struct watch {
	void (*ready)(struct watch *w, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP */
	struct watch *next_again;
	uint32_t turn; /* in which it asked for another */
	int fd;
	bool again;
};

struct timer {
	void (*due)(struct timer *t);
	uint64_t at;  /* loop_now() nanoseconds */
	size_t place; /* in the loop's heap, from 1; 0: not running */
};

/* A call from another thread, run once by the loop's thread. The struct must live until then. */
struct post {
	void (*run)(struct post *p);
	struct post *next;
};

/* Returns an owned loop. Errors: -errno of epoll_create1(2) or eventfd(2), -ENOMEM. */
int loop_new(struct loop **out);
void loop_free(struct loop **at);

/* Watches w->fd for EPOLLIN | EPOLLOUT | EPOLLRDHUP, edge-triggered. Borrows w until loop_del(). 0 or -errno. */
int loop_add(struct loop *l, struct watch *w);
/* Watches w->fd for the given events, level-triggered: for listeners, signals and the like. */
int loop_add_level(struct loop *l, struct watch *w, uint32_t events);
/* No call of w->ready comes after this, also not one already fetched in this turn. */
void loop_del(struct loop *l, struct watch *w);

/* Calls w->ready(w, 0) once in the next turn, after the events of this one: fairness for busy descriptors. */
void loop_again(struct loop *l, struct watch *w);

/* (Re)starts t to run `after_ns` from now. -ENOMEM leaves it stopped. */
int loop_timer(struct loop *l, struct timer *t, uint64_t after_ns);
void loop_timer_stop(struct loop *l, struct timer *t);

/* Monotonic nanoseconds, read once a turn. */
uint64_t loop_now(const struct loop *l);

/* From any thread: runs p->run(p) in the loop's thread. */
void loop_post(struct loop *l, struct post *p);

/* Runs until loop_stop(), which any thread may call. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
