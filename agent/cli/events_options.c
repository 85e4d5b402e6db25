/* SPDX-License-Identifier: Apache-2.0 */
/* events_options.c - the command line of `sluicectl events`, with journalctl's letters. What is not there yet is
 * refused by name, never ignored: a filter that does nothing would lie. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "cli/events.h"

#define FOLLOW_LINES 10

enum option_id {
	OPT_SINCE,
	OPT_UNTIL,
	OPT_FOLLOW,
	OPT_LINES,
	OPT_REVERSE,
	OPT_OUTPUT,
	OPT_DIRECTORY,
	OPT_UTC,
	OPT_QUIET,
	OPT_NO_PAGER,
	OPT_HELP,
	OPT_COUNT
};

static const struct option_row {
	char letter;
	const char *name, *value, *help;
} options[OPT_COUNT] = {
	[OPT_SINCE] = { 'S', "since", "TIME",
	                "from here on: now, today, yesterday, -1h, \"2 days ago\", @EPOCH, RFC 3339" },
	[OPT_UNTIL] = { 'U', "until", "TIME", "up to here" },
	[OPT_FOLLOW] = { 'f', "follow", NULL, "the last 10, then each as it comes" },
	[OPT_LINES] = { 'n', "lines", "N", "the last N that match; all" },
	[OPT_REVERSE] = { 'r', "reverse", NULL, "newest first" },
	[OPT_OUTPUT] = { 'o', "output", "FORM", "short, json, pb, cat" },
	[OPT_DIRECTORY] = { 'D', "directory", "DIR", "the record's folder, or a copy (as the configuration says)" },
	[OPT_UTC] = { 0, "utc", NULL, "times in UTC" },
	[OPT_QUIET] = { 'q', "quiet", NULL, "no remarks" },
	[OPT_NO_PAGER] = { 0, "no-pager", NULL, "accepted; there is none" },
	[OPT_HELP] = { 'h', "help", NULL, "this list" },
};

static const char *const outputs[EVENTS_OUTPUT_COUNT] = {
	[EVENTS_SHORT] = "short",
	[EVENTS_JSON] = "json",
	[EVENTS_PB] = "pb",
	[EVENTS_CAT] = "cat",
};

static int refuse(const char *what, const char *why)
{
	fprintf(stderr, "events: %s%s\n", what, why);
	return EVENTS_ERROR;
}

static uint64_t now_nano(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int read_time(const char *value, uint64_t *out)
{
	return events_time(value, now_nano(), out) ? 0 : refuse(value, ": not a time");
}

static int read_lines(struct event_options *o, const char *value)
{
	char *end;

	o->has_lines = true;
	o->lines = UINT64_MAX;
	if (!strcmp(value, "all"))
		return 0;
	errno = 0;
	o->lines = strtoull(value, &end, 10);
	return *value < '0' || *value > '9' || *end || errno ? refuse(value, ": not a number of lines") : 0;
}

static int read_output(struct event_options *o, const char *value)
{
	char text[80];

	for (enum event_output i = 0; i < EVENTS_OUTPUT_COUNT; i++)
		if (!strcmp(value, outputs[i])) {
			o->output = i;
			return 0;
		}
	snprintf(text, sizeof(text), "-o %s", value);
	return refuse(text, " is not supported by this version");
}

static int take_option(struct event_options *o, enum option_id id, const char *value)
{
	switch (id) {
	case OPT_SINCE:
		o->has_since = true;
		return read_time(value, &o->since);
	case OPT_UNTIL:
		return read_time(value, &o->until);
	case OPT_LINES:
		return read_lines(o, value);
	case OPT_OUTPUT:
		return read_output(o, value);
	case OPT_DIRECTORY:
		free(o->dir);
		o->dir = strdup(value);
		return o->dir ? 0 : refuse("out of memory", "");
	case OPT_FOLLOW:
		o->follow = true;
		return 0;
	case OPT_REVERSE:
		o->reverse = true;
		return 0;
	case OPT_UTC:
		o->utc = true;
		return 0;
	case OPT_HELP:
		o->help = true;
		return 0;
	default:
		return 0;
	}
}

/* One option, or a bundle of letters; *at moves on over what is used of argv. */
static int read_long(struct event_options *o, char **argv, int *at)
{
	const char *name = argv[*at] + 2, *sign = strchr(name, '=');
	size_t len = sign ? (size_t)(sign - name) : strlen(name);
	char shown[64];

	snprintf(shown, sizeof(shown), "--%.*s", (int)len, name);
	for (enum option_id i = 0; i < OPT_COUNT; i++) {
		const char *value = sign ? sign + 1 : NULL;

		if (strlen(options[i].name) != len || strncmp(options[i].name, name, len) != 0)
			continue;
		if (options[i].value && !value)
			value = argv[++*at];
		if (!options[i].value != !value)
			return refuse(shown, value ? " takes no value" : " needs a value");
		return take_option(o, i, value);
	}
	return refuse(shown, " is not supported by this version");
}

static int read_letters(struct event_options *o, char **argv, int *at)
{
	for (const char *p = argv[*at] + 1; *p; p++) {
		char shown[3] = { '-', *p, 0 };
		enum option_id i = 0;
		const char *value = NULL;
		int err;

		while (i < OPT_COUNT && options[i].letter != *p)
			i++;
		if (i == OPT_COUNT)
			return refuse(shown, " is not supported by this version");
		if (options[i].value)
			value = p[1] ? p + 1 : argv[++*at];
		if (options[i].value && !value)
			return refuse(shown, " needs a value");
		err = take_option(o, i, value);
		if (err || value)
			return err;
	}
	return 0;
}

static int read_match(struct event_options *o, const char *text)
{
	const char *why;

	if (!strcmp(text, "+"))
		return refuse(text, " is not supported by this version");
	if (o->matches == EVENTS_MATCHES)
		return refuse(text, ": too many matches");
	why = events_match_read(&o->match[o->matches], text);
	if (why) {
		fprintf(stderr, "events: %s: %s\n", text, why);
		return EVENTS_ERROR;
	}
	o->matches++;
	return 0;
}

int events_options(struct event_options *o, int argc, char **argv)
{
	int err = 0;

	for (int i = 1; i < argc && !err; i++) {
		if (!strncmp(argv[i], "--", 2))
			err = read_long(o, argv, &i);
		else if (argv[i][0] == '-' && argv[i][1])
			err = read_letters(o, argv, &i);
		else
			err = read_match(o, argv[i]);
	}
	if (!err && o->follow && o->reverse)
		err = refuse("-f and -r", " exclude each other");
	if (!err && o->follow && !o->has_lines && !o->has_since) {
		o->has_lines = true;
		o->lines = FOLLOW_LINES;
	}
	return err;
}

void events_usage(void)
{
	printf("usage: sluicectl events [-S since] [-U until] [-f] [-n N] [-r] [-o short|json|pb|cat] [FIELD=VALUE...] "
	       "[-D dir]\n");
	for (enum option_id i = 0; i < OPT_COUNT; i++) {
		char name[40];

		snprintf(name, sizeof(name), "--%s%s%s", options[i].name, options[i].value ? "=" : "",
		         options[i].value ? options[i].value : "");
		printf("  %c%c %-18s %s\n", options[i].letter ? '-' : ' ', options[i].letter ? options[i].letter : ' ',
		       name, options[i].help);
	}
	printf("FIELD is a field of the record, however deep (verdict, rule_id, exchange.verdict), or type; the same "
	       "field "
	       "twice means or.\nExit status: 0 found, 1 nothing, 2 error, 3 a record is damaged.\n");
}
