/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookout.c - hits become findings: conditions of rules, and what must be held until they are decided.
 *
 * The scanner says that a word or pattern is there. Whether it counts may depend on what stands around it: an exception
 * that it is part of, a word near it, other words of the rule. The first symbol that may still become part of any
 * needle (scan_hold) tells what can no longer come: no needle that begins before it is still under way. It never goes
 * back, so a condition is decided at one place of the text, however the text was cut.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "policy/judges.h"
#include "policy/lookout.h"
#include "policy/ruleset.h"

#define PIECE       1024
#define HITS_A_CALL 16
#define WAITING_MAX 4096  /* hits that are not decided, of one text */
#define WORDS_MAX   8192  /* words remembered, of one text */
#define EXCEPT_MAX  16    /* exceptions remembered for hits on words, which are told at once or one symbol late */
#define FAR         32768 /* symbols: no condition looks that far */

/* ---- one call ---- */

struct call {
	const struct ruleset *rules;
	const struct scope *scope;
	struct lookout *lookout;
	struct lookout_more *more;
	lookout_seen *seen;
	void *to;
	struct judges_call judges;
};

/* Are the bytes of its hits asked for? */
static bool located(const struct call *c, const struct rule *rule)
{
	return c->lookout->locate || rule->action == ACTION_REDACT || rule->opinion || rule->evidence != EVIDENCE_NONE;
}

static bool contains(const struct word *w, const struct sight *s)
{
	return w->start <= s->start && w->end >= s->end;
}

static bool is_near(const struct word *w, const struct sight *s, uint32_t within)
{
	return w->start <= s->end + within && w->end + within >= s->start;
}

static int keep_word(struct call *c, const struct word *w)
{
	struct lookout_more *m = c->more;
	bool late = c->rules->rules[w->rule].has_pattern;
	size_t same = 0, oldest = 0;
	int error;

	/* Of words near and of all words the last one is the best there will be. But the end of a pattern may be known
	 * late: then all count. */
	for (size_t i = m->word_count; i-- > 0;) {
		const struct word *old = &m->words[i];
		bool gone = old->end + FAR < w->start;

		if (old->rule == w->rule && old->role == w->role && !late) {
			if (w->role == ROLE_EXCEPT ? w->start <= old->start && w->end >= old->end
			                           : w->role == ROLE_NEAR || old->index == w->index)
				gone = true;
			if (!gone) {
				same++;
				oldest = i;
			}
		}
		if (gone) {
			memmove(&m->words[i], &m->words[i + 1], (m->word_count - i - 1) * sizeof(*m->words));
			m->word_count--;
			oldest -= oldest > i;
		}
	}
	if (w->role == ROLE_EXCEPT && same >= EXCEPT_MAX) {
		memmove(&m->words[oldest], &m->words[oldest + 1], (m->word_count - oldest - 1) * sizeof(*m->words));
		m->word_count--;
	}
	error = lookout_reserve((void **)&m->words, &m->word_room, m->word_count, sizeof(*m->words), WORDS_MAX);
	if (!error)
		m->words[m->word_count++] = *w;
	return error;
}

/* All words of the rule, the last of each, in few enough characters? */
static int all_there(struct call *c, uint32_t rule_index)
{
	const struct rule *rule = &c->rules->rules[rule_index];
	const struct lookout_more *m = c->more;
	struct sight s = { .rule = rule, .start = UINT64_MAX, .from = UINT64_MAX };
	uint32_t n = 0;

	for (size_t i = 0; i < m->word_count; i++) {
		const struct word *w = &m->words[i];

		if (w->rule != rule_index || w->role != ROLE_ALL)
			continue;
		n++;
		s.start = w->start < s.start ? w->start : s.start;
		s.from = w->from < s.from ? w->from : s.from;
		s.end = w->end > s.end ? w->end : s.end;
		s.to = w->to > s.to ? w->to : s.to;
	}
	return n == rule->all_count && s.end - s.start <= rule->all_within ? c->seen(c->to, &s) : 0;
}

static int condition_word(struct call *c, const struct meaning *is, const struct scan_hit *hit)
{
	struct word w = { is->rule, is->index, is->role, hit->start, hit->end, 0, 0 };
	const struct rule *rule = &c->rules->rules[is->rule];
	struct lookout_more *m = c->more;
	size_t left = 0;
	int error;

	if (located(c, rule))
		trail_locate(m->trail, c->rules->scanner, hit->start, hit->end, &w.from, &w.to);
	for (size_t i = 0; i < m->waiting_count; i++) {
		struct waiting *h = &m->waiting[i];

		if (h->rule == is->rule) {
			if (is->role == ROLE_EXCEPT && contains(&w, &h->sight))
				continue;
			if (is->role == ROLE_NEAR && is_near(&w, &h->sight, rule->near_within))
				h->near = true;
		}
		m->waiting[left++] = *h;
	}
	m->waiting_count = left;
	error = keep_word(c, &w);
	return !error && is->role == ROLE_ALL ? all_there(c, is->rule) : error;
}

/* A hit, its own needle or pattern complete. It does not count where the judge is below `limit`. */
static int hit_of(struct call *c, uint32_t rule_index, const struct sight *s, int32_t limit)
{
	const struct rule *rule = s->rule;
	struct lookout_more *m = c->more;
	struct waiting h = { *s, rule_index, !rule->near_within, limit != INT32_MIN && c->lookout->judges, limit };
	int error;

	if (!rule->has_except && !rule->near_within && !h.unjudged)
		return c->seen(c->to, s);
	for (size_t i = 0; i < m->word_count; i++) {
		const struct word *w = &m->words[i];

		if (w->rule != rule_index)
			continue;
		if (w->role == ROLE_EXCEPT && contains(w, s))
			return 0;
		if (w->role == ROLE_NEAR && is_near(w, s, rule->near_within))
			h.near = true;
	}
	error = lookout_reserve((void **)&m->waiting, &m->waiting_room, m->waiting_count, sizeof(*m->waiting),
	                        WAITING_MAX);
	if (!error)
		m->waiting[m->waiting_count++] = h;
	return error;
}

static int needle_hit(struct call *c, const struct scan_hit *hit)
{
	const struct meaning *is = &c->rules->meanings[hit->needle];
	const struct rule *rule = &c->rules->rules[is->rule];
	struct sight s = { .rule = rule, .keyword = is->index, .start = hit->start, .end = hit->end };
	bool suspect = is->role == ROLE_SUSPECT;

	if (!rule_applies(rule, c->scope) || (suspect && !c->lookout->judges))
		return 0;
	if (is->role != ROLE_KEYWORD && !suspect)
		return condition_word(c, is, hit);
	s.keyword += suspect ? (uint32_t)rule->keywords : 0;
	if (c->more && located(c, rule))
		trail_locate(c->more->trail, c->rules->scanner, hit->start, hit->end, &s.from, &s.to);
	return c->more ? hit_of(c, is->rule, &s, suspect ? rule->judging.threshold : rule->judging.unless)
	               : c->seen(c->to, &s);
}

static int pattern_hit(void *to, const struct recognised *what)
{
	struct call *c = to;
	uint32_t rule = c->rules->pattern_rule[what->pattern];
	struct sight s = { .rule = &c->rules->rules[rule], .from = what->from, .to = what->to };

	if (!rule_applies(s.rule, c->scope))
		return 0;
	s.start = trail_symbols(c->more->trail, c->rules->scanner, what->from);
	s.end = trail_symbols(c->more->trail, c->rules->scanner, what->to);
	return hit_of(c, rule, &s, s.rule->judging.unless);
}

/* Decides what can be decided when no needle that begins before `from` is still under way. */
static int decide(struct call *c, uint64_t from)
{
	struct lookout_more *m = c->more;
	size_t left = 0;
	int error = 0;

	for (size_t i = 0; i < m->waiting_count; i++) {
		struct waiting h = m->waiting[i];
		uint32_t within = h.sight.rule->near_within;

		if (error || h.unjudged || (h.sight.rule->has_except && from <= h.sight.start) ||
		    (!h.near && from <= h.sight.end + within))
			m->waiting[left++] = h;
		else if (h.near)
			error = c->seen(c->to, &h.sight);
	}
	m->waiting_count = left;
	return error;
}

static int scan_piece(struct call *c, struct slice bytes)
{
	struct scan_hit hits[HITS_A_CALL];
	int error = 0;

	while (bytes.len && !error) {
		size_t used, n = scan_feed(c->rules->scanner, &c->lookout->scan, bytes, &used, hits, HITS_A_CALL);

		bytes = slice_from(bytes, used);
		for (size_t i = 0; i < n && !error; i++)
			error = needle_hit(c, &hits[i]);
	}
	return error;
}

static int start_more(const struct ruleset *r, struct lookout *w)
{
	if (w->more || !(r->locates || r->waits || w->locate))
		return 0;
	w->more = calloc(1, sizeof(*w->more));
	return w->more ? trail_new(&w->more->trail, w->bytes) : -ENOMEM;
}

/* What waits for the judge, where it is asked now: it goes, or waits for the rest of its conditions. */
static void judge_waiting(struct call *c, bool end)
{
	struct lookout_more *m = c->more;
	size_t left = 0;

	for (size_t i = 0; i < m->waiting_count; i++) {
		struct waiting h = m->waiting[i];

		if (h.unjudged && judges_asked(h.sight.rule, end)) {
			if (!judges_agree(c->lookout, h.sight.rule, h.limit, &h.sight.logit))
				continue;
			h.sight.judged = true;
			h.unjudged = false;
		}
		m->waiting[left++] = h;
	}
	m->waiting_count = left;
}

/* A sentence is over, `end`: the text is. */
static int sentence_over(struct call *c, bool end)
{
	int error = judges_decide(&c->judges, end);

	if (c->more)
		judge_waiting(c, end);
	judges_go_on(&c->judges, end);
	if (!error && c->more)
		error = decide(c, end ? UINT64_MAX : lookout_under_way(c->rules, c->lookout));
	return error;
}

static int read_piece(struct call *c, struct slice piece)
{
	const struct ruleset *r = c->rules;
	struct lookout *w = c->lookout;
	int error;

	if (!c->more) {
		w->bytes += piece.len;
		return scan_piece(c, piece);
	}
	error = trail_add(c->more->trail, &w->scan, piece);
	w->bytes += piece.len;
	if (!error)
		error = scan_piece(c, piece);
	if (!error && r->recognisers)
		error = trail_recognise(c->more->trail, r->recognisers, false, pattern_hit, c);
	if (!error)
		error = decide(c, lookout_under_way(r, w));
	if (!error)
		trail_forget(c->more->trail, r->recognisers, lookout_under_way(r, w), r->asks ? LOOKOUT_RECENT : 0);
	return error;
}

static struct call call_of(const struct ruleset *r, const struct scope *scope, struct lookout *w, lookout_seen *seen,
                           void *to)
{
	return (struct call){ r, scope, w, w->more, seen, to, { r, scope, w, seen, to } };
}

int lookout_feed(const struct ruleset *r, const struct scope *scope, struct lookout *w, struct slice bytes,
                 lookout_seen *seen, void *to)
{
	int error = start_more(r, w);
	struct call c = call_of(r, scope, w, seen, to);

	while (bytes.len && !error) {
		struct slice piece = slice_of(bytes.at, c.more && bytes.len > PIECE ? PIECE : bytes.len);
		bool over = false;

		if (r->judge_count)
			error = judges_feed(&c.judges, &piece, &over);
		bytes = slice_from(bytes, piece.len);
		if (!error)
			error = read_piece(&c, piece);
		judges_caught_up(w);
		if (!error && over)
			error = sentence_over(&c, false);
	}
	return error;
}

bool lookout_skim(const struct ruleset *r, struct lookout *w, struct slice bytes)
{
	struct scan_state before = w->scan;
	struct scan_hit hit;
	size_t used;

	if (!r->words_only || w->locate)
		return false;
	if (scan_feed(r->scanner, &w->scan, bytes, &used, &hit, 1)) {
		w->scan = before;
		return false;
	}
	w->bytes += bytes.len;
	return true;
}

int lookout_end(const struct ruleset *r, const struct scope *scope, struct lookout *w, lookout_seen *seen, void *to)
{
	struct call c = call_of(r, scope, w, seen, to);
	struct scan_hit hits[HITS_A_CALL];
	int error = 0;
	size_t n;

	if (c.more)
		trail_end(c.more->trail);
	do {
		n = scan_end(r->scanner, &w->scan, hits, HITS_A_CALL);
		for (size_t i = 0; i < n && !error; i++)
			error = needle_hit(&c, &hits[i]);
	} while (n == HITS_A_CALL && !error);
	if (!error && c.more && r->recognisers)
		error = trail_recognise(c.more->trail, r->recognisers, true, pattern_hit, &c);
	if (!error && w->judges)
		error = judges_end(&c.judges);
	if (!error && w->judges)
		error = sentence_over(&c, true);
	if (!c.more || error)
		return error;
	error = decide(&c, UINT64_MAX);
	trail_restart(c.more->trail);
	c.more->word_count = c.more->waiting_count = 0;
	return error;
}
