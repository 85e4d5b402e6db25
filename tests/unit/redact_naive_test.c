/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_naive_test.c - random answers against a naive reference.
 *
 * Each character is written in one of its spellings, together with what is to stand in its place if it is masked. The
 * reference looks for the words in the characters; the bytes released must be those of the answer with just these
 * characters replaced. However it is framed, and wherever it is cut.
 */
#include "tests/lib/test.h"

#include <stdio.h>

#include "tests/lib/talk.h"

#define ROUNDS 6000

static const char pack[] = "pack: t\nversion: \"1\"\nrules:\n"
			   "  - {id: t.a, risk: A.4.f, action: redact, boundary: none, keywords: [xyz, yzwv, zz]}\n"
			   "  - {id: t.b, risk: A.4.f, action: redact, boundary: none, keywords: [赵一, 赵一铭, λx]}\n"
			   "  - {id: t.c, risk: A.4.f, action: flag, boundary: none, keywords: [yz]}\n";
static const char *const words[] = { "xyz", "yzwv", "zz", "ZY", "ZYM", "Lx" };

/* ---- characters and their spellings ---- */

enum level { RAW, STRING, INNER }; /* plain text; a JSON string; a JSON string in a JSON string */

struct spelling {
	char fold; /* as words[] write it; 0: nothing */
	enum level from, to;
	const char *raw, *mask;
};

static const struct spelling spellings[] = {
	{ 'x', RAW, INNER, "x", "*" },
	{ 'y', RAW, INNER, "y", "*" },
	{ 'z', RAW, INNER, "z", "*" },
	{ 'w', RAW, INNER, "w", "*" },
	{ 'v', RAW, INNER, "V", "*" },
	{ 'x', STRING, INNER, "\\u0078", "\\u002a" },
	{ 'z', STRING, INNER, "\\u005A", "\\u002a" },
	{ 'x', RAW, INNER, "\xf0\x9d\x90\xb1", "****" },
	{ 'x', STRING, INNER, "\\ud835\\uDC31", "\\u002a\\u002a" },
	{ 'x', INNER, INNER, "\\\\ud835\\\\uDC31", "\\\\u002a\\\\u002a" },
	{ 'y', INNER, INNER, "\\\\u0079", "\\\\u002a" },
	{ 'z', INNER, INNER, "\\u005cu0\\u0030\\u0037A", "\\u005cu0\\u0030\\u0032a" },
	{ 'Z', RAW, INNER, "赵", "＊" },
	{ 'Y', RAW, INNER, "一", "＊" },
	{ 'M', RAW, INNER, "铭", "＊" },
	{ 'Y', STRING, INNER, "\\u4e00", "\\u002a" },
	{ 'Z', INNER, INNER, "\\\\u8d75", "\\\\u002a" },
	{ 'L', RAW, INNER, "λ", "**" },
	{ 'L', STRING, INNER, "\\u03bb", "\\u002a" },
	{ 0, RAW, INNER, "\xe2\x80\x8b", "＊" },
	{ 0, STRING, INNER, "\\u200b", "\\u002a" },
	{ ' ', RAW, INNER, " ", "*" },
	{ ';', RAW, INNER, "；", "＊" },
	{ '"', STRING, STRING, "\\\"", "**" },
	{ '"', INNER, INNER, "\\\\\\\"", "****" },
	{ ' ', STRING, STRING, "\\n", "**" },
	{ ' ', INNER, INNER, "\\\\n", "***" },
};
#define SPELLINGS (sizeof(spellings) / sizeof(*spellings))

static uint64_t seed;

static size_t pick(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed >> 11) % n;
}

/* ---- an answer ---- */

#define TEXTS      2
#define LETTERS    200
#define BYTES      16384
#define NO_LETTERS 7

struct letter {
	const struct spelling *spelling;
	size_t at; /* of the body */
	bool masked;
};

static struct {
	struct letter letters[TEXTS][LETTERS];
	size_t count[TEXTS];
	char body[BYTES], expected[BYTES];
	size_t len;
	char raw[2 * BYTES], out[2 * BYTES];
	size_t raw_len, out_len;
	bool masked;
} a;

static void put(const char *text)
{
	size_t n = strlen(text);

	memcpy(a.body + a.len, text, n);
	a.len += n;
}

static void say(size_t text, size_t count, enum level level)
{
	while (count-- && a.count[text] < LETTERS) {
		const struct spelling *s = &spellings[pick(SPELLINGS)];

		if (s->from > level || s->to < level)
			continue;
		a.letters[text][a.count[text]++] = (struct letter){ .spelling = s, .at = a.len };
		put(s->raw);
	}
}

enum shape { SHAPE_CHAT, SHAPE_TOOL, SHAPE_WHOLE, SHAPE_OTHER, SHAPE_TEXT, SHAPE_COUNT };

static void write_body(enum shape shape)
{
	size_t events = pick(12) + 1, text;

	switch (shape) {
	case SHAPE_CHAT:
	case SHAPE_TOOL:
	case SHAPE_OTHER:
		for (size_t i = 0; i < events; i++) {
			bool late = shape == SHAPE_CHAT && pick(2);

			text = shape == SHAPE_OTHER ? 0 : pick(TEXTS);
			if (shape == SHAPE_OTHER)
				put("data: {\"u\":\"");
			else if (shape == SHAPE_TOOL)
				put(text ? "data: {\"choices\":[{\"index\":1,\"delta\":{\"tool_calls\":[{\"index\":0,"
				           "\"function\":{\"arguments\":\""
				         : "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,"
				           "\"function\":{\"arguments\":\"");
			else if (!late)
				put(text ? "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\""
				         : "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
			else
				put("data: {\"choices\":[{\"delta\":{\"content\":\"");

			say(text, pick(7), shape == SHAPE_TOOL ? INNER : STRING);
			put(shape == SHAPE_OTHER  ? "\"}\n\n"
			    : shape == SHAPE_TOOL ? "\"}}]}}]}\n\n"
			    : !late               ? "\"}}]}\r\n\r\n"
			    : text                ? "\"},\"index\":1}]}\n\n"
			                          : "\"},\"index\":0}]}\n\n");
		}
		put("data: [DONE]\n\n");
		break;
	case SHAPE_WHOLE:
		put("{\"choices\":[{\"message\":{\"content\":\"");
		say(0, pick(60), STRING);
		put("\"}},{\"message\":{\"content\":\"");
		say(1, pick(60), STRING);
		put("\"}}]}");
		break;
	default:
		put("Text: ");
		say(0, pick(60), RAW);
	}
}

/* ---- the reference ---- */

static bool is_word(const struct letter *letters, size_t count, size_t at, const char *word, size_t *end)
{
	if (!letters[at].spelling->fold)
		return false;
	for (; *word && at < count; at++)
		if (letters[at].spelling->fold) {
			if (letters[at].spelling->fold != *word)
				return false;
			word++;
			*end = at + 1;
		}
	return !*word;
}

static void mask(void)
{
	memcpy(a.expected, a.body, a.len);
	for (size_t t = 0; t < TEXTS; t++) {
		struct letter *l = a.letters[t];

		for (size_t i = 0; i < a.count[t]; i++)
			for (size_t w = 0; w < sizeof(words) / sizeof(*words); w++) {
				size_t end;

				if (is_word(l, a.count[t], i, words[w], &end))
					for (size_t k = i; k < end; k++)
						l[k].masked = a.masked = true;
			}
		for (size_t i = 0; i < a.count[t]; i++)
			if (l[i].masked)
				memcpy(a.expected + l[i].at, l[i].spelling->mask, strlen(l[i].spelling->mask));
	}
}

/* ---- framing, the same for both ---- */

static size_t frame_both(const char *kind)
{
	static const char *const fields[] = { "transfer-encoding: chunked\r\n", "content-length: %zu\r\n", "" };
	size_t how = pick(3), n, at;
	char head[256];

	n = (size_t)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\ncontent-type: %s\r\n", kind);
	n += (size_t)snprintf(head + n, sizeof(head) - n, fields[how], a.len); /* NOLINT: the strings above */
	n += (size_t)snprintf(head + n, sizeof(head) - n, "\r\n");
	memcpy(a.raw, head, n);
	memcpy(a.out, head, n);
	for (at = 0; at < a.len;) {
		size_t most = a.len - at, size = how ? most : pick(30) + 1;

		size = size < most ? size : most;
		if (!how) {
			snprintf(a.out + n, 16, "%zx\r\n", size);
			n += (size_t)snprintf(a.raw + n, 16, "%zx\r\n", size);
		}
		memcpy(a.raw + n, a.body + at, size);
		memcpy(a.out + n, a.expected + at, size);
		n += size;
		at += size;
		if (!how) {
			memcpy(a.raw + n, "\r\n", 2);
			memcpy(a.out + n, "\r\n", 2);
			n += 2;
		}
	}
	if (!how) {
		memcpy(a.raw + n, "0\r\n\r\n", 5);
		memcpy(a.out + n, "0\r\n\r\n", 5);
		n += 5;
	}
	return n;
}

TEST(redact, answers_are_masked_as_by_a_naive_reader)
{
	static const char *const kinds[SHAPE_COUNT] = { "text/event-stream", "text/event-stream", "application/json",
		                                        "text/event-stream", "text/plain" };
	struct ruleset *rules = talk_rules(pack);
	static struct talk t;
	size_t masked = 0;

	cr_assert_not_null(rules);
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		enum shape shape = (enum shape)(round % SHAPE_COUNT);
		const struct exchange_report *r;
		size_t len;

		seed = round * 0x9e3779b97f4a7c15u;
		memset(a.count, 0, sizeof(a.count));
		a.len = 0;
		a.masked = false;
		write_body(shape);
		mask();
		len = frame_both(kinds[shape]);
		talk_begin(
			&t, rules, NULL,
			shape == SHAPE_TEXT || shape == SHAPE_OTHER
				? SLICE("POST /other HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
				: SLICE("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"));
		for (size_t at = 0, n; at < len; at += n) {
			n = round % 3 ? pick(round % 3 == 1 ? 200 : 9) + 1 : len;
			n = n < len - at ? n : len - at;
			talk_feed(&t, slice_of((uint8_t *)a.raw + at, n), false);
		}
		talk_feed(&t, SLICE(""), true);
		talk_conclude(&t);
		r = exchange_report(t.x);
		cr_assert_eq(r->coverage.in, r->coverage.scanned + r->coverage.structural + r->coverage.withheld);
		cr_assert_eq(r->coverage.released, r->coverage.scanned + r->coverage.structural);
		cr_assert_eq((bool)r->coverage.withheld, a.masked);
		t.out[t.len] = '\0';
		a.out[len] = a.raw[len] = '\0';
		cr_assert_eq(r->verdict == VERDICT_REDACTED, a.masked, "round %lu: %s\n%s", round,
		             verdict_names[r->verdict], a.raw);
		cr_assert(t.len == len && !memcmp(t.out, a.out, len), "round %lu\n%s\nshould be\n%s\nis\n%s", round,
		          a.raw, a.out, (char *)t.out);
		masked += a.masked;
		talk_end(&t);
	}
	cr_assert_gt(masked, ROUNDS / 8);
	ruleset_put(&rules);
}
