/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.c - a whole log handed out: what is under its newest checkpoint, while the log goes on.
 *
 * The checkpoint is read first. What came later is left out, so that the bundle proves all that is in it: the segment
 * that is being written is cut behind the last record that counts, the history behind the checkpoint, and the tiles are
 * those of its size.
 */
#include "record/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/own.h"
#include "record/cosigned.h"

#define PATH_ROOM 256
#define TRIES     100 /* looks at a log that goes on */

void bundled_close(struct bundled *b)
{
	own_close(&b->dir);
	free(b->note);
	free(b->list);
}

int bundled_open(struct bundled *b, const char *dir, const char *prefix, struct bundle_sink *sink)
{
	struct slice text, signatures;
	int err;

	*b = (struct bundled){
		.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .path = dir, .prefix = prefix, .sink = sink
	};
	if (b->dir < 0)
		return -errno;
	err = history_read(b->dir, CHECKPOINT_FILE, NOTE_MAX, &b->note, &b->note_len);
	err = err ? err : note_split(slice_of(b->note, b->note_len), &text, &signatures);
	err = err ? err : checkpoint_read(&b->c, text);
	return err ? err : segment_list(b->dir, &b->list, &b->n);
}

int bundled_put(struct bundled *b, const char *name, struct slice bytes)
{
	char path[PATH_ROOM];
	int err;

	snprintf(path, sizeof(path), "%s/%s", b->prefix, name);
	err = b->sink->begin(b->sink, path, bytes.len);
	return err ? err : b->sink->bytes(b->sink, bytes);
}

int bundled_copy(struct bundled *b, const char *name, size_t most)
{
	owned(own_free) uint8_t *data = NULL;
	size_t len = 0;
	int err = history_read(b->dir, name, most, &data, &len);

	if (err)
		return err == -ENOENT ? 0 : err;
	return bundled_put(b, name, slice_of(data, len));
}

/* ---- segments ---- */

/* The first `len` bytes of an open file. */
static int put_bytes(struct bundled *b, const char *name, int fd, uint64_t len)
{
	static _Thread_local uint8_t data[64 << 10];
	char path[PATH_ROOM];
	int err;

	snprintf(path, sizeof(path), "%s/%s", b->prefix, name);
	err = b->sink->begin(b->sink, path, len);
	while (!err && len) {
		ssize_t n = read(fd, data, len < sizeof(data) ? (size_t)len : sizeof(data));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EBADMSG; /* it has become shorter */
		err = b->sink->bytes(b->sink, slice_of(data, (size_t)n));
		len -= (uint64_t)n;
	}
	return err;
}

/* How many bytes of a raw segment are under the checkpoint; 0: it begins behind it. */
static int count_bytes(struct bundled *b, const struct segment_name *name, uint64_t *len)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	struct slice raw;
	uint64_t left = 0, offset = 0;
	int err = segment_walk_open(&w, b->dir, name), step;

	if (err)
		return err;
	while ((step = segment_walk_next(&w, &raw)) == WALK_RECORD) {
		if (!offset && w.head.tree_size >= b->c.size)
			break;
		if (!offset)
			left = b->c.size - w.head.tree_size;
		offset = w.offset;
		if (!--left)
			break;
	}
	*len = offset;
	return step < 0 ? step : 0;
}

static int look_through(struct bundled *b, const struct segment_name *name, bundled_seen *each, void *arg)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	struct slice raw;
	uint64_t n = 0;
	int err = segment_walk_open(&w, b->dir, name), step = 0;

	while (!err && (step = segment_walk_next(&w, &raw)) == WALK_RECORD) {
		if (!w.head.proven)
			return -EBADMSG;
		if (w.head.tree_size + n >= b->c.size)
			return 0;
		err = each(arg, raw, w.head.tree_size + n++);
	}
	return err ? err : step < 0 ? step : step == WALK_BAD ? -EBADMSG : 0;
}

int bundled_each(struct bundled *b, bundled_seen *each, void *arg)
{
	int err = 0;

	for (size_t i = 0; !err && i < b->n; i++)
		err = look_through(b, &b->list[i], each, arg);
	return err;
}

static int put_segment(struct bundled *b, struct segment_name *name)
{
	char text[NAME_ROOM], sum[NAME_ROOM + 8];
	owned(own_close) int fd = -1;
	uint64_t len = 0;
	struct stat st;
	int err;

	segment_name_text(text, name);
	fd = openat(b->dir, text, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && !name->sealed && !name->corrupt) {
		name->sealed = true; /* since it was listed */
		segment_name_text(text, name);
		fd = openat(b->dir, text, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	len = (uint64_t)st.st_size;
	err = name->sealed || name->corrupt ? 0 : count_bytes(b, name, &len);
	if (err || !len)
		return err;
	err = put_bytes(b, text, fd, len);
	snprintf(sum, sizeof(sum), "%s" SUM_SUFFIX, text);
	return err || !name->sealed ? err : bundled_copy(b, sum, 4096);
}

/* ---- checkpoints and tiles ---- */

/* What was issued up to our checkpoint; what follows it was issued since. */
static int put_history(struct bundled *b)
{
	for (int turn = 0; turn < TRIES; turn++) {
		owned(own_free) uint8_t *all = NULL;
		struct slice rest, note, ours = slice_of(b->note, b->note_len);
		size_t len = 0;
		int err = history_read(b->dir, CHECKPOINTS_FILE, HISTORY_BYTES_MOST, &all, &len);

		if (err)
			return err;
		for (rest = slice_of(all, len); history_next(&rest, &note);)
			if (slice_is(note, ours))
				return bundled_put(b, CHECKPOINTS_FILE, slice_of(all, len - rest.len));
		usleep(10000); /* it is being thinned or replaced */
	}
	return -EBADMSG;
}

static int put_tiles(struct bundled *b)
{
	struct hash hash[TILE_WIDTH];
	char path[TILE_PATH];

	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		uint64_t full = b->c.size >> (TILE_BITS * level) >> TILE_BITS;
		unsigned partial = tiles_partial(b->c.size, level);

		for (uint64_t i = 0; i < full + (partial > 0); i++) {
			unsigned width = i < full ? TILE_WIDTH : partial;
			int err = tile_read(b->dir, level, i, width, hash);

			tile_path(path, level, i, width);
			err = err ? err : bundled_put(b, path, slice_of(hash, width * sizeof(*hash)));
			if (err)
				return err;
		}
	}
	return 0;
}

/* Those of checkpoints that the bundle has; read before ours was. */
static int put_cosigned(struct bundled *b, struct slice all, const char *name)
{
	struct slice rest = all, note, text, signatures;
	struct checkpoint c;
	size_t len = 0;
	int err;

	while (history_next(&rest, &note))
		if (!note_split(note, &text, &signatures) && !checkpoint_read(&c, text) && c.size <= b->c.size)
			len = all.len - rest.len;
	if (!len)
		return 0;
	err = b->sink->begin(b->sink, name, len);
	return err ? err : b->sink->bytes(b->sink, slice_of(all.at, len));
}

int bundle_log(struct bundle_sink *sink, const char *dir, const char *record, const char *log,
               struct bundle_evidence *evidence, uint64_t *records)
{
	owned(bundled_close) struct bundled b = { .dir = -1 };
	owned(own_free) char *path = NULL;
	owned(own_free) uint8_t *cosigned = NULL;
	char prefix[PATH_ROOM], beside[PATH_ROOM];
	size_t len = 0;
	int err = cosigned_path(&path, dir);

	if (err)
		return err;
	snprintf(prefix, sizeof(prefix), "%s/%s", record, log);
	snprintf(beside, sizeof(beside), "%s.cosigned/%s", record, log);
	(void)history_read(AT_FDCWD, path, COSIGNED_BYTES, &cosigned, &len);
	err = bundled_open(&b, dir, prefix, sink);
	err = err ? err : bundled_put(&b, CHECKPOINT_FILE, slice_of(b.note, b.note_len));
	err = err ? err : put_history(&b);
	err = err ? err : bundled_copy(&b, CHECKPOINTS_OLD, HISTORY_BYTES_MOST);
	err = err ? err : bundled_copy(&b, VKEY_FILE, NOTE_MAX);
	err = err ? err : bundled_copy(&b, ROTATIONS_FILE, ROTATIONS_MAX);
	for (size_t i = 0; !err && i < b.n; i++)
		err = put_segment(&b, &b.list[i]);
	err = err ? err : put_tiles(&b);
	err = err ? err : put_cosigned(&b, slice_of(cosigned, len), beside);
	err = err || !evidence ? err : bundled_all_evidence(&b, evidence);
	if (!err)
		*records = b.c.size;
	return err;
}
