/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker.h - an endpoint that fails is left alone for a while.
 *
 *   closed --failures in a row--> open --pause--> half-open: one is tried --well--> closed
 *                                   ^------------------- badly --------------'
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* All zero but for the first two is closed. Times: any clock that does not go back. */
struct breaker {
	uint32_t most;     /* failures in a row until it opens */
	uint64_t pause;    /* that it stays open */
	uint32_t failures; /* in a row */
	uint64_t until;    /* open: when one may be tried */
	bool open, trying;
	uint64_t opened; /* times */
};

/* Nobody may ask now. */
static inline bool breaker_shut_off(const struct breaker *b, uint64_t now)
{
	return b->open && (b->trying || now < b->until);
}

/* Somebody asks, having looked. */
static inline void breaker_begin(struct breaker *b)
{
	b->trying = b->open;
}

/* What became of it. */
static inline void breaker_end(struct breaker *b, uint64_t now, bool well)
{
	b->trying = false;
	if (well) {
		b->failures = 0;
		b->open = false;
		return;
	}
	if (b->open || ++b->failures >= b->most) {
		b->opened += !b->open;
		b->open = true;
		b->until = now + b->pause;
		b->failures = 0;
	}
}

/* It was given up before it could end: nothing was learnt. */
static inline void breaker_leave(struct breaker *b)
{
	b->trying = false;
}
