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

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
