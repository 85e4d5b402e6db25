/* SPDX-License-Identifier: Apache-2.0 */
/* witness.c - sluicectl witness: cosign the checkpoints of other hosts, and have one's own cosigned. */
#include "cli/witness.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"

#define WITNESS_DIR "/var/lib/sluice-witness"
#define LOGS_MOST   1024
#define KEYS_BYTES  (1u << 20)

struct witness_run {
	char *dir; /* of the witness, or of the record */
	const char *name, *listen;
	const char *logs[LOGS_MOST];
	char *read[LOGS_MOST]; /* key files' text */
	size_t log_count, read_count;
	struct asked asked[SUBMITS_MAX];
	size_t asked_count;
	struct config *config;
	unsigned seconds;
};

static void run_free(struct witness_run *r)
{
	for (size_t i = 0; i < r->read_count; i++)
		free(r->read[i]);
	config_free(&r->config);
	free(r->dir);
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl witness serve --name NAME --log VKEY|FILE... [--listen HOST:PORT] [-D DIR]\n"
	      "       sluicectl witness key --name NAME [-D DIR]\n"
	      "       sluicectl witness submit [--to URL --key VKEY]... [--timeout S] [-D DIR]\n"
	      "       sluicectl witness list [--key VKEY]... [-D DIR]\n"
	      "\n"
	      "serve: a witness for other hosts, C2SP tlog-witness: POST /add-checkpoint\n"
	      "      --name NAME        of the witness, in its key\n"
	      "      --log VKEY|FILE    a key of a log that it cosigns: the lasting one, as the others change daily\n"
	      "      --listen HOST:PORT where (" WITNESS_LISTEN "; port 0: any); the address is printed\n"
	      "  -D, --directory DIR    its key and what it has cosigned (" WITNESS_DIR ")\n"
	      "key: prints the public key of that witness, which is made if there is none\n"
	      "\n"
	      "submit: has the newest checkpoints of the record cosigned and keeps them beside the record\n"
	      "      --to URL           a witness, with --key VKEY behind it; without: as record.witnesses says\n"
	      "      --timeout S        for each request (10)\n"
	      "  -D, --directory DIR    a record directory or one of its logs\n"
	      "list: what each witness has cosigned\n"
	      "\n"
	      "Exit status: 0 done, 1 a witness has seen another history (list: or nothing), 2 not done.\n",
	      to);
	return status;
}

/* A key as text, or a file of them. */
static int take_logs(struct witness_run *r, const char *arg)
{
	owned(own_free) uint8_t *data = NULL;
	char *text, *line, *rest = NULL;
	size_t len = 0;
	int err;

	if (r->log_count == LOGS_MOST || r->read_count == LOGS_MOST)
		return -E2BIG;
	if (strchr(arg, '+') && access(arg, F_OK)) {
		r->logs[r->log_count++] = arg;
		return 0;
	}
	err = cli_read(arg, KEYS_BYTES, &data, &len);
	if (err)
		return err;
	text = strndup((const char *)data, len);
	if (!text)
		return -ENOMEM;
	r->read[r->read_count++] = text;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (r->log_count == LOGS_MOST)
			return -E2BIG;
		r->logs[r->log_count++] = line;
	}
	return 0;
}

static int serve_or_key(struct witness_run *r, bool serve)
{
	owned(witness_close) struct witness *w = NULL;
	struct witness_options o = {
		.dir = r->dir ? r->dir : WITNESS_DIR, .name = r->name, .logs = r->logs, .log_count = r->log_count
	};
	char vkey[LEDGER_VKEY];
	int err;

	if (!r->name || r->asked_count || serve != (r->log_count > 0))
		return usage(stderr, WITNESS_ERROR);
	err = witness_open(&w, &o);
	if (err) {
		fprintf(stderr, "witness: %s: %s\n", o.dir,
		        err == -EINVAL    ? "a name or a key of a log is none (name+id+key)"
		        : err == -EBUSY   ? "another witness has it"
		        : err == -EBADMSG ? "what it keeps of a log cannot be read"
		                          : strerror(-err));
		return WITNESS_ERROR;
	}
	witness_vkey(w, vkey);
	puts(vkey);
	return serve ? witness_serve(w, r->listen ? r->listen : WITNESS_LISTEN) : WITNESS_OK;
}

/* What the configuration says, where nothing was given. */
static int take_config(struct witness_run *r)
{
	owned(own_free) char *mistakes = NULL;
	int err = 0;

	if (!r->dir || !r->asked_count)
		err = config_load(&r->config, cli_globals.config ? cli_globals.config : CONFIG_FILE, &mistakes);
	if (err) {
		fputs(mistakes ? mistakes : "out of memory\n", stderr);
		return err;
	}
	for (size_t i = 0; !r->asked_count && i < r->config->witness_count && i < SUBMITS_MAX; i++)
		r->asked[i] = (struct asked){ r->config->witnesses[i].url, r->config->witnesses[i].key };
	if (!r->asked_count)
		r->asked_count = r->config->witness_count;
	if (!r->dir)
		r->dir = strdup(r->config->record_dir);
	return r->dir ? 0 : -ENOMEM;
}

static int submit_or_list(struct witness_run *r, bool submit)
{
	if (r->name || r->log_count || r->listen)
		return usage(stderr, WITNESS_ERROR);
	for (size_t i = 0; i < r->asked_count; i++)
		if (!r->asked[i].key || (submit && !r->asked[i].url))
			return usage(stderr, WITNESS_ERROR);
	if (take_config(r))
		return WITNESS_ERROR;
	if (!r->asked_count) {
		fputs("witness: there is none: record.witnesses in the configuration, or --to and --key\n", stderr);
		return WITNESS_ERROR;
	}
	return submit ? witness_submit(r->dir, r->asked, r->asked_count, r->seconds)
	              : witness_list(r->dir, r->asked, r->asked_count);
}

/* --to begins a witness, --key completes it or is one of its own. */
static bool take_asked(struct witness_run *r, const char *url, const char *key)
{
	struct asked *last = r->asked_count ? &r->asked[r->asked_count - 1] : NULL;

	if (key && last && !last->key) {
		last->key = key;
		return true;
	}
	if (r->asked_count == SUBMITS_MAX)
		return false;
	r->asked[r->asked_count++] = (struct asked){ url, key };
	return true;
}

static bool take_seconds(struct witness_run *r, const char *text)
{
	char *end;
	unsigned long s = strtoul(text, &end, 10);

	r->seconds = (unsigned)s;
	return *text >= '0' && *text <= '9' && !*end && s >= 1 && s <= 3600;
}

int witness_main(int argc, char **argv)
{
	enum { NAME = 256, LOG, LISTEN, TO, KEY, TIMEOUT };
	static const struct option options[] = {
		{ "name", required_argument, NULL, NAME },
		{ "log", required_argument, NULL, LOG },
		{ "listen", required_argument, NULL, LISTEN },
		{ "to", required_argument, NULL, TO },
		{ "key", required_argument, NULL, KEY },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "directory", required_argument, NULL, 'D' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(run_free) struct witness_run r = { .seconds = 10 };
	const char *what;
	bool good = true;
	int c, err;

	optind = 0;
	while (good && (c = getopt_long(argc, argv, "D:h", options, NULL)) != -1) {
		switch (c) {
		case NAME:
			r.name = optarg;
			break;
		case LOG:
			err = take_logs(&r, optarg);
			if (err) {
				fprintf(stderr, "witness: %s: %s\n", optarg, strerror(-err));
				return WITNESS_ERROR;
			}
			break;
		case LISTEN:
			r.listen = optarg;
			break;
		case TO:
			good = take_asked(&r, optarg, NULL);
			break;
		case KEY:
			good = take_asked(&r, NULL, optarg);
			break;
		case TIMEOUT:
			good = take_seconds(&r, optarg);
			break;
		case 'D':
			free(r.dir);
			r.dir = strdup(optarg);
			break;
		case 'h':
			return usage(stdout, WITNESS_OK);
		default:
			good = false;
		}
	}
	what = optind + 1 == argc ? argv[optind] : "";
	if (good && (!strcmp(what, "serve") || !strcmp(what, "key")))
		return serve_or_key(&r, *what == 's');
	if (good && (!strcmp(what, "submit") || !strcmp(what, "list")))
		return submit_or_list(&r, *what == 's');
	return usage(stderr, WITNESS_ERROR);
}
