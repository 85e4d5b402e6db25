/* SPDX-License-Identifier: Apache-2.0 */
/* replay_run.c - one run of raw HTTP bytes through the daemon's own decode, scan and enforce path. */
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/replay.h"

static void add_found(struct outcome *o, const struct rule *rule)
{
	for (size_t i = 0; i < o->found_count; i++)
		if (o->found[i] == rule)
			return;
	if (o->found_count < FOUND_MAX)
		o->found[o->found_count++] = rule;
}

static void sum_up(struct outcome *o, struct exchange *x)
{
	const struct exchange_report *r = exchange_report(x);

	o->exchanges++;
	for (size_t i = 0; i < r->finding_count; i++)
		add_found(o, r->findings[i].rule);
	if (r->verdict > o->verdict) {
		o->verdict = r->verdict;
		o->exception = r->verdict == VERDICT_EXCEPTION ? r->exception : EXCEPTION_NONE;
		o->detail = r->detail;
	}
	for (size_t i = 0; i < r->finding_count; i++) {
		const struct rule *rule = r->findings[i].rule;
		enum action action = r->findings[i].action;

		/* The first rule that decided. */
		if (o->rule[0] && !(action == ACTION_BLOCK && r->verdict == VERDICT_BLOCKED) &&
		    !(action == ACTION_REDACT && r->verdict == VERDICT_REDACTED))
			continue;
		snprintf(o->rule, sizeof(o->rule), "%s", rule->id);
		snprintf(o->risk, sizeof(o->risk), "%s", rule->risks[0]);
		o->judged = r->findings[i].judged;
		o->logit = r->findings[i].logit;
		o->exposed = r->findings[i].exposed;
		if (action == ACTION_BLOCK || (action == ACTION_REDACT && r->verdict == VERDICT_REDACTED))
			break;
	}
	if (r->max_hold > o->max_hold)
		o->max_hold = r->max_hold;
	o->coverage.in += r->coverage.in;
	o->coverage.scanned += r->coverage.scanned;
	o->coverage.structural += r->coverage.structural;
	o->coverage.withheld += r->coverage.withheld;
	o->coverage.released += r->coverage.released;
}

/* Moves what is cleared from the lane to the output. */
static int take_cleared(struct lane *l, struct buf *out)
{
	int err = buf_add(out, lane_sendable(l));

	lane_sent(l, l->cleared);
	return err;
}

/* Brings the request until it is complete. Its bytes go nowhere. */
static enum order ask(struct exchange *x, struct lane *up, const struct input *request, size_t *at)
{
	for (;;) {
		size_t n = request->len - *at < 65536 ? request->len - *at : 65536;
		enum order order;

		if (buf_add(&up->buf, slice_of(request->data + *at, n)))
			return exchange_except(x, EXCEPTION_MEMORY, NULL);
		*at += n;
		order = exchange_request(x, up, *at == request->len);
		lane_sent(up, up->cleared);
		if (order != ORDER_PUMP || *at == request->len)
			return order;
	}
}

/* Reads what came. Questions are decided as soon as they come up. */
static enum order read_on(struct exchange *x, struct lane *down, bool eof, bool safe)
{
	enum order order = exchange_answer(x, down, eof);
	struct question q;

	while (order != ORDER_CUT && exchange_question(x, false, &q)) {
		exchange_decide(x, q.id, !safe);
		order = exchange_answer(x, down, eof);
	}
	return order;
}

/* Brings the answer in the pieces that `cut` asks for. */
static enum order answer(struct exchange *x, struct lane *down, const struct input *response, size_t *at, size_t cut,
                         bool safe, struct buf *out)
{
	enum order order = ORDER_PUMP;
	bool first = true;

	while (order == ORDER_PUMP && (*at < response->len || first)) {
		size_t n = response->len - *at;

		if (cut == CUT_BYTES && n)
			n = 1;
		else if (*at < cut && cut < response->len)
			n = cut - *at;
		if (n > 65536)
			n = 65536;
		if (buf_add(&down->buf, slice_of(response->data + *at, n)))
			return exchange_except(x, EXCEPTION_MEMORY, NULL);
		*at += n;
		first = false;
		order = read_on(x, down, *at == response->len, safe);
		if (take_cleared(down, out))
			return exchange_except(x, EXCEPTION_MEMORY, NULL);
	}
	return order;
}

int replay_run(struct ruleset *rules, const struct input *request, const struct input *response, size_t cut, bool safe,
               struct outcome *o)
{
	struct lane up = LANE(HTTP1_HEAD_MAX + (1u << 20));
	struct lane down = LANE(EXCHANGE_BODY_MAX + HTTP1_HEAD_MAX + (1u << 20));
	size_t asked = 0, answered = 0;
	bool on = true;
	int err = 0;

	*o = (struct outcome){ .out = BUF(SIZE_MAX / 2) };
	while (on && !err) {
		struct exchange *x = NULL;
		enum order order;

		err = exchange_new(&x, rules, NULL);
		if (err)
			break;
		order = ask(x, &up, request, &asked);
		if (order != ORDER_CUT)
			order = answer(x, &down, response, &answered, cut, safe, &o->out);
		/* What is behind a complete answer without another request is for exchange_answer() to refuse. */
		on = order == ORDER_DONE && exchange_asked(x) && (asked < request->len || buf_len(&up.buf));
		if (order == ORDER_DONE && !on && (answered < response->len || buf_len(&down.buf) > down.parsed)) {
			buf_add(&down.buf, slice_of(response->data + answered, answered < response->len ? 1 : 0));
			answered += answered < response->len;
			order = exchange_answer(x, &down, answered == response->len);
		}
		if (order == ORDER_CUT) {
			enum conclusion how;

			exchange_discard(x, response->len - answered);
			answered = response->len;
			how = exchange_conclude(x, &down, false);
			err = take_cleared(&down, &o->out);
			o->reset |= how == CONCLUDE_RESET;
			on = false;
		}
		sum_up(o, x);
		exchange_free(&x);
	}
	lane_free(&up);
	lane_free(&down);
	return err;
}

bool replay_same(const struct outcome *a, const struct outcome *b)
{
	return a->verdict == b->verdict && a->exception == b->exception && !strcmp(a->rule, b->rule) &&
	       a->max_hold == b->max_hold && a->reset == b->reset && a->exchanges == b->exchanges &&
	       slice_is(buf_slice(&a->out), buf_slice(&b->out)) &&
	       !memcmp(&a->coverage, &b->coverage, sizeof(a->coverage));
}
