/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

const char *const log_level_names[LOG_LEVEL_COUNT] = { "error", "warn", "info", "debug" };

#define ROW(event, level, id) [EVENT_##event] = { #event, id, LOG_##level }
const struct log_event_row log_event_table[EVENT_COUNT] = {
	ROW(READY, INFO, "af6345e35143468ab00b01d11cddb6de"),
	ROW(STOPPING, INFO, "28d49812226845e3baa6196920220697"),
	ROW(WORKER_GONE, ERROR, "91b452de99864738a53bfb6d09723998"),
	ROW(LOOP_STUCK, ERROR, "b7bd921441654b33aa115c7b594cc5c9"),
	ROW(POLICY_LOADED, INFO, "8cfa29fd9da14a64a76f09349c96db0d"),
	ROW(POLICY_REFUSED, ERROR, "cf3fa17570524647bf0358fc9636a04b"),
	ROW(RECORD_FAILED, ERROR, "39d5ebd7217c46d6ace2f96e90a418b0"),
	ROW(RECORD_SPACE, WARN, "5d8290bc35214518b855711b4f8484a7"),
	ROW(RECORD_BACK, INFO, "d1a245f9deeb4849b72821b22f7e4381"),
	ROW(FAIL_OPEN, WARN, "f985fc24cd0942fcad46a5f0fa969aa6"),
	ROW(COVERAGE, ERROR, "f918eff76fb644e0af8459eb860ae2cc"),
	ROW(MEMORY_SHORT, WARN, "b97519cebdf847ca985ccda2fb88cc61"),
	ROW(UPGRADE, INFO, "e4b9710ecb654c2694787c59a6788717"),
	ROW(HOLD, INFO, "060bb2d483004af280ec83b456ce9525"),
	ROW(ALERT, WARN, "5a20f660c61944bf9ee585478866680b"),
	ROW(ALERT_OVER, INFO, "7f5b189d0a7e44ef900153f79a390dbb"),
	ROW(ALERT_UNTOLD, WARN, "b70f706fb26f4295868050f016b1656e"),
	ROW(CHECKPOINT, INFO, "5d7f1c3e9a5b4f0e8c2d6a1b3f4e7d90"),
};

static enum log_level most = LOG_INFO;

void log_set_level(enum log_level level)
{
	most = level;
}

enum log_level log_get_level(void)
{
	return most;
}

/* Whether standard error is the journal's: children inherit the variable, and may write to a file (systemd.exec(5)). */
static bool to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat s;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && !fstat(STDERR_FILENO, &s) &&
	       s.st_dev == device && s.st_ino == inode;
}

/* What is no character of a line becomes one: nobody writes lines of his own into a log. */
static void clean(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
}

static void write_line(enum log_level level, const char *text, size_t len)
{
	static const char *const sd_prefix[LOG_LEVEL_COUNT] = { "<3>", "<4>", "<6>", "<7>" };
	char line[LINE_MAX_BYTES];
	size_t n = 0;

	if (to_journal()) {
		n = (size_t)snprintf(line, sizeof(line), "%s", sd_prefix[level]);
	} else {
		struct timespec t;
		struct tm tm;

		clock_gettime(CLOCK_REALTIME, &t);
		gmtime_r(&t.tv_sec, &tm);
		n = strftime(line, sizeof(line), "%FT%T", &tm);
		n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03ldZ %-5s ", t.tv_nsec / 1000000,
		                      log_level_names[level]);
	}
	if (len > sizeof(line) - n - 1)
		len = sizeof(line) - n - 1;
	memcpy(line + n, text, len);
	line[n + len] = '\n';
	/* Nothing is left to do when standard error is gone. */
	(void)!write(STDERR_FILENO, line, n + len + 1);
}

/* Length of the text, 0 if it is none. */
static size_t format_text(char text[LINE_MAX_BYTES], const char *format, va_list ap)
{
	int got = vsnprintf(text, LINE_MAX_BYTES, format, ap);
	size_t len = got < 0 ? 0 : got < LINE_MAX_BYTES ? (size_t)got : LINE_MAX_BYTES - 1;

	clean(text, len);
	return len;
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;
	size_t len;

	if (level > most)
		return;
	va_start(ap, format);
	len = format_text(text, format, ap);
	va_end(ap);
	if (len)
		write_line(level, text, len);
}

void log_event(enum log_event event, const char *format, ...)
{
	static const int priority[LOG_LEVEL_COUNT] = { 3, 4, 6, 7 };
	const struct log_event_row *row = &log_event_table[event];
	char text[LINE_MAX_BYTES];
	va_list ap;
	size_t len;

	if (row->level > most)
		return;
	va_start(ap, format);
	len = format_text(text, format, ap);
	va_end(ap);
	if (len && (!to_journal() || journal_event(row->id, priority[row->level], text)))
		write_line(row->level, text, len);
}
