/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interpreted_test.c - patterns where no memory may be written and run, as the unit has it: PCRE2 interprets them, that
 * is known, and they find the same.
 */
#include "tests/lib/test.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "policy/policy.h"
#include "tests/lib/talk.h"

#define FOUND_MAX 4096

struct found {
	size_t n;
	struct {
		char rule[48];
		uint64_t from, to;
	} at[FOUND_MAX];
};

static struct ruleset *shipped(void)
{
	owned(policy_report_free) struct policy_report report = { 0 };
	struct ruleset *r = NULL;

	cr_assert_eq(ruleset_load(&r, "packaging/policy.d", &report), 0, "%s", report.text ? report.text : "");
	return r;
}

static int keep(void *to, const struct sight *s)
{
	struct found *f = to;

	cr_assert_lt(f->n, FOUND_MAX);
	snprintf(f->at[f->n].rule, sizeof(f->at[0].rule), "%s", s->rule->id);
	f->at[f->n].from = s->from;
	f->at[f->n++].to = s->to;
	return 0;
}

/* What is found in every example of every rule, in pieces of seven bytes. */
static void find_all(const struct ruleset *r, struct found *to)
{
	struct scope anywhere = {};

	for (size_t i = 0; i < ruleset_rules(r); i++) {
		const struct rule *rule = ruleset_rule_at(r, i);

		for (size_t k = 0; k < rule->hit_count + rule->miss_count; k++) {
			struct slice text = k < rule->hit_count ? rule->examples_hit[k]
			                                        : rule->examples_miss[k - rule->hit_count];
			struct lookout w = {};

			for (size_t at = 0; at < text.len; at += 7)
				cr_assert_eq(lookout_feed(r, &anywhere, &w,
				                          slice_of(text.at + at, text.len - at < 7 ? text.len - at : 7),
				                          keep, to),
				             0);
			cr_assert_eq(lookout_end(r, &anywhere, &w, keep, to), 0);
			lookout_free(&w);
		}
	}
}

/* From here on, as MemoryDenyWriteExecute= does. */
static bool forbid_written_code(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	uint32_t no = SCMP_ACT_ERRNO(EPERM);
	uint64_t both = PROT_EXEC | PROT_WRITE;
	bool fine =
		!seccomp_rule_add(f, no, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, both, both)) &&
		!seccomp_rule_add(f, no, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)) &&
		!seccomp_load(f);

	seccomp_release(f);
	return fine;
}

TEST(interpreted, finds_the_same)
{
	owned(ruleset_put) struct ruleset *r = NULL;
	struct found *by_words =
		mmap(NULL, sizeof(*by_words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static struct found by_code;
	pid_t child = fork();
	int status = -1;

	cr_assert_neq(by_words, MAP_FAILED);
	/* In a process of its own: PCRE2 uses memory again that was once allowed. */
	if (!child) {
		if (!forbid_written_code())
			_exit(1);
		r = shipped();
		find_all(r, by_words);
		_exit(ruleset_patterns_compiled(r) ? 2 : 0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect_eq(status, 0);
	r = shipped();
	cr_expect_gt(ruleset_patterns(r), 9);
	cr_expect_eq(ruleset_patterns_compiled(r), ruleset_patterns(r));
	find_all(r, &by_code);
	cr_expect_gt(by_code.n, ruleset_patterns(r));
	cr_assert_eq(by_words->n, by_code.n);
	cr_expect_arr_eq(by_words->at, by_code.at, by_code.n * sizeof(by_code.at[0]));
	munmap(by_words, sizeof(*by_words));
}
