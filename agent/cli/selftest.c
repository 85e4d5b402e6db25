/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selftest.c - sluicectl selftest: the rules of a policy, end to end through every API, without a network.
 *
 * Texts are made from the rules: a keyword with what its conditions need, in each of the forms that folding undoes; of
 * a pattern, and of what asks a classifier, its author's examples. Each is sent as an answer of each API, whole or in
 * two events for every place where it can part, in one piece and a byte at a time. What must be ended and is not is a
 * miss.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <time.h>

#include "base/own.h"
#include "cli/replay.h"

#define TEXT_ROOM 4096
#define LISTED    20

/* An API: what stands around the text of an answer, or of one event of it. */
static const struct api {
	const char *name, *path, *type, *before, *after, *tail;
	bool streamed;
} apis[] = {
	{ "openai chat", "/v1/chat/completions", "text/event-stream",
	  "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":", "}}]}\n\n", "data: [DONE]\n\n", true },
	{ "openai chat, whole", "/v1/chat/completions", "application/json",
	  "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":",
	  "},\"finish_reason\":\"stop\"}]}", "", false },
	{ "openai completions", "/v1/completions", "text/event-stream",
	  "data: {\"choices\":[{\"index\":0,\"text\":", "}]}\n\n", "data: [DONE]\n\n", true },
	{ "openai completions, whole", "/v1/completions", "application/json",
	  "{\"choices\":[{\"index\":0,\"text\":", "}]}", "", false },
	{ "openai responses", "/v1/responses", "text/event-stream",
	  "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":", "}\n\n",
	  "", true },
	{ "anthropic", "/v1/messages", "text/event-stream",
	  "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":", "}}\n\n",
	  "data: {\"type\":\"message_stop\"}\n\n", true },
	{ "anthropic, whole", "/v1/messages", "application/json",
	  "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":", "}]}", "", false },
	{ "ollama chat", "/api/chat", "application/x-ndjson", "{\"message\":{\"role\":\"assistant\",\"content\":",
	  "},\"done\":false}\n", "{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true}\n", true },
	{ "ollama generate", "/api/generate", "application/x-ndjson", "{\"response\":", ",\"done\":false}\n",
	  "{\"response\":\"\",\"done\":true}\n", true },
	{ "tgi", "/generate_stream", "text/event-stream",
	  "data: {\"token\":{\"id\":5,\"text\":", ",\"special\":false}}\n\n", "", true },
	{ "tgi, whole", "/generate", "application/json", "{\"generated_text\":", "}", "", false },
	{ "llama.cpp", "/completion", "text/event-stream", "data: {\"index\":0,\"content\":", ",\"stop\":false}\n\n",
	  "", true },
	{ "triton", "/v2/models/m/generate_stream", "text/event-stream", "data: {\"text_output\":", "}\n\n", "", true },
	{ "triton, whole", "/v2/models/m/generate", "application/json", "{\"text_output\":", "}", "", false },
	{ "any JSON", "/any", "application/json", "{\"some\":[{\"words\":", "}]}", "", false },
};

/* What folding undoes. */
enum shape { SHAPE_PLAIN, SHAPE_CASE, SHAPE_WIDE, SHAPE_ZERO_WIDTH, SHAPE_TRADITIONAL, SHAPE_COUNT };

static const char *const shape_names[SHAPE_COUNT] = { "as written", "other case", "full width", "zero width",
	                                              "traditional" };

struct tally {
	size_t runs, misses;
};

struct selftest {
	struct ruleset *rules;
	const char *dir;
	size_t keywords;
	double seconds;
	uint64_t seed;
	bool json, late;
	size_t tried, of, without, missed;
	struct tally apis[ARRAY_LEN(apis)], shapes[SHAPE_COUNT];
	uint16_t traditional[0xa000 - 0x4e00]; /* by simplified character: one that folds to it; 0: none */
	struct timespec begin;
};

static void selftest_free(struct selftest **at)
{
	if (*at)
		ruleset_put(&(*at)->rules);
	free(*at);
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl selftest [-p DIR] [--quick] [--keywords N] [--seconds N] [--seed N] [--json]\n"
	      "\n"
	      "Sends what the rules forbid through every API, in every form that folding undoes, in one and in two "
	      "events\n"
	      "for every place where the text can part, without a network. Says how much was tried: keywords are "
	      "drawn.\n"
	      "Exit status: 0 nothing was missed, 1 something was, 2 error.\n"
	      "\n"
	      "  -p, --policy DIR  folder of packs (as the configuration says)\n"
	      "      --quick       2 keywords of each rule, at most 10 seconds\n"
	      "      --keywords N  of each rule (20)\n"
	      "      --seconds N   at most (120)\n"
	      "      --seed N      of the draw (1)\n"
	      "      --json        one object\n",
	      to);
	return status;
}

/* ---- texts ---- */

static size_t put_point(char *to, uint32_t cp)
{
	static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

	for (size_t i = n; i-- > 1; cp >>= 6)
		to[i] = (char)(0x80 | (cp & 0x3f));
	to[0] = (char)(lead[n] | cp);
	return n;
}

static size_t character(struct slice text)
{
	size_t n = 1;

	while (n < text.len && (text.at[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static void on_symbol(void *to, const struct scan_symbol *s)
{
	*(uint32_t *)to = s->folded;
}

/* The fold read backwards. */
static void find_traditional(struct selftest *x)
{
	for (uint32_t cp = 0x4e00; cp < 0xa000; cp++) {
		char bytes[4];
		uint32_t folded = 0;

		scan_explain(slice_of(bytes, put_point(bytes, cp)), on_symbol, &folded);
		if (folded != cp && folded >= 0x4e00 && folded < 0xa000)
			x->traditional[folded - 0x4e00] = (uint16_t)cp;
	}
}

/* One character in a form. */
static size_t put_shape(const struct selftest *x, enum shape shape, struct slice c, char *to)
{
	uint8_t a = c.at[0];

	if (shape == SHAPE_CASE && c.len == 1 && ascii_lower(a) >= 'a' && ascii_lower(a) <= 'z')
		return put_point(to, a ^ 0x20u);
	if (shape == SHAPE_WIDE && c.len == 1 && a > 0x20 && a < 0x7f)
		return put_point(to, a + 0xfee0u);
	if (shape == SHAPE_TRADITIONAL && c.len == 3) {
		uint32_t cp = (uint32_t)(a & 0xf) << 12 | (uint32_t)(c.at[1] & 0x3f) << 6 | (c.at[2] & 0x3f);

		if (cp >= 0x4e00 && cp < 0xa000 && x->traditional[cp - 0x4e00])
			return put_point(to, x->traditional[cp - 0x4e00]);
	}
	memcpy(to, c.at, c.len);
	return c.len;
}

/* False: it is the same as it was, or has no room. */
static bool reshape(const struct selftest *x, enum shape shape, struct slice text, char *to, size_t *len)
{
	bool other = shape == SHAPE_PLAIN;
	size_t n = 0;

	for (size_t took; text.len; text = slice_from(text, took)) {
		size_t put;

		took = character(text);
		if (n + took + 8 > TEXT_ROOM)
			return false;
		if (shape == SHAPE_ZERO_WIDTH && n) {
			n += put_point(to + n, 0x200b);
			other = true;
		}
		put = put_shape(x, shape, slice_of(text.at, took), to + n);
		other |= put != took || memcmp(to + n, text.at, took) != 0;
		n += put;
	}
	*len = n;
	return other && n;
}

/* ---- one answer ---- */

static int make_answer(const struct api *api, struct slice text, size_t cut, char **out, size_t *len)
{
	FILE *f = open_memstream(out, len);

	if (!f)
		return -ENOMEM;
	fprintf(f, "HTTP/1.1 200 OK\r\ncontent-type: %s\r\n\r\n", api->type);
	if (cut) {
		fputs(api->before, f);
		cli_json_text(f, slice_of(text.at, cut));
		fputs(api->after, f);
	}
	fputs(api->before, f);
	cli_json_text(f, slice_from(text, cut));
	fprintf(f, "%s%s", api->after, api->tail);
	return fclose(f) ? -ENOMEM : 0;
}

static bool is_good(const struct outcome *o, const struct rule *rule)
{
	bool found = false;

	for (size_t i = 0; i < o->found_count; i++)
		found |= o->found[i] == rule;
	/* Another rule may have ended the answer before this one was reached. */
	if (o->verdict == VERDICT_BLOCKED)
		return true;
	if (!rule)
		return o->verdict != VERDICT_EXCEPTION;
	return found && o->verdict != VERDICT_EXCEPTION &&
	       (rule->action < ACTION_REDACT || (rule->action == ACTION_REDACT && o->verdict == VERDICT_REDACTED));
}

static int try_answer(struct selftest *x, const struct api *api, const struct rule *rule, struct slice text, size_t cut,
                      size_t how, bool *good)
{
	owned(own_free) char *request = NULL, *answer = NULL;
	struct input in[2] = {};
	struct outcome o = {};
	size_t len = 0;
	int n = asprintf(&request, "POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", api->path), err;

	if (n < 0) {
		request = NULL;
		return -ENOMEM;
	}
	err = make_answer(api, text, cut, &answer, &len);
	if (err)
		return err;
	in[0] = (struct input){ (uint8_t *)request, (size_t)n };
	in[1] = (struct input){ (uint8_t *)answer, len };
	err = replay_run(x->rules, &in[0], &in[1], how, false, &o);
	*good = is_good(&o, rule);
	/* What was to be hidden must not be there, in one piece. */
	if (rule && rule->action >= ACTION_REDACT && !cut && buf_len(&o.out) &&
	    memmem(buf_slice(&o.out).at, buf_len(&o.out), text.at, text.len))
		*good = false;
	buf_free(&o.out);
	return err;
}

static void count(struct selftest *x, size_t api, enum shape shape, const struct rule *rule, struct slice text,
                  size_t cut, bool good)
{
	x->apis[api].runs++;
	x->shapes[shape].runs++;
	if (good)
		return;
	x->apis[api].misses++;
	x->shapes[shape].misses++;
	if (++x->missed > LISTED)
		return;
	fprintf(stderr, "missed: rule '%s', %s, %s, parted at %zu: ", rule->id, apis[api].name, shape_names[shape],
	        cut);
	cli_text(stderr, text, 100);
	fputc('\n', stderr);
}

static bool is_late(struct selftest *x)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	x->late |= (double)(now.tv_sec - x->begin.tv_sec) + (double)(now.tv_nsec - x->begin.tv_nsec) / 1e9 > x->seconds;
	return x->late;
}

/* In every API, parted everywhere. */
static int try_shape(struct selftest *x, enum shape shape, const struct rule *rule, struct slice text)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(apis) && !err && !is_late(x); i++) {
		bool good = false;

		err = try_answer(x, &apis[i], rule, text, 0, CUT_BYTES, &good);
		if (!err)
			count(x, i, shape, rule, text, 0, good);
		for (size_t cut = 0; cut < text.len && !err; cut += character(slice_from(text, cut))) {
			if (cut && !apis[i].streamed)
				break;
			err = try_answer(x, &apis[i], rule, text, cut, CUT_NONE, &good);
			if (!err)
				count(x, i, shape, rule, text, cut, good);
		}
	}
	return err;
}

static int try_text(struct selftest *x, const struct rule *rule, struct slice text, bool plain)
{
	char bytes[TEXT_ROOM];
	int err = 0;

	for (enum shape shape = 0; shape < (plain ? 1 : SHAPE_COUNT) && !err; shape++) {
		size_t n = 0;

		if (reshape(x, shape, text, bytes, &n))
			err = try_shape(x, shape, rule, slice_of(bytes, n));
	}
	x->tried++;
	return err;
}

/* ---- rules ---- */

/* All that a rule has in a role, in one text; `most` words of it. */
static size_t join(const struct selftest *x, const struct rule *rule, enum role role, size_t most, char *to, size_t n)
{
	struct policy_word w;
	size_t have = 0;

	for (size_t i = 0; have < most && ruleset_word(x->rules, i, &w); i++) {
		if (w.rule != rule || w.role != role || w.form != FORM_WRITTEN || n + w.text.len + 2 > TEXT_ROOM / 8)
			continue;
		if (n)
			to[n++] = ' ';
		memcpy(to + n, w.text.at, w.text.len);
		n += w.text.len;
		have++;
	}
	return n;
}

static uint64_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Keywords of one rule, drawn so that each is as likely. */
static int try_keywords(struct selftest *x, const struct rule *rule)
{
	size_t left = rule->keywords, want = left < x->keywords ? left : x->keywords;
	struct policy_word w;
	int err = 0;

	x->of += rule->keywords;
	for (size_t i = 0; !err && !x->late && want && ruleset_word(x->rules, i, &w); i++) {
		char text[TEXT_ROOM];
		size_t n;

		if (w.rule != rule || w.role != ROLE_KEYWORD || w.form != FORM_WRITTEN)
			continue;
		if (draw(&x->seed) % left-- >= want)
			continue;
		want--;
		n = w.text.len < TEXT_ROOM / 8 ? w.text.len : 0;
		memcpy(text, w.text.at, n);
		if (rule->near_within)
			n = join(x, rule, ROLE_NEAR, 1, text, n);
		if (n)
			err = try_text(x, rule, slice_of(text, n), false);
	}
	return err;
}

static int try_rule(struct selftest *x, const struct rule *rule)
{
	char text[TEXT_ROOM];
	int err = 0;

	if (rule->has_pattern || rule->judging.model) {
		x->of += rule->hit_count;
		x->without += !rule->hit_count;
		for (size_t i = 0; i < rule->hit_count && !err && !is_late(x); i++)
			err = try_text(x, rule, rule->examples_hit[i], true);
	} else if (rule->all_count) {
		x->of++;
		err = try_text(x, rule, slice_of(text, join(x, rule, ROLE_ALL, rule->all_count, text, 0)), false);
	} else {
		err = try_keywords(x, rule);
	}
	return err;
}

/* A harmless text must be read by each API: else a refusal of the whole would pass for a find. */
static int try_harmless(struct selftest *x)
{
	for (size_t i = 0; i < ARRAY_LEN(apis); i++) {
		bool good = false;
		int err = try_answer(x, &apis[i], NULL, SLICE("~"), 0, CUT_NONE, &good);

		if (!err && !good)
			fprintf(stderr, "missed: %s: a harmless answer is not read\n", apis[i].name);
		if (err)
			return err;
		x->missed += !good;
		x->apis[i].misses += !good;
		x->apis[i].runs++;
	}
	return 0;
}

/* ---- output ---- */

static void print_tally(const char *name, const struct tally *t, bool json, bool first)
{
	if (json)
		printf("%s\"%s\":{\"runs\":%zu,\"misses\":%zu}", first ? "" : ",", name, t->runs, t->misses);
	else
		printf("  %-26s %8zu answers %6zu missed\n", name, t->runs, t->misses);
}

static void print(const struct selftest *x)
{
	if (x->json)
		printf("{\"rules\":%zu,\"tried\":%zu,\"of\":%zu,\"without_examples\":%zu,\"time_was_up\":%s,\"missed\":"
		       "%zu,\"apis\":{",
		       ruleset_rules(x->rules), x->tried, x->of, x->without, x->late ? "true" : "false", x->missed);
	for (size_t i = 0; i < ARRAY_LEN(apis); i++)
		print_tally(apis[i].name, &x->apis[i], x->json, !i);
	if (x->json)
		fputs("},\"forms\":{", stdout);
	for (size_t i = 0; i < SHAPE_COUNT; i++)
		print_tally(shape_names[i], &x->shapes[i], x->json, !i);
	if (x->json) {
		puts("}}");
		return;
	}
	printf("rules %zu; %zu of %zu keywords and examples tried%s; %zu answers missed\n", ruleset_rules(x->rules),
	       x->tried, x->of, x->late ? ", the time was up" : "", x->missed);
	if (x->without)
		printf("%zu patterns and classifiers have no example of what they find: not tried\n", x->without);
}

static int run(struct selftest *x)
{
	int err = cli_policy_words(&x->rules, x->dir, NULL, NULL, NULL);

	if (err)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &x->begin);
	find_traditional(x);
	err = try_harmless(x);
	for (size_t i = 0; i < ruleset_rules(x->rules) && !err; i++)
		err = try_rule(x, ruleset_rule_at(x->rules, i));
	if (err) {
		fprintf(stderr, "sluicectl: selftest: %s\n", strerror(-err));
		return 2;
	}
	print(x);
	return x->missed != 0;
}

static bool number(const char *text, uint64_t least, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return end != text && !*end && !errno && text[0] != '-' && *out >= least;
}

int selftest_main(int argc, char **argv)
{
	enum { QUICK = 256, KEYWORDS, SECONDS, SEED, JSON };
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "quick", no_argument, NULL, QUICK },
		{ "keywords", required_argument, NULL, KEYWORDS },
		{ "seconds", required_argument, NULL, SECONDS },
		{ "seed", required_argument, NULL, SEED },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(selftest_free) struct selftest *x = calloc(1, sizeof(*x));
	uint64_t keywords = 20, seconds = 120, seed = 1;
	bool fine = x;
	int c;

	while (fine && (c = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			x->dir = optarg;
			break;
		case QUICK:
			keywords = 2;
			seconds = 10;
			break;
		case KEYWORDS:
			fine = number(optarg, 1, &keywords);
			break;
		case SECONDS:
			fine = number(optarg, 1, &seconds);
			break;
		case SEED:
			fine = number(optarg, 1, &seed);
			break;
		case JSON:
			x->json = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			fine = false;
		}
	}
	if (!fine || optind != argc)
		return usage(stderr, 2);
	x->keywords = (size_t)keywords;
	x->seconds = (double)seconds;
	x->seed = seed;
	return run(x);
}
