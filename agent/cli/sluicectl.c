/* SPDX-License-Identifier: Apache-2.0 */
/* sluicectl.c - the table of subcommands. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *about;
};

static int version_main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("sluicectl " SLUICE_VERSION);
	return 0;
}

static const struct command commands[] = {
	{ "status", status_main, "what is guarded, what is not, counters  [--json]" },
	{ "services", services_main, "guarded services and their addresses" },
	{ "events", events_main, "the record: -S -U -f -n -r -o -g -p FIELD=VALUE -D" },
	{ "stats", stats_main, "counts and rates of the record  [--by LIST] [--json]" },
	{ "top", top_main, "live view: services, streams, verdicts, latency  [-b] [-n N] [-d SECONDS]" },
	{ "reindex", reindex_main, "writes the record's indexes anew  [-D DIR]" },
	{ "verify", verify_main, "is the record what was signed?  [-D DIR] [--key VKEY|FILE]" },
	{ "witness", witness_main, "cosign the checkpoints of other hosts: serve | key | submit | list" },
	{ "export", export_main, "hand the record out: --bundle FILE; blocked answers, to tune with: --training FILE" },
	{ "hold", hold_main, "keep records from pruning: add | release | list" },
	{ "reveal", reveal_main, "decrypt the evidence of a finding  --identity FILE" },
	{ "subject", subject_main, "the pseudonyms that somebody has had  [--header NAME] [FILE]" },
	{ "erase", erase_main, "erase the evidence of findings for good  SEQ[-LAST] | --subject PSEUDONYM" },
	{ "review", review_main, "say what findings were  SEQ --outcome correct|wrong|unsure" },
	{ "policy", policy_main, "check | test | show | import | reload" },
	{ "reload", change_main, "have the daemon take configuration and policy in; no stream is cut" },
	{ "upgrade", change_main, "have it go over to the sluiced that is installed now; no stream is cut" },
	{ "scan", scan_main, "find what the policy forbids in files or standard input" },
	{ "replay", replay_main, "send raw HTTP bytes through the daemon's own path, without a network" },
	{ "model", model_main, "classifiers: train | eval | show | explain | feedback" },
	{ "selftest", selftest_main,
	  "each rule through each API, parted everywhere, in each form that folds  [--quick]" },
	{ "discover", discover_main, "inference servers of this host that nobody guards  [--json]" },
	{ "dropin", dropin_main, "drop-ins that start guarded units behind the guard  [--install]" },
	{ "completion", completion_main, "for bash, zsh or fish" },
	{ "version", version_main, "this program's version" },
};

bool cli_command(size_t index, const char **name, const char **about)
{
	if (index >= ARRAY_LEN(commands))
		return false;
	*name = commands[index].name;
	*about = commands[index].about;
	return true;
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl [-c FILE] [--control SOCKET] COMMAND [...]\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].about);
	fputs("\n'sluicectl COMMAND --help' says more.\n", to);
	return status;
}

int cli_policy(struct ruleset **out, const char *dir)
{
	owned(policy_report_free) struct policy_report report = {};
	owned(config_free) struct config *config = NULL;
	owned(pack_key_free) struct pack_key *key = NULL;
	owned(own_free) char *mistakes = NULL;
	int err;

	if (!dir) {
		err = config_load(&config, cli_globals.config ? cli_globals.config : CONFIG_FILE, &mistakes);
		if (err) {
			fputs(mistakes ? mistakes : "out of memory\n", stderr);
			fputs("sluicectl: -p DIR names a policy without a configuration\n", stderr);
			return err;
		}
		dir = config->policy;
		err = cli_pack_key(&key, config->policy_key);
		if (err)
			return err;
	}
	err = ruleset_load_signed(out, dir, key, &report);
	if (report.text)
		fwrite(report.text, 1, report.len, stderr);
	return err;
}

int cli_read(const char *path, size_t most, uint8_t **data, size_t *len)
{
	owned(own_close) int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	owned(own_free) uint8_t *all = NULL;
	size_t have = 0, room = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		if (have == room) {
			uint8_t *more;

			room = room ? 2 * room : 65536;
			more = realloc(all, room);
			if (!more)
				return -ENOMEM;
			all = more;
		}
		n = read(fd, all + have, room - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += (size_t)n;
		if (have > most)
			return -EFBIG;
	}
	*data = TAKE(all);
	*len = have;
	return 0;
}

void cli_json_string(FILE *to, const char *text)
{
	cli_json_text(to, slice_str(text));
}

static int run(int argc, char **argv)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help"))
			return usage(stdout, 0);
		if (!strcmp(argv[i], "--version"))
			return version_main(0, NULL);
		if ((!strcmp(argv[i], "-c") || !strcmp(argv[i], "--config")) && i + 1 < argc)
			cli_globals.config = argv[++i];
		else if (!strcmp(argv[i], "--control") && i + 1 < argc)
			cli_globals.control = argv[++i];
		else
			return usage(stderr, 2);
	}
	if (i == argc)
		return usage(stderr, 2);
	for (size_t k = 0; k < ARRAY_LEN(commands); k++)
		if (!strcmp(commands[k].name, argv[i]))
			return commands[k].run(argc - i, argv + i);
	fprintf(stderr, "sluicectl: unknown command '%s'\n", argv[i]);
	return usage(stderr, 2);
}

/* Output that did not arrive is an error, not a success with less to say. */
int main(int argc, char **argv)
{
	int status = run(argc, argv);

	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "sluicectl: standard output: %s\n", strerror(errno));
	return 2;
}
