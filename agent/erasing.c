/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erasing.c - evidence as it is asked for over the control socket: to be read, or to be erased for good.
 *
 * Who asks is on record before anything else happens. An Erasure is on record before the header is overwritten: what a
 * crash leaves in between is finished at the next start. Under a hold, and as long as the law wants logs kept, evidence
 * is restricted instead: nobody is shown it, and it is erased when that is over.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/own.h"
#include "daemon.h"

#define ERASE_MOST 1000 /* findings with evidence in one request: the control socket waits as long */
#define NS         1000000000ull
#define DAY_NS     (86400 * NS)
#define LATELY_S   3600

#define SUBJECT_HEX (2 * SUBJECT_TAG)

static uint64_t now_nano(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

/* ---- reading ---- */

static const char *why_not(const struct daemon *d, int found, uint64_t seq)
{
	switch (found) {
	case 0:
		break;
	case -ENOENT:
		return "there is no such record in the ledger";
	case -ENODATA:
		return "no text was kept of it";
	case -EBADMSG:
		return "the record is damaged";
	default:
		return "the ledger cannot be read";
	}
	switch (erasures_state(d->erasures, seq)) {
	case ERASURE_RESTRICTED:
		return "it is restricted: it was to be erased, and is kept for the term of the law or a hold alone";
	case ERASURE_DONE:
		return "it was erased";
	default:
		return NULL;
	}
}

void reveal_answer(struct daemon *d, const RevealRequest *in, const Caller *caller, char *error, size_t room)
{
	struct evidence_place place;
	Access access = ACCESS__INIT;
	uint64_t seq = in->seq;
	char dir[4096];
	const char *why;
	int err;

	*error = '\0';
	if (!note_plain(in->reason, 512)) {
		snprintf(error, room, "the reason is not plain text");
		return;
	}
	err = logs_ledger_dir(d, dir, sizeof(dir));
	why = why_not(d, err ? err : evidence_find(&place, dir, seq), seq);
	access.what = (char *)(why ? "reveal refused" : "reveal");
	access.seqs = &seq;
	access.n_seqs = 1;
	access.reason = in->reason;
	err = caller ? note_access(d, caller, &access) : -ENOMEM;
	if (err)
		why = "it could not be put on record";
	if (why)
		snprintf(error, room, "%s", why);
	log_info("reveal: %s seq=%" PRIu64, why ? "refused" : "allowed", seq);
}

/* ---- erasing ---- */

/* What one request comes to. */
struct erasing {
	struct evidence_place *now, *later; /* owned; to be shredded, to be restricted */
	size_t now_count, later_count, before;
	const EraseRequest *in;
	struct daemon *d;
};

static void erasing_free(struct erasing *e)
{
	free(e->now);
	free(e->later);
}

static uint64_t floor_of(const struct daemon *d, const struct evidence_place *p)
{
	uint64_t days = d->config->retain_unsafe ? d->config->retain_days : LOG_LEDGER_FLOOR_DAYS;

	return p->time_unix_nano + days * DAY_NS;
}

static bool is_kept(const struct daemon *d, const struct evidence_place *p)
{
	return floor_of(d, p) > now_nano() || holds_on_ledger(d->holds, p->seq, p->seq);
}

static int add_place(struct evidence_place **list, size_t *n, const struct evidence_place *p)
{
	struct evidence_place *more = reallocarray(*list, *n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	*list = more;
	more[(*n)++] = *p;
	return 0;
}

/* Queued; durable with what follows it and is waited for. */
static int note_erasure(struct daemon *d, const struct evidence_place *p, bool restricted, const char *requester,
                        const char *basis, bool wait)
{
	Erasure body = ERASURE__INIT;
	Record r = RECORD__INIT;
	int err;

	body.seq = p->seq;
	body.requester_ref = (char *)requester;
	body.legal_basis = (char *)basis;
	body.restricted = restricted;
	body.not_before_unix_nano = restricted ? floor_of(d, p) : 0;
	r.body_case = RECORD__BODY_ERASURE;
	r.erasure = &body;
	err = wait ? note_durably(d->control, &r) : ledger_append(d->control, &r, NULL);
	return err ? err : erasures_apply(d->erasures, &body, now_nano());
}

static int erase_place(struct erasing *e, const struct evidence_place *p)
{
	enum erasure state = erasures_state(e->d->erasures, p->seq);
	bool kept = is_kept(e->d, p);

	if (e->now_count + e->later_count + e->before == ERASE_MOST)
		return -E2BIG;
	if (state == ERASURE_DONE || (state == ERASURE_RESTRICTED && kept)) {
		e->before++;
		return 0;
	}
	return kept ? add_place(&e->later, &e->later_count, p) : add_place(&e->now, &e->now_count, p);
}

static int erase_one(void *arg, const Record *r)
{
	struct evidence_place p;

	return evidence_place(&p, r) ? 0 : erase_place(arg, &p);
}

/* One by one: they may be anywhere in the ledger. */
static int erase_listed(struct erasing *e, const char *dir)
{
	struct evidence_place p;
	int err = 0;

	for (size_t i = 0; i < e->in->n_seqs && !err; i++) {
		int found = evidence_find(&p, dir, e->in->seqs[i]);

		/* What has gone meanwhile is gone. */
		if (found != -ENOENT && found != -ENODATA)
			err = found ? found : erase_place(e, &p);
	}
	return err;
}

/* On record, all of them; the last one is waited for. */
static int note_erasures(struct daemon *d, const struct evidence_place *list, size_t n, bool restricted,
                         const char *requester, const char *basis)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = note_erasure(d, &list[i], restricted, requester, basis, i + 1 == n);
	return err;
}

/* And then for good. */
static int shred(struct daemon *d, const struct evidence_place *list, size_t n, const char *requester,
                 const char *basis)
{
	char dir[4096];
	int err = logs_ledger_dir(d, dir, sizeof(dir));

	err = err ? err : note_erasures(d, list, n, false, requester, basis);
	return err || !n ? err : evidence_shred(dir, list, n);
}

static const char *erase_failed(int err)
{
	return err == -E2BIG    ? "more than 1000 at a time: ask for a part of them"
	       : err == -ENOENT ? "a pack is gone"
	                        : "it could not be put on record, or not be carried out: see the log";
}

void erase_answer(struct daemon *d, const EraseRequest *in, const Caller *caller, EraseReply **out, char *error,
                  size_t room)
{
	owned(erasing_free) struct erasing e = { .in = in, .d = d };
	Access access = ACCESS__INIT;
	char filter[64], dir[4096];
	EraseReply *reply;
	int err;

	*error = '\0';
	if (!*in->requester || !*in->basis || !note_plain(in->requester, 256) || !note_plain(in->basis, 256) ||
	    !note_plain(in->reason, 512) || in->first_seq > in->last_seq || !note_plain(in->subject, SUBJECT_HEX)) {
		snprintf(error, room, "a requester and a legal basis, as plain text, and a range");
		return;
	}
	if (in->n_seqs)
		snprintf(filter, sizeof(filter), "subject_tag=%s", in->subject);
	else
		snprintf(filter, sizeof(filter), "%" PRIu64 "-%" PRIu64, in->first_seq, in->last_seq);
	access.what = (char *)"erase";
	access.seqs = in->seqs;
	access.n_seqs = in->n_seqs;
	access.filter = filter;
	access.reason = in->reason;
	reply = malloc(sizeof(*reply));
	err = caller && reply ? note_access(d, caller, &access) : -ENOMEM;
	err = err ? err : logs_ledger_dir(d, dir, sizeof(dir));
	if (!err)
		err = in->n_seqs ? erase_listed(&e, dir)
		                 : evidence_each(dir, in->first_seq, in->last_seq, erase_one, &e);
	err = err ? err : note_erasures(d, e.later, e.later_count, true, in->requester, in->basis);
	err = err ? err : shred(d, e.now, e.now_count, in->requester, in->basis);
	if (err) {
		snprintf(error, room, "%s", erase_failed(err));
		log_error("erase: not done: records=%s error=%s", filter, strerrorname_np(-err));
		free(reply);
		return;
	}
	*reply = (EraseReply)ERASE_REPLY__INIT;
	reply->erased = e.now_count;
	reply->restricted = e.later_count;
	reply->before = e.before;
	*out = reply;
	log_info("erase: records=%s erased=%zu restricted=%zu", filter, e.now_count, e.later_count);
}

/* ---- later ---- */

/* What is due: for the first time what was written down and perhaps not carried out, and what has come to its time. */
struct due {
	struct daemon *d;
	uint64_t since, now;
	bool first;
	struct evidence_place list[ERASE_MOST], again[ERASE_MOST];
	size_t n, again_n;
};

static int is_due(void *arg, const struct erasure_entry *one)
{
	struct due *due = arg;
	struct evidence_place p;
	char dir[4096];
	bool again = due->first && one->what == ERASURE_DONE && one->time_unix_nano >= due->since;

	if (!again && (one->what != ERASURE_RESTRICTED || one->not_before_unix_nano > due->now ||
	               holds_on_ledger(due->d->holds, one->seq, one->seq)))
		return 0;
	/* A record that is gone took its evidence with it. */
	if (logs_ledger_dir(due->d, dir, sizeof(dir)) || evidence_find(&p, dir, one->seq))
		return 0;
	if (!again) {
		due->list[due->n++] = p;
		return due->n == ERASE_MOST; /* the others next time */
	}
	due->again[due->again_n++] = p;
	if (due->again_n < ERASE_MOST)
		return 0;
	due->again_n = 0;
	return evidence_shred(dir, due->again, ERASE_MOST);
}

void erase_due(struct daemon *d, bool first)
{
	owned(own_free) struct due *due = calloc(1, sizeof(*due));
	char dir[4096];
	int err = due ? logs_ledger_dir(d, dir, sizeof(dir)) : -ENOMEM;

	if (!err) {
		*due = (struct due){ .d = d, .first = first, .now = now_nano() };
		due->since = d->last_unix > LATELY_S * NS ? d->last_unix - LATELY_S * NS : 0;
		err = erasures_each(d->erasures, is_due, due);
		err = err < 0 ? err : evidence_shred(dir, due->again, due->again_n);
	}
	err = err ? err : shred(d, due->list, due->n, "term", "the term of a restriction is over");
	if (err)
		log_error("erase: what is due is not erased: error=%s", strerrorname_np(-err));
	else if (due->n)
		log_info("erase: restricted evidence erased: records=%zu", due->n);
}
