/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classifier.c - text walks past the judge.
 *
 * What a symbol adds is the sum of the weights of the n-grams that end with it: at most CLASSIFIER_NGRAM_MAX loads that
 * do not wait for each other. A window is a sum of such additions; one of the last symbols keeps them in a ring, so
 * that what leaves the window is subtracted exactly.
 */
#include "scan/ahead.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/own.h"

/* Odd, of random digits. Part of the model format: other numbers, other buckets. */
const uint64_t gram_factor[CLASSIFIER_NGRAM_MAX] = { 0x9e3779b97f4a7c15u, 0xc2b2ae3d27d4eb4fu, 0xd6e8feb86659fd93u,
	                                             0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu };
const uint64_t gram_salt[CLASSIFIER_NGRAM_MAX] = { 0x243f6a8885a308d3u, 0x13198a2e03707344u, 0xa4093822299f31d0u,
	                                           0x082efa98ec4e6c89u, 0x452821e638d01377u };

/* A watch, and about how many times the window's root its sum must come to, in 1/65536: most symbols are told to
 * change nothing by that alone. */
struct watched {
	struct classifier_watch asked;
	int64_t per_root; /* rounded down */
};

struct judged {
	const struct classifier *model;
	size_t bytes;     /* of all of this */
	uint64_t symbols; /* of the text */
	uint64_t in_window;
	struct walk walk;
	uint32_t history[CLASSIFIER_NGRAM_MAX - 1]; /* symbols before, nearest first */
	uint32_t root;                              /* of in_window; kept only if there are watches */
	uint64_t true_now, passed;                  /* watches, bit by bit */
	uint16_t last, at;                          /* ring: its size, where the next symbol goes */
	uint8_t window, watch_count;
	bool sentence_over;
	uint32_t watches, ring; /* where they are: [watch], and [symbol][risk] of int16_t; 0: no ring */
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

_Static_assert(sizeof(struct judged) == 96 && sizeof(struct watched) == 16, "scan.h says so");

#define PER_ROOT_MAX ((__int128)1 << 40)

static struct watched *watches_of(struct judged *j)
{
	return (struct watched *)(void *)((uint8_t *)j + j->watches);
}

static int16_t *ring_of(struct judged *j)
{
	return (int16_t *)(void *)((uint8_t *)j + j->ring);
}

static struct watched watched_of(const struct classifier *c, const struct classifier_watch *w)
{
	const struct classifier_risk *r = &c->risks[w->risk];
	__int128 beyond = ((__int128)w->logit - r->offset) * 65536, per_root = beyond / r->gain;

	per_root -= per_root * r->gain > beyond;
	/* No sum of a text comes near these. */
	per_root = per_root > PER_ROOT_MAX ? PER_ROOT_MAX : per_root < -PER_ROOT_MAX ? -PER_ROOT_MAX : per_root;
	return (struct watched){ *w, (int64_t)per_root };
}

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
	size_t bytes;

	if (window >= CLASSIFIER_WINDOW_COUNT || count > CLASSIFIER_WATCH_MAX ||
	    (window == CLASSIFIER_LAST && (!last || last > CLASSIFIER_LAST_MAX)))
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		if (watches[i].risk >= c->risk_count)
			return -EINVAL;
	bytes = judged_bytes(c, window, last) + count * sizeof(struct watched);
	j = calloc(1, bytes);
	if (!j)
		return -ENOMEM;
	j->model = c;
	j->bytes = bytes;
	j->window = (uint8_t)window;
	j->watches = (uint32_t)(sizeof(*j) + c->risk_count * sizeof(*j->sum));
	j->watch_count = (uint8_t)count;
	for (size_t i = 0; i < count; i++)
		watches_of(j)[i] = watched_of(c, &watches[i]);
	if (window == CLASSIFIER_LAST) {
		j->ring = j->watches + (uint32_t)(count * sizeof(struct watched));
		j->last = (uint16_t)last;
	}
	judged_restart(j);
	*out = j;
	return 0;
}

void judged_restart(struct judged *j)
{
	j->symbols = j->in_window = 0;
	j->walk = (struct walk){};
	j->root = 1;
	j->true_now = j->passed = 0;
	j->at = 0;
	j->sentence_over = false;
	memset(j->sum, 0, j->model->risk_count * sizeof(*j->sum));
	if (j->ring)
		memset(ring_of(j), 0, (size_t)j->last * j->model->risk_count * sizeof(int16_t));
	forget(j);
}

int judged_copy(struct judged **to, const struct judged *from)
{
	if (!*to)
		*to = malloc(from->bytes);
	if (!*to)
		return -ENOMEM;
	memcpy(*to, from, from->bytes);
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
	const struct watched *watches = watches_of(j);
	uint64_t now = 0;

	for (unsigned i = 0; i < j->watch_count; i++)
		now |= (uint64_t)is_true(j, &watches[i].asked) << i;
	j->passed |= now & ~j->true_now;
	j->true_now = now;
}

/* The root of one symbol more: it grows by few from where the table ends on. */
static always_inline uint32_t root_after(const struct classifier *c, uint32_t root, uint64_t n)
{
	if (likely(n < ROOTS))
		return c->root[n];
	while ((uint64_t)(root + 1) * (root + 1) <= n << 16)
		root++;
	return root;
}

/* Does some watch change, or may it? What is not sure is looked at exactly. `more`: comes to the sums; may be NULL. */
static always_inline bool stirs(uint64_t true_now, const struct watched *watches, const unsigned count,
                                const int64_t *sum, const int16_t *more, uint64_t n, uint32_t root)
{
	for (unsigned i = 0; i < count; i++) {
		const struct watched *w = &watches[i];
		int64_t got = (sum[w->asked.risk] + (more ? more[w->asked.risk] : 0)) * 65536;
		int64_t wanted = w->per_root * root;

		if (true_now >> i & 1 ? got < wanted + root : n >= w->asked.least && got >= wanted)
			return true;
	}
	return false;
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
		leaving = ring_of(j) + (size_t)j->at * risks;
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
	if (j->watch_count) {
		j->root = root_after(j->model, j->root, j->in_window);
		if (unlikely(stirs(j->true_now, watches_of(j), j->watch_count, j->sum, NULL, j->in_window, j->root)))
			look(j);
	}
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
	j->root = 1;
	j->true_now = 0;
	memset(j->sum, 0, j->model->risk_count * sizeof(*j->sum));
}

/* ---- ordinary text ---- */

/* Goes back to where only `count` symbols were read ahead. */
static __attribute__((noinline)) void read_less(struct ahead *a, const uint8_t *end, const struct classifier *model,
                                                unsigned count)
{
	const int8_t *row[AHEAD * CLASSIFIER_NGRAM_MAX];

	read_ahead(a, end, model, row, count, model->risk_count, model->shape.ngram_max);
}

/* The whole cost of ordinary text. Stops where read_ahead() does, and behind a symbol that a watch waits for. *half:
 * the symbol is of a character that is still to be read. */
static always_inline const uint8_t *quick(struct judged *j, const uint8_t *p, const uint8_t *end, bool *half,
                                          const unsigned risks, const unsigned eights, const unsigned ngrams,
                                          const unsigned watch_count, const bool ringed)
{
	const struct classifier *model = j->model;
	const struct watched first = watch_count ? watches_of(j)[0] : (struct watched){};
	const struct watched *watches = watch_count == 1 ? &first : watches_of(j);
	uint64_t true_now = j->true_now;
	int16_t *ring = ring_of(j);
	struct ahead a = { .p = p,
		           .length = j->walk.sentence,
		           .word = j->walk.word ? FOLD_WORD : 0,
		           .space = j->walk.space,
		           .full_stop = j->walk.full_stop,
		           .spoken = j->walk.spoken };
	uint32_t root = j->root, slot = j->at;
	bool stirred = false;
	uint64_t added = 0, window = j->in_window;
	int64_t one = j->sum[0], *sums = eights ? j->sum : &one;
	unsigned count = AHEAD;

	for (unsigned n = 1; n < ngrams; n++)
		a.past[n - 1] = j->history[n - 1];
	while (count == AHEAD && !stirred) {
		const int8_t *rows[AHEAD * CLASSIFIER_NGRAM_MAX], **row = rows;
		eight_sums lanes[LANES_MOST];
		int16_t *lane = eights ? lanes_of(lanes, risks) : NULL;
		struct ahead before = a;
		unsigned i = 0;

		for (unsigned k = 0; k < eights; k++)
			lanes[LANES_MOST - 1 - k] = (eight_sums){};
		count = read_ahead(&a, end, model, rows, AHEAD, risks, ngrams);
		for (; i < count && !stirred; i++, row += ngrams) {
			int16_t *leaving = ring + (size_t)slot * risks;
			int of_risk = 0;

			UNROLLED
			for (unsigned n = 0; n < ngrams && !eights; n++)
				of_risk += *row[n];
			one += of_risk;
			if (ringed && !eights) {
				one -= *leaving;
				*leaving = (int16_t)of_risk;
			}
			for (unsigned k = 0; k < eights; k++) {
				eight_sums of_risks = {};

				UNROLLED
				for (unsigned n = 0; n < ngrams; n++)
					of_risks += weights_before(row[n] + risks - k * LANES);
				lanes[LANES_MOST - 1 - k] += of_risks;
				for (unsigned back = k * LANES; ringed && back < risks && back < (k + 1) * LANES;
				     back++) {
					sums[risks - 1 - back] -= leaving[risks - 1 - back];
					leaving[risks - 1 - back] = of_risks[LANES - 1 - back % LANES];
				}
			}
			if (ringed)
				slot = slot + 1 == j->last ? 0 : slot + 1;
			window += !ringed || window < j->last;
			if (watch_count) {
				root = root_after(model, root, window);
				stirred = unlikely(stirs(true_now, watches, watch_count, sums, lane, window, root));
			}
		}
		for (unsigned r = 0; r < risks && eights; r++)
			sums[r] += lane[r];
		added += i;
		if (unlikely(stirred)) { /* white space may have been read behind it, too */
			a = before;
			read_less(&a, end, model, i);
		}
	}
	for (unsigned n = 1; n < ngrams; n++)
		j->history[n - 1] = a.past[n - 1];
	if (!eights)
		j->sum[0] = one;
	j->symbols += added;
	j->in_window = window;
	j->at = (uint16_t)slot;
	j->root = root;
	j->walk.sentence = (uint16_t)a.length;
	j->walk.word = a.word != 0;
	j->walk.space = a.space != 0;
	j->walk.full_stop = a.full_stop != 0;
	j->walk.spoken = a.spoken != 0;
	j->sentence_over = a.over;
	*half = stirred && a.half;
	if (stirred)
		look(j);
	return a.p;
}

static always_inline const uint8_t *quickly(struct judged *j, const uint8_t *p, const uint8_t *end, bool *half,
                                            const unsigned risks, const unsigned eights, const unsigned ngrams)
{
	if (j->ring)
		return quick(j, p, end, half, risks, eights, ngrams, j->watch_count, true);
	if (j->watch_count == 1)
		return quick(j, p, end, half, risks, eights, ngrams, 1, false);
	if (j->watch_count)
		return quick(j, p, end, half, risks, eights, ngrams, j->watch_count, false);
	return quick(j, p, end, half, risks, eights, ngrams, 0, false);
}

static always_inline enum judged_step feed(struct judged *j, struct slice bytes, size_t *used, const unsigned risks,
                                           const unsigned eights, const unsigned ngrams)
{
	uint32_t symbols[WALK_SYMBOLS], count, cp;
	size_t at = 0;

	begin(j);
	for (;;) {
		bool half = false;

		if (likely(at < bytes.len && !j->walk.tail_len))
			at = (size_t)(quickly(j, bytes.at + at, bytes.at + bytes.len, &half, risks, eights, ngrams) -
			              bytes.at);
		if ((j->sentence_over || unlikely(j->passed)) && !half)
			break;
		if (!walk_decode(&j->walk, bytes, &at, &cp))
			break;
		j->sentence_over = walk_char(&j->walk, cp, symbols, &count);
		for (uint32_t i = 0; i < count; i++)
			add(j, symbols[i], risks, ngrams);
		if (unlikely(j->sentence_over || j->passed))
			break;
	}
	*used = at;
	return j->sentence_over ? JUDGED_SENTENCE : j->passed ? JUDGED_PASSED : JUDGED_MORE;
}

enum judged_step judged_feed(struct judged *j, struct slice bytes, size_t *used)
{
	const struct classifier *c = j->model;

	if (c->risk_count == 1 && c->shape.ngram_max == 3)
		return feed(j, bytes, used, 1, 0, 3);
	if (c->risk_count <= LANES && c->shape.ngram_max == 3)
		return feed(j, bytes, used, c->risk_count, 1, 3);
	return feed(j, bytes, used, c->risk_count, (c->risk_count + LANES - 1) / LANES, c->shape.ngram_max);
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

unsigned judged_sentence(const struct judged *j)
{
	return j->sentence_over ? 0 : j->walk.sentence;
}

unsigned judged_window(const struct judged *j)
{
	return j->in_window > UINT32_MAX ? UINT32_MAX : (unsigned)j->in_window;
}
