/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events_logs.c - both logs of a record directory as one history.
 *
 * Each log is in its own order, which no clock can change; between the two the time decides.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/own.h"
#include "cli/events.h"

static const struct {
	unsigned which;
	const char *folder;
} folders[EVENT_LOGS] = { { LOG_LEDGER, "ledger" }, { LOG_CONTROL, "control" } };

void events_close(struct event_logs *l)
{
	for (size_t i = 0; i < l->count; i++) {
		ledger_reader_close(&l->log[i].r);
		free(l->log[i].dir);
		free(l->log[i].shown);
	}
	l->count = 0;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static int say(const struct event_logs *l, const char *what, const char *why, int err)
{
	fprintf(stderr, "%s: %s: %s\n", l->o->command, what, why);
	return err;
}

static int keep_shown(struct event_log *log, struct slice raw)
{
	uint8_t *more = realloc(log->shown, raw.len + 1);

	if (!more)
		return -ENOMEM;
	memcpy(more, raw.at, raw.len);
	log->shown = more;
	log->shown_len = raw.len;
	return 0;
}

/* What is the last record now: where a cursor stands if nothing of this log is shown. */
static int keep_last(struct event_log *log)
{
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	struct slice raw;
	int err = ledger_reader_open(&r, log->dir);

	err = err ? err : ledger_seek_last(r, 1);
	if (err)
		return err;
	while (!err && ledger_step(r) == 1) {
		ledger_raw(r, &raw.at, &raw.len);
		err = keep_shown(log, raw);
	}
	return err;
}

/* The part of the cursor that is this log's, if there is one. */
static int seek_cursor(struct event_logs *l, struct event_log *log, const char *cursor, bool *known)
{
	for (const char *p = cursor; p; p = strchr(p, '+')) {
		uint64_t seq = 0;
		int err;

		p += *p == '+';
		err = ledger_find_cursor(log->dir, p, strcspn(p, "+\n"), &seq);
		if (err == -ENOENT)
			continue;
		if (err == -EINVAL)
			return say(l, p, "not a cursor", err);
		if (err == -ESTALE)
			return say(l, log->dir,
			           "the cursor is of a record that is not in this log: it was written anew", err);
		if (err && err != -ENODATA)
			return say(l, log->dir, strerror(-err), err);
		if (err)
			(void)say(l, log->dir, "the record of the cursor is gone: going on behind it", 0);
		ledger_seek_seq(log->r, seq + l->o->after);
		*known = true;
		return 0;
	}
	return 0;
}

static int open_one(struct event_logs *l, char *dir)
{
	struct event_log *log = &l->log[l->count++];
	int err;

	*log = (struct event_log){ .dir = dir };
	err = ledger_reader_open(&log->r, dir);
	if (err)
		return say(l, dir, strerror(-err), err);
	ledger_reader_filter(log->r, l->o->filter);
	ledger_reader_plainly(log->r, l->o->no_index, false);
	return 0;
}

static int open_all(struct event_logs *l)
{
	int err = 0;

	for (size_t i = 0; i < EVENT_LOGS && !err; i++) {
		owned(own_free) char *inner = NULL;

		if (asprintf(&inner, "%s/%s", l->o->dir, folders[i].folder) < 0) {
			inner = NULL;
			return -ENOMEM;
		}
		if (l->o->logs & folders[i].which && is_dir(inner))
			err = open_one(l, TAKE(inner));
	}
	if (!err && !l->count) {
		char *dir = strdup(l->o->dir);

		err = dir ? open_one(l, dir) : -ENOMEM;
	}
	return err;
}

int events_open(struct event_logs *l, const struct event_options *o)
{
	bool known = false;
	int err;

	*l = (struct event_logs){ .o = o, .keep_shown = o->show_cursor || o->cursor_file };
	err = open_all(l);
	for (size_t i = 0; i < l->count && !err && l->keep_shown; i++)
		err = keep_last(&l->log[i]);
	for (size_t i = 0; i < l->count && !err && o->cursor; i++)
		err = seek_cursor(l, &l->log[i], o->cursor, &known);
	if (!err && o->cursor && !known)
		err = say(l, o->cursor, "a cursor of no log here", -ENOENT);
	return err;
}

int events_backwards(struct event_logs *l, uint64_t last)
{
	int err = 0;

	for (size_t i = 0; i < l->count && !err; i++)
		err = ledger_read_backwards(l->log[i].r, last);
	return err;
}

/* Fills the head of a log: 0 or -errno. */
static int look(struct event_logs *l, struct event_log *log)
{
	int got;

	while ((got = ledger_next(log->r, &log->head)) == -EBADMSG) {
		l->damaged = true;
		if (!strcmp(l->said, ledger_reader_why(log->r)))
			continue;
		snprintf(l->said, sizeof(l->said), "%s", ledger_reader_why(log->r));
		fflush(stdout);
		fprintf(stderr, "%s: %s/%s\n", l->o->command, log->dir, l->said);
	}
	if (got < 0)
		fprintf(stderr, "%s: %s/%s\n", l->o->command, log->dir, ledger_reader_why(log->r));
	log->have = got == 1;
	if (log->have)
		ledger_raw(log->r, &log->raw.at, &log->raw.len);
	return got < 0 ? got : 0;
}

/* Whether the head of `a` comes before that of `b`. */
static bool comes_first(const struct event_logs *l, const struct event_log *a, const struct event_log *b)
{
	if (l->o->reverse || l->o->has_lines) {
		/* Read from the end: see events_backwards(). Once they are being followed only one has a head at a
		 * time. */
		return a->head->time_unix_nano > b->head->time_unix_nano;
	}
	return a->head->time_unix_nano <= b->head->time_unix_nano;
}

/* Was it given already, as the other log has it? Both are written in one breath, so that they are near each other. */
static bool given(struct event_logs *l, const struct event_log *log)
{
	uint8_t which = (uint8_t)(log - l->log);
	uint64_t twin = log->head->twin;

	if (!twin || l->count < 2)
		return false;
	for (size_t i = 0; i < EVENTS_TWINS; i++)
		if (l->twins[i] == twin && l->twin_log[i] != which)
			return true;
	l->twins[l->twin_next % EVENTS_TWINS] = twin;
	l->twin_log[l->twin_next++ % EVENTS_TWINS] = which;
	return false;
}

void events_go_on(struct event_logs *l, const struct event_logs *of)
{
	memcpy(l->twins, of->twins, sizeof(l->twins));
	memcpy(l->twin_log, of->twin_log, sizeof(l->twin_log));
	l->twin_next = of->twin_next;
}

static int next(struct event_logs *l, struct event_log **out)
{
	struct event_log *first = NULL;

	for (size_t i = 0; i < l->count; i++) {
		struct event_log *log = &l->log[i];
		int err = log->have ? 0 : look(l, log);

		if (err)
			return err;
		if (log->have && (!first || comes_first(l, log, first)))
			first = log;
	}
	if (!first)
		return 0;
	first->have = false;
	*out = first;
	return l->keep_shown && keep_shown(first, first->raw) ? -ENOMEM : 1;
}

int events_next(struct event_logs *l, const Record **out, struct slice *raw)
{
	struct event_log *log = NULL;
	int got;

	do
		got = next(l, &log);
	while (got == 1 && given(l, log));
	if (got == 1 && log) {
		*out = log->head;
		*raw = log->raw;
	}
	return got;
}

int events_cursor(const struct event_logs *l, char **text)
{
	owned(own_free) char *all = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&all, &len);
	bool any = false;
	int err = to ? 0 : -ENOMEM;

	for (size_t i = 0; i < l->count && !err; i++) {
		char one[LEDGER_CURSOR];

		if (!l->log[i].shown)
			continue;
		err = ledger_cursor(l->log[i].dir, l->log[i].shown, l->log[i].shown_len, one);
		if (!err)
			fprintf(to, "%s%s", any ? "+" : "", one);
		any = true;
	}
	if (to && fclose(to) && !err)
		err = -ENOMEM;
	if (!err)
		*text = TAKE(all);
	return err;
}
