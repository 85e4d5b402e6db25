/* SPDX-License-Identifier: Apache-2.0 */
/* lookout.h - what is remembered of a text for rules that are more than words. */
#pragma once

#include "policy/policy.h"

/* A word of a condition that was there. */
struct word {
	uint32_t rule, index;
	enum role role;
	uint64_t start, end, from, to;
};

/* A hit whose conditions are not decided. */
struct waiting {
	struct sight sight;
	uint32_t rule;
	bool near;
	bool unjudged; /* the judge will be asked */
	int32_t limit; /* its logit, below which the hit does not count */
};

struct lookout_more {
	struct trail *trail; /* owned */
	struct word *words;  /* owned, in order of arrival */
	size_t word_count, word_room;
	struct waiting *waiting; /* owned */
	size_t waiting_count, waiting_room;
};

/* Room for one more behind `count` entries. -ENOMEM; -ETIME: there are `most`. */
int lookout_reserve(void **at, size_t *room, size_t count, size_t size, size_t most);

/* The first symbol that a needle under way may have. */
uint64_t lookout_under_way(const struct ruleset *r, const struct lookout *w);
