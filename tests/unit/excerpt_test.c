/* SPDX-License-Identifier: Apache-2.0 */
/* excerpt_test.c - what a rule asks to keep of a hit is the hit with what is around it, however the answer was cut. */
#define TRANSCRIPT_PACK                                                                                                \
	"pack: t\nversion: \"1\"\nrules:\n"                                                                            \
	"  - {id: t.cut, risk: A.1.d, action: block, keywords: [weasel], evidence: span}\n"                            \
	"  - {id: t.all, risk: A.1.d, action: flag, keywords: [badger], evidence: full}\n"                             \
	"  - {id: t.num, risk: A.4.f, action: flag, pattern: '(?<![0-9])[0-9]{6}(?![0-9])', evidence: span}\n"         \
	"  - {id: t.hid, risk: A.4.f, action: redact, keywords: [otter], evidence: hash}\n"                            \
	"  - {id: t.not, risk: A.1.d, action: flag, keywords: [ferret]}\n"
#define TRANSCRIPT_SUITE excerpt
#include "tests/lib/transcript.h"

#include "base/own.h"

TEST(excerpt, the_match_and_what_is_around_it)
{
	every_cut(
		CHAT,
		SLICE(STREAM SAY(0, "a bad") SAY(0, "ger, a ferret") SAY(0, " and 123") SAY(0, "456.") FINISH(0) DONE),
		NULL);
	cr_expect(says("kept 'a ' 'badger' ', a ferret and 123456.' without 0\n"), "%s", first.log);
	cr_expect(says("kept 'a badger, a ferret and ' '123456' '.' without 0\n"), "%s", first.log);
	cr_expect(!says("'ferret'"));
}

TEST(excerpt, a_block_ends_it)
{
	every_cut(CHAT, SLICE(STREAM SAY(0, "one w") SAY(0, "easel, two") FINISH(0) DONE), NULL);
	cr_expect(begins("blocked") && says("kept 'one ' 'weasel' ',' without 0\n"), "%s", first.log);
}

TEST(excerpt, what_is_masked_is_kept_as_it_was)
{
	every_cut(CHAT, SLICE(STREAM SAY(0, "one ot") SAY(0, "ter, two") FINISH(0) DONE), NULL);
	cr_expect(says("kept 'one ' 'otter' ', two' without 0\n"), "%s", first.log);
}

/* Without escapes; and in tool arguments, without those of the JSON in it. */
TEST(excerpt, as_the_reader_sees_it)
{
	every_cut(CHAT, SLICE(STREAM SAY(0, "\\u62a5\\n wea\\u0073el.") FINISH(0) DONE), NULL);
	cr_expect(says("kept '\xe6\x8a\xa5\n ' 'weasel' '.' without 0\n"), "%s", first.log);
	every_cut(CHAT, SLICE(STREAM TOOL("{\\\"a\\\": \\\"x bad") TOOL("\\\\u0067er y\\\"}") FINISH(0) DONE), NULL);
	cr_expect(says("kept '{\"a\": \"x ' 'badger' ' y\"}' without 0\n"), "%s", first.log);
}

/* What a server says that no table knows may be what the client said. */
TEST(excerpt, only_what_a_model_wrote)
{
	every_cut(CHAT, SLICE(STREAM "data: {\"choices\":[],\"odd\":\"a badger b\"}\n\n" DONE), NULL);
	cr_expect(says("kept 'a ' 'badger' ' b' without 0, perhaps the client's\n"), "%s", first.log);
	every_cut(CHAT, SLICE("HTTP/1.1 200 OK\r\nx-a: a badger b\r\ncontent-type: text/event-stream\r\n\r\n" DONE),
	          NULL);
	cr_expect(says("kept 'x-a: a ' 'badger' ' b' without 0, perhaps the client's\n"), "%s", first.log);
	every_cut("POST /completion HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
	          SLICE(JSON "{\"content\":\"a badger b\",\"prompt\":\"is 654321 one?\"}"), NULL);
	cr_expect(says("kept 'a ' 'badger' ' b' without 0\n"), "%s", first.log);
	cr_expect(says("kept 'is ' '654321' ' one?' without 0, perhaps the client's\n"), "%s", first.log);
}

/* Long texts, met with every length of pieces: the context is whole, and so is what follows it. */
TEST(excerpt, in_the_middle_of_much)
{
	static char answer[400000], wanted[1024];
	static const size_t pieces[] = { 1, 7, 255, 4095, 4096, 4097, 30000 };
	size_t n, before, after;

	n = (size_t)snprintf(answer, sizeof(answer), "%s", PLAIN);
	for (int i = 0; i < 20000; i++)
		n += (size_t)snprintf(answer + n, sizeof(answer) - n, i == 10000 ? " a badger b" : " %05d", i);
	before = (size_t)(strstr(answer, "badger") - answer);
	after = before + 6;
	snprintf(wanted, sizeof(wanted), "kept '%.256s' 'badger' '%.256s' without 0\n", answer + before - 256,
	         answer + after);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		static struct talk t;
		static struct result r;

		memset(&t, 0, sizeof(t));
		talk_begin(&t, rules, NULL, slice_str(ANY));
		for (size_t at = 0; at < n; at += pieces[i])
			talk_feed(&t, slice_of((uint8_t *)answer + at, at + pieces[i] < n ? pieces[i] : n - at), false);
		talk_feed(&t, SLICE(""), true);
		log_report(&r, t.x);
		cr_assert(strstr(r.log, wanted), "%zu: %s", pieces[i], r.log);
		r.len = 0;
		talk_end(&t);
	}
}

struct texts {
	size_t count, bytes;
	uint64_t missing;
	bool has;
};

static void count_text(void *arg, enum channel channel, uint32_t choice, uint64_t missing, struct slice text)
{
	struct texts *t = arg;

	cr_expect(channel <= CHANNEL_TEXT && choice < 600);
	t->count++;
	t->bytes += text.len;
	t->missing += missing;
	t->has |= memmem(text.at, text.len, "badger", 6) != NULL;
}

/* The whole answer has a bound, with its end and the match in it; so have many texts. */
TEST(excerpt, a_full_one_is_bounded)
{
	static char answer[600000];
	static struct talk t;
	struct texts seen = { 0 };
	size_t n = (size_t)snprintf(answer, sizeof(answer), "%s", STREAM);

	for (int i = 0; i < 3000; i++)
		n += (size_t)snprintf(answer + n, sizeof(answer) - n,
		                      "data: {\"choices\":[{\"index\":%d,\"delta\":{\"content\":\"%0100d%s\"}}]}\n\n",
		                      i % 3, i, i == 2999 ? " badger " : "");
	talk_begin(&t, rules, NULL, slice_str(CHAT));
	talk_feed(&t, slice_of((uint8_t *)answer, n), true);
	exchange_texts(t.x, count_text, &seen);
	cr_expect(seen.count == 3 && seen.has);
	cr_expect_lt(seen.bytes, 2 * 65536 + 3 * 8192);
	cr_expect_gt(seen.bytes, 65536);
	cr_expect_eq(seen.bytes + seen.missing, 300008);
	talk_end(&t);
}
