/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_walk.c - names of segments, and a walk through one of them.
 *
 * Reads with pread(2), not through a map: a live segment may be cut by recovery while somebody reads it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"
#include "record/frame.h"
#include "record/segment.h"

#define DATA_ROOM  (256 << 10)
#define SEQ_DIGITS 20

_Static_assert(DATA_ROOM > FRAME_MAX, "a field must fit");

void segment_name_text(char to[NAME_ROOM], const struct segment_name *n)
{
	snprintf(to, NAME_ROOM, "%020" PRIu64 "%s", n->first_seq, n->corrupt ? CORRUPT_SUFFIX : SEGMENT_SUFFIX);
}

static bool read_name(const char *text, struct segment_name *out)
{
	uint64_t seq = 0;
	bool corrupt;

	for (int i = 0; i < SEQ_DIGITS; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(seq, 10, &seq) ||
		    __builtin_add_overflow(seq, (uint64_t)(text[i] - '0'), &seq))
			return false;
	}
	corrupt = !strcmp(text + SEQ_DIGITS, CORRUPT_SUFFIX);
	if (!corrupt && strcmp(text + SEQ_DIGITS, SEGMENT_SUFFIX))
		return false;
	*out = (struct segment_name){ .first_seq = seq, .records = UINT64_MAX, .corrupt = corrupt };
	return true;
}

static int by_first_seq(const void *a, const void *b)
{
	const struct segment_name *x = a, *y = b;

	if (x->first_seq != y->first_seq)
		return x->first_seq < y->first_seq ? -1 : 1;
	return y->corrupt - x->corrupt;
}

static void own_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

int segment_list(int dir, struct segment_name **out, size_t *count)
{
	owned(own_free) struct segment_name *list = NULL;
	owned(own_close) int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	owned(own_dir) DIR *d = NULL;
	size_t n = 0, room = 0;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d)
		return -errno;
	(void)TAKE_FD(fd);
	for (;;) {
		struct segment_name name;
		struct dirent *e;

		errno = 0;
		e = readdir(d);
		if (!e && errno)
			return -errno;
		if (!e)
			break;
		if (!read_name(e->d_name, &name))
			continue;
		if (n == room) {
			struct segment_name *grown;

			room = room ? 2 * room : 16;
			grown = reallocarray(list, room, sizeof(*list));
			if (!grown)
				return -ENOMEM;
			list = grown;
		}
		list[n++] = name;
	}
	if (n)
		qsort(list, n, sizeof(*list), by_first_seq);
	*out = TAKE(list);
	*count = n;
	return 0;
}

int segment_walk_start(struct segment_walk *w, int fd, uint64_t first_seq)
{
	uint8_t *data = malloc(DATA_ROOM);

	if (!data)
		return -ENOMEM;
	*w = (struct segment_walk){ .fd = fd, .expected = first_seq, .data = data };
	return 0;
}

void segment_walk_stop(struct segment_walk *w)
{
	own_close(&w->fd);
	w->fd = -1;
	free(w->data);
	w->data = NULL;
}

/* What was read of the file from the next field on. */
static struct slice ahead(const struct segment_walk *w)
{
	size_t skip = (size_t)(w->offset - w->data_at);

	return (struct slice){ w->data + skip, w->data_len - skip };
}

static void forget(struct segment_walk *w)
{
	w->data_at = w->offset;
	w->data_len = 0;
}

/* Reads on behind what is there. Returns the bytes added, 0 at the end of the file, or -errno. */
static ssize_t fill(struct segment_walk *w)
{
	struct slice keep = ahead(w);
	size_t before = keep.len;

	memmove(w->data, keep.at, keep.len);
	w->data_at = w->offset;
	w->data_len = keep.len;
	while (w->data_len < DATA_ROOM) {
		ssize_t n =
			pread(w->fd, w->data + w->data_len, DATA_ROOM - w->data_len, (off_t)(w->data_at + w->data_len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		w->data_len += (size_t)n;
	}
	return (ssize_t)(w->data_len - before);
}

static bool header_is_right(struct segment_walk *w, struct slice body)
{
	SegmentHeader *h = frame_sealed(body) ? segment_header__unpack(NULL, body.len, body.at) : NULL;
	bool right = h && h->format == SEGMENT_FORMAT && h->first_seq == w->expected;

	if (!right)
		w->why = h && h->format != SEGMENT_FORMAT ? "format of a later version" : "the header is damaged";
	if (h)
		segment_header__free_unpacked(h, NULL);
	return right;
}

/* A trailer has no CRC of its own: it must say where it stands. */
static bool trailer_is_right(const struct segment_walk *w, struct slice body)
{
	SegmentTrailer *t = segment_trailer__unpack(NULL, body.len, body.at);
	bool right = t && t->length == w->offset;

	if (t)
		segment_trailer__free_unpacked(t, NULL);
	return right;
}

/* Judges a whole field; the offset is not moved yet. */
static enum walk_step judge(struct segment_walk *w, const struct frame *f)
{
	uint64_t seq;

	if (w->sealed) {
		w->why = "something follows the trailer";
		return WALK_BAD;
	}
	if (!w->begun) {
		if (f->tag == TAG_HEADER)
			return header_is_right(w, f->body) ? WALK_END : WALK_BAD;
		w->why = "the header is missing";
		return WALK_BAD;
	}
	if (f->tag == TAG_TRAILER) {
		w->why = "the trailer is damaged";
		return trailer_is_right(w, f->body) ? WALK_END : WALK_BAD;
	}
	if (f->tag != TAG_RECORD) {
		w->why = "a second header";
		return WALK_BAD;
	}
	if (!w->trust && !frame_sealed(f->body)) {
		w->why = "the CRC is wrong";
		return WALK_BAD;
	}
	if (frame_seq(f->body, &seq))
		w->expected = seq + 1;
	return WALK_RECORD;
}

/* The file ends inside a field: not written yet, or a length that lies. */
static enum walk_step judge_rest(struct segment_walk *w)
{
	uint64_t beyond;

	if (!w->trust && frame_damaged(ahead(w), w->expected, &beyond)) {
		w->why = "a length is wrong";
		return WALK_BAD;
	}
	return WALK_TORN;
}

int segment_walk_next(struct segment_walk *w, struct slice *record)
{
	bool fresh = false;

	if (w->offset < w->data_at || w->offset > w->data_at + w->data_len)
		forget(w);
	for (;;) {
		struct frame f;
		enum frame_step step = frame_read(ahead(w), &f);
		enum walk_step found = WALK_BAD;

		if (step == FRAME_MORE) {
			ssize_t n = fill(w);

			if (n < 0)
				return (int)n;
			if (n)
				continue;
			found = ahead(w).len ? judge_rest(w) : WALK_END;
			/* What is there now may be written anew: do not trust it at the next call. */
			forget(w);
			return found;
		}
		w->why = "no record starts here";
		if (step == FRAME_ITEM)
			found = judge(w, &f);
		if (found == WALK_BAD) {
			/* The bytes may be older than the file: look once more before saying so. */
			forget(w);
			if (fresh)
				return WALK_BAD;
			fresh = true;
			continue;
		}
		w->offset += f.used;
		if (found == WALK_RECORD) {
			*record = f.body;
			return WALK_RECORD;
		}
		if (w->begun)
			w->sealed = true;
		w->begun = true;
	}
}
