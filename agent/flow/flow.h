/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h - the door of flow: connections in sockets.
 *
 * A worker is one loop's share of the connections: it accepts from its own listeners, dials the server for each client,
 * pumps both ways, and carries out the orders of the exchanges. Nothing is shared between workers but the ledger, the
 * capture and the ruleset.
 */
#pragma once

#include <semaphore.h>
#include <stdatomic.h>

#include "base/histogram.h"
#include "base/loop.h"
#include "capture/capture.h"
#include "exchange/exchange.h"
#include "opinion/opinion.h"
#include "record/record.h"

struct worker;
struct tally;

/* What all connections of all workers hold, and may hold. */
struct memory {
	uint64_t most; /* bytes */
	_Atomic uint64_t used;
};

struct worker_options {
	struct capture *capture; /* borrowed, as all here, for the worker's life */
	struct ledger *ledger;
	const char *const *services; /* names, by index of the guard */
	const bool *upgrade_pass;    /* of each service; NULL: of none */
	size_t service_count;
	struct exchange_limits limits;
	uint32_t head_timeout_ms;  /* from the first byte of a request head to its last; 0: 60,000 */
	uint32_t stop_timeout_ms;  /* a cut server that has not closed by then is reset; 0: 1,000 */
	uint64_t files_most;       /* descriptors that the process may hold; 0: not known, and none is kept back */
	struct subjects *subjects; /* NULL: nobody is told apart */
	struct evidence_store *evidence; /* NULL: nobody to seal for */
	struct tally *tally;             /* of findings, shared by the workers; NULL: they are not counted */
	struct opinions *opinions;       /* whom rules may ask; NULL: nobody */
	size_t opinion_count;
	struct memory *memory;      /* shared by the workers; NULL: each connection is bounded, not all */
	const atomic_bool *stopped; /* while true nobody is served; NULL: never */
	bool record_closed;         /* nor while the ledger cannot be written */
	bool record_all;            /* an Exchange for each answer, not only where something was found */
};

/* What a worker has done, for status and metrics. Written by its loop alone, read by anybody. Numbers of 64 bits only.
 */
struct worker_stats {
	uint64_t accepted, open, dial_failed, refused;
	uint64_t streams; /* answers under way, as they come */
	uint64_t exchanges, events, bytes_in, bytes_released;
	uint64_t verdicts[VERDICT_COUNT];
	uint64_t exceptions[EXCEPTION_COUNT];
	uint64_t stopped, stop_confirmed, stop_not_confirmed;
	uint64_t records_lost;
	uint64_t upgrades, upgrade_bytes; /* connections that passed unread, and their bytes, both ways */
	uint64_t coverage_mismatches;     /* exchanges whose bytes did not add up: always 0 */
	struct histogram added; /* histogram_times: from the turn in which bytes could move until they were written */
	struct histogram hold_time;   /* histogram_times: the longest that text of a streamed answer waited */
	struct histogram hold_chars;  /* histogram_characters: the most that waited at a time */
	struct histogram record_wait; /* histogram_times: what a refusal waited for its record */
};

/* The same of one service. */
struct service_stats {
	uint64_t verdicts[VERDICT_COUNT];
	uint64_t exceptions[EXCEPTION_COUNT];
};

/* Makes the worker of loop `index` and takes its listeners into `l`. Shares the ruleset. Errors: -errno. */
int worker_new(struct worker **out, const struct worker_options *o, unsigned index, struct loop *l,
               struct ruleset *rules);

/* From any thread: accepts from the listeners of another network namespace, which capture knows; and no more.
 * -errno. The first by the thread that lets capture know of them. */
int worker_open_doors(struct worker *w, uint64_t netns);
int worker_shut_doors(struct worker *w, uint64_t netns);

/* From any thread: exchanges that begin from now on use `rules`. -ENOMEM leaves the old ones. */
int worker_set_rules(struct worker *w, struct ruleset *rules);

/* ---- a worker is replaced by one of another process: drain.c. From any thread ---- */

/* Accepts no more; `done` is posted when no accept is under way. What is open goes on. -ENOMEM. */
int worker_close_doors(struct worker *w, sem_t *done);
/* Connections go to the worker at the other end of `fd` (SOCK_SEQPACKET, borrowed) as soon as no exchange is under way
 * on them; called again, to another. -errno. */
int worker_pass_on(struct worker *w, int fd);
/* Ends what is still open: exchanges in their API's words and on record, as the exception `replaced`. -ENOMEM. */
int worker_expire(struct worker *w);
/* Goes on with connections that come through `fd` (borrowed), until its other end is closed. -errno. */
int worker_adopt(struct worker *w, int fd);
/* Whether connections may still come that way: until all who pass some on have another to pass them to, or are gone.
 * What has come by then is open. Any thread. */
bool worker_may_adopt(const struct worker *w);

/* A copy, from any thread. */
void worker_stats(const struct worker *w, struct worker_stats *out);
void worker_service_stats(const struct worker *w, size_t service, struct service_stats *out);

/* Accepts no more and resets all connections; what was under way is written down as far as it got. Its loop must not be
 * running any more, its listeners must still be open. */
void worker_stop(struct worker *w);

/* Frees a stopped worker. The ledger must have told all notes, and the opinions all inquiries: close them first. */
void worker_free(struct worker **at);

/* ---- findings by service and rule ---- */

struct finding_count {
	const char *service, *rule, *risk, *action; /* the rule's first risk */
	uint64_t count;
};

/* -ENOMEM. The names of services must outlive it. */
int tally_new(struct tally **out);
void tally_free(struct tally **at);
/* Rows of nothing for the rules that shadow: who tries a rule out wants to read that it found nothing. */
void tally_expect(struct tally *t, const char *service, const struct ruleset *rules);
/* Calls `each` for every row, under a lock that the workers wait for. */
void tally_each(struct tally *t, void (*each)(void *arg, const struct finding_count *row), void *arg);
/* Calls `each` for every row that has grown since it was taken, with as much as it grew by; true takes it. Likewise. */
void tally_take(struct tally *t, bool (*each)(void *arg, const struct finding_count *row), void *arg);
