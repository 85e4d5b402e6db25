/* SPDX-License-Identifier: Apache-2.0 */
#include "record/tiles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "base/own.h"

static void complete(struct tree_sink *sink, unsigned height, uint64_t index, const struct hash *h)
{
	struct tiles *t = container_of(sink, struct tiles, sink);
	unsigned level = height / TILE_BITS, place = (unsigned)index & (TILE_WIDTH - 1);
	struct tile *full;

	if (height % TILE_BITS || level >= TILE_LEVELS)
		return;
	t->edge[level][place] = *h;
	if (place != TILE_WIDTH - 1)
		return;
	full = malloc(sizeof(*full));
	if (!full) {
		t->lost = true;
		return;
	}
	full->next = NULL;
	full->level = level;
	full->index = index >> TILE_BITS;
	memcpy(full->hash, t->edge[level], sizeof(full->hash));
	*t->last = full;
	t->last = &full->next;
}

void tiles_init(struct tiles *t)
{
	memset(t, 0, sizeof(*t));
	t->sink.complete = complete;
	t->last = &t->full;
}

void tiles_free(struct tiles *t)
{
	while (t->full) {
		struct tile *full = t->full;

		t->full = full->next;
		free(full);
	}
	t->last = &t->full;
}

void tiles_add(struct tiles *t, const struct hash *leaf)
{
	tree_add(&t->tree, leaf, &t->sink);
}

/* ---- files ---- */

void tile_path(char to[TILE_PATH], unsigned level, uint64_t index, unsigned width)
{
	unsigned part[8], parts = 0;
	size_t n;

	do {
		part[parts++] = (unsigned)(index % 1000);
		index /= 1000;
	} while (index);
	n = (size_t)snprintf(to, TILE_PATH, "tile/%u", level);
	while (parts--)
		n += (size_t)snprintf(to + n, TILE_PATH - n, parts ? "/x%03u" : "/%03u", part[parts]);
	if (width < TILE_WIDTH)
		snprintf(to + n, TILE_PATH - n, ".p/%u", width);
}

static int make_folders(const struct file_ops *ops, int dir, char path[TILE_PATH])
{
	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		int err;

		*slash = '\0';
		err = ops->make_dir(dir, path);
		*slash = '/';
		if (err && err != -EEXIST)
			return err;
	}
	return 0;
}

int tile_write(const struct file_ops *ops, int dir, unsigned level, uint64_t index, const struct hash *hash,
               unsigned width)
{
	owned(own_close) int fd = -1;
	const uint8_t *at = (const uint8_t *)hash;
	size_t len = width * sizeof(*hash);
	char path[TILE_PATH];
	int opened;

	tile_path(path, level, index, width);
	opened = ops->open(dir, path, O_WRONLY | O_CREAT | O_TRUNC);
	if (opened == -ENOENT) {
		int err = make_folders(ops, dir, path);

		opened = err ? err : ops->open(dir, path, O_WRONLY | O_CREAT | O_TRUNC);
	}
	if (opened < 0)
		return opened;
	fd = opened;
	while (len) {
		ssize_t n = ops->append(fd, at, len);

		if (n <= 0)
			return n ? (int)n : -EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The file's hashes; returns how many, or -errno. */
static int read_tile(int dir, const char *path, struct hash hash[TILE_WIDTH])
{
	owned(own_close) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	size_t have = 0, room = TILE_WIDTH * sizeof(*hash);
	uint8_t more;

	if (fd < 0)
		return -errno;
	while (have < room) {
		ssize_t n = read(fd, (uint8_t *)hash + have, room - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += (size_t)n;
	}
	if (have % sizeof(*hash) || (have == room && read(fd, &more, 1) != 0))
		return -EBADMSG;
	return (int)(have / sizeof(*hash));
}

/* The widest of the unfinished tiles at `path` (which ends in ".p/N"), 0 if there is none. */
static unsigned widest(int dir, const char *path)
{
	char folder[TILE_PATH];
	unsigned best = 0;
	struct dirent *e;
	int fd;
	DIR *d;

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
	fd = openat(dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		own_close(&fd);
		return 0;
	}
	while ((e = readdir(d)) != NULL) {
		unsigned long w = strtoul(e->d_name, NULL, 10);

		if (w < TILE_WIDTH && w > best)
			best = (unsigned)w;
	}
	closedir(d);
	return best;
}

int tile_read(int dir, unsigned level, uint64_t index, unsigned width, struct hash hash[TILE_WIDTH])
{
	char path[TILE_PATH];
	int n = -ENOENT;

	if (width < TILE_WIDTH) {
		tile_path(path, level, index, width);
		n = read_tile(dir, path, hash);
		if (n >= 0)
			return n == (int)width ? 0 : -EBADMSG;
	}
	/* A live log may have gone on since: a wider one begins with the same hashes. */
	if (n == -ENOENT && width < TILE_WIDTH) {
		unsigned best = widest(dir, path);

		if (best > width) {
			tile_path(path, level, index, best);
			n = read_tile(dir, path, hash);
			if (n == (int)best)
				return 0;
		}
	}
	tile_path(path, level, index, TILE_WIDTH);
	n = read_tile(dir, path, hash);
	if (n < 0)
		return n;
	return n == TILE_WIDTH ? 0 : -EBADMSG;
}

/* ---- as a source of hashes ---- */

static int source_tile(struct tile_source *s, unsigned level, uint64_t index)
{
	uint64_t hashes = s->size >> (TILE_BITS * level);
	uint64_t width = hashes - (index << TILE_BITS);
	int err;

	if (s->cached && s->at.level == level && s->at.index == index)
		return 0;
	if (hashes <= index << TILE_BITS)
		return -ERANGE;
	s->cached = false;
	err = tile_read(s->dir, level, index, width < TILE_WIDTH ? (unsigned)width : TILE_WIDTH, s->at.hash);
	if (err)
		return err;
	s->at.level = level;
	s->at.index = index;
	s->cached = true;
	return 0;
}

static int source_get(struct tree_source *source, unsigned height, uint64_t index, struct hash *out)
{
	struct tile_source *s = container_of(source, struct tile_source, source);
	unsigned level = height / TILE_BITS, rise = height % TILE_BITS, n = 1u << rise;
	uint64_t first = index << rise;
	struct hash row[TILE_WIDTH];
	int err = source_tile(s, level, first >> TILE_BITS);

	if (err)
		return err;
	memcpy(row, &s->at.hash[first & (TILE_WIDTH - 1)], n * sizeof(*row));
	for (; n > 1; n /= 2)
		for (unsigned i = 0; i < n / 2; i++)
			hash_node(&row[i], &row[2 * i], &row[2 * i + 1]);
	*out = row[0];
	return 0;
}

void tile_source_init(struct tile_source *s, int dir, uint64_t size)
{
	s->source.get = source_get;
	s->dir = dir;
	s->size = size;
	s->cached = false;
}

int tiles_load(struct tiles *t, int dir, uint64_t size)
{
	owned(own_free) struct tile_source *s = malloc(sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	tile_source_init(s, dir, size);
	err = tree_load(&t->tree, size, &s->source);
	for (unsigned level = 0; !err && level < TILE_LEVELS; level++) {
		unsigned n = tiles_partial(size, level);

		if (!n)
			continue;
		err = source_tile(s, level, size >> (TILE_BITS * (level + 1)));
		if (!err)
			memcpy(t->edge[level], s->at.hash, n * sizeof(struct hash));
	}
	return err;
}

bool tile_is_right(struct tile_source *s, unsigned level, uint64_t index)
{
	struct hash above, row[TILE_WIDTH];

	if (source_get(&s->source, TILE_BITS * (level + 1), index, &above) ||
	    tile_read(s->dir, level, index, TILE_WIDTH, row))
		return false;
	for (unsigned n = TILE_WIDTH; n > 1; n /= 2)
		for (unsigned i = 0; i < n / 2; i++)
			hash_node(&row[i], &row[2 * i], &row[2 * i + 1]);
	return hash_is(&row[0], &above);
}

bool tiles_recent_are_right(int dir, uint64_t size)
{
	owned(own_free) struct tile_source *s = malloc(sizeof(*s));

	if (!s)
		return false;
	tile_source_init(s, dir, size);
	for (unsigned level = 0; level + 1 < TILE_LEVELS; level++) {
		uint64_t complete = size >> (TILE_BITS * (level + 1));

		for (uint64_t i = complete > TILES_RECENT ? complete - TILES_RECENT : 0; i < complete; i++)
			if (!tile_is_right(s, level, i))
				return false;
	}
	return true;
}
