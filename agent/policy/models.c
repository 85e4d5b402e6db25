/* SPDX-License-Identifier: Apache-2.0 */
/* models.c - the keys of a rule that ask a judge, and the models they name. */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "policy/judges.h"
#include "policy/reader.h"
#include "policy/ruleset.h"

void models_free(struct model *models, size_t count)
{
	for (size_t i = 0; i < count; i++)
		classifier_free(&models[i].classifier);
	free(models);
}

/* ---- the file ---- */

/* Reads a file that lies in the folder, and is signed as all of a policy must be, but for signatures; false with a
 * mistake. */
static bool read_beside(const struct reader *r, const struct doc_node *n, const char *who, const char *what,
                        struct slice path, size_t most, struct slice *out)
{
	owned(own_free) char *real = NULL;
	char quoted[REPORT_QUOTE_MAX];
	const char *why;
	int error;

	real = draft_inside(r->draft->dir, path, &why);
	if (real) {
		error = draft_read(&r->draft->kept, real, most, out);
		if (!error)
			return most == PACK_SIGNATURE || draft_signed(r->draft, r->file, n->mark, real, *out);
		why = draft_why(error);
	}
	MISTAKE(r, n->mark, "%s%s '%s': %s", who, what, report_quote(path, quoted), why);
	return false;
}

/* The file's signature lies beside it, as that of a pack does. */
static bool is_signed(const struct reader *r, const struct doc_node *model, const struct doc_node *key, const char *who,
                      struct slice file)
{
	owned(pack_key_free) struct pack_key *k = NULL;
	owned(own_free) char *beside = NULL;
	struct slice pem, signature;
	char quoted[REPORT_QUOTE_MAX];
	int error;

	if (!read_beside(r, key, who, "key", key->text, CLASSIFIER_FILE_MAX, &pem))
		return false;
	error = pack_key_parse(&k, pem);
	if (error) {
		MISTAKE(r, key->mark, "%skey '%s': %s", who, report_quote(key->text, quoted),
		        error == -EINVAL ? "not an Ed25519 public key in PEM" : strerror(-error));
		return false;
	}
	if (asprintf(&beside, "%.*s.sig", SLICE_ARG(model->text)) < 0) {
		beside = NULL;
		MISTAKE(r, model->mark, "%sout of memory", who);
		return false;
	}
	if (!read_beside(r, model, who, "signature", slice_str(beside), PACK_SIGNATURE, &signature))
		return false;
	error = pack_verify(k, file, signature);
	if (error)
		MISTAKE(r, model->mark, "%smodel '%s': %s", who, report_quote(model->text, quoted),
		        error == -EBADMSG ? "the signature is not that of the key over it" : strerror(-error));
	return !error;
}

/* The model of a file, read when it is named first. NULL with a mistake. */
static const struct model *model_of(const struct reader *r, const struct doc_node *n, const struct doc_node *key,
                                    const char *who)
{
	struct draft *d = r->draft;
	struct classifier_fault fault = { "out of memory", 0 };
	struct model m = { 0 };
	char quoted[REPORT_QUOTE_MAX];
	struct slice file;

	for (size_t i = 0; i < d->model_count; i++)
		if (slice_is(n->text, slice_str(d->models[i].name)))
			return !key || is_signed(r, n, key, who, d->models[i].file) ? &d->models[i] : NULL;
	if (d->model_count == MODELS_MAX) {
		MISTAKE(r, n->mark, "%smore than %d models", who, MODELS_MAX);
		return NULL;
	}
	if (!read_beside(r, n, who, "model", n->text, CLASSIFIER_FILE_MAX, &file) ||
	    (key && !is_signed(r, n, key, who, file)))
		return NULL;
	if (classifier_open(&m.classifier, file, &fault)) {
		MISTAKE(r, n->mark, "%smodel '%s': %s, at byte %zu", who, report_quote(n->text, quoted), fault.what,
		        fault.at);
		return NULL;
	}
	m.file = file;
	m.name = arena_copy(&d->kept, n->text);
	if (!m.name || !draft_reserve((void **)&d->models, &d->model_room, d->model_count, sizeof(m))) {
		classifier_free(&m.classifier);
		MISTAKE(r, n->mark, "%sout of memory", who);
		return NULL;
	}
	d->models[d->model_count] = m;
	return &d->models[d->model_count++];
}

/* ---- the keys ---- */

/* A probability between 0 and 1 as its logit; false with a mistake. */
static bool logit_of(const struct reader *r, const struct doc_node *n, const char *who, const char *key, int32_t *out)
{
	uint64_t v = 0, of = 1;
	bool good = n->kind == DOC_TEXT && n->text.len > 2 && n->text.len <= 11 && n->text.at[1] == '.' &&
	            n->text.at[0] == '0';

	for (size_t i = 2; good && i < n->text.len; i++) {
		good = n->text.at[i] >= '0' && n->text.at[i] <= '9';
		v = v * 10 + (uint64_t)(n->text.at[i] - '0');
		of *= 10;
	}
	if (!good || !v) {
		MISTAKE(r, n->mark, "%s'%s' must be a probability between 0 and 1, such as 0.9", who, key);
		return false;
	}
	*out = classifier_logit_of((double)v / (double)of);
	return true;
}

static void read_window(const struct reader *r, const struct doc_node *map, const char *who, struct judging *to)
{
	const struct doc_node *n = reader_value(r, map, "window");
	unsigned last = 0;

	to->window = CLASSIFIER_SENTENCE;
	if (!n || (n->kind == DOC_TEXT && slice_is(n->text, SLICE("sentence"))))
		return;
	if (n->kind == DOC_TEXT && slice_is(n->text, SLICE("answer"))) {
		to->window = CLASSIFIER_ANSWER;
		return;
	}
	for (size_t i = 0; n->kind == DOC_TEXT && i < n->text.len && last <= CLASSIFIER_LAST_MAX; i++)
		last = n->text.at[i] >= '0' && n->text.at[i] <= '9' ? last * 10 + (unsigned)(n->text.at[i] - '0')
		                                                    : CLASSIFIER_LAST_MAX + 1;
	if (!last || last > CLASSIFIER_LAST_MAX)
		MISTAKE(r, n->mark, "%s'window' must be sentence, answer, or a number of characters from 1 to %d", who,
		        CLASSIFIER_LAST_MAX);
	to->window = CLASSIFIER_LAST;
	to->last = (uint16_t)last;
}

static void read_hold(const struct reader *r, const struct doc_node *map, const char *who, struct judging *to)
{
	const struct doc_node *n = reader_text(r, map, who, "hold", false);
	size_t i = n ? reader_choice(r, n, who, "hold", judging_hold_names, JUDGING_HOLD_COUNT) : JUDGING_SENTENCE;

	to->hold = i == JUDGING_HOLD_COUNT ? JUDGING_SENTENCE : (enum judging_hold)i;
}

/* The risk that `risk` names, or else that of the rule which the model knows. */
static void read_risk(const struct reader *r, const struct doc_node *map, const char *who, const struct classifier *c,
                      struct rule *rule)
{
	const struct doc_node *n = reader_text(r, map, who, "risk", false);
	char quoted[REPORT_QUOTE_MAX];
	struct slice name;
	uint16_t number;
	size_t found = 0;

	if (n && !taxonomy_find(n->text, &name, &number))
		name = n->text;
	for (unsigned i = 0; i < classifier_risks(c); i++) {
		const char *of_model = classifier_risk(c, i)->name;
		bool is = n && slice_is(name, slice_str(of_model));

		for (size_t k = 0; !n && k < rule->risk_count; k++)
			is |= !strcmp(of_model, rule->risks[k]);
		if (!is)
			continue;
		found++;
		rule->judging.of_model = (uint16_t)i;
		rule->judging.risk = of_model;
	}
	if (found == 1)
		return;
	if (n)
		MISTAKE(r, n->mark, "%sthe model does not know the risk '%s'", who, report_quote(n->text, quoted));
	else
		MISTAKE(r, map->mark,
		        "%sthe model knows %s of the rule's risks: 'risk' must say which of its own is meant", who,
		        found ? "several" : "none");
}

/* What cannot be meant together. */
static void check(const struct reader *r, const struct doc_node *rule_map, const struct doc_node *map, const char *who,
                  const struct rule *rule)
{
	const struct judging *j = &rule->judging;
	bool hits = rule->keywords || rule->has_pattern;
	const char *wrong = NULL;

	if (reader_value(r, rule_map, "all_of"))
		wrong = "'all_of' cannot be joined with 'classifier'";
	else if (j->alone && (rule->has_except || rule->near_within))
		wrong = "'near' and 'except' are for words, and the classifier decides alone";
	else if (j->alone && j->unless != INT32_MIN)
		wrong = "'except_below' is for keywords or a pattern, and there are none";
	else if ((j->alone || rule->suspects) && j->threshold == INT32_MAX)
		wrong = "'threshold' is missing";
	else if (hits && !rule->suspects && j->threshold != INT32_MAX)
		wrong = "'threshold' is for 'suspect' words or for a rule without keywords: keywords have "
			"'except_below'";
	else if (hits && !rule->suspects && j->unless == INT32_MIN)
		wrong = "a classifier beside keywords or a pattern needs 'except_below' or 'suspect' words";
	else if (!j->alone && j->hold == JUDGING_ANSWER && j->window != CLASSIFIER_ANSWER)
		wrong = "'hold: answer' beside words needs 'window: answer'";
	else if (rule->action == ACTION_REDACT && j->alone)
		wrong = "what a classifier decides alone can be blocked, flagged or shadowed, not redacted";
	else if (rule->action == ACTION_REDACT && j->hold == JUDGING_NONE)
		wrong = "what has gone out cannot be redacted: 'hold' must be sentence or answer";
	if (wrong)
		MISTAKE(r, map->mark, "%s%s", who, wrong);
}

void reader_judging(const struct reader *r, const struct doc_node *rule_map, const char *who, struct draft_rule *rule)
{
	static const char *const keys[] = { "model", "risk", "threshold", "except_below", "window", "hold", "key" };
	const struct doc_node *map = reader_value(r, rule_map, "classifier"), *key, *file, *n;
	const struct doc_node *suspect = reader_value(r, rule_map, "suspect");
	struct judging *to = &rule->rule.judging;
	char quoted[REPORT_QUOTE_MAX];
	const struct model *m;

	*to = (struct judging){ .threshold = INT32_MAX, .unless = INT32_MIN };
	if (suspect)
		reader_words(r, suspect, ROLE_SUSPECT, "suspect", who);
	rule->rule.suspects = rule->words[ROLE_SUSPECT];
	if (suspect && !map)
		MISTAKE(r, suspect->mark, "%s'suspect' words need a 'classifier' that they wait for", who);
	if (!map)
		return;
	if (map->kind != DOC_MAP) {
		MISTAKE(r, map->mark, "%s'classifier' must be {model: FILE, threshold: P, ...}", who);
		return;
	}
	for (uint32_t k = map->first; k; k = r->doc->nodes[r->doc->nodes[k].next].next) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			known |= slice_is(r->doc->nodes[k].text, slice_str(keys[i]));
		if (!known)
			MISTAKE(r, r->doc->nodes[k].mark, "%s'classifier': unknown key '%s'", who,
			        report_quote(r->doc->nodes[k].text, quoted));
	}
	file = reader_text(r, map, who, "model", true);
	key = reader_text(r, map, who, "key", false);
	m = file ? model_of(r, file, key, who) : NULL;
	if (!m)
		return;
	to->model = m->name;
	to->digest = classifier_digest(m->classifier);
	to->alone = !rule->rule.keywords && !rule->rule.has_pattern && !rule->rule.suspects;
	read_risk(r, map, who, m->classifier, &rule->rule);
	read_window(r, map, who, to);
	read_hold(r, map, who, to);
	n = reader_value(r, map, "threshold");
	if (n && !logit_of(r, n, who, "threshold", &to->threshold))
		return;
	n = reader_value(r, map, "except_below");
	if (n && !logit_of(r, n, who, "except_below", &to->unless))
		return;
	check(r, rule_map, map, who, &rule->rule);
}

/* ---- rules become judges ---- */

static const struct classifier *classifier_of(const struct ruleset *r, const char *name)
{
	for (size_t i = 0; i < r->model_count; i++)
		if (r->models[i].name == name)
			return r->models[i].classifier;
	return NULL;
}

/* The judge of a rule, made if it is the first of its model and window. NULL: there are too many. */
static struct judge *judge_of(struct ruleset *r, struct judging *j)
{
	const struct classifier *c = classifier_of(r, j->model);
	size_t i = 0;

	while (i < r->judge_count &&
	       !(r->judges[i].model == c && r->judges[i].window == j->window && r->judges[i].last == j->last))
		i++;
	if (i == JUDGES_MAX)
		return NULL;
	if (i == r->judge_count)
		r->judges[r->judge_count++] = (struct judge){ .model = c, .window = j->window, .last = j->last };
	j->judge = (uint16_t)i;
	return &r->judges[i];
}

static void add_alone(struct judge *judge, const struct rule *rule, uint32_t index)
{
	const struct judging *j = &rule->judging;

	if (j->hold == JUDGING_NONE) {
		judge->watch_of[judge->watch_count] = judge->alone_count;
		judge->watches[judge->watch_count++] =
			(struct classifier_watch){ j->of_model, JUDGE_LEAST, j->threshold };
		if (j->window == CLASSIFIER_LAST && j->last < JUDGE_LEAST)
			judge->watches[judge->watch_count - 1].least = j->last;
	}
	judge->alone[judge->alone_count++] = index;
}

const char *ruleset_judge(struct ruleset *r)
{
	size_t bytes = 0;

	if (!r->model_count)
		return NULL;
	r->judges = calloc(JUDGES_MAX, sizeof(*r->judges));
	if (!r->judges)
		return strerror(ENOMEM);
	for (size_t i = 0; i < r->rule_count; i++) {
		struct rule *rule = &r->rules[i];
		struct judge *judge;

		if (!rule->judging.model)
			continue;
		judge = judge_of(r, &rule->judging);
		if (!judge)
			return "the classifiers: more than 32 models and windows";
		r->waits |= !rule->judging.alone;
		r->judges_words |= !rule->judging.alone;
		if (rule->judging.alone && judge->alone_count == JUDGE_RULES)
			return "the classifiers: more than 64 rules of one model and window";
		if (rule->judging.alone)
			add_alone(judge, rule, (uint32_t)i);
	}
	for (size_t i = 0; i < r->judge_count; i++)
		bytes += judged_bytes(r->judges[i].model, r->judges[i].window, r->judges[i].last) +
		         16 * (size_t)r->judges[i].watch_count;
	return bytes > JUDGES_TEXT_MAX ? "the classifiers: their windows take more than 64 KiB of memory a text" : NULL;
}
