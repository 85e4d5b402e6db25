/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c - sluicectl hold: records that must not be pruned, until they are released. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "cli/cli.h"
#include "record/record.h"

enum { HOLD_OK = 0, HOLD_ERROR = 2 };

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl hold add ID --authority TEXT (--all | --seq FIRST[-LAST]) [--until DATE] [--reason "
	      "TEXT]\n"
	      "       sluicectl hold release ID [--reason TEXT]\n"
	      "       sluicectl hold list [-D DIR]\n"
	      "\n"
	      "      --authority TEXT   who ordered it\n"
	      "      --all              every record of both logs\n"
	      "      --seq FIRST-LAST   records of the ledger; their segments are kept whole\n"
	      "      --until DATE       YYYY-MM-DD, UTC; without it until it is released\n"
	      "  -D, --directory DIR    a record directory\n"
	      "\n"
	      "Exit status: 0 done, 2 not.\n",
	      to);
	return status;
}

static void hold_line(const Record *r)
{
	char until[32] = "-";
	time_t t = (time_t)(r->hold->until_unix_nano / 1000000000u);
	struct tm tm;

	if (t && gmtime_r(&t, &tm))
		strftime(until, sizeof(until), "%Y-%m-%d", &tm);
	printf("%s\t%s\tuntil %s\tby %s\n", r->hold->id, r->hold->filter, until, r->hold->authority);
}

/* Each hold, by the record that set it, unless one of its id follows that ends it. */
static int list(const char *dir)
{
	owned(own_free) char *inner = NULL;
	struct ledger_reader *r = NULL;
	struct holds *now = NULL;
	const Record *record;
	int err = asprintf(&inner, "%s/control", dir) < 0 ? -ENOMEM : 0, got;

	err = err ? err : holds_open(&now, inner);
	err = err ? err : ledger_reader_open(&r, inner);
	while (!err && ((got = ledger_next(r, &record)) == 1 || got == -EBADMSG))
		if (got == 1 && record->body_case == RECORD__BODY_HOLD && !record->hold->released &&
		    holds_has(now, record->hold->id))
			hold_line(record);
	if (err)
		fprintf(stderr, "hold: %s: %s\n", inner ? inner : dir, strerror(-err));
	ledger_reader_close(&r);
	holds_close(&now);
	return err ? HOLD_ERROR : HOLD_OK;
}

static int ask(const HoldRequest *body)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	ControlReply *reply = NULL;
	int status = HOLD_OK;

	request.op_case = CONTROL_REQUEST__OP_HOLD;
	request.hold = (HoldRequest *)body;
	if (cli_ask(&reply, &request))
		return HOLD_ERROR;
	if (*reply->error) {
		fprintf(stderr, "hold: %s\n", reply->error);
		status = HOLD_ERROR;
	}
	control_reply__free_unpacked(reply, NULL);
	return status;
}

static bool read_until(HoldRequest *to, const char *text)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%d", &tm);
	time_t t = end && !*end ? timegm(&tm) : -1;

	to->until_unix_nano = t > 0 ? (uint64_t)t * 1000000000u : 0;
	return t > time(NULL);
}

int hold_main(int argc, char **argv)
{
	enum { AUTHORITY = 256, ALL, SEQ, UNTIL, REASON };
	static const struct option options[] = {
		{ "authority", required_argument, NULL, AUTHORITY },
		{ "all", no_argument, NULL, ALL },
		{ "seq", required_argument, NULL, SEQ },
		{ "until", required_argument, NULL, UNTIL },
		{ "reason", required_argument, NULL, REASON },
		{ "directory", required_argument, NULL, 'D' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(own_free) char *dir = NULL;
	HoldRequest body = HOLD_REQUEST__INIT;
	const char *what;
	bool ranged = false;
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "D:h", options, NULL)) != -1) {
		switch (c) {
		case AUTHORITY:
			body.authority = optarg;
			break;
		case ALL:
			body.all = true;
			break;
		case SEQ:
			if (!cli_range(optarg, &body.first_seq, &body.last_seq))
				return usage(stderr, HOLD_ERROR);
			ranged = true;
			break;
		case UNTIL:
			if (!read_until(&body, optarg)) {
				fprintf(stderr, "hold: --until: a day to come, YYYY-MM-DD, not '%s'\n", optarg);
				return HOLD_ERROR;
			}
			break;
		case REASON:
			body.reason = optarg;
			break;
		case 'D':
			free(dir);
			dir = strdup(optarg);
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, HOLD_ERROR);
		}
	}
	what = optind < argc ? argv[optind++] : "";
	if (!strcmp(what, "list") && optind == argc)
		return !dir && cli_record_dir(&dir) ? HOLD_ERROR : list(dir);
	if (optind + 1 != argc)
		return usage(stderr, HOLD_ERROR);
	body.id = argv[optind];
	body.release = !strcmp(what, "release");
	if (!body.release && (strcmp(what, "add") != 0 || !*body.authority || body.all == ranged))
		return usage(stderr, HOLD_ERROR);
	return ask(&body);
}
