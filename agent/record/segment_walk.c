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
#include "record/gz.h"
#include "record/segment.h"

#define DATA_ROOM  (256 << 10)
#define SEQ_DIGITS 20

_Static_assert(DATA_ROOM > FRAME_MAX, "a field must fit");

void segment_name_text(char to[NAME_ROOM], const struct segment_name *n)
{
	snprintf(to, NAME_ROOM, "%020" PRIu64 "%s", n->first_seq,
	         n->corrupt  ? CORRUPT_SUFFIX
	         : n->sealed ? SEALED_SUFFIX
	                     : SEGMENT_SUFFIX);
}

static bool read_name(const char *text, struct segment_name *out)
{
	uint64_t seq = 0;
	bool corrupt, sealed;

	for (int i = 0; i < SEQ_DIGITS; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(seq, 10, &seq) ||
		    __builtin_add_overflow(seq, (uint64_t)(text[i] - '0'), &seq))
			return false;
	}
	corrupt = !strcmp(text + SEQ_DIGITS, CORRUPT_SUFFIX);
	sealed = !strcmp(text + SEQ_DIGITS, SEALED_SUFFIX);
	if (!corrupt && !sealed && strcmp(text + SEQ_DIGITS, SEGMENT_SUFFIX) != 0)
		return false;
	*out = (struct segment_name){ .first_seq = seq, .records = UINT64_MAX, .corrupt = corrupt, .sealed = sealed };
	return true;
}

static int by_first_seq(const void *a, const void *b)
{
	const struct segment_name *x = a, *y = b;

	if (x->first_seq != y->first_seq)
		return x->first_seq < y->first_seq ? -1 : 1;
	if (x->corrupt != y->corrupt)
		return y->corrupt - x->corrupt;
	return y->sealed - x->sealed;
}

/* A crash between sealing a file and removing the raw one leaves both. */
static size_t drop_doubles(struct segment_name *list, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!kept || list[i].corrupt || list[kept - 1].corrupt || !list[kept - 1].sealed ||
		    list[kept - 1].first_seq != list[i].first_seq)
			list[kept++] = list[i];
	return kept;
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
	*count = drop_doubles(list, n);
	*out = TAKE(list);
	return 0;
}

static int walk_start(struct segment_walk *w, int fd, bool sealed, uint64_t first_seq)
{
	owned(own_free) uint8_t *data = malloc(DATA_ROOM);
	struct gz_reader *gz = NULL;
	int err = data ? 0 : -ENOMEM;

	if (!err && sealed)
		err = gz_open(&gz, fd);
	if (err)
		return err;
	*w = (struct segment_walk){ .fd = sealed ? -1 : fd, .gz = gz, .expected = first_seq, .data = TAKE(data) };
	return 0;
}

int segment_walk_open(struct segment_walk *w, int dir, const struct segment_name *name)
{
	struct segment_name n = *name;

	/* It may have been sealed since the folder was listed. */
	for (int turn = 0; turn < 2; turn++) {
		char text[NAME_ROOM];
		int fd, err;

		segment_name_text(text, &n);
		fd = openat(dir, text, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			err = walk_start(w, fd, n.sealed, n.first_seq);
			if (err)
				close(fd);
			return err;
		}
		if (errno != ENOENT || n.corrupt)
			return -errno;
		n.sealed = !n.sealed;
	}
	return -ENOENT;
}

void segment_walk_stop(struct segment_walk *w)
{
	own_close(&w->fd);
	w->fd = -1;
	gz_close(&w->gz);
	free(w->data);
	w->data = NULL;
}

/* What was read of the file from the next field on. */
static struct slice ahead(const struct segment_walk *w)
{
	size_t skip = (size_t)(w->offset - w->data_at);

	if (!w->data)
		return (struct slice){};
	return (struct slice){ w->data + skip, w->data_len - skip };
}

/* What is compressed was whole before it had its name, and never changes. */
static void forget(struct segment_walk *w)
{
	if (w->gz)
		return;
	w->data_at = w->offset;
	w->data_len = 0;
}

static ssize_t read_on(struct segment_walk *w, uint8_t *to, size_t room)
{
	ssize_t n;

	if (w->gz)
		return gz_read(w->gz, to, room);
	do
		n = pread(w->fd, to, room, (off_t)(w->data_at + w->data_len));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Reads on behind what is there. Returns the bytes added, 0 at the end of the file, or -errno. */
static ssize_t fill(struct segment_walk *w)
{
	struct slice keep = ahead(w);
	size_t before = keep.len;

	if (!w->data)
		return -EBADF; /* not open */
	if (keep.len)
		memmove(w->data, keep.at, keep.len);
	w->data_at = w->offset;
	w->data_len = keep.len;
	while (w->data_len < DATA_ROOM) {
		ssize_t n = read_on(w, w->data + w->data_len, DATA_ROOM - w->data_len);

		if (n < 0)
			return n;
		if (!n)
			break;
		w->data_len += (size_t)n;
	}
	return (ssize_t)(w->data_len - before);
}

static void keep_head(struct segment_walk *w, const SegmentHeader *h)
{
	w->head = (struct segment_head){ .first_seq = h->first_seq,
		                         .tree_size = h->tree_size,
		                         .proven = h->root.len == HASH_LEN,
		                         .created_unix_nano = h->created_unix_nano,
		                         .not_before_delete_unix_nano = h->not_before_delete_unix_nano };
	snprintf(w->head.origin, sizeof(w->head.origin), "%s", h->origin);
	if (w->head.proven)
		memcpy(w->head.root.at, h->root.data, HASH_LEN);
}

static bool header_is_right(struct segment_walk *w, struct slice body)
{
	SegmentHeader *h = frame_sealed(body) ? segment_header__unpack(NULL, body.len, body.at) : NULL;
	bool right = h && h->format == SEGMENT_FORMAT && h->first_seq == w->expected;

	if (right)
		keep_head(w, h);
	else
		w->why = h && h->format != SEGMENT_FORMAT ? "format of a later version" : "the header is damaged";
	if (h)
		segment_header__free_unpacked(h, NULL);
	return right;
}

/* A trailer has no CRC of its own: it must say where it stands. */
static bool trailer_is_right(struct segment_walk *w, struct slice body)
{
	SegmentTrailer *t = segment_trailer__unpack(NULL, body.len, body.at);
	bool right = t && t->length == w->offset && t->root.len == HASH_LEN && t->sha256.len == HASH_LEN;

	if (right) {
		memcpy(w->sealed_root.at, t->root.data, HASH_LEN);
		memcpy(w->sealed_sum, t->sha256.data, HASH_LEN);
		w->sealed_records = t->records;
	}

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

			if (n == -EBADMSG) {
				w->why = "the compressed data are damaged";
				return WALK_BAD;
			}
			if (n < 0)
				return (int)n;
			if (n)
				continue;
			found = ahead(w).len ? judge_rest(w) : w->gz && !w->sealed ? WALK_TORN : WALK_END;
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
			if (fresh || w->gz)
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
