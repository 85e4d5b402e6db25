/* SPDX-License-Identifier: Apache-2.0 */
/* ahead.h - ordinary text becomes weights, some way ahead of their sums. */
#pragma once

#include "scan/classifier.h"

#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define always_inline inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLLED
#else
#define UNROLLED _Pragma("GCC unroll 5") /* over n-grams, the number of which is most often known here */
#endif

/*
 * Sums of several risks, eight at a time. The weights of a bucket lie side by side, in any place; the eight that are
 * read end where they do, so that nothing behind the file is touched: before the first there is the file's head. The
 * first lanes of the last eight are then of no risk, and are let go.
 */
#define LANES      8
#define LANES_MOST ((CLASSIFIER_RISKS_MAX + LANES - 1) / LANES)

typedef int8_t eight_bytes __attribute__((vector_size(LANES)));
typedef int16_t eight_sums __attribute__((vector_size(2 * LANES)));

static always_inline eight_sums weights_before(const int8_t *end)
{
	eight_bytes weights;

	memcpy(&weights, end - LANES, sizeof(weights));
	return __builtin_convertvector(weights, eight_sums);
}

/* The lanes of a risk lie in its order, the last risk's at the end. */
static always_inline int16_t *lanes_of(eight_sums *lanes, const unsigned risks)
{
	return (int16_t *)(lanes + LANES_MOST) - risks;
}

/*
 * Where weights are in memory is as good as random, and a model is larger than the caches near a core. So symbols are
 * read some way ahead of the sums, and what they need is fetched meanwhile.
 */
#define AHEAD 32 /* symbols */

_Static_assert(AHEAD *CLASSIFIER_NGRAM_MAX *INT8_MAX <= INT16_MAX, "a lane holds the sum of as many");

struct ahead {
	const uint8_t *p;                        /* read to here */
	uint32_t past[CLASSIFIER_NGRAM_MAX];     /* symbols before, nearest first */
	uint32_t length;                         /* of the sentence */
	uint32_t word, space, full_stop, spoken; /* as in struct walk */
	bool half; /* the last symbol is a space before a word, whose letter is to be read */
	bool over; /* the last symbol ended the sentence */
};

/* Reads up to `most` symbols, of characters that give one and of single white space. Stops in front of any other, of
 * one that is cut or would end a sentence by its length, and behind one that ends it by itself. row[symbol][n-gram]:
 * its weights. Returns the symbols. */
static always_inline unsigned read_ahead(struct ahead *of, const uint8_t *end, const struct classifier *model,
                                         const int8_t **row, unsigned most, const unsigned risks, const unsigned ngrams)
{
	const int8_t *weights = model->weights;
	unsigned bits = model->shape.bits, count = 0;
	struct ahead a = *of;

	if (most + a.length + 1 > CLASSIFIER_SENTENCE_MAX)
		most = a.length + 1 < CLASSIFIER_SENTENCE_MAX ? CLASSIFIER_SENTENCE_MAX - 1 - a.length : 0;
	while (a.p < end && count < most) {
		uint32_t cp = *a.p, e, c;
		enum symbol_class class;
		size_t took = 1;
		uint64_t hash;

		if (cp >= 0x80) {
			took = utf8_decode(a.p, (size_t)(end - a.p), &cp);
			if (unlikely(!took))
				break;
		}
		e = fold_blocks[fold_index[cp >> FOLD_SHIFT]][cp & (FOLD_BLOCK - 1)];
		if (unlikely(FOLD_KIND(e) >= FOLD_MULTI))
			break;
		c = FOLD_KIND(e) == FOLD_SELF ? cp : FOLD_VALUE(e);
		class = symbol_class(c);
		if (unlikely(class != CLASS_PLAIN)) {
			if (class == CLASS_SPACE && !(a.full_stop && a.spoken)) {
				a.space = true;
				a.p += took;
				continue;
			}
			a.over = class == CLASS_MARK && a.spoken;
			if (class != CLASS_STOP && !a.over)
				break;
		}
		a.half = false;
		if (unlikely(a.space)) {
			a.space = false;
			if (a.word & e & FOLD_WORD) {
				a.half = true;
				c = ' ';
				took = 0;
			}
		}
		a.p += took;
		a.word = e & FOLD_WORD;
		a.full_stop = class == CLASS_STOP;
		a.spoken |= class == CLASS_PLAIN;
		count++;
		hash = 0;
		UNROLLED
		for (unsigned n = 0; n < ngrams; n++) {
			uint32_t before = a.past[n];

			hash = gram_hash(hash, n, c);
			a.past[n] = c;
			c = before;
			row[n] = weights + (size_t)gram_bucket(hash, n, bits) * risks;
			__builtin_prefetch(row[n]);
		}
		row += ngrams;
		if (unlikely(a.over))
			break;
	}
	a.length += count;
	*of = a;
	return count;
}
