/* SPDX-License-Identifier: Apache-2.0 */
/*
 * full.c - a disk without space, and records that were not taken.
 *
 * A full disk is no broken one: what waits stays in memory, up to the queue's bound, and is written when there is space
 * again, in a new segment. But nobody waits for that: a note is told at once that its record is not durable.
 */
#include <errno.h>

#include "base/own.h"
#include "record/private.h"

#define RETRY_NS NS

void full_put_back(struct ledger *l, struct item *list)
{
	struct item **end = &list;

	for (; *end; end = &(*end)->next)
		l->queue_records++;
	*end = l->first;
	if (!l->first)
		l->last = end;
	l->first = list;
	l->full_retry = ledger_clock(l, CLOCK_MONOTONIC) + RETRY_NS;
}

/* Only the writer takes items out: the list holds while the lock is let go. */
static void refuse_notes(struct ledger *l)
{
	for (struct item *i = l->first; i && l->queue_notes; i = i->next) {
		struct ledger_note *note = TAKE(i->note);

		if (!note)
			continue;
		l->queue_notes--;
		pthread_mutex_unlock(&l->lock);
		note->done(note, 0, -ENOSPC);
		pthread_mutex_lock(&l->lock);
	}
}

/* Room for a segment: what is tried with less fails again, and leaves files behind. */
static bool has_space(struct ledger *l)
{
	uint64_t left;

	return l->ops->space(l->dir, &left) || left > l->o.segment_bytes;
}

/* The end of the daemon, and still no space. */
static void drop_queue(struct ledger *l)
{
	while (l->first) {
		struct item *i = l->first;

		l->first = i->next;
		l->queue_bytes -= item_frame(i);
		l->queue_records--;
		loss_add(l, 1);
		free(i);
	}
	l->last = &l->first;
}

bool full_waits(struct ledger *l)
{
	uint64_t now = ledger_clock(l, CLOCK_MONOTONIC);

	if (!l->full)
		return false;
	refuse_notes(l);
	if (l->closing && (l->full_last || !has_space(l))) {
		drop_queue(l);
		return true;
	}
	l->full_last = l->closing;
	if (l->closing || (now >= l->full_retry && has_space(l))) {
		l->full_retry = now + RETRY_NS;
		if (!l->first) {
			l->full = l->stats.full = false;
			sound_set(l);
		}
		return false;
	}
	if (now >= l->full_retry)
		l->full_retry = now + RETRY_NS;
	writer_wait(l, l->full_retry);
	return true;
}

/* ---- what was not taken ---- */

void loss_add(struct ledger *l, uint64_t count)
{
	uint64_t now = ledger_clock(l, CLOCK_REALTIME);

	if (!l->loss.count)
		l->loss.first_unix_nano = now;
	l->loss.last_unix_nano = now;
	l->loss.count += count;
	l->stats.lost += count;
}

void loss_tell(struct ledger *l)
{
	Loss body = LOSS__INIT;
	Record r = RECORD__INIT;
	struct loss loss;

	pthread_mutex_lock(&l->lock);
	/* One record for all of it, when there is room again. */
	loss = l->suspended || l->queue_bytes > l->o.queue_bytes / 2 ? (struct loss){} : l->loss;
	if (loss.count)
		l->loss = (struct loss){};
	pthread_mutex_unlock(&l->lock);
	if (!loss.count)
		return;
	body.where = (char *)"record";
	body.count = loss.count;
	body.first_unix_nano = loss.first_unix_nano;
	body.last_unix_nano = loss.last_unix_nano;
	r.body_case = RECORD__BODY_LOSS;
	r.loss = &body;
	if (!commit_record(l, &r))
		return;
	pthread_mutex_lock(&l->lock);
	loss.count += l->loss.count;
	if (l->loss.count)
		loss.last_unix_nano = l->loss.last_unix_nano;
	l->loss = loss;
	pthread_mutex_unlock(&l->lock);
}

/* ---- whether it can be relied on ---- */

void sound_set(struct ledger *l)
{
	atomic_store(&l->sound, !l->stats.failed && !l->stats.full && !l->suspended);
}

bool ledger_is_sound(struct ledger *l)
{
	return atomic_load_explicit(&l->sound, memory_order_relaxed);
}

void ledger_suspend(struct ledger *l, bool suspend)
{
	pthread_mutex_lock(&l->lock);
	l->suspended = suspend;
	sound_set(l);
	pthread_mutex_unlock(&l->lock);
}
