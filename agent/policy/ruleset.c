/* SPDX-License-Identifier: Apache-2.0 */
/* ruleset.c - drafts become what the daemon reads: immutable, counted, with a digest. */
#include "policy/ruleset.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/own.h"
#include "policy/doc.h"
#include "policy/judges.h"
#include "policy/taxonomy.h"

static void ruleset_free(struct ruleset **at)
{
	struct ruleset *r = *at;

	if (!r)
		return;
	scanner_free(&r->scanner);
	recognisers_free(&r->recognisers);
	free(r->rules);
	free(r->meanings);
	free(r->pattern_rule);
	free(r->pack_list);
	models_free(r->models, r->model_count);
	free(r->judges);
	free(r->words);
	free(r->origins);
	arena_free(&r->strings);
	arena_free(&r->texts);
	free(r);
	*at = NULL;
}

/* ---- digest ---- */

static void digest_free(EVP_MD_CTX **at)
{
	EVP_MD_CTX_free(*at);
}

static bool put_number(EVP_MD_CTX *c, uint64_t n)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(n >> (8 * i));
	return EVP_DigestUpdate(c, bytes, sizeof(bytes));
}

static bool put_text(EVP_MD_CTX *c, struct slice s)
{
	return put_number(c, s.len) && EVP_DigestUpdate(c, s.len ? s.at : (const uint8_t *)"", s.len);
}

static bool put_names(EVP_MD_CTX *c, const char *const *names)
{
	size_t n = 0;
	bool fine;

	while (names && names[n])
		n++;
	fine = put_number(c, n);
	for (size_t i = 0; i < n; i++)
		fine = fine && put_text(c, slice_str(names[i]));
	return fine;
}

/* The model by what it holds, wherever it lies. */
static bool put_judging(EVP_MD_CTX *c, const struct judging *j)
{
	if (!j->model)
		return put_text(c, SLICE(""));
	return put_text(c, slice_of(j->digest, CLASSIFIER_DIGEST)) && put_text(c, slice_str(j->risk)) &&
	       put_number(c, j->window) && put_number(c, j->last) && put_number(c, j->hold) &&
	       put_number(c, (uint32_t)j->threshold) && put_number(c, (uint32_t)j->unless);
}

static bool put_rule(EVP_MD_CTX *c, const struct draft *d, const struct draft_rule *r)
{
	const struct rule *rule = &r->rule;
	bool fine = put_text(c, slice_str(rule->id)) && put_text(c, slice_str(rule->pack)) &&
	            put_text(c, slice_str(r->version)) && put_text(c, slice_str(action_names[rule->action])) &&
	            put_text(c, slice_str(boundary_names[r->boundary])) && put_number(c, rule->risk_count);

	for (size_t i = 0; i < rule->risk_count; i++)
		fine = fine && put_text(c, slice_str(rule->risks[i])) && put_number(c, rule->risk_ids[i]);
	fine = fine && put_text(c, slice_str(evidence_names[rule->evidence])) &&
	       put_names(c, rule->validity.services) && put_names(c, rule->validity.models) &&
	       put_number(c, (uint64_t)rule->validity.from) && put_number(c, (uint64_t)rule->validity.until) &&
	       put_text(c, r->pattern.text) && put_number(c, r->pattern.max_length) &&
	       put_text(c, slice_str(r->pattern.check ? check_name(r->pattern.check) : "")) &&
	       put_number(c, rule->near_within) && put_number(c, rule->all_within);
	fine = fine && put_number(c, rule->gap) && put_judging(c, &rule->judging) &&
	       put_text(c, slice_str(rule->opinion ? rule->opinion : "")) && put_number(c, r->count);
	for (size_t i = 0; i < r->count; i++)
		fine = fine && put_number(c, d->meanings[r->first + i].role) &&
		       put_number(c, d->meanings[r->first + i].form) && put_text(c, d->keywords[r->first + i].text);
	return fine;
}

/* Over the rules in order of id, every text with its length in front: file names, comments and layout do not count. */
static int digest(const struct draft *d, uint8_t out[RULESET_DIGEST])
{
	owned(digest_free) EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool fine = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) && put_text(c, SLICE("sluice policy 4"));

	for (size_t i = 0; i < d->rule_count; i++)
		fine = fine && put_rule(c, d, &d->rules[i]);
	return fine && EVP_DigestFinal_ex(c, out, NULL) ? 0 : -ENOMEM;
}

/* ---- from draft to ruleset ---- */

static int by_id(const void *x, const void *y)
{
	const struct draft_rule *a = x, *b = y;

	return strcmp(a->rule.id, b->rule.id);
}

static int by_id_then_order(const void *x, const void *y)
{
	const struct draft_rule *a = *(const struct draft_rule *const *)x, *b = *(const struct draft_rule *const *)y;
	int order = strcmp(a->rule.id, b->rule.id);

	return order ? order : a < b ? -1 : a > b;
}

/* Two rules of one id would make a record ambiguous; the later one is told where the first stands. */
static void check_doubles(const struct draft *d)
{
	owned(own_free) const struct draft_rule **at = malloc((d->rule_count + 1) * sizeof(*at));
	size_t n = 0;

	if (!at) {
		report_mistake(d->report, d->dir, (struct mark){ 0 }, "%s", strerror(ENOMEM));
		return;
	}
	for (size_t i = 0; i < d->rule_count; i++)
		if (d->rules[i].rule.id)
			at[n++] = &d->rules[i];
	qsort(at, n, sizeof(*at), by_id_then_order);
	for (size_t i = 1, first = 0; i < n; i++) {
		if (strcmp(at[i]->rule.id, at[first]->rule.id)) {
			first = i;
			continue;
		}
		report_mistake(d->report, at[i]->file, at[i]->mark,
		               "rule '%s': the id is taken by the rule at %s:%zu:%zu", at[i]->rule.id, at[first]->file,
		               at[first]->mark.line, at[first]->mark.column);
	}
}

/* Numbers of the operator's categories, once all packs are read. */
static void find_categories(struct draft *d)
{
	for (size_t i = 0; i < d->category_count; i++)
		for (size_t k = 0; k < i; k++) {
			const struct category *a = &d->categories[k], *b = &d->categories[i];

			if (!strcmp(a->name, b->name) || a->number == b->number)
				report_mistake(d->report, b->file, b->mark,
				               "category '%s': %s is taken by the category at %s:%zu:%zu", b->name,
				               a->number == b->number ? "the number" : "the id", a->file, a->mark.line,
				               a->mark.column);
		}
	for (size_t i = 0; i < d->rule_count; i++) {
		struct rule *rule = &d->rules[i].rule;

		for (size_t k = 0; k < rule->risk_count; k++)
			for (size_t c = 0; rule->risk_ids[k] == TAXONOMY_LOCAL && c < d->category_count; c++)
				if (!strcmp(d->categories[c].name, rule->risks[k]))
					rule->risk_ids[k] = d->categories[c].number;
	}
}

/* Privacy and personal information, A.4 e and f: what is kept of them is for a rule to say itself. */
static bool is_personal(const struct rule *rule)
{
	for (size_t i = 0; i < rule->risk_count; i++)
		if (rule->risk_ids[i] == 45 || rule->risk_ids[i] == 46)
			return true;
	return false;
}

/* What the rule says, else the configuration. */
static enum evidence evidence_of(const struct draft *d, const struct draft_rule *from)
{
	if (from->says_evidence || !d->terms)
		return from->rule.evidence;
	return d->terms->evidence > EVIDENCE_HASH && is_personal(&from->rule) ? EVIDENCE_NONE : d->terms->evidence;
}

static int number_needles(struct ruleset *r, struct draft *d)
{
	r->rules = malloc((d->rule_count + 1) * sizeof(*r->rules));
	if (!r->rules)
		return -ENOMEM;
	for (size_t i = 0; i < d->rule_count; i++) {
		const struct draft_rule *from = &d->rules[i];
		const struct rule *rule = &from->rule;

		r->rules[i] = *rule;
		r->rules[i].evidence = evidence_of(d, from);
		if (r->rules[i].evidence > r->keeps)
			r->keeps = r->rules[i].evidence;
		r->acts[rule->action] = true;
		r->locates |= rule->action == ACTION_REDACT || rule->has_pattern || rule->opinion ||
		              r->rules[i].evidence != EVIDENCE_NONE;
		r->asks |= rule->opinion != NULL;
		r->waits |= rule->has_except || rule->near_within || rule->all_count;
		for (size_t k = from->first; k < from->first + from->count; k++) {
			d->meanings[k].rule = (uint32_t)i;
			d->keywords[k].id = (uint32_t)k;
		}
	}
	r->meanings = TAKE(d->meanings);
	r->rule_count = d->rule_count;
	r->packs = d->packs;
	r->pack_list = TAKE(d->pack_list);
	r->models = TAKE(d->models);
	r->model_count = d->model_count;
	d->model_count = 0;
	r->needles = d->keyword_count;
	return 0;
}

/* The mark of a byte in a text that was written on one line. */
static struct mark within(const struct draft_pattern *p, size_t at)
{
	struct mark m = p->mark;

	for (size_t i = 0; i < at && i < p->text.len; i++)
		m.column += (p->text.at[i] & 0xc0) != 0x80;
	return m;
}

/* Patterns one after the other, so that all mistakes are told; then all together. */
static int compile_patterns(struct ruleset *r, const struct draft *d)
{
	owned(own_free) struct pattern *patterns = malloc((d->rule_count + 1) * sizeof(*patterns));
	struct pattern_fault fault;
	size_t n = 0, bad = 0;
	int error;

	r->pattern_rule = malloc((d->rule_count + 1) * sizeof(*r->pattern_rule));
	if (!patterns || !r->pattern_rule)
		return -ENOMEM;
	for (size_t i = 0; i < d->rule_count; i++) {
		const struct draft_rule *rule = &d->rules[i];
		const struct draft_pattern *p = &rule->pattern;
		owned(recognisers_free) struct recognisers *one = NULL;

		if (!p->text.len)
			continue;
		patterns[n] = (struct pattern){ p->text, p->max_length, rule->rule.action >= ACTION_REDACT, p->check };
		error = recognisers_compile(&one, &patterns[n], 1, &fault);
		if (error == -EINVAL) {
			report_mistake(d->report, rule->file, within(p, fault.at), "rule '%s': the pattern: %s",
			               rule->rule.id, fault.why);
			bad++;
		} else if (error) {
			return error;
		}
		r->pattern_rule[n++] = (uint32_t)i;
	}
	if (bad || !n)
		return bad ? -EINVAL : 0;
	error = recognisers_compile(&r->recognisers, patterns, n, &fault);
	if (error == -EINVAL)
		report_mistake(d->report, d->dir, (struct mark){ 0 }, "the patterns: %s", fault.why);
	return error;
}

static int compile(struct ruleset **out, struct draft *d, bool keep)
{
	owned(ruleset_free) struct ruleset *r = calloc(1, sizeof(*r));
	enum scan_fault fault = SCAN_FINE;
	const char *why;
	size_t which = 0;
	int error;

	if (!r)
		return -ENOMEM;
	if (d->rule_count)
		qsort(d->rules, d->rule_count, sizeof(*d->rules), by_id);
	error = digest(d, r->digest);
	if (!error)
		error = number_needles(r, d);
	if (!error)
		error = compile_patterns(r, d);
	if (error)
		return error;
	why = ruleset_judge(r);
	if (why) {
		report_mistake(d->report, d->dir, (struct mark){ 0 }, "%s", why);
		return -EINVAL;
	}
	r->words_only = !r->locates && !r->waits && !r->judge_count;
	error = scanner_compile(&r->scanner, d->keywords, d->keyword_count, &fault, &which);
	/* Keywords were looked at one by one: only together can they be too many. */
	if (error == -EINVAL)
		report_mistake(d->report, d->dir, (struct mark){ 0 }, "the keywords: %s", scan_fault_text[fault]);
	else if (error)
		report_mistake(d->report, d->dir, (struct mark){ 0 }, "%s", strerror(-error));
	if (error)
		return error;
	r->strings = d->kept;
	d->kept = (struct arena){ 0 };
	if (keep) {
		r->words = TAKE(d->keywords);
		r->origins = TAKE(d->origins);
		r->texts = d->texts;
		d->texts = (struct arena){ 0 };
	}
	atomic_init(&r->refs, 1);
	*out = TAKE(r);
	return 0;
}

/* ---- the folder ---- */

struct listing {
	struct dirent **at;
	int count;
};

static void listing_free(struct listing *l)
{
	for (int i = 0; i < l->count; i++)
		free(l->at[i]);
	free(l->at);
}

/* Hidden files are editors' and version control's. */
static int is_pack(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' &&
	       ((n > 5 && !strcmp(e->d_name + n - 5, ".yaml")) || (n > 4 && !strcmp(e->d_name + n - 4, ".yml")));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_pack_file(struct draft *d, const char *name)
{
	owned(arena_free) struct arena bytes = { 0 };
	owned(own_free) char *path = NULL;
	struct slice text = { 0 };
	int error;

	if (asprintf(&path, "%s/%s", d->dir, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	error = draft_read(&bytes, path, DOC_BYTES_MAX, &text);
	if (error) {
		report_mistake(d->report, name, (struct mark){ 1, 1 }, "%s", draft_why(error));
		return error;
	}
	if (draft_signed(d, name, (struct mark){ 1, 1 }, path, text))
		draft_pack(d, name, text);
	return 0;
}

/* What all packs together have wrong, or a ruleset. */
static int finish(struct ruleset **out, struct draft *d, bool keep, int error)
{
	check_doubles(d);
	find_categories(d);
	if (error)
		return error;
	return d->report->errors ? -EINVAL : compile(out, d, keep);
}

int ruleset_load_pack(struct ruleset **out, const char *dir, const char *file, const struct pack_key *key,
                      struct policy_report *report)
{
	owned(draft_free) struct draft d = { .report = report, .dir = dir, .key = key };

	return finish(out, &d, true, read_pack_file(&d, file));
}

int ruleset_load_texts(struct ruleset **out, const struct pack_text *packs, size_t count, struct policy_report *report)
{
	owned(draft_free) struct draft d = { .report = report };

	for (size_t i = 0; i < count; i++)
		draft_pack(&d, packs[i].name, packs[i].text);
	return finish(out, &d, false, 0);
}

int ruleset_load_on(struct ruleset **out, const char *dir, const struct policy_terms *terms,
                    struct policy_report *report)
{
	owned(draft_free) struct draft d = { .report = report, .dir = dir, .terms = terms };
	owned(listing_free) struct listing l = { 0 };
	int error = 0;

	d.key = terms ? terms->key : NULL;
	l.count = scandir(dir, &l.at, is_pack, by_name);
	if (l.count < 0) {
		error = -errno;
		l.count = 0;
		report_mistake(report, dir, (struct mark){ 0 }, "%s", strerror(-error));
		return error;
	}
	if (!l.count)
		report_mistake(report, dir, (struct mark){ 0 }, "no packs (*.yaml): an empty policy guards nothing");
	for (int i = 0; i < l.count; i++) {
		int e = read_pack_file(&d, l.at[i]->d_name);

		if (!error)
			error = e;
	}
	return finish(out, &d, terms && terms->words, error);
}

int ruleset_load(struct ruleset **out, const char *dir, struct policy_report *report)
{
	return ruleset_load_on(out, dir, NULL, report);
}

int ruleset_load_signed(struct ruleset **out, const char *dir, const struct pack_key *key, struct policy_report *report)
{
	return ruleset_load_on(out, dir, &(struct policy_terms){ .sealed = true, .key = key }, report);
}

int ruleset_load_words(struct ruleset **out, const char *dir, const struct pack_key *key, struct policy_report *report)
{
	return ruleset_load_on(out, dir, &(struct policy_terms){ .sealed = true, .words = true, .key = key }, report);
}

/* ---- reading ---- */

struct ruleset *ruleset_get(struct ruleset *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void ruleset_put(struct ruleset **at)
{
	if (!*at)
		return;
	if (atomic_fetch_sub_explicit(&(*at)->refs, 1, memory_order_acq_rel) == 1)
		ruleset_free(at);
	*at = NULL;
}

const struct scanner *ruleset_scanner(const struct ruleset *r)
{
	return r->scanner;
}

const struct rule *ruleset_rule(const struct ruleset *r, uint32_t needle)
{
	return &r->rules[r->meanings[needle].rule];
}

uint32_t ruleset_keyword(const struct ruleset *r, uint32_t needle)
{
	return r->meanings[needle].index;
}

size_t ruleset_patterns(const struct ruleset *r)
{
	return r->recognisers ? recognisers_count(r->recognisers) : 0;
}

size_t ruleset_patterns_compiled(const struct ruleset *r)
{
	return r->recognisers ? recognisers_compiled(r->recognisers) : 0;
}

size_t ruleset_models(const struct ruleset *r)
{
	return r->model_count;
}

struct ruleset_model ruleset_model_at(const struct ruleset *r, size_t i)
{
	return (struct ruleset_model){ r->models[i].name, r->models[i].classifier };
}

size_t ruleset_rules(const struct ruleset *r)
{
	return r->rule_count;
}

const struct rule *ruleset_rule_at(const struct ruleset *r, size_t i)
{
	return &r->rules[i];
}

size_t ruleset_packs(const struct ruleset *r)
{
	return r->packs;
}

const struct pack *ruleset_pack_at(const struct ruleset *r, size_t i)
{
	return &r->pack_list[i];
}

size_t ruleset_needles(const struct ruleset *r)
{
	return r->needles;
}

bool ruleset_word(const struct ruleset *r, size_t needle, struct policy_word *out)
{
	const struct meaning *is;

	if (!r->words || needle >= r->needles)
		return false;
	is = &r->meanings[needle];
	*out = (struct policy_word){ &r->rules[is->rule],
		                     r->words[needle].text,
		                     is->role,
		                     is->form,
		                     is->index,
		                     r->words[needle].gap,
		                     r->origins[needle].file,
		                     r->origins[needle].line,
		                     r->origins[needle].column };
	return true;
}

bool ruleset_acts(const struct ruleset *r, enum action action)
{
	return r->acts[action];
}

enum evidence ruleset_keeps(const struct ruleset *r)
{
	return r->keeps;
}

bool ruleset_asks(const struct ruleset *r)
{
	return r->asks;
}

bool ruleset_words_only(const struct ruleset *r)
{
	return r->words_only;
}

const uint8_t *ruleset_digest(const struct ruleset *r)
{
	return r->digest;
}
