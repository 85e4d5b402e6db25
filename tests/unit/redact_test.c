/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_test.c - what is masked, byte for byte, under every cut; and against a naive reading of random answers.
 */
#define TRANSCRIPT_PACK                                                                                                 \
	"pack: t\nversion: \"1\"\nrules:\n"                                                                             \
	"  - {id: t.name, risk: A.4.f, action: redact, keywords: [John Doe, 赵一, 赵一铭, o']}\n"                  \
	"  - {id: t.any, risk: A.4.f, action: redact, boundary: none, keywords: [abc, bcde, 6bd2, née, \"x\\\"y\"]}\n" \
	"  - {id: t.stop, risk: A.1.d, action: block, keywords: [赵一铭死, \"cdef\"]}\n"                            \
	"  - {id: t.flag, risk: A.4.a, action: flag, keywords: [gently]}\n"
#define TRANSCRIPT_SUITE redact
#include "tests/lib/transcript.h"

/* ---- streams ---- */

TEST(redact, a_match_is_masked_and_nothing_else)
{
	EXPECT_MASKED(CHAT, STREAM SAY(0, "I am John Doe.") FINISH(0) DONE,
	              STREAM SAY(0, "I am ********.") FINISH(0) DONE);
	cr_expect(says("t.name content 0 at 5+8"), "%s", first.log);
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "I am John Does.") FINISH(0) DONE, "cleared none\n");
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "I am gently.") FINISH(0) DONE, "flagged none\n");
	EXPECT_MASKED(CHAT, STREAM SAY(0, "gently John Doe, John Doe") FINISH(0) DONE,
	              STREAM SAY(0, "gently ********, ********") FINISH(0) DONE);
}

TEST(redact, a_match_over_events_is_masked_in_each)
{
	EXPECT_MASKED(CHAT, STREAM SAY(0, "a J") SAY(0, "o") SAY(0, "hn") SAY(0, " Do") SAY(0, "e b"),
	              STREAM SAY(0, "a *") SAY(0, "*") SAY(0, "**") SAY(0, "***") SAY(0, "* b"));
	/* The word may end with the text. */
	EXPECT_MASKED(CHAT, STREAM SAY(0, "a Joh") SAY(0, "n Doe") FINISH(0) DONE,
	              STREAM SAY(0, "a ***") SAY(0, "*****") FINISH(0) DONE);
	EXPECT_MASKED(CHAT, STREAM SAY(0, "a Joh") SAY(0, "n Doe"), STREAM SAY(0, "a ***") SAY(0, "*****"));
	/* Half of it is nothing. */
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "a Joh") SAY(0, "n Do") FINISH(0) DONE, "cleared none\n");
}

TEST(redact, choices_are_masked_for_themselves)
{
	EXPECT_MASKED(
		CHAT,
		STREAM SAY(1, "John") SAY(0, "John") SAY(1, " Dill ") SAY(0, " Doe ") SAY(1, "John ") SAY(1, "Doe,"),
		STREAM SAY(1, "John") SAY(0, "****") SAY(1, " Dill ") SAY(0, "**** ") SAY(1, "*****") SAY(1, "***,"));
	/* The choice comes behind its text. */
	EXPECT_MASKED(CHAT,
	              STREAM "data: {\"choices\":[{\"delta\":{\"content\":\"John \\u0044\"},\"index\":1}]}\n\n" SAY(
			      0, "oe") "data: {\"choices\":[{\"delta\":{\"content\":\"oe!\"},\"index\":1}]}\n\n",
	              STREAM "data: {\"choices\":[{\"delta\":{\"content\":\"*****\\u002a\"},\"index\":1}]}\n\n" SAY(
			      0, "oe") "data: {\"choices\":[{\"delta\":{\"content\":\"**!\"},\"index\":1}]}\n\n");
}

TEST(redact, characters_are_masked_in_their_own_length)
{
	EXPECT_MASKED(CHAT, STREAM SAY(0, "是赵") SAY(0, "一。"), STREAM SAY(0, "是＊") SAY(0, "＊。"));
	EXPECT_MASKED(CHAT, STREAM SAY(0, "\\u8D75\\u4e00"), STREAM SAY(0, "\\u002a\\u002a"));
	EXPECT_MASKED(CHAT, STREAM SAY(0, "née"), STREAM SAY(0, "****"));
}

TEST(redact, escapes_are_masked_as_a_whole)
{
	EXPECT_MASKED(CHAT, STREAM SAY(0, "x\\\"y\\n"), STREAM SAY(0, "****\\n"));
	EXPECT_MASKED(CHAT, STREAM SAY(0, "x\\u0022y"), STREAM SAY(0, "*\\u002a*"));
	/* 𝐚 is a letter in another dress: in four bytes, or as two escapes. */
	EXPECT_MASKED(CHAT, STREAM SAY(0, "𝐚bc"), STREAM SAY(0, "******"));
	EXPECT_MASKED(CHAT, STREAM SAY(0, "\\ud835\\udc1abc"), STREAM SAY(0, "\\u002a\\u002a**"));
	/* What is inside of it goes, what is beside it stays. */
	EXPECT_MASKED(CHAT, STREAM SAY(0, "\\u200ba\\u200bb\u200bc\\u200b"),
	              STREAM SAY(0, "\\u200b*\\u002a*＊*\\u200b"));
	/* A lone surrogate in front. */
	EXPECT_MASKED(CHAT, STREAM SAY(0, "\\ud83dabc\\ud83d\\u0061bc"), STREAM SAY(0, "\\ud83d***\\ud83d\\u002a**"));
}

TEST(redact, what_overlaps_is_masked_as_one)
{
	EXPECT_MASKED(CHAT, STREAM SAY(0, "xabcdez"), STREAM SAY(0, "x*****z"));
	EXPECT_MASKED(CHAT, STREAM SAY(0, "xab") SAY(0, "cd") SAY(0, "ez"),
	              STREAM SAY(0, "x**") SAY(0, "**") SAY(0, "*z"));
	EXPECT_MASKED(CHAT, STREAM SAY(0, "xab") SAY(0, "cd") SAY(0, "Ez."),
	              STREAM SAY(0, "x**") SAY(0, "**") SAY(0, "*z."));
	EXPECT_MASKED(CHAT, STREAM SAY(0, "赵一") SAY(0, "铭") SAY(0, "x"),
	              STREAM SAY(0, "＊＊") SAY(0, "＊") SAY(0, "x"));
}

/* ---- redact and block ---- */

TEST(redact, block_weighs_more)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "a ") SAY(0, "赵一") SAY(0, "铭死"), BLOCKED, STREAM SAY(0, "a "),
	           FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM SAY(0, "John Doe ") SAY(0, "赵一铭死"), BLOCKED, STREAM SAY(0, "******** "),
	           FILTERED(0) DONE);
	first.talk.out[first.talk.released] = '\0';
	cr_expect_str_eq((char *)first.talk.out, STREAM SAY(0, "******** "));
}

/* Nothing follows where these lie. */
TEST(redact, what_cannot_be_masked_is_blocked)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "m") "data: {\"id\":\"John Doe\",\"choices\":[]}\n\n", BLOCKED,
	           STREAM SAY(0, "m"), FILTERED(0) DONE);
	EXPECT(CHAT, STREAM "data: {\"John Doe\":1}\n\n", BLOCKED);
	EXPECT(CHAT, STREAM "event: John Doe\n\n", BLOCKED);
	EXPECT(CHAT, STREAM ": John Doe\n\n", BLOCKED);
	EXPECT(CHAT, "HTTP/1.1 200 OK\r\nx: John Doe\r\ncontent-length: 0\r\n\r\n", BLOCKED);
	EXPECT(CHAT, CHUNKED "0\r\nx: John Doe\r\n\r\n", BLOCKED);
}

/* ---- framing ---- */

TEST(redact, chunks_and_lengths_stay)
{
	EXPECT_MASKED(
		CHAT,
		CHUNKED "8\r\n: ping\n\n\r\n11\r\ndata: {\"u\":\"John \r\n8\r\nDo\\u0065\r\n4\r\n\"}\n\n\r\n0\r\n\r\n",
		CHUNKED "8\r\n: ping\n\n\r\n11\r\ndata: {\"u\":\"*****\r\n8\r\n**\\u002a\r\n4\r\n\"}\n\n\r\n0\r\n\r\n");
	/* An escape and a character over chunks. */
	EXPECT_MASKED(CHAT, CHUNKED "f\r\ndata: {\"u\":\"\\u8\r\n5\r\nd75\xe4\xb8\r\n5\r\n\x80\"}\n\n\r\n0\r\n\r\n",
	              CHUNKED "f\r\ndata: {\"u\":\"\\u0\r\n5\r\n02a\xef\xbc\r\n5\r\n\x8a\"}\n\n\r\n0\r\n\r\n");
#define SIZED(n) "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " #n "\r\n\r\n"
	EXPECT_MASKED(CHAT, SIZED(53) "{\"choices\":[{\"message\":{\"content\":\"by John Doe.\"}}]} ",
	              SIZED(53) "{\"choices\":[{\"message\":{\"content\":\"by ********.\"}}]} ");
	EXPECT_MASKED(CHAT,
	              "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 25\r\n\r\ndata: \"John "
	              "Doe\"\n\n: ping\n",
	              "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 25\r\n\r\ndata: "
	              "\"********\"\n\n: ping\n");
}

/* ---- other bodies ---- */

TEST(redact, unknown_strings_are_masked)
{
	EXPECT_MASKED(ANY, JSON "{\"a\":[\"John Doe\",\"John\"],\"b\":\"赵一\"}",
	              JSON "{\"a\":[\"********\",\"John\"],\"b\":\"＊＊\"}");
	/* Strings that go on from one to the next are one text, and each is one by itself. */
	EXPECT_MASKED(ANY, JSON "{\"a\":[[\"xab\",\"c\",\"John Doe\"]]}",
	              JSON "{\"a\":[[\"x**\",\"*\",\"********\"]]}");
	EXPECT_MASKED(ANY, STREAM "data: {\"u\":\"赵\"}\n\ndata: {\"u\":\"一\"}\n\n",
	              STREAM "data: {\"u\":\"＊\"}\n\ndata: {\"u\":\"＊\"}\n\n");
	EXPECT_MASKED(ANY, STREAM "data: John Doe\n\n", STREAM "data: ********\n\n");
	EXPECT_MASKED(ANY, STREAM "data: \"x John Doe\"\n\ndata: John Doe\ndata: John\n\n",
	              STREAM "data: \"x ********\"\n\ndata: ********\ndata: John\n\n");
}

TEST(redact, text_is_masked)
{
	EXPECT_MASKED(ANY, PLAIN "I am John Doe, 赵一, abcde.", PLAIN "I am ********, ＊＊, *****.");
	EXPECT_MASKED(ANY, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\nby John Doe.",
	              "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\nby ********.");
	EXPECT_MASKED(ANY, PLAIN "\xe8\xb5\x41赵\xef\xbb\xbf一\xff", PLAIN "\xe8\xb5\x41＊＊＊\xff");
}

/* ---- JSON in JSON ---- */

TEST(redact, json_in_json_stays_json)
{
	EXPECT_MASKED(CHAT, STREAM TOOL("{\\\"a\\\":\\\"John Doe\\\"}"), STREAM TOOL("{\\\"a\\\":\\\"********\\\"}"));
	EXPECT_MASKED(CHAT, STREAM TOOL("{\\\"a\\\":\\\"\\\\u8d75\\\\u") TOOL("4e00\\\"}"),
	              STREAM TOOL("{\\\"a\\\":\\\"\\\\u002a\\\\u") TOOL("002a\\\"}"));
	/* Only the digits are a match, but half an escape is none. */
	EXPECT_MASKED(CHAT, STREAM TOOL("\\\"\\\\u6bd2\\\""), STREAM TOOL("\\\"\\\\u002a\\\""));
	EXPECT_MASKED(CHAT, STREAM TOOL("\\\"\\\\u") TOOL("6bd2\\\""), STREAM TOOL("\\\"\\\\u") TOOL("002a\\\""));
	EXPECT_MASKED(CHAT, STREAM TOOL("\\\"\\\\u6bd26bd2\\\""), STREAM TOOL("\\\"\\\\u002a****\\\""));
	/* x"y inside of a string inside of a string. */
	EXPECT_MASKED(CHAT, STREAM TOOL("\\\"x\\\\\\\"y\\\""), STREAM TOOL("\\\"******\\\""));
	/* Backslashes that are none of an escape stay. */
	EXPECT_MASKED(CHAT, STREAM SAY(0, "\\\\abc \\\\John Doe"), STREAM SAY(0, "\\\\*** \\\\********"));
	/* An escape of which each character is one. */
	EXPECT_MASKED(CHAT, STREAM TOOL("\\u005c\\u0075\\u0038\\u0064\\u0037\\u0035\\\\u4e00"),
	              STREAM TOOL("\\u005c\\u0075\\u0030\\u0030\\u0032\\u0061\\\\u002a"));
	/* A pair of surrogates of the inner JSON. */
	EXPECT_MASKED(CHAT, STREAM TOOL("\\\\ud835\\\\udc1abc"), STREAM TOOL("\\\\u002a\\\\u002a**"));
}

/* ---- bounds ---- */

/* `start`, `count` times `item` and `end` in one string of a whole answer. Borrowed, static. */
static struct slice many(const char *start, const char *item, size_t count, const char *end)
{
	static char answer[1u << 21];
	size_t len = (size_t)snprintf(answer, sizeof(answer), "%s{\"a\":\"%s", JSON, start), n = strlen(item);

	for (size_t i = 0; i < count; i++, len += n)
		memcpy(answer + len, item, n);
	len += (size_t)snprintf(answer + len, sizeof(answer) - len, "%s\"}", end);
	return slice_of((uint8_t *)answer, len);
}

TEST(redact, more_masks_than_are_kept_are_a_block)
{
	run(&first, ANY, many("", "abc ", 65000, ""), SIZE_MAX - 1, NULL);
	cr_expect(begins(REDACTED), "%s", first.log);
	cr_expect(says("withheld 195000 "), "%s", first.log);
	run(&first, ANY, many("", "abc ", 66000, ""), SIZE_MAX - 1, NULL);
	cr_expect(begins(BLOCKED), "%s", first.log);
	/* What lies side by side is less. */
	run(&first, ANY, many("", "abc", 66000, ""), SIZE_MAX - 1, NULL);
	cr_expect(begins(REDACTED), "%s", first.log);
}

/* A match may be long: characters that are none are part of it. */
TEST(redact, a_match_is_as_long_as_it_is)
{
	run(&first, ANY, many("a", "\u200b", 100000, "bc"), SIZE_MAX - 1, NULL);
	cr_expect(begins(REDACTED), "%s", first.log);
	cr_expect(says("withheld 300003 "), "%s", first.log);
	run(&first, ANY, many("a", "\u200b", 100000, "b"), SIZE_MAX - 1, NULL);
	cr_expect(begins("cleared none\n"), "%s", first.log);
	/* And escaped, in pieces of the cut's choice. */
	run(&first, ANY, many("a", "\\u200b", 60000, "bc"), 4711, NULL);
	cr_expect(begins(REDACTED), "%s", first.log);
	cr_expect(says("withheld 240003 "), "%s", first.log);
}

/* ---- other APIs ---- */

#define POST(path) "POST " path " HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
#define LINES      "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n"

TEST(redact, every_api_is_masked)
{
	EXPECT_MASKED(POST("/api/chat"),
	              LINES "{\"message\":{\"content\":\"a John \"},\"done\":false}\n"
	                    "{\"message\":{\"content\":\"Doe.\"},\"done\":false}\n",
	              LINES "{\"message\":{\"content\":\"a *****\"},\"done\":false}\n"
	                    "{\"message\":{\"content\":\"***.\"},\"done\":false}\n");
	EXPECT_MASKED(
		POST("/v1/messages"),
		STREAM "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
		       "{\"type\":\"text_delta\",\"text\":\"John \"}}\n\n"
		       "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
		       "{\"type\":\"text_delta\",\"text\":\"Doe.\"}}\n\n",
		STREAM "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
		       "{\"type\":\"text_delta\",\"text\":\"*****\"}}\n\n"
		       "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
		       "{\"type\":\"text_delta\",\"text\":\"***.\"}}\n\n");
	/* The text comes again at its end. */
	EXPECT_MASKED(POST("/v1/responses"),
	              STREAM "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,"
	                     "\"delta\":\"John D\"}\n\n"
	                     "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,"
	                     "\"delta\":\"oe!\"}\n\n"
	                     "data: {\"type\":\"response.output_text.done\",\"output_index\":0,\"content_index\":0,"
	                     "\"text\":\"John Doe!\"}\n\n",
	              STREAM "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,"
	                     "\"delta\":\"******\"}\n\n"
	                     "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,"
	                     "\"delta\":\"**!\"}\n\n"
	                     "data: {\"type\":\"response.output_text.done\",\"output_index\":0,\"content_index\":0,"
	                     "\"text\":\"********!\"}\n\n");
	/* Tokens beside the text. */
	EXPECT_MASKED(
		CHAT,
		STREAM "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"赵一\"},\"logprobs\":{\"content\":"
		       "[{\"token\":\"赵\"},{\"token\":\"一\"}]}}]}\n\n",
		STREAM "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"＊＊\"},\"logprobs\":{\"content\":"
		       "[{\"token\":\"＊\"},{\"token\":\"＊\"}]}}]}\n\n");
	/* Numbers have no mask. */
	EXPECT(CHAT,
	       STREAM "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"logprobs\":{\"content\":"
	              "[{\"token\":\"x\",\"bytes\":[232,181,181,228,184,128]}]}}]}\n\n",
	       BLOCKED);
}

/* A text that comes whole in each message lies in each of them: a match is blocked. Where there is but one it is
 * masked. */
TEST(redact, a_text_that_grows_is_not_masked)
{
	EXPECT(POST("/generate"),
	       STREAM "data: {\"text\":\"I\"}\n\ndata: {\"text\":\"I am\"}\n\ndata: {\"text\":\"I am John\"}\n\n"
	              "data: {\"text\":\"I am John Doe\"}\n\ndata: {\"text\":\"I am John Doe.\"}\n\n",
	       BLOCKED);
	first.talk.out[first.talk.len] = '\0';
	cr_expect_null(strstr((char *)first.talk.out, "John"));
	EXPECT_MASKED(POST("/generate"), JSON "{\"text\":\"I am John Doe.\"}", JSON "{\"text\":\"I am ********.\"}");
}
