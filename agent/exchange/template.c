/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.c - an event that differs from one before it in its words alone, and in numbers and labels that change.
 *
 * Of two hundred bytes of a streamed event some ten are new: the names, the model, the numbers come again in each. What
 * was learnt of those bytes in one event (they hold nothing that a rule knows, which text the words belong to, what is
 * structure) is as true of the next one if they are the same bytes, and then only what lies between them is read: the
 * words; numbers, which any number may take the place of; names that were another one the last time, as times are. An
 * event serves as a template if nothing else in it changes the state of the exchange in a way that depends on where it
 * stands; whatever is not plainly so goes the long way. Several are kept, for answers of several choices take turns.
 * The result is the same by construction: an event that is cut, and all are in some test, goes the long way, too.
 */
#include "exchange/private.h"
#include "exchange/redact.h"

#include <endian.h>
#include <stdlib.h>

#define TEMPLATE_BYTES 1024
#define EACH_BYTE(c)   (0x0101010101010101u * (c))

struct template
{
	struct hole holes[TEMPLATE_HOLES];
	size_t hole_count, words; /* holes[words]: the words */
	size_t after;             /* fixed bytes behind the last hole */
	size_t scanned;           /* of the fixed bytes: those that were read as texts by themselves */
	size_t message;           /* where the JSON message begins; it is in one piece up to the last hole */
	uint32_t said[TEMPLATE_SAID];
	uint32_t heeds[TEMPLATE_SAID]; /* all ones; 0: the value is in a hole, and may be another one each time */
	struct sse behind;             /* how the line break at its end leaves the lines */
	uint8_t bytes[TEMPLATE_BYTES]; /* the fixed ones */
};

void template_free(struct exchange *x)
{
	for (size_t i = 0; i < TEMPLATES; i++)
		free(x->templates[i]);
}

void template_forget(struct exchange *x)
{
	x->template_count = 0;
}

/* ---- values that are kept: a template says them again only if nobody has said otherwise since ---- */

static const enum tap kept[TEMPLATE_SAID] = { TAP_ID, TAP_MODEL, TAP_FINGERPRINT, TAP_TIME, TAP_CREATED };

static bool is_kept(enum tap tap, size_t *which)
{
	for (size_t i = 0; i < TEMPLATE_SAID; i++)
		if (kept[i] == tap) {
			*which = i;
			return true;
		}
	return false;
}

static size_t digits(struct slice in)
{
	size_t n = 0;

	while (n < in.len && in.at[n] >= '0' && in.at[n] <= '9')
		n++;
	return n;
}

/* Does the leaf, whole or as it begins, say what is known already? */
static bool says_what_is_known(const struct exchange *x, const struct leaf *leaf)
{
	uint64_t number = 0;

	switch (leaf->tap) {
	case TAP_ID:
		return slice_is(leaf->text, slice_str(x->report.id));
	case TAP_MODEL:
		return slice_is(leaf->text, slice_str(x->report.model));
	case TAP_FINGERPRINT:
		return slice_is(leaf->text, slice_str(x->fingerprint_text));
	case TAP_TIME:
		return slice_is(leaf->text, slice_str(x->time_text));
	default:
		if (leaf->text.len > 18)
			return false;
		for (size_t i = 0; i < leaf->text.len; i++)
			number = number * 10 + (uint64_t)(leaf->text.at[i] - '0');
		return leaf->text.len && digits(leaf->text) == leaf->text.len && number == x->created;
	}
}

/* ---- an event goes the long way, and may become a template ---- */

void template_begin(struct exchange *x, struct slice data)
{
	/* Where the mark of the byte order was, the same bytes are something else later. */
	x->draft.event = x->kind == BODY_EVENTS && x->sse.bom ? (struct slice){} : data;
	x->draft.scanned = x->here.scanned;
	x->draft.hits = x->hits;
	x->draft.hole_count = 0;
	x->draft.has_words = x->draft.label_open = false;
}

void template_leave(struct exchange *x)
{
	x->draft.event.len = 0;
}

static bool has_id(const struct exchange *x, uint32_t choice)
{
	for (size_t i = 0; i < x->choice_count; i++)
		if (x->choices[i].index == choice)
			return x->choices[i].has_id;
	return false;
}

/* Said again, it says the same. */
static bool says_the_same(const struct exchange *x, const struct leaf *leaf)
{
	switch (leaf->tap) {
	case TAP_CHOICE_ID:
		return has_id(x, leaf->choice); /* the first one counts */
	case TAP_FINISH:
		return !leaf->string || !leaf->text.len;
	case TAP_DONE:
		return !leaf->string && !slice_is(leaf->text, SLICE("true"));
	case TAP_NONE:
	case TAP_ID:
	case TAP_MODEL:
	case TAP_FINGERPRINT:
	case TAP_TIME:
		return true;
	default:
		return false;
	}
}

/* A number that is kept, and nothing but kept. */
static bool is_value(const struct leaf *leaf)
{
	switch (leaf->tap) {
	case TAP_CREATED:
	case TAP_SEQUENCE:
	case TAP_PROMPT_TOKENS:
	case TAP_COMPLETION_TOKENS:
	case TAP_TOTAL_TOKENS:
	case TAP_INPUT_TOKENS:
	case TAP_OUTPUT_TOKENS:
		return !leaf->string;
	default:
		return false;
	}
}

static bool is_words(const struct leaf *leaf)
{
	return leaf->channel >= CHANNEL_CONTENT && leaf->channel <= CHANNEL_REFUSAL && !leaf->again &&
	       leaf->tap == TAP_NONE;
}

/* A name that was another one in the last event, and that may be another one in the next. */
static bool is_changing(const struct exchange *x, const struct leaf *leaf)
{
	const struct label *last = &x->labels[leaf->slot % LABELS];

	return leaf->channel == CHANNEL_LABEL && leaf->begin && leaf->row && last->row == leaf->row &&
	       (leaf->tap == TAP_NONE || leaf->tap == TAP_TIME) &&
	       !slice_is(leaf->text, slice_of(last->bytes, last->len));
}

/* Makes a hole of the leaf's text. */
static void dig(struct exchange *x, enum hole_kind kind, const struct leaf *leaf)
{
	struct draft *d = &x->draft;
	uintptr_t from = (uintptr_t)d->event.at, at = (uintptr_t)leaf->text.at;

	if (at < from || at + leaf->text.len > from + d->event.len || d->hole_count == TEMPLATE_HOLES ||
	    (leaf->string && leaf->raw != leaf->text.len)) {
		template_leave(x);
		return;
	}
	d->holes[d->hole_count++] = (struct hole){ .kind = kind, .at = (uint32_t)(at - from), .leaf = *leaf };
}

/* Literals come as bytes that lie elsewhere; a number in several pieces does not become a template. */
static void number_leaf(struct exchange *x, const struct leaf *leaf)
{
	uint8_t c = leaf->text.len ? *leaf->text.at : 0;

	if (leaf->begin && c >= '0' && c <= '9')
		dig(x, HOLE_NUMBER, leaf);
	else if (leaf->text.len && !leaf->begin)
		template_leave(x);
}

void template_leaf(struct exchange *x, const struct leaf *leaf)
{
	struct draft *d = &x->draft;
	size_t which;
	bool news;

	news = leaf->begin && is_kept(leaf->tap, &which) && !says_what_is_known(x, leaf);
	if (news)
		x->said[which]++;
	if (!d->event.len)
		return;
	if (d->label_open) {
		/* Its end says nothing more, or it is no label in one piece. */
		d->label_open = false;
		if (leaf->text.len || !leaf->end || leaf->begin)
			template_leave(x);
		return;
	}
	if (is_value(leaf)) {
		/* When the answer was begun is seldom another one in the next event. */
		if (leaf->tap != TAP_CREATED || (news && x->report.events))
			number_leaf(x, leaf);
		return;
	}
	if (!leaf->string && says_the_same(x, leaf))
		return;
	if (leaf->string && says_the_same(x, leaf) && leaf->text.len && is_changing(x, leaf)) {
		dig(x, HOLE_LABEL, leaf);
		d->label_open = !leaf->end;
		return;
	}
	/* Texts by themselves: the same bytes give the same. */
	if ((leaf->channel == CHANNEL_LABEL || leaf->channel == CHANNEL_KEY || !leaf->text.len) &&
	    says_the_same(x, leaf))
		return;
	if (!is_words(leaf) || d->has_words || !leaf->begin) {
		template_leave(x);
		return;
	}
	d->has_words = true;
	dig(x, HOLE_WORDS, leaf);
}

/* ---- what may be in a hole ---- */

/* Bytes of one character that needs no escape in a string (RFC 8259, RFC 3629); 0: it is not plainly one. */
static size_t plain_character(const uint8_t *p, size_t len)
{
	if (*p < 0x80)
		return *p >= 0x20 && *p != '"' && *p != '\\';
	if (*p >= 0xc2 && *p < 0xe0)
		return len >= 2 && p[1] >> 6 == 2 ? 2 : 0;
	if (*p >= 0xe0 && *p < 0xf0) {
		if (len < 3 || p[1] >> 6 != 2 || p[2] >> 6 != 2 || (*p == 0xe0 && p[1] < 0xa0) ||
		    (*p == 0xed && p[1] > 0x9f))
			return 0;
		return 3;
	}
	if (*p >= 0xf0 && *p < 0xf5) {
		if (len < 4 || p[1] >> 6 != 2 || p[2] >> 6 != 2 || p[3] >> 6 != 2 || (*p == 0xf0 && p[1] < 0x90) ||
		    (*p == 0xf4 && p[1] > 0x8f))
			return 0;
		return 4;
	}
	return 0;
}

/* How many bytes of eight are ASCII that needs no escape. A borrow can only mark bytes above one that is marked
 * rightly, so the lowest mark is exact. */
static size_t plain_ascii(const uint8_t *p)
{
	uint64_t w, stop;

	memcpy(&w, p, sizeof(w));
	w = le64toh(w);
	stop = (w | ((w ^ EACH_BYTE(2)) - EACH_BYTE(0x21)) | ((w ^ EACH_BYTE('\\')) - EACH_BYTE(1))) & EACH_BYTE(0x80u);
	return stop ? (size_t)__builtin_ctzll(stop) / 8 : 8;
}

static size_t plain_text(struct slice in)
{
	size_t n = 0, step;

	do {
		while (in.len - n >= 8 && (step = plain_ascii(in.at + n)))
			n += step;
		step = n < in.len ? plain_character(in.at + n, in.len - n) : 0;
		n += step;
	} while (step);
	return n;
}

/* A JSON number without an exponent (RFC 8259 6): what is longer does not match what is behind it. 0: none. */
static size_t plain_number(struct slice in)
{
	size_t n = in.len && *in.at == '-', whole = digits(slice_from(in, n)), more;

	if (!whole || (whole > 1 && in.at[n] == '0'))
		return 0;
	n += whole;
	more = n < in.len && in.at[n] == '.' ? digits(slice_from(in, n + 1)) : 0;
	return more ? n + 1 + more : n;
}

/* What each hole holds, if `data` begins with such an event; *used: all of it. */
static bool match(const struct template *t, struct slice data, struct slice found[TEMPLATE_HOLES], size_t *used)
{
	const uint8_t *fixed = t->bytes, *from = data.at;

	for (size_t i = 0; i < t->hole_count; i++) {
		const struct hole *h = &t->holes[i];
		size_t n;

		if (data.len < h->at || memcmp(data.at, fixed, h->at))
			return false;
		fixed += h->at;
		data = slice_from(data, h->at);
		n = h->kind == HOLE_NUMBER ? plain_number(data) : plain_text(data);
		if ((h->kind == HOLE_NUMBER && !n) || (h->kind == HOLE_LABEL && n > LABEL_BYTES))
			return false;
		/* Of values that are kept only plain ones. */
		if (h->kind == HOLE_NUMBER && h->leaf.tap != TAP_NONE && digits(data) != n)
			return false;
		found[i] = slice_of(data.at, n);
		data = slice_from(data, n);
	}
	if (data.len < t->after || memcmp(data.at, fixed, t->after))
		return false;
	*used = (size_t)(data.at - from) + t->after;
	return true;
}

/* ---- the event is complete ---- */

static void sort_holes(struct draft *d)
{
	for (size_t i = 1; i < d->hole_count; i++)
		for (size_t k = i; k && d->holes[k].at < d->holes[k - 1].at; k--) {
			struct hole swap = d->holes[k];

			d->holes[k] = d->holes[k - 1];
			d->holes[k - 1] = swap;
		}
}

/* The message, where it can be told to begin; numbers that say nothing become holes. */
static bool place_message(struct exchange *x, size_t *message)
{
	struct draft *d = &x->draft;
	const struct hole *words = NULL;

	for (size_t i = 0; i < d->hole_count; i++)
		if (d->holes[i].kind == HOLE_WORDS)
			words = &d->holes[i];
	if (!words || words->leaf.at > words->at + words->leaf.text.len)
		return false;
	*message = (size_t)(words->at + words->leaf.text.len - words->leaf.at);
	for (uint32_t i = 0; i < x->walk.number_count && d->hole_count < TEMPLATE_HOLES; i++) {
		const struct walk_number *n = &x->walk.numbers[i];

		if (*message + n->to > d->event.len)
			return false;
		d->holes[d->hole_count++] = (struct hole){
			.kind = HOLE_NUMBER,
			.at = (uint32_t)(*message + n->from),
			.leaf.text = slice_of(d->event.at + *message + n->from, (size_t)(n->to - n->from)),
		};
	}
	sort_holes(d);
	return true;
}

static struct template *room_for_one(struct exchange *x)
{
	struct template **at = &x->templates[x->template_next];

	if (!*at)
		*at = malloc(sizeof(**at));
	if (!*at)
		return NULL; /* it goes without */
	x->template_next = (uint8_t)((x->template_next + 1) % TEMPLATES);
	if (x->template_count < TEMPLATES)
		x->template_count++;
	return *at;
}

/* From the draft. False: it is too long, or its holes are not what they seem. */
static bool fill(struct exchange *x, struct template *t, size_t message, struct slice event)
{
	const struct draft *d = &x->draft;
	size_t at = 0, fixed = 0, scanned = (size_t)(x->here.scanned - d->scanned), used;
	struct slice found[TEMPLATE_HOLES];

	for (size_t i = 0; i < d->hole_count; i++) {
		struct hole *h = &t->holes[i];

		*h = d->holes[i];
		if (h->at < at || fixed + (h->at - at) > TEMPLATE_BYTES)
			return false;
		memcpy(t->bytes + fixed, event.at + at, h->at - at);
		fixed += h->at - at;
		if (h->kind == HOLE_WORDS)
			t->words = i;
		if (h->kind != HOLE_NUMBER)
			scanned -= h->leaf.text.len;
		used = h->at + h->leaf.text.len;
		h->at -= (uint32_t)at;
		at = used;
	}
	t->after = event.len - at;
	if (fixed + t->after > TEMPLATE_BYTES)
		return false;
	memcpy(t->bytes + fixed, event.at + at, t->after);
	/* Over several lines it lies otherwise than it reads. */
	for (size_t i = message; i < at; i++)
		if (event.at[i] == '\n' || event.at[i] == '\r')
			return false;
	t->hole_count = d->hole_count;
	t->message = message;
	t->scanned = scanned;
	t->behind = x->sse;
	for (size_t i = 0; i < TEMPLATE_SAID; i++) {
		t->said[i] = x->said[i];
		t->heeds[i] = UINT32_MAX;
	}
	for (size_t i = 0, which; i < t->hole_count; i++)
		if (is_kept(t->holes[i].leaf.tap, &which))
			t->heeds[which] = 0;
	if (!match(t, event, found, &used) || used != event.len)
		return false;
	for (size_t i = 0; i < t->hole_count; i++)
		if (found[i].at != d->holes[i].leaf.text.at || found[i].len != d->holes[i].leaf.text.len)
			return false;
	return true;
}

void template_end(struct exchange *x, const uint8_t *end)
{
	const struct draft *d = &x->draft;
	struct template *t;
	size_t message;

	if (!d->event.len || !d->has_words || d->label_open || d->hits != x->hits || x->blocked ||
	    x->payload != PAYLOAD_JSON || !place_message(x, &message))
		return;
	t = room_for_one(x);
	if (t && !fill(x, t, message, slice_of(d->event.at, (size_t)(end - d->event.at))))
		t->hole_count = 0;
}

/* ---- an event goes the short way ---- */

static bool says_what_was_said(const struct exchange *x, const struct template *t)
{
	uint32_t news = 0;

	for (size_t i = 0; i < TEMPLATE_SAID; i++)
		news |= (x->said[i] ^ t->said[i]) & t->heeds[i];
	return !news;
}

/* A piece as the long way gives it. */
static enum exception give(struct exchange *x, const struct leaf *leaf)
{
	enum exception e = leaf->string ? text_feed(x, leaf) : EXCEPTION_NONE;

	return e == EXCEPTION_NONE && leaf->tap != TAP_NONE ? tap_read(x, leaf) : e;
}

static enum exception give_hole(struct exchange *x, const struct template *t, const struct hole *h, struct slice found,
                                size_t at)
{
	struct leaf leaf = h->leaf;
	enum exception e;
	size_t which;

	if (h->kind == HOLE_NUMBER && leaf.tap == TAP_NONE)
		return EXCEPTION_NONE;
	leaf.text = found;
	leaf.raw = leaf.string ? (uint32_t)found.len : 0;
	if (h->kind == HOLE_WORDS) {
		leaf.at = at + found.len - t->message;
		if (x->redact) {
			redact_message(x);
			redact_data(x, slice_of(found.at - (at - t->message), leaf.at));
		}
		leaf.at = 0; /* it is where its text is */
		return text_feed(x, &leaf);
	}
	if (is_kept(leaf.tap, &which))
		x->said[which]++;
	if (found.len) {
		e = give(x, &leaf);
		if (e != EXCEPTION_NONE || stopped(x) || leaf.end)
			return e;
	}
	leaf.begin = !found.len;
	leaf.end = true;
	leaf.text = slice_of(found.at, 0);
	leaf.raw = 0;
	return give(x, &leaf);
}

static enum exception give_holes(struct exchange *x, const struct template *t, const struct slice *found,
                                 const uint8_t *from)
{
	enum exception e = EXCEPTION_NONE;

	for (size_t i = 0; i < t->hole_count && e == EXCEPTION_NONE && !stopped(x); i++)
		e = give_hole(x, t, &t->holes[i], found[i], (size_t)(found[i].at - from));
	return e;
}

bool template_read(struct exchange *x, struct slice data, size_t *used, enum exception *e)
{
	struct slice found[TEMPLATE_HOLES];
	struct template *t = NULL;
	size_t total = 0, scanned;

	for (size_t i = 0; i < x->template_count && !t; i++) {
		struct template *one = x->templates[i];

		if (one->hole_count && says_what_was_said(x, one) && match(one, data, found, &total))
			t = one;
	}
	if (!t || x->here.wire - x->cleared.wire + total > x->limits.event_max)
		return false;
	scanned = t->scanned;
	for (size_t i = 0; i < t->hole_count; i++)
		scanned += t->holes[i].kind == HOLE_NUMBER ? 0 : found[i].len;
	*used = total;
	if (x->kind == BODY_EVENTS)
		x->sse = t->behind;
	x->here.line_start = x->kind == BODY_LINES ? false : x->here.line_start;
	unit_begin(x);
	x->payload = PAYLOAD_JSON;
	x->field_open = false;
	body_advance(x, total, scanned);
	x->here.scanned += scanned;
	*e = give_holes(x, t, found, data.at);
	if (*e != EXCEPTION_NONE || stopped(x))
		return true;
	x->report.events++;
	*e = unit_end(x);
	return true;
}
