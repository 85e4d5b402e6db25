/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.h - what a crash, a bad disk or somebody's hand left of a log.
 *
 * The durable checkpoint decides: what is wrong before its size was promised and is damage, the file is kept as it is
 * under another name; what is wrong behind it is an end that was never written, and is cut off. Within one segment the
 * numbers are without a gap, so a record's place in the tree follows from its number.
 */
#pragma once

#include "record/note.h"
#include "record/segment.h"
#include "record/tiles.h"

struct recovered {
	uint64_t next_seq;
	bool fresh;               /* there was no segment */
	bool resume;              /* go on in this segment, which is sound up to `size` */
	struct segment_head head; /* of it */
	struct segment_name segment;
	uint64_t size;
	Recovery__Kind kind; /* KIND_UNSPECIFIED: nothing to tell */
	uint64_t first_bad, bytes, last_seq;
	bool tiles_good;       /* the tiles are those of the checkpoint */
	bool unproven, forked; /* to be told, too */
	bool key_last;         /* the last record is a KeyRotation to this key */
	uint8_t key[KEY_LEN];
};

/* Brings the folder in order and the tree (initialised) up to its end. `known`: the newest signed checkpoint, or NULL.
 * 0 or -errno. */
int segment_recover(struct recovered *out, struct tiles *tiles, const struct file_ops *ops, int dir,
                    const struct checkpoint *known);
