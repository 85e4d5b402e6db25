/* SPDX-License-Identifier: Apache-2.0 */
/* edge.h - a read beyond the end of an input dies on the spot. */
#pragma once

#include <string.h>
#include <sys/mman.h>

#include "base/slice.h"
#include "tests/lib/test.h"

#define EDGE_MAX (1 << 18)

/* The same bytes, at the end of a page that has nothing behind it. They are good until the next call. */
static inline struct slice at_edge(struct slice s)
{
	static uint8_t *page;

	cr_assert_leq(s.len, EDGE_MAX);
	if (!page) {
		page = mmap(NULL, EDGE_MAX + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		cr_assert_neq(page, MAP_FAILED);
		cr_assert_eq(mprotect(page + EDGE_MAX, 4096, PROT_NONE), 0);
	}
	if (s.len)
		memcpy(page + EDGE_MAX - s.len, s.at, s.len);
	return slice_of(page + EDGE_MAX - s.len, s.len);
}
