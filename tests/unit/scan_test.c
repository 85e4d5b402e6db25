/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The automaton against a slow reference that shares nothing with it but the fold data: fold the text, put in the
 * edges, look at every place for every needle. And against Vectorscan, where nothing folds.
 */
#include "tests/lib/test.h"

#include <errno.h>
#include <hs/hs.h>

#include "base/own.h"
#include "scan/scan.h"
#include "tests/lib/scan_reference.h"

static struct scanner *compiled(const struct needle *needles, size_t count)
{
	struct scanner *s = NULL;
	enum scan_fault fault = SCAN_FINE;
	size_t which = 0;

	cr_assert_eq(scanner_compile(&s, needles, count, &fault, &which), 0, "needle %zu %s", which,
	             scan_fault_text[fault]);
	return s;
}

/* All hits of a text fed in pieces of `piece` bytes, with room for `most` hits a call. */
static size_t hits_in_pieces(const struct scanner *s, struct slice text, size_t piece, size_t most,
                             struct scan_hit *hits)
{
	struct scan_state st = { 0 };
	size_t n = 0;

	while (text.len) {
		size_t len = text.len < piece ? text.len : piece, used;

		n += scan_feed(s, &st, slice_of(text.at, len), &used, hits + n, most);
		text = slice_from(text, used);
	}
	return n + scan_end(s, &st, hits + n, 64);
}

static bool same_hits(const struct scan_hit *a, const struct scan_hit *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i].needle != b[i].needle || a[i].start != b[i].start || a[i].end != b[i].end)
			return false;
	return true;
}

static size_t count_hits(const char *keyword, bool edges, const char *text)
{
	struct needle n = { slice_str(keyword), 0, edges, edges };
	owned(scanner_free) struct scanner *s = compiled(&n, 1);
	struct scan_hit hits[64];

	return hits_in_pieces(s, slice_str(text), SIZE_MAX, 64, hits);
}

TEST(scan, word_edges)
{
	cr_expect_eq(count_hits("ass", true, "class assassin ass-like ASS"), 2);
	cr_expect_eq(count_hits("ass", false, "class assassin"), 3);
	cr_expect_eq(count_hits("ass", true, "ass"), 1);
	cr_expect_eq(count_hits("sarin", true, "沙林sarin毒气"), 1);
	cr_expect_eq(count_hits("sarin", true, "sarin1"), 0);
	cr_expect_eq(count_hits("sarin", true, "sarin١"), 0);
	cr_expect_eq(count_hits("sarin", true, "sarin_x"), 1);
	cr_expect_eq(count_hits("sarin", true, "sari\xcc\x81n\xe2\x80\x8b"), 1);
	cr_expect_eq(count_hits("sarin", true, "sari\xcc\x81ns"), 0);
	cr_expect_eq(count_hits("沙林", true, "a沙林b"), 1);
	cr_expect_eq(count_hits("沙林x", true, "a沙林x"), 1);
	cr_expect_eq(count_hits("沙林x", true, "a沙林xy"), 0);
	cr_expect_eq(count_hits("-x-", true, "a-x-b"), 1);
	cr_expect_eq(count_hits("яд", true, "ряд"), 0);
	cr_expect_eq(count_hits("яд", true, "Яд."), 1);
	cr_expect_eq(count_hits("kg", true, "5㎏"), 0);
	cr_expect_eq(count_hits("kg", true, "㎏"), 1);
}

TEST(scan, signs_for_one_another)
{
	static const char *const texts[] = { "c-4 don't ab",
		                             "c\xe2\x80\x91"
		                             "4 don\xe2\x80\x99t\nab",
		                             "C\xe2\x88\x92"
		                             "4\tdon\xef\xbc\x87t\xe2\x80\xa9"
		                             "ab",
		                             "c\xe2\x80\x94"
		                             "4\xc2\x85"
		                             "don\xe2\x80\x98t\rab" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (size_t k = 0; k < ARRAY_LEN(texts); k++)
			cr_expect_eq(count_hits(texts[k], true, texts[i]), 1, "%zu in %zu", k, i);
	cr_expect_eq(count_hits("约翰·史密斯", true, "约翰・史密斯，约翰•史密斯，约翰･史密斯"), 3);
	cr_expect_eq(count_hits("a b", true, "a  b"), 0);
	cr_expect_eq(count_hits("a b", true, "a-b"), 0);
}

/* In the middle of a word, what shows as nothing may end it, or may not; what belongs to a letter does not. */
TEST(scan, words_parted_unseen)
{
	static const char *const seams[] = {
		"\xe2\x80\x8b", "\1",           "\x7f",         "\xff",         "\xef\xbf\xbd",
		"\xef\xbb\xbf", "\xe2\x80\xae", "\xe2\x81\xa3", "\xe3\x85\xa4", "\xf3\xa0\x81\xa1"
	};
	static const char *const joints[] = { "\xc2\xad", "\xcc\x81", "\xe2\x80\x8c", "\xe2\x80\x8d", "\xef\xb8\x8f" };
	static const struct {
		const char *text;
		size_t seam, joint; /* hits with a seam for each |, with a joint */
	} rows[] = {
		{ "x|sarin", 1, 0 },
		{ "sarin|x", 1, 0 },
		{ "x|sarin|x", 1, 0 },
		{ "x|sarinx", 0, 0 },
		{ "xsarin|x", 0, 0 },
		{ "x|sa|rin", 1, 0 },
		{ "x|s|a|r|i|n|x", 1, 0 },
		{ "sa|rin", 1, 1 },
		{ "a sa|rin|", 1, 1 },
		{ "sarin||x", 1, 0 },
		{ "sarin|-", 1, 1 },
		{ "sarin|", 1, 1 },
		{ "sarin-|x", 1, 1 },
		{ "x|||sarin", 1, 0 },
		{ "x|s|sarin", 1, 0 },
		{ "x|\xd1\x95"
		  "arin|y",
		  1, 0 },
		{ "x|s\xd0\xb0rin", 1, 0 },
		{ "x|SARI|N.", 1, 0 },
		{ "x|sarin sarin|y", 2, 0 },
		{ "x|-sarin", 1, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t k = 0; k < ARRAY_LEN(seams) + ARRAY_LEN(joints); k++) {
			bool joint = k >= ARRAY_LEN(seams);
			const char *what = joint ? joints[k - ARRAY_LEN(seams)] : seams[k];
			char text[128] = "";

			for (const char *p = rows[i].text; *p; p++)
				if (*p == '|')
					strcat(text, what);
				else
					strncat(text, p, 1);
			cr_expect_eq(count_hits("sarin", true, text), joint ? rows[i].joint : rows[i].seam,
			             "%s, %s %zu: %zu", rows[i].text, joint ? "joint" : "seam",
			             joint ? k - ARRAY_LEN(seams) : k, count_hits("sarin", true, text));
		}
}

/* More than SCAN_PARTED_MAX that begin in a word at a time: the eldest are followed. */
TEST(scan, words_parted_often)
{
	struct needle n = { SLICE("aaaaaaaaaaaa"), 0, true, false };
	owned(scanner_free) struct scanner *s = compiled(&n, 1);
	struct scan_hit hits[64];
	char text[256] = "x";

	for (int i = 0; i < 24; i++)
		strcat(text, "\1"
		             "a");
	/* Behind each of the first eight seams, and behind the two where one of these is whole. */
	cr_expect_eq(hits_in_pieces(s, slice_str(text), SIZE_MAX, 64, hits), 10);
}

TEST(scan, hit_at_the_very_end)
{
	struct needle n = { SLICE("sarin"), 7, true, true };
	owned(scanner_free) struct scanner *s = compiled(&n, 1);
	struct scan_state st = { 0 };
	struct scan_hit hit;
	size_t used;

	cr_expect_eq(scan_feed(s, &st, SLICE("a sarin"), &used, &hit, 1), 0);
	cr_expect_eq(used, 7);
	cr_expect_eq(scan_hold(s, &st), 5);
	cr_expect_eq(scan_end(s, &st, &hit, 1), 1);
	cr_expect_eq(hit.needle, 7);
	cr_expect_eq(hit.start, 2);
	cr_expect_eq(hit.end, 7);
	cr_expect_eq(scan_hold(s, &st), 0);
	cr_expect_eq(st.symbols, 7);
	cr_expect_eq(st.in_word, 0);
}

/* However many needles end where the text ends, and however little room there is, none is lost. */
TEST(scan, many_hits_at_the_very_end)
{
	enum { MANY = 300 };
	struct needle needles[MANY];
	owned(scanner_free) struct scanner *s = NULL;

	for (uint32_t i = 0; i < MANY; i++)
		needles[i] = (struct needle){ SLICE("weasel"), i, true, true };
	s = compiled(needles, MANY);
	for (size_t room = 1; room <= MANY + 1; room += room < 4 ? 1 : 99) {
		struct scan_state st = { 0 };
		struct scan_hit hits[MANY + 1];
		uint8_t seen[MANY] = { 0 };
		size_t used, n;

		cr_assert_eq(scan_feed(s, &st, SLICE("a weasel"), &used, hits, room), 0);
		do {
			n = scan_end(s, &st, hits, room);
			for (size_t i = 0; i < n; i++)
				seen[hits[i].needle]++;
		} while (n == room);
		for (size_t i = 0; i < MANY; i++)
			cr_assert_eq(seen[i], 1, "needle %zu with room for %zu", i, room);
	}
}

/* Long ASCII is read in several lanes at once, or among needles of another script by other tables: the same hits and
 * holds as in pieces too short for that. */
TEST(scan, long_ascii)
{
	enum { LONG = 12000, COUNT = 40, HAN = 4000 };
	static struct scan_hit want[LONG], got[LONG];
	static char text[LONG], needles[COUNT][200], han[HAN][12];
	static struct needle n[COUNT + HAN];

	srand(7);
	for (uint32_t i = 0; i < HAN; i++) {
		for (size_t k = 0; k < 12; k++)
			han[i][k] = (char)(k % 3 ? 0x80 | (rand() & 0x3f) : 0xe6);
		n[COUNT + i] = (struct needle){ slice_of(han[i], 12), COUNT + i, false, false };
	}
	for (int round = 0; round < 60; round++) {
		bool mixed = round % 4 == 1 || round % 4 == 2;
		size_t shorter = mixed ? 40 : 700;
		owned(scanner_free) struct scanner *s = NULL;
		const char *letters = round % 3 ? "abcde fgh" : "aab ";
		size_t kinds = strlen(letters), most = round % 5 ? 12 : 190, hits, used;
		struct scan_state one = { 0 }, pieces = { 0 };

		for (size_t i = 0; i < LONG; i++)
			text[i] = letters[(size_t)rand() % kinds];
		if (round % 7 == 0)
			memcpy(text + 5000 + round, "\xe6\xb2\x99", 3);
		for (size_t i = 0; mixed && i + 300 < LONG; i += (size_t)rand() % 500 + 12)
			memcpy(text + i, han[rand() % HAN], 12);
		for (uint32_t i = 0; i < COUNT; i++) {
			size_t len = most / 2 + (size_t)rand() % (most / 2);

			/* Parts of the text, of which the last letter may be changed: across lanes too. */
			memcpy(needles[i], text + (i % 4 ? (size_t)rand() % (LONG - 200) : 512 * (1 + i % 8) - len / 2),
			       len);
			if (rand() % 8)
				needles[i][len - 1] = 'z';
			n[i] = (struct needle){ slice_of(needles[i], len), i, round & 1, round & 1 };
			for (size_t k = 0; k < len; k++)
				if (needles[i][k] & 0x80)
					n[i].text = SLICE("never");
		}
		s = compiled(n, mixed ? COUNT + HAN : COUNT);
		hits = hits_in_pieces(s, slice_of(text, LONG), shorter, LONG, want);
		cr_assert_eq(hits_in_pieces(s, slice_of(text, LONG), SIZE_MAX, LONG, got), hits);
		cr_assert(same_hits(want, got, hits));
		for (size_t len = 2048; len < LONG; len += 611) {
			one = pieces = (struct scan_state){ 0 };
			scan_feed(s, &one, slice_of(text, len), &used, got, LONG);
			for (size_t i = 0; i < len; i += shorter)
				scan_feed(s, &pieces, slice_of(text + i, len - i < shorter ? len - i : shorter), &used,
				          got, LONG);
			cr_assert_eq(one.symbols, pieces.symbols);
			cr_assert_eq(one.in_word, pieces.in_word);
			cr_assert_eq(scan_hold(s, &one), scan_hold(s, &pieces), "round %d, %zu bytes", round, len);
		}
	}
}

TEST(scan, disguises)
{
	static const char *const texts[] = {
		"sarin",
		"SaRiN",
		"ｓａｒｉｎ",
		"s\xe2\x80\x8b"
		"a\xc2\xadr\xef\xb8\x8fi\xcd\x8fn",
		"𝓼𝓪𝓻𝓲𝓷",
		"ⓢⓐⓡⓘⓝ",
		"śàŗïñ",
		"s\xf3\xa0\x81\xa1"
		"arin",
		"s\xe3\x85\xa4"
		"a\xe1\x85\x9frin",
		"\xe2\x80\xae"
		"sarin",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		cr_expect_eq(count_hits("sarin", true, texts[i]), 1, "%s", texts[i]);
	cr_expect_eq(count_hits("沙林毒气", true, "沙林毒氣"), 1);
	cr_expect_eq(count_hits("沙林毒氣", true, "沙林毒气"), 1);
	cr_expect_eq(count_hits("2026", false, "２０２٦"), 1);
	cr_expect_eq(count_hits("ガス", false, "ｶﾞｽ"), 1);
	cr_expect_eq(count_hits("strasse", true, "STRAẞE"), 1);
	cr_expect_eq(count_hits("office", true, "oﬃce"), 1);
	cr_expect_eq(count_hits("한국", true, "대한국민"), 1);
}

/* A keyword in syllables meets text in their parts (NFD) and in letters, and the other way round. */
TEST(scan, hangul)
{
	static const char syllables[] = "대한민국", letters[] = "ㄷㅐㅎㅏㄴㅁㅣㄴㄱㅜㄱ",
			  parts[] = "\u1103\u1162\u1112\u1161\u11ab\u1106\u1175\u11ab\u1100\u116e\u11a8";

	cr_expect_eq(count_hits(syllables, true, parts), 1);
	cr_expect_eq(count_hits(syllables, true, letters), 1);
	cr_expect_eq(count_hits(parts, true, syllables), 1);
	cr_expect_eq(count_hits(parts, true, parts), 1);
	cr_expect_eq(count_hits("각", true, "\uffa1\uffc2\uffa1"), 1); /* half width */
	cr_expect_eq(count_hits("값", true, "ㄱㅏㅄ"), 1);
	cr_expect_eq(count_hits("값이", true, "x\u1100\u1161\u11b9\u110b\u1175"), 1);
	cr_expect_eq(count_hits("x한", true, "x\u1112\u1161\u11ab"), 1);
	/* Text in syllables is not taken apart. */
	cr_expect_eq(count_hits("가", true, "각"), 0);
	cr_expect_eq(count_hits("ㄱㅏ", true, "각"), 0);
}

static size_t count_gapped(const char *keyword, bool edges, uint8_t gap, const char *text)
{
	struct needle n = { slice_str(keyword), 0, edges, edges, gap };
	owned(scanner_free) struct scanner *s = compiled(&n, 1);
	struct scan_hit hits[64];

	return hits_in_pieces(s, slice_str(text), 1, 64, hits);
}

TEST(scan, gaps)
{
	cr_expect_eq(count_gapped("沙林毒气", true, 2, "沙 林。。毒😀气"), 1);
	cr_expect_eq(count_gapped("沙林毒气", true, 2, "沙林毒气"), 1);
	cr_expect_eq(count_gapped("沙林毒气", true, 2, "沙 林。。。毒气"), 0);
	cr_expect_eq(count_gapped("沙林毒气", true, 2, "沙的林毒气"), 0);
	cr_expect_eq(count_gapped("沙林毒气", true, 2, "沙1林毒气"), 0);
	cr_expect_eq(count_gapped("sarin", true, 1, "a s-a.r i*n!"), 1);
	cr_expect_eq(count_gapped("sarin", true, 1, "has-a.r i*n!"), 0);
	cr_expect_eq(count_gapped("sarin", true, 1, "s-a.r i*ns"), 0);
	cr_expect_eq(count_gapped("sarin", false, 1, "has-a.r i*ns"), 1);
	cr_expect_eq(count_gapped("C-4", true, 1, "c 4"), 1);
	cr_expect_eq(count_gapped("C-4", true, 1, "c--4"), 0);
	/* The second begins a word within the first. */
	struct needle n[] = { { SLICE("ab"), 0, true, true, 1 }, { SLICE("bc"), 1, true, true, 1 } };
	owned(scanner_free) struct scanner *s = compiled(n, 2);
	struct scan_hit hits[64];

	cr_assert_eq(hits_in_pieces(s, SLICE("a b c"), 1, 64, hits), 2);
	cr_expect_eq(hits[0].start, 0);
	cr_expect_eq(hits[0].end, 3);
	cr_expect_eq(hits[1].start, 2);
	cr_expect_eq(hits[1].end, 5);
}

TEST(scan, gaps_hold_their_noise)
{
	struct needle n[] = { { SLICE("沙林毒"), 0, true, true, 2 }, { SLICE("林毒品"), 1, true, true, 1 } };
	owned(scanner_free) struct scanner *s = compiled(n, 2);
	static const struct {
		const char *text;
		size_t hold;
	} rows[] = { { "沙", 1 },       { "沙。", 2 },     { "沙。。", 3 },     { "沙。。。", 0 },
		     { "沙。林", 3 },   { "沙。林。", 4 }, { "沙。林。。", 5 }, { "沙林毒", 2 },
		     { "沙林。毒", 3 }, { "林。。", 0 },   { "林。", 2 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scan_state st = { 0 };
		struct scan_hit hits[4];
		size_t used;

		scan_feed(s, &st, slice_str(rows[i].text), &used, hits, 4);
		cr_expect_eq(scan_hold(s, &st), rows[i].hold, "%s: %zu", rows[i].text, scan_hold(s, &st));
	}
}

TEST(scan, gap_faults)
{
	static const char long_word[] = "abcdefghijklmnopqrstuvwxyzabcdefghijkl";
	struct needle n = { SLICE("-- "), 0, true, true, 2 };
	struct scanner *s = NULL;
	enum scan_fault fault;
	struct scan_look look;
	size_t which;

	cr_expect_eq(scanner_compile(&s, &n, 1, &fault, &which), -EINVAL);
	cr_expect_eq(fault, SCAN_ALL_NOISE);
	n.text = SLICE("ab");
	n.gap = SCAN_GAP_MAX + 1;
	cr_expect_eq(scanner_compile(&s, &n, 1, &fault, &which), -EINVAL);
	cr_expect_eq(fault, SCAN_TOO_WIDE);
	n.text = slice_str(long_word);
	n.gap = 1;
	cr_expect_eq(scan_look_needle(&n, &look), SCAN_TOO_WIDE);
	n.text.len = 32;
	cr_expect_eq(scan_look_needle(&n, &look), SCAN_FINE);
	cr_expect_eq(look.symbols, 32);
}

TEST(scan, looks)
{
	/* Cyrillic, Greek, Cherokee, Lisu amid Latin. */
	cr_expect_eq(count_hits("sarin", true, "s\xd0\xb0rin"), 1);
	cr_expect_eq(count_hits("sarin", true, "\xd1\x95\xd0\xb0rin"), 1);
	cr_expect_eq(count_hits("cocaine", true, "the \xd1\x81oc\xce\xb1ine."), 1);
	cr_expect_eq(count_hits("sarin", true, "SAR\xce\x99N"), 1);
	/* A word of another script is no word of this. */
	cr_expect_eq(count_hits("cop", true, "\xd1\x81\xd0\xbe\xd1\x80"), 0);
	cr_expect_eq(count_hits("cop", true, "\xd1\x81o\xd1\x80"), 1);
	cr_expect_eq(count_hits("\xd1\x81\xd0\xbe\xd1\x80", true, "cop"), 0);
	/* A Cyrillic word with Latin letters in it. */
	cr_expect_eq(count_hits("пароль", true, "п\x61\x70\x6fль"), 1);
	cr_expect_eq(count_hits("пароль", true, "п\x61роль"), 1);
	cr_expect_eq(count_hits("пароль", true, "пароль"), 1);
	/* Katakana for Han. */
	cr_expect_eq(count_hits("人口贩卖", true, "人ロ贩卖"), 1);
	cr_expect_eq(count_hits("二", true, "ニ"), 0);
	/* Word edges as in the first reading. */
	cr_expect_eq(count_hits("sarin", true, "s\xd0\xb0rins"), 0);
	cr_expect_eq(count_hits("sarin", true, "\xd0\xb1s\xd0\xb0rin"), 0);
}

TEST(scan, forms)
{
	uint8_t out[SCAN_FORM_MAX];
	size_t len;

	cr_assert_eq(scan_form(SLICE("毒品"), SCAN_PINYIN, out, &len), SCAN_FINE);
	cr_expect(slice_is(slice_of(out, len), SLICE("dupin")));
	cr_assert_eq(scan_form(SLICE("毒氣A片"), SCAN_INITIALS, out, &len), SCAN_FINE);
	cr_expect(slice_is(slice_of(out, len), SLICE("dqap")));
	cr_expect_eq(scan_form(SLICE("sarin"), SCAN_PINYIN, out, &len), SCAN_NO_READING);
	cr_expect_eq(scan_form(SLICE("\xff"), SCAN_PINYIN, out, &len), SCAN_NOT_UTF8);
	cr_expect_eq(scan_form(SLICE(""), SCAN_PINYIN, out, &len), SCAN_EMPTY);
}

static void collect(void *to, const struct scan_symbol *symbol)
{
	struct scan_symbol **at = to;

	*(*at)++ = *symbol;
}

TEST(scan, explains)
{
	struct scan_symbol got[8], *at = got;

	scan_explain(SLICE("Ａ\xe2\x80\x8b\xd0\xb0½\xe6"), collect, &at);
	cr_assert_eq(at - got, 5);
	cr_expect(got[0].folded == 'a' && got[0].looks == 'a' && got[0].from == 0 && got[0].to == 3 && got[0].letter);
	cr_expect(got[1].folded == 0x430 && got[1].looks == 'a' && got[1].from == 6 && got[1].to == 8);
	cr_expect(got[2].folded == '1' && got[2].from == 8 && got[2].to == 10);
	cr_expect(got[3].folded == 0x2044 && got[3].noise && !got[3].letter);
}

TEST(scan, holds)
{
	struct needle n = { SLICE("abcd"), 0, false, false };
	owned(scanner_free) struct scanner *s = compiled(&n, 1);
	struct scan_holds h = { 0 };

	/* 1 2 3 0, 1 2 0, 0 0 0 */
	scan_holds_add(&h, s, SLICE("abcxabxxxx"));
	cr_expect_eq(h.count, 10);
	cr_expect_eq(h.sum, 9);
	cr_expect_eq(h.most, 3);
	cr_expect_eq(scan_holds_quantile(&h, 500), 0);
	cr_expect_eq(scan_holds_quantile(&h, 900), 2);
	cr_expect_eq(scan_holds_quantile(&h, 990), 3);
}

TEST(scan, offsets_point_into_the_text)
{
	/* F U+200B U+00DF o in front; the needle begins with a full-width letter and has a soft hyphen inside. */
	static const char text[] = "f\xe2\x80\x8b\xc3\x9f \xef\xbd\x93"
				   "ari\xc2\xad\xe2\x80\x8bn\xe2\x80\x8b, o\xef\xac\x83"
				   "ce";
	struct needle n[] = { { SLICE("sarin"), 0, true, true }, { SLICE("fi"), 1, false, false } };
	owned(scanner_free) struct scanner *s = compiled(n, 2);
	struct scan_state st = { 0 };
	struct scan_hit hits[4];
	size_t used, from, to;

	cr_assert_eq(scan_feed(s, &st, SLICE(text), &used, hits, 4), 2);
	scan_locate(s, (struct scan_state){ 0 }, SLICE(text), hits[0].start, hits[0].end, &from, &to);
	cr_expect_eq(from, 7);
	cr_expect_eq(to, 7 + 3 + 3 + 2 + 3 + 1);
	scan_locate(s, (struct scan_state){ 0 }, SLICE(text), hits[1].start, hits[1].end, &from, &to);
	cr_expect_eq(from, strlen(text) - 5);
	cr_expect_eq(to, strlen(text) - 2);
	/* not reached; begun before */
	scan_locate(s, (struct scan_state){ 0 }, SLICE("abc"), 1, 9, &from, &to);
	cr_expect_eq(from, 1);
	cr_expect_eq(to, 3);
	scan_locate(s, (struct scan_state){ .symbols = 5 }, SLICE("abc"), 3, 6, &from, &to);
	cr_expect_eq(from, 0);
	cr_expect_eq(to, 1);
	/* a character cut by the pieces: its part here */
	scan_locate(s, (struct scan_state){ .tail_len = 2, .tail = { 0xe6, 0xb2 } }, SLICE("\x99x"), 0, 1, &from, &to);
	cr_expect_eq(from, 0);
	cr_expect_eq(to, 1);
}

TEST(scan, not_utf8)
{
	/* Unicode 15, table 3-8: its letters are text, and the rest is nothing, so that it hides no word. */
	static const char *const texts[] = { "\xc0\xaf\xe0\x80\xbf\xf0\x81\x82"
		                             "A",
		                             "\xed\xa0\x80\xed\xbf\xbf\xed\xaf"
		                             "A",
		                             "\xf4\x91\x92\x93\xff"
		                             "A\x80\xbf"
		                             "B",
		                             "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
		                             "A" };
	struct needle n[] = { { SLICE("A"), 0, false, false }, { SLICE("AB"), 1, false, false } };
	owned(scanner_free) struct scanner *s = compiled(n, 2);
	struct scan_hit hits[64];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (size_t piece = 1; piece < 12; piece++)
			cr_expect_eq(hits_in_pieces(s, slice_str(texts[i]), piece, 64, hits), i == 2 ? 2 : 1, "%zu", i);
	for (size_t piece = 1; piece < 12; piece++) {
		static const char *const words[] = { "a\xe6\xb2",
			                             "a\xe6\xb2"
			                             "b",
			                             "a\1\x7f\xc2\x80"
			                             "b",
			                             "a\xef\xbf\xbd"
			                             "b",
			                             "a\xff\xff"
			                             "b",
			                             "a\nb",
			                             "a\xc2\x85"
			                             "b" };
		static const size_t hit[] = { 1, 2, 2, 2, 2, 1, 1 };

		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			cr_expect_eq(hits_in_pieces(s, slice_str(words[i]), piece, 64, hits), hit[i], "%zu", i);
	}
}

TEST(scan, faults)
{
	static char big[SCAN_NEEDLE_MAX + 1];
	struct needle n[3] = { { SLICE("a"), 0, 0, 0 }, { SLICE("\xff"), 0, 0, 0 }, { SLICE(""), 0, 0, 0 } };
	enum scan_fault fault;
	struct scanner *s = NULL;
	struct scan_look look;
	size_t which;

	memset(big, 'a', sizeof(big));
	cr_expect_eq(scanner_compile(&s, n, 3, &fault, &which), -EINVAL);
	cr_expect_eq(fault, SCAN_NOT_UTF8);
	cr_expect_eq(which, 1);
	cr_expect_eq(scanner_compile(&s, n + 2, 1, &fault, &which), -EINVAL);
	cr_expect_eq(fault, SCAN_EMPTY);
	n[0].text = slice_of(big, sizeof(big));
	cr_expect_eq(scanner_compile(&s, n, 1, &fault, &which), -EINVAL);
	cr_expect_eq(fault, SCAN_TOO_LONG);
	cr_expect_null(s);
	cr_expect_eq(scan_look(SLICE("\xe6\xb2"), &look), SCAN_NOT_UTF8);
	cr_expect_eq(scan_look(SLICE("\xef\xbf\xbd"), &look), SCAN_EMPTY);
	cr_expect_eq(scan_look(SLICE("Straße 沙"), &look), SCAN_FINE);
	cr_expect_eq(look.symbols, 9);
	cr_expect(look.word_first && !look.word_last);
	n[0].text = slice_of(big, SCAN_NEEDLE_MAX);
	n[0].edge_before = n[0].edge_after = true;
	s = compiled(n, 1);
	scanner_free(&s);
}

TEST(scan, no_needles)
{
	owned(scanner_free) struct scanner *s = compiled(NULL, 0);
	struct scan_hit hits[64];
	struct scanner_stats stats;

	cr_expect_eq(hits_in_pieces(s, SLICE("anything at all, 沙林"), 3, 1, hits), 0);
	scanner_stats(s, &stats);
	cr_expect_eq(stats.states, 1);
	cr_expect_eq(stats.needles, 0);
}

TEST(scan, hold_leaves_a_finished_needle)
{
	struct needle n[] = { { SLICE("abcd"), 0, 0, 0 }, { SLICE("cdx"), 1, 0, 0 } };
	owned(scanner_free) struct scanner *s = compiled(n, 2);
	struct scan_state st = { 0 };
	struct scan_hit hits[4];
	size_t used;

	cr_expect_eq(scan_feed(s, &st, SLICE("zabcd"), &used, hits, 4), 1);
	cr_expect_eq(scan_hold(s, &st), 2);
	cr_expect_eq(scan_feed(s, &st, SLICE("y"), &used, hits, 4), 0);
	cr_expect_eq(scan_hold(s, &st), 0);
}

/* Random texts and needles over few letters, so that everything overlaps; every cut in two, byte by byte, every room.
 */
TEST(scan, equals_reference_under_every_cut, .timeout = 300)
{
	uint64_t seed = 20261121;

	for (int round = 0; round < 1500; round++) {
		struct reference_case c;
		struct scan_hit got[REFERENCE_HITS], want[REFERENCE_HITS];
		size_t n;

		reference_random(&c, &seed);
		owned(scanner_free) struct scanner *s = compiled(c.needles, c.count);
		n = reference_hits(&c, want);
		for (size_t most = 1; most < 4; most++)
			for (size_t piece = 1; piece < 5; piece++) {
				size_t m = hits_in_pieces(s, c.text, piece, most, got);

				cr_assert_eq(m, n, "round %d, pieces of %zu, room %zu: %zu hits, %zu expected", round,
				             piece, most, m, n);
				cr_assert(same_hits(got, want, n), "round %d", round);
			}
		EACH_CUT (at, c.text.len) {
			struct scan_state st = { 0 }, before;
			size_t used, m = scan_feed(s, &st, slice_of(c.text.at, at), &used, got, REFERENCE_HITS), from,
				     to;

			cr_assert_eq(scan_hold(s, &st), reference_hold(&c, at), "round %d, cut %zu: hold %zu, not %zu",
			             round, at, scan_hold(s, &st), reference_hold(&c, at));
			before = st;
			m += scan_feed(s, &st, slice_from(c.text, at), &used, got + m, REFERENCE_HITS - m);
			m += scan_end(s, &st, got + m, REFERENCE_HITS - m);
			cr_assert_eq(m, n, "round %d, cut %zu", round, at);
			cr_assert(same_hits(got, want, n), "round %d, cut %zu", round, at);
			for (size_t i = 0; i < n; i++) {
				size_t rf, rt;

				reference_locate(&c, &want[i], &rf, &rt);
				scan_locate(s, before, slice_from(c.text, at), want[i].start, want[i].end, &from, &to);
				cr_assert_eq(from, rf < at ? 0 : rf - at, "round %d, cut %zu", round, at);
				cr_assert_eq(to, rt < at ? 0 : rt - at, "round %d, cut %zu", round, at);
			}
		}
	}
}

/* The same on 100,000 texts, fifty to a set of needles, each under one cut. */
TEST(scan, equals_reference_on_many, .timeout = 300)
{
	uint64_t seed = 20261122;

	for (int round = 0; round < 2000; round++) {
		static struct scan_hit got[REFERENCE_HITS], want[REFERENCE_HITS];
		static struct reference_case c;

		reference_random(&c, &seed);
		owned(scanner_free) struct scanner *s = compiled(c.needles, c.count);
		for (int text = 0; text < 50; text++) {
			size_t at, n, m, used;
			struct scan_state st = { 0 };

			c.text = reference_text(c.bytes[REFERENCE_NEEDLES], &seed, reference_rnd(&seed, 16), true);
			at = reference_rnd(&seed, (uint32_t)c.text.len + 1);
			n = reference_hits(&c, want);
			m = scan_feed(s, &st, slice_of(c.text.at, at), &used, got, REFERENCE_HITS);
			cr_assert_eq(scan_hold(s, &st), reference_hold(&c, at), "round %d text %d", round, text);
			m += scan_feed(s, &st, slice_from(c.text, at), &used, got + m, REFERENCE_HITS - m);
			m += scan_end(s, &st, got + m, REFERENCE_HITS - m);
			cr_assert_eq(m, n, "round %d text %d", round, text);
			cr_assert(same_hits(got, want, n), "round %d text %d", round, text);
		}
	}
}

/* Whole words, as English has them by default, which are walked as such: phrases of few words, of which some begin
 * others, some hold separators or letters of other scripts, and one is longer than any table knows. */
static size_t phrase(uint8_t *to, uint64_t *seed, uint32_t most)
{
	static const char *const word[] = { "the",
		                            "a",
		                            "thea",
		                            "Sarin",
		                            "s4rin",
		                            "of",
		                            "nineletter",
		                            "ninelettes",
		                            "abcdefg",
		                            "abcdefgh",
		                            "sixteenletters16",
		                            "seventeenletters7",
		                            "na\xc3\xafve",
		                            "\xd1\x8f\xd0\xb4",
		                            "\xe6\xb2\x99",
		                            "s\xd0\xb0rin",
		                            "a\xe2\x80\x8b" };
	static const char *const between[] = {
		" ", " ", " ", " ", " ", "-", ", ", ".", "  ", "\xe6\xb2\x99", "\n", ""
	};
	uint32_t words = 1 + reference_rnd(seed, most), plain = reference_rnd(seed, 3);
	size_t len = 0;

	for (uint32_t i = 0; i < words; i++) {
		const char *w = word[reference_rnd(seed, plain ? 10 : ARRAY_LEN(word))], *b = " ";

		if (!reference_rnd(seed, 6))
			b = between[reference_rnd(seed, ARRAY_LEN(between))];
		if (i || !reference_rnd(seed, 9)) {
			memcpy(to + len, b, strlen(b));
			len += strlen(b);
		}
		memcpy(to + len, w, strlen(w));
		len += strlen(w);
	}
	if (!reference_rnd(seed, 9))
		to[len++] = "a -."[reference_rnd(seed, 4)];
	return len;
}

/* Needles that no text begins, so many that the others are walked by words. */
#define FILL      3000
#define FILL_SIZE 200

static struct scanner *compiled_among_many(const struct reference_case *c)
{
	static char fill[FILL][FILL_SIZE];
	static struct needle needles[FILL + REFERENCE_NEEDLES];

	srand(11);
	for (uint32_t i = 0; i < FILL; i++) {
		fill[i][0] = 'q';
		for (size_t k = 1; k < FILL_SIZE; k++)
			fill[i][k] = (char)('a' + rand() % 26);
		needles[i] = (struct needle){ slice_of(fill[i], FILL_SIZE), 1000 + i, true, true };
	}
	memcpy(needles + FILL, c->needles, c->count * sizeof(c->needles[0]));
	return compiled(needles, FILL + c->count);
}

/* A state that came there in one piece, and one that came there byte by byte, hold what the reference does. */
static void check_holds(const struct scanner *s, const struct reference_case *c, size_t at,
                        const struct scan_state *one, const struct scan_state *bytes)
{
	size_t hold = reference_hold(c, at);

	cr_assert_eq(scan_hold(s, one), hold, "cut %zu: hold %zu, not %zu: %.*s", at, scan_hold(s, one), hold,
	             (int)c->text.len, c->text.at);
	cr_assert_eq(scan_hold(s, bytes), hold, "byte %zu", at);
	cr_assert_eq(one->symbols, bytes->symbols);
	cr_assert_eq(one->in_word, bytes->in_word);
}

TEST(scan, words_equal_reference_under_every_cut, .timeout = 300)
{
	uint64_t seed = 20261123;

	for (int round = 0; round < 6; round++) {
		static struct reference_case c;

		c.count = REFERENCE_NEEDLES;
		for (size_t i = 0; i < c.count; i++)
			c.needles[i] = (struct needle){ slice_of(c.bytes[i], phrase(c.bytes[i], &seed, 4)), (uint32_t)i,
				                        true, true };
		owned(scanner_free) struct scanner *s = compiled_among_many(&c);
		for (int text = 0; text < 60; text++) {
			static struct scan_hit got[REFERENCE_HITS], want[REFERENCE_HITS];
			struct scan_state bytes = { 0 };
			size_t n, used;

			c.text = slice_of(c.bytes[REFERENCE_NEEDLES], phrase(c.bytes[REFERENCE_NEEDLES], &seed, 12));
			n = reference_hits(&c, want);
			for (size_t piece = 1; piece < 20; piece++) {
				cr_assert_eq(hits_in_pieces(s, c.text, piece, 1 + piece % 3, got), n,
				             "round %d pieces of %zu", round, piece);
				cr_assert(same_hits(got, want, n), "round %d", round);
			}
			EACH_CUT (at, c.text.len) {
				struct scan_state st = { 0 };
				size_t m = scan_feed(s, &st, slice_of(c.text.at, at), &used, got, REFERENCE_HITS);

				if (at)
					scan_feed(s, &bytes, slice_of(c.text.at + at - 1, 1), &used, got + m, 64);
				check_holds(s, &c, at, &st, &bytes);
				m += scan_feed(s, &st, slice_from(c.text, at), &used, got + m, REFERENCE_HITS - m);
				m += scan_end(s, &st, got + m, REFERENCE_HITS - m);
				cr_assert_eq(m, n, "round %d, cut %zu", round, at);
				cr_assert(same_hits(got, want, n), "round %d, cut %zu", round, at);
			}
		}
	}
}

struct bag {
	size_t n;
	struct scan_hit at[4096];
};

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *bag)
{
	struct bag *b = bag;

	(void)from, (void)flags;
	cr_assert_lt(b->n, ARRAY_LEN(b->at));
	b->at[b->n++] = (struct scan_hit){ id, 0, to };
	return 0;
}

static int by_end(const void *x, const void *y)
{
	const struct scan_hit *a = x, *b = y;

	if (a->end != b->end)
		return a->end < b->end ? -1 : 1;
	return a->needle < b->needle ? -1 : a->needle > b->needle;
}

/* Han characters that fold to themselves, all three bytes long: ends in symbols are ends in bytes by three. 100,000
 * texts, two hundred to a set of needles. */
TEST(scan, equals_vectorscan, .timeout = 300)
{
	static const char han[] = "一丁七三上下不且世丘丙";
	uint64_t seed = 4;

	for (int round = 0; round < 500; round++) {
		enum { NEEDLES = 40, TEXTS = 200, TEXT = 40 };
		char words[NEEDLES][3 * 8 + 1], text[3 * TEXT];
		const char *at[NEEDLES];
		size_t lens[NEEDLES], letters = 2 + reference_rnd(&seed, 9), used;
		unsigned flags[NEEDLES] = { 0 }, ids[NEEDLES], count = 0;
		struct needle needles[NEEDLES];
		static struct bag ours, theirs;
		hs_database_t *db = NULL;
		hs_scratch_t *scratch = NULL;
		hs_compile_error_t *error = NULL;

		for (unsigned i = 0; i < NEEDLES; i++) {
			size_t len = 1 + reference_rnd(&seed, 8), k = 0;

			for (size_t j = 0; j < len; j++)
				memcpy(words[count] + 3 * j, han + 3 * reference_rnd(&seed, letters), 3);
			words[count][3 * len] = 0;
			while (k < count && strcmp(words[k], words[count]))
				k++;
			if (k < count)
				continue; /* Vectorscan reports one of two equal literals */
			at[count] = words[count];
			lens[count] = 3 * len;
			ids[count] = count;
			needles[count] = (struct needle){ slice_of(words[count], 3 * len), count, false, false };
			count++;
		}
		owned(scanner_free) struct scanner *s = compiled(needles, count);
		cr_assert_eq(hs_compile_lit_multi(at, flags, ids, lens, count, HS_MODE_BLOCK, NULL, &db, &error), 0);
		cr_assert_eq(hs_alloc_scratch(db, &scratch), 0);
		for (int t = 0; t < TEXTS; t++) {
			size_t cut = reference_rnd(&seed, sizeof(text));
			struct scan_state st = { 0 };

			for (size_t j = 0; j < TEXT; j++)
				memcpy(text + 3 * j, han + 3 * reference_rnd(&seed, letters), 3);
			ours.n = scan_feed(s, &st, slice_of(text, cut), &used, ours.at, ARRAY_LEN(ours.at));
			ours.n += scan_feed(s, &st, slice_of(text + cut, sizeof(text) - cut), &used, ours.at + ours.n,
			                    ARRAY_LEN(ours.at) - ours.n);
			for (size_t i = 0; i < ours.n; i++)
				ours.at[i] = (struct scan_hit){ ours.at[i].needle, 0, 3 * ours.at[i].end };
			theirs.n = 0;
			cr_assert_eq(hs_scan(db, text, sizeof(text), 0, scratch, on_match, &theirs), 0);
			qsort(ours.at, ours.n, sizeof(ours.at[0]), by_end);
			qsort(theirs.at, theirs.n, sizeof(theirs.at[0]), by_end);
			cr_assert_eq(ours.n, theirs.n, "round %d text %d: %zu, Vectorscan %zu", round, t, ours.n,
			             theirs.n);
			cr_assert(same_hits(ours.at, theirs.at, ours.n), "round %d text %d", round, t);
		}
		hs_free_scratch(scratch);
		hs_free_database(db);
	}
}

TEST(scan, many_needles_of_one_place)
{
	enum { COUNT = 300 };
	struct needle n[COUNT];
	struct scan_hit hits[COUNT + 64];

	for (uint32_t i = 0; i < COUNT; i++)
		n[i] = (struct needle){ i % 2 ? SLICE("ab") : SLICE("b"), i, false, false };
	owned(scanner_free) struct scanner *s = compiled(n, COUNT);
	cr_assert_eq(hits_in_pieces(s, SLICE("xab"), 1, 7, hits), COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		cr_assert_eq(hits[i].needle, i < COUNT / 2 ? 2 * i + 1 : 2 * (i - COUNT / 2));
		cr_assert_eq(hits[i].start, i < COUNT / 2 ? 1 : 2);
	}
}
