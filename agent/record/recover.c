/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c - what a crash or a bad disk left of the newest segment.
 *
 * Position decides: what is wrong at the end is an end that was never written, and was promised to nobody; what is
 * wrong before whole records is damage, and the file is kept as it is, under another name. Older segments were synced
 * before the next one was made.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/own.h"
#include "record/frame.h"
#include "record/segment.h"

/* The file's bytes from `at` on, mapped: the lock keeps other writers away. Unmap with munmap(*map, *map_len). */
static int map_rest(int fd, uint64_t at, void **map, size_t *map_len, struct slice *rest)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*map = NULL;
	*rest = (struct slice){ NULL, 0 };
	if ((uint64_t)st.st_size <= at)
		return 0;
	*map_len = (size_t)st.st_size;
	*map = mmap(NULL, *map_len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (*map == MAP_FAILED)
		return -errno;
	*rest = (struct slice){ (const uint8_t *)*map + at, *map_len - at };
	return 0;
}

static int cut(const struct file_ops *ops, int dir, const char *name, uint64_t size)
{
	owned(own_close) int fd = ops->open(dir, name, O_WRONLY);
	int err = fd < 0 ? fd : ops->truncate(fd, size);

	return err ? err : ops->sync(fd);
}

static int set_aside(const struct file_ops *ops, int dir, const struct segment_name *n)
{
	struct segment_name aside = *n;
	char from[NAME_ROOM], to[NAME_ROOM];
	int err;

	aside.corrupt = true;
	segment_name_text(from, n);
	segment_name_text(to, &aside);
	err = ops->rename(dir, from, to);
	return err ? err : ops->sync_dir(dir);
}

/* Records that are there in full length and not right: their numbers may have been seen, and are not used again. */
static uint64_t unreadable(struct slice rest)
{
	struct frame f;
	uint64_t n = 0;

	for (; frame_read(rest, &f) == FRAME_ITEM; rest = slice_from(rest, f.used))
		n += f.tag == TAG_RECORD;
	return n;
}

static int judge_end(struct recovered *r, const struct file_ops *ops, int dir, int fd, const struct segment_walk *w)
{
	struct slice rest = {};
	char name[NAME_ROOM];
	void *map = NULL;
	size_t map_len = 0;
	bool damaged;
	uint64_t beyond;
	int err = map_rest(fd, w->offset, &map, &map_len, &rest);

	if (err)
		return err;
	damaged = frame_damaged(rest, w->expected, &beyond) || r->segment.corrupt;
	r->next_seq = damaged ? beyond : w->expected + unreadable(rest);
	if (map)
		munmap(map, map_len);
	r->first_bad = w->offset;
	r->bytes = rest.len;
	r->last_seq = w->expected ? w->expected - 1 : 0;
	if (damaged) {
		r->kind = RECOVERY__KIND__CORRUPT;
		return r->segment.corrupt ? 0 : set_aside(ops, dir, &r->segment);
	}
	r->kind = RECOVERY__KIND__TORN;
	r->resume = true;
	r->size = w->offset;
	segment_name_text(name, &r->segment);
	return cut(ops, dir, name, w->offset);
}

static int walk_newest(struct recovered *r, const struct file_ops *ops, int dir)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	char name[NAME_ROOM];
	struct slice record;
	int fd, step, err;

	segment_name_text(name, &r->segment);
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = segment_walk_start(&w, fd, r->segment.first_seq);
	if (err) {
		close(fd);
		return err;
	}
	do
		step = segment_walk_next(&w, &record);
	while (step == WALK_RECORD);
	if (step < 0)
		return step;
	if (step != WALK_END || !w.begun || r->segment.corrupt)
		return judge_end(r, ops, dir, fd, &w);
	r->next_seq = w.expected;
	r->resume = !w.sealed;
	r->size = w.offset;
	return 0;
}

int segment_recover(struct recovered *out, const struct file_ops *ops, int dir)
{
	owned(own_free) struct segment_name *list = NULL;
	struct recovered r = { 0 };
	size_t n = 0;
	int err = segment_list(dir, &list, &n);

	if (!err && n) {
		r.segment = list[n - 1];
		err = walk_newest(&r, ops, dir);
	}
	if (err)
		return err;
	*out = r;
	return 0;
}
