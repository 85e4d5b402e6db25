/* SPDX-License-Identifier: Apache-2.0 */
/* policy.c - sluicectl policy: check and reload. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"
#include "serve/serve.h"

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl policy check [-p DIR]\n"
	      "       sluicectl policy reload\n"
	      "\n"
	      "check names every mistake with file, line and column, and what the policy holds. Exit status: 0 good,\n"
	      "1 mistakes, 2 error. reload asks the daemon to take the policy in; a broken one is refused whole.\n",
	      to);
	return status;
}

static int check(const char *dir)
{
	owned(ruleset_put) struct ruleset *rules = NULL;
	struct scanner_stats stats;
	size_t keywords = 0;
	int err = cli_policy(&rules, dir);

	if (err)
		return err == -EINVAL ? 1 : 2;
	for (size_t i = 0; i < ruleset_rules(rules); i++)
		keywords += ruleset_rule_at(rules, i)->keywords;
	scanner_stats(ruleset_scanner(rules), &stats);
	printf("packs %zu, rules %zu, keywords %zu, patterns %zu\n", ruleset_packs(rules), ruleset_rules(rules),
	       keywords, ruleset_patterns(rules));
	printf("automaton: %zu states, %zu symbols, %zu KiB, longest keyword %zu characters\n", stats.states,
	       stats.symbols, stats.bytes / 1024, stats.longest);
	printf("digest ");
	for (size_t i = 0; i < RULESET_DIGEST; i++)
		printf("%02x", ruleset_digest(rules)[i]);
	putchar('\n');
	return 0;
}

static int reload(void)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	ReloadRequest body = RELOAD_REQUEST__INIT;
	ControlReply *reply = NULL;
	int status = 0;

	request.op_case = CONTROL_REQUEST__OP_RELOAD;
	request.reload = &body;
	if (cli_ask(&reply, &request))
		return 2;
	if (reply->error[0]) {
		fprintf(stderr, "sluicectl: the policy was refused, the old one stays:\n%s\n", reply->error);
		status = 1;
	}
	control_reply__free_unpacked(reply, NULL);
	return status;
}

int policy_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	const char *dir = NULL, *what;
	int c;

	while ((c = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout, 0);
		if (c != 'p')
			return usage(stderr, 2);
		dir = optarg;
	}
	if (optind + 1 != argc)
		return usage(stderr, 2);
	what = argv[optind];
	if (!strcmp(what, "check"))
		return check(dir);
	if (!strcmp(what, "reload"))
		return reload();
	if (!strcmp(what, "show") || !strcmp(what, "test") || !strcmp(what, "import")) {
		fprintf(stderr, "sluicectl: 'policy %s' is not supported by this version\n", what);
		return 2;
	}
	return usage(stderr, 2);
}
