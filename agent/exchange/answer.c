/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - the answer lane: heads, framing, and how far it is cleared. */
#include "exchange/private.h"
#include "exchange/redact.h"

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

/* What stands in a head may be shown by a client: the status line is a text, and so is each field. */
static enum exception scan_head(struct exchange *x, const struct http1_head *h, struct slice head)
{
	uint32_t first = h->field_count ? h->fields[0].name.at : h->len;
	enum exception e = text_alone(x, CHANNEL_HEADER, slice_of(head.at, first), true, true);
	uint64_t text = first;

	for (uint32_t i = 0; i < h->field_count && e == EXCEPTION_NONE; i++) {
		const struct http1_field *f = &h->fields[i];
		uint32_t len = f->value.at + f->value.len - f->name.at;

		text += len;
		e = text_alone(x, CHANNEL_HEADER, slice_of(head.at + f->name.at, len), true, true);
	}
	x->here.wire += h->len;
	x->here.scanned += text;
	x->here.structural += h->len - text;
	return e;
}

/* An API that answers in JSON and events does not answer in text, but for what went wrong. */
static bool out_of_place(const struct exchange *x)
{
	return (x->kind == BODY_TEXT || x->kind == BODY_LIVE) && x->report.dialect->ending != ENDING_GENERIC &&
	       x->report.status < 300;
}

/* How much of a body with tensors is JSON; false: that cannot be told for sure. */
static bool json_length(const struct http1_head *h, struct slice head, uint64_t *length)
{
	struct slice name = SLICE("inference-header-content-length"), value = http1_value(h, head, name);
	uint64_t n = 0;
	size_t lines = 0;

	for (uint32_t i = 0; i < h->field_count; i++)
		lines += slice_is_nocase(slice_of(head.at + h->fields[i].name.at, h->fields[i].name.len), name);
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9' || n > UINT32_MAX)
			return false;
		n = n * 10 + (value.at[i] - '0');
	}
	*length = n;
	return lines == 1 && n;
}

static enum exception head_read(struct exchange *x, struct slice head)
{
	const struct http1_head *h = &x->answer_reader->head;
	enum exception e = scan_head(x, h, head);
	enum http1_framing framing;
	enum coding coding;

	if (e != EXCEPTION_NONE || x->blocked)
		return e;
	if (h->status == 101) {
		if (!x->to_websocket || upgrade_of(h, head) != UPGRADE_WEBSOCKET)
			return EXCEPTION_UPGRADE;
		x->report.status = h->status;
		x->report.passed = x->report.complete = true;
		question_clear(x, &x->here);
		x->answering = PHASE_DONE;
		return EXCEPTION_NONE;
	}
	if (h->status < 200) {
		question_clear(x, &x->here);
		http1_start(x->answer_reader, true);
		return EXCEPTION_NONE;
	}
	x->report.status = h->status;
	x->answer_close = h->close || (!h->minor && !h->keep_alive);
	framing = http1_framing(h, x->to_head);
	x->answer_close |= framing == HTTP1_UNTIL_CLOSE;
	http1_body_start(&x->body, framing, h->length);
	x->kind = body_kind_of(h, head, framing, &coding, &e);
	if (e == EXCEPTION_NONE && out_of_place(x))
		e = EXCEPTION_CONTENT_TYPE;
	if (e != EXCEPTION_NONE)
		return e;
	/* Whole or one message behind the other: its length not being known, it may be either. */
	if (x->kind == BODY_JSON && x->report.dialect->lines && framing != HTTP1_LENGTH)
		x->kind = BODY_LINES;
	if (x->kind == BODY_TENSORS && !json_length(h, head, &x->tensors.json))
		return EXCEPTION_CONTENT_TYPE;
	x->report.streamed = x->kind == BODY_EVENTS || x->kind == BODY_LINES || x->kind == BODY_LIVE;
	if (!x->report.streamed && x->kind != BODY_NONE && framing == HTTP1_LENGTH && h->length > x->limits.body_max)
		return EXCEPTION_BODY_TOO_LARGE;
	x->here.left = framing == HTTP1_LENGTH ? h->length : 0;
	if (x->kind != BODY_NONE && coding != CODING_NONE)
		e = encoded_begin(x, coding);
	if (e != EXCEPTION_NONE)
		return e;
	x->edge = x->here;
	if (x->report.streamed || x->kind == BODY_NONE) {
		x->head_sent = true;
		x->head_end = x->here.wire;
		question_clear(x, &x->here);
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

/* Bytes of the framing: structure, whatever the content is. */
static void framing_read(struct exchange *x, size_t n)
{
	x->here.wire += n;
	x->here.structural += n;
	if (x->decoder)
		encoded_framing(x, n);
}

/* All content was read. */
static enum exception content_end(struct exchange *x)
{
	enum exception e = x->decoder ? encoded_end(x) : EXCEPTION_NONE;

	return e == EXCEPTION_NONE ? body_end(x) : e;
}

static enum exception body_item(struct exchange *x, const struct http1_body_item *item, size_t used)
{
	struct point *at = x->decoder ? &x->raw : &x->here;
	enum exception e;

	if (item->kind == HTTP1_CHUNK) {
		at->left = x->body.left;
		at->in_chunk = x->body.left > 0;
	} else if (item->kind == HTTP1_CHUNK_END) {
		at->in_chunk = false;
	}
	if (item->kind != HTTP1_DATA)
		framing_read(x, used);
	switch (item->kind) {
	case HTTP1_CHUNK:
		/* Behind the last chunk there are only trailers: a line that has not ended has ended now. */
		return x->body.left ? EXCEPTION_NONE : body_line_end(x);
	case HTTP1_CHUNK_END:
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
		return content_end(x);
	default:
		return x->decoder ? encoded_data(x, item->data) : body_data(x, item->data);
	}
}

/* No more is read until a question is decided. */
static bool waits_full(const struct exchange *x)
{
	return x->question_count && x->report.streamed && exchange_waits(x) &&
	       x->here.wire - x->cleared.wire >= x->limits.event_max / 2;
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

		/* An opinion may take long, and an answer must not become too large to be held for it. */
		if (waits_full(x))
			return EXCEPTION_NONE;
		if (!whole && x->asks && in.len > x->limits.event_max / 4)
			in.len = x->limits.event_max / 4;
		step = http1_body_feed(&x->body, in, &used, &item);
		if (step == STEP_BAD) {
			x->report.detail = item.why;
			return EXCEPTION_ANSWER_MALFORMED;
		}
		l->parsed += used;
		if (step == STEP_ITEM) {
			e = body_item(x, &item, used);
		} else {
			framing_read(x, used);
		}
		/* The end of a body comes by a call of its own. */
	} while ((step == STEP_ITEM || used) && e == EXCEPTION_NONE && x->answering == PHASE_BODY &&
	         (whole || !x->blocked));
	return e;
}

/* The server has sent its last byte, and the answer is not complete by its framing. */
static enum exception answer_ended(struct exchange *x)
{
	enum exception e;

	if (x->answering == PHASE_HEAD)
		return x->here.wire || x->started ? EXCEPTION_ANSWER_TRUNCATED : EXCEPTION_NONE;
	if (x->body.framing == HTTP1_UNTIL_CLOSE) {
		x->report.complete = true;
		return content_end(x);
	}
	if (!x->report.streamed || x->unit_open)
		return EXCEPTION_ANSWER_TRUNCATED;
	e = texts_end(x);
	if (e == EXCEPTION_NONE && !x->blocked)
		question_clear(x, &x->here);
	return e;
}

/* How far the lane may be sent, and how it goes on. */
static enum order decide(struct exchange *x, struct lane *l)
{
	if (x->blocked && (x->report.streamed || x->answering != PHASE_BODY))
		x->answering = PHASE_CUT;
	/* Nothing goes out that is not accounted for, whoever cleared it. */
	if (x->cleared.wire != x->cleared.scanned + x->cleared.structural) {
		x->cleared = x->gone;
		return exchange_except(x, EXCEPTION_COVERAGE, NULL);
	}
	x->gone = x->cleared;
	if (x->redact)
		redact_apply(x, l);
	l->cleared = (size_t)(x->start + point_wire(&x->cleared) - l->base);
	if (x->answering == PHASE_CUT)
		return ORDER_CUT;
	if (x->report.passed)
		return ORDER_PASS;
	return x->answering == PHASE_DONE && !x->question_count ? ORDER_DONE : ORDER_PUMP;
}

static bool unread(const struct lane *l)
{
	return buf_len(&l->buf) > l->parsed;
}

/* Reads what came. What blocks ends the reading, but of a body that is held whole. */
static enum exception read_answer(struct exchange *x, struct lane *l, bool eof)
{
	enum exception e = EXCEPTION_NONE;
	enum step step = read_heads(x, l, &e);

	if (step == STEP_ITEM && x->answering == PHASE_BODY && !stopped(x))
		e = read_body(x, l);
	if (e == EXCEPTION_NONE && eof && x->answering != PHASE_DONE && !stopped(x) && !(waits_full(x) && unread(l))) {
		e = answer_ended(x);
		x->answering = PHASE_DONE;
	}
	return e;
}

enum order exchange_answer(struct exchange *x, struct lane *l, bool eof)
{
	bool came = buf_len(&l->buf) > l->parsed, whole;
	enum exception e;

	if (x->answering == PHASE_CUT)
		return ORDER_CUT;
	if (x->report.passed)
		return ORDER_PASS;
	if (x->answering == PHASE_DONE && !came)
		return x->question_last && x->started ? decide(x, l) : ORDER_DONE;
	if (x->redact)
		x->redact->lane = l;
	if (!x->started) {
		x->start = l->base + l->parsed;
		x->started = came;
		/* What was asked for, not what the answer calls itself: it is known before the first word. */
		memcpy(x->asked_model, x->report.model, sizeof(x->asked_model));
		x->scope.model = x->asked_model;
	}
	if (came && (x->asking == PHASE_HEAD || x->answering == PHASE_DONE)) {
		x->report.coverage.in = l->base + buf_len(&l->buf) - x->start;
		return exchange_except(x, EXCEPTION_ANSWER_UNEXPECTED,
		                       x->answering == PHASE_DONE ? "bytes behind an answer"
		                                                  : "an answer before a request");
	}
	e = read_answer(x, l, eof);
	/* What is behind a complete answer is not of it; behind one that is cut, all is thrown away. */
	whole = e == EXCEPTION_NONE && x->answering == PHASE_DONE && !x->blocked;
	if (x->started)
		x->report.coverage.in = l->base + (whole ? l->parsed : buf_len(&l->buf)) - x->start;
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
