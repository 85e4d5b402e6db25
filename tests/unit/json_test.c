/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_test.c - JSON by table: transcripts, what is accepted, what is refused and where.
 *
 * Every input is read whole, byte by byte, and cut in two at every place; all transcripts must be the same.
 */
#include "tests/lib/json_log.h"

static void same_however_cut(struct slice in, const char *want)
{
	EACH_CUT (cut, in.len)
		cr_assert_str_eq(transcript(in, cut, false), want, "'%.*s' cut at %zu:\n%s\nwant\n%s", SLICE_ARG(in),
		                 cut, transcript(in, cut, false), want);
	cr_assert_str_eq(transcript(in, 0, true), want, "'%.*s' byte by byte:\n%s\nwant\n%s", SLICE_ARG(in),
	                 transcript(in, 0, true), want);
}

TEST(json, transcript_of_a_chunk)
{
	same_however_cut(SLICE("{\"choices\":[{\"delta\":{\"content\":\"\\u6bd2 ok\"}, \"n\":-1.5e3}],\"x\":null}\n"),
	                 "0 {\n2 key choices (7)\n9 key-end\n11 [\n12 {\n14 key delta (5)\n19 key-end\n21 {\n"
	                 "23 key content (7)\n30 key-end\n33 string 毒 ok (9)\n42 string-end\n43 }\n"
	                 "47 key n (1)\n48 key-end\n50 number -1.5e3 (6)\n56 number-end\n56 }\n57 ]\n"
	                 "60 key x (1)\n61 key-end\n66 null\n67 }\n69 done\n");
}

static const struct {
	const char *in, *want;
} strings[] = {
	{ "\"\"", "1 string-end\n2 done\n" },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "1 string \"\\/\\x08\\x0c\\x0a\\x0d\\x09 (16)\n17 string-end\n18 done\n" },
	{ "\"\\u0041\\u00e9\\u6BD2\\u0000\"", "1 string Aé毒\\x00 (24)\n25 string-end\n26 done\n" },
	{ "\"a\\ud83d\\uDE00b\"", "1 string a😀b (14)\n15 string-end\n16 done\n" },
	{ "\"é毒😀\"", "1 string é毒😀 (9)\n10 string-end\n11 done\n" },
	{ "\"\x7f\"", "1 string \x7f (1)\n2 string-end\n3 done\n" },
	{ "{\"\\ud83d\\ude00\":1}", "0 {\n2 key 😀 (12)\n14 key-end\n16 number 1 (1)\n17 number-end\n17 }\n18 done\n" },
	/* lone surrogates, with everything that may follow a high one */
	{ "\"\\ud800\"", "1 string \uFFFD (6)\n7 string-end\n8 done\nlone 1\n" },
	{ "\"\\udc00\"", "1 string \uFFFD (6)\n7 string-end\n8 done\nlone 1\n" },
	{ "\"\\ud800x\"", "1 string \uFFFDx (7)\n8 string-end\n9 done\nlone 1\n" },
	{ "\"\\ud800\\n\"", "1 string \uFFFD\\x0a (8)\n9 string-end\n10 done\nlone 1\n" },
	{ "\"\\ud800\\u0041\"", "1 string \uFFFDA (12)\n13 string-end\n14 done\nlone 1\n" },
	{ "\"\\ud800\\ud800\\udc00\"", "1 string \uFFFD\U00010000 (18)\n19 string-end\n20 done\nlone 1\n" },
	{ "\"\\ud800\\ud800\"", "1 string \uFFFD\uFFFD (12)\n13 string-end\n14 done\nlone 2\n" },
	{ "\"\\udc00\\ud800\"", "1 string \uFFFD\uFFFD (12)\n13 string-end\n14 done\nlone 2\n" },
	/* faults */
	{ "\"\\ud800\\x\"", "1 string \uFFFD (6)\n8 BAD unknown escape\nlone 1\n" },
	{ "\"\\u12g4\"", "5 BAD \\u without four hexadecimal digits\n" },
	{ "\"a\nb\"", "1 string a (1)\n2 BAD control character in a string\n" },
	{ "\"a\x1f\"", "1 string a (1)\n2 BAD control character in a string\n" },
	{ "\"a\x80\"", "1 string a (1)\n2 BAD a string is not UTF-8\n" },
	{ "\"\xc0\xaf\"", "1 BAD a string is not UTF-8\n" },
	{ "\"\xff\"", "1 BAD a string is not UTF-8\n" },
	{ "\"\xf5\x80\x80\x80\"", "1 BAD a string is not UTF-8\n" },
	{ "\"ab", "1 string ab (2)\n3 BAD cut short\n" },
	{ "\"\\", "2 BAD cut short\n" },
};

TEST(json, strings)
{
	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		same_however_cut(slice_str(strings[i].in), strings[i].want);
}

/* A character that turns wrong midway: after the valid beginning, at the byte that breaks it. */
TEST(json, utf8_that_breaks_off)
{
	static const struct {
		const char *in;
		size_t at;
	} cases[] = {
		{ "\"\xe0\x9f\x80\"", 2 },     { "\"\xed\xa0\x80\"", 2 },     { "\"\xf0\x8f\x80\x80\"", 2 },
		{ "\"\xf4\x90\x80\x80\"", 2 }, { "\"\xe6\xaf\"aaaa", 3 },     { "\"\xf0\x9f\x98\"aa", 4 },
		{ "\"\xc3(aaa\"", 2 },         { "\"\xe6\xaf\x92\xe6\"", 5 }, { "\"aaaaaaaaa\xe6 \"", 11 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		static char whole[LOG_MAX];
		char end[64];

		strcpy(whole, transcript(slice_str(cases[i].in), 0, false));
		snprintf(end, sizeof(end), "%zu BAD a string is not UTF-8\n", cases[i].at);
		cr_assert_not_null(strstr(whole, end), "case %zu:\n%s", i, whole);
		same_however_cut(slice_str(cases[i].in), whole);
	}
}

static bool ends_with(const char *text, const char *end)
{
	return strlen(text) >= strlen(end) && !strcmp(text + strlen(text) - strlen(end), end);
}

static const char *const accepted[] = {
	"0",
	"-0",
	"0.0",
	"-0.1",
	"1",
	"10",
	"1e1",
	"1E+2",
	"1e-2",
	"0e0",
	"1.5E5",
	"true",
	"false",
	"null",
	" \t\r\n1\n",
	"[]",
	"{}",
	"[[]]",
	"[{},[1]]",
	"[[1],{\"a\":1}]",
	"[{},[],0]",
	"{\"a\":{}}",
	"[1,2]",
	"[ ]",
	"{ }",
	"[true,false,null]",
	"{\"\":\"\"}",
	"{\"a\":1,\"a\":2}",
	"-9999999999999999999999.00001e99999",
};

TEST(json, accepts)
{
	for (size_t i = 0; i < sizeof(accepted) / sizeof(*accepted); i++) {
		static char whole[LOG_MAX];
		char end[32];

		strcpy(whole, transcript(slice_str(accepted[i]), 0, false));
		snprintf(end, sizeof(end), "\n%zu done\n", strlen(accepted[i]));
		cr_assert(ends_with(whole, end), "'%s':\n%s", accepted[i], whole);
		same_however_cut(slice_str(accepted[i]), whole);
	}
}

static const struct {
	const char *in;
	size_t at;
	const char *why;
} refused[] = {
	{ "\xef\xbb\xbf{}", 0, "not a value" },
	{ "nul", 3, "cut short" },
	{ "nulL", 3, "neither true nor false nor null" },
	{ "True", 0, "not a value" },
	{ "NaN", 0, "not a value" },
	{ "Infinity", 0, "not a value" },
	{ "-Infinity", 1, "not a number" },
	{ "nullx", 4, "more than one value" },
	{ "+1", 0, "not a value" },
	{ ".5", 0, "not a value" },
	{ "01", 1, "more than one value" },
	{ "-01", 2, "more than one value" },
	{ "1.", 2, "cut short" },
	{ "[1.]", 3, "not a number" },
	{ "1.e1", 2, "not a number" },
	{ "1e", 2, "cut short" },
	{ "1e+", 3, "cut short" },
	{ "[1e]", 3, "not a number" },
	{ "1ee2", 2, "not a number" },
	{ "-", 1, "cut short" },
	{ "[-]", 2, "not a number" },
	{ "--1", 1, "not a number" },
	{ "0x10", 1, "more than one value" },
	{ "1 2", 2, "more than one value" },
	{ "[1 2]", 3, "neither a comma nor the end of the container" },
	{ "[1,]", 3, "not a value" },
	{ "[,1]", 1, "not a value" },
	{ "[1}", 2, "neither a comma nor the end of the container" },
	{ "{\"a\":1]", 6, "neither a comma nor the end of the container" },
	{ "{\"a\":1,}", 7, "not a key" },
	{ "{,}", 1, "not a key" },
	{ "{a:1}", 1, "not a key" },
	{ "{'a':1}", 1, "not a key" },
	{ "{1:1}", 1, "not a key" },
	{ "{\"a\"}", 4, "no colon after a key" },
	{ "{\"a\" 1}", 5, "no colon after a key" },
	{ "{\"a\":}", 5, "not a value" },
	{ "{\"a\"::1}", 5, "not a value" },
	{ "]", 0, "not a value" },
	{ "}", 0, "not a value" },
	{ "{}}", 2, "more than one value" },
	{ "[]]", 2, "more than one value" },
	{ "{} {}", 3, "more than one value" },
	{ "/**/1", 0, "not a value" },
	{ "1//", 1, "more than one value" },
	{ "[1\f]", 2, "neither a comma nor the end of the container" },
	{ "\v1", 0, "not a value" },
	{ "'a'", 0, "not a value" },
	{ "\"\\x41\"", 2, "unknown escape" },
	{ "\"\\a\"", 2, "unknown escape" },
	{ "\"\\U0041\"", 2, "unknown escape" },
	{ "\"\\u004\"", 6, "\\u without four hexadecimal digits" },
	{ "[", 1, "cut short" },
	{ "{\"a\":", 5, "cut short" },
	{ "[1", 2, "cut short" },
	{ "[1,", 3, "cut short" },
};

TEST(json, refuses)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		static char whole[LOG_MAX];
		char end[128];

		strcpy(whole, transcript(slice_str(refused[i].in), 0, false));
		snprintf(end, sizeof(end), "%zu BAD %s\n", refused[i].at, refused[i].why);
		cr_assert(ends_with(whole, end), "'%s':\n%swant %s", refused[i].in, whole, end);
		same_however_cut(slice_str(refused[i].in), whole);
	}
}

TEST(json, nothing_is_blank)
{
	same_however_cut(SLICE(""), "0 blank\n");
	same_however_cut(SLICE(" \n\t\r"), "4 blank\n");
}

TEST(json, depth)
{
	char deep[2 * JSON_DEPTH_MAX + 2];

	for (int brackets = JSON_DEPTH_MAX; brackets <= JSON_DEPTH_MAX + 1; brackets++) {
		char end[32];
		const char *t;

		memset(deep, '[', (size_t)brackets);
		memset(deep + brackets, ']', (size_t)brackets);
		t = transcript(slice_of(deep, 2 * (size_t)brackets), 0, false);
		snprintf(end, sizeof(end), brackets > JSON_DEPTH_MAX ? "\n64 BAD depth\n" : "\n128 done\n");
		cr_assert_str_eq(t + strlen(t) - strlen(end), end);
	}
	/* the deepest container is remembered as what it is */
	memset(deep, '[', JSON_DEPTH_MAX - 1);
	strcpy(deep + JSON_DEPTH_MAX - 1, "{]");
	cr_assert_not_null(strstr(transcript(slice_str(deep), 0, false), "\n64 BAD not a key\n"));
}

TEST(json, stays_refused)
{
	struct json j;
	struct json_item item;
	size_t used;

	json_start(&j);
	cr_assert_eq(json_feed(&j, SLICE("}"), &used, &item), STEP_BAD);
	cr_assert_eq(json_feed(&j, SLICE("1"), &used, &item), STEP_BAD);
	cr_assert_eq(used, 0);
	cr_assert_eq(json_finish(&j, &item), STEP_BAD);
	cr_assert_not(json_done(&j));
}
