/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.c - an event that differs from the one before it in its words alone.
 *
 * Of two hundred bytes of a streamed event some ten are new: the names, the model, the numbers come again in each. What
 * was learnt of those bytes in one event (they hold nothing that a rule knows, which text the words belong to, what is
 * structure) is as true of the next one if they are the same bytes, and then only the words are read. An event serves
 * as a template if nothing in it but the words changes the state of the exchange in a way that depends on where it
 * stands; whatever is not plainly so goes the long way. The result is the same by construction: an event that is cut,
 * and all are in some test, goes the long way, too.
 */
#include "exchange/private.h"
#include "exchange/redact.h"

#include <stdlib.h>

#define TEMPLATE_BYTES 1024

struct template
{
	size_t before, after; /* bytes in front of the words, from their closing quote on */
	size_t scanned;       /* of both: bytes that were read as texts by themselves */
	size_t message;       /* where the JSON message begins; it is in one piece up to the words */
	struct leaf leaf;     /* whose the words are */
	struct sse behind;    /* how the line break at its end leaves the lines */
	uint8_t bytes[TEMPLATE_BYTES];
};

void template_free(struct template **at)
{
	free(*at);
	*at = NULL;
}

/* ---- an event goes the long way, and may become the template ---- */

void template_begin(struct exchange *x, struct slice data)
{
	/* Where the mark of the byte order was, the same bytes are something else later. */
	x->draft = (struct draft){ .event = x->sse.bom ? (struct slice){} : data,
		                   .scanned = x->here.scanned,
		                   .hits = x->hits };
	x->template_good = false;
}

void template_leave(struct exchange *x)
{
	x->draft.event.len = 0;
}

/* Said again, it says the same. */
static bool says_the_same(const struct leaf *leaf)
{
	switch (leaf->tap) {
	case TAP_FINISH:
		return !leaf->string || !leaf->text.len;
	case TAP_DONE:
		return !leaf->string && !slice_is(leaf->text, SLICE("true"));
	case TAP_NONE:
	case TAP_ID:
	case TAP_MODEL:
	case TAP_FINGERPRINT:
	case TAP_TIME:
	case TAP_CREATED:
	case TAP_PROMPT_TOKENS:
	case TAP_COMPLETION_TOKENS:
	case TAP_TOTAL_TOKENS:
	case TAP_INPUT_TOKENS:
	case TAP_OUTPUT_TOKENS:
		return true;
	default:
		return false;
	}
}

static bool is_words(const struct leaf *leaf)
{
	return leaf->channel >= CHANNEL_CONTENT && leaf->channel <= CHANNEL_REFUSAL && !leaf->again &&
	       leaf->tap == TAP_NONE;
}

void template_leaf(struct exchange *x, const struct leaf *leaf)
{
	struct draft *d = &x->draft;
	uintptr_t from = (uintptr_t)d->event.at, at = (uintptr_t)leaf->text.at;
	bool inside = at >= from && at + leaf->text.len <= from + d->event.len;

	if (!d->event.len || (!leaf->string && says_the_same(leaf)))
		return;
	/* Texts by themselves: the same bytes give the same. */
	if ((leaf->channel == CHANNEL_LABEL || leaf->channel == CHANNEL_KEY || !leaf->text.len) && says_the_same(leaf))
		return;
	if (!is_words(leaf) || d->leaf.string || !leaf->begin || leaf->raw != leaf->text.len || !inside) {
		template_leave(x);
		return;
	}
	d->leaf = *leaf;
}

void template_end(struct exchange *x, const uint8_t *end)
{
	const struct draft *d = &x->draft;
	struct slice words = d->leaf.text, rest;
	struct template *t = x->template;
	size_t message;

	if (!d->event.len || !d->leaf.string || d->hits != x->hits || x->blocked || x->payload != PAYLOAD_JSON)
		return;
	message = (size_t)(words.at + words.len - d->event.at) - d->leaf.at;
	/* Over several lines it lies otherwise than it reads. */
	if (message > (size_t)(words.at - d->event.at) ||
	    memchr(d->event.at + message, '\n', (size_t)(words.at - d->event.at) - message) ||
	    memchr(d->event.at + message, '\r', (size_t)(words.at - d->event.at) - message))
		return;
	rest = slice_of(words.at + words.len, (size_t)(end - (words.at + words.len)));
	if ((size_t)(words.at - d->event.at) + rest.len > TEMPLATE_BYTES || *rest.at != '"')
		return;
	if (!t) {
		t = x->template = malloc(sizeof(*t));
		if (!t)
			return; /* it goes without */
	}
	t->before = (size_t)(words.at - d->event.at);
	t->after = rest.len;
	t->scanned = (size_t)(x->here.scanned - d->scanned) - words.len;
	t->message = message;
	t->leaf = d->leaf;
	t->behind = x->sse;
	memcpy(t->bytes, d->event.at, t->before);
	memcpy(t->bytes + t->before, rest.at, rest.len);
	x->template_good = true;
}

/* ---- an event goes the short way ---- */

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

bool template_read(struct exchange *x, struct slice data, size_t *used, enum exception *e)
{
	const struct template *t = x->template;
	size_t n = 0, step, total;
	struct leaf leaf;

	if (!x->template_good || data.len < t->before + t->after || memcmp(data.at, t->bytes, t->before))
		return false;
	data = slice_from(data, t->before);
	while (n < data.len && (step = plain_character(data.at + n, data.len - n)))
		n += step;
	total = t->before + n + t->after;
	if (data.len - n < t->after || memcmp(data.at + n, t->bytes + t->before, t->after) ||
	    x->here.wire - x->cleared.wire + total > x->limits.event_max)
		return false;
	*used = total;
	x->sse = t->behind;
	unit_begin(x);
	x->payload = PAYLOAD_JSON;
	x->field_open = false;
	body_advance(x, total, t->scanned + n);
	x->here.scanned += t->scanned + n;
	leaf = t->leaf;
	leaf.text = slice_of(data.at, n);
	leaf.raw = (uint32_t)n;
	leaf.at = t->before - t->message + n;
	if (x->redact) {
		redact_message(x);
		redact_data(x, slice_of(data.at - t->before + t->message, leaf.at));
	}
	leaf.at = 0; /* it is where its text is */
	*e = text_feed(x, &leaf);
	if (*e != EXCEPTION_NONE || stopped(x))
		return true;
	x->report.events++;
	*e = unit_end(x);
	return true;
}
