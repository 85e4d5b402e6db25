/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sift.c - which words of a foreign list become keywords.
 *
 * What is the same, or inside another, is judged by what the words fold to and by the scanner itself, with the word
 * edges of boundary 'auto': what is left out here would never have found anything of its own.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "policy/import.h"

/* A word as it folds. */
struct folded {
	uint32_t word, len;
	const uint32_t *at;
};

struct folding {
	uint32_t at[SCAN_NEEDLE_MAX];
	uint32_t len;
};

static void on_symbol(void *to, const struct scan_symbol *s)
{
	struct folding *f = to;

	if (f->len < SCAN_NEEDLE_MAX)
		f->at[f->len++] = s->folded;
}

static struct needle needle_of(const struct import_word *w, uint32_t id)
{
	return (struct needle){ w->text, id, true, true, 0 };
}

static enum import_fate fate_alone(const struct import_word *w, size_t least)
{
	struct needle n = needle_of(w, 0);
	struct scan_look look = { 0 };

	if (memchr(w->text.at, 0, w->text.len))
		return IMPORT_BROKEN;
	switch (scan_look_needle(&n, &look)) {
	case SCAN_FINE:
		return look.symbols < least ? IMPORT_SHORT : IMPORT_TAKEN;
	case SCAN_EMPTY:
		return IMPORT_NOTHING;
	case SCAN_TOO_LONG:
		return IMPORT_LONG;
	default:
		return IMPORT_BROKEN;
	}
}

static int by_slice(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return a.len ? memcmp(a.at, b.at, a.len) : 0;
}

static int by_fold(const void *x, const void *y, void *words)
{
	const struct folded *a = x, *b = y;
	const struct import_word *w = words;
	int order = by_slice(slice_of(a->at, a->len * sizeof(*a->at)), slice_of(b->at, b->len * sizeof(*b->at)));

	if (!order)
		order = by_slice(w[a->word].risk, w[b->word].risk);
	return order ? order : a->word < b->word ? -1 : a->word > b->word;
}

static int sift_same(struct import *x)
{
	owned(own_free) struct folded *all = malloc((x->count + 1) * sizeof(*all));
	owned(arena_free) struct arena kept = { 0 };
	size_t n = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < x->count; i++) {
		struct folding f = { .len = 0 };
		uint32_t *at;

		if (x->words[i].fate != IMPORT_TAKEN)
			continue;
		scan_explain(x->words[i].text, on_symbol, &f);
		at = arena_take(&kept, f.len * sizeof(*at));
		if (!at)
			return -ENOMEM;
		memcpy(at, f.at, f.len * sizeof(*at));
		all[n++] = (struct folded){ (uint32_t)i, f.len, at };
	}
	qsort_r(all, n, sizeof(*all), by_fold, x->words);
	for (size_t i = 1, first = 0; i < n; i++) {
		struct import_word *w = &x->words[all[i].word];

		if (all[i].len == all[first].len &&
		    !memcmp(all[i].at, all[first].at, all[i].len * sizeof(*all[i].at)) &&
		    slice_is(w->risk, x->words[all[first].word].risk)) {
			w->fate = IMPORT_SAME;
			w->other = all[first].word + 1;
		} else {
			first = i;
		}
	}
	return 0;
}

/* The first word of the same risk that is found in this one, and is not it. */
static void look_inside(const struct scanner *s, struct import *x, size_t i, bool prune)
{
	struct import_word *w = &x->words[i];
	struct scan_state st = { 0 };
	struct slice text = w->text;
	struct scan_hit hits[16];
	bool over = false;

	while (!over && !w->other) {
		size_t n, used = text.len;

		if (text.len) {
			n = scan_feed(s, &st, text, &used, hits, ARRAY_LEN(hits));
			text = slice_from(text, used);
		} else {
			n = scan_end(s, &st, hits, ARRAY_LEN(hits));
			over = n < ARRAY_LEN(hits);
		}
		for (size_t k = 0; k < n && !w->other; k++)
			if (hits[k].needle != i && slice_is(x->words[hits[k].needle].risk, w->risk))
				w->other = hits[k].needle + 1;
	}
	if (w->other && prune)
		w->fate = IMPORT_INSIDE;
}

static int sift_inside(struct import *x, bool prune)
{
	owned(own_free) struct needle *needles = malloc((x->count + 1) * sizeof(*needles));
	owned(scanner_free) struct scanner *s = NULL;
	enum scan_fault fault = SCAN_FINE;
	size_t n = 0, which;
	int error;

	if (!needles)
		return -ENOMEM;
	for (size_t i = 0; i < x->count; i++)
		if (x->words[i].fate == IMPORT_TAKEN)
			needles[n++] = needle_of(&x->words[i], (uint32_t)i);
	error = scanner_compile(&s, needles, n, &fault, &which);
	if (error)
		return error;
	for (size_t i = 0; i < x->count; i++)
		if (x->words[i].fate == IMPORT_TAKEN)
			look_inside(s, x, i, prune);
	return 0;
}

int import_sift(struct import *x, size_t least, bool prune)
{
	int error;

	for (size_t i = 0; i < x->count; i++)
		if (x->words[i].fate == IMPORT_TAKEN)
			x->words[i].fate = fate_alone(&x->words[i], least);
	error = sift_same(x);
	return error ? error : sift_inside(x, prune);
}
