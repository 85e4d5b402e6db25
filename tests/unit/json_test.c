/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_test.c - JSON, compared as a transcript: one line an item, "<offset> <kind> [<text> (<raw bytes>)]".
 *
 * Every input is read whole, byte by byte, and cut in two at every place, from the end of a guard page each time; all
 * transcripts must be the same. Random documents are compared with a naive decoder that sees the whole input.
 */
#include "tests/lib/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include "stream/stream.h"

#define LOG_MAX	 (1 << 16)
#define EDGE_MAX (1 << 16)

struct log {
	size_t len;
	enum json_kind open; /* the kind of text that is still growing */
	bool growing;
	uint64_t raw;
	char text[LOG_MAX];
};

static const char *const kind_names[JSON_KIND_COUNT] = {
	[JSON_OBJECT] = "{",	  [JSON_OBJECT_END] = "}",
	[JSON_ARRAY] = "[",	  [JSON_ARRAY_END] = "]",
	[JSON_KEY] = "key",	  [JSON_KEY_END] = "key-end",
	[JSON_STRING] = "string", [JSON_STRING_END] = "string-end",
	[JSON_NUMBER] = "number", [JSON_NUMBER_END] = "number-end",
	[JSON_TRUE] = "true",	  [JSON_FALSE] = "false",
	[JSON_NULL] = "null",
};

static __attribute__((format(printf, 2, 3))) void put(struct log *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	l->len += (size_t)vsnprintf(l->text + l->len, LOG_MAX - l->len, format, args);
	va_end(args);
	cr_assert_lt(l->len, LOG_MAX);
}

static void close_text(struct log *l)
{
	if (l->growing)
		put(l, " (%lu)\n", (unsigned long)l->raw);
	l->growing = false;
}

/* One more piece of text that began at `from`. */
static void put_text(struct log *l, enum json_kind kind, size_t from, const uint8_t *at, size_t len, uint64_t raw)
{
	if (!l->growing || l->open != kind) {
		close_text(l);
		put(l, "%zu %s ", from, kind_names[kind]);
		l->growing = true;
		l->open = kind;
		l->raw = 0;
	}
	l->raw += raw;
	for (size_t i = 0; i < len; i++)
		put(l, at[i] < 0x20 ? "\\x%02x" : "%c", at[i]);
}

static void put_mark(struct log *l, size_t at, const char *what)
{
	close_text(l);
	put(l, "%zu %s\n", at, what);
}

/* Bytes whose end is the end of a page with nothing behind it. */
static struct slice at_edge(struct slice s)
{
	static uint8_t *page;

	if (!page) {
		page = mmap(NULL, EDGE_MAX + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		cr_assert_neq(page, MAP_FAILED);
		cr_assert_eq(mprotect(page + EDGE_MAX, 4096, PROT_NONE), 0);
	}
	if (s.len)
		memcpy(page + EDGE_MAX - s.len, s.at, s.len);
	return slice_of(page + EDGE_MAX - s.len, s.len);
}

struct reader {
	struct json j;
	struct log *l;
	size_t at;
	bool bad;
};

static void read_item(struct reader *r, const struct json_item *item)
{
	bool wordless = item->kind == JSON_NUMBER_END;

	if (item->kind == JSON_KEY || item->kind == JSON_STRING || item->kind == JSON_NUMBER)
		put_text(r->l, item->kind, r->at - item->ahead - item->raw, item->text.at, item->text.len, item->raw);
	else
		put_mark(r->l, r->at - !wordless, kind_names[item->kind]);
}

static void read_bad(struct reader *r, const struct json_item *item)
{
	r->bad = true;
	close_text(r->l);
	put(r->l, "%zu BAD %s\n", r->at, item->why);
}

static void read_piece(struct reader *r, struct slice s)
{
	struct json_item item;
	size_t used;

	for (s = at_edge(s); !r->bad; s = slice_from(s, used)) {
		enum step step = json_feed(&r->j, s, &used, &item);

		cr_assert_leq(used, s.len);
		r->at += used;
		if (step == STEP_BAD)
			read_bad(r, &item);
		else if (step == STEP_ITEM)
			read_item(r, &item);
		else
			break;
	}
}

static void read_end(struct reader *r)
{
	struct json_item item;
	enum step step = STEP_ITEM;

	while (!r->bad && (step = json_finish(&r->j, &item)) == STEP_ITEM)
		read_item(r, &item);
	if (!r->bad && step == STEP_BAD)
		read_bad(r, &item);
	else if (!r->bad)
		put_mark(r->l, r->at, json_done(&r->j) ? "done" : "blank");
	if (r->j.lone)
		put(r->l, "lone %u\n", r->j.lone);
}

/* The transcript of the input, cut at `cut` and, if `single`, between all bytes. */
static const char *transcript(struct slice in, size_t cut, bool single)
{
	static struct log l;
	struct reader r = { .l = &l };

	l.len = 0;
	l.growing = false;
	json_start(&r.j);
	cr_assert(json_blank(&r.j));
	if (single) {
		for (size_t i = 0; i < in.len; i++)
			read_piece(&r, slice_of(in.at + i, 1));
	} else {
		read_piece(&r, slice_of(in.at, cut));
		read_piece(&r, slice_from(in, cut));
	}
	read_end(&r);
	return l.text;
}

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
		{ "\"\xc3(aaa\"", 2 },	       { "\"\xe6\xaf\x92\xe6\"", 5 }, { "\"aaaaaaaaa\xe6 \"", 11 },
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

/* ---- a naive decoder of the whole input ---- */

struct naive {
	struct slice in;
	size_t at;
	int depth;
	unsigned lone;
	struct log l;
};

static int peek(const struct naive *n)
{
	return n->at < n->in.len ? n->in.at[n->at] : -1;
}

static void skip_space(struct naive *n)
{
	while (peek(n) == ' ' || peek(n) == '\n' || peek(n) == '\r' || peek(n) == '\t')
		n->at++;
}

/* Can a character that takes `of` bytes begin with these `len`? Asked of its code points, not of byte ranges. */
static bool may_begin(const uint8_t *s, size_t len, int of)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	static const uint32_t most[] = { 0, 0, 0x7ff, 0xffff, 0x10ffff };
	uint32_t low, high;

	if (s[0] >> (7 - of) != (1 << (of + 1)) - 2)
		return false;
	low = high = s[0] & (0x7f >> of);
	for (int i = 1; i < of; i++) {
		if ((size_t)i < len && s[i] >> 6 != 2)
			return false;
		low = low << 6 | ((size_t)i < len ? s[i] & 0x3f : 0);
		high = high << 6 | ((size_t)i < len ? s[i] & 0x3f : 0x3f);
	}
	return low <= most[of] && high >= least[of] && !(low >= 0xd800 && high <= 0xdfff);
}

/* Takes one character outside ASCII. False: it breaks off; what was good of it is taken. */
static bool naive_utf8(struct naive *n, enum json_kind kind)
{
	const uint8_t *s = n->in.at + n->at;
	size_t rest = n->in.len - n->at, good = 0;
	int of = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	while (good < (size_t)of && good < rest && may_begin(s, good + 1, of))
		good++;
	if (good)
		put_text(&n->l, kind, n->at, s, good, good);
	n->at += good;
	return good == (size_t)of;
}

static void naive_unit(struct naive *n, enum json_kind kind, uint32_t c, size_t from, size_t raw)
{
	char utf8[8];
	size_t len = 0;

	if (c >= 0xd800 && c < 0xe000) {
		c = 0xfffd;
		n->lone++;
	}
	if (c < 0x80)
		utf8[len++] = (char)c;
	else if (c < 0x800)
		utf8[len++] = (char)(0xc0 + c / 64);
	else if (c < 0x10000)
		utf8[len++] = (char)(0xe0 + c / 4096);
	else
		utf8[len++] = (char)(0xf0 + c / 262144);
	if (c >= 0x10000)
		utf8[len++] = (char)(0x80 + c / 4096 % 64);
	if (c >= 0x800)
		utf8[len++] = (char)(0x80 + c / 64 % 64);
	if (c >= 0x80)
		utf8[len++] = (char)(0x80 + c % 64);
	put_text(&n->l, kind, from, (const uint8_t *)utf8, len, raw);
}

/* The value of the \uXXXX at n->at + from, or -1; *good: bytes of it that are right. */
static int unit_at(const struct naive *n, size_t from, size_t *good)
{
	int unit = 0;

	for (*good = 0; *good < 6; ++*good) {
		size_t at = n->at + from + *good;
		int c = at < n->in.len ? n->in.at[at] : -1;
		const char *hex = "0123456789abcdef",
			   *digit = c > 0 ? strchr(hex, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

		if (*good == 0 ? c != '\\' : *good == 1 ? c != 'u' : !digit)
			return -1;
		if (*good > 1)
			unit = unit * 16 + (int)(digit - hex);
	}
	return unit;
}

/* Takes the escape at n->at. False: it is wrong, and n->at is where. */
static bool naive_escape(struct naive *n, enum json_kind kind)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	int c = n->at + 1 < n->in.len ? n->in.at[n->at + 1] : -1;
	const char *simple = c > 0 ? strchr(from, c) : NULL;
	size_t good, good2;
	int unit, second;

	if (simple) {
		put_text(&n->l, kind, n->at, (const uint8_t *)&to[simple - from], 1, 2);
		n->at += 2;
		return true;
	}
	unit = unit_at(n, 0, &good);
	if (unit < 0) {
		n->at += good ? good : 1;
		return false;
	}
	second = unit_at(n, 6, &good2);
	if (unit >= 0xd800 && unit < 0xdc00) {
		size_t next = n->at + 6 + good2;

		if (second >= 0xdc00 && second < 0xe000) {
			naive_unit(n, kind, 0x10000 + (uint32_t)(unit - 0xd800) * 1024 + (uint32_t)(second - 0xdc00),
				   n->at, 12);
			n->at += 12;
			return true;
		}
		/* the end or a wrong digit in what may be the other half: the first is not given */
		if (second < 0 && (good2 >= 2 || next == n->in.len)) {
			n->at = next;
			return false;
		}
	}
	naive_unit(n, kind, (uint32_t)unit, n->at, 6);
	n->at += 6;
	return true;
}

static bool naive_string(struct naive *n, enum json_kind kind)
{
	n->at++;
	while (peek(n) >= 0x20 && peek(n) != '"') {
		if (peek(n) == '\\') {
			if (!naive_escape(n, kind))
				return false;
		} else if (peek(n) >= 0x80) {
			if (!naive_utf8(n, kind))
				return false;
		} else {
			put_text(&n->l, kind, n->at, n->in.at + n->at, 1, 1);
			n->at++;
		}
	}
	if (peek(n) != '"')
		return false;
	put_mark(&n->l, n->at++, kind_names[kind + 1]);
	return true;
}

static bool naive_take(struct naive *n, const char *set, size_t *count)
{
	*count = 0;
	while (peek(n) > 0 && strchr(set, peek(n))) {
		put_text(&n->l, JSON_NUMBER, n->at, n->in.at + n->at, 1, 1);
		n->at++;
		++*count;
	}
	return *count;
}

static void naive_one(struct naive *n)
{
	put_text(&n->l, JSON_NUMBER, n->at, n->in.at + n->at, 1, 1);
	n->at++;
}

static bool naive_number(struct naive *n)
{
	size_t count;

	if (peek(n) == '-')
		naive_one(n);
	if (peek(n) == '0')
		naive_one(n);
	else if (!naive_take(n, "0123456789", &count))
		return false;
	if (peek(n) == '.') {
		naive_one(n);
		if (!naive_take(n, "0123456789", &count))
			return false;
	}
	if (peek(n) == 'e' || peek(n) == 'E') {
		naive_one(n);
		if (peek(n) == '+' || peek(n) == '-')
			naive_one(n);
		if (!naive_take(n, "0123456789", &count))
			return false;
	}
	put_mark(&n->l, n->at, "number-end");
	return true;
}

static bool naive_value(struct naive *n);

static bool naive_container(struct naive *n, bool object)
{
	int end = object ? '}' : ']';

	if (n->depth++ == JSON_DEPTH_MAX)
		return false;
	put_mark(&n->l, n->at++, object ? "{" : "[");
	skip_space(n);
	while (peek(n) != end) {
		if (object) {
			if (peek(n) != '"' || !naive_string(n, JSON_KEY))
				return false;
			skip_space(n);
			if (peek(n) != ':')
				return false;
			n->at++;
			skip_space(n);
		}
		if (!naive_value(n))
			return false;
		skip_space(n);
		if (peek(n) == end)
			break;
		if (peek(n) != ',')
			return false;
		n->at++;
		skip_space(n);
		if (peek(n) == end)
			return false;
	}
	n->depth--;
	put_mark(&n->l, n->at++, object ? "}" : "]");
	return true;
}

static bool naive_value(struct naive *n)
{
	static const char *const words[] = { "true", "false", "null" };

	if (peek(n) == '{' || peek(n) == '[')
		return naive_container(n, peek(n) == '{');
	if (peek(n) == '"')
		return naive_string(n, JSON_STRING);
	if (peek(n) == '-' || (peek(n) >= '0' && peek(n) <= '9'))
		return naive_number(n);
	for (int i = 0; i < 3; i++) {
		size_t m = 0;

		if (peek(n) != words[i][0])
			continue;
		while (words[i][m] && peek(n) == words[i][m])
			m++, n->at++;
		if (!words[i][m])
			put_mark(&n->l, n->at - 1, words[i]);
		return !words[i][m];
	}
	return false;
}

static const char *naive_transcript(struct slice in)
{
	static struct naive n;

	n = (struct naive){ .in = in };
	skip_space(&n);
	if (peek(&n) < 0) {
		put_mark(&n.l, n.at, "blank");
		return n.l.text;
	}
	if (!naive_value(&n) || (skip_space(&n), n.at < in.len)) {
		close_text(&n.l);
		put(&n.l, "%zu BAD\n", n.at);
	} else {
		put_mark(&n.l, n.at, "done");
	}
	if (n.lone)
		put(&n.l, "lone %u\n", n.lone);
	return n.l.text;
}

static const char *const fragments[] = {
	"{",	     "}",	 "[",
	"]",	     ",",	 ":",
	"\"",	     "\"a\":",	 "\"b\"",
	"{}",	     "[]",	 " ",
	"\n",	     "0",	 "-",
	"12",	     ".",	 "5",
	"e",	     "E+",	 "true",
	"false",     "null",	 "nul",
	"\\n",	     "\\u",	 "\\",
	"\\ud83d",   "\\ude00",	 "\\u6bd2",
	"\\u00",     "41",	 "u",
	"x",	     "毒",	 "é",
	"😀",	     "\xe6",	 "\xaf",
	"\x92",	     "\xf0\x9f", "\xed\xa0\x80",
	"\x80",	     "\x01",	 "a string that is longer than a word",
	"{\"k\":\"", "\"}",	 "[\"",
	"\"]",	     "1,",	 "\",\"",
};

/* The end of a transcript line without the reason that only the decoder gives. */
static void without_why(char *t)
{
	char *bad = strstr(t, " BAD "), *rest = bad ? strchr(bad, '\n') : NULL;

	if (bad)
		memmove(bad + 4, rest, strlen(rest) + 1);
}

TEST(json, as_the_naive_decoder, .timeout = 120)
{
	static char got[LOG_MAX];
	uint64_t seed = 20261121;
	size_t done = 0, whole = 0;

	for (int round = 0; round < 60000; round++) {
		char in[1024];
		size_t len = 0;

		for (int n = 1 + round % 12; n > 0; n--) {
			const char *f;

			seed = seed * 6364136223846793005u + 1442695040888963407u;
			f = fragments[(seed >> 33) % (sizeof(fragments) / sizeof(*fragments))];
			memcpy(in + len, f, strlen(f));
			len += strlen(f);
		}
		strcpy(got, transcript(slice_of(in, len), (size_t)(seed >> 33) % (len + 1), round % 3 == 0));
		without_why(got);
		cr_assert_str_eq(got, naive_transcript(slice_of(in, len)), "'%.*s':\n%s\nwant\n%s", (int)len, in, got,
				 naive_transcript(slice_of(in, len)));
		done++;
		whole += strstr(got, "done") != NULL;
	}
	cr_assert_gt(whole, done / 100, "too few of them are whole: %zu", whole);
}
