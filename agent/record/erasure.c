/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erasure.c - what was erased, or will be: what the Erasure records of the control log come to.
 *
 * One with `restricted` keeps its evidence from being shown; one of the same seq without ends it. Nothing else is kept:
 * the log is the list.
 */
#include <errno.h>
#include <stdio.h>

#include "base/own.h"
#include "record/record.h"

struct erasures {
	struct erasure_entry *list; /* owned, by seq */
	size_t n, room;
};

void erasures_close(struct erasures **at)
{
	if (!*at)
		return;
	free((*at)->list);
	free(*at);
	*at = NULL;
}

/* The place of `seq`, or where it would stand. */
static size_t place(const struct erasures *e, uint64_t seq)
{
	size_t low = 0, high = e->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->list[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int erasures_apply(struct erasures *e, const Erasure *r, uint64_t time_unix_nano)
{
	struct erasure_entry one = { r->seq, r->restricted ? ERASURE_RESTRICTED : ERASURE_DONE, time_unix_nano,
		                     r->not_before_unix_nano };
	size_t at = place(e, r->seq);

	if (at < e->n && e->list[at].seq == r->seq) {
		if (one.what > e->list[at].what)
			e->list[at] = one;
		return 0;
	}
	if (e->n == e->room) {
		size_t room = e->room ? 2 * e->room : 64;
		struct erasure_entry *more = reallocarray(e->list, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		e->list = more;
		e->room = room;
	}
	memmove(&e->list[at + 1], &e->list[at], (e->n - at) * sizeof(*e->list));
	e->list[at] = one;
	e->n++;
	return 0;
}

enum erasure erasures_state(const struct erasures *e, uint64_t seq)
{
	size_t at = place(e, seq);

	return at < e->n && e->list[at].seq == seq ? e->list[at].what : ERASURE_NONE;
}

int erasures_each(const struct erasures *e, int (*each)(void *arg, const struct erasure_entry *one), void *arg)
{
	int got = 0;

	for (size_t i = 0; i < e->n && !got; i++)
		got = each(arg, &e->list[i]);
	return got;
}

int erasures_open(struct erasures **out, const char *dir)
{
	owned(erasures_close) struct erasures *e = calloc(1, sizeof(*e));
	owned(record_filter_free) struct record_filter *f = NULL;
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	const Record *record;
	int err = e ? record_filter_new(&f) : -ENOMEM, got;

	if (!err && record_filter_add(f, "type=erasure"))
		err = -EINVAL;
	err = err ? err : ledger_reader_open(&r, dir);
	if (err == -ENOENT) { /* no log yet, nothing erased */
		*out = TAKE(e);
		return 0;
	}
	if (err)
		return err;
	ledger_reader_filter(r, f);
	/* Damage is for verify to tell; what can be read counts. */
	while (!err && ((got = ledger_next(r, &record)) == 1 || got == -EBADMSG))
		if (got == 1)
			err = erasures_apply(e, record->erasure, record->time_unix_nano);
	if (err)
		return err;
	*out = TAKE(e);
	return 0;
}
