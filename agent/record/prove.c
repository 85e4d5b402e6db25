/* SPDX-License-Identifier: Apache-2.0 */
/* prove.c - proofs for somebody who has neither the log nor our software. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"
#include "record/frame.h"
#include "record/history.h"
#include "record/segment.h"
#include "record/tiles.h"

static int read_note(int dir, const char *name, uint8_t **bytes, size_t *len, struct checkpoint *c)
{
	struct slice text, signatures;
	int err = history_read(dir, name, NOTE_MAX, bytes, len);

	err = err ? err : note_split(slice_of(*bytes, *len), &text, &signatures);
	return err ? err : checkpoint_read(c, text);
}

/* The record's hash and its place in the tree. */
static int find_record(int dir, uint64_t seq, uint64_t *index, struct hash *leaf)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	owned(own_free) struct segment_name *list = NULL;
	struct slice raw;
	uint64_t found;
	size_t n = 0, i;
	int err = segment_list(dir, &list, &n), step;

	if (err)
		return err;
	for (i = n; i > 0 && list[i - 1].first_seq > seq; i--)
		;
	if (!i)
		return -ENOENT;
	err = segment_walk_open(&w, dir, &list[i - 1]);
	if (err)
		return err;
	while ((step = segment_walk_next(&w, &raw)) == WALK_RECORD)
		if (frame_seq(raw, &found) && found == seq) {
			if (!w.head.proven)
				return -EBADMSG;
			hash_leaf(leaf, raw);
			*index = w.head.tree_size + (seq - w.head.first_seq);
			return 0;
		}
	return step < 0 ? step : step == WALK_BAD ? -EBADMSG : -ENOENT;
}

int ledger_prove(const char *dir, uint64_t seq, char **text)
{
	owned(own_close) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	owned(own_free) struct tile_source *s = malloc(sizeof(*s));
	owned(own_free) uint8_t *note = NULL;
	struct hash proof[PROOF_MAX], leaf;
	struct checkpoint c = { .size = 0 };
	uint64_t index = 0;
	size_t n = 0, len = 0, text_len;
	FILE *to;
	int err = at < 0 ? -errno : s ? read_note(at, CHECKPOINT_FILE, &note, &len, &c) : -ENOMEM;

	err = err ? err : find_record(at, seq, &index, &leaf);
	if (!err && index >= c.size)
		err = -ENOENT;
	if (err)
		return err;
	tile_source_init(s, at, c.size);
	err = tree_inclusion(&s->source, index, c.size, proof, &n);
	if (!err && !tree_included(&leaf, index, c.size, &c.root, proof, n))
		err = -EBADMSG;
	if (err)
		return err;
	to = open_memstream(text, &text_len);
	if (!to)
		return -ENOMEM;
	fprintf(to, "c2sp.org/tlog-proof@v1\nindex %" PRIu64 "\n", index);
	hash_lines(to, proof, n);
	fprintf(to, "\n%.*s", (int)len, (char *)note);
	return fclose(to) ? -ENOMEM : 0;
}

int ledger_prove_consistent(const char *dir, const char *old, char **text)
{
	owned(own_close) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	owned(own_free) struct tile_source *s = malloc(sizeof(*s));
	owned(own_free) uint8_t *note = NULL;
	owned(own_free) uint8_t *old_note = NULL;
	struct checkpoint c = { .size = 0 }, before = { .size = 0 };
	struct hash proof[PROOF_MAX];
	size_t n = 0, len = 0, text_len;
	FILE *to;
	int err = at < 0 ? -errno : s ? read_note(at, CHECKPOINT_FILE, &note, &len, &c) : -ENOMEM;

	err = err ? err : read_note(AT_FDCWD, old, &old_note, &len, &before);
	if (err)
		return err;
	tile_source_init(s, at, c.size);
	if (strcmp(c.origin, before.origin) != 0 || before.size > c.size)
		return -EBADMSG;
	err = tree_consistency(&s->source, before.size, c.size, proof, &n);
	if (!err && !tree_consistent(before.size, &before.root, c.size, &c.root, proof, n))
		err = -EBADMSG;
	if (err)
		return err;
	to = open_memstream(text, &text_len);
	if (!to)
		return -ENOMEM;
	hash_lines(to, proof, n);
	return fclose(to) ? -ENOMEM : 0;
}
