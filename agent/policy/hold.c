/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c - what of a text must be held, and its memory. */
#include <errno.h>
#include <stdlib.h>

#include "policy/judges.h"
#include "policy/lookout.h"
#include "policy/ruleset.h"

/* ---- memory ---- */

int lookout_reserve(void **at, size_t *room, size_t count, size_t size, size_t most)
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
	judges_free(&w->judges);
}

void lookout_again(struct lookout *w)
{
	struct lookout_more *more = w->more;

	if (more && more->trail)
		trail_again(more->trail);
	if (more)
		more->word_count = more->waiting_count = 0;
	judges_free(&w->judges);
	*w = (struct lookout){ .more = more };
}

static int copy_more(const struct ruleset *r, struct lookout_more *to, const struct lookout_more *from)
{
	int error = to->trail ? 0 : trail_new(&to->trail, 0);

	if (!error)
		error = trail_copy(r->recognisers, to->trail, from->trail);
	to->word_count = to->waiting_count = 0;
	for (; !error && to->word_count < from->word_count; to->word_count++) {
		error = lookout_reserve((void **)&to->words, &to->word_room, to->word_count, sizeof(*to->words),
		                        SIZE_MAX);
		if (!error)
			to->words[to->word_count] = from->words[to->word_count];
	}
	for (; !error && to->waiting_count < from->waiting_count; to->waiting_count++) {
		error = lookout_reserve((void **)&to->waiting, &to->waiting_room, to->waiting_count,
		                        sizeof(*to->waiting), SIZE_MAX);
		if (!error)
			to->waiting[to->waiting_count] = from->waiting[to->waiting_count];
	}
	return error;
}

int lookout_copy(const struct ruleset *r, struct lookout *to, const struct lookout *from)
{
	struct lookout_more *more = to->more;
	struct judges_text *judges;
	int error = judges_copy(r, &to->judges, from->judges);

	if (error)
		return error;
	judges = to->judges;
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
	to->judges = judges;
	return 0;
}

/* ---- holding ---- */

uint64_t lookout_under_way(const struct ruleset *r, const struct lookout *w)
{
	return w->scan.symbols - scan_hold(r->scanner, &w->scan);
}

/* What changes what the client gets is held, and nothing else. */
static bool holds(const struct rule *rule)
{
	return rule->action >= ACTION_REDACT;
}

/* It waits for the judge, and its rule has it go out meanwhile. */
static bool is_let_go(const struct waiting *h)
{
	return h->unjudged && h->sight.rule->judging.hold == JUDGING_NONE;
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

	*out = (struct lookout_hold){ .symbol = lookout_under_way(r, w), .byte = w->bytes };
	if (m && r->recognisers) {
		uint64_t byte = trail_hold(m->trail, r->recognisers);

		if (byte < out->byte)
			out->byte = byte;
	}
	for (size_t i = 0; m && i < m->waiting_count; i++)
		if (holds(m->waiting[i].sight.rule) && !is_let_go(&m->waiting[i]))
			hold_from(out, &m->waiting[i].sight);
	for (size_t i = 0; m && i < m->word_count; i++) {
		const struct word *word = &m->words[i];
		const struct rule *rule = &r->rules[word->rule];

		if (word->role == ROLE_ALL && holds(rule) && now - word->start < rule->all_within &&
		    word->start < out->symbol)
			out->symbol = word->start;
	}
	if (w->judges)
		judges_hold(w, out);
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
	symbol = trail_symbols_least(w->more->trail, hold.byte);
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
	return !hold.length && (!w->judges || judges_idle(r, w->judges)) &&
	       (!w->more || (!w->more->word_count && !w->more->waiting_count));
}
