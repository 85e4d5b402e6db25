/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange_encoding_test.c - encoded answers: what a client can read of what it was given, under every cut.
 *
 * The client is a library of its own, given exactly the bytes that were released.
 */
#include "tests/lib/transcript.h"

#include "base/own.h"
#include "tests/lib/encode.h"

#define OUT_MAX (1u << 18)

static uint8_t read_by_client[OUT_MAX];

/* An answer with a head and an encoded body. Borrowed until the next. */
static struct slice answer_of(const char *type, enum coding c, enum flush form, bool bare, bool chunked,
                              const struct slice *pieces, size_t count)
{
	static struct buf answer;
	struct buf body = BUF(1u << 22), chunk = BUF(1u << 22);
	struct encoder e;

	buf_free(&answer);
	answer = BUF(1u << 22);
	encoder_begin(&e, c, form, bare);
	buf_printf(&answer, "HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-encoding: %s\r\n%s\r\n", type,
	           coding_names[c], chunked ? "transfer-encoding: chunked\r\n" : "");
	for (size_t i = 0; i <= count; i++) {
		if (i < count)
			encoder_add(&e, &chunk, pieces[i]);
		else
			encoder_end(&e, &chunk);
		if (chunked && buf_len(&chunk))
			buf_printf(&body, "%zx\r\n", buf_len(&chunk));
		if (buf_len(&chunk))
			buf_add(&body, buf_slice(&chunk));
		if (chunked && buf_len(&chunk))
			buf_add(&body, SLICE("\r\n"));
		buf_cut(&chunk, 0);
	}
	if (chunked)
		buf_add(&body, SLICE("0\r\n\r\n"));
	buf_add(&answer, buf_slice(&body));
	buf_free(&body);
	buf_free(&chunk);
	return buf_slice(&answer);
}

static bool encoding_ended(enum coding c, struct slice in)
{
	enum step step = STEP_MORE;
	struct decoder *d;
	struct slice piece;
	bool ended;

	cr_assert_eq(decoder_new(&d, c), 0);
	for (size_t i = 0; i < in.len && step == STEP_MORE; i++) {
		decoder_give(d, in.at[i]);
		while ((step = decoder_take(d, &piece)) == STEP_ITEM)
			;
	}
	ended = step == STEP_MORE && decoder_complete(d);
	decoder_free(&d);
	return ended;
}

static bool was_ended; /* the framing and the encoding were */

/* What the client's own decoder makes of bytes it got, with their framing off. */
static struct slice client_reads_of(size_t released, enum coding c, bool bare, bool chunked)
{
	static uint8_t content[OUT_MAX];
	struct slice in = slice_of(first.talk.out, released), data;
	const uint8_t *head = memmem(in.at, in.len, "\r\n\r\n", 4);
	struct http1_body body;
	struct http1_body_item item = {};
	size_t used, len = 0;

	if (!head)
		return SLICE("");
	in = slice_from(in, (size_t)(head - in.at) + 4);
	http1_body_start(&body, chunked ? HTTP1_CHUNKED : HTTP1_UNTIL_CLOSE, 0);
	while (in.len && http1_body_feed(&body, in, &used, &item) == STEP_ITEM && item.kind != HTTP1_END) {
		data = item.kind == HTTP1_DATA ? item.data : SLICE("");
		memcpy(content + len, data.at, data.len);
		len += data.len;
		in = slice_from(in, used);
	}
	was_ended = (!chunked || item.kind == HTTP1_END) && encoding_ended(c, slice_of(content, len));
	return slice_of(read_by_client, decode_prefix(c, bare, slice_of(content, len), read_by_client, OUT_MAX));
}

static struct slice client_reads(enum coding c, bool bare, bool chunked)
{
	return client_reads_of(first.talk.released, c, bare, chunked);
}

static bool has(struct slice s, const char *words)
{
	return s.len && memmem(s.at, s.len, words, strlen(words));
}

/* Each coding in each form, closed and chunked; and what of it holds. */
#define EACH_FORM(c, form, bare, chunked)                                                                              \
	for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++)                                                       \
		for (int form = 0; form < FLUSH_COUNT; form++)                                                         \
			for (int bare = 0; bare <= (c == CODING_DEFLATE); bare++)                                      \
				for (int chunked = 0; chunked < 2; chunked++)                                          \
					if (form != FORM_MEMBERS || c == CODING_GZIP || c == CODING_ZSTD)

static const struct slice clean[] = { SLICE(SAY(0, "hello ")), SLICE(SAY(0, "brown")), SLICE(SAY(0, " bear")),
	                              SLICE(": ping\n\n"),     SLICE(FINISH(0)),       SLICE(DONE) };
static const struct slice hit[] = { SLICE(SAY(0, "hello ")),    SLICE(SAY(0, "the ")),
	                            SLICE(SAY(0, "FORBIDDEN")), SLICE(SAY(0, "-AL")),
	                            SLICE(SAY(0, "PHA and")),   SLICE(SAY(0, " more")),
	                            SLICE(FINISH(0)),           SLICE(DONE) };

TEST(exchange, encoded_streams_pass)
{
	EACH_FORM(c, form, bare, chunked)
	{
		struct slice answer = answer_of("text/event-stream", c, form, bare, chunked, clean, 6);

		every_cut(CHAT, answer, NULL);
		cr_expect(begins("cleared none\n"), "%s %d %d %d: %s", coding_names[c], form, bare, chunked, first.log);
		cr_expect_eq(first.talk.released, answer.len);
		cr_expect_eq(first.talk.len, answer.len);
		cr_expect(says("events 5"), "%s", first.log);
	}
}

TEST(exchange, encoded_streams_are_cut)
{
	EACH_FORM(c, form, bare, chunked)
	{
		struct slice answer = answer_of("text/event-stream", c, form, bare, chunked, hit, 8), got;

		every_cut(CHAT, answer, NULL);
		got = client_reads(c, bare, chunked);
		cr_expect(begins(BLOCKED), "%s %d %d %d: %s", coding_names[c], form, bare, chunked, first.log);
		cr_expect(says("t.alpha content 0 at 10+15"), "%s", first.log);
		cr_expect_not(has(got, "FORB"), "%s %d %d %d", coding_names[c], form, bare, chunked);
		cr_expect_not(has(slice_of(first.talk.out, first.talk.len), "FORB"));
		/* Least hold: what was flushed in front of the match is there. */
		if (form != FORM_AT_END)
			cr_expect(has(got, "hello ") && has(got, "the "), "%s %d %d %d: %.*s", coding_names[c], form,
			          bare, chunked, (int)got.len, got.at);
	}
}

/* Where the server flushes, the end is in the API's words and the encoding's form; else it can only break off. */
TEST(exchange, encoded_streams_end_in_words)
{
	EACH_FORM(c, form, bare, chunked)
	{
		bool can = form != FORM_AT_END && (c == CODING_GZIP || c == CODING_DEFLATE);
		struct slice answer = answer_of("text/event-stream", c, form, bare, chunked, hit, 8), got;

		every_cut(CHAT, answer, NULL);
		got = client_reads_of(first.talk.len, c, bare, chunked);
		cr_expect_eq(first.talk.how, can ? CONCLUDE_CLOSE : CONCLUDE_RESET, "%s %d", coding_names[c], form);
		cr_expect(was_ended || !can, "%s %d %d %d", coding_names[c], form, bare, chunked);
		cr_expect_eq(has(got, "hello ") && has(got, "the ") && has(got, FILTERED(0) DONE), can, "%s %d: %.*s",
		             coding_names[c], form, (int)got.len, got.at);
		cr_expect_not(has(got, "FORB"));
	}
}

/* Lines of JSON are let go by the line, and end in one. */
TEST(exchange, encoded_lines_go_out_in_step)
{
	static const struct slice lines[] = { SLICE("{\"message\":{\"content\":\"hello \"},\"done\":false}\n"),
		                              SLICE("{\"message\":{\"content\":\"FORBIDDEN\"},\"done\":false}\n"),
		                              SLICE("{\"message\":{\"content\":\"-ALPHA.\"},\"done\":false}\n") };

	EACH_FORM(c, form, bare, chunked)
	{
		bool can = form != FORM_AT_END && (c == CODING_GZIP || c == CODING_DEFLATE);
		struct slice answer = answer_of("application/x-ndjson", c, form, bare, chunked, lines, 3), got;

		every_cut("POST /api/chat HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", answer, NULL);
		got = client_reads_of(first.talk.len, c, bare, chunked);
		cr_expect(begins(BLOCKED), "%s %d: %s", coding_names[c], form, first.log);
		cr_expect_eq(first.talk.how, can ? CONCLUDE_CLOSE : CONCLUDE_RESET);
		cr_expect_eq(can, has(got, "hello ") && has(got, "\"done\":true"), "%s %d: %.*s", coding_names[c], form,
		             (int)got.len, got.at);
		cr_expect_not(has(got, "FORB"));
	}
}

/* What was promised of a chunk or a body is kept, with line breaks inside the encoding. */
TEST(exchange, encoded_refusals_keep_the_framing)
{
	static const struct slice one = SLICE(SAY(0, "hello ")), two = SLICE(SAY(0, "FORBIDDEN-ALPHA, and more"));

	for (size_t rest = 0; rest < 1200; rest += rest < 400 && rest > 300 ? 1 : 37) {
		struct buf body = BUF(1u << 20), answer = BUF(1u << 20);
		struct encoder e;
		struct slice got;
		size_t chunk;

		encoder_begin(&e, CODING_GZIP, FORM_FLUSHED, false);
		encoder_add(&e, &body, one);
		chunk = buf_len(&body) + rest;
		encoder_add(&e, &body, two);
		for (int i = 0; buf_len(&body) < chunk; i++)
			encoder_add(&e, &body, slice_of("abcdefghijklmnopqrstuvwxyz" + i % 25, 1));
		encoder_end(&e, &body);
		buf_printf(&answer,
		           "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"
		           "transfer-encoding: chunked\r\n\r\n%zx\r\n",
		           chunk);
		buf_add(&answer, slice_of(buf_slice(&body).at, chunk));
		run(&first, CHAT, buf_slice(&answer), SIZE_MAX, NULL);
		if (rest > 60) { /* enough of the second event to find it */
			cr_assert(begins(BLOCKED), "%zu: %s", rest, first.log);
			got = client_reads_of(first.talk.len, CODING_GZIP, false, true);
			cr_assert(first.talk.how == CONCLUDE_CLOSE && was_ended && has(got, FILTERED(0) DONE),
			          "%zu: %.*s", rest, (int)got.len, got.at);
		}
		buf_free(&body);
		buf_free(&answer);
	}
}

/* What is released is never text that is held, byte by byte as it comes. */
TEST(exchange, encoded_text_goes_out_in_step)
{
	static const struct slice words[] = { SLICE("hello, "), SLICE("brown "), SLICE("bear. brown wea"),
		                              SLICE("the FORBIDDEN-ALP"), SLICE("HA is not") };

	EACH_FORM(c, form, bare, chunked)
	{
		struct slice answer = answer_of("text/plain", c, form, bare, chunked, words, 5), got;

		every_cut(ANY, answer, NULL);
		got = client_reads(c, bare, chunked);
		cr_expect(begins(BLOCKED), "%s %d %d %d: %s", coding_names[c], form, bare, chunked, first.log);
		cr_expect_not(has(got, "FORB"));
		if (form != FORM_AT_END)
			cr_expect(has(got, "bear."), "%s %d: %.*s", coding_names[c], form, (int)got.len, got.at);
	}
}

TEST(exchange, encoded_whole_answers_are_released_or_replaced)
{
	static const struct slice good[] = { SLICE("{\"choices\":[{\"message\":{\"content\":\"hello"),
		                             SLICE(" brown bear\"}}]}") },
				  bad[] = { SLICE("{\"choices\":[{\"message\":{\"content\":\"hello FORB"),
		                            SLICE("IDDEN-ALPHA\"}}]}") };

	EACH_FORM(c, form, bare, chunked)
	{
		struct slice answer = answer_of("application/json", c, form, bare, chunked, good, 2);

		every_cut(CHAT, answer, NULL);
		cr_expect(begins("cleared none\n"), "%s", first.log);
		cr_expect_eq(first.talk.len, answer.len);
		answer = answer_of("application/json", c, form, bare, chunked, bad, 2);
		every_cut(CHAT, answer, NULL);
		cr_expect(begins(BLOCKED), "%s", first.log);
		cr_expect_eq(first.talk.released, 0);
		first.talk.out[first.talk.len] = '\0';
		cr_expect(strstr((char *)first.talk.out, "\"content_filter\""));
		cr_expect_not(strstr((char *)first.talk.out, "content-encoding"));
	}
}

#define GZIP_STREAM "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n"

TEST(exchange, what_is_no_encoding_is_refused_by_name)
{
	struct slice answer;

	EXPECT(CHAT, GZIP_STREAM "data: {}\n\n", "exception encoding_malformed\n");
	EXPECT(CHAT, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip, br\r\n\r\n{}",
	       "exception content_encoding\n");
	EXPECT(CHAT, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: compress\r\n\r\n{}",
	       "exception content_encoding\n");
	/* An encoding that ends in the middle, of a body that does not. */
	answer = answer_of("text/event-stream", CODING_GZIP, FORM_FLUSHED, false, false, clean, 6);
	answer.len -= 4;
	every_cut(CHAT, answer, NULL);
	cr_expect(begins("exception encoding_malformed\n"), "%s", first.log);
	/* A body of nothing needs no encoding. */
	EXPECT_WHOLE(CHAT, GZIP_STREAM, "cleared none\n");
}

TEST(exchange, encoded_limits_do_not_depend_on_the_cut)
{
	static char many[4097];
	struct exchange_limits small = { .body_max = 2048, .event_max = 512 };
	struct slice text = SLICE(""), answer;

	memset(many, ' ', 4096);
	memcpy(many, ": ", 2);
	text = slice_of(many, 4096);
	for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++) {
		answer = answer_of("text/event-stream", c, FORM_AT_END, false, false, &text, 1);
		every_cut(CHAT, answer, &small);
		cr_expect(begins("exception event_too_large\n"), "%s", first.log);
	}
	many[0] = ' ', many[1] = '1';
	for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++) {
		static const struct exchange_limits tiny = { .body_max = 16, .event_max = 512 };
		static char big[70000];

		memset(big, ' ', sizeof(big));
		big[0] = '1';
		text = slice_of(big, sizeof(big));
		answer = answer_of("application/json", c, FORM_AT_END, false, false, &text, 1);
		run(&first, ANY, answer, SIZE_MAX, &tiny);
		cr_expect(begins("exception body_too_large\n"), "%s: %s", coding_names[c], first.log);
		run(&next, ANY, answer, answer.len, &tiny);
		cr_expect_str_eq(first.log, next.log);
	}
}

/* One byte of an encoding may bring the end of an event, whole events, and the beginning of another one. Each is let go
 * for itself, and what a byte brought with the end of one is not let go with it. */
TEST(exchange, encoded_events_are_read_one_by_one)
{
#define SAID(text) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}"
#define MANY       SAID("so on ") "\n\n" SAID("so on ") "\n\n" SAID("so on ") "\n\n" SAID("so on ") "\n\n"
	static const struct slice streams[] = {
		SLICE(MANY SAID("FORBIDDEN-") "\n\n" SAID("ALPHA ") "\n\n"),
		SLICE(MANY MANY SAID("so on FORBIDDEN-ALPHA ") "\n\n" MANY),
		SLICE(SAID("FORBIDDEN-") "\r\n\r\n" SAID("so on") "\r\n\r\n" SAID(" FORBIDDEN-ALPHA ") "\r\n\r\n"),
		SLICE(SAID("so on ") "\r\r" SAID("so on ") "\r\r" SAID("FORBIDDEN-ALPHA ") "\r\r"),
		SLICE("\xef\xbb\xbf\n" SAID("so on ") "\n\n\n\n" SAID("FORBIDDEN-ALPHA ") "\n\n"),
		SLICE("\n\r\n" SAID("so on ") "\n\r\n" SAID("FORBIDDEN-ALPHA ") "\n\r"),
		SLICE(": ping\n\n: ping\n\n" SAID("brown ") "\n\n: ping\n\n" SAID("weasel ") "\n\n" MANY),
	};

	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++) {
			struct slice answer = answer_of("text/event-stream", c, FORM_AT_END, false, true, &streams[i],
			                                1),
				     got;

			every_cut(CHAT, answer, NULL);
			cr_expect(begins(BLOCKED), "%s %zu: %s", coding_names[c], i, first.log);
			got = client_reads(c, false, true);
			cr_expect_not(has(got, "FORBIDDEN-ALPHA") || has(got, "weasel"), "%s %zu", coding_names[c], i);
		}
}
