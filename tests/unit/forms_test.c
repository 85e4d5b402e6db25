/* SPDX-License-Identifier: Apache-2.0 */
/* forms_test.c - gap and pinyin of a rule, in whole answers under every cut; the words that come of them. */
#define TRANSCRIPT_PACK                                                                                                \
	"pack: t\nversion: \"2026.11.21\"\nrules:\n"                                                                   \
	"  - {id: f.gap, risk: A.1.h, action: block, gap: 2, keywords: [沙林毒气, sarin]}\n"                       \
	"  - {id: f.masked, risk: A.1.h, action: redact, gap: 1, keywords: [mole]}\n"                                  \
	"  - {id: f.pinyin, risk: A.1.h, action: block, pinyin: true, keywords: [禁语甲]}\n"                        \
	"  - {id: f.first, risk: A.1.h, action: block, pinyin: initials, keywords: [测试乙丙]}\n"                  \
	"  - {id: f.both, risk: A.1.h, action: block, gap: 1, pinyin: true, keywords: [毒物丁]}\n"                  \
	"  - {id: f.except, risk: A.1.h, action: block, gap: 1, keywords: [weasel], except: [weasel words]}\n"         \
	"  - {id: f.near, risk: A.1.h, action: block, pinyin: true, keywords: [secret], "                              \
	"near: {words: [配方], within: 12}}\n"                                                                       \
	"  - {id: f.all, risk: A.1.h, action: block, gap: 1, pinyin: true, "                                           \
	"all_of: {words: [引信, 火药], within: 24}}\n"                                                             \
	"  - {id: f.split, risk: A.1.h, action: block, split: true, keywords: [禁枪令]}\n"                          \
	"  - {id: f.parts, risk: A.1.h, action: block, gap: 1, split: true, keywords: [炸弹丁]}\n"
#define TRANSCRIPT_SUITE forms
#include "tests/lib/transcript.h"

#include "base/own.h"

TEST(forms, a_gap_over_events)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "no: ") SAY(0, "沙 林") SAY(0, "。*") SAY(0, "毒-气") SAY(0, "."), BLOCKED,
	           STREAM SAY(0, "no: "), FILTERED(0) DONE);
	cr_expect(says("f.gap content 0 at 4+8"), "%s", first.log);
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "沙林") SAY(0, "***") SAY(0, "毒气") FINISH(0), "cleared none\n");
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "s-a.r") SAY(0, " i*ns") FINISH(0), "cleared none\n");
}

/* The mask covers the noise too, and not a byte more. */
TEST(forms, a_gap_is_masked)
{
	EXPECT_MASKED(CHAT, STREAM SAY(0, "a «m-o") SAY(0, " l.e» so") FINISH(0),
	              STREAM SAY(0, "a «***") SAY(0, "****» so") FINISH(0));
}

TEST(forms, pinyin)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "jinyu") SAY(0, "jia") SAY(0, "."), BLOCKED, STREAM SAY(0, "so "),
	           FILTERED(0) DONE);
	cr_expect(says("f.pinyin content 0 at 3+8"), "%s", first.log);
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "Jin Yu J") SAY(0, "iǎ.") SAY(0, "."), BLOCKED,
	           STREAM SAY(0, "so "), FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "禁語") SAY(0, "甲"), BLOCKED, STREAM SAY(0, "so "),
	           FILTERED(0) DONE);
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "xjinyujia jinyujian jyj jin-yu-jia") FINISH(0), "cleared none\n");
}

TEST(forms, initials)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "csyb") SAY(0, "."), BLOCKED, STREAM SAY(0, "so "),
	           FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "ceshiyibing") SAY(0, "."), BLOCKED, STREAM SAY(0, "so "),
	           FILTERED(0) DONE);
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "csybs") FINISH(0), "cleared none\n");
}

TEST(forms, in_parts)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "禁木") SAY(0, "仓令."), BLOCKED, STREAM SAY(0, "so "),
	           FILTERED(0) DONE);
	cr_expect(says("f.split content 0 at 3+4"), "%s", first.log);
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "禁木") SAY(0, "倉令."), BLOCKED, STREAM SAY(0, "so "),
	           FILTERED(0) DONE);
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "火-乍弓") SAY(0, " 单丁."), BLOCKED, STREAM SAY(0, "so "),
	           FILTERED(0) DONE);
	EXPECT(CHAT, STREAM SAY(0, "so ") SAY(0, "炸弓單丁.") SAY(0, "x"), BLOCKED);
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "禁木仓") SAY(0, "木仓令") FINISH(0), "cleared none\n");
}

TEST(forms, with_a_gap)
{
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "d.u wu") SAY(0, "-ding."), BLOCKED, STREAM SAY(0, "so "),
	           FILTERED(0) DONE);
	cr_expect(says("f.both content 0 at 3+11"), "%s", first.log);
	/* An exception is meant as it is written. */
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "weasel") SAY(0, " words") FINISH(0), "cleared none\n");
	EXPECT_CUT(CHAT, STREAM SAY(0, "so ") SAY(0, "wea.sel w") SAY(0, "ords"), BLOCKED, STREAM SAY(0, "so "),
	           FILTERED(0) DONE);
	EXPECT(CHAT, STREAM SAY(0, "the secret ") SAY(0, "pei fang ") SAY(0, "x"), BLOCKED);
	EXPECT(CHAT, STREAM SAY(0, "引-信 ") SAY(0, "and huo yao ") SAY(0, "x"), BLOCKED);
	/* Two forms of one word are one word. */
	EXPECT_WHOLE(CHAT, STREAM SAY(0, "引信 and yinxin ") SAY(0, "x") FINISH(0), "cleared none\n");
}

TEST(forms, forms_are_no_keywords)
{
	cr_expect_eq(ruleset_packs(rules), 1);
	cr_expect_eq(ruleset_pack_at(rules, 0)->day, 1795219200); /* 2026-11-21 */
	cr_expect_eq(ruleset_pack_at(rules, 0)->rules, 10);
	for (size_t i = 0; i < ruleset_rules(rules); i++) {
		const struct rule *rule = ruleset_rule_at(rules, i);

		cr_expect_eq(rule->keywords, !strcmp(rule->id, "f.all") ? 0 : !strcmp(rule->id, "f.gap") ? 2 : 1);
	}
	/* gap 3, masked 1, pinyin 3, first 4, both 2, except 2, near 1 + 3, all 4: with a gap no spaced form; split 2,
	 * parts 4: of two characters one, the other and both. */
	cr_expect_eq(ruleset_needles(rules), 2 + 1 + 3 + 4 + 2 + 2 + 4 + 4 + 2 + 4);
}
