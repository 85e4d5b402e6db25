/* SPDX-License-Identifier: Apache-2.0 */
/* jamo.c - the arithmetic of Unicode 15, section 3.12. */
#include "scan/jamo.h"

#include <stdbool.h>

#define SYLLABLE       0xac00u
#define LEADING        0x1100u
#define VOWEL          0x1161u
#define TRAILING       0x11a7u /* one before the first: index 0 is none */
#define LEADING_COUNT  19u
#define VOWEL_COUNT    21u
#define TRAILING_COUNT 28u
#define SYLLABLE_COUNT (LEADING_COUNT * VOWEL_COUNT * TRAILING_COUNT)

static bool within(uint32_t cp, uint32_t first, uint32_t count)
{
	return cp - first < count;
}

/* Trailing consonants whose compatibility letters decompose to leading ones, by index; 0: to the trailing one itself,
 * but for the first. */
static const uint8_t leading_of[TRAILING_COUNT] = {
	[1] = 0x00,  [2] = 0x01,  [4] = 0x02,  [7] = 0x03,  [8] = 0x05,  [15] = 0x1a,
	[16] = 0x06, [17] = 0x07, [18] = 0x21, [19] = 0x09, [20] = 0x0a, [21] = 0x0b,
	[22] = 0x0c, [23] = 0x0e, [24] = 0x0f, [25] = 0x10, [26] = 0x11, [27] = 0x12,
};

static uint32_t letter_of(uint32_t trailing)
{
	return leading_of[trailing] || trailing == 1 ? LEADING + leading_of[trailing] : TRAILING + trailing;
}

static size_t part(uint32_t cp, bool letters, uint32_t *to)
{
	uint32_t i = cp - SYLLABLE, trailing = i % TRAILING_COUNT;

	if (!within(cp, SYLLABLE, SYLLABLE_COUNT)) {
		to[0] = letters && within(cp, TRAILING + 1, TRAILING_COUNT - 1) ? letter_of(cp - TRAILING) : cp;
		return 1;
	}
	to[0] = LEADING + i / (VOWEL_COUNT * TRAILING_COUNT);
	to[1] = VOWEL + i / TRAILING_COUNT % VOWEL_COUNT;
	if (!trailing)
		return 2;
	to[2] = letters ? letter_of(trailing) : TRAILING + trailing;
	return 3;
}

/* Puts cp behind what is composed so far: *last is its last, written or not. True: it became part of that. */
static bool joins(uint32_t *last, uint32_t cp)
{
	if (within(*last, LEADING, LEADING_COUNT) && within(cp, VOWEL, VOWEL_COUNT)) {
		*last = SYLLABLE + ((*last - LEADING) * VOWEL_COUNT + cp - VOWEL) * TRAILING_COUNT;
		return true;
	}
	if (within(*last, SYLLABLE, SYLLABLE_COUNT) && !((*last - SYLLABLE) % TRAILING_COUNT) &&
	    within(cp, TRAILING + 1, TRAILING_COUNT - 1)) {
		*last += cp - TRAILING;
		return true;
	}
	return false;
}

size_t jamo_spell(enum jamo_form form, const uint32_t *from, size_t n, uint32_t *to)
{
	bool hangul = false;
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		hangul |= within(from[i], SYLLABLE, SYLLABLE_COUNT) || within(from[i], LEADING, 0x100);
		if (form != JAMO_SYLLABLES)
			len += part(from[i], form == JAMO_LETTERS, to + len);
		else if (!len || !joins(&to[len - 1], from[i]))
			to[len++] = from[i];
	}
	return hangul ? len : 0;
}
