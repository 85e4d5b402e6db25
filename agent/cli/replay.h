/* SPDX-License-Identifier: Apache-2.0 */
/* replay.h - whole exchanges through the daemon's own path, for replay and selftest. */
#pragma once

#include "cli/policy.h"
#include "exchange/exchange.h"

#define CUT_NONE  SIZE_MAX
#define CUT_BYTES (SIZE_MAX - 1) /* a byte at a time */
#define FOUND_MAX 256

struct input {
	uint8_t *data;
	size_t len;
};

/* What one run gave; of several exchanges the heaviest verdict. */
struct outcome {
	struct buf out;
	enum verdict verdict;
	enum exception exception;
	const char *detail;
	char rule[128], risk[32];
	uint32_t max_hold;
	bool judged; /* the rule asked a classifier: its logit */
	int32_t logit;
	uint64_t exposed; /* symbols of what blocked that had gone out */
	struct coverage coverage;
	unsigned exchanges;
	bool reset;
	const struct rule *found[FOUND_MAX]; /* each once */
	size_t found_count;
};

/* Brings the request, then the answer in the pieces that `cut` asks for. Whoever is asked for an opinion says at once
 * that the text is safe, or (not `safe`) that it is not. 0 or -errno. o->out is the caller's. */
int replay_run(struct ruleset *rules, const struct input *request, const struct input *response, size_t cut, bool safe,
               struct outcome *o);

/* The same verdict, bytes and coverage. */
bool replay_same(const struct outcome *a, const struct outcome *b);

/* What another policy makes of an exchange, or of texts, one a line: differences by rule, on standard output. Returns
 * the exit status: 0 none, 1 some, 2 error. (against.c) */
int against_exchange(struct ruleset *rules, struct ruleset *other, const struct input *request,
                     const struct input *response, bool json);
int against_texts(struct ruleset *rules, struct ruleset *other, char *const *files, size_t count, bool json);
