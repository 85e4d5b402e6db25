/* SPDX-License-Identifier: Apache-2.0 */
/* The generated fold data: what folds to what, and what holds for every code point. */
#include "tests/lib/test.h"

#include "scan/fold_data.h"

struct folded {
	uint32_t at[32];
	size_t len;
	bool word[32];
};

static struct folded fold(uint32_t cp)
{
	uint32_t e = fold_blocks[fold_index[cp >> FOLD_SHIFT]][cp & (FOLD_BLOCK - 1)];
	struct folded f = { { FOLD_KIND(e) == FOLD_SELF ? cp : FOLD_VALUE(e) }, 1, { e & FOLD_WORD } };

	if (FOLD_KIND(e) == FOLD_DROP)
		f.len = 0;
	if (FOLD_KIND(e) == FOLD_MULTI) {
		f.len = fold_multi[FOLD_VALUE(e)];
		cr_assert_leq(f.len, 32);
		for (size_t i = 0; i < f.len; i++) {
			f.at[i] = FOLD_VALUE(fold_multi[FOLD_VALUE(e) + 1 + i]);
			f.word[i] = fold_multi[FOLD_VALUE(e) + 1 + i] & FOLD_WORD;
		}
	}
	return f;
}

TEST(fold, comes_to_rest)
{
	for (uint32_t cp = 0; cp < FOLD_POINTS; cp++) {
		struct folded f = fold(cp);

		for (size_t i = 0; i < f.len; i++) {
			struct folded g = fold(f.at[i]);

			cr_assert_eq(g.len, 1, "U+%04X", cp);
			cr_assert_eq(g.at[0], f.at[i], "U+%04X", cp);
			cr_assert_eq(g.word[0], f.word[i], "U+%04X", cp);
		}
	}
}

TEST(fold, ascii)
{
	for (uint32_t c = 0; c < 128; c++) {
		bool control = (c < ' ' && (c < '\t' || c > '\r')) || c == 127;
		bool upper = c >= 'A' && c <= 'Z', letter = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		struct folded f = fold(c);

		cr_expect_eq(f.len, !control, "U+%04X", c);
		if (control)
			continue;
		cr_expect_eq(f.at[0], upper ? c + 32 : c);
		cr_expect_eq(f.word[0], letter);
	}
}

TEST(fold, to_nothing)
{
	static const uint32_t ranges[][2] = {
		{ 0xad, 0xad },     { 0x300, 0x36f },   { 0x34f, 0x34f },   { 0x61c, 0x61c },     { 0x115f, 0x1160 },
		{ 0x180b, 0x180f }, { 0x1ab0, 0x1ac0 }, { 0x1dc0, 0x1dff }, { 0x200b, 0x200f },   { 0x202a, 0x202e },
		{ 0x2060, 0x206f }, { 0x20d0, 0x20e0 }, { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },   { 0xfe20, 0xfe2f },
		{ 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0x483, 0x489 },   { 0xe0000, 0xe0fff }, { 0x80, 0x84 },
		{ 0x86, 0x9f },     { 0xfffd, 0xfffd },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		for (uint32_t c = ranges[i][0]; c <= ranges[i][1]; c++)
			cr_expect_eq(fold(c).len, 0, "U+%04X", c);
	cr_expect_eq(fold(0x85).len, 1, "a line end");
	cr_expect_eq(fold(0xfffc).len, 1);
}

TEST(fold, one_to_one)
{
	static const uint32_t pairs[][2] = {
		{ 0xff21, 'a' },    /* full width */ { 0x1d400, 'a' }, /* mathematical */
		{ 0x24b6, 'a' },    /* enclosed */ { 0xe9, 'e' },      /* accent */
		{ 0x130, 'i' },     { 0x3a3, 0x3c3 },
		{ 0x3c2, 0x3c3 }, /* sigmas */
		{ 0x419, 0x438 },   { 0x661, '1' },
		{ 0x967, '1' },     { 0xff11, '1' },
		{ 0xb2, '2' },      { 0x3000, ' ' },
		{ 0xa0, ' ' },      { 0x6c23, 0x6c14 }, /* traditional */
		{ 0x2f00, 0x4e00 }, { 0x2ea0, 0x6c11 },
		{ 0x2ec4, 0x897f }, /* radicals */
		{ 0xf900, 0x5c82 }, { 0xff76, 0x30ab },
		{ 0xac00, 0xac00 },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct folded f = fold(pairs[i][0]);

		cr_expect_eq(f.len, 1, "U+%04X", pairs[i][0]);
		cr_expect_eq(f.at[0], pairs[i][1], "U+%04X gives U+%04X", pairs[i][0], f.at[0]);
	}
}

/* Several traditional characters have one simplified: each must come to it, or a needle would miss the text. */
TEST(fold, many_to_one)
{
	static const uint32_t all[][4] = {
		{ 0x53d1, 0x767c, 0x9aee },         /* fa */
		{ 0x5e72, 0x4e7e, 0x5e79, 0x69a6 }, /* gan */
		{ 0x91cc, 0x88e1, 0x88cf },         /* li */
		{ 0x540e, 0x5f8c },                 /* hou */
		{ 0x53f0, 0x81fa, 0x6aaf, 0x98b1 }, /* tai */
		{ 0x949f, 0x9418, 0x937e },         /* zhong */
		{ 0x5386, 0x6b77, 0x66c6 },         /* li */
		{ 0x5f53, 0x7576, 0x5679 },         /* dang */
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (size_t k = 1; k < 4 && all[i][k]; k++)
			cr_expect_eq(fold(all[i][k]).at[0], fold(all[i][0]).at[0], "U+%04X", all[i][k]);
}

TEST(fold, marks_that_carry_meaning_stay)
{
	static const uint32_t kept[] = { 0xe34, 0x93f, 0x64e, 0x5b7, 0x3099 };

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		cr_expect_eq(fold(kept[i]).len, 1, "U+%04X", kept[i]);
}

TEST(fold, words)
{
	static const uint32_t in[] = {
		'a', 0xe9, 0x431, 0x3b1, 0x5d0, 0x627, 0x64e, 0x915, 0x93f, 0x10d0, 0x661, 0xe51
	};
	static const uint32_t out[] = { 0x4e00, 0x3042, 0x30a2, 0x30fc, 0xff71,  0x3099, 0x3005, 0x3007,
		                        0xac00, 0x1100, 0xe01,  0xe34,  0xe81,   0x1780, 0x1000, 0xf40,
		                        ' ',    '_',    '-',    0xfffc, 0x1f600, 0xe000 };

	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		cr_expect(fold(in[i]).word[0], "U+%04X", in[i]);
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		cr_expect_not(fold(out[i]).word[0], "U+%04X", out[i]);
}

TEST(fold, looks)
{
	static const uint32_t pairs[][2] = { { 0x430, 'a' }, { 0x410, 'a' }, { 0x399, 'i' }, { 0x30ed, 0x53e3 } };

	for (uint32_t i = 0; i < fold_twin_count; i++) {
		struct folded own = fold(fold_twins[i].cp), look = fold(fold_twins[i].looks);

		cr_assert(!i || fold_twins[i - 1].cp < fold_twins[i].cp);
		cr_assert_eq(own.len, 1);
		cr_assert_eq(look.len, 1);
		cr_assert_eq(look.at[0], fold_twins[i].looks);
		cr_assert_neq(own.at[0], fold_twins[i].looks);
		cr_assert_eq(own.word[0], look.word[0], "U+%04X", fold_twins[i].cp);
	}
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		uint32_t k = 0;

		while (k < fold_twin_count && fold_twins[k].cp != pairs[i][0])
			k++;
		cr_assert_lt(k, fold_twin_count, "U+%04X", pairs[i][0]);
		cr_expect_eq(fold_twins[k].looks, pairs[i][1], "U+%04X", pairs[i][0]);
	}
}

/* What a gap skips: neither letters, digits nor marks. */
TEST(fold, noise)
{
	static const uint32_t in[] = { ' ', '-', '*', 0x3002, 0x1f600, '\n', 0x2014, 0xfffc };
	static const uint32_t out[] = { 'a', '1', 0x4e00, 0x3042, 0x93f, 0x431, 0xac00, 0x3007 };

	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		cr_expect(fold_blocks[fold_index[in[i] >> FOLD_SHIFT]][in[i] & (FOLD_BLOCK - 1)] & FOLD_NOISE);
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		cr_expect_not(fold_blocks[fold_index[out[i] >> FOLD_SHIFT]][out[i] & (FOLD_BLOCK - 1)] & FOLD_NOISE);
}
