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
	      "      --json        one object a line: rule, risk, action, start, end\n",
	      to);
	return status;
}

static void print_hit(const char *file, const struct rule *rule, size_t start, size_t end, bool json)
{
	if (!json) {
		printf("%s%s%zu-%zu %s %s", file ? file : "", file ? ":" : "", start, end, action_names[rule->action],
		       rule->id);
		for (size_t i = 0; i < rule->risk_count; i++)
			printf(" %s", rule->risks[i]);
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
	printf(",\"action\":\"%s\",\"start\":%zu,\"end\":%zu", action_names[rule->action], start, end);
	if (file) {
		fputs(",\"file\":", stdout);
		cli_json_string(stdout, file);
	}
	fputs("}\n", stdout);
}

/* Returns how many hits, or -errno. */
static long scan_file(const struct ruleset *rules, const char *path, bool named, bool json)
{
	const struct scanner *s = ruleset_scanner(rules);
	struct scan_state zero = {}, state = {};
	owned(own_free) uint8_t *data = NULL;
	struct scan_hit hits[SCAN_NEEDLE_MAX];
	size_t len, at = 0, used, n;
	long count = 0;
	bool over = false;
	int err = cli_read(path, FILE_MAX, &data, &len);

	if (err) {
		fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(-err));
		return err;
	}
	/* In pieces, so that hits can be located from a state that is not far behind. */
	while (!over) {
		struct slice piece = slice_of(data + at, len - at < 65536 ? len - at : 65536);

		n = scan_feed(s, &state, piece, &used, hits, ARRAY_LEN(hits));
		at += used;
		over = at == len && n < ARRAY_LEN(hits);
		if (over && !n)
			break;
		for (size_t i = 0; i < n; i++, count++) {
			size_t from, to;

			scan_locate(s, zero, slice_of(data, len), hits[i].start, hits[i].end, &from, &to);
			print_hit(named ? path : NULL, ruleset_rule(rules, hits[i].needle), from, to, json);
		}
	}
	n = scan_end(s, &state, hits, ARRAY_LEN(hits));
	for (size_t i = 0; i < n; i++, count++) {
		size_t from, to;

		scan_locate(s, zero, slice_of(data, len), hits[i].start, hits[i].end, &from, &to);
		print_hit(named ? path : NULL, ruleset_rule(rules, hits[i].needle), from, to, json);
	}
	return count;
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
