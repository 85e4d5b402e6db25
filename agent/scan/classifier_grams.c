/* SPDX-License-Identifier: Apache-2.0 */
/* classifier_grams.c - the n-grams of a text one by one, for training and explaining. */
#include "base/own.h"
#include "scan/classifier.h"

struct grams {
	struct classifier_shape shape;
	uint32_t history[CLASSIFIER_NGRAM_MAX]; /* nearest first, the symbol itself at 0 */
	void (*visit)(void *to, const struct classifier_gram *gram);
	void *to;
};

static void visit_symbol(struct grams *g, uint32_t symbol)
{
	uint64_t hash = 0;

	memmove(g->history + 1, g->history, sizeof(g->history) - sizeof(g->history[0]));
	g->history[0] = symbol;
	for (unsigned n = 0; n < g->shape.ngram_max; n++) {
		struct classifier_gram gram = { .n = n + 1 };

		hash = gram_hash(hash, n, g->history[n]);
		gram.bucket = gram_bucket(hash, n, g->shape.bits);
		for (unsigned i = 0; i <= n; i++)
			gram.symbols[i] = g->history[n - i];
		g->visit(g->to, &gram);
	}
}

uint64_t classifier_grams(struct classifier_shape shape, struct slice text,
                          void (*visit)(void *to, const struct classifier_gram *gram), void *to)
{
	struct grams g = { .shape = shape, .visit = visit, .to = to };
	uint32_t symbols[WALK_SYMBOLS], count, cp;
	struct walk w = { 0 };
	uint64_t total = 0;
	size_t at = 0;
	bool over = true, more = true;

	while (more) {
		more = walk_decode(&w, text, &at, &cp);
		if (!more)
			break; /* a cut character is U+FFFD, and that is nothing */
		if (over) {
			walk_sentence(&w);
			for (size_t i = 0; i < ARRAY_LEN(g.history); i++)
				g.history[i] = CLASSIFIER_START;
		}
		over = walk_char(&w, cp, symbols, &count);
		for (uint32_t i = 0; i < count; i++)
			visit_symbol(&g, symbols[i]);
		total += count;
	}
	return total;
}
