/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan_bench - scan against Vectorscan's streaming literals, on one core and the same made-up text.
 *
 * The two take short turns on the same part of the text, and each turn gives a ratio: what else the machine does hits
 * both alike. A line of JSON a case, its value the median of the ratios and `spread` their range divided by it; the
 * lines in between say MB/s. The literals are n-grams of the text with one unit changed, so that the text enters their
 * prefixes as often as in life; text that never does would flatter everybody. "edges": the needles must not touch other
 * letters, as the policy's default is for English; Vectorscan is not asked for that. Nor is it asked what is to be
 * held, which it cannot say: scan is, after each piece.
 * `--quick` leaves out all but 10,000 keywords; `--compile` prints compile time and memory of scan instead, `--growth`
 * a line of JSON with these and the speed, from one keyword to a million.
 */
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "policy/policy.h"
#include "scan/scan.h"

#define TURNS      32
#define TURN_BYTES (256u << 10)
#define TEXT_BYTES (TURNS * TURN_BYTES)
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

/* CPU time: others on the machine are no part of it. */
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

/* One candidate at work: where it is in the text, and what it found there. */
struct turn {
	const struct text *text;
	size_t at, chunk, matches, held;
};

struct sluice {
	const struct scanner *scanner;
	struct scan_state state;
	struct turn turn;
};

struct vectorscan {
	hs_stream_t *stream;
	hs_scratch_t *scratch;
	struct turn turn;
};

static size_t turn_end(const struct turn *t, size_t bytes)
{
	return t->text->len - t->at < bytes + t->chunk ? t->text->len : t->at + bytes;
}

static size_t next_chunk(const struct turn *t, size_t end)
{
	return end - t->at < t->chunk ? end - t->at : t->chunk;
}

/* MB/s over the next so many bytes. What is held is asked for after each piece, as the daemon does after each event. */
static double turn_sluice(struct sluice *s, size_t bytes)
{
	size_t from = s->turn.at, end = turn_end(&s->turn, bytes), used;
	double begin = now();

	while (s->turn.at < end) {
		struct scan_hit hits[64];

		s->turn.matches += scan_feed(s->scanner, &s->state,
		                             slice_of(s->turn.text->at + s->turn.at, next_chunk(&s->turn, end)), &used,
		                             hits, 64);
		s->turn.at += used;
		s->turn.held += scan_hold(s->scanner, &s->state);
	}
	return (double)(end - from) / 1e6 / (now() - begin);
}

static double turn_vectorscan(struct vectorscan *v, size_t bytes)
{
	size_t from = v->turn.at, end = turn_end(&v->turn, bytes), n;
	double begin = now();

	for (; v->turn.at < end; v->turn.at += n) {
		n = next_chunk(&v->turn, end);
		hs_scan_stream(v->stream, v->turn.text->at + v->turn.at, (unsigned)n, 0, v->scratch, count_match,
		               &v->turn.matches);
	}
	return (double)(end - from) / 1e6 / (now() - begin);
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return a < b ? -1 : a > b;
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* A line for scripts/bench; bar 0: none. */
static void print_ratio(const char *name, double *ratios, size_t n, double bar)
{
	double value = median(ratios, n);

	printf("{\"name\":\"scan: %s\",\"value\":%.3f,\"unit\":\"ratio\",", name, value);
	if (bar > 0)
		printf("\"bar\":%g,\"ok\":%s,", bar, value >= bar ? "true" : "false");
	printf("\"runs\":%zu,\"spread\":%.3f}\n", n, (ratios[n - 1] - ratios[0]) / value);
	fflush(stdout);
}

static void print_below(const char *name, double value, const char *unit, double bar)
{
	printf("{\"name\":\"scan: %s\",\"value\":%.4g,\"unit\":\"%s\",\"bar\":%g,\"ok\":%s}\n", name, value, unit, bar,
	       value < bar ? "true" : "false");
	fflush(stdout);
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

static const char *const script_names[] = { "zh", "en", "mixed" };

/* Turns over the whole text, so many bytes each. */
static void compare(const char *name, const struct text *t, const struct scanner *s, const hs_database_t *db,
                    hs_scratch_t *scratch, size_t chunk, double bar, bool exact)
{
	struct sluice ours = { .scanner = s, .turn = { t, 0, chunk, 0, 0 } };
	struct vectorscan theirs = { .scratch = scratch, .turn = { t, 0, chunk, 0, 0 } };
	double ratios[TURNS], speeds[2][TURNS];
	struct scan_hit hits[64];

	hs_open_stream(db, 0, &theirs.stream);
	for (size_t i = 0; i < TURNS; i++) {
		/* Who is first finds the text in no cache. */
		if (i % 2)
			speeds[0][i] = turn_sluice(&ours, TURN_BYTES);
		speeds[1][i] = turn_vectorscan(&theirs, TURN_BYTES);
		if (i % 2 == 0)
			speeds[0][i] = turn_sluice(&ours, TURN_BYTES);
		ratios[i] = speeds[0][i] / speeds[1][i];
	}
	hs_close_stream(theirs.stream, scratch, count_match, &theirs.turn.matches);
	ours.turn.matches += scan_end(s, &ours.state, hits, 64);
	printf("scan %-22s %4.0f MB/s, Vectorscan %4.0f\n", name, median(speeds[0], TURNS), median(speeds[1], TURNS));
	print_ratio(name, ratios, TURNS, bar);
	/* Chinese folds: traditional characters of the text are found too, which Vectorscan is not asked for. */
	if (exact && ours.turn.matches != theirs.turn.matches) {
		fprintf(stderr, "scan_bench: %zu matches, Vectorscan %zu\n", ours.turn.matches, theirs.turn.matches);
		exit(1);
	}
}

static void bench(enum script script, const struct text *t, size_t count, bool edges)
{
	static const size_t chunks[] = { 16, 65536 };
	size_t *lens = malloc(count * sizeof(*lens));
	char **grams = make_grams(t, count, lens);
	size_t kinds = drop_doubles(grams, count, lens);
	owned(scanner_free) struct scanner *s = compile(grams, lens, kinds, edges);
	hs_database_t *db = compile_vectorscan(grams, lens, kinds);
	hs_scratch_t *scratch = NULL;

	hs_alloc_scratch(db, &scratch);
	for (size_t c = 0; c < ARRAY_LEN(chunks); c++) {
		double bar = chunks[c] == 16 ? 3 : count > 10000 ? 2 : 1.3;
		char name[64];

		snprintf(name, sizeof(name), "%s %zuk%s, %s", script_names[script], count / 1000, edges ? " edges" : "",
		         chunks[c] == 16 ? "16 B" : "64 KiB");
		compare(name, t, s, db, scratch, chunks[c], bar, !edges && script == EN);
	}
	hs_free_scratch(scratch);
	hs_free_database(db);
	for (size_t i = 0; i < kinds; i++)
		free(grams[i]);
	free(grams);
	free(lens);
}

/* A line of /proc/self/status, in bytes. */
static double memory(const char *key)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	double kb = 0;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			kb = strtod(line + strlen(key), NULL);
	if (f)
		fclose(f);
	return kb * 1024;
}

/* From now on VmHWM is the most from now on. */
static void forget_peak(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "we");

	if (f) {
		fputs("5", f);
		fclose(f);
	}
}

struct built {
	struct scanner *scanner; /* owned */
	double seconds, peak;
};

static struct built build(const struct text *t, size_t count)
{
	size_t *lens = malloc(count * sizeof(*lens));
	char **grams = make_grams(t, count, lens);
	struct built b = { 0 };
	double before, begin;

	forget_peak();
	before = memory("VmRSS:");
	begin = now();
	b.scanner = compile(grams, lens, count, true);
	b.seconds = now() - begin;
	b.peak = memory("VmHWM:") - before;
	for (size_t i = 0; i < count; i++)
		free(grams[i]);
	free(grams);
	free(lens);
	return b;
}

/* A million keywords: what they cost, and how much slower than a tenth of them. */
static void bench_million(enum script script, const struct text *t)
{
	struct built few = build(t, 100000), many = build(t, 1000000);
	struct sluice runs[2] = { { .scanner = few.scanner, .turn = { t, 0, 65536, 0, 0 } },
		                  { .scanner = many.scanner, .turn = { t, 0, 65536, 0, 0 } } };
	double ratios[TURNS];
	char name[64];

	snprintf(name, sizeof(name), "%s 1000k, compile", script_names[script]);
	print_below(name, many.seconds, "s", 30);
	snprintf(name, sizeof(name), "%s 1000k, peak of compile", script_names[script]);
	print_below(name, many.peak / 1e6, "MB", 512);
	for (size_t i = 0; i < TURNS; i++) {
		double base = turn_sluice(&runs[0], TURN_BYTES);

		ratios[i] = turn_sluice(&runs[1], TURN_BYTES) / base;
	}
	snprintf(name, sizeof(name), "%s 1000k / 100k, 64 KiB", script_names[script]);
	print_ratio(name, ratios, TURNS, 0.5);
	scanner_free(&few.scanner);
	scanner_free(&many.scanner);
}

static void bench_compile(const struct text *t, size_t count)
{
	struct built b = build(t, count);
	struct scanner_stats stats;

	scanner_stats(b.scanner, &stats);
	printf("compile %zu keywords: %.2f s, %.1f MB, peak %.1f MB, %zu states, %zu symbols\n", count, b.seconds,
	       (double)stats.bytes / 1e6, b.peak / 1e6, stats.states, stats.symbols);
	scanner_free(&b.scanner);
}

/* Speed beside it: in bulk, and in pieces as tokens come. */
static void bench_growth(enum script script, const struct text *t, size_t count)
{
	struct built b = build(t, count);
	struct sluice bulk = { .scanner = b.scanner, .turn = { t, 0, 65536, 0, 0 } };
	struct sluice token = { .scanner = b.scanner, .turn = { t, 0, 15, 0, 0 } };
	struct scanner_stats stats;

	scanner_stats(b.scanner, &stats);
	turn_sluice(&bulk, TURN_BYTES);
	turn_sluice(&token, TURN_BYTES);
	printf("{\"text\":\"%s\",\"keywords\":%zu,\"compile s\":%.3f,\"MB\":%.1f,\"peak MB\":%.1f,\"states\":%zu,"
	       "\"MB/s\":%.0f,\"ns a token of 15 B\":%.0f}\n",
	       script_names[script], count, b.seconds, (double)stats.bytes / 1e6, b.peak / 1e6, stats.states,
	       turn_sluice(&bulk, 4 * TURN_BYTES), 15e3 / turn_sluice(&token, 4 * TURN_BYTES));
	fflush(stdout);
	scanner_free(&b.scanner);
}

int main(int argc, char **argv)
{
	bool growth = argc > 1 && !strcmp(argv[1], "--growth");
	bool quick = argc > 1 && !strcmp(argv[1], "--quick"), compile_only = argc > 1 && !strcmp(argv[1], "--compile");

	for (int k = ZH; k <= MIXED; k++) {
		struct text t;

		make_text(&t, (enum script)k);
		if (growth) {
			for (size_t n = 1; n <= (argc > 2 ? 10000u : 1000000u); n *= 10)
				bench_growth((enum script)k, &t, n);
		} else if (compile_only) {
			for (size_t n = 1000; n <= 1000000; n *= 10)
				bench_compile(&t, n);
		} else {
			bench((enum script)k, &t, 10000, false);
			if (k != ZH)
				bench((enum script)k, &t, 10000, true);
			if (!quick) {
				bench((enum script)k, &t, 100000, false);
				if (k == EN)
					bench((enum script)k, &t, 100000, true);
				bench_million((enum script)k, &t);
			}
		}
		free(t.at);
		free(t.units);
	}
	return 0;
}
