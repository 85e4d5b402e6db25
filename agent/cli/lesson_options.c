/* SPDX-License-Identifier: Apache-2.0 */
/* lesson_options.c - the lines of `model feedback` and `export --training`, and the file that they write. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/events.h"
#include "cli/lesson.h"

static int read_time(const char *command, const char *text, uint64_t *out)
{
	if (events_time(text, (uint64_t)time(NULL) * 1000000000u, out))
		return 0;
	fprintf(stderr, "%s: '%s' is not a time\n", command, text);
	return -ERANGE;
}

/* Matches on the line, of findings alone. */
static int read_matches(struct lesson_options *o, const char *command, char **matches)
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

int lesson_options_read(struct lesson_options *o, const char *command, bool training, int argc, char **argv)
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
	int c, err = 0;

	*o = (struct lesson_options){ .reason = "", .until = UINT64_MAX, .last = UINT64_MAX };
	optind = 0;
	while (!err && (c = getopt_long(argc, argv, "o:i:p:S:U:h", options, NULL)) != -1) {
		switch (c) {
		case 'o':
		case TRAINING:
			err = (c == TRAINING) == training ? 0 : -EINVAL;
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
			err = training ? 0 : -EINVAL;
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

void lesson_options_free(struct lesson_options *o)
{
	record_filter_free(&o->filter);
	keyring_wipe(&o->keys);
}

FILE *lesson_create(const char *command, const char *path)
{
	int fd = !strcmp(path, "-") ? dup(STDOUT_FILENO)
	                            : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *to = fd < 0 ? NULL : fdopen(fd, "w");

	if (!to)
		fprintf(stderr, "%s: %s: %s\n", command, path,
		        errno == EEXIST ? "it is there already" : strerror(errno));
	return to;
}

int lesson_finish(const char *command, const char *path, FILE *to, int err)
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
