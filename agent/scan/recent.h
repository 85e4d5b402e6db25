/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recent.h - the last bytes of a text under way, and where its symbols are in them.
 *
 * Recognisers read here, and keyword hits, which are counted in symbols, find their bytes here. What is not UTF-8 is
 * replaced by a character of the same length, one for each maximal subpart, so that places stay what they were and
 * symbols are counted as scan_feed counts them.
 */
#pragma once

#include "scan/scan.h"

/* Between two characters: how many bytes came before, and the automaton there. */
struct recent_place {
	uint64_t byte;
	struct scan_state state;
};

/* All zero is the start of a text. */
struct recent {
	uint8_t *bytes;              /* owned */
	struct recent_place *places; /* owned; the oldest first */
	size_t head, len, room;      /* bytes[head..len) are kept */
	size_t clean;                /* bytes[head..clean) are whole characters */
	uint64_t base;               /* position of bytes[0] */
	uint64_t start;              /* where the text begins: positions go on when one ends */
	size_t place_count, place_room;
};

void recent_free(struct recent *r);
/* Makes *to the same as *from, in memory of its own. -ENOMEM: *to is empty. */
int recent_copy(struct recent *to, const struct recent *from);

/* Adds bytes; `before` is the automaton in front of them. -ENOMEM. */
int recent_add(struct recent *r, const struct scan_state *before, struct slice bytes);
/* No more bytes come: a cut character counts as it is. */
void recent_end(struct recent *r);
/* Another text begins where this one ended. */
void recent_restart(struct recent *r);
/* As at the start of the first text, in the same memory. */
void recent_again(struct recent *r);
/* Neither bytes before `byte` nor symbols before `symbol` will be asked for. */
void recent_forget(struct recent *r, uint64_t byte, uint64_t symbol);

/* The byte at a position that is kept. */
static inline const uint8_t *recent_at(const struct recent *r, uint64_t position)
{
	return r->bytes + (position - r->base);
}

/* Positions [*from, *to) of symbols [start, end), which must have come since what was forgotten. */
void recent_locate(const struct recent *r, const struct scanner *s, uint64_t start, uint64_t end, uint64_t *from,
                   uint64_t *to);
/* Symbols in front of a position between two characters. */
uint64_t recent_symbols(const struct recent *r, const struct scanner *s, uint64_t position);
/* No more than that, and few less: those in front of the last place where they were counted. */
uint64_t recent_symbols_least(const struct recent *r, uint64_t position);
/* Characters from a position on. */
uint64_t recent_characters(const struct recent *r, uint64_t position);
