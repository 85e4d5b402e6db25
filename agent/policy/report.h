/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - mistakes are gathered, not thrown: an author sees all of a folder's at once. */
#pragma once

#include "base/slice.h"
#include "policy/policy.h"

#define REPORT_LINES_MAX 100

/* Where in a file; counted from 1. line 0: the file or folder as such. */
struct mark {
	size_t line, column;
};

/* Adds "FILE:LINE:COLUMN: text". Text from packs must go through report_quote. Above REPORT_LINES_MAX mistakes are only
 * counted. */
void report_mistake(struct policy_report *r, const char *file, struct mark at, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#define REPORT_QUOTE_MAX 96
/* What an author wrote, short and printable, for a message. Returns `to`. */
const char *report_quote(struct slice text, char to[static REPORT_QUOTE_MAX]);
