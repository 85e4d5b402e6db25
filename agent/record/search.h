/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.h - one finished segment searched for what a filter wants, by its index if it has one. Whatever is not as it
 * should be ends the search with -EBADMSG, without words.
 */
#pragma once

#include "record/filter.h"
#include "record/segment.h"

struct search_plan {
	int dir;                            /* borrowed */
	const struct record_filter *filter; /* borrowed; NULL: every record */
	uint64_t from;                      /* no seq below */
	bool backwards;                     /* the last record of a segment first */
	bool no_index;
	uint64_t last; /* backwards: so many of a segment are enough */
};

/* Records found: a length of four bytes, then the record. */
struct chunk {
	struct chunk *next;
	size_t len, room, taken;
	uint8_t *data;
};

void chunk_free(struct chunk **at);

/* Where what is found goes, and whether anybody still wants it. */
struct search_ends {
	int (*take)(void *arg, struct chunk **found); /* takes it on success; -ECANCELED */
	bool (*stopped)(void *arg);
	void *arg;
};

struct search;

/* Borrows plan and ends. One thread uses it for one segment after the other. -ENOMEM. */
int search_new(struct search **out, const struct search_plan *p, const struct search_ends *ends);
void search_free(struct search **at);
/* Backwards all that is found is handed over at once, at the end. 0, -EBADMSG, -ENOENT, -ECANCELED, -errno. */
int search_segment(struct search *s, const struct segment_name *name);
