/* SPDX-License-Identifier: Apache-2.0 */
/* form.c - keywords in the forms that a rule asks for. */
#include "scan/fold.h"
#include "scan/utf8.h"

/* Writes a code point, which is none of the surrogates. */
static size_t put(uint8_t *to, uint32_t cp)
{
	if (cp < 0x80) {
		to[0] = (uint8_t)cp;
		return 1;
	}
	if (cp < 0x800) {
		to[0] = (uint8_t)(0xc0 | cp >> 6);
		to[1] = (uint8_t)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		to[0] = (uint8_t)(0xe0 | cp >> 12);
		to[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
		to[2] = (uint8_t)(0x80 | (cp & 0x3f));
		return 3;
	}
	to[0] = (uint8_t)(0xf0 | cp >> 18);
	to[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
	to[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
	to[3] = (uint8_t)(0x80 | (cp & 0x3f));
	return 4;
}

static bool is_han(uint32_t cp)
{
	return cp >= FOLD_HAN && fold_is_own(cp);
}

enum scan_fault scan_form(struct slice text, enum scan_form form, uint8_t *out, size_t *len)
{
	struct scan_look look;
	enum scan_fault fault = scan_look(text, &look);
	size_t n = 0, han = 0;

	if (fault != SCAN_FINE)
		return fault;
	for (size_t i = 0; i < text.len;) {
		const uint32_t *seq;
		uint32_t cp, one;
		size_t count;

		i += utf8_decode(text.at + i, text.len - i, &cp);
		count = fold_point(cp, &seq, &one);
		for (size_t k = 0; k < count; k++) {
			uint32_t c = FOLD_VALUE(fold_settle(seq[k]));
			const char *syllable;
			size_t letters;

			if (!is_han(c)) {
				n += put(out + n, c);
				continue;
			}
			syllable = fold_syllables[c < FOLD_HAN_END ? fold_pinyin[c - FOLD_HAN] : 0];
			letters = form == SCAN_INITIALS ? *syllable != 0 : strlen(syllable);
			if (!letters)
				return SCAN_NO_READING;
			memcpy(out + n, syllable, letters);
			n += letters;
			han++;
		}
	}
	if (!han)
		return SCAN_NO_READING;
	*len = n;
	return SCAN_FINE;
}
