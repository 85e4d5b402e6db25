/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/report.h"

#include <stdarg.h>
#include <stdlib.h>

#define LINE_BYTES 512

void policy_report_free(struct policy_report *r)
{
	free(r->text);
	*r = (struct policy_report){ 0 };
}

static void add_line(struct policy_report *r, const char *line, size_t n)
{
	char *text = realloc(r->text, r->len + n + 1);

	/* Without memory the line is lost, not the count: the policy is refused all the same. */
	if (!text)
		return;
	memcpy(text + r->len, line, n);
	r->text = text;
	r->len += n;
	text[r->len] = 0;
}

void report_mistake(struct policy_report *r, const char *file, struct mark at, const char *format, ...)
{
	char line[LINE_BYTES];
	size_t n, room = sizeof(line) - 1;
	va_list ap;
	int got;

	if (++r->errors > REPORT_LINES_MAX) {
		if (r->errors == REPORT_LINES_MAX + 1) {
			static const char more[] = "and more mistakes, not listed\n";

			add_line(r, more, sizeof(more) - 1);
		}
		return;
	}
	if (at.line)
		got = snprintf(line, room, "%s:%zu:%zu: ", file, at.line, at.column);
	else
		got = snprintf(line, room, "%s: ", file);
	n = (size_t)got < room ? (size_t)got : room - 1;
	va_start(ap, format);
	got = vsnprintf(line + n, room - n, format, ap);
	va_end(ap);
	n += got < 0 ? 0 : (size_t)got < room - n ? (size_t)got : room - n - 1;
	line[n++] = '\n';
	add_line(r, line, n);
}

const char *report_quote(struct slice text, char to[static REPORT_QUOTE_MAX])
{
	size_t most = REPORT_QUOTE_MAX - 4, n = text.len < most ? text.len : most;

	for (size_t i = 0; i < n; i++)
		to[i] = text.at[i] < 0x20 || text.at[i] == 0x7f ? '?' : (char)text.at[i];
	if (n < text.len) {
		/* not in the middle of a character */
		while (n && (text.at[n] & 0xc0) == 0x80)
			n--;
		memcpy(to + n, "...", 3);
		n += 3;
	}
	to[n] = 0;
	return to;
}
