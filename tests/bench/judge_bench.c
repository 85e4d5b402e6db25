/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_bench - the classifier by itself, on one core, over made-up Chinese text in pieces of the size of events.
 *
 * A line of JSON a case, for scripts/bench: {"name", "value", "unit", "bar", "ok", "runs", "spread"}; the value is the
 * median of the runs. The weights are random, so that every n-gram costs its load as in life or more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "scan/scan.h"
#include "tests/lib/classifier_craft.h"

#define TEXT_BYTES (8u << 20)
#define RUNS_MAX   15

struct bench {
	const char *name;
	unsigned risks, bits;
	enum classifier_window window;
	size_t piece;
	bool watched;
	double bar; /* MB/s; 0: none */
};

/* CPU time: a bar of a core is not one of a machine that others use. */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Few characters are frequent, many are rare; a mark ends a sentence now and then. */
static void make_text(uint8_t *text, size_t len)
{
	uint64_t seed = 1;
	size_t n = 0;

	while (n + 3 <= len) {
		uint32_t u = craft_rnd(&seed, 4096), cp;

		cp = craft_rnd(&seed, 24) ? 0x4e00 + (uint32_t)((uint64_t)u * u * u >> 23) % 8000 * 5 / 2 : 0x3002;
		text[n++] = (uint8_t)(0xe0 | cp >> 12);
		text[n++] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
		text[n++] = (uint8_t)(0x80 | (cp & 0x3f));
	}
	while (n < len)
		text[n++] = 'x';
}

static double run(const struct classifier *c, const struct bench *b, const uint8_t *text, int64_t *sum)
{
	struct classifier_watch watch = { 0, 8, INT32_MAX };
	owned(judged_free) struct judged *j = NULL;
	double start = now();

	if (judged_start(&j, c, b->window, 128, &watch, b->watched))
		abort();
	for (size_t at = 0; at < TEXT_BYTES; at += b->piece) {
		size_t left = TEXT_BYTES - at, used;

		for (struct slice in = slice_of(text + at, left < b->piece ? left : b->piece); in.len;
		     in = slice_from(in, used))
			if (judged_feed(j, in, &used) == JUDGED_SENTENCE)
				*sum += judged_logit(j, 0);
	}
	return TEXT_BYTES / (now() - start) / 1e6;
}

static int rising(const void *x, const void *y)
{
	double a, b;

	memcpy(&a, x, sizeof(a));
	memcpy(&b, y, sizeof(b));
	return a < b ? -1 : a > b;
}

int main(int argc, char **argv)
{
	static const struct bench benches[] = {
		{ "judge alone, Chinese, one risk", 1, 20, CLASSIFIER_ANSWER, 4096, false, 100 },
		{ "judge alone, Chinese, one risk, sentence, watched", 1, 20, CLASSIFIER_SENTENCE, 4096, true, 100 },
		{ "judge alone, Chinese, one risk, last 128, watched", 1, 20, CLASSIFIER_LAST, 4096, true, 0 },
		{ "judge alone, Chinese, one risk, pieces of 15 bytes", 1, 20, CLASSIFIER_ANSWER, 15, false, 0 },
		{ "judge alone, Chinese, 7 risks", 7, 20, CLASSIFIER_ANSWER, 4096, false, 0 },
	};
	int runs = argc > 1 && !strcmp(argv[1], "--quick") ? 5 : RUNS_MAX;
	owned(own_free) uint8_t *text = malloc(TEXT_BYTES);
	int64_t sum = 0;

	if (!text)
		return 1;
	make_text(text, TEXT_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(benches); i++) {
		const struct bench *b = &benches[i];
		struct classifier_fault fault;
		struct classifier *c = NULL;
		double speed[RUNS_MAX];
		size_t len;
		owned(own_free) uint8_t *file = craft_model(b->risks, 3, b->bits, 1, &len);

		if (classifier_open(&c, slice_of(file, len), &fault))
			return 1;
		for (int k = 0; k < runs; k++)
			speed[k] = run(c, b, text, &sum);
		qsort(speed, (size_t)runs, sizeof(speed[0]), rising);
		printf("{\"name\":\"%s\",\"value\":%.1f,\"unit\":\"MB/s\"", b->name, speed[runs / 2]);
		if (b->bar > 0)
			printf(",\"bar\":%.0f,\"ok\":%s", b->bar, speed[runs / 2] >= b->bar ? "true" : "false");
		printf(",\"runs\":%d,\"spread\":%.3f}\n", runs, (speed[runs - 1] - speed[0]) / speed[runs / 2]);
		classifier_free(&c);
	}
	fprintf(stderr, "checksum %lld\n", (long long)sum); /* so that no score is left out by the compiler */
	return 0;
}
