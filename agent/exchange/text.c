/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - texts, and the ways in which each is read.
 *
 * What a reader will see as one text is followed as one, whatever it comes in: by itself, with its escapes off, and
 * decoded where it may be base64. What of it is held is the matter of unit.c.
 */
#include "exchange/excerpt.h"
#include "exchange/private.h"
#include "exchange/redact.h"

#include <errno.h>
#include <stdlib.h>

static bool goes_on(enum channel channel)
{
	return channel != CHANNEL_LABEL && channel != CHANNEL_KEY && channel != CHANNEL_HEADER;
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

/* A text of which nothing may become part of a hit is as good as new. */
static bool idle(const struct exchange *x, const struct text *t)
{
	return t->channel == CHANNEL_OTHER && !text_is_cut(t) && lookout_idle(x->rules, &t->state);
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
	t->marks[t->mark_end++] = (struct mark){ t->state.scan.symbols, t->state.bytes, text_is_cut(t), x->unit };
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
	struct label *known = label_before(x, leaf), *now = &x->label;
	struct slice left_out = known ? slice_of(known->bytes, known->len) : SLICE("");
	enum exception e = EXCEPTION_NONE;

	if (leaf->begin) {
		now->row = leaf->row;
		now->len = 0;
		x->label_known = known && slice_is(leaf->text, left_out);
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
	if (leaf->end && e == EXCEPTION_NONE && now->row && now->len <= LABEL_BYTES && !x->hits) {
		x->labels[leaf->slot % LABELS] = *now;
		x->labels_known |= 1u << leaf->slot % LABELS;
	}
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
	if (text_is_prose(leaf->channel)) {
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
