/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_string.c - the rarer things in JSON strings: characters outside ASCII that need care, and escapes.
 *
 * A surrogate pair may be cut anywhere and its halves may turn out not to be one, so the high half waits in the state
 * and no byte is used before it is clear what it belongs to.
 */
#include "stream/json_string.h"

/* ---- UTF-8 (Unicode 15, table 3-7) ---- */

/* Prepares for the continuation bytes that c asks for. False: no character starts with c. */
static bool utf8_lead(struct json *j, uint8_t c)
{
	if (c < 0xc2 || c > 0xf4)
		return false;
	j->utf8_left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	j->utf8_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	j->utf8_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	return true;
}

static bool utf8_next(struct json *j, uint8_t c)
{
	if (c < j->utf8_low || c > j->utf8_high)
		return false;
	j->utf8_left--;
	j->utf8_low = 0x80;
	j->utf8_high = 0xbf;
	return true;
}

static bool follows(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

/* Behind the characters outside ASCII that are of the common kinds and whole here. All else is for the slow way. */
static const uint8_t *utf8_run(const uint8_t *p, const uint8_t *end)
{
	while (end - p >= 3) {
		if (p[0] > 0xe0 && p[0] < 0xf0 && p[0] != 0xed && follows(p[1]) && follows(p[2]))
			p += 3;
		else if (p[0] >= 0xc2 && p[0] < 0xe0 && follows(p[1]))
			p += 2;
		else
			break;
	}
	return p;
}

const uint8_t *json_text_run(struct json *j, const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		if (j->utf8_left) {
			if (!utf8_next(j, *p))
				break;
			p++;
			continue;
		}
		p = ascii_run(p, end);
		if (p == end || *p < 0x80)
			break;
		p = utf8_run(p, end);
		if (p < end && *p >= 0x80) {
			if (!utf8_lead(j, *p))
				break;
			p++;
		}
	}
	return p;
}

/* ---- escapes ---- */

/* Text that an escape stands for: the first `len` bytes of scratch. */
static enum step give_escape(struct json *j, struct json_item *item, size_t len)
{
	uint32_t raw = j->raw;

	j->raw = 0;
	j->state = STRING;
	return give(item, j->in_key ? JSON_KEY : JSON_STRING, j->scratch, len, raw);
}

static enum step give_code_point(struct json *j, struct json_item *item, uint32_t c)
{
	static const uint8_t lead[] = { 0, 0x00, 0xc0, 0xe0, 0xf0 };
	size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = len - 1; i > 0; i--, c >>= 6)
		j->scratch[i] = (uint8_t)(0x80 | (c & 0x3f));
	j->scratch[0] = (uint8_t)(lead[len] | c);
	return give_escape(j, item, len);
}

static bool is_high(uint32_t unit)
{
	return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(uint32_t unit)
{
	return unit >= 0xdc00 && unit < 0xe000;
}

enum step json_give_lone(struct json *j, struct json_item *item)
{
	uint8_t state = j->state;
	uint32_t ahead = j->raw - 6;

	j->raw = 6;
	j->high = 0;
	j->lone++;
	give_code_point(j, item, 0xfffd);
	item->ahead = ahead;
	j->raw = ahead;
	j->state = state;
	return STEP_ITEM;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* j->unit is complete. */
static enum step unit_complete(struct json *j, struct json_item *item)
{
	uint32_t unit = j->unit, high = j->high;

	j->high = 0;
	if (high)
		return give_code_point(j, item, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
	if (is_high(unit)) {
		j->high = j->unit;
		j->state = STRING;
		return STEP_MORE;
	}
	j->lone += is_low(unit);
	return give_code_point(j, item, is_low(unit) ? 0xfffd : unit);
}

enum step json_on_hex(struct json *j, struct cursor *c, struct json_item *item)
{
	while (c->p < c->end) {
		int digit = hex_digit(*c->p);
		uint32_t unit = (uint32_t)j->unit << 4 | (uint32_t)digit;

		if (digit < 0)
			return refuse(j, item, "\\u without four hexadecimal digits");
		if (j->after == 3 && j->high && !is_low(unit & 0xffff))
			return json_give_lone(j, item);
		c->p++;
		j->raw++;
		j->unit = (uint16_t)unit;
		if (++j->after == 4)
			return unit_complete(j, item);
	}
	return STEP_MORE;
}

enum step json_on_escape(struct json *j, struct cursor *c, struct json_item *item)
{
	static const uint8_t meant[256] = {
		['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
		['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
	};

	if (*c->p == 'u') {
		c->p++;
		j->raw++;
		j->after = 0;
		j->state = HEX;
		return json_on_hex(j, c, item);
	}
	if (j->high)
		return json_give_lone(j, item);
	if (!meant[*c->p])
		return refuse(j, item, "unknown escape");
	j->raw++;
	j->scratch[0] = meant[*c->p++];
	return give_escape(j, item, 1);
}
