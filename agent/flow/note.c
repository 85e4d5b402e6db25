/* SPDX-License-Identifier: Apache-2.0 */
/* note.c - what happened in an exchange becomes records. No word of the request or the answer goes in. */
#include "flow/private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/own.h"

_Static_assert((int)CHANNEL__CONTENT == (int)CHANNEL_CONTENT && (int)CHANNEL__HEADER == (int)CHANNEL_HEADER &&
                       (int)CHANNEL__LOGPROBS == (int)CHANNEL_LOGPROBS,
               "channels are numbered alike in stream and in the record");

void note_new_id(struct flow *f)
{
	struct worker *w = f->worker;

	/* One call for many ids: a system call each would be a tenth of what a small answer costs. */
	if (!w->ids_left && getrandom(w->ids, sizeof(w->ids), GRND_NONBLOCK) == sizeof(w->ids))
		w->ids_left = sizeof(w->ids);
	if (w->ids_left) {
		w->ids_left -= sizeof(f->exchange_id);
		memcpy(f->exchange_id, w->ids + w->ids_left, sizeof(f->exchange_id));
	} else {
		uint64_t parts[2] = { unix_now(),
			              (uint64_t)(uintptr_t)f }; /* before the pool is ready: unique is enough */

		memcpy(f->exchange_id, parts, sizeof(parts));
	}
}

/* A message with the memory its fields point to. */
struct parts {
	Service service;
	Endpoint src, dst;
	char src_text[INET6_ADDRSTRLEN], dst_text[INET6_ADDRSTRLEN];
	char model[128], id[128];
	uint8_t subject[SUBJECT_TAG];
	Coverage coverage;
	Measure stop;
};

static ProtobufCBinaryData bytes_of(const uint8_t *at, size_t len)
{
	return (ProtobufCBinaryData){ .data = (uint8_t *)at, .len = len };
}

static void end_of(Endpoint *to, char *text, const struct sockaddr_storage *a)
{
	*to = (Endpoint)ENDPOINT__INIT;
	text[0] = '\0';
	if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;

		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, INET6_ADDRSTRLEN);
		else
			inet_ntop(AF_INET6, &v6->sin6_addr, text, INET6_ADDRSTRLEN);
		to->port = ntohs(v6->sin6_port);
	} else if (a->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;

		inet_ntop(AF_INET, &v4->sin_addr, text, INET6_ADDRSTRLEN);
		to->port = ntohs(v4->sin_port);
	}
	to->address = text;
}

/* Names come from outside: only plain characters are kept. */
static void plain(char *to, size_t room, const char *from)
{
	size_t n = 0;

	for (; *from && n + 1 < room; from++)
		to[n++] = *from >= 0x20 && *from < 0x7f ? *from : '?';
	to[n] = '\0';
}

static Measure *measure_of(const struct flow *f, Measure *to)
{
	static const Measure__Result results[] = {
		[STOP_REQUESTED] = MEASURE__RESULT__REQUESTED,
		[STOP_CONFIRMED] = MEASURE__RESULT__CONFIRMED,
		[STOP_NOT_CONFIRMED] = MEASURE__RESULT__NOT_CONFIRMED,
	};

	if (f->stop.result == STOP_NONE)
		return NULL;
	*to = (Measure)MEASURE__INIT;
	to->method = (char *)f->stop.method;
	to->result = results[f->stop.result];
	to->at_unix_nano = f->stop.at_unix;
	to->latency_us = f->stop.latency_us;
	to->bytes_after = f->stop.bytes_after;
	return to;
}

static Action action_of(const struct exchange_report *r)
{
	switch (r->verdict) {
	case VERDICT_BLOCKED:
		return ACTION__BLOCK;
	case VERDICT_EXCEPTION:
		return ACTION__REFUSE;
	case VERDICT_REDACTED:
		return ACTION__REDACT;
	case VERDICT_FLAGGED:
		return ACTION__FLAG;
	case VERDICT_SHADOWED:
		return ACTION__SHADOW;
	default:
		return r->complete ? ACTION__PASS : ACTION__ABORT;
	}
}

static const char *finish_of(const struct flow *f, const struct exchange_report *r)
{
	if (r->verdict == VERDICT_BLOCKED || r->verdict == VERDICT_EXCEPTION)
		return "cut";
	if (r->complete)
		return "complete";
	return f->server.eof ? "server_left" : "client_left";
}

static const Verdict verdicts[VERDICT_COUNT] = {
	[VERDICT_CLEARED] = VERDICT__CLEARED, [VERDICT_SHADOWED] = VERDICT__SHADOWED,
	[VERDICT_FLAGGED] = VERDICT__FLAGGED, [VERDICT_REDACTED] = VERDICT__REDACTED,
	[VERDICT_BLOCKED] = VERDICT__BLOCKED, [VERDICT_EXCEPTION] = VERDICT__EXCEPTION,
};

static int append(struct flow *f, const Record *record, struct ledger_note *note)
{
	int err = ledger_append(f->worker->o.ledger, record, note);

	if (err)
		count(&f->worker->stats.records_lost, 1);
	return err;
}

/* Who asked, as a pseudonym; empty: nobody is told apart. */
static ProtobufCBinaryData subject_of(const struct flow *f, const struct exchange_report *r, uint8_t to[SUBJECT_TAG])
{
	if (!r->has_subject || !f->worker->o.subjects ||
	    subjects_tag(f->worker->o.subjects, r->subject, sizeof(r->subject), to))
		return bytes_of(NULL, 0);
	return bytes_of(to, SUBJECT_TAG);
}

int note_exchange(struct flow *f, struct ledger_note *note)
{
	const struct exchange_report *r = exchange_report(f->x);
	Record record = RECORD__INIT;
	Exchange e = EXCHANGE__INIT;
	struct parts p;

	e.exchange_id = bytes_of(f->exchange_id, sizeof(f->exchange_id));
	plain(p.id, sizeof(p.id), r->id);
	plain(p.model, sizeof(p.model), r->model);
	e.request_id = p.id;
	p.service = (Service)SERVICE__INIT;
	p.service.name = (char *)f->worker->o.services[f->service];
	p.service.model = p.model;
	e.service = &p.service;
	end_of(&p.src, p.src_text, &f->ends.client);
	end_of(&p.dst, p.dst_text, &f->ends.server);
	e.src = &p.src;
	e.dst = &p.dst;
	e.subject_tag = subject_of(f, r, p.subject);
	e.dialect = (char *)r->dialect->name;
	p.coverage = (Coverage)COVERAGE__INIT;
	p.coverage.in = r->coverage.in;
	p.coverage.scanned = r->coverage.scanned;
	p.coverage.structural = r->coverage.structural;
	p.coverage.withheld = r->coverage.withheld;
	p.coverage.released = r->coverage.released;
	e.coverage = &p.coverage;
	e.verdict = verdicts[r->verdict];
	e.action = action_of(r);
	e.finish = (char *)finish_of(f, r);
	e.max_hold_chars = r->max_hold;
	e.max_hold_us = (uint32_t)(f->max_hold_ns / 1000);
	e.policy_digest = bytes_of(exchange_digest(f->x), RULESET_DIGEST);
	if (r->exception != EXCEPTION_NONE)
		e.exception = (char *)exception_table[r->exception].name;
	e.method = (char *)r->method;
	e.path = (char *)r->path;
	e.status = r->status;
	e.stop_generation = measure_of(f, &p.stop);
	e.started_unix_nano = f->started_unix;
	e.events = r->events;
	record.body_case = RECORD__BODY_EXCHANGE;
	record.exchange = &e;
	return append(f, &record, note);
}

int note_upgrade(struct flow *f, bool end)
{
	Record record = RECORD__INIT;
	Bypass b = BYPASS__INIT;

	b.kind = end ? BYPASS__KIND__END : BYPASS__KIND__START;
	b.service = (char *)f->worker->o.services[f->service];
	b.reason = (char *)"upgrade";
	b.connections = 1;
	b.from_unix_nano = f->passing_since;
	b.exchange_id = bytes_of(f->exchange_id, sizeof(f->exchange_id));
	if (end) {
		b.to_unix_nano = unix_now();
		b.bytes_up = f->passed_up;
		b.bytes_down = f->passed_down;
	}
	record.body_case = RECORD__BODY_BYPASS;
	record.bypass = &b;
	return append(f, &record, NULL);
}

static const struct {
	Verdict verdict;
	Action action;
} decisions[ACTION_COUNT] = {
	[ACTION_SHADOW] = { VERDICT__SHADOWED, ACTION__SHADOW },
	[ACTION_FLAG] = { VERDICT__FLAGGED, ACTION__FLAG },
	[ACTION_REDACT] = { VERDICT__REDACTED, ACTION__REDACT },
	[ACTION_BLOCK] = { VERDICT__BLOCKED, ACTION__BLOCK },
};

static const char *engine_of(const struct rule *rule)
{
	if (rule->judging.model && rule->judging.alone)
		return "classifier";
	return rule->has_pattern ? "pattern" : "keyword";
}

/* A finding's record, with what its fields point to. */
struct finding_parts {
	Record record;
	Finding finding;
	RiskHit *hits[16], hit[16];
	Measure stop, transmission;
	Exposure exposure;
	struct keep keep;
	uint8_t subject[SUBJECT_TAG];
};

static void fill_finding(struct flow *f, const struct finding *found, struct finding_parts *p)
{
	Finding *to = &p->finding;
	size_t n = found->rule->risk_count;

	*to = (Finding)FINDING__INIT;
	n = n < ARRAY_LEN(p->hit) ? n : ARRAY_LEN(p->hit);
	for (size_t i = 0; i < n; i++) {
		RiskHit *hit = p->hits[i] = &p->hit[i];

		*hit = (RiskHit)RISK_HIT__INIT;
		hit->risk_id = (char *)found->rule->risks[i];
		hit->risk = found->rule->risk_ids[i];
		hit->rule_id = (char *)found->rule->id;
		hit->keyword_id = found->keyword;
		hit->engine = (char *)engine_of(found->rule);
		if (found->judged) {
			hit->score = (float)classifier_probability(found->logit);
			hit->model = bytes_of(found->rule->judging.digest, CLASSIFIER_DIGEST);
		}
	}
	to->exchange_id = bytes_of(f->exchange_id, sizeof(f->exchange_id));
	/* Its evidence is found by it even if the answer's own record never came. */
	to->subject_tag = subject_of(f, exchange_report(f->x), p->subject);
	to->direction = DIRECTION__OUTPUT;
	to->channel = (Channel)found->channel;
	to->choice = found->choice;
	to->n_risks = n;
	to->risks = p->hits;
	to->verdict = decisions[found->action].verdict;
	to->action = decisions[found->action].action;
	to->offset = found->offset;
	to->length = found->length;
	to->wire_offset = found->wire;
	to->repeat_count = found->repeat;
	to->last_offset = found->repeat ? found->last_offset : 0;
	to->automated_detection = true;
	if (found->action == ACTION_BLOCK) {
		to->stop_generation = measure_of(f, &p->stop);
		/* Nothing behind the cleared bytes was sent, and nothing will be: that needs no proof from outside. */
		p->transmission = (Measure)MEASURE__INIT;
		p->transmission.method = (char *)"withhold";
		p->transmission.result = MEASURE__RESULT__CONFIRMED;
		p->transmission.at_unix_nano = f->stop.at_unix;
		to->stop_transmission = &p->transmission;
		p->exposure = (Exposure)EXPOSURE__INIT;
		p->exposure.chars = found->exposed;
		to->exposure = found->exposed ? &p->exposure : NULL;
	}
	if (p->keep.has_tag)
		to->content_tag = bytes_of(p->keep.tag, sizeof(p->keep.tag));
	if (p->keep.asked)
		to->evidence = &p->keep.evidence;
	p->record = (Record)RECORD__INIT;
	p->record.body_case = RECORD__BODY_FINDING;
	p->record.finding = to;
}

int note_opinion(struct flow *f, const struct asked *a, enum opinion_outcome outcome, uint64_t latency_us, bool counted)
{
	static const Opinion__Outcome outcomes[OPINION_OUTCOME_COUNT] = {
		[OPINION_SAFE] = OPINION__OUTCOME__SAFE,
		[OPINION_UNSAFE] = OPINION__OUTCOME__UNSAFE,
		[OPINION_TIMED_OUT] = OPINION__OUTCOME__TIMED_OUT,
		[OPINION_FAILED] = OPINION__OUTCOME__FAILED,
		[OPINION_UNREADABLE] = OPINION__OUTCOME__UNREADABLE,
		[OPINION_TOO_LARGE] = OPINION__OUTCOME__TOO_LARGE,
		[OPINION_BUSY] = OPINION__OUTCOME__BUSY,
		[OPINION_BREAKER_OPEN] = OPINION__OUTCOME__BREAKER_OPEN,
		[OPINION_ABANDONED] = OPINION__OUTCOME__ABANDONED,
	};
	const struct config_opinion *c = opinions_at(f->worker->o.opinions, a->inquiry.endpoint);
	char *categories[CONFIG_CATEGORIES_MAX];
	Record record = RECORD__INIT;
	Opinion o = OPINION__INIT;

	o.exchange_id = bytes_of(f->exchange_id, sizeof(f->exchange_id));
	o.service = (char *)f->worker->o.services[f->service];
	o.name = c->name;
	o.model = c->model ? c->model : (char *)"";
	o.rule_id = (char *)a->rule->id;
	o.channel = (Channel)a->channel;
	o.choice = a->choice;
	o.offset = a->offset;
	o.length = a->length;
	o.window_bytes = (uint32_t)a->inquiry.text.len;
	o.outcome = outcomes[outcome];
	o.latency_us = latency_us;
	o.counted = counted;
	o.action = decisions[a->rule->action].action;
	o.categories = categories;
	if (outcome != OPINION_ABANDONED) { /* it may still be in the hands of whoever asks */
		o.label = a->inquiry.label ? (char *)a->inquiry.label : (char *)"";
		o.http_status = a->inquiry.status;
		for (size_t i = 0; i < c->categories.count; i++)
			if (a->inquiry.categories >> i & 1)
				categories[o.n_categories++] = c->categories.at[i];
	}
	record.body_case = RECORD__BODY_OPINION;
	record.opinion = &o;
	return append(f, &record, NULL);
}

/* Findings beyond the number that is kept of one answer: how many, so that the sums agree. */
static int note_lost(struct flow *f, uint64_t n)
{
	Record record = RECORD__INIT;
	Loss loss = LOSS__INIT;

	loss.where = (char *)"findings";
	loss.count = n;
	loss.first_unix_nano = f->started_unix;
	loss.last_unix_nano = unix_now();
	record.body_case = RECORD__BODY_LOSS;
	record.loss = &loss;
	return append(f, &record, NULL);
}

static void parts_free(struct finding_parts **at, size_t n)
{
	for (size_t i = 0; *at && i < n; i++)
		keep_free(&(*at)[i].keep);
	free(*at);
}

/* Texts go to the store, and their records behind them; it takes all or nothing. */
static int append_kept(struct flow *f, struct finding_parts *parts, size_t n, struct ledger_note *note)
{
	owned(own_free) struct evidence_item *items = calloc(n, sizeof(*items));

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct slice text = buf_slice(&parts[i].keep.text);

		items[i] = (struct evidence_item){ &parts[i].record, text.len ? text.at : NULL, text.len };
	}
	return evidence_append(f->worker->o.evidence, items, n, note);
}

int note_findings(struct flow *f, struct ledger_note *note)
{
	const struct exchange_report *r = exchange_report(f->x);
	int err = r->findings_lost ? note_lost(f, r->findings_lost) : 0;
	size_t n = r->finding_count;
	struct finding_parts *parts = err || !n ? NULL : calloc(n, sizeof(*parts));
	bool whole = true, texts = false;

	if (!err && n && !parts)
		err = -ENOMEM;
	for (size_t i = 0; i < n && !err; i++) {
		if (f->worker->o.tally)
			tally_add(f->worker->o.tally, f->worker->o.services[f->service], r->findings[i].rule);
		keep_finding(f, &r->findings[i], &whole, &parts[i].keep);
		texts |= buf_len(&parts[i].keep.text) > 0;
		fill_finding(f, &r->findings[i], &parts[i]);
	}
	/* What the store does not take goes without its text. */
	if (!err && n && (!texts || append_kept(f, parts, n, note)))
		for (size_t i = 0; i < n && !err; i++) {
			if (buf_len(&parts[i].keep.text))
				parts[i].keep.evidence.state = EVIDENCE__STATE__LOST;
			err = append(f, &parts[i].record, i + 1 == n ? note : NULL);
		}
	parts_free(&parts, n);
	return err;
}
