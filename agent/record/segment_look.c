/* SPDX-License-Identifier: Apache-2.0 */
/* segment_look.c - what a walk through a segment answers: how many records, and what the first of them says. */
#include "base/own.h"
#include "record/record.h"
#include "record/segment.h"

uint64_t segment_walk_skip(struct segment_walk *w, uint64_t n)
{
	struct slice raw;
	uint64_t i = 0;

	w->trust = true;
	while (i < n && segment_walk_next(w, &raw) == WALK_RECORD)
		i++;
	w->trust = false;
	return i;
}

int segment_count(int dir, struct segment_name *name)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	int err;

	if (name->records != UINT64_MAX)
		return 0;
	err = segment_walk_open(&w, dir, name);
	if (err)
		return err;
	name->records = segment_walk_skip(&w, UINT64_MAX);
	return 0;
}

bool segment_excuses(int dir, const struct segment_name *next, const struct segment_name *left, uint64_t offset)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	char text[NAME_ROOM];
	struct slice raw;
	Record *first;
	bool named = false;

	segment_name_text(text, left);
	if (segment_walk_open(&w, dir, next) || segment_walk_next(&w, &raw) != WALK_RECORD)
		return false;
	first = record__unpack(NULL, raw.len, raw.at);
	if (first && first->body_case == RECORD__BODY_RECOVERY)
		named = first->recovery->kind == RECOVERY__KIND__FAILED && !strcmp(first->recovery->segment, text) &&
		        first->recovery->first_bad_offset <= offset;
	if (first)
		record__free_unpacked(first, NULL);
	return named;
}
