/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk.h - one exchange driven through its lanes without a network, in pieces of the test's choice.
 */
#pragma once

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include "exchange/exchange.h"

/* What a client got and what the report says. Bytes of `out` past OUT_MAX are not kept. */
#define TALK_OUT_MAX (1u << 18)

struct talk {
	struct exchange *x; /* owned: talk_end() */
	struct lane up, down;
	enum order order;
	enum conclusion how; /* if it was cut */
	size_t fed, len;
	uint8_t out[TALK_OUT_MAX];
	size_t released; /* of len: what the server wrote; the rest is the refusal */
};

#define TALK_PACK                                                                                                      \
	"pack: t\nversion: \"1\"\nrules:\n"                                                                            \
	"  - {id: t.alpha, risk: A.1.d, action: block, keywords: [FORBIDDEN-ALPHA]}\n"                                 \
	"  - {id: t.zh, risk: A.1.f, action: block, keywords: [毒气配方]}\n"                                       \
	"  - {id: t.weasel, risk: A.1.h, action: block, keywords: [brown weasel]}\n"                                   \
	"  - {id: t.same, risk: A.1.h, action: flag, keywords: [weasel]}\n"                                            \
	"  - {id: t.flag, risk: A.4.a, action: flag, keywords: [gently, 甲]}\n"

/* The ruleset of one pack, from a folder that is gone afterwards; NULL if it is refused. */
static inline struct ruleset *talk_rules_model(const char *pack, struct slice model)
{
	char dir[] = "/tmp/sluice-talk-XXXXXX", path[64];
	struct policy_report report = {};
	struct ruleset *rules = NULL;
	FILE *file;

	if (!mkdtemp(dir))
		return NULL;
	snprintf(path, sizeof(path), "%s/m.model", dir);
	file = model.len ? fopen(path, "w") : NULL;
	if (file) {
		fwrite(model.at, 1, model.len, file);
		fclose(file);
	}
	snprintf(path, sizeof(path), "%s/t.yaml", dir);
	file = fopen(path, "w");
	if (file) {
		fputs(pack, file);
		fclose(file);
		ruleset_load(&rules, dir, &report);
	}
	policy_report_free(&report);
	unlink(path);
	snprintf(path, sizeof(path), "%s/m.model", dir);
	unlink(path);
	rmdir(dir);
	return rules;
}

static inline struct ruleset *talk_rules(const char *pack)
{
	return talk_rules_model(pack, SLICE(""));
}

static inline void talk_take(struct talk *t)
{
	struct slice s = lane_sendable(&t->down);
	size_t n = s.len < TALK_OUT_MAX - t->len ? s.len : TALK_OUT_MAX - t->len;

	if (n)
		memcpy(t->out + t->len, s.at, n);
	t->len += n;
	lane_sent(&t->down, t->down.cleared);
}

/* Starts an exchange and asks `request`. */
static inline void talk_begin(struct talk *t, struct ruleset *rules, const struct exchange_limits *limits,
                              struct slice request)
{
	t->x = NULL;
	t->up = LANE(1u << 20);
	t->down = LANE(EXCHANGE_BODY_MAX + HTTP1_HEAD_MAX + (1u << 20));
	t->order = ORDER_PUMP;
	t->fed = t->len = t->released = 0;
	if (exchange_new(&t->x, rules, limits) || buf_add(&t->up.buf, request))
		abort();
	t->order = exchange_request(t->x, &t->up, false);
	if (t->order == ORDER_DONE)
		t->order = ORDER_PUMP;
}

/* The server sends `piece`, and its end with `eof`. */
static inline void talk_feed(struct talk *t, struct slice piece, bool eof)
{
	t->fed += piece.len;
	if (t->order == ORDER_CUT) {
		exchange_discard(t->x, piece.len);
		return;
	}
	if (buf_add(&t->down.buf, piece))
		abort();
	t->order = exchange_answer(t->x, &t->down, eof);
	talk_take(t);
}

/* Concludes a cut exchange; the refusal follows in `out`. */
static inline void talk_conclude(struct talk *t)
{
	t->released = t->len;
	if (t->order != ORDER_CUT)
		return;
	t->how = exchange_conclude(t->x, &t->down, false);
	talk_take(t);
}

static inline void talk_end(struct talk *t)
{
	exchange_free(&t->x);
	lane_free(&t->up);
	lane_free(&t->down);
}
