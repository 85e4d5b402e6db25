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

#define SEEN_ROOM (1u << 18) /* more than twice LESSONS_MOST */

_Static_assert(SEEN_ROOM > 2 * LESSONS_MOST, "a place is found at once");

struct training {
	uint64_t *seen; /* owned: of texts that are out; 0: free */
	uint64_t same, reviewed;
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

static void put(FILE *to, const struct lesson *lesson, struct slice text, bool excerpt)
{
	fputs("{\"prompt\":\"\",\"completion\":", to);
	cli_json_text(to, text);
	fputs(",\"label\":false,\"risks\":[", to);
	for (size_t i = 0; i < lesson->risk_count; i++) {
		fputs(i ? "," : "", to);
		cli_json_string(to, lesson->risks[i]);
	}
	fputs("],\"rule\":", to);
	cli_json_string(to, lesson->rule);
	fprintf(to, ",\"verdict\":\"%s\",\"reviewed\":%s,\"excerpt\":%s}\n", verdict_name(lesson->verdict),
	        lesson->review == REVIEW_CORRECT ? "true" : "false", excerpt ? "true" : "false");
}

static int take(void *arg, struct lesson_output *out, const struct lesson *lesson, const struct evidence_words *words)
{
	struct training *t = arg;
	struct buf text = BUF(EVIDENCE_MAX);
	bool whole = words->has_answer;
	int err = whole ? buf_add(&text, text_uncut(buf_slice(&words->answer), words->answer_missing > 0, true))
	                : evidence_words_span(words, true, &text);

	err = err ? err : veil_draw(&out->veil, &text, &out->replaced);
	if (!err && !buf_len(&text)) {
		out->empty++;
	} else if (!err && is_seen(t, buf_slice(&text))) {
		t->same++;
	} else if (!err) {
		put(out->to, lesson, buf_slice(&text), !whole || words->answer_missing > 0);
		out->texts++;
		t->reviewed += lesson->review == REVIEW_CORRECT;
	}
	buf_free(&text);
	return err;
}

static int reviewed_first(const void *x, const void *y)
{
	const struct lesson *a = x, *b = y;
	bool left = a->review == REVIEW_CORRECT, right = b->review == REVIEW_CORRECT;

	return left != right ? (left ? -1 : 1) : a->seq < b->seq ? -1 : a->seq > b->seq;
}

static void count(void *arg, struct lesson_output *out)
{
	const struct training *t = arg;

	(void)out;
	fprintf(stderr, " reviewed=%" PRIu64 " same=%" PRIu64, t->reviewed, t->same);
}

static void training_free(struct training *t)
{
	free(t->seen);
}

int export_training_main(int argc, char **argv)
{
	owned(training_free) struct training t = { .seen = calloc(SEEN_ROOM, sizeof(*t.seen)) };
	const struct lesson_command command = { .name = "export",
		                                .what = "training",
		                                .training = true,
		                                .usage = usage,
		                                .wanted = is_negative,
		                                .reviewed = is_reviewed,
		                                .order = reviewed_first,
		                                .each = take,
		                                .end = count,
		                                .arg = &t };

	if (!t.seen)
		return LESSON_ERROR;
	return lesson_command(&command, argc, argv);
}
