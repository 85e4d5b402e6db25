/* SPDX-License-Identifier: Apache-2.0 */
/* review_test.c - the last word on each finding, and what can be reviewed at all. */
#include <errno.h>
#include <ftw.h>

#include "tests/lib/ledger.h"

static char root[64], ledger_dir[96], control_dir[96];

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st, (void)what, (void)at;
	return remove(path);
}

static void setup(void)
{
	new_dir(root);
	snprintf(ledger_dir, sizeof(ledger_dir), "%s/ledger", root);
	snprintf(control_dir, sizeof(control_dir), "%s/control", root);
}

static void teardown(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(review, .init = setup, .fini = teardown);

static struct ledger *open_log(const char *dir)
{
	struct ledger *l = NULL;

	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = dir }), 0);
	return l;
}

static void id_of(uint8_t id[EXCHANGE_ID], uint8_t first)
{
	for (size_t i = 0; i < EXCHANGE_ID; i++)
		id[i] = (uint8_t)(first + i);
}

static void put_finding(struct ledger *l, uint8_t id, const char *rule)
{
	uint8_t exchange[EXCHANGE_ID];
	Finding f = FINDING__INIT;
	RiskHit hit = RISK_HIT__INIT, *hits[] = { &hit };
	Record r = RECORD__INIT;

	id_of(exchange, id);
	hit.rule_id = (char *)rule;
	f.exchange_id = (ProtobufCBinaryData){ EXCHANGE_ID, exchange };
	f.verdict = VERDICT__BLOCKED;
	f.risks = hits;
	f.n_risks = rule ? 1 : 0;
	r.body_case = RECORD__BODY_FINDING;
	r.finding = &f;
	cr_assert_eq(ledger_append(l, &r, NULL), 0);
}

static void put_exchange(struct ledger *l)
{
	Exchange e = EXCHANGE__INIT;
	Record r = RECORD__INIT;

	r.body_case = RECORD__BODY_EXCHANGE;
	r.exchange = &e;
	cr_assert_eq(ledger_append(l, &r, NULL), 0);
}

static Review review_of(uint8_t id[EXCHANGE_ID], uint64_t seq, Review__Outcome outcome)
{
	Review r = REVIEW__INIT;

	r.seq = seq;
	r.exchange_id = (ProtobufCBinaryData){ EXCHANGE_ID, id };
	r.rule_id = (char *)"t.rule";
	r.outcome = outcome;
	return r;
}

static void put_review(struct ledger *l, uint8_t id, uint64_t seq, Review__Outcome outcome)
{
	uint8_t exchange[EXCHANGE_ID];
	Review body = review_of(exchange, seq, outcome);
	Record r = RECORD__INIT;

	id_of(exchange, id);
	r.body_case = RECORD__BODY_REVIEW;
	r.review = &body;
	cr_assert_eq(ledger_append(l, &r, NULL), 0);
}

TEST(review, only_findings_that_are_there)
{
	struct ledger *l = open_log(ledger_dir);
	struct reviewable of = { .seq = 77 };
	uint8_t id[EXCHANGE_ID];

	put_exchange(l);
	put_finding(l, 1, "t.rule");
	put_finding(l, 2, NULL);
	ledger_close(&l);
	/* A key of its own comes first in each log, so the seqs are looked for. */
	for (uint64_t seq = 0;; seq++) {
		int err = reviewable_find(&of, ledger_dir, seq);

		cr_assert_neq(err, -ENOENT);
		if (!err)
			break;
		cr_assert_eq(err, -EINVAL);
	}
	id_of(id, 1);
	cr_expect_arr_eq(of.exchange_id, id, EXCHANGE_ID);
	cr_expect_str_eq(of.rule, "t.rule");
	cr_expect_eq(of.verdict, VERDICT__BLOCKED);
	cr_expect_eq(reviewable_find(&of, ledger_dir, of.seq + 1), -EINVAL, "a finding of no rule");
	cr_expect_eq(reviewable_find(&of, ledger_dir, 1000), -ENOENT);
	cr_expect_eq(reviewable_find(&of, "/nonexistent", 0), -ENOENT);
	cr_expect_str_eq(of.rule, "t.rule", "what fails touches nothing");
}

/* A log that begins behind the record: it was there once. */
TEST(review, what_was_pruned_is_told_from_what_never_was)
{
	struct ledger_options o = { .dir = ledger_dir, .segment_bytes = 4096 };
	struct ledger *l = NULL;
	struct reviewable of;
	char first[160];

	cr_assert_eq(ledger_open(&l, &o), 0);
	for (size_t i = 0; i < 400; i++) {
		put_finding(l, 1, "t.rule");
		if (i % 50 == 49)
			usleep(20000); /* groups of their own: a segment is rolled between them */
	}
	ledger_close(&l);
	snprintf(first, sizeof(first), "%s/%020u.seg", ledger_dir, 0);
	if (access(first, F_OK))
		snprintf(first, sizeof(first), "%s/%020u.seg.gz", ledger_dir, 0);
	cr_assert_eq(unlink(first), 0);
	cr_expect_eq(reviewable_find(&of, ledger_dir, 1), -ENODATA);
	cr_expect_eq(reviewable_find(&of, ledger_dir, 390), 0);
	cr_expect_eq(reviewable_find(&of, ledger_dir, 4000), -ENOENT);
}

static int count(void *arg, const struct review_entry *one)
{
	uint64_t *last = arg;

	cr_expect(!*last || one->seq > *last, "in order of seq");
	*last = one->seq;
	return one->seq == 12;
}

TEST(review, the_last_word_counts)
{
	struct ledger *l = open_log(control_dir);
	struct reviews *s = NULL;
	uint8_t one[EXCHANGE_ID], two[EXCHANGE_ID];
	uint64_t last = 0;

	id_of(one, 1);
	id_of(two, 2);
	put_review(l, 1, 12, REVIEW__OUTCOME__CORRECT);
	put_review(l, 1, 7, REVIEW__OUTCOME__UNSURE);
	put_review(l, 1, 12, REVIEW__OUTCOME__WRONG);
	put_review(l, 2, 30, REVIEW__OUTCOME__CORRECT);
	put_review(l, 1, 7, (Review__Outcome)99); /* of a later version */
	ledger_close(&l);
	cr_assert_eq(reviews_open(&s, control_dir), 0);
	cr_expect_eq(reviews_state(s, 12, one), REVIEW_WRONG);
	cr_expect_eq(reviews_state(s, 7, one), REVIEW_UNSURE);
	cr_expect_eq(reviews_state(s, 30, two), REVIEW_CORRECT);
	cr_expect_eq(reviews_state(s, 8, one), REVIEW_NONE);
	cr_expect_eq(reviews_state(s, 12, two), REVIEW_NONE, "another ledger's record of that seq");
	cr_expect_eq(reviews_each(s, count, &last), 1);
	cr_expect_eq(last, 12);
	last = 12;
	reviews_close(&s);
	cr_expect_null(s);
	cr_assert_eq(reviews_open(&s, "/nonexistent"), 0, "nobody has looked yet");
	cr_expect_eq(reviews_state(s, 12, one), REVIEW_NONE);
	reviews_close(&s);
}

TEST(review, what_says_nothing_is_refused)
{
	struct reviews *s = NULL;
	uint8_t id[EXCHANGE_ID] = { 1 };
	Review r = review_of(id, 1, REVIEW__OUTCOME__OUTCOME_UNSPECIFIED);

	cr_assert_eq(reviews_new(&s), 0);
	cr_expect_eq(reviews_apply(s, &r), -EINVAL);
	r.outcome = (Review__Outcome)-1;
	cr_expect_eq(reviews_apply(s, &r), -EINVAL);
	r.outcome = REVIEW__OUTCOME__WRONG;
	r.exchange_id.len = 3;
	cr_expect_eq(reviews_apply(s, &r), -EINVAL);
	r.exchange_id.len = EXCHANGE_ID;
	for (uint64_t seq = 200; seq; seq--) {
		r.seq = seq;
		cr_assert_eq(reviews_apply(s, &r), 0);
	}
	cr_expect_eq(reviews_state(s, 137, id), REVIEW_WRONG);
	reviews_close(&s);
}
