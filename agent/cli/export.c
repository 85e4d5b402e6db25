/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.c - sluicectl export: the record, or chosen records of it, as a tar that a stranger can check with tools that
 * are not ours. What was asked for is on record before a byte is handed out.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/embed.h"
#include "cli/events.h"
#include "cli/lesson.h"
#include "cli/tar.h"
#include "record/record.h"

#define CHOSEN_MOST 100000
#define FILTER_ROOM 512
#define TOP         "sluice-bundle"

enum { EXPORT_OK = 0, EXPORT_NOTHING = 1, EXPORT_ERROR = 2 };

/* The schema and the verifier that go along, as they stand in the sources. */
EMBED(embedded_proto, "proto/record.proto");
EMBED(embedded_verifier, "tests/verifier/verifier.go");
EMBED(embedded_whole, "agent/cli/export_whole.txt");
EMBED(embedded_chosen, "agent/cli/export_chosen.txt");

struct export_run {
	char *dir, *out;
	const char *reason;
	bool dir_given, chosen, control, with_evidence;
	struct bundle_choice choice;
	struct bundle_evidence evidence;
	struct erasures *erasures;
	struct record_filter *filter;
	uint64_t since, until;
	char text[FILTER_ROOM]; /* what was chosen, for the record */
};

static void run_free(struct export_run *r)
{
	record_filter_free(&r->filter);
	erasures_close(&r->erasures);
	free(r->dir);
	free(r->out);
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl export --bundle FILE [--evidence] [--reason TEXT] [-D DIR]\n"
	      "       sluicectl export --bundle FILE [--evidence] [--reason TEXT] [-D DIR] [--control]\n"
	      "                        [--seq FIRST[-LAST]] [-S SINCE] [-U UNTIL] [FIELD=VALUE...]\n"
	      "       sluicectl export --training FILE --identity FILE [...], see 'sluicectl export --training x "
	      "--help'\n"
	      "\n"
	      "The whole record, or the records of the ledger that are chosen, each with a proof: a tar with "
	      "instructions\n"
	      "for somebody who has none of our software (protoc, zcat, sha256sum, Go, age).\n"
	      "\n"
	      "      --bundle FILE      a file that is not there yet; '-': standard output\n"
	      "      --evidence         with what was kept of its findings, as age files: who has the key reads them\n"
	      "                         with age. Not what is restricted.\n"
	      "      --reason TEXT      goes on record, with who asks\n"
	      "      --control          records of the control log\n"
	      "      --seq FIRST-LAST, -S, -U, FIELD=VALUE   which, as `sluicectl events` takes them\n"
	      "  -D, --directory DIR    a record directory; a copy that no daemon writes leaves no trace\n"
	      "\n"
	      "Exit status: 0 done, 1 no record is of that choice, 2 not done.\n",
	      to);
	return status;
}

/* ---- on record first ---- */

static int ask_daemon(const struct export_run *r)
{
	ExportRequest body = EXPORT_REQUEST__INIT;
	ControlRequest request = CONTROL_REQUEST__INIT;
	ControlReply *reply = NULL;
	int status = EXPORT_OK;
	char text[FILTER_ROOM];

	/* In front: what is too long loses its end. */
	(void)snprintf(text, sizeof(text), "%s%.480s", r->with_evidence ? "with evidence: " : "", r->text);
	body.filter = text;
	body.reason = (char *)(r->reason ? r->reason : "");
	request.op_case = CONTROL_REQUEST__OP_EXPORT;
	request.export = &body;
	if (cli_ask(&reply, &request))
		return EXPORT_ERROR;
	if (*reply->error) {
		fprintf(stderr, "export: %s\n", reply->error);
		status = EXPORT_ERROR;
	}
	control_reply__free_unpacked(reply, NULL);
	return status;
}

/* Whether a daemon has the record: it locks the folder. */
static bool is_live(const char *dir)
{
	owned(own_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
}

static int on_record(const struct export_run *r)
{
	if (!r->dir_given || is_live(r->dir))
		return ask_daemon(r);
	fprintf(stderr, "export: %s: no daemon writes this record: that it was handed out is not on record\n", r->dir);
	return EXPORT_OK;
}

/* ---- what goes into it ---- */

static struct slice embedded(const char *from, const char *end)
{
	return slice_of(from, (size_t)(end - from));
}

static int put_own(const struct export_run *r, struct tar *t)
{
	int err = r->chosen ? tar_put(t, "README.txt", embedded(embedded_chosen, embedded_chosen_end))
	                    : tar_put(t, "README.txt", embedded(embedded_whole, embedded_whole_end));

	err = err ? err : tar_put(t, "record.proto", embedded(embedded_proto, embedded_proto_end));
	return err ? err : tar_put(t, "verifier.go", embedded(embedded_verifier, embedded_verifier_end));
}

/* What must not be handed out is known before anything is. */
static int ready_evidence(struct export_run *r)
{
	owned(own_free) char *control = NULL;
	int err = asprintf(&control, "%s/control", r->dir) < 0 ? -ENOMEM : 0;

	err = err ? err : erasures_open(&r->erasures, control);
	r->evidence = (struct bundle_evidence){ .folder = r->chosen ? "chosen/evidence" : "evidence",
		                                .erasures = r->erasures };
	r->choice.evidence = &r->evidence;
	return err;
}

static int put_chosen(const struct export_run *r, struct tar *t, uint64_t *records)
{
	owned(own_free) char *dir = NULL;

	if (asprintf(&dir, "%s/%s", r->dir, r->control ? "control" : "ledger") < 0)
		return -ENOMEM;
	return bundle_records(&t->sink, dir, "chosen", &r->choice, records);
}

static int put_whole(const struct export_run *r, struct tar *t, uint64_t *records)
{
	static const char *const logs[] = { "ledger", "control" };
	int err = 0;

	*records = 0;
	for (size_t i = 0; !err && i < ARRAY_LEN(logs); i++) {
		owned(own_free) char *dir = NULL;
		uint64_t n = 0;

		if (asprintf(&dir, "%s/%s", r->dir, logs[i]) < 0)
			return -ENOMEM;
		err = bundle_log(&t->sink, dir, "record", logs[i], i ? NULL : r->choice.evidence, &n);
		*records += n;
	}
	return err;
}

static const char *why(int err)
{
	return err == -EBADMSG  ? "the record is not what was signed: see sluicectl verify"
	       : err == -E2BIG  ? "so many records are better exported whole: 100000 at most can be chosen"
	       : err == -EEXIST ? "it is there already"
	                        : strerror(-err);
}

static int write_bundle(const struct export_run *r, FILE *to, uint64_t *records)
{
	owned(tar_close) struct tar t = { .to = NULL };
	int err = tar_open(&t, to, TOP, (uint64_t)time(NULL));

	err = err ? err : put_own(r, &t);
	err = err ? err : r->chosen ? put_chosen(r, &t, records) : put_whole(r, &t, records);
	return err ? err : tar_end(&t);
}

static int export(struct export_run *r)
{
	bool std = !strcmp(r->out, "-");
	int fd = std ? dup(STDOUT_FILENO) : open(r->out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
	uint64_t records = 0;
	int err = to ? on_record(r) : -errno;

	if (err > 0) {
		fclose(to);
		if (!std)
			unlink(r->out);
		return err;
	}
	if (!err && r->with_evidence)
		err = ready_evidence(r);
	err = err ? err : write_bundle(r, to, &records);
	if (to && fclose(to) && !err)
		err = -errno;
	/* Half a bundle is none. */
	if ((err || (r->chosen && !records)) && !std && to)
		unlink(r->out);
	if (err) {
		fprintf(stderr, "export: %s: %s\n", r->out, why(err));
		return EXPORT_ERROR;
	}
	fprintf(stderr, "export: records=%" PRIu64 "\n", records);
	if (r->with_evidence)
		fprintf(stderr,
		        "export: evidence: sealed=%" PRIu64 " restricted=%" PRIu64 " erased=%" PRIu64 " gone=%" PRIu64
		        "\n",
		        r->evidence.sealed, r->evidence.restricted, r->evidence.erased, r->evidence.gone);
	return r->chosen && !records ? EXPORT_NOTHING : EXPORT_OK;
}

/* ---- what is asked for ---- */

static void note_choice(struct export_run *r, const char *what, const char *value)
{
	size_t len = strlen(r->text);

	r->chosen = true;
	snprintf(r->text + len, sizeof(r->text) - len, "%s%s%s", len ? " " : "", what, value);
}

static bool read_range(struct export_run *r, const char *text)
{
	int end = 0;

	note_choice(r, "seq=", text);
	if (*text < '0' || *text > '9' || sscanf(text, "%" SCNu64 "%n", &r->choice.first, &end) != 1)
		return false;
	r->choice.last = r->choice.first;
	if (text[end] == '-' && text[end + 1] >= '0' && text[end + 1] <= '9') {
		text += end + 1;
		if (sscanf(text, "%" SCNu64 "%n", &r->choice.last, &end) != 1)
			return false;
	}
	return !text[end] && r->choice.first <= r->choice.last;
}

static bool read_time(struct export_run *r, const char *what, const char *text, uint64_t *out)
{
	note_choice(r, what, text);
	if (events_time(text, (uint64_t)time(NULL) * 1000000000u, out))
		return true;
	fprintf(stderr, "export: '%s' is not a time\n", text);
	return false;
}

static bool read_matches(struct export_run *r, int argc, char **argv)
{
	const char *wrong = NULL;

	for (int i = optind; !wrong && i < argc; i++) {
		note_choice(r, "", argv[i]);
		wrong = record_filter_add(r->filter, argv[i]);
	}
	wrong = wrong ? wrong : record_filter_end(r->filter);
	if (wrong)
		fprintf(stderr, "export: %s\n", wrong);
	record_filter_times(r->filter, r->since, r->until);
	return !wrong;
}

/* --training is a command of its own. */
static bool is_training(char **argv)
{
	while (*argv && strncmp(*argv, "--training", 10) != 0)
		argv++;
	return *argv != NULL;
}

int export_main(int argc, char **argv)
{
	enum { BUNDLE = 256, REASON, CONTROL, SEQ, EVIDENCE };
	static const struct option options[] = {
		{ "bundle", required_argument, NULL, BUNDLE },
		{ "reason", required_argument, NULL, REASON },
		{ "control", no_argument, NULL, CONTROL },
		{ "seq", required_argument, NULL, SEQ },
		{ "evidence", no_argument, NULL, EVIDENCE },
		{ "since", required_argument, NULL, 'S' },
		{ "until", required_argument, NULL, 'U' },
		{ "directory", required_argument, NULL, 'D' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(run_free) struct export_run r = { .choice = { .last = UINT64_MAX, .most = CHOSEN_MOST },
		                                .until = UINT64_MAX };
	bool good = true;
	int c;

	if (is_training(argv))
		return export_training_main(argc, argv);
	optind = 0;
	while (good && (c = getopt_long(argc, argv, "S:U:D:h", options, NULL)) != -1) {
		switch (c) {
		case BUNDLE:
			free(r.out);
			r.out = strdup(optarg);
			break;
		case REASON:
			r.reason = optarg;
			break;
		case CONTROL:
			note_choice(&r, "log=control", "");
			r.control = true;
			break;
		case EVIDENCE:
			r.with_evidence = true;
			break;
		case SEQ:
			good = read_range(&r, optarg);
			break;
		case 'S':
			good = read_time(&r, "since=", optarg, &r.since);
			break;
		case 'U':
			good = read_time(&r, "until=", optarg, &r.until);
			break;
		case 'D':
			free(r.dir);
			r.dir = strdup(optarg);
			r.dir_given = true;
			break;
		case 'h':
			return usage(stdout, EXPORT_OK);
		default:
			good = false;
		}
	}
	if (!good || !r.out)
		return usage(stderr, EXPORT_ERROR);
	if (record_filter_new(&r.filter) || !read_matches(&r, argc, argv) || (!r.dir && cli_record_dir(&r.dir)))
		return EXPORT_ERROR;
	r.choice.filter = r.filter;
	if (!r.chosen)
		snprintf(r.text, sizeof(r.text), "all");
	return export(&r);
}
