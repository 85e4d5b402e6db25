/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opinion.h - the door of opinion: what another model says of a text, asked over HTTP.
 *
 * One thread asks for all loops, so no stream ever waits for a name, a socket or a parser of this room: an inquiry is
 * left with opinions_ask(), and its function is called when it is over, which is at its deadline at the latest. What an
 * endpoint answers is hostile: its size, its time and its words are bounded, and nothing of it is passed on but words
 * that the configuration already holds.
 */
#pragma once

#include <stdatomic.h>

#include "base/histogram.h"
#include "base/slice.h"
#include "config/config.h"

/* How an inquiry ended. Only the first two are an opinion; for the others the configuration says what happens. */
enum opinion_outcome {
	OPINION_SAFE,
	OPINION_UNSAFE,
	OPINION_TIMED_OUT,    /* the deadline passed */
	OPINION_FAILED,       /* no connection, a broken one, or a status that is not 200 */
	OPINION_UNREADABLE,   /* an answer that does not say what the configuration lets it say */
	OPINION_TOO_LARGE,    /* an answer over OPINION_ANSWER_MAX */
	OPINION_BUSY,         /* too many inquiries wait already */
	OPINION_BREAKER_OPEN, /* it failed too often: it is left alone for a while */
	OPINION_ABANDONED,    /* nobody wants to know any more */
	OPINION_OUTCOME_COUNT
};

extern const char *const opinion_outcome_names[OPINION_OUTCOME_COUNT]; /* "safe", "unsafe", "timed_out", ... */

static inline bool opinion_is_in(enum opinion_outcome o)
{
	return o == OPINION_SAFE || o == OPINION_UNSAFE;
}

#define OPINION_ANSWER_MAX 65536 /* bytes of an answer */
#define OPINION_HEAD_MAX   16384 /* bytes of its head */
#define OPINION_WAITING    256   /* inquiries that wait for their turn at one endpoint */

/* One question. The asker owns it from before opinions_ask() until after `told`. */
struct inquiry {
	void (*told)(struct inquiry *q); /* called once, in the thread of the opinions */
	struct inquiry *next;            /* ours */
	uint64_t asked;                  /* ours: monotonic nanoseconds */
	size_t endpoint;                 /* its place in the configuration */
	struct slice text;               /* UTF-8 */
	atomic_bool dropped;             /* set by the asker: nobody wants to know any more */

	enum opinion_outcome outcome;
	const char *label;   /* the word of the configuration that it said; NULL: none */
	uint64_t categories; /* bit i: the i-th of the endpoint's categories was named */
	uint16_t status;     /* of HTTP; 0: none came */
	uint64_t latency_ns;
};

struct opinions;

/* Everything that needs files, names or new sockets of its own kind: certificates, tokens, addresses of remote
 * endpoints. To be called before a sandbox is entered. `list` is borrowed for the life of *out. -ENOMEM; -errno of a
 * file; -ENOENT: an endpoint's name is not known. `why` is then one line for people. */
int opinions_new(struct opinions **out, const struct config_opinion *list, size_t count, char *why, size_t room);
/* Starts the thread. -errno. */
int opinions_start(struct opinions *o);
/* Tells what is under way as abandoned, ends the thread. */
void opinions_free(struct opinions **at);

/* The endpoint of that name; `count` of opinions_new() if there is none. */
size_t opinions_find(const struct opinions *o, const char *name);
const struct config_opinion *opinions_at(const struct opinions *o, size_t endpoint);

/* From any thread; never blocks. */
void opinions_ask(struct opinions *o, struct inquiry *q);
/* An inquiry was dropped: it will be told soon. */
void opinions_wake(struct opinions *o);

struct opinion_stats {
	uint64_t outcomes[OPINION_OUTCOME_COUNT];
	uint64_t breaker_opened; /* times */
	uint64_t breaker_open;   /* 0 or 1: now */
	uint64_t waiting, running;
	struct histogram latency; /* histogram_times, of opinions that are in */
};

/* A copy, from any thread. */
void opinions_stats(const struct opinions *o, size_t endpoint, struct opinion_stats *out);
