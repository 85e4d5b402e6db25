/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookout_reference.h - what a policy finds in a text, worked out slowly: every pattern tried with PCRE2 at every start
 * of the whole text, every condition by looking at all words that occur.
 */
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/policy.h"
#include "scan/check.h"

#define REFERENCE_MAX 4096

/* A rule as the reference knows it. */
struct reference_rule {
	const char *id, *pattern; /* pattern NULL: keywords */
	uint32_t max_length;
	const char *check;
	const char *keywords[4], *except[4], *near[4], *all[4];
	uint32_t within; /* of near or all */
};

struct reference_hit {
	size_t rule;
	uint64_t start, end;
};

struct reference_hits {
	struct reference_hit at[REFERENCE_MAX];
	size_t n;
};

static inline void reference_add(struct reference_hits *to, size_t rule, uint64_t start, uint64_t end)
{
	if (to->n == REFERENCE_MAX)
		abort();
	to->at[to->n++] = (struct reference_hit){ rule, start, end };
}

/* Where `word` occurs: texts here are such that no folding, no edge and no character beyond one symbol is met, so that
 * symbols are characters. Offsets in characters. */
static inline size_t reference_words(struct slice text, const char *const *words, uint64_t (*at)[3], size_t most)
{
	size_t n = 0, characters = 0;

	for (size_t i = 0; i < text.len; characters += (text.at[i++] & 0xc0) != 0x80)
		for (size_t w = 0; w < 4 && words[w]; w++) {
			size_t len = strlen(words[w]), wide = 0;

			if ((text.at[i] & 0xc0) == 0x80 || text.len - i < len || memcmp(text.at + i, words[w], len))
				continue;
			for (size_t k = 0; k < len; k++)
				wide += ((uint8_t)words[w][k] & 0xc0) != 0x80;
			if (n == most)
				abort();
			at[n][0] = characters;
			at[n][1] = characters + wide;
			at[n++][2] = w;
		}
	return n;
}

static inline uint64_t reference_characters(struct slice text, size_t bytes)
{
	uint64_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n += (text.at[i] & 0xc0) != 0x80;
	return n;
}

static inline size_t reference_window(struct slice text, size_t from, uint32_t most)
{
	size_t i = from;

	for (uint32_t n = 0; i < text.len; i++)
		if ((text.at[i] & 0xc0) != 0x80 && n++ == most)
			break;
	return i;
}

static inline pcre2_code *reference_compile(const struct reference_rule *r)
{
	PCRE2_SIZE where;
	int number;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)r->pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_ANCHORED,
	                                 &number, &where, NULL);

	if (!code)
		abort();
	return code;
}

/* The matches of one pattern in `text`, in bytes. `partial`: more may follow; *hold is then where the match under way
 * begins, or text.len. */
static inline size_t reference_matches(const struct reference_rule *r, struct slice text, bool partial,
                                       uint64_t (*at)[3], size_t most, size_t *hold)
{
	pcre2_code *code = reference_compile(r);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	const struct check *check = r->check ? check_find(slice_str(r->check)) : NULL;
	size_t n = 0;

	*hold = text.len;
	for (size_t i = 0; i < text.len;) {
		size_t stop = r->max_length ? reference_window(text, i, r->max_length) : text.len, end;
		bool more = partial &&
		            (!r->max_length ||
		             reference_characters(text, text.len) - reference_characters(text, i) < r->max_length);
		int rc;

		if ((text.at[i] & 0xc0) == 0x80) {
			i++;
			continue;
		}
		rc = pcre2_match(code, text.at, stop, i, more ? PCRE2_PARTIAL_HARD : 0, data, NULL);
		if (rc == PCRE2_ERROR_PARTIAL) {
			*hold = i;
			break;
		}
		if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
			abort();
		end = rc < 0 ? 0 : pcre2_get_ovector_pointer(data)[1];
		if (rc >= 0 && (!check || check->holds(slice_of(text.at + i, end - i)))) {
			if (n == most)
				abort();
			at[n][0] = i;
			at[n++][1] = end;
			i = end;
		} else {
			i++;
		}
	}
	pcre2_match_data_free(data);
	pcre2_code_free(code);
	return n;
}

/* All that counts in the whole text. */
static inline void reference_find(const struct reference_rule *rules, size_t count, struct slice text,
                                  struct reference_hits *out)
{
	static uint64_t hits[REFERENCE_MAX][3], except[REFERENCE_MAX][3], near[REFERENCE_MAX][3];

	out->n = 0;
	for (size_t r = 0; r < count; r++) {
		const struct reference_rule *rule = &rules[r];
		size_t n, exceptions, nears, hold;

		if (rule->all[0]) {
			uint64_t last[4][2];
			bool seen[4] = { false };

			n = reference_words(text, rule->all, hits, REFERENCE_MAX);
			/* In order of their ends. */
			for (uint64_t end = 0; end <= text.len; end++)
				for (size_t i = 0; i < n; i++) {
					uint64_t from = UINT64_MAX, to = 0;
					bool whole = true;

					if (hits[i][1] != end)
						continue;
					seen[hits[i][2]] = true;
					last[hits[i][2]][0] = hits[i][0];
					last[hits[i][2]][1] = hits[i][1];
					for (size_t w = 0; w < 4 && rule->all[w]; w++) {
						whole = whole && seen[w];
						if (!seen[w])
							continue;
						from = last[w][0] < from ? last[w][0] : from;
						to = last[w][1] > to ? last[w][1] : to;
					}
					if (whole && to - from <= rule->within)
						reference_add(out, r, from, to);
				}
			continue;
		}
		if (rule->pattern) {
			n = reference_matches(rule, text, false, hits, REFERENCE_MAX, &hold);
			for (size_t i = 0; i < n; i++) {
				hits[i][0] = reference_characters(text, hits[i][0]);
				hits[i][1] = reference_characters(text, hits[i][1]);
			}
		} else {
			n = reference_words(text, rule->keywords, hits, REFERENCE_MAX);
		}
		exceptions = reference_words(text, rule->except, except, REFERENCE_MAX);
		nears = reference_words(text, rule->near, near, REFERENCE_MAX);
		for (size_t i = 0; i < n; i++) {
			bool counts = !rule->near[0];

			for (size_t k = 0; k < nears; k++)
				counts |= near[k][0] <= hits[i][1] + rule->within &&
				          near[k][1] + rule->within >= hits[i][0];
			for (size_t k = 0; k < exceptions; k++)
				counts &= !(except[k][0] <= hits[i][0] && except[k][1] >= hits[i][1]);
			if (counts)
				reference_add(out, r, hits[i][0], hits[i][1]);
		}
	}
}
