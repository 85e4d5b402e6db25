/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_body_test.c - bodies, compared as a transcript: "<offset> <kind> [<left>] ['<bytes>']" a line, text joined.
 *
 * Every body is read whole, byte by byte, and cut in two at every place, from the end of a guard page each time.
 */
#include <stdarg.h>
#include <stdio.h>

#include "stream/stream.h"
#include "tests/lib/edge.h"
#include "tests/lib/test.h"

#define LOG_MAX (1 << 14)

struct log {
	size_t len;
	int open; /* kind of the bytes that are still growing, -1: none */
	char text[LOG_MAX];
};

struct reader {
	struct http1_body body;
	size_t at;
	bool over;
	struct log l;
};

static struct reader r;

static __attribute__((format(printf, 1, 2))) void put(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	r.l.len += (size_t)vsnprintf(r.l.text + r.l.len, LOG_MAX - r.l.len, format, args);
	va_end(args);
	cr_assert_lt(r.l.len, LOG_MAX);
}

static void close_text(void)
{
	if (r.l.open >= 0)
		put("'\n");
	r.l.open = -1;
}

static void put_item(const struct http1_body_item *item)
{
	static const char *const names[] = {
		[HTTP1_DATA] = "data",
		[HTTP1_CHUNK] = "chunk",
		[HTTP1_CHUNK_END] = "chunk-end",
		[HTTP1_TRAILER] = "trailer",
		[HTTP1_TRAILER_END] = "trailer-end",
		[HTTP1_END] = "end",
	};
	bool text = item->kind == HTTP1_DATA || item->kind == HTTP1_TRAILER;

	if (!text || r.l.open != (int)item->kind) {
		close_text();
		put("%zu %s", r.at - item->data.len, names[item->kind]);
		if (item->kind == HTTP1_CHUNK)
			put(" %lu", (unsigned long)r.body.left);
		put(text ? " '" : "\n");
	}
	cr_assert_eq(text, item->data.len > 0);
	if (text)
		put("%.*s", SLICE_ARG(item->data));
	if (text)
		r.l.open = item->kind;
	r.over = item->kind == HTTP1_END;
}

static void read_piece(struct slice s)
{
	struct http1_body_item item;
	enum step step = STEP_ITEM;
	size_t used;

	for (s = at_edge(s); !r.over && step == STEP_ITEM; s = slice_from(s, used)) {
		step = http1_body_feed(&r.body, s, &used, &item);
		cr_assert_leq(used, s.len);
		r.at += used;
		if (step == STEP_ITEM)
			put_item(&item);
		else if (step == STEP_MORE)
			cr_assert_eq(used, s.len);
	}
	if (step != STEP_BAD)
		return;
	close_text();
	put("%zu BAD %s\n", r.at, item.why);
	r.over = true;
}

static const char *transcript(enum http1_framing framing, uint64_t length, struct slice in, size_t cut, bool single)
{
	memset(&r, 0, sizeof(r));
	r.l.open = -1;
	http1_body_start(&r.body, framing, length);
	if (single) {
		for (size_t i = 0; i < in.len; i++)
			read_piece(slice_of(in.at + i, 1));
	} else {
		read_piece(slice_of(in.at, cut));
		read_piece(slice_from(in, cut));
	}
	close_text();
	return r.l.text;
}

static void same_however_cut(enum http1_framing framing, uint64_t length, const char *text, const char *want)
{
	struct slice in = slice_str(text);

	EACH_CUT (cut, in.len) {
		const char *got = transcript(framing, length, in, cut, false);

		cr_assert_str_eq(got, want, "'%s' cut at %zu:\n%swant\n%s", text, cut, got, want);
	}
	if (in.len)
		cr_assert_str_eq(transcript(framing, length, in, 0, true), want, "'%s' byte by byte", text);
}

static void chunked(const char *text, const char *want)
{
	same_however_cut(HTTP1_CHUNKED, 0, text, want);
}

TEST(body, framings_without_chunks)
{
	same_however_cut(HTTP1_NO_BODY, 0, "GET", "0 end\n");
	same_however_cut(HTTP1_NO_BODY, 0, "", "0 end\n");
	same_however_cut(HTTP1_LENGTH, 0, "GET", "0 end\n");
	same_however_cut(HTTP1_LENGTH, 0, "", "0 end\n");
	same_however_cut(HTTP1_LENGTH, 5, "hello", "0 data 'hello'\n5 end\n");
	same_however_cut(HTTP1_LENGTH, 5, "hello, next", "0 data 'hello'\n5 end\n");
	same_however_cut(HTTP1_LENGTH, 6, "hello", "0 data 'hello'\n");
	same_however_cut(HTTP1_UNTIL_CLOSE, 0, "hello", "0 data 'hello'\n");
	same_however_cut(HTTP1_UNTIL_CLOSE, 0, "", "");
}

TEST(body, chunks)
{
	chunked("0\r\n\r\nGET", "3 chunk 0\n5 end\n");
	chunked("5\r\nhello\r\n0\r\n\r\n", "3 chunk 5\n3 data 'hello'\n10 chunk-end\n13 chunk 0\n15 end\n");
	chunked("1\r\na\r\n2\r\nbc\r\n000\r\n\r\n", "3 chunk 1\n3 data 'a'\n6 chunk-end\n9 chunk 2\n9 data 'bc'\n"
	                                            "13 chunk-end\n18 chunk 0\n20 end\n");
	chunked("00000000000000aF\r\n0", "18 chunk 175\n18 data '0'\n");
	chunked("4\r\n\r\n0\r\r\n0\r\n\r\n", "3 chunk 4\n3 data '\r\n0\r'\n9 chunk-end\n"
	                                     "12 chunk 0\n14 end\n");
	chunked("7fffffffffffffff\r\nx", "18 chunk 9223372036854775807\n18 data 'x'\n");
}

TEST(body, trailers)
{
	chunked("0\r\nA: b\r\nc:\r\n\r\nGET", "3 chunk 0\n3 trailer 'A: b'\n9 trailer-end\n9 trailer 'c:'\n"
	                                      "13 trailer-end\n15 end\n");
	chunked("0\r\nHosts: a\r\nHos:\r\n\r\n", "3 chunk 0\n3 trailer 'Hosts: a'\n13 trailer-end\n13 trailer 'Hos:'\n"
	                                         "19 trailer-end\n21 end\n");
}

static const struct {
	const char *text, *want;
} bad[] = {
	{ "\r\n", "0 BAD not a chunk size\n" },
	{ " 5\r\n", "0 BAD not a chunk size\n" },
	{ "5 \r\n", "1 BAD not a chunk size\n" },
	{ "5;a=b\r\n", "1 BAD not a chunk size\n" },
	{ "0x5\r\n", "1 BAD not a chunk size\n" },
	{ "-5\r\n", "0 BAD not a chunk size\n" },
	{ "+5\r\n", "0 BAD not a chunk size\n" },
	{ "5,\r\n", "1 BAD not a chunk size\n" },
	{ "g\r\n", "0 BAD not a chunk size\n" },
	{ "5\n", "1 BAD bare LF\n" },
	{ "5\rh", "2 BAD bare CR\n" },
	{ "00000000000000000\r\n", "16 BAD chunk size is too large\n" },
	{ "8000000000000000\r\n", "15 BAD chunk size is too large\n" },
	{ "ffffffffffffffff\r\n", "15 BAD chunk size is too large\n" },
	{ "1\r\nab\r\n", "3 chunk 1\n3 data 'a'\n4 BAD no line break after a chunk\n" },
	{ "1\r\na\n", "3 chunk 1\n3 data 'a'\n4 BAD no line break after a chunk\n" },
	{ "1\r\na\r\r", "3 chunk 1\n3 data 'a'\n5 BAD bare CR\n" },
	{ "1\r\na\r\n\r\n", "3 chunk 1\n3 data 'a'\n6 chunk-end\n6 BAD not a chunk size\n" },
	{ "0\r\n\n", "3 chunk 0\n3 BAD bare LF\n" },
	{ "0\r\n\rx", "3 chunk 0\n4 BAD bare CR\n" },
	{ "0\r\n a: b", "3 chunk 0\n3 BAD folded line\n" },
	{ "0\r\n: b", "3 chunk 0\n3 BAD empty field name\n" },
	{ "0\r\n\x80", "3 chunk 0\n3 BAD not a field name\n" },
	{ "0\r\na\r\n", "3 chunk 0\n3 trailer 'a'\n4 BAD not a field name\n" },
	{ "0\r\na\n", "3 chunk 0\n3 trailer 'a'\n4 BAD bare LF\n" },
	{ "0\r\na :", "3 chunk 0\n3 trailer 'a'\n4 BAD white space before the colon\n" },
	{ "0\r\na:\x01", "3 chunk 0\n3 trailer 'a:'\n5 BAD control character in a field value\n" },
	{ "0\r\na:b\n", "3 chunk 0\n3 trailer 'a:b'\n6 BAD bare LF\n" },
	{ "0\r\na:b\rc", "3 chunk 0\n3 trailer 'a:b'\n7 BAD bare CR\n" },
	{ "0\r\nHost: a", "3 chunk 0\n3 trailer 'Host'\n7 BAD forbidden trailer field\n" },
	{ "0\r\ncontent-LENGTH:1", "3 chunk 0\n3 trailer 'content-LENGTH'\n17 BAD forbidden trailer field\n" },
	{ "0\r\na:\r\nTransfer-Encoding:",
	  "3 chunk 0\n3 trailer 'a:'\n7 trailer-end\n7 trailer 'Transfer-Encoding'\n24 BAD forbidden trailer field\n" },
	{ "0\r\nContent-Encoding:", "3 chunk 0\n3 trailer 'Content-Encoding'\n19 BAD forbidden trailer field\n" },
	{ "0\r\nContent-Type:", "3 chunk 0\n3 trailer 'Content-Type'\n15 BAD forbidden trailer field\n" },
	{ "0\r\nConnection:", "3 chunk 0\n3 trailer 'Connection'\n13 BAD forbidden trailer field\n" },
};

TEST(body, refuses)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		chunked(bad[i].text, bad[i].want);
}

/* Feeds a trailer section of `lines` lines of 64 bytes and the empty line. */
static enum step trailers(int lines)
{
	static char line[] = "name: 56 bytes of value ..................................... \r\n";
	struct http1_body body;
	struct http1_body_item item = { .kind = HTTP1_DATA };
	enum step step = STEP_MORE;

	cr_assert_eq(strlen(line), 64);
	http1_body_start(&body, HTTP1_CHUNKED, 0);
	for (int i = -1; i <= lines && step != STEP_BAD; i++) {
		struct slice s = slice_str(i < 0 ? "0\r\n" : i == lines ? "\r\n" : line);
		size_t used;

		for (step = STEP_ITEM; step == STEP_ITEM && item.kind != HTTP1_END; s = slice_from(s, used))
			step = http1_body_feed(&body, s, &used, &item);
	}
	return step;
}

TEST(body, trailers_too_long)
{
	cr_assert_eq(trailers(HTTP1_HEAD_MAX / 64), STEP_ITEM);
	cr_assert_eq(trailers(HTTP1_HEAD_MAX / 64 + 1), STEP_BAD);
}

TEST(body, stays_refused_and_stays_ended)
{
	struct http1_body body;
	struct http1_body_item item;
	size_t used;

	http1_body_start(&body, HTTP1_CHUNKED, 0);
	cr_assert_eq(http1_body_feed(&body, SLICE("x"), &used, &item), STEP_BAD);
	cr_assert_eq(http1_body_feed(&body, SLICE("0\r\n\r\n"), &used, &item), STEP_BAD);
	cr_assert_eq(used, 0);
	http1_body_start(&body, HTTP1_LENGTH, 0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(http1_body_feed(&body, SLICE("x"), &used, &item), STEP_ITEM);
		cr_assert_eq(item.kind, HTTP1_END);
		cr_assert_eq(used, 0);
	}
}
