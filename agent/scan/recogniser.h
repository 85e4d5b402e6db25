/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recogniser.h - patterns over a text that has no end yet.
 *
 * A pattern is a regular expression of shape.h, matched by PCRE2 at one start after the other; the leftmost start that
 * matches counts, and the search goes on behind the match (behind its first character if the check says no). As long as
 * PCRE2 says that more text could decide (PCRE2_PARTIAL_HARD), the start is alive, and everything from it on is held.
 *
 * Ordinary text does not get as far as PCRE2: a table of two bytes finds where some pattern may begin, and a walk over
 * its first sets of bytes goes on from there.
 *
 * A match looks at most `max_length` characters far. A pattern without an endless repeat gets its limit from its own
 * text and is never cut short by it; of any other the match ends there, as if the text did.
 */
#pragma once

#include "scan/recent.h"

struct under_way {
	uint64_t start; /* alive: where the match under way begins */
	uint64_t next;  /* no start before this place */
	bool alive;
};

/* All zero is the start of a text. */
struct recognising {
	struct under_way *at; /* owned; one a pattern */
	uint64_t seen;        /* bytes that were looked at */
	size_t alive;         /* so many are */
	uint64_t first;       /* if any is: where the first match under way begins, */
	uint64_t first_held;  /* and the first of a pattern that holds; UINT64_MAX: none does */
	bool fresh;           /* what is in `at` is of a text before */
};

/* As at the start of a text whose first byte is at that position, in the same memory. */
void recognising_again(struct recognising *g, uint64_t position);

void recognising_free(struct recognising *g);
int recognising_copy(const struct recognisers *s, struct recognising *to, const struct recognising *from);

/* Looks at what was added to `r` since the last call; `end`: nothing follows. `found` is told of each match; what it
 * returns other than 0 ends the search. Errors: that, -ENOMEM, or -ETIME: a pattern went over its limit of work. */
int recognisers_feed(const struct recognisers *s, struct recognising *g, const struct recent *r, bool end,
                     trail_found *found, void *to);

/* The first byte that a pattern which holds may still need, and that any pattern may need for another call; UINT64_MAX
 * if there is none. */
uint64_t recognisers_hold(const struct recognising *g);
uint64_t recognisers_needed(const struct recognisers *s, const struct recognising *g, const struct recent *r);
