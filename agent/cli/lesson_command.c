/* SPDX-License-Identifier: Apache-2.0 */
/* lesson_command.c - `model feedback` and `export --training`, as far as they are the same. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/events.h"
#include "cli/lesson.h"

struct options {
	const char *out, *reason, *policy;
	struct record_filter *filter; /* owned */
	uint64_t since, until, first, last;
	bool reviewed;
	struct keyring keys;
};

static void options_free(struct options *o)
{
	record_filter_free(&o->filter);
	keyring_wipe(&o->keys);
}

static int read_time(const char *command, const char *text, uint64_t *out)
{
	if (events_time(text, (uint64_t)time(NULL) * 1000000000u, out))
		return 0;
	fprintf(stderr, "%s: '%s' is not a time\n", command, text);
	return -ERANGE;
}

/* Matches on the line, of findings alone. */
static int read_matches(struct options *o, const char *command, char **matches)
{
	const char *wrong = NULL;
	bool first = true;

	/* "type" goes with each side of a "+". */
	for (; !wrong && (first || *matches); first = false) {
		if (first || !strcmp(matches[-1], "+"))
			wrong = record_filter_add(o->filter, "type=finding");
		if (!wrong && *matches)
			wrong = record_filter_add(o->filter, *matches++);
	}
	wrong = wrong ? wrong : record_filter_end(o->filter);
	if (wrong)
		fprintf(stderr, "%s: %s\n", command, wrong);
	record_filter_times(o->filter, o->since, o->until);
	return wrong ? -ERANGE : 0;
}

/* 0; 1: help was asked for; -EINVAL: the usage says what can be; -errno with the reason printed. */
static int read_options(struct options *o, const struct lesson_command *c, int argc, char **argv)
{
	enum { TRAINING = 256, REASON, REVIEWED, SEQ };
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "training", required_argument, NULL, TRAINING },
		{ "identity", required_argument, NULL, 'i' },
		{ "policy", required_argument, NULL, 'p' },
		{ "reason", required_argument, NULL, REASON },
		{ "reviewed", no_argument, NULL, REVIEWED },
		{ "seq", required_argument, NULL, SEQ },
		{ "since", required_argument, NULL, 'S' },
		{ "until", required_argument, NULL, 'U' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	const char *command = c->name;
	bool training = c->training;
	int got, err = 0;

	*o = (struct options){ .reason = "", .until = UINT64_MAX, .last = UINT64_MAX };
	optind = 0;
	while (!err && (got = getopt_long(argc, argv, "o:i:p:S:U:h", options, NULL)) != -1) {
		switch (got) {
		case 'o':
		case TRAINING:
			err = (got == TRAINING) == training ? 0 : -EINVAL;
			o->out = optarg;
			break;
		case 'i':
			err = keyring_read(&o->keys, command, optarg) ? -ENOKEY : 0;
			break;
		case 'p':
			o->policy = optarg;
			break;
		case REASON:
			o->reason = optarg;
			break;
		case REVIEWED:
			err = c->reviewed ? 0 : -EINVAL;
			o->reviewed = true;
			break;
		case SEQ:
			err = cli_range(optarg, &o->first, &o->last) ? 0 : -EINVAL;
			break;
		case 'S':
			err = read_time(command, optarg, &o->since);
			break;
		case 'U':
			err = read_time(command, optarg, &o->until);
			break;
		case 'h':
			return 1;
		default:
			err = -EINVAL;
		}
	}
	if (!err && (!o->out || !o->keys.n))
		err = -EINVAL;
	err = err ? err : record_filter_new(&o->filter);
	return err ? err : read_matches(o, command, argv + optind);
}

static FILE *create(const char *command, const char *path)
{
	int fd = !strcmp(path, "-") ? dup(STDOUT_FILENO)
	                            : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *to = fd < 0 ? NULL : fdopen(fd, "w");

	if (!to)
		fprintf(stderr, "%s: %s: %s\n", command, path,
		        errno == EEXIST ? "it is there already" : strerror(errno));
	return to;
}

static int finish(const char *command, const char *path, FILE *to, int err)
{
	bool bad = ferror(to);

	if ((fclose(to) || bad) && !err) {
		err = -EIO;
		fprintf(stderr, "%s: %s: it could not be written\n", command, path);
	}
	if (err && strcmp(path, "-") != 0)
		unlink(path);
	return err;
}

static void output_free(struct lesson_output *out)
{
	veil_close(&out->veil);
}

static int make(const struct lesson_command *c, const struct options *o, FILE *to)
{
	owned(output_free) struct lesson_output out = { .to = to };
	owned(lessons_free) struct lessons lessons = { 0 };
	owned(own_free) char *record = NULL;
	struct lesson_choice choice = { o->filter, o->first, o->last, o->reviewed ? c->reviewed : c->wanted };
	struct lesson_run run = { .command = c->name, .what = c->what, .reason = o->reason, .keys = &o->keys };
	int err = cli_record_dir(&record);

	err = err ? err : veil_open(&out.veil, o->policy);
	err = err ? err : lessons_gather(&lessons, record, &choice);
	if (!err && c->order && lessons.n)
		qsort(lessons.at, lessons.n, sizeof(*lessons.at), c->order);
	run.record = record;
	run.each = c->each;
	run.arg = c->arg;
	run.out = &out;
	err = err ? err : lessons_read(&run, &lessons);
	if (err)
		return err;
	fprintf(stderr, "%s:", c->name);
	c->end(c->arg, &out);
	fprintf(stderr,
	        " texts=%" PRIu64 " replaced=%" PRIu64 " empty=%" PRIu64 " not_kept=%" PRIu64 " erased=%" PRIu64
	        " restricted=%" PRIu64 " held=%" PRIu64 " unread=%" PRIu64 "\n",
	        out.texts, out.replaced, out.empty, lessons.none, run.erased, run.restricted, run.held, run.unread);
	return out.texts ? 0 : run.unread ? -EIO : -ENODATA;
}

int lesson_command(const struct lesson_command *c, int argc, char **argv)
{
	owned(options_free) struct options o = {};
	int err = read_options(&o, c, argc, argv);
	FILE *to;

	if (err == 1)
		return c->usage(stdout, LESSON_OK);
	if (err)
		return err == -EINVAL ? c->usage(stderr, LESSON_ERROR) : LESSON_ERROR;
	to = create(c->name, o.out);
	if (!to)
		return LESSON_ERROR;
	err = finish(c->name, o.out, to, make(c, &o, to));
	return !err ? LESSON_OK : err == -ENODATA ? LESSON_NOTHING : LESSON_ERROR;
}
