/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - the door of policy: what needles mean.
 *
 * A policy is a folder of YAML packs (design, section 7) and the word lists they name. It compiles to an immutable
 * ruleset with a digest, shared by reference count; a folder with any mistake is refused whole, each mistake named with
 * file, line and column.
 */
#pragma once

#include <stdio.h>

#include "base/slice.h"
#include "scan/scan.h"

/* In order of weight: the heaviest hit of an answer decides. */
enum action { ACTION_FLAG, ACTION_REDACT, ACTION_BLOCK, ACTION_COUNT };

extern const char *const action_names[ACTION_COUNT]; /* "flag", "redact", "block" */

/* The risk that a pack or a data set names: a clause like A.1.d in any of its spellings, or local.NAME. *name is
 * borrowed from a table or from `text`. False: there is none. */
bool taxonomy_find(struct slice text, struct slice *name, uint16_t *number);

/* One rule of a pack. Strings live as long as the ruleset. */
struct rule {
	const char *id; /* unique in the policy */
	const char *pack;
	const char *const *risks; /* "A.1.d" however it was written, or "local.NAME"; NULL-terminated, at least one */
	const uint16_t *risk_ids; /* number of regulation.md section 4; 90 and up: the operator's own */
	size_t risk_count;
	enum action action;
	size_t keywords;
};

struct ruleset;

/* Mistakes found while loading, one a line: "FILE:LINE:COLUMN: text", FILE as it is called in the folder; "DIR: text"
 * about the folder itself. The first 100 are listed. */
struct policy_report {
	char *text; /* owned; NULL: none */
	size_t len;
	size_t errors; /* mistakes, those not listed too */
};

void policy_report_free(struct policy_report *r);

/* Loads all *.yaml and *.yml of folder `dir`, in order of name. On success *out is the caller's (ruleset_put). Errors:
 * -EINVAL with what is wrong in *report (which the caller frees in each case), -errno of the file system, also in the
 * report. A folder without packs is an error: an empty policy guards nothing. */
int ruleset_load(struct ruleset **out, const char *dir, struct policy_report *report);

/* Shares; release with ruleset_put. */
struct ruleset *ruleset_get(struct ruleset *r);
void ruleset_put(struct ruleset **at);

const struct scanner *ruleset_scanner(const struct ruleset *r);
/* The rule and keyword behind a hit's needle id. */
const struct rule *ruleset_rule(const struct ruleset *r, uint32_t needle);
uint32_t ruleset_keyword(const struct ruleset *r, uint32_t needle); /* index within its rule, from 0 */

size_t ruleset_rules(const struct ruleset *r);
const struct rule *ruleset_rule_at(const struct ruleset *r, size_t i);
size_t ruleset_packs(const struct ruleset *r);
/* Does any rule ask for it? */
bool ruleset_acts(const struct ruleset *r, enum action action);

#define RULESET_DIGEST 32
/* SHA-256 over what the packs and lists say; the same policy gives the same digest. */
const uint8_t *ruleset_digest(const struct ruleset *r);
