/* SPDX-License-Identifier: Apache-2.0 */
/*
 * automaton.h - Aho-Corasick over symbols, as a double array.
 *
 * The child of node n by symbol c is at base(n) + c if check there says n. A leaf (a needle's end that begins no other)
 * is never a state between characters: its hits are delivered and the walk goes on at its fail node, which spares a
 * probe that must miss and makes the hold of a leaf that of its fail chain.
 *
 * What ordinary text costs is not instructions but branches that nobody can predict: is there a child, how far down
 * does the fail chain lead? So a step has none. Beside the state walks the state of the last symbol alone; with one
 * probe it gives the answer for every state whose fail node is no deeper than one, and the probes of a symbol do not
 * wait for each other. Other nodes are marked NODE_DEEP, and their misses follow the chain.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODE_ROOT 0u

/* Beside the base. */
#define NODE_OUT  (1u << 31) /* a needle ends here, or at a suffix */
#define NODE_WAIT (1u << 30) /* so does one that waits for the end of the word */
#define NODE_DEEP (1u << 29) /* a miss must follow the fail chain */
#define NODE_LEAF (1u << 28)
#define NODE_BASE (NODE_LEAF - 1)

#define NODE_OF_ROOT                                                                                                   \
	(UINT32_MAX - 1) /* as check of root's children: they have their own table, and probes from root miss */

#define NODE_SHALLOW 1 /* fail nodes up to this depth are answered without the chain */

struct node {
	uint32_t base;  /* and flags */
	uint32_t check; /* parent */
};

/* Needles that end at one node, and the output of the next shorter suffix. */
struct output {
	uint32_t first, count; /* in ids */
	uint32_t next;
	uint32_t length; /* symbols without edges */
};

/* A node with its base and flags: what a step needs of it without a load. */
#define AT(slot, base) ((uint64_t)(slot) << 32 | (base))
#define AT_SLOT(at)    ((uint32_t)((at) >> 32))
#define AT_BASE(at)    ((uint32_t)(at))

struct automaton {
	struct node *nodes;  /* owned, as all below */
	uint64_t (*root)[2]; /* root's children by symbol, AT(); second: where a word begins */
	uint32_t *fail;      /* longest proper suffix that is a node, leaves passed over */
	uint32_t *out;       /* outputs that end at the node, 0: none */
	uint32_t *wait;      /* those that wait for the end of the word; NULL if there are none */
	uint16_t *hold;      /* symbols of the node, edges not counted */
	struct output *outputs;
	uint32_t *ids;
	size_t slots, states, output_count, id_count, symbols;
	bool edges; /* some needle begins or ends with an edge */
};

/* One needle as symbols. */
struct word {
	uint64_t key; /* its first four symbols: most comparisons end there */
	uint32_t start, id;
	uint16_t len;
	bool wait;   /* its last symbol must end a word */
	uint8_t gap; /* for the caller */
};

/* Builds *a from words[0..count), which it sorts; pool holds their symbols, all in 1..symbols. `edge` is the symbol of
 * a word edge, with which words may begin, or 0; letter[symbol]: of a script that separates words. Errors: -ENOMEM;
 * -E2BIG if there would be too many nodes. The caller frees in each case. */
int automaton_build(struct automaton *a, struct word *words, size_t count, const uint16_t *pool, size_t symbols,
                    uint16_t edge, const bool *letter);
void automaton_free(struct automaton *a);

/* One symbol on, by the chain: the node, a leaf too. */
static inline uint32_t automaton_step(const struct automaton *a, uint32_t node, uint32_t symbol, bool begins)
{
	while (node != NODE_ROOT) {
		uint32_t to = (a->nodes[node].base & NODE_BASE) + symbol;

		if (a->nodes[to].check == node)
			return to;
		node = a->fail[node];
	}
	return AT_SLOT(a->root[symbol][begins]);
}

/* The node where the walk goes on after the hits of this one. */
static inline uint32_t automaton_rest(const struct automaton *a, uint32_t node)
{
	return a->nodes[node].base & NODE_LEAF ? a->fail[node] : node;
}
