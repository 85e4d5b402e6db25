/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feedback.c - sluicectl model feedback: what people said of findings becomes data to train on.
 *
 * A text that was found rightly has the risks of its rule, one that was found wrongly has none. What a classifier
 * decided alone is learnt as it read it, or what is around it would be learnt in its place; a word needs what is around
 * it. Texts that are the same once they tell of nobody are one; where people disagree about one it is left out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/lesson.h"
#include "cli/model.h"

enum { FEEDBACK_OK = 0, FEEDBACK_NOTHING = 1, FEEDBACK_ERROR = 2 };

struct judged_text {
	uint8_t *text; /* owned */
	size_t len;
	const struct lesson *lesson;
};

struct feedback {
	const struct veil *veil;
	struct judged_text *at; /* owned */
	size_t n, room;
	uint64_t replaced, empty, disagreed, correct, wrong;
};

static void feedback_free(struct feedback *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->at[i].text);
	free(f->at);
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl model feedback -o FILE -i FILE [-p DIR] [--reason TEXT] [--seq FIRST[-LAST]] [-S "
	      "SINCE]\n"
	      "                                [-U UNTIL] [FIELD=VALUE...]\n"
	      "\n"
	      "Makes training data (JSON Lines, for 'model train') of findings that were reviewed and the text that "
	      "was\n"
	      "kept of them: correct ones with the risks of their rule, wrong ones with none. What the packs of "
	      "personal\n"
	      "data and secrets find in a text, and what the policy redacts, is replaced by the name of the rule. Who\n"
	      "reads which evidence is on record before that. Evidence that is restricted, erased or on hold is left "
	      "out.\n"
	      "\n"
	      "  -o, --output FILE    a file that is not there yet; '-': standard output\n"
	      "  -i, --identity FILE  a file of age identities, as age-keygen makes it\n"
	      "  -p, --policy DIR     folder of packs (as the configuration says)\n"
	      "      --reason TEXT    for the record\n"
	      "      --seq FIRST-LAST, -S, -U, FIELD=VALUE   which findings, as `sluicectl events` takes them\n"
	      "\n"
	      "Exit status: 0 done, 1 there is nothing to learn from, 2 not done.\n",
	      to);
	return status;
}

static bool is_wanted(enum review review, Verdict verdict)
{
	(void)verdict;
	return review == REVIEW_CORRECT || review == REVIEW_WRONG;
}

static int take(void *arg, const struct lesson *lesson, const struct evidence_words *words)
{
	struct feedback *f = arg;
	struct buf text = BUF(EVIDENCE_MAX);
	struct judged_text one = { .lesson = lesson };
	int err = evidence_words_span(words, !lesson->judged, &text);

	err = err ? err : veil_draw(f->veil, &text, &f->replaced);
	if (!err && !buf_len(&text)) {
		f->empty++;
		return 0;
	}
	if (!err && f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 256;
		struct judged_text *more = reallocarray(f->at, room, sizeof(*more));

		if (more) {
			f->at = more;
			f->room = room;
		}
		err = more ? 0 : -ENOMEM;
	}
	one.len = buf_len(&text);
	one.text = err ? NULL : malloc(one.len);
	if (one.text) {
		memcpy(one.text, buf_slice(&text).at, one.len);
		f->at[f->n++] = one;
	}
	buf_free(&text);
	return err ? err : one.text ? 0 : -ENOMEM;
}

static int by_text(const struct judged_text *a, const struct judged_text *b)
{
	int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);

	return order ? order : a->len < b->len ? -1 : a->len > b->len;
}

static int by_text_and_rule(const void *x, const void *y)
{
	const struct judged_text *a = x, *b = y;
	int order = by_text(a, b);

	order = order ? order : strcmp(a->lesson->rule, b->lesson->rule);
	return order ? order : a->lesson->seq < b->lesson->seq ? -1 : a->lesson->seq > b->lesson->seq;
}

/* at[0..n) are of one text: whether two of them say different things of one rule. */
static bool is_disputed(const struct judged_text *at, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (!strcmp(at[i].lesson->rule, at[i - 1].lesson->rule) &&
		    at[i].lesson->review != at[i - 1].lesson->review)
			return true;
	return false;
}

static bool has_risk(const struct judged_text *at, size_t n, const char *risk)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < at[i].lesson->risk_count; k++)
			if (at[i].lesson->review == REVIEW_CORRECT && !strcmp(at[i].lesson->risks[k], risk))
				return true;
	return false;
}

static void put_names(FILE *to, const struct judged_text *at, size_t n)
{
	const char *comma = "";

	fputs(",\"risks\":[", to);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < at[i].lesson->risk_count; k++) {
			const char *risk = at[i].lesson->risks[k];

			if (at[i].lesson->review != REVIEW_CORRECT || has_risk(at, i, risk))
				continue;
			fputs(comma, to);
			cli_json_string(to, risk);
			comma = ",";
		}
	fputs("],\"rules\":[", to);
	for (size_t i = 0; i < n; i++)
		if (!i || strcmp(at[i].lesson->rule, at[i - 1].lesson->rule) != 0) {
			fputs(i ? "," : "", to);
			cli_json_string(to, at[i].lesson->rule);
		}
	fputs("]", to);
}

static void put_all(FILE *to, struct feedback *f)
{
	size_t n;

	if (f->n)
		qsort(f->at, f->n, sizeof(*f->at), by_text_and_rule);
	for (size_t i = 0; i < f->n; i += n) {
		const struct judged_text *at = &f->at[i];
		bool correct = false;

		for (n = 1; i + n < f->n && !by_text(at, &at[n]); n++)
			;
		if (is_disputed(at, n)) {
			f->disagreed++;
			continue;
		}
		for (size_t k = 0; k < n; k++)
			correct |= at[k].lesson->review == REVIEW_CORRECT;
		fputs("{\"text\":", to);
		cli_json_text(to, slice_of(at->text, at->len));
		put_names(to, at, n);
		fprintf(to, ",\"outcome\":\"%s\"}\n", review_names[correct ? REVIEW_CORRECT : REVIEW_WRONG]);
		f->correct += correct;
		f->wrong += !correct;
	}
}

static int feedback(const struct lesson_options *o, FILE *to, uint64_t *texts)
{
	owned(feedback_free) struct feedback f = { .replaced = 0 };
	owned(lessons_free) struct lessons lessons = { 0 };
	owned(own_free) char *record = NULL;
	owned(veil_close) struct veil veil = {};
	struct lesson_choice choice = { o->filter, o->first, o->last, is_wanted };
	struct lesson_run run = { .command = "feedback", .what = "feedback", .reason = o->reason };
	int err = cli_record_dir(&record);

	err = err ? err : veil_open(&veil, o->policy);
	err = err ? err : lessons_gather(&lessons, record, &choice);
	f.veil = &veil;
	run.record = record;
	run.keys = &o->keys;
	run.each = take;
	run.arg = &f;
	err = err ? err : lessons_read(&run, &lessons);
	if (err)
		return err;
	put_all(to, &f);
	*texts = f.correct + f.wrong;
	fprintf(stderr,
	        "feedback: correct=%" PRIu64 " wrong=%" PRIu64 " replaced=%" PRIu64 " disagreed=%" PRIu64
	        " empty=%" PRIu64 " not_kept=%" PRIu64 " erased=%" PRIu64 " restricted=%" PRIu64 " held=%" PRIu64
	        " unread=%" PRIu64 "\n",
	        f.correct, f.wrong, f.replaced, f.disagreed, f.empty, lessons.none, run.erased, run.restricted,
	        run.held, run.unread);
	return run.unread && !*texts ? -EIO : 0;
}

int model_feedback_main(int argc, char **argv)
{
	owned(lesson_options_free) struct lesson_options o = {};
	uint64_t texts = 0;
	int err = lesson_options_read(&o, "feedback", false, argc, argv);
	FILE *to;

	if (err)
		return err == 1         ? usage(stdout, FEEDBACK_OK)
		       : err == -EINVAL ? usage(stderr, FEEDBACK_ERROR)
		                        : FEEDBACK_ERROR;
	to = lesson_create("feedback", o.out);
	if (!to)
		return FEEDBACK_ERROR;
	err = feedback(&o, to, &texts);
	err = lesson_finish("feedback", o.out, to, err ? err : texts ? 0 : -ENODATA);
	return !err ? FEEDBACK_OK : err == -ENODATA ? FEEDBACK_NOTHING : FEEDBACK_ERROR;
}
