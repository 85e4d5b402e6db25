/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold.h - code points become symbols.
 *
 * For needles the generated data is read as it is: folded code points. For text it is compiled once more, into the
 * symbols that a scanner's needles use, so that a character of text costs two loads and no function.
 */
#pragma once

#include "base/slice.h"
#include "scan/fold_data.h"
#include "scan/scan.h"

/* Folded code points of needles, one after the other. */
struct fold_pool {
	uint32_t *at; /* owned */
	size_t len, room;
};

#define FOLD_EDGE FOLD_POINTS /* stands in the pool for a word edge */

void fold_pool_free(struct fold_pool *p);

/* Room for `more` entries behind the pool. 0 or -ENOMEM. */
int fold_pool_reserve(struct fold_pool *p, size_t more);

/* Adds the needle's code points behind the pool, after an edge if a word must begin there. Edges inside need no symbol:
 * what stands on both sides tells. *look: what was added. Returns a fault, with nothing added; *error is -ENOMEM (and
 * SCAN_FINE returned) if memory is short. */
enum scan_fault fold_needle(struct fold_pool *p, const struct needle *n, struct scan_look *look, int *error);

/* What a code point folds to: *out points at as many entries with their flags as are returned; *one has room for one.
 */
size_t fold_point(uint32_t cp, const uint32_t **out, uint32_t *one);

/* Whether a folded code point is a letter or digit of a script that separates words; a letter that others look like; or
 * what a gap skips. */
bool fold_is_letter(uint32_t folded);
bool fold_is_own(uint32_t folded);
bool fold_is_noise(uint32_t folded);

/* What a code point looks like; 0: nothing else. */
uint32_t fold_twin(uint32_t cp);

/* An entry of a text table: a symbol in the low 16 bits, TEXT_WORD and TEXT_NOISE, or with TEXT_SPECIAL a character
 * that gives none (TEXT_DROP; with TEXT_PARTS it may part words), several (place in `multi`: a count, then entries) or
 * one that looks like another (TEXT_TWIN, place in `twins`). */
#define TEXT_SYMBOL(e) ((e)&0xffffu)
#define TEXT_WORD      (1u << 16)
#define TEXT_NOISE     (1u << 17)
#define TEXT_PARTS     (1u << 28)
#define TEXT_TWIN      (1u << 29)
#define TEXT_DROP      (1u << 30)
#define TEXT_SPECIAL   (1u << 31)

#define FOLD_LOW 0x10000u

struct fold_table {
	uint16_t index[FOLD_INDEX];
	uint32_t (*blocks)[FOLD_BLOCK]; /* owned */
	uint32_t *multi;                /* owned */
	uint32_t *low;                  /* owned: the first 0x10000 code points, in one step */
	uint32_t (*twins)[2];           /* owned: entry as it is, entry as it looks */
	size_t block_count;
};

/* Fills *t for text. number[cp]: symbol of a folded code point, 0 if no needle has it; used[0..count): those that are
 * not 0. 0 or -ENOMEM; the caller frees in each case. */
int fold_table_build(struct fold_table *t, const uint32_t *number, const uint32_t *used, size_t count);
void fold_table_free(struct fold_table *t);

static inline uint32_t fold_text(const struct fold_table *t, uint32_t cp)
{
	return cp < FOLD_LOW ? t->low[cp] : t->blocks[t->index[cp >> FOLD_SHIFT]][cp & (FOLD_BLOCK - 1)];
}
