/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64.c - text in base64 (RFC 4648, both alphabets, with padding or without) inside a text.
 *
 * A run of UNBASE_RUN letters of the alphabet is taken for base64; line breaks do not end it. What it decodes to is
 * read as text. Bytes that no text has are one blank, and so are those behind them until there are some in a row that
 * may be text again: pictures and sounds are not searched for words.
 */
#include "exchange/private.h"

#define QUIET 8

/* The value of a letter + 1; 0: none. */
static uint8_t value_of(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A' + 1;
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 27;
	if (c >= '0' && c <= '9')
		return c - '0' + 53;
	return c == '+' || c == '-' ? 63 : c == '/' || c == '_' ? 64 : 0;
}

/* May the byte stand in UTF-8 text behind those before it? */
static bool is_text(struct unbase *u, uint8_t c)
{
	if (u->more) {
		u->more--;
		return c >= 0x80 && c < 0xc0;
	}
	if (c < 0x80)
		return (c >= 0x20 && c < 0x7f) || c == '\t' || c == '\n' || c == '\r';
	u->more = c < 0xc2 || c > 0xf4 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	return u->more;
}

static size_t put(struct unbase *u, uint8_t c, uint8_t *out)
{
	if (!is_text(u, c)) {
		bool first = !u->quiet;

		u->more = 0;
		u->quiet = QUIET;
		*out = ' ';
		return first;
	}
	if (u->quiet) {
		u->quiet--;
		return 0;
	}
	*out = c;
	return 1;
}

static size_t letter(struct unbase *u, uint8_t c, uint8_t *out)
{
	u->bits = u->bits << 6 | (value_of(c) - 1u);
	u->have = (uint8_t)(u->have + 6);
	if (u->have < 8)
		return 0;
	u->have = (uint8_t)(u->have - 8);
	return put(u, (uint8_t)(u->bits >> u->have), out);
}

size_t unbase_byte(struct unbase *u, uint8_t c, uint8_t out[UNBASE_MAX])
{
	size_t n = 0;

	if (c == '\n' || c == '\r')
		return 0;
	if (!value_of(c)) {
		bool was = u->run >= UNBASE_RUN;

		*u = (struct unbase){};
		out[0] = ' '; /* words do not go on from run to run */
		return was;
	}
	if (u->run >= UNBASE_RUN)
		return letter(u, c, out);
	u->first[u->run++] = c;
	if (u->run < UNBASE_RUN)
		return 0;
	for (size_t i = 0; i < UNBASE_RUN; i++)
		n += letter(u, u->first[i], out + n);
	return n;
}
