/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.c - what the words of a policy do to each other.
 *
 * The policy reads itself: each keyword is a text, and what its own scanner finds there is what another keyword would
 * have found. So folds, boundaries and gaps are right by being the same.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "policy/ruleset.h"
#include "policy/taxonomy.h"

#define HITS_A_CALL 16
#define BRIEF       3

_Static_assert(POLICY_RISKS == TAXONOMY_COUNT, "the door says how many");

struct inspection {
	const struct ruleset *rules;
	int64_t now;
	struct word_counts *counts;
	words_seen *seen;
	void *to;
	/* of the word at hand: */
	size_t word, symbols;
	uint32_t known; /* risks that have it already: bit k, the k-th of the table */
};

static bool in_force(const struct rule *rule, int64_t now)
{
	const struct validity *v = &rule->validity;

	return !(v->from && now < v->from) && !(v->until && now >= v->until);
}

/* Risks of the table that a word has: bit k, the k-th of them. Its list may say which of its rule's. */
static uint32_t risks_of(const struct ruleset *r, size_t word)
{
	const struct rule *rule = &r->rules[r->meanings[word].rule];
	uint16_t own = r->origins[word].risk;
	uint32_t risks = 0;

	for (size_t k = 0; k < TAXONOMY_COUNT; k++)
		for (size_t i = 0; i < rule->risk_count; i++)
			if (taxonomy[k].number == rule->risk_ids[i] && (!own || own == taxonomy[k].number))
				risks |= 1u << k;
	return risks;
}

static bool has_least(uint32_t risks)
{
	for (size_t k = 0; k < TAXONOMY_COUNT; k++)
		if (risks >> k & 1 && taxonomy[k].keywords)
			return true;
	return false;
}

static void found(struct inspection *x, const struct scan_hit *hit)
{
	const struct meaning *a = &x->rules->meanings[x->word], *b = &x->rules->meanings[hit->needle];
	const struct rule *rule = &x->rules->rules[a->rule], *other = &x->rules->rules[b->rule];
	bool whole = hit->start == 0 && hit->end == x->symbols;

	if (hit->needle == x->word || b->form != FORM_WRITTEN)
		return;
	if (b->role == ROLE_EXCEPT ? a->rule == b->rule && whole && !rule->gap
	                           : b->role == ROLE_KEYWORD && (!whole || hit->needle < x->word))
		x->seen(x->to, x->word, hit->needle, whole);
	if (b->role != ROLE_KEYWORD || !whole || hit->needle > x->word || !in_force(other, x->now))
		return;
	x->known |= risks_of(x->rules, hit->needle);
}

static void count(struct inspection *x)
{
	uint32_t risks = risks_of(x->rules, x->word);

	if (!in_force(&x->rules->rules[x->rules->meanings[x->word].rule], x->now))
		return;
	for (size_t k = 0; k < TAXONOMY_COUNT; k++)
		x->counts->risks[k].keywords += (risks & ~x->known) >> k & 1;
	x->counts->total += has_least(risks) && !has_least(x->known);
}

static void read_word(struct inspection *x)
{
	struct slice text = x->rules->words[x->word].text;
	struct scan_hit hits[HITS_A_CALL];
	struct scan_state st = { 0 };
	struct scan_look look = { 0 };
	size_t n, used;

	scan_look(text, &look);
	x->symbols = look.symbols;
	x->known = 0;
	for (; text.len; text = slice_from(text, used)) {
		n = scan_feed(x->rules->scanner, &st, text, &used, hits, HITS_A_CALL);
		for (size_t i = 0; i < n; i++)
			found(x, &hits[i]);
	}
	do {
		n = scan_end(x->rules->scanner, &st, hits, HITS_A_CALL);
		for (size_t i = 0; i < n; i++)
			found(x, &hits[i]);
	} while (n == HITS_A_CALL);
	count(x);
}

/* Forms follow the word they are of. */
static void count_forms(struct inspection *x, size_t words)
{
	const struct ruleset *r = x->rules;
	const struct meaning *m = &r->meanings[x->word];

	if (m->form == FORM_INITIALS && r->words[x->word].text.len < BRIEF)
		x->counts->brief++;
	if (m->form == FORM_WRITTEN && m->role != ROLE_EXCEPT && r->rules[m->rule].pinyin &&
	    (x->word + 1 == words || r->meanings[x->word + 1].form == FORM_WRITTEN ||
	     r->meanings[x->word + 1].form == FORM_SPLIT))
		x->counts->unread++;
}

int ruleset_inspect(const struct ruleset *r, int64_t now, struct word_counts *out, words_seen *seen, void *to)
{
	struct word_counts counts = { 0 };
	struct inspection x = { .rules = r, .now = now, .counts = &counts, .seen = seen, .to = to };

	if (!r->words)
		return -EINVAL;
	for (size_t i = 0; i < TAXONOMY_COUNT; i++)
		counts.risks[i] =
			(struct risk_count){ taxonomy[i].clause,  taxonomy[i].zh, taxonomy[i].en, taxonomy[i].number, 0,
			                     taxonomy[i].keywords };
	for (x.word = 0; x.word < r->needles; x.word++) {
		count_forms(&x, r->needles);
		if (r->meanings[x.word].role == ROLE_KEYWORD && r->meanings[x.word].form == FORM_WRITTEN)
			read_word(&x);
	}
	*out = counts;
	return 0;
}

size_t ruleset_longest(const struct ruleset *r, const struct rule *rule, enum role role)
{
	size_t longest = 0;

	for (size_t i = 0; r->words && i < r->needles; i++) {
		struct scan_look look = { 0 };

		if (&r->rules[r->meanings[i].rule] == rule && r->meanings[i].role == role &&
		    r->meanings[i].form == FORM_WRITTEN && scan_look(r->words[i].text, &look) == SCAN_FINE &&
		    look.symbols > longest)
			longest = look.symbols;
	}
	return longest;
}
