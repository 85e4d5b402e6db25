/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lesson.c - from findings to texts: which there are, who may read them, and reading them.
 *
 * Findings and reviews are read as anybody with the record reads them. Of evidence not a byte is read before the daemon
 * has put on record who is about to, and for which findings; what it does not allow is left out.
 */
#include "cli/lesson.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"

#define BATCH 256 /* findings that are asked about at a time: what the daemon takes */

/* ---- which ---- */

void lessons_free(struct lessons *l)
{
	for (size_t i = 0; i < l->n; i++) {
		for (size_t k = 0; k < l->at[i].risk_count; k++)
			free(l->at[i].risks[k]);
		free(l->at[i].risks);
		free(l->at[i].rule);
	}
	free(l->at);
	*l = (struct lessons){ 0 };
}

/* A lesson more, all zero; NULL: no memory. */
static struct lesson *one_more(struct lessons *l)
{
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 256;
		struct lesson *more = reallocarray(l->at, room, sizeof(*more));

		if (!more)
			return NULL;
		l->at = more;
		l->room = room;
	}
	l->at[l->n] = (struct lesson){ 0 };
	return &l->at[l->n++];
}

static int add(struct lessons *l, const Record *r, const struct reviewable *is, enum review review)
{
	const Finding *f = r->finding;
	struct evidence_place place;
	struct lesson *one;

	if (evidence_place(&place, r)) {
		l->none++;
		return 0;
	}
	if (l->n == LESSONS_MOST)
		return -E2BIG;
	one = one_more(l);
	if (!one)
		return -ENOMEM;
	one->place = place;
	one->seq = is->seq;
	one->review = review;
	one->verdict = is->verdict;
	one->judged = !strcmp(f->risks[0]->engine, "classifier");
	one->rule = strdup(is->rule);
	one->risks = calloc(f->n_risks, sizeof(*one->risks));
	if (!one->rule || !one->risks)
		return -ENOMEM;
	for (; one->risk_count < f->n_risks; one->risk_count++) {
		one->risks[one->risk_count] = strdup(f->risks[one->risk_count]->risk_id);
		if (!one->risks[one->risk_count])
			return -ENOMEM;
	}
	return 0;
}

static int gather(struct lessons *out, struct ledger_reader *r, const struct reviews *reviews,
                  const struct lesson_choice *of)
{
	const Record *record;
	struct reviewable is;
	int err = 0, got;

	/* Damage is for verify to tell. */
	while (!err && ((got = ledger_next(r, &record)) == 1 || got == -EBADMSG)) {
		enum review review;

		if (got == 1 && record->seq > of->last)
			break;
		if (got != 1 || record->seq < of->first || reviewable_of(&is, record))
			continue;
		review = reviews_state(reviews, is.seq, is.exchange_id);
		if (of->wanted(review, is.verdict))
			err = add(out, record, &is, review);
	}
	return err;
}

int lessons_gather(struct lessons *out, const char *record, const struct lesson_choice *of)
{
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	owned(reviews_close) struct reviews *reviews = NULL;
	owned(own_free) char *ledger = NULL, *control = NULL;
	int err = 0;

	if (asprintf(&ledger, "%s/ledger", record) < 0 || asprintf(&control, "%s/control", record) < 0)
		err = -ENOMEM;
	err = err ? err : reviews_open(&reviews, control);
	err = err ? err : ledger_reader_open(&r, ledger);
	if (!err) {
		ledger_reader_filter(r, of->filter);
		if (of->first)
			ledger_seek_seq(r, of->first);
		err = gather(out, r, reviews, of);
	}
	if (err)
		fprintf(stderr, "sluicectl: %s: %s\n", record,
		        err == -E2BIG ? "more than 100000 findings: choose a part of them" : strerror(-err));
	return err;
}

/* ---- who ---- */

static int ask(struct lesson_run *r, const struct lessons *of, size_t from, size_t n, LearnReply **out)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	LearnRequest body = LEARN_REQUEST__INIT;
	ControlReply *reply = NULL;
	uint64_t seqs[BATCH];
	int err;

	for (size_t i = 0; i < n; i++)
		seqs[i] = of->at[from + i].seq;
	body.what = (char *)r->what;
	body.reason = (char *)r->reason;
	body.seqs = seqs;
	body.n_seqs = n;
	request.op_case = CONTROL_REQUEST__OP_LEARN;
	request.learn = &body;
	err = cli_ask(&reply, &request);
	if (err)
		return err;
	if (*reply->error || !reply->learn) {
		fprintf(stderr, "%s: %s\n", r->command, *reply->error ? reply->error : "the daemon does not say");
		err = -EPERM;
	} else {
		*out = TAKE(reply->learn);
	}
	control_reply__free_unpacked(reply, NULL);
	return err;
}

static void reply_free(LearnReply **at)
{
	if (*at)
		learn_reply__free_unpacked(*at, NULL);
}

/* ---- what ---- */

static int read_one(struct lesson_run *r, const char *dir, const struct lesson *one)
{
	owned(own_free) uint8_t *file = NULL;
	owned(evidence_words_free) struct evidence_words words = { .offset = 0 };
	uint8_t *text = NULL;
	size_t len = 0, text_len = 0;
	int err = evidence_read(dir, &one->place, &file, &len);

	err = err ? err : age_open(r->keys->ids, r->keys->n, file, len, &text, &text_len);
	if (!err) {
		err = evidence_words_read(&words, slice_of(text, text_len));
		explicit_bzero(text, text_len);
		free(text);
	}
	if (err == -ENOMEM)
		return err;
	if (err) {
		fprintf(stderr, "%s: record %" PRIu64 ": %s\n", r->command, one->seq, keyring_why(err));
		r->unread++;
		return 0;
	}
	return r->each(r->arg, one, &words);
}

static int read_some(struct lesson_run *r, const char *dir, const struct lessons *of, size_t from, size_t n)
{
	owned(reply_free) LearnReply *may = NULL;
	int err = ask(r, of, from, n, &may);

	if (err)
		return err;
	r->erased += may->erased;
	r->restricted += may->restricted;
	r->held += may->held;
	/* In the order that was asked for. */
	for (size_t i = from, k = 0; i < from + n && k < may->n_seqs && !err; i++)
		if (of->at[i].seq == may->seqs[k]) {
			err = read_one(r, dir, &of->at[i]);
			k++;
		}
	if (err)
		fprintf(stderr, "%s: %s\n", r->command, strerror(-err));
	return err;
}

int lessons_read(struct lesson_run *r, const struct lessons *of)
{
	owned(own_free) char *dir = NULL;
	int err = 0;

	if (asprintf(&dir, "%s/ledger", r->record) < 0) {
		dir = NULL;
		return -ENOMEM;
	}
	for (size_t i = 0; i < of->n && !err; i += BATCH)
		err = read_some(r, dir, of, i, of->n - i < BATCH ? of->n - i : BATCH);
	return err;
}
