/* SPDX-License-Identifier: Apache-2.0 */
/* taxonomy.h - the 31 risks of GB/T 45654-2025 (TC260-003), appendix A, and the operator's own. */
#pragma once

#include "policy/policy.h"

#define TAXONOMY_COUNT 31
#define TAXONOMY_LOCAL 90 /* numbers from here are the operator's: never reported as a class of the standard */

struct risk {
	const char *clause; /* "A.1.d" */
	uint16_t number;    /* stable */
	const char *zh, *en;
	uint16_t keywords; /* fewest that the standard asks for; 0: none */
};

extern const struct risk taxonomy[TAXONOMY_COUNT]; /* by number */
