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
#include "policy/ruleset.h"

#define PIECE       1024
#define HITS_A_CALL 16
#define WAITING_MAX 4096  /* hits that are not decided, of one text */
#define WORDS_MAX   8192  /* words remembered, of one text */
#define EXCEPT_MAX  16    /* exceptions remembered for hits on words, which are told at once or one symbol late */
#define FAR         32768 /* symbols: no condition looks that far */

/* A word of a condition that was there. */
struct word {
	uint32_t rule, index;
	enum role role;
	uint64_t start, end, from, to;
};

/* A hit whose conditions are not decided. */
struct waiting {
	struct sight sight;
	uint32_t rule;
	bool near;
};

struct lookout_more {
	struct trail *trail; /* owned */
	struct word *words;  /* owned, in order of arrival */
	size_t word_count, word_room;
	struct waiting *waiting; /* owned */
	size_t waiting_count, waiting_room;
};

static void more_free(struct lookout_more *m)
{
	if (!m)
		return;
	trail_free(&m->trail);
	free(m->words);
	free(m->waiting);
	free(m);
}

void lookout_free(struct lookout *w)
{
	more_free(w->more);
	w->more = NULL;
}

static int reserve(void **at, size_t *room, size_t count, size_t size, size_t most)
{
	size_t more = *room ? 2 * *room : 8;
	void *p;

	if (count < *room)
		return 0;
	if (count >= most)
		return -ETIME;
	p = realloc(*at, more * size);
	if (!p)
		return -ENOMEM;
	*at = p;
	*room = more;
	return 0;
}

static int copy_more(const struct ruleset *r, struct lookout_more *to, const struct lookout_more *from)
{
	int error = to->trail ? 0 : trail_new(&to->trail, 0);

	if (!error)
		error = trail_copy(r->recognisers, to->trail, from->trail);
	to->word_count = to->waiting_count = 0;
	for (; !error && to->word_count < from->word_count; to->word_count++) {
		error = reserve((void **)&to->words, &to->word_room, to->word_count, sizeof(*to->words), SIZE_MAX);
		if (!error)
			to->words[to->word_count] = from->words[to->word_count];
	}
	for (; !error && to->waiting_count < from->waiting_count; to->waiting_count++) {
		error = reserve((void **)&to->waiting, &to->waiting_room, to->waiting_count, sizeof(*to->waiting),
		                SIZE_MAX);
		if (!error)
			to->waiting[to->waiting_count] = from->waiting[to->waiting_count];
	}
	return error;
}

int lookout_copy(const struct ruleset *r, struct lookout *to, const struct lookout *from)
{
	struct lookout_more *more = to->more;
	int error = 0;

	if (from->more && !more)
		more = calloc(1, sizeof(*more));
	if (from->more && !more)
		return -ENOMEM;
	if (from->more)
		error = copy_more(r, more, from->more);
	if (error) {
		more_free(more);
		to->more = NULL;
		return error;
	}
	if (!from->more) {
		more_free(more);
		more = NULL;
	}
	*to = *from;
	to->more = more;
	return 0;
}

/* ---- scope ---- */

static bool named(const char *const *names, const char *name)
{
	if (!names || !name || !*name)
		return true;
	for (; *names; names++) {
		size_t n = strlen(*names);

		if (n && (*names)[n - 1] == '*' ? !strncmp(*names, name, n - 1) : !strcmp(*names, name))
			return true;
	}
	return false;
}

bool rule_applies(const struct rule *rule, const struct scope *scope)
{
	const struct validity *v = &rule->validity;

	if (scope->now && ((v->from && scope->now < v->from) || (v->until && scope->now >= v->until)))
		return false;
	return named(v->services, scope->service) &&
	       (named(v->models, scope->model) || (scope->named && *scope->named && named(v->models, scope->named)));
}

bool ruleset_widens(const struct ruleset *r, const struct scope *before, const struct scope *now)
{
	for (size_t i = 0; i < r->rule_count; i++)
		if (rule_applies(&r->rules[i], now) && !rule_applies(&r->rules[i], before))
			return true;
	return false;
}

/* ---- one call ---- */

struct call {
	const struct ruleset *rules;
	const struct scope *scope;
	struct lookout *lookout;
	struct lookout_more *more;
	lookout_seen *seen;
	void *to;
};

/* What changes what the client gets is held, and nothing else. */
static bool holds(const struct rule *rule)
{
	return rule->action >= ACTION_REDACT;
}

/* Are the bytes of its hits asked for? */
static bool located(const struct call *c, const struct rule *rule)
{
	return c->lookout->locate || rule->action == ACTION_REDACT || rule->opinion;
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
	error = reserve((void **)&m->words, &m->word_room, m->word_count, sizeof(*m->words), WORDS_MAX);
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

/* A hit, its own needle or pattern complete. */
static int hit_of(struct call *c, uint32_t rule_index, const struct sight *s)
{
	const struct rule *rule = s->rule;
	struct lookout_more *m = c->more;
	struct waiting h = { *s, rule_index, !rule->near_within };
	int error;

	if (!rule->has_except && !rule->near_within)
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
	error = reserve((void **)&m->waiting, &m->waiting_room, m->waiting_count, sizeof(*m->waiting), WAITING_MAX);
	if (!error)
		m->waiting[m->waiting_count++] = h;
	return error;
}

static int needle_hit(struct call *c, const struct scan_hit *hit)
{
	const struct meaning *is = &c->rules->meanings[hit->needle];
	const struct rule *rule = &c->rules->rules[is->rule];
	struct sight s = { rule, is->index, hit->start, hit->end, 0, 0 };

	if (!rule_applies(rule, c->scope))
		return 0;
	if (is->role != ROLE_KEYWORD)
		return condition_word(c, is, hit);
	if (c->more && located(c, rule))
		trail_locate(c->more->trail, c->rules->scanner, hit->start, hit->end, &s.from, &s.to);
	return c->more ? hit_of(c, is->rule, &s) : c->seen(c->to, &s);
}

static int pattern_hit(void *to, const struct recognised *what)
{
	struct call *c = to;
	uint32_t rule = c->rules->pattern_rule[what->pattern];
	struct sight s = { &c->rules->rules[rule], 0, 0, 0, what->from, what->to };

	if (!rule_applies(s.rule, c->scope))
		return 0;
	s.start = trail_symbols(c->more->trail, c->rules->scanner, what->from);
	s.end = trail_symbols(c->more->trail, c->rules->scanner, what->to);
	return hit_of(c, rule, &s);
}

/* The first symbol that a needle under way may have. */
static uint64_t under_way(const struct ruleset *r, const struct lookout *w)
{
	return w->scan.symbols - scan_hold(r->scanner, &w->scan);
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

		if (error || (h.sight.rule->has_except && from <= h.sight.start) ||
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

int lookout_feed(const struct ruleset *r, const struct scope *scope, struct lookout *w, struct slice bytes,
                 lookout_seen *seen, void *to)
{
	struct call c = { r, scope, w, NULL, seen, to };
	int error = start_more(r, w);

	c.more = w->more;
	if (!c.more && !error) {
		w->bytes += bytes.len;
		return scan_piece(&c, bytes);
	}
	while (bytes.len && !error) {
		struct slice piece = slice_of(bytes.at, bytes.len < PIECE ? bytes.len : PIECE);

		bytes = slice_from(bytes, piece.len);
		error = trail_add(c.more->trail, &w->scan, piece);
		w->bytes += piece.len;
		if (!error)
			error = scan_piece(&c, piece);
		if (!error && r->recognisers)
			error = trail_recognise(c.more->trail, r->recognisers, false, pattern_hit, &c);
		if (!error)
			error = decide(&c, under_way(r, w));
		if (!error)
			trail_forget(c.more->trail, r->recognisers, under_way(r, w), r->asks ? LOOKOUT_RECENT : 0);
	}
	return error;
}

int lookout_end(const struct ruleset *r, const struct scope *scope, struct lookout *w, lookout_seen *seen, void *to)
{
	struct call c = { r, scope, w, w->more, seen, to };
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
	if (!c.more || error)
		return error;
	if (r->recognisers)
		error = trail_recognise(c.more->trail, r->recognisers, true, pattern_hit, &c);
	if (!error)
		error = decide(&c, UINT64_MAX);
	trail_restart(c.more->trail);
	c.more->word_count = c.more->waiting_count = 0;
	return error;
}

static void hold_from(struct lookout_hold *out, const struct sight *s)
{
	if (s->start < out->symbol)
		out->symbol = s->start;
	if (s->rule->has_pattern && s->from < out->byte)
		out->byte = s->from;
}

void lookout_hold(const struct ruleset *r, const struct lookout *w, struct lookout_hold *out)
{
	const struct lookout_more *m = w->more;
	uint64_t now = w->scan.symbols;

	*out = (struct lookout_hold){ under_way(r, w), w->bytes, 0 };
	if (m && r->recognisers) {
		uint64_t byte = trail_hold(m->trail, r->recognisers);

		if (byte < out->byte)
			out->byte = byte;
	}
	for (size_t i = 0; m && i < m->waiting_count; i++)
		if (holds(m->waiting[i].sight.rule))
			hold_from(out, &m->waiting[i].sight);
	for (size_t i = 0; m && i < m->word_count; i++) {
		const struct word *word = &m->words[i];
		const struct rule *rule = &r->rules[word->rule];

		if (word->role == ROLE_ALL && holds(rule) && now - word->start < rule->all_within &&
		    word->start < out->symbol)
			out->symbol = word->start;
	}
	out->length = now - out->symbol;
	if (out->byte < w->bytes) {
		uint64_t n = trail_characters(m->trail, out->byte);

		if (n > out->length)
			out->length = n;
	}
}

uint64_t lookout_first(const struct ruleset *r, const struct lookout *w)
{
	struct lookout_hold hold;
	uint64_t symbol;

	lookout_hold(r, w, &hold);
	if (hold.byte >= w->bytes)
		return hold.symbol;
	symbol = trail_symbols(w->more->trail, r->scanner, hold.byte);
	return symbol < hold.symbol ? symbol : hold.symbol;
}

struct slice lookout_recent(const struct lookout *w, uint64_t from, uint64_t *at)
{
	*at = w->bytes;
	return w->more && w->more->trail ? trail_recent(w->more->trail, from, at) : SLICE("");
}

bool lookout_idle(const struct ruleset *r, const struct lookout *w)
{
	struct lookout_hold hold;

	lookout_hold(r, w, &hold);
	return !hold.length && (!w->more || (!w->more->word_count && !w->more->waiting_count));
}
