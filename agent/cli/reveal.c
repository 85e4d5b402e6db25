/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reveal.c - sluicectl reveal: the evidence of a finding, for who has an identity.
 *
 * The daemon is asked first and writes down who asks; it cannot decrypt. Then the age file is read from the record and
 * opened here.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/keyring.h"

enum { REVEAL_OK = 0, REVEAL_ERROR = 2 };

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl reveal SEQ --identity FILE [--reason TEXT]\n"
	      "       sluicectl reveal SEQ --sealed [--reason TEXT] > FILE.age\n"
	      "\n"
	      "Prints what was kept of a finding of the ledger, a line of JSON. Who asked is on record before that.\n"
	      "\n"
	      "  -i, --identity FILE  a file of age identities (AGE-SECRET-KEY-1...), as age-keygen makes it\n"
	      "      --sealed         the age file as it is, for `age -d`\n"
	      "      --reason TEXT    for the record\n"
	      "\n"
	      "Exit status: 0 shown, 2 not.\n",
	      to);
	return status;
}

/* Whether the daemon wrote it down and has nothing against it. */
static int ask(uint64_t seq, const char *reason)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	RevealRequest body = REVEAL_REQUEST__INIT;
	ControlReply *reply = NULL;
	int status = REVEAL_OK;

	body.seq = seq;
	body.reason = (char *)reason;
	request.op_case = CONTROL_REQUEST__OP_REVEAL;
	request.reveal = &body;
	if (cli_ask(&reply, &request))
		return REVEAL_ERROR;
	if (*reply->error) {
		fprintf(stderr, "reveal: %s\n", reply->error);
		status = REVEAL_ERROR;
	}
	control_reply__free_unpacked(reply, NULL);
	return status;
}

static int show(uint64_t seq, const struct keyring *k, bool sealed)
{
	owned(own_free) char *record = NULL;
	owned(own_free) char *dir = NULL;
	owned(own_free) uint8_t *file = NULL;
	struct evidence_place place;
	uint8_t *text = NULL;
	size_t len = 0, text_len = 0;
	int err;

	if (cli_record_dir(&record))
		return REVEAL_ERROR;
	if (asprintf(&dir, "%s/ledger", record) < 0) {
		dir = NULL;
		return REVEAL_ERROR;
	}
	err = evidence_find(&place, dir, seq);
	err = err ? err : evidence_read(dir, &place, &file, &len);
	if (!err && sealed)
		return fwrite(file, 1, len, stdout) == len ? REVEAL_OK : REVEAL_ERROR;
	err = err ? err : age_open(k->ids, k->n, file, len, &text, &text_len);
	if (err) {
		fprintf(stderr, "reveal: record %" PRIu64 ": %s\n", seq, keyring_why(err));
		return REVEAL_ERROR;
	}
	err = fwrite(text, 1, text_len, stdout) != text_len || fflush(stdout);
	explicit_bzero(text, text_len);
	free(text);
	return err ? REVEAL_ERROR : REVEAL_OK;
}

int reveal_main(int argc, char **argv)
{
	enum { SEALED = 256, REASON };
	static const struct option options[] = {
		{ "identity", required_argument, NULL, 'i' },
		{ "sealed", no_argument, NULL, SEALED },
		{ "reason", required_argument, NULL, REASON },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(keyring_wipe) struct keyring k = { .n = 0 };
	const char *reason = "";
	bool sealed = false;
	uint64_t seq, last;
	int c, status = 0;

	optind = 0;
	while (!status && (c = getopt_long(argc, argv, "i:h", options, NULL)) != -1) {
		switch (c) {
		case 'i':
			status = keyring_read(&k, "reveal", optarg) ? REVEAL_ERROR : 0;
			break;
		case SEALED:
			sealed = true;
			break;
		case REASON:
			reason = optarg;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, REVEAL_ERROR);
		}
	}
	if (status)
		return status;
	if (optind + 1 != argc || !cli_range(argv[optind], &seq, &last) || seq != last || sealed == (k.n > 0))
		return usage(stderr, REVEAL_ERROR);
	status = ask(seq, reason);
	return status ? status : show(seq, &k, sealed);
}
