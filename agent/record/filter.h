/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - is this record wanted, asked of its stored bytes: nothing is unpacked that is not shown.
 *
 * A filter is made once and then read by several threads; what a test writes is in the thread's own scratch.
 */
#pragma once

#include "base/slice.h"
#include "record/record.h"

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

/* One field of a message. */
struct wire_field {
	uint32_t id;
	uint8_t wire;       /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
	uint64_t number;    /* of 0, 1, 5 */
	struct slice bytes; /* of 2 */
};

/* Takes the first field off *in. False at the end, and where the bytes are no field. */
bool wire_next(struct slice *in, struct wire_field *out);

bool filter_wants(const struct record_filter *f, struct filter_scratch *s, struct slice raw);

/* ---- what the index asks ---- */

/* A value of a field, as the index knows it. */
uint64_t filter_key(const uint32_t *path, size_t depth, struct slice value);
/* Calls `add` with the key of each value of a record that a filter may ask the index for. */
void filter_keys(struct slice raw, void (*add)(void *arg, uint64_t key), void *arg);
/* Whether a block with these times, whose keys `has` may tell, can hold what is wanted. `has` may say yes wrongly,
 * never no. */
bool filter_may_match(const struct record_filter *f, uint64_t least, uint64_t most,
                      bool (*has)(const void *arg, uint64_t key), const void *arg);
/* Nothing but times is asked for. */
bool filter_is_open(const struct record_filter *f);

/* ---- filter_text.c: a pattern over the texts of a record ---- */

struct filter_text;

/* NULL, or why not, in `why`. The pattern is PCRE2's. */
int filter_text_new(struct filter_text **out, const char *pattern, bool caseless, char *why, size_t room);
void filter_text_free(struct filter_text **at);
bool filter_text_found(const struct filter_text *t, struct filter_scratch *s, const struct record_head *h);
int filter_text_scratch(struct filter_scratch **out, const struct filter_text *t);
