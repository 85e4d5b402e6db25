/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_test.c - heads by table, bodies as transcripts, all of them however they are cut.
 */
#include <stdarg.h>
#include <stdio.h>

#include "stream/stream.h"
#include "tests/lib/edge.h"
#include "tests/lib/test.h"

#define LOG_MAX (1 << 14)

/* ---- heads ---- */

static struct http1_reader reader;

/* Reads a head that is whole at once. */
static enum step read_head(bool response, struct slice s, enum http1_fault *fault)
{
	http1_start(&reader, response);
	return http1_read(&reader, at_edge(s), fault);
}

/* Reads a head of which `first` bytes come, then one byte after the other. */
static enum step read_growing(bool response, struct slice s, size_t first, enum http1_fault *fault)
{
	enum step step = STEP_MORE;

	http1_start(&reader, response);
	for (size_t n = first; step == STEP_MORE && n <= s.len; n++)
		step = http1_read(&reader, at_edge(slice_of(s.at, n)), fault);
	return step;
}

/* Whole, in two pieces, byte by byte: the same verdict at the same byte. */
static void fault_however_cut(bool response, const char *text, enum http1_fault want, const char *why)
{
	struct slice s = slice_str(text);
	enum http1_fault fault = HTTP1_FINE;
	uint32_t seen;

	cr_assert_eq(read_head(response, s, &fault), STEP_BAD, "'%s' is not refused", text);
	cr_assert_eq(fault, want, "'%s': fault %d, want %d (%s)", text, fault, want, reader.why);
	cr_assert_str_eq(reader.why, why, "'%s': %s, want %s", text, reader.why, why);
	seen = reader.seen;
	EACH_CUT (cut, s.len) {
		cr_assert_eq(read_growing(response, s, cut, &fault), STEP_BAD, "'%s' cut at %zu", text, cut);
		cr_assert_eq(fault, want);
		cr_assert_str_eq(reader.why, why);
		cr_assert_eq(reader.seen, seen, "'%s' cut at %zu: at %u, want %u", text, cut, reader.seen, seen);
	}
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define OK  "HTTP/1.1 200 OK\r\n"

static const struct {
	const char *text;
	enum http1_fault fault;
	const char *why;
} bad_requests[] = {
	/* the request line; none of these waits for its end */
	{ "\x16\x03\x01", HTTP1_MALFORMED, "not a method" },
	{ "\r\nGET", HTTP1_MALFORMED, "not a method" },
	{ "\n", HTTP1_MALFORMED, "bare LF" },
	{ " GET", HTTP1_MALFORMED, "not a method" },
	{ "G\x80T", HTTP1_MALFORMED, "not a method" },
	{ "GE(T", HTTP1_MALFORMED, "not a method" },
	{ "GET\t/", HTTP1_MALFORMED, "not a method" },
	{ "GET  /", HTTP1_MALFORMED, "not a request target" },
	{ "GET /\x80", HTTP1_MALFORMED, "not a request target" },
	{ "GET /\x01", HTTP1_MALFORMED, "not a request target" },
	{ "GET /\x7f", HTTP1_MALFORMED, "not a request target" },
	{ "GET /\t", HTTP1_MALFORMED, "not a request target" },
	{ "GET /\r\n", HTTP1_MALFORMED, "not a request target" },
	{ "GET /\n", HTTP1_MALFORMED, "bare LF" },
	{ "GET /a b HTTP/1.1", HTTP1_MALFORMED, "not an HTTP version" },
	{ "GET / http/1.1", HTTP1_MALFORMED, "not an HTTP version" },
	{ "GET / HTTP/1,1", HTTP1_MALFORMED, "not an HTTP version" },
	{ "GET / HTTP/x", HTTP1_MALFORMED, "not an HTTP version" },
	{ "GET / \r\n", HTTP1_MALFORMED, "not an HTTP version" },
	{ "GET / HTTP/1.1 \r\n", HTTP1_MALFORMED, "bytes after the HTTP version" },
	{ "GET / HTTP/1.10", HTTP1_MALFORMED, "bytes after the HTTP version" },
	{ "GET / HTTP/1.1\n", HTTP1_MALFORMED, "bare LF" },
	{ "GET / HTTP/1.1\rH", HTTP1_MALFORMED, "bare CR" },
	{ "GET / HTTP/1.2", HTTP1_VERSION, "neither HTTP/1.0 nor HTTP/1.1" },
	{ "GET / HTTP/0.9", HTTP1_VERSION, "neither HTTP/1.0 nor HTTP/1.1" },
	{ "GET / HTTP/2.0", HTTP1_VERSION, "neither HTTP/1.0 nor HTTP/1.1" },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP1_H2_PREFACE, "HTTP/2 preface" },
	{ "PRI /x HTTP/2.0\r\n", HTTP1_VERSION, "neither HTTP/1.0 nor HTTP/1.1" },
	/* lines */
	{ GET "A: b\n", HTTP1_MALFORMED, "bare LF" },
	{ GET "A: b\rC", HTTP1_MALFORMED, "bare CR" },
	{ GET "A: b\r\r\n", HTTP1_MALFORMED, "bare CR" },
	{ GET "A\r\n", HTTP1_MALFORMED, "not a field name" },
	{ GET "A\n", HTTP1_MALFORMED, "bare LF" },
	{ GET "\n", HTTP1_MALFORMED, "bare LF" },
	{ GET "\r\r", HTTP1_MALFORMED, "bare CR" },
	{ GET " A: b", HTTP1_MALFORMED, "folded line" },
	{ GET "A: b\r\n\tc", HTTP1_MALFORMED, "folded line" },
	{ "GET / HTTP/1.1\r\n Host: a", HTTP1_MALFORMED, "folded line" },
	{ GET "A : b", HTTP1_MALFORMED, "white space before the colon" },
	{ GET "A\t: b", HTTP1_MALFORMED, "white space before the colon" },
	{ GET ": b", HTTP1_MALFORMED, "empty field name" },
	{ GET "A(: b", HTTP1_MALFORMED, "not a field name" },
	{ GET "\xc3: b", HTTP1_MALFORMED, "not a field name" },
	{ GET "A\x80: b", HTTP1_MALFORMED, "not a field name" },
	{ GET "A: \x01", HTTP1_MALFORMED, "control character in a field value" },
	{ GET "A: b\x7f", HTTP1_MALFORMED, "control character in a field value" },
	{ GET "A: b\x0b", HTTP1_MALFORMED, "control character in a field value" },
	/* framing; found when the line is complete */
	{ GET "Content-Length: 1\r\ncontent-length: 1\r\n", HTTP1_MALFORMED, "more than one Content-Length" },
	{ GET "Content-Length: 1, 1\r\n", HTTP1_MALFORMED, "Content-Length is not a number" },
	{ GET "Content-Length: +1\r\n", HTTP1_MALFORMED, "Content-Length is not a number" },
	{ GET "Content-Length: -1\r\n", HTTP1_MALFORMED, "Content-Length is not a number" },
	{ GET "Content-Length: 0x1\r\n", HTTP1_MALFORMED, "Content-Length is not a number" },
	{ GET "Content-Length: 1 1\r\n", HTTP1_MALFORMED, "Content-Length is not a number" },
	{ GET "Content-Length: \r\n", HTTP1_MALFORMED, "Content-Length is not a number" },
	{ GET "Content-Length: 9223372036854775808\r\n", HTTP1_MALFORMED, "Content-Length is too large" },
	{ GET "Content-Length: 99999999999999999999999\r\n", HTTP1_MALFORMED, "Content-Length is too large" },
	{ GET "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", HTTP1_MALFORMED,
	  "both Transfer-Encoding and Content-Length" },
	{ GET "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", HTTP1_MALFORMED,
	  "both Transfer-Encoding and Content-Length" },
	{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", HTTP1_MALFORMED, "Transfer-Encoding in HTTP/1.0" },
	{ GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HTTP1_CODING,
	  "more than one Transfer-Encoding" },
	{ GET "Transfer-Encoding: gzip, chunked\r\n", HTTP1_CODING, "Transfer-Encoding is not chunked" },
	{ GET "Transfer-Encoding: chunked, chunked\r\n", HTTP1_CODING, "Transfer-Encoding is not chunked" },
	{ GET "Transfer-Encoding: identity\r\n", HTTP1_CODING, "Transfer-Encoding is not chunked" },
	{ GET "Transfer-Encoding: xchunked\r\n", HTTP1_CODING, "Transfer-Encoding is not chunked" },
	{ GET "Transfer-Encoding: chunked;a=b\r\n", HTTP1_CODING, "Transfer-Encoding is not chunked" },
	{ GET "Transfer-Encoding:\r\n", HTTP1_CODING, "Transfer-Encoding is not chunked" },
	/* others that decide how a message is read */
	{ "GET / HTTP/1.1\r\n\r\n", HTTP1_MALFORMED, "no Host" },
	{ GET "host: a\r\n", HTTP1_MALFORMED, "more than one Host" },
	{ "GET / HTTP/1.1\r\nHost: a/b\r\n", HTTP1_MALFORMED, "Host is not a host" },
	{ "GET / HTTP/1.1\r\nHost: a, b\r\n", HTTP1_MALFORMED, "Host is not a host" },
	{ "GET / HTTP/1.1\r\nHost: u@a\r\n", HTTP1_MALFORMED, "Host is not a host" },
	{ GET "Content-Type: a/b\r\nContent-Type: c/d\r\n", HTTP1_MALFORMED, "more than one Content-Type" },
	{ GET "Content-Encoding: identity\r\nContent-Encoding: br\r\n", HTTP1_MALFORMED,
	  "more than one Content-Encoding" },
};

TEST(http1, refuses_requests)
{
	for (size_t i = 0; i < sizeof(bad_requests) / sizeof(*bad_requests); i++)
		fault_however_cut(false, bad_requests[i].text, bad_requests[i].fault, bad_requests[i].why);
}

static const struct {
	const char *text;
	enum http1_fault fault;
	const char *why;
} bad_responses[] = {
	{ "I", HTTP1_MALFORMED, "not an HTTP version" },
	{ "HTTP/2 200\r\n", HTTP1_MALFORMED, "not an HTTP version" },
	{ "HTTP/2.0", HTTP1_VERSION, "neither HTTP/1.0 nor HTTP/1.1" },
	{ "HTTP/1.1\r\n", HTTP1_MALFORMED, "bytes after the HTTP version" },
	{ "HTTP/1.1  200", HTTP1_MALFORMED, "not a status code" },
	{ "HTTP/1.1 099", HTTP1_MALFORMED, "not a status code" },
	{ "HTTP/1.1 600", HTTP1_MALFORMED, "not a status code" },
	{ "HTTP/1.1 20\r\n", HTTP1_MALFORMED, "not a status code" },
	{ "HTTP/1.1 2000", HTTP1_MALFORMED, "not a status code" },
	{ "HTTP/1.1 2x0", HTTP1_MALFORMED, "not a status code" },
	{ "HTTP/1.1 200\n", HTTP1_MALFORMED, "bare LF" },
	{ "HTTP/1.1 200 O\x01", HTTP1_MALFORMED, "control character in the reason" },
	{ "HTTP/1.1 200 OK\n", HTTP1_MALFORMED, "bare LF" },
	{ "HTTP/1.1 200 OK\rx", HTTP1_MALFORMED, "bare CR" },
	{ OK "Content-Length: 1\r\nContent-Length: 1\r\n", HTTP1_MALFORMED, "more than one Content-Length" },
	{ OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", HTTP1_MALFORMED,
	  "both Transfer-Encoding and Content-Length" },
	{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", HTTP1_MALFORMED, "Transfer-Encoding in HTTP/1.0" },
	{ OK "Transfer-Encoding: gzip\r\n", HTTP1_CODING, "Transfer-Encoding is not chunked" },
	/* llhttp reads until the connection closes */
	{ OK "Transfer-Encoding: chunked\t\r\n", HTTP1_MALFORMED, "a tab behind what frames the body" },
	{ OK "Content-Length: 5 \t \r\n", HTTP1_MALFORMED, "a tab behind what frames the body" },
	/* http-parser waits for the body */
	{ "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_MALFORMED, "a body where there can be none" },
	{ "HTTP/1.1 103 Oh\r\nContent-Length: 5\r\n\r\n", HTTP1_MALFORMED, "a body where there can be none" },
};

TEST(http1, refuses_responses)
{
	for (size_t i = 0; i < sizeof(bad_responses) / sizeof(*bad_responses); i++)
		fault_however_cut(true, bad_responses[i].text, bad_responses[i].fault, bad_responses[i].why);
}

/* A NUL cannot stand in the tables above. */
TEST(http1, refuses_nul)
{
	enum http1_fault fault;

	cr_assert_eq(read_head(false, SLICE(GET "A: \0\r\n\r\n"), &fault), STEP_BAD);
	cr_assert_eq(read_head(false, SLICE(GET "A\0: b\r\n\r\n"), &fault), STEP_BAD);
	cr_assert_eq(read_head(false, SLICE("GET /\0 HTTP/1.1\r\n"), &fault), STEP_BAD);
	cr_assert_eq(read_head(false, SLICE("\0"), &fault), STEP_BAD);
}

/* Every byte in a name, a value and a target, against the RFC's own words. */
TEST(http1, classes_of_bytes)
{
	for (int c = 0; c < 256; c++) {
		bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool token = alnum || (c && strchr("!#$%&'*+-.^_`|~", c));

		cr_assert_eq(http1_token_byte((uint8_t)c), token, "byte %d", c);
		cr_assert_eq(http1_value_byte((uint8_t)c), c == '\t' || (c >= 0x20 && c != 0x7f), "byte %d", c);
	}
}

/* One line a head: what was understood of it. */
static const char *describe(struct slice s)
{
	static char text[1024];
	const struct http1_head *h = &reader.head;
	int n = 0;

	if (h->response)
		n += snprintf(text, sizeof(text), "%u", h->status);
	else
		n += snprintf(text, sizeof(text), "%d '%.*s' '%.*s'", h->method, (int)h->method_name.len,
		              (const char *)s.at + h->method_name.at, (int)h->target.len,
		              (const char *)s.at + h->target.at);
	n += snprintf(text + n, sizeof(text) - (size_t)n, " 1.%u len=%u fields=%u", h->minor, h->len, h->field_count);
	if (h->has_length)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " length=%lu", (unsigned long)h->length);
	snprintf(text + n, sizeof(text) - (size_t)n, "%s%s%s%s%s%s", h->chunked ? " chunked" : "",
	         h->close ? " close" : "", h->keep_alive ? " keep-alive" : "", h->upgrade ? " upgrade" : "",
	         h->expect_continue ? " expect" : "", h->encoded ? " encoded" : "");
	return text;
}

static const struct {
	bool response;
	const char *text, *want;
} good[] = {
	{ false, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "1 'GET' '/' 1.1 len=27 fields=1" },
	{ false, "HEAD /a?b=%20&c={d} HTTP/1.0\r\n\r\n", "2 'HEAD' '/a?b=%20&c={d}' 1.0 len=32 fields=0" },
	{ false, "POST http://a:1/ HTTP/1.1\r\nhOST:\r\ncontent-length:007\r\n\r\n",
	  "3 'POST' 'http://a:1/' 1.1 len=56 fields=2 length=7" },
	{ false, "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "4 'CONNECT' '[::1]:80' 1.1 len=45 fields=1" },
	{ false, "get * HTTP/1.1\r\nHost: a_b.c\r\n\r\n", "0 'get' '*' 1.1 len=31 fields=1" },
	{ false, GET "Content-Length: 9223372036854775807\r\n\r\n",
	  "1 'GET' '/' 1.1 len=64 fields=2 length=9223372036854775807" },
	{ false, GET "Transfer-Encoding: \t ChunKed  \r\n\r\n", "1 'GET' '/' 1.1 len=59 fields=2 chunked" },
	{ false, GET "Connection: x, Close\t,keep-alive\r\n\r\n", "1 'GET' '/' 1.1 len=61 fields=2 close keep-alive" },
	{ false, GET "Connection: closed, keepalive\r\n\r\n", "1 'GET' '/' 1.1 len=58 fields=2" },
	{ false, GET "Connection: ,\r\nConnection: UPGRADE\r\n\r\n", "1 'GET' '/' 1.1 len=63 fields=3 upgrade" },
	{ false, GET "Upgrade: h2c\r\n\r\n", "1 'GET' '/' 1.1 len=41 fields=2 upgrade" },
	{ false, GET "Expect: 100-Continue\r\n\r\n", "1 'GET' '/' 1.1 len=49 fields=2 expect" },
	{ false, GET "A: b: c\tdé\xff\r\nA:\r\n\r\n", "1 'GET' '/' 1.1 len=45 fields=3" },
	{ true, OK "\r\n", "200 1.1 len=19 fields=0" },
	{ true, "HTTP/1.1 200\r\n\r\n", "200 1.1 len=16 fields=0" },
	{ true, "HTTP/1.1 200 \r\n\r\n", "200 1.1 len=17 fields=0" },
	{ true, "HTTP/1.0 599 \xc3\xa9\t!\r\nConnection: close\r\n\r\n", "599 1.0 len=40 fields=1 close" },
	{ true, "HTTP/1.1 100 Continue\r\n\r\n", "100 1.1 len=25 fields=0" },
	{ true, OK "Content-Encoding: gzip\r\n\r\n", "200 1.1 len=43 fields=1 encoded" },
	{ true, OK "Content-Encoding: Identity\r\n\r\n", "200 1.1 len=47 fields=1" },
	{ true, OK "Content-Encoding: identity, br\r\n\r\n", "200 1.1 len=51 fields=1 encoded" },
	{ true, OK "Content-Encoding: \r\n\r\n", "200 1.1 len=39 fields=1" },
};

TEST(http1, reads_heads)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct slice s = slice_str(good[i].text);
		enum http1_fault fault;

		EACH_CUT (cut, s.len) {
			cr_assert_eq(read_growing(good[i].response, s, cut, &fault), STEP_ITEM, "'%s': %s",
			             good[i].text, reader.why);
			cr_assert_eq(fault, HTTP1_FINE);
			cr_assert_str_eq(describe(s), good[i].want, "'%s' cut at %zu: %s, want %s", good[i].text, cut,
			                 describe(s), good[i].want);
		}
	}
}

TEST(http1, more_until_the_last_byte)
{
	struct slice s = SLICE(GET "Content-Length: 1\r\n\r\n");
	enum http1_fault fault;

	for (size_t n = 0; n < s.len; n++)
		cr_assert_eq(read_head(false, slice_of(s.at, n), &fault), STEP_MORE, "%zu bytes", n);
	cr_assert_eq(read_head(false, s, &fault), STEP_ITEM);
}

TEST(http1, what_follows_the_head_is_left_alone)
{
	enum http1_fault fault;

	cr_assert_eq(read_head(false, SLICE(GET "\r\n\x16garbage"), &fault), STEP_ITEM);
	cr_assert_eq(reader.head.len, strlen(GET) + 2);
}

TEST(http1, values)
{
	struct slice s =
		SLICE(GET "content-TYPE:\t text/event-stream; charset=utf-8 \t\r\nX: 1\r\nx: 2\r\nE:  \r\n\r\n");
	const struct http1_head *h = &reader.head;
	enum http1_fault fault;

	cr_assert_eq(read_head(false, s, &fault), STEP_ITEM);
	cr_assert(slice_is(http1_value(h, s, SLICE("Content-Type")), SLICE("text/event-stream; charset=utf-8")));
	cr_assert(slice_is(slice_of(s.at + h->content_type.at, h->content_type.len),
	                   SLICE("text/event-stream; charset=utf-8")));
	cr_assert(slice_is(http1_value(h, s, SLICE("x")), SLICE("1")));
	cr_assert_eq(http1_value(h, s, SLICE("e")).len, 0);
	cr_assert_not_null(http1_value(h, s, SLICE("e")).at);
	cr_assert_null(http1_value(h, s, SLICE("none")).at);
}

/* GET, a field that fills the head up to `len` bytes, and the end. */
static struct slice head_of(size_t len)
{
	static char text[HTTP1_HEAD_MAX + 16];

	memset(text, 'v', sizeof(text));
	memcpy(text, GET "A: ", strlen(GET "A: "));
	memcpy(text + len - 4, "\r\n\r\n", 4);
	return slice_of(text, len);
}

TEST(http1, head_too_large)
{
	enum http1_fault fault;

	cr_assert_eq(read_head(false, head_of(HTTP1_HEAD_MAX), &fault), STEP_ITEM);
	cr_assert_eq(reader.head.len, HTTP1_HEAD_MAX);
	cr_assert_eq(read_head(false, head_of(HTTP1_HEAD_MAX + 1), &fault), STEP_BAD);
	cr_assert_eq(fault, HTTP1_TOO_LARGE);
	cr_assert_eq(read_head(false, slice_of(head_of(HTTP1_HEAD_MAX + 1).at, HTTP1_HEAD_MAX - 1), &fault), STEP_MORE);
	cr_assert_eq(http1_read(&reader, head_of(HTTP1_HEAD_MAX + 1), &fault), STEP_BAD);
	cr_assert_eq(fault, HTTP1_TOO_LARGE);
	cr_assert_eq(http1_read(&reader, head_of(HTTP1_HEAD_MAX), &fault), STEP_BAD, "stays refused");
}

TEST(http1, too_many_fields)
{
	static char text[16 * HTTP1_FIELDS_MAX];
	enum http1_fault fault;

	strcpy(text, GET);
	for (int i = 1; i < HTTP1_FIELDS_MAX; i++)
		strcat(text, "a:b\r\n");
	strcat(text, "\r\n");
	cr_assert_eq(read_head(false, slice_str(text), &fault), STEP_ITEM);
	cr_assert_eq(reader.head.field_count, HTTP1_FIELDS_MAX);
	strcpy(text + strlen(text) - 2, "a");
	cr_assert_eq(read_head(false, slice_str(text), &fault), STEP_BAD);
	cr_assert_eq(fault, HTTP1_TOO_LARGE);
}

/* ---- framing ---- */

static const struct {
	bool response, to_head;
	const char *text;
	enum http1_framing want;
} framings[] = {
	{ false, false, GET "\r\n", HTTP1_NO_BODY },
	{ false, false, GET "Content-Length: 0\r\n\r\n", HTTP1_LENGTH },
	{ false, false, GET "Transfer-Encoding: chunked\r\n\r\n", HTTP1_CHUNKED },
	{ true, false, OK "\r\n", HTTP1_UNTIL_CLOSE },
	{ true, false, OK "Content-Length: 5\r\n\r\n", HTTP1_LENGTH },
	{ true, false, OK "Transfer-Encoding: chunked\r\n\r\n", HTTP1_CHUNKED },
	{ true, true, OK "Content-Length: 5\r\n\r\n", HTTP1_NO_BODY },
	{ true, true, OK "Transfer-Encoding: chunked\r\n\r\n", HTTP1_NO_BODY },
	{ true, false, "HTTP/1.1 100 Continue\r\n\r\n", HTTP1_NO_BODY },
	{ true, false, "HTTP/1.1 199 x\r\nContent-Length: 0\r\n\r\n", HTTP1_NO_BODY },
	{ true, false, "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", HTTP1_NO_BODY },
	{ true, false, "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_NO_BODY },
	{ true, false, "HTTP/1.1 205 x\r\n\r\n", HTTP1_UNTIL_CLOSE },
};

TEST(http1, framing_of_bodies)
{
	for (size_t i = 0; i < sizeof(framings) / sizeof(*framings); i++) {
		enum http1_fault fault;

		cr_assert_eq(read_head(framings[i].response, slice_str(framings[i].text), &fault), STEP_ITEM);
		cr_assert_eq(http1_framing(&reader.head, framings[i].to_head), framings[i].want, "'%s'",
		             framings[i].text);
	}
}
