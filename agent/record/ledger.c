/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.c - the queue, the writer's thread and the groups it commits.
 *
 * append() packs the body in the caller's thread and never waits for the disk. The writer stamps, seals and writes what
 * waits as one piece, syncs once and tells the notes. While a sync runs the next group gathers by itself; a record that
 * somebody waits for is therefore written at once when the disk is idle, others may wait group_us for company.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

#include "base/own.h"
#include "record/folder.h"
#include "record/frame.h"
#include "record/segment.h"

#define GROUP_RECORDS 256
#define GROUP_US      5000
#define SEGMENT_BYTES (64ull << 20)
#define QUEUE_BYTES   (64ull << 20)
#define BATCH_ROOM    (1u << 20)
#define NS            1000000000ull

struct item {
	struct item *next;
	struct ledger_note *note;
	uint64_t time_unix_nano, boottime_nano, arrived, seq;
	size_t len;
	uint8_t body[];
};

struct ledger {
	const struct file_ops *ops;
	struct ledger_options o;
	char *origin;
	int dir, lock_fd;
	pthread_t thread;

	/* Under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct item *first, **last;
	uint64_t queue_bytes, queue_records, queue_notes;
	bool closing;
	struct ledger_stats stats;

	/* The writer's. */
	struct segment segment;
	uint64_t next_seq;
	uint8_t boot_id[BOOT_ID_LEN];
	uint8_t *batch;
	bool failed;
};

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static size_t item_frame(const struct item *i)
{
	return 1 + 3 + RECORD_EXTRA + i->len;
}

/* ---- appending ---- */

/* The record's own fields, without those that the ledger sets. */
static int item_new(struct item **out, const Record *r, struct ledger_note *note)
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
	*out = i;
	return 0;
}

static void item_clock(struct item *i)
{
	i->time_unix_nano = now(CLOCK_REALTIME);
	i->boottime_nano = now(CLOCK_BOOTTIME);
	i->arrived = now(CLOCK_MONOTONIC);
}

static bool wakes_writer(const struct ledger *l, const struct item *i)
{
	return l->queue_records == 1 || l->queue_records == l->o.group_records || (i->note && l->queue_notes == 1);
}

int ledger_append(struct ledger *l, const Record *r, struct ledger_note *note)
{
	owned(own_free) struct item *i = NULL;
	int err = item_new(&i, r, note);

	if (err)
		return err;
	pthread_mutex_lock(&l->lock);
	if (l->stats.failed)
		err = -EIO;
	else if (l->queue_bytes + item_frame(i) > l->o.queue_bytes)
		err = -ENOBUFS;
	if (err) {
		l->stats.lost++;
	} else {
		item_clock(i);
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

/* ---- committing ---- */

/* Stamps and seals the items behind one another. Each attempt takes new numbers. */
static size_t fill_batch(struct ledger *l, struct item *list)
{
	size_t n = 0;

	for (struct item *i = list; i; i = i->next) {
		struct stamp s = { .seq = l->next_seq++,
			           .time_unix_nano = i->time_unix_nano,
			           .boottime_nano = i->boottime_nano };

		memcpy(s.boot_id, l->boot_id, BOOT_ID_LEN);
		i->seq = s.seq;
		n += frame_record(l->batch + n, &s, (struct slice){ i->body, i->len });
	}
	return n;
}

static int sync_segment(struct ledger *l)
{
	uint64_t from = now(CLOCK_MONOTONIC), us;
	int err = segment_sync(&l->segment, l->ops);

	us = (now(CLOCK_MONOTONIC) - from) / 1000;
	pthread_mutex_lock(&l->lock);
	l->stats.syncs++;
	if (us > l->stats.sync_max_us)
		l->stats.sync_max_us = us;
	pthread_mutex_unlock(&l->lock);
	return err;
}

static int write_batch(struct ledger *l, struct item *list, size_t most)
{
	struct segment *s = &l->segment;
	int err = 0;
	size_t len;

	if (s->fd >= 0 && s->size > s->header && s->size + most > l->o.segment_bytes)
		segment_finish(s, l->ops);
	if (s->fd < 0)
		err = segment_create(s, l->ops, l->dir, l->origin, l->next_seq, l->o.segment_bytes);
	if (err)
		return err;
	len = fill_batch(l, list);
	err = segment_write(s, l->ops, (struct slice){ l->batch, len });
	return err ? err : sync_segment(l);
}

static int recovery_item(struct item **out, Recovery *body)
{
	Record r = RECORD__INIT;
	int err;

	r.body_case = RECORD__BODY_RECOVERY;
	r.recovery = body;
	err = item_new(out, &r, NULL);
	if (!err)
		item_clock(*out);
	return err;
}

/* Leaves the failed segment behind, and prepares the record that will say so in the next one. */
static int leave_segment(struct ledger *l, uint64_t last_seq, struct item **ret_recovery)
{
	Recovery body = RECOVERY__INIT;
	char name[NAME_ROOM];

	segment_name_text(name, &l->segment.name);
	/* Its name is used even if no record was written: a name is a seq. */
	if (l->next_seq <= l->segment.name.first_seq)
		l->next_seq = l->segment.name.first_seq + 1;
	body.kind = RECOVERY__KIND__FAILED;
	body.segment = name;
	body.first_bad_offset = l->segment.durable;
	body.bytes = l->segment.size - l->segment.durable;
	body.last_seq = last_seq;
	body.next_seq = l->next_seq;
	segment_abandon(&l->segment, l->ops);
	return recovery_item(ret_recovery, &body);
}

static void count_commit(struct ledger *l, const struct item *list, uint64_t failures, int err)
{
	pthread_mutex_lock(&l->lock);
	for (const struct item *i = list; i; i = i->next) {
		l->stats.records += !err;
		l->stats.lost += err != 0;
		l->stats.bytes += err ? 0 : item_frame(i);
	}
	l->stats.sync_failures += failures;
	l->stats.next_seq = l->next_seq;
	l->stats.failed = l->failed;
	pthread_mutex_unlock(&l->lock);
}

/* Makes the list durable, in a second segment if the first refuses. 0 or -EIO, and then the ledger has failed. */
static int commit(struct ledger *l, struct item *list, size_t most)
{
	owned(own_free) struct item *recovery = NULL;
	uint64_t last_seq = l->next_seq ? l->next_seq - 1 : 0, failures = 0;
	int err = l->failed ? -EIO : write_batch(l, list, most);

	if (err && !l->failed) {
		failures++;
		err = leave_segment(l, last_seq, &recovery);
		if (!err) {
			recovery->next = list;
			err = write_batch(l, recovery, most + item_frame(recovery));
			failures += err != 0;
		}
		if (err)
			segment_abandon(&l->segment, l->ops);
		l->failed = err != 0;
	}
	count_commit(l, recovery && !err ? recovery : list, failures, err);
	return err ? -EIO : 0;
}

/* Tells the notes in order and frees the list; returns the queue's bytes set free. */
static uint64_t tell(struct item *list, int err)
{
	uint64_t bytes = 0;

	while (list) {
		struct item *i = list;

		list = i->next;
		bytes += item_frame(i);
		if (i->note)
			i->note->done(i->note, i->seq, err);
		free(i);
	}
	return bytes;
}

/* Waits until a group is due. False: closing, and nothing is left. Lock held. */
static bool group_due(struct ledger *l)
{
	for (;;) {
		uint64_t due;

		if (!l->first && l->closing)
			return false;
		if (!l->first) {
			pthread_cond_wait(&l->wake, &l->lock);
			continue;
		}
		due = l->first->arrived + l->o.group_us * 1000ull;
		if (l->closing || l->queue_notes || l->queue_records >= l->o.group_records ||
		    now(CLOCK_MONOTONIC) >= due)
			return true;
		pthread_cond_timedwait(&l->wake, &l->lock, &(struct timespec){ (time_t)(due / NS), (long)(due % NS) });
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

static void *writer(void *arg)
{
	struct ledger *l = arg;

	pthread_setname_np(pthread_self(), "ledger");
	pthread_mutex_lock(&l->lock);
	while (group_due(l)) {
		size_t most;
		struct item *list = take_group(l, &most);
		uint64_t bytes;

		pthread_mutex_unlock(&l->lock);
		bytes = tell(list, commit(l, list, most));
		pthread_mutex_lock(&l->lock);
		l->queue_bytes -= bytes;
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* ---- opening ---- */

static int report_recovery(struct ledger *l, const struct recovered *r)
{
	owned(own_free) struct item *i = NULL;
	Recovery body = RECOVERY__INIT;
	char name[NAME_ROOM];
	int err;

	if (r->kind == RECOVERY__KIND__KIND_UNSPECIFIED)
		return 0;
	segment_name_text(name, &(struct segment_name){ .first_seq = r->segment.first_seq });
	body.kind = r->kind;
	body.segment = name;
	body.first_bad_offset = r->first_bad;
	body.bytes = r->bytes;
	body.last_seq = r->last_seq;
	body.next_seq = r->next_seq;
	err = recovery_item(&i, &body);
	return err ? err : commit(l, i, item_frame(i));
}

static int open_segment(struct ledger *l)
{
	struct recovered r;
	int err = segment_recover(&r, l->ops, l->dir);

	if (err)
		return err;
	l->next_seq = l->stats.next_seq = r.next_seq;
	if (r.resume)
		err = segment_resume(&l->segment, l->ops, l->dir, l->origin, r.segment.first_seq, r.size,
		                     l->o.segment_bytes);
	else
		err = segment_create(&l->segment, l->ops, l->dir, l->origin, r.next_seq, l->o.segment_bytes);
	return err ? err : report_recovery(l, &r);
}

static void ledger_free(struct ledger **at)
{
	struct ledger *l = *at;

	if (!l)
		return;
	segment_finish(&l->segment, l->ops);
	own_close(&l->lock_fd);
	own_close(&l->dir);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->lock);
	free(l->origin);
	free(l->batch);
	free(l);
	*at = NULL;
}

static int ledger_new(struct ledger **out, const struct ledger_options *o, const struct file_ops *ops)
{
	owned(ledger_free) struct ledger *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;

	if (!l)
		return -ENOMEM;
	*l = (struct ledger){ .ops = ops, .o = *o, .dir = -1, .lock_fd = -1, .segment.fd = -1 };
	l->last = &l->first;
	l->o.group_records = o->group_records ? o->group_records : GROUP_RECORDS;
	l->o.group_us = o->group_us ? o->group_us : GROUP_US;
	l->o.segment_bytes = o->segment_bytes ? o->segment_bytes : SEGMENT_BYTES;
	l->o.queue_bytes = o->queue_bytes ? o->queue_bytes : QUEUE_BYTES;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &attr);
	pthread_condattr_destroy(&attr);
	l->origin = strdup(o->origin ? o->origin : "");
	l->batch = malloc(BATCH_ROOM + 2 * FRAME_MAX);
	if (!l->origin || !l->batch)
		return -ENOMEM;
	folder_boot_id(l->boot_id);
	*out = TAKE(l);
	return 0;
}

/* Signals are for the threads that expect them. */
static int start_writer(struct ledger *l)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&l->thread, NULL, writer, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int ledger_open_on(struct ledger **out, const struct ledger_options *o, const struct file_ops *ops)
{
	owned(ledger_free) struct ledger *l = NULL;
	int err = ledger_new(&l, o, ops);

	if (!err)
		err = folder_open(o->dir, &l->dir, &l->lock_fd);
	if (!err)
		err = open_segment(l);
	if (!err)
		err = start_writer(l);
	if (err)
		return err;
	*out = TAKE(l);
	return 0;
}

int ledger_open(struct ledger **out, const struct ledger_options *o)
{
	return ledger_open_on(out, o, &file_system);
}

void ledger_close(struct ledger **at)
{
	struct ledger *l = *at;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->closing = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	ledger_free(at);
}

void ledger_stats(struct ledger *l, struct ledger_stats *out)
{
	pthread_mutex_lock(&l->lock);
	*out = l->stats;
	pthread_mutex_unlock(&l->lock);
}
