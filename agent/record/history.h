/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.h - the checkpoints a log has issued: `checkpoint`, the newest, and `checkpoints`, each of them followed by a
 * line with a form feed. When that has grown to two days at one a second, the older day is thinned to one in 600 and
 * moved to `checkpoints.old`.
 *
 * A checkpoint is in `checkpoints` before it is `checkpoint`; one that got no further is still in `checkpoint.new`.
 */
#pragma once

#include "record/file.h"
#include "record/note.h"

#define CHECKPOINT_FILE    "checkpoint"
#define CHECKPOINT_NEW     "checkpoint.new"
#define CHECKPOINTS_FILE   "checkpoints"
#define CHECKPOINTS_OLD    "checkpoints.old"
#define VKEY_FILE          "vkey"
#define ROTATIONS_FILE     "rotations" /* KeyRotation records of segments that were pruned: a Segment without header */
#define ROTATIONS_MAX      (16u << 20)
#define CHECKPOINT_MARK    "\f\n"
#define HISTORY_DAY        86400u
#define HISTORY_THIN       600u
#define HISTORY_BYTES_MOST (512u << 20)

struct history {
	int fd; /* of `checkpoints`; -1: opened at the next entry */
	uint64_t entries;
};

/* Reads a small file whole; the bytes are the caller's, never NULL on success. -ENOENT, -EFBIG, -errno. */
int history_read(int dir, const char *name, size_t most, uint8_t **out, size_t *len);
/* The next whole entry of a history's bytes; false: none is left whole. */
bool history_next(struct slice *rest, struct slice *note);

/* The newest checkpoint that is signed by one of the keys. *note, if not NULL, is its text, owned. -ENOENT: there is
 * none at all; -EBADMSG: none that is signed. */
int history_newest(int dir, const struct note_key *const *keys, size_t n, struct checkpoint *out);

/* The file of these bytes under this name, durable, whatever happens in between. */
int history_replace(const struct file_ops *ops, int dir, const char *name, const char *temporary, struct slice bytes);

/* Makes `checkpoints` end in a whole entry. */
int history_open(struct history *h, const struct file_ops *ops, int dir);
void history_close(struct history *h);
/* Issues a note: into both files, durable. */
int history_issue(struct history *h, const struct file_ops *ops, int dir, struct slice note);
