/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_text.h"

/* The length of the UTF-8 character at the start of s, or 0 (RFC 3629: shortest form, no surrogates). */
static size_t utf8_len(struct slice s)
{
	const uint8_t *p = s.at;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;

	if (n > s.len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
	    (p[0] == 0xF4 && p[1] > 0x8F))
		return 0;
	return n;
}

/* The length of that character if it may stand in a JSON string as it is, or 0. */
static size_t plain_len(struct slice s)
{
	size_t n = utf8_len(s);

	if (*s.at == '"' || *s.at == '\\' || *s.at < 0x20 || *s.at == 0x7F ||
	    (n == 2 && s.at[0] == 0xC2 && s.at[1] < 0xA0))
		return 0;
	return n;
}

int json_text(struct buf *b, struct slice s)
{
	int err = buf_add(b, SLICE("\""));

	while (!err && s.len) {
		size_t run = 0, n;

		while (run < s.len && (n = plain_len(slice_from(s, run))))
			run += n;
		err = buf_add(b, slice_of(s.at, run));
		s = slice_from(s, run);
		if (err || !s.len)
			continue;
		n = utf8_len(s);
		if (!n)
			err = buf_add(b, SLICE("\xEF\xBF\xBD"));
		else if (n == 2)
			err = buf_printf(b, "\\u%04x", s.at[1]); /* U+0080 to U+009F end in their own number */
		else if (*s.at == '"' || *s.at == '\\')
			err = buf_printf(b, "\\%c", *s.at);
		else
			err = buf_printf(b, "\\u%04x", *s.at);
		s = slice_from(s, n ? n : 1);
	}
	return err ? err : buf_add(b, SLICE("\""));
}
