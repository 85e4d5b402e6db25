/* SPDX-License-Identifier: Apache-2.0 */
/* again.c - a text of which each message may hold all that came before it. */
#include "exchange/excerpt.h"
#include "exchange/private.h"

#include <stdlib.h>

/* Messages that have all that was seen and more, until a text is taken for one that comes whole in each; bytes that
 * there must be. Parts that follow each other do not begin with each other so often. */
#define AGAIN_GROWN 3
#define AGAIN_BYTES 32
#define AGAIN_MAX   (4u << 20)

/* What is given up is read by the other reading. */
static void drop(struct exchange *x, size_t at)
{
	struct text *t = &x->texts[at];
	struct text *twin = t->twin ? &x->texts[t->twin] : NULL;

	text_forget_marks(x, t);
	t->touched = false;
	text_restart(&t->state);
	excerpt_restart(x, t->kept);
	t->escapes = (struct unescape){};
	if (!twin)
		return;
	text_forget_marks(x, twin);
	twin->touched = false;
	text_restart(&twin->state);
	excerpt_restart(x, twin->kept);
	twin->escapes = (struct unescape){};
}

/* It comes in parts: what was kept for comparison is not needed. */
static void take_parts(struct exchange *x, size_t at)
{
	struct again *a = x->texts[at].again;

	a->parts = true;
	x->again_bytes -= buf_len(&a->seen);
	buf_free(&a->seen);
	drop(x, at);
}

/* The part of `bytes` that was not seen before. */
static enum exception fresh(struct exchange *x, size_t at, struct slice bytes, struct slice *new)
{
	struct again *a = x->texts[at].again;
	size_t left, n;

	if (a->parts)
		return EXCEPTION_NONE;
	left = buf_len(&a->seen) - a->at;
	n = left < bytes.len ? left : bytes.len;
	if (n && memcmp(buf_slice(&a->seen).at + a->at, bytes.at, n)) {
		if (a->whole)
			return EXCEPTION_TEXT_CHANGED;
		take_parts(x, at);
		return EXCEPTION_NONE;
	}
	*new = slice_from(bytes, n);
	if (x->again_bytes + new->len > AGAIN_MAX)
		return EXCEPTION_EVENT_TOO_LARGE;
	if (buf_add(&a->seen, *new))
		return EXCEPTION_MEMORY;
	x->again_bytes += new->len;
	a->at += bytes.len;
	return EXCEPTION_NONE;
}

/* The text of this message is over: had it all that was seen, and more? */
static void again_end(struct exchange *x, size_t at, size_t joined)
{
	struct again *a = x->texts[at].again;

	if (a->parts || a->whole)
		return;
	if (a->at < a->before) {
		take_parts(x, at);
		return;
	}
	a->grown = a->before >= AGAIN_BYTES && a->at > a->before ? a->grown + 1 : 0;
	a->whole = a->grown >= AGAIN_GROWN;
	if (a->whole)
		drop(x, joined);
}

/* What the text is compared by, made when it begins. */
static struct again *again_of(struct exchange *x, size_t at, bool begin)
{
	struct again *a = x->texts[at].again;

	if (!a) {
		a = x->texts[at].again = calloc(1, sizeof(*a));
		if (!a)
			return NULL;
		a->seen = BUF(AGAIN_MAX);
	}
	if (begin) {
		a->at = 0;
		a->before = buf_len(&a->seen);
	}
	return a;
}

/* Two readings of a piece, side by side: what is new in it, and all of it as the next part. */
enum exception text_again(struct exchange *x, const struct leaf *leaf)
{
	struct leaf part = *leaf;
	struct reading readings[READINGS_MAX];
	struct slice new = leaf->text;
	size_t at, joined, count = 0;
	enum exception e;
	struct again *a;
	struct text *t = text_find(x, leaf);

	if (!t)
		return EXCEPTION_TOO_MANY_TEXTS;
	at = (size_t)(t - x->texts);
	part.path |= (uint64_t)1 << 40;
	t = text_find(x, &part);
	if (!t)
		return EXCEPTION_TOO_MANY_TEXTS;
	joined = (size_t)(t - x->texts);
	a = again_of(x, at, leaf->begin);
	if (!a)
		return EXCEPTION_MEMORY;
	e = fresh(x, at, leaf->text, &new);
	part.text = slice_of(leaf->text.at, leaf->text.len - new.len);
	if (e == EXCEPTION_NONE && part.text.len && !a->whole)
		e = text_go_on(x, &part, joined);
	if (e == EXCEPTION_NONE && new.len && !a->parts)
		e = text_ready(x, at, new);
	if (e == EXCEPTION_NONE && new.len && !a->whole)
		e = text_ready(x, joined, new);
	if (e == EXCEPTION_NONE && new.len && !a->parts)
		count = text_readings(x, at, readings, count);
	if (e == EXCEPTION_NONE && new.len && !a->whole)
		count = text_readings(x, joined, readings, count);
	if (e == EXCEPTION_NONE && count && !stopped(x))
		e = readings_feed(x, readings, count, new, leaf->channel, leaf->choice);
	if (e == EXCEPTION_NONE && leaf->end && !stopped(x))
		again_end(x, at, joined);
	return e;
}
