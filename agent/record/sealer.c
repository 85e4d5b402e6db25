/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealer.c - segments that are finished are compressed, when the machine has nothing better to do.
 *
 * Nothing is remembered: whatever is not the newest, is still raw, and is followed by a segment that says where the
 * tree stood, is sealed; after a crash, too.
 */
#include <errno.h>
#include <linux/ioprio.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/own.h"
#include "record/gz.h"
#include "record/index.h"
#include "record/private.h"

#define PRUNE_S 600 /* how often segments out of their term are looked for */

static bool must_stop(void *arg)
{
	return atomic_load(&((struct ledger *)arg)->seal_stop);
}

int sealer_head(int dir, const struct segment_name *name, struct segment_head *out)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	struct slice raw;
	int err = segment_walk_open(&w, dir, name), step;

	if (err)
		return err;
	step = segment_walk_next(&w, &raw);
	if (step < 0 || !w.begun || !w.head.proven)
		return -EBADMSG;
	*out = w.head;
	return 0;
}

/* 0: nothing was to be done, or done. */
static int seal_one(struct ledger *l, const struct segment_name *name, const struct segment_name *next)
{
	struct seal s = { .name = *name, .stop = must_stop, .arg = l };
	struct segment_head mine, theirs;

	if (name->sealed || name->corrupt)
		return 0;
	/* Damage stays as it is: verify names it. */
	if (sealer_head(l->dir, name, &mine) || sealer_head(l->dir, next, &theirs) || theirs.tree_size < mine.tree_size)
		return -EBADMSG;
	s.records = theirs.tree_size - mine.tree_size;
	s.root = theirs.root;
	return gz_seal(l->ops, l->dir, &s);
}

/* The index is derived: a failure to write it is no failure of the log. */
static void index_one(struct ledger *l, const struct segment_name *name)
{
	char text[NAME_ROOM];

	if (name->corrupt || must_stop(l))
		return;
	snprintf(text, sizeof(text), "%020llu" INDEX_SUFFIX, (unsigned long long)name->first_seq);
	if (faccessat(l->dir, text, F_OK, 0))
		(void)index_build(l->ops, l->dir, name->first_seq, must_stop, l);
}

bool sealer_must_stop(struct ledger *l)
{
	return must_stop(l);
}

static void seal_all(struct ledger *l)
{
	owned(own_free) struct segment_name *list = NULL;
	size_t n = 0;
	uint64_t failures = 0;

	if (segment_list(l->dir, &list, &n))
		return;
	for (size_t i = 0; i + 1 < n && !must_stop(l); i++) {
		int err = seal_one(l, &list[i], &list[i + 1]);

		failures += err && err != -ECANCELED;
		if (!err)
			index_one(l, &list[i]);
	}
	pthread_mutex_lock(&l->lock);
	l->stats.seal_failures += failures;
	pthread_mutex_unlock(&l->lock);
}

void *sealer_run(void *arg)
{
	struct ledger *l = arg;
	struct sched_param none = { 0 };

	pthread_setname_np(pthread_self(), "sealer");
	/* Where this is not allowed it works at the usual priority. */
	(void)sched_setscheduler(0, SCHED_IDLE, &none);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	pthread_mutex_lock(&l->seal_lock);
	while (!must_stop(l)) {
		if (!l->seal_due) {
			struct timespec t;

			clock_gettime(CLOCK_MONOTONIC, &t);
			t.tv_sec += PRUNE_S;
			if (pthread_cond_timedwait(&l->seal_wake, &l->seal_lock, &t) != ETIMEDOUT)
				continue;
		}
		l->seal_due = false;
		pthread_mutex_unlock(&l->seal_lock);
		seal_all(l);
		if (l->o.retain_s)
			prune_old(l);
		pthread_mutex_lock(&l->seal_lock);
	}
	pthread_mutex_unlock(&l->seal_lock);
	return NULL;
}

void sealer_poke(struct ledger *l)
{
	pthread_mutex_lock(&l->seal_lock);
	l->seal_due = true;
	pthread_cond_signal(&l->seal_wake);
	pthread_mutex_unlock(&l->seal_lock);
}

void sealer_stop(struct ledger *l)
{
	pthread_mutex_lock(&l->seal_lock);
	atomic_store(&l->seal_stop, true);
	pthread_cond_signal(&l->seal_wake);
	pthread_mutex_unlock(&l->seal_lock);
	pthread_join(l->sealer, NULL);
	l->sealing = false;
}
