/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shape.h - what a pattern can match, read off its text.
 *
 * PCRE2 does the matching; it does not say how long a match can become or how one must begin. Both must be known before
 * a pattern may look at a text that has no end, so the part of Perl's syntax that lets them be computed is read here,
 * and the rest is refused by name: anchors, back references, recursion, conditions, verbs, changes of options.
 */
#pragma once

#include "base/slice.h"

#define SHAPE_ENDLESS  UINT32_MAX
#define SHAPE_STEPS    4
#define SHAPE_SAMPLES  16
#define SHAPE_PATH_MAX 64
#define SHAPE_WHY      96

/* A set of bytes. */
struct bytes {
	uint64_t bits[4];
};

static inline bool bytes_has(const struct bytes *b, uint8_t c)
{
	return b->bits[c >> 6] >> (c & 63) & 1;
}

static inline void bytes_add(struct bytes *b, uint8_t c)
{
	b->bits[c >> 6] |= 1ull << (c & 63);
}

/* At least `min` and at most `max` bytes of a set. */
struct step {
	struct bytes set;
	uint16_t min, max;
};

struct shape {
	uint32_t min, max;  /* characters of a match; max SHAPE_ENDLESS: no bound */
	uint32_t reach;     /* characters from its start that decide it, what is looked ahead at included */
	uint32_t behind;    /* characters before its start that decide it */
	bool nests;         /* an endless repeat inside an endless repeat: may take for ever */
	struct bytes first; /* what a match can begin with */

	/* How every match begins, as far as a walk over bytes can tell: nothing before it that is in `guard`, then the
	 * steps, then a byte of `then` if `has_then`. Each step takes all it can get. */
	struct bytes guard;
	bool has_guard;
	bool sure; /* no other condition stands before the steps: what passes them so far can still match */
	uint8_t step_count;
	struct step steps[SHAPE_STEPS];
	bool has_then;
	struct bytes then;

	/* For trials: a character of each set, and the shortest text that the pattern walks over. */
	uint8_t samples[SHAPE_SAMPLES], path[SHAPE_PATH_MAX];
	size_t sample_count, path_len;
};

/* Reads a pattern. Returns 0, or -EINVAL with `why` and the byte it is about in *at. */
int shape_read(struct slice pattern, struct shape *out, char why[static SHAPE_WHY], size_t *at);
