/* SPDX-License-Identifier: Apache-2.0 */
/* transcript.h - the shorthand of exchange_test: answers by their parts, every cut of them, and what must come out. */
#pragma once

#include "tests/lib/test.h"

#include <stdarg.h>
#include <stdio.h>

#include "tests/lib/talk.h"

#define STREAM  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
#define CHUNKED "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
#define JSON    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
#define PLAIN   "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"

#define SAY(i, text) "data: {\"choices\":[{\"index\":" #i ",\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define TOOL(text)                                                                                                     \
	"data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"" text \
	"\"}}]}}]}\n\n"
#define FINISH(i) "data: {\"choices\":[{\"index\":" #i ",\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define DONE      "data: [DONE]\n\n"

#define FILTERED(i)                                                                                                    \
	"data: "                                                                                                       \
	"{\"id\":\"\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"\",\"choices\":[{\"index\":" #i   \
	",\"delta\":{},\"logprobs\":null,\"finish_reason\":\"content_filter\"}]}\n\n"
#define WITHHELD(text, name)                                                                                           \
	"data: {\"error\":{\"message\":\"The answer was withheld: " text                                               \
	".\",\"type\":\"not_inspected\",\"param\":null,"                                                               \
	"\"code\":\"" name "\"}}\n\n"

#define CHAT "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
#define ANY  "POST /any HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"

/* A test of its own rules says which, and what its suite is called. */
#ifndef TRANSCRIPT_PACK
#define TRANSCRIPT_PACK  TALK_PACK
#define TRANSCRIPT_SUITE exchange
#endif

static struct ruleset *rules;

static void setup(void)
{
#ifdef TRANSCRIPT_MODEL
	size_t len;
	uint8_t *model = TRANSCRIPT_MODEL(&len);

	rules = talk_rules_model(TRANSCRIPT_PACK, slice_of(model, len));
	free(model);
#else
	rules = talk_rules(TRANSCRIPT_PACK);
#endif
	cr_assert_not_null(rules);
}

static void teardown(void)
{
	ruleset_put(&rules);
}

TestSuite(TRANSCRIPT_SUITE, .init = setup, .fini = teardown);

/* ---- one run ---- */

#define LOG_MAX 8192

struct result {
	struct talk talk;
	char log[LOG_MAX]; /* verdict, exception, coverage, findings: a line each */
	size_t len;
};

static __attribute__((format(printf, 2, 3))) void put(struct result *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	r->len += (size_t)vsnprintf(r->log + r->len, LOG_MAX - r->len, format, args);
	va_end(args);
	cr_assert_lt(r->len, LOG_MAX);
}

static inline void log_text(void *arg, enum channel channel, uint32_t choice, uint64_t missing, struct slice text)
{
	put(arg, "text %s %u %lu '%.*s'\n", channel_names[channel], choice, missing, (int)text.len, text.at);
}

/* What the rule asked to keep of it. */
static void log_evidence(struct result *r, const struct evidence_text *t)
{
	if (t->at)
		put(r, "kept '%.*s' '%.*s' '%.*s' without %lu%s\n", (int)t->before, t->at, (int)t->match,
		    t->at + t->before, (int)t->after, t->at + t->before + t->match, t->missing,
		    t->generated ? "" : ", perhaps the client's");
}

static void log_report(struct result *r, struct exchange *x)
{
	const struct exchange_report *p = exchange_report(x);
	const struct coverage *c = &p->coverage;

	r->len = 0;
	put(r, "%s %s\n", verdict_names[p->verdict], exception_table[p->exception].name);
	for (size_t i = 0; i < p->finding_count; i++) {
		const struct finding *f = &p->findings[i];

		put(r, "%s %s %u at %lu+%u in unit %lu, %u more", f->rule->id, channel_names[f->channel], f->choice,
		    f->offset, f->length, f->wire, f->repeat);
		if (f->judged)
			put(r, ", judged %.2f, %lu out", classifier_probability(f->logit), f->exposed);
		put(r, "\n");
		log_evidence(r, &f->text);
	}
	put(r, "in %lu scanned %lu structural %lu withheld %lu hold %u events %u\n", c->in, c->scanned, c->structural,
	    c->withheld, p->max_hold, p->events);
	cr_assert_eq(c->in, c->scanned + c->structural + c->withheld);
	cr_assert_eq(c->released, c->scanned + c->structural);
}

/* The answer in pieces that end at `cut`, or of one byte each (cut SIZE_MAX). */
static void run(struct result *r, const char *request, struct slice answer, size_t cut,
                const struct exchange_limits *limits)
{
	struct talk *t = &r->talk;
	size_t at = 0;

	talk_begin(t, rules, limits, slice_str(request));
	do {
		size_t n = cut == SIZE_MAX ? 1 : at < cut && cut < answer.len ? cut - at : answer.len - at;

		talk_feed(t, slice_of(answer.at + at, n), false);
		at += n;
	} while (at < answer.len);
	talk_feed(t, SLICE(""), true);
	talk_conclude(t);
	cr_assert(t->released <= answer.len);
	if (!ruleset_acts(rules, ACTION_REDACT))
		cr_assert(!memcmp(t->out, answer.at, t->released), "not what the server sent");
	log_report(r, t->x);
	talk_end(t);
}

static struct result first, next;

/* Every cut comes to the same. The result is in `first`. */
static void every_cut(const char *request, struct slice answer, const struct exchange_limits *limits)
{
	run(&first, request, answer, answer.len, limits);
	EACH_CUT (at, answer.len) {
		run(&next, request, answer, at == answer.len ? SIZE_MAX : at, limits);
		cr_assert_str_eq(next.log, first.log, "cut at %zu", at);
		cr_assert_eq(next.talk.released, first.talk.released, "cut at %zu", at);
		cr_assert_eq(next.talk.len, first.talk.len, "cut at %zu", at);
		cr_assert_arr_eq(next.talk.out, first.talk.out, first.talk.len);
	}
}

/* The first line of the report. */
static bool begins(const char *line)
{
	return !strncmp(first.log, line, strlen(line));
}

static bool says(const char *part)
{
	return strstr(first.log, part);
}

#define EXPECT(request, answer, line)                                                                                  \
	do {                                                                                                           \
		every_cut(request, SLICE(answer), NULL);                                                               \
		cr_expect(begins(line), "%s\n%s", answer, first.log);                                                  \
	} while (0)

/* What is released of `answer` are the bytes of `part`, its beginning; then comes `refusal`. */
#define EXPECT_CUT(request, answer, line, part, refusal)                                                               \
	do {                                                                                                           \
		EXPECT(request, answer, line);                                                                         \
		cr_expect_eq(first.talk.released, sizeof(part) - 1, "%.*s", (int)first.talk.released, first.talk.out); \
		first.talk.out[first.talk.len] = '\0';                                                                 \
		cr_expect_str_eq((char *)first.talk.out + first.talk.released, refusal);                               \
	} while (0)

/* All of it is released. */
#define EXPECT_WHOLE(request, answer, line)                                                                            \
	do {                                                                                                           \
		EXPECT(request, answer, line);                                                                         \
		cr_expect_eq(first.talk.released, sizeof(answer) - 1, "%s\n%s", answer, first.log);                    \
		cr_expect_eq(first.talk.len, sizeof(answer) - 1);                                                      \
	} while (0)

#define BLOCKED "blocked none\n"

#define REDACTED "redacted none\n"

/* All of it is released, as `masked` says. */
#define EXPECT_MASKED(request, answer, masked)                                                                         \
	do {                                                                                                           \
		EXPECT(request, answer, REDACTED);                                                                     \
		cr_expect_eq(first.talk.len, sizeof(answer) - 1, "%s\n%s", answer, first.log);                         \
		first.talk.out[first.talk.len] = '\0';                                                                 \
		cr_expect_str_eq((char *)first.talk.out, masked);                                                      \
	} while (0)
