/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.c - the legal holds that are in force: what the Hold records of the control log come to.
 *
 * A Hold names records of the ledger by `filter`: "all" (of both logs), or "FIRST-LAST", or by seqs. One of the same id
 * that says `released` ends it. Nothing else is kept: the log is the list.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "record/record.h"

struct holds {
	pthread_mutex_t lock;
	struct hold list[HOLDS_MAX];
	size_t n;
};

int hold_read(struct hold *out, const Hold *h)
{
	struct hold x = { .until_unix_nano = h->until_unix_nano };
	int end = 0;

	if (!*h->id || strlen(h->id) >= sizeof(x.id))
		return -EINVAL;
	snprintf(x.id, sizeof(x.id), "%s", h->id);
	x.all = !strcmp(h->filter, "all");
	if (!x.all && sscanf(h->filter, "%" SCNu64 "-%" SCNu64 "%n", &x.first, &x.last, &end) == 2) {
		if (h->filter[end] || x.first > x.last)
			return -EINVAL;
	} else if (!x.all && h->n_seqs) {
		x.first = x.last = h->seqs[0];
		for (size_t i = 1; i < h->n_seqs; i++) {
			x.first = h->seqs[i] < x.first ? h->seqs[i] : x.first;
			x.last = h->seqs[i] > x.last ? h->seqs[i] : x.last;
		}
	} else if (!x.all && !h->released) {
		x.all = true; /* of a kind that this version cannot read: rather too much */
	}
	*out = x;
	return 0;
}

static size_t find(const struct holds *s, const char *id)
{
	size_t i = 0;

	while (i < s->n && strcmp(s->list[i].id, id) != 0)
		i++;
	return i;
}

static bool is_over(const struct hold *h)
{
	return h->until_unix_nano && h->until_unix_nano <= (uint64_t)time(NULL) * 1000000000u;
}

int holds_apply(struct holds *s, const Hold *h)
{
	struct hold x;
	int err = hold_read(&x, h);
	size_t at;

	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n; i++)
		if (is_over(&s->list[i]))
			s->list[i--] = s->list[--s->n];
	at = find(s, x.id);
	if (h->released && at == s->n)
		err = -ENOENT;
	else if (h->released)
		s->list[at] = s->list[--s->n];
	else if (at < s->n)
		err = -EEXIST;
	else if (s->n == HOLDS_MAX)
		err = -ENOSPC;
	else
		s->list[s->n++] = x;
	pthread_mutex_unlock(&s->lock);
	return err;
}

bool holds_has(struct holds *s, const char *id)
{
	bool has;

	pthread_mutex_lock(&s->lock);
	has = find(s, id) < s->n;
	pthread_mutex_unlock(&s->lock);
	return has;
}

static bool any(struct holds *s, bool control, uint64_t first, uint64_t last)
{
	bool held = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n && !held; i++) {
		const struct hold *h = &s->list[i];

		held = !is_over(h) && (h->all || (!control && h->first <= last && h->last >= first));
	}
	pthread_mutex_unlock(&s->lock);
	return held;
}

bool holds_on_ledger(void *holds, uint64_t first, uint64_t last)
{
	return any(holds, false, first, last);
}

bool holds_on_control(void *holds, uint64_t first, uint64_t last)
{
	return any(holds, true, first, last);
}

void holds_close(struct holds **at)
{
	if (!*at)
		return;
	pthread_mutex_destroy(&(*at)->lock);
	free(*at);
	*at = NULL;
}

int holds_open(struct holds **out, const char *dir)
{
	owned(holds_close) struct holds *s = calloc(1, sizeof(*s));
	struct ledger_reader *r = NULL;
	const Record *record;
	int err, got;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	err = ledger_reader_open(&r, dir);
	if (err && err != -ENOENT)
		return err;
	/* Damage is told by the log itself; what can be read behind it counts. */
	while (r && ((got = ledger_next(r, &record)) == 1 || got == -EBADMSG))
		if (got == 1 && record->body_case == RECORD__BODY_HOLD)
			(void)holds_apply(s, record->hold);
	ledger_reader_close(&r);
	*out = TAKE(s);
	return 0;
}
