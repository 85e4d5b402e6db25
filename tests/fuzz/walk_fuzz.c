/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk_fuzz.c - a message along the tables never depends on the cut, gives each text from its begin to its end, and
 * accounts for every byte.
 *
 * The first byte of the input says which table and how long the pieces are.
 */
#include <stdint.h>

#include "stream/stream.h"
#include "tests/lib/fuzz.h"

struct seen {
	uint64_t hash; /* of all leaves; text byte by byte, so where pieces part does not matter */
	uint64_t raw;
	bool open, bad;
};

static void mix(struct seen *s, uint64_t value)
{
	s->hash = (s->hash ^ value) * 0x9e3779b97f4a7c15u;
	s->hash ^= s->hash >> 29;
}

static void see(struct seen *s, const struct leaf *leaf)
{
	MUST(leaf->begin != s->open);
	MUST(leaf->channel < CHANNEL_COUNT && leaf->tap < TAP_COUNT);
	MUST(leaf->string || !leaf->raw);
	s->open = !leaf->end;
	s->raw += leaf->raw;
	if (leaf->begin) {
		mix(s, (uint64_t)leaf->channel << 32 | leaf->tap);
		mix(s, (uint64_t)leaf->choice << 32 | leaf->sub);
		mix(s, leaf->path);
	}
	for (size_t i = 0; i < leaf->text.len; i++)
		mix(s, leaf->text.at[i]);
	if (leaf->end)
		mix(s, 0x100);
}

static struct seen walk(const struct field *rows, struct slice in, size_t piece)
{
	/* Used again from message to message, as in a stream. */
	static struct walk w;
	struct seen s = { 0 };
	enum step step = STEP_MORE;
	struct leaf leaf;
	size_t used, len = in.len;

	walk_start(&w, rows);
	while (in.len && step != STEP_BAD) {
		struct slice next = slice_of(in.at, in.len < piece ? in.len : piece);

		in = slice_from(in, next.len);
		do {
			step = walk_feed(&w, next, &used, &leaf);
			next = slice_from(next, used);
			if (step == STEP_ITEM)
				see(&s, &leaf);
		} while (step == STEP_ITEM);
		MUST(step == STEP_BAD || !next.len);
	}
	while (step != STEP_BAD && (step = walk_finish(&w, &leaf)) == STEP_ITEM)
		see(&s, &leaf);
	s.bad = step == STEP_BAD;
	MUST(s.bad || (!s.open && s.raw + w.structural == len));
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = { "/v1/chat/completions", "/any",      "/v1/completions", "/v1/responses",
		                             "/v1/messages",         "/api/chat", "/generate",       "/completion" };
	const struct dialect *d;
	const struct field *rows;
	struct seen whole, cut;

	if (!size || size > 1 << 16)
		return 0;
	d = dialect_of(SLICE("POST"), slice_str(paths[(data[0] & 1) | (data[0] >> 5 & 6)]));
	rows = data[0] & 2 ? d->whole : d->message;
	whole = walk(rows, slice_of(data + 1, size - 1), size);
	cut = walk(rows, slice_of(data + 1, size - 1), (data[0] >> 2 & 15) + 1u);
	MUST(whole.bad == cut.bad);
	/* A message that is refused is never released: how much of it was seen may differ. */
	MUST(whole.bad || (whole.hash == cut.hash && whole.raw == cut.raw));
	return 0;
}
