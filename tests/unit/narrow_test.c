/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow_test.c - patterns in text that writes its digits otherwise, or hides something between them: what is found is
 * what is in the text as it stands, and what is in the text as it reads, under every cut.
 */
#include "tests/lib/test.h"

#include "base/own.h"
#include "scan/recogniser.h"

#define HITS_MAX 256

static const struct {
	const char *written, *reads; /* the same: reads as it is */
} characters[] = {
	{ "1", "1" },   { "2", "2" },          { "a", "a" },           { "@", "@" },     { ".", "." },   { " ", " " },
	{ "毒", "毒" }, { "１", "1" },         { "②", "2" },           { "\u200b", "" }, { "\1", "" },   { "٢", "2" },
	{ "Ａ", "A" },  { "＠", "@" },         { "．", "." },          { "，", "，" },   { "\n", "\n" }, { "é", "é" },
	{ "\xff", "" }, { "\U0001d7d9", "1" }, { "\ufe0f\u200d", "" }, { "\u0301", "" }, { "A", "A" },   { "　", "　" },
};

static const char *const patterns[] = {
	"(?<![0-9])[0-9]{3,5}(?![0-9])", "[A-Za-z0-9.]+@[A-Za-z0-9.]+", "1 ?1", "A[0-9]", "毒[0-9]{2}", "2\\.1",
};

struct hits {
	struct recognised at[HITS_MAX];
	size_t n;
};

static int add(void *to, const struct recognised *what)
{
	struct hits *h = to;

	cr_assert_lt(h->n, HITS_MAX);
	h->at[h->n++] = *what;
	return 0;
}

static int by_place(const void *x, const void *y)
{
	const struct recognised *a = x, *b = y;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	if (a->to != b->to)
		return a->to < b->to ? -1 : 1;
	return a->pattern < b->pattern ? -1 : a->pattern > b->pattern;
}

static struct recognisers *compiled(void)
{
	struct pattern p[ARRAY_LEN(patterns)];
	struct pattern_fault fault;
	struct recognisers *s = NULL;

	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		p[i] = (struct pattern){ slice_str(patterns[i]), i == 1 ? 40 : 0, true, NULL };
	cr_assert_eq(recognisers_compile(&s, p, ARRAY_LEN(p), &fault), 0, "%zu: %s", fault.which, fault.why);
	return s;
}

/* In the text as it stands alone. Returns what is held, as a place; `end`: nothing follows. */
static uint64_t as_it_is(const struct recognisers *s, struct slice text, bool end, struct hits *h)
{
	struct recognising g = {};
	struct scan_state none = {};
	struct recent r = {};
	uint64_t hold;

	h->n = 0;
	if (!text.len)
		return UINT64_MAX;
	cr_assert_eq(recent_add(&r, &none, text), 0);
	if (end)
		recent_end(&r);
	cr_assert_eq(recognisers_feed(s, &g, &r, end, add, h), 0);
	hold = recognisers_hold(&g);
	recent_free(&r);
	recognising_free(&g);
	return hold;
}

/* A text, what it reads as, and where each byte of that stands. */
struct disguise {
	char text[512], reads[512];
	uint64_t from[512], to[512];
	bool other[512];  /* the character reads otherwise */
	bool behind[512]; /* something is left out in front of it */
	size_t len, reads_len;
};

static void disguise_add(struct disguise *d, const char *written, const char *reads)
{
	size_t n = strlen(written), m = strlen(reads);

	for (size_t i = 0; i < m; i++) {
		d->from[d->reads_len + i] = d->len;
		d->to[d->reads_len + i] = d->len + n;
		d->other[d->reads_len + i] = strcmp(written, reads) != 0;
		d->behind[d->reads_len + i] = !i && d->len && (!d->reads_len || d->to[d->reads_len - 1] != d->len);
	}
	memcpy(d->text + d->len, written, n);
	memcpy(d->reads + d->reads_len, reads, m);
	d->len += n;
	d->reads_len += m;
}

/* What is to be found: in the text as it stands, and as it reads where that is not the same. */
static void expected(const struct recognisers *s, const struct disguise *d, struct hits *out)
{
	static struct hits h;

	as_it_is(s, slice_of(d->text, d->len), true, out);
	as_it_is(s, slice_of(d->reads, d->reads_len), true, &h);
	for (size_t i = 0; i < h.n; i++) {
		bool turned = false;

		for (uint64_t k = h.at[i].from; k < h.at[i].to; k++)
			turned |= d->other[k] || (k > h.at[i].from && d->behind[k]);
		if (turned)
			add(out, &(struct recognised){ h.at[i].pattern, d->from[h.at[i].from], d->to[h.at[i].to - 1] });
	}
	qsort(out->at, out->n, sizeof(out->at[0]), by_place);
}

static void in_pieces(const struct recognisers *s, const struct disguise *d, size_t step, struct hits *out)
{
	owned(trail_free) struct trail *t = NULL;
	struct scan_state none = {};

	out->n = 0;
	cr_assert_eq(trail_new(&t, 0), 0);
	for (size_t at = 0; at < d->len; at += step) {
		size_t n = d->len - at < step ? d->len - at : step;

		cr_assert_eq(trail_add(t, &none, slice_of(d->text + at, n)), 0);
		cr_assert_eq(trail_recognise(t, s, false, add, out), 0);
		trail_forget(t, s, UINT64_MAX, 0);
	}
	trail_end(t);
	cr_assert_eq(trail_recognise(t, s, true, add, out), 0);
	qsort(out->at, out->n, sizeof(out->at[0]), by_place);
}

TEST(narrow, the_same_as_in_the_text_that_it_stands_for)
{
	owned(recognisers_free) struct recognisers *s = compiled();
	static struct disguise d;
	static struct hits want, got;
	uint32_t seed = 7;
	size_t found = 0;

	for (int round = 0; round < 1500; round++) {
		memset(&d, 0, sizeof(d));
		for (size_t i = 0, n = (size_t)(round % 40); i < n; i++) {
			size_t k;

			seed = seed * 1664525 + 1013904223;
			k = (seed >> 12) % (round & 1 ? ARRAY_LEN(characters) : 10);
			disguise_add(&d, characters[k].written, characters[k].reads);
		}
		expected(s, &d, &want);
		found += want.n;
		for (size_t step = 1; step < 24; step += step < 5 ? 1 : 6) {
			in_pieces(s, &d, step, &got);
			cr_assert_eq(got.n, want.n, "round %d, pieces of %zu: %zu for %zu in '%s'", round, step, got.n,
			             want.n, d.text);
			for (size_t i = 0; i < got.n; i++)
				cr_assert(!by_place(&got.at[i], &want.at[i]),
				          "round %d, pieces of %zu, hit %zu: %zu-%zu", round, step, i,
				          (size_t)got.at[i].from, (size_t)got.at[i].to);
		}
	}
	cr_expect_gt(found, 1000);
}

/* Held is what may still match in one of the two readings. */
TEST(narrow, holds)
{
	owned(recognisers_free) struct recognisers *s = compiled();
	struct scan_state none = {};
	static struct hits h;
	uint32_t seed = 3;

	for (int round = 0; round < 300; round++) {
		owned(trail_free) struct trail *t = NULL;
		static struct disguise d;

		memset(&d, 0, sizeof(d));
		cr_assert_eq(trail_new(&t, 0), 0);
		for (size_t i = 0; i < 40; i++) {
			uint64_t plain, other, least;
			size_t k, had = d.len;

			seed = seed * 1664525 + 1013904223;
			k = (seed >> 12) % ARRAY_LEN(characters);
			disguise_add(&d, characters[k].written, characters[k].reads);
			cr_assert_eq(trail_add(t, &none, slice_of(d.text + had, d.len - had)), 0);
			cr_assert_eq(trail_recognise(t, s, false, add, &h), 0);
			trail_forget(t, s, UINT64_MAX, 0);
			plain = as_it_is(s, slice_of(d.text, d.len), false, &h);
			other = as_it_is(s, slice_of(d.reads, d.reads_len), false, &h);
			h.n = 0;
			least = other == UINT64_MAX ? other : d.from[other];
			least = plain < least ? plain : least;
			cr_assert_eq(trail_hold(t), least, "round %d, after %zu: %zu for %zu", round, i,
			             (size_t)trail_hold(t), (size_t)least);
		}
	}
}

/* A copy goes on like the one it was made from. */
TEST(narrow, copies)
{
	owned(recognisers_free) struct recognisers *s = compiled();
	static struct hits h;

	for (size_t cut = 1; cut < 14; cut++) {
		static const char text[] = "毒１\u200b2 1\u200b ";
		owned(trail_free) struct trail *t = NULL, *u = NULL;
		struct scan_state none = {};

		h.n = 0;
		cr_assert_eq(trail_new(&t, 0), 0);
		cr_assert_eq(trail_new(&u, 0), 0);
		cr_assert_eq(trail_add(t, &none, slice_of(text, cut)), 0);
		cr_assert_eq(trail_recognise(t, s, false, add, &h), 0);
		cr_assert_eq(trail_copy(s, u, t), 0);
		cr_assert_eq(trail_add(u, &none, slice_of(text + cut, sizeof(text) - 1 - cut)), 0);
		trail_end(u);
		cr_assert_eq(trail_recognise(u, s, true, add, &h), 0);
		cr_assert_eq(h.n, 1, "cut at %zu: %zu", cut, h.n);
		cr_expect_eq(h.at[0].from, 0);
		cr_expect_eq(h.at[0].to, 10);
	}
}
