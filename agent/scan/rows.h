/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h - the automaton once more for ASCII, small enough for a core's cache.
 *
 * English fails nearly everywhere and wanders over many nodes; what it costs is memory that is not near. So each node
 * at which needles part has a row with the answer for each class of ASCII characters, all failing done: a character
 * costs two loads. The nodes between, where one character leads on, lie side by side as links of eight bytes. Other
 * nodes ("cold") are walked in the automaton.
 */
#pragma once

#include "scan/automaton.h"
#include "scan/fold.h"

#define ROWS_CLASSES  64 /* at most; characters beyond have none */
#define ROWS_NO_CLASS 0xff

/* Where a walk is: the place of a row in `next`, or one of these. All zero is the root, outside of a word. */
#define ROWS_LINK (1u << 29) /* with a link */
#define ROWS_COLD (1u << 30) /* with a slot of the automaton; allowed for any node */
#define ROWS_STOP (1u << 31) /* nowhere: a needle ends here, and the careful path decides */
#define ROWS_AT   (ROWS_LINK - 1)

/* A node that one class leads on from, to the next link; or, behind the last, where that leads. */
struct link {
	uint32_t fail; /* where the others lead: as they do from there. Behind the last: where the last leads */
	uint16_t hold;
	uint8_t class; /* ROWS_NO_CLASS: behind the last */
};

struct rows {
	uint8_t class[256];            /* by byte; ROWS_NO_CLASS also for what is more than one plain symbol */
	uint16_t symbol[ROWS_CLASSES]; /* by class; classes 0 and 1 are those of no needle: no letter, and a letter */
	uint64_t letters;              /* classes that are letters of a script that separates words */
	uint32_t *next;                /* owned: by row and class; rows 0 and 1 are the root's, outside and in a word */
	struct link *links;            /* owned */
	uint32_t *of;                  /* owned: by slot, where the walk is then; with ROWS_STOP it is nowhere but at
	                                * the slot, and goes on as if it were here, or at the root if that is 0 */
	uint32_t *row_slot;            /* owned: by row */
	uint32_t *link_slot;           /* owned: by link */
	unsigned shift;                /* a row is 1 << shift moves */
	size_t count, link_count;
	bool worth; /* most nodes are here; if not, going to and fro pays only where there is much ASCII */
};

/* Fills *r for an automaton; letter[symbol] as for automaton_build(). 0 or -ENOMEM; the caller frees in each case. */
int rows_build(struct rows *r, const struct automaton *a, const struct fold_table *t, const bool *letter);
/* Makes *r rows that know the root alone. 0 or -ENOMEM. */
int rows_none(struct rows *r);
void rows_free(struct rows *r);

/* Memory of it. */
size_t rows_bytes(const struct rows *r, const struct automaton *a);

/* The move by a class along the chain of fail nodes, from where there is no row. */
uint32_t rows_slow(const struct rows *r, const struct automaton *a, uint32_t at, unsigned class, bool in_word);

/* Where the walk is when it is at a node. */
static inline uint32_t rows_at(const struct rows *r, uint32_t node, bool in_word)
{
	uint32_t at = node == NODE_ROOT ? (uint32_t)in_word << r->shift : r->of[node];

	return at & ROWS_STOP ? ROWS_COLD | node : at;
}

/* A place from which each class leads to where it leads from the node. */
static inline uint32_t rows_as(const struct rows *r, uint32_t node, bool in_word)
{
	uint32_t at = node == NODE_ROOT ? ROWS_STOP : r->of[node];

	return at == ROWS_STOP ? (uint32_t)in_word << r->shift : at & ~ROWS_STOP;
}

/* And back. */
static inline uint32_t rows_node(const struct rows *r, uint32_t at)
{
	if (at & ROWS_COLD)
		return at & ROWS_AT;
	return at & ROWS_LINK ? r->link_slot[at & ROWS_AT] : r->row_slot[at >> r->shift];
}

/* Symbols of the node. */
static inline size_t rows_hold(const struct rows *r, const struct automaton *a, uint32_t at)
{
	return (at & (ROWS_COLD | ROWS_LINK)) == ROWS_LINK ? r->links[at & ROWS_AT].hold : a->hold[rows_node(r, at)];
}
