/* SPDX-License-Identifier: Apache-2.0 */
/* scanner.h - what compiling makes and feeding reads. */
#pragma once

#include "scan/automaton.h"
#include "scan/fold.h"

struct scanner {
	struct automaton automaton;
	struct fold_table table;
	size_t needles, longest;
};
