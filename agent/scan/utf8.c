/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/utf8.h"

size_t utf8_decode_any(const uint8_t *p, size_t avail, uint32_t *cp)
{
	uint8_t c = p[0], low = 0x80, high = 0xbf;
	size_t need;
	uint32_t value;

	*cp = UTF8_REPLACEMENT;
	if (c < 0x80) {
		*cp = c;
		return 1;
	}
	if (c < 0xc2 || c > 0xf4)
		return 1;
	need = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	value = c & (0xff >> (need + 1));
	/* The second byte alone rules out overlong forms, surrogates and what is above U+10FFFF. */
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < need; i++, low = 0x80, high = 0xbf) {
		if (i == avail)
			return 0;
		if (p[i] < low || p[i] > high)
			return i;
		value = value << 6 | (p[i] & 0x3f);
	}
	*cp = value;
	return need;
}
