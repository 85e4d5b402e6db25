/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private.h - what the files of an open log share.
 *
 * Three threads: the writer stamps, writes and syncs groups; the notary writes tiles and checkpoints of what is
 * durable; the sealer compresses segments that are finished. Whoever appends waits for none of them.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "record/file.h"
#include "record/frame.h"
#include "record/history.h"
#include "record/keys.h"
#include "record/recover.h"
#include "record/segment.h"
#include "record/tiles.h"

#define NS         1000000000ull
#define BATCH_ROOM (1u << 20)

struct item {
	struct item *next;
	struct ledger_note *note;
	uint64_t time_unix_nano, boottime_nano, arrived, seq;
	size_t len;
	uint8_t body[];
};

/* Records that were not taken: how many, between when and when. */
struct loss {
	uint64_t count, first_unix_nano, last_unix_nano;
};

/* Of a record that a thread of the ledger's waits for. */
struct waiting {
	struct ledger_note note;
	sem_t told;
	int err;
};

struct left {
	bool is;
	char name[NAME_ROOM];
	uint64_t offset, bytes, last_seq;
};

/* Another process writes the log: see relay.c. Under the ledger's lock but where it says otherwise. */
struct relay {
	int fd;
	bool runs, stop;
	pthread_t sender, acks;
	struct item *first, **last; /* sent, not confirmed */
	uint64_t next_no, sent_no;  /* of the next item; of the first that is not sent */
};

struct ledger {
	const struct file_ops *ops;
	struct ledger_options o;
	char *origin, *key_file;
	int dir, lock_fd;
	pthread_t thread, notary, sealer;
	bool writing, notarising, sealing; /* the threads run */

	/* Under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct item *first, **last;
	uint64_t queue_bytes, queue_records, queue_notes;
	bool closing, suspended;
	struct ledger_stats stats;
	struct loss loss;  /* records refused since the last Loss */
	atomic_bool sound; /* neither failed nor full nor suspended */

	/* The writer's. */
	struct segment segment;
	uint64_t next_seq;
	uint8_t boot_id[BOOT_ID_LEN];
	uint8_t *batch;
	size_t batch_len;
	bool failed, clock_known;
	bool full_last; /* closing: there is one more try */
	bool full;      /* there is no space: what waits is kept, and tried again */
	uint64_t full_retry;
	struct left left;     /* a segment that the disk refused, not on record yet */
	int64_t clock_offset; /* real time less boot time, when last looked */

	/* Whoever signs, and whoever changes the key. Taken before proof_lock. */
	pthread_mutex_t sign_lock;
	struct keys keys;

	/* Under proof_lock: what is durable. */
	pthread_mutex_t proof_lock;
	struct tiles tiles;

	/* The notary's, and of whoever opens or closes. */
	pthread_mutex_t notary_lock;
	pthread_cond_t notary_wake;
	bool notary_stop;
	struct tiles *shot;            /* the tree as it is being published */
	unsigned partial[TILE_LEVELS]; /* widths of the unfinished tiles on disk */
	uint64_t partial_index[TILE_LEVELS];
	uint64_t published; /* size of the newest checkpoint of this run */
	bool has_published;
	struct history history;

	/* The sealer's. */
	pthread_mutex_t seal_lock;
	pthread_cond_t seal_wake;
	bool seal_due;
	struct waiting prune_note; /* the Prune record on its way to the disk */
	atomic_bool seal_stop;

	bool relayed; /* given away for good */
	struct relay relay;
};

static inline uint64_t ledger_clock(const struct ledger *l, clockid_t which)
{
	return l->ops->clock(which);
}

static inline size_t item_frame(const struct item *i)
{
	return 1 + 3 + RECORD_EXTRA + i->len;
}

/* ---- ledger.c ---- */

/* An owned item of the record's own fields, stamped with the time. -EMSGSIZE, -ENOMEM. */
int item_new(const struct ledger *l, struct item **out, const Record *r, struct ledger_note *note);

void *writer_run(void *ledger);

/* ---- commit.c: by the writer's thread, and by whoever opens ---- */

/* Makes the list durable, in a second segment if the first refuses; tells the notes and frees the list. Returns the
 * bytes of the queue set free. *err: 0, -EIO, and then the log has failed, or -ENOSPC; the items of a full disk are
 * given back through `back`, if it is not NULL, without their notes, which were told. */
uint64_t commit(struct ledger *l, struct item *list, size_t most, struct item **back, int *err);
/* One record of the log's own. */
int commit_record(struct ledger *l, Record *r);
/* What the log has to say by itself before the next group: a step of the clock, a new key. */
void commit_own(struct ledger *l);
/* The header of a segment that begins now. */
void commit_head(struct ledger *l, struct segment_head *head);

/* ---- full.c: by the writer's thread ---- */

/* Puts items back in front of the queue. Lock held. */
void full_put_back(struct ledger *l, struct item *list);
/* True: the disk is full, and this has waited a while: look again. Lock held. */
bool full_waits(struct ledger *l);
/* Waits for the writer to be woken, or until then (CLOCK_MONOTONIC). Lock held. */
void writer_wait(struct ledger *l, uint64_t until);
/* A record that was not taken. Lock held. */
void loss_add(struct ledger *l, uint64_t count);
/* Says on record what was not taken. */
void loss_tell(struct ledger *l);
/* What appending and the services go by. Lock held. */
void sound_set(struct ledger *l);

/* ---- open.c ---- */

/* A thread of the ledger's, without signals. -errno. */
int ledger_thread(pthread_t *id, void *(*run)(void *), struct ledger *l);

/* ---- relay.c ---- */

/* Sends what waits, and what comes, to who listens at the other end of `fd`, which is taken. -errno. */
int relay_to(struct ledger *l, int fd);
/* Waits some seconds for what is not confirmed, then tells the notes. */
void relay_close(struct ledger *l);

/* ---- notary.c ---- */

/* Writes tiles and a checkpoint of what is durable now. 0 or -errno. */
int notary_publish(struct ledger *l);
void *notary_run(void *ledger);
/* Sets stats.space_left; waits for the disk. */
void ledger_look_at_space(struct ledger *l);
void notary_stop(struct ledger *l);

/* ---- prune.c: by the sealer's thread ---- */

/* Removes what is out of its term and on no hold. */
void prune_old(struct ledger *l);

/* ---- sealer.c ---- */

void *sealer_run(void *ledger);
/* What a segment's header says. -EBADMSG: there is none, or it says nothing of the tree. */
int sealer_head(int dir, const struct segment_name *name, struct segment_head *out);
bool sealer_must_stop(struct ledger *l);
/* There may be something to seal. */
void sealer_poke(struct ledger *l);
void sealer_stop(struct ledger *l);
