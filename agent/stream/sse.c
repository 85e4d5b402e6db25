/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse.c - server-sent events (WHATWG HTML 9.2.6), as they come.
 *
 * Nothing is kept but the state: what was matched of "data" or of the byte order mark is known by its length, and comes
 * from a constant if the line turns out to be another.
 */
#include "stream/stream.h"

#include <endian.h>

enum part {
	MARK,     /* the start of the stream, where a byte order mark may be */
	LINE,     /* the start of a line */
	CR,       /* the same, behind a CR that ended a line */
	EVENT_CR, /* the same, behind a CR that ended an event */
	NAME,     /* inside what may become "data" */
	COLON,    /* behind "data:", where one space is not text */
	DATA,
	FIELD,
};

#define NAME_LEN 4
#define MARK_LEN 3
static const uint8_t data_name[NAME_LEN + 1] = "data";
static const uint8_t mark[MARK_LEN + 1] = "\xEF\xBB\xBF";

void sse_start(struct sse *s)
{
	*s = (struct sse){ .state = MARK };
}

static bool is_break(uint8_t c)
{
	return c == '\n' || c == '\r';
}

static uint64_t zero_bytes(uint64_t w)
{
	return (w - 0x0101010101010101u) & ~w & 0x8080808080808080u;
}

/* Where the line that p is in ends: its CR or LF, or the end. Eight bytes at a time; the lowest bit that zero_bytes()
 * sets is exact. (Two memchr() would be quadratic for lines that end in CR.) */
static const uint8_t *line_end(const uint8_t *p, const uint8_t *end)
{
	for (; end - p >= 8; p += 8) {
		uint64_t w, hit;

		memcpy(&w, p, 8);
		w = le64toh(w);
		hit = zero_bytes(w ^ 0x0a0a0a0a0a0a0a0au) | zero_bytes(w ^ 0x0d0d0d0d0d0d0d0du);
		if (hit)
			return p + __builtin_ctzll(hit) / 8;
	}
	while (p < end && !is_break(*p))
		p++;
	return p;
}

static enum step give(struct sse_item *item, enum sse_kind kind, const uint8_t *at, size_t len)
{
	*item = (struct sse_item){ .kind = kind, .text = { at, len } };
	return STEP_ITEM;
}

static enum step on_mark(struct sse *s, const uint8_t **p, struct sse_item *item)
{
	if (**p == mark[s->bom]) {
		(*p)++;
		if (++s->bom == MARK_LEN)
			s->state = LINE;
		return STEP_MORE;
	}
	if (!s->bom) {
		s->state = LINE;
		return STEP_MORE;
	}
	s->state = FIELD;
	return give(item, SSE_FIELD, mark, s->bom);
}

static enum step on_line(struct sse *s, const uint8_t **p, struct sse_item *item)
{
	bool event = s->state == EVENT_CR;

	if (s->state != LINE && **p == '\n') {
		(*p)++;
		s->state = LINE;
		return event ? give(item, SSE_LF, NULL, 0) : STEP_MORE;
	}
	if (!is_break(**p)) {
		s->state = NAME;
		s->name_len = 0;
		return STEP_MORE;
	}
	s->state = *(*p)++ == '\r' ? EVENT_CR : LINE;
	s->had_data = false;
	return give(item, SSE_EVENT_END, NULL, 0);
}

static enum step on_name(struct sse *s, const uint8_t **p, struct sse_item *item)
{
	if (s->name_len < NAME_LEN && **p == data_name[s->name_len]) {
		(*p)++;
		s->name_len++;
		return STEP_MORE;
	}
	if (s->name_len == NAME_LEN && (**p == ':' || is_break(**p))) {
		s->state = **p == ':' ? COLON : DATA;
		*p += **p == ':';
		return s->had_data ? give(item, SSE_DATA, (const uint8_t *)"\n", 1) : STEP_MORE;
	}
	s->state = FIELD;
	return s->name_len ? give(item, SSE_FIELD, data_name, s->name_len) : STEP_MORE;
}

/* The rest of a line of either kind: text up to its break, then the break. */
static enum step on_text(struct sse *s, const uint8_t **p, const uint8_t *end, struct sse_item *item)
{
	const uint8_t *start = *p;
	bool data = s->state == DATA;

	*p = line_end(start, end);
	if (*p > start)
		return give(item, data ? SSE_DATA : SSE_FIELD, start, (size_t)(*p - start));
	s->state = *(*p)++ == '\r' ? CR : LINE;
	s->had_data |= data;
	return give(item, data ? SSE_DATA_END : SSE_FIELD_END, NULL, 0);
}

/* The next step. At least one byte is there. */
static enum step on_byte(struct sse *s, const uint8_t **p, const uint8_t *end, struct sse_item *item)
{
	switch (s->state) {
	case MARK:
		return on_mark(s, p, item);
	case LINE:
	case CR:
	case EVENT_CR:
		return on_line(s, p, item);
	case NAME:
		return on_name(s, p, item);
	case COLON:
		*p += **p == ' ';
		s->state = DATA;
		return STEP_MORE;
	default:
		return on_text(s, p, end, item);
	}
}

enum step sse_feed(struct sse *s, struct slice in, size_t *used, struct sse_item *item)
{
	const uint8_t *p = in.at, *end = in.len ? in.at + in.len : in.at;
	enum step step = STEP_MORE;

	while (step == STEP_MORE && p < end)
		step = on_byte(s, &p, end, item);
	*used = (size_t)(p - in.at);
	return step;
}
