/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c - a YAML document becomes rules, or mistakes that say where. */
#include <stdlib.h>

#include "base/own.h"
#include "policy/reader.h"
#include "policy/taxonomy.h"

#define ID_MAX    128
#define RISKS_MAX 32

const char *const action_names[ACTION_COUNT] = { "shadow", "flag", "redact", "block" };
const char *const evidence_names[EVIDENCE_COUNT] = { "none", "hash", "span", "full" };
const char *const boundary_names[BOUNDARY_COUNT] = { "auto", "none", "word" };

/* What a key is to us. Those of the format that we do not carry out yet are refused by name: a rule that is half
 * understood would guard half. */
enum standing { KEY_UNKNOWN, KEY_TAKEN, KEY_REMARK, KEY_LATER };

struct key {
	const char *name;
	enum standing standing;
	const char *why; /* KEY_LATER: the reason, if there is one to tell */
};

static const struct key pack_keys[] = {
	{ "pack", KEY_TAKEN },        { "version", KEY_TAKEN },      { "rules", KEY_TAKEN },
	{ "note", KEY_REMARK },       { "description", KEY_REMARK }, { "valid_from", KEY_TAKEN },
	{ "valid_until", KEY_TAKEN }, { "services", KEY_TAKEN },     { "models", KEY_TAKEN },
	{ "categories", KEY_TAKEN },  { "signature", KEY_LATER },    { "classifier", KEY_LATER },
};

static const struct key rule_keys[] = {
	{ "id", KEY_TAKEN },         { "risk", KEY_TAKEN },          { "action", KEY_TAKEN },
	{ "keywords", KEY_TAKEN },   { "keywords_file", KEY_TAKEN }, { "boundary", KEY_TAKEN },
	{ "note", KEY_REMARK },      { "description", KEY_REMARK },  { "except", KEY_TAKEN },
	{ "near", KEY_TAKEN },       { "all_of", KEY_TAKEN },        { "pattern", KEY_TAKEN },
	{ "max_length", KEY_TAKEN }, { "check", KEY_TAKEN },         { "evidence", KEY_TAKEN },
	{ "examples", KEY_TAKEN },   { "valid_from", KEY_TAKEN },    { "valid_until", KEY_TAKEN },
	{ "services", KEY_TAKEN },   { "models", KEY_TAKEN },        { "gap", KEY_TAKEN },
	{ "redact", KEY_LATER },     { "shadow", KEY_LATER },        { "classifier", KEY_TAKEN },
	{ "suspect", KEY_TAKEN },    { "fold", KEY_LATER },          { "pinyin", KEY_TAKEN },
	{ "split", KEY_TAKEN },      { "opinion", KEY_TAKEN },
};

const struct doc_node *reader_value(const struct reader *r, const struct doc_node *map, const char *key)
{
	for (uint32_t k = map->first; k; k = r->doc->nodes[r->doc->nodes[k].next].next)
		if (slice_is(r->doc->nodes[k].text, slice_str(key)))
			return reader_node(r, r->doc->nodes[k].next);
	return NULL;
}

/* `who` is "" or "rule 'id': ". */
static void check_keys(const struct reader *r, const struct doc_node *map, const char *who, const struct key *keys,
                       size_t count)
{
	char quoted[REPORT_QUOTE_MAX];

	for (uint32_t k = map->first; k; k = r->doc->nodes[r->doc->nodes[k].next].next) {
		const struct doc_node *key = &r->doc->nodes[k];
		enum standing standing = KEY_UNKNOWN;
		const char *why = NULL;

		for (size_t i = 0; i < count; i++)
			if (slice_is(key->text, slice_str(keys[i].name))) {
				standing = keys[i].standing;
				why = keys[i].why;
			}
		report_quote(key->text, quoted);
		if (standing == KEY_UNKNOWN)
			MISTAKE(r, key->mark, "%sunknown key '%s'", who, quoted);
		else if (standing == KEY_LATER)
			MISTAKE(r, key->mark, "%s'%s' is not supported by this version%s%s", who, quoted,
			        why ? ": " : "", why ? why : "");
		else if (standing == KEY_REMARK && r->doc->nodes[key->next].kind != DOC_TEXT)
			MISTAKE(r, r->doc->nodes[key->next].mark, "%s'%s' must be text", who, quoted);
	}
}

const struct doc_node *reader_text(const struct reader *r, const struct doc_node *map, const char *who, const char *key,
                                   bool need)
{
	const struct doc_node *n = reader_value(r, map, key);

	if (!n) {
		if (need)
			MISTAKE(r, map->mark, "%s'%s' is missing", who, key);
		return NULL;
	}
	if (n->kind != DOC_TEXT) {
		MISTAKE(r, n->mark, "%s'%s' must be text", who, key);
		return NULL;
	}
	if (!n->text.len) {
		MISTAKE(r, n->mark, "%s'%s' is empty", who, key);
		return NULL;
	}
	return n;
}

static bool is_id(struct slice s)
{
	if (!s.len || s.len > ID_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = ascii_lower(s.at[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
			return false;
	}
	return true;
}

const char *reader_id(const struct reader *r, const struct doc_node *map, const char *who, const char *key)
{
	const struct doc_node *n = reader_text(r, map, who, key, true);
	char quoted[REPORT_QUOTE_MAX];
	const char *id;

	if (!n)
		return NULL;
	if (!is_id(n->text)) {
		MISTAKE(r, n->mark, "%s'%s' is '%s': only letters, digits, '.', '_' and '-', at most %d", who, key,
		        report_quote(n->text, quoted), ID_MAX);
		return NULL;
	}
	id = arena_copy(&r->draft->kept, n->text);
	if (!id)
		MISTAKE(r, n->mark, "%sout of memory", who);
	return id;
}

static void add_risk(const struct reader *r, const char *who, const struct doc_node *n, const char **names,
                     uint16_t *numbers, size_t *count)
{
	char quoted[REPORT_QUOTE_MAX];
	struct slice name;

	if (n->kind != DOC_TEXT) {
		MISTAKE(r, n->mark, "%s'risk' must be text or a list of texts", who);
		return;
	}
	if (*count == RISKS_MAX) {
		MISTAKE(r, n->mark, "%stoo many risks", who);
		return;
	}
	if (!taxonomy_find(n->text, &name, &numbers[*count])) {
		MISTAKE(r, n->mark, "%sunknown risk '%s'", who, report_quote(n->text, quoted));
		return;
	}
	names[*count] = arena_copy(&r->draft->kept, name);
	if (names[*count])
		++*count;
	else
		MISTAKE(r, n->mark, "%sout of memory", who);
}

static void read_risks(const struct reader *r, const struct doc_node *map, const char *who, struct rule *rule)
{
	const struct doc_node *n = reader_value(r, map, "risk");
	const char *names[RISKS_MAX + 1] = { NULL }, **kept;
	uint16_t numbers[RISKS_MAX], *kept_numbers;
	size_t count = 0;

	if (!n) {
		MISTAKE(r, map->mark, "%s'risk' is missing", who);
		return;
	}
	if (n->kind == DOC_LIST) {
		if (!n->first)
			MISTAKE(r, n->mark, "%s'risk' is empty", who);
		for (const struct doc_node *i = reader_node(r, n->first); i; i = reader_node(r, i->next))
			add_risk(r, who, i, names, numbers, &count);
	} else {
		add_risk(r, who, n, names, numbers, &count);
	}
	kept = arena_take(&r->draft->kept, (count + 1) * sizeof(*kept));
	kept_numbers = arena_take(&r->draft->kept, (count + 1) * sizeof(*kept_numbers));
	if (!kept || !kept_numbers) {
		MISTAKE(r, n->mark, "%sout of memory", who);
		return;
	}
	memcpy(kept, names, (count + 1) * sizeof(*kept));
	memcpy(kept_numbers, numbers, count * sizeof(*kept_numbers));
	rule->risks = kept;
	rule->risk_ids = kept_numbers;
	rule->risk_count = count;
}

size_t reader_choice(const struct reader *r, const struct doc_node *n, const char *who, const char *key,
                     const char *const *names, size_t count)
{
	char quoted[REPORT_QUOTE_MAX];
	size_t i = 0;

	while (i < count && !slice_is(n->text, slice_str(names[i])))
		i++;
	if (i == count)
		MISTAKE(r, n->mark, "%sunknown %s '%s'", who, key, report_quote(n->text, quoted));
	return i;
}

static void read_action(const struct reader *r, const struct doc_node *map, const char *who, struct rule *rule)
{
	const struct doc_node *n = reader_text(r, map, who, "action", true);

	if (!n)
		return;
	rule->action = (enum action)reader_choice(r, n, who, "action", action_names, ACTION_COUNT);
}

/* Whose word decides whether a hit counts: a name of sluice.yaml. */
static void read_opinion(const struct reader *r, const struct doc_node *map, const char *who, struct rule *rule)
{
	if (!reader_value(r, map, "opinion"))
		return;
	rule->opinion = reader_id(r, map, who, "opinion");
	if (rule->action == ACTION_REDACT)
		MISTAKE(r, map->mark, "%sa rule that redacts cannot ask for an opinion", who);
}

static enum boundary boundary_of(const struct reader *r, const struct doc_node *map, const char *who)
{
	const struct doc_node *n = reader_text(r, map, who, "boundary", false);
	size_t i = n ? reader_choice(r, n, who, "boundary", boundary_names, BOUNDARY_COUNT) : BOUNDARY_AUTO;

	return i == BOUNDARY_COUNT ? BOUNDARY_AUTO : (enum boundary)i;
}

void reader_words(const struct reader *r, const struct doc_node *list, enum role role, const char *key, const char *who)
{
	char name[WHO_BYTES];

	/* Without its ": ", as draft_keyword puts its own. */
	snprintf(name, sizeof(name), "%.*s", (int)strlen(who) - 2, who);
	if (list->kind != DOC_LIST) {
		MISTAKE(r, list->mark, "%s'%s' must be a list", who, key);
		return;
	}
	for (const struct doc_node *i = reader_node(r, list->first); i; i = reader_node(r, i->next)) {
		struct slice text;

		if (i->kind != DOC_TEXT) {
			MISTAKE(r, i->mark, "%sa %s must be text", who, role == ROLE_KEYWORD ? "keyword" : "word");
			continue;
		}
		/* The document goes before the needles do. */
		text = slice_of(arena_copy(&r->draft->texts, i->text), i->text.len);
		if (!text.at)
			MISTAKE(r, i->mark, "%sout of memory", who);
		else
			draft_keyword(r->draft, role, name, r->file, i->mark, text);
	}
}

static void read_keywords(const struct reader *r, const struct doc_node *map, const char *who)
{
	const struct doc_node *list = reader_value(r, map, "keywords"), *file;
	struct draft_rule *rule = &r->draft->rules[r->draft->rule_count - 1];
	size_t mistakes = r->draft->report->errors;
	char name[WHO_BYTES];

	snprintf(name, sizeof(name), "%.*s", (int)strlen(who) - 2, who);
	if (list)
		reader_words(r, list, ROLE_KEYWORD, "keywords", who);
	file = reader_text(r, map, who, "keywords_file", false);
	if (file)
		draft_list(r->draft, name, r->file, file->mark, file->text);
	if (r->draft->report->errors > mistakes)
		return;
	if (!rule->rule.keywords && !rule->rule.has_pattern && !rule->rule.all_count &&
	    !reader_value(r, map, "classifier") && !reader_value(r, map, "suspect"))
		MISTAKE(r, map->mark, "%sno keywords", who);
	if (rule->rule.keywords && rule->rule.has_pattern)
		MISTAKE(r, map->mark, "%sa rule has keywords or a pattern, not both", who);
}

static void read_rule(const struct reader *r, const struct doc_node *map, size_t number)
{
	struct draft *d = r->draft;
	const struct doc_node *id = NULL;
	struct draft_rule *rule;
	char who[WHO_BYTES], quoted[REPORT_QUOTE_MAX];

	snprintf(who, sizeof(who), "rule %zu: ", number);
	if (map->kind != DOC_MAP) {
		MISTAKE(r, map->mark, "%smust be a mapping", who);
		return;
	}
	if (!draft_reserve((void **)&d->rules, &d->rule_room, d->rule_count, sizeof(*d->rules))) {
		MISTAKE(r, map->mark, "%sout of memory", who);
		return;
	}
	rule = &d->rules[d->rule_count++];
	*rule = (struct draft_rule){ .rule.pack = r->pack, .version = r->version, .file = r->file };
	rule->first = d->keyword_count;
	rule->mark = map->mark;
	rule->rule.id = reader_id(r, map, who, "id");
	if (rule->rule.id) {
		id = reader_value(r, map, "id");
		rule->mark = id->mark;
		snprintf(who, sizeof(who), "rule '%s': ", report_quote(id->text, quoted));
	}
	check_keys(r, map, who, rule_keys, ARRAY_LEN(rule_keys));
	read_risks(r, map, who, &rule->rule);
	read_action(r, map, who, &rule->rule);
	read_opinion(r, map, who, &rule->rule);
	rule->boundary = boundary_of(r, map, who);
	reader_conditions(r, map, who, rule);
	read_keywords(r, map, who);
	reader_judging(r, map, who, rule);
}

static void read_pack(struct reader *r)
{
	const struct doc_node *root = &r->doc->nodes[1], *rules, *version;
	size_t number = 0, had = r->draft->rule_count;
	struct draft *d = r->draft;

	if (root->kind != DOC_MAP) {
		MISTAKE(r, root->mark, "a pack must be a mapping");
		return;
	}
	check_keys(r, root, "", pack_keys, ARRAY_LEN(pack_keys));
	r->pack = reader_id(r, root, "", "pack");
	version = reader_text(r, root, "", "version", false);
	r->version = arena_copy(&r->draft->kept, version ? version->text : SLICE(""));
	reader_pack(r, root);
	rules = reader_value(r, root, "rules");
	if (!rules)
		MISTAKE(r, root->mark, "'rules' is missing");
	else if (rules->kind != DOC_LIST)
		MISTAKE(r, rules->mark, "'rules' must be a list");
	else if (!rules->first)
		MISTAKE(r, rules->mark, "'rules' is empty");
	else
		for (const struct doc_node *i = reader_node(r, rules->first); i; i = reader_node(r, i->next))
			read_rule(r, i, ++number);
	if (!draft_reserve((void **)&d->pack_list, &d->pack_room, d->packs, sizeof(*d->pack_list))) {
		MISTAKE(r, root->mark, "out of memory");
		return;
	}
	d->pack_list[d->packs++] = (struct pack){ r->pack, r->version, arena_copy(&d->kept, slice_str(r->file)),
		                                  version ? reader_day(version->text) : 0, d->rule_count - had };
}

void draft_pack(struct draft *d, const char *file, struct slice bytes)
{
	owned(doc_free) struct doc doc = { 0 };
	struct reader r = { .draft = d, .doc = &doc };

	r.file = arena_copy(&d->texts, slice_str(file));
	if (!r.file) {
		report_mistake(d->report, file, (struct mark){ 1, 1 }, "out of memory");
		return;
	}
	if (bytes.len > DOC_BYTES_MAX) {
		MISTAKE(&r, ((struct mark){ 1, 1 }), "too large for a pack");
		return;
	}
	if (doc_parse(&doc, r.file, bytes, d->report))
		read_pack(&r);
}
