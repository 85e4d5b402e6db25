/* SPDX-License-Identifier: Apache-2.0 */
#include "record/index_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/own.h"
#include "record/crc32c.h"

#define TAIL_LEN 512

struct index {
	size_t blocks;
	uint8_t *bytes;
};

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
	const uint8_t *b = x->bytes + INDEX_HEAD_LEN + i * INDEX_BLOCK_LEN;

	return (struct index_block){ .at = index_get64(b),
		                     .len = index_get32(b + 8),
		                     .records = index_get32(b + 12),
		                     .first_seq = index_get64(b + 16),
		                     .least = index_get64(b + 24),
		                     .most = index_get64(b + 32),
		                     .filter_at = index_get32(b + 40),
		                     .filter_len = index_get32(b + 44) };
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

	if (bytes.len < INDEX_HEAD_LEN + 4 || memcmp(bytes.at, INDEX_MAGIC, 8) != 0 ||
	    index_get32(bytes.at + 8) != INDEX_VERSION)
		return -EBADMSG;
	blocks = index_get32(bytes.at + 12);
	filters = index_get32(bytes.at + 36);
	if (blocks > INDEX_BLOCKS_MOST || index_get64(bytes.at + 16) != first_seq ||
	    index_get64(bytes.at + 24) != size || index_get32(bytes.at + 32) != tail ||
	    bytes.len != INDEX_HEAD_LEN + (size_t)blocks * INDEX_BLOCK_LEN + filters + 4 ||
	    index_get32(bytes.at + bytes.len - 4) != crc32c(0, bytes.at, bytes.len - 4))
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

int index_end(int fd, uint64_t *size, uint32_t *tail)
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

void index_name(char to[NAME_ROOM], uint64_t first_seq)
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
	if (!S_ISREG(st.st_mode) || st.st_size > INDEX_FILE_MOST)
		return -EBADMSG;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	err = read_all(at, bytes, (size_t)st.st_size);
	err = err ? err : index_end(fd, &size, &tail);
	return err ? err : index_read(out, slice_of(bytes, (size_t)st.st_size), first_seq, size, tail);
}

/* ---- Bloom filters ---- */

/* Double hashing with the two halves of the key. */
uint64_t index_bit(uint64_t key, unsigned i, uint64_t bits)
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
	for (unsigned i = 0; i < INDEX_PROBES; i++) {
		uint64_t bit = index_bit(key, i, bits);

		if (!(filter->at[bit / 8] >> bit % 8 & 1))
			return false;
	}
	return true;
}

bool index_may_match(const struct index *x, size_t i, const struct record_filter *f)
{
	struct index_block b = index_block(x, i);
	struct slice filter =
		slice_of(x->bytes + INDEX_HEAD_LEN + x->blocks * INDEX_BLOCK_LEN + b.filter_at, b.filter_len);
	struct key_asked asked = { has_key, &filter };

	return filter_may_match(f, b.least, b.most, &asked);
}
