/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h - how often what size came: written by one thread, read by any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS 18

/* Only numbers, so that histograms with the same bounds can be added up member by member. */
struct histogram {
	uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* values <= bounds[i] and > bounds[i - 1]; the last: all others */
	uint64_t sum;
};

/* Nanoseconds from 10 µs to 5 s, and characters. */
static const uint64_t histogram_times[HISTOGRAM_BOUNDS] = {
	10000,    20000,    50000,    100000,    200000,    500000,    1000000,    2000000,    5000000,
	10000000, 20000000, 50000000, 100000000, 200000000, 500000000, 1000000000, 2000000000, 5000000000,
};
static const uint64_t histogram_characters[HISTOGRAM_BOUNDS] = {
	0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512, 1024, 4096,
};

static inline void histogram_add(struct histogram *h, const uint64_t bounds[HISTOGRAM_BOUNDS], uint64_t value)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && value > bounds[i])
		i++;
	__atomic_store_n(&h->counts[i], h->counts[i] + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&h->sum, h->sum + value, __ATOMIC_RELAXED);
}
