/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classifier.c - text walks past the judge.
 *
 * What a symbol adds is the sum of the weights of the n-grams that end with it: at most CLASSIFIER_NGRAM_MAX loads that
 * do not wait for each other. A window is a sum of such additions; one of the last symbols keeps them in a ring, so
 * that what leaves the window is subtracted exactly.
 */
#include "scan/classifier.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/own.h"

#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define always_inline inline __attribute__((always_inline))

/* Odd, of random digits. Part of the model format: other numbers, other buckets. */
const uint64_t gram_factor[CLASSIFIER_NGRAM_MAX] = { 0x9e3779b97f4a7c15u, 0xc2b2ae3d27d4eb4fu, 0xd6e8feb86659fd93u,
	                                             0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu };
const uint64_t gram_salt[CLASSIFIER_NGRAM_MAX] = { 0x243f6a8885a308d3u, 0x13198a2e03707344u, 0xa4093822299f31d0u,
	                                           0x082efa98ec4e6c89u, 0x452821e638d01377u };

struct judged {
	const struct classifier *model;
	uint64_t symbols; /* of the text */
	uint64_t in_window;
	struct walk walk;
	uint32_t history[CLASSIFIER_NGRAM_MAX - 1]; /* symbols before, nearest first */
	uint32_t root;                              /* of in_window; kept only if there are watches */
	uint64_t true_now, passed;                  /* watches, bit by bit */
	uint16_t last, at;                          /* ring: its size, where the next symbol goes */
	uint8_t window, watch_count;
	bool sentence_over;
	struct classifier_watch *watches;
	int16_t *ring; /* [symbol][risk], behind the watches */
	int64_t sum[];
};

uint32_t classifier_root(uint64_t n)
{
	uint64_t square = n << 16, root = 0;

	for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
		if ((root | bit) * (root | bit) <= square)
			root |= bit;
	return root ? (uint32_t)root : 1;
}

static uint32_t root_of(const struct classifier *c, uint64_t n)
{
	return likely(n < ROOTS) ? c->root[n] : classifier_root(n);
}

int32_t classifier_logit_of(double probability)
{
	double logit;

	if (!(probability > 0))
		return INT32_MIN;
	if (probability >= 1)
		return INT32_MAX;
	logit = log(probability / (1 - probability)) * 65536;
	return (int32_t)lrint(logit);
}

double classifier_probability(int32_t logit)
{
	return 1 / (1 + exp(-(double)logit / 65536));
}

size_t judged_bytes(const struct classifier *c, enum classifier_window window, unsigned last)
{
	return sizeof(struct judged) + c->risk_count * sizeof(int64_t) +
	       (window == CLASSIFIER_LAST ? last * c->risk_count * sizeof(int16_t) : 0);
}

_Static_assert(sizeof(struct judged) == 96 && sizeof(struct classifier_watch) == 8, "scan.h says 96");

static void forget(struct judged *j)
{
	walk_sentence(&j->walk);
	for (size_t i = 0; i < ARRAY_LEN(j->history); i++)
		j->history[i] = CLASSIFIER_START;
}

int judged_start(struct judged **out, const struct classifier *c, enum classifier_window window, unsigned last,
                 const struct classifier_watch *watches, size_t count)
{
	struct judged *j;

	if (window >= CLASSIFIER_WINDOW_COUNT || count > CLASSIFIER_WATCH_MAX ||
	    (window == CLASSIFIER_LAST && (!last || last > CLASSIFIER_LAST_MAX)))
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		if (watches[i].risk >= c->risk_count)
			return -EINVAL;
	j = calloc(1, judged_bytes(c, window, last) + count * sizeof(*watches));
	if (!j)
		return -ENOMEM;
	j->model = c;
	j->window = (uint8_t)window;
	j->root = 1;
	j->watches = (struct classifier_watch *)(void *)(j->sum + c->risk_count);
	j->watch_count = (uint8_t)count;
	if (count)
		memcpy(j->watches, watches, count * sizeof(*watches));
	if (window == CLASSIFIER_LAST) {
		j->ring = (int16_t *)(void *)(j->watches + count);
		j->last = (uint16_t)last;
	}
	forget(j);
	*out = j;
	return 0;
}

void judged_free(struct judged **at)
{
	free(*at);
	*at = NULL;
}

/* Where a watch stands: logit >= its logit, without the division. */
static bool is_true(const struct judged *j, const struct classifier_watch *w)
{
	const struct classifier_risk *r = &j->model->risks[w->risk];

	return j->in_window >= w->least &&
	       (__int128)r->gain * j->sum[w->risk] >= (__int128)((int64_t)w->logit - r->offset) * j->root;
}

static void look(struct judged *j)
{
	uint64_t now = 0;

	j->root = root_of(j->model, j->in_window);
	for (unsigned i = 0; i < j->watch_count; i++)
		now |= (uint64_t)is_true(j, &j->watches[i]) << i;
	j->passed |= now & ~j->true_now;
	j->true_now = now;
}

/* One symbol. */
static always_inline void add(struct judged *j, uint32_t symbol, const unsigned risks, const unsigned ngrams)
{
	const int8_t *weights = j->model->weights;
	unsigned bits = j->model->shape.bits;
	uint32_t bucket[CLASSIFIER_NGRAM_MAX];
	int16_t *leaving = NULL;
	uint64_t hash = 0;

	for (unsigned n = 0; n < ngrams; n++) {
		hash = gram_hash(hash, n, n ? j->history[n - 1] : symbol);
		bucket[n] = gram_bucket(hash, n, bits);
	}
	for (unsigned n = ngrams - 1; n > 1; n--)
		j->history[n - 1] = j->history[n - 2];
	if (ngrams > 1)
		j->history[0] = symbol;
	if (j->ring) {
		leaving = j->ring + (size_t)j->at * risks;
		j->at = (uint16_t)(j->at + 1 == j->last ? 0 : j->at + 1);
	}
	for (unsigned r = 0; r < risks; r++) {
		int16_t sum = 0;

		for (unsigned n = 0; n < ngrams; n++)
			sum = (int16_t)(sum + weights[(size_t)bucket[n] * risks + r]);
		j->sum[r] += sum;
		if (leaving) {
			j->sum[r] -= leaving[r]; /* 0 as long as the ring fills */
			leaving[r] = sum;
		}
	}
	j->symbols++;
	if (!leaving || j->in_window < j->last)
		j->in_window++;
	if (j->watch_count)
		look(j);
}

/* What the last step told is over. */
static always_inline void begin(struct judged *j)
{
	j->passed = 0;
	if (likely(!j->sentence_over))
		return;
	j->sentence_over = false;
	forget(j);
	if (j->window != CLASSIFIER_SENTENCE)
		return;
	j->in_window = 0;
	j->true_now = 0;
	memset(j->sum, 0, j->model->risk_count * sizeof(*j->sum));
}

/* The whole cost of ordinary text: characters that give one plain symbol, all state in registers. Stops at the first
 * that is anything else, cut, or would end a sentence by its length. */
static always_inline const uint8_t *quick(struct judged *j, const uint8_t *p, const uint8_t *end, const unsigned risks,
                                          const unsigned ngrams)
{
	const int8_t *weights = j->model->weights;
	uint32_t past[CLASSIFIER_NGRAM_MAX] = { 0 }, length = j->walk.sentence, word = j->walk.word;
	unsigned bits = j->model->shape.bits;
	uint64_t added = 0;
	int64_t sum = 0;

	for (unsigned n = 1; n < ngrams; n++)
		past[n] = j->history[n - 1];
	while (p < end && length + 1 < CLASSIFIER_SENTENCE_MAX) {
		const int8_t *row[CLASSIFIER_NGRAM_MAX];
		uint32_t cp = *p, e, c;
		size_t took = 1;
		uint64_t hash;

		if (cp >= 0x80) {
			took = utf8_decode(p, (size_t)(end - p), &cp);
			if (unlikely(!took))
				break;
		}
		e = fold_blocks[fold_index[cp >> FOLD_SHIFT]][cp & (FOLD_BLOCK - 1)];
		c = FOLD_KIND(e) == FOLD_SELF ? cp : FOLD_VALUE(e);
		if (unlikely(FOLD_KIND(e) >= FOLD_MULTI || symbol_class(c) != CLASS_PLAIN))
			break;
		word = e & FOLD_WORD;
		p += took;
		length++;
		added++;
		hash = gram_hash(0, 0, c);
		row[0] = weights + (size_t)gram_bucket(hash, 0, bits) * risks;
		for (unsigned n = 1; n < ngrams; n++) {
			hash = gram_hash(hash, n, past[n]);
			row[n] = weights + (size_t)gram_bucket(hash, n, bits) * risks;
		}
		for (unsigned n = ngrams - 1; n > 1; n--)
			past[n] = past[n - 1];
		past[1] = c;
		if (risks == 1) {
			for (unsigned n = 0; n < ngrams; n++)
				sum += *row[n];
			continue;
		}
		for (unsigned r = 0; r < risks; r++) {
			int of_risk = 0;

			for (unsigned n = 0; n < ngrams; n++)
				of_risk += row[n][r];
			j->sum[r] += of_risk;
		}
	}
	if (!added)
		return p;
	for (unsigned n = 1; n < ngrams; n++)
		j->history[n - 1] = past[n];
	if (risks == 1)
		j->sum[0] += sum;
	j->symbols += added;
	j->in_window += added;
	j->walk.sentence = (uint16_t)length;
	j->walk.word = word != 0;
	j->walk.space = j->walk.full_stop = 0;
	j->walk.spoken = 1;
	return p;
}

static always_inline enum judged_step feed(struct judged *j, struct slice bytes, size_t *used, const unsigned risks,
                                           const unsigned ngrams)
{
	bool plain = !j->ring && !j->watch_count;
	uint32_t symbols[WALK_SYMBOLS], count, cp;
	size_t at = 0;

	begin(j);
	for (;;) {
		/* White space is seen with the symbol behind it. */
		if (plain && at < bytes.len && !j->walk.tail_len && !j->walk.space)
			at = (size_t)(quick(j, bytes.at + at, bytes.at + bytes.len, risks, ngrams) - bytes.at);
		if (!walk_decode(&j->walk, bytes, &at, &cp))
			break;
		j->sentence_over = walk_char(&j->walk, cp, symbols, &count);
		for (uint32_t i = 0; i < count; i++)
			add(j, symbols[i], risks, ngrams);
		if (unlikely(j->sentence_over || j->passed)) {
			*used = at;
			return j->sentence_over ? JUDGED_SENTENCE : JUDGED_PASSED;
		}
	}
	*used = at;
	return JUDGED_MORE;
}

enum judged_step judged_feed(struct judged *j, struct slice bytes, size_t *used)
{
	const struct classifier *c = j->model;

	if (c->risk_count == 1 && c->shape.ngram_max == 3)
		return feed(j, bytes, used, 1, 3);
	if (c->shape.ngram_max == 3)
		return feed(j, bytes, used, c->risk_count, 3);
	return feed(j, bytes, used, c->risk_count, c->shape.ngram_max);
}

enum judged_step judged_end(struct judged *j)
{
	j->walk.tail_len = 0; /* a cut character is U+FFFD, and that is nothing */
	if (j->sentence_over || !j->walk.sentence) {
		begin(j);
		return JUDGED_MORE;
	}
	j->passed = 0;
	j->sentence_over = true;
	return JUDGED_SENTENCE;
}

uint64_t judged_passed(const struct judged *j)
{
	return j->passed;
}

int32_t judged_logit(const struct judged *j, unsigned risk)
{
	const struct classifier_risk *r = &j->model->risks[risk];
	__int128 product = (__int128)r->gain * j->sum[risk];
	uint32_t root = root_of(j->model, j->in_window);
	__int128 logit = product / root;

	if (logit * root > product) /* down, as the watches' comparison does */
		logit--;
	logit += r->offset;
	return logit > INT32_MAX ? INT32_MAX : logit < INT32_MIN ? INT32_MIN : (int32_t)logit;
}

uint64_t judged_symbols(const struct judged *j)
{
	return j->symbols;
}

unsigned judged_window(const struct judged *j)
{
	return j->in_window > UINT32_MAX ? UINT32_MAX : (unsigned)j->in_window;
}

/* ---- n-grams for training and explaining ---- */

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
