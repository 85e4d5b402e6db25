/* SPDX-License-Identifier: Apache-2.0 */
/*
 * review.c - what people say of findings: what the Review records of a control log come to.
 *
 * The last one of a finding counts. A finding is known by its seq and by the id of its answer, since the control log
 * outlives the ledger: one that began anew has other records of the same seq. Nothing else is kept: the log is the
 * list.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "record/record.h"

const char *const review_names[REVIEW_COUNT] = {
	[REVIEW_NONE] = "none",
	[REVIEW_CORRECT] = "correct",
	[REVIEW_WRONG] = "wrong",
	[REVIEW_UNSURE] = "unsure",
};

_Static_assert((int)REVIEW_CORRECT == (int)REVIEW__OUTCOME__CORRECT &&
                       (int)REVIEW_UNSURE == (int)REVIEW__OUTCOME__UNSURE,
               "outcomes are numbered alike here and in the record");

/* ---- what is reviewed ---- */

int reviewable_of(struct reviewable *out, const Record *r)
{
	struct reviewable one = { .seq = r->seq };
	const Finding *f = r->finding;

	if (r->body_case != RECORD__BODY_FINDING || f->exchange_id.len != EXCHANGE_ID || !f->n_risks ||
	    strlen(f->risks[0]->rule_id) >= sizeof(one.rule))
		return -EINVAL;
	memcpy(one.exchange_id, f->exchange_id.data, EXCHANGE_ID);
	snprintf(one.rule, sizeof(one.rule), "%s", f->risks[0]->rule_id);
	one.verdict = f->verdict;
	*out = one;
	return 0;
}

/* Whether the log begins behind `seq`. */
static bool was_pruned(const char *dir, uint64_t seq)
{
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	const Record *first;

	return !ledger_reader_open(&r, dir) && ledger_next(r, &first) == 1 && first->seq > seq;
}

int reviewable_find(struct reviewable *out, const char *dir, uint64_t seq)
{
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	const Record *record;
	int err = ledger_reader_open(&r, dir), got;

	if (err)
		return err;
	ledger_seek_seq(r, seq);
	got = ledger_next(r, &record);
	if (got < 0)
		return got;
	if (got && record->seq == seq)
		return reviewable_of(out, record);
	return was_pruned(dir, seq) ? -ENODATA : -ENOENT;
}

/* ---- the last word on each ---- */

struct entry {
	struct review_entry is;
	char *rule; /* owned */
};

struct reviews {
	struct entry *list; /* owned, by seq */
	size_t n, room;
};

int reviews_new(struct reviews **out)
{
	struct reviews *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*out = s;
	return 0;
}

void reviews_close(struct reviews **at)
{
	if (!*at)
		return;
	for (size_t i = 0; i < (*at)->n; i++)
		free((*at)->list[i].rule);
	free((*at)->list);
	free(*at);
	*at = NULL;
}

/* The place of `seq`, or where it would stand. */
static size_t place(const struct reviews *s, uint64_t seq)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->list[middle].is.seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct reviews *s)
{
	size_t room = s->room ? 2 * s->room : 64;
	struct entry *more;

	if (s->n < s->room)
		return 0;
	more = reallocarray(s->list, room, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->list = more;
	s->room = room;
	return 0;
}

int reviews_apply(struct reviews *s, const Review *r)
{
	size_t at = place(s, r->seq);
	struct entry one = { .is = { .seq = r->seq, .outcome = (enum review)r->outcome } };
	int err;

	if (r->outcome <= REVIEW__OUTCOME__OUTCOME_UNSPECIFIED || (unsigned)r->outcome >= REVIEW_COUNT ||
	    r->exchange_id.len != EXCHANGE_ID)
		return -EINVAL;
	err = make_room(s);
	one.rule = err ? NULL : strdup(r->rule_id);
	if (!one.rule)
		return -ENOMEM;
	one.is.rule = one.rule;
	memcpy(one.is.exchange_id, r->exchange_id.data, EXCHANGE_ID);
	if (at < s->n && s->list[at].is.seq == r->seq) {
		free(s->list[at].rule);
	} else {
		memmove(&s->list[at + 1], &s->list[at], (s->n - at) * sizeof(*s->list));
		s->n++;
	}
	s->list[at] = one;
	return 0;
}

enum review reviews_state(const struct reviews *s, uint64_t seq, const uint8_t exchange_id[EXCHANGE_ID])
{
	size_t at = place(s, seq);
	const struct review_entry *e = at < s->n ? &s->list[at].is : NULL;

	return e && e->seq == seq && !memcmp(e->exchange_id, exchange_id, EXCHANGE_ID) ? e->outcome : REVIEW_NONE;
}

int reviews_each(const struct reviews *s, int (*each)(void *arg, const struct review_entry *one), void *arg)
{
	int got = 0;

	for (size_t i = 0; i < s->n && !got; i++)
		got = each(arg, &s->list[i].is);
	return got;
}

int reviews_open(struct reviews **out, const char *dir)
{
	owned(reviews_close) struct reviews *s = NULL;
	owned(record_filter_free) struct record_filter *f = NULL;
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	const Record *record;
	int err = reviews_new(&s), got;

	err = err ? err : record_filter_new(&f);
	if (!err && record_filter_add(f, "type=review"))
		err = -EINVAL;
	err = err ? err : ledger_reader_open(&r, dir);
	if (err == -ENOENT) { /* no log yet, nobody has looked */
		*out = TAKE(s);
		return 0;
	}
	if (err)
		return err;
	ledger_reader_filter(r, f);
	/* Damage is for verify to tell; what can be read counts. */
	while (!err && ((got = ledger_next(r, &record)) == 1 || got == -EBADMSG)) {
		if (got != 1)
			continue;
		err = reviews_apply(s, record->review);
		err = err == -EINVAL ? 0 : err; /* of a later version */
	}
	if (err)
		return err;
	*out = TAKE(s);
	return 0;
}
