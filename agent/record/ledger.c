/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.c - the queue and the writer's thread.
 *
 * append() packs the body in the caller's thread and never waits for the disk. The writer stamps, seals and writes what
 * waits as one piece, syncs once and tells the notes. While a sync runs the next group gathers by itself; a record that
 * somebody waits for is therefore written at once when the disk is idle, others may wait group_us for company.
 */
#include <errno.h>
#include <time.h>

#include "base/own.h"
#include "record/private.h"

#define OWN_S 60 /* the writer looks at clock and key at least as often */

/* ---- appending ---- */

static void item_clock(const struct ledger *l, struct item *i)
{
	i->time_unix_nano = ledger_clock(l, CLOCK_REALTIME);
	i->boottime_nano = ledger_clock(l, CLOCK_BOOTTIME);
	i->arrived = ledger_clock(l, CLOCK_MONOTONIC);
}

/* The record's own fields, without those that the ledger sets. */
int item_new(const struct ledger *l, struct item **out, const Record *r, struct ledger_note *note)
{
	Record own = *r;
	struct item *i;
	size_t len;

	own.seq = own.time_unix_nano = own.boottime_nano = 0;
	own.boot_id = (ProtobufCBinaryData){ 0, NULL };
	own.crc32c = 0;
	len = record__get_packed_size(&own);
	if (len > RECORD_MAX - RECORD_EXTRA)
		return -EMSGSIZE;
	i = malloc(sizeof(*i) + len);
	if (!i)
		return -ENOMEM;
	*i = (struct item){ .note = note, .len = len };
	record__pack(&own, i->body);
	item_clock(l, i);
	*out = i;
	return 0;
}

static bool wakes_writer(const struct ledger *l, const struct item *i)
{
	return l->queue_records == 1 || l->queue_records == l->o.group_records || (i->note && l->queue_notes == 1);
}

int ledger_append(struct ledger *l, const Record *r, struct ledger_note *note)
{
	owned(own_free) struct item *i = NULL;
	int err = item_new(l, &i, r, note);

	if (err)
		return err;
	pthread_mutex_lock(&l->lock);
	if (l->stats.failed)
		err = -EIO;
	else if (l->suspended)
		err = -ENOSPC;
	else if (l->queue_bytes + item_frame(i) > l->o.queue_bytes)
		err = -ENOBUFS;
	if (err) {
		loss_add(l, 1);
	} else {
		item_clock(l, i); /* in the queue's order */
		l->queue_bytes += item_frame(i);
		l->queue_records++;
		l->queue_notes += note != NULL;
		if (wakes_writer(l, i))
			pthread_cond_signal(&l->wake);
		*l->last = i;
		l->last = &i->next;
		i = NULL;
	}
	pthread_mutex_unlock(&l->lock);
	return err;
}

void writer_wait(struct ledger *l, uint64_t due)
{
	pthread_cond_timedwait(&l->wake, &l->lock, &(struct timespec){ (time_t)(due / NS), (long)(due % NS) });
}

/* Waits until a group is due, or until own_due. False: closing, and nothing is left. Lock held. */
static bool group_due(struct ledger *l, uint64_t own_due)
{
	for (;;) {
		uint64_t due;

		if (!l->first && l->closing)
			return false;
		if (!l->first && ledger_clock(l, CLOCK_MONOTONIC) >= own_due)
			return true;
		if (!l->first) {
			writer_wait(l, own_due);
			continue;
		}
		due = l->first->arrived + l->o.group_us * 1000ull;
		if (l->closing || l->queue_notes || l->queue_records >= l->o.group_records ||
		    ledger_clock(l, CLOCK_MONOTONIC) >= due)
			return true;
		writer_wait(l, due);
	}
}

/* As much of the queue as fits the batch and, if it can, the segment. Lock held. */
static struct item *take_group(struct ledger *l, size_t *ret_most)
{
	uint64_t size = l->segment.fd < 0 ? 0 : l->segment.size;
	size_t most = item_frame(l->first);
	struct item *list = l->first, **end = &list->next;
	uint64_t room = size + most <= l->o.segment_bytes ? l->o.segment_bytes - size : l->o.segment_bytes;

	if (room > BATCH_ROOM)
		room = BATCH_ROOM;
	l->queue_records--;
	l->queue_notes -= list->note != NULL;
	for (; *end && most + item_frame(*end) <= room; end = &(*end)->next) {
		most += item_frame(*end);
		l->queue_records--;
		l->queue_notes -= (*end)->note != NULL;
	}
	l->first = *end;
	*end = NULL;
	if (!l->first)
		l->last = &l->first;
	*ret_most = most;
	return list;
}

/* How long the log may go without looking at its clock and its key. */
static uint64_t own_ns(const struct ledger *l)
{
	return (l->o.rotate_s < OWN_S ? l->o.rotate_s : OWN_S) * NS;
}

void *writer_run(void *arg)
{
	struct ledger *l = arg;
	uint64_t own_due = 0;

	pthread_setname_np(pthread_self(), "ledger");
	pthread_mutex_lock(&l->lock);
	while (group_due(l, own_due)) {
		struct item *list, *back = NULL;
		uint64_t bytes = 0;
		size_t most = 0;
		int err;

		if (full_waits(l))
			continue;
		list = l->first ? take_group(l, &most) : NULL;
		pthread_mutex_unlock(&l->lock);
		own_due = ledger_clock(l, CLOCK_MONOTONIC) + own_ns(l);
		commit_own(l);
		if (list)
			bytes = commit(l, list, most, &back, &err);
		pthread_mutex_lock(&l->lock);
		l->queue_bytes -= bytes;
		if (back)
			full_put_back(l, back);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

void ledger_stats(struct ledger *l, struct ledger_stats *out)
{
	pthread_mutex_lock(&l->lock);
	*out = l->stats;
	pthread_mutex_unlock(&l->lock);
}
