/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_body.c - bodies of HTTP/1.1 messages (RFC 9112 6 and 7), as they come.
 *
 * The chunked coding is where request smuggling lives: extensions, odd line ends and odd sizes are read differently by
 * different parsers, so none of them is read at all. Nothing is kept but the state, so trailer lines are checked byte
 * by byte and given in pieces.
 */
#include "stream/stream.h"

#include "base/own.h"

enum part {
	SIZE,
	SIZE_LF,
	DATA,
	DATA_LF,
	LINE, /* start of a trailer line, or of the empty line that ends the body */
	NAME,
	VALUE,
	VALUE_LF,
	END_LF,
	COMPLETE,
	BROKEN,
};

#define SIZE_DIGITS_MAX 16
#define PLAIN_DIGITS    7

/* Fields that would change how the message is framed, routed or read had they come in the head (RFC 9110 6.5.1). */
static const struct slice forbidden[] = {
	SLICE("transfer-encoding"), SLICE("content-length"), SLICE("host"),
	SLICE("content-encoding"),  SLICE("content-type"),   SLICE("connection"),
};
#define FORBIDDEN_ALL ((1u << ARRAY_LEN(forbidden)) - 1)

void http1_body_start(struct http1_body *b, enum http1_framing framing, uint64_t length)
{
	*b = (struct http1_body){ .framing = framing };
	if (framing == HTTP1_NO_BODY)
		b->state = COMPLETE;
	else if (framing == HTTP1_CHUNKED)
		b->state = SIZE;
	else
		b->state = DATA;
	if (framing == HTTP1_LENGTH)
		b->left = length;
}

static enum step give(struct http1_body_item *item, enum http1_body_kind kind, struct slice data)
{
	*item = (struct http1_body_item){ .kind = kind, .data = data };
	return STEP_ITEM;
}

static enum step give_mark(struct http1_body_item *item, enum http1_body_kind kind)
{
	return give(item, kind, (struct slice){ NULL, 0 });
}

static enum step refuse(struct http1_body *b, struct http1_body_item *item, const char *why)
{
	b->state = BROKEN;
	*item = (struct http1_body_item){ .why = why };
	return STEP_BAD;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a chunk-size line before its LF. */
static enum step on_size(struct http1_body *b, uint8_t c, struct http1_body_item *item)
{
	int digit = hex_digit(c);

	if (digit < 0) {
		if (c != '\r' || !b->digits)
			return refuse(b, item, c == '\n' ? "bare LF" : "not a chunk size");
		b->state = SIZE_LF;
		return STEP_MORE;
	}
	if (b->digits == SIZE_DIGITS_MAX || b->left > (uint64_t)INT64_MAX >> 4)
		return refuse(b, item, "chunk size is too large");
	b->digits++;
	b->left = b->left << 4 | (uint64_t)digit;
	return STEP_MORE;
}

/* A chunk-size line that is all there and plain: few digits and a line break. False: byte by byte it will be seen. */
static bool whole_size(struct http1_body *b, struct slice in, size_t *used)
{
	uint64_t left = 0;
	size_t n = 0;

	for (int digit; n < PLAIN_DIGITS && n < in.len && (digit = hex_digit(in.at[n])) >= 0; n++)
		left = left << 4 | (uint64_t)digit;
	if (!n || in.len - n < 2 || in.at[n] != '\r' || in.at[n + 1] != '\n')
		return false;
	b->digits = (uint8_t)n;
	b->left = left;
	b->state = left ? DATA : LINE;
	*used += n + 2;
	return true;
}

/* One byte between two chunks: the CR and LF behind the data. */
static enum step on_data_end(struct http1_body *b, uint8_t c, struct http1_body_item *item)
{
	if (b->state == DATA) {
		if (c != '\r')
			return refuse(b, item, "no line break after a chunk");
		b->state = DATA_LF;
		return STEP_MORE;
	}
	if (c != '\n')
		return refuse(b, item, "bare CR");
	b->state = SIZE;
	b->digits = 0;
	return give_mark(item, HTTP1_CHUNK_END);
}

/* The first byte of a line of the trailer section. It is used only if it is a CR. */
static enum step on_line(struct http1_body *b, uint8_t c, struct http1_body_item *item)
{
	if (c == '\r') {
		b->state = END_LF;
		return STEP_MORE;
	}
	if (c == ' ' || c == '\t')
		return refuse(b, item, "folded line");
	if (c == ':')
		return refuse(b, item, "empty field name");
	if (!http1_token_byte(c))
		return refuse(b, item, c == '\n' ? "bare LF" : "not a field name");
	b->state = NAME;
	b->name_len = 0;
	b->names = FORBIDDEN_ALL;
	return STEP_MORE;
}

/* Strikes out the forbidden names that the name under way is not, now that it goes on with c. */
static void name_goes_on(struct http1_body *b, uint8_t c)
{
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (b->name_len >= forbidden[i].len || forbidden[i].at[b->name_len] != ascii_lower(c))
			b->names &= ~(1u << i);
	if (b->name_len < UINT8_MAX)
		b->name_len++;
}

static bool name_is_forbidden(const struct http1_body *b)
{
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (b->names & (1u << i) && forbidden[i].len == b->name_len)
			return true;
	return false;
}

/* NULL: the byte may stand here in a trailer line. */
static const char *on_trailer(struct http1_body *b, uint8_t c)
{
	if (b->state == VALUE)
		return http1_value_byte(c) ? NULL : c == '\n' ? "bare LF" : "control character in a field value";
	if (http1_token_byte(c)) {
		name_goes_on(b, c);
		return NULL;
	}
	if (c == ' ' || c == '\t')
		return "white space before the colon";
	if (c != ':')
		return c == '\n' ? "bare LF" : "not a field name";
	if (name_is_forbidden(b))
		return "forbidden trailer field";
	b->state = VALUE;
	return NULL;
}

/* The bytes of a trailer line that are here: a piece, the CR behind the last piece, or a fault. */
static enum step on_trailer_line(struct http1_body *b, struct slice in, size_t *used, struct http1_body_item *item)
{
	const char *why = NULL;
	size_t n = 0;

	while (n < in.len && b->line + n < HTTP1_HEAD_MAX && !(b->state == VALUE && in.at[n] == '\r')) {
		why = on_trailer(b, in.at[n]);
		if (why)
			break;
		n++;
	}
	if (n) { /* what was good goes out first; the byte behind it is met again in the next call */
		b->line += n;
		*used += n;
		return give(item, HTTP1_TRAILER, slice_of(in.at, n));
	}
	if (why)
		return refuse(b, item, why);
	if (b->line >= HTTP1_HEAD_MAX)
		return refuse(b, item, "trailer section too long");
	b->state = VALUE_LF;
	*used += 1;
	return STEP_MORE;
}

/* One byte that must be the LF of a line. */
static enum step on_lf(struct http1_body *b, uint8_t c, struct http1_body_item *item)
{
	if (c != '\n')
		return refuse(b, item, "bare CR");
	if (b->state == SIZE_LF) {
		b->state = b->left ? DATA : LINE;
		return give_mark(item, HTTP1_CHUNK);
	}
	if (b->state == VALUE_LF) {
		b->line += 2;
		b->state = LINE;
		return give_mark(item, HTTP1_TRAILER_END);
	}
	b->state = COMPLETE;
	return give_mark(item, HTTP1_END);
}

/* Body content: as much of it as is here. */
static enum step on_data(struct http1_body *b, struct slice in, size_t *used, struct http1_body_item *item)
{
	if (b->framing != HTTP1_UNTIL_CLOSE) {
		if (in.len > b->left)
			in.len = b->left;
		b->left -= in.len;
	}
	*used += in.len;
	return give(item, HTTP1_DATA, in);
}

/* The next step in a chunked body. At least one byte is there. A byte that is refused is not used. */
static enum step on_chunked(struct http1_body *b, struct slice in, size_t *used, struct http1_body_item *item)
{
	enum step step;

	switch (b->state) {
	case SIZE:
		if (!b->digits && whole_size(b, in, used))
			return give_mark(item, HTTP1_CHUNK);
		step = on_size(b, *in.at, item);
		break;
	case DATA:
		if (b->left)
			return on_data(b, in, used, item);
		if (in.len >= 2 && in.at[0] == '\r' && in.at[1] == '\n') {
			b->state = SIZE;
			b->digits = 0;
			*used += 2;
			return give_mark(item, HTTP1_CHUNK_END);
		}
		/* fall through */
	case DATA_LF:
		step = on_data_end(b, *in.at, item);
		break;
	case LINE:
		step = on_line(b, *in.at, item);
		if (b->state == NAME)
			return step;
		break;
	case NAME:
	case VALUE:
		return on_trailer_line(b, in, used, item);
	default:
		step = on_lf(b, *in.at, item);
	}
	*used += step != STEP_BAD;
	return step;
}

enum step http1_body_feed(struct http1_body *b, struct slice in, size_t *used, struct http1_body_item *item)
{
	enum step step = STEP_MORE;

	*used = 0;
	if (b->state == BROKEN)
		return refuse(b, item, "refused before");
	if (b->framing == HTTP1_LENGTH && !b->left)
		b->state = COMPLETE;
	if (b->state == COMPLETE)
		return give_mark(item, HTTP1_END);
	while (step == STEP_MORE && *used < in.len) {
		if (b->framing == HTTP1_CHUNKED)
			step = on_chunked(b, slice_from(in, *used), used, item);
		else
			step = on_data(b, slice_from(in, *used), used, item);
	}
	return step;
}
