/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit.c - how far the answer may go out.
 *
 * A unit (an event, a body, a character) is released or held as a whole. When a unit touches a text for the first time,
 * the text remembers where the unit began and how many symbols it had: a mark. The automaton says how many symbols at
 * the text's end may still become part of a hit; the mark of the unit that holds the first of these is how far the
 * answer may be released, and the least of all texts' marks decides.
 */
#include "exchange/private.h"
#include "exchange/redact.h"

/* Most symbols that one character or escape gives; a mark inside of one may be that far from where it ends. */
#define CUT_SYMBOLS 18
#define CUT_BYTES   UNESCAPE_MAX

void unit_begin(struct exchange *x)
{
	x->unit = x->edge;
	x->unit_open = true;
}

/* From these on all lie in the unit of the mark, their first byte too. */
static bool begins(const struct mark *m, const struct lookout_hold *hold)
{
	return m->symbols + (m->cut ? CUT_SYMBOLS : 0) <= hold->symbol &&
	       m->bytes + (m->cut ? CUT_BYTES : 0) <= hold->byte;
}

/* Forgets the marks of units that are no longer needed. A cut UTF-8 character is held with its unit. */
static void settle(struct exchange *x, struct text *t)
{
	struct lookout_hold hold;

	lookout_hold(x->rules, &t->state, &hold);
	t->touched = false;
	if (hold.length > x->report.max_hold)
		x->report.max_hold = (uint32_t)hold.length;
	if (!hold.length && !text_is_cut(t)) {
		text_forget_marks(x, t);
		return;
	}
	/* It goes out as a whole: where it began is all that is asked for. */
	t->whole = hold.whole;
	if (hold.whole)
		t->mark_end = t->mark_first + 1;
	while (t->mark_end - t->mark_first > 1 && begins(&t->marks[t->mark_first + 1], &hold))
		t->mark_first++;
}

static enum exception text_end(struct exchange *x, struct text *t)
{
	struct reading r = { .state = &t->state, .text = (uint32_t)(t - x->texts) + 1 };

	if (t->is_twin)
		r = (struct reading){ .state = &t->state, .text = t->twin_of + 1, .way = READ_TWIN };
	if (t->is_twin && !t->is_coded)
		r.escapes = &t->escapes;
	r.place = (uint32_t)(t - x->texts) + 1;
	if (t->is_coded)
		r.text = 0; /* decoded, it lies in no lane */
	r.kept = t->kept;
	redact_step(x);
	return reading_end(x, &r, t->channel, t->choice);
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

			if (!text_is_prose(t->channel) || t->choice != choice->index)
				continue;
			e = text_end(x, t);
			if (!x->blocked)
				text_forget_marks(x, t);
		}
	}
	return e;
}

/* The first place that some text still needs. */
static const struct point *needed(const struct exchange *x)
{
	const struct point *least = &x->here;

	if (!x->holding)
		return least;
	for (size_t i = 0; i < x->text_count; i++) {
		const struct text *t = &x->texts[i];

		if (t->mark_first != t->mark_end && t->marks[t->mark_first].point.wire < least->wire)
			least = &t->marks[t->mark_first].point;
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
	const struct point *next;

	x->unit_open = false;
	x->edge = x->here;
	for (size_t i = 0; i < x->text_count; i++)
		if (x->texts[i].touched) {
			if (x->redact && !x->texts[i].is_twin)
				track_trim(x, i);
			settle(x, &x->texts[i]);
		}
	if (x->finishing)
		e = finish_choices(x);
	if (e != EXCEPTION_NONE)
		return e;
	if (!covered(x))
		return EXCEPTION_COVERAGE;
	next = needed(x);
	if (x->redact && next->wire > question_free(x))
		redact_settle(x);
	if (!x->blocked)
		question_clear(x, next);
	return EXCEPTION_NONE;
}

enum exception held_too_large(const struct exchange *x)
{
	for (size_t i = 0; i < x->text_count; i++)
		if (x->texts[i].whole && x->texts[i].mark_first != x->texts[i].mark_end)
			return EXCEPTION_HELD_TOO_LARGE;
	return EXCEPTION_EVENT_TOO_LARGE;
}

void unit_extend(struct exchange *x)
{
	if (x->unit_open)
		return;
	x->edge = x->here;
	if (!x->holding && !x->blocked)
		question_clear(x, &x->here);
}

enum exception texts_end(struct exchange *x)
{
	enum exception e = EXCEPTION_NONE;

	for (size_t i = 0; i < x->text_count && e == EXCEPTION_NONE; i++) {
		e = text_end(x, &x->texts[i]);
		text_forget_marks(x, &x->texts[i]);
	}
	if (x->redact)
		redact_settle(x);
	if (e == EXCEPTION_NONE && !covered(x))
		return EXCEPTION_COVERAGE;
	return e;
}
