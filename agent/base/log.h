/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line an event on standard error: a fixed message, then key=value.
 *
 * Under systemd each line starts with its sd-daemon(3) level, by hand with the time. Only flow, capture, serve and the
 * mains log, once, where the context is. Never payload: no prompt, no answer, no header value.
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

extern const char *const log_level_names[LOG_LEVEL_COUNT]; /* "error", "warn", "info", "debug" */

/* Lines above this level are not written. Call before threads start. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Thread-safe; one write(2) a line; control characters in values are shown as '?'. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What somebody may wait for: each has a message id in the journal, and a page in packaging/journal/sluice.catalog. */
enum log_event {
	EVENT_READY,
	EVENT_STOPPING,
	EVENT_WORKER_GONE,
	EVENT_LOOP_STUCK,
	EVENT_POLICY_LOADED,
	EVENT_POLICY_REFUSED,
	EVENT_RECORD_FAILED,
	EVENT_RECORD_SPACE,
	EVENT_RECORD_BACK,
	EVENT_FAIL_OPEN,
	EVENT_COVERAGE,
	EVENT_MEMORY_SHORT,
	EVENT_UPGRADE,
	EVENT_HOLD,
	EVENT_ALERT,
	EVENT_ALERT_OVER,
	EVENT_ALERT_UNTOLD,
	EVENT_CHECKPOINT,
	EVENT_COUNT
};

struct log_event_row {
	const char *name, *id; /* the id: 128 bits as journald writes them, never to be changed */
	enum log_level level;
};

extern const struct log_event_row log_event_table[EVENT_COUNT];

/* As log_write(), at the level of the event; to the journal with its id. */
void log_event(enum log_event event, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
