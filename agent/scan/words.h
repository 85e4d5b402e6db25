/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.h - the automaton once more for ASCII text, by words.
 *
 * With edges at both ends of every needle, as English has them by default, no needle begins or ends inside a word. So
 * the walk is the same automaton over words instead of letters: from a node that stands before a word to the one behind
 * it, with one look at the word and one at where it leads from there. Both are known ahead of the walk, so that the
 * memory of several words is waited for at once. What is not in the tables leads to the root; what must be looked at
 * more closely (a needle ends, a separator that needles hold, letters outside ASCII) is walked by letters.
 */
#pragma once

#include "scan/automaton.h"
#include "scan/fold.h"

/* A state's `at` with this is a place before a word; the letters of the word under way are beside it. */
#define WORDS_AT (1u << 31)

/* Where a word leads to: a place, and what is to be considered. */
#define WORDS_LETTERS (1u << 31) /* a needle may end here: by letters */
#define WORDS_OTHER   (1u << 30) /* needles go on here with other separators than a space */
#define WORDS_DEEP    (1u << 29) /* the place has a shorter one */
#define WORDS_PLACE   (WORDS_DEEP - 1)

/* A node that a word begins behind. Place 0 is the root. */
struct words_place {
	uint32_t node;
	uint32_t fail; /* the longest shorter such place, with WORDS_DEEP if that has one */
	uint32_t hold; /* symbols of the node */
};

/* Four are a cache line; a key that finds no room there is in the next one. */
struct words_slot {
	uint64_t key; /* 0: free */
	uint32_t id;  /* of a word, from 1 on; WORDS_FULL in the line's first: the search goes on */
	uint32_t to;
};

struct words_table {
	struct words_slot *slots; /* owned */
	uint32_t lines, count;
};

struct words {
	struct words_table known;   /* by word: id, and where it leads from the root */
	struct words_table pairs;   /* by place and id */
	struct words_place *places; /* owned */
	uint32_t *place_of;         /* owned: hash table of places, by node */
	uint8_t (*longer)[16];      /* owned: letters of words of more than 8, by place in it; their keys are hashes */
	size_t place_count, place_room, place_slots, longer_count, longer_room;
	uint32_t space;    /* where a space leads from the root */
	uint8_t byte[256]; /* enum words_byte */
	bool worth;        /* the needles allow it */
};

enum words_byte {
	WORDS_OUTSIDE, /* to be walked as a character */
	WORDS_LETTER,
	WORDS_SEPARATOR, /* begins no needle and is no letter */
	WORDS_SPACE
};

/* Fills *w for an automaton made of `words`, whose symbols are in pool; letter[symbol] as for automaton_build(), edge
 * the symbol of a word edge. Leaves `worth` false if a needle begins or ends inside ASCII words. 0 or -ENOMEM; the
 * caller frees in each case. */
int words_build(struct words *w, const struct automaton *a, const struct fold_table *t, const struct word *words,
                size_t count, const uint16_t *pool, uint16_t edge, const bool *letter);
void words_free(struct words *w);
size_t words_bytes(const struct words *w);
size_t words_table_bytes(const struct words_table *t);

/* The place of a node that a word begins behind, with WORDS_DEEP if it has a shorter one; the root's if no word is
 * known there. */
uint32_t words_place(const struct words *w, const struct automaton *a, uint32_t node);

/* The node behind the letters (ASCII, the first lowest) of a word under way, which begins at the node. */
uint32_t words_letters(const struct automaton *a, const struct fold_table *t, uint32_t node, uint64_t letters);

/* Where a walk by words is. */
struct words_walk {
	const uint8_t *p, *limit; /* WORDS_BEHIND bytes can be read from all between */
	uint32_t place;           /* with WORDS_DEEP if it has a shorter one */
	unsigned open;            /* letters at p, up to 16, of a word that it did not take for what is behind it */
	uint64_t letters;         /* the first 8 of them, folded, the first lowest */
};

#define WORDS_BEHIND 17

/* Takes words with their separators from p on, as long as they begin in front of the limit, up to the first of which
 * anything else is asked. */
void words_run(const struct words *w, struct words_walk *at);
