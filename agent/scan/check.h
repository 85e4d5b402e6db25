/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - the table of checks that a pattern may name. */
#pragma once

#include "scan/scan.h"

struct check {
	const char *name;
	bool (*holds)(struct slice match); /* UTF-8, as the pattern matched it */
	const char *about;
};

extern const struct check checks[]; /* ends with a NULL name */
