/* SPDX-License-Identifier: Apache-2.0 */
/* shape_reader.h - a pattern being read: its characters, escapes and classes as sets of bytes. */
#pragma once

#include "scan/shape.h"

struct reader {
	struct slice in;
	size_t at;
	unsigned depth;
	bool caseless;
	int looking; /* inside of look-arounds */
	struct shape *shape;
	char *why;
	size_t *where;
};

static inline void bytes_join(struct bytes *to, const struct bytes *more)
{
	for (int i = 0; i < 4; i++)
		to->bits[i] |= more->bits[i];
}

/* The byte at hand is wrong; the first reason counts. Returns false. */
bool shape_refuse(struct reader *r, const char *what);
bool shape_ahead(const struct reader *r, const char *text);
/* Takes the text if it is ahead. */
bool shape_accept(struct reader *r, const char *text);

/* The characters from..to; the other case of ASCII letters too where case does not count. K and S have relatives
 * beyond ASCII (KELVIN SIGN, LONG S). */
void shape_add(const struct reader *r, struct bytes *b, uint32_t from, uint32_t to);
/* An escape that stands for characters, behind the backslash; *one: the character, if it is a single one. */
bool shape_escape(struct reader *r, struct bytes *set, uint32_t *one);
/* A character of the pattern itself. */
bool shape_character(struct reader *r, uint32_t *c);
/* [...], behind the bracket. */
bool shape_class(struct reader *r, struct bytes *set);
