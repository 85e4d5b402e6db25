/* SPDX-License-Identifier: Apache-2.0 */
/*
 * automaton.h - Aho-Corasick over symbols, as a double array.
 *
 * The child of node n by symbol c is at base(n) + c if check there says n. A leaf (a needle's end that begins no other)
 * is never a state between characters: its hits are delivered and the walk goes on at its fail node, which saves a
 * probe that must miss and makes the hold of a leaf that of its fail chain.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODE_ROOT 0u
#define NODE_LEAF UINT32_MAX /* as base */

#define NODE_OUT (1u << 31) /* in fail: something ends here */

struct node {
	uint32_t base;
	uint32_t check; /* parent */
	uint32_t fail;  /* longest proper suffix that is a node, leaves passed over; and NODE_OUT */
	uint32_t some;  /* bit c % 32 is set if there may be a child by symbol c. Most steps miss, and this bit spares
	                 * them  the slot of a stranger, which is a cache line */
};

/* Needles that end at one node, and the output of the next shorter suffix. */
struct output {
	uint32_t first, count; /* in ids */
	uint32_t next;
	uint32_t length; /* symbols without edges */
};

struct automaton {
	struct node *nodes; /* owned, as all below */
	uint32_t *root;     /* root's children by symbol; one load instead of a probe, the most frequent step of all */
	uint32_t *edge;     /* where a word edge leads, fails followed; NULL if no needle has an edge */
	uint32_t *out;      /* outputs that end at the node, 0: none */
	uint16_t *hold;     /* symbols of the node, edges not counted */
	struct output *outputs;
	uint32_t *ids;
	size_t slots, states, output_count, id_count, symbols;
};

/* One needle as symbols. */
struct word {
	uint64_t key; /* its first four symbols: most comparisons end there */
	uint32_t start, id;
	uint16_t len;
};

/* Builds *a from words[0..count), which it sorts; pool holds their symbols, all in 1..symbols. `edge` is the symbol of
 * word edges or 0. Errors: -ENOMEM; -E2BIG if there would be too many nodes. The caller frees in each case. */
int automaton_build(struct automaton *a, struct word *words, size_t count, const uint16_t *pool, size_t symbols,
                    uint16_t edge);
void automaton_free(struct automaton *a);

/* One symbol on. */
static inline uint32_t automaton_step(const struct node *nodes, const uint32_t *root, uint32_t node, uint32_t symbol)
{
	if (!symbol)
		return NODE_ROOT;
	while (node != NODE_ROOT) {
		const struct node *n = &nodes[node];

		if (n->some >> (symbol & 31) & 1) {
			uint32_t to = n->base + symbol;

			if (nodes[to].check == node)
				return to;
		}
		node = n->fail & ~NODE_OUT;
	}
	return root[symbol];
}
