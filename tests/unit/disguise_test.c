/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every code point that the shipped data folds is a disguise that must not work: a phrase in which it stands for what
 * it folds to, or between letters if it folds to nothing, is met at its place, whole and cut in each of its bytes; and
 * so is a phrase written with it, in the text that has what it folds to. What looks like another is met amid letters
 * that do not.
 */
#include "tests/lib/test.h"

#include "base/own.h"
#include "scan/fold.h"
#include "scan/scan.h"
#include "scan/utf8.h"

#define HITS 512 /* code points that fold to the same, and some */

static size_t put(char *to, uint32_t cp)
{
	static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t len = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

	for (size_t i = len - 1; i > 0; i--, cp >>= 6)
		to[i] = (char)(0x80 | (cp & 0x3f));
	to[0] = (char)(lead[len] | cp);
	return len;
}

/* Writes "q", cp, "q" or, if `plain`, what cp folds to between them. */
static size_t phrase(char *to, uint32_t cp, bool plain)
{
	const uint32_t *seq = &cp;
	uint32_t one;
	size_t len = 1, n = plain ? fold_point(cp, &seq, &one) : 1;

	to[0] = 'q';
	for (size_t i = 0; i < n; i++)
		len += put(to + len, FOLD_VALUE(fold_settle(seq[i])));
	to[len] = 'q';
	return len + 1;
}

/* Whether needle `id` is met in all of `text` but its first and last letter, cut at `cut`. */
static bool met(const struct scanner *s, struct slice text, size_t cut, uint32_t id)
{
	struct scan_state st = { 0 };
	struct scan_hit hits[HITS];
	size_t used, n = scan_feed(s, &st, slice_of(text.at, cut), &used, hits, HITS);

	n += scan_feed(s, &st, slice_from(text, cut), &used, hits + n, HITS - n);
	cr_assert_lt(n, HITS);
	for (size_t i = 0; i < n; i++) {
		size_t from, to;

		if (hits[i].needle != id)
			continue;
		scan_locate(s, (struct scan_state){ 0 }, text, hits[i].start, hits[i].end, &from, &to);
		return from == 1 && to == text.len - 1;
	}
	return false;
}

static bool folds(uint32_t cp, bool *dropped)
{
	const uint32_t *seq;
	uint32_t one;
	size_t n = fold_point(cp, &seq, &one);

	*dropped = !n;
	return (cp < 0xd800 || cp > 0xdfff) && (n != 1 || FOLD_VALUE(seq[0]) != cp);
}

TEST(disguise, of_every_code_point)
{
	struct needle *needles = calloc(FOLD_POINTS, sizeof(*needles));
	char(*words)[16] = calloc(FOLD_POINTS, sizeof(*words)), text[128];
	struct scanner *s = NULL;
	enum scan_fault fault;
	size_t which, count = 1, all = 0;
	bool dropped;

	cr_assert(needles && words);
	needles[0] = (struct needle){ SLICE("qq"), 0, false, false };
	for (uint32_t cp = 0; cp < FOLD_POINTS; cp++)
		if (folds(cp, &dropped) && !dropped) {
			needles[count] = (struct needle){ slice_of(words[count], phrase(words[count], cp, false)), cp,
				                          false, false };
			count++;
		}
	cr_assert_eq(scanner_compile(&s, needles, count, &fault, &which), 0);
	text[0] = 'z';
	for (uint32_t cp = 0; cp < FOLD_POINTS; cp++) {
		size_t len;

		if (!folds(cp, &dropped))
			continue;
		all++;
		len = 1 + phrase(text + 1, cp, false);
		text[len++] = 'z';
		EACH_CUT (cut, len)
			cr_assert(met(s, slice_of(text, len), cut, dropped ? 0 : cp), "U+%04X cut %zu", cp, cut);
		len = 1 + phrase(text + 1, cp, true);
		text[len++] = 'z';
		cr_assert(met(s, slice_of(text, len), 0, dropped ? 0 : cp), "what U+%04X folds to", cp);
	}
	cr_expect_gt(all, 16000);
	scanner_free(&s);
	free(needles);
	free(words);
}

/* Amid letters that others look like, whatever it looks like. */
TEST(disguise, of_every_look)
{
	for (uint32_t i = 0; i < fold_twin_count; i++) {
		uint32_t cp = fold_twins[i].cp;
		char word[16] = "q", text[32] = "-q";
		size_t len = 1 + put(word + 1, fold_twins[i].looks), end = 2 + put(text + 2, cp);
		struct needle n;
		struct scanner *s = NULL;
		enum scan_fault fault;
		size_t which;

		word[len++] = 'q';
		text[end++] = 'q';
		text[end++] = '-';
		n = (struct needle){ slice_of(word, len), cp, true, true };
		cr_assert_eq(scanner_compile(&s, &n, 1, &fault, &which), 0);
		EACH_CUT (cut, end)
			cr_assert(met(s, slice_of(text, end), cut, cp), "U+%04X cut %zu", cp, cut);
		scanner_free(&s);
	}
}
