/* SPDX-License-Identifier: Apache-2.0 */
#include "record/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/own.h"
#include "record/frame.h"

struct recovery {
	struct recovered r;
	struct tiles *tiles;
	const struct file_ops *ops;
	const struct checkpoint *known;
	int dir;
	struct segment_name *list;
	size_t n;
	uint64_t index; /* in the tree, of the next record of the walk */
};

static void recovery_free(struct recovery *v)
{
	free(v->list);
}

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

static int cut_newest(const struct recovery *v, uint64_t size)
{
	char name[NAME_ROOM];

	segment_name_text(name, &v->r.segment);
	return cut(v->ops, v->dir, name, size);
}

static int set_aside(const struct file_ops *ops, int dir, const struct segment_name *n)
{
	struct segment_name aside = *n;
	char from[NAME_ROOM], to[NAME_ROOM];
	int err;

	aside.corrupt = true;
	aside.sealed = false;
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

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * No segment ends like this: a trailer is written with the sealed form alone, and what has no record is not sealed. To
 * go on behind such a file would be to write records that nobody reads.
 */
static bool end_is_foreign(const struct recovered *r, const struct segment_walk *w)
{
	return w->sealed != r->segment.sealed || (r->segment.sealed && w->expected == r->segment.first_seq);
}

/* Where writing goes on: a header that proves nothing and has no record behind it is written anew. */
static uint64_t resume_at(const struct recovered *r, const struct segment_walk *w)
{
	return w->head.proven || w->expected != r->segment.first_seq ? w->offset : 0;
}

/* The newest file is not sound from the walk's offset on, or ends before what was promised. */
static int judge_end(struct recovery *v, const struct segment_walk *w)
{
	struct recovered *r = &v->r;
	struct slice rest = {};
	void *map = NULL;
	size_t map_len = 0;
	bool whole_behind, damaged;
	uint64_t beyond = 0;
	int err = w->gz ? 0 : map_rest(w->fd, w->offset, &map, &map_len, &rest);

	if (err)
		return err;
	whole_behind = frame_damaged(rest, w->expected, &beyond);
	damaged = r->segment.corrupt || r->segment.sealed || w->sealed ||
	          (v->known ? v->index < v->known->size : whole_behind);
	r->next_seq = most(w->expected + unreadable(rest), whole_behind || damaged ? beyond : 0);
	if (map)
		munmap(map, map_len);
	/* Of what was promised and is gone, each had a number. */
	if (v->known && v->known->size > v->index)
		r->next_seq = most(r->next_seq, w->expected + (v->known->size - v->index));
	r->first_bad = w->offset;
	r->bytes = rest.len;
	r->last_seq = w->expected ? w->expected - 1 : 0;
	if (damaged) {
		r->kind = RECOVERY__KIND__CORRUPT;
		return r->segment.corrupt ? 0 : set_aside(v->ops, v->dir, &r->segment);
	}
	r->kind = RECOVERY__KIND__TORN;
	r->size = r->next_seq == w->expected ? resume_at(r, w) : w->offset;
	r->resume = r->next_seq == w->expected && (w->head.proven || !r->size);
	return cut_newest(v, r->size);
}

/* ---- the tree ---- */

/* Field 20, right behind the stamp: whoever looks at every record looks at two bytes first. */
static bool may_be_key(struct slice raw)
{
	return raw.len > STAMP_LEN + 2 && raw.at[STAMP_LEN] == 0xA2 && raw.at[STAMP_LEN + 1] == 0x01;
}

static void note_key_change(struct recovered *r, struct slice raw)
{
	Record *rec = may_be_key(raw) ? record__unpack(NULL, raw.len, raw.at) : NULL;

	r->key_last = rec && rec->body_case == RECORD__BODY_KEY && rec->key->new_public_key.len == KEY_LEN;
	if (r->key_last)
		memcpy(r->key, rec->key->new_public_key.data, KEY_LEN);
	if (rec)
		record__free_unpacked(rec, NULL);
}

static void add_record(struct recovery *v, struct slice raw)
{
	struct hash leaf, root;

	if (v->index++ != v->tiles->tree.size)
		return;
	hash_leaf(&leaf, raw);
	tiles_add(v->tiles, &leaf);
	if (!v->known || v->tiles->tree.size != v->known->size)
		return;
	tree_root(&v->tiles->tree, &root);
	v->r.forked |= !hash_is(&root, &v->known->root);
}

static int read_head(int dir, const struct segment_name *name, struct segment_head *out)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	struct slice raw;
	int err = segment_walk_open(&w, dir, name), step;

	if (err)
		return err;
	w.trust = true;
	step = segment_walk_next(&w, &raw);
	if (step < 0)
		return step;
	if (!w.begun)
		return -EBADMSG;
	*out = w.head;
	return 0;
}

/* Walks segment i and adds what the tree lacks. What is wrong at the end matters only in the newest. */
static int walk_segment(struct recovery *v, size_t i)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	struct recovered *r = &v->r;
	struct segment_head next;
	uint64_t limit = UINT64_MAX;
	bool newest = i + 1 == v->n;
	struct slice raw;
	int step, err = segment_walk_open(&w, v->dir, &v->list[i]);

	if (err)
		return err;
	if (!newest && !read_head(v->dir, &v->list[i + 1], &next) && next.proven)
		limit = next.tree_size;
	for (bool first = true; (step = segment_walk_next(&w, &raw)) == WALK_RECORD; first = false) {
		if (first && w.head.proven)
			v->index = w.head.tree_size;
		if (v->index >= limit)
			break; /* of a disk that failed: not promised, and told again elsewhere */
		add_record(v, raw);
		if (newest)
			note_key_change(r, raw);
	}
	if (step < 0)
		return step;
	if (!newest)
		return 0;
	if (w.begun && w.head.proven && v->index < w.head.tree_size)
		v->index = w.head.tree_size;
	r->head = w.head;
	r->segment = v->list[i];
	if (step != WALK_END || !w.begun || r->segment.corrupt || end_is_foreign(r, &w) ||
	    (v->known && v->index < v->known->size))
		return judge_end(v, &w);
	r->next_seq = w.expected;
	r->size = resume_at(r, &w);
	r->resume = !r->segment.sealed && (w.head.proven || !r->size);
	return r->size == w.offset ? 0 : cut_newest(v, r->size);
}

/* The last segment that begins at or before the tree's end. */
static size_t first_to_walk(const struct recovery *v)
{
	for (size_t i = v->n; i > 1; i--) {
		struct segment_head head;

		if (!read_head(v->dir, &v->list[i - 1], &head) && head.proven && head.tree_size <= v->tiles->tree.size)
			return i - 1;
	}
	return 0;
}

/* The tree at the checkpoint, from the tiles; without them it is made anew from the records. */
static int load_tree(struct recovery *v)
{
	struct hash root;
	int err = v->known ? tiles_load(v->tiles, v->dir, v->known->size) : -ENOENT;

	if (!err)
		tree_root(&v->tiles->tree, &root);
	v->r.tiles_good = !err && hash_is(&root, &v->known->root) && tiles_recent_are_right(v->dir, v->known->size);
	if (v->r.tiles_good)
		return 0;
	if (err == -ENOMEM)
		return err;
	tiles_free(v->tiles);
	tiles_init(v->tiles);
	return 0;
}

int segment_recover(struct recovered *out, struct tiles *tiles, const struct file_ops *ops, int dir,
                    const struct checkpoint *known)
{
	owned(recovery_free) struct recovery v = { .tiles = tiles, .ops = ops, .known = known, .dir = dir };
	int err = segment_list(dir, &v.list, &v.n);

	if (!err)
		err = load_tree(&v);
	if (err)
		return err;
	v.r.fresh = !v.n && (!known || !known->size);
	v.r.unproven = v.n && !known;
	if (!v.n && !v.r.fresh) {
		v.r.kind = RECOVERY__KIND__CORRUPT;
		v.r.next_seq = known->size;
	}
	for (size_t i = v.n ? first_to_walk(&v) : 0; !err && i < v.n; i++)
		err = walk_segment(&v, i);
	if (err)
		return err;
	v.r.forked |= known && tiles->tree.size < known->size;
	*out = v.r;
	return 0;
}
