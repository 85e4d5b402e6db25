/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - `sluicectl events`: which records, in which order, how long.
 *
 * History is read forwards unless the end is asked for (-n, -r, -f): then in windows from the end, so that the last ten
 * records cost the same in a full disk as in an empty one. The files are read, never the daemon: nothing here can slow
 * it down.
 */
#include "cli/events.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"

#define RECORD_DIR    "/var/lib/sluice/record"
#define WINDOW_FIRST  1024
#define WINDOW_MOST   65536
#define FOLLOW_LINES  10
#define POLL_MS	      1000
#define POLL_BLIND_MS 50 /* where the kernel does not tell of changes */

enum status { FOUND, NOTHING, ERROR, DAMAGED };

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
	[OPT_DIRECTORY] = { 'D', "directory", "DIR", "the record's folder, or a copy (" RECORD_DIR ")" },
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

struct events {
	char *dir;
	bool follow, reverse, utc, help;
	uint64_t since, until, lines; /* UINT64_MAX: no limit */
	bool has_since, has_lines;
	enum event_output output;
	struct event_match match[EVENTS_MATCHES];
	size_t matches;

	uint64_t read_to; /* highest seq of the history, plus one */
	bool found, damaged, gone;
	char said[256]; /* the last damage told: windows may overlap there */
};

/* ---- arguments ---- */

static int refuse(const char *what, const char *why)
{
	fprintf(stderr, "events: %s%s\n", what, why);
	return ERROR;
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

static int read_lines(struct events *e, const char *value)
{
	char *end;

	e->has_lines = true;
	e->lines = UINT64_MAX;
	if (!strcmp(value, "all"))
		return 0;
	errno = 0;
	e->lines = strtoull(value, &end, 10);
	return *value < '0' || *value > '9' || *end || errno ? refuse(value, ": not a number of lines") : 0;
}

static int read_output(struct events *e, const char *value)
{
	char text[80];

	for (enum event_output i = 0; i < EVENTS_OUTPUT_COUNT; i++)
		if (!strcmp(value, outputs[i])) {
			e->output = i;
			return 0;
		}
	snprintf(text, sizeof(text), "-o %s", value);
	return refuse(text, " is not supported by this version");
}

static int take_option(struct events *e, enum option_id id, const char *value)
{
	switch (id) {
	case OPT_SINCE:
		e->has_since = true;
		return read_time(value, &e->since);
	case OPT_UNTIL:
		return read_time(value, &e->until);
	case OPT_LINES:
		return read_lines(e, value);
	case OPT_OUTPUT:
		return read_output(e, value);
	case OPT_DIRECTORY:
		free(e->dir);
		e->dir = strdup(value);
		return e->dir ? 0 : refuse("out of memory", "");
	case OPT_FOLLOW:
		e->follow = true;
		return 0;
	case OPT_REVERSE:
		e->reverse = true;
		return 0;
	case OPT_UTC:
		e->utc = true;
		return 0;
	case OPT_HELP:
		e->help = true;
		return 0;
	default:
		return 0;
	}
}

/* One option, or a bundle of letters; *at moves on over what is used of argv. */
static int read_long(struct events *e, char **argv, int *at)
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
		return take_option(e, i, value);
	}
	return refuse(shown, " is not supported by this version");
}

static int read_letters(struct events *e, char **argv, int *at)
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
		err = take_option(e, i, value);
		if (err || value)
			return err;
	}
	return 0;
}

static int read_match(struct events *e, const char *text)
{
	const char *why;

	if (!strcmp(text, "+"))
		return refuse(text, " is not supported by this version");
	if (e->matches == EVENTS_MATCHES)
		return refuse(text, ": too many matches");
	why = events_match_read(&e->match[e->matches], text);
	if (why) {
		fprintf(stderr, "events: %s: %s\n", text, why);
		return ERROR;
	}
	e->matches++;
	return 0;
}

static int read_arguments(struct events *e, int argc, char **argv)
{
	int err = 0;

	for (int i = 1; i < argc && !err; i++) {
		if (!strncmp(argv[i], "--", 2))
			err = read_long(e, argv, &i);
		else if (argv[i][0] == '-' && argv[i][1])
			err = read_letters(e, argv, &i);
		else
			err = read_match(e, argv[i]);
	}
	if (!err && e->follow && e->reverse)
		err = refuse("-f and -r", " exclude each other");
	if (!err && e->follow && !e->has_lines && !e->has_since) {
		e->has_lines = true;
		e->lines = FOLLOW_LINES;
	}
	return err;
}

static void usage(void)
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

/* ---- records ---- */

/* A record kept until its turn comes. */
struct kept {
	size_t len;
	uint8_t *raw;
};

struct window {
	struct kept *kept;
	size_t n, room;
};

static void window_free(struct window *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->kept[i].raw);
	free(w->kept);
	*w = (struct window){ 0 };
}

static int window_keep(struct window *w, struct slice raw)
{
	uint8_t *copy = malloc(raw.len ? raw.len : 1);

	if (copy && w->n == w->room) {
		size_t room = w->room ? 2 * w->room : 64;
		struct kept *grown = reallocarray(w->kept, room, sizeof(*grown));

		if (grown) {
			w->kept = grown;
			w->room = room;
		}
	}
	if (!copy || w->n == w->room) {
		free(copy);
		return -ENOMEM;
	}
	memcpy(copy, raw.at, raw.len);
	w->kept[w->n++] = (struct kept){ raw.len, copy };
	return 0;
}

static bool wanted(const struct events *e, const Record *r)
{
	return r->time_unix_nano >= e->since && r->time_unix_nano <= e->until && events_match(e->match, e->matches, r);
}

static struct slice raw_of(const struct ledger_reader *r)
{
	struct slice raw;

	ledger_raw(r, &raw.at, &raw.len);
	return raw;
}

/* Whether to go on: not when nobody reads. */
static bool show(struct events *e, const Record *r, struct slice raw)
{
	e->found = true;
	if (events_print(stdout, e->output, e->utc, r, raw) || ferror(stdout))
		e->gone = true;
	return !e->gone;
}

static bool show_kept(struct events *e, const struct kept *k)
{
	Record *r = record__unpack(NULL, k->len, k->raw);
	bool more = r && show(e, r, slice_of(k->raw, k->len));

	if (r)
		record__free_unpacked(r, NULL);
	return more;
}

/* The next record, damage told on the way: 1, 0 or -errno. */
static int next(struct events *e, struct ledger_reader *r, const Record **out)
{
	int got;

	while ((got = ledger_next(r, out)) == -EBADMSG) {
		e->damaged = true;
		if (!strcmp(e->said, ledger_reader_why(r)))
			continue;
		snprintf(e->said, sizeof(e->said), "%s", ledger_reader_why(r));
		fflush(stdout);
		fprintf(stderr, "events: %s/%s\n", e->dir, e->said);
	}
	if (got < 0)
		fprintf(stderr, "events: %s/%s\n", e->dir, ledger_reader_why(r));
	return got;
}

/* All from here to the end for now. 0 or -errno. */
static int forward(struct events *e, struct ledger_reader *r)
{
	const Record *rec;
	int got = 0;

	while (!e->gone && (got = next(e, r, &rec)) > 0)
		if (rec->seq >= e->read_to && wanted(e, rec))
			show(e, rec, raw_of(r));
	return got < 0 ? got : 0;
}

/* Reads the last `depth` records below *bound; keeps what is wanted; *bound becomes the first seq read, if any. */
static int read_window(struct events *e, struct ledger_reader *r, uint64_t depth, uint64_t *bound, struct window *w)
{
	uint64_t first = *bound;
	const Record *rec;
	int got, err = ledger_seek_last(r, depth);

	if (err)
		return err;
	while ((got = next(e, r, &rec)) > 0 && rec->seq < *bound) {
		if (rec->seq < first)
			first = rec->seq;
		if (rec->seq >= e->read_to)
			e->read_to = rec->seq + 1;
		err = wanted(e, rec) ? window_keep(w, raw_of(r)) : 0;
		if (err)
			return err;
	}
	*bound = first;
	return got < 0 ? got : 0;
}

/* Newest first to standard output (-r), or the last `lines` in order. */
static int backward(struct events *e, struct ledger_reader *r)
{
	owned(window_free) struct window newest = { 0 }; /* newest first */
	uint64_t bound = UINT64_MAX, oldest, depth = 0, step = WINDOW_FIRST, left = e->lines, end;
	const Record *rec;
	int err = next(e, r, &rec);

	if (err <= 0)
		return err;
	oldest = rec->seq;
	end = UINT64_MAX;
	for (; left && bound > oldest && depth < end && !e->gone; step = step < WINDOW_MOST ? 4 * step : step) {
		owned(window_free) struct window w = { 0 };

		depth += step;
		err = read_window(e, r, depth, &bound, &w);
		/* No ledger holds more records than it has used numbers: the oldest may be pruned meanwhile. */
		if (end == UINT64_MAX && bound != UINT64_MAX)
			end = e->read_to - oldest + WINDOW_MOST;
		for (size_t i = w.n; i > 0 && left && !err; i--, left--) {
			if (e->reverse && !show_kept(e, &w.kept[i - 1]))
				break;
			if (!e->reverse)
				err = window_keep(&newest, slice_of(w.kept[i - 1].raw, w.kept[i - 1].len));
		}
		if (err)
			return err;
	}
	for (size_t i = newest.n; i > 0 && show_kept(e, &newest.kept[i - 1]); i--)
		;
	return 0;
}

static int follow(struct events *e, struct ledger_reader *r)
{
	int fd = ledger_reader_fd(r);

	for (;;) {
		struct pollfd p[] = { { fd, POLLIN, 0 }, { STDOUT_FILENO, 0, 0 } };
		int err = forward(e, r);

		if (err)
			return err;
		if (fflush(stdout) || e->gone)
			return 0;
		if (poll(p, ARRAY_LEN(p), fd < 0 ? POLL_BLIND_MS : POLL_MS) > 0 && p[1].revents)
			return 0;
	}
}

static int run(struct events *e)
{
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	owned(ledger_reader_close) struct ledger_reader *tail = NULL;
	bool from_end = e->reverse || (e->has_lines && e->lines != UINT64_MAX);
	int err = ledger_reader_open(&r, e->dir);

	/* The follower stands at the end before history is read, so that nothing falls in between. */
	if (!err && e->follow && from_end) {
		err = ledger_reader_open(&tail, e->dir);
		if (!err)
			err = ledger_seek_last(tail, 0);
	}
	if (err) {
		fprintf(stderr, "events: %s: %s\n", e->dir, strerror(-err));
		return err;
	}
	err = from_end ? backward(e, r) : forward(e, r);
	if (!err && e->follow)
		err = follow(e, tail ? tail : r);
	return err;
}

/* A record directory holds several ledgers; this one is read. */
static int choose_dir(struct events *e)
{
	owned(own_free) char *inner = NULL;
	struct stat st;

	if (!e->dir)
		e->dir = strdup(RECORD_DIR);
	if (!e->dir || asprintf(&inner, "%s/ledger", e->dir) < 0)
		return refuse("out of memory", "");
	if (!stat(inner, &st) && S_ISDIR(st.st_mode)) {
		free(e->dir);
		e->dir = TAKE(inner);
	}
	return 0;
}

static void events_free(struct events *e)
{
	free(e->dir);
}

int events_main(int argc, char **argv)
{
	owned(events_free) struct events e = { .until = UINT64_MAX, .lines = UINT64_MAX };
	int err = read_arguments(&e, argc, argv);

	if (err)
		return err;
	if (e.help) {
		usage();
		return 0;
	}
	signal(SIGPIPE, SIG_IGN); /* a reader that has seen enough is no error */
	err = choose_dir(&e);
	if (err)
		return err;
	err = run(&e);
	if (fflush(stdout))
		e.gone = true;
	if (err)
		return ERROR;
	return e.damaged ? DAMAGED : e.found ? FOUND : NOTHING;
}
