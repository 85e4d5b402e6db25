/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.h - the door of exchange: one request and its answer, from bytes to orders.
 *
 * Pure: no socket, clock or log, so that replay, tests and fuzzers drive the same code as the daemon. Bytes lie in
 * lanes, one for each direction, which outlive the exchange (a connection has many). The exchange reads what is new in
 * a lane and moves its `cleared` mark: bytes in front of it may be sent, those behind it wait.
 *
 *   lane:  [ cleared | held | not read yet ]
 */
#pragma once

#include "base/buf.h"
#include "enforce/enforce.h"
#include "policy/policy.h"
#include "stream/stream.h"

struct lane {
	struct buf buf;
	size_t cleared; /* bytes at the front that may be sent */
	size_t parsed;  /* bytes at the front that were read; >= cleared */
	uint64_t base;  /* position of the first byte since the connection began */
};

#define LANE(cap) ((struct lane){ .buf = BUF(cap) })

/* Bytes that may be sent now. */
static inline struct slice lane_sendable(const struct lane *l)
{
	return slice_of(buf_slice(&l->buf).at, l->cleared);
}

static inline void lane_sent(struct lane *l, size_t n)
{
	buf_take(&l->buf, n);
	l->cleared -= n;
	l->parsed -= n;
	l->base += n;
}

/* Bytes that wait for a decision. */
static inline size_t lane_held(const struct lane *l)
{
	return l->parsed - l->cleared;
}

static inline void lane_free(struct lane *l)
{
	buf_free(&l->buf);
	l->cleared = l->parsed = 0;
}

#define EXCHANGE_SUBJECT 32

struct exchange_limits {
	size_t body_max;             /* bytes of an answer that is held whole; 0: 16 MiB */
	size_t event_max;            /* bytes held of a stream; 0: 1 MiB */
	const char *const *identity; /* names of the request fields that say who asks; the first one given counts */
	size_t identity_count;
	bool upgrade_pass;   /* a WebSocket may pass, unread */
	const char *service; /* whose answers they are, for rules that are for some; NULL: not known */
	int64_t now;         /* seconds since 1970, for rules with dates; 0: not known */
};

/* What an answer that is held whole may take in its lane. */
#define EXCHANGE_BODY_MAX  (16u << 20)
#define EXCHANGE_EVENT_MAX (1u << 20)

struct exchange;

/* Starts an exchange at the unread bytes of the two lanes. Shares the ruleset. -ENOMEM. */
int exchange_new(struct exchange **out, struct ruleset *rules, const struct exchange_limits *limits);
void exchange_free(struct exchange **at);

enum order {
	ORDER_PUMP, /* send what is cleared, bring more */
	ORDER_DONE, /* this message is complete; bytes behind it were not read */
	ORDER_PASS, /* this was HTTP: what is cleared goes out, all behind it passes both ways as it comes, unread */
	ORDER_CUT,  /* nothing more is cleared. Stop the server, make the record durable, then exchange_conclude() */
};

/* Reads the request lane (client to server). May shorten the head in the lane (Accept-Encoding is narrowed to what can
 * be read). `eof`: the client has sent its last byte. Call again whenever bytes came. */
enum order exchange_request(struct exchange *x, struct lane *l, bool eof);

/* Reads the answer lane (server to client). `eof`: the server has sent its last byte. */
enum order exchange_answer(struct exchange *x, struct lane *l, bool eof);

/* Ends the exchange unread, for a reason that only the caller knows. Returns ORDER_CUT. */
enum order exchange_except(struct exchange *x, enum exception e, const char *detail);

/* Nothing of the request was read yet: the connection may close without a word. */
bool exchange_idle(const struct exchange *x);

/* The head of the request is complete: it may have reached the server. */
bool exchange_begun(const struct exchange *x);

/* The request is complete; the answer is. */
bool exchange_asked(const struct exchange *x);
bool exchange_answered(const struct exchange *x);

/* The answer goes out while it comes. */
bool exchange_streamed(const struct exchange *x);

/* Server bytes that came after ORDER_CUT and were thrown away, for the coverage. */
void exchange_discard(struct exchange *x, uint64_t bytes);

/* ---- opinions: hits that count only if another model says so ---- */

/* A window of text that a rule wants an opinion on. While one is open whose rule blocks, nothing is cleared from where
 * its hit may begin on; reading goes on. An answer with open questions is not over: exchange_answered() is false, and
 * no call returns ORDER_DONE. */
struct question {
	uint64_t id;             /* within the exchange */
	const struct rule *rule; /* rule->opinion: who is to be asked */
	struct slice text;       /* UTF-8, at most QUESTION_TEXT bytes; lives until the question is decided */
	enum channel channel;
	uint32_t choice;
	uint64_t offset; /* of the hit, in symbols of its text */
	uint32_t length;
};

#define QUESTION_TEXT 3072

/* The next one that is to be asked; each is given once, when the sentence of its hit is over, enough text follows, or
 * the text has ended. `hurry`: also one whose sentence is not over. False: there is none now. */
bool exchange_question(struct exchange *x, bool hurry, struct question *out);
/* One waits for more text. */
bool exchange_gathers(const struct exchange *x);
/* Text is held for one. */
bool exchange_waits(const struct exchange *x);
/* The question is decided: whether its hit counts. To be followed by exchange_answer(), with or without new bytes. */
void exchange_decide(struct exchange *x, uint64_t id, bool counts);
/* Bytes it has allocated, but for small change. */
size_t exchange_memory(const struct exchange *x);

/* How the connection goes on after exchange_conclude(). */
enum conclusion {
	CONCLUDE_KEEP,  /* the refusal is a complete message, the connection may be used again */
	CONCLUDE_CLOSE, /* send what is cleared, then FIN */
	CONCLUDE_RESET, /* send what is cleared, then RST: nothing valid could end this answer */
};

/* After ORDER_CUT: drops what was withheld from the answer lane and puts the refusal in its place, cleared. `mute`: no
 * words may be said (the record is not durable): always CONCLUDE_RESET. */
enum conclusion exchange_conclude(struct exchange *x, struct lane *answer, bool mute);

/* ---- what happened ---- */

/* Bytes around the first hit of a finding, for a rule that asks for evidence: so many in front of it, of it, and
 * behind it. */
#define EVIDENCE_CONTEXT 256
struct evidence_text {
	uint8_t *at; /* owned by the exchange; NULL: there is none */
	uint32_t before, match, after;
	uint64_t missing; /* bytes of the match's beginning that were not kept any more */
	bool generated; /* by a model, as the tables know it; else it may be the client's, and only its tag may stay */
};

struct finding {
	const struct rule *rule; /* the ruleset's, lives as long as the exchange */
	uint32_t keyword;        /* index within the rule */
	enum action action;      /* carried out: what cannot be masked is blocked */
	enum channel channel;
	uint32_t choice;
	uint64_t offset; /* of the first such hit, in symbols of its text */
	uint32_t length;
	uint64_t wire;   /* where the unit (event, body) it ends in begins, in bytes of the answer */
	uint32_t repeat; /* further hits of this rule in this text */
	uint64_t last_offset;
	struct evidence_text text;
	bool judged; /* a judge was asked: its logit, the highest of all such hits */
	int32_t logit;
	uint64_t exposed; /* of the hit that blocked: symbols of it that had gone out, at most */
};

/* in = scanned + structural + withheld, of all bytes the server sent for this answer. Bytes that were masked are
 * withheld. */
struct coverage {
	uint64_t in, scanned, structural, withheld, released;
};

/* What must hold of every exchange. `in` is counted where bytes come, the others where they are read and let go. */
static inline bool coverage_holds(const struct coverage *c)
{
	return c->released == c->scanned + c->structural && c->released <= c->in && c->in == c->released + c->withheld;
}

struct exchange_report {
	enum verdict verdict;
	enum exception exception;
	const char *detail; /* of an exception: what was wrong, a constant string; may be NULL */
	const struct dialect *dialect;
	char method[16];
	char path[256];           /* without the query, cut to fit; control and non-ASCII bytes as '?' */
	uint16_t status;          /* of the answer; 0: none came */
	char model[128], id[128]; /* as the server said */
	bool has_subject;
	uint8_t subject[EXCHANGE_SUBJECT]; /* SHA-256 of the identity: never to be stored, a pseudonym is made of it */
	bool streamed;
	bool complete; /* the server had sent all of its answer */
	bool passed;   /* it was a change of protocol that may pass: what follows is not of this exchange */
	uint32_t events;
	uint32_t max_hold; /* most symbols of one text held at the end of a unit, but for opinions */
	struct coverage coverage;
	const struct finding *findings;
	size_t finding_count;
	uint64_t findings_lost; /* beyond the number kept */
};

/* RULESET_DIGEST bytes: the policy this exchange is read by. */
const uint8_t *exchange_digest(const struct exchange *x);

/* Borrowed, as of now; good until the next call for x. */
const struct exchange_report *exchange_report(struct exchange *x);

/* Told of a text of the answer, as far as it was read and is kept: its last bytes, and how many were in front of them.
 */
typedef void exchange_text_seen(void *arg, enum channel channel, uint32_t choice, uint64_t missing, struct slice text);

/* All texts of the body, if some rule asks for more than a tag; none that may repeat the prompt. */
void exchange_texts(const struct exchange *x, exchange_text_seen *each, void *arg);
