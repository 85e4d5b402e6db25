/* SPDX-License-Identifier: Apache-2.0 */
/* scan.c - sluicectl scan: the daemon's matcher on files. Exit status as grep's: 0 hit, 1 none, 2 error. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"

#define FILE_MAX (1ull << 30)
#define PIECE    2048 /* bytes between two places that hits are located from */

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

/* Where the text was walked before: a hit is located from the last such place in front of it, not from the start. */
struct place {
	size_t at; /* bytes before it */
	struct scan_state state;
};

struct search {
	const struct ruleset *rules;
	const char *name; /* of the file, or NULL: not shown */
	bool json;
	struct slice text;
	struct place *places; /* owned; the first is the start */
	size_t count, room;
	long hits;
};

static int place_add(struct search *x, size_t at, const struct scan_state *state)
{
	if (state->tail_len) /* inside a character */
		return 0;
	if (x->count == x->room) {
		size_t room = x->room ? 2 * x->room : 64;
		struct place *more = realloc(x->places, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		x->places = more;
		x->room = room;
	}
	x->places[x->count++] = (struct place){ at, *state };
	return 0;
}

static void show_hits(struct search *x, const struct scan_hit *hits, size_t n)
{
	const struct scanner *s = ruleset_scanner(x->rules);

	for (size_t i = 0; i < n; i++) {
		size_t from, to, k = x->count - 1;

		while (k && x->places[k].state.symbols > hits[i].start)
			k--;
		scan_locate(s, x->places[k].state, slice_from(x->text, x->places[k].at), hits[i].start, hits[i].end,
		            &from, &to);
		print_hit(x->name, ruleset_rule(x->rules, hits[i].needle), x->places[k].at + from, x->places[k].at + to,
		          x->json);
	}
	x->hits += (long)n;
}

static int search(struct search *x)
{
	const struct scanner *s = ruleset_scanner(x->rules);
	struct scan_hit hits[SCAN_NEEDLE_MAX];
	struct scan_state state = {};
	size_t at = 0, used, n = 0;

	while (at < x->text.len || n == ARRAY_LEN(hits)) {
		size_t left = x->text.len - at;
		int err = place_add(x, at, &state);

		if (err)
			return err;
		n = scan_feed(s, &state, slice_of(x->text.at + at, left < PIECE ? left : PIECE), &used, hits,
		              ARRAY_LEN(hits));
		at += used;
		show_hits(x, hits, n);
	}
	show_hits(x, hits, scan_end(s, &state, hits, ARRAY_LEN(hits)));
	return 0;
}

/* Returns how many hits, or -errno. */
static long scan_file(const struct ruleset *rules, const char *path, bool named, bool json)
{
	struct search x = { .rules = rules, .name = named ? path : NULL, .json = json };
	owned(own_free) uint8_t *data = NULL;
	size_t len;
	int err = cli_read(path, FILE_MAX, &data, &len);

	if (!err) {
		x.text = slice_of(data, len);
		err = search(&x);
	}
	free(x.places);
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
