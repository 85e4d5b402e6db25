/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.c - the life of an exchange, and what is reported of it. */
#include "exchange/exchange.h"

#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "exchange/excerpt.h"
#include "exchange/private.h"
#include "exchange/redact.h"

void exchange_free(struct exchange **at)
{
	struct exchange *x = *at;

	if (!x)
		return;
	for (size_t i = 0; i < x->finding_count; i++)
		excerpt_forget(x, i);
	for (size_t i = 0; i < x->text_count; i++)
		text_free(x, &x->texts[i]);
	kept_free(&x->kept);
	for (size_t i = 0; i < READINGS_MAX; i++)
		lookout_free(&x->spare[i]);
	lookout_free(&x->one);
	template_free(x);
	questions_free(x);
	free(x->texts);
	free(x->choices);
	free(x->findings);
	redact_free(&x->redact);
	free(x->reader);
	free(x->answer_reader);
	walk_free(&x->walk);
	decoder_free(&x->decoder);
	free(x->gathered);
	decoder_free(&x->request_decoder);
	if (x->request_walk)
		walk_free(x->request_walk);
	free(x->request_walk);
	ruleset_put(&x->rules);
	free(x);
	*at = NULL;
}

int exchange_new(struct exchange **out, struct ruleset *rules, const struct exchange_limits *limits)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	if (kept_new(&x->kept, rules) || (ruleset_acts(rules, ACTION_REDACT) && redact_new(&x->redact))) {
		kept_free(&x->kept);
		free(x);
		return -ENOMEM;
	}
	x->rules = ruleset_get(rules);
	x->asks = ruleset_asks(rules);
	x->skims = ruleset_words_only(rules);
	if (limits)
		x->limits = *limits;
	x->scope = (struct scope){ .service = x->limits.service, .now = x->limits.now };
	if (!x->limits.body_max)
		x->limits.body_max = EXCHANGE_BODY_MAX;
	if (!x->limits.event_max)
		x->limits.event_max = EXCHANGE_EVENT_MAX;
	x->report.dialect = dialect_of(SLICE(""), SLICE(""));
	*out = x;
	return 0;
}

bool exchange_idle(const struct exchange *x)
{
	return !x->request_seen;
}

bool exchange_begun(const struct exchange *x)
{
	return x->begun;
}

bool exchange_asked(const struct exchange *x)
{
	return x->asking == PHASE_DONE;
}

bool exchange_answered(const struct exchange *x)
{
	return x->answering == PHASE_DONE && !x->question_count;
}

bool exchange_streamed(const struct exchange *x)
{
	return x->report.streamed;
}

void exchange_discard(struct exchange *x, uint64_t bytes)
{
	x->report.coverage.in += bytes;
}

size_t exchange_memory(const struct exchange *x)
{
	size_t sum = sizeof(*x) + x->again_bytes + x->text_room * sizeof(*x->texts);

	for (size_t i = 0; i < x->text_count; i++)
		sum += x->texts[i].mark_room * sizeof(*x->texts[i].marks);
	sum += x->question_room * sizeof(*x->questions);
	for (size_t i = 0; i < x->question_count; i++)
		sum += x->questions[i].window.room;
	sum += encoded_memory(x);
	return sum + (x->request_decoder ? decoder_memory(x->request_decoder) : 0);
}

const uint8_t *exchange_digest(const struct exchange *x)
{
	return ruleset_digest(x->rules);
}

const struct exchange_report *exchange_report(struct exchange *x)
{
	struct exchange_report *r = &x->report;
	struct coverage *c = &r->coverage;
	uint64_t masked;

	static const enum verdict of[ACTION_COUNT] = {
		[ACTION_SHADOW] = VERDICT_SHADOWED,
		[ACTION_FLAG] = VERDICT_FLAGGED,
		[ACTION_REDACT] = VERDICT_REDACTED,
		[ACTION_BLOCK] = VERDICT_BLOCKED,
	};
	enum action heaviest = x->redacted ? ACTION_REDACT : ACTION_SHADOW;

	for (size_t i = 0; i < x->finding_count; i++)
		if (x->findings[i].action > heaviest)
			heaviest = x->findings[i].action;
	r->verdict = x->finding_count ? of[heaviest] : VERDICT_CLEARED;
	if (r->exception != EXCEPTION_NONE)
		r->verdict = VERDICT_EXCEPTION;
	if (x->blocked)
		r->verdict = VERDICT_BLOCKED;
	r->findings = x->findings;
	r->finding_count = x->finding_count;
	masked = redact_masked(x);
	c->released = point_wire(&x->cleared) - masked;
	c->structural = x->cleared.packed ? x->cleared.framed : x->cleared.structural;
	/* Of encoded content, bytes whose text was read. */
	c->scanned = x->cleared.packed ? x->cleared.packed - x->cleared.framed : x->cleared.scanned - masked;
	c->withheld = c->in - c->released;
	return r;
}
