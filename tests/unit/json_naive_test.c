/* SPDX-License-Identifier: Apache-2.0 */
/* json_naive_test.c - random documents, against a naive decoder that sees the whole input. */
#include "tests/lib/json_log.h"

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
	"{",         "}",        "[",
	"]",         ",",        ":",
	"\"",        "\"a\":",   "\"b\"",
	"{}",        "[]",       " ",
	"\n",        "0",        "-",
	"12",        ".",        "5",
	"e",         "E+",       "true",
	"false",     "null",     "nul",
	"\\n",       "\\u",      "\\",
	"\\ud83d",   "\\ude00",  "\\u6bd2",
	"\\u00",     "41",       "u",
	"x",         "毒",       "é",
	"😀",         "\xe6",     "\xaf",
	"\x92",      "\xf0\x9f", "\xed\xa0\x80",
	"\x80",      "\x01",     "a string that is longer than a word",
	"{\"k\":\"", "\"}",      "[\"",
	"\"]",       "1,",       "\",\"",
};

/* The end of a transcript line without the reason that only the decoder gives. */
static void without_why(char *t)
{
	char *bad = strstr(t, " BAD "), *rest = bad ? strchr(bad, '\n') : NULL;

	if (bad)
		memmove(bad + 4, rest, strlen(rest) + 1);
}

TEST(json_naive, as_the_naive_decoder, .timeout = 120)
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
