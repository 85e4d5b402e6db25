/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - `sluicectl events`: which records, in which order, how long.
 *
 * History is read forwards unless the end is asked for (-n, -r, -f): then from the end, so that the last ten records
 * cost the same in a full disk as in an empty one. The files are read, never the daemon: nothing here can slow it down.
 */
#include "cli/events.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/own.h"

#define POLL_MS       1000
#define POLL_BLIND_MS 50 /* where the kernel does not tell of changes */

struct events {
	struct event_options o;
	struct event_logs logs, tail;
	bool found, gone;
};

/* Records kept until their turn comes. */
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

/* Whether to go on: not when nobody reads. */
static bool show(struct events *e, const Record *r, struct slice raw)
{
	e->found = true;
	if (!e->o.no_output && (events_print(stdout, e->o.output, e->o.utc, r, raw) || ferror(stdout)))
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

/* All from here to the end for now. 0 or -errno. */
static int forward(struct events *e, struct event_logs *l)
{
	const Record *rec;
	struct slice raw;
	int got = 0;

	while (!e->gone && (got = events_next(l, &rec, &raw)) > 0)
		show(e, rec, raw);
	return got < 0 ? got : 0;
}

/* Newest first to standard output (-r), or the last `lines` in order. */
static int backward(struct events *e)
{
	owned(window_free) struct window newest = { 0 };
	int err = events_backwards(&e->logs, e->o.lines), got = 0;
	const Record *rec;
	struct slice raw;

	for (uint64_t left = e->o.lines; !err && left && !e->gone; left--) {
		got = events_next(&e->logs, &rec, &raw);
		if (got <= 0)
			break;
		if (e->o.reverse)
			show(e, rec, raw);
		else
			err = window_keep(&newest, raw);
	}
	for (size_t i = newest.n; i > 0 && !err && got >= 0 && show_kept(e, &newest.kept[i - 1]); i--)
		;
	return err ? err : got < 0 ? got : 0;
}

static int follow(struct events *e, struct event_logs *l)
{
	for (;;) {
		struct pollfd p[EVENT_LOGS + 1];
		bool blind = false;
		int err;

		for (size_t i = 0; i < l->count; i++) {
			p[i] = (struct pollfd){ ledger_reader_fd(l->log[i].r), POLLIN, 0 };
			blind = blind || p[i].fd < 0;
		}
		p[l->count] = (struct pollfd){ STDOUT_FILENO, 0, 0 };
		err = forward(e, l);
		if (err)
			return err;
		if (fflush(stdout) || e->gone)
			return 0;
		if (poll(p, l->count + 1, blind ? POLL_BLIND_MS : POLL_MS) > 0 && p[l->count].revents)
			return 0;
	}
}

/* The cursor file as it was, or nothing if there is none yet. */
static int read_cursor_file(struct events *e, char **text)
{
	owned(own_close) int fd = open(e->o.cursor_file, O_RDONLY | O_CLOEXEC);
	owned(own_free) char *all = calloc(1, 4096);
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return 0;
	n = fd < 0 || !all ? -1 : read(fd, all, 4095);
	if (n < 0) {
		fprintf(stderr, "events: %s: %s\n", e->o.cursor_file, strerror(errno));
		return EVENTS_ERROR;
	}
	all[strcspn(all, "\n")] = 0;
	*text = *all ? TAKE(all) : NULL;
	e->o.after = true;
	return 0;
}

/* Whole or not at all: a cursor that is cut would lose its reader's place. */
static int write_cursor_file(const struct events *e, const char *text)
{
	owned(own_free) char *temporary = NULL;
	FILE *to;
	int err;

	if (asprintf(&temporary, "%s.new", e->o.cursor_file) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	to = fopen(temporary, "we");
	if (!to)
		return -errno;
	fprintf(to, "%s\n", text);
	err = fflush(to) || fsync(fileno(to)) ? -errno : 0;
	if (fclose(to) && !err)
		err = -errno;
	return err ? err : rename(temporary, e->o.cursor_file) ? -errno : 0;
}

static int tell_cursor(struct events *e)
{
	owned(own_free) char *text = NULL;
	int err = events_cursor(&e->logs, &text);

	if (err || !text || !*text)
		return err;
	if (e->o.show_cursor)
		printf("-- cursor: %s\n", text);
	return e->o.cursor_file ? write_cursor_file(e, text) : 0;
}

static int run(struct events *e)
{
	bool from_end = e->o.reverse || e->o.has_lines;
	int err = events_open(&e->logs, &e->o);

	if (err)
		return err;
	if (!e->o.follow || !from_end) {
		err = from_end ? backward(e) : e->o.follow ? follow(e, &e->logs) : forward(e, &e->logs);
	} else {
		/* The follower stands at the end before history is read, so that nothing falls in between. */
		err = events_open(&e->tail, &e->o);
		for (size_t i = 0; i < e->tail.count && !err; i++)
			err = ledger_seek_last(e->tail.log[i].r, 0);
		err = err ? err : backward(e);
		events_go_on(&e->tail, &e->logs);
		e->o.has_lines = false;
		err = err ? err : follow(e, &e->tail);
	}
	if (!err && (e->o.show_cursor || e->o.cursor_file)) {
		err = tell_cursor(e);
		if (err)
			fprintf(stderr, "events: cursor: %s\n", strerror(-err));
	}
	return err;
}

static void events_free(struct events *e)
{
	events_close(&e->logs);
	events_close(&e->tail);
	events_options_free(&e->o);
}

int events_main(int argc, char **argv)
{
	owned(events_free) struct events e = { .found = false };
	owned(own_free) char *cursor = NULL;
	int err = events_options(&e.o, FOR_EVENTS, argc, argv);

	if (err)
		return err;
	if (e.o.help) {
		events_usage(FOR_EVENTS);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN); /* a reader that has seen enough is no error */
	err = events_choose_dir(&e.o);
	if (!err && e.o.cursor_file)
		err = read_cursor_file(&e, &cursor);
	if (err)
		return err;
	if (cursor)
		e.o.cursor = cursor;
	err = run(&e);
	if (fflush(stdout))
		e.gone = true;
	if (err)
		return EVENTS_ERROR;
	return e.logs.damaged || e.tail.damaged ? EVENTS_DAMAGED : e.found ? EVENTS_FOUND : EVENTS_NOTHING;
}
