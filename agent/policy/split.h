/* SPDX-License-Identifier: Apache-2.0 */
/* split.h - characters written as the characters they are made of, side by side: 枪 as 木仓. */
#pragma once

#include "policy/arena.h"
#include "scan/scan.h"

/* What a character, as it folds, is written as; one may have several. */
struct split {
	uint32_t folded;
	struct slice parts;
};

struct splits {
	struct split *at; /* owned; in order of the characters */
	size_t count, room;
};

void splits_free(struct splits *s);
/* Adds our own table. -ENOMEM. */
int splits_add_own(struct splits *s, struct arena *kept);
/* Adds a line: a character, white space, its parts, of which there are two or more. False: it is no such line, or there
 * is no memory. Borrows it. */
bool splits_add_line(struct splits *s, struct slice line);
/* To be called when all are added, before the first question. */
void splits_sort(struct splits *s);
/* The n-th way to write a character of a text; empty: there is none. */
struct slice splits_find(const struct splits *s, struct slice character, size_t n);
