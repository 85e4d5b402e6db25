/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - is this record wanted, asked of its stored bytes: nothing is unpacked that is not shown.
 *
 * A filter is made once and then read by several threads; what a test writes is in the thread's own scratch.
 */
#pragma once

#include "base/slice.h"
#include "record/pattern.h"
#include "record/record.h"
#include "record/wire.h"

struct filter_scratch;

/* Not needed (NULL stays) for a filter without a pattern. -ENOMEM. */
int filter_scratch_new(struct filter_scratch **out, const struct record_filter *f);
void filter_scratch_free(struct filter_scratch **at);

/* What every record begins with, and its body. */
struct record_head {
	uint64_t seq, time_unix_nano;
	uint32_t kind;     /* field number of the body, 0: none */
	struct slice body; /* of it */
};

/* False: not a Record. */
bool record_head_read(struct slice raw, struct record_head *out);

bool filter_wants(const struct record_filter *f, struct filter_scratch *s, struct slice raw);

/* ---- what the index asks ---- */

/* Where the keys of a block go. */
struct key_sink {
	bool (*add)(void *arg, uint64_t key); /* false: it was there before */
	void (*text)(void *arg, struct slice text);
	void *arg;
};

/* Tells the keys of all values of a record that a filter may ask the index for, and its texts, of which the same is
 * told more than once. */
void filter_keys(struct slice raw, const struct key_sink *to);

/* Three characters in a row, as the index knows them; GRAM_ALL: the block has too many to tell. Without those that are
 * made of hexadecimal digits alone. */
#define GRAM_COUNT (1u << 18)
#define GRAM_ALL   GRAM_COUNT

void filter_grams(struct slice text, void (*add)(void *arg, uint32_t gram), void *arg);
uint64_t filter_gram_key(uint32_t gram);

/* Of a block: whether it has a key. It may say yes wrongly, never no. */
struct key_asked {
	bool (*has)(const void *arg, uint64_t key);
	const void *arg;
};

/* Whether a block with these times and keys can hold what is wanted. */
bool filter_may_match(const struct record_filter *f, uint64_t least, uint64_t most, const struct key_asked *a);
/* Nothing but times is asked for. */
bool filter_is_open(const struct record_filter *f);

/* ---- filter_look.c: many records at a time ---- */

#define LOOK_MOST 16

/* What every record that is wanted contains one of, looked for in bytes that hold many. */
struct filter_look {
	const struct needle *needles[LOOK_MOST];
	size_t count;
	struct slice in;
	size_t next[LOOK_MOST]; /* where each stands next */
};

/* Borrows the filter, which may be NULL. */
void filter_look_for(struct filter_look *l, const struct record_filter *f);
void filter_look_in(struct filter_look *l, struct slice in);
/* Whether a record at bytes from..to may be wanted; from never goes back. */
bool filter_look_within(struct filter_look *l, size_t from, size_t to);

/* ---- filter_text.c: a pattern over the texts of a record ---- */

struct filter_text;

/* NULL, or why not, in `why`. The pattern is PCRE2's. */
int filter_text_new(struct filter_text **out, const char *pattern, bool caseless, char *why, size_t room);
void filter_text_free(struct filter_text **at);
bool filter_text_found(const struct filter_text *t, struct filter_scratch *s, const struct record_head *h);
int filter_text_scratch(struct filter_scratch **out, const struct filter_text *t);
/* Needles, one of which stands in every record that matches. Returns how many, 0: not known. */
size_t filter_text_needles(const struct filter_text *t, const struct needle **out);
/* Whether a block with these keys can hold a match. */
bool filter_text_may(const struct filter_text *t, const struct key_asked *a);
