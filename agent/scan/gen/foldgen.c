/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foldgen.c - writes the fold table (fold_data.h) from what ICU and OpenCC know. Runs at build time only: the daemon
 * links neither.
 *
 * The steps are applied to each code point until nothing changes, so that two texts which fold alike in any order of
 * the steps fold alike here. Decomposed text is never composed again: the map then needs no look-ahead.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <opencc/opencc.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/uspoof.h>
#include <unicode/utrans.h>
#include <unicode/ustring.h>

#include "scan/fold_data.h"

#define SEQUENCE_MAX 64
#define ROUNDS_MAX   8

struct sequence {
	UChar32 at[SEQUENCE_MAX];
	int len;
};

static const UNormalizer2 *nfkd;
static opencc_t t2s;
static USpoofChecker *spoof;

/* CJK radicals supplement U+2E80: EquivalentUnifiedIdeograph.txt, which ICU does not expose. The Kangxi radicals have
 * compatibility decompositions and need no table. */
static const UChar32 radicals[] = {
	0,      0x5382,  0x4e5b, 0x4e5a,  0x4e59,  0x4ebb, 0x5182,  0x20628, 0x5200,  0x5202,  0x535c, 0x353e, 0x5c0f,
	0x5c0f, 0x5140,  0x5c23, 0x5c22,  0x21bc2, 0x5df3, 0x5e7a,  0x5f51,  0x2b739, 0x5fc4,  0x5fc3, 0x624c, 0x6535,
	0,      0x65e1,  0x65e5, 0x6708,  0x6b7a,  0x6bcd, 0x6c11,  0x6c35,  0x6c3a,  0x706c,  0x722b, 0x722b, 0x4e2c,
	0x725b, 0x72ad,  0x738b, 0x24d14, 0x76ee,  0x793a, 0x793b,  0x25ad7, 0x7cf9,  0x7e9f,  0x7f53, 0x7f52, 0x34c1,
	0x5197, 0x2626b, 0x7f8a, 0x2634c, 0x2634b, 0x8002, 0x8080,  0x807f,  0x8089,  0x26951, 0x8279, 0x8279, 0x8279,
	0x864e, 0x8864,  0x8980, 0x897f,  0x89c1,  0x89d2, 0x278b2, 0x8ba0,  0x8d1d,  0x27fb7, 0x8f66, 0x8fb6, 0x8fb6,
	0x8fb6, 0x9091,  0x9485, 0x9577,  0x9578,  0x957f, 0x95e8,  0x28e0f, 0x961d,  0x96e8,  0x9752, 0x97e6, 0x9875,
	0x98ce, 0x98de,  0x98df, 0x2967f, 0x98e0,  0x9963, 0x29810, 0x9a6c,  0x9aa8,  0x9b3c,  0x9c7c, 0x9e1f, 0x5364,
	0x9ea6, 0x9ec4,  0x9efe, 0x6589,  0x9f50,  0x6b6f, 0x9f7f,  0x7adc,  0x9f99,  0x9f9c,  0x4e80, 0x9f9f
};

/* Scripts written without spaces between words, and those of which a word may be matched anywhere (kernel notes: Hangul
 * takes its particles without a space). */
static const UScriptCode solid[] = {
	USCRIPT_HAN,      USCRIPT_HIRAGANA,    USCRIPT_KATAKANA,
	USCRIPT_BOPOMOFO, USCRIPT_HANGUL,      USCRIPT_THAI,
	USCRIPT_LAO,      USCRIPT_KHMER,       USCRIPT_MYANMAR,
	USCRIPT_TAI_LE,   USCRIPT_NEW_TAI_LUE, USCRIPT_LANNA,
	USCRIPT_TAI_VIET, USCRIPT_AHOM,        USCRIPT_JAVANESE,
	USCRIPT_BALINESE, USCRIPT_TIBETAN,     USCRIPT_YI,
	USCRIPT_TANGUT,   USCRIPT_NUSHU,       USCRIPT_KHITAN_SMALL_SCRIPT,
};

static void die(const char *what)
{
	fprintf(stderr, "foldgen: %s\n", what);
	exit(1);
}

static bool is_mark(UChar32 c)
{
	return U_GET_GC_MASK(c) & U_GC_M_MASK;
}

static bool is_solid(UChar32 c)
{
	UErrorCode error = U_ZERO_ERROR;
	UScriptCode scripts[32];
	int n = uscript_getScriptExtensions(c, scripts, 32, &error);

	if (U_FAILURE(error))
		die("script extensions");
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < sizeof(solid) / sizeof(solid[0]); k++)
			if (scripts[i] == solid[k])
				return true;
	return false;
}

/* Decided on what is left after folding. Marks that are kept carry letters on, so they count as their script does. */
static bool is_word(UChar32 c)
{
	uint32_t in = U_GC_L_MASK | U_GC_M_MASK | U_GC_ND_MASK | U_GC_NL_MASK;

	return U_GET_GC_MASK(c) & in && !is_solid(c);
}

static uint32_t flags(UChar32 c)
{
	uint32_t matter = U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK;

	return is_word(c) ? FOLD_WORD : U_GET_GC_MASK(c) & matter ? 0 : FOLD_NOISE;
}

/* Combining marks that are noise on letters of Latin, Greek and Cyrillic. Most have the script "inherited", so the
 * block says whose they are; those of other scripts carry meaning and are kept. */
static bool is_noise(UChar32 c)
{
	UErrorCode error = U_ZERO_ERROR;
	UScriptCode script;

	if (!is_mark(c))
		return false;
	switch (ublock_getCode(c)) {
	case UBLOCK_COMBINING_DIACRITICAL_MARKS:
	case UBLOCK_COMBINING_DIACRITICAL_MARKS_EXTENDED:
	case UBLOCK_COMBINING_DIACRITICAL_MARKS_SUPPLEMENT:
	case UBLOCK_COMBINING_MARKS_FOR_SYMBOLS:
	case UBLOCK_COMBINING_HALF_MARKS:
	case UBLOCK_CYRILLIC:
	case UBLOCK_CYRILLIC_EXTENDED_A:
	case UBLOCK_CYRILLIC_EXTENDED_B:
		return true;
	default:
		script = uscript_getScript(c, &error);
		return script == USCRIPT_LATIN || script == USCRIPT_GREEK || script == USCRIPT_CYRILLIC;
	}
}

/* Controls that are no white space show as nothing, and U+FFFD is what a reader makes of bytes that are no text:
 * between two letters neither keeps anybody from reading the word. */
static bool is_unseen(UChar32 c)
{
	return (u_charType(c) == U_CONTROL_CHAR && !u_isUWhiteSpace(c)) || c == 0xfffd;
}

static bool is_dropped(UChar32 c)
{
	return is_unseen(c) || u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT) ||
	       u_charType(c) == U_FORMAT_CHAR || is_noise(c);
}

static void add(struct sequence *s, UChar32 c)
{
	if (s->len == SEQUENCE_MAX)
		die("a code point folds to too many");
	s->at[s->len++] = c;
}

static void add_utf16(struct sequence *s, const UChar *text, int len)
{
	for (int i = 0; i < len;) {
		UChar32 c;

		U16_NEXT(text, i, len, c);
		add(s, c);
	}
}

static void step_compatibility(struct sequence *out, UChar32 c)
{
	UErrorCode error = U_ZERO_ERROR;
	UChar text[SEQUENCE_MAX];
	int n;

	if (c >= 0x2e80 && c < 0x2e80 + (UChar32)(sizeof(radicals) / sizeof(radicals[0])) && radicals[c - 0x2e80]) {
		add(out, radicals[c - 0x2e80]);
		return;
	}
	/* A Hangul syllable is one symbol: nobody writes half of one, and it would only lengthen needles. */
	n = c >= 0xac00 && c <= 0xd7a3 ? -1 : unorm2_getDecomposition(nfkd, c, text, SEQUENCE_MAX, &error);
	if (U_FAILURE(error))
		die("decomposition");
	if (n < 0)
		add(out, c);
	else
		add_utf16(out, text, n);
}

static void step_case(struct sequence *out, UChar32 c)
{
	UErrorCode error = U_ZERO_ERROR;
	UChar text[2], folded[SEQUENCE_MAX];
	int n = 0;

	U16_APPEND_UNSAFE(text, n, c);
	n = u_strFoldCase(folded, SEQUENCE_MAX, text, n, U_FOLD_CASE_DEFAULT, &error);
	if (U_FAILURE(error))
		die("case folding");
	add_utf16(out, folded, n);
}

static void step_digit(struct sequence *out, UChar32 c)
{
	add(out, u_charType(c) == U_DECIMAL_DIGIT_NUMBER ? '0' + u_charDigitValue(c) : c);
}

static void step_simplify(struct sequence *out, UChar32 c)
{
	UErrorCode error = U_ZERO_ERROR;
	char utf8[8], *simple;
	int n = 0, len;

	if (uscript_getScript(c, &error) != USCRIPT_HAN) {
		add(out, c);
		return;
	}
	U8_APPEND_UNSAFE(utf8, n, c);
	simple = opencc_convert_utf8(t2s, utf8, (size_t)n);
	if (!simple)
		die("opencc_convert_utf8");
	len = (int)strlen(simple);
	for (int i = 0; i < len;) {
		U8_NEXT(simple, i, len, c);
		if (c < 0)
			die("opencc gave no UTF-8");
		add(out, c);
	}
	opencc_convert_utf8_free(simple);
}

static void step_drop(struct sequence *out, UChar32 c)
{
	if (!is_dropped(c))
		add(out, c);
}

static void fold(struct sequence *s, UChar32 c)
{
	static void (*const steps[])(struct sequence *, UChar32) = { step_drop, step_compatibility, step_drop,
		                                                     step_case, step_digit,         step_simplify };

	*s = (struct sequence){ { c }, 1 };
	for (int round = 0; round < ROUNDS_MAX; round++) {
		struct sequence before = *s;

		for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
			struct sequence next = { .len = 0 };

			for (int i = 0; i < s->len; i++)
				steps[k](&next, s->at[i]);
			*s = next;
		}
		if (before.len == s->len && !memcmp(before.at, s->at, (size_t)s->len * sizeof(s->at[0])))
			return;
	}
	die("folding does not come to rest");
}

static uint32_t multi[1 << 16];
static uint32_t multi_count;

/* The place of a sequence in the pool; equal sequences share one. */
static uint32_t pool(const struct sequence *s)
{
	uint32_t at;

	for (at = 0; at < multi_count; at += multi[at] + 1) {
		int i = 0;

		if (multi[at] != (uint32_t)s->len)
			continue;
		while (i < s->len && FOLD_VALUE(multi[at + 1 + i]) == (uint32_t)s->at[i])
			i++;
		if (i == s->len)
			return at;
	}
	if (multi_count + s->len + 1 > sizeof(multi) / sizeof(multi[0]))
		die("pool full");
	multi[multi_count++] = (uint32_t)s->len;
	for (int i = 0; i < s->len; i++)
		multi[multi_count++] = (uint32_t)s->at[i] | flags(s->at[i]);
	return at;
}

static uint32_t entry(UChar32 c)
{
	struct sequence s;

	if (U_IS_SURROGATE(c))
		return FOLD_NOISE;
	fold(&s, c);
	if (!s.len)
		return (uint32_t)FOLD_DROP << 23;
	if (s.len > 1)
		return (uint32_t)FOLD_MULTI << 23 | pool(&s);
	if (s.at[0] == c)
		return flags(c);
	return (uint32_t)FOLD_ONE << 23 | flags(s.at[0]) | (uint32_t)s.at[0];
}

static uint32_t blocks[FOLD_INDEX][FOLD_BLOCK];
static uint16_t where[FOLD_INDEX];

static uint32_t build(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < FOLD_INDEX; i++) {
		uint32_t b;

		for (uint32_t k = 0; k < FOLD_BLOCK; k++)
			blocks[count][k] = entry((UChar32)(i << FOLD_SHIFT | k));
		for (b = 0; memcmp(blocks[b], blocks[count], sizeof(blocks[0])); b++)
			;
		if (b == count)
			count++;
		where[i] = (uint16_t)b;
	}
	return count;
}

static bool is_target(UChar32 c)
{
	UErrorCode error = U_ZERO_ERROR;

	return (c >= 'a' && c <= 'z') || (uscript_getScript(c, &error) == USCRIPT_HAN && u_isalpha(c));
}

/* What c looks like, folded; 0 if that is no other letter. */
static UChar32 twin(UChar32 c)
{
	UErrorCode error = U_ZERO_ERROR;
	struct sequence own, look;
	UChar text[2], skeleton[SEQUENCE_MAX];
	int n = 0, len;
	UChar32 to;

	if (U_IS_SURROGATE(c) || c < 0x80)
		return 0;
	fold(&own, c);
	if (own.len != 1 || is_target(own.at[0]))
		return 0;
	U16_APPEND_UNSAFE(text, n, c);
	len = uspoof_getSkeleton(spoof, 0, text, n, skeleton, SEQUENCE_MAX, &error);
	if (U_FAILURE(error))
		die("skeleton");
	n = 0;
	U16_NEXT(skeleton, n, len, to);
	if (n != len || to == c)
		return 0;
	/* A capital I looks like a small l, but stands for the letter I. */
	fold(&look, to == 'l' && u_isUUppercase(c) ? 'i' : to);
	/* Word edges must not depend on the reading. */
	return look.len == 1 && is_target(look.at[0]) && flags(look.at[0]) == flags(own.at[0]) ? look.at[0] : 0;
}

static void print_twins(FILE *f)
{
	uint32_t count = 0;

	fprintf(f, "\nconst struct fold_twin fold_twins[] = {\n");
	for (UChar32 c = 0; c < (UChar32)FOLD_POINTS; c++) {
		UChar32 to = twin(c);

		if (to)
			fprintf(f, "{0x%x,0x%x},%s", (unsigned)c, (unsigned)to, count++ % 8 == 7 ? "\n" : "");
	}
	fprintf(f, "};\nconst uint32_t fold_twin_count = %u;\n", count);
}

static char syllables[2048][8];
static uint32_t syllable_count = 1;

/* The place of c's reading among the syllables; 0 if it has none, or one that is no syllable of a to z. */
static uint32_t reading(UTransliterator *pinyin, UChar32 c)
{
	UErrorCode error = U_ZERO_ERROR;
	UChar text[SEQUENCE_MAX];
	char latin[8] = "";
	int32_t n = 0, limit;
	uint32_t i;

	U16_APPEND_UNSAFE(text, n, c);
	limit = n;
	utrans_transUChars(pinyin, text, &n, SEQUENCE_MAX, 0, &limit, &error);
	if (U_FAILURE(error))
		die("transliteration");
	if (n < 1 || n > 7)
		return 0;
	for (int32_t k = 0; k < n; k++) {
		if (text[k] < 'a' || text[k] > 'z')
			return 0;
		latin[k] = (char)text[k];
	}
	for (i = 1; i < syllable_count; i++)
		if (!strcmp(syllables[i], latin))
			return i;
	if (syllable_count == sizeof(syllables) / sizeof(syllables[0]))
		die("too many syllables");
	memcpy(syllables[syllable_count++], latin, sizeof(latin));
	return i;
}

static void print_pinyin(FILE *f)
{
	static const UChar id[] = u"Han-Latin; NFD; [:Mn:] Remove; NFC";
	UErrorCode error = U_ZERO_ERROR;
	UTransliterator *pinyin = utrans_openU(id, -1, UTRANS_FORWARD, NULL, 0, NULL, &error);

	if (U_FAILURE(error))
		die("Han-Latin not found");
	fprintf(f, "\nconst uint16_t fold_pinyin[FOLD_HAN_END - FOLD_HAN] = {\n");
	for (uint32_t c = FOLD_HAN; c < FOLD_HAN_END; c++)
		fprintf(f, "%u,%s", reading(pinyin, (UChar32)c), c % 32 == 31 ? "\n" : "");
	fprintf(f, "};\nconst char fold_syllables[][8] = {\n");
	for (uint32_t i = 0; i < syllable_count; i++)
		fprintf(f, "\"%s\",%s", syllables[i], i % 16 == 15 ? "\n" : "");
	fprintf(f, "};\n");
	utrans_close(pinyin);
}

static void print_row(FILE *f, const uint32_t *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(f, "0x%x,%s", row[i], i % 16 == 15 || i + 1 == n ? "\n" : "");
}

int main(int argc, char **argv)
{
	UErrorCode error = U_ZERO_ERROR;
	uint32_t count;
	FILE *f;

	if (argc != 2)
		die("usage: foldgen FILE");
	nfkd = unorm2_getNFKDInstance(&error);
	t2s = opencc_open("t2s.json");
	spoof = uspoof_open(&error);
	if (U_FAILURE(error) || t2s == (opencc_t)-1)
		die("ICU or OpenCC data not found");
	count = build();
	f = fopen(argv[1], "w");
	if (!f)
		die("cannot write");
	fprintf(f, "/* SPDX-License-Identifier: Apache-2.0 */\n/* Written by foldgen: ICU %s, Unicode %s. */\n",
	        U_ICU_VERSION, U_UNICODE_VERSION);
	fprintf(f, "#include \"scan/fold_data.h\"\n\nconst uint16_t fold_index[FOLD_INDEX] = {\n");
	for (uint32_t i = 0; i < FOLD_INDEX; i++)
		fprintf(f, "%u,%s", where[i], i % 32 == 31 ? "\n" : "");
	fprintf(f, "};\n\nconst uint32_t fold_blocks[][FOLD_BLOCK] = {\n");
	for (uint32_t b = 0; b < count; b++) {
		fprintf(f, "{\n");
		print_row(f, blocks[b], FOLD_BLOCK);
		fprintf(f, "},\n");
	}
	fprintf(f, "};\nconst uint32_t fold_block_count = %u;\n\nconst uint32_t fold_multi[] = {\n", count);
	print_row(f, multi, multi_count);
	fprintf(f, "};\nconst uint32_t fold_multi_count = %u;\n", multi_count);
	print_twins(f);
	print_pinyin(f);
	uspoof_close(spoof);
	opencc_close(t2s);
	return fclose(f) ? 1 : 0;
}
