/* SPDX-License-Identifier: Apache-2.0 */
/* erase.c - sluicectl erase: the evidence of findings, for good; the records stay, and still prove what they say. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

enum { ERASE_OK = 0, ERASE_NOTHING = 1, ERASE_ERROR = 2 };

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl erase SEQ[-LAST] --requester TEXT --basis TEXT [--reason TEXT]\n"
	      "\n"
	      "Erases what was kept of findings of the ledger: the keys of the texts are overwritten, an Erasure says\n"
	      "so. Under a hold, and for the days that the law wants logs kept, it is restricted instead: not shown "
	      "to\n"
	      "anybody, and erased when that is over. At most 1000 findings with evidence at a time.\n"
	      "\n"
	      "      --requester TEXT  who wants it, as a reference and not as a name\n"
	      "      --basis TEXT      on what ground, as \"PIPL 47\"\n"
	      "      --reason TEXT     for the record\n"
	      "\n"
	      "Exit status: 0 done, 1 there was nothing to do, 2 not done.\n",
	      to);
	return status;
}

static int ask(EraseRequest *body)
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
		printf("erased %" PRIu64 ", restricted %" PRIu64 ", before %" PRIu64 "\n", reply->erase->erased,
		       reply->erase->restricted, reply->erase->before);
		if (!reply->erase->erased && !reply->erase->restricted)
			status = ERASE_NOTHING;
	}
	control_reply__free_unpacked(reply, NULL);
	return status;
}

int erase_main(int argc, char **argv)
{
	enum { REQUESTER = 256, BASIS, REASON };
	static const struct option options[] = {
		{ "requester", required_argument, NULL, REQUESTER },
		{ "basis", required_argument, NULL, BASIS },
		{ "reason", required_argument, NULL, REASON },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	EraseRequest body = ERASE_REQUEST__INIT;
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
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, ERASE_ERROR);
		}
	}
	if (optind + 1 != argc || !cli_range(argv[optind], &body.first_seq, &body.last_seq) || !*body.requester ||
	    !*body.basis)
		return usage(stderr, ERASE_ERROR);
	return ask(&body);
}
