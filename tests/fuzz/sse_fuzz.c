/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse_fuzz.c - events never depend on the cut, and every byte of text is one of the input, where it says.
 *
 * The first byte of the input says how long the pieces are; bytes one by one and the whole are always compared.
 */
#include <stdint.h>

#include "stream/stream.h"
#include "tests/lib/fuzz.h"

struct seen {
	struct sse sse;
	struct slice all;
	size_t at;
	uint64_t hash;
	bool line_open; /* data was given since the last SSE_DATA_END */
};

static void mix(struct seen *s, uint64_t value)
{
	s->hash = (s->hash ^ value) * 0x9e3779b97f4a7c15u;
	s->hash ^= s->hash >> 29;
}

static void see(struct seen *s, const struct sse_item *item)
{
	bool text = item->kind == SSE_DATA || item->kind == SSE_FIELD;
	bool joint = item->kind == SSE_DATA && item->text.at[0] == '\n';

	MUST(text == (item->text.len > 0));
	if (joint)
		MUST(item->text.len == 1 && !s->line_open);
	else if (text)
		MUST(slice_is(item->text, slice_of(s->all.at + s->at - item->text.len, item->text.len)));
	for (size_t i = 0; i < item->text.len; i++) {
		MUST(joint || (item->text.at[i] != '\n' && item->text.at[i] != '\r'));
		mix(s, (uint64_t)(s->at - item->text.len + i) << 16 | (uint64_t)item->kind << 8 | item->text.at[i]);
	}
	if (!text)
		mix(s, (uint64_t)s->at << 16 | item->kind);
	s->line_open = item->kind == SSE_DATA;
}

static void feed(struct seen *s, struct slice in)
{
	struct sse_item item;
	enum step step = STEP_ITEM;

	while (step == STEP_ITEM) {
		size_t used;

		step = sse_feed(&s->sse, in, &used, &item);
		MUST(used <= in.len && step != STEP_BAD && (step == STEP_ITEM || used == in.len));
		s->at += used;
		in = slice_from(in, used);
		if (step == STEP_ITEM)
			see(s, &item);
	}
}

static uint64_t read_all(struct slice in, size_t piece)
{
	struct seen s = { .all = in };

	sse_start(&s.sse);
	for (size_t n; in.len; in = slice_from(in, n)) {
		n = in.len < piece ? in.len : piece;
		feed(&s, slice_of(in.at, n));
	}
	return s.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice in;
	uint64_t whole;

	if (!len)
		return 0;
	in = slice_of(data + 1, len - 1);
	whole = read_all(in, SIZE_MAX);
	MUST(whole == read_all(in, 1));
	MUST(whole == read_all(in, data[0] + 1u));
	return 0;
}
