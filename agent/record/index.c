/* SPDX-License-Identifier: Apache-2.0 */
#include "record/index.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/own.h"
#include "record/crc32c.h"
#include "record/frame.h"
#include "record/gz.h"

#define MAGIC       "SLUICEIX"
#define VERSION     2
#define HEAD_LEN    40
#define BLOCK_LEN   48
#define TAIL_LEN    512
#define BITS_A_KEY  8
#define PROBES      5 /* with 8 bits a key: 2 % wrong */
#define BLOCKS_MOST (1u << 20)
#define FILE_MOST   (256u << 20)
#define SLOTS       (1u << 15)
#define KEYS_MOST   (SLOTS / 4 * 3) /* of a block; more: its filter says yes to all */
#define GRAMS_MOST  1024            /* of a block; more: it is not asked for texts */

struct index {
	size_t blocks;
	uint8_t *bytes;
};

/* ---- numbers ---- */

static uint32_t get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return le64toh(v);
}

static uint8_t *put32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static uint8_t *put64(uint8_t *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

/* ---- reading ---- */

void index_free(struct index **at)
{
	if (!*at)
		return;
	free((*at)->bytes);
	free(*at);
	*at = NULL;
}

size_t index_blocks(const struct index *x)
{
	return x->blocks;
}

struct index_block index_block(const struct index *x, size_t i)
{
	const uint8_t *b = x->bytes + HEAD_LEN + i * BLOCK_LEN;

	return (struct index_block){ .at = get64(b),
		                     .len = get32(b + 8),
		                     .records = get32(b + 12),
		                     .first_seq = get64(b + 16),
		                     .least = get64(b + 24),
		                     .most = get64(b + 32),
		                     .filter_at = get32(b + 40),
		                     .filter_len = get32(b + 44) };
}

/* The blocks lie behind one another in the file, with rising seqs, and their filters in the index. */
static bool is_sound(const struct index *x, uint64_t size, size_t filters)
{
	struct index_block before = { 0 };

	for (size_t i = 0; i < x->blocks; i++) {
		struct index_block b = index_block(x, i);

		if (b.at < before.at + before.len || b.at > size || b.len > size - b.at || !b.len ||
		    (i && b.first_seq <= before.first_seq) || b.least > b.most || b.filter_at > filters ||
		    b.filter_len > filters - b.filter_at || b.filter_len % 8)
			return false;
		before = b;
	}
	return true;
}

int index_read(struct index **out, struct slice bytes, uint64_t first_seq, uint64_t size, uint32_t tail)
{
	owned(index_free) struct index *x = NULL;
	uint32_t blocks, filters;

	if (bytes.len < HEAD_LEN + 4 || memcmp(bytes.at, MAGIC, 8) != 0 || get32(bytes.at + 8) != VERSION)
		return -EBADMSG;
	blocks = get32(bytes.at + 12);
	filters = get32(bytes.at + 36);
	if (blocks > BLOCKS_MOST || get64(bytes.at + 16) != first_seq || get64(bytes.at + 24) != size ||
	    get32(bytes.at + 32) != tail || bytes.len != HEAD_LEN + (size_t)blocks * BLOCK_LEN + filters + 4 ||
	    get32(bytes.at + bytes.len - 4) != crc32c(0, bytes.at, bytes.len - 4))
		return -EBADMSG;
	x = calloc(1, sizeof(*x));
	if (x)
		x->bytes = malloc(bytes.len);
	if (!x || !x->bytes)
		return -ENOMEM;
	memcpy(x->bytes, bytes.at, bytes.len);
	x->blocks = blocks;
	if (!is_sound(x, size, filters))
		return -EBADMSG;
	*out = TAKE(x);
	return 0;
}

/* The length of a file and the CRC of its end, which holds the trailer with the hash of all in front of it. */
static int look_at_end(int fd, uint64_t *size, uint32_t *tail)
{
	uint8_t end[TAIL_LEN];
	struct stat st;
	size_t len;

	if (fstat(fd, &st))
		return -errno;
	*size = (uint64_t)st.st_size;
	len = *size < TAIL_LEN ? (size_t)*size : TAIL_LEN;
	if (pread(fd, end, len, st.st_size - (off_t)len) != (ssize_t)len)
		return -EIO;
	*tail = crc32c(0, end, len);
	return 0;
}

static void index_name(char to[NAME_ROOM], uint64_t first_seq)
{
	snprintf(to, NAME_ROOM, "%020llu" INDEX_SUFFIX, (unsigned long long)first_seq);
}

static int read_all(int fd, uint8_t *to, size_t len)
{
	while (len) {
		ssize_t n = read(fd, to, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EBADMSG;
		to += n;
		len -= (size_t)n;
	}
	return 0;
}

int index_load(struct index **out, int dir, uint64_t first_seq, int fd)
{
	owned(own_free) uint8_t *bytes = NULL;
	owned(own_close) int at = -1;
	char name[NAME_ROOM];
	uint64_t size = 0;
	uint32_t tail = 0;
	struct stat st;
	int err;

	index_name(name, first_seq);
	/* Not to be held up by a FIFO that somebody put there. */
	at = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (at < 0 || fstat(at, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MOST)
		return -EBADMSG;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	err = read_all(at, bytes, (size_t)st.st_size);
	err = err ? err : look_at_end(fd, &size, &tail);
	return err ? err : index_read(out, slice_of(bytes, (size_t)st.st_size), first_seq, size, tail);
}

/* ---- Bloom filters ---- */

/* The bit of probe i: double hashing with the two halves of the key. */
static uint64_t bit_of(uint64_t key, unsigned i, uint64_t bits)
{
	uint64_t step = key >> 32 | 1;

	return ((key & UINT32_MAX) + i * step) % bits;
}

static bool has_key(const void *arg, uint64_t key)
{
	const struct slice *filter = arg;
	uint64_t bits = 8 * (uint64_t)filter->len;

	if (!bits)
		return true;
	for (unsigned i = 0; i < PROBES; i++) {
		uint64_t bit = bit_of(key, i, bits);

		if (!(filter->at[bit / 8] >> bit % 8 & 1))
			return false;
	}
	return true;
}

bool index_may_match(const struct index *x, size_t i, const struct record_filter *f)
{
	struct index_block b = index_block(x, i);
	struct slice filter = slice_of(x->bytes + HEAD_LEN + x->blocks * BLOCK_LEN + b.filter_at, b.filter_len);
	struct key_asked asked = { has_key, &filter };

	return filter_may_match(f, b.least, b.most, &asked);
}

/* ---- building ---- */

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
	*len = (uint32_t)((b->keys * BITS_A_KEY + 63) / 64 * 8);
	bits = 8 * (uint64_t)*len;
	to = buf_want(&b->filters, *len);
	if (!to)
		return -ENOMEM;
	memset(to, 0, *len);
	for (size_t i = 0; i < SLOTS; i++)
		for (unsigned k = 0; b->slots[i] && k < PROBES; k++) {
			uint64_t bit = bit_of(b->slots[i], k, bits);

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
	uint8_t row[BLOCK_LEN], *p = row;
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
	p = put64(p, at);
	p = put32(p, (uint32_t)used);
	p = put32(p, records);
	p = put64(p, first);
	p = put64(p, least);
	p = put64(p, most);
	p = put32(p, filter_at);
	put32(p, filter_len);
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
	uint32_t crc = crc32c(0, head, HEAD_LEN);
	int err;

	crc = crc32c(crc, buf_slice(&b->blocks).at, buf_len(&b->blocks));
	crc = crc32c(crc, buf_slice(&b->filters).at, buf_len(&b->filters));
	put32(end, crc);
	snprintf(temporary, sizeof(temporary), "%s.new", name);
	err = ops->open(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC);
	if (err < 0)
		return err;
	fd = err;
	err = write_all(ops, fd, slice_of(head, HEAD_LEN));
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
	uint8_t head[HEAD_LEN], *p = head;
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
	b->blocks = BUF(BLOCKS_MOST * BLOCK_LEN);
	b->filters = BUF(FILE_MOST / 2);
	err = gz_members_open(&g, fd);
	err = err ? err : look_at_end(fd, &size, &tail);
	err = err ? err : add_blocks(b, g, stop, arg);
	if (err)
		return err;
	memcpy(p, MAGIC, 8);
	p = put32(p + 8, VERSION);
	p = put32(p, (uint32_t)b->count);
	p = put64(p, first_seq);
	p = put64(p, size);
	p = put32(p, tail);
	put32(p, (uint32_t)buf_len(&b->filters));
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
