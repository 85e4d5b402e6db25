/* SPDX-License-Identifier: Apache-2.0 */
/* json_string.h - what json.c and json_string.c share; nobody else's. */
#pragma once

#include <endian.h>

#include "stream/stream.h"

enum json_part {
	BLANK, /* nothing but white space so far */
	VALUE,
	FIRST_VALUE, /* of an array, or its end. Up to here: a value may start */
	FIRST_KEY,   /* of an object, or its end */
	KEY,
	COLON,
	NEXT, /* a comma or the end of the container */
	DONE,
	STRING,
	ESCAPE, /* behind a backslash */
	HEX,    /* behind \u */
	LITERAL,
	NUMBER_START,
	NUMBER_MINUS,
	NUMBER_ZERO,
	NUMBER_INT,
	NUMBER_POINT,
	NUMBER_FRACTION,
	NUMBER_E,
	NUMBER_SIGN,
	NUMBER_EXPONENT,
	BROKEN,
};

struct cursor {
	const uint8_t *p, *end;
};

static inline enum step give(struct json_item *item, enum json_kind kind, const uint8_t *at, size_t len, uint32_t raw)
{
	*item = (struct json_item){ .kind = kind, .text = { at, len }, .raw = raw };
	return STEP_ITEM;
}

static inline enum step give_mark(struct json_item *item, enum json_kind kind)
{
	return give(item, kind, NULL, 0, 0);
}

static inline enum step give_run(struct json_item *item, enum json_kind kind, const uint8_t *from, const uint8_t *to)
{
	return give(item, kind, from, (size_t)(to - from), (uint32_t)(to - from));
}

/* How far one run may go: its length must fit item->raw. */
static inline const uint8_t *run_limit(const struct cursor *c)
{
	return (size_t)(c->end - c->p) > UINT32_MAX ? c->p + UINT32_MAX : c->end;
}

static inline enum step refuse(struct json *j, struct json_item *item, const char *why)
{
	j->state = BROKEN;
	*item = (struct json_item){ .why = why };
	return STEP_BAD;
}

#define EACH_BYTE(c) (0x0101010101010101u * (c))

static inline bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* Behind the plain ASCII bytes. c ^ 2 is below 0x21 for control characters and the quote alone. A borrow can only mark
 * bytes above one that is marked rightly, so the lowest mark is exact. */
static inline const uint8_t *ascii_run(const uint8_t *p, const uint8_t *end)
{
	for (; end - p >= 8; p += 8) {
		uint64_t w, stop;

		memcpy(&w, p, 8);
		w = le64toh(w);
		stop = (w | ((w ^ EACH_BYTE(2)) - EACH_BYTE(0x21)) | ((w ^ EACH_BYTE('\\')) - EACH_BYTE(1))) &
		       EACH_BYTE(0x80u);
		if (stop)
			return p + __builtin_ctzll(stop) / 8;
	}
	while (p < end && is_plain(*p))
		p++;
	return p;
}

/* Behind the bytes that stand for themselves, characters outside ASCII among them. Stops at the quote, a backslash, a
 * control character, or the first byte that UTF-8 cannot have there. */
const uint8_t *json_text_run(struct json *j, const uint8_t *p, const uint8_t *end);

/* The states ESCAPE and HEX. */
enum step json_on_escape(struct json *j, struct cursor *c, struct json_item *item);
enum step json_on_hex(struct json *j, struct cursor *c, struct json_item *item);

/* The high surrogate that waits will not get its other half: gives U+FFFD for it. The byte under way is not used: it is
 * met again when the surrogate is out of the way. */
enum step json_give_lone(struct json *j, struct json_item *item);
