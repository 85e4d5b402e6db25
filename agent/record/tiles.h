/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tiles.h - the tree on disk as C2SP tlog-tiles has it: tile/<level>/<index>[.p/<width>], up to 256 hashes a file.
 *
 * The writer keeps the right edge of every level; tiles that become complete wait in a list until the notary writes
 * them. Tiles are derived from the records: they are not synced, and rebuilt when they are not right.
 */
#pragma once

#include "record/file.h"
#include "record/tree.h"

#define TILE_BITS   8
#define TILE_WIDTH  256
#define TILE_LEVELS 8
#define TILE_PATH   64

struct tile {
	struct tile *next;
	unsigned level;
	uint64_t index;
	struct hash hash[TILE_WIDTH];
};

struct tiles {
	struct tree tree;
	struct tree_sink sink;
	struct hash edge[TILE_LEVELS][TILE_WIDTH];
	struct tile *full, **last; /* complete, not written yet */
	bool lost;                 /* out of memory: a tile will be missing until the next start */
};

void tiles_init(struct tiles *t);
void tiles_free(struct tiles *t);
void tiles_add(struct tiles *t, const struct hash *leaf);
/* How many hashes of level `level` are in no complete tile, in a tree of this size. */
static inline unsigned tiles_partial(uint64_t size, unsigned level)
{
	return (unsigned)(size >> (TILE_BITS * level)) & (TILE_WIDTH - 1);
}

void tile_path(char to[TILE_PATH], unsigned level, uint64_t index, unsigned width);
/* Writes one file of `width` hashes, and the folders it needs. 0 or -errno. */
int tile_write(const struct file_ops *ops, int dir, unsigned level, uint64_t index, const struct hash *hash,
               unsigned width);
/* Reads a tile that holds at least `width` hashes, complete or not. 0, -ENOENT, -EBADMSG (a file of the wrong size). */
int tile_read(int dir, unsigned level, uint64_t index, unsigned width, struct hash hash[TILE_WIDTH]);

/* Hashes of a tree of `size` leaves, from the tiles in folder `dir` (borrowed). */
struct tile_source {
	struct tree_source source;
	int dir;
	uint64_t size;
	bool cached;
	struct tile at;
};
void tile_source_init(struct tile_source *s, int dir, uint64_t size);

/* The tree of `size` leaves and its edge from the tiles; t is initialised. -ENOENT, -EBADMSG, -errno. */
int tiles_load(struct tiles *t, int dir, uint64_t size);

/* Whether tile `index` of `level`, complete in the source's tree, gives the hash that the level above has for it. */
bool tile_is_right(struct tile_source *s, unsigned level, uint64_t index);
/* Whether the last TILES_RECENT complete tiles of each level are right: what may not have reached the disk. */
#define TILES_RECENT 8192
bool tiles_recent_are_right(int dir, uint64_t size);
