/* SPDX-License-Identifier: Apache-2.0 */
/* events.h - `sluicectl events`: the record as its reader wants it. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/slice.h"
#include "record/record.h"

/* argv[0] is "events". Returns the exit status: 0 found, 1 nothing, 2 error, 3 a record is damaged. */
int events_main(int argc, char **argv);

/* ---- its parts ---- */

/* A time as people write it: now, today, -1h, "2 days ago", @epoch, RFC 3339, "2026-11-21 10:00". Local where no zone
 * is given. Nanoseconds since 1970. False: not a time. */
bool events_time(const char *text, uint64_t now_nano, uint64_t *out);

#define EVENTS_MATCHES 64

/* FIELD=VALUE of the command line; borrowed from it. */
struct event_match {
	struct slice field; /* "verdict", "exchange.verdict" */
	const char *value;
};

/* Splits text. NULL, or why it cannot be a match: not FIELD=VALUE, or no record has such a field. */
const char *events_match_read(struct event_match *out, const char *text);
/* Same field: or; different fields: and. */
bool events_match(const struct event_match *m, size_t n, const Record *r);

enum event_output { EVENTS_SHORT, EVENTS_JSON, EVENTS_PB, EVENTS_CAT, EVENTS_OUTPUT_COUNT };

/* 0 or -errno. `raw`: the record's stored bytes. */
int events_print(FILE *to, enum event_output how, bool utc, const Record *r, struct slice raw);

enum event_status { EVENTS_FOUND, EVENTS_NOTHING, EVENTS_ERROR, EVENTS_DAMAGED };

struct event_options {
	char *dir; /* owned; NULL: not given */
	bool follow, reverse, utc, help;
	uint64_t since, until, lines; /* UINT64_MAX: no limit */
	bool has_since, has_lines;
	enum event_output output;
	struct event_match match[EVENTS_MATCHES];
	size_t matches;
};

/* Reads the arguments into *o, whose limits the caller has set. 0, or EVENTS_ERROR and says why on standard error. */
int events_options(struct event_options *o, int argc, char **argv);
void events_usage(void);
