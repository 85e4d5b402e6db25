/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan_reference.h - what scan must find, the slow way: fold, put in the word edges, compare at every place.
 *
 * Written from docs/decisions.md and scan.h, not from the scanner: it shares the generated fold data and nothing else.
 */
#pragma once

#include <stdlib.h>

#include "scan/fold_data.h"
#include "scan/scan.h"

#define REFERENCE_NEEDLES 8
#define REFERENCE_BYTES   256
#define REFERENCE_SYMBOLS (18 * REFERENCE_BYTES * 2)
#define REFERENCE_HITS    8192
#define REFERENCE_EDGE    UINT32_MAX

struct reference_case {
	struct needle needles[REFERENCE_NEEDLES];
	size_t count;
	struct slice text;
	uint8_t bytes[REFERENCE_NEEDLES + 1][REFERENCE_BYTES];
};

struct reference_symbols {
	uint32_t at[REFERENCE_SYMBOLS];    /* code points and edges */
	uint32_t looks[REFERENCE_SYMBOLS]; /* the same, as they look */
	bool word[REFERENCE_SYMBOLS], noise[REFERENCE_SYMBOLS];
	uint32_t real[REFERENCE_SYMBOLS + 1];                  /* symbols before this one that are not edges */
	size_t from[REFERENCE_SYMBOLS], to[REFERENCE_SYMBOLS]; /* bytes of the character */
	size_t len;
	bool word_first, word_last;
};

static inline uint32_t reference_rnd(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*seed >> 33) % below);
}

/* The character at p[0..len) by the book: Unicode 15, table 3-7. `over`: nothing follows. 0: cut. */
static inline size_t reference_decode(const uint8_t *p, size_t len, bool over, uint32_t *cp)
{
	static const struct {
		uint8_t first[2], second[2], more;
	} rows[] = {
		{ { 0x00, 0x7f }, { 0, 0 }, 0 },       { { 0xc2, 0xdf }, { 0x80, 0xbf }, 1 },
		{ { 0xe0, 0xe0 }, { 0xa0, 0xbf }, 2 }, { { 0xe1, 0xec }, { 0x80, 0xbf }, 2 },
		{ { 0xed, 0xed }, { 0x80, 0x9f }, 2 }, { { 0xee, 0xef }, { 0x80, 0xbf }, 2 },
		{ { 0xf0, 0xf0 }, { 0x90, 0xbf }, 3 }, { { 0xf1, 0xf3 }, { 0x80, 0xbf }, 3 },
		{ { 0xf4, 0xf4 }, { 0x80, 0x8f }, 3 },
	};

	*cp = 0xfffd;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		uint32_t c = p[0];

		if (p[0] < rows[r].first[0] || p[0] > rows[r].first[1])
			continue;
		if (rows[r].more)
			c &= 0x3fu >> rows[r].more;
		for (size_t i = 1; i <= rows[r].more; i++) {
			if (i == len)
				return over ? i : 0;
			if (i == 1 ? p[i] < rows[r].second[0] || p[i] > rows[r].second[1] : (p[i] & 0xc0) != 0x80)
				return i;
			c = c * 64 + (p[i] & 0x3f);
		}
		*cp = c;
		return rows[r].more + 1u;
	}
	return 1;
}

static inline void reference_put(struct reference_symbols *s, uint32_t c, size_t from, size_t to)
{
	s->at[s->len] = s->looks[s->len] = c;
	s->word[s->len] = s->noise[s->len] = false;
	s->from[s->len] = from;
	s->to[s->len] = to;
	s->real[s->len + 1] = s->real[s->len] + (c != REFERENCE_EDGE);
	s->len++;
}

/* Folds; `text` puts in the edges of a text, else those inside a needle. */
static inline void reference_fold(struct reference_symbols *s, struct slice in, bool text, bool over)
{
	bool word = false, any = false;

	s->len = 0;
	s->real[0] = 0;
	for (size_t i = 0, took; i < in.len; i += took) {
		uint32_t cp, e, one;
		const uint32_t *seq = &one;
		size_t n = 1;

		took = reference_decode(in.at + i, in.len - i, over, &cp);
		if (!took)
			break;
		e = fold_blocks[fold_index[cp / 128]][cp % 128];
		one = (FOLD_KIND(e) == FOLD_SELF ? cp : FOLD_VALUE(e)) | (e & (FOLD_WORD | FOLD_NOISE));
		if (FOLD_KIND(e) == FOLD_DROP)
			n = 0;
		if (FOLD_KIND(e) == FOLD_MULTI) {
			n = fold_multi[FOLD_VALUE(e)];
			seq = fold_multi + FOLD_VALUE(e) + 1;
		}
		for (size_t k = 0; k < n; k++) {
			bool is_word = seq[k] & FOLD_WORD;

			if (is_word != word && (any || text))
				reference_put(s, REFERENCE_EDGE, i, i + took);
			if (!any)
				s->word_first = is_word;
			any = true;
			word = is_word;
			reference_put(s, FOLD_VALUE(seq[k]), i, i + took);
			s->word[s->len - 1] = is_word;
			s->noise[s->len - 1] = seq[k] & FOLD_NOISE;
			for (uint32_t t = 0; cp >= 0x80 && t < fold_twin_count; t++)
				if (fold_twins[t].cp == cp)
					s->looks[s->len - 1] = fold_twins[t].looks;
		}
	}
	s->word_last = word;
	if (text && over && word)
		reference_put(s, REFERENCE_EDGE, in.len, in.len);
}

/* A needle's symbols. */
static inline void reference_needle(struct reference_symbols *s, const struct needle *n)
{
	reference_fold(s, n->text, false, true);
	if (n->edge_before && s->word_first) {
		memmove(s->at + 1, s->at, s->len * sizeof(s->at[0]));
		memmove(s->word + 1, s->word, s->len * sizeof(s->word[0]));
		memmove(s->noise + 1, s->noise, s->len * sizeof(s->noise[0]));
		s->at[0] = REFERENCE_EDGE;
		s->len++;
	}
	if (n->edge_after && s->word_last)
		s->at[s->len++] = REFERENCE_EDGE;
	s->real[0] = 0;
	for (size_t i = 0; i < s->len; i++)
		s->real[i + 1] = s->real[i] + (s->at[i] != REFERENCE_EDGE);
}

static inline bool reference_ends(const struct reference_symbols *s, size_t end, const uint32_t *word, size_t len)
{
	return len <= end && !memcmp(s->at + end - len, word, len * sizeof(*word));
}

static inline bool reference_own(uint32_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 0x3400 && c < 0xa000) || (c >= 0x20000 && c < 0x40000);
}

/* The form of a needle that mixes scripts; len 0 if it has none. */
static inline void reference_look(struct reference_symbols *to, const struct reference_symbols *s)
{
	bool changed = false, kept = false;

	*to = *s;
	for (size_t i = 0; i < s->len; i++) {
		uint32_t c = s->at[i];

		to->at[i] = c;
		if (c == REFERENCE_EDGE || reference_own(c))
			continue;
		/* Of the folded code point, not of the needle's spelling. */
		for (uint32_t t = 0; c >= 0x80 && t < fold_twin_count; t++)
			if (fold_twins[t].cp == c)
				to->at[i] = fold_twins[t].looks;
		changed |= to->at[i] != c;
		kept |= to->at[i] == c && !s->noise[i];
	}
	if (!changed || !kept)
		to->len = 0;
}

struct reference_forms {
	struct reference_symbols at[2 * REFERENCE_NEEDLES];  /* those of needle k at 2k and 2k + 1 */
	struct reference_symbols letters[REFERENCE_NEEDLES]; /* of those with a gap */
};

static inline void reference_forms(struct reference_forms *f, const struct reference_case *c)
{
	for (size_t k = 0; k < c->count; k++) {
		struct reference_symbols *s = &f->at[2 * k], *g = &f->letters[k];

		reference_needle(s, &c->needles[k]);
		g->len = 0;
		if (!c->needles[k].gap) {
			reference_look(&f->at[2 * k + 1], s);
			continue;
		}
		reference_fold(s, c->needles[k].text, false, true);
		for (size_t i = 0; i < s->len; i++)
			if (s->at[i] != REFERENCE_EDGE && !s->noise[i]) {
				g->at[g->len] = s->at[i];
				g->word[g->len++] = s->word[i];
			}
		s->len = f->at[2 * k + 1].len = 0;
	}
}

/* Looks that no needle has are no reading. */
static inline void reference_settle(struct reference_symbols *text, const struct reference_forms *f, size_t count)
{
	for (size_t i = 0; i < text->len; i++) {
		bool used = false;

		for (size_t k = 0; k < 2 * count && !used; k++)
			for (size_t n = 0; n < f->at[k].len && !used; n++)
				used = f->at[k].at[n] == text->looks[i];
		for (size_t k = 0; k < count && !used; k++)
			for (size_t n = 0; n < f->letters[k].len && !used; n++)
				used = f->letters[k].at[n] == text->looks[i];
		if (!used)
			text->looks[i] = text->at[i];
	}
}

/* Whether `word` ends at `end` in the second reading; *mixed: with letters of both kinds. */
static inline bool reference_twin(const struct reference_symbols *s, size_t end, const uint32_t *word, size_t len,
                                  bool *mixed)
{
	bool changed = false, own = false;

	if (len > end || memcmp(s->looks + end - len, word, len * sizeof(*word)))
		return false;
	for (size_t i = end - len; i < end; i++) {
		changed |= s->at[i] != s->looks[i];
		own |= s->at[i] == s->looks[i] && reference_own(s->at[i]);
	}
	*mixed = changed && own;
	return true;
}

/* Whether the first `len` letters of needle k, which has a gap, end at `end`, with noise behind if `noise`. *start: the
 * first, in symbols. */
static inline bool reference_gapped(const struct reference_symbols *s, size_t end, const struct reference_case *c,
                                    const struct reference_symbols *letters, size_t k, size_t len, bool noise,
                                    size_t *start)
{
	size_t at = end, run = 0;

	if (!noise && at && s->at[at - 1] == REFERENCE_EDGE)
		at--;
	for (size_t i = len; i > 0;) {
		if (!at)
			return false;
		at--;
		if (s->at[at] == REFERENCE_EDGE)
			continue;
		if (s->noise[at]) {
			if (++run > c->needles[k].gap || (i == len && !noise))
				return false;
			continue;
		}
		if (s->at[at] != letters->at[i - 1])
			return false;
		run = 0;
		i--;
	}
	*start = s->real[at];
	/* A word begins where an edge stands before a letter. */
	return !(c->needles[k].edge_before && letters->word[0]) || (at && s->at[at - 1] == REFERENCE_EDGE);
}

/* All hits in the order that scan.h promises. */
static inline size_t reference_hits(const struct reference_case *c, struct scan_hit *hits)
{
	static _Thread_local struct reference_symbols text;
	static _Thread_local struct reference_forms f;
	size_t n = 0;

	reference_fold(&text, c->text, true, true);
	reference_forms(&f, c);
	reference_settle(&text, &f, c->count);
	for (size_t end = 1; end <= text.len; end++) {
		bool edge = text.at[end - 1] == REFERENCE_EDGE, ends_word = edge && end > 1 && text.word[end - 2];

		for (int twin = 0; twin < 2; twin++)
			for (size_t len = end; len > 0; len--)
				for (size_t k = 0; k < 2 * c->count; k++) {
					bool mixed = true;

					if (f.at[k].len != len)
						continue;
					if (twin ? reference_twin(&text, end, f.at[k].at, len, &mixed) && mixed
					         : reference_ends(&text, end, f.at[k].at, len))
						hits[n++] = (struct scan_hit){ c->needles[k / 2].id,
							                       text.real[end] - f.at[k].real[len],
							                       text.real[end] };
				}
		for (size_t len = end; len > 0; len--)
			for (size_t k = 0; k < c->count; k++) {
				const struct reference_symbols *g = &f.letters[k];
				size_t start;

				if (g->len != len || (c->needles[k].edge_after && g->word[len - 1] ? !ends_word : edge))
					continue;
				if (reference_gapped(&text, end, c, g, k, len, false, &start))
					hits[n++] = (struct scan_hit){ c->needles[k].id, start, text.real[end] };
			}
	}
	return n;
}

/* The hold after the first `at` bytes: symbols of the longest end of the text that begins a needle but is not all of
 * it. */
static inline size_t reference_hold(const struct reference_case *c, size_t at)
{
	static _Thread_local struct reference_symbols text;
	static _Thread_local struct reference_forms f;
	size_t best = 0, start;
	bool mixed;

	reference_fold(&text, slice_of(c->text.at, at), true, false);
	reference_forms(&f, c);
	reference_settle(&text, &f, c->count);
	for (size_t k = 0; k < 2 * c->count; k++)
		for (size_t len = 1; len < f.at[k].len; len++)
			if (f.at[k].real[len] > best && (reference_ends(&text, text.len, f.at[k].at, len) ||
			                                 reference_twin(&text, text.len, f.at[k].at, len, &mixed)))
				best = f.at[k].real[len];
	for (size_t k = 0; k < c->count; k++) {
		const struct reference_symbols *g = &f.letters[k];

		for (size_t len = 1; len <= g->len; len++) {
			bool all = len == g->len;

			if (all && !(c->needles[k].edge_after && g->word[len - 1]))
				continue;
			if (reference_gapped(&text, text.len, c, g, k, len, !all, &start) &&
			    text.real[text.len] - start > best)
				best = text.real[text.len] - start;
		}
	}
	return best;
}

static inline void reference_locate(const struct reference_case *c, const struct scan_hit *hit, size_t *from,
                                    size_t *to)
{
	static _Thread_local struct reference_symbols text;

	reference_fold(&text, c->text, true, true);
	*from = *to = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == REFERENCE_EDGE)
			continue;
		if (text.real[i] == hit->start)
			*from = text.from[i];
		if (text.real[i] + 1 == hit->end)
			*to = text.to[i];
	}
}

static inline struct slice reference_text(uint8_t *to, uint64_t *seed, uint32_t pieces, bool broken)
{
	static const char *const part[] = {
		"a",  "b",  "A",  "-", " ", "ａ", "沙", "林", "é", "1",        "\xe2\x80\x8b", "ﬃ",       "½",
		"ff", "氣", "气", "а", "б", "А",  "口", "ロ", "b", "\xe6\xb2", "\xff",         "\xf0\x90"
	};
	size_t len = 0, letters = broken ? 25 : 22;

	letters = reference_rnd(seed, 3) ? 4 : letters;
	for (uint32_t i = 0; i < pieces; i++) {
		const char *p = part[reference_rnd(seed, (uint32_t)letters)];

		memcpy(to + len, p, strlen(p));
		len += strlen(p);
	}
	return slice_of(to, len);
}

static inline void reference_random(struct reference_case *c, uint64_t *seed)
{
	c->count = 1 + reference_rnd(seed, REFERENCE_NEEDLES);
	for (size_t i = 0; i < c->count; i++) {
		struct scan_look look;

		c->needles[i].id = (uint32_t)i;
		c->needles[i].edge_before = reference_rnd(seed, 2);
		c->needles[i].edge_after = reference_rnd(seed, 2);
		c->needles[i].gap = reference_rnd(seed, 3) ? 0 : (uint8_t)(1 + reference_rnd(seed, 3));
		do
			c->needles[i].text = reference_text(c->bytes[i], seed, 1 + reference_rnd(seed, 5), false);
		while (scan_look_needle(&c->needles[i], &look) != SCAN_FINE);
	}
	c->text = reference_text(c->bytes[REFERENCE_NEEDLES], seed, reference_rnd(seed, 16), true);
}
