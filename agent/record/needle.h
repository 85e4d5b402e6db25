/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needle.h - bytes that must stand in whatever is wanted, looked for many at a time: most records of a log are passed
 * over without their fields being read.
 */
#pragma once

#include "base/slice.h"

#define NEEDLE_LEAST 3 /* shorter ones stand everywhere */
#define NEEDLE_MOST  64

struct needle {
	uint8_t at[NEEDLE_MOST]; /* caseless: in lower case */
	uint8_t len;
	bool caseless; /* of ASCII's letters */
};

/* Of `text` what makes the best needle, its first NEEDLE_MOST bytes; caseless: its longest run of ASCII that no letter
 * beyond ASCII is another case of. False: it is too short for one. */
bool needle_make(struct needle *n, struct slice text, bool caseless);
/* Where it stands first in `in` from byte `from` on; in.len: nowhere. */
size_t needle_find(const struct needle *n, struct slice in, size_t from);
