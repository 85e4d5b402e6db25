/* SPDX-License-Identifier: Apache-2.0 */
/* conditions.c - the keys of a rule that say when a hit counts, for whom, and what is kept of it. */
#include <stdlib.h>

#include "base/own.h"
#include "policy/reader.h"
#include "policy/taxonomy.h"

#define WITHIN_MAX   512 /* characters; held text grows with it */
#define NAMES_MAX    64
#define EXAMPLES_MAX 1000
#define ALL_MAX      16

/* A number from 1 to `most`, or 0 with a mistake. */
static uint32_t number_of(const struct reader *r, const struct doc_node *n, const char *who, const char *key,
                          uint32_t most)
{
	uint32_t v = 0;

	for (size_t i = 0; n->kind == DOC_TEXT && i < n->text.len; i++) {
		uint8_t c = n->text.at[i];

		if (c < '0' || c > '9' || v > most) {
			v = 0;
			break;
		}
		v = v * 10 + (c - '0');
	}
	if (v && v <= most)
		return v;
	MISTAKE(r, n->mark, "%s'%s' must be a number from 1 to %u", who, key, most);
	return 0;
}

/* ---- names and dates ---- */

static bool add_name(const struct reader *r, const struct doc_node *n, const char *who, const char *key,
                     const char **to)
{
	if (n->kind != DOC_TEXT || !n->text.len || memchr(n->text.at, 0, n->text.len)) {
		MISTAKE(r, n->mark, "%s'%s' must be a name or a list of names", who, key);
		return false;
	}
	*to = arena_copy(&r->draft->kept, n->text);
	if (!*to)
		MISTAKE(r, n->mark, "%sout of memory", who);
	return *to;
}

/* A name or a list of them; `otherwise` if the key is not there or wrong. */
static const char *const *names_of(const struct reader *r, const struct doc_node *map, const char *who, const char *key,
                                   const char *const *otherwise)
{
	const struct doc_node *n = reader_value(r, map, key), *i;
	const char **names;
	size_t count = 0;

	if (!n)
		return otherwise;
	names = arena_take(&r->draft->kept, (NAMES_MAX + 1) * sizeof(*names));
	if (!names) {
		MISTAKE(r, n->mark, "%sout of memory", who);
		return otherwise;
	}
	if (n->kind != DOC_LIST) {
		if (!add_name(r, n, who, key, &names[count++]))
			return otherwise;
	} else {
		if (!n->first)
			MISTAKE(r, n->mark, "%s'%s' is empty", who, key);
		for (i = reader_node(r, n->first); i; i = reader_node(r, i->next)) {
			if (count == NAMES_MAX) {
				MISTAKE(r, i->mark, "%s'%s': too many names", who, key);
				return otherwise;
			}
			if (!add_name(r, i, who, key, &names[count++]))
				return otherwise;
		}
	}
	names[count] = NULL;
	return names;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year, era = y / 400;
	unsigned of_era = (unsigned)(y - era * 400);
	unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static unsigned digits(const uint8_t *at, size_t n)
{
	unsigned v = 0;

	for (; n; n--, at++)
		v = *at >= '0' && *at <= '9' ? v * 10 + (*at - '0') : 100000;
	return v;
}

static bool is_day(unsigned year, unsigned month, unsigned day)
{
	static const uint8_t days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return year >= 1971 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] &&
	       (month != 2 || day != 29 || leap);
}

int64_t reader_day(struct slice version)
{
	static const uint8_t places[2][3] = { { 0, 5, 8 }, { 0, 4, 6 } };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const uint8_t *at = version.at, *p = places[i];
		unsigned year, month, day;

		if (version.len < p[2] + 2u || (version.len > p[2] + 2u && at[p[2] + 2] >= '0' && at[p[2] + 2] <= '9'))
			continue;
		year = digits(at, 4), month = digits(at + p[1], 2), day = digits(at + p[2], 2);
		if (is_day(year, month, day))
			return days_of(year, month, day) * 86400;
	}
	return 0;
}

/* YYYY-MM-DD as seconds, the day's beginning in UTC; `otherwise` if the key is not there or wrong. */
static int64_t date_of(const struct reader *r, const struct doc_node *map, const char *who, const char *key,
                       int64_t days_more, int64_t otherwise)
{
	const struct doc_node *n = reader_value(r, map, key);
	unsigned year = 0, month = 0, day = 0;

	if (!n)
		return otherwise;
	if (n->kind == DOC_TEXT && n->text.len == 10 && n->text.at[4] == '-' && n->text.at[7] == '-') {
		year = digits(n->text.at, 4);
		month = digits(n->text.at + 5, 2);
		day = digits(n->text.at + 8, 2);
	}
	if (!is_day(year, month, day)) {
		MISTAKE(r, n->mark, "%s'%s' must be a date, YYYY-MM-DD", who, key);
		return otherwise;
	}
	return (days_of(year, month, day) + days_more) * 86400;
}

static void read_validity(const struct reader *r, const struct doc_node *map, const char *who, struct validity *v)
{
	struct validity was = *v;

	v->services = names_of(r, map, who, "services", was.services);
	v->models = names_of(r, map, who, "models", was.models);
	v->from = date_of(r, map, who, "valid_from", 0, was.from);
	v->until = date_of(r, map, who, "valid_until", 1, was.until);
	if (v->from && v->until && v->from >= v->until)
		MISTAKE(r, map->mark, "%s'valid_until' is before 'valid_from'", who);
}

/* ---- forms ---- */

static void read_forms(const struct reader *r, const struct doc_node *map, const char *who, struct rule *rule)
{
	static const char *const names[] = { "false", "true", "initials" };
	const struct doc_node *gap = reader_value(r, map, "gap"), *pinyin = reader_text(r, map, who, "pinyin", false);
	const struct doc_node *split = reader_text(r, map, who, "split", false);
	const struct doc_node *any = gap ? gap : pinyin ? pinyin : split;
	size_t i = pinyin ? reader_choice(r, pinyin, who, "pinyin", names, ARRAY_LEN(names)) : 0;
	char named[WHO_BYTES];

	snprintf(named, sizeof(named), "%.*s", (int)strlen(who) - 2, who);
	if (gap)
		rule->gap = (uint8_t)number_of(r, gap, who, "gap", SCAN_GAP_MAX);
	rule->pinyin = i == 1 || i == 2;
	rule->initials = i == 2;
	if (split && !slice_is(split->text, SLICE("false")))
		draft_splits(r->draft, named, r->file, split->mark,
		             slice_is(split->text, SLICE("true")) ? SLICE("") : split->text);
	if (reader_value(r, map, "pattern") && any)
		MISTAKE(r, any->mark, "%s'%s' is for keywords, not for a pattern", who,
		        gap      ? "gap"
		        : pinyin ? "pinyin"
		                 : "split");
}

/* ---- patterns and conditions ---- */

static void read_pattern(const struct reader *r, const struct doc_node *map, const char *who, struct draft_rule *rule)
{
	const struct doc_node *pattern = reader_text(r, map, who, "pattern", false),
			      *check = reader_text(r, map, who, "check", false),
			      *most = reader_value(r, map, "max_length");
	char quoted[REPORT_QUOTE_MAX];

	if (!pattern) {
		if (check || most)
			MISTAKE(r, (check ? check : most)->mark, "%s'%s' needs a pattern", who,
			        check ? "check" : "max_length");
		return;
	}
	rule->rule.has_pattern = true;
	rule->pattern.mark = pattern->mark;
	rule->pattern.text = slice_of(arena_copy(&r->draft->texts, pattern->text), pattern->text.len);
	if (!rule->pattern.text.at)
		MISTAKE(r, pattern->mark, "%sout of memory", who);
	if (most)
		rule->pattern.max_length = number_of(r, most, who, "max_length", PATTERN_LENGTH_MAX);
	if (!check)
		return;
	rule->pattern.check = check_find(check->text);
	if (!rule->pattern.check)
		MISTAKE(r, check->mark, "%sunknown check '%s'", who, report_quote(check->text, quoted));
}

static const struct key_of_within {
	const char *key;
	enum role role;
} within_keys[] = { { "near", ROLE_NEAR }, { "all_of", ROLE_ALL } };

/* {words: [...], within: N}. Returns N, or 0 if the key is not there or wrong. */
static uint32_t read_within(const struct reader *r, const struct doc_node *map, const char *who,
                            const struct key_of_within *k)
{
	const struct doc_node *n = reader_value(r, map, k->key), *words, *within;
	char quoted[REPORT_QUOTE_MAX];

	if (!n)
		return 0;
	if (n->kind != DOC_MAP) {
		MISTAKE(r, n->mark, "%s'%s' must be {words: [...], within: N}", who, k->key);
		return 0;
	}
	for (uint32_t i = n->first; i; i = r->doc->nodes[r->doc->nodes[i].next].next)
		if (!slice_is(r->doc->nodes[i].text, SLICE("words")) &&
		    !slice_is(r->doc->nodes[i].text, SLICE("within")))
			MISTAKE(r, r->doc->nodes[i].mark, "%s'%s': unknown key '%s'", who, k->key,
			        report_quote(r->doc->nodes[i].text, quoted));
	words = reader_value(r, n, "words");
	within = reader_value(r, n, "within");
	if (!words || !within) {
		MISTAKE(r, n->mark, "%s'%s' must be {words: [...], within: N}", who, k->key);
		return 0;
	}
	if (words->kind == DOC_LIST && !words->first)
		MISTAKE(r, words->mark, "%s'%s': no words", who, k->key);
	reader_words(r, words, k->role, k->key, who);
	return number_of(r, within, who, "within", WITHIN_MAX);
}

static void read_conditions(const struct reader *r, const struct doc_node *map, const char *who,
                            struct draft_rule *rule)
{
	const struct doc_node *except = reader_value(r, map, "except"), *all = reader_value(r, map, "all_of");

	if (except)
		reader_words(r, except, ROLE_EXCEPT, "except", who);
	rule->rule.has_except = rule->words[ROLE_EXCEPT];
	rule->rule.near_within = read_within(r, map, who, &within_keys[0]);
	rule->rule.all_within = read_within(r, map, who, &within_keys[1]);
	rule->rule.all_count = rule->rule.all_within ? (uint32_t)rule->words[ROLE_ALL] : 0;
	if (rule->rule.all_count > ALL_MAX)
		MISTAKE(r, all->mark, "%s'all_of': at most %d words", who, ALL_MAX);
	if (all && (except || reader_value(r, map, "near") || reader_value(r, map, "keywords") ||
	            reader_value(r, map, "keywords_file") || rule->rule.has_pattern))
		MISTAKE(r, all->mark, "%s'all_of' cannot be joined with keywords, a pattern, 'near' or 'except'", who);
}

/* ---- evidence and examples ---- */

/* What could be kept, and is not. */
static const char *const no_evidence[] = { "prompt", "input", "request", "exchange" };

static void read_evidence(const struct reader *r, const struct doc_node *map, const char *who, struct draft_rule *rule)
{
	const struct policy_terms *terms = r->draft->terms;
	const struct doc_node *n = reader_text(r, map, who, "evidence", false);
	size_t i;

	if (!n)
		return;
	for (size_t k = 0; k < ARRAY_LEN(no_evidence); k++)
		if (slice_is(n->text, slice_str(no_evidence[k]))) {
			MISTAKE(r, n->mark, "%sevidence '%s' is not supported by this version: no prompt is kept", who,
			        no_evidence[k]);
			return;
		}
	i = reader_choice(r, n, who, "evidence", evidence_names, EVIDENCE_COUNT);
	if (i == EVIDENCE_COUNT)
		return;
	if (i > EVIDENCE_HASH && terms && !terms->sealed)
		MISTAKE(r, n->mark, "%sevidence '%s' needs somebody to seal it for: record.recipients", who,
		        evidence_names[i]);
	rule->rule.evidence = (enum evidence)i;
	rule->says_evidence = true;
}

static void read_examples(const struct reader *r, const struct doc_node *n, const char *who, const char *key,
                          const struct slice **out, size_t *out_count)
{
	struct slice *texts;
	size_t count = 0;

	if (n->kind != DOC_LIST) {
		MISTAKE(r, n->mark, "%s'%s' must be a list", who, key);
		return;
	}
	for (const struct doc_node *i = reader_node(r, n->first); i; i = reader_node(r, i->next))
		count++;
	texts = count <= EXAMPLES_MAX ? arena_take(&r->draft->kept, (count + 1) * sizeof(*texts)) : NULL;
	if (!texts) {
		MISTAKE(r, n->mark, "%s'%s': too many", who, key);
		return;
	}
	count = 0;
	for (const struct doc_node *i = reader_node(r, n->first); i; i = reader_node(r, i->next)) {
		if (i->kind != DOC_TEXT) {
			MISTAKE(r, i->mark, "%san example must be text", who);
			continue;
		}
		texts[count] = slice_of(arena_copy(&r->draft->kept, i->text), i->text.len);
		if (texts[count].at)
			count++;
		else
			MISTAKE(r, i->mark, "%sout of memory", who);
	}
	*out = texts;
	*out_count = count;
}

static void read_example_lists(const struct reader *r, const struct doc_node *map, const char *who, struct rule *rule)
{
	const struct doc_node *n = reader_value(r, map, "examples");
	char quoted[REPORT_QUOTE_MAX];

	if (!n)
		return;
	if (n->kind != DOC_MAP) {
		MISTAKE(r, n->mark, "%s'examples' must be {hit: [...], miss: [...]}", who);
		return;
	}
	for (uint32_t k = n->first; k; k = r->doc->nodes[r->doc->nodes[k].next].next) {
		const struct doc_node *key = &r->doc->nodes[k], *list = reader_node(r, key->next);

		if (slice_is(key->text, SLICE("hit")))
			read_examples(r, list, who, "hit", &rule->examples_hit, &rule->hit_count);
		else if (slice_is(key->text, SLICE("miss")))
			read_examples(r, list, who, "miss", &rule->examples_miss, &rule->miss_count);
		else
			MISTAKE(r, key->mark, "%s'examples': unknown key '%s'", who, report_quote(key->text, quoted));
	}
}

void reader_conditions(const struct reader *r, const struct doc_node *map, const char *who, struct draft_rule *rule)
{
	rule->rule.validity = r->validity;
	read_validity(r, map, who, &rule->rule.validity);
	read_forms(r, map, who, &rule->rule);
	read_pattern(r, map, who, rule);
	read_conditions(r, map, who, rule);
	read_evidence(r, map, who, rule);
	read_example_lists(r, map, who, &rule->rule);
}

/* ---- packs ---- */

static void read_category(struct reader *r, const struct doc_node *map)
{
	static const char who[] = "categories: ";
	struct draft *d = r->draft;
	const struct doc_node *number;
	char quoted[REPORT_QUOTE_MAX];
	struct category c = { .file = r->file, .mark = map->mark };
	struct slice name;
	uint16_t none;

	if (map->kind != DOC_MAP) {
		MISTAKE(r, map->mark, "%smust be mappings", who);
		return;
	}
	for (uint32_t k = map->first; k; k = r->doc->nodes[r->doc->nodes[k].next].next) {
		const struct doc_node *key = &r->doc->nodes[k];

		if (!slice_is(key->text, SLICE("id")) && !slice_is(key->text, SLICE("number")) &&
		    !slice_is(key->text, SLICE("zh")) && !slice_is(key->text, SLICE("en")))
			MISTAKE(r, key->mark, "%sunknown key '%s'", who, report_quote(key->text, quoted));
		else if (r->doc->nodes[key->next].kind != DOC_TEXT)
			MISTAKE(r, r->doc->nodes[key->next].mark, "%s'%s' must be text", who,
			        report_quote(key->text, quoted));
	}
	c.name = reader_id(r, map, who, "id");
	number = reader_value(r, map, "number");
	if (!c.name)
		return;
	if (!taxonomy_find(slice_str(c.name), &name, &none) || none != TAXONOMY_LOCAL) {
		MISTAKE(r, map->mark, "%s'%s' must begin with 'local.'", who, c.name);
		return;
	}
	c.number = number ? (uint16_t)number_of(r, number, who, "number", 65535) : 0;
	if (c.number <= TAXONOMY_LOCAL)
		MISTAKE(r, map->mark, "%s'%s' needs a number above %d", who, c.name, TAXONOMY_LOCAL);
	if (!draft_reserve((void **)&d->categories, &d->category_room, d->category_count, sizeof(c)))
		MISTAKE(r, map->mark, "%sout of memory", who);
	else
		d->categories[d->category_count++] = c;
}

void reader_pack(struct reader *r, const struct doc_node *root)
{
	const struct doc_node *list = reader_value(r, root, "categories");

	read_validity(r, root, "", &r->validity);
	if (!list)
		return;
	if (list->kind != DOC_LIST) {
		MISTAKE(r, list->mark, "'categories' must be a list");
		return;
	}
	for (const struct doc_node *i = reader_node(r, list->first); i; i = reader_node(r, i->next))
		read_category(r, i);
}
