/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold_data.h - what one code point folds to, as the generator writes it (agent/scan/gen/foldgen.c).
 *
 * Two levels: fold_index[cp >> 7] names a block of 128 entries; equal blocks are one. Entries say "itself" rather than
 * naming the code point, so that whole scripts share a block.
 */
#pragma once

#include <stdint.h>

#define FOLD_SHIFT  7
#define FOLD_BLOCK  (1u << FOLD_SHIFT)
#define FOLD_POINTS 0x110000u
#define FOLD_INDEX  (FOLD_POINTS >> FOLD_SHIFT)

/* An entry: value in the low 21 bits, FOLD_WORD or FOLD_NOISE, kind. */
#define FOLD_VALUE(e) ((e)&0x1fffffu)
#define FOLD_WORD     (1u << 21) /* a letter or digit of a script that separates words */
#define FOLD_NOISE    (1u << 22) /* neither letter, mark nor number */
#define FOLD_KIND(e)  ((e) >> 23)

enum fold_kind {
	FOLD_SELF,  /* the code point itself */
	FOLD_ONE,   /* value: the code point it becomes */
	FOLD_MULTI, /* value: where in fold_multi; there a count, then as many code points with their flags */
	FOLD_DROP,  /* nothing */
};

extern const uint16_t fold_index[FOLD_INDEX];
extern const uint32_t fold_blocks[][FOLD_BLOCK];
extern const uint32_t fold_block_count;
extern const uint32_t fold_multi[];
extern const uint32_t fold_multi_count;

/* Code points that look like a letter of ASCII or a Han character and do not fold to it (UTS #39), in order. */
struct fold_twin {
	uint32_t cp, looks; /* looks: folded */
};

/* Toneless pinyin of the Han characters from FOLD_HAN on, as the place of a syllable in fold_syllables; 0: none. */
#define FOLD_HAN     0x3400u
#define FOLD_HAN_END 0xa000u

extern const uint16_t fold_pinyin[FOLD_HAN_END - FOLD_HAN];
extern const char fold_syllables[][8];

extern const struct fold_twin fold_twins[];
extern const uint32_t fold_twin_count;
