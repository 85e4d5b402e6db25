/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - the Merkle tree of RFC 6962 over the records of a log. Pure: no I/O.
 *
 * A leaf is SHA-256(0x00 || the record as stored), a node SHA-256(0x01 || left || right). What a tree needs to grow is
 * its right edge: one hash for each bit that is set in its size.
 */
#pragma once

#include "base/slice.h"

#define HASH_LEN    32
#define TREE_HEIGHT 64
#define PROOF_MAX   (2 * TREE_HEIGHT) /* hashes of any proof */

struct hash {
	uint8_t at[HASH_LEN];
};

static inline bool hash_is(const struct hash *a, const struct hash *b)
{
	return !memcmp(a->at, b->at, HASH_LEN);
}

void hash_leaf(struct hash *out, struct slice record);
void hash_node(struct hash *out, const struct hash *left, const struct hash *right);
/* Plain SHA-256. */
void hash_bytes(struct hash *out, struct slice bytes);

struct tree {
	uint64_t size;
	struct hash edge[TREE_HEIGHT]; /* edge[k]: of 2^k leaves, if bit k of size is set */
};

/* Told of each subtree that becomes complete: of 2^height leaves, the index-th of its height. */
struct tree_sink {
	void (*complete)(struct tree_sink *s, unsigned height, uint64_t index, const struct hash *h);
};

/* Adds a leaf; `sink` may be NULL. */
void tree_add(struct tree *t, const struct hash *leaf, struct tree_sink *sink);
/* Of no leaves: SHA-256 of nothing. */
void tree_root(const struct tree *t, struct hash *out);

/* ---- proofs ---- */

/* Where the hashes of complete subtrees come from. get returns 0 or -errno. */
struct tree_source {
	int (*get)(struct tree_source *s, unsigned height, uint64_t index, struct hash *out);
};

/* The tree of the first `size` leaves, its edge read from the source. */
int tree_load(struct tree *out, uint64_t size, struct tree_source *s);
/* RFC 6962 2.1.1 and 2.1.2: fills proof[PROOF_MAX], sets *n. -ERANGE: index >= size, or old > size. */
int tree_inclusion(struct tree_source *s, uint64_t index, uint64_t size, struct hash *proof, size_t *n);
int tree_consistency(struct tree_source *s, uint64_t old_size, uint64_t size, struct hash *proof, size_t *n);

/* RFC 9162 2.1.3.2 and 2.1.4.2. */
bool tree_included(const struct hash *leaf, uint64_t index, uint64_t size, const struct hash *root,
                   const struct hash *proof, size_t n);
bool tree_consistent(uint64_t old_size, const struct hash *old_root, uint64_t size, const struct hash *root,
                     const struct hash *proof, size_t n);
