/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - one file of a ledger: its name, the list of them, walking through one, writing one.
 */
#pragma once

#include "base/slice.h"
#include "record/file.h"

#define SEGMENT_FORMAT 1
#define SEGMENT_SUFFIX ".seg"
#define CORRUPT_SUFFIX ".seg.corrupt" /* set aside by recovery; still read */
#define NAME_ROOM      48

/* ---- names ---- */

struct segment_name {
	uint64_t first_seq;
	uint64_t records; /* cached by who counts; UINT64_MAX: not counted */
	bool corrupt;
};

void segment_name_text(char to[NAME_ROOM], const struct segment_name *n);

/* The segments of a folder by first seq. Returns an owned array. 0, -ENOMEM, -errno. */
int segment_list(int dir, struct segment_name **out, size_t *n);

/* ---- walking: field by field, reading the file as it grows ---- */

enum walk_step {
	WALK_RECORD,
	WALK_END,  /* at the end, on a border */
	WALK_TORN, /* the end is inside a field */
	WALK_BAD,  /* not a Segment from here on: `why` says what */
};

struct segment_walk {
	int fd;
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

/* Takes the descriptor. -ENOMEM (and the descriptor stays the caller's). */
int segment_walk_start(struct segment_walk *w, int fd, uint64_t first_seq);
void segment_walk_stop(struct segment_walk *w);
/* A step of the walk, or -errno of read(2). *record is borrowed until the next call. After END and TORN call again to
 * see what was added. */
int segment_walk_next(struct segment_walk *w, struct slice *record);

/* ---- writing ---- */

struct segment {
	int fd; /* -1: none */
	struct segment_name name;
	uint64_t header, size, durable; /* bytes: of the header, written, synced */
};

/* Makes the file, reserves space, writes the header, syncs file and folder. On error the half-made file is in *s all
 * the same, to be abandoned. */
int segment_create(struct segment *s, const struct file_ops *ops, int dir, const char *origin, uint64_t first_seq,
                   uint64_t reserve);
/* Opens a file that recovery found sound up to `size`; size 0: the header is written again. */
int segment_resume(struct segment *s, const struct file_ops *ops, int dir, const char *origin, uint64_t first_seq,
                   uint64_t size, uint64_t reserve);
/* Writes all of it. After an error the segment must be abandoned. */
int segment_write(struct segment *s, const struct file_ops *ops, struct slice bytes);
int segment_sync(struct segment *s, const struct file_ops *ops);
/* Closes a sound segment and gives reserved space back. */
void segment_finish(struct segment *s, const struct file_ops *ops);
/* Closes one that failed; cuts off what is not known to be durable, if the disk still does that. */
void segment_abandon(struct segment *s, const struct file_ops *ops);

/* ---- recovery ---- */

struct recovered {
	uint64_t next_seq;
	bool resume; /* go on in this segment, which is sound up to `size` */
	struct segment_name segment;
	uint64_t size;
	Recovery__Kind kind; /* KIND_UNSPECIFIED: nothing to tell */
	uint64_t first_bad, bytes, last_seq;
};

/* Walks the newest segment, cuts a torn tail off or sets a corrupt file aside. 0 or -errno. */
int segment_recover(struct recovered *out, const struct file_ops *ops, int dir);
