/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - texts, what of them is held, and what was found.
 *
 * A unit (an event, a body, a character) is released or held as a whole. When a unit touches a text for the first time,
 * the text remembers where the unit began and how many symbols it had: a mark. The automaton says how many symbols at
 * the text's end may still become part of a hit; the mark of the unit that holds the first of these is how far the
 * answer may be released, and the least of all texts' marks decides.
 */
#include "exchange/private.h"

#include <errno.h>
#include <stdlib.h>

#define HITS_A_CALL 16

static bool goes_on(enum channel channel)
{
	return channel != CHANNEL_LABEL && channel != CHANNEL_KEY && channel != CHANNEL_HEADER;
}

/* Generated text of a choice, as the tables know it. */
static bool is_prose(enum channel channel)
{
	return channel >= CHANNEL_CONTENT && channel <= CHANNEL_TOOL_ARGUMENTS;
}

/* ---- hits ---- */

static enum exception found(struct exchange *x, const struct scan_hit *hit, enum channel channel, uint32_t choice)
{
	const struct rule *rule = ruleset_rule(x->rules, hit->needle);
	uint32_t keyword = ruleset_keyword(x->rules, hit->needle);
	struct finding *f;

	if (rule->action == ACTION_BLOCK && !x->blocked)
		x->blocked = rule;
	for (size_t i = 0; i < x->finding_count; i++) {
		f = &x->findings[i];
		if (f->rule == rule && f->keyword == keyword && f->channel == channel && f->choice == choice) {
			/* The same place may be read twice, as part of a longer text and by itself. */
			if (f->last_offset != hit->start) {
				f->repeat++;
				f->last_offset = hit->start;
			}
			return EXCEPTION_NONE;
		}
	}
	if (x->finding_count == FINDINGS_MAX) {
		x->report.findings_lost++;
		return EXCEPTION_NONE;
	}
	if (x->finding_count == x->finding_room) {
		size_t room = x->finding_room ? 2 * x->finding_room : 4;
		struct finding *more = realloc(x->findings, room * sizeof(*more));

		if (!more)
			return EXCEPTION_MEMORY;
		x->findings = more;
		x->finding_room = room;
	}
	x->findings[x->finding_count++] = (struct finding){
		.rule = rule,
		.keyword = keyword,
		.channel = channel,
		.choice = choice,
		.offset = hit->start,
		.length = (uint32_t)(hit->end - hit->start),
		.wire = x->unit.wire,
		.last_offset = hit->start,
	};
	return EXCEPTION_NONE;
}

static enum exception found_all(struct exchange *x, const struct scan_hit *hits, size_t n, enum channel channel,
                                uint32_t choice)
{
	enum exception e = EXCEPTION_NONE;

	for (size_t i = 0; i < n && e == EXCEPTION_NONE; i++)
		e = found(x, &hits[i], channel, choice);
	return e;
}

static enum exception feed(struct exchange *x, struct scan_state *state, struct slice bytes, enum channel channel,
                           uint32_t choice)
{
	struct scan_hit hits[HITS_A_CALL];
	enum exception e = EXCEPTION_NONE;
	size_t n, used;

	do {
		n = scan_feed(x->scanner, state, bytes, &used, hits, HITS_A_CALL);
		bytes = slice_from(bytes, used);
		e = found_all(x, hits, n, channel, choice);
	} while (e == EXCEPTION_NONE && bytes.len);
	return e;
}

static enum exception end(struct exchange *x, struct scan_state *state, enum channel channel, uint32_t choice)
{
	struct scan_hit hits[SCAN_NEEDLE_MAX];
	size_t n = scan_end(x->scanner, state, hits, SCAN_NEEDLE_MAX);

	return found_all(x, hits, n, channel, choice);
}

/* ---- texts ---- */

static struct text *text_of(struct exchange *x, enum channel channel, uint32_t choice, uint32_t sub, uint64_t path)
{
	struct text *t;

	for (size_t i = 0; i < x->text_count; i++) {
		size_t at = (x->last_text + i) % x->text_count;

		t = &x->texts[at];
		if (t->channel == channel && t->choice == choice && t->sub == sub && t->path == path) {
			x->last_text = at;
			return t;
		}
	}
	if (x->text_count == TEXTS_MAX)
		return NULL;
	if (x->text_count == x->text_room) {
		size_t room = x->text_room ? 2 * x->text_room : 4;
		struct text *more = realloc(x->texts, room * sizeof(*more));

		if (!more)
			return NULL;
		x->texts = more;
		x->text_room = room;
	}
	x->last_text = x->text_count++;
	t = &x->texts[x->last_text];
	*t = (struct text){ .channel = channel, .choice = choice, .sub = sub, .path = path };
	return t;
}

static bool touch(struct exchange *x, struct text *t)
{
	if (t->touched)
		return true;
	if (t->mark_end == t->mark_room) {
		uint32_t live = t->mark_end - t->mark_first;

		if (t->mark_first > live) {
			memmove(t->marks, t->marks + t->mark_first, live * sizeof(*t->marks));
		} else {
			uint32_t room = t->mark_room ? 2 * t->mark_room : 4;
			struct mark *more = malloc(room * sizeof(*more));

			if (!more)
				return false;
			if (live)
				memcpy(more, t->marks + t->mark_first, live * sizeof(*more));
			free(t->marks);
			t->marks = more;
			t->mark_room = room;
		}
		t->mark_first = 0;
		t->mark_end = live;
	}
	if (t->mark_first == t->mark_end)
		x->holding++;
	t->marks[t->mark_end++] = (struct mark){ t->state.symbols, x->unit };
	t->touched = true;
	return true;
}

static void forget_marks(struct exchange *x, struct text *t)
{
	if (t->mark_first != t->mark_end)
		x->holding--;
	t->mark_first = t->mark_end = 0;
}

static struct choice *choice_of(struct exchange *x, uint32_t index)
{
	for (size_t i = 0; i < x->choice_count; i++)
		if (x->choices[i].index == index)
			return &x->choices[i];
	if (x->choice_count == CHOICES_MAX)
		return NULL;
	if (x->choice_count == x->choice_room) {
		size_t room = x->choice_room ? 2 * x->choice_room : 4;
		struct choice *more = realloc(x->choices, room * sizeof(*more));

		if (!more)
			return NULL;
		x->choices = more;
		x->choice_room = room;
	}
	x->choices[x->choice_count] = (struct choice){ .index = index };
	return &x->choices[x->choice_count++];
}

enum exception text_choice(struct exchange *x, uint32_t index, bool finish)
{
	struct choice *c = choice_of(x, index);

	if (!c)
		return EXCEPTION_TOO_MANY_TEXTS;
	if (finish && !c->finished)
		x->finishing = c->finishing = true;
	return EXCEPTION_NONE;
}

enum exception text_alone(struct exchange *x, enum channel channel, struct slice bytes, bool begin, bool finish)
{
	enum exception e;

	if (begin)
		x->one = (struct scan_state){};
	e = bytes.len ? feed(x, &x->one, bytes, channel, 0) : EXCEPTION_NONE;
	return e == EXCEPTION_NONE && finish ? end(x, &x->one, channel, 0) : e;
}

enum exception text_feed(struct exchange *x, const struct leaf *leaf)
{
	enum exception e;
	struct text *t;

	if (!goes_on(leaf->channel))
		return text_alone(x, leaf->channel, leaf->text, leaf->begin, leaf->end);
	if (is_prose(leaf->channel)) {
		struct choice *c = choice_of(x, leaf->choice);

		if (!c)
			return EXCEPTION_TOO_MANY_TEXTS;
		if (c->finished && leaf->text.len)
			return EXCEPTION_TEXT_AFTER_FINISH;
	} else if (leaf->channel == CHANNEL_OTHER) {
		/* Nobody knows how its pieces are put together: they are read by themselves, too. */
		e = text_alone(x, leaf->channel, leaf->text, leaf->begin, leaf->end);
		if (e != EXCEPTION_NONE)
			return e;
	}
	if (!leaf->text.len)
		return EXCEPTION_NONE;
	t = text_of(x, leaf->channel, leaf->choice, leaf->sub, leaf->path);
	if (!t)
		return EXCEPTION_TOO_MANY_TEXTS;
	if (!touch(x, t))
		return EXCEPTION_MEMORY;
	return feed(x, &t->state, leaf->text, leaf->channel, leaf->choice);
}

/* ---- units ---- */

void unit_begin(struct exchange *x)
{
	x->unit = x->edge;
	x->unit_open = true;
}

/* Forgets the marks of units that are no longer needed. A cut UTF-8 character is held with its unit. */
static void settle(struct exchange *x, struct text *t)
{
	size_t hold = scan_hold(x->scanner, &t->state);
	uint64_t from = t->state.symbols - hold;

	t->touched = false;
	if (hold > x->report.max_hold)
		x->report.max_hold = (uint32_t)hold;
	if (!hold && !t->state.tail_len) {
		forget_marks(x, t);
		return;
	}
	while (t->mark_end - t->mark_first > 1 && t->marks[t->mark_first + 1].symbols <= from)
		t->mark_first++;
}

static enum exception finish_choices(struct exchange *x)
{
	enum exception e = EXCEPTION_NONE;

	x->finishing = false;
	for (size_t c = 0; c < x->choice_count && e == EXCEPTION_NONE; c++) {
		struct choice *choice = &x->choices[c];

		if (!choice->finishing)
			continue;
		choice->finishing = false;
		choice->finished = true;
		choice->finish_at = x->unit.wire;
		for (size_t i = 0; i < x->text_count && e == EXCEPTION_NONE; i++) {
			struct text *t = &x->texts[i];

			if (!is_prose(t->channel) || t->choice != choice->index)
				continue;
			e = end(x, &t->state, t->channel, t->choice);
			if (!x->blocked)
				forget_marks(x, t);
		}
	}
	return e;
}

/* The first place that some text still needs. */
static struct point needed(const struct exchange *x)
{
	struct point least = x->here;

	if (!x->holding)
		return least;
	for (size_t i = 0; i < x->text_count; i++) {
		const struct text *t = &x->texts[i];

		if (t->mark_first != t->mark_end && t->marks[t->mark_first].point.wire < least.wire)
			least = t->marks[t->mark_first].point;
	}
	return least;
}

/* Every byte so far must be text that was scanned, or structure. */
static bool covered(const struct exchange *x)
{
	return x->here.wire == x->here.scanned + x->here.structural;
}

enum exception unit_end(struct exchange *x)
{
	enum exception e = EXCEPTION_NONE;

	x->unit_open = false;
	x->edge = x->here;
	for (size_t i = 0; i < x->text_count; i++)
		if (x->texts[i].touched)
			settle(x, &x->texts[i]);
	if (x->finishing)
		e = finish_choices(x);
	if (e != EXCEPTION_NONE)
		return e;
	if (!covered(x))
		return EXCEPTION_COVERAGE;
	if (!x->blocked)
		x->cleared = needed(x);
	return EXCEPTION_NONE;
}

void unit_extend(struct exchange *x)
{
	if (x->unit_open)
		return;
	x->edge = x->here;
	if (!x->holding && !x->blocked)
		x->cleared = x->here;
}

enum exception texts_end(struct exchange *x)
{
	enum exception e = EXCEPTION_NONE;

	for (size_t i = 0; i < x->text_count && e == EXCEPTION_NONE; i++) {
		e = end(x, &x->texts[i].state, x->texts[i].channel, x->texts[i].choice);
		forget_marks(x, &x->texts[i]);
	}
	if (e == EXCEPTION_NONE && !covered(x))
		return EXCEPTION_COVERAGE;
	return e;
}
