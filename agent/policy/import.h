/* SPDX-License-Identifier: Apache-2.0 */
/* import.h - a foreign word list on its way to be a pack. */
#pragma once

#include "policy/csv.h"

struct import {
	struct arena bytes;
	struct import_word *words; /* owned */
	size_t count, room;
};

/* The bytes of a file as UTF-8 without a byte order mark, in the arena. `encoding` as in import_how. NULL, or what is
 * wrong with it: *line is then the line of the first byte that is not of the encoding, 0 if none is to blame. */
const char *import_text(struct arena *to, const char *encoding, struct slice bytes, struct slice *out, size_t *line);

/* Decodes base64, its URL form too, with or without padding. False: it is none, or there is no memory. */
bool import_base64(struct arena *to, struct slice text, struct slice *out);

/* JSON's escapes of code points beyond U+FFFF are two, and YAML's reader, which reads the rest of JSON, takes them one
 * by one: puts the character there. False: no memory. */
bool import_join_surrogates(struct arena *to, struct slice json, struct slice *out);
