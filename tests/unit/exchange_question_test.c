/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange_question_test.c - hits that count only if somebody says so: what is asked, what is held meanwhile, and what
 * comes of either answer, however the answer came.
 */
#define TRANSCRIPT_PACK                                                                                                \
	"pack: t\nversion: \"1\"\nrules:\n"                                                                            \
	"  - {id: t.ask, risk: A.1.d, action: block, keywords: [SUSPECT, 可疑], opinion: o}\n"                       \
	"  - {id: t.flag, risk: A.1.d, action: flag, keywords: [perhaps], opinion: o}\n"                               \
	"  - {id: t.keep, risk: A.1.d, action: block, keywords: [weasel], opinion: o, evidence: span}\n"               \
	"  - {id: t.full, risk: A.1.d, action: flag, keywords: [badger], opinion: o, evidence: full}\n"                \
	"  - {id: t.sure, risk: A.1.d, action: block, keywords: [FORBIDDEN-ALPHA]}\n"
#define TRANSCRIPT_SUITE question
#include "base/own.h"
#include "tests/lib/transcript.h"

static struct talk talk;

/* What is asked while pieces come, and how much is out then. */
static void begin(const char *answer)
{
	talk_begin(&talk, rules, NULL, SLICE(CHAT));
	talk_feed(&talk, slice_str(answer), false);
}

static bool out_is(const char *text)
{
	return talk.len == strlen(text) && !memcmp(talk.out, text, talk.len);
}

static struct question must_ask(bool hurry)
{
	struct question q = {};

	cr_assert(exchange_question(talk.x, hurry, &q), "nothing is asked");
	return q;
}

static bool asks(bool hurry)
{
	struct question q;

	return exchange_question(talk.x, hurry, &q);
}

static void tell(uint64_t id, bool counts)
{
	exchange_decide(talk.x, id, counts);
	talk_feed(&talk, SLICE(""), false);
}

TEST(question, text_is_held_until_it_is_decided)
{
	struct question q;

	begin(STREAM SAY(0, "It is ") SAY(0, "SUS"));
	talk_feed(&talk, SLICE(SAY(0, "PECT") SAY(0, " here")), false);
	cr_assert(out_is(STREAM SAY(0, "It is ")));
	cr_assert(exchange_gathers(talk.x) && exchange_waits(talk.x));
	cr_assert_not(asks(false), "the sentence is not over");
	talk_feed(&talk, SLICE(SAY(0, ". Then more")), false);
	q = must_ask(false);
	cr_assert_str_eq(q.rule->id, "t.ask");
	cr_assert(slice_is(q.text, SLICE("It is SUSPECT here.")), "%.*s", SLICE_ARG(q.text));
	cr_assert_eq(q.offset, 6);
	cr_assert_eq(q.length, 7);
	cr_assert_not(asks(true), "each is asked once");
	talk_feed(&talk, SLICE(SAY(0, " and more") FINISH(0) DONE), true);
	cr_assert_eq(talk.order, ORDER_PUMP, "the answer is not over");
	cr_assert_not(exchange_answered(talk.x));
	cr_assert(out_is(STREAM SAY(0, "It is ")));
	tell(q.id, false);
	cr_assert_eq(talk.order, ORDER_DONE);
	cr_assert(exchange_answered(talk.x));
	cr_assert(out_is(STREAM SAY(0, "It is ") SAY(0, "SUS") SAY(0, "PECT") SAY(0, " here") SAY(0, ". Then more")
	                         SAY(0, " and more") FINISH(0) DONE));
	cr_assert_eq(exchange_report(talk.x)->verdict, VERDICT_CLEARED);
	cr_assert(coverage_holds(&exchange_report(talk.x)->coverage));
	talk_end(&talk);
}

TEST(question, what_counts_is_cut_where_it_was_held)
{
	struct question q;

	begin(STREAM SAY(0, "It is ") SAY(0, "SUSPECT! ") SAY(0, "more"));
	q = must_ask(false);
	cr_assert(slice_is(q.text, SLICE("It is SUSPECT!")));
	tell(q.id, true);
	cr_assert_eq(talk.order, ORDER_CUT);
	talk_conclude(&talk);
	cr_assert(out_is(STREAM SAY(0, "It is ") FILTERED(0) DONE));
	cr_assert_eq(exchange_report(talk.x)->verdict, VERDICT_BLOCKED);
	cr_assert_eq(exchange_report(talk.x)->findings[0].offset, 6);
	talk_end(&talk);
}

TEST(question, several_are_released_in_their_order)
{
	struct question a, b;

	begin(STREAM SAY(0, "a SUSPECT! ") SAY(0, "b ") SAY(0, "SUSPECT! ") SAY(0, "c "));
	a = must_ask(false);
	b = must_ask(false);
	cr_assert(slice_is(b.text, SLICE("a SUSPECT! b SUSPECT!")), "%.*s", SLICE_ARG(b.text));
	tell(b.id, false);
	cr_assert(out_is(STREAM), "the first one is still held");
	talk_feed(&talk, SLICE(SAY(0, "SUSPECT?")), false);
	tell(a.id, false);
	cr_assert(out_is(STREAM SAY(0, "a SUSPECT! ") SAY(0, "b ") SAY(0, "SUSPECT! ") SAY(0, "c ")));
	tell(must_ask(true).id, false);
	cr_assert(
		out_is(STREAM SAY(0, "a SUSPECT! ") SAY(0, "b ") SAY(0, "SUSPECT! ") SAY(0, "c ") SAY(0, "SUSPECT?")));
	talk_end(&talk);
}

TEST(question, a_text_that_ends_is_asked_about_as_it_is)
{
	begin(STREAM SAY(0, "a SUSPECT and") FINISH(0));
	cr_assert(slice_is(must_ask(false).text, SLICE("a SUSPECT and")));
	talk_end(&talk);
	begin(STREAM SAY(0, "a SUSPECT"));
	cr_assert_not(asks(true), "its last word is not over");
	talk_feed(&talk, SLICE(""), true);
	cr_assert(slice_is(must_ask(false).text, SLICE("a SUSPECT")));
	talk_end(&talk);
	begin(STREAM SAY(0, "这很可疑，") SAY(0, "真的。") SAY(0, "好"));
	cr_assert(slice_is(must_ask(false).text, SLICE("这很可疑，真的。")));
	talk_end(&talk);
}

TEST(question, hurry_asks_before_the_sentence_is_over)
{
	begin(STREAM SAY(0, "a SUSPECT and"));
	cr_assert_not(asks(false));
	cr_assert(slice_is(must_ask(true).text, SLICE("a SUSPECT and")));
	cr_assert_not(exchange_gathers(talk.x));
	talk_end(&talk);
}

TEST(question, rules_that_do_not_block_hold_nothing)
{
	struct question q;

	begin(STREAM SAY(0, "perhaps. ") SAY(0, "more") FINISH(0) DONE);
	cr_assert(out_is(STREAM SAY(0, "perhaps. ") SAY(0, "more") FINISH(0) DONE));
	cr_assert_not(exchange_waits(talk.x));
	talk_feed(&talk, SLICE(""), true);
	cr_assert_not(exchange_answered(talk.x));
	q = must_ask(false);
	tell(q.id, true);
	cr_assert_eq(exchange_report(talk.x)->verdict, VERDICT_FLAGGED);
	cr_assert(exchange_answered(talk.x));
	talk_end(&talk);
}

TEST(question, what_is_certain_does_not_wait)
{
	begin(STREAM SAY(0, "a ") SAY(0, "SUSPECT! ") SAY(0, "FORBIDDEN-ALPHA "));
	cr_assert_eq(talk.order, ORDER_CUT);
	cr_assert_not(asks(true), "nobody wants to know any more");
	talk_conclude(&talk);
	cr_assert(out_is(STREAM SAY(0, "a ") FILTERED(0) DONE));
	talk_end(&talk);
}

TEST(question, heads_and_names_wait_too)
{
	struct question q;

	begin("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx: SUSPECT\r\n\r\n" SAY(0, "a"));
	cr_assert_eq(talk.len, 0);
	q = must_ask(false);
	tell(q.id, true);
	cr_assert_eq(talk.order, ORDER_CUT);
	talk_conclude(&talk);
	cr_assert(!memcmp(talk.out, "HTTP/1.1 200 OK\r\ncontent-type: application/json", 47), "a whole message");
	talk_end(&talk);
	begin(STREAM "event: SUSPECT\n" SAY(0, "a"));
	cr_assert(out_is(STREAM));
	q = must_ask(false);
	tell(q.id, false);
	cr_assert(out_is(STREAM "event: SUSPECT\n" SAY(0, "a")));
	talk_end(&talk);
}

/* A server does not wait for our friends: what comes meanwhile is left in the lane, and refused to nobody. */
TEST(question, a_flood_waits_in_the_lane)
{
	struct exchange_limits limits = { .event_max = 4096 };
	struct question q;
	size_t fed = 0;

	talk_begin(&talk, rules, &limits, SLICE(CHAT));
	talk_feed(&talk, SLICE(STREAM SAY(0, "SUSPECT! ")), false);
	q = must_ask(false);
	for (int i = 0; i < 1000; i++, fed += sizeof(SAY(0, "more and more")) - 1)
		talk_feed(&talk, SLICE(SAY(0, "more and more")), false);
	talk_feed(&talk, SLICE(FINISH(0) DONE), true);
	cr_assert_eq(talk.order, ORDER_PUMP);
	cr_assert(lane_held(&talk.down) <= limits.event_max);
	cr_assert(buf_len(&talk.down.buf) > fed);
	exchange_decide(talk.x, q.id, false);
	talk_feed(&talk, SLICE(""), true);
	cr_assert_eq(talk.order, ORDER_DONE);
	cr_assert_eq(talk.len, talk.fed);
	talk_end(&talk);
}

/* Many hits: one question takes in what follows it closely, and there are never more than so many. */
TEST(question, their_number_is_bounded)
{
	struct question q;
	size_t n = 0;

	begin(STREAM);
	for (int i = 0; i < 200 && talk.order == ORDER_PUMP; i++) {
		talk_feed(&talk, SLICE(SAY(0, "SUSPECT. ")), false);
		n += exchange_question(talk.x, false, &q);
	}
	cr_assert_eq(n, 64);
	cr_assert_eq(talk.order, ORDER_CUT, "the next one counts unasked");
	talk_end(&talk);
}

TEST(question, rules_that_do_not_ask_are_as_ever)
{
	EXPECT(CHAT, STREAM SAY(0, "a FORBIDDEN-ALPHA.") SAY(0, "SUSPECT"), "blocked none\n");
	cr_expect(says("t.sure content 0 at 2+15"));
}

/* ---- every cut ---- */

#define ANSWER                                                                                                         \
	STREAM SAY(0, "One SUS") SAY(0, "PECT thing. ") SAY(1, "可\\u7591 x") SAY(0, "\\u0053USPECT? Or ")             \
		SAY(0, "\\\\u0053USPECT") FINISH(0) FINISH(1) DONE

struct seen {
	size_t count;
	struct {
		uint64_t place; /* choice and offset */
		char text[160];
	} at[8];
};

static int by_place(const void *a, const void *b)
{
	uint64_t p = *(const uint64_t *)a, q = *(const uint64_t *)b;

	return p < q ? -1 : p > q;
}

/* Everything is told at once; the one at `counts` counts. What was asked, in order of place: which of two choices is
 * ripe first is a matter of how the answer came. */
static void run_cut(struct slice answer, size_t cut, uint64_t counts, struct seen *seen)
{
	struct question q;
	size_t at = 0;
	bool on = true;

	*seen = (struct seen){};
	talk_begin(&talk, rules, NULL, SLICE(CHAT));
	while (on && talk.order == ORDER_PUMP) {
		size_t step = cut == SIZE_MAX ? at < answer.len : at < cut ? cut - at : answer.len - at;

		on = at < answer.len;
		talk_feed(&talk, slice_of(answer.at + at, step), at + step == answer.len);
		at += step;
		while (talk.order == ORDER_PUMP && exchange_question(talk.x, false, &q)) {
			cr_assert(seen->count < ARRAY_LEN(seen->at));
			seen->at[seen->count].place = (uint64_t)q.choice << 32 | q.offset;
			snprintf(seen->at[seen->count].text, sizeof(seen->at[0].text), "%s %u [%.*s]", q.rule->id,
			         q.length, SLICE_ARG(q.text));
			exchange_decide(talk.x, q.id, seen->at[seen->count++].place == counts);
			talk_feed(&talk, SLICE(""), at == answer.len);
		}
	}
	talk_conclude(&talk);
	qsort(seen->at, seen->count, sizeof(seen->at[0]), by_place);
	cr_assert(coverage_holds(&exchange_report(talk.x)->coverage));
}

TEST(question, questions_and_answers_are_the_same_under_every_cut)
{
	static struct talk whole;
	struct slice answer = SLICE(ANSWER);
	struct seen all, seen;

	run_cut(answer, answer.len, UINT64_MAX, &all);
	talk_end(&talk);
	cr_assert_eq(all.count, 4);
	for (size_t which = 0; which <= all.count; which++) {
		uint64_t counts = which < all.count ? all.at[which].place : UINT64_MAX;

		run_cut(answer, answer.len, counts, &seen);
		whole = talk;
		EACH_CUT (at, answer.len) {
			run_cut(answer, at == answer.len ? SIZE_MAX : at, counts, &seen);
			cr_assert_eq(talk.order, whole.order, "%zu, cut at %zu", which, at);
			/* Never more; less, where another text was still held in front of it. */
			cr_assert(talk.released == whole.released ||
			                  (talk.order == ORDER_CUT && talk.released < whole.released),
			          "%zu, cut at %zu", which, at);
			cr_assert_arr_eq(talk.out, whole.out, talk.released);
			/* Of an answer that ends early, what was read behind that place depends on when it was said. */
			for (size_t i = 0; i < all.count && talk.order != ORDER_CUT; i++) {
				cr_assert_eq(seen.at[i].place, all.at[i].place);
				cr_assert_str_eq(seen.at[i].text, all.at[i].text, "%zu, cut at %zu", which, at);
			}
			talk_end(&talk);
		}
		talk_end(&whole);
	}
}

/* ---- what is kept of a hit that was asked about ---- */

static const struct evidence_text *kept(size_t i)
{
	const struct exchange_report *r = exchange_report(talk.x);

	cr_assert_gt(r->finding_count, i);
	return &r->findings[i].text;
}

static bool keeps(size_t i, const char *before, const char *match, const char *after)
{
	const struct evidence_text *t = kept(i);

	return t->at && t->generated && !t->missing && slice_is(slice_of(t->at, t->before), slice_str(before)) &&
	       slice_is(slice_of(t->at + t->before, t->match), slice_str(match)) &&
	       slice_is(slice_of(t->at + t->before + t->match, t->after), slice_str(after));
}

/* Fed so many bytes at a time; answered when it is asked, or when all has come. */
static void answered(const char *answer, size_t piece, bool late, bool counts)
{
	struct slice s = slice_str(answer);
	struct question q;

	talk_begin(&talk, rules, NULL, SLICE(CHAT));
	for (size_t at = 0; at < s.len; at += piece) {
		talk_feed(&talk, slice_of(s.at + at, at + piece < s.len ? piece : s.len - at), false);
		while (!late && exchange_question(talk.x, false, &q))
			tell(q.id, counts);
	}
	talk_feed(&talk, SLICE(""), true);
	while (exchange_question(talk.x, true, &q))
		tell(q.id, counts);
}

TEST(question, what_counts_is_kept_however_it_came)
{
	static const char answer[] = STREAM SAY(0, "It is a wea") SAY(0, "sel. ") SAY(0, "More, and much") FINISH(0)
		DONE;

	for (size_t piece = 1; piece < sizeof(answer); piece++)
		for (int late = 0; late < 2; late++) {
			answered(answer, piece, late, true);
			cr_assert(keeps(0, "It is a ", "weasel", "."), "%zu", piece);
			talk_end(&talk);
			answered(answer, piece, late, false);
			cr_assert_eq(exchange_report(talk.x)->finding_count, 0, "nothing is kept of what was nothing");
			talk_end(&talk);
		}
}

/* The text went on for long when the opinion came, and the excerpt with it. */
TEST(question, it_is_kept_when_the_opinion_is_late)
{
	static char answer[200000], before[512];
	struct question q;
	size_t n = (size_t)snprintf(answer, sizeof(answer), "%s", STREAM);

	for (int i = 0; i < 40; i++)
		snprintf(before + strlen(before), sizeof(before) - strlen(before), "%06d ", i);
	n += (size_t)snprintf(answer + n, sizeof(answer) - n,
	                      "data: {\"choices\":[{\"delta\":{\"content\":\"%sa badger! \"}}]}\n\n", before);
	for (int i = 0; i < 2000; i++)
		n += (size_t)snprintf(answer + n, sizeof(answer) - n,
		                      "data: {\"choices\":[{\"delta\":{\"content\":\"more and more \"}}]}\n\n");
	talk_begin(&talk, rules, NULL, SLICE(CHAT));
	talk_feed(&talk, slice_of((uint8_t *)answer, n), false);
	q = must_ask(false);
	tell(q.id, true);
	snprintf(before + strlen(before), sizeof(before) - strlen(before), "a ");
	cr_assert(keeps(0, before + strlen(before) - EVIDENCE_CONTEXT, "badger", "!"), "%.*s",
	          (int)(kept(0)->before + kept(0)->match + kept(0)->after), kept(0)->at);
	talk_end(&talk);
}

/* What may be the client's leaves no text, whoever says so. */
TEST(question, only_what_a_model_wrote_is_generated)
{
	answered(STREAM "data: {\"choices\":[],\"odd\":\"a badger.\"}\n\n" DONE, 1 << 20, false, true);
	cr_assert(kept(0)->at && !kept(0)->generated);
	talk_end(&talk);
	answered("HTTP/1.1 200 OK\r\nx-a: a badger.\r\ncontent-type: text/event-stream\r\n\r\n" DONE, 1 << 20, false,
	         true);
	cr_assert(kept(0)->at && !kept(0)->generated);
	talk_end(&talk);
}

/* Escapes of JSON in JSON are read by a twin, whose window it is then. */
TEST(question, kept_as_the_reader_sees_it)
{
	answered(STREAM TOOL("{\\\"a\\\": \\\"x bad") TOOL("\\\\u0067er y.\\\"}") FINISH(0) DONE, 7, false, true);
	cr_assert(kept(0)->generated && kept(0)->match == 6 && !memcmp(kept(0)->at + kept(0)->before, "badger", 6),
	          "%.*s", (int)kept(0)->match, kept(0)->at + kept(0)->before);
	talk_end(&talk);
}
