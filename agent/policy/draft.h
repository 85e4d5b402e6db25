/* SPDX-License-Identifier: Apache-2.0 */
/* draft.h - packs as they are read, before they become a ruleset. */
#pragma once

#include "policy/report.h"

/* Bytes that live until the arena goes. */
struct arena {
	struct arena_part *parts;
	size_t left; /* in the newest part */
};

void *arena_take(struct arena *a, size_t n); /* aligned for pointers; NULL: no memory */
/* A terminated copy, or NULL. */
const char *arena_copy(struct arena *a, struct slice text);
void arena_free(struct arena *a);

enum boundary { BOUNDARY_AUTO, BOUNDARY_NONE, BOUNDARY_WORD, BOUNDARY_COUNT };

extern const char *const boundary_names[BOUNDARY_COUNT];

struct draft_rule {
	struct rule rule;
	const char *file, *version;
	struct mark mark;
	enum boundary boundary;
	size_t first; /* keyword */
};

struct draft {
	struct policy_report *report;
	const char *dir;          /* borrowed; NULL: packs may name no files */
	struct arena kept;        /* strings of rules: go over to the ruleset */
	struct arena texts;       /* keywords */
	struct draft_rule *rules; /* owned */
	size_t rule_count, rule_room;
	struct needle *keywords; /* owned; id: index of the rule */
	size_t keyword_count, keyword_room;
	size_t packs;
};

void draft_free(struct draft *d);

/* Adds one pack. `file` is its name in the folder. Mistakes go to d->report. */
void draft_pack(struct draft *d, const char *file, struct slice bytes);

/* Adds one keyword to the last rule; `who` names the rule in mistakes, `at` is where the keyword stands in `file`. */
void draft_keyword(struct draft *d, const char *who, const char *file, struct mark at, struct slice text);

/* Adds a word list to the last rule; `at` is where `file` names `path`. */
void draft_list(struct draft *d, const char *who, const char *file, struct mark at, struct slice path);

/* Reads a regular file of at most `most` bytes into the arena. 0, -EFBIG, -EINVAL (no regular file) or -errno. */
int draft_read(struct arena *to, const char *path, size_t most, struct slice *out);

/* In words, for a mistake. */
const char *draft_why(int error);
