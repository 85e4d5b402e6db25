/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.c - questions of exchanges become inquiries, and what comes back decides them.
 *
 * An inquiry may outlive its flow: until it was told it belongs to the worker. Each has its record the moment it is
 * clear what becomes of it: when the opinion is in, or when nobody waits for it any more.
 */
#include "flow/private.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"

#define GATHER_NS 300000000u /* a sentence that is not over by then is asked about as it is */

static void forget(struct asked *a)
{
	*a->link = a->next;
	if (a->next)
		a->next->link = a->link;
	free(a);
}

/* Nobody waits for it. */
static void let_go(struct asked *a)
{
	struct flow *f = a->flow;

	note_opinion(f, a, OPINION_ABANDONED, (exact_now() - a->inquiry.asked) / 1000, false);
	a->flow = NULL;
	atomic_store(&a->inquiry.dropped, true);
	opinions_wake(f->worker->o.opinions);
}

void ask_leave(struct flow *f)
{
	for (struct asked *a = f->worker->asked; f->asked_count && a; a = a->next)
		if (a->flow == f) {
			f->asked_count--;
			let_go(a);
		}
	loop_timer_stop(f->worker->loop, &f->gather);
}

static void told_here(struct post *p)
{
	struct asked *a = container_of(p, struct asked, post);
	const struct inquiry *q = &a->inquiry;
	struct worker *w = a->worker;
	struct flow *f = a->flow;
	bool counts;

	if (!f) {
		forget(a);
		return;
	}
	counts = opinion_is_in(q->outcome) ? q->outcome == OPINION_UNSAFE : a->block;
	note_opinion(f, a, q->outcome, q->latency_ns / 1000, counts);
	f->asked_count--;
	f->decided = true;
	exchange_decide(f->x, a->id, counts);
	forget(a);
	flow_step(f);
	flow_reap(w);
}

/* In the thread of the opinions. */
static void told(struct inquiry *q)
{
	struct asked *a = container_of(q, struct asked, inquiry);

	loop_post(a->worker->loop, &a->post);
}

static void ask(struct flow *f, const struct question *q)
{
	struct worker *w = f->worker;
	struct asked *a = calloc(1, sizeof(*a) + q->text.len);
	size_t endpoint = w->o.opinions ? opinions_find(w->o.opinions, q->rule->opinion) : 0;

	/* No ruleset comes here that names an opinion the configuration has not. */
	if (!a || !w->o.opinions || endpoint == w->o.opinion_count) {
		log_error("opinion: not asked, the hit counts: service=%s rule=%s", w->o.services[f->service],
		          q->rule->id);
		free(a);
		exchange_decide(f->x, q->id, true);
		f->decided = true;
		return;
	}
	a->worker = w;
	a->flow = f;
	a->id = q->id;
	a->rule = q->rule;
	a->channel = q->channel;
	a->choice = q->choice;
	a->offset = q->offset;
	a->length = q->length;
	a->block = opinions_at(w->o.opinions, endpoint)->block;
	memcpy(a->text, q->text.at, q->text.len);
	a->post.run = told_here;
	a->inquiry.told = told;
	a->inquiry.endpoint = endpoint;
	a->inquiry.text = slice_of(a->text, q->text.len);
	a->link = &w->asked;
	a->next = w->asked;
	if (a->next)
		a->next->link = &a->next;
	w->asked = a;
	f->asked_count++;
	opinions_ask(w->o.opinions, &a->inquiry);
}

bool ask_questions(struct flow *f, bool hurry)
{
	struct question q;

	f->decided = false;
	while (exchange_question(f->x, hurry, &q))
		ask(f, &q);
	if (!exchange_gathers(f->x))
		loop_timer_stop(f->worker->loop, &f->gather);
	else if (!f->gather.place)
		loop_timer(f->worker->loop, &f->gather, GATHER_NS);
	return f->decided;
}

void ask_gather_due(struct timer *t)
{
	struct flow *f = container_of(t, struct flow, gather);
	struct worker *w = f->worker;

	if (f->state == FLOW_OPEN && f->x && ask_questions(f, true))
		flow_step(f);
	flow_reap(w);
}

void ask_free(struct worker *w)
{
	while (w->asked)
		forget(w->asked);
}
