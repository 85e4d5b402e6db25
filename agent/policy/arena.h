/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory that goes at once, and arrays that grow. */
#pragma once

#include "base/slice.h"

/* Bytes that live until the arena goes. */
struct arena {
	struct arena_part *parts;
	size_t left; /* in the newest part */
};

void *arena_take(struct arena *a, size_t n); /* aligned for pointers; NULL: no memory */
/* A terminated copy, or NULL. */
const char *arena_copy(struct arena *a, struct slice text);
void arena_free(struct arena *a);

/* Room for one more behind `count` entries of `size` bytes. False: no memory. */
bool draft_reserve(void **at, size_t *room, size_t count, size_t size);
