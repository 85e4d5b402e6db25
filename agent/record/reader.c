/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.c - a ledger read from its files: first to last, or from near the end, and on as it grows.
 *
 * A file set aside by recovery is read too, up to where it is damaged: what it still tells belongs to the history, and
 * the error at that place is the truth about it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "base/own.h"
#include "record/segment.h"

struct ledger_reader {
	int dir, changes;
	struct segment_name *list;
	size_t listed;
	struct segment_name now;  /* the open segment */
	struct segment_walk walk; /* fd -1: none open */
	bool past;                /* a segment was open: go on behind `now` */
	bool given_up;            /* the open segment is damaged */
	bool looked;              /* read to its end since a newer one was seen */
	bool idle;                /* the last answer was "the end for now" */
	Record *record;
	struct slice raw;
	char why[256];
};

static void forget_record(struct ledger_reader *r)
{
	if (r->record)
		record__free_unpacked(r->record, NULL);
	r->record = NULL;
	r->raw = (struct slice){ NULL, 0 };
}

void ledger_reader_close(struct ledger_reader **at)
{
	struct ledger_reader *r = *at;

	if (!r)
		return;
	forget_record(r);
	segment_walk_stop(&r->walk);
	own_close(&r->changes);
	own_close(&r->dir);
	free(r->list);
	free(r);
	*at = NULL;
}

int ledger_reader_open(struct ledger_reader **out, const char *dir)
{
	owned(ledger_reader_close) struct ledger_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->dir = r->changes = r->walk.fd = -1;
	r->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir < 0)
		return -errno;
	*out = TAKE(r);
	return 0;
}

/* Made only for followers: a host has few, and closing one waits for the kernel. */
int ledger_reader_fd(struct ledger_reader *r)
{
	char path[32];

	if (r->changes >= 0)
		return r->changes;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->dir);
	r->changes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (r->changes >= 0 && inotify_add_watch(r->changes, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		close(TAKE_FD(r->changes));
	return r->changes;
}

void ledger_raw(const struct ledger_reader *r, const uint8_t **at, size_t *len)
{
	*at = r->raw.at;
	*len = r->raw.len;
}

const char *ledger_reader_why(const struct ledger_reader *r)
{
	return r->why;
}

/* Reads the folder again; what was counted stays known. */
static int refresh(struct ledger_reader *r)
{
	owned(own_free) struct segment_name *list = NULL;
	size_t n, old = 0;
	int err = segment_list(r->dir, &list, &n);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		while (old < r->listed && r->list[old].first_seq < list[i].first_seq)
			old++;
		if (old < r->listed && r->list[old].first_seq == list[i].first_seq)
			list[i].records = r->list[old].records;
	}
	free(r->list);
	r->list = TAKE(list);
	r->listed = n;
	return 0;
}

static bool walking(const struct ledger_reader *r)
{
	return r->walk.fd >= 0 || r->walk.gz;
}

/* The first segment behind the open one, or NULL. */
static const struct segment_name *newer(const struct ledger_reader *r)
{
	for (size_t i = 0; i < r->listed; i++)
		if (!r->past || r->list[i].first_seq > r->now.first_seq)
			return &r->list[i];
	return NULL;
}

/* Goes to a segment's start. -ENOENT: it is gone; the place is behind it all the same. */
static int enter(struct ledger_reader *r, const struct segment_name *name)
{
	forget_record(r);
	segment_walk_stop(&r->walk);
	r->now = *name;
	r->past = true;
	r->given_up = r->looked = false;
	return segment_walk_open(&r->walk, r->dir, &r->now);
}

/* Whether the segment `next` begins by saying that the open one was left unfinished at this place. */
static bool excused(const struct ledger_reader *r, const struct segment_name *next)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	char text[NAME_ROOM];
	struct slice raw;
	Record *first;
	bool named = false;

	segment_name_text(text, &r->now);
	if (segment_walk_open(&w, r->dir, next) || segment_walk_next(&w, &raw) != WALK_RECORD)
		return false;
	first = record__unpack(NULL, raw.len, raw.at);
	if (first && first->body_case == RECORD__BODY_RECOVERY)
		named = first->recovery->kind == RECOVERY__KIND__FAILED && !strcmp(first->recovery->segment, text) &&
		        first->recovery->first_bad_offset <= r->walk.offset;
	if (first)
		record__free_unpacked(first, NULL);
	return named;
}

static int give_up(struct ledger_reader *r, int err, const char *what)
{
	char text[NAME_ROOM];

	segment_name_text(text, &r->now);
	snprintf(r->why, sizeof(r->why), "%s: offset %llu: %s", text, (unsigned long long)r->walk.offset, what);
	r->given_up = true;
	return err;
}

static int take_record(struct ledger_reader *r, const Record **out)
{
	r->record = record__unpack(NULL, r->raw.len, r->raw.at);
	if (!r->record)
		return give_up(r, -EBADMSG, "the bytes are not a Record");
	*out = r->record;
	return 1;
}

/* At the end of the open segment, or at damage in it: 1 to try again, 0 at the end for now, -errno. */
static int go_on(struct ledger_reader *r, int step)
{
	const struct segment_name *next;
	int err = refresh(r);

	if (err)
		return err;
	next = newer(r);
	if (walking(r) && !r->given_up) {
		bool whole = step == WALK_END && r->walk.begun;

		if (!next && step == WALK_BAD)
			return give_up(r, -EBADMSG, r->walk.why);
		if (!next)
			return 0;
		/* What came between that end and the newer segment's birth has to be read first. */
		if (!r->looked) {
			r->looked = true;
			return 1;
		}
		if (!whole && !excused(r, next))
			return give_up(r, -EBADMSG, step == WALK_BAD ? r->walk.why : "the file ends inside a record");
	}
	if (!next)
		return 0;
	err = enter(r, next);
	return err && err != -ENOENT ? err : 1;
}

static void drain(const struct ledger_reader *r)
{
	char events[4096];

	while (r->changes >= 0 && read(r->changes, events, sizeof(events)) > 0)
		;
}

int ledger_next(struct ledger_reader *r, const Record **out)
{
	forget_record(r);
	/* Before looking, not after: a change in between must wake the follower. */
	if (r->idle)
		drain(r);
	r->idle = false;
	for (;;) {
		int step = WALK_END, more;

		if (walking(r) && !r->given_up)
			step = segment_walk_next(&r->walk, &r->raw);
		if (step == WALK_RECORD)
			return take_record(r, out);
		if (step < 0)
			return give_up(r, step, strerror(-step));
		more = go_on(r, step);
		if (more <= 0) {
			r->idle = !more;
			return more;
		}
	}
}

/* ---- from near the end ---- */

/* Walks over at most n records by their lengths. Returns how many. */
static uint64_t skip(struct segment_walk *w, uint64_t n)
{
	struct slice raw;
	uint64_t i = 0;

	w->trust = true;
	while (i < n && segment_walk_next(w, &raw) == WALK_RECORD)
		i++;
	w->trust = false;
	return i;
}

static int count_records(const struct ledger_reader *r, struct segment_name *name)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	int err;

	if (name->records != UINT64_MAX)
		return 0;
	err = segment_walk_open(&w, r->dir, name);
	if (err)
		return err;
	name->records = skip(&w, UINT64_MAX);
	return 0;
}

int ledger_seek_last(struct ledger_reader *r, uint64_t n)
{
	uint64_t over = 0;
	size_t i;
	int err = refresh(r);

	if (err || !r->listed)
		return err;
	r->list[r->listed - 1].records = UINT64_MAX; /* it grows */
	for (i = r->listed; i > 0; i--) {
		err = count_records(r, &r->list[i - 1]);
		if (err && err != -ENOENT)
			return err;
		if (err)
			continue;
		over = r->list[i - 1].records;
		if (over >= n)
			break;
		n -= over;
		over = 0;
	}
	over = i ? over - n : 0;
	err = enter(r, &r->list[i ? i - 1 : 0]);
	if (!err)
		skip(&r->walk, over);
	r->list[r->listed - 1].records = UINT64_MAX;
	return err;
}
