/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - one file of a ledger: its name, the list of them, walking through one, writing one.
 */
#pragma once

#include "base/slice.h"
#include "record/file.h"
#include "record/note.h"

#define SEGMENT_FORMAT 1
#define SEGMENT_SUFFIX ".seg"
#define CORRUPT_SUFFIX ".seg.corrupt" /* set aside by recovery; still read */
#define SEALED_SUFFIX  ".seg.gz"
#define SUM_SUFFIX     ".sha256" /* behind the name of a sealed one */
#define NAME_ROOM      48

/* ---- names ---- */

struct segment_name {
	uint64_t first_seq;
	uint64_t records; /* cached by who counts; UINT64_MAX: not counted */
	bool corrupt;
	bool sealed; /* compressed */
};

void segment_name_text(char to[NAME_ROOM], const struct segment_name *n);

/* The segments of a folder by first seq; of one that is there raw and sealed, the sealed. Returns an owned array. 0,
 * -ENOMEM, -errno. */
int segment_list(int dir, struct segment_name **out, size_t *n);

/* ---- walking: field by field, reading the file as it grows ---- */

enum walk_step {
	WALK_RECORD,
	WALK_END,  /* at the end, on a border */
	WALK_TORN, /* the end is inside a field */
	WALK_BAD,  /* not a Segment from here on: `why` says what */
};

/* What a header says of the place of its segment. */
struct segment_head {
	char origin[NOTE_NAME];
	uint64_t first_seq;
	uint64_t tree_size; /* leaves before it */
	struct hash root;   /* of those */
	bool proven;        /* it has a root: a segment of an early version has none */
	uint64_t created_unix_nano;
	uint64_t not_before_delete_unix_nano; /* as read; to write: floor_days */
	uint8_t key_id[KEY_ID];
	const char *retention_class; /* may be NULL; not read back */
	uint32_t floor_days;         /* must not be deleted before; 0: may */
};

struct gz_reader;

struct segment_walk {
	int fd;
	struct gz_reader *gz;     /* the file is sealed: read through this, and fd is -1 */
	struct segment_head head; /* once begun */
	struct hash sealed_root;  /* once sealed */
	uint64_t sealed_records;
	uint8_t sealed_sum[HASH_LEN];
	bool trust;        /* do not check CRCs: counting */
	bool begun;        /* the header was read */
	bool sealed;       /* the trailer was read */
	uint64_t offset;   /* of the next field in the file */
	uint64_t expected; /* seq of the next record */
	const char *why;
	uint8_t *data; /* of the file, from data_at */
	uint64_t data_at;
	size_t data_len;
};

/* Starts a walk through the file, whichever of its names it has now. -ENOENT, -ENOMEM, -errno. */
int segment_walk_open(struct segment_walk *w, int dir, const struct segment_name *name);
void segment_walk_stop(struct segment_walk *w);
/* A step of the walk, or -errno of read(2). *record is borrowed until the next call. After END and TORN call again to
 * see what was added. */
int segment_walk_next(struct segment_walk *w, struct slice *record);

/* Walks over at most n records by their lengths. Returns how many. */
uint64_t segment_walk_skip(struct segment_walk *w, uint64_t n);
/* Sets name->records, if it is not known. -errno. */
int segment_count(int dir, struct segment_name *name);
/* Whether the segment `next` begins by saying that `left` was left unfinished at byte `offset`, or before. */
bool segment_excuses(int dir, const struct segment_name *next, const struct segment_name *left, uint64_t offset);

/* ---- writing ---- */

struct segment {
	int fd; /* -1: none */
	struct segment_name name;
	uint64_t header, size, durable; /* bytes: of the header, written, synced */
	uint64_t created_unix_nano;
};

/* Makes the file, reserves space, writes the header, syncs file and folder. On error the half-made file is in *s all
 * the same, to be abandoned. */
int segment_create(struct segment *s, const struct file_ops *ops, int dir, const struct segment_head *head,
                   uint64_t reserve);
/* Opens a file that recovery found sound up to `size`; size 0: the header is written again. */
int segment_resume(struct segment *s, const struct file_ops *ops, int dir, const struct segment_head *head,
                   uint64_t size, uint64_t reserve);
/* Writes all of it. After an error the segment must be abandoned. */
int segment_write(struct segment *s, const struct file_ops *ops, struct slice bytes);
int segment_sync(struct segment *s, const struct file_ops *ops);
/* Closes a sound segment and gives reserved space back. */
void segment_finish(struct segment *s, const struct file_ops *ops);
/* Closes one that failed; cuts off what is not known to be durable, if the disk still does that. */
void segment_abandon(struct segment *s, const struct file_ops *ops);
