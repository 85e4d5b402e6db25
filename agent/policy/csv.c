/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/csv.h"

struct slice csv_trim(struct slice s)
{
	while (s.len && (s.at[0] == ' ' || s.at[0] == '\t'))
		s = slice_from(s, 1);
	while (s.len && strchr(" \t\r", s.at[s.len - 1]) && s.at[s.len - 1])
		s.len--;
	return s;
}

struct slice csv_without_bom(struct slice bytes)
{
	static const uint8_t bom[] = { 0xef, 0xbb, 0xbf };

	return bytes.len >= sizeof(bom) && !memcmp(bytes.at, bom, sizeof(bom)) ? slice_from(bytes, sizeof(bom)) : bytes;
}

/* A field behind its first quote: doubled quotes become one, in memory of its own. */
static bool quoted_field(struct arena *to, struct slice *bytes, struct slice *field, size_t *lines)
{
	uint8_t *out = arena_take(to, bytes->len + 1);
	size_t n = 0, i = 0;

	for (; out && i < bytes->len; i++) {
		if (bytes->at[i] == '"' && (i + 1 == bytes->len || bytes->at[i + 1] != '"'))
			break;
		i += bytes->at[i] == '"';
		*lines += bytes->at[i] == '\n';
		out[n++] = bytes->at[i];
	}
	if (!out || i == bytes->len)
		return false;
	*bytes = slice_from(*bytes, i + 1);
	*field = slice_of(out, n);
	return true;
}

const char *csv_row(struct arena *to, struct slice *bytes, struct row *row)
{
	row->count = 0;
	row->lines = 1;
	do {
		struct slice field = { bytes->at, 0 };

		if (row->count)
			*bytes = slice_from(*bytes, 1);
		if (row->count == COLUMNS_MAX)
			return "too many columns";
		if (bytes->len && bytes->at[0] == '"') {
			*bytes = slice_from(*bytes, 1);
			if (!quoted_field(to, bytes, &field, &row->lines))
				return "a quote is not closed";
		} else {
			field.at = bytes->at;
			while (field.len < bytes->len && bytes->at[field.len] != ',' && bytes->at[field.len] != '\n')
				field.len++;
			*bytes = slice_from(*bytes, field.len);
		}
		row->at[row->count++] = csv_trim(field);
		while (bytes->len && bytes->at[0] == '\r')
			*bytes = slice_from(*bytes, 1);
	} while (bytes->len && bytes->at[0] == ',');
	if (!bytes->len)
		return NULL;
	if (bytes->at[0] != '\n')
		return "something is behind a quoted field";
	*bytes = slice_from(*bytes, 1);
	return NULL;
}

size_t csv_column(const struct row *row, struct slice name)
{
	size_t i = 0;

	while (i < row->count && !slice_is_nocase(row->at[i], name))
		i++;
	return i;
}
