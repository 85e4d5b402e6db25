/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needle_test.c - a needle is found where it stands and nowhere else; and the words that a pattern is said to need
 * stand in every text that PCRE2 finds it in.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

#include "base/own.h"
#include "record/pattern.h"
#include "tests/lib/test.h"

static size_t naive(const struct needle *n, struct slice in, size_t from)
{
	for (size_t i = from; i + n->len <= in.len; i++) {
		size_t k = 0;

		while (k < n->len && (n->caseless ? ascii_lower(in.at[i + k]) : in.at[i + k]) == n->at[k])
			k++;
		if (k == n->len)
			return i;
	}
	return in.len;
}

TEST(needle, found_where_it_stands)
{
	srand(1);
	for (int turn = 0; turn < 20000; turn++) {
		size_t len = (size_t)rand() % 200, want = 3 + (size_t)rand() % 8;
		uint8_t *text = malloc(len + 1), word[16]; /* its own, so that a byte too far is noticed */
		struct needle n;

		for (size_t i = 0; i < len; i++)
			text[i] = (uint8_t)("abAB`@"[rand() % 6]);
		for (size_t i = 0; i < want; i++)
			word[i] = (uint8_t)("abAB`@"[rand() % 6]);
		if (!needle_make(&n, slice_of(word, want), rand() % 2))
			cr_assert_fail("%zu bytes are enough", want);
		for (size_t from = 0; from <= len; from += 1 + (size_t)rand() % 9) {
			struct slice in = { text, len };

			cr_assert_eq(needle_find(&n, in, from), naive(&n, in, from));
		}
		free(text);
	}
}

/* Caseless, K is found by U+212A, s by U+017F: such letters are in no needle. */
TEST(needle, letters_with_cases_beyond_ascii_are_left_out)
{
	struct needle n;

	cr_assert(needle_make(&n, SLICE("tasks-Gone"), true));
	cr_assert_eq(n.len, 5);
	cr_assert_eq(memcmp(n.at, "-gone", 5), 0);
	cr_assert_not(needle_make(&n, SLICE("skiskis"), true));
	cr_assert_not(needle_make(&n, SLICE("ab"), false));
}

static void make(char *to, size_t room, const char *const *pieces, size_t count, size_t most)
{
	size_t n = 1 + (size_t)rand() % most, len = 0;

	*to = 0;
	for (size_t i = 0; i < n && len < room - 16; i++)
		len += (size_t)snprintf(to + len, room - len, "%s", pieces[(size_t)rand() % count]);
}

TEST(pattern, what_it_needs_stands_in_all_that_matches)
{
	static const char *const parts[] = {
		"abc",  "abc",      "cab",  "bcab",      "a",     "b",    "c",    "k",    "|",
		"(",    ")",        "[",    "]",         "[^]a]", "[]b]", "{2}",  "{1,}", "{",
		"}",    "*",        "+",    "?",         "^",     "$",    ".",    "\\.",  "\\b",
		"\\d",  "\\Q",      "\\E",  "\\x61",     "(?i)",  "(?:",  "(?=",  "(?#",  "[[:alpha:]]",
		"-",    "\xc3\xa9", "\\)",  "\\]",       "\\|",   "\\c)", "(?x)", " ",    "#",
		"abc|", "(abc)?",   "\\K",  "(*ACCEPT)", "x{b|",  "{,3}", "\\",   "cab",  "\xe2\x84\xaa",
		"S",    "[\\]",     "bcab", "(?|"
	};
	static const char *const said[] = { "abc",      "a",   "b",    "c",   "k",        "K",        "s",
		                            "S",        "cab", "bcab", ".",   "]",        ")",        "|",
		                            "1",        "-",   " ",    "#",   "\xc3\xa9", "\xc3\x89", "\xe2\x84\xaa",
		                            "\xc5\xbf", "x{b", "{2}",  "ABC", "bc" };
	uint32_t words = 0, matched = 0;

	srand(2);
	for (int turn = 0; turn < 60000; turn++) {
		char pattern[128], text[160];
		bool caseless = rand() % 2;
		struct needle needles[PATTERN_WORDS];
		pcre2_match_data *match;
		pcre2_code *code;
		PCRE2_SIZE at;
		size_t n;
		int err;

		make(pattern, sizeof(pattern), parts, ARRAY_LEN(parts), 7);
		n = pattern_words(pattern, caseless, needles);
		code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
		                     PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | (caseless ? PCRE2_CASELESS : 0), &err, &at,
		                     NULL);
		if (!code || !n) {
			pcre2_code_free(code);
			continue;
		}
		words++;
		match = pcre2_match_data_create_from_pattern(code, NULL);
		for (int i = 0; i < 30; i++) {
			bool has = false;
			size_t len;

			make(text, sizeof(text), said, ARRAY_LEN(said), 8);
			len = strlen(text);
			if (pcre2_match(code, (PCRE2_SPTR)text, len, 0, 0, match, NULL) < 0)
				continue;
			matched++;
			for (size_t k = 0; k < n; k++)
				has = has || needle_find(&needles[k], slice_str(text), 0) < len;
			cr_assert(has, "'%s'%s matches '%s'", pattern, caseless ? " caseless" : "", text);
		}
		pcre2_match_data_free(match);
		pcre2_code_free(code);
	}
	cr_assert_gt(words, 1000, "%u", words);
	cr_assert_gt(matched, 1000, "%u", matched);
}

TEST(pattern, plain_words_are_known)
{
	struct needle n[PATTERN_WORDS];

	cr_assert_eq(pattern_words("threat|^tried-once$", false, n), 2);
	cr_assert_eq(memcmp(n[0].at, "threat", 6), 0);
	cr_assert_eq(memcmp(n[1].at, "tried-once", 10), 0);
	cr_assert_eq(pattern_words("(a|b)nerve\\.?agent", false, n), 1);
	cr_assert_eq(n[0].len, 5);
	cr_assert_eq(pattern_words("ab|cde", false, n), 0);
	cr_assert_eq(pattern_words("abc|", false, n), 0);
	cr_assert_eq(pattern_words("(?x)a b c", false, n), 0);
}
