/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.c - a ledger read from its files: first to last, or from near the end, and on as it grows.
 *
 * Finished segments are searched ahead by threads (ahead.h); what is not sound, and the segment that still grows, is
 * walked through here. A file set aside by recovery is read too, up to where it is damaged: what it still tells belongs
 * to the history, and the error at that place is the truth about it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "base/own.h"
#include "record/ahead.h"
#include "record/frame.h"
#include "record/pile.h"
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

	const struct record_filter *filter; /* borrowed */
	struct filter_scratch *scratch;
	bool begun, no_ahead, no_index;
	uint64_t from; /* no seq below */
	struct ahead *ahead;
	bool quick;           /* the open segment is one of `ahead` */
	size_t job;           /* which */
	uint64_t given, omit; /* of the open segment: given; to be left out, because they were given */
	bool backwards;
	uint64_t last; /* backwards: enough of one segment */
	size_t left;   /* backwards: segments still to come */
	bool unread;   /* backwards: the pile of list[left] is to be made carefully */
	struct pile pile;
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
	ahead_stop(&r->ahead);
	filter_scratch_free(&r->scratch);
	pile_free(&r->pile);
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
		if ((!r->past || r->list[i].first_seq > r->now.first_seq) &&
		    (i + 1 == r->listed || r->list[i + 1].first_seq > r->from))
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
	r->given = r->omit = 0;
	r->quick = ahead_has(r->ahead, &r->now, &r->job);
	return r->quick ? 0 : segment_walk_open(&r->walk, r->dir, &r->now);
}

/* Starts the search of what is finished, at the first call for a record. Without it reading is only slower. */
static void begin(struct ledger_reader *r)
{
	struct search_plan plan = { .dir = r->dir,
		                    .filter = r->filter,
		                    .from = r->from,
		                    .backwards = r->backwards,
		                    .no_index = r->no_index,
		                    .last = r->last };
	owned(own_free) struct segment_name *list = NULL;
	size_t n = 0;

	r->begun = true;
	if (r->no_ahead || r->past)
		return;
	if (!r->backwards && refresh(r))
		return;
	list = calloc(r->listed + 1, sizeof(*list));
	for (size_t i = 0; list && i + 1 < r->listed; i++) {
		const struct segment_name *name = &r->list[r->backwards ? r->listed - 2 - i : i];

		if (!name->corrupt && name[1].first_seq > r->from)
			list[n++] = *name;
	}
	if (n)
		(void)ahead_start(&r->ahead, &plan, list, n);
}

static int give_up(struct ledger_reader *r, int err, const char *what)
{
	char text[NAME_ROOM];

	segment_name_text(text, &r->now);
	snprintf(r->why, sizeof(r->why), "%s: offset %llu: %s", text, (unsigned long long)r->walk.offset, what);
	r->given_up = true;
	return err;
}

/* A record that is framed and sealed, and yet none. What is behind it in the segment is not looked at, as with other
 * damage, whichever way it was read. */
static int give_up_record(struct ledger_reader *r)
{
	char text[NAME_ROOM];
	uint64_t seq = 0;

	frame_seq(r->raw, &seq);
	segment_name_text(text, &r->now);
	snprintf(r->why, sizeof(r->why), "%s: seq %llu: the bytes are not a Record", text, (unsigned long long)seq);
	r->given_up = true;
	r->quick = false;
	r->pile.n = 0;
	return -EBADMSG;
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
		if (!whole && !segment_excuses(r->dir, next, &r->now, r->walk.offset))
			return give_up(r, -EBADMSG, step == WALK_BAD ? r->walk.why : "the file ends inside a record");
	}
	if (!next)
		return 0;
	err = enter(r, next);
	return err && err != -ENOENT ? err : 1;
}

/* Whether a record is asked for at all. */
static bool wanted(struct ledger_reader *r)
{
	uint64_t seq;

	if (r->from && frame_seq(r->raw, &seq) && seq < r->from)
		return false;
	if (!filter_wants(r->filter, r->scratch, r->raw))
		return false;
	if (r->omit) {
		r->omit--;
		return false;
	}
	return true;
}

/* The next record of a segment that is searched ahead: 1, 0 at its end, -errno. */
static int take_quick(struct ledger_reader *r)
{
	uint64_t given = r->given;
	int got = ahead_next(r->ahead, r->job, &r->raw), err;

	r->given += got == 1;
	if (got != -EBADMSG && got != -ENOENT)
		return got;
	/* Something is wrong with it: once more, carefully. */
	r->quick = false;
	err = segment_walk_open(&r->walk, r->dir, &r->now);
	r->omit = given;
	return err == -ENOENT ? 0 : err ? err : -EAGAIN;
}

static void drain(const struct ledger_reader *r)
{
	char events[4096];

	while (r->changes >= 0 && read(r->changes, events, sizeof(events)) > 0)
		;
}

static int step_forwards(struct ledger_reader *r)
{
	/* Before looking, not after: a change in between must wake the follower. */
	if (r->idle)
		drain(r);
	r->idle = false;
	for (;;) {
		int step = WALK_END, more;

		if (r->quick) {
			int got = take_quick(r);

			if (got == 1)
				return 1;
			if (got && got != -EAGAIN)
				return give_up(r, got, strerror(-got));
			r->quick = false;
			if (got)
				continue;
		}
		if (walking(r) && !r->given_up)
			step = segment_walk_next(&r->walk, &r->raw);
		if (step == WALK_RECORD) {
			if (wanted(r))
				return 1;
			continue;
		}
		if (step < 0)
			return give_up(r, step, strerror(-step));
		more = go_on(r, step);
		if (more <= 0) {
			r->raw = (struct slice){ NULL, 0 };
			r->idle = !more;
			return more;
		}
	}
}

/* ---- from the end ---- */

void ledger_reader_filter(struct ledger_reader *r, const struct record_filter *f)
{
	r->filter = f;
}

void ledger_reader_plainly(struct ledger_reader *r, bool no_index, bool no_threads)
{
	r->no_index = no_index;
	r->no_ahead = no_threads;
}

void ledger_seek_seq(struct ledger_reader *r, uint64_t seq)
{
	r->from = seq;
}

int ledger_read_backwards(struct ledger_reader *r, uint64_t last)
{
	int err = refresh(r);

	if (err)
		return err;
	r->backwards = true;
	r->last = last;
	r->left = r->listed;
	return 0;
}

/* What a segment holds, carefully: by a reader of its own, which says what is wrong. 0, -EBADMSG with the pile as far
 * as it goes, -errno. */
static int make_pile(struct ledger_reader *r, const struct segment_name *name)
{
	owned(ledger_reader_close) struct ledger_reader *one = calloc(1, sizeof(*one));
	int got, err = 0, bad = 0;

	if (!one)
		return -ENOMEM;
	one->changes = one->walk.fd = -1;
	one->dir = fcntl(r->dir, F_DUPFD_CLOEXEC, 0);
	one->filter = r->filter;
	one->from = r->from;
	one->begun = one->no_ahead = true;
	if (one->dir < 0)
		return -errno;
	err = filter_scratch_new(&one->scratch, one->filter);
	err = err ? err : enter(one, name);
	while (!err && (got = step_forwards(one)) != 0 && one->now.first_seq == name->first_seq) {
		if (got == -EBADMSG) {
			snprintf(r->why, sizeof(r->why), "%s", one->why);
			bad = got;
			break;
		}
		err = got < 0 ? got : pile_add(&r->pile, one->raw);
		if (!err && r->last < 65536 && r->pile.n > 2 * r->last + 256)
			pile_cut(&r->pile, (size_t)r->last);
	}
	return err == -ENOENT ? 0 : err ? err : bad;
}

static int step_backwards(struct ledger_reader *r)
{
	for (;;) {
		const struct segment_name *name;
		int err;

		if (r->quick) {
			int got = ahead_next(r->ahead, r->job, &r->raw);

			if (got == 1)
				return 1;
			r->quick = false;
			r->unread = got == -EBADMSG;
			if (got && got != -EBADMSG && got != -ENOENT)
				return give_up(r, got, strerror(-got));
		}
		if (r->unread) {
			r->unread = false;
			err = make_pile(r, &r->list[r->left]);
			if (err == -EBADMSG)
				return err;
			if (err)
				return give_up(r, err, strerror(-err));
		}
		if (r->pile.n) {
			r->raw = pile_take(&r->pile);
			return 1;
		}
		r->pile.len = 0;
		if (!r->left || (r->left < r->listed && r->list[r->left].first_seq <= r->from))
			return 0;
		name = &r->list[--r->left];
		r->now = *name;
		r->quick = ahead_has(r->ahead, name, &r->job);
		r->unread = !r->quick;
	}
}

int ledger_step(struct ledger_reader *r)
{
	int err;

	forget_record(r);
	if (!r->begun) {
		err = filter_scratch_new(&r->scratch, r->filter);
		if (err)
			return err;
		begin(r);
	}
	return r->backwards ? step_backwards(r) : step_forwards(r);
}

int ledger_next(struct ledger_reader *r, const Record **out)
{
	int got = ledger_step(r);

	if (got != 1)
		return got;
	r->record = record__unpack(NULL, r->raw.len, r->raw.at);
	if (!r->record)
		return give_up_record(r);
	*out = r->record;
	return 1;
}

/* ---- from near the end ---- */

int ledger_seek_last(struct ledger_reader *r, uint64_t n)
{
	uint64_t over = 0;
	size_t i;
	int err = refresh(r);

	if (err || !r->listed)
		return err;
	r->list[r->listed - 1].records = UINT64_MAX; /* it grows */
	for (i = r->listed; i > 0; i--) {
		err = segment_count(r->dir, &r->list[i - 1]);
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
		segment_walk_skip(&r->walk, over);
	r->list[r->listed - 1].records = UINT64_MAX;
	return err;
}
