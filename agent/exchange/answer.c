/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - the answer lane: heads, framing, and how far it is cleared. */
#include "exchange/private.h"

#include <errno.h>
#include <stdlib.h>

enum order exchange_except(struct exchange *x, enum exception e, const char *detail)
{
	if (x->report.exception == EXCEPTION_NONE) {
		x->report.exception = e;
		if (detail)
			x->report.detail = detail;
	}
	x->answering = PHASE_CUT;
	x->asking = PHASE_DONE;
	return ORDER_CUT;
}

static enum exception fault_exception(enum http1_fault fault)
{
	switch (fault) {
	case HTTP1_TOO_LARGE:
		return EXCEPTION_ANSWER_HEAD_TOO_LARGE;
	case HTTP1_VERSION:
	case HTTP1_H2_PREFACE:
		return EXCEPTION_HTTP_VERSION;
	default:
		return EXCEPTION_ANSWER_MALFORMED;
	}
}

/* Field values are text that a client may show. */
static enum exception scan_head(struct exchange *x, const struct http1_head *h, struct slice head)
{
	enum exception e = EXCEPTION_NONE;
	uint64_t text = 0;

	for (uint32_t i = 0; i < h->field_count && e == EXCEPTION_NONE; i++) {
		struct slice value = slice_of(head.at + h->fields[i].value.at, h->fields[i].value.len);

		text += value.len;
		e = text_alone(x, CHANNEL_HEADER, value, true, true);
	}
	x->here.wire += h->len;
	x->here.scanned += text;
	x->here.structural += h->len - text;
	return e;
}

static enum exception head_read(struct exchange *x, struct slice head)
{
	const struct http1_head *h = &x->answer_reader->head;
	enum exception e = scan_head(x, h, head);
	enum http1_framing framing;

	if (e != EXCEPTION_NONE || x->blocked)
		return e;
	if (h->status == 101)
		return EXCEPTION_UPGRADE;
	if (h->status < 200) {
		x->cleared = x->here;
		http1_start(x->answer_reader, true);
		return EXCEPTION_NONE;
	}
	x->report.status = h->status;
	x->answer_close = h->close || (!h->minor && !h->keep_alive);
	framing = http1_framing(h, x->to_head);
	x->answer_close |= framing == HTTP1_UNTIL_CLOSE;
	http1_body_start(&x->body, framing, h->length);
	x->kind = body_kind_of(h, head, framing, &e);
	if (e != EXCEPTION_NONE)
		return e;
	x->report.streamed = x->kind == BODY_EVENTS || x->kind == BODY_LIVE;
	if (!x->report.streamed && x->kind != BODY_NONE && framing == HTTP1_LENGTH && h->length > x->limits.body_max)
		return EXCEPTION_BODY_TOO_LARGE;
	x->here.left = framing == HTTP1_LENGTH ? h->length : 0;
	x->edge = x->here;
	if (x->report.streamed || x->kind == BODY_NONE) {
		x->cleared = x->here;
		x->head_cleared = true;
	}
	x->answering = PHASE_BODY;
	body_begin(x);
	free(x->answer_reader);
	x->answer_reader = NULL;
	return EXCEPTION_NONE;
}

/* Reads heads until one is final. Returns STEP_MORE, or STEP_ITEM when the body may be read. */
static enum step read_heads(struct exchange *x, struct lane *l, enum exception *e)
{
	while (x->answering == PHASE_HEAD && !x->blocked) {
		struct slice head = slice_from(buf_slice(&l->buf), l->parsed);
		enum http1_fault fault;
		uint32_t len;

		if (!x->answer_reader) {
			x->answer_reader = malloc(sizeof(*x->answer_reader));
			if (!x->answer_reader) {
				*e = EXCEPTION_MEMORY;
				return STEP_BAD;
			}
			http1_start(x->answer_reader, true);
		}
		switch (http1_read(x->answer_reader, head, &fault)) {
		case STEP_MORE:
			return STEP_MORE;
		case STEP_BAD:
			x->report.detail = x->answer_reader->why;
			*e = fault_exception(fault);
			return STEP_BAD;
		default:
			len = x->answer_reader->head.len;
			*e = head_read(x, head);
			if (*e != EXCEPTION_NONE)
				return STEP_BAD;
			l->parsed += len;
		}
	}
	return STEP_ITEM;
}

static enum exception body_item(struct exchange *x, const struct http1_body_item *item, size_t used)
{
	enum exception e;

	if (item->kind != HTTP1_DATA) {
		x->here.wire += used;
		x->here.structural += used;
	}
	switch (item->kind) {
	case HTTP1_CHUNK:
		x->here.left = x->body.left;
		x->here.in_chunk = x->body.left > 0;
		return EXCEPTION_NONE;
	case HTTP1_CHUNK_END:
		x->here.in_chunk = false;
		unit_extend(x);
		return EXCEPTION_NONE;
	case HTTP1_TRAILER:
		e = text_alone(x, CHANNEL_HEADER, item->data, !x->field_open, false);
		x->field_open = true;
		return e;
	case HTTP1_TRAILER_END:
		x->field_open = false;
		return text_alone(x, CHANNEL_HEADER, SLICE(""), false, true);
	case HTTP1_END:
		x->answering = PHASE_DONE;
		x->report.complete = true;
		return body_end(x);
	default:
		return body_data(x, item->data);
	}
}

static enum exception read_body(struct exchange *x, struct lane *l)
{
	bool whole = !x->report.streamed;
	enum exception e = EXCEPTION_NONE;
	struct http1_body_item item;
	enum step step;
	size_t used;

	do {
		struct slice in = slice_from(buf_slice(&l->buf), l->parsed);

		step = http1_body_feed(&x->body, in, &used, &item);
		if (step == STEP_BAD) {
			x->report.detail = item.why;
			return EXCEPTION_ANSWER_MALFORMED;
		}
		l->parsed += used;
		if (step == STEP_ITEM) {
			e = body_item(x, &item, used);
		} else {
			x->here.wire += used;
			x->here.structural += used;
		}
		/* The end of a body comes by a call of its own. */
	} while ((step == STEP_ITEM || used) && e == EXCEPTION_NONE && x->answering == PHASE_BODY &&
	         (whole || !x->blocked));
	if (e != EXCEPTION_NONE)
		return e;
	if (whole && x->here.wire > x->limits.body_max + HTTP1_HEAD_MAX)
		return EXCEPTION_BODY_TOO_LARGE;
	if (!whole && !x->blocked && x->here.wire - x->cleared.wire > x->limits.event_max)
		return EXCEPTION_EVENT_TOO_LARGE;
	return EXCEPTION_NONE;
}

/* The server has sent its last byte, and the answer is not complete by its framing. */
static enum exception answer_ended(struct exchange *x)
{
	enum exception e;

	if (x->answering == PHASE_HEAD)
		return x->here.wire || x->started ? EXCEPTION_ANSWER_TRUNCATED : EXCEPTION_NONE;
	if (x->body.framing == HTTP1_UNTIL_CLOSE) {
		x->report.complete = true;
		return body_end(x);
	}
	if (!x->report.streamed || x->unit_open)
		return EXCEPTION_ANSWER_TRUNCATED;
	e = texts_end(x);
	if (e == EXCEPTION_NONE && !x->blocked)
		x->cleared = x->here;
	return e;
}

static enum order decide(struct exchange *x, struct lane *l)
{
	if (x->blocked && (x->report.streamed || x->answering != PHASE_BODY))
		x->answering = PHASE_CUT;
	l->cleared = (size_t)(x->start + x->cleared.wire - l->base);
	if (x->answering == PHASE_CUT)
		return ORDER_CUT;
	return x->answering == PHASE_DONE ? ORDER_DONE : ORDER_PUMP;
}

enum order exchange_answer(struct exchange *x, struct lane *l, bool eof)
{
	enum exception e = EXCEPTION_NONE;
	enum step step;

	if (x->answering == PHASE_CUT)
		return ORDER_CUT;
	if (x->started)
		x->report.coverage.in = l->base + buf_len(&l->buf) - x->start;
	if (buf_len(&l->buf) > l->parsed) {
		if (x->asking == PHASE_HEAD)
			return exchange_except(x, EXCEPTION_ANSWER_UNEXPECTED, "an answer before a request");
		if (x->answering == PHASE_DONE)
			return exchange_except(x, EXCEPTION_ANSWER_UNEXPECTED, "bytes behind an answer");
	}
	if (x->answering == PHASE_DONE)
		return ORDER_DONE;
	if (!x->started) {
		x->start = l->base + l->parsed;
		x->started = buf_len(&l->buf) > l->parsed;
	}
	step = read_heads(x, l, &e);
	/* What is held whole is read to its end: a refusal has as many choices as the answer had. */
	if (step == STEP_ITEM && x->answering == PHASE_BODY && (!x->blocked || !x->report.streamed))
		e = read_body(x, l);
	if (e == EXCEPTION_NONE && eof && x->answering != PHASE_DONE) {
		e = answer_ended(x);
		x->answering = PHASE_DONE;
	}
	if (x->started)
		x->report.coverage.in = l->base + buf_len(&l->buf) - x->start;
	if (e == EXCEPTION_NONE)
		return decide(x, l);
	decide(x, l);
	/* A keyword that only waited for the end of its word was there. */
	if (!x->blocked && e != EXCEPTION_MEMORY)
		texts_end(x);
	if (!x->blocked)
		return exchange_except(x, e, NULL);
	/* What was found before weighs more than what went wrong after it. */
	x->answering = PHASE_CUT;
	return ORDER_CUT;
}
