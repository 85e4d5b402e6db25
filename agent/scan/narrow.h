/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow.h - the second reading of patterns: digits and letters in other forms as ASCII, what shows as nothing left
 * out.
 *
 * A pattern says how something is written, so patterns read the text as it is. Somebody who hides a number writes it in
 * full-width digits, or puts something between them that nobody sees. From the first such character on there is a copy
 * of the text and of the search, in which it reads as what it stands for; as soon as nothing is under way in either and
 * no pattern could look back so far, there is none. Only what holds such a character counts there: the rest is found in
 * the text itself.
 *
 * Positions in the copy are its own. Those of the text follow from the characters that changed.
 */
#pragma once

#include "scan/recogniser.h"

/* A character that reads otherwise, or follows something that is left out: `len` bytes at `at` of the copy are `width`
 * bytes at `real` of the text. */
struct turn {
	uint64_t at, real;
	uint8_t len, width;
};

/* All zero: there is no second reading. */
struct narrow {
	bool on;
	bool left_out; /* something, since the last character of the copy */
	struct recent copy;
	struct recognising recognising;
	struct turn *turns; /* owned; in order; those that are needed, and one before */
	size_t count, room;
};

void narrow_free(struct narrow *n);
int narrow_copy(const struct recognisers *s, struct narrow *to, const struct narrow *from); /* -ENOMEM */

/* Takes the whole characters of `r` that `g` has not seen yet. -ENOMEM. */
int narrow_take(struct narrow *n, const struct recognisers *s, const struct recent *r, const struct recognising *g);

/* The search, told of in places of the text; as recognisers_feed. */
int narrow_recognise(struct narrow *n, const struct recognisers *s, bool end, trail_found *found, void *to);

/* As recognisers_hold and recognisers_needed, in places of the text; UINT64_MAX: nothing. */
uint64_t narrow_needed(const struct narrow *n, const struct recognisers *s);
uint64_t narrow_hold(const struct narrow *n);

/* Lets go of what nobody needs, if need be of the whole reading; `alive`: the search in the text itself is under way.
 */
void narrow_forget(struct narrow *n, const struct recognisers *s, bool alive);
