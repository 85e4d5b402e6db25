/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c - `sluicectl verify`: is the record what was signed? Exit status 0: yes, 1: no, 2: that cannot be said. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "cli/cli.h"
#include "record/record.h"

#define KEYS_MOST 16

enum { VERIFY_SOUND = 0, VERIFY_FAULTS = 1, VERIFY_ERROR = 2 };

struct verify_run {
	char *dir;
	const char *vkeys[KEYS_MOST], *kept[KEYS_MOST];
	char *read[KEYS_MOST]; /* key files' text */
	size_t vkey_count, kept_count, read_count;
	const char *witnesses[KEYS_MOST];
	size_t witness_count;
	const char *inclusion, *consistency;
	bool control, quiet;
};

static void run_free(struct verify_run *r)
{
	for (size_t i = 0; i < r->read_count; i++)
		free(r->read[i]);
	free(r->dir);
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl verify [-D DIR] [--key VKEY|FILE]... [--checkpoint FILE]... [--witness VKEY]...\n"
	      "                        [-q]\n"
	      "       sluicectl verify [-D DIR] --inclusion SEQ [--control]\n"
	      "       sluicectl verify [-D DIR] --consistency OLD_CHECKPOINT [--control]\n"
	      "\n"
	      "  -D, --directory DIR    a record directory or one of its logs, live or copied\n"
	      "  -k, --key VKEY|FILE    a key of the log, kept elsewhere; without one the log's own is taken,\n"
	      "                         which does not show that somebody wrote all of it anew\n"
	      "      --checkpoint FILE  a checkpoint that was kept elsewhere: the log must go on from it\n"
	      "      --witness VKEY     a witness that must have cosigned this history\n"
	      "      --inclusion SEQ    prints a proof that the record is in the log\n"
	      "      --consistency OLD  checks that the log goes on from OLD, prints the proof\n"
	      "      --control          of the control log\n"
	      "  -q, --quiet            says only what is wrong\n"
	      "\n"
	      "Exit status: 0 sound, 1 something is wrong (each fault on a line), 2 it cannot be said.\n",
	      to);
	return status;
}

static void say_fault(void *arg, enum fault what, const char *text)
{
	printf("%s: %s: %s\n", (const char *)arg, fault_names[what], text);
}

/* A key as text, or a file of them. */
static int take_key(struct verify_run *r, const char *arg)
{
	owned(own_free) uint8_t *data = NULL;
	char *text, *line, *rest = NULL;
	size_t len = 0;
	int err;

	if (strchr(arg, '+') && access(arg, F_OK)) {
		if (r->vkey_count == KEYS_MOST)
			return -E2BIG;
		r->vkeys[r->vkey_count++] = arg;
		return 0;
	}
	err = r->read_count < KEYS_MOST ? cli_read(arg, 65536, &data, &len) : -E2BIG;
	if (err)
		return err;
	text = malloc(len + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text, data, len);
	text[len] = '\0';
	r->read[r->read_count++] = text;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (r->vkey_count == KEYS_MOST)
			return -E2BIG;
		r->vkeys[r->vkey_count++] = line;
	}
	return 0;
}

static void say_witnessed(const char *dir, const struct verify_result *result)
{
	time_t t = (time_t)result->witnessed_unix;
	char when[32] = "-";
	struct tm tm;

	if (gmtime_r(&t, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%s: witnessed=%" PRIu64 " at=%s: so many records were seen by every witness given\n", dir,
	       result->witnessed, when);
}

static int verify_one(const struct verify_run *r, const char *dir)
{
	struct verify_options o = { .dir = dir,
		                    .vkeys = r->vkeys,
		                    .vkey_count = r->vkey_count,
		                    .kept = r->kept,
		                    .kept_count = r->kept_count,
		                    .witnesses = r->witnesses,
		                    .witness_count = r->witness_count,
		                    .fault = say_fault,
		                    .arg = (void *)dir };
	struct verify_result result;
	int err = ledger_verify(&result, &o);

	if (err) {
		fprintf(stderr, "verify: %s: %s\n", dir,
		        err == -EINVAL    ? "a key that was given is none (name+id+key)"
		        : err == -EBADMSG ? "a checkpoint that was given is none"
		                          : strerror(-err));
		return VERIFY_ERROR;
	}
	if (result.faults) {
		printf("%s: NOT SOUND: faults=%" PRIu64 "\n", dir, result.faults);
		return VERIFY_FAULTS;
	}
	if (r->quiet)
		return VERIFY_SOUND;
	printf("%s: sound: origin=%s records=%" PRIu64 " segments=%" PRIu64 " checkpoints=%" PRIu64 " tiles=%" PRIu64
	       " keys=%" PRIu64 " not_yet_proven=%" PRIu64 "\n",
	       dir, result.origin, result.size, result.segments, result.checkpoints, result.tiles, result.keys,
	       result.beyond);
	if (result.pruned)
		printf("%s: pruned=%" PRIu64 ": of these records only the hashes are left, as a Prune record says\n",
		       dir, result.pruned);
	if (r->witness_count)
		say_witnessed(dir, &result);
	if (!r->vkey_count)
		printf("%s: the key is the log's own; --key with one kept elsewhere proves more\n", dir);
	return VERIFY_SOUND;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static int prove(const struct verify_run *r, const char *dir)
{
	owned(own_free) char *text = NULL;
	char *end = NULL;
	uint64_t seq = 0;
	int err;

	if (r->inclusion) {
		errno = 0;
		seq = strtoull(r->inclusion, &end, 10);
		if (errno || !*r->inclusion || *end || *r->inclusion == '-')
			return usage(stderr, VERIFY_ERROR);
	}
	err = r->inclusion ? ledger_prove(dir, seq, &text) : ledger_prove_consistent(dir, r->consistency, &text);
	if (err) {
		fprintf(stderr, "verify: %s: %s\n", dir,
		        err == -EBADMSG                  ? "no proof: this is not the history that was signed"
		        : err == -ENOENT && r->inclusion ? "no such record under the newest checkpoint"
		                                         : strerror(-err));
		return err == -EBADMSG ? VERIFY_FAULTS : VERIFY_ERROR;
	}
	fputs(text, stdout);
	return fflush(stdout) ? VERIFY_ERROR : VERIFY_SOUND;
}

static int most(int a, int b)
{
	return a > b ? a : b;
}

static int verify_dirs(const struct verify_run *r)
{
	static const char *const logs[] = { "ledger", "control" };
	int status = VERIFY_SOUND;
	bool any = false;

	for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
		owned(own_free) char *inner = NULL;

		if (asprintf(&inner, "%s/%s", r->dir, logs[i]) < 0)
			return VERIFY_ERROR;
		if (!is_dir(inner))
			continue;
		any = true;
		if (!r->inclusion && !r->consistency)
			status = most(status, verify_one(r, inner));
		else if (i == r->control)
			return prove(r, inner);
	}
	if (any)
		return status;
	return r->inclusion || r->consistency ? prove(r, r->dir) : verify_one(r, r->dir);
}

int verify_main(int argc, char **argv)
{
	enum { CHECKPOINT = 256, WITNESS, INCLUSION, CONSISTENCY, CONTROL };
	static const struct option options[] = {
		{ "directory", required_argument, NULL, 'D' },
		{ "key", required_argument, NULL, 'k' },
		{ "checkpoint", required_argument, NULL, CHECKPOINT },
		{ "witness", required_argument, NULL, WITNESS },
		{ "inclusion", required_argument, NULL, INCLUSION },
		{ "consistency", required_argument, NULL, CONSISTENCY },
		{ "control", no_argument, NULL, CONTROL },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(run_free) struct verify_run r = { 0 };
	int c, err = 0;

	optind = 0;
	while (!err && (c = getopt_long(argc, argv, "D:k:qh", options, NULL)) != -1) {
		switch (c) {
		case 'D':
			free(r.dir);
			r.dir = strdup(optarg);
			break;
		case 'k':
			err = take_key(&r, optarg);
			if (err)
				fprintf(stderr, "verify: %s: %s\n", optarg, strerror(-err));
			break;
		case CHECKPOINT:
			if (r.kept_count == KEYS_MOST)
				return usage(stderr, VERIFY_ERROR);
			r.kept[r.kept_count++] = optarg;
			break;
		case WITNESS:
			if (r.witness_count == KEYS_MOST)
				return usage(stderr, VERIFY_ERROR);
			r.witnesses[r.witness_count++] = optarg;
			break;
		case INCLUSION:
			r.inclusion = optarg;
			break;
		case CONSISTENCY:
			r.consistency = optarg;
			break;
		case CONTROL:
			r.control = true;
			break;
		case 'q':
			r.quiet = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, VERIFY_ERROR);
		}
	}
	if (err || optind < argc || (r.inclusion && r.consistency))
		return err ? VERIFY_ERROR : usage(stderr, VERIFY_ERROR);
	if (!r.dir && cli_record_dir(&r.dir))
		return VERIFY_ERROR;
	return verify_dirs(&r);
}
