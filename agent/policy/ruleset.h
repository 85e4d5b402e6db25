/* SPDX-License-Identifier: Apache-2.0 */
/* ruleset.h - what compiling makes and watching reads. */
#pragma once

#include <stdatomic.h>

#include "policy/draft.h"
#include "policy/policy.h"

struct ruleset {
	atomic_uint refs;
	struct scanner *scanner;
	struct recognisers *recognisers; /* NULL: no patterns */
	struct rule *rules;              /* owned, as all below; in order of id */
	struct meaning *meanings;        /* of each needle */
	uint32_t *pattern_rule;          /* of each pattern: its rule */
	struct pack *pack_list;
	size_t rule_count, packs, needles;
	bool locates;         /* some rule needs the bytes of its hits */
	bool waits;           /* some rule has conditions */
	struct model *models; /* owned */
	size_t model_count;
	struct judge *judges; /* owned */
	size_t judge_count;
	bool judges_words; /* some rule has words wait for a judge */
	bool asks;         /* some rule asks for an opinion */
	bool words_only;   /* no rule asks for more of a text than which needles are in it */
	bool acts[ACTION_COUNT];
	enum evidence keeps; /* the most that a rule asks for */
	struct arena strings;
	/* Only if words are kept: */
	struct needle *words;
	struct origin *origins;
	struct arena texts;
	uint8_t digest[RULESET_DIGEST];
};

/* What the rules ask of the models. NULL, or what is too much of it. (models.c) */
const char *ruleset_judge(struct ruleset *r);
