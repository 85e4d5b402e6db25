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

struct meaning {
	uint32_t rule, index; /* index: of the keyword or word within its rule and role, which its forms share */
	enum role role : 8;
	enum form form : 8;
};

/* Where a keyword stands. */
struct origin {
	const char *file;
	uint32_t line;
	uint16_t column, risk; /* risk: number that its list gives it; 0: it has those of its rule */
};

/* A pattern as it was written. */
struct draft_pattern {
	struct slice text; /* empty: none */
	struct mark mark;
	uint32_t max_length;
	const struct check *check;
};

struct draft_rule {
	struct rule rule;
	const char *file, *version;
	struct mark mark;
	enum boundary boundary;
	struct draft_pattern pattern;
	size_t words[ROLE_COUNT]; /* so many in each role, forms not counted */
	size_t first, count;      /* its needles */
};

/* A category of the operator's own. */
struct category {
	const char *name, *file;
	uint16_t number;
	struct mark mark;
};

struct draft {
	struct policy_report *report;
	const char *dir;            /* borrowed; NULL: packs may name no files */
	const struct pack_key *key; /* borrowed; NULL: nothing has to be signed */
	struct arena kept;          /* strings of rules: go over to the ruleset */
	struct arena texts;         /* keywords */
	struct draft_rule *rules;   /* owned */
	size_t rule_count, rule_room;
	struct needle *keywords;  /* owned; id: index of the rule */
	struct meaning *meanings; /* owned; of each keyword */
	struct origin *origins;   /* owned; of each keyword */
	size_t keyword_count, keyword_room, meaning_room, origin_room;
	uint16_t risk;               /* of the keywords that are added now */
	struct category *categories; /* owned */
	size_t category_count, category_room;
	struct pack *pack_list; /* owned */
	size_t packs, pack_room;
};

void draft_free(struct draft *d);

/* Room for one more behind `count` entries of `size` bytes. False: no memory. */
bool draft_reserve(void **at, size_t *room, size_t count, size_t size);

/* Adds one pack. `file` is its name in the folder. Mistakes go to d->report. */
void draft_pack(struct draft *d, const char *file, struct slice bytes);

/* Adds one keyword, or word of a condition, to the last rule; `who` names the rule in mistakes, `at` is where it stands
 * in `file`. */
void draft_keyword(struct draft *d, enum role role, const char *who, const char *file, struct mark at,
                   struct slice text);

/* Adds one needle to the last rule: a keyword or word as it is written, or in a form. `index`: of the word. */
void draft_needle(struct draft *d, enum role role, enum form form, const char *who, const char *file, struct mark at,
                  struct slice text);

/* Adds the forms that the last rule asks for, of the word that was added last. `text` is fine. (forms.c) */
void draft_forms(struct draft *d, enum role role, const char *who, const char *file, struct mark at, struct slice text);

/* Adds a word list to the last rule; `at` is where `file` names `path`. */
void draft_list(struct draft *d, const char *who, const char *file, struct mark at, struct slice path);

/* Reads a regular file of at most `most` bytes into the arena. 0, -EFBIG, -EINVAL (no regular file) or -errno. */
int draft_read(struct arena *to, const char *path, size_t most, struct slice *out);

/* Whether the file at `path`, which has these bytes, is signed with the draft's key, if there is one. Says why not, as
 * a mistake of `file`. Every file that a policy is made of goes through here. (signature.c) */
bool draft_signed(const struct draft *d, const char *file, struct mark at, const char *path, struct slice bytes);

/* In words, for a mistake. */
const char *draft_why(int error);
