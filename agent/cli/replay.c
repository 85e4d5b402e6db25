/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c - sluicectl replay: raw HTTP bytes through the daemon's own decode, scan and enforce path, without a
 * network.
 *
 * Several requests may stand in one file, and their answers in the other, as on a connection.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/replay.h"

#define INPUT_MAX (64u << 20)

enum { EXIT_CLEARED = 0, EXIT_ERROR = 2, EXIT_REDACTED = 10, EXIT_BLOCKED = 11, EXIT_EXCEPTION = 12 };

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl replay [-p DIR] --request FILE --response FILE [--cut N|each|bytes] [--json]\n"
	      "       sluicectl replay [-p DIR] --against DIR (--request FILE --response FILE | FILE...) [--json]\n"
	      "\n"
	      "Writes what a client would have got to standard output. Exit status: 0 cleared, 10 redacted, 11 "
	      "blocked,\n"
	      "12 exception, 2 error.\n"
	      "\n"
	      "  -p, --policy DIR     folder of packs (as the configuration says)\n"
	      "      --request FILE   what the client sent\n"
	      "      --response FILE  what the server sent\n"
	      "      --cut N          the response comes in two pieces, the first N bytes long\n"
	      "      --cut each       once for each N, and a byte at a time; any difference is an error\n"
	      "      --cut bytes      a byte at a time\n"
	      "      --against DIR    what another policy would make of it, or of texts, one a line or a column of a "
	      "CSV:\n"
	      "                       differences by rule; exit status 0 none, 1 some, 2 error\n"
	      "      --opinions WHAT  what is said to rules that ask for an opinion: safe, or unsafe (the default)\n"
	      "      --json           verdict, rule, coverage as one line on standard error\n",
	      to);
	return status;
}

static void print_json(const struct outcome *o)
{
	fprintf(stderr, "{\"verdict\":\"%s\",\"rule\":", verdict_names[o->verdict]);
	if (o->rule[0])
		cli_json_string(stderr, o->rule);
	else
		fputs("null", stderr);
	fputs(",\"risk\":", stderr);
	if (o->risk[0])
		cli_json_string(stderr, o->risk);
	else
		fputs("null", stderr);
	if (o->judged)
		fprintf(stderr, ",\"score\":%.4f,\"exposed_chars\":%" PRIu64, classifier_probability(o->logit),
		        o->exposed);
	fprintf(stderr,
	        ",\"released\":%" PRIu64 ",\"withheld\":%" PRIu64 ",\"held_max_chars\":%" PRIu32 ",\"exception\":",
	        o->coverage.released, o->coverage.withheld, o->max_hold);
	if (o->exception != EXCEPTION_NONE)
		cli_json_string(stderr, exception_table[o->exception].name);
	else
		fputs("null", stderr);
	if (o->detail) {
		fputs(",\"detail\":", stderr);
		cli_json_string(stderr, o->detail);
	}
	fprintf(stderr,
	        ",\"exchanges\":%u,\"coverage\":{\"in\":%" PRIu64 ",\"scanned\":%" PRIu64 ",\"structural\":%" PRIu64
	        ",\"withheld\":%" PRIu64 "}}\n",
	        o->exchanges, o->coverage.in, o->coverage.scanned, o->coverage.structural, o->coverage.withheld);
}

static int exit_status(const struct outcome *o)
{
	switch (o->verdict) {
	case VERDICT_REDACTED:
		return EXIT_REDACTED;
	case VERDICT_BLOCKED:
		return EXIT_BLOCKED;
	case VERDICT_EXCEPTION:
		return EXIT_EXCEPTION;
	default:
		return EXIT_CLEARED;
	}
}

/* Every cut gives what the whole gave, or -EILSEQ. */
static int run_each(struct ruleset *rules, const struct input *request, const struct input *response, bool safe,
                    const struct outcome *whole)
{
	for (size_t cut = 0; cut <= response->len; cut++) {
		struct outcome o;
		size_t how = cut == response->len ? CUT_BYTES : cut;
		int err = replay_run(rules, request, response, how, safe, &o);
		bool alike = !err && replay_same(&o, whole);

		buf_free(&o.out);
		if (err)
			return err;
		if (!alike) {
			fprintf(stderr, "sluicectl: cut %s%zu: the result differs\n",
			        how == CUT_BYTES ? "by bytes, " : "at ", cut);
			return -EILSEQ;
		}
	}
	return 0;
}

static bool parse_cut(const char *text, size_t *cut, bool *each)
{
	char *end;

	if (!strcmp(text, "each")) {
		*each = true;
		return true;
	}
	if (!strcmp(text, "bytes")) {
		*cut = CUT_BYTES;
		return true;
	}
	errno = 0;
	*cut = strtoull(text, &end, 10);
	return end != text && !*end && !errno && text[0] != '-';
}

int replay_main(int argc, char **argv)
{
	enum { REQUEST = 256, RESPONSE, CUT, AGAINST, OPINIONS, JSON };
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "request", required_argument, NULL, REQUEST },
		{ "response", required_argument, NULL, RESPONSE },
		{ "cut", required_argument, NULL, CUT },
		{ "against", required_argument, NULL, AGAINST },
		{ "opinions", required_argument, NULL, OPINIONS },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	const char *policy = NULL, *against = NULL, *files[2] = {};
	owned(ruleset_put) struct ruleset *rules = NULL, *other = NULL;
	struct input in[2] = {};
	struct outcome o = {};
	size_t cut = CUT_NONE;
	bool json = false, each = false, safe = false;
	int c, err = 0, status = EXIT_ERROR;

	while ((c = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			policy = optarg;
			break;
		case REQUEST:
		case RESPONSE:
			files[c - REQUEST] = optarg;
			break;
		case CUT:
			if (!parse_cut(optarg, &cut, &each)) {
				fprintf(stderr, "sluicectl: --cut takes a number, 'each' or 'bytes', not '%s'\n",
				        optarg);
				return EXIT_ERROR;
			}
			break;
		case AGAINST:
			against = optarg;
			break;
		case OPINIONS:
			safe = !strcmp(optarg, "safe");
			if (!safe && strcmp(optarg, "unsafe")) {
				fprintf(stderr, "sluicectl: --opinions takes 'safe' or 'unsafe', not '%s'\n", optarg);
				return EXIT_ERROR;
			}
			break;
		case JSON:
			json = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, EXIT_ERROR);
		}
	}
	if (against && optind < argc && !files[0] && !files[1])
		return cli_policy(&rules, policy) || cli_policy(&other, against)
		               ? EXIT_ERROR
		               : against_texts(rules, other, argv + optind, (size_t)(argc - optind), json);
	if (!files[0] || !files[1] || optind < argc)
		return usage(stderr, EXIT_ERROR);
	for (int i = 0; i < 2 && !err; i++) {
		err = cli_read(files[i], INPUT_MAX, &in[i].data, &in[i].len);
		if (err)
			fprintf(stderr, "sluicectl: %s: %s\n", files[i], strerror(-err));
	}
	if (!err && against) {
		if (!cli_policy(&rules, policy) && !cli_policy(&other, against))
			status = against_exchange(rules, other, &in[0], &in[1], json);
	} else if (!err && !cli_policy(&rules, policy)) {
		err = replay_run(rules, &in[0], &in[1], cut, safe, &o);
		if (!err && each)
			err = run_each(rules, &in[0], &in[1], safe, &o);
		if (err && err != -EILSEQ)
			fprintf(stderr, "sluicectl: replay: %s\n", strerror(-err));
		if (!err) {
			if (buf_len(&o.out))
				fwrite(buf_slice(&o.out).at, 1, buf_len(&o.out), stdout);
			if (fflush(stdout))
				err = -errno;
			if (json)
				print_json(&o);
			status = err ? EXIT_ERROR : exit_status(&o);
		}
	}
	buf_free(&o.out);
	free(in[0].data);
	free(in[1].data);
	return status;
}
