/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_bench - the classifier by itself, on one core, over made-up Chinese text in pieces of the size of events.
 *
 * A line of JSON a case, for scripts/bench: {"name", "value", "unit", "bar", "ok", "runs", "spread"}; the value is the
 * median of the runs. The weights are random, so that every n-gram costs its load as in life or more. Then with a
 * policy, as the daemon reads: 10,000 keywords and patterns, and what a rule that asks the judge adds to them, to long
 * texts and to events of a stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/own.h"
#include "exchange/exchange.h"
#include "scan/scan.h"
#include "tests/lib/classifier_craft.h"
#include "tests/lib/talk.h"

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

static void print(const char *name, const char *unit, double *values, int runs, double bar, bool most)
{
	double value;

	qsort(values, (size_t)runs, sizeof(values[0]), rising);
	value = values[runs / 2];
	printf("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"", name, value, unit);
	if (bar > 0)
		printf(",\"bar\":%.2f,\"ok\":%s", bar, (most ? value <= bar : value >= bar) ? "true" : "false");
	printf(",\"runs\":%d,\"spread\":%.3f}\n", runs, (values[runs - 1] - values[0]) / value);
}

/* A model's file where a policy would keep it (arena_take()). */
static uint8_t *placed(uint8_t *file, size_t len)
{
	size_t page = (size_t)2 << 20, room = (len + page - 1) & ~(page - 1);
	uint8_t *at = aligned_alloc(page, room);

	if (!at)
		abort();
	madvise(at, room, MADV_HUGEPAGE);
	memcpy(at, file, len);
	free(file);
	return at;
}

/* ---- with a policy ---- */

/* 10,000 keywords that the text enters but does not hold, patterns of personal data, and the judge if asked for. */
static struct ruleset *policy(const uint8_t *text, bool judged, struct slice model)
{
	size_t room = 1u << 20, n;
	owned(own_free) char *pack = malloc(room);
	uint64_t seed = 7;

	if (!pack)
		return NULL;
	n = (size_t)sprintf(pack, "pack: b\nrules:\n- {id: w, risk: A.1.d, action: block, keywords: [");
	for (int i = 0; i < 10000; i++) {
		const uint8_t *at = text + 3 * craft_rnd(&seed, TEXT_BYTES / 3 - 8);
		unsigned len = 2 + craft_rnd(&seed, 3);

		n += (size_t)sprintf(pack + n, "\"%.*s%c%c%c\", ", (int)(3 * len), (const char *)at, 0xea, 0xb0 + i % 8,
		                     0x80 + i / 8 % 64);
	}
	n += (size_t)sprintf(
		pack + n, "]}\n- {id: id, risk: A.4.f, action: block, pattern: '(?<![0-9])[0-9]{17}[0-9Xx](?![0-9])', "
			  "check: cn-resident-id}\n- {id: tel, risk: A.4.f, action: block, pattern: "
			  "'(?<![0-9])1[3-9][0-9]{9}(?![0-9])', check: cn-mobile}\n");
	if (judged)
		sprintf(pack + n, "- {id: j, risk: local.aa, action: block, classifier: {model: m.model, threshold: "
		                  "0.999999, hold: none}}\n");
	return talk_rules_model(pack, model);
}

static int no_sight(void *to, const struct sight *s)
{
	(void)s;
	++*(int64_t *)to;
	return 0;
}

static double read_text(const struct ruleset *r, const uint8_t *text, int64_t *sum)
{
	struct scope anywhere = {};
	struct lookout w = {};
	double start = now();

	for (size_t at = 0; at < TEXT_BYTES; at += 4096)
		if (lookout_feed(r, &anywhere, &w, slice_of(text + at, 4096), no_sight, sum))
			abort();
	lookout_free(&w);
	return TEXT_BYTES / (now() - start) / 1e6;
}

#define EVENTS 20000

/* Nanoseconds that the exchange takes for an event of five characters. */
static double read_events(struct ruleset *r, const uint8_t *text)
{
	static const char request[] = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
	static struct talk t;
	char event[256];
	double start;

	talk_begin(&t, r, NULL, SLICE(request));
	talk_feed(&t, SLICE("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"), false);
	start = now();
	for (size_t i = 0; i < EVENTS; i++) {
		int n = snprintf(
			event, sizeof(event),
			"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,"
			"\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%.15s\"}}]}\n\n",
			(const char *)text + 15 * i);

		talk_feed(&t, slice_of(event, (size_t)n), false);
	}
	start = (now() - start) / EVENTS * 1e9;
	talk_end(&t);
	return start;
}

static int with_policy(const uint8_t *text, int runs, int64_t *sum)
{
	size_t len;
	owned(own_free) uint8_t *model = craft_quiet(&len);
	owned(ruleset_put) struct ruleset *plain = policy(text, false, SLICE(""));
	owned(ruleset_put) struct ruleset *judged = policy(text, true, slice_of(model, len));
	double speed[RUNS_MAX], before[RUNS_MAX], after[RUNS_MAX], more[RUNS_MAX];

	if (!plain || !judged)
		return 1;
	for (int k = 0; k < runs; k++)
		speed[k] = read_text(plain, text, sum);
	print("keywords and patterns, Chinese", "MB/s", speed, runs, 0, false);
	for (int k = 0; k < runs; k++)
		speed[k] = read_text(judged, text, sum);
	print("keywords, patterns and judge, Chinese", "MB/s", speed, runs, 60, false);
	for (int k = 0; k < runs; k++) {
		before[k] = read_events(plain, text);
		after[k] = read_events(judged, text);
		more[k] = after[k] - before[k];
	}
	print("an event of 5 characters in the exchange, keywords and patterns", "ns", before, runs, 0, true);
	print("... with the judge", "ns", after, runs, 0, true);
	print("the judge adds to an event", "ns", more, runs, 0, true);
	return 0;
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

		file = placed(file, len);
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
	if (with_policy(text, runs, &sum))
		return 1;
	fprintf(stderr, "checksum %lld\n", (long long)sum); /* so that no score is left out by the compiler */
	return 0;
}
