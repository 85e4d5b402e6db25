/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_fuzz.c - JSON never depends on the cut, gives only UTF-8, and accounts for every byte of a string.
 *
 * The first byte of the input says how long the pieces are; 0 and whole are always compared.
 */
#include <stdint.h>

#include "stream/stream.h"
#include "tests/lib/fuzz.h"

struct seen {
	struct json j;
	size_t at;
	uint64_t hash;      /* of all items; text byte by byte, so where pieces part does not matter */
	uint64_t string_at; /* behind the opening quote of the string under way */
	uint64_t raw;
	int utf8_left;
	bool in_string;
	bool over;
};

static void mix(struct seen *s, uint64_t value)
{
	s->hash = (s->hash ^ value) * 0x9e3779b97f4a7c15u;
	s->hash ^= s->hash >> 29;
}

/* Lead and continuation bytes only: finer faults are the unit test's. */
static void must_be_utf8(struct seen *s, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];

		MUST((c >> 6 == 2) == (s->utf8_left > 0));
		s->utf8_left = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : s->utf8_left ? s->utf8_left - 1 : 0;
	}
}

static void see(struct seen *s, const struct json_item *item)
{
	bool text = item->kind == JSON_KEY || item->kind == JSON_STRING;
	bool end = item->kind == JSON_KEY_END || item->kind == JSON_STRING_END;
	size_t from = s->at - item->ahead - item->raw;

	MUST(item->kind < JSON_KIND_COUNT);
	if (text && !s->in_string)
		s->string_at = from;
	if (text) {
		MUST(item->text.len && from == s->string_at + s->raw);
		must_be_utf8(s, item->text);
		s->raw += item->raw;
	}
	if (end) {
		MUST(!s->in_string || s->string_at + s->raw == s->at - 1);
		MUST(!s->utf8_left);
		s->raw = 0;
	}
	s->in_string = text;
	for (size_t i = 0; i < item->text.len; i++)
		mix(s, (uint64_t)item->kind << 8 | item->text.at[i]);
	if (!item->text.len)
		mix(s, (uint64_t)s->at << 16 | item->kind);
}

static void feed(struct seen *s, struct slice in)
{
	struct json_item item;
	enum step step = STEP_ITEM;

	while (step == STEP_ITEM && !s->over) {
		size_t used;

		step = json_feed(&s->j, in, &used, &item);
		MUST(used <= in.len && (step != STEP_MORE || used == in.len) && (step != STEP_BAD || used < in.len));
		s->at += used;
		in = slice_from(in, used);
		if (step == STEP_ITEM)
			see(s, &item);
		if (step == STEP_BAD)
			mix(s, (uint64_t)s->at << 32 | (uint8_t)item.why[0]);
		s->over = step == STEP_BAD;
	}
}

static uint64_t read_all(struct slice in, size_t piece)
{
	struct seen s = { .at = 0 };
	struct json_item item;
	enum step step = STEP_ITEM;

	json_start(&s.j);
	for (size_t n; in.len; in = slice_from(in, n)) {
		n = in.len < piece ? in.len : piece;
		feed(&s, slice_of(in.at, n));
	}
	while (!s.over && (step = json_finish(&s.j, &item)) == STEP_ITEM)
		see(&s, &item);
	mix(&s, (uint64_t)s.j.lone << 8 | (uint64_t)step << 1 | json_done(&s.j));
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
