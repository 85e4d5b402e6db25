/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jamo.h - Hangul in other ways than as syllables.
 *
 * A syllable is one symbol, and text that spells it in its letters is another text: as Unicode decomposes it (section
 * 3.12: a leading consonant, a vowel, perhaps a trailing consonant), or letter by letter, as people type who want to be
 * read by people alone. To compose text would need a look ahead; needles are few and are spelled in each way instead.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum jamo_form {
	JAMO_SYLLABLES, /* letters that make a syllable are one */
	JAMO_PARTS,     /* syllables as Unicode decomposes them */
	JAMO_LETTERS,   /* the same, trailing consonants as the leading ones that compatibility letters fold to */
	JAMO_FORM_COUNT
};

#define JAMO_PARTS_MAX 3

/* Writes folded code points from[0..n) in that form; to has room for JAMO_PARTS_MAX times as many. Returns how many, or
 * 0 if there is no Hangul in them. What is no Hangul stays as it is. */
size_t jamo_spell(enum jamo_form form, const uint32_t *from, size_t n, uint32_t *to);
