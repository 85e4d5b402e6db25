/* SPDX-License-Identifier: Apache-2.0 */
/* rules_test.c - what rules come to in whole answers: patterns, conditions, actions and scopes, under every cut. */
#include "tests/lib/transcript.h"

#define PACK                                                                                                           \
	"pack: t\nrules:\n"                                                                                            \
	"  - {id: r.id, risk: A.4.f, action: block, pattern: '(?<![0-9])[1-9][0-9]{16}[0-9Xx](?![0-9])', "             \
	"check: cn-resident-id}\n"                                                                                     \
	"  - {id: r.phone, risk: A.4.f, action: redact, pattern: '(?<![0-9])1[3-9][0-9]{9}(?![0-9])', "                \
	"check: cn-mobile}\n"                                                                                          \
	"  - {id: r.card, risk: A.4.f, action: flag, pattern: '(?<![0-9])[3-6][0-9]{15}(?![0-9])', check: luhn}\n"     \
	"  - {id: r.mail, risk: A.4.f, action: flag, pattern: '(?<![a-z])[a-z]{1,9}@[a-z]{2,9}(?![a-z])'}\n"           \
	"  - {id: r.shadow, risk: A.1.h, action: shadow, keywords: [quietly]}\n"                                       \
	"  - {id: r.except, risk: A.1.h, action: block, keywords: [weasel], except: [weasel words]}\n"                 \
	"  - {id: r.near, risk: A.1.h, action: block, keywords: [secret], near: {words: [sauce], within: 8}}\n"        \
	"  - {id: r.all, risk: A.1.h, action: block, all_of: {words: [fuse, powder], within: 20}}\n"                   \
	"  - {id: r.mole, risk: A.1.h, action: redact, keywords: [mole], near: {words: [here], within: 8}}\n"          \
	"  - {id: r.vole, risk: A.1.h, action: redact, keywords: [vole], except: [vole hill]}\n"                       \
	"  - {id: r.model, risk: A.1.h, action: block, models: [big-*], keywords: [modelled]}\n"                       \
	"  - {id: r.service, risk: A.1.h, action: block, services: kitchen, keywords: [served]}\n"                     \
	"  - {id: r.dated, risk: A.1.h, action: block, valid_from: 2026-02-01, valid_until: 2026-02-28, "              \
	"keywords: [dated]}\n"

static void with_pack(void)
{
	setup();
	ruleset_put(&rules);
	rules = talk_rules(PACK);
	cr_assert_not_null(rules);
}

TestSuite(rules, .init = with_pack, .fini = teardown);

TEST(rules, a_pattern_over_events)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "no: ") SAY(0, "11010519") SAY(0, "491231002") SAY(0, "X") SAY(0, "."), BLOCKED,
	           STREAM SAY(0, "no: "), FILTERED(0) DONE);
	cr_expect(says("r.id content 0 at 4+18"));
	/* At the end of the text no digit follows. */
	EXPECT_CUT(CHAT, STREAM SAY(0, "no: ") SAY(0, "11010519491231002X") FINISH(0) DONE, BLOCKED,
	           STREAM SAY(0, "no: "), FILTERED(0) DONE);
	/* A number of that form, and the check says no; one that is longer. */
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "no: ") SAY(0, "110105194912310021") SAY(0, ".") FINISH(0), "cleared none\n");
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "11010519491231002") SAY(0, "X") SAY(0, "1") FINISH(0), "cleared none\n");
	cr_expect(says("hold 18"));
	EXPECT_CUT(CHAT, JSON "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"11010519491231002X\"}}]}", BLOCKED,
	           "",
	           "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 176\r\n"
	           "connection: close\r\n\r\n{\"id\":\"\",\"object\":\"chat.completion\",\"created\":0,"
	           "\"model\":\"\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\"},"
	           "\"logprobs\":null,\"finish_reason\":\"content_filter\"}]}");
}

TEST(rules, a_pattern_without_its_escapes)
{
	EXPECT_CUT(CHAT, STREAM TOOL("{\\\"a\\\":\\\"\\\\u0031101051949") TOOL("1231002X\\\"}") TOOL(" "), BLOCKED,
	           STREAM, FILTERED(0) DONE);
	cr_expect(says("r.id tool_arguments"));
}

TEST(rules, what_only_counts_is_not_held)
{
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "4111") SAY(0, "111111111111") SAY(0, " ") FINISH(0), "flagged none\n");
	cr_expect(says("r.card content 0 at 0+16"));
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "zz") SAY(0, "zz@x") SAY(0, "xx") SAY(0, ".") FINISH(0), "flagged none\n");
	cr_expect(says("r.mail content 0 at 0+8"));
	cr_expect(says("hold 0"));
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "quietly") FINISH(0), "shadowed none\n");
	cr_expect(says("r.shadow content 0 at 0+7"));
}

TEST(rules, a_pattern_is_masked)
{
	EXPECT_MASKED(CHAT, STREAM SAY(0, "call ") SAY(0, "138") SAY(0, "00138000") SAY(0, " now"),
	              STREAM SAY(0, "call ") SAY(0, "***") SAY(0, "********") SAY(0, " now"));
	cr_expect(says("r.phone content 0 at 5+11"), "%s", first.log);
	/* At the end of the text no digit follows; one digit more, and it is no such number. */
	EXPECT_MASKED(CHAT, STREAM SAY(0, "a ") SAY(0, "13800138000") FINISH(0) DONE,
	              STREAM SAY(0, "a ") SAY(0, "***********") FINISH(0) DONE);
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "a 1380013800") SAY(0, "0") SAY(0, "1") FINISH(0) DONE, "cleared none\n");
	/* Several, in events that differ in their words alone, escaped, and two in one. */
	EXPECT_MASKED(CHAT,
	              STREAM SAY(0, "so") SAY(0, " 赵 1380") SAY(0, "0138000 ") SAY(0, "and") SAY(0, " 13800138000")
	                      SAY(0, ", 13800138000, \\u00313800138000.") SAY(0, "end"),
	              STREAM SAY(0, "so") SAY(0, " 赵 ****") SAY(0, "******* ") SAY(0, "and") SAY(0, " ***********")
	                      SAY(0, ", ***********, \\u002a**********.") SAY(0, "end"));
	EXPECT_MASKED(CHAT, STREAM TOOL("{\\\"a\\\":\\\"13800138000\\\"}") TOOL(" "),
	              STREAM TOOL("{\\\"a\\\":\\\"***********\\\"}") TOOL(" "));
}

TEST(rules, conditions_decide_what_is_masked)
{
	EXPECT_MASKED(CHAT, STREAM SAY(0, "the ") SAY(0, "mole") SAY(0, " hid ") SAY(0, "here") SAY(0, "!"),
	              STREAM SAY(0, "the ") SAY(0, "****") SAY(0, " hid ") SAY(0, "here") SAY(0, "!"));
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "the ") SAY(0, "mole") SAY(0, " hid far from ") SAY(0, "here") FINISH(0),
	             "cleared none\n");
	EXPECT_MASKED(CHAT, STREAM SAY(0, "a vole") SAY(0, " is") SAY(0, " a vole") SAY(0, " hill") FINISH(0),
	              STREAM SAY(0, "a ****") SAY(0, " is") SAY(0, " a vole") SAY(0, " hill") FINISH(0));
}

/* A name is not masked. */
TEST(rules, what_cannot_be_masked_ends)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "call ") "data: {\"model\":\"13800138000\",\"choices\":[]}\n\n", BLOCKED,
	           STREAM SAY(0, "call "), FILTERED(0) DONE);
}

TEST(rules, exceptions_wait_until_they_are_decided)
{
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "a wea") SAY(0, "sel w") SAY(0, "ords") SAY(0, " b") FINISH(0),
	             "cleared none\n");
	EXPECT_CUT(CHAT, STREAM SAY(0, "a ") SAY(0, "weasel") SAY(0, " w") SAY(0, "ork"), BLOCKED, STREAM SAY(0, "a "),
	           FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM SAY(0, "a ") SAY(0, "weasel word") FINISH(0), BLOCKED, STREAM SAY(0, "a "),
	           FILTERED(0) DONE);
}

TEST(rules, near)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "the ") SAY(0, "secret") SAY(0, " of a ") SAY(0, "sauce") SAY(0, "!"), BLOCKED,
	           STREAM SAY(0, "the "), FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM SAY(0, "a sauce ") SAY(0, "is secret") SAY(0, "!"), BLOCKED, STREAM SAY(0, "a sauce "),
	           FILTERED(0) DONE);
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "the ") SAY(0, "secret") SAY(0, " of every ") SAY(0, "sauce") FINISH(0),
	             "cleared none\n");
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "the secret") FINISH(0), "cleared none\n");
}

TEST(rules, all_of)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "a ") SAY(0, "fuse") SAY(0, ", some ") SAY(0, "powder") SAY(0, "."), BLOCKED,
	           STREAM SAY(0, "a "), FILTERED(0) DONE);
	cr_expect(says("r.all content 0 at 2+17"));
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "a fuse") SAY(0, ", something else, ") SAY(0, "powder") FINISH(0),
	             "cleared none\n");
}

#define ASKED(model)                                                                                                   \
	"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 18\r\n\r\n{\"model\":\"" model "\"}    "

TEST(rules, models)
{
	EXPECT(ASKED("big-1"), STREAM SAY(0, "modelled") FINISH(0), BLOCKED);
	EXPECT(ASKED("bigge"), STREAM SAY(0, "modelled") FINISH(0), "cleared none\n");
	/* Not known: the rule counts. */
	EXPECT(CHAT, STREAM SAY(0, "modelled") FINISH(0), BLOCKED);
}

#define MODEL(model, text)                                                                                             \
	"data: {\"model\":\"" model "\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define MODEL_LATE(model, text)                                                                                        \
	"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}],\"model\":\"" model "\"}\n\n"

/* A client does not choose its rules by what it asks for. */
TEST(rules, the_model_that_answers)
{
	EXPECT(ASKED("small"), STREAM MODEL("big-1", "modelled") FINISH(0), BLOCKED);
	EXPECT(ASKED("small"), STREAM MODEL("big-1", "") MODEL("big-1", "modelled") FINISH(0), BLOCKED);
	EXPECT(ASKED("small"), STREAM MODEL_LATE("big-1", "") MODEL_LATE("big-1", "modelled") FINISH(0), BLOCKED);
	EXPECT(ASKED("big-1"), STREAM MODEL("small", "modelled") FINISH(0), BLOCKED);
	EXPECT(ASKED("small"), STREAM MODEL("small", "modelled") FINISH(0), "cleared none\n");
	EXPECT(ASKED("small"), STREAM MODEL("other", "modelled") FINISH(0), "cleared none\n");
	/* Which one it is is not clear. */
	EXPECT(ASKED("small"), STREAM MODEL("one", "") MODEL("two", "modelled") FINISH(0), BLOCKED);
	/* Too late for what was read already. */
	EXPECT_CUT(ASKED("small"), STREAM MODEL_LATE("big-1", "modelled so") FINISH(0), "exception model_named_late\n",
	           STREAM,
	           WITHHELD("the answer names another model than the request, behind its first words",
	                    "model_named_late"));
	EXPECT(ASKED("small"), STREAM MODEL_LATE("tiny", "modelled") FINISH(0), "cleared none\n");
	/* Two models in one request: servers differ on which of them counts. */
	EXPECT("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 33\r\n\r\n"
	       "{\"model\":\"small\",\"model\":\"big\"}",
	       STREAM SAY(0, "modelled") FINISH(0), BLOCKED);
}

TEST(rules, services_and_dates)
{
	static const struct {
		const char *service, *text, *verdict;
		int64_t now;
	} cases[] = {
		{ "kitchen", "served", BLOCKED, 0 },
		{ "cellar", "served", "cleared none\n", 0 },
		{ NULL, "served", BLOCKED, 0 },
		{ NULL, "dated", BLOCKED, 0 },
		{ NULL, "dated", "cleared none\n", 1769903999 },
		{ NULL, "dated", BLOCKED, 1769904000 },
		{ NULL, "dated", BLOCKED, 1772323199 },
		{ NULL, "dated", "cleared none\n", 1772323200 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct exchange_limits limits = { .service = cases[i].service, .now = cases[i].now };
		char answer[256];

		snprintf(answer, sizeof(answer), PLAIN "%s", cases[i].text);
		every_cut(ANY, slice_str(answer), &limits);
		cr_expect(begins(cases[i].verdict), "case %zu\n%s", i, first.log);
	}
}
