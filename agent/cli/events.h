/* SPDX-License-Identifier: Apache-2.0 */
/* events.h - `sluicectl events` and `stats`: the record as its reader wants it. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/slice.h"
#include "record/record.h"

/* argv[0] is the command's name. Each returns the exit status: 0 found, 1 nothing, 2 error, 3 a record is damaged. */
int events_main(int argc, char **argv);
int stats_main(int argc, char **argv);

enum event_status { EVENTS_FOUND, EVENTS_NOTHING, EVENTS_ERROR, EVENTS_DAMAGED };

/* ---- time ---- */

/* A time as people write it: now, today, recent, this-week, boot, -1h, "2 days ago", @epoch, RFC 3339, "2026-11-21
 * 10:00". Local where no zone is given. Nanoseconds since 1970. False: not a time. */
bool events_time(const char *text, uint64_t now_nano, uint64_t *out);

/* ---- options ---- */

enum event_output {
	EVENTS_SHORT,
	EVENTS_SHORT_ISO,
	EVENTS_JSON,
	EVENTS_JSON_SEQ,
	EVENTS_PB,
	EVENTS_CAT,
	EVENTS_OUTPUT_COUNT
};

/* Who takes an option. */
enum { FOR_EVENTS = 1, FOR_STATS = 2 };

struct event_options {
	const char *command;
	unsigned who;
	char *dir; /* owned; NULL: not given */
	bool dir_given;
	unsigned logs; /* LOG_LEDGER | LOG_CONTROL */
	bool follow, reverse, utc, help, json, show_cursor, after, no_tail, no_index, case_given, caseless;
	bool has_since, has_lines, no_output;
	uint64_t since, until, lines; /* UINT64_MAX: no limit */
	enum event_output output;
	const char *pattern, *cursor, *cursor_file, *by;
	struct record_filter *filter; /* owned */
};

/* Reads the arguments into *o. 0, or EVENTS_ERROR and says why on standard error. */
int events_options(struct event_options *o, unsigned who, int argc, char **argv);
void events_options_free(struct event_options *o);
void events_usage(unsigned who);
/* The folder of the record, where none was given. 0 or EVENTS_ERROR. */
int events_choose_dir(struct event_options *o);

/* ---- the logs of a record directory, merged by time ---- */

#define EVENT_LOGS   2
#define EVENTS_TWINS 256 /* records of both logs that are known again */

struct event_log {
	char *dir; /* owned */
	struct ledger_reader *r;
	bool have, ended;
	const Record *head;
	struct slice raw;
	uint8_t *shown; /* stored bytes of the last record given, or of the last one there at the start */
	size_t shown_len;
};

struct event_logs {
	const struct event_options *o;
	struct event_log log[EVENT_LOGS];
	size_t count;
	bool damaged, keep_shown;
	uint64_t twins[EVENTS_TWINS]; /* numbers of the last ones that were given, and from which log */
	uint8_t twin_log[EVENTS_TWINS];
	unsigned twin_next;
	char said[256]; /* the last damage told */
};

/* Opens the logs that are asked for, at the places the cursor names. 0, or -errno and says why. */
int events_open(struct event_logs *l, const struct event_options *o);
void events_close(struct event_logs *l);
/* What `of` gave is known to l, too: records that stand in both logs are given once by the two of them. */
void events_go_on(struct event_logs *l, const struct event_logs *of);
/* From the end on, `last` records at most. 0 or -errno. */
int events_backwards(struct event_logs *l, uint64_t last);
/* The next record, one of both logs once, damage told on the way: 1 (borrowed until the next call), 0 at the end for
 * now, -errno, said. */
int events_next(struct event_logs *l, const Record **out, struct slice *raw);
/* A cursor of what was given, for all logs: "o=..;s=..;h=..", joined by '+'. The text is the caller's. 0 or -errno. */
int events_cursor(const struct event_logs *l, char **text);

/* ---- output ---- */

/* 0 or -errno. `raw`: the record's stored bytes. */
int events_print(FILE *to, enum event_output how, bool utc, const Record *r, struct slice raw);
