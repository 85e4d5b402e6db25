/* SPDX-License-Identifier: Apache-2.0 */
/* scanner.h - what compiling makes and feeding reads. */
#pragma once

#include "scan/automaton.h"
#include "scan/fold.h"

struct scanner {
	void *hot; /* owned: what every character reads, on huge pages; the automaton's nodes and roots and the table's
	            * `low` point into it */
	struct automaton automaton;
	struct fold_table table;
	size_t needles, longest;
};
