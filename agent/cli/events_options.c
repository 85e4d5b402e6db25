/* SPDX-License-Identifier: Apache-2.0 */
/* events_options.c - the command line of `sluicectl events`, with journalctl's letters. What is not there yet is
 * refused by name, never ignored: a filter that does nothing would lie. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "cli/events.h"

#include "base/own.h"
#include "cli/cli.h"

#define FOLLOW_LINES 10

enum option_id {
	OPT_SINCE,
	OPT_UNTIL,
	OPT_FOLLOW,
	OPT_LINES,
	OPT_REVERSE,
	OPT_END,
	OPT_NO_TAIL,
	OPT_OUTPUT,
	OPT_GREP,
	OPT_CASE,
	OPT_PRIORITY,
	OPT_CURSOR,
	OPT_AFTER,
	OPT_SHOW_CURSOR,
	OPT_CURSOR_FILE,
	OPT_LOG,
	OPT_DIRECTORY,
	OPT_RULE,
	OPT_RISK,
	OPT_VERDICT,
	OPT_ACTION,
	OPT_SERVICE,
	OPT_MODEL,
	OPT_ENGINE,
	OPT_REQUEST,
	OPT_BY,
	OPT_JSON,
	OPT_UTC,
	OPT_NO_INDEX,
	OPT_QUIET,
	OPT_NO_PAGER,
	OPT_HELP,
	OPT_COUNT
};

#define ALL (FOR_EVENTS | FOR_STATS)

static const struct option_row {
	char letter;
	const char *name, *value, *help;
	unsigned who;
	const char *field; /* the option is FIELD=VALUE */
} options[OPT_COUNT] = {
	[OPT_SINCE] = { 'S', "since", "TIME",
	                "from here on: now, today, recent, this-week, boot, -1h, @EPOCH, RFC 3339", ALL },
	[OPT_UNTIL] = { 'U', "until", "TIME", "up to here", ALL },
	[OPT_FOLLOW] = { 'f', "follow", NULL, "the last 10, then each as it comes", FOR_EVENTS },
	[OPT_LINES] = { 'n', "lines", "N", "the last N that match; all", FOR_EVENTS },
	[OPT_REVERSE] = { 'r', "reverse", NULL, "newest first", FOR_EVENTS },
	[OPT_END] = { 'e', "pager-end", NULL, "the last 1000", FOR_EVENTS },
	[OPT_NO_TAIL] = { 0, "no-tail", NULL, "with -f: all of the history first", FOR_EVENTS },
	[OPT_OUTPUT] = { 'o', "output", "FORM", "short, short-iso, json, json-seq, pb, cat", FOR_EVENTS },
	[OPT_GREP] = { 'g', "grep", "PATTERN", "a text of the record matches (PCRE2; small letters match both cases)",
	               ALL },
	[OPT_CASE] = { 0, "case-sensitive", "YES", "of --grep: yes or no", ALL },
	[OPT_PRIORITY] = { 'p', "priority", "LEVEL",
	                   "info, low, medium, high, critical, or FROM..TO: so grave at least", ALL },
	[OPT_CURSOR] = { 'c', "cursor", "CURSOR", "from this record on", FOR_EVENTS },
	[OPT_AFTER] = { 0, "after-cursor", "CURSOR", "from behind it", FOR_EVENTS },
	[OPT_SHOW_CURSOR] = { 0, "show-cursor", NULL, "the last line says where to go on", FOR_EVENTS },
	[OPT_CURSOR_FILE] = { 0, "cursor-file", "FILE", "goes on where this file says, and says there how far it came",
	                      FOR_EVENTS },
	[OPT_LOG] = { 0, "log", "LOG", "ledger, control or all (all): answers, or what people and the daemon did",
	              ALL },
	[OPT_DIRECTORY] = { 'D', "directory", "DIR", "the record's folder, or a copy (as the configuration says)",
	                    ALL },
	[OPT_RULE] = { 0, "rule", "ID", "as rule_id=ID", ALL, "rule_id" },
	[OPT_RISK] = { 0, "risk", "ID", "as risk_id=ID", ALL, "risk_id" },
	[OPT_VERDICT] = { 0, "verdict", "NAME", "as verdict=NAME", ALL, "verdict" },
	[OPT_ACTION] = { 0, "action", "NAME", "as action=NAME", ALL, "action" },
	[OPT_SERVICE] = { 0, "service", "NAME", "as service.name=NAME", ALL, "service.name" },
	[OPT_MODEL] = { 0, "model", "NAME", "as model=NAME", ALL, "model" },
	[OPT_ENGINE] = { 0, "engine", "NAME", "as engine=NAME", ALL, "engine" },
	[OPT_REQUEST] = { 0, "request", "ID", "as request_id=ID", ALL, "request_id" },
	[OPT_BY] = { 0, "by", "LIST", "of risk, rule, verdict, action, type, service, model, hour, day, review",
	             FOR_STATS },
	[OPT_JSON] = { 0, "json", NULL, "one object a line", FOR_STATS },
	[OPT_UTC] = { 0, "utc", NULL, "times in UTC", ALL },
	[OPT_NO_INDEX] = { 0, "no-index", NULL, "reads every block: the answer is the same", ALL },
	[OPT_QUIET] = { 'q', "quiet", NULL, "no remarks", ALL },
	[OPT_NO_PAGER] = { 0, "no-pager", NULL, "accepted; there is none", ALL },
	[OPT_HELP] = { 'h', "help", NULL, "this list", ALL },
};

static const char *const outputs[EVENTS_OUTPUT_COUNT] = {
	[EVENTS_SHORT] = "short", [EVENTS_SHORT_ISO] = "short-iso",
	[EVENTS_JSON] = "json",   [EVENTS_JSON_SEQ] = "json-seq",
	[EVENTS_PB] = "pb",       [EVENTS_CAT] = "cat",
};

static const struct {
	const char *name;
	unsigned which;
} logs[] = { { "ledger", LOG_LEDGER }, { "control", LOG_CONTROL }, { "all", LOG_LEDGER | LOG_CONTROL } };

static const char *command = "events";

static int refuse(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s%s\n", command, what, why);
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

static int read_log(struct event_options *o, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(logs); i++)
		if (!strcmp(value, logs[i].name)) {
			o->logs = logs[i].which;
			return 0;
		}
	return refuse(value, ": not a log (ledger, control, all)");
}

static bool severity(const char *name, size_t len, enum severity *out)
{
	for (enum severity i = 0; i < SEVERITY_COUNT; i++)
		if (strlen(severity_names[i]) == len && !strncasecmp(severity_names[i], name, len)) {
			*out = i;
			return true;
		}
	return false;
}

/* LEVEL: at least so grave. FROM..TO, in any order. */
static int read_priority(struct event_options *o, const char *value)
{
	const char *dots = strstr(value, "..");
	enum severity least, most = SEVERITY_CRITICAL;

	if (!severity(value, dots ? (size_t)(dots - value) : strlen(value), &least) ||
	    (dots && !severity(dots + 2, strlen(dots + 2), &most)))
		return refuse(value, ": not a level (info, low, medium, high, critical)");
	record_filter_severity(o->filter, least < most ? least : most, least < most ? most : least);
	return 0;
}

static int read_case(struct event_options *o, const char *value)
{
	o->case_given = true;
	o->caseless = !strcmp(value, "no") || !strcmp(value, "false") || !strcmp(value, "0");
	return o->caseless || !strcmp(value, "yes") || !strcmp(value, "true") || !strcmp(value, "1")
	               ? 0
	               : refuse(value, ": not yes or no");
}

static int add_match(struct event_options *o, const char *text)
{
	const char *why = record_filter_add(o->filter, text);

	if (!why)
		return 0;
	fprintf(stderr, "%s: %s: %s\n", command, text, why);
	return EVENTS_ERROR;
}

static int add_field(struct event_options *o, const char *field, const char *value)
{
	owned(own_free) char *text = NULL;

	if (asprintf(&text, "%s=%s", field, value) < 0) {
		text = NULL;
		return refuse("out of memory", "");
	}
	return add_match(o, text);
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
	case OPT_END:
		return read_lines(o, "1000");
	case OPT_OUTPUT:
		return read_output(o, value);
	case OPT_LOG:
		return read_log(o, value);
	case OPT_PRIORITY:
		return read_priority(o, value);
	case OPT_CASE:
		return read_case(o, value);
	case OPT_DIRECTORY:
		free(o->dir);
		o->dir = strdup(value);
		o->dir_given = true;
		return o->dir ? 0 : refuse("out of memory", "");
	case OPT_AFTER:
		o->after = true;
		/* fall through */
	case OPT_CURSOR:
		o->cursor = value;
		return 0;
	case OPT_CURSOR_FILE:
		o->cursor_file = value;
		return 0;
	case OPT_GREP:
		o->pattern = value;
		return 0;
	case OPT_BY:
		o->by = value;
		return 0;
	case OPT_FOLLOW:
		o->follow = true;
		return 0;
	case OPT_REVERSE:
		o->reverse = true;
		return 0;
	case OPT_NO_TAIL:
		o->no_tail = true;
		return 0;
	case OPT_SHOW_CURSOR:
		o->show_cursor = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_UTC:
		o->utc = true;
		return 0;
	case OPT_NO_INDEX:
		o->no_index = true;
		return 0;
	case OPT_HELP:
		o->help = true;
		return 0;
	default:
		return options[id].field ? add_field(o, options[id].field, value) : 0;
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

		if (strlen(options[i].name) != len || strncmp(options[i].name, name, len) != 0 ||
		    !(options[i].who & o->who))
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

		while (i < OPT_COUNT && (options[i].letter != *p || !(options[i].who & o->who)))
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

void events_options_free(struct event_options *o)
{
	record_filter_free(&o->filter);
	free(o->dir);
	o->dir = NULL;
}

/* Small letters match both cases, as in journalctl. */
static bool has_capital(const char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			return true;
	return false;
}

/* What the options mean together. */
static int settle(struct event_options *o)
{
	char why[256];
	const char *end = record_filter_end(o->filter);

	if (end)
		return refuse("+: ", end);
	if (o->follow && o->reverse)
		return refuse("-f and -r", " exclude each other");
	if (o->cursor && o->cursor_file)
		return refuse("--cursor and --cursor-file", " exclude each other");
	if (o->follow && !o->has_lines && !o->has_since && !o->no_tail && !o->cursor && !o->cursor_file) {
		o->has_lines = true;
		o->lines = FOLLOW_LINES;
	}
	if (o->lines == UINT64_MAX)
		o->has_lines = false;
	record_filter_times(o->filter, o->since, o->until);
	if (!o->pattern ||
	    !record_filter_grep(o->filter, o->pattern, o->case_given ? o->caseless : !has_capital(o->pattern), why,
	                        sizeof(why)))
		return 0;
	fprintf(stderr, "%s: %s: %s\n", command, o->pattern, why);
	return EVENTS_ERROR;
}

int events_options(struct event_options *o, unsigned who, int argc, char **argv)
{
	int err = 0;

	*o = (struct event_options){ .command = argv[0],
		                     .who = who,
		                     .logs = LOG_LEDGER | LOG_CONTROL,
		                     .until = UINT64_MAX,
		                     .lines = UINT64_MAX };
	command = argv[0];
	if (record_filter_new(&o->filter))
		return refuse("out of memory", "");
	for (int i = 1; i < argc && !err; i++) {
		/* ausearch's two */
		if (!strcmp(argv[i], "-ts") || !strcmp(argv[i], "-te"))
			err = i + 1 == argc ? refuse(argv[i], " needs a value")
			                    : take_option(o, argv[i][2] == 's' ? OPT_SINCE : OPT_UNTIL, argv[i + 1]),
			i++;
		else if (!strncmp(argv[i], "--", 2))
			err = read_long(o, argv, &i);
		else if (argv[i][0] == '-' && argv[i][1])
			err = read_letters(o, argv, &i);
		else
			err = add_match(o, argv[i]);
	}
	return err || o->help ? err : settle(o);
}

int events_choose_dir(struct event_options *o)
{
	return o->dir || !cli_record_dir(&o->dir) ? 0 : EVENTS_ERROR;
}

static const char *const usages[] = {
	[FOR_EVENTS] =
		"usage: sluicectl events [-S since] [-U until] [-f] [-n N] [-r] [-o FORM] [-g PATTERN] [-p LEVEL] "
		"[FIELD=VALUE...] [-D dir]\n",
	[FOR_STATS] = "usage: sluicectl stats [--by LIST] [--json] [-S since] [-U until] [FIELD=VALUE...] [-D dir]\n",
};

void events_usage(unsigned who)
{
	fputs(usages[who], stdout);
	for (enum option_id i = 0; i < OPT_COUNT; i++) {
		char name[40];

		if (!(options[i].who & who))
			continue;
		snprintf(name, sizeof(name), "--%s%s%s", options[i].name, options[i].value ? "=" : "",
		         options[i].value ? options[i].value : "");
		printf("  %c%c %-22s %s\n", options[i].letter ? '-' : ' ', options[i].letter ? options[i].letter : ' ',
		       name, options[i].help);
	}
	printf("FIELD is a field of the record, however deep (verdict, rule_id, exchange.verdict), or type; the same "
	       "field twice means or, + between matches, too.\nExit status: 0 found, 1 nothing, 2 error, 3 a record is "
	       "damaged.\n");
}
