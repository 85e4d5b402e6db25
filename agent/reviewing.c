/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reviewing.c - what people say of findings, and evidence that is to be learnt from, as it is asked for over the
 * control socket: on record, with who asked, or not at all.
 *
 * A review holds no evidence: of its note this end can tell what the policy finds in it, and refuses that. What may be
 * learnt from is less than what may be shown: text that a hold keeps is kept for its case alone.
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

#define NOTE_MOST  256
#define LEARN_MOST 256

/* ---- what a finding was ---- */

static enum review outcome_of(const char *name)
{
	for (enum review i = REVIEW_NONE + 1; i < REVIEW_COUNT; i++)
		if (!strcmp(name, review_names[i]))
			return i;
	return REVIEW_NONE;
}

/* The first rule that finds something in a note. What a judge takes for likely by itself is not evidence. */
static int note_found(void *to, const struct sight *hit)
{
	if (hit->rule->judging.model && hit->rule->judging.alone)
		return 0;
	*(const struct rule **)to = hit->rule;
	return 1;
}

static int look_at_note(const struct daemon *d, const char *note, const struct rule **found)
{
	struct scope anywhere = { .now = time(NULL) };
	struct lookout state = {};
	int got = lookout_feed(d->rules, &anywhere, &state, slice_str(note), note_found, found);

	if (!got)
		got = lookout_end(d->rules, &anywhere, &state, note_found, found);
	lookout_free(&state);
	return got < 0 ? got : 0;
}

static const char *why_none(int err)
{
	switch (err) {
	case -ENOENT:
		return "there is no such record in the ledger";
	case -ENODATA:
		return "the record was pruned";
	case -EINVAL:
		return "the record is no finding: sluicectl events type=finding lists them";
	case -EBADMSG:
		return "the record is damaged";
	default:
		return "the ledger cannot be read";
	}
}

static int note_review(struct daemon *d, const ReviewRequest *in, const Caller *caller, enum review outcome,
                       struct reviewable *of)
{
	Review body = REVIEW__INIT;
	Record r = RECORD__INIT;

	body.seq = of->seq;
	body.exchange_id = (ProtobufCBinaryData){ EXCHANGE_ID, of->exchange_id };
	body.rule_id = of->rule;
	body.verdict = of->verdict;
	body.outcome = (Review__Outcome)outcome;
	body.note = in->note;
	body.reviewer_ref = in->reviewer;
	body.uid = caller->uid;
	body.pid = caller->pid;
	r.body_case = RECORD__BODY_REVIEW;
	r.review = &body;
	return note_durably(d->control, &r);
}

void review_answer(struct daemon *d, const ReviewRequest *in, const Caller *caller, char *error, size_t room)
{
	enum review outcome = outcome_of(in->outcome);
	const struct rule *found = NULL;
	struct reviewable of;
	char dir[4096];
	int err;

	*error = '\0';
	if (outcome == REVIEW_NONE) {
		snprintf(error, room, "the outcome is correct, wrong or unsure");
		return;
	}
	if (!note_plain(in->note, NOTE_MOST) || !note_plain(in->reviewer, NOTE_MOST)) {
		snprintf(error, room, "note and reviewer are plain text of at most %d bytes", NOTE_MOST);
		return;
	}
	err = logs_ledger_dir(d, dir, sizeof(dir));
	err = err ? err : reviewable_find(&of, dir, in->seq);
	if (err) {
		snprintf(error, room, "%s", why_none(err));
		return;
	}
	err = look_at_note(d, in->note, &found);
	err = err ? err : look_at_note(d, in->reviewer, &found);
	if (found) {
		snprintf(error, room, "the note may hold no evidence: rule %.80s finds something in it", found->id);
		return;
	}
	err = err ? err : caller ? note_review(d, in, caller, outcome, &of) : -ENOMEM;
	if (err)
		snprintf(error, room, "it could not be put on record");
	log_info("review: seq=%" PRIu64 " rule=%s outcome=%s error=%s", of.seq, of.rule, review_names[outcome],
	         err ? strerrorname_np(-err) : "none");
}

/* ---- what may be learnt from ---- */

/* Sorts them into *reply, whose list has room for all. */
static void sort_out(struct daemon *d, const LearnRequest *in, LearnReply *reply)
{
	for (size_t i = 0; i < in->n_seqs; i++) {
		uint64_t seq = in->seqs[i];
		enum erasure state = erasures_state(d->erasures, seq);

		if (state == ERASURE_DONE)
			reply->erased++;
		else if (state == ERASURE_RESTRICTED)
			reply->restricted++;
		else if (holds_on_ledger(d->holds, seq, seq))
			reply->held++;
		else
			reply->seqs[reply->n_seqs++] = seq;
	}
}

static int note_learning(struct daemon *d, const LearnRequest *in, const Caller *caller, const LearnReply *reply)
{
	bool some = reply->n_seqs > 0;
	Access a = ACCESS__INIT;
	char what[32];

	snprintf(what, sizeof(what), "%s%s", in->what, some ? "" : " refused");
	a.what = what;
	a.seqs = some ? reply->seqs : in->seqs;
	a.n_seqs = some ? reply->n_seqs : in->n_seqs;
	a.reason = in->reason;
	return note_access(d, caller, &a);
}

static void reply_free(LearnReply **at)
{
	if (*at)
		free((*at)->seqs);
	free(*at);
}

void learn_answer(struct daemon *d, const LearnRequest *in, const Caller *caller, LearnReply **out, char *error,
                  size_t room)
{
	owned(reply_free) LearnReply *reply = NULL;
	int err;

	*error = '\0';
	if ((strcmp(in->what, "feedback") != 0 && strcmp(in->what, "training") != 0) || !in->n_seqs ||
	    in->n_seqs > LEARN_MOST || !note_plain(in->reason, 512)) {
		snprintf(error, room, "feedback or training, of 1 to %d findings, and a reason in plain text",
		         LEARN_MOST);
		return;
	}
	reply = malloc(sizeof(*reply));
	if (reply) {
		*reply = (LearnReply)LEARN_REPLY__INIT;
		reply->seqs = calloc(in->n_seqs, sizeof(*reply->seqs));
	}
	if (reply && reply->seqs)
		sort_out(d, in, reply);
	err = caller && reply && reply->seqs ? note_learning(d, in, caller, reply) : -ENOMEM;
	log_info("%s: asked=%zu allowed=%zu error=%s", in->what, in->n_seqs, reply ? reply->n_seqs : 0,
	         err ? strerrorname_np(-err) : "none");
	if (err)
		snprintf(error, room, "it could not be put on record");
	else
		*out = TAKE(reply);
}
