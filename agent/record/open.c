/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open.c - a log is opened: recovered, its key found, its tree brought up to the last record; and closed.
 *
 * The first checkpoint, of no records, is durable before the first segment: a log without one has lost it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/own.h"
#include "record/folder.h"
#include "record/private.h"

#define GROUP_RECORDS 256
#define GROUP_US      5000
#define SEGMENT_BYTES (64ull << 20)
#define SEGMENT_S     86400u
#define QUEUE_BYTES   (64ull << 20)
#define CHECKPOINT_MS 1000u
#define ROTATE_S      86400u

static int tell_recovery(struct ledger *l, const struct recovered *r, Recovery__Kind kind)
{
	Recovery body = RECOVERY__INIT;
	Record rec = RECORD__INIT;
	char name[NAME_ROOM];

	segment_name_text(name, &(struct segment_name){ .first_seq = r->segment.first_seq });
	body.kind = kind;
	body.segment = name;
	body.first_bad_offset = r->first_bad;
	body.bytes = r->bytes;
	body.last_seq = r->last_seq;
	body.next_seq = r->next_seq;
	rec.body_case = RECORD__BODY_RECOVERY;
	rec.recovery = &body;
	return commit_record(l, &rec);
}

static int report_recovery(struct ledger *l, const struct recovered *r)
{
	int err = 0;

	if (r->kind != RECOVERY__KIND__KIND_UNSPECIFIED)
		err = tell_recovery(l, r, r->kind);
	if (!err && r->unproven)
		err = tell_recovery(l, r, RECOVERY__KIND__UNPROVEN);
	if (!err && r->forked)
		err = tell_recovery(l, r, RECOVERY__KIND__FORKED);
	return err;
}

static int open_segment(struct ledger *l, const struct recovered *r)
{
	struct segment_head head;

	commit_head(l, &head);
	if (!r->resume)
		return segment_create(&l->segment, l->ops, l->dir, &head, l->o.segment_bytes);
	head.first_seq = r->segment.first_seq;
	if (r->size)
		head.created_unix_nano = r->head.created_unix_nano;
	return segment_resume(&l->segment, l->ops, l->dir, &head, r->size, l->o.segment_bytes);
}

/* ---- keys ---- */

/* What others check the log with, where they look for it. The first key stays the first; a lasting one that came later
 * is told, too. */
static int publish_vkey(struct ledger *l)
{
	char first[VKEY_MAX + 1], origin[VKEY_MAX], text[2 * VKEY_MAX + 2];
	owned(own_close) int fd = openat(l->dir, VKEY_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd < 0 && errno != ENOENT)
		return -errno;
	if (fd >= 0) {
		/* Of one line, or let alone: whose it is is not for us to mend. */
		if (!l->keys.has_origin || n < 2 || n > VKEY_MAX || memchr(text, '\n', (size_t)n) != text + n - 1)
			return 0;
		memcpy(first, text, (size_t)n - 1);
		first[n - 1] = '\0';
	} else {
		note_key_text(&l->keys.now.pub, first);
	}
	note_key_text(&l->keys.origin.pub, origin);
	n = snprintf(text, sizeof(text), "%s\n%s%s", first, l->keys.has_origin ? origin : "",
	             l->keys.has_origin ? "\n" : "");
	return history_replace(l->ops, l->dir, VKEY_FILE, VKEY_FILE ".new", slice_of(text, (size_t)n));
}

/* A key whose KeyRotation is on record is in force; one that is not is as if it had never been. */
static int settle_key(struct ledger *l, const struct recovered *r)
{
	if (!l->keys.has_next)
		return 0;
	if (r->key_last && !memcmp(r->key, l->keys.next.pub.key, KEY_LEN))
		return keys_advance(&l->keys);
	keys_discard(&l->keys);
	return 0;
}

/* The key that signed what is there is lost: the new one can only say so. */
static int tell_key_lost(struct ledger *l)
{
	KeyRotation body = KEY_ROTATION__INIT;
	Record rec = RECORD__INIT;
	char vkey[VKEY_MAX];

	note_key_text(&l->keys.now.pub, vkey);
	body.new_public_key = (ProtobufCBinaryData){ KEY_LEN, l->keys.now.pub.key };
	body.new_vkey = vkey;
	rec.body_case = RECORD__BODY_KEY;
	rec.key = &body;
	return commit_record(l, &rec);
}

/* The unfinished tiles of the last run: to be removed when there are wider ones. */
static void adopt_partial(struct ledger *l, uint64_t size)
{
	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		l->partial[level] = tiles_partial(size, level);
		l->partial_index[level] = size >> (TILE_BITS * level) >> TILE_BITS;
	}
}

static int open_log(struct ledger *l)
{
	const struct note_key *keys[] = { &l->keys.now.pub, &l->keys.next.pub };
	struct checkpoint known;
	struct recovered r;
	int had = history_newest(l->dir, keys, l->keys.has_next ? 2 : 1, &known);
	int err = segment_recover(&r, &l->tiles, l->ops, l->dir, had ? NULL : &known);

	if (err)
		return err;
	/* Before its first segment a log has promised nothing: the crash was in its first checkpoint. */
	if (had == -EBADMSG && r.fresh)
		had = -ENOENT;
	l->next_seq = l->stats.next_seq = r.next_seq;
	if (r.tiles_good)
		adopt_partial(l, known.size);
	err = settle_key(l, &r);
	err = err ? err : publish_vkey(l);
	err = err ? err : history_open(&l->history, l->ops, l->dir);
	if (!err && r.fresh && had == -ENOENT)
		err = notary_publish(l);
	err = err ? err : open_segment(l, &r);
	if (!err && had == -EBADMSG)
		err = tell_key_lost(l);
	err = err ? err : report_recovery(l, &r);
	return err ? err : notary_publish(l);
}

/* ---- birth and end ---- */

static void stop_threads(struct ledger *l)
{
	if (l->writing) {
		pthread_mutex_lock(&l->lock);
		l->closing = true;
		pthread_cond_signal(&l->wake);
		pthread_mutex_unlock(&l->lock);
		pthread_join(l->thread, NULL);
		l->writing = false;
	}
	if (l->sealing)
		sealer_stop(l);
	if (l->notarising) {
		notary_stop(l);
		(void)notary_publish(l); /* what failed is counted, and made good at the next start */
	}
}

/* What waits is committed; after this the folder is free for the next to open it. */
static void let_go(struct ledger *l)
{
	stop_threads(l);
	segment_finish(&l->segment, l->ops);
	history_close(&l->history);
	if (l->shot)
		tiles_free(l->shot);
	keys_close(&l->keys);
	tiles_free(&l->tiles);
	own_close(&l->lock_fd);
	own_close(&l->dir);
	l->lock_fd = l->dir = -1;
}

static void ledger_free(struct ledger **at)
{
	struct ledger *l = *at;

	if (!l)
		return;
	if (l->relayed)
		relay_close(l);
	else
		let_go(l);
	pthread_cond_destroy(&l->wake);
	pthread_cond_destroy(&l->notary_wake);
	pthread_cond_destroy(&l->seal_wake);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->sign_lock);
	pthread_mutex_destroy(&l->proof_lock);
	pthread_mutex_destroy(&l->notary_lock);
	pthread_mutex_destroy(&l->seal_lock);
	free(l->shot);
	free(l->key_file);
	free(l->origin);
	free(l->batch);
	free(l);
	*at = NULL;
}

#define OR(value, otherwise) ((value) ? (value) : (otherwise))

static void fill_options(struct ledger *l, const struct ledger_options *o)
{
	l->o = *o;
	l->o.group_records = OR(o->group_records, GROUP_RECORDS);
	l->o.group_us = OR(o->group_us, GROUP_US);
	l->o.segment_bytes = OR(o->segment_bytes, SEGMENT_BYTES);
	l->o.segment_s = OR(o->segment_s, SEGMENT_S);
	l->o.queue_bytes = OR(o->queue_bytes, QUEUE_BYTES);
	l->o.checkpoint_ms = OR(o->checkpoint_ms, CHECKPOINT_MS);
	l->o.rotate_s = OR(o->rotate_s, ROTATE_S);
}

static void make_locks(struct ledger *l)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->sign_lock, NULL);
	pthread_mutex_init(&l->proof_lock, NULL);
	pthread_mutex_init(&l->notary_lock, NULL);
	pthread_mutex_init(&l->seal_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &attr);
	pthread_cond_init(&l->notary_wake, &attr);
	pthread_cond_init(&l->seal_wake, &attr);
	pthread_condattr_destroy(&attr);
}

static int ledger_new(struct ledger **out, const struct ledger_options *o, const struct file_ops *ops)
{
	owned(ledger_free) struct ledger *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	*l = (struct ledger){ .ops = ops, .dir = -1, .lock_fd = -1, .segment.fd = -1, .history.fd = -1 };
	l->last = &l->first;
	l->relay.fd = -1;
	l->relay.last = &l->relay.first;
	fill_options(l, o);
	make_locks(l);
	tiles_init(&l->tiles);
	l->origin = strdup(o->origin ? o->origin : "sluice");
	l->batch = malloc(BATCH_ROOM + 2 * FRAME_MAX);
	l->shot = malloc(sizeof(*l->shot));
	if (asprintf(&l->key_file, "%s%s", o->key_file ? o->key_file : o->dir, o->key_file ? "" : ".key") < 0)
		l->key_file = NULL;
	if (!l->origin || !l->batch || !l->shot || !l->key_file)
		return -ENOMEM;
	tiles_init(l->shot);
	folder_boot_id(l->boot_id);
	*out = TAKE(l);
	return 0;
}

/* Signals are for the threads that expect them. */
int ledger_thread(pthread_t *id, void *(*run)(void *), struct ledger *l)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(id, NULL, run, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static int start_threads(struct ledger *l)
{
	const struct {
		void *(*run)(void *);
		pthread_t *id;
		bool *runs;
	} threads[] = {
		{ writer_run, &l->thread, &l->writing },
		{ notary_run, &l->notary, &l->notarising },
		{ sealer_run, &l->sealer, &l->sealing },
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(threads) && !err; i++) {
		err = ledger_thread(threads[i].id, threads[i].run, l);
		*threads[i].runs = !err;
	}
	return err;
}

int ledger_open_on(struct ledger **out, const struct ledger_options *o, const struct file_ops *ops)
{
	owned(ledger_free) struct ledger *l = NULL;
	int err = ledger_new(&l, o, ops);

	if (!err)
		err = folder_open(o->dir, &l->dir, &l->lock_fd);
	if (!err)
		err = keys_open(&l->keys, l->key_file, l->origin, o->origin_pem);
	if (!err)
		err = open_log(l);
	atomic_store(&l->sound, true);
	ledger_look_at_space(l);
	if (!err)
		err = start_threads(l);
	if (err)
		return err;
	sealer_poke(l);
	*out = TAKE(l);
	return 0;
}

int ledger_open(struct ledger **out, const struct ledger_options *o)
{
	return ledger_open_on(out, o, &file_system);
}

void ledger_close(struct ledger **at)
{
	ledger_free(at);
}

int ledger_hand_over(struct ledger *l, int fd)
{
	if (!l->relayed) {
		let_go(l);
		/* Whatever the disk did to this process: the other one looks for itself. */
		pthread_mutex_lock(&l->lock);
		l->relayed = true;
		l->closing = l->failed = l->full = l->suspended = false;
		l->stats.failed = l->stats.full = false;
		sound_set(l);
		pthread_mutex_unlock(&l->lock);
	}
	return relay_to(l, fd);
}

void ledger_vkey(struct ledger *l, char to[LEDGER_VKEY])
{
	pthread_mutex_lock(&l->sign_lock);
	note_key_text(&l->keys.now.pub, to);
	pthread_mutex_unlock(&l->sign_lock);
}
