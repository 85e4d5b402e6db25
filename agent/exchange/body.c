/* SPDX-License-Identifier: Apache-2.0 */
/* body.c - the content of an answer becomes texts: events, JSON, plain text. */
#include "exchange/private.h"
#include "exchange/redact.h"

void body_advance(struct exchange *x, size_t n, size_t text)
{
	x->here.wire += n;
	x->here.structural += n - text;
	if (x->body.framing != HTTP1_UNTIL_CLOSE && !x->decoder)
		x->here.left -= n;
}

/* ---- JSON ---- */

static enum exception leaf_read(struct exchange *x, const struct leaf *leaf)
{
	enum exception e = EXCEPTION_NONE;

	template_leaf(x, leaf);
	if (leaf->string) {
		x->here.scanned += leaf->raw;
		e = text_feed(x, leaf);
	}
	if (e == EXCEPTION_NONE && leaf->tap != TAP_NONE)
		e = tap_read(x, leaf);
	return e;
}

static void account(struct exchange *x)
{
	x->here.structural += x->walk.structural - x->walk_structural;
	x->walk_structural = x->walk.structural;
}

enum exception unparsable(struct exchange *x, const char *why)
{
	x->report.detail = why;
	return !strcmp(why, "depth") ? EXCEPTION_TOO_DEEP : EXCEPTION_UNPARSABLE;
}

void json_begin(struct exchange *x)
{
	walk_start(&x->walk, x->report.streamed ? x->report.dialect->message : x->report.dialect->whole);
	x->walk_structural = 0;
	if (x->redact)
		redact_message(x);
}

enum exception json_data(struct exchange *x, struct slice data)
{
	enum exception e = EXCEPTION_NONE;
	struct leaf leaf;
	enum step step;
	size_t used;

	if (x->redact)
		redact_data(x, data);
	do {
		step = walk_feed(&x->walk, data, &used, &leaf);
		x->walk.fed += used;
		data = slice_from(data, used);
		if (step == STEP_BAD)
			return unparsable(x, x->walk.why);
		if (step == STEP_ITEM)
			e = leaf_read(x, &leaf);
	} while (step == STEP_ITEM && e == EXCEPTION_NONE && !stopped(x));
	account(x);
	return e;
}

enum exception json_end(struct exchange *x)
{
	enum exception e = EXCEPTION_NONE;
	struct leaf leaf;
	enum step step;

	do {
		step = walk_finish(&x->walk, &leaf);
		if (step == STEP_BAD)
			return unparsable(x, x->walk.why);
		if (step == STEP_ITEM)
			e = leaf_read(x, &leaf);
	} while (step == STEP_ITEM && e == EXCEPTION_NONE && !stopped(x));
	account(x);
	/* Ids are words to whoever has the vocabulary, and we have not. */
	if (e == EXCEPTION_NONE && x->ids_seen && !x->text_seen && !stopped(x))
		return EXCEPTION_TOKEN_IDS;
	return e;
}

/* ---- the data of one event ---- */

static enum exception prose(struct exchange *x, struct slice text, bool begin, bool end)
{
	struct leaf leaf = { .channel = CHANNEL_OTHER, .string = true, .begin = begin, .end = end, .text = text };

	x->here.scanned += text.len;
	return text_feed(x, &leaf);
}

static enum exception end_mark(struct exchange *x, struct slice data)
{
	static const uint8_t mark[] = "[DONE]";

	for (size_t i = 0; i < data.len; i++) {
		bool blank = data.at[i] == ' ' || data.at[i] == '\n';

		if (x->end_mark < sizeof(mark) - 1 && data.at[i] == mark[x->end_mark])
			x->end_mark++;
		else if (x->end_mark < sizeof(mark) - 1 || !blank)
			return unparsable(x, "data is neither JSON nor an end mark");
	}
	x->here.structural += data.len;
	return EXCEPTION_NONE;
}

static enum exception payload(struct exchange *x, struct slice data)
{
	enum exception e;
	size_t blank = 0;

	if (x->payload == PAYLOAD_START) {
		while (blank < data.len && (data.at[blank] == ' ' || data.at[blank] == '\n' || data.at[blank] == '\t'))
			blank++;
		x->here.structural += blank;
		data = slice_from(data, blank);
		if (!data.len)
			return EXCEPTION_NONE;
		if (data.at[0] == '[') {
			x->payload = PAYLOAD_BRACKET;
			data = slice_from(data, 1);
		} else if (data.at[0] == '{') {
			x->payload = PAYLOAD_JSON;
			json_begin(x);
		} else {
			x->payload = PAYLOAD_TEXT;
			return prose(x, data, true, false);
		}
	}
	if (x->payload == PAYLOAD_BRACKET) {
		if (!data.len)
			return EXCEPTION_NONE;
		if (data.at[0] == 'D') {
			x->payload = PAYLOAD_END_MARK;
			x->end_mark = 1;
			x->here.structural++;
		} else {
			x->payload = PAYLOAD_JSON;
			json_begin(x);
			e = json_data(x, SLICE("["));
			if (e != EXCEPTION_NONE)
				return e;
		}
	}
	switch (x->payload) {
	case PAYLOAD_END_MARK:
		return end_mark(x, data);
	case PAYLOAD_TEXT:
		return prose(x, data, false, false);
	default:
		return json_data(x, data);
	}
}

static enum exception payload_end(struct exchange *x)
{
	switch (x->payload) {
	case PAYLOAD_START:
		return EXCEPTION_NONE;
	case PAYLOAD_JSON:
		return json_end(x);
	case PAYLOAD_TEXT:
		return prose(x, SLICE(""), false, true);
	case PAYLOAD_END_MARK:
		return x->end_mark == 6 ? EXCEPTION_NONE : unparsable(x, "the end mark is cut short");
	default:
		return unparsable(x, "data is neither JSON nor an end mark");
	}
}

/* ---- server-sent events ---- */

static void event_begin(struct exchange *x)
{
	unit_begin(x);
	x->payload = PAYLOAD_START;
	x->field_open = false;
}

static enum exception event_end(struct exchange *x)
{
	enum exception e = payload_end(x);

	x->report.events += x->payload != PAYLOAD_START;
	return e == EXCEPTION_NONE ? unit_end(x) : e;
}

/* Names of fields are words (HTML 9.2.5), and a comment has none. What begins with a part of the mark of the byte order
 * was looked at before. */
static bool begins_field(uint8_t c)
{
	return (uint8_t)((c | 0x20) - 'a') < 26 || c == ':' || c == '_' || c == 0xef;
}

static enum exception event_item(struct exchange *x, const struct sse_item *item, struct slice in, size_t used)
{
	bool inside = item->text.at >= in.at && item->text.at < in.at + in.len;
	enum exception e;

	switch (item->kind) {
	case SSE_DATA:
		/* The line break between two data lines is no byte of its own: it stands for one already counted. */
		body_advance(x, used, inside ? item->text.len : 0);
		if (!inside)
			x->here.structural -= item->text.len;
		return payload(x, item->text);
	case SSE_FIELD:
		/* JSON by lines under a false name, lines with a blank in front, bytes of another kind: a reader that
		 * is not strict would make texts of them that were not read. */
		if (!x->field_open && !begins_field(item->text.at[0]))
			return unparsable(x, "a line that is not a field");
		body_advance(x, used, item->text.len);
		x->here.scanned += item->text.len;
		e = text_alone(x, CHANNEL_LABEL, item->text, !x->field_open, false);
		x->field_open = true;
		return e;
	case SSE_FIELD_END:
		body_advance(x, used, 0);
		e = text_alone(x, CHANNEL_LABEL, SLICE(""), !x->field_open, true);
		x->field_open = false;
		return e;
	case SSE_EVENT_END:
		body_advance(x, used, 0);
		return event_end(x);
	case SSE_LF:
		body_advance(x, used, 0);
		unit_extend(x);
		return EXCEPTION_NONE;
	default:
		body_advance(x, used, 0);
		return EXCEPTION_NONE;
	}
}

/* No more than may be held is read ahead of what is cleared, however it came. */
static enum exception events_data(struct exchange *x, struct slice data)
{
	enum exception e = EXCEPTION_NONE;
	struct sse_item item;

	while (e == EXCEPTION_NONE && !x->blocked && data.len) {
		uint64_t held = x->here.wire - x->cleared.wire;
		struct slice in = data;
		enum step step;
		size_t used;

		if (held >= x->limits.event_max)
			return held_too_large(x);
		if (in.len > x->limits.event_max - held)
			in.len = x->limits.event_max - held;
		if (!x->unit_open && template_read(x, in, &used, &e)) {
			data = slice_from(data, used);
			continue;
		}
		step = sse_feed(&x->sse, in, &used, &item);
		if (!x->unit_open && used && !(step == STEP_ITEM && item.kind == SSE_LF)) {
			event_begin(x);
			template_begin(x, in);
		}
		if (step == STEP_ITEM)
			e = event_item(x, &item, in, used);
		else
			body_advance(x, used, 0);
		data = slice_from(data, used);
		if (step == STEP_ITEM && item.kind == SSE_EVENT_END && e == EXCEPTION_NONE)
			template_end(x, data.at);
	}
	template_leave(x);
	return e;
}

/* ---- text ---- */

/* Is what calls itself text something else? Its readers would put its parts together in other ways than we do. One
 * byte at a time, until it is clear. */
static bool is_no_text(struct exchange *x, uint8_t c)
{
	static const struct slice others[] = { SLICE("{"),    SLICE("[{"),     SLICE("data:"),   SLICE("event:"),
		                               SLICE("id:"),  SLICE("retry:"), SLICE(": "),      SLICE(":\n"),
		                               SLICE("\xff"), SLICE("\xfe"),   SLICE("\x1f\x8b") };
	struct slice lead;

	/* Two bytes a character. */
	if (!c && x->lead_len < sizeof(x->lead))
		return true;

	if (x->lead_len == sizeof(x->lead) || (!x->lead_len && (c == ' ' || c == '\t' || c == '\r' || c == '\n')))
		return false;
	x->lead[x->lead_len++] = c;
	lead = slice_of(x->lead, x->lead_len);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (slice_is(lead, others[i]))
			return true;
	if (slice_is(lead, SLICE("\xef\xbb\xbf")))
		x->lead_len = 0;
	return false;
}

static enum exception text_piece(struct exchange *x, struct slice data)
{
	struct leaf leaf = { .channel = CHANNEL_TEXT, .string = true, .text = data };

	for (size_t i = 0; i < data.len && x->lead_len < sizeof(x->lead); i++)
		if (is_no_text(x, data.at[i])) {
			x->report.detail = "what calls itself text is not";
			return EXCEPTION_CONTENT_TYPE;
		}
	body_advance(x, data.len, data.len);
	x->here.scanned += data.len;
	return text_feed(x, &leaf);
}

static bool mid_character(const struct exchange *x)
{
	for (size_t i = 0; i < x->text_count; i++)
		if (x->texts[i].state.scan.tail_len)
			return true;
	return false;
}

/* A character at a time: each is a unit. Bytes that are not UTF-8 stand for themselves. */
static enum exception text_live(struct exchange *x, struct slice data)
{
	enum exception e = EXCEPTION_NONE;

	for (size_t i = 0; i < data.len && e == EXCEPTION_NONE && !x->blocked; i++) {
		if (x->here.wire - x->cleared.wire >= x->limits.event_max)
			return held_too_large(x);
		if (!x->unit_open)
			unit_begin(x);
		e = text_piece(x, slice_of(data.at + i, 1));
		if (e == EXCEPTION_NONE && !x->blocked && !mid_character(x))
			e = unit_end(x);
	}
	return e;
}

/* ---- the body as a whole ---- */

void body_begin(struct exchange *x)
{
	if (x->kind == BODY_EVENTS)
		sse_start(&x->sse);
	if (x->kind == BODY_LINES) {
		ndjson_start(&x->lines);
		x->payload = PAYLOAD_JSON;
		x->here.line_start = true;
		x->edge = x->here;
		question_clear(x, &x->here);
	}
	if (x->kind == BODY_JSON || x->kind == BODY_TENSORS)
		json_begin(x);
	if (x->kind == BODY_JSON || x->kind == BODY_TENSORS || x->kind == BODY_TEXT) {
		/* The head is part of it; what came before the head is sent. */
		x->unit = x->cleared;
		x->unit_open = true;
	}
}

/* A body that is held whole: as much of it as may be held. */
static enum exception whole_data(struct exchange *x, struct slice data)
{
	uint64_t most = x->limits.body_max + HTTP1_HEAD_MAX, room = most > x->here.wire ? most - x->here.wire : 0;
	bool fits = data.len <= room;
	enum exception e;

	if (!fits)
		data.len = room;
	if (x->kind == BODY_TEXT) {
		e = text_piece(x, data);
	} else if (x->kind == BODY_TENSORS) {
		e = tensors_data(x, data);
	} else {
		body_advance(x, data.len, data.len);
		e = json_data(x, data);
	}
	return e == EXCEPTION_NONE && !fits ? EXCEPTION_BODY_TOO_LARGE : e;
}

enum exception body_data(struct exchange *x, struct slice data)
{
	switch (x->kind) {
	case BODY_EVENTS:
		return events_data(x, data);
	case BODY_LINES:
		return lines_data(x, data);
	case BODY_JSON:
	case BODY_TENSORS:
	case BODY_TEXT:
		return whole_data(x, data);
	case BODY_LIVE:
		return text_live(x, data);
	default:
		return EXCEPTION_CONTENT_TYPE;
	}
}

enum exception body_line_end(struct exchange *x)
{
	bool open = x->field_open;

	x->field_open = false;
	return open ? text_alone(x, CHANNEL_LABEL, SLICE(""), false, true) : EXCEPTION_NONE;
}

enum exception body_end(struct exchange *x)
{
	enum exception e = body_line_end(x);

	if (e != EXCEPTION_NONE || stopped(x))
		return e;
	/* An event without its empty line at the end of a complete body: lax readers read it, so it is read. */
	if (x->kind == BODY_EVENTS && x->unit_open)
		e = event_end(x);
	else if (x->kind == BODY_TENSORS)
		e = tensors_end(x);
	else if (x->kind == BODY_LINES ? x->unit_open : x->kind == BODY_JSON && !json_blank(&x->walk.json))
		e = json_end(x); /* a message among others is cut short, and refused for it */
	if (e == EXCEPTION_NONE && x->unit_open)
		e = unit_end(x);
	if (e == EXCEPTION_NONE)
		e = texts_end(x);
	if (e == EXCEPTION_NONE && !x->blocked)
		question_clear(x, &x->here);
	return e;
}
