/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c - what scanning does to a text: which symbols it becomes, and how much of it is held. */
#include "scan/fold.h"
#include "scan/scan.h"
#include "scan/utf8.h"

/* The character at the front of `text`; one that the end cuts counts as U+FFFD. */
static size_t character(struct slice text, uint32_t *cp)
{
	size_t took = utf8_decode(text.at, text.len, cp);

	if (!took)
		*cp = UTF8_REPLACEMENT;
	return took ? took : text.len;
}

void scan_explain(struct slice text, void (*each)(void *to, const struct scan_symbol *symbol), void *to)
{
	for (size_t i = 0, took; i < text.len; i += took) {
		uint32_t cp, one, looks;
		const uint32_t *seq;
		size_t n;

		took = character(slice_from(text, i), &cp);
		n = fold_point(cp, &seq, &one);
		looks = fold_twin(cp);
		for (size_t k = 0; k < n; k++) {
			uint32_t is = fold_settle(seq[k]), folded = FOLD_VALUE(is);
			struct scan_symbol s = { folded,   looks ? looks : folded, i,
				                 i + took, is & FOLD_WORD,         is & FOLD_NOISE };

			each(to, &s);
		}
	}
}

void scan_holds_add(struct scan_holds *h, const struct scanner *s, struct slice text)
{
	struct scan_state st = { 0 };
	struct scan_hit hits[16];

	for (size_t i = 0, took; i < text.len; i += took) {
		uint32_t cp;
		size_t hold, used;

		took = character(slice_from(text, i), &cp);
		for (size_t at = 0; at < took; at += used)
			scan_feed(s, &st, slice_of(text.at + i + at, took - at), &used, hits, 16);
		hold = scan_hold(s, &st);
		h->sum += hold;
		h->count++;
		if (hold > h->most)
			h->most = hold;
		h->at[hold < SCAN_HOLD_MAX ? hold : SCAN_HOLD_MAX]++;
	}
}

size_t scan_holds_quantile(const struct scan_holds *h, unsigned permille)
{
	uint64_t seen = 0;

	for (size_t hold = 0; hold <= SCAN_HOLD_MAX; hold++) {
		seen += h->at[hold];
		if (seen * 1000 >= h->count * permille)
			return hold;
	}
	return SCAN_HOLD_MAX;
}
