/* SPDX-License-Identifier: Apache-2.0 */
/* policy.c - sluicectl policy: a table of what can be done with one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/policy.h"
#include "serve/serve.h"

static int reload_main(int argc, char **argv);

static const struct part {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *about;
} parts[] = {
	{ "check", policy_check_main, "every mistake, and what the policy holds and lacks" },
	{ "show", policy_show_main, "rules, and why a text hits" },
	{ "test", policy_test_main, "each rule's examples, and banks of texts" },
	{ "import", policy_import_main, "word lists of others become a pack" },
	{ "reload", reload_main, "ask the daemon to take the policy in; a broken one is refused whole" },
};

static int usage(FILE *to, int status)
{
	/* The names in one word: shells complete them from here. */
	fputs("usage: sluicectl policy ", to);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		fprintf(to, "%s%s", i ? "|" : "", parts[i].name);
	fputs(" [...]\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		fprintf(to, "  %-7s %s\n", parts[i].name, parts[i].about);
	fputs("\n'sluicectl policy COMMAND --help' says more.\n", to);
	return status;
}

static int reload_main(int argc, char **argv)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	ReloadRequest body = RELOAD_REQUEST__INIT;
	ControlReply *reply = NULL;
	int status = 0;

	if (argc != 1)
		return argc == 2 && !strcmp(argv[1], "--help") ? usage(stdout, 0) : usage(stderr, 2);
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
	if (argc < 2)
		return usage(stderr, 2);
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))
		return usage(stdout, 0);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (!strcmp(parts[i].name, argv[1]))
			return parts[i].run(argc - 1, argv + 1);
	fprintf(stderr, "sluicectl: unknown command 'policy %s'\n", argv[1]);
	return usage(stderr, 2);
}
