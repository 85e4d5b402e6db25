/* SPDX-License-Identifier: Apache-2.0 */
/* verify.h - what the files of verification share: the signed notes of a log, its keys, and the telling of faults. */
#pragma once

#include "record/history.h"
#include "record/tiles.h"

#define VERIFY_KEYS 512 /* keys of a log: one a day */

struct signed_note {
	struct slice note, text, signatures;
	struct checkpoint c;
	const char *file; /* where it stands */
	bool kept;        /* outside the log */
	bool read;        /* it is a note, of this log */
	bool seen, right; /* the tree was compared with it; they agree */
};

/* A key, and the sizes of tree that it may sign. */
struct chain_key {
	struct note_key key;
	uint64_t from, until; /* sizes above `from`, up to `until` */
	bool trusted;         /* from outside, or vouched for by one that is */
};

struct verify {
	const struct verify_options *o;
	struct verify_result r;
	int dir;
	unsigned told[FAULT_COUNT];

	uint8_t *files[64]; /* what the slices lie in */
	size_t file_count;
	size_t kept_from;          /* of those, the first that a second look replaces */
	struct signed_note *notes; /* by size, when loaded */
	size_t note_count, note_room, next_note;
	struct checkpoint newest; /* of those in the log */
	struct slice newest_note;
	bool has_newest;

	struct chain_key *keys;
	size_t key_count;
};

void verify_fault(struct verify *v, enum fault what, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- verify_notes.c ---- */

/* Reads a file whose bytes live as long as v. */
int verify_keep_file(struct verify *v, int dir, const char *name, size_t most, struct slice *out);
/* A note more; `file` says where it stands, `kept` that it is not of the log's own files. *out until the next call. */
int verify_add_note(struct verify *v, struct slice bytes, const char *file, bool kept, struct signed_note **out);
/* Loads keys and notes. 0 or -errno. */
int verify_load(struct verify *v);
void verify_free(struct verify *v);
/* The tree has this many leaves: compares it with the notes of that size. */
void verify_sizes(struct verify *v, const struct tree *t);
/* A KeyRotation at `index`, with the root of all before it. `earlier`, if not NULL: a root that will do, too, of
 * `earlier_size` leaves. */
void verify_rotation(struct verify *v, const KeyRotation *k, uint64_t index, const struct hash *root,
                     uint64_t earlier_size, const struct hash *earlier);
/* Who signed what, when all keys are known. */
void verify_signatures(struct verify *v);

/* ---- verify_witness.c ---- */

#define COSIGNED_FILE "cosigned"

/* Loads what witnesses have cosigned, if there is anything. 0 or -errno. */
int verify_load_cosigned(struct verify *v);
/* Whether each witness that was given has cosigned this history. */
void verify_witnesses(struct verify *v);
