/* SPDX-License-Identifier: Apache-2.0 */
/* classifier_craft.h - models of made-up weights, texts of made-up characters. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "scan/scan.h"

static inline uint32_t craft_rnd(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*seed >> 33) % below);
}

/* A model file; the caller's. */
static inline uint8_t *craft_model(unsigned risks, unsigned ngram_max, unsigned bits, uint64_t seed, size_t *len)
{
	struct classifier_risk *r = calloc(risks, sizeof(*r));
	int8_t *weights = malloc((size_t)risks << bits);
	struct classifier_draft draft = { { (uint8_t)ngram_max, (uint8_t)bits }, r, risks, weights, 1000 };
	uint8_t *file = NULL;

	for (size_t i = 0; i < (size_t)risks << bits; i++)
		weights[i] = (int8_t)((int)craft_rnd(&seed, 255) - 127);
	for (unsigned i = 0; i < risks; i++) {
		r[i] = (struct classifier_risk){ .gain = 100000 + craft_rnd(&seed, 1000000),
			                         .offset = (int32_t)craft_rnd(&seed, 200000) - 100000,
			                         .positives = 10 };
		memcpy(r[i].name, "local.a", 8);
		r[i].name[6] = (char)('a' + i % 26);
		r[i].name[7] = (char)('a' + i / 26);
	}
	if (classifier_build(&file, len, &draft))
		abort();
	free(r);
	free(weights);
	return file;
}

/* The file of a model of the usual size, of random weights, that never finds its risk, local.aa; the caller's. */
static inline uint8_t *craft_quiet(size_t *len)
{
	struct classifier_risk risk = { .name = "local.aa", .gain = 1000, .offset = -100000, .positives = 10 };
	int8_t *weights = malloc(1u << 20);
	struct classifier_draft draft = { { 3, 20 }, &risk, 1, weights, 1000 };
	uint8_t *file = NULL;
	uint64_t seed = 3;

	for (size_t i = 0; i < 1u << 20; i++)
		weights[i] = (int8_t)((int)craft_rnd(&seed, 255) - 127);
	if (classifier_build(&file, len, &draft))
		abort();
	free(weights);
	return file;
}

/* Fills text[0..most) with characters of every kind the classifier tells apart; returns the bytes. */
static inline size_t craft_text(uint8_t *text, size_t most, uint64_t *seed)
{
	static const char *const parts[] = {
		"a",
		"B",
		"7",
		" ",
		"  ",
		"\n",
		"\r\n",
		".",
		". ",
		"!",
		"?",
		"。",
		"！",
		"你",
		"好",
		"說",
		"ａ",
		"．",
		"\xe2\x80\x8b",
		"\xc2\xad",
		"\xe2\x80\xa6",
		"ﬃ",
		"㎏",
		"\xe3\x80\x80",
		"é",
		"e\xcc\x81",
		"𝓼",
		"한",
		"я",
		"\xff",
		"\xe6\xb2",
		"\xf0\x9f\x98\x80",
		"ﷺ",
		"\t",
		"\xc2\xa8",
		"\xc2\x85",
	};
	size_t n = 0;

	while (n + 8 < most) {
		const char *p = parts[craft_rnd(seed, sizeof(parts) / sizeof(parts[0]))];
		size_t len = strlen(p);

		memcpy(text + n, p, len);
		n += len;
	}
	return n;
}
