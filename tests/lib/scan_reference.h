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
#define REFERENCE_SEAM    (UINT32_MAX - 1) /* in the middle of a word: nothing, or an edge */

struct reference_case {
	struct needle needles[REFERENCE_NEEDLES];
	size_t count;
	struct slice text;
	uint8_t bytes[REFERENCE_NEEDLES + 1][REFERENCE_BYTES];
};

struct reference_symbols {
	uint32_t at[REFERENCE_SYMBOLS];    /* code points, edges and seams */
	uint32_t looks[REFERENCE_SYMBOLS]; /* the same, as they look */
	bool word[REFERENCE_SYMBOLS], noise[REFERENCE_SYMBOLS];
	uint32_t real[REFERENCE_SYMBOLS + 1];                  /* symbols before this one that are neither */
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
	s->real[s->len + 1] = s->real[s->len] + (c < REFERENCE_SEAM);
	s->len++;
}

/* Whether what folds to nothing may part a word: all but what stands inside of words that people write. */
static inline bool reference_parts(uint32_t cp)
{
	static const uint32_t joins[][2] = {
		{ 0xad, 0xad },       { 0x300, 0x36f },     { 0x483, 0x489 },   { 0x17b4, 0x17b5 },
		{ 0x180b, 0x180d },   { 0x180f, 0x180f },   { 0x1ab0, 0x1ace }, { 0x1dc0, 0x1dff },
		{ 0x200c, 0x200d },   { 0x20d0, 0x20f0 },   { 0x2de0, 0x2dff }, { 0xa66f, 0xa67d },
		{ 0xa69e, 0xa69f },   { 0xfe00, 0xfe0f },   { 0xfe20, 0xfe2f }, { 0x1d242, 0x1d244 },
		{ 0x1e08f, 0x1e08f }, { 0xe0100, 0xe01ef },
	};

	for (size_t i = 0; i < sizeof(joins) / sizeof(joins[0]); i++)
		if (cp >= joins[i][0] && cp <= joins[i][1])
			return false;
	return true;
}

static inline int reference_by_cp(const void *x, const void *y)
{
	const struct fold_twin *a = x, *b = y;

	return a->cp < b->cp ? -1 : a->cp > b->cp;
}

/* What a code point looks like; `otherwise` if like nothing else. */
static inline uint32_t reference_looks(uint32_t cp, uint32_t otherwise)
{
	struct fold_twin key = { cp, 0 }, *twin;

	if (cp < 0x80)
		return otherwise;
	twin = bsearch(&key, fold_twins, fold_twin_count, sizeof(key), reference_by_cp);
	return twin ? twin->looks : otherwise;
}

/* Signs that are written for one another. */
static inline uint32_t reference_same(uint32_t cp)
{
	static const uint32_t signs[][12] = {
		{ ' ', '\t', '\n', '\v', '\f', '\r', 0x85, 0x1680, 0x2028, 0x2029 },
		{ '-', 0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2043, 0x2212, 0xfe31, 0xfe32, 0xfe58 },
		{ '-', 0x2d7, 0x58a },
		{ '\'', 0x2018, 0x2019, 0x201a, 0x201b },
		{ '"', 0x201c, 0x201d, 0x201e, 0x201f },
		{ 0xb7, 0x2022, 0x2027, 0x2219, 0x22c5, 0x30fb, 0xff65 },
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		for (size_t k = 1; k < 12 && signs[i][k]; k++)
			if (signs[i][k] == cp)
				return signs[i][0];
	return cp;
}

/* Folds; `text` puts in the edges and seams of a text, else the edges inside a needle. */
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
		if (FOLD_KIND(e) == FOLD_DROP) {
			n = 0;
			if (text && word && s->at[s->len - 1] != REFERENCE_SEAM && reference_parts(cp))
				reference_put(s, REFERENCE_SEAM, i, i + took);
		}
		if (FOLD_KIND(e) == FOLD_MULTI) {
			n = fold_multi[FOLD_VALUE(e)];
			seq = fold_multi + FOLD_VALUE(e) + 1;
		}
		for (size_t k = 0; k < n; k++) {
			uint32_t is = reference_same(FOLD_VALUE(seq[k]));
			bool is_word = seq[k] & FOLD_WORD;

			if (is_word != word && (any || text))
				reference_put(s, REFERENCE_EDGE, i, i + took);
			if (!any)
				s->word_first = is_word;
			any = true;
			word = is_word;
			reference_put(s, is, i, i + took);
			s->word[s->len - 1] = is_word;
			s->noise[s->len - 1] = seq[k] & FOLD_NOISE;
			s->looks[s->len - 1] = reference_looks(cp, s->at[s->len - 1]);
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

/* Whether `word` ends at `end` of `text`, one of s's readings, over seams; at one only if it ends with an edge, or if
 * `more` follows. Of an edge behind a seam all was said there. *start: where it begins. */
static inline bool reference_ends(const struct reference_symbols *s, const uint32_t *text, size_t end,
                                  const uint32_t *word, size_t len, bool more, size_t *start)
{
	bool seam = end && s->at[end - 1] == REFERENCE_SEAM;

	if (len && word[len - 1] == REFERENCE_EDGE && !more) {
		if (!seam && !(end > 1 && s->at[end - 1] == REFERENCE_EDGE && s->at[end - 2] != REFERENCE_SEAM))
			return false;
		len--;
		end--;
	} else if (seam && !more) {
		return false;
	}
	while (len) {
		while (end && s->at[end - 1] == REFERENCE_SEAM)
			end--;
		if (!end || text[end - 1] != word[len - 1])
			return false;
		end--;
		len--;
	}
	*start = end;
	return true;
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
		to->at[i] = reference_looks(c, c);
		changed |= to->at[i] != c;
		kept |= to->at[i] == c && !s->noise[i];
	}
	if (!changed || !kept)
		to->len = 0;
}

#define REFERENCE_FORMS 5 /* of a needle: itself, its look, its Hangul in syllables, in parts, in letters */

/* The needle's Hangul in another way; len 0 if that is no other. */
static inline void reference_hangul(struct reference_symbols *forms, int form)
{
	/* What the letters of trailing consonants decompose to (UnicodeData.txt, U+3131 to U+314E); 0xff: themselves.
	 */
	static const uint8_t leading[28] = { 0xff, 0,    1,    0xff, 2,    0xff, 0xff, 3, 5,    0xff,
		                             0xff, 0xff, 0xff, 0xff, 0xff, 0x1a, 6,    7, 0x21, 9,
		                             10,   11,   12,   14,   15,   16,   17,   18 };
	const struct reference_symbols *s = &forms[0];
	struct reference_symbols *to = &forms[form];
	bool same;

	to->len = 0;
	to->real[0] = 0;
	for (size_t i = 0; i < s->len; i++) {
		uint32_t c = s->at[i], parts[3] = { c };
		size_t n = 1;

		if (form > 2 && c >= 0xac00 && c <= 0xd7a3) {
			parts[0] = 0x1100 + (c - 0xac00) / 588;
			parts[1] = 0x1161 + (c - 0xac00) % 588 / 28;
			parts[2] = 0x11a7 + (c - 0xac00) % 28;
			n = parts[2] == 0x11a7 ? 2 : 3;
		}
		if (form == 4 && parts[n - 1] > 0x11a7 && parts[n - 1] < 0x11c3 &&
		    leading[parts[n - 1] - 0x11a7] != 0xff)
			parts[n - 1] = 0x1100 + leading[parts[n - 1] - 0x11a7];
		if (form == 2 && c >= 0x1100 && c < 0x1113 && i + 1 < s->len && s->at[i + 1] >= 0x1161 &&
		    s->at[i + 1] < 0x1176)
			parts[0] = 0xac00 + (c - 0x1100) * 588 + (s->at[++i] - 0x1161) * 28;
		if (form == 2 && parts[0] >= 0xac00 && parts[0] <= 0xd7a3 && (parts[0] - 0xac00) % 28 == 0 &&
		    i + 1 < s->len && s->at[i + 1] > 0x11a7 && s->at[i + 1] < 0x11c3)
			parts[0] += s->at[++i] - 0x11a7;
		for (size_t k = 0; k < n; k++) {
			to->at[to->len] = parts[k];
			to->word[to->len] = s->word[i];
			to->noise[to->len] = s->noise[i];
			to->real[to->len + 1] = to->real[to->len] + (parts[k] != REFERENCE_EDGE);
			to->len++;
		}
	}
	for (int k = 0; k < form; k++) {
		same = k != 1 && to->len == forms[k].len && !memcmp(to->at, forms[k].at, to->len * sizeof(to->at[0]));
		if (same || to->len > SCAN_NEEDLE_MAX)
			to->len = 0;
	}
}

struct reference_forms {
	struct reference_symbols at[REFERENCE_FORMS * REFERENCE_NEEDLES];
	struct reference_symbols letters[REFERENCE_NEEDLES]; /* of those with a gap */
};

static inline void reference_forms(struct reference_forms *f, const struct reference_case *c)
{
	for (size_t k = 0; k < c->count; k++) {
		struct reference_symbols *s = &f->at[REFERENCE_FORMS * k], *g = &f->letters[k];

		reference_needle(s, &c->needles[k]);
		g->len = 0;
		if (!c->needles[k].gap) {
			reference_look(s + 1, s);
			for (int form = 2; form < REFERENCE_FORMS; form++)
				reference_hangul(s, form);
			continue;
		}
		reference_fold(s, c->needles[k].text, false, true);
		for (size_t i = 0; i < s->len; i++)
			if (s->at[i] != REFERENCE_EDGE && !s->noise[i]) {
				g->at[g->len] = s->at[i];
				g->word[g->len++] = s->word[i];
			}
		for (int form = 0; form < REFERENCE_FORMS; form++)
			s[form].len = 0;
	}
}

/* Looks that no needle has are no reading. */
static inline void reference_settle(struct reference_symbols *text, const struct reference_forms *f, size_t count)
{
	for (size_t i = 0; i < text->len; i++) {
		bool used = false;

		for (size_t k = 0; k < REFERENCE_FORMS * count && !used; k++)
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
                                  bool more, bool *mixed)
{
	bool changed = false, own = false;
	size_t start;

	if (!reference_ends(s, s->looks, end, word, len, more, &start))
		return false;
	for (size_t i = start; i < end; i++) {
		changed |= s->at[i] != s->looks[i];
		own |= s->at[i] == s->looks[i] && reference_own(s->at[i]);
	}
	*mixed = changed && own;
	return true;
}

/* Needles that begin behind a seam, in the order in which they are followed. */
struct reference_parted {
	struct {
		size_t start; /* the first letter */
		bool looks, forked;
	} at[SCAN_PARTED_MAX + 1];
	size_t count;
};

/* Whether the text from `start` up to `end`, with an edge in front, begins a needle's form. *all: it is all of it;
 * *more: some goes on. `edge`: an edge follows it. */
static inline bool reference_begins(const struct reference_symbols *s, const struct reference_symbols *form,
                                    size_t start, size_t end, bool looks, bool edge, bool *all, bool *more)
{
	size_t n = 1;

	*all = *more = false;
	if (!form->len || form->at[0] != REFERENCE_EDGE)
		return false;
	for (size_t i = start; i < end; i++) {
		if (s->at[i] == REFERENCE_SEAM)
			continue;
		if (n == form->len || form->at[n] != (looks ? s->looks[i] : s->at[i]))
			return false;
		n++;
	}
	if (edge && (n == form->len || form->at[n++] != REFERENCE_EDGE))
		return false;
	*all = n == form->len;
	*more = !*all;
	return true;
}

/* Tells the hits of a needle followed from `start` that end with the text before `end`. True: some needle goes on. */
static inline bool reference_follow(const struct reference_case *c, const struct reference_symbols *s,
                                    const struct reference_forms *f, size_t start, size_t end, bool looks, bool edge,
                                    struct scan_hit *hits, size_t *n)
{
	bool goes_on = false, own = false;

	for (size_t i = start; i < end; i++)
		own |= s->at[i] == s->looks[i] && reference_own(s->at[i]);
	for (size_t k = 0; k < REFERENCE_FORMS * c->count; k++) {
		bool all, more;

		if (!reference_begins(s, &f->at[k], start, end, looks, edge, &all, &more))
			continue;
		goes_on |= more;
		if (all && hits && (!looks || own))
			hits[(*n)++] =
				(struct scan_hit){ c->needles[k / REFERENCE_FORMS].id, s->real[start], s->real[end] };
	}
	return goes_on;
}

/* The token before `end`, for those that are followed. */
static inline void reference_part(struct reference_parted *p, const struct reference_case *c,
                                  const struct reference_symbols *s, const struct reference_forms *f, size_t end,
                                  struct scan_hit *hits, size_t *n)
{
	struct reference_parted was = *p;
	size_t t = end - 1;

	if (s->at[t] >= REFERENCE_SEAM) {
		bool told = s->at[t] == REFERENCE_EDGE && (!t || !s->word[t - 1]);

		for (size_t i = 0; i < p->count && !told; i++)
			reference_follow(c, s, f, p->at[i].start, t, p->at[i].looks, true, hits, n);
		return;
	}
	if (t && s->at[t - 1] == REFERENCE_SEAM && s->word[t]) {
		was.at[was.count].start = t;
		was.at[was.count].looks = was.at[was.count].forked = false;
		was.count++;
	}
	p->count = 0;
	for (size_t i = 0; i < was.count; i++) {
		bool forks = s->at[t] != s->looks[t] && !was.at[i].looks && !was.at[i].forked;

		for (int fork = 0; fork <= forks; fork++) {
			bool looks = was.at[i].looks || fork;

			if (!reference_follow(c, s, f, was.at[i].start, end, looks, false, hits, n) ||
			    p->count == SCAN_PARTED_MAX)
				continue;
			p->at[p->count].start = was.at[i].start;
			p->at[p->count].looks = looks;
			p->at[p->count++].forked = was.at[i].forked || forks;
		}
	}
}

/* Whether the first `len` letters of needle k, which has a gap, end at `end`, with noise behind if `noise`. *start: the
 * first, in symbols. */
static inline bool reference_gapped(const struct reference_symbols *s, size_t end, const struct reference_case *c,
                                    const struct reference_symbols *letters, size_t k, size_t len, bool noise,
                                    size_t *start)
{
	size_t at = end, run = 0;

	if (!noise && at && s->at[at - 1] >= REFERENCE_SEAM)
		at--;
	for (size_t i = len; i > 0;) {
		if (!at)
			return false;
		at--;
		if (s->at[at] >= REFERENCE_SEAM)
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
	/* A word begins where an edge or a seam stands before a letter. */
	return !(c->needles[k].edge_before && letters->word[0]) || (at && s->at[at - 1] >= REFERENCE_SEAM);
}

/* All hits in the order that scan.h promises. */
static inline size_t reference_hits(const struct reference_case *c, struct scan_hit *hits)
{
	static _Thread_local struct reference_symbols text;
	static _Thread_local struct reference_forms f;
	struct reference_parted parted = { .count = 0 };
	size_t n = 0, start;

	reference_fold(&text, c->text, true, true);
	reference_forms(&f, c);
	reference_settle(&text, &f, c->count);
	for (size_t end = 1; end <= text.len; end++) {
		bool edge = text.at[end - 1] >= REFERENCE_SEAM, ends_word = edge && end > 1 && text.word[end - 2];

		for (int twin = 0; twin < 2; twin++)
			for (size_t len = end; len > 0; len--)
				for (size_t k = 0; k < REFERENCE_FORMS * c->count; k++) {
					bool mixed = true;

					if (f.at[k].len != len)
						continue;
					if (twin ? reference_twin(&text, end, f.at[k].at, len, false, &mixed) && mixed
					         : reference_ends(&text, text.at, end, f.at[k].at, len, false, &start))
						hits[n++] = (struct scan_hit){ c->needles[k / REFERENCE_FORMS].id,
							                       text.real[end] - f.at[k].real[len],
							                       text.real[end] };
				}
		for (size_t len = end; len > 0; len--)
			for (size_t k = 0; k < c->count; k++) {
				const struct reference_symbols *g = &f.letters[k];
				if (g->len != len || (c->needles[k].edge_after && g->word[len - 1] ? !ends_word : edge))
					continue;
				if (reference_gapped(&text, end, c, g, k, len, false, &start))
					hits[n++] = (struct scan_hit){ c->needles[k].id, start, text.real[end] };
			}
		reference_part(&parted, c, &text, &f, end, hits, &n);
	}
	return n;
}

/* The hold after the first `at` bytes: symbols of the longest end of the text that begins a needle but is not all of
 * it. */
static inline size_t reference_hold(const struct reference_case *c, size_t at)
{
	static _Thread_local struct reference_symbols text;
	static _Thread_local struct reference_forms f;
	struct reference_parted parted = { .count = 0 };
	size_t best = 0, start;
	bool mixed;

	reference_fold(&text, slice_of(c->text.at, at), true, false);
	reference_forms(&f, c);
	reference_settle(&text, &f, c->count);
	for (size_t k = 0; k < REFERENCE_FORMS * c->count; k++)
		for (size_t len = 1; len < f.at[k].len; len++)
			if (f.at[k].real[len] > best &&
			    (reference_ends(&text, text.at, text.len, f.at[k].at, len, true, &start) ||
			     reference_twin(&text, text.len, f.at[k].at, len, true, &mixed)))
				best = f.at[k].real[len];
	for (size_t end = 1; end <= text.len; end++)
		reference_part(&parted, c, &text, &f, end, NULL, NULL);
	for (size_t i = 0; i < parted.count; i++)
		if (text.real[text.len] - text.real[parted.at[i].start] > best)
			best = text.real[text.len] - text.real[parted.at[i].start];
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
		if (text.at[i] >= REFERENCE_SEAM)
			continue;
		if (text.real[i] == hit->start)
			*from = text.from[i];
		if (text.real[i] + 1 == hit->end)
			*to = text.to[i];
	}
}

static inline struct slice reference_text(uint8_t *to, uint64_t *seed, uint32_t pieces, bool broken)
{
	static const char *const part[] = { "a",        "b",        "A",        "-",    "\xe2\x80\x8b",
		                            "а",        " ",        "ａ",       "沙",   "林",
		                            "é",        "1",        "ﬃ",        "½",    "\xe2\x80\x91",
		                            "\n",       "ff",       "氣",       "气",   "\1",
		                            "б",        "А",        "口",       "ロ",   "b",
		                            "\xc2\xad", "\xcc\x81", "\xe6\xb2", "\xff", "\xf0\x90" };
	static const char *const hangul[] = { "각", "가", "ㄱ", "ㅏ", "\u11a8", "a" };
	size_t len = 0, letters = broken ? 30 : 27;
	bool korean = !reference_rnd(seed, 4);

	letters = reference_rnd(seed, 3) ? 4 + reference_rnd(seed, 3) : letters;
	for (uint32_t i = 0; i < pieces; i++) {
		const char *p = korean ? hangul[reference_rnd(seed, 6)] : part[reference_rnd(seed, (uint32_t)letters)];

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
