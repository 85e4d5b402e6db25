/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.h - the words that a text must contain to match a pattern: one of them at least stands in every text that
 * does. Read cautiously: of a pattern that is not plain enough nothing is said.
 */
#pragma once

#include "record/needle.h"

#define PATTERN_WORDS 8

/* The needles of the pattern, one for each alternative. Returns how many; 0: nothing is known. */
size_t pattern_words(const char *pattern, bool caseless, struct needle out[PATTERN_WORDS]);
