/* SPDX-License-Identifier: Apache-2.0 */
/*
 * question.c - hits that count only if another model says so.
 *
 * Such a hit opens a question: what stands before it, itself, and the rest of its sentence are put aside to be asked
 * about. If its rule blocks, nothing is cleared that was not free to go when the hit was found: what came before the
 * hit's unit had gone by then, and what comes behind it waits in order, as it would for a keyword under way. Reading
 * goes on meanwhile. Whoever drives the exchange does the asking, and keeps the time.
 */
#include "exchange/excerpt.h"

#include <stdlib.h>

#define BEFORE 1500 /* bytes of text in front of a hit */
#define AFTER  512  /* and behind it, if its sentence does not end before */

/* It may be what must not be read: wiped before its memory goes back. */
static void window_free(struct asking *q)
{
	struct slice text = buf_slice(&q->window);

	if (text.len)
		explicit_bzero((void *)text.at, text.len);
	buf_free(&q->window);
}

void questions_free(struct exchange *x)
{
	for (size_t i = 0; i < x->question_count; i++)
		window_free(&x->questions[i]);
	free(x->questions);
	x->questions = NULL;
	x->question_count = x->gathering = 0;
}

static void ripen(struct exchange *x, struct asking *q)
{
	x->gathering -= !q->ripe;
	q->ripe = true;
}

/* ---- windows ---- */

/* Bytes up to the end of the first sentence that ends behind `at`; 0: none does. */
static size_t sentence_end(struct slice s, size_t at)
{
	static const struct slice ends[] = {
		SLICE("\n"), SLICE("!"), SLICE("?"), SLICE("\xe3\x80\x82"), SLICE("\xef\xbc\x81"), SLICE("\xef\xbc\x9f")
	};

	for (; at < s.len; at++) {
		if (s.at[at] == '.' && at + 1 < s.len && (s.at[at + 1] == ' ' || s.at[at + 1] == '\n'))
			return at + 1;
		for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
			if (s.len - at >= ends[i].len && !memcmp(s.at + at, ends[i].at, ends[i].len))
				return at + ends[i].len;
	}
	return 0;
}

/* Whole characters only. */
static size_t whole(struct slice s, size_t len)
{
	while (len && len < s.len && (s.at[len] & 0xc0) == 0x80)
		len--;
	return len;
}

/* Is there enough? Then the window ends where it is enough: that does not depend on how the text came. */
static void look(struct exchange *x, struct asking *q)
{
	struct slice s = buf_slice(&q->window);
	size_t end = sentence_end(s, q->hit_end), most = q->hit_end + AFTER;

	if (!end && s.len < most)
		return;
	if (!end || end > most)
		end = whole(s, most);
	buf_cut(&q->window, end);
	ripen(x, q);
}

/* Text that came since. */
static void take(struct asking *q, const struct lookout *state)
{
	uint64_t at = 0;
	struct slice more = lookout_recent(state, q->upto, &at);

	if (more.len && !buf_add(&q->window, more))
		q->upto = at + more.len;
}

void question_gather(struct exchange *x, const struct reading *r, bool end)
{
	for (size_t i = 0; i < x->question_count; i++) {
		struct asking *q = &x->questions[i];

		if (q->ripe || q->place != r->place)
			continue;
		take(q, r->state);
		look(x, q);
		if (end && !q->ripe)
			ripen(x, q);
	}
}

void question_leave(struct exchange *x, uint32_t place)
{
	for (size_t i = 0; i < x->question_count; i++)
		if (!x->questions[i].ripe && x->questions[i].place == place)
			ripen(x, &x->questions[i]);
}

/* ---- life ---- */

/* One question is enough for a hit that several readings met, and for hits that its window takes in. */
static bool is_asked(const struct exchange *x, const struct sight *hit, enum channel channel, uint32_t choice)
{
	for (size_t i = 0; i < x->question_count; i++) {
		const struct asking *q = &x->questions[i];

		if (q->sight.rule == hit->rule && q->channel == channel && q->choice == choice &&
		    (!q->ripe || q->step == x->step))
			return true;
	}
	return false;
}

static bool make_room(struct exchange *x)
{
	size_t room = x->question_room ? 2 * x->question_room : 4;
	struct asking *more;

	if (x->question_count < x->question_room)
		return true;
	more = realloc(x->questions, room * sizeof(*more));
	if (!more)
		return false;
	x->questions = more;
	x->question_room = room;
	return true;
}

enum exception question_new(struct exchange *x, const struct reading *r, const struct sight *hit, enum channel channel,
                            uint32_t choice)
{
	uint64_t to = hit->to ? hit->to : r->state->bytes, from = hit->to ? hit->from : to, first, at = 0;
	struct slice text;
	struct asking *q;

	if (x->blocked || is_asked(x, hit, channel, choice))
		return EXCEPTION_NONE;
	if (x->question_count == QUESTIONS_MAX)
		return reading_count(x, r, hit, hit->rule->action, channel, choice, point_wire(&x->unit));
	if (!make_room(x))
		return EXCEPTION_MEMORY;
	q = &x->questions[x->question_count++];
	*q = (struct asking){
		.id = ++x->question_last,
		.sight = *hit,
		.channel = channel,
		.choice = choice,
		.wire = point_wire(&x->unit),
		.step = x->step,
		.point = x->free,
		.place = r->place,
		.window = BUF(QUESTION_TEXT),
	};
	x->gathering++;
	first = from > BEFORE ? from - BEFORE : 0;
	if (first + LOOKOUT_RECENT < r->state->bytes)
		first = r->state->bytes - LOOKOUT_RECENT;
	text = lookout_recent(r->state, first, &at);
	if (text.len && buf_add(&q->window, text))
		return EXCEPTION_MEMORY;
	q->upto = at + text.len;
	q->hit_end = to > at ? (size_t)(to - at) : 0;
	if (q->hit_end > text.len)
		q->hit_end = text.len;
	q->hit_at = from > at ? (size_t)(from - at) : 0;
	if (q->hit_at > q->hit_end)
		q->hit_at = q->hit_end;
	q->missing = at > from ? (at < to ? at : to) - from : 0;
	q->generated = r->kept && r->kept->generated;
	look(x, q);
	if (!q->place && !q->ripe)
		ripen(x, q);
	return EXCEPTION_NONE;
}

void question_clear_asked(struct exchange *x, const struct point *p)
{
	const struct point *least = p;

	x->free = *p;
	for (size_t i = 0; i < x->question_count; i++)
		if (x->questions[i].sight.rule->action == ACTION_BLOCK && x->questions[i].point.wire < least->wire)
			least = &x->questions[i].point;
	x->cleared = *least;
	x->head_cleared |= x->head_sent && x->cleared.wire >= x->head_end;
}

/* ---- the door ---- */

bool exchange_question(struct exchange *x, bool hurry, struct question *out)
{
	for (size_t i = 0; i < x->question_count && !x->blocked; i++) {
		struct asking *q = &x->questions[i];

		if (q->given || (!q->ripe && !hurry))
			continue;
		if (!q->ripe)
			ripen(x, q);
		q->given = true;
		*out = (struct question){
			.id = q->id,
			.rule = q->sight.rule,
			.text = buf_slice(&q->window),
			.channel = q->channel,
			.choice = q->choice,
			.offset = q->sight.start,
			.length = (uint32_t)(q->sight.end - q->sight.start),
		};
		return true;
	}
	return false;
}

bool exchange_gathers(const struct exchange *x)
{
	return x->gathering && !x->blocked;
}

bool exchange_waits(const struct exchange *x)
{
	for (size_t i = 0; i < x->question_count; i++)
		if (x->questions[i].sight.rule->action == ACTION_BLOCK)
			return true;
	return false;
}

void exchange_decide(struct exchange *x, uint64_t id, bool counts)
{
	enum exception e = EXCEPTION_NONE;
	size_t i = 0;

	while (i < x->question_count && x->questions[i].id != id)
		i++;
	if (i == x->question_count)
		return;
	ripen(x, &x->questions[i]);
	if (counts && !x->blocked) {
		struct asking q = x->questions[i];

		e = reading_count(x, NULL, &q.sight, q.sight.rule->action, q.channel, q.choice, q.wire);
		if (e == EXCEPTION_NONE)
			excerpt_asked(x, &q);
	}
	window_free(&x->questions[i]);
	memmove(&x->questions[i], &x->questions[i + 1], (x->question_count - i - 1) * sizeof(*x->questions));
	x->question_count--;
	if (e != EXCEPTION_NONE)
		exchange_except(x, e, NULL);
	else if (!x->blocked)
		question_clear_asked(x, &x->free);
}
