/* SPDX-License-Identifier: Apache-2.0 */
/* index_build.c - the index of a sealed segment, made from nothing but the segment. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/own.h"
#include "record/crc32c.h"
#include "record/frame.h"
#include "record/gz.h"
#include "record/index_format.h"

#define SLOTS      (1u << 15)
#define KEYS_MOST  (SLOTS / 4 * 3) /* of a block; more: its filter says yes to all */
#define GRAMS_MOST 1024            /* of a block; more: it is not asked for texts */

struct build {
	struct buf blocks, filters;
	size_t count;
	/* of a block */
	uint64_t slots[SLOTS]; /* its keys, each at the first free place from its own on; 0: free */
	size_t keys;
	uint64_t grams[GRAM_COUNT / 64];
	uint32_t gram_list[GRAMS_MOST];
	size_t gram_count; /* GRAMS_MOST + 1: more */
	bool overflow;
};

static void build_free(struct build **at)
{
	if (!*at)
		return;
	buf_free(&(*at)->blocks);
	buf_free(&(*at)->filters);
	free(*at);
	*at = NULL;
}

static void start_block(struct build *b)
{
	memset(b->slots, 0, sizeof(b->slots));
	for (size_t i = 0; i < b->gram_count && i < GRAMS_MOST; i++)
		b->grams[b->gram_list[i] / 64] = 0;
	b->keys = b->gram_count = 0;
	b->overflow = false;
}

static bool add_key(void *arg, uint64_t key)
{
	struct build *b = arg;
	size_t i;

	for (i = key % SLOTS; b->slots[i]; i = (i + 1) % SLOTS)
		if (b->slots[i] == key)
			return false;
	if (b->keys == KEYS_MOST) {
		b->overflow = true;
		return false;
	}
	b->slots[i] = key;
	b->keys++;
	return true;
}

static void add_gram(void *arg, uint32_t gram)
{
	struct build *b = arg;

	if (b->gram_count > GRAMS_MOST || b->grams[gram / 64] >> gram % 64 & 1)
		return;
	if (b->gram_count < GRAMS_MOST) {
		b->grams[gram / 64] |= 1ull << gram % 64;
		b->gram_list[b->gram_count] = gram;
	}
	b->gram_count++;
}

static void add_text(void *arg, struct slice text)
{
	filter_grams(text, add_gram, arg);
}

/* The filter of the keys so far; empty: yes to all. */
static int add_filter(struct build *b, uint32_t *at, uint32_t *len)
{
	uint64_t bits;
	uint8_t *to;

	for (size_t i = 0; i < b->gram_count && b->gram_count <= GRAMS_MOST; i++)
		(void)add_key(b, filter_gram_key(b->gram_list[i]));
	if (b->gram_count > GRAMS_MOST)
		(void)add_key(b, filter_gram_key(GRAM_ALL));
	*at = (uint32_t)buf_len(&b->filters);
	*len = 0;
	if (b->overflow || !b->keys)
		return 0;
	*len = (uint32_t)((b->keys * INDEX_BITS_A_KEY + 63) / 64 * 8);
	bits = 8 * (uint64_t)*len;
	to = buf_want(&b->filters, *len);
	if (!to)
		return -ENOMEM;
	memset(to, 0, *len);
	for (size_t i = 0; i < SLOTS; i++)
		for (unsigned k = 0; b->slots[i] && k < INDEX_PROBES; k++) {
			uint64_t bit = index_bit(b->slots[i], k, bits);

			to[bit / 8] |= (uint8_t)(1u << bit % 8);
		}
	buf_added(&b->filters, *len);
	return 0;
}

/* The block of one member's fields; none if there are no records in it. -EBADMSG. */
static int add_block(struct build *b, uint64_t at, size_t used, struct slice raw)
{
	uint64_t first = 0, least = UINT64_MAX, most = 0;
	uint32_t records = 0, filter_at, filter_len;
	uint8_t row[INDEX_BLOCK_LEN], *p = row;
	struct record_head h;
	struct key_sink sink = { add_key, add_text, b };
	struct frame f;
	int err;

	start_block(b);
	while (raw.len) {
		if (frame_read(raw, &f) != FRAME_ITEM)
			return -EBADMSG;
		raw = slice_from(raw, f.used);
		if (f.tag != TAG_RECORD)
			continue;
		if (!frame_sealed(f.body) || !record_head_read(f.body, &h))
			return -EBADMSG;
		first = records++ ? first : h.seq;
		least = h.time_unix_nano < least ? h.time_unix_nano : least;
		most = h.time_unix_nano > most ? h.time_unix_nano : most;
		filter_keys(f.body, &sink);
	}
	if (!records)
		return 0;
	err = add_filter(b, &filter_at, &filter_len);
	if (err)
		return err;
	p = index_put64(p, at);
	p = index_put32(p, (uint32_t)used);
	p = index_put32(p, records);
	p = index_put64(p, first);
	p = index_put64(p, least);
	p = index_put64(p, most);
	p = index_put32(p, filter_at);
	index_put32(p, filter_len);
	b->count++;
	return buf_add(&b->blocks, slice_of(row, sizeof(row)));
}

static int add_blocks(struct build *b, struct gz_members *g, bool (*stop)(void *arg), void *arg)
{
	uint64_t at = 0;

	for (;;) {
		struct slice raw;
		size_t used;
		int got = stop && stop(arg) ? -ECANCELED : gz_member(g, at, &raw, &used);

		if (got <= 0)
			return got;
		got = add_block(b, at, used, raw);
		if (got)
			return got;
		at += used;
	}
}

static int write_all(const struct file_ops *ops, int fd, struct slice s)
{
	while (s.len) {
		ssize_t n = ops->append(fd, s.at, s.len);

		if (n <= 0)
			return n ? (int)n : -EIO;
		s = slice_from(s, (size_t)n);
	}
	return 0;
}

/* Not synced: what a crash leaves of it is noticed by its CRC. */
static int write_index(const struct file_ops *ops, int dir, const char *name, const struct build *b,
                       const uint8_t *head)
{
	owned(own_close) int fd = -1;
	char temporary[NAME_ROOM + 8];
	uint8_t end[4];
	uint32_t crc = crc32c(0, head, INDEX_HEAD_LEN);
	int err;

	crc = crc32c(crc, buf_slice(&b->blocks).at, buf_len(&b->blocks));
	crc = crc32c(crc, buf_slice(&b->filters).at, buf_len(&b->filters));
	index_put32(end, crc);
	snprintf(temporary, sizeof(temporary), "%s.new", name);
	err = ops->open(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC);
	if (err < 0)
		return err;
	fd = err;
	err = write_all(ops, fd, slice_of(head, INDEX_HEAD_LEN));
	err = err ? err : write_all(ops, fd, buf_slice(&b->blocks));
	err = err ? err : write_all(ops, fd, buf_slice(&b->filters));
	err = err ? err : write_all(ops, fd, slice_of(end, sizeof(end)));
	err = err ? err : ops->rename(dir, temporary, name);
	if (err)
		(void)ops->remove(dir, temporary);
	return err;
}

int index_build(const struct file_ops *ops, int dir, uint64_t first_seq, bool (*stop)(void *arg), void *arg)
{
	owned(build_free) struct build *b = calloc(1, sizeof(*b));
	owned(gz_members_close) struct gz_members *g = NULL;
	owned(own_close) int fd = -1;
	struct segment_name sealed = { .first_seq = first_seq, .sealed = true };
	uint8_t head[INDEX_HEAD_LEN], *p = head;
	char name[NAME_ROOM];
	uint64_t size = 0;
	uint32_t tail = 0;
	int err;

	segment_name_text(name, &sealed);
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!b)
		return -ENOMEM;
	b->blocks = BUF(INDEX_BLOCKS_MOST * INDEX_BLOCK_LEN);
	b->filters = BUF(INDEX_FILE_MOST / 2);
	err = gz_members_open(&g, fd);
	err = err ? err : index_end(fd, &size, &tail);
	err = err ? err : add_blocks(b, g, stop, arg);
	if (err)
		return err;
	memcpy(p, INDEX_MAGIC, 8);
	p = index_put32(p + 8, INDEX_VERSION);
	p = index_put32(p, (uint32_t)b->count);
	p = index_put64(p, first_seq);
	p = index_put64(p, size);
	p = index_put32(p, tail);
	index_put32(p, (uint32_t)buf_len(&b->filters));
	index_name(name, first_seq);
	return write_index(ops, dir, name, b, head);
}

int ledger_reindex(const char *dir, bool all, uint64_t *made)
{
	owned(own_close) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	owned(own_free) struct segment_name *list = NULL;
	size_t n = 0;
	int err = at < 0 ? -errno : segment_list(at, &list, &n), bad = 0;

	if (err)
		return err;
	*made = 0;
	for (size_t i = 0; i < n; i++) {
		char name[NAME_ROOM];

		index_name(name, list[i].first_seq);
		if (!list[i].sealed || (!all && !faccessat(at, name, F_OK, 0)))
			continue;
		err = index_build(&file_system, at, list[i].first_seq, NULL, NULL);
		*made += !err;
		bad = err ? err : bad;
	}
	return bad;
}
