/* SPDX-License-Identifier: Apache-2.0 */
/* review.c - sluicectl review: whoever looked at a finding says what it was. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/lesson.h"

enum { REVIEW_OK = 0, REVIEW_ERROR = 2 };

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl review SEQ... --outcome correct|wrong|unsure [--note TEXT] [--reviewer NAME]\n"
	      "\n"
	      "Says what findings of the ledger were; it goes on record, with who says so. A later review of a "
	      "finding\n"
	      "counts instead of the one before; both stay. See them by: sluicectl events type=review, and by rule:\n"
	      "sluicectl stats --by review\n"
	      "\n"
	      "      --outcome OUTCOME  correct: it was what the rule says; wrong: it was harmless; unsure\n"
	      "      --note TEXT        why; no word of the evidence, which is refused as far as rules know it\n"
	      "      --reviewer NAME    whose word it is, if not that of the account\n"
	      "\n"
	      "Exit status: 0 on record, 2 not (of several: not all).\n",
	      to);
	return status;
}

/* What the shipped packs find in a text may not go on record; the daemon asks the policy in force. */
static bool is_clean(const char *text)
{
	owned(veil_close) struct veil v = {};
	struct buf b = BUF(65536);
	uint64_t found = 0;
	int err = *text ? veil_open_shipped(&v) : 0;

	if (!err && *text)
		err = ruleset_deidentify(v.shipped, true, slice_str(text), &b, &found);
	buf_free(&b);
	if (err || found)
		fprintf(stderr, "review: %s\n",
		        err ? strerror(-err)
		            : "the note may hold no evidence: there is personal data or a secret in it");
	return !err && !found;
}

static int ask(const ReviewRequest *body)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	ControlReply *reply = NULL;
	int status = REVIEW_OK;

	request.op_case = CONTROL_REQUEST__OP_REVIEW;
	request.review = (ReviewRequest *)body;
	if (cli_ask(&reply, &request))
		return REVIEW_ERROR;
	if (*reply->error) {
		fprintf(stderr, "review: record %" PRIu64 ": %s\n", body->seq, reply->error);
		status = REVIEW_ERROR;
	}
	control_reply__free_unpacked(reply, NULL);
	return status;
}

int review_main(int argc, char **argv)
{
	enum { OUTCOME = 256, NOTE, REVIEWER };
	static const struct option options[] = {
		{ "outcome", required_argument, NULL, OUTCOME },
		{ "note", required_argument, NULL, NOTE },
		{ "reviewer", required_argument, NULL, REVIEWER },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	ReviewRequest body = REVIEW_REQUEST__INIT;
	int c, status = REVIEW_OK;
	uint64_t last;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OUTCOME:
			body.outcome = optarg;
			break;
		case NOTE:
			body.note = optarg;
			break;
		case REVIEWER:
			body.reviewer = optarg;
			break;
		case 'h':
			return usage(stdout, REVIEW_OK);
		default:
			return usage(stderr, REVIEW_ERROR);
		}
	}
	if (optind == argc || !*body.outcome)
		return usage(stderr, REVIEW_ERROR);
	for (int i = optind; i < argc; i++)
		if (!cli_range(argv[i], &body.seq, &last) || body.seq != last)
			return usage(stderr, REVIEW_ERROR);
	if (!is_clean(body.note) || !is_clean(body.reviewer))
		return REVIEW_ERROR;
	for (int i = optind; i < argc; i++) {
		cli_range(argv[i], &body.seq, &last);
		if (ask(&body))
			status = REVIEW_ERROR;
	}
	return status;
}
