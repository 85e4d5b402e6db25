/* SPDX-License-Identifier: Apache-2.0 */
/* csv.h - rows of a CSV (RFC 4180), for word lists and banks of texts. */
#pragma once

#include "policy/draft.h"

#define COLUMNS_MAX 64

struct row {
	struct slice at[COLUMNS_MAX];
	size_t count, lines; /* lines of the file that it takes */
};

/* Without the spaces and tabs around it, and the CR behind it. */
struct slice csv_trim(struct slice s);
/* Without a byte order mark. */
struct slice csv_without_bom(struct slice bytes);

/* Takes one row off `bytes`; quoted fields are kept in `to`. NULL, or what is wrong with it. */
const char *csv_row(struct arena *to, struct slice *bytes, struct row *row);
/* The column of that name, in any case; row->count: none. */
size_t csv_column(const struct row *row, struct slice name);
