/* SPDX-License-Identifier: Apache-2.0 */
/* pile.h - records of one segment, to be given from the last on. */
#pragma once

#include "base/slice.h"

struct pile {
	uint8_t *data;
	size_t len, room;
	size_t *ends, n, ends_room; /* record i ends at ends[i] */
};

void pile_free(struct pile *p);
/* Copies it on top. -ENOMEM. */
int pile_add(struct pile *p, struct slice raw);
/* Keeps the last n. */
void pile_cut(struct pile *p, size_t n);
/* The uppermost of at least one, borrowed until the next is put there. */
struct slice pile_take(struct pile *p);
