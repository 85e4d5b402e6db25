/* SPDX-License-Identifier: Apache-2.0 */
/* shipped_test.c - the packs that come with the software find what they say, and nothing in what they say they do not.
 */
#include "tests/lib/test.h"

#include "base/own.h"
#include "policy/policy.h"
#include "policy/taxonomy.h"
#include "tests/lib/talk.h"

static int count_rule(void *to, const struct sight *s)
{
	const struct rule **rule = to;

	if (*rule == s->rule)
		*rule = NULL;
	return 0;
}

/* Does the rule find anything in the text, in pieces of `step`? */
static bool finds(const struct ruleset *r, const struct rule *rule, struct slice text, size_t step)
{
	struct scope anywhere = {};
	struct lookout w = {};

	for (size_t at = 0; at < text.len; at += step)
		cr_assert_eq(lookout_feed(r, &anywhere, &w,
		                          slice_of(text.at + at, text.len - at < step ? text.len - at : step),
		                          count_rule, &rule),
		             0);
	cr_assert_eq(lookout_end(r, &anywhere, &w, count_rule, &rule), 0);
	lookout_free(&w);
	return !rule;
}

TEST(shipped, examples)
{
	owned(policy_report_free) struct policy_report report = { 0 };
	owned(ruleset_put) struct ruleset *r = NULL;

	cr_assert_eq(ruleset_load(&r, "packaging/policy.d", &report), 0, "%s", report.text ? report.text : "");
	for (size_t i = 0; i < ruleset_rules(r); i++) {
		const struct rule *rule = ruleset_rule_at(r, i);

		cr_expect(!rule->has_pattern || (rule->hit_count && rule->miss_count), "%s has no examples", rule->id);
		for (size_t step = 1; step < 100; step += 7) {
			for (size_t k = 0; k < rule->hit_count; k++)
				cr_expect(finds(r, rule, rule->examples_hit[k], step), "%s: %.*s", rule->id,
				          SLICE_ARG(rule->examples_hit[k]));
			for (size_t k = 0; k < rule->miss_count; k++)
				cr_expect_not(finds(r, rule, rule->examples_miss[k], step), "%s: %.*s", rule->id,
				              SLICE_ARG(rule->examples_miss[k]));
		}
	}
}

/* A template is its risk's, is refused while it is empty, and is good with a word. */
TEST(shipped, templates)
{
	for (size_t i = 0; i < TAXONOMY_COUNT; i++) {
		owned(ruleset_put) struct ruleset *empty = NULL, *filled = NULL;
		char path[64], text[4096], *words;
		size_t n;
		FILE *f;

		snprintf(path, sizeof(path), "packaging/templates/%s.yaml", taxonomy[i].clause);
		f = fopen(path, "re");
		cr_assert_not_null(f, "%s", path);
		n = fread(text, 1, sizeof(text) - 1, f);
		text[n] = '\0';
		fclose(f);
		cr_expect(strstr(text, taxonomy[i].zh) && strstr(text, taxonomy[i].en), "%s", path);
		empty = talk_rules(text);
		cr_expect_null(empty);
		words = strstr(text, "keywords: []");
		cr_assert_not_null(words);
		memmove(words + 13, words + 12, strlen(words + 12) + 1);
		memcpy(words, "keywords: [x]", 13);
		filled = talk_rules(text);
		cr_assert_not_null(filled, "%s", path);
		cr_expect_eq(ruleset_rule_at(filled, 0)->risk_ids[0], taxonomy[i].number);
	}
}
