/* SPDX-License-Identifier: Apache-2.0 */
/* bank.c - texts to try a policy on: one a line, or a column of a CSV. */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "policy/csv.h"

#define BANK_BYTES_MAX (256u << 20)

struct bank {
	struct arena bytes;
	struct slice *texts; /* owned */
	size_t count, room;
};

void bank_free(struct bank **at)
{
	if (!*at)
		return;
	arena_free(&(*at)->bytes);
	free((*at)->texts);
	free(*at);
	*at = NULL;
}

static int add(struct bank *b, struct slice text)
{
	if (!text.len)
		return 0;
	if (!draft_reserve((void **)&b->texts, &b->room, b->count, sizeof(*b->texts)))
		return -ENOMEM;
	b->texts[b->count++] = text;
	return 0;
}

static int add_lines(struct bank *b, struct slice bytes)
{
	int error = 0;

	while (bytes.len && !error) {
		const uint8_t *end = memchr(bytes.at, '\n', bytes.len);
		struct slice line = { bytes.at, end ? (size_t)(end - bytes.at) : bytes.len };

		bytes = slice_from(bytes, line.len + (end != NULL));
		error = add(b, csv_trim(line));
	}
	return error;
}

static int add_rows(struct bank *b, struct slice bytes)
{
	static const char *const names[] = { "text", "question", "prompt", "answer" };
	size_t column = 0;
	struct row row;
	int error = 0;

	for (bool first = true; bytes.len && !error; first = false) {
		if (csv_row(&b->bytes, &bytes, &row))
			return -EBADMSG;
		for (size_t i = 0; first && i < ARRAY_LEN(names); i++) {
			column = csv_column(&row, slice_str(names[i]));
			if (column < row.count)
				break;
		}
		if (first && column == row.count)
			return -EBADMSG;
		if (!first && column < row.count)
			error = add(b, row.at[column]);
	}
	return error;
}

int bank_load(struct bank **out, const char *path)
{
	owned(bank_free) struct bank *b = calloc(1, sizeof(*b));
	struct slice bytes = { 0 };
	size_t n = strlen(path);
	int error = b ? draft_read(&b->bytes, path, BANK_BYTES_MAX, &bytes) : -ENOMEM;

	if (error)
		return error;
	bytes = csv_without_bom(bytes);
	error = n > 4 && slice_is_nocase(slice_str(path + n - 4), SLICE(".csv")) ? add_rows(b, bytes)
	                                                                         : add_lines(b, bytes);
	if (!error)
		*out = TAKE(b);
	return error;
}

size_t bank_count(const struct bank *b)
{
	return b->count;
}

struct slice bank_text(const struct bank *b, size_t i)
{
	return b->texts[i];
}
