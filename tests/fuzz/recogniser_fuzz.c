/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recogniser_fuzz.c - patterns over texts in pieces, against PCRE2 on the whole text.
 *
 * Input: a pattern up to a line break, then the text. What compiles must find the same in one piece, byte by byte and
 * in pieces of odd sizes as PCRE2 does start by start, hold exactly what may still match, and stay within its time.
 */
#include <errno.h>
#include <time.h>

#include "base/own.h"
#include "scan/recogniser.h"
#include "tests/lib/fuzz.h"
#include "tests/lib/lookout_reference.h"

struct found {
	uint64_t at[REFERENCE_MAX][2];
	size_t n;
};

static int add(void *to, const struct recognised *what)
{
	struct found *f = to;

	MUST(f->n < REFERENCE_MAX);
	f->at[f->n][0] = what->from;
	f->at[f->n++][1] = what->to;
	return 0;
}

/* False: a pattern went over its limit, which pieces may do in different places. */
static bool run(const struct recognisers *s, const struct reference_rule *rule, struct slice text, size_t step,
                bool holds, struct found *f)
{
	owned(trail_free) struct trail *t = NULL;
	static uint64_t hits[REFERENCE_MAX][3];
	struct scan_state state = { 0 };
	bool fine = true;

	f->n = 0;
	MUST(!trail_new(&t, 0));
	for (size_t at = 0; at < text.len && fine; at += step) {
		size_t n = text.len - at < step ? text.len - at : step, hold;
		int error = trail_add(t, &state, slice_of(text.at + at, n));

		MUST(!error);
		error = trail_recognise(t, s, false, add, f);
		MUST(!error || error == -ETIME);
		fine = !error;
		if (!fine)
			break;
		if (holds && step == 1 && (at + 1 == text.len || (text.at[at + 1] & 0xc0) != 0x80)) {
			uint64_t from = trail_hold(t);

			reference_matches(rule, slice_of(text.at, at + 1), true, hits, REFERENCE_MAX, &hold);
			MUST((from == UINT64_MAX ? at + 1 : from) == hold);
		}
		trail_forget(t, s, UINT64_MAX, 0);
	}
	trail_end(t);
	return fine && !trail_recognise(t, s, true, add, f);
}

/* Only whole characters, and none that show as nothing: the reference reads no others. */
static size_t make_utf8(uint8_t *to, struct slice in)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		bool unseen = (in.at[i] < ' ' && (in.at[i] < '\t' || in.at[i] > '\r')) || in.at[i] == 0x7f;

		if (in.at[i] < 0x80) {
			to[n++] = unseen ? in.at[i] ^ 0x40 : in.at[i];
		} else {
			to[n++] = 0xe4 + (in.at[i] >> 6 & 1);
			to[n++] = 0xb8 + (in.at[i] >> 4 & 3);
			to[n++] = 0x80 + (in.at[i] & 0x3f);
		}
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct found whole, cut;
	static uint64_t hits[REFERENCE_MAX][3];
	const uint8_t *line = memchr(data, '\n', size);
	owned(recognisers_free) struct recognisers *s = NULL;
	struct reference_rule rule = { .id = "f" };
	char pattern[256];
	uint8_t bytes[1024];
	struct pattern_fault fault;
	struct pattern p = { .holds = true };
	struct slice text;
	size_t n, hold;
	clock_t began;

	if (!line || size > 512 || line - data > 100 || memchr(data, 0, (size_t)(line - data)))
		return 0;
	n = make_utf8((uint8_t *)pattern, slice_of(data, (size_t)(line - data)));
	if (!n)
		return 0;
	pattern[n] = '\0';
	p.text = slice_of(pattern, n);
	p.max_length = data[0] & 1 ? 0 : 20;
	began = clock();
	if (recognisers_compile(&s, &p, 1, &fault)) {
		MUST(fault.why[0] && fault.at <= n);
		return 0;
	}
	/* Trials included. */
	MUST(clock() - began < 20 * CLOCKS_PER_SEC);
	rule.pattern = pattern;
	rule.max_length = p.max_length;
	text = slice_of(bytes, make_utf8(bytes, slice_from(slice_of(data, size), (size_t)(line - data) + 1)));
	if (text.len > 256)
		text.len = 0;
	if (!run(s, &rule, text, text.len ? text.len : 1, false, &whole))
		return 0;
	n = reference_matches(&rule, text, false, hits, REFERENCE_MAX, &hold);
	MUST(n == whole.n);
	for (size_t i = 0; i < n; i++)
		MUST(hits[i][0] == whole.at[i][0] && hits[i][1] == whole.at[i][1]);
	for (size_t step = 1; step < 12; step += 3)
		if (run(s, &rule, text, step, true, &cut))
			MUST(cut.n == whole.n && !memcmp(cut.at, whole.at, whole.n * sizeof(*whole.at)));
	return 0;
}
