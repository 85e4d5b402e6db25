/* SPDX-License-Identifier: Apache-2.0 */
/*
 * training.c - sluicectl export --training: answers that were stopped, as examples of what not to write.
 *
 * One object a line, as tools that tune models with unpaired preferences take them (TRL's KTO and others): "prompt",
 * "completion", and "label", which is false throughout. No prompt is kept, so it is empty. What a person marked wrong
 * is left out; what a person marked correct comes first, whatever its rule did.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/lesson.h"

enum { TRAINING_OK = 0, TRAINING_NOTHING = 1, TRAINING_ERROR = 2 };

#define SEEN_ROOM (1u << 18) /* more than twice LESSONS_MOST */

_Static_assert(SEEN_ROOM > 2 * LESSONS_MOST, "a place is found at once");

struct training {
	const struct veil *veil;
	FILE *to;
	uint64_t *seen; /* owned: of texts that are out; 0: free */
	uint64_t replaced, empty, same, texts, reviewed;
};

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl export --training FILE -i FILE [-p DIR] [--reviewed] [--reason TEXT] [--seq "
	      "FIRST[-LAST]]\n"
	      "                        [-S SINCE] [-U UNTIL] [FIELD=VALUE...]\n"
	      "\n"
	      "Answers that were blocked, or that a review says were rightly found, as negatives to tune the "
	      "generating\n"
	      "model with: JSON Lines of prompt (empty: none is kept), completion, label (false), risks, rule, "
	      "verdict,\n"
	      "reviewed, excerpt. Reviewed ones come first; what a review calls wrong or unsure is left out. What the "
	      "packs\n"
	      "of personal data and secrets find, and what the policy redacts, is replaced by the name of the rule. "
	      "Who\n"
	      "reads which evidence is on record before that. Evidence that is restricted, erased or on hold is left "
	      "out.\n"
	      "\n"
	      "      --training FILE  a file that is not there yet; '-': standard output\n"
	      "  -i, --identity FILE  a file of age identities, as age-keygen makes it\n"
	      "  -p, --policy DIR     folder of packs (as the configuration says)\n"
	      "      --reviewed       only what a review calls correct\n"
	      "      --reason TEXT    for the record\n"
	      "      --seq FIRST-LAST, -S, -U, FIELD=VALUE   which findings, as `sluicectl events` takes them\n"
	      "\n"
	      "Exit status: 0 done, 1 there is nothing to learn from, 2 not done.\n",
	      to);
	return status;
}

static bool is_negative(enum review review, Verdict verdict)
{
	return review == REVIEW_CORRECT || (review == REVIEW_NONE && verdict == VERDICT__BLOCKED);
}

static bool is_reviewed(enum review review, Verdict verdict)
{
	(void)verdict;
	return review == REVIEW_CORRECT;
}

/* Whether that text is out already; from now on it is. */
static bool is_seen(struct training *t, struct slice text)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	uint64_t key;
	size_t at;

	SHA256(text.at, text.len, digest);
	memcpy(&key, digest, sizeof(key));
	key |= !key;
	for (at = key % SEEN_ROOM; t->seen[at]; at = (at + 1) % SEEN_ROOM)
		if (t->seen[at] == key)
			return true;
	t->seen[at] = key;
	return false;
}

static const char *verdict_name(Verdict v)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&verdict__descriptor, (int)v);

	return value ? value->name : "VERDICT_UNSPECIFIED";
}

static void put(struct training *t, const struct lesson *lesson, struct slice text, bool excerpt)
{
	bool reviewed = lesson->review == REVIEW_CORRECT;

	fputs("{\"prompt\":\"\",\"completion\":", t->to);
	cli_json_text(t->to, text);
	fputs(",\"label\":false,\"risks\":[", t->to);
	for (size_t i = 0; i < lesson->risk_count; i++) {
		fputs(i ? "," : "", t->to);
		cli_json_string(t->to, lesson->risks[i]);
	}
	fputs("],\"rule\":", t->to);
	cli_json_string(t->to, lesson->rule);
	fprintf(t->to, ",\"verdict\":\"%s\",\"reviewed\":%s,\"excerpt\":%s}\n", verdict_name(lesson->verdict),
	        reviewed ? "true" : "false", excerpt ? "true" : "false");
	t->texts++;
	t->reviewed += reviewed;
}

static int take(void *arg, const struct lesson *lesson, const struct evidence_words *words)
{
	struct training *t = arg;
	struct buf text = BUF(EVIDENCE_MAX);
	bool whole = words->has_answer;
	int err = whole ? buf_add(&text, text_uncut(buf_slice(&words->answer), words->answer_missing > 0, true))
	                : evidence_words_span(words, true, &text);

	err = err ? err : veil_draw(t->veil, &text, &t->replaced);
	if (!err && !buf_len(&text))
		t->empty++;
	else if (!err && is_seen(t, buf_slice(&text)))
		t->same++;
	else if (!err)
		put(t, lesson, buf_slice(&text), !whole || words->answer_missing > 0);
	buf_free(&text);
	return err;
}

static int reviewed_first(const void *x, const void *y)
{
	const struct lesson *a = x, *b = y;
	bool left = a->review == REVIEW_CORRECT, right = b->review == REVIEW_CORRECT;

	return left != right ? (left ? -1 : 1) : a->seq < b->seq ? -1 : a->seq > b->seq;
}

static void training_free(struct training *t)
{
	free(t->seen);
}

static int training(const struct lesson_options *o, FILE *to, uint64_t *texts)
{
	owned(training_free) struct training t = { .to = to, .seen = calloc(SEEN_ROOM, sizeof(*t.seen)) };
	owned(lessons_free) struct lessons lessons = { 0 };
	owned(own_free) char *record = NULL;
	owned(veil_close) struct veil veil = {};
	struct lesson_choice choice = { o->filter, o->first, o->last, o->reviewed ? is_reviewed : is_negative };
	struct lesson_run run = { .command = "export", .what = "training", .reason = o->reason };
	int err = t.seen ? cli_record_dir(&record) : -ENOMEM;

	err = err ? err : veil_open(&veil, o->policy);
	err = err ? err : lessons_gather(&lessons, record, &choice);
	if (!err && lessons.n)
		qsort(lessons.at, lessons.n, sizeof(*lessons.at), reviewed_first);
	t.veil = &veil;
	run.record = record;
	run.keys = &o->keys;
	run.each = take;
	run.arg = &t;
	err = err ? err : lessons_read(&run, &lessons);
	if (err)
		return err;
	*texts = t.texts;
	fprintf(stderr,
	        "export: texts=%" PRIu64 " reviewed=%" PRIu64 " replaced=%" PRIu64 " same=%" PRIu64 " empty=%" PRIu64
	        " not_kept=%" PRIu64 " erased=%" PRIu64 " restricted=%" PRIu64 " held=%" PRIu64 " unread=%" PRIu64 "\n",
	        t.texts, t.reviewed, t.replaced, t.same, t.empty, lessons.none, run.erased, run.restricted, run.held,
	        run.unread);
	return run.unread && !*texts ? -EIO : 0;
}

int export_training_main(int argc, char **argv)
{
	owned(lesson_options_free) struct lesson_options o = {};
	uint64_t texts = 0;
	int err = lesson_options_read(&o, "export", true, argc, argv);
	FILE *to;

	if (err)
		return err == 1         ? usage(stdout, TRAINING_OK)
		       : err == -EINVAL ? usage(stderr, TRAINING_ERROR)
		                        : TRAINING_ERROR;
	to = lesson_create("export", o.out);
	if (!to)
		return TRAINING_ERROR;
	err = training(&o, to, &texts);
	err = lesson_finish("export", o.out, to, err ? err : texts ? 0 : -ENODATA);
	return !err ? TRAINING_OK : err == -ENODATA ? TRAINING_NOTHING : TRAINING_ERROR;
}
