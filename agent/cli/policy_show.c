/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_show.c - sluicectl policy show: the rules; and of a text what it folds to, what hits, and what held a hit
 * back.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/own.h"
#include "cli/policy.h"

#define TEXT_MAX (1u << 20)
#define HITS_MAX 10000

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl policy show [-p DIR] [--explain TEXT] [--service NAME] [--model NAME]\n"
	      "\n"
	      "The rules, their keywords and the digest that the record names. With --explain: which characters of "
	      "the\n"
	      "text fold to others or to nothing, which words of which rules are in it, and what held those back that "
	      "do\n"
	      "not count; offsets are bytes. Exit status: 0, of --explain 0 if something counts and 1 if nothing, 2 "
	      "error.\n"
	      "\n"
	      "  -p, --policy DIR    folder of packs (as the configuration says)\n"
	      "      --explain TEXT  '-': standard input\n"
	      "      --service NAME  as if this service answered, and this model;\n"
	      "      --model NAME    rules for others do not count\n",
	      to);
	return status;
}

/* ---- rules ---- */

static void print_names(const char *what, const char *const *names)
{
	if (!names)
		return;
	printf("  %s", what);
	for (; *names; names++)
		printf(" %s", *names);
}

static void print_day(const char *what, int64_t at)
{
	time_t t = (time_t)at;
	struct tm tm;
	char day[32];

	if (at && gmtime_r(&t, &tm) && strftime(day, sizeof(day), "%Y-%m-%d", &tm))
		printf("  %s %s", what, day);
}

static void print_rule(const struct rule *r)
{
	printf("%s  %s ", r->id, action_names[r->action]);
	for (size_t i = 0; i < r->risk_count; i++)
		printf(" %s", r->risks[i]);
	if (r->has_pattern)
		fputs("  pattern", stdout);
	if (r->keywords)
		printf("  keywords %zu", r->keywords);
	if (r->gap)
		printf("  gap %u", r->gap);
	if (r->pinyin)
		printf("  pinyin%s", r->initials ? " and initials" : "");
	if (r->has_except)
		fputs("  except", stdout);
	if (r->near_within)
		printf("  near within %u", r->near_within);
	if (r->all_count)
		printf("  all of %u within %u", r->all_count, r->all_within);
	print_names("services", r->validity.services);
	print_names("models", r->validity.models);
	print_day("from", r->validity.from);
	print_day("before", r->validity.until);
	if (r->evidence)
		printf("  evidence %s", evidence_names[r->evidence]);
	printf("  examples %zu\n", r->hit_count + r->miss_count);
}

static int show(const struct ruleset *rules)
{
	size_t keywords = 0;

	for (size_t i = 0; i < ruleset_packs(rules); i++) {
		const struct pack *p = ruleset_pack_at(rules, i);

		printf("pack %s %s  %s, rules %zu\n", p->name, p->version, p->file, p->rules);
		for (size_t k = 0; k < ruleset_rules(rules); k++)
			if (!strcmp(ruleset_rule_at(rules, k)->pack, p->name)) {
				fputs("  ", stdout);
				print_rule(ruleset_rule_at(rules, k));
			}
	}
	for (size_t k = 0; k < ruleset_rules(rules); k++)
		keywords += ruleset_rule_at(rules, k)->keywords;
	printf("rules %zu, keywords %zu, patterns %zu\ndigest ", ruleset_rules(rules), keywords,
	       ruleset_patterns(rules));
	cli_hex(stdout, ruleset_digest(rules), RULESET_DIGEST);
	putchar('\n');
	return 0;
}

/* ---- explain ---- */

/* A word of a rule in the text, or a hit that counts. */
struct place {
	struct policy_word word;
	uint64_t start, end;
	size_t from, to;
};

struct explain {
	const struct ruleset *rules;
	struct scope scope;
	struct slice text;
	struct place *words; /* owned */
	size_t word_count;
	struct sight *sights; /* owned */
	size_t sight_count;
	size_t folded; /* bytes of the text that are explained */
};

static void explain_free(struct explain *x)
{
	free(x->words);
	free(x->sights);
}

static size_t encode(uint32_t cp, char to[static 5])
{
	size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = n; i-- > 1; cp >>= 6)
		to[i] = (char)(0x80 | (cp & 0x3f));
	to[0] = (char)(lead[n] | cp);
	to[n] = 0;
	return n;
}

static void print_bytes(const struct explain *x, size_t from, size_t to)
{
	struct slice s = slice_of(x->text.at + from, to - from);

	printf("%6zu-%zu  ", from, to);
	cli_text(stdout, s, 0);
	for (size_t i = 0; i < s.len; i++)
		printf("%s%02x", i ? " " : "  ", s.at[i]);
	fputs("  -> ", stdout);
}

static void on_symbol(void *to, const struct scan_symbol *s)
{
	struct explain *x = to;
	char folded[5], looks[5];
	size_t n = encode(s->folded, folded);

	if (s->from > x->folded) {
		print_bytes(x, x->folded, s->from);
		puts("nothing");
	}
	if (s->to - s->from != n || memcmp(x->text.at + s->from, folded, n) || s->looks != s->folded) {
		print_bytes(x, s->from, s->to);
		fputs(folded, stdout);
		if (s->looks != s->folded) {
			encode(s->looks, looks);
			printf(", looks like %s", looks);
		}
		putchar('\n');
	}
	x->folded = s->to;
}

static int on_sight(void *to, const struct sight *s)
{
	struct explain *x = to;

	if (x->sight_count < HITS_MAX)
		x->sights[x->sight_count++] = *s;
	return 0;
}

static void add_words(struct explain *x, const struct scan_hit *hits, size_t n)
{
	struct scan_state begin = {};

	for (size_t i = 0; i < n && x->word_count < HITS_MAX; i++) {
		struct place *p = &x->words[x->word_count];

		if (!ruleset_word(x->rules, hits[i].needle, &p->word))
			continue;
		p->start = hits[i].start;
		p->end = hits[i].end;
		scan_locate(ruleset_scanner(x->rules), begin, x->text, p->start, p->end, &p->from, &p->to);
		x->word_count++;
	}
}

static int find(struct explain *x)
{
	struct lookout w = { .locate = true };
	struct scan_state st = {};
	struct scan_hit hits[16];
	struct slice rest = x->text;
	size_t n, used;
	int err;

	x->words = calloc(HITS_MAX, sizeof(*x->words));
	x->sights = calloc(HITS_MAX, sizeof(*x->sights));
	if (!x->words || !x->sights)
		return -ENOMEM;
	for (; rest.len; rest = slice_from(rest, used)) {
		n = scan_feed(ruleset_scanner(x->rules), &st, rest, &used, hits, ARRAY_LEN(hits));
		add_words(x, hits, n);
	}
	do {
		n = scan_end(ruleset_scanner(x->rules), &st, hits, ARRAY_LEN(hits));
		add_words(x, hits, n);
	} while (n == ARRAY_LEN(hits));
	err = lookout_feed(x->rules, &x->scope, &w, x->text, on_sight, x);
	if (!err)
		err = lookout_end(x->rules, &x->scope, &w, on_sight, x);
	lookout_free(&w);
	return err;
}

static bool counts(const struct explain *x, const struct place *p)
{
	for (size_t i = 0; i < x->sight_count; i++)
		if (x->sights[i].rule == p->word.rule && x->sights[i].start == p->start && x->sights[i].end == p->end)
			return true;
	return false;
}

static const struct place *exception_of(const struct explain *x, const struct place *p)
{
	for (size_t i = 0; i < x->word_count; i++) {
		const struct place *e = &x->words[i];

		if (e->word.rule == p->word.rule && e->word.role == ROLE_EXCEPT && e->start <= p->start &&
		    e->end >= p->end)
			return e;
	}
	return NULL;
}

static void print_word(const struct explain *x, const struct place *p)
{
	const struct rule *rule = p->word.rule;
	const struct place *e = exception_of(x, p);

	printf("%6zu-%zu  ", p->from, p->to);
	cli_text(stdout, slice_of(x->text.at + p->from, p->to - p->from), 0);
	printf("  %s '", role_names[p->word.role]);
	cli_text(stdout, p->word.text, 0);
	printf("'%s%s of %s, %s:%u:%u", p->word.form ? ", " : "", p->word.form ? form_names[p->word.form] : "",
	       rule->id, p->word.file, p->word.line, p->word.column);
	if (p->word.role != ROLE_KEYWORD) {
		putchar('\n');
		return;
	}
	if (counts(x, p))
		printf(": counts, %s", action_names[rule->action]);
	else if (!rule_applies(rule, &x->scope))
		fputs(": held back, the rule is not for this service, model or day", stdout);
	else if (e)
		printf(": held back, inside the exception at %zu-%zu", e->from, e->to);
	else if (rule->near_within)
		printf(": held back, none of its near words within %u characters", rule->near_within);
	else
		fputs(": does not count", stdout);
	putchar('\n');
}

static void print_sights(const struct explain *x)
{
	for (size_t i = 0; i < x->sight_count; i++) {
		const struct sight *s = &x->sights[i];

		if (!s->rule->has_pattern && !s->rule->all_count)
			continue;
		printf("%6" PRIu64 "-%" PRIu64 "  ", s->from, s->to);
		cli_text(stdout, slice_of(x->text.at + s->from, (size_t)(s->to - s->from)), 0);
		printf("  %s of %s: counts, %s\n", s->rule->has_pattern ? "pattern" : "all words", s->rule->id,
		       action_names[s->rule->action]);
	}
}

static void print_missing(const struct explain *x)
{
	for (size_t i = 0; i < ruleset_rules(x->rules); i++) {
		const struct rule *rule = ruleset_rule_at(x->rules, i);
		uint64_t there = 0;
		bool counted = false;

		for (size_t k = 0; rule->all_count && k < x->word_count; k++)
			if (x->words[k].word.rule == rule)
				there |= 1ull << (x->words[k].word.keyword & 63);
		for (size_t k = 0; k < x->sight_count; k++)
			counted |= x->sights[k].rule == rule;
		if (there && !counted)
			printf("        %s: held back, %s\n", rule->id,
			       (unsigned)__builtin_popcountll(there) < rule->all_count
			               ? "not all of its words are there"
			               : "its words are not near enough, or the rule is not for this service, model or "
			                 "day");
	}
}

static int explain(struct explain *x)
{
	int err = find(x);

	if (err) {
		fprintf(stderr, "sluicectl: the text: %s\n",
		        err == -ETIME ? "over the limit of work of a rule" : strerror(-err));
		return 2;
	}
	puts("folds:");
	scan_explain(x->text, on_symbol, x);
	if (x->folded < x->text.len) {
		print_bytes(x, x->folded, x->text.len);
		puts("nothing");
	}
	puts("finds:");
	for (size_t i = 0; i < x->word_count; i++)
		print_word(x, &x->words[i]);
	print_sights(x);
	print_missing(x);
	return x->sight_count ? 0 : 1;
}

int policy_show_main(int argc, char **argv)
{
	enum { EXPLAIN = 256, SERVICE, MODEL };
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "explain", required_argument, NULL, EXPLAIN },
		{ "service", required_argument, NULL, SERVICE },
		{ "model", required_argument, NULL, MODEL },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(ruleset_put) struct ruleset *rules = NULL;
	owned(explain_free) struct explain x = { .scope.now = time(NULL) };
	owned(own_free) uint8_t *data = NULL;
	const char *dir = NULL, *text = NULL;
	size_t len = 0;
	int c, err;

	while ((c = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			dir = optarg;
			break;
		case EXPLAIN:
			text = optarg;
			break;
		case SERVICE:
			x.scope.service = optarg;
			break;
		case MODEL:
			x.scope.model = optarg;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind != argc)
		return usage(stderr, 2);
	if (cli_policy_words(&rules, dir, NULL, NULL, NULL))
		return 2;
	if (!text)
		return show(rules);
	err = strcmp(text, "-") ? 0 : cli_read("-", TEXT_MAX, &data, &len);
	if (err) {
		fprintf(stderr, "sluicectl: standard input: %s\n", strerror(-err));
		return 2;
	}
	x.rules = rules;
	x.text = data ? slice_of(data, len) : slice_str(text);
	return explain(&x);
}
