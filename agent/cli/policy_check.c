/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_check.c - sluicectl policy check: mistakes, and what a policy without mistakes still lacks.
 *
 * The figures of GB/T 45654 are what the standard recommends; a policy short of them loads, and the shortfall is said.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "base/own.h"
#include "cli/policy.h"

#define LISTED   20 /* of each kind of remark, unless all are asked for */
#define TEXT_MAX (256u << 20)
#define DAY      86400

enum remark { REMARK_DOUBLE, REMARK_INSIDE, REMARK_EXCEPTED, REMARK_IDLE, REMARK_AGE, REMARK_COUNT };

static const char *const remark_names[REMARK_COUNT] = { "same", "inside", "excepted", "idle", "age" };
static const char *const remark_about[REMARK_COUNT] = {
	"keywords that are there before",         "keywords in which another is found already",
	"keywords that an exception takes whole", "rules that never find anything",
	"packs whose day is old or not known",
};

struct check {
	struct ruleset *rules;
	struct config *config; /* NULL: services are not known */
	const char *dir, *hold, *key;
	int64_t now, days;
	bool json, all, strict;
	double taken;
	struct word_counts counts;
	size_t remarks[REMARK_COUNT];
	size_t *excepted; /* by rule: so many of its keywords */
	FILE *lines;      /* of remarks, in memory */
	char *text;
	size_t len;
};

static void check_free(struct check *x)
{
	ruleset_put(&x->rules);
	config_free(&x->config);
	free(x->excepted);
	if (x->lines)
		fclose(x->lines);
	free(x->text);
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl policy check [-p DIR] [--key FILE] [--hold FILE] [--max-age DAYS] [--strict] [--all] "
	      "[--json]\n"
	      "\n"
	      "Names every mistake with file, line and column; then what the policy holds, per risk against the "
	      "fewest\n"
	      "keywords that GB/T 45654 asks for, the age of its packs, keywords that others make needless and rules\n"
	      "that cannot find anything. Exit status: 0 good, 1 mistakes, 2 error.\n"
	      "\n"
	      "  -p, --policy DIR    folder of packs (as the configuration says)\n"
	      "      --key FILE      packs and lists must be signed with this key (of the configuration's policy: "
	      "policy_key)\n"
	      "      --hold FILE     how much of this text is held, after each of its characters\n"
	      "      --max-age DAYS  of a pack, by the day in its version (7)\n"
	      "      --strict        shortfalls and remarks are mistakes: exit status 1\n"
	      "      --all           list all remarks, not the first of each kind\n"
	      "      --json          one object\n",
	      to);
	return status;
}

/* Begins a remark; false: there were enough of its kind. */
static bool remark(struct check *x, enum remark kind)
{
	if (++x->remarks[kind] > LISTED && !x->all)
		return false;
	if (x->json)
		fprintf(x->lines, "%s{\"kind\":\"%s\",\"text\":", ftell(x->lines) ? "," : "", remark_names[kind]);
	return true;
}

static __attribute__((format(printf, 2, 3))) void say(struct check *x, const char *format, ...)
{
	owned(own_free) char *line = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&line, format, args) < 0)
		line = NULL;
	va_end(args);
	if (x->json) {
		cli_json_string(x->lines, line ? line : "");
		fputc('}', x->lines);
		return;
	}
	cli_text(x->lines, slice_str(line ? line : ""), 0);
	fputc('\n', x->lines);
}

/* ---- words ---- */

static void on_words(void *to, size_t word, size_t other, bool whole)
{
	struct check *x = to;
	struct policy_word a, b;
	enum remark kind;

	if (!ruleset_word(x->rules, word, &a) || !ruleset_word(x->rules, other, &b))
		return;
	kind = b.role == ROLE_EXCEPT ? REMARK_EXCEPTED : whole ? REMARK_DOUBLE : REMARK_INSIDE;
	if (kind == REMARK_EXCEPTED)
		for (size_t i = 0; i < ruleset_rules(x->rules); i++)
			if (ruleset_rule_at(x->rules, i) == a.rule)
				x->excepted[i]++;
	if (!remark(x, kind))
		return;
	if (kind == REMARK_EXCEPTED)
		say(x, "%s:%u:%u: rule '%s': keyword '%.*s' is taken whole by the exception '%.*s': it never counts",
		    a.file, a.line, a.column, a.rule->id, SLICE_ARG(a.text), SLICE_ARG(b.text));
	else
		say(x, "%s:%u:%u: rule '%s': keyword '%.*s' %s '%.*s' of rule '%s' at %s:%u:%u", a.file, a.line,
		    a.column, a.rule->id, SLICE_ARG(a.text), whole ? "is the same as" : "holds", SLICE_ARG(b.text),
		    b.rule->id, b.file, b.line, b.column);
}

/* ---- rules and packs ---- */

static bool known_service(const struct check *x, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < x->config->service_count; i++)
		if (n && name[n - 1] == '*' ? !strncmp(name, x->config->services[i].name, n - 1)
		                            : !strcmp(name, x->config->services[i].name))
			return true;
	return false;
}

static void look_at_rule(struct check *x, size_t i)
{
	const struct rule *rule = ruleset_rule_at(x->rules, i);
	const struct validity *v = &rule->validity;
	size_t known = 0, services = 0;

	if (v->until && x->now >= v->until && remark(x, REMARK_IDLE))
		say(x, "rule '%s': its last day is over", rule->id);
	if (v->from && x->now < v->from && remark(x, REMARK_IDLE))
		say(x, "rule '%s': its first day has not come", rule->id);
	for (; x->config && v->services && v->services[services]; services++)
		known += known_service(x, v->services[services]);
	if (services && !known && remark(x, REMARK_IDLE))
		say(x, "rule '%s': it is for services that the configuration does not name, like '%s'", rule->id,
		    v->services[0]);
	if (rule->keywords && !rule->has_pattern && x->excepted[i] >= rule->keywords && remark(x, REMARK_IDLE))
		say(x, "rule '%s': its exceptions take all of its keywords", rule->id);
	if (rule->all_count && ruleset_longest(x->rules, rule, ROLE_ALL) > rule->all_within && remark(x, REMARK_IDLE))
		say(x, "rule '%s': 'all_of' has a word longer than 'within'", rule->id);
}

static void look_at_pack(struct check *x, const struct pack *p)
{
	int64_t age = (x->now - p->day) / DAY;

	if (!p->day && remark(x, REMARK_AGE))
		say(x, "%s: pack '%s': its version '%s' names no day", p->file, p->name, p->version);
	else if (p->day && age > x->days && remark(x, REMARK_AGE))
		say(x, "%s: pack '%s': %" PRId64 " days old; the standard asks for a look at least every week", p->file,
		    p->name, age);
	else if (p->day > x->now && remark(x, REMARK_AGE))
		say(x, "%s: pack '%s': its day is yet to come", p->file, p->name);
}

/* ---- hold ---- */

struct holds {
	struct scan_holds words, all;
};

static int no_sight(void *to, const struct sight *s)
{
	(void)to;
	(void)s;
	return 0;
}

static void add_hold(struct scan_holds *h, size_t hold)
{
	h->at[hold < SCAN_HOLD_MAX ? hold : SCAN_HOLD_MAX]++;
	h->count++;
	h->sum += hold;
	if (hold > h->most)
		h->most = hold;
}

/* As the daemon holds, with patterns and conditions. */
static int hold_all(const struct ruleset *rules, struct scan_holds *h, struct slice text)
{
	struct scope anywhere = {};
	struct lookout w = {};
	int err = 0;

	while (text.len && !err) {
		struct lookout_hold hold;
		size_t n = 1;

		while (n < text.len && n < 4 && (text.at[n] & 0xc0) == 0x80)
			n++;
		err = lookout_feed(rules, &anywhere, &w, slice_of(text.at, n), no_sight, NULL);
		text = slice_from(text, n);
		lookout_hold(rules, &w, &hold);
		add_hold(h, (size_t)hold.length);
	}
	lookout_free(&w);
	return err;
}

static void print_holds(const struct scan_holds *h, const char *name, bool json)
{
	double mean = h->count ? (double)h->sum / (double)h->count : 0;

	printf(json ? "\"%s\":{\"mean\":%.3f,\"p50\":%zu,\"p90\":%zu,\"p99\":%zu,\"max\":%zu}"
	            : "hold, %s: mean %.2f, p50 %zu, p90 %zu, p99 %zu, max %zu characters\n",
	       name, mean, scan_holds_quantile(h, 500), scan_holds_quantile(h, 900), scan_holds_quantile(h, 990),
	       h->most);
}

static int print_hold(const struct check *x)
{
	owned(own_free) struct holds *h = calloc(1, sizeof(*h));
	owned(own_free) uint8_t *data = NULL;
	size_t len = 0;
	int err = h ? cli_read(x->hold, TEXT_MAX, &data, &len) : -ENOMEM;

	if (!err) {
		scan_holds_add(&h->words, ruleset_scanner(x->rules), slice_of(data, len));
		err = hold_all(x->rules, &h->all, slice_of(data, len));
	}
	if (err) {
		fprintf(stderr, "sluicectl: %s: %s\n", x->hold, strerror(-err));
		return err;
	}
	if (x->json)
		printf(",\"hold\":{\"characters\":%" PRIu64 ",", h->words.count);
	print_holds(&h->words, "keywords", x->json);
	if (x->json)
		putchar(',');
	print_holds(&h->all, x->json ? "all" : "with patterns and conditions", x->json);
	if (x->json)
		putchar('}');
	return 0;
}

/* ---- output ---- */

static bool falls_short(const struct check *x)
{
	bool is = x->counts.total < POLICY_KEYWORDS_ALL;

	for (size_t i = 0; i < POLICY_RISKS; i++)
		is |= x->counts.risks[i].keywords < x->counts.risks[i].least;
	return is;
}

static size_t all_keywords(const struct check *x)
{
	size_t n = 0;

	for (size_t i = 0; i < ruleset_rules(x->rules); i++)
		n += ruleset_rule_at(x->rules, i)->keywords;
	return n;
}

static void print_text(const struct check *x, const struct scanner_stats *stats)
{
	printf("packs %zu, rules %zu, keywords %zu, patterns %zu\n", ruleset_packs(x->rules), ruleset_rules(x->rules),
	       all_keywords(x), ruleset_patterns(x->rules));
	printf("automaton: %zu states, %zu symbols, %zu KiB, longest keyword %zu characters; compiled in %.0f ms\n",
	       stats->states, stats->symbols, stats->bytes / 1024, stats->longest, x->taken);
	fputs("digest ", stdout);
	cli_hex(stdout, ruleset_digest(x->rules), RULESET_DIGEST);
	printf("\nkeywords of GB/T 45654, A.1 and A.2: %zu of %d\n", x->counts.total, POLICY_KEYWORDS_ALL);
	for (size_t i = 0; i < POLICY_RISKS; i++) {
		const struct risk_count *c = &x->counts.risks[i];

		if (c->least)
			printf("  %s %6zu of %u%s  %s\n", c->clause, c->keywords, (unsigned)c->least,
			       c->keywords < c->least ? ", short " : "        ", c->en);
		else if (c->keywords)
			printf("  %s %6zu                %s\n", c->clause, c->keywords, c->en);
	}
	if (x->counts.unread)
		printf("%zu words have no pinyin although their rule asks for it\n", x->counts.unread);
	if (x->counts.brief)
		printf("%zu words have one or two first letters: harmless text will have them too\n", x->counts.brief);
	fwrite(x->text, 1, x->len, stdout);
	for (size_t i = 0; i < REMARK_COUNT; i++)
		if (x->remarks[i] > LISTED && !x->all)
			printf("%zu %s, %d of them listed\n", x->remarks[i], remark_about[i], LISTED);
}

static void print_json(const struct check *x, const struct scanner_stats *stats)
{
	printf("{\"packs\":[");
	for (size_t i = 0; i < ruleset_packs(x->rules); i++) {
		const struct pack *p = ruleset_pack_at(x->rules, i);

		fputs(i ? ",{\"pack\":" : "{\"pack\":", stdout);
		cli_json_string(stdout, p->name);
		fputs(",\"version\":", stdout);
		cli_json_string(stdout, p->version);
		fputs(",\"file\":", stdout);
		cli_json_string(stdout, p->file);
		printf(",\"rules\":%zu,\"age_days\":", p->rules);
		if (p->day)
			printf("%" PRId64 "}", (x->now - p->day) / DAY);
		else
			fputs("null}", stdout);
	}
	printf("],\"rules\":%zu,\"keywords\":%zu,\"patterns\":%zu,\"states\":%zu,\"symbols\":%zu,\"bytes\":%zu,"
	       "\"longest\":%zu,\"compile_ms\":%.1f,\"digest\":\"",
	       ruleset_rules(x->rules), all_keywords(x), ruleset_patterns(x->rules), stats->states, stats->symbols,
	       stats->bytes, stats->longest, x->taken);
	cli_hex(stdout, ruleset_digest(x->rules), RULESET_DIGEST);
	printf("\",\"standard\":{\"keywords\":%zu,\"least\":%d,\"short\":%s,\"risks\":[", x->counts.total,
	       POLICY_KEYWORDS_ALL, falls_short(x) ? "true" : "false");
	for (size_t i = 0; i < POLICY_RISKS; i++)
		printf("%s{\"risk\":\"%s\",\"number\":%u,\"keywords\":%zu,\"least\":%zu}", i ? "," : "",
		       x->counts.risks[i].clause, x->counts.risks[i].number, x->counts.risks[i].keywords,
		       x->counts.risks[i].least);
	printf("]},\"unread\":%zu,\"brief\":%zu,\"counts\":{", x->counts.unread, x->counts.brief);
	for (size_t i = 0; i < REMARK_COUNT; i++)
		printf("%s\"%s\":%zu", i ? "," : "", remark_names[i], x->remarks[i]);
	fputs("},\"remarks\":[", stdout);
	fwrite(x->text, 1, x->len, stdout);
	putchar(']');
}

static int run(struct check *x)
{
	struct scanner_stats stats;
	bool wrong = false;
	int err = cli_policy_words(&x->rules, x->dir, x->key, &x->config, &x->taken);

	if (err)
		return err == -EINVAL ? 1 : 2;
	x->excepted = calloc(ruleset_rules(x->rules) + 1, sizeof(*x->excepted));
	x->lines = open_memstream(&x->text, &x->len);
	if (!x->excepted || !x->lines)
		return 2;
	err = ruleset_inspect(x->rules, x->now, &x->counts, on_words, x);
	for (size_t i = 0; i < ruleset_rules(x->rules); i++)
		look_at_rule(x, i);
	for (size_t i = 0; i < ruleset_packs(x->rules); i++)
		look_at_pack(x, ruleset_pack_at(x->rules, i));
	if (err || fflush(x->lines))
		return 2;
	scanner_stats(ruleset_scanner(x->rules), &stats);
	if (x->json)
		print_json(x, &stats);
	else
		print_text(x, &stats);
	err = x->hold ? print_hold(x) : 0;
	if (x->json)
		puts("}");
	for (size_t i = 0; i < REMARK_COUNT; i++)
		wrong |= x->remarks[i] > 0;
	return err ? 2 : x->strict && (wrong || falls_short(x)) ? 1 : 0;
}

int policy_check_main(int argc, char **argv)
{
	enum { HOLD = 256, KEY, AGE, STRICT, ALL, JSON };
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "hold", required_argument, NULL, HOLD },
		{ "max-age", required_argument, NULL, AGE },
		{ "strict", no_argument, NULL, STRICT },
		{ "all", no_argument, NULL, ALL },
		{ "json", no_argument, NULL, JSON },
		{ "key", required_argument, NULL, KEY },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(check_free) struct check x = { .now = time(NULL), .days = 7 };
	char *end = "";
	int c;

	while ((c = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			x.dir = optarg;
			break;
		case HOLD:
			x.hold = optarg;
			break;
		case KEY:
			x.key = optarg;
			break;
		case AGE:
			x.days = strtoll(optarg, &end, 10);
			if (end == optarg || *end || x.days < 0) {
				fprintf(stderr, "sluicectl: --max-age takes a number of days, not '%s'\n", optarg);
				return 2;
			}
			break;
		case STRICT:
			x.strict = true;
			break;
		case ALL:
			x.all = true;
			break;
		case JSON:
			x.json = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	return optind == argc ? run(&x) : usage(stderr, 2);
}
