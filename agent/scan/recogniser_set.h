/* SPDX-License-Identifier: Apache-2.0 */
/* recogniser_set.h - what compiling patterns makes and the search reads. */
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "scan/recogniser.h"
#include "scan/shape.h"

#define TEXT_START 256 /* in place of the byte before */

struct recogniser {
	pcre2_code *code; /* owned */
	const struct check *check;
	bool holds;
	uint32_t window; /* characters of an attempt */
	uint32_t behind; /* characters in front of it */
	struct shape shape;
	struct bytes first; /* bytes a match may begin with */
	bool by_end; /* a match begins with a whole run of steps[0]: it is looked for where a run ends in `then` */
};

struct recognisers {
	struct recogniser *at;          /* owned */
	pcre2_match_context *context;   /* owned */
	pcre2_compile_context *compile; /* owned */
	uint16_t *list;                 /* owned: patterns that may begin with a byte, byte after byte */
	uint32_t list_of[257];
	struct bytes open[257]; /* by the byte before: where some pattern may begin */
	size_t count;
	uint16_t *by_end; /* owned: patterns that are */
	size_t by_end_count;
	uint32_t behind; /* bytes */
};

/* No match begins behind such a byte. */
static inline bool recogniser_guarded(const struct recogniser *p, unsigned prev)
{
	return p->shape.has_guard && prev != TEXT_START && bytes_has(&p->shape.guard, (uint8_t)prev);
}
