/* SPDX-License-Identifier: Apache-2.0 */
/* classifier.h - a model as it is held, and how text becomes symbols and buckets. */
#pragma once

#include "scan/fold_data.h"
#include "scan/scan.h"
#include "scan/utf8.h"

#define ROOTS 1025 /* windows whose root is looked up */

struct classifier {
	const int8_t *weights; /* in the file: [bucket][risk] */
	struct classifier_shape shape;
	unsigned risk_count;
	uint64_t texts;
	uint8_t digest[CLASSIFIER_DIGEST];
	uint32_t root[ROOTS]; /* 256 * sqrt(i), rounded down; of 0: 1 */
	struct classifier_risk risks[];
};

/* 256 * sqrt(n), rounded down; n at most 2^47. */
uint32_t classifier_root(uint64_t n);

/* ---- characters to symbols ---- */

/* Where a text is between two characters. */
struct walk {
	uint16_t sentence; /* symbols of the sentence so far */
	uint8_t tail_len;
	uint8_t tail[4];   /* a cut UTF-8 character */
	uint8_t word;      /* the last symbol was a letter or digit of a separating script */
	uint8_t space;     /* white space came after it */
	uint8_t full_stop; /* it was a full stop */
	uint8_t spoken;    /* the sentence has more than marks that end one */
};

#define WALK_SYMBOLS 80 /* most that a character gives (foldgen.c, SEQUENCE_MAX), and a space before it */

enum symbol_class { CLASS_PLAIN, CLASS_SPACE, CLASS_LINE, CLASS_STOP, CLASS_MARK };

static inline enum symbol_class symbol_class(uint32_t c)
{
	static const uint8_t ascii[64] = {
		['\t'] = CLASS_SPACE, ['\n'] = CLASS_LINE,  ['\v'] = CLASS_LINE,
		['\f'] = CLASS_LINE,  ['\r'] = CLASS_SPACE, [' '] = CLASS_SPACE,
		['.'] = CLASS_STOP,   ['!'] = CLASS_MARK,   ['?'] = CLASS_MARK,
	};

	if (c > 0x3002)
		return CLASS_PLAIN;
	if (c < 64)
		return ascii[c];
	if (c == 0x3002)
		return CLASS_MARK;
	return c == 0x85 || c == 0x2028 || c == 0x2029 ? CLASS_LINE : CLASS_PLAIN;
}

static inline void walk_sentence(struct walk *w)
{
	w->sentence = 0;
	w->word = w->space = w->full_stop = w->spoken = 0;
}

/* The symbols of one character, into out[0..*count). True: the sentence is over behind them. */
static inline __attribute__((always_inline)) bool walk_char(struct walk *w, uint32_t cp, uint32_t *out, uint32_t *count)
{
	uint32_t e = fold_blocks[fold_index[cp >> FOLD_SHIFT]][cp & (FOLD_BLOCK - 1)];
	uint32_t one = FOLD_KIND(e) == FOLD_SELF ? cp | (e & FOLD_WORD) : e, n = 0, len = 1;
	const uint32_t *seq = &one;
	enum symbol_class class = CLASS_PLAIN;

	*count = 0;
	if (__builtin_expect(FOLD_KIND(e) >= FOLD_MULTI, 0)) {
		if (FOLD_KIND(e) == FOLD_DROP)
			return false;
		seq = fold_multi + FOLD_VALUE(e) + 1;
		len = seq[-1];
	}
	for (uint32_t i = 0; i < len; i++) {
		uint32_t c = FOLD_VALUE(seq[i]);
		bool word = seq[i] & FOLD_WORD;

		class = symbol_class(c);
		if (class == CLASS_SPACE || class == CLASS_LINE) {
			w->space = 1;
			continue;
		}
		if (w->space && w->word && word)
			out[n++] = ' ';
		out[n++] = c;
		w->space = 0;
		w->word = word;
		w->full_stop = class == CLASS_STOP;
		w->spoken |= class == CLASS_PLAIN;
	}
	*count = n;
	w->sentence = (uint16_t)(w->sentence + n);
	if (!w->spoken)
		return w->sentence >= CLASSIFIER_SENTENCE_MAX;
	return class == CLASS_MARK || class == CLASS_LINE || (class == CLASS_SPACE && w->full_stop) ||
	       w->sentence >= CLASSIFIER_SENTENCE_MAX;
}

/* The next character of bytes[*at..): true with *cp and *at behind it; false if they are used up, a cut character kept
 * in the tail. */
static inline __attribute__((always_inline)) bool walk_decode(struct walk *w, struct slice bytes, size_t *at,
                                                              uint32_t *cp)
{
	uint8_t joined[8];
	size_t left = bytes.len - *at, took;

	if (!left)
		return false;
	if (__builtin_expect(!w->tail_len, 1)) {
		took = utf8_decode(bytes.at + *at, left, cp);
		*at += took;
		if (took)
			return true;
		memcpy(w->tail, bytes.at + *at, left);
		w->tail_len = (uint8_t)left;
		*at = bytes.len;
		return false;
	}
	left = left < 4 ? left : 4;
	memcpy(joined, w->tail, w->tail_len);
	memcpy(joined + w->tail_len, bytes.at + *at, left);
	took = utf8_decode(joined, w->tail_len + left, cp);
	if (took) {
		*at += took - w->tail_len; /* a tail is one maximal subpart: always taken whole */
		w->tail_len = 0;
		return true;
	}
	memcpy(w->tail, joined, w->tail_len + left);
	w->tail_len = (uint8_t)(w->tail_len + left);
	*at = bytes.len;
	return false;
}

/* ---- symbols to buckets ---- */

/* Vector multiply-shift (Dietzfelbinger): the top bits of a sum of products with odd constants. */
extern const uint64_t gram_factor[CLASSIFIER_NGRAM_MAX];
extern const uint64_t gram_salt[CLASSIFIER_NGRAM_MAX];

/* Goes on from the hash of n symbols to that of n + 1, `symbol` standing before them. */
static inline uint64_t gram_hash(uint64_t hash, unsigned n, uint32_t symbol)
{
	return hash + gram_factor[n] * symbol;
}

static inline uint32_t gram_bucket(uint64_t hash, unsigned n, unsigned bits)
{
	return (uint32_t)((hash + gram_salt[n]) >> (64 - bits));
}
