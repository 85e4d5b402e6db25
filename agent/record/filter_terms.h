/* SPDX-License-Identifier: Apache-2.0 */
/* filter_terms.h - what the files of a filter share: its terms. */
#pragma once

#include "record/filter.h"

#define DEPTH_MOST  6
#define TERMS_MOST  64
#define KEYED_BYTES 128 /* longer values are not in the index */

/* One field that a name means, and the value it is to have. */
struct leaf {
	uint32_t path[DEPTH_MOST];
	uint8_t depth, width; /* bytes of a number, 0: a varint */
	bool repeated, text, is_default;
	bool keyed; /* the index knows such values */
	uint64_t key;
	bool sharp; /* `needle` stands wherever the value does */
	struct needle needle;
	uint64_t number;
	struct slice bytes; /* borrowed from the term */
};

struct term {
	char *field;
	bool type; /* the name is "type": kinds */
	uint64_t kinds;
	struct leaf *leaves;
	size_t count;
	uint8_t **owned;
	size_t owned_count;
	size_t group;
};

struct record_filter {
	uint64_t since, until;
	enum severity least, most;
	struct term terms[TERMS_MOST];
	size_t terms_count, groups;
	bool group_open; /* "+" was said, nothing since */
	struct filter_text *text;
};

/* Whether all terms of one of the groups do; without terms: yes. Here, as it is asked of every record. */
static inline bool filter_groups(const struct record_filter *f, bool (*does)(const struct term *t, const void *arg),
                                 const void *arg)
{
	size_t i = 0;

	if (!f->terms_count)
		return true;
	while (i < f->terms_count) {
		size_t group = f->terms[i].group;
		bool all = true;

		for (; i < f->terms_count && f->terms[i].group == group; i++)
			all = all && does(&f->terms[i], arg);
		if (all)
			return true;
	}
	return false;
}

/* ---- filter_keys.c ---- */

/* Whether the index has the values of such a field. */
bool filter_is_keyed(const ProtobufCFieldDescriptor *f);
/* A value of a field, as the index knows it. */
uint64_t filter_key(const uint32_t *path, size_t depth, struct slice value);
uint64_t filter_kind_key(uint32_t kind);
bool filter_needle_may(const struct needle *n, const struct key_asked *a);

/* ---- filter_make.c ---- */

/* Bytes of a number of that type, 0: a varint. */
uint8_t filter_width(ProtobufCType type);
