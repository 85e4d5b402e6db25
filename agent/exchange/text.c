/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - texts, what of them is held, and what was found.
 *
 * A unit (an event, a body, a character) is released or held as a whole. When a unit touches a text for the first time,
 * the text remembers where the unit began and how many symbols it had: a mark. The automaton says how many symbols at
 * the text's end may still become part of a hit; the mark of the unit that holds the first of these is how far the
 * answer may be released, and the least of all texts' marks decides.
 */
#include "exchange/excerpt.h"
#include "exchange/private.h"
#include "exchange/redact.h"

#include <errno.h>
#include <stdlib.h>

/* Most symbols that one character or escape gives; a mark inside of one may be that far from where it ends. */
#define CUT_SYMBOLS 18
#define CUT_BYTES   UNESCAPE_MAX

static bool goes_on(enum channel channel)
{
	return channel != CHANNEL_LABEL && channel != CHANNEL_KEY && channel != CHANNEL_HEADER;
}

/* Generated text of a choice, as the tables know it. */
static bool is_prose(enum channel channel)
{
	return (channel >= CHANNEL_CONTENT && channel <= CHANNEL_TOOL_ARGUMENTS) || channel == CHANNEL_LOGPROBS;
}

/* Nobody knows how its strings are put together: each is read by itself, too. */
static bool is_apart(enum channel channel)
{
	return channel == CHANNEL_OTHER || channel == CHANNEL_LOGPROBS;
}

/* Strings that an API which we know has beside its words are judged one by one; those of one that we do not may be its
 * words, and are judged as they go on. Names, and words told a second time, are not. */
static bool is_judged(const struct exchange *x, enum channel channel, bool alone)
{
	bool known = x->report.dialect->ending != ENDING_GENERIC;

	return channel == CHANNEL_OTHER ? alone == known : goes_on(channel) && channel != CHANNEL_LOGPROBS && !alone;
}

/* ---- texts ---- */

void text_forget_marks(struct exchange *x, struct text *t)
{
	if (t->mark_first != t->mark_end)
		x->holding--;
	t->mark_first = t->mark_end = 0;
}

void text_free(struct exchange *x, struct text *t)
{
	excerpt_drop(x, t);
	if (t->again)
		buf_free(&t->again->seen);
	free(t->again);
	free(t->marks);
	t->again = NULL;
	t->marks = NULL;
	lookout_free(&t->state);
}

static bool is_cut(const struct text *t)
{
	return t->state.scan.tail_len || t->escapes.len;
}

/* A text of which nothing may become part of a hit is as good as new. */
static bool idle(const struct exchange *x, const struct text *t)
{
	return t->channel == CHANNEL_OTHER && !is_cut(t) && lookout_idle(x->rules, &t->state);
}

static bool spent(const struct exchange *x, const struct text *t)
{
	if (t->is_twin)
		return t->is_orphan;
	return idle(x, t) && (!t->twin || idle(x, &x->texts[t->twin])) && (!t->coded || idle(x, &x->texts[t->coded]));
}

/* Its place is free for another text. Its twin's will be when it is needed. */
static void give_up(struct exchange *x, struct text *t)
{
	if (x->redact && !t->is_twin)
		redact_forget(x, (size_t)(t - x->texts));
	question_leave(x, (uint32_t)(t - x->texts) + 1);
	text_forget_marks(x, t);
	text_free(x, t);
	for (int i = 0; i < 2 && !t->is_twin; i++) {
		uint32_t twin = i ? t->coded : t->twin;

		if (!twin)
			continue;
		text_forget_marks(x, &x->texts[twin]);
		x->texts[twin].is_orphan = true;
	}
}

/* A place for a text, not that of texts[keep] and not the first, which is no twin's. */
static struct text *new_text(struct exchange *x, size_t keep)
{
	if (x->text_count == TEXTS_MAX) {
		for (size_t i = 1; i < x->text_count; i++) {
			if (i == keep || !spent(x, &x->texts[i]))
				continue;
			give_up(x, &x->texts[i]);
			return &x->texts[i];
		}
		return NULL;
	}
	if (x->text_count == x->text_room) {
		size_t room = x->text_room ? 2 * x->text_room : 4;
		struct text *more = realloc(x->texts, room * sizeof(*more));

		if (!more)
			return NULL;
		x->texts = more;
		x->text_room = room;
	}
	return &x->texts[x->text_count++];
}

struct text *text_find(struct exchange *x, const struct leaf *leaf)
{
	struct text *t;

	for (size_t i = 0; i < x->text_count; i++) {
		size_t at = (x->last_text + i) % x->text_count;

		t = &x->texts[at];
		if (t->channel == leaf->channel && t->choice == leaf->choice && t->sub == leaf->sub &&
		    t->path == leaf->path && !t->is_twin) {
			x->last_text = at;
			return t;
		}
	}
	t = new_text(x, 0);
	if (!t)
		return NULL;
	*t = (struct text){ .channel = leaf->channel,
		            .choice = leaf->choice,
		            .sub = leaf->sub,
		            .path = leaf->path,
		            .asked = leaf->asked };
	t->state.unjudged = !is_judged(x, leaf->channel, false);
	x->last_text = (size_t)(t - x->texts);
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
	t->marks[t->mark_end++] = (struct mark){ t->state.scan.symbols, t->state.bytes, is_cut(t), x->unit };
	t->touched = true;
	return true;
}

/* The reading of t without escapes, or of base64 decoded. It begins as t is now, before the first backslash; the other
 * one with nothing. */
static bool make_twin(struct exchange *x, size_t at, bool coded)
{
	struct text *t = new_text(x, at), *of = &x->texts[at];
	uint32_t live = of->mark_end - of->mark_first;

	if (!t)
		return false;
	*t = *of;
	t->again = NULL;
	t->is_twin = true;
	t->twin_of = (uint32_t)at;
	t->is_coded = coded;
	if (coded) {
		t->letters = (struct unbase){};
		t->escapes = (struct unescape){};
	}
	t->is_orphan = false;
	t->mark_first = 0;
	t->mark_end = 0;
	t->mark_room = live;
	/* Counts go on from those of the text, whose marks it shares. */
	t->state =
		(struct lookout){ .scan.symbols = of->state.scan.symbols, .bytes = of->state.bytes, .unjudged = coded };
	t->kept = NULL;
	if (!coded)
		excerpt_copy(x, t, of);
	t->marks = malloc(live * sizeof(*t->marks));
	if (!t->marks || (!coded && lookout_copy(x->rules, &t->state, &of->state)))
		return false;
	memcpy(t->marks, of->marks + of->mark_first, live * sizeof(*t->marks));
	t->mark_end = live;
	x->holding++;
	*(coded ? &of->coded : &of->twin) = (uint32_t)(t - x->texts);
	return true;
}

struct choice *choice_of(struct exchange *x, uint32_t index)
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

void text_restart(struct lookout *l)
{
	bool unjudged = l->unjudged;

	lookout_again(l);
	l->unjudged = unjudged;
}

void text_choices_finish(struct exchange *x)
{
	for (size_t i = 0; i < x->choice_count; i++)
		if (!x->choices[i].finished)
			x->finishing = x->choices[i].finishing = true;
}

static struct excerpt *alone_kept(struct exchange *x)
{
	return x->kept ? &x->kept->one : NULL;
}

enum exception text_alone(struct exchange *x, enum channel channel, struct slice bytes, bool begin, bool finish)
{
	struct reading one = { .state = &x->one, .kept = alone_kept(x) };
	enum exception e;

	x->one.unjudged = true;
	if (begin) {
		text_restart(&x->one);
		excerpt_restart(x, one.kept);
	}
	e = readings_feed(x, &one, 1, bytes, channel, 0);
	return e == EXCEPTION_NONE && finish && !stopped(x) ? reading_end(x, &one, channel, 0) : e;
}

/* A piece of a name. What was read before, byte for byte, is not read again; if it turns out to be longer, what was
 * left out is read first. */
static enum exception text_label(struct exchange *x, const struct leaf *leaf)
{
	struct label *known = &x->labels[leaf->slot % LABELS], *now = &x->label;
	struct slice left_out = slice_of(known->bytes, known->len);
	enum exception e = EXCEPTION_NONE;

	if (leaf->begin) {
		now->row = leaf->row;
		now->len = 0;
		x->label_known = leaf->row && known->row == leaf->row && slice_is(leaf->text, left_out);
		if (x->label_known)
			return EXCEPTION_NONE;
	} else if (x->label_known) {
		if (!leaf->text.len)
			return EXCEPTION_NONE;
		x->label_known = false;
		now->len = LABEL_BYTES + 1;
		e = text_alone(x, leaf->channel, left_out, true, false);
		return e == EXCEPTION_NONE ? text_alone(x, leaf->channel, leaf->text, false, leaf->end) : e;
	}
	if (now->len + leaf->text.len <= LABEL_BYTES) {
		memcpy(now->bytes + now->len, leaf->text.at, leaf->text.len);
		now->len += (uint32_t)leaf->text.len;
	} else {
		now->len = LABEL_BYTES + 1;
	}
	e = text_alone(x, leaf->channel, leaf->text, leaf->begin, leaf->end);
	if (leaf->end && e == EXCEPTION_NONE && now->row && now->len <= LABEL_BYTES && !x->hits)
		*known = *now;
	return e;
}

/* The text at `at` is about to be read: it has a twin from its first backslash on. Texts may move. */
enum exception text_ready(struct exchange *x, size_t at, struct slice bytes)
{
	if (!touch(x, &x->texts[at]))
		return EXCEPTION_MEMORY;
	if (!x->texts[at].twin && memchr(bytes.at, '\\', bytes.len) && !make_twin(x, at, false))
		return EXCEPTION_TOO_MANY_TEXTS;
	if ((x->texts[at].twin && !touch(x, &x->texts[x->texts[at].twin])) ||
	    (x->texts[at].coded && !touch(x, &x->texts[x->texts[at].coded])))
		return EXCEPTION_MEMORY;
	return EXCEPTION_NONE;
}

/* Its readings, behind those that are there. */
size_t text_readings(struct exchange *x, size_t at, struct reading *readings, size_t count)
{
	struct text *t = &x->texts[at];

	readings[count++] = (struct reading){ .state = &t->state, .kept = excerpt_of(x, t), .place = (uint32_t)at + 1 };
	if (t->twin) {
		struct text *twin = &x->texts[t->twin];

		readings[count++] = (struct reading){ .state = &twin->state,
			                              .escapes = &twin->escapes,
			                              .kept = excerpt_of(x, twin),
			                              .place = t->twin + 1,
			                              .way = READ_TWIN };
	}
	if (t->coded) {
		struct text *twin = &x->texts[t->coded];

		readings[count++] = (struct reading){ .state = &twin->state,
			                              .coded = &twin->letters,
			                              .kept = excerpt_of(x, twin),
			                              .place = t->coded + 1 };
	}
	return count;
}

/* A piece of a text that goes on. */
static enum exception read_piece(struct exchange *x, const struct leaf *leaf, size_t at, struct slice bytes)
{
	struct reading readings[READINGS_MAX];
	enum exception e = bytes.len ? text_ready(x, at, bytes) : EXCEPTION_NONE;
	size_t count;

	if (e != EXCEPTION_NONE || !bytes.len)
		return e;
	count = text_readings(x, at, readings, 0);
	if (is_apart(leaf->channel))
		readings[count++] = (struct reading){ .state = &x->one, .kept = alone_kept(x), .way = READ_ALONE };
	for (size_t i = 0; i < count && !leaf->again; i++)
		readings[i].text = readings[i].coded ? 0 : (uint32_t)at + 1;
	return readings_feed(x, readings, count, bytes, leaf->channel, leaf->choice);
}

/* Nothing in `bytes` ends a run? If something does, *behind is where the last such byte ends. */
static bool runs_through(struct slice bytes, size_t *behind)
{
	for (size_t i = bytes.len; i-- > 0;)
		if (!unbase_letter(bytes.at[i]) && bytes.at[i] != '\n' && bytes.at[i] != '\r') {
			*behind = i + 1;
			return false;
		}
	return true;
}

/* How much of `bytes` there is until letters came in a row that may be base64: all of it if they did not. Where a run
 * would have to end is looked at first: words are shorter, and most of their letters are never looked at. */
static size_t until_coded(struct text *t, struct slice bytes)
{
	struct unbase *u = &t->letters;
	size_t i = 0, behind;

	while (i < bytes.len && u->run < UNBASE_RUN) {
		size_t wanted = UNBASE_RUN - u->run, left = bytes.len - i, n = wanted < left ? wanted : left;

		if (!runs_through(slice_of(bytes.at + i, n), &behind)) {
			i += behind;
			u->run = 0;
			continue;
		}
		for (; n; n--, i++)
			if (unbase_letter(bytes.at[i]))
				u->first[u->run++] = bytes.at[i];
	}
	return i;
}

/* Most pieces: of a text that is read in one way, and nothing is found in it. False: nothing was done. */
static bool skim(struct exchange *x, const struct leaf *leaf, size_t at)
{
	struct text *t = &x->texts[at];

	return !t->twin && !is_apart(leaf->channel) && leaf->text.len && !memchr(leaf->text.at, '\\', leaf->text.len) &&
	       touch(x, t) && lookout_skim(x->rules, &t->state, leaf->text);
}

/* The twin that reads base64 decoded is made when there is a run, and given what it has missed of it. */
enum exception text_go_on(struct exchange *x, const struct leaf *leaf, size_t at)
{
	struct reading coded;
	struct text *twin;
	enum exception e;
	size_t n;

	if (x->redact && !leaf->again && !redact_leaf(x, at, leaf))
		return EXCEPTION_MEMORY;
	if (x->texts[at].coded)
		return read_piece(x, leaf, at, leaf->text);
	n = until_coded(&x->texts[at], leaf->text);
	if (x->skims && n == leaf->text.len && skim(x, leaf, at))
		return EXCEPTION_NONE;
	e = read_piece(x, leaf, at, slice_of(leaf->text.at, n));
	if (e != EXCEPTION_NONE || x->texts[at].letters.run < UNBASE_RUN || stopped(x))
		return e;
	if (!make_twin(x, at, true))
		return EXCEPTION_TOO_MANY_TEXTS;
	twin = &x->texts[x->texts[at].coded];
	coded = (struct reading){ .state = &twin->state,
		                  .coded = &twin->letters,
		                  .kept = excerpt_of(x, twin),
		                  .place = x->texts[at].coded + 1 };
	e = readings_feed(x, &coded, 1, slice_of(x->texts[at].letters.first, UNBASE_RUN), leaf->channel, leaf->choice);
	return e != EXCEPTION_NONE || stopped(x) ? e : read_piece(x, leaf, at, slice_from(leaf->text, n));
}

/* A string that is read by itself, too, has ended. */
static enum exception alone_end(struct exchange *x, const struct leaf *leaf)
{
	struct reading one = {
		.state = &x->one, .text = redact_alone_text(x), .kept = alone_kept(x), .way = READ_ALONE
	};
	enum exception e = reading_end(x, &one, leaf->channel, leaf->choice);

	if (x->redact)
		redact_alone(x);
	return e;
}

enum exception text_feed(struct exchange *x, const struct leaf *leaf)
{
	enum exception e = EXCEPTION_NONE;
	struct leaf once = *leaf;
	struct text *t;

	if (leaf->channel == CHANNEL_LABEL)
		return text_label(x, leaf);
	if (!goes_on(leaf->channel))
		return text_alone(x, leaf->channel, leaf->text, leaf->begin, leaf->end);
	if (is_prose(leaf->channel)) {
		struct choice *c = choice_of(x, leaf->choice);

		if (!c)
			return EXCEPTION_TOO_MANY_TEXTS;
		if (c->finished && leaf->text.len)
			return EXCEPTION_TEXT_AFTER_FINISH;
		x->text_seen |= leaf->channel != CHANNEL_LOGPROBS;
	}
	x->words_read |= leaf->text.len > 0;
	if (is_apart(leaf->channel) && leaf->begin) {
		if (x->redact)
			redact_alone(x);
		x->one.unjudged = !is_judged(x, leaf->channel, true);
		text_restart(&x->one);
		excerpt_restart(x, alone_kept(x));
	}
	/* What comes again is not where it was, and cannot be masked there; one message has it but once. */
	if (leaf->again && x->redact && !x->report.streamed)
		once.again = false;
	if (once.again) {
		e = text_again(x, leaf);
	} else if (leaf->text.len) {
		t = text_find(x, leaf);
		e = t ? text_go_on(x, &once, (size_t)(t - x->texts)) : EXCEPTION_TOO_MANY_TEXTS;
	}
	if (e == EXCEPTION_NONE && is_apart(leaf->channel) && leaf->end && !stopped(x))
		e = alone_end(x, leaf);
	return e;
}

/* ---- units ---- */

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
	if (!hold.length && !is_cut(t)) {
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

			if (!is_prose(t->channel) || t->choice != choice->index)
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
