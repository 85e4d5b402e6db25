/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_text.c - bytes of an encoding become UTF-8.
 *
 * Strictly: a byte that the encoding does not have is told by its line. A list read in the wrong encoding is a list of
 * other words, and nobody would notice until one of the right ones got through.
 */
#include <errno.h>
#include <iconv.h>
#include <stdio.h>

#include "base/own.h"
#include "policy/import.h"

#define MOST 4 /* bytes of UTF-8 for one of any encoding here, at most */

/* GBK is read as GB18030, which has all of it: lists that say the one often need the other. */
static const struct {
	const char *name, *iconv;
} encodings[] = {
	{ "utf-8", "UTF-8" },     { "gbk", "GB18030" },   { "gb18030", "GB18030" },   { "gb2312", "GB18030" },
	{ "big5", "BIG5-HKSCS" }, { "utf-16", "UTF-16" }, { "utf-16le", "UTF-16LE" }, { "utf-16be", "UTF-16BE" },
};

static const struct {
	struct slice bytes;
	const char *iconv;
} marks[] = {
	{ { (const uint8_t *)"\xef\xbb\xbf", 3 }, "UTF-8" },
	{ { (const uint8_t *)"\x84\x31\x95\x33", 4 }, "GB18030" },
	{ { (const uint8_t *)"\xff\xfe", 2 }, "UTF-16LE" },
	{ { (const uint8_t *)"\xfe\xff", 2 }, "UTF-16BE" },
};

const char *import_encoding(size_t i)
{
	return i < ARRAY_LEN(encodings) ? encodings[i].name : NULL;
}

static const char *by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(encodings); i++)
		if (slice_is_nocase(slice_str(name), slice_str(encodings[i].name)))
			return encodings[i].iconv;
	return NULL;
}

static const char *by_mark(struct slice bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (bytes.len >= marks[i].bytes.len && !memcmp(bytes.at, marks[i].bytes.at, marks[i].bytes.len))
			return marks[i].iconv;
	return NULL;
}

static void close_iconv(iconv_t *at)
{
	if (*at != (iconv_t)-1)
		iconv_close(*at);
}

static size_t lines_in(struct slice text)
{
	size_t n = 1;

	for (size_t i = 0; i < text.len; i++)
		n += text.at[i] == '\n';
	return n;
}

const char *import_text(struct arena *to, const char *encoding, struct slice bytes, struct slice *out, size_t *line)
{
	const char *marked = by_mark(bytes), *name = encoding ? by_name(encoding) : marked ? marked : "UTF-8";
	owned(close_iconv) iconv_t c = name ? iconv_open("UTF-8", name) : (iconv_t)-1;
	char *from = (char *)bytes.at, *at;
	size_t left = bytes.len, room = MOST * bytes.len + MOST;
	uint8_t *text = arena_take(to, room);

	*line = 0;
	if (c == (iconv_t)-1)
		return name ? "this system has no reader of that encoding" : "unknown encoding";
	if (!text)
		return "out of memory";
	at = (char *)text;
	if (left && iconv(c, &from, &left, &at, &room) == (size_t)-1) {
		*line = lines_in(slice_of(text, (size_t)((uint8_t *)at - text)));
		if (encoding || marked)
			return "not in that encoding";
		return "not UTF-8; --encoding names another, such as gb18030";
	}
	*out = csv_without_bom(slice_of(text, (size_t)((uint8_t *)at - text)));
	return NULL;
}

static int sextet(uint8_t c)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(letters, c == '-' ? '+' : c == '_' ? '/' : c) : NULL;

	return at ? (int)(at - letters) : -1;
}

bool import_base64(struct arena *to, struct slice text, struct slice *out)
{
	uint8_t *bytes = arena_take(to, text.len + 1);
	uint32_t bits = 0;
	size_t n = 0;

	for (int i = 0; i < 2 && text.len && text.at[text.len - 1] == '='; i++)
		text.len--;
	if (!bytes || text.len % 4 == 1)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		int six = sextet(text.at[i]);

		if (six < 0)
			return false;
		bits = bits << 6 | (uint32_t)six;
		if (i % 4)
			bytes[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	*out = slice_of(bytes, n);
	return true;
}

/* The code unit of an escape "\uXXXX" at the front; -1: there is none. */
static int32_t escape(struct slice json)
{
	char digits[5] = "", *end;
	long unit;

	if (json.len < 6 || json.at[0] != '\\' || json.at[1] != 'u')
		return -1;
	memcpy(digits, json.at + 2, 4);
	unit = strspn(digits, "0123456789abcdefABCDEF") == 4 ? strtol(digits, &end, 16) : -1;
	return (int32_t)unit;
}

bool import_join_surrogates(struct arena *to, struct slice json, struct slice *out)
{
	uint8_t *bytes = arena_take(to, json.len + 1);
	size_t n = 0;

	if (!bytes)
		return false;
	while (json.len) {
		int32_t high = escape(json), low = high >= 0xd800 && high < 0xdc00 ? escape(slice_from(json, 6)) : -1;
		size_t took = json.at[0] == '\\' && json.len > 1 ? 2 : 1;

		if (low >= 0xdc00 && low < 0xe000) {
			uint32_t cp = 0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);

			bytes[n++] = (uint8_t)(0xf0 | cp >> 18);
			bytes[n++] = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
			bytes[n++] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
			bytes[n++] = (uint8_t)(0x80 | (cp & 0x3f));
			took = 12;
		} else {
			memcpy(bytes + n, json.at, took);
			n += took;
		}
		json = slice_from(json, took);
	}
	*out = slice_of(bytes, n);
	return true;
}
