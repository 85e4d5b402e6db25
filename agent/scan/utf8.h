/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - bytes become code points, cut anywhere. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT 0xfffdu

/* Decodes the character at p[0..avail), avail >= 1. Returns the bytes it takes; 0 if the bytes end inside it. What is
 * not UTF-8 gives U+FFFD and takes the maximal subpart (Unicode 15, section 3.9, table 3-7). */
size_t utf8_decode_any(const uint8_t *p, size_t avail, uint32_t *cp);

/* The same; three-byte characters, which most text outside ASCII is made of, inline. */
static inline size_t utf8_decode(const uint8_t *p, size_t avail, uint32_t *cp)
{
	uint32_t three = avail >= 3 ? (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0] : 0;

	if ((three & 0xc0c0f0) == 0x8080e0) {
		uint32_t c = (three & 0xf) << 12 | (three >> 2 & 0xfc0) | (three >> 16 & 0x3f);

		if (c >= 0x800 && c - 0xd800 >= 0x800) {
			*cp = c;
			return 3;
		}
	}
	return utf8_decode_any(p, avail, cp);
}
