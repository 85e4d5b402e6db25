/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookout_test.c - patterns and conditions over texts that come in pieces: the same as on the whole text, nothing let
 * go that may still become a hit, and nothing held that cannot.
 */
#include "tests/lib/test.h"

#include <errno.h>

#include "base/own.h"
#include "tests/lib/lookout_reference.h"
#include "tests/lib/talk.h"

static const struct reference_rule table[] = {
	{ .id = "id", .pattern = "(?<![0-9])[1-9][0-9]{16}[0-9Xx](?![0-9])" },
	{ .id = "short", .pattern = "(?<![0-9])[0-9]{3,5}(?:-[0-9]{2})?(?![0-9])" },
	{ .id = "mail", .pattern = "(?<![a-z0-9.])[a-z0-9.]{1,8}@(?:[a-z]{1,4}\\.){1,3}[a-z]{2,3}(?![a-z])" },
	{ .id = "key", .pattern = "ab-[a-z0-9]{4,}", .max_length = 12 },
	{ .id = "bare", .pattern = "(?:a|ab)b{0,3}c?" },
	{ .id = "wide", .pattern = "甲[乙丙]{1,3}(?=丁)" },
	{ .id = "dots", .pattern = "1.{0,4}2" },
	{ .id = "edge", .pattern = "\\b[a-c]{2,4}\\b" },
	{ .id = "bank", .pattern = "[0-9]{12}", .check = "luhn" },
	{ .id = "lazy", .pattern = "x[^x]{0,6}?x" },
	{ .id = "except", .keywords = { "甲乙", "丙" }, .except = { "丁甲乙丙", "丙丁丁", "丁丙" } },
	{ .id = "near", .keywords = { "甲", "1-" }, .near = { "丙丁", "c" }, .within = 5 },
	{ .id = "both", .keywords = { "乙丙" }, .except = { "乙丙丙" }, .near = { "@", "丁" }, .within = 3 },
	{ .id = "all", .all = { "甲", "丁丁", "@-" }, .within = 12 },
	{ .id = "pnear", .pattern = "[0-9]{2}(?:-[0-9]{6})?", .near = { "丁", "ab" }, .within = 2 },
	{ .id = "pexcept", .pattern = "[0-9]{2}", .except = { "0123", "99" } },
};

#define RULES ARRAY_LEN(table)

/* A yaml list of quoted words. */
static size_t put_list(char *to, const char *key, const char *const *words)
{
	size_t n = 0;

	if (!words[0])
		return 0;
	n += (size_t)sprintf(to + n, "%s[", key);
	for (size_t i = 0; i < 4 && words[i]; i++)
		n += (size_t)sprintf(to + n, "%s\"%s\"", i ? ", " : "", words[i]);
	return n + (size_t)sprintf(to + n, "]");
}

/* The policy of these rules; the actions take turns, with `block` all block. */
static struct ruleset *policy_of(const struct reference_rule *rules, size_t count, bool block)
{
	static char pack[16384];
	static const char *const actions[] = { "block", "redact" };
	size_t n = (size_t)sprintf(pack, "pack: t\nrules:\n");

	for (size_t i = 0; i < count; i++) {
		const struct reference_rule *r = &rules[i];

		n += (size_t)sprintf(pack + n, "- id: %s\n  risk: A.4.f\n  action: %s\n  boundary: none\n", r->id,
		                     actions[block ? 0 : i % 2]);
		if (r->pattern)
			n += (size_t)sprintf(pack + n, "  pattern: '%s'\n", r->pattern);
		if (r->max_length)
			n += (size_t)sprintf(pack + n, "  max_length: %u\n", r->max_length);
		if (r->check)
			n += (size_t)sprintf(pack + n, "  check: %s\n", r->check);
		n += put_list(pack + n, "  keywords: ", r->keywords);
		n += put_list(pack + n, "\n  except: ", r->except);
		n += put_list(pack + n, "\n  near: {words: ", r->near);
		if (r->near[0])
			n += (size_t)sprintf(pack + n, ", within: %u}", r->within);
		n += put_list(pack + n, "\n  all_of: {words: ", r->all);
		if (r->all[0])
			n += (size_t)sprintf(pack + n, ", within: %u}", r->within);
		n += (size_t)sprintf(pack + n, "\n");
	}
	return talk_rules(pack);
}

/* ---- what a lookout told ---- */

struct told {
	struct reference_hits hits;
	uint64_t bytes[REFERENCE_MAX][2];
	const struct reference_rule *rules;
	size_t count;
};

static int tell(void *to, const struct sight *s)
{
	struct told *t = to;
	size_t r = 0;

	while (strcmp(t->rules[r].id, s->rule->id))
		r++;
	t->bytes[t->hits.n][0] = s->from;
	t->bytes[t->hits.n][1] = s->to;
	reference_add(&t->hits, r, s->start, s->end);
	return 0;
}

static int compare(const void *x, const void *y)
{
	const struct reference_hit *a = x, *b = y;

	if (a->rule != b->rule)
		return a->rule < b->rule ? -1 : 1;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

static void show(const char *who, const struct reference_hits *h, const struct reference_rule *rules)
{
	for (size_t i = 0; i < h->n; i++)
		fprintf(stderr, "%s %s %lu-%lu\n", who, rules[h->at[i].rule].id, h->at[i].start, h->at[i].end);
}

static const struct scope anywhere = {};

/* Every piece of `step` bytes; what is told lies in front of nothing that was let go. */
static void run(struct ruleset *r, struct slice text, size_t step, struct told *t)
{
	struct lookout w = { .locate = true };
	uint64_t free_symbol = 0, free_byte = 0;

	t->hits.n = 0;
	for (size_t at = 0; at < text.len; at += step) {
		size_t n = text.len - at < step ? text.len - at : step, before = t->hits.n;
		struct lookout_hold hold;

		cr_assert_eq(lookout_feed(r, &anywhere, &w, slice_of(text.at + at, n), tell, t), 0);
		for (size_t i = before; i < t->hits.n; i++)
			cr_assert(t->hits.at[i].start >= free_symbol || t->bytes[i][0] >= free_byte,
			          "%s at %lu was let go up to %lu", t->rules[t->hits.at[i].rule].id,
			          t->hits.at[i].start, free_symbol);
		lookout_hold(r, &w, &hold);
		free_symbol = hold.symbol;
		free_byte = hold.byte;
	}
	cr_assert_eq(lookout_end(r, &anywhere, &w, tell, t), 0);
	cr_assert_eq(w.bytes, text.len);
	lookout_free(&w);
	for (size_t i = 0; i < t->hits.n; i++) {
		cr_assert_eq(reference_characters(text, t->bytes[i][0]), t->hits.at[i].start);
		cr_assert_eq(reference_characters(text, t->bytes[i][1]), t->hits.at[i].end);
	}
}

static uint32_t seed = 1;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return (uint32_t)((uint64_t)seed * below >> 32);
}

static size_t make_text(uint8_t *to, size_t most)
{
	static const char *const parts[] = { "甲", "乙", "丙", "丁",  "丁丁", "0",    "1",     "2",       "9",
		                             "a",  "b",  "c",  "x",   "@",    ".",    "-",     " ",       "ab-",
		                             "@-", "\n", "é",  "123", "ab@c", ".com", "12345", "丁甲乙丙" };
	size_t n = 0, kinds = 4 + rnd(ARRAY_LEN(parts) - 4), first = rnd(ARRAY_LEN(parts));

	while (n + 16 < most) {
		const char *p = parts[(first + rnd((uint32_t)kinds)) % ARRAY_LEN(parts)];

		memcpy(to + n, p, strlen(p));
		n += strlen(p);
	}
	return n;
}

TEST(lookout, the_same_as_on_the_whole_text)
{
	static struct told told;
	static struct reference_hits want;
	owned(ruleset_put) struct ruleset *r = policy_of(table, RULES, false);
	uint8_t bytes[256];
	size_t hits[RULES] = { 0 };

	cr_assert_not_null(r);
	told.rules = table;
	for (int i = 0; i < 1500; i++) {
		struct slice text = slice_of(bytes, make_text(bytes, 20 + rnd(236)));

		reference_find(table, RULES, text, &want);
		qsort(want.at, want.n, sizeof(*want.at), compare);
		for (size_t step = 1; step <= text.len; step += step < 4 ? 1 : 1 + rnd(100)) {
			run(r, text, step, &told);
			qsort(told.hits.at, told.hits.n, sizeof(*told.hits.at), compare);
			if (told.hits.n != want.n || memcmp(told.hits.at, want.at, want.n * sizeof(*want.at))) {
				fprintf(stderr, "%.*s\n", SLICE_ARG(text));
				show("want", &want, table);
				show("told", &told.hits, table);
			}
			cr_assert_eq(told.hits.n, want.n, "text %d, pieces of %zu", i, step);
			cr_assert_arr_eq(told.hits.at, want.at, want.n * sizeof(*want.at));
		}
		for (size_t k = 0; k < want.n; k++)
			hits[want.at[k].rule]++;
	}
	for (size_t i = 0; i < RULES; i++)
		cr_expect(hits[i] || table[i].check || !strcmp(table[i].id, "id"), "%s is never met", table[i].id);
}

/* Of a policy with one pattern, held is exactly what PCRE2 says may still match. */
TEST(lookout, holds_what_may_still_match_and_no_more)
{
	uint8_t bytes[200];
	static uint64_t found[REFERENCE_MAX][3];

	for (size_t i = 0; i < RULES && table[i].pattern; i++) {
		owned(ruleset_put) struct ruleset *r = policy_of(&table[i], 1, true);
		static struct told told;

		cr_assert_not_null(r, "%s", table[i].pattern);
		told.rules = &table[i];
		for (int round = 0; round < 150; round++) {
			struct slice text = slice_of(bytes, make_text(bytes, 20 + rnd(180)));
			struct lookout w = {};

			told.hits.n = 0;
			for (size_t at = 0; at < text.len; at++) {
				struct lookout_hold hold;
				size_t want;

				cr_assert_eq(lookout_feed(r, &anywhere, &w, slice_of(text.at + at, 1), tell, &told), 0);
				if (w.scan.tail_len)
					continue;
				reference_matches(&table[i], slice_of(text.at, at + 1), true, found, REFERENCE_MAX,
				                  &want);
				lookout_hold(r, &w, &hold);
				cr_assert_eq(hold.byte, want, "%s: %.*s", table[i].pattern, (int)at + 1, text.at);
			}
			lookout_free(&w);
		}
	}
}

TEST(lookout, bytes_that_are_not_utf8_are_in_nobodys_way)
{
	static const struct reference_rule one = { .id = "short", .pattern = "(?<![0-9])[0-9]{3,5}(?![0-9])" };
	owned(ruleset_put) struct ruleset *r = policy_of(&one, 1, true);
	static const char *const odd[] = { "\xff", "\xe6\xb2", "\xf0\x9f\x98", "\xc3", "\xed\xa0\x80", "\x80\x80" };
	static struct told told;

	cr_assert_not_null(r);
	told.rules = &one;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		char text[64];
		size_t n = (size_t)sprintf(text, "ab%s1234%s12345%s", odd[i], odd[i], odd[i]), k = strlen(odd[i]);

		for (size_t step = 1; step <= n; step++) {
			struct lookout w = { .locate = true };

			told.hits.n = 0;
			for (size_t at = 0; at < n; at += step)
				lookout_feed(r, &anywhere, &w, slice_of(text + at, n - at < step ? n - at : step), tell,
				             &told);
			lookout_end(r, &anywhere, &w, tell, &told);
			lookout_free(&w);
			cr_assert_eq(told.hits.n, 2);
			cr_expect_eq(told.bytes[0][0], 2 + k);
			cr_expect_eq(told.bytes[0][1], 6 + k);
			cr_expect_eq(told.bytes[1][0], 6 + 2 * k);
			/* Symbols as the scanner counts them: what is no text is none. */
			cr_expect_eq(told.hits.at[1].end, w.scan.symbols);
			cr_expect_eq(w.scan.symbols, 11);
		}
	}
}

/* A text that ends and begins again: nothing of the first is met in the second. */
TEST(lookout, texts_do_not_touch)
{
	static const struct reference_rule rules[] = {
		{ .id = "short", .pattern = "(?<![0-9])[0-9]{3,5}(?![0-9])" },
		{ .id = "near", .keywords = { "甲" }, .near = { "丁" }, .within = 5 },
	};
	owned(ruleset_put) struct ruleset *r = policy_of(rules, 2, true);
	static struct told told;
	struct lookout w = {};

	told.rules = rules;
	lookout_feed(r, &anywhere, &w, SLICE("丁12"), tell, &told);
	cr_expect_eq(lookout_end(r, &anywhere, &w, tell, &told), 0);
	lookout_feed(r, &anywhere, &w, SLICE("34甲"), tell, &told);
	cr_expect_eq(lookout_end(r, &anywhere, &w, tell, &told), 0);
	cr_expect_eq(told.hits.n, 0);
	lookout_feed(r, &anywhere, &w, SLICE("345甲丁"), tell, &told);
	cr_expect_eq(lookout_end(r, &anywhere, &w, tell, &told), 0);
	cr_expect_eq(told.hits.n, 2);
	cr_expect_eq(told.hits.at[0].start, 6);
	lookout_free(&w);
}
