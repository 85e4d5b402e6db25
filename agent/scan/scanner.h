/* SPDX-License-Identifier: Apache-2.0 */
/* scanner.h - what compiling makes and feeding reads. */
#pragma once

#include "scan/automaton.h"
#include "scan/fold.h"
#include "scan/rows.h"
#include "scan/words.h"

#define EDGE_SYMBOL 1 /* of a word edge, if a needle begins with one */

#define GAP_EDGE 0x80 /* the needle must begin a word */

/* 1 + the largest gap of the needles that go on from a node, and of those that wait there for the end of the word.
 * Second: of those that must begin a word. */
struct reach {
	uint8_t goes_on[2], waits[2];
};

struct scanner {
	void *hot; /* owned: what every character reads, on huge pages; the automaton's nodes and roots, the table's
	            * `low`, the moves and links of `rows`, the slots and places of `words` point into it */
	struct automaton automaton;
	struct fold_table table;
	struct words words; /* or, where needles do not allow these: */
	struct rows rows;
	bool *own;               /* owned: by symbol, a letter that others look like */
	struct automaton gapped; /* needles with a gap, without their noise; no nodes if there are none */
	uint8_t *gaps;           /* owned: by place in gapped.ids, gap and GAP_EDGE */
	struct reach *reach;     /* owned: by slot of gapped */
	uint8_t gap_max;
	uint32_t edged; /* places in automaton.ids below this are those of needles that must begin a word */
	size_t needles, longest;
};

/* Where hits go. */
struct sink {
	struct scan_hit *hits;
	size_t most, n;
	uint32_t done; /* hits of the character at hand that an earlier call delivered */
	uint32_t seen; /* hits of it so far */
};

/* One character on, in all readings. False: no room, and *p is as it was. */
bool step_character(const struct scanner *s, struct sink *k, struct scan_state *p, uint32_t entry);

/* The word ends here: what waited for that is a hit. False: no room. */
bool step_end_word(const struct scanner *s, struct sink *k, const struct scan_state *p);

/* Symbols that needles hold which begin in the middle of a word. */
size_t step_parted_hold(const struct scanner *s, const struct scan_state *p);

/* Symbols that a needle with a gap holds. */
size_t step_gap_hold(const struct scanner *s, const struct scan_state *p);
