/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judging_test.c - answers to rules that ask a classifier, as transcripts: what goes out when, where the answer ends,
 * and what is said of it. Each answer is given whole, cut in two at every place, and byte by byte.
 */
#include "tests/lib/judge_craft.h"

#define TRANSCRIPT_PACK                                                                                                \
	"pack: t\nversion: \"1\"\nrules:\n"                                                                            \
	"  - {id: j.sentence, risk: local.bad, action: block, services: sentence,\n"                                   \
	"     classifier: {model: m.model, threshold: 0.9}}\n"                                                         \
	"  - {id: j.now, risk: local.bad, action: block, services: now,\n"                                             \
	"     classifier: {model: m.model, threshold: 0.9, window: answer, hold: none}}\n"                             \
	"  - {id: j.answer, risk: local.bad, action: block, services: answer,\n"                                       \
	"     classifier: {model: m.model, threshold: 0.9, window: answer, hold: answer}}\n"                           \
	"  - {id: j.any, risk: local.bad, action: block, services: any,\n"                                             \
	"     classifier: {model: m.model, threshold: 0.9, hold: answer}}\n"                                           \
	"  - {id: j.shadow, risk: local.bad, action: shadow, services: shadow,\n"                                      \
	"     classifier: {model: m.model, threshold: 0.9}}\n"                                                         \
	"  - {id: w.suspect, risk: local.bad, action: block, services: words, keywords: [certain], suspect: "          \
	"[maybe],\n"                                                                                                   \
	"     classifier: {model: m.model, threshold: 0.9}}\n"                                                         \
	"  - {id: w.unless, risk: local.bad, action: block, services: words, keywords: [unless],\n"                    \
	"     classifier: {model: m.model, except_below: 0.1}}\n"                                                      \
	"  - {id: w.loose, risk: local.bad, action: block, services: loose, suspect: [maybe],\n"                       \
	"     classifier: {model: m.model, threshold: 0.9, hold: none}}\n"                                             \
	"  - {id: w.mask, risk: local.bad, action: redact, services: mask, suspect: [maybe],\n"                        \
	"     classifier: {model: m.model, threshold: 0.9}}\n"
#define TRANSCRIPT_MODEL judge_craft
#define TRANSCRIPT_SUITE judging
#include "tests/lib/transcript.h"

/* The answer of a service, whose rules are those for it. */
#define GIVEN(of, answer, line)                                                                                        \
	do {                                                                                                           \
		every_cut(CHAT, SLICE(answer), &(struct exchange_limits){ .service = #of });                           \
		cr_expect(begins(line), "%s\n%s", answer, first.log);                                                  \
	} while (0)

#define GIVEN_CUT(of, answer, line, part, refusal)                                                                     \
	do {                                                                                                           \
		GIVEN(of, answer, line);                                                                               \
		cr_expect_eq(first.talk.released, sizeof(part) - 1, "%.*s", (int)first.talk.released, first.talk.out); \
		first.talk.out[first.talk.len] = '\0';                                                                 \
		cr_expect_str_eq((char *)first.talk.out + first.talk.released, refusal);                               \
	} while (0)

#define GIVEN_WHOLE(of, answer, line)                                                                                  \
	do {                                                                                                           \
		GIVEN(of, answer, line);                                                                               \
		cr_expect_eq(first.talk.released, sizeof(answer) - 1, "%s\n%s", answer, first.log);                    \
		cr_expect_eq(first.talk.len, sizeof(answer) - 1);                                                      \
	} while (0)

#define SAID(text) cr_expect(says(text), "%s", first.log)

TEST(judging, a_sentence_goes_out_once_it_was_judged)
{
	GIVEN_WHOLE(sentence, STREAM SAY(0, "今天") SAY(0, "很好。") SAY(0, "明天") FINISH(0) DONE, "cleared none\n");
	GIVEN_CUT(sentence, STREAM SAY(0, "今天") SAY(0, "很好。") SAY(0, "坏") SAY(0, "坏。") SAY(0, "好") FINISH(0),
	          BLOCKED, STREAM SAY(0, "今天") SAY(0, "很好。"), FILTERED(0) DONE);
	SAID("j.sentence content 0 at 5+3 in unit");
	SAID("judged 1.00, 0 out");
	/* A sentence that ends in the middle of an event: the event waits for the next one. */
	GIVEN_CUT(sentence, STREAM SAY(0, "今天") SAY(0, "很好。坏") SAY(0, "坏。") SAY(0, "好") FINISH(0), BLOCKED,
	          STREAM SAY(0, "今天"), FILTERED(0) DONE);
	/* A sentence that ends with the answer. */
	GIVEN_CUT(sentence, STREAM SAY(0, "今天。") SAY(0, "坏坏") FINISH(0) DONE, BLOCKED, STREAM SAY(0, "今天。"),
	          FILTERED(0) DONE);
	GIVEN_CUT(sentence, STREAM SAY(0, "今天。") SAY(0, "坏坏"), BLOCKED, STREAM SAY(0, "今天。"), FILTERED(0) DONE);
	/* What follows makes it harmless. */
	GIVEN_WHOLE(sentence, STREAM SAY(0, "坏坏") SAY(0, "好好好。") FINISH(0) DONE, "cleared none\n");
}

TEST(judging, nothing_waits_between_sentences)
{
	GIVEN_CUT(sentence, STREAM SAY(0, "今天。") SAY(0, " ") SAY(0, "\\n") SAY(0, "\u200b") SAY(0, "坏坏。"),
	          BLOCKED, STREAM SAY(0, "今天。") SAY(0, " ") SAY(0, "\\n") SAY(0, "\u200b"), FILTERED(0) DONE);
}

TEST(judging, what_holds_nothing_cuts_where_the_score_passes)
{
	GIVEN_CUT(now, STREAM SAY(0, "今天我们都") SAY(0, "坏") SAY(0, "坏") SAY(0, "好") FINISH(0), BLOCKED,
	          STREAM SAY(0, "今天我们都") SAY(0, "坏") SAY(0, "坏"), FILTERED(0) DONE);
	SAID("j.now content 0 at 0+8 in unit");
	SAID("judged 0.95, 7 out");
	/* Not before so many characters that there is something to judge, but at the end of a sentence. */
	GIVEN_CUT(now, STREAM SAY(0, "坏") SAY(0, "坏") SAY(0, "。") SAY(0, "好") FINISH(0), BLOCKED,
	          STREAM SAY(0, "坏") SAY(0, "坏"), FILTERED(0) DONE);
	SAID("j.now content 0 at 0+3 in unit");
	SAID("2 out");
	GIVEN_CUT(now, STREAM SAY(0, "坏坏") FINISH(0) DONE, BLOCKED, STREAM SAY(0, "坏坏"), FILTERED(0) DONE);
}

TEST(judging, a_whole_answer_waits)
{
	GIVEN_WHOLE(answer, STREAM SAY(0, "坏坏。") SAY(0, "好好。") SAY(0, "好好。") FINISH(0) DONE, "cleared none\n");
	GIVEN_CUT(answer, STREAM SAY(0, "今天。") SAY(0, "好。") SAY(0, "坏坏坏坏。") SAY(0, "好") FINISH(0) DONE,
	          BLOCKED, STREAM, FILTERED(0) DONE);
	SAID("j.answer content 0 at 0+11 in unit");
	GIVEN_CUT(any, STREAM SAY(0, "今天。") SAY(0, "好。") SAY(0, "坏。") SAY(0, "好好好好") FINISH(0) DONE, BLOCKED,
	          STREAM, FILTERED(0) DONE);
	SAID("j.any content 0 at 5+2 in unit");
	/* Another choice goes by itself; order is kept. */
	GIVEN_CUT(answer, STREAM SAY(1, "坏坏坏") SAY(0, "好") FINISH(0) FINISH(1), BLOCKED, STREAM,
	          FILTERED(1) FILTERED(0) DONE);
}

TEST(judging, shadow_changes_nothing)
{
	GIVEN_WHOLE(shadow, STREAM SAY(0, "今天。") SAY(0, "坏坏。") SAY(0, "坏。") SAY(0, "好。") FINISH(0) DONE,
	            "shadowed none\n");
	SAID("j.shadow content 0 at 3+3 in unit");
	SAID("1 more, judged 1.00, 0 out");
	SAID(" hold 0 ");
}

TEST(judging, suspect_words_wait_for_the_judge)
{
	GIVEN_CUT(words, STREAM SAY(0, "a ") SAY(0, "maybe") SAY(0, " 坏坏") SAY(0, "。") SAY(0, "b") FINISH(0),
	          BLOCKED, STREAM SAY(0, "a "), FILTERED(0) DONE);
	SAID("w.suspect content 0 at 2+5 in unit");
	GIVEN_WHOLE(words,
	            STREAM SAY(0, "a ") SAY(0, "maybe") SAY(0, " 好") SAY(0, "。") SAY(0, "坏坏。") FINISH(0) DONE,
	            "cleared none\n");
	/* The words of another sentence do not count, and those that are certain ask nobody. */
	GIVEN_WHOLE(words, STREAM SAY(0, "maybe 好。坏坏。") FINISH(0) DONE, "cleared none\n");
	GIVEN_CUT(words, STREAM SAY(0, "a ") SAY(0, "certain 好") SAY(0, "。") FINISH(0), BLOCKED, STREAM SAY(0, "a "),
	          FILTERED(0) DONE);
	/* It ends with the answer. */
	GIVEN_CUT(words, STREAM SAY(0, "坏 ") SAY(0, "maybe") FINISH(0) DONE, BLOCKED, STREAM SAY(0, "坏 "),
	          FILTERED(0) DONE);
}

TEST(judging, a_low_score_excepts)
{
	GIVEN_WHOLE(words, STREAM SAY(0, "a ") SAY(0, "unless") SAY(0, " 好") SAY(0, "。") FINISH(0) DONE,
	            "cleared none\n");
	GIVEN_CUT(words, STREAM SAY(0, "a ") SAY(0, "unless") SAY(0, " x") SAY(0, "。") FINISH(0) DONE, BLOCKED,
	          STREAM SAY(0, "a "), FILTERED(0) DONE);
}

TEST(judging, words_may_go_out_while_they_wait)
{
	GIVEN_CUT(loose, STREAM SAY(0, "a ") SAY(0, "maybe ") SAY(0, "坏坏") SAY(0, "。") SAY(0, "b") FINISH(0),
	          BLOCKED, STREAM SAY(0, "a ") SAY(0, "maybe ") SAY(0, "坏坏"), FILTERED(0) DONE);
	SAID("w.loose content 0 at 2+5 in unit");
	SAID("5 out");
}

TEST(judging, suspect_words_are_masked)
{
	static const char answer[] = STREAM SAY(0, "a may") SAY(0, "be 坏坏") SAY(0, "。maybe 好") FINISH(0) DONE;

	every_cut(CHAT, SLICE(answer), &(struct exchange_limits){ .service = "mask" });
	cr_expect(begins(REDACTED), "%s", first.log);
	first.talk.out[first.talk.len] = '\0';
	cr_expect_str_eq((char *)first.talk.out,
	                 STREAM SAY(0, "a ***") SAY(0, "** 坏坏") SAY(0, "。maybe 好") FINISH(0) DONE);
}

/* ---- where text meets the judge ---- */

TEST(judging, every_dialect)
{
	GIVEN(sentence, JSON "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"今天。坏坏。\"}}]}", BLOCKED);
	GIVEN(sentence, JSON "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"今天。好好。\"}}]}",
	      "cleared none\n");
	GIVEN(sentence, STREAM TOOL("{\\\"a\\\":\\\"\\\\u574f坏。") TOOL("\\\"}"), BLOCKED);
	every_cut(ANY, SLICE(JSON "{\"some\":[{\"words\":\"坏坏。\"}]}"),
	          &(struct exchange_limits){ .service = "sentence" });
	cr_expect(begins(BLOCKED), "%s", first.log);
	every_cut(ANY, SLICE(PLAIN "今天。坏坏"), &(struct exchange_limits){ .service = "sentence" });
	cr_expect(begins(BLOCKED), "%s", first.log);
	every_cut(ANY, SLICE(STREAM "data: {\"t\":\"坏\"}\n\ndata: {\"t\":\"坏。\"}\n\n"),
	          &(struct exchange_limits){ .service = "sentence" });
	cr_expect(begins(BLOCKED), "%s", first.log);
}

/* An API's own strings are judged one by one and make nothing wait; its names are not. */
TEST(judging, strings_beside_the_words)
{
#define BESIDE(text) "data: {\"beside\":\"" text "\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n"
	GIVEN_WHOLE(shadow, STREAM BESIDE("坏") BESIDE("好") DONE, "shadowed none\n");
	GIVEN_CUT(sentence, STREAM BESIDE("一") BESIDE("坏坏") DONE, BLOCKED, STREAM, FILTERED(0) DONE);
	GIVEN(shadow, STREAM "data: {\"id\":\"坏坏\",\"choices\":[]}\n\n" DONE, "cleared none\n");
}

/* ---- bounds ---- */

/* What is held has an end, which has a name. */
TEST(judging, held_text_is_bounded)
{
	static char answer[1 << 16];
	struct exchange_limits limits = { .service = "answer", .event_max = 8192 };
	size_t n = (size_t)sprintf(answer, "%s", STREAM);

	while (n < sizeof(answer) - 200)
		n += (size_t)sprintf(answer + n, "%s", SAY(0, "今天很好。"));
	run(&first, CHAT, slice_of(answer, n), n, &limits);
	cr_expect(begins("exception held_too_large\n"), "%s", first.log);
	cr_expect_eq(first.talk.released, sizeof(STREAM) - 1);
	limits.service = "sentence";
	run(&first, CHAT, slice_of(answer, n), n, &limits);
	cr_expect(begins("cleared none\n"), "%s", first.log);
	cr_expect_eq(first.talk.released, n);
}
