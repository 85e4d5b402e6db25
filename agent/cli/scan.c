/* SPDX-License-Identifier: Apache-2.0 */
/* scan.c - sluicectl scan: the daemon's matcher on files. Exit status as grep's: 0 hit, 1 none, 2 error. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"

#define FILE_MAX (1ull << 30)

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl scan [-p DIR] [--json] [FILE...]\n"
	      "\n"
	      "Prints what the policy finds in the files (standard input by default), one hit a line; start and end\n"
	      "are byte offsets in the input. Exit status: 0 something was found, 1 nothing, 2 error.\n"
	      "\n"
	      "  -p, --policy DIR  folder of packs (as the configuration says)\n"
	      "      --json        one object a line: rule, risk, action, start, end; score, if a classifier was "
	      "asked\n",
	      to);
	return status;
}

static void print_hit(const char *file, const struct sight *hit, bool json)
{
	const struct rule *rule = hit->rule;

	if (!json) {
		printf("%s%s%zu-%zu %s %s", file ? file : "", file ? ":" : "", (size_t)hit->from, (size_t)hit->to,
		       action_names[rule->action], rule->id);
		for (size_t i = 0; i < rule->risk_count; i++)
			printf(" %s", rule->risks[i]);
		if (hit->judged)
			printf(" %.2f", classifier_probability(hit->logit));
		putchar('\n');
		return;
	}
	fputs("{\"rule\":", stdout);
	cli_json_string(stdout, rule->id);
	fputs(",\"risk\":", stdout);
	cli_json_string(stdout, rule->risks[0]);
	if (rule->risk_count > 1) {
		fputs(",\"risks\":[", stdout);
		for (size_t i = 0; i < rule->risk_count; i++) {
			fputs(i ? "," : "", stdout);
			cli_json_string(stdout, rule->risks[i]);
		}
		fputc(']', stdout);
	}
	printf(",\"action\":\"%s\",\"start\":%zu,\"end\":%zu", action_names[rule->action], (size_t)hit->from,
	       (size_t)hit->to);
	if (hit->judged)
		printf(",\"score\":%.4f", classifier_probability(hit->logit));
	if (file) {
		fputs(",\"file\":", stdout);
		cli_json_string(stdout, file);
	}
	fputs("}\n", stdout);
}

struct search {
	const char *name; /* of the file, or NULL: not shown */
	bool json;
	long hits;
};

static int show_hit(void *to, const struct sight *hit)
{
	struct search *x = to;

	print_hit(x->name, hit, x->json);
	x->hits++;
	return 0;
}

static int search(struct search *x, const struct ruleset *rules, struct slice text)
{
	struct scope anywhere = {};
	struct lookout state = { .locate = true };
	int err = lookout_feed(rules, &anywhere, &state, text, show_hit, x);

	if (!err)
		err = lookout_end(rules, &anywhere, &state, show_hit, x);
	lookout_free(&state);
	return err;
}

/* Returns how many hits, or -errno. */
static long scan_file(const struct ruleset *rules, const char *path, bool named, bool json)
{
	struct search x = { .name = named ? path : NULL, .json = json };
	owned(own_free) uint8_t *data = NULL;
	size_t len;
	int err = cli_read(path, FILE_MAX, &data, &len);

	if (!err)
		err = search(&x, rules, slice_of(data, len));
	if (!err)
		return x.hits;
	fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(-err));
	return err;
}

int scan_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(ruleset_put) struct ruleset *rules = NULL;
	const char *policy = NULL;
	bool json = false, failed = false;
	long found = 0;
	int c;

	while ((c = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			policy = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (cli_policy(&rules, policy))
		return 2;
	for (int i = optind; i < argc || i == optind; i++) {
		long n = scan_file(rules, i < argc ? argv[i] : "-", argc - optind > 1, json);

		if (n < 0)
			failed = true;
		else
			found += n;
	}
	return failed ? 2 : found ? 0 : 1;
}
