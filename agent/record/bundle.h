/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.h - what handing out a whole log and handing out chosen records share. */
#pragma once

#include "record/history.h"
#include "record/segment.h"
#include "record/tiles.h"

/* A log as it is when a bundle of it begins: all that is handed out is under this checkpoint. */
struct bundled {
	int dir;
	const char *prefix; /* in the bundle */
	struct bundle_sink *sink;
	uint8_t *note;
	size_t note_len;
	struct checkpoint c;
	struct segment_name *list;
	size_t n;
};

/* Writes a tlog-proof of a record at `index` against a checkpoint, whose note is given. -EBADMSG: it is not in it. In
 * prove.c. */
int prove_leaf(FILE *to, struct tree_source *s, struct slice record, uint64_t index, const struct checkpoint *c,
               struct slice note);

int bundled_open(struct bundled *b, const char *dir, const char *prefix, struct bundle_sink *sink);
void bundled_close(struct bundled *b);
/* A file of the bundle. */
int bundled_put(struct bundled *b, const char *name, struct slice bytes);
/* A file of the log as it is; that there is none is no error. */
int bundled_copy(struct bundled *b, const char *name, size_t most);
