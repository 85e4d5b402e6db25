/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - SHA-256 by libcrypto's plain calls: the newer interface costs more than the hash of a node. */
#define OPENSSL_API_COMPAT 0x10100000L
#include "record/tree.h"

#include <errno.h>
#include <openssl/sha.h>

void hash_bytes(struct hash *out, struct slice bytes)
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, bytes.at, bytes.len);
	SHA256_Final(out->at, &c);
}

void hash_leaf(struct hash *out, struct slice record)
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, "\0", 1);
	SHA256_Update(&c, record.at, record.len);
	SHA256_Final(out->at, &c);
}

void hash_node(struct hash *out, const struct hash *left, const struct hash *right)
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, "\1", 1);
	SHA256_Update(&c, left->at, HASH_LEN);
	SHA256_Update(&c, right->at, HASH_LEN);
	SHA256_Final(out->at, &c);
}

void tree_add(struct tree *t, const struct hash *leaf, struct tree_sink *sink)
{
	struct hash h = *leaf;
	unsigned height = 0;

	if (sink)
		sink->complete(sink, 0, t->size, &h);
	for (; t->size >> height & 1; height++) {
		hash_node(&h, &t->edge[height], &h);
		if (sink)
			sink->complete(sink, height + 1, t->size >> (height + 1), &h);
	}
	t->edge[height] = h;
	t->size++;
}

void tree_root(const struct tree *t, struct hash *out)
{
	bool any = false;

	for (unsigned k = 0; k < TREE_HEIGHT; k++) {
		if (!(t->size >> k & 1))
			continue;
		if (any)
			hash_node(out, &t->edge[k], out);
		else
			*out = t->edge[k];
		any = true;
	}
	if (!any)
		hash_bytes(out, SLICE(""));
}

/* ---- proofs ---- */

int tree_load(struct tree *out, uint64_t size, struct tree_source *s)
{
	struct tree t = { .size = size };

	for (unsigned k = 0; k < TREE_HEIGHT; k++) {
		int err;

		if (!(size >> k & 1))
			continue;
		/* Behind the larger subtrees: the last whole one of its height. */
		err = s->get(s, k, (size >> k) - 1, &t.edge[k]);
		if (err)
			return err;
	}
	*out = t;
	return 0;
}

static unsigned log2_below(uint64_t n) /* the k of the largest 2^k < n; n >= 2 */
{
	return 63 - (unsigned)__builtin_clzll(n - 1);
}

/* The hash of leaves [from, to): MTH of RFC 6962, from a multiple of the power of two at or above its length. */
static int range_hash(struct tree_source *s, uint64_t from, uint64_t to, struct hash *out)
{
	uint64_t n = to - from;
	struct hash left, right;
	unsigned k;
	int err;

	if (!(n & (n - 1))) {
		k = (unsigned)__builtin_ctzll(n);
		return s->get(s, k, from >> k, out);
	}
	k = log2_below(n);
	err = s->get(s, k, from >> k, &left);
	err = err ? err : range_hash(s, from + (1ull << k), to, &right);
	if (!err)
		hash_node(out, &left, &right);
	return err;
}

static void reverse(struct hash *proof, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct hash h = proof[i];

		proof[i] = proof[n - 1 - i];
		proof[n - 1 - i] = h;
	}
}

int tree_inclusion(struct tree_source *s, uint64_t index, uint64_t size, struct hash *proof, size_t *ret_n)
{
	uint64_t from = 0, to = size;
	size_t n = 0;
	int err = 0;

	if (index >= size)
		return -ERANGE;
	while (!err && to - from > 1) {
		uint64_t middle = from + (1ull << log2_below(to - from));

		if (index < middle) {
			err = range_hash(s, middle, to, &proof[n++]);
			to = middle;
		} else {
			err = range_hash(s, from, middle, &proof[n++]);
			from = middle;
		}
	}
	if (err)
		return err;
	reverse(proof, n);
	*ret_n = n;
	return 0;
}

int tree_consistency(struct tree_source *s, uint64_t old_size, uint64_t size, struct hash *proof, size_t *ret_n)
{
	uint64_t from = 0, to = size;
	bool whole = true;
	size_t n = 0;
	int err = 0;

	if (old_size > size)
		return -ERANGE;
	if (!old_size || old_size == size) {
		*ret_n = 0;
		return 0;
	}
	while (!err && old_size != to) {
		uint64_t middle = from + (1ull << log2_below(to - from));

		if (old_size <= middle) {
			err = range_hash(s, middle, to, &proof[n++]);
			to = middle;
		} else {
			err = range_hash(s, from, middle, &proof[n++]);
			from = middle;
			whole = false;
		}
	}
	if (!err && !whole)
		err = range_hash(s, from, to, &proof[n++]);
	if (err)
		return err;
	reverse(proof, n);
	*ret_n = n;
	return 0;
}

bool tree_included(const struct hash *leaf, uint64_t index, uint64_t size, const struct hash *root,
                   const struct hash *proof, size_t n)
{
	uint64_t fn = index, sn = size - 1;
	struct hash h = *leaf;

	if (index >= size)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!sn)
			return false;
		if (fn & 1 || fn == sn) {
			hash_node(&h, &proof[i], &h);
			while (!(fn & 1) && fn) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			hash_node(&h, &h, &proof[i]);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return !sn && hash_is(&h, root);
}

bool tree_consistent(uint64_t old_size, const struct hash *old_root, uint64_t size, const struct hash *root,
                     const struct hash *proof, size_t n)
{
	uint64_t fn = old_size - 1, sn = size - 1;
	struct hash fr, sr;
	size_t i = 0;

	if (!old_size || old_size > size)
		return !old_size && !n;
	if (old_size == size)
		return !n && hash_is(old_root, root);
	while (fn & 1) {
		fn >>= 1;
		sn >>= 1;
	}
	if (old_size & (old_size - 1)) {
		if (!n)
			return false;
		fr = sr = proof[i++];
	} else {
		fr = sr = *old_root;
	}
	for (; i < n; i++) {
		if (!sn)
			return false;
		if (fn & 1 || fn == sn) {
			hash_node(&fr, &proof[i], &fr);
			hash_node(&sr, &proof[i], &sr);
			while (!(fn & 1) && fn) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			hash_node(&sr, &sr, &proof[i]);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return !sn && hash_is(&fr, old_root) && hash_is(&sr, root);
}
