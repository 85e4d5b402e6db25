/* SPDX-License-Identifier: Apache-2.0 */
/* shape_class.c - characters, escapes and classes of a pattern become sets of bytes. */
#include <stdio.h>

#include "scan/shape_reader.h"
#include "scan/utf8.h"

bool shape_refuse(struct reader *r, const char *what)
{
	if (!*r->why) {
		snprintf(r->why, SHAPE_WHY, "%s", what);
		*r->where = r->at < r->in.len ? r->at : r->in.len;
	}
	return false;
}

bool shape_ahead(const struct reader *r, const char *text)
{
	size_t n = strlen(text);

	return r->in.len - r->at >= n && !memcmp(r->in.at + r->at, text, n);
}

bool shape_accept(struct reader *r, const char *text)
{
	if (!shape_ahead(r, text))
		return false;
	r->at += strlen(text);
	return true;
}

static void add_range(struct bytes *b, uint32_t from, uint32_t to)
{
	for (uint32_t c = from; c <= to && c < 256; c++)
		bytes_add(b, (uint8_t)c);
}

static void add_beyond_ascii(struct bytes *b)
{
	b->bits[2] = b->bits[3] = UINT64_MAX;
}

void shape_add(const struct reader *r, struct bytes *b, uint32_t from, uint32_t to)
{
	if (to >= 0x80)
		add_beyond_ascii(b);
	for (uint32_t c = from; c <= to && c < 0x80; c++) {
		uint8_t lower = ascii_lower((uint8_t)c);

		bytes_add(b, (uint8_t)c);
		if (!r->caseless || lower < 'a' || lower > 'z')
			continue;
		bytes_add(b, lower);
		bytes_add(b, lower & 0xdf);
		if (lower == 'k')
			bytes_add(b, 0xe2);
		if (lower == 's')
			bytes_add(b, 0xc5);
	}
	if (r->caseless && to >= 0x80) {
		add_range(b, 'K', 'K');
		add_range(b, 'S', 'S');
		add_range(b, 'k', 'k');
		add_range(b, 's', 's');
	}
}

static void add_kind(struct bytes *b, uint8_t kind)
{
	struct bytes set = { 0 };

	switch (ascii_lower(kind)) {
	case 'd':
		add_range(&set, '0', '9');
		break;
	case 'w':
		add_range(&set, '0', '9');
		add_range(&set, 'A', 'Z');
		add_range(&set, 'a', 'z');
		add_range(&set, '_', '_');
		break;
	default:
		add_range(&set, '\t', '\r');
		add_range(&set, ' ', ' ');
	}
	if (kind < 'a') {
		for (int i = 0; i < 4; i++)
			set.bits[i] = ~set.bits[i];
		add_beyond_ascii(&set);
	}
	bytes_join(b, &set);
}

static int hex_value(uint8_t c)
{
	c = ascii_lower(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \xHH or \x{H...}, behind the x. */
static bool read_hex(struct reader *r, uint32_t *c)
{
	bool braces = shape_accept(r, "{");
	size_t digits = 0;

	for (*c = 0; r->at < r->in.len && digits < (braces ? 6 : 2); r->at++, digits++) {
		int v = hex_value(r->in.at[r->at]);

		if (v < 0)
			break;
		*c = *c << 4 | (uint32_t)v;
	}
	if (!digits || (braces && !shape_accept(r, "}")) || *c > 0x10ffff)
		return shape_refuse(r, "a character in hexadecimal is \\xHH or \\x{H...}");
	return true;
}

bool shape_escape(struct reader *r, struct bytes *set, uint32_t *one)
{
	static const char names[] = "tnrf", meant[] = "\t\n\r\f";
	uint8_t c;

	*one = SHAPE_ENDLESS;
	if (r->at == r->in.len)
		return shape_refuse(r, "ends in a backslash");
	c = r->in.at[r->at++];
	if (strchr("dDwWsS", c) && c) {
		add_kind(set, c);
		return true;
	}
	if (c == 'p' || c == 'P') {
		if (!shape_accept(r, "{"))
			return shape_refuse(r, "a property is \\p{NAME}");
		while (r->at < r->in.len && r->in.at[r->at] != '}')
			r->at++;
		if (!shape_accept(r, "}"))
			return shape_refuse(r, "a property is \\p{NAME}");
		memset(set, 0xff, sizeof(*set));
		return true;
	}
	if (c == 'x') {
		if (!read_hex(r, one))
			return false;
	} else if (c && strchr(names, c)) {
		*one = (uint8_t)meant[strchr(names, c) - names];
	} else if (c >= 0x80 || (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z')) {
		r->at--;
		return shape_refuse(r, "this escape is not supported");
	} else {
		*one = c;
	}
	shape_add(r, set, *one, *one);
	return true;
}

bool shape_character(struct reader *r, uint32_t *c)
{
	size_t took = utf8_decode(r->in.at + r->at, r->in.len - r->at, c);

	if (!took || (*c == UTF8_REPLACEMENT && took != 3))
		return shape_refuse(r, "is not UTF-8");
	r->at += took;
	return true;
}

bool shape_class(struct reader *r, struct bytes *set)
{
	bool negated = shape_accept(r, "^"), any = false;

	while (r->at < r->in.len && (r->in.at[r->at] != ']' || !any)) {
		uint32_t from, to;
		struct bytes kind = { 0 };

		any = true;
		if (shape_ahead(r, "[:") || shape_ahead(r, "[.") || shape_ahead(r, "[=") || shape_ahead(r, "]"))
			return shape_refuse(r, "a '[' or ']' inside a class must have a backslash");
		if (shape_accept(r, "\\")) {
			if (!shape_escape(r, &kind, &from))
				return false;
		} else if (!shape_character(r, &from)) {
			return false;
		}
		if (from == SHAPE_ENDLESS) {
			bytes_join(set, &kind);
			continue;
		}
		to = from;
		if (shape_ahead(r, "-") && !shape_ahead(r, "-]")) {
			r->at++;
			if (shape_accept(r, "\\") ? !shape_escape(r, &kind, &to) : !shape_character(r, &to))
				return false;
			if (to == SHAPE_ENDLESS || to < from)
				return shape_refuse(r, "a range of a class must go from a lower to a higher character");
		}
		shape_add(r, set, from, to);
	}
	if (!shape_accept(r, "]"))
		return shape_refuse(r, "a class has no ']'");
	if (negated) {
		/* A character beyond ASCII may be left out while its neighbours are not. */
		for (int i = 0; i < 2; i++)
			set->bits[i] = ~set->bits[i];
		add_beyond_ascii(set);
		if (r->caseless)
			memset(set, 0xff, sizeof(*set));
	}
	return true;
}
