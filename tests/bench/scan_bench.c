/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan_bench - scan against Vectorscan's streaming literals, on one core and the same made-up text.
 *
 * One line a case: scan NAME sluice_MBps vectorscan_MBps ratio. The literals are n-grams of the text with one unit
 * changed, so that the text enters their prefixes as often as in life; text that never does would flatter everybody.
 * `--compile` prints compile time and memory of scan instead, `--patterns` what the patterns of the shipped packs cost
 * beside 10,000 keywords: (with both - with keywords alone) / with keywords alone.
 */
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "policy/policy.h"
#include "scan/scan.h"

#define TEXT_BYTES (8u << 20)
#define VOCABULARY 20000
#define UNIT_MAX   48 /* bytes of a vocabulary word */
#define GRAM_MAX   128

enum script { ZH, EN, MIXED };

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 32) * below >> 32);
}

/* Few are frequent, many are rare: roughly Zipf. */
static uint32_t skewed(uint32_t below)
{
	double u = (rnd(1u << 24) + 1) / 16777217.0;
	double v = u * u * u;

	return (uint32_t)(v * below) % below;
}

static size_t put_han(char *to, uint32_t i)
{
	uint32_t cp = 0x4e00 + (i * 7) % 20000;

	to[0] = (char)(0xe0 | cp >> 12);
	to[1] = (char)(0x80 | (cp >> 6 & 0x3f));
	to[2] = (char)(0x80 | (cp & 0x3f));
	return 3;
}

static size_t make_word(char *to, enum script script)
{
	static const char letters[] =
		"eeeeeeeeeeeetttttttttaaaaaaaaoooooooiiiiiiinnnnnnnssssssrrrrrrhhhhhhddddllllcccuuummm"
		"wwffggyyppbbvkjxqz";
	size_t n = 0, len;

	if (script == ZH) {
		for (len = 1 + rnd(3); len; len--)
			n += put_han(to + n, skewed(3000));
		return n;
	}
	for (len = 2 + rnd(8); len; len--)
		to[n++] = letters[rnd(sizeof(letters) - 1)];
	to[n++] = ' ';
	return n;
}

struct text {
	char *at;
	size_t len;
	size_t *units; /* where words of English and characters of Chinese begin */
	size_t unit_count;
};

static void make_text(struct text *t, enum script script)
{
	static char words[2][VOCABULARY][UNIT_MAX];
	static size_t lens[2][VOCABULARY];

	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < VOCABULARY; i++)
			lens[k][i] = make_word(words[k][i], (enum script)k);
	t->at = malloc(TEXT_BYTES + UNIT_MAX);
	t->units = malloc((TEXT_BYTES + UNIT_MAX) * sizeof(*t->units));
	for (t->len = 0, t->unit_count = 0; t->len < TEXT_BYTES;) {
		int k = script == MIXED ? rnd(100) < 30 : script;
		uint32_t w = skewed(VOCABULARY);

		for (size_t i = 0; i < lens[k][w]; i += k == ZH ? 3 : lens[k][w])
			t->units[t->unit_count++] = t->len + i;
		memcpy(t->at + t->len, words[k][w], lens[k][w]);
		t->len += lens[k][w];
	}
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

/* Vectorscan reports one of two equal literals: each is kept once. */
static size_t drop_doubles(char **grams, size_t count, size_t *lens)
{
	size_t n = 0;

	qsort(grams, count, sizeof(*grams), by_text);
	for (size_t i = 0; i < count; i++) {
		if (n && !strcmp(grams[n - 1], grams[i])) {
			free(grams[i]);
			continue;
		}
		lens[n] = strlen(grams[i]);
		grams[n++] = grams[i];
	}
	return n;
}

/* n-grams of the text, one byte (a letter, or the end of a Han character) changed. */
static char **make_grams(const struct text *t, size_t count, size_t *lens)
{
	char **grams = malloc(count * sizeof(*grams));

	for (size_t i = 0; i < count; i++) {
		size_t u = rnd((uint32_t)t->unit_count - 8), n = 2 + rnd(5), from = t->units[u], to = t->units[u + n],
		       at;

		if ((unsigned char)t->at[from] < 0x80 && n > 3)
			to = t->units[u + 3];
		if (t->at[to - 1] == ' ')
			to--;
		lens[i] = to - from;
		grams[i] = malloc(lens[i] + 1);
		memcpy(grams[i], t->at + from, lens[i]);
		grams[i][lens[i]] = 0;
		at = rnd((uint32_t)lens[i]);
		while (grams[i][at] == ' ' || (grams[i][at] & 0xc0) == 0xc0 ||
		       (grams[i][at] < 0 && at + 1 < lens[i] && (grams[i][at + 1] & 0xc0) == 0x80))
			at = (at + 1) % lens[i];
		grams[i][at] = grams[i][at] < 0 ? (char)(0x80 | ((grams[i][at] + 1 + (int)rnd(62)) & 0x3f))
		                                : (char)('a' + (grams[i][at] - 'a' + 1 + (int)rnd(24)) % 26);
	}
	return grams;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int count_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *at)
{
	(void)id, (void)from, (void)to, (void)flags;
	++*(size_t *)at;
	return 0;
}

static double run_sluice(const struct scanner *s, const struct text *t, size_t chunk, size_t *matches)
{
	struct scan_state st = { 0 };
	struct scan_hit hits[64];
	double begin = now();

	*matches = 0;
	for (size_t i = 0; i < t->len;) {
		size_t n = t->len - i < chunk ? t->len - i : chunk, used;

		*matches += scan_feed(s, &st, slice_of(t->at + i, n), &used, hits, 64);
		i += used;
	}
	*matches += scan_end(s, &st, hits, 64);
	return (double)t->len / 1e6 / (now() - begin);
}

static double run_vectorscan(const hs_database_t *db, hs_scratch_t *scratch, const struct text *t, size_t chunk,
                             size_t *matches)
{
	hs_stream_t *stream;
	double begin;

	*matches = 0;
	hs_open_stream(db, 0, &stream);
	begin = now();
	for (size_t i = 0; i < t->len; i += chunk) {
		size_t n = t->len - i < chunk ? t->len - i : chunk;

		hs_scan_stream(stream, t->at + i, (unsigned)n, 0, scratch, count_match, matches);
	}
	hs_close_stream(stream, scratch, count_match, matches);
	return (double)t->len / 1e6 / (now() - begin);
}

static struct scanner *compile(char **grams, const size_t *lens, size_t count, bool edges)
{
	struct needle *needles = malloc(count * sizeof(*needles));
	struct scanner *s = NULL;
	enum scan_fault fault;
	size_t which;

	for (size_t i = 0; i < count; i++)
		needles[i] = (struct needle){ slice_of(grams[i], lens[i]), (uint32_t)i, edges, edges };
	if (scanner_compile(&s, needles, count, &fault, &which)) {
		fprintf(stderr, "scan_bench: does not compile\n");
		exit(1);
	}
	free(needles);
	return s;
}

static hs_database_t *compile_vectorscan(char **grams, const size_t *lens, size_t count)
{
	unsigned *flags = calloc(count, sizeof(*flags)), *ids = malloc(count * sizeof(*ids));
	hs_compile_error_t *error;
	hs_database_t *db = NULL;

	for (size_t i = 0; i < count; i++)
		ids[i] = (unsigned)i;
	if (hs_compile_lit_multi((const char *const *)grams, flags, ids, lens, (unsigned)count, HS_MODE_STREAM, NULL,
	                         &db, &error)) {
		fprintf(stderr, "scan_bench: vectorscan: %s\n", error->message);
		exit(1);
	}
	free(flags);
	free(ids);
	return db;
}

static void bench(enum script script, const struct text *t, size_t count, bool edges, int rounds)
{
	static const char *const names[] = { "zh", "en", "mixed" };
	static const size_t chunks[] = { 16, 65536 };
	size_t *lens = malloc(count * sizeof(*lens)), ours = 0, theirs = 0;
	char **grams = make_grams(t, count, lens);
	size_t kinds = drop_doubles(grams, count, lens);
	owned(scanner_free) struct scanner *s = compile(grams, lens, kinds, edges);
	hs_database_t *db = compile_vectorscan(grams, lens, kinds);
	hs_scratch_t *scratch = NULL;

	hs_alloc_scratch(db, &scratch);
	for (size_t c = 0; c < ARRAY_LEN(chunks); c++) {
		double a = 0, b = 0, x;

		for (int i = 0; i < rounds; i++) {
			if ((x = run_sluice(s, t, chunks[c], &ours)) > a)
				a = x;
			if ((x = run_vectorscan(db, scratch, t, chunks[c], &theirs)) > b)
				b = x;
		}
		printf("scan %s-%zuk%s-%zu %.0f %.0f %.2f\n", names[script], count / 1000, edges ? "-edges" : "",
		       chunks[c], a, b, a / b);
		fflush(stdout);
		/* Chinese folds: traditional characters of the text are found too, which Vectorscan is not asked for.
		 */
		if (!edges && script == EN && ours != theirs)
			fprintf(stderr, "scan_bench: %zu matches, Vectorscan %zu\n", ours, theirs);
	}
	hs_free_scratch(scratch);
	hs_free_database(db);
	for (size_t i = 0; i < kinds; i++)
		free(grams[i]);
	free(grams);
	free(lens);
}

static void bench_compile(const struct text *t, size_t count)
{
	size_t *lens = malloc(count * sizeof(*lens));
	char **grams = make_grams(t, count, lens);
	double begin = now();
	owned(scanner_free) struct scanner *s = compile(grams, lens, count, true);
	double took = now() - begin;
	struct scanner_stats stats;

	scanner_stats(s, &stats);
	printf("compile %zu keywords: %.2f s, %.1f MB, %zu states, %zu symbols\n", count, took,
	       (double)stats.bytes / 1e6, stats.states, stats.symbols);
	for (size_t i = 0; i < count; i++)
		free(grams[i]);
	free(grams);
	free(lens);
}

/* ---- patterns ---- */

static int count_sight(void *to, const struct sight *s)
{
	(void)s;
	++*(size_t *)to;
	return 0;
}

static double run_rules(const struct ruleset *r, const struct text *t, size_t chunk, size_t *sights)
{
	struct scope anywhere = { 0 };
	struct lookout w = { 0 };
	double begin = now();

	*sights = 0;
	for (size_t i = 0; i < t->len; i += chunk)
		if (lookout_feed(r, &anywhere, &w, slice_of(t->at + i, t->len - i < chunk ? t->len - i : chunk),
		                 count_sight, sights))
			exit(1);
	lookout_end(r, &anywhere, &w, count_sight, sights);
	lookout_free(&w);
	return now() - begin;
}

static struct ruleset *load_rules(const char *dir)
{
	struct policy_report report = { 0 };
	struct ruleset *r = NULL;

	if (ruleset_load(&r, dir, &report)) {
		fprintf(stderr, "scan_bench: %s\n", report.text);
		exit(1);
	}
	return r;
}

static void run_shell(const char *format, const char *dir)
{
	char command[512];

	snprintf(command, sizeof(command), format, dir);
	if (system(command))
		exit(1);
}

static void bench_patterns(enum script script, const struct text *t, int rounds)
{
	static const char *const names[] = { "zh", "en", "mixed" };
	static const size_t chunks[] = { 16, 65536 };
	owned(ruleset_put) struct ruleset *words = NULL, *both = NULL;
	size_t *lens = malloc(10000 * sizeof(*lens)), sights;
	char **grams = make_grams(t, 10000, lens);
	char dir[] = "/tmp/sluice-bench-XXXXXX", path[64];
	FILE *file;

	if (!mkdtemp(dir))
		exit(1);
	snprintf(path, sizeof(path), "%s/words.txt", dir);
	file = fopen(path, "we");
	for (size_t i = 0; i < 10000; i++) {
		fprintf(file, "%.*s\n", (int)lens[i], grams[i]);
		free(grams[i]);
	}
	fclose(file);
	free(grams);
	free(lens);
	snprintf(path, sizeof(path), "%s/words.yaml", dir);
	file = fopen(path, "we");
	fputs("pack: w\nrules: [{id: w, risk: A.1.a, action: flag, keywords_file: words.txt}]\n", file);
	fclose(file);
	words = load_rules(dir);
	run_shell("cp packaging/policy.d/*.yaml %s/", dir);
	both = load_rules(dir);
	run_shell("rm -r %s", dir);
	for (size_t c = 0; c < ARRAY_LEN(chunks); c++) {
		double a = 1e9, b = 1e9, x;

		for (int i = 0; i < rounds; i++) {
			if ((x = run_rules(words, t, chunks[c], &sights)) < a)
				a = x;
			if ((x = run_rules(both, t, chunks[c], &sights)) < b)
				b = x;
		}
		printf("{\"name\": \"shipped patterns / 10k keywords, %s, pieces of %zu\", \"value\": %.3f, "
		       "\"unit\": \"ratio\", \"bar\": 2, \"ok\": %s, \"runs\": %d}\n",
		       names[script], chunks[c], (b - a) / a, b - a < 2 * a ? "true" : "false", rounds);
		fprintf(stderr, "keywords %.0f MB/s, with patterns %.0f MB/s\n", (double)t->len / 1e6 / a,
		        (double)t->len / 1e6 / b);
	}
}

int main(int argc, char **argv)
{
	bool patterns_only = argc > 1 && !strcmp(argv[1], "--patterns");
	bool quick = argc > 1 && !strcmp(argv[1], "--quick"), compile_only = argc > 1 && !strcmp(argv[1], "--compile");

	for (int k = ZH; k <= MIXED; k++) {
		struct text t;

		make_text(&t, (enum script)k);
		if (!compile_only)
			bench_patterns((enum script)k, &t, quick ? 2 : 5);
		if (patterns_only) {
			free(t.at);
			free(t.units);
			continue;
		}
		if (compile_only) {
			for (size_t n = 1000; n <= 1000000; n *= 10)
				bench_compile(&t, n);
		} else {
			bench((enum script)k, &t, 10000, false, quick ? 2 : 5);
			if (k != ZH)
				bench((enum script)k, &t, 10000, true, quick ? 2 : 5);
			if (!quick)
				bench((enum script)k, &t, 100000, false, 3);
		}
		free(t.at);
		free(t.units);
	}
	return 0;
}
