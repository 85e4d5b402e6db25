/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

const char *const log_level_names[LOG_LEVEL_COUNT] = { "error", "warn", "info", "debug" };

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

void log_write(enum log_level level, const char *format, ...)
{
	static const char *const sd_prefix[LOG_LEVEL_COUNT] = { "<3>", "<4>", "<6>", "<7>" };
	char line[LINE_MAX_BYTES];
	size_t n = 0, head;
	va_list ap;
	int got;

	if (level > most)
		return;
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
	head = n;
	va_start(ap, format);
	got = vsnprintf(line + n, sizeof(line) - n - 1, format, ap);
	va_end(ap);
	if (got < 0)
		return;
	n += (size_t)got < sizeof(line) - n - 1 ? (size_t)got : sizeof(line) - n - 2;
	for (size_t i = head; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	/* Nothing is left to do when standard error is gone. */
	(void)!write(STDERR_FILENO, line, n);
}
