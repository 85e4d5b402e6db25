/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erase.c - sluicectl erase: the evidence of findings, for good; the records stay, and still prove what they say.
 *
 * Which findings are of a pseudonym is looked up here, so that the daemon does not read months of records for it.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"
#include "record/record.h"

enum { ERASE_OK = 0, ERASE_NOTHING = 1, ERASE_ERROR = 2 };

#define AT_ONCE      200 /* seqs in a request, which has its bound */
#define SUBJECTS_MAX 64
#define SUBJECT_HEX  (2 * SUBJECT_TAG)

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl erase SEQ[-LAST] --requester TEXT --basis TEXT [--reason TEXT]\n"
	      "       sluicectl erase --subject PSEUDONYM... --requester TEXT --basis TEXT [--reason TEXT]\n"
	      "\n"
	      "Erases what was kept of findings of the ledger: the keys of the texts are overwritten, an Erasure says\n"
	      "so. Under a hold, and for the days that the law wants logs kept, it is restricted instead: not shown "
	      "to\n"
	      "anybody, and erased when that is over. Of a range at most 1000 findings with evidence at a time.\n"
	      "\n"
	      "      --subject PSEUDONYM  all that was kept of answers to them: `sluicectl subject` tells somebody's\n"
	      "                        pseudonyms. Answers that are under way are found when they are on record.\n"
	      "      --requester TEXT  who wants it, as a reference and not as a name\n"
	      "      --basis TEXT      on what ground, as \"PIPL 47\"\n"
	      "      --reason TEXT     for the record\n"
	      "\n"
	      "Exit status: 0 done, 1 there was nothing to do, 2 not done.\n",
	      to);
	return status;
}

/* What came of it, added up. */
struct erased {
	uint64_t erased, restricted, before;
};

static int ask(EraseRequest *body, struct erased *sum)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	ControlReply *reply = NULL;
	int status = ERASE_OK;

	request.op_case = CONTROL_REQUEST__OP_ERASE;
	request.erase = body;
	if (cli_ask(&reply, &request))
		return ERASE_ERROR;
	if (*reply->error || !reply->erase) {
		fprintf(stderr, "erase: %s\n", *reply->error ? reply->error : "the daemon does not say");
		status = ERASE_ERROR;
	} else {
		sum->erased += reply->erase->erased;
		sum->restricted += reply->erase->restricted;
		sum->before += reply->erase->before;
	}
	control_reply__free_unpacked(reply, NULL);
	return status;
}

static int tell(const struct erased *sum, int status)
{
	printf("erased %" PRIu64 ", restricted %" PRIu64 ", before %" PRIu64 "\n", sum->erased, sum->restricted,
	       sum->before);
	return status ? status : sum->erased || sum->restricted ? ERASE_OK : ERASE_NOTHING;
}

/* ---- of a pseudonym ---- */

struct seqs {
	uint64_t *at; /* owned */
	size_t n, room;
};

static void seqs_free(struct seqs *s)
{
	free(s->at);
}

static int add_seq(struct seqs *s, const Record *r)
{
	struct evidence_place p;

	if (evidence_place(&p, r))
		return 0;
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 256;
		uint64_t *more = reallocarray(s->at, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->at = more;
		s->room = room;
	}
	s->at[s->n++] = r->seq;
	return 0;
}

/* Findings with evidence, of the whole ledger. What is damaged is for verify to tell. */
static int find(const char *subject, struct seqs *out)
{
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	owned(record_filter_free) struct record_filter *f = NULL;
	owned(own_free) char *record = NULL;
	owned(own_free) char *dir = NULL;
	char match[64];
	const Record *one;
	int err, got;

	if (cli_record_dir(&record))
		return -ENOENT;
	if (asprintf(&dir, "%s/ledger", record) < 0) {
		dir = NULL;
		return -ENOMEM;
	}
	snprintf(match, sizeof(match), "subject_tag=%s", subject);
	err = record_filter_new(&f);
	if (!err && (record_filter_add(f, "type=finding") || record_filter_add(f, match)))
		err = -EINVAL;
	err = err ? err : ledger_reader_open(&r, dir);
	if (err) {
		fprintf(stderr, "erase: %s: %s\n", dir, strerror(-err));
		return err;
	}
	ledger_reader_filter(r, f);
	while (!err && ((got = ledger_next(r, &one)) == 1 || got == -EBADMSG))
		if (got == 1)
			err = add_seq(out, one);
	return err;
}

static int erase_subject(EraseRequest *body, const char *subject, struct erased *sum)
{
	owned(seqs_free) struct seqs all = { 0 };
	int status = find(subject, &all) ? ERASE_ERROR : ERASE_OK;

	body->subject = (char *)subject;
	for (size_t at = 0; at < all.n && !status; at += body->n_seqs) {
		body->seqs = all.at + at;
		body->n_seqs = all.n - at < AT_ONCE ? all.n - at : AT_ONCE;
		status = ask(body, sum);
	}
	return status;
}

static int erase_subjects(EraseRequest *body, char *const *subjects, size_t n)
{
	struct erased sum = { 0 };
	int status = ERASE_OK;

	for (size_t i = 0; i < n && !status; i++)
		status = erase_subject(body, subjects[i], &sum);
	return tell(&sum, status);
}

static bool is_subject(const char *text)
{
	return strspn(text, "0123456789abcdef") == SUBJECT_HEX && !text[SUBJECT_HEX];
}

/* ---- of a range ---- */

static int erase_range(EraseRequest *body)
{
	struct erased sum = { 0 };
	int status = ask(body, &sum);

	return status ? status : tell(&sum, status);
}

int erase_main(int argc, char **argv)
{
	enum { REQUESTER = 256, BASIS, REASON, SUBJECT };
	static const struct option options[] = {
		{ "requester", required_argument, NULL, REQUESTER },
		{ "basis", required_argument, NULL, BASIS },
		{ "reason", required_argument, NULL, REASON },
		{ "subject", required_argument, NULL, SUBJECT },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	EraseRequest body = ERASE_REQUEST__INIT;
	char *subjects[SUBJECTS_MAX];
	size_t n = 0;
	bool good = true;
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case REQUESTER:
			body.requester = optarg;
			break;
		case BASIS:
			body.basis = optarg;
			break;
		case REASON:
			body.reason = optarg;
			break;
		case SUBJECT:
			good &= n < SUBJECTS_MAX && is_subject(optarg);
			subjects[n < SUBJECTS_MAX ? n++ : 0] = optarg;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, ERASE_ERROR);
		}
	}
	good &= n ? optind == argc : optind + 1 == argc && cli_range(argv[optind], &body.first_seq, &body.last_seq);
	if (!good || !*body.requester || !*body.basis)
		return usage(stderr, ERASE_ERROR);
	return n ? erase_subjects(&body, subjects, n) : erase_range(&body);
}
