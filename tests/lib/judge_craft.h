/* SPDX-License-Identifier: Apache-2.0 */
/* judge_craft.h - a model that a reader can follow: 坏 speaks for the risk local.bad, 好 against it, all else is
 * silent. The logit of n symbols with k more 坏 than 好 is 9.92 * k / sqrt(n) - 0.5; 0.9 is passed where n <= 13 k². */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "scan/scan.h"

#define JUDGE_CRAFT_BITS 16

static inline void judge_craft_bucket(void *to, const struct classifier_gram *gram)
{
	*(uint32_t *)to = gram->bucket;
}

/* The file; the caller's. */
static inline uint8_t *judge_craft(size_t *len)
{
	struct classifier_risk risk = { .name = "local.bad", .gain = 20 << 16, .offset = -(1 << 15), .positives = 5 };
	int8_t *weights = calloc(1, (size_t)1 << JUDGE_CRAFT_BITS);
	struct classifier_draft draft = { { 1, JUDGE_CRAFT_BITS }, &risk, 1, weights, 10 };
	uint8_t *file = NULL;
	uint32_t bad = 0, good = 0;

	classifier_grams(draft.shape, SLICE("坏"), judge_craft_bucket, &bad);
	classifier_grams(draft.shape, SLICE("好"), judge_craft_bucket, &good);
	weights[bad] = 127;
	weights[good] = -127;
	if (bad == good || classifier_build(&file, len, &draft))
		abort();
	free(weights);
	return file;
}
