/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what must hold for any input: said, and the end. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define MUST(what)                                                                                                     \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			fprintf(stderr, "%s\n", #what);                                                                \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)
