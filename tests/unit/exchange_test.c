/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange_test.c - answers as transcripts: what a server sent, what a client got, what the report says.
 *
 * Each answer is given whole, cut in two at every place, and byte by byte; all must come to the same.
 */
#include "tests/lib/transcript.h"

/* ---- streams ---- */

TEST(exchange, a_clean_stream_passes)
{
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "hi") SAY(0, " brown") SAY(0, " bear") FINISH(0) DONE, "cleared none\n");
	EXPECT_WHOLE(CHAT, STREAM ": ping\r\n\r\ndata: {\r\ndata: }\r\n\r\nid: 1\r\rretry: 5\n\n", "cleared none\n");
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "gently") FINISH(0) DONE, "flagged none\n");
	cr_expect(says("t.flag content 0 at 0+6"));
}

TEST(exchange, events_wait_from_the_first_held_character_on)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "a FORB") SAY(0, "IDDEN-") SAY(0, "ALPHA") SAY(0, " x") FINISH(0), BLOCKED,
	           STREAM, FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM SAY(0, "a ") SAY(0, "FORB") SAY(0, "IDDEN-ALPHA ") SAY(0, "x"), BLOCKED,
	           STREAM SAY(0, "a "), FILTERED(0) DONE);
	cr_expect(says("t.alpha content 0 at 2+15"));
}

/* The word may go on until the text ends: by a finish, by the end of the stream, or never. */
TEST(exchange, a_keyword_at_the_end_waits_for_the_edge_of_its_word)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "a ") SAY(0, "FORBIDDEN-ALPHA") FINISH(0) DONE, BLOCKED, STREAM SAY(0, "a "),
	           FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM SAY(0, "a ") SAY(0, "FORBIDDEN-ALPHA"), BLOCKED, STREAM SAY(0, "a "), FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM SAY(0, "a ") SAY(0, "FORBIDDEN-ALPHA") ": x", BLOCKED, STREAM SAY(0, "a "),
	           FILTERED(0) DONE);
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "a ") SAY(0, "FORBIDDEN-ALPHA") SAY(0, "s") FINISH(0) DONE, "cleared none\n");
}

TEST(exchange, an_event_without_its_empty_line_is_read)
{
	EXPECT_CUT(CHAT, STREAM "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"FORBIDDEN-ALPHA\"}}]}",
	           BLOCKED, STREAM, FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM ": FORBIDDEN-ALPHA", BLOCKED, STREAM, FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM "id: FORBIDDEN-ALPHA", BLOCKED, STREAM, FILTERED(0) DONE);
}

TEST(exchange, choices_hold_for_themselves_and_release_in_order)
{
	EXPECT_CUT(CHAT,
	           STREAM SAY(1, "FORB") SAY(0, "hello ") SAY(0, "brown ") SAY(1, "x") SAY(0, "weasel") SAY(0, "!"),
	           BLOCKED, STREAM SAY(1, "FORB") SAY(0, "hello "), FILTERED(1) FILTERED(0) DONE);
	/* A choice whose end the client has is not ended again. */
	EXPECT_CUT(CHAT, STREAM SAY(0, "a") FINISH(0) SAY(1, "FORBIDDEN-ALPHA") FINISH(1), BLOCKED,
	           STREAM SAY(0, "a") FINISH(0), FILTERED(1) DONE);
	/* But one whose end was held is. */
	EXPECT_CUT(CHAT, STREAM SAY(1, "FORBIDDEN-") FINISH(0) SAY(1, "ALPHA") FINISH(1), BLOCKED, STREAM,
	           FILTERED(1) FILTERED(0) DONE);
}

TEST(exchange, the_index_may_come_late)
{
	EXPECT_CUT(
		CHAT,
		STREAM "data: {\"choices\":[{\"delta\":{\"content\":\"FORBIDDEN\"},\"index\":1}]}\n\n" SAY(
			0,
			"x") "data: "
			     "{\"choices\":[{\"delta\":{\"content\":\"-ALPHA.\"},\"finish_reason\":null,\"index\":1}]}"
			     "\n\n",
		BLOCKED, STREAM, FILTERED(1) FILTERED(0) DONE);
	EXPECT_CUT(CHAT,
	           STREAM "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":"
	                  "\"FORB\"},\"index\":3}]}}]}\n\n"
	                  "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":3,\"function\":"
	                  "{\"arguments\":\"IDDEN-ALPHA!\"}}]}}]}\n\n",
	           BLOCKED, STREAM, FILTERED(0) DONE);
	/* Text that waits for its index when the message breaks off was not read, and is not released. */
	EXPECT_CUT(CHAT, STREAM "data: {\"choices\":[{\"delta\":{\"content\":\"FORBIDDEN-ALPHA.\"}\n\n",
	           "exception unparsable\n", STREAM, WITHHELD("the answer could not be parsed", "unparsable"));
}

TEST(exchange, text_behind_a_finish_is_refused)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "a") FINISH(0) SAY(0, "b"), "exception text_after_finish\n",
	           STREAM SAY(0, "a") FINISH(0),
	           WITHHELD("a choice went on after it was finished", "text_after_finish"));
}

/* ---- ways to hide text ---- */

TEST(exchange, every_string_is_text)
{
	EXPECT(CHAT, STREAM "data: {\"u\":\"FORBIDDEN-\"}\n\ndata: {\"u\":\"ALPHA \"}\n\n", BLOCKED);
	EXPECT(CHAT, STREAM "data: {\"u\":[[\"FORBIDDEN-\",\"ALPHA \"]]}\n\n", BLOCKED);
	EXPECT(CHAT, STREAM "data: {\"FORBIDDEN-ALPHA\":0}\n\n", BLOCKED);
	EXPECT(CHAT,
	       STREAM "data: {\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx FORBIDDEN-ALPHA\":0}\n\n",
	       BLOCKED);
	EXPECT(CHAT, STREAM "data: FORBIDDEN-ALPHA\n\n", BLOCKED);
	EXPECT(CHAT, STREAM "event: FORBIDDEN-ALPHA\n\n", BLOCKED);
	EXPECT(CHAT,
	       STREAM "data: "
	              "{\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"text\":\"FORB\"},{\"text\":\"IDDEN-ALPHA."
	              "\"}]}}]}\n\n",
	       BLOCKED);
	EXPECT(CHAT, STREAM SAY(0, "\\u0046ORB\\u200bIDDEN\\u002dALPHA."), BLOCKED);
	EXPECT(CHAT, STREAM SAY(0, "\\u6bd2") SAY(0, "\\u6c14配") SAY(0, "\\u65b9"), BLOCKED);
	EXPECT(CHAT, STREAM "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\",\"content\":\"b\"}}]}\n\n",
	       "exception unparsable\n");
}

/* A head is shown by clients, in errors. */
TEST(exchange, heads_and_trailers_are_text)
{
	EXPECT(CHAT, "HTTP/1.1 500 FORBIDDEN-ALPHA\r\ncontent-length: 0\r\n\r\n", BLOCKED);
	EXPECT(CHAT, "HTTP/1.1 200 OK\r\nx: FORBIDDEN-ALPHA\r\ncontent-length: 0\r\n\r\n", BLOCKED);
	EXPECT(CHAT, "HTTP/1.1 200 OK\r\nForbidden-Alpha: x\r\ncontent-length: 0\r\n\r\n", BLOCKED);
	EXPECT(CHAT, "HTTP/1.1 103 Early\r\nx: FORBIDDEN-ALPHA\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
	       BLOCKED);
	EXPECT(CHAT, CHUNKED "0\r\nx: FORBIDDEN-ALPHA\r\n\r\n", BLOCKED);
	/* A line under way when the body ends does not go on in the trailers. */
	EXPECT(CHAT, CHUNKED "3\r\n: x\r\n0\r\nForbidden-Alpha: 1\r\n\r\n", BLOCKED);
	EXPECT(CHAT, CHUNKED "11\r\n: FORBIDDEN-ALPHA\r\n0\r\n\r\n", BLOCKED);
}

/* Servers send the same words under an old and a new name: "FORFOR", "BIDBID" must not hide them. */
TEST(exchange, two_names_of_one_channel_are_two_texts)
{
	EXPECT(CHAT,
	       STREAM
	       "data: "
	       "{\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"FORBI\",\"reasoning_content\":\"FORBI\"}}]}\n\n"
	       "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"DDEN-ALPHA "
	       "\",\"reasoning_content\":\"DDEN-ALPHA \"}}]}\n\n",
	       BLOCKED);
}

/* What no table knows belongs to its choice, wherever the choice stands in its array. */
TEST(exchange, unknown_text_of_choices_is_kept_apart)
{
	EXPECT(CHAT,
	       STREAM "data: {\"choices\":[{\"index\":0,\"u\":\"a \"},{\"index\":1,\"u\":\"FORBIDDEN-\"}]}\n\n"
	              "data: {\"choices\":[{\"index\":1,\"u\":\"ALPHA x\"}]}\n\n",
	       BLOCKED);
	EXPECT(ANY,
	       STREAM "data: {\"choices\":[{\"index\":1,\"text\":\"FORBIDDEN-\"}]}\n\n"
	              "data: {\"choices\":[{\"index\":0,\"text\":\"hello \"}]}\n\n"
	              "data: {\"choices\":[{\"index\":1,\"text\":\"ALPHA x\"}]}\n\n",
	       BLOCKED);
}

/* Keys too long to be known tell texts apart like any other. */
TEST(exchange, long_keys_are_read_to_their_end)
{
#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789"
	EXPECT(ANY,
	       STREAM "data: {\"" LONG "a\":\"FORBIDDEN-\",\"" LONG "b\":\"x \"}\n\ndata: {\"" LONG
	              "a\":\"ALPHA \"}\n\n",
	       BLOCKED);
}

/* ---- JSON in JSON ---- */

TEST(exchange, tool_arguments_are_read_without_their_escapes_too)
{
	EXPECT_CUT(CHAT,
	           STREAM TOOL("{\\\"a\\\":") TOOL("\\\"\\\\u6bd2\\\\u") TOOL("6c14") TOOL("\\\\u914d\\\\u65b9\\\"}"),
	           BLOCKED, STREAM TOOL("{\\\"a\\\":"), FILTERED(0) DONE);
	/* Half an escape is half a character: it waits. */
	EXPECT_CUT(CHAT, STREAM TOOL("x") TOOL("\\\\u6b") TOOL("d2气") TOOL("配") TOOL("方"), BLOCKED, STREAM TOOL("x"),
	           FILTERED(0) DONE);
	EXPECT_WHOLE(CHAT,
	             STREAM TOOL("{\\\"a\\\":\\\"\\\\u6bd2\\\\n\\\\u12x\\\\ud83d\\\\ud83d\\\\ude00\\\\q\\\"}") FINISH(0)
	                     DONE,
	             "cleared none\n");
	EXPECT(CHAT, STREAM TOOL("FORBIDDEN\\\\u002dALP") TOOL("HA") FINISH(0), BLOCKED);
	/* A backslash at the very end is text. */
	EXPECT(CHAT, STREAM TOOL("\\\\u0046ORBIDDEN-ALPHA\\\\") FINISH(0), BLOCKED);
	EXPECT(ANY, STREAM "data: \"\\u0046ORBIDDEN-ALPHA\"\n\n", BLOCKED);
}

/* ---- whole answers ---- */

#define CHOICE(text) "{\"message\":{\"content\":\"" text "\"}}"

TEST(exchange, a_whole_answer_is_released_or_replaced)
{
	EXPECT_WHOLE(CHAT, JSON "{\"choices\":[" CHOICE("brown") "," CHOICE("weasels") "]}", "cleared none\n");
	EXPECT_CUT(
		CHAT,
		JSON "{\"id\":\"a\\\"b\",\"choices\":[" CHOICE("hi") "," CHOICE(
			"FORBIDDEN-ALPHA") "],\"model\":\"m\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,"
					   "\"total_tokens\":3}}",
		BLOCKED, "",
		"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 357\r\nconnection: close\r\n\r\n"
		"{\"id\":\"a\\u0022b\",\"object\":\"chat.completion\",\"created\":0,\"model\":\"m\",\"choices\":["
		"{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
		"\"finish_reason\":\"content_filter\"},"
		"{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
		"\"finish_reason\":\"content_filter\"}],"
		"\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}");
	/* What breaks behind a hit does not hide it. */
	EXPECT(CHAT, JSON "{\"choices\":[" CHOICE("FORBIDDEN-ALPHA x") "],,", BLOCKED);
	EXPECT(ANY, JSON "{\"a\":\"x\"", "exception unparsable\n");
}

/* An interim head is sent before the answer is held: the answer must not begin in front of it. */
TEST(exchange, interim_answers_go_ahead)
{
#define INTERIM "HTTP/1.1 100 Continue\r\n\r\n"
	EXPECT(CHAT, INTERIM JSON "{\"choices\":[" CHOICE("FORBIDDEN-ALPHA") "]}", BLOCKED);
	cr_expect_eq(first.talk.released, sizeof(INTERIM) - 1);
	EXPECT_WHOLE(CHAT, INTERIM JSON "{\"choices\":[" CHOICE("FORBIDDEN-ALP") "]}", "cleared none\n");
	EXPECT_WHOLE("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
	             "cleared none\n");
	EXPECT_WHOLE(CHAT, "HTTP/1.1 204 No\r\n\r\n", "cleared none\n");
}

/* ---- the refusal ---- */

/* What a refusal repeats is what the server said: not if that is what was refused. */
TEST(exchange, a_refusal_repeats_nothing_forbidden)
{
	EXPECT_CUT(CHAT, STREAM "data: {\"id\":\"FORBIDDEN-ALPHA\",\"model\":\"m\",\"choices\":[]}\n\n", BLOCKED,
	           STREAM, FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM "data: {\"model\":\"FORBIDDEN-ALPHA or so\",\"choices\":[]}\n\n", BLOCKED, STREAM,
	           FILTERED(0) DONE);
	EXPECT(CHAT, JSON "{\"choices\":[" CHOICE("FORBIDDEN-ALPHA") "],\"system_fingerprint\":\"FORBIDDEN-ALPHA\"}",
	       BLOCKED);
	first.talk.out[first.talk.len] = '\0';
	cr_expect_null(strstr((char *)first.talk.out, "ALPHA"));
}

#define NAMED(id) "data: {\"id\":\"" id "\",\"choices\":[]}\n\n"

/* A name that was read is not read again; one that begins like it is, from its first byte. */
TEST(exchange, names_that_come_again_hide_nothing)
{
	EXPECT_CUT(CHAT, STREAM NAMED("FORBIDDEN") NAMED("FORBIDDEN") NAMED("FORBIDDEN-ALPHA"), BLOCKED,
	           STREAM NAMED("FORBIDDEN") NAMED("FORBIDDEN"), FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM NAMED("") NAMED("") NAMED("FORBIDDEN-ALPHA"), BLOCKED, STREAM NAMED("") NAMED(""),
	           FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM NAMED("x") NAMED("x\\u0020FORBIDDEN-ALPHA"), BLOCKED, STREAM NAMED("x"),
	           FILTERED(0) DONE);
	EXPECT_WHOLE(CHAT, STREAM NAMED("FORBIDDEN-ALP") NAMED("FORBIDDEN-ALP") NAMED("HA") NAMED("HA") DONE,
	             "cleared none\n");
}

TEST(exchange, a_refusal_keeps_the_framing)
{
	/* Inside a chunk: its rest is filled, the words that do not fit follow in a chunk of their own. */
	EXPECT_CUT(CHAT, CHUNKED "25\r\n: ping\n\ndata: FORBIDDEN-ALPHA or so\n\n\r\n0\r\n\r\n", BLOCKED,
	           CHUNKED "25\r\n: ping\n\n",
	           "data: {\"id\":\"\",\"object\":\"chat\r\n8e\r\n."
	           "completion.chunk\",\"created\":0,\"model\":\"\",\"choices\":"
	           "[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"content_filter\"}]}\n\n" DONE
	           "\r\n0\r\n\r\n");
	/* Between chunks. */
	EXPECT_CUT(CHAT, CHUNKED "8\r\n: ping\n\n\r\n16\r\ndata: FORBIDDEN-ALPHA.\r\n0\r\n\r\n", BLOCKED,
	           CHUNKED "8\r\n: ping\n\n\r\n", "ab\r\n" FILTERED(0) DONE "\r\n0\r\n\r\n");
	/* A length that was promised is kept; one that is too short for the words cannot be. */
	EXPECT(CHAT,
	       "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 300\r\n\r\n: ping\n\ndata: "
	       "FORBIDDEN-ALPHA.",
	       BLOCKED);
	cr_expect_eq(first.talk.len, first.talk.released + 292);
	cr_expect_eq(first.talk.out[first.talk.len - 1], '\n');
	EXPECT_CUT(CHAT,
	           "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 30\r\n\r\n: ping\n\ndata: "
	           "FORBIDDEN-ALPHA.",
	           BLOCKED,
	           "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 30\r\n\r\n: ping\n\n", "");
	cr_expect_eq(first.talk.how, CONCLUDE_RESET);
}

/* ---- text, and what calls itself so ---- */

TEST(exchange, text_is_released_by_the_character)
{
	EXPECT_WHOLE(ANY, PLAIN "hello, brown wea", "cleared none\n");
	EXPECT_CUT(ANY, PLAIN "hello, \xe6\xaf\x92气\xe9\x85\x8d方", BLOCKED, PLAIN "hello, ", "");
	EXPECT_CUT(ANY, PLAIN "hello, brown\nthe brown weasel", BLOCKED, PLAIN "hello, brown\nthe ", "");
	EXPECT(ANY, PLAIN "data: {}\n\n", "exception content_type\n");
	EXPECT(ANY, PLAIN " {\"a\":\"FORB\"}", "exception content_type\n");
	EXPECT(ANY,
	       PLAIN "\xff\xfe"
	             "F",
	       "exception content_type\n");
	EXPECT(CHAT, PLAIN "hello", "exception content_type\n");
	EXPECT_WHOLE(CHAT, "HTTP/1.1 500 Oh\r\ncontent-type: text/plain\r\n\r\nhello", "cleared none\n");
	EXPECT(CHAT, STREAM "{\"a\":\"FORB\"}\n", "exception unparsable\n");
	EXPECT(CHAT, "HTTP/1.1 200 OK\r\ncontent-type: x/y\r\n\r\nhello", "exception content_type\n");
}

/* ---- what is found is the same under every cut ---- */

TEST(exchange, findings_do_not_depend_on_the_cut)
{
	/* Two texts that are read side by side, each with hits of its own. */
	EXPECT(CHAT, STREAM "data: {\"u\":\"brown \"}\n\ndata: {\"u\":\"weasel, FORBIDDEN-ALPHA, gently\"}\n\n",
	       BLOCKED);
	cr_expect(says("t.weasel other 0 at 0+12 in unit 72, 0 more\nt.same") || says("t.weasel other 0 at 0+12"));
	cr_expect_not(says("t.alpha"));
	/* Hits that end at one place are all kept. */
	cr_expect(says("t.same"));
	EXPECT(CHAT, JSON "{\"a\":[\"gently gently\",\"gently FORBIDDEN-ALPHA gently\"]}", BLOCKED);
	cr_expect(says("t.flag other 0 at 0+6"));
	EXPECT(CHAT, STREAM SAY(0, "甲甲甲甲甲甲甲甲甲甲甲甲甲甲甲甲甲甲甲甲甲甲毒气配方"), BLOCKED);
	cr_expect(says("21 more"));
}

/* A list of many items is many texts, but none of them is needed for long. */
TEST(exchange, a_long_list_passes)
{
	static char list[1 << 16];
	size_t len = (size_t)snprintf(list, sizeof(list), "%s[", JSON);

	for (int i = 0; i < 1500; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "{\"a%d\":\"%s\"},", i,
		                        i % 3   ? "the"
		                        : i % 2 ? "a\\\\u0062c"
		                                : "x\\n");
	snprintf(list + len, sizeof(list) - len, "{\"b\":\"FORBIDDEN\\\\u002dALPHA\"}]");
	run(&first, ANY, slice_str(list), SIZE_MAX, NULL);
	cr_expect(begins(BLOCKED), "%s", first.log);
	run(&next, ANY, slice_str(list), strlen(list), NULL);
	cr_expect_str_eq(first.log, next.log);
	memcpy(strstr(list, "FORB"), "Fork", 4);
	run(&first, ANY, slice_str(list), strlen(list), NULL);
	cr_expect(begins("cleared none\n"), "%s", first.log);
	cr_expect_eq(first.talk.len, strlen(list));
}

TEST(exchange, limits_do_not_depend_on_the_cut)
{
	struct exchange_limits small = { .body_max = 1, .event_max = 64 };

	every_cut(CHAT,
	          SLICE(STREAM ": 0123456789012345678901234567890123456789012345678901234567890 FORBIDDEN-ALPHA\n\n"),
	          &small);
	cr_expect(begins("exception event_too_large\n"), "%s", first.log);
	every_cut(CHAT, SLICE(STREAM ": 01234567890123456789012345678901234567890123456789012345678\n\n: x\n\n"),
	          &small);
	cr_expect(begins("cleared none\n"), "%s", first.log);
}

TEST(exchange, bytes_that_nobody_asked_for_are_counted)
{
	EXPECT(CHAT, "HTTP/1.1 204 No\r\n\r\nHTTP", "exception answer_unexpected\n");
	cr_expect(says("in 23 scanned 19 structural 0 withheld 4 "), "%s", first.log);
}

/* ---- least hold ---- */

/* How far the lane is cleared behind each event, as an index of the events. */
TEST(exchange, an_event_waits_no_longer_than_its_text)
{
	static const struct {
		const char *event;
		size_t cleared; /* events that are cleared behind this one */
	} steps[] = {
		{ SAY(0, "the"), 1 },    { SAY(0, " FORB"), 1 }, { SAY(0, "IDDEN"), 1 }, { SAY(0, "LY"), 4 },
		{ SAY(1, "brown"), 4 },  { SAY(0, "free"), 4 },  { SAY(1, " bear"), 7 }, { ": ping\n\n", 8 },
		{ SAY(0, " brown"), 8 }, { FINISH(0), 10 },      { TOOL("x"), 10 },
	};
	struct talk *t = &first.talk;
	size_t ends[sizeof(steps) / sizeof(*steps) + 1] = { sizeof(STREAM) - 1 };

	talk_begin(t, rules, NULL, SLICE(CHAT));
	talk_feed(t, SLICE(STREAM), false);
	for (size_t i = 0; i + 1 < sizeof(steps) / sizeof(*steps); i++) {
		ends[i + 1] = ends[i] + strlen(steps[i].event);
		talk_feed(t, slice_str(steps[i].event), false);
		cr_assert_eq(t->len, ends[steps[i].cleared], "behind event %zu: %zu", i, t->len);
	}
	talk_end(t);
}
