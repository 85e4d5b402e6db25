/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - `sluicectl events`: which records, in which order, how long.
 *
 * History is read forwards unless the end is asked for (-n, -r, -f): then in windows from the end, so that the last ten
 * records cost the same in a full disk as in an empty one. The files are read, never the daemon: nothing here can slow
 * it down.
 */
#include "cli/events.h"

#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"

#define WINDOW_FIRST  1024
#define WINDOW_MOST   65536
#define POLL_MS       1000
#define POLL_BLIND_MS 50 /* where the kernel does not tell of changes */

struct events {
	struct event_options o;
	uint64_t read_to; /* highest seq of the history, plus one */
	bool found, damaged, gone;
	char said[256]; /* the last damage told: windows may overlap there */
};

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
	return r->time_unix_nano >= e->o.since && r->time_unix_nano <= e->o.until &&
	       events_match(e->o.match, e->o.matches, r);
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
	if (events_print(stdout, e->o.output, e->o.utc, r, raw) || ferror(stdout))
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
		fprintf(stderr, "events: %s/%s\n", e->o.dir, e->said);
	}
	if (got < 0)
		fprintf(stderr, "events: %s/%s\n", e->o.dir, ledger_reader_why(r));
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
	uint64_t bound = UINT64_MAX, oldest, depth = 0, step = WINDOW_FIRST, left = e->o.lines, end;
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
			if (e->o.reverse && !show_kept(e, &w.kept[i - 1]))
				break;
			if (!e->o.reverse)
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
	bool from_end = e->o.reverse || (e->o.has_lines && e->o.lines != UINT64_MAX);
	int err = ledger_reader_open(&r, e->o.dir);

	/* The follower stands at the end before history is read, so that nothing falls in between. */
	if (!err && e->o.follow && from_end) {
		err = ledger_reader_open(&tail, e->o.dir);
		if (!err)
			err = ledger_seek_last(tail, 0);
	}
	if (err) {
		fprintf(stderr, "events: %s: %s\n", e->o.dir, strerror(-err));
		return err;
	}
	err = from_end ? backward(e, r) : forward(e, r);
	if (!err && e->o.follow)
		err = follow(e, tail ? tail : r);
	return err;
}

/* A record directory holds several ledgers; this one is read. */
static int choose_dir(struct events *e)
{
	owned(own_free) char *inner = NULL;
	struct stat st;

	if (!e->o.dir && cli_record_dir(&e->o.dir))
		return EVENTS_ERROR;
	if (!e->o.dir || asprintf(&inner, "%s/ledger", e->o.dir) < 0) {
		fprintf(stderr, "events: out of memory\n");
		return EVENTS_ERROR;
	}
	if (!stat(inner, &st) && S_ISDIR(st.st_mode)) {
		free(e->o.dir);
		e->o.dir = TAKE(inner);
	}
	return 0;
}

static void events_free(struct events *e)
{
	free(e->o.dir);
}

int events_main(int argc, char **argv)
{
	owned(events_free) struct events e = { .o = { .until = UINT64_MAX, .lines = UINT64_MAX } };
	int err = events_options(&e.o, argc, argv);

	if (err)
		return err;
	if (e.o.help) {
		events_usage();
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
		return EVENTS_ERROR;
	return e.damaged ? EVENTS_DAMAGED : e.found ? EVENTS_FOUND : EVENTS_NOTHING;
}
