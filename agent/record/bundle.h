/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.h - what handing out a whole log and handing out chosen records share. */
#pragma once

#include "record/history.h"
#include "record/record.h"
#include "record/segment.h"
#include "record/tiles.h"

/* A log as it is when a bundle of it begins: all that is handed out is under this checkpoint. */
struct bundled {
	int dir;
	const char *path;   /* of it; borrowed */
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
/* Each record under the checkpoint, as stored, with its place in the tree, until `each` returns other than 0, which is
 * returned. -EBADMSG: what is there is not what was signed. */
typedef int bundled_seen(void *arg, struct slice raw, uint64_t index);
int bundled_each(struct bundled *b, bundled_seen *each, void *arg);
/* The age file of a finding, if there is one that may be handed out. In bundle_evidence.c. */
int bundled_evidence(struct bundled *b, struct bundle_evidence *e, const Record *r);
/* Those of all findings. */
int bundled_all_evidence(struct bundled *b, struct bundle_evidence *e);
/* A file of the bundle. */
int bundled_put(struct bundled *b, const char *name, struct slice bytes);
/* A file of the log as it is; that there is none is no error. */
int bundled_copy(struct bundled *b, const char *name, size_t most);
