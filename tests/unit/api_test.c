/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_test.c - how answers of each API end when they are cut: what a client was given, and the words behind it.
 *
 * Written from the formats' documentation. As in exchange_test, each answer is given under every cut.
 */
#include "tests/lib/transcript.h"

#define ASK(path)        "POST " path " HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
#define ASK_FOR(body, n) "POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: " #n "\r\n\r\n" body
#define LINES            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n"
#define EV(type, rest)   "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"

/* ---- completions ---- */

#define WROTE(i, text) "data: {\"id\":\"c\",\"choices\":[{\"index\":" #i ",\"text\":\"" text "\"}]}\n\n"
#define CLOSED(i)                                                                                                      \
	"data: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":0,\"model\":\"\",\"choices\":[{\"index\":" #i  \
	",\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"content_filter\"}]}\n\n"

TEST(exchange, completions_end_each_choice_and_say_the_usage)
{
	EXPECT_CUT(ASK("/v1/completions"), STREAM WROTE(0, "a ") WROTE(0, "FORBIDDEN-") WROTE(0, "ALPHA x"), BLOCKED,
	           STREAM WROTE(0, "a "), CLOSED(0) DONE);
	EXPECT_CUT(ASK_FOR("{\"n\":2,\"stream_options\":{\"include_usage\":true}}", 47),
	           STREAM WROTE(1, "FORBIDDEN-ALPHA x"), BLOCKED, STREAM,
	           CLOSED(1)
	                   CLOSED(0) "data: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":0,\"model\":\"\","
	                             "\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,"
	                             "\"total_tokens\":0}}\n\n" DONE);
}

/* ---- responses ---- */

#define CREATED EV("response.created", ",\"sequence_number\":0,\"response\":{\"id\":\"r\",\"model\":\"m\"}")
#define ITEM                                                                                                           \
	EV("response.output_item.added",                                                                               \
	   ",\"sequence_number\":1,\"output_index\":2,\"item\":{\"id\":\"i\",\"type\":\"message\"}")
#define PART                                                                                                           \
	EV("response.content_part.added", ",\"sequence_number\":2,\"item_id\":\"i\",\"output_index\":2,"               \
	                                  "\"content_index\":1,\"part\":{\"type\":\"output_text\",\"text\":\"\"}")
#define DELTA(n, text)                                                                                                 \
	EV("response.output_text.delta", ",\"sequence_number\":" #n ",\"item_id\":\"i\",\"output_index\":2,"           \
	                                 "\"content_index\":1,\"delta\":\"" text "\"")
#define RESPONSE(status, why)                                                                                          \
	"\"response\":{\"id\":\"r\",\"object\":\"response\",\"created_at\":0,\"status\":\"" status                     \
	"\",\"error\":null,\"incomplete_details\":" why                                                                \
	",\"instructions\":null,\"metadata\":{},\"model\":\"m\",\"output\":[],\"parallel_tool_calls\":false,"          \
	"\"temperature\":null,\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null}"
#define INCOMPLETE(n)                                                                                                  \
	EV("response.incomplete",                                                                                      \
	   ",\"sequence_number\":" #n "," RESPONSE("incomplete", "{\"reason\":\"content_filter\"}"))
#define PART_DONE(n)                                                                                                   \
	EV("response.content_part.done",                                                                               \
	   ",\"sequence_number\":" #n ",\"item_id\":\"i\",\"output_index\":2,\"content_index\":1,"                     \
	   "\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}")
#define ITEM_DONE(n, item)                                                                                             \
	EV("response.output_item.done", ",\"sequence_number\":" #n ",\"output_index\":2,\"item\":" item)
#define MESSAGE "{\"id\":\"i\",\"type\":\"message\",\"status\":\"incomplete\",\"role\":\"assistant\",\"content\":[]}"
#define CALL                                                                                                           \
	"{\"id\":\"i\",\"type\":\"function_call\",\"status\":\"incomplete\",\"call_id\":\"\",\"name\":\"\","           \
	"\"arguments\":\"\"}"

TEST(exchange, a_response_closes_what_is_open)
{
	EXPECT_CUT(ASK("/v1/responses"),
	           STREAM CREATED ITEM PART DELTA(3, "a ") DELTA(4, "FORBIDDEN-") DELTA(5, "ALPHA x"), BLOCKED,
	           STREAM CREATED ITEM PART DELTA(3, "a "), PART_DONE(4) ITEM_DONE(5, MESSAGE) INCOMPLETE(6));
	/* An item whose beginning was withheld is none. */
	EXPECT_CUT(ASK("/v1/responses"),
	           STREAM CREATED EV("response.output_item.added",
	                             ",\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"FORBIDDEN-ALPHA\"}"),
	           BLOCKED, STREAM CREATED, INCOMPLETE(1));
	/* In an open call. */
	EXPECT_CUT(ASK("/v1/responses"),
	           STREAM CREATED EV("response.output_item.added",
	                             ",\"sequence_number\":1,\"output_index\":2,\"item\":{\"type\":\"function_call\","
	                             "\"id\":\"i\"}") EV("response.function_call_arguments.delta",
	                                                 ",\"sequence_number\":2,\"item_id\":\"i\",\"output_index\":2,"
	                                                 "\"delta\":\"FORBIDDEN-ALPHA }\""),
	           BLOCKED,
	           STREAM CREATED EV("response.output_item.added",
	                             ",\"sequence_number\":1,\"output_index\":2,\"item\":{\"type\":\"function_call\","
	                             "\"id\":\"i\"}"),
	           ITEM_DONE(2, CALL) INCOMPLETE(3));
}

TEST(exchange, a_response_that_has_not_begun_begins)
{
	EXPECT_CUT(
		ASK("/v1/responses"),
		STREAM EV(
			"response.created",
			",\"sequence_number\":0,\"response\":{\"id\":\"r\",\"model\":\"m\",\"x\":\"FORBIDDEN-ALPHA\"}"),
		BLOCKED, STREAM,
		EV("response.created", ",\"sequence_number\":0," RESPONSE("in_progress", "null")) INCOMPLETE(1));
}

/* The order of keys is the server's: each text is found in its item. */
TEST(exchange, a_response_may_name_its_event_last)
{
#define LATE(item, text)                                                                                               \
	"data: {\"content_index\":0,\"delta\":\"" text "\",\"output_index\":" #item                                    \
	",\"type\":\"response.output_text.delta\"}\n\n"
	EXPECT_CUT(
		ASK("/v1/responses"), STREAM LATE(0, "FORBID") LATE(1, "hi ") LATE(0, "DEN-ALPHA x"), BLOCKED, STREAM,
		EV("response.created",
	           ",\"sequence_number\":0,\"response\":{\"id\":\"\",\"object\":\"response\",\"created_at\":0,"
	           "\"status\":\"in_progress\",\"error\":null,\"incomplete_details\":null,\"instructions\":null,"
	           "\"metadata\":{},\"model\":\"\",\"output\":[],\"parallel_tool_calls\":false,\"temperature\":null,"
	           "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null}")
			EV("response.incomplete",
	                   ",\"sequence_number\":1,\"response\":{\"id\":\"\",\"object\":\"response\",\"created_at\":0,"
	                   "\"status\":\"incomplete\",\"error\":null,\"incomplete_details\":{\"reason\":"
	                   "\"content_filter\"},\"instructions\":null,\"metadata\":{},\"model\":\"\",\"output\":[],"
	                   "\"parallel_tool_calls\":false,\"temperature\":null,\"tool_choice\":\"auto\",\"tools\":[],"
	                   "\"top_p\":null}"));
	cr_expect(says("t.alpha content 0 at 0+15"));
}

/* ---- Anthropic ---- */

#define START          EV("message_start", ",\"message\":{\"id\":\"m1\",\"model\":\"m\",\"usage\":{\"input_tokens\":3}}")
#define BLOCK(i, type) EV("content_block_start", ",\"index\":" #i ",\"content_block\":{\"type\":\"" type "\"}")
#define TEXT(i, text)                                                                                                  \
	EV("content_block_delta", ",\"index\":" #i ",\"delta\":{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define INPUT(i, text) EV("content_block_delta", ",\"index\":" #i ",\"delta\":{\"partial_json\":\"" text "\"}")
#define STOP(i)        EV("content_block_stop", ",\"index\":" #i)
#define REFUSED                                                                                                        \
	EV("message_delta", ",\"delta\":{\"stop_reason\":\"refusal\",\"stop_sequence\":null},"                         \
	                    "\"usage\":{\"output_tokens\":0}")                                                         \
	EV("message_stop", "")

TEST(exchange, a_message_closes_its_block_and_stops_for_a_refusal)
{
	EXPECT_CUT(ASK("/v1/messages"), STREAM START BLOCK(0, "text") TEXT(0, "a ") TEXT(0, "FORBIDDEN-ALPHA x"),
	           BLOCKED, STREAM START BLOCK(0, "text") TEXT(0, "a "), STOP(0) REFUSED);
	EXPECT_CUT(ASK("/v1/messages"),
	           STREAM START BLOCK(0, "text") TEXT(0, "a") STOP(0) BLOCK(1, "tool_use") INPUT(1, "{")
	                   INPUT(1, "FORBIDDEN-ALPHA }"),
	           BLOCKED, STREAM START BLOCK(0, "text") TEXT(0, "a") STOP(0) BLOCK(1, "tool_use") INPUT(1, "{"),
	           STOP(1) REFUSED);
	/* A block whose beginning was withheld is not closed. */
	EXPECT_CUT(ASK("/v1/messages"),
	           STREAM START EV("content_block_start",
	                           ",\"index\":0,\"content_block\":{\"text\":\"FORBIDDEN-ALPHA x\"}"),
	           BLOCKED, STREAM START, REFUSED);
	/* All was said but the last event. */
	EXPECT_CUT(
		ASK("/v1/messages"),
		STREAM START EV("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"}") ": FORBIDDEN-ALPHA\n\n",
		BLOCKED, STREAM START EV("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"}"),
		EV("message_stop", ""));
	EXPECT_CUT(ASK("/v1/messages"), STREAM START "data: {\"x\"}\n\n", "exception unparsable\n", STREAM START,
	           "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"unparsable\",\"message\":"
	           "\"The answer was withheld: the answer could not be parsed.\"}}\n\n");
}

/* ---- messages on lines ---- */

#define LINE(text) "{\"model\":\"m\",\"created_at\":\"t\",\"response\":\"" text "\",\"done\":false}\n"
#define LINE_FILTERED                                                                                                  \
	"{\"model\":\"m\",\"created_at\":\"t\",\"response\":\"\",\"done\":true,\"done_reason\":\"content_filter\"}\n"

TEST(exchange, lines_end_with_a_line)
{
	EXPECT_CUT(ASK("/api/generate"), LINES LINE("a ") LINE("FORB") LINE("IDDEN-ALPHA x"), BLOCKED, LINES LINE("a "),
	           LINE_FILTERED);
	EXPECT_WHOLE(ASK("/api/generate"), LINES LINE("a ") LINE("FORB") "{\n\"response\":\"x\",\n\"done\":true\n}\n",
	             "cleared none\n");
	/* A line that is released and not ended is ended first. */
	EXPECT_CUT(ASK("/api/generate"),
	           "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n{\"model\":\"m\"} {\"response\":"
	           "\"FORBIDDEN-ALPHA x\"}",
	           BLOCKED, LINES "{\"model\":\"m\"} ",
	           "\n{\"model\":\"m\",\"created_at\":\"1970-01-01T00:00:00Z\",\"response\":\"\",\"done\":true,"
	           "\"done_reason\":\"content_filter\"}\n");
	EXPECT_CUT(ASK("/api/chat"), LINES "{}\nx", "exception unparsable\n", LINES "{}\n",
	           "{\"error\":\"The answer was withheld: the answer could not be parsed.\"}\n");
	EXPECT(ASK("/api/chat"), LINES "{\"a\":\"FORB", "exception unparsable\n");
	/* Blanks fill what was promised of a chunk: an empty line would be taken for a message. */
	EXPECT_CUT(ASK("/api/generate"),
	           "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 160\r\n\r\n" LINE(
			   "a ") "{\"response\":\"FORBIDDEN-ALPHA x\"}",
	           BLOCKED,
	           "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 160\r\n\r\n" LINE("a "),
	           "{\"model\":\"m\",\"created_at\":\"t\",\"response\":\"\",\"done\":true,\"done_reason\":"
	           "\"content_filter\"}            \n");
}

/* ---- the others ---- */

#define TGI(i, text) "data:{\"index\":" #i ",\"token\":{\"id\":1,\"text\":\"" text "\"}}\n\n"

TEST(exchange, native_streams_end_in_their_words)
{
	EXPECT_CUT(ASK("/generate_stream"), STREAM TGI(1, "a ") TGI(2, "FORBIDDEN") TGI(3, "-ALPHA x"), BLOCKED,
	           STREAM TGI(1, "a "),
	           "data:{\"index\":0,\"token\":{\"id\":0,\"text\":\"\",\"logprob\":0.0,\"special\":true},"
	           "\"generated_text\":\"\",\"details\":{\"finish_reason\":\"content_filter\",\"generated_tokens\":0,"
	           "\"seed\":null,\"input_length\":0}}\n\n");
	EXPECT_CUT(
		ASK("/completion"), STREAM "data: {\"content\":\"FORBIDDEN-ALPHA x\"}\n\n", BLOCKED, STREAM,
		"data: {\"index\":0,\"content\":\"\",\"tokens\":[],\"stop\":true,\"model\":\"\",\"tokens_predicted\":0,"
		"\"tokens_evaluated\":0,\"stop_type\":\"word\",\"stopping_word\":\"\",\"truncated\":false}\n\n");
	EXPECT_CUT(ASK("/v2/models/m/generate_stream"), STREAM "data: {\"text_output\":\"FORBIDDEN-ALPHA x\"}\n\n",
	           BLOCKED, STREAM, "data: {\"error\":\"The answer was refused by the content policy.\"}\n\n");
	EXPECT_CUT(ASK("/generate"), STREAM "data: x{\n\ndata: {\"x\"}\n\n", "exception unparsable\n",
	           STREAM "data: x{\n\n",
	           "data: {\"error\":\"The answer was withheld: the answer could not be parsed.\",\"error_type\":"
	           "\"unparsable\"}\n\n");
}

/* ---- text that comes again ---- */

#define ALL(text) "data: {\"text\":\"" text "\",\"meta_info\":{\"id\":\"g\"}}\n\n"
#define LONG      "The river runs past the old mill. "

TEST(exchange, only_what_is_new_of_a_text_is_read)
{
	EXPECT_WHOLE(ASK("/generate"),
	             STREAM ALL("gently ") ALL("gently " LONG) ALL("gently " LONG "b") ALL("gently " LONG "bc")
	                     ALL("gently " LONG "bcd") ALL("gently " LONG "bcde gently ") DONE,
	             "flagged none\n");
	/* The prefix of a match waits, however often it comes again. */
	EXPECT(ASK("/generate"), STREAM ALL("FORB") ALL("FORBIDD") ALL("FORBIDDEN-AL") ALL("FORBIDDEN-ALPHA "),
	       BLOCKED);
	cr_expect_eq(first.talk.released, sizeof(STREAM) - 1);
	/* What is not what it was is refused once the text is known to come whole. */
	EXPECT(ASK("/generate"),
	       STREAM ALL(LONG) ALL(LONG "a") ALL(LONG "ab") ALL(LONG "abc") ALL("the river runs" LONG),
	       "exception text_changed\n");
	/* And read as another part before. */
	EXPECT(ASK("/generate"), STREAM ALL("a") ALL("a ") ALL("FORBIDDEN-") ALL("ALPHA "), BLOCKED);
	EXPECT(ASK("/generate"), STREAM ALL(" \\\\") ALL(" \\\\u0046") ALL(" \\\\u0046ORBIDDEN-ALPHA "), BLOCKED);
}

/* ---- beside the text ---- */

TEST(exchange, tokens_and_bytes_are_read_as_text)
{
#define TOKENS(what) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"logprobs\":{" what "}}]}\n\n"
	EXPECT(CHAT,
	       STREAM TOKENS("\"content\":[{\"token\":\"FORB\"},{\"token\":\"IDDEN-ALP\"}]")
	               TOKENS("\"content\":[{\"token\":\"HA \"}]"),
	       BLOCKED);
	cr_expect(says("t.alpha logprobs 0 at 0+15"));
	EXPECT(CHAT,
	       STREAM TOKENS("\"content\":[{\"bytes\":[230,175]},{\"bytes\":[146,230,176,148,233]}]")
	               TOKENS("\"content\":[{\"bytes\":[133,141,230,150,185]}]"),
	       BLOCKED);
	EXPECT(CHAT, STREAM TOKENS("\"top_logprobs\":[{\"FORBIDDEN-\":-1},{\"ALPHA \":-2}]"), BLOCKED);
	EXPECT(ANY, STREAM "data: {\"a\":[70,79,82,66,73,68]}\n\ndata: {\"a\":[68,69,78,45,65,76,80,72,65,32]}\n\n",
	       BLOCKED);
	EXPECT_WHOLE(ANY, STREAM "data: {\"a\":[70,79,82,66,-73,68,256,1.5,\"x\",{},[1,2,\"y\"]]}\n\n",
	             "cleared none\n");
	EXPECT(CHAT, STREAM "data: {\"choices\":[{\"index\":0,\"delta\":{},\"token_ids\":[1]}]}\n\n",
	       "exception token_ids\n");
}
