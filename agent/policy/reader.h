/* SPDX-License-Identifier: Apache-2.0 */
/* reader.h - a pack being read: its nodes, its keys, its mistakes. */
#pragma once

#include "policy/doc.h"
#include "policy/draft.h"

#define WHO_BYTES (REPORT_QUOTE_MAX + 16)

/* The pack at hand. `who` below is "" or "rule 'id': ", in front of what a mistake says. */
struct reader {
	struct draft *draft;
	const char *file;
	const struct doc *doc;
	const char *pack, *version;
	struct validity validity; /* of all its rules */
};

#define MISTAKE(r, mark, ...) report_mistake((r)->draft->report, (r)->file, mark, __VA_ARGS__)

static inline const struct doc_node *reader_node(const struct reader *r, uint32_t i)
{
	return i ? &r->doc->nodes[i] : NULL;
}

/* The value of a key of a mapping, or NULL. */
const struct doc_node *reader_value(const struct reader *r, const struct doc_node *map, const char *key);
/* A text that is there and not empty, or NULL with a mistake. `need`: it is a mistake if it is not there. */
const struct doc_node *reader_text(const struct reader *r, const struct doc_node *map, const char *who, const char *key,
                                   bool need);
/* An id as a string that lives as long as the rules; NULL with a mistake. */
const char *reader_id(const struct reader *r, const struct doc_node *map, const char *who, const char *key);
/* The place of a text in a table of names; the table's length and a mistake if it is not there. */
size_t reader_choice(const struct reader *r, const struct doc_node *n, const char *who, const char *key,
                     const char *const *names, size_t count);
/* A list of words becomes needles of the last rule. */
void reader_words(const struct reader *r, const struct doc_node *list, enum role role, const char *key,
                  const char *who);

/* ---- conditions.c ---- */

/* Pattern, conditions, validity, evidence and examples of a rule. */
void reader_conditions(const struct reader *r, const struct doc_node *map, const char *who, struct draft_rule *rule);
/* Suspect words and the judge of a rule, all else of it being read. (models.c) */
void reader_judging(const struct reader *r, const struct doc_node *rule_map, const char *who, struct draft_rule *rule);
/* The day that a version names: digits of a year, month and day with any one character between them, or none, as in
 * "2026.11.21" and "20261121-2". Seconds since 1970; 0: it names none. */
int64_t reader_day(struct slice version);
/* Validity and categories of a pack. */
void reader_pack(struct reader *r, const struct doc_node *root);
