/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - an event that others are compared with, shared by the files of this room that do so. */
#pragma once

#include "exchange/private.h"

#define TEMPLATE_BYTES 1024

struct template
{
	struct hole holes[TEMPLATE_HOLES];
	size_t hole_count, words; /* holes[words]: the words */
	size_t after;             /* fixed bytes behind the last hole */
	size_t scanned;           /* of the fixed bytes: those that were read as texts by themselves */
	size_t message;           /* where the JSON message begins; it is in one piece up to the last hole */
	uint32_t said[TEMPLATE_SAID];
	uint32_t heeds[TEMPLATE_SAID]; /* all ones; 0: the value is in a hole, and may be another one each time */
	struct sse behind;             /* how the line break at its end leaves the lines */
	uint8_t bytes[TEMPLATE_BYTES]; /* the fixed ones */
};

/* What each hole holds, if `data` begins with such an event; *used: all of it. */
bool template_match(const struct template *t, struct slice data, struct slice found[TEMPLATE_HOLES], size_t *used);

/* Digits that it begins with. */
static inline size_t digits_of(struct slice in)
{
	size_t n = 0;

	while (n < in.len && in.at[n] >= '0' && in.at[n] <= '9')
		n++;
	return n;
}
