/* SPDX-License-Identifier: Apache-2.0 */
/* template_match.c - is an event like one before it, and what is in the holes? */
#include "exchange/template.h"

#include <endian.h>

#define EACH_BYTE(c) (0x0101010101010101u * (c))

/* ---- what may be in a hole ---- */

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

/* How many bytes of eight are ASCII that needs no escape. A borrow can only mark bytes above one that is marked
 * rightly, so the lowest mark is exact. */
static size_t plain_ascii(const uint8_t *p)
{
	uint64_t w, stop;

	memcpy(&w, p, sizeof(w));
	w = le64toh(w);
	stop = (w | ((w ^ EACH_BYTE(2)) - EACH_BYTE(0x21)) | ((w ^ EACH_BYTE('\\')) - EACH_BYTE(1))) & EACH_BYTE(0x80u);
	return stop ? (size_t)__builtin_ctzll(stop) / 8 : 8;
}

static size_t plain_text(struct slice in)
{
	size_t n = 0, step;

	do {
		while (in.len - n >= 8 && (step = plain_ascii(in.at + n)))
			n += step;
		step = n < in.len ? plain_character(in.at + n, in.len - n) : 0;
		n += step;
	} while (step);
	return n;
}

/* A JSON number without an exponent (RFC 8259 6): what is longer does not match what is behind it. 0: none. */
static size_t plain_number(struct slice in)
{
	size_t n = in.len && *in.at == '-', whole = digits_of(slice_from(in, n)), more;

	if (!whole || (whole > 1 && in.at[n] == '0'))
		return 0;
	n += whole;
	more = n < in.len && in.at[n] == '.' ? digits_of(slice_from(in, n + 1)) : 0;
	return more ? n + 1 + more : n;
}

bool template_match(const struct template *t, struct slice data, struct slice found[TEMPLATE_HOLES], size_t *used)
{
	const uint8_t *fixed = t->bytes, *from = data.at;

	for (size_t i = 0; i < t->hole_count; i++) {
		const struct hole *h = &t->holes[i];
		size_t n;

		if (data.len < h->at || memcmp(data.at, fixed, h->at))
			return false;
		fixed += h->at;
		data = slice_from(data, h->at);
		n = h->kind == HOLE_NUMBER ? plain_number(data) : plain_text(data);
		if ((h->kind == HOLE_NUMBER && !n) || (h->kind == HOLE_LABEL && n > LABEL_BYTES))
			return false;
		/* Of values that are kept only plain ones. */
		if (h->kind == HOLE_NUMBER && h->leaf.tap != TAP_NONE && digits_of(data) != n)
			return false;
		found[i] = slice_of(data.at, n);
		data = slice_from(data, n);
	}
	if (data.len < t->after || memcmp(data.at, fixed, t->after))
		return false;
	*used = (size_t)(data.at - from) + t->after;
	return true;
}
