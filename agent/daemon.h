/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.h - what sluiced consists of, for the files that wire it: main.c, report.c, notes.c. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "capture/capture.h"
#include "config/config.h"
#include "flow/flow.h"
#include "journal.h"
#include "policy/policy.h"
#include "record/record.h"
#include "serve/serve.h"

struct thread {
	pthread_t id;
	struct loop *loop;
	struct worker *worker;
	bool running;
	struct post pulse; /* asked every tick whether its loop still turns */
	atomic_bool beats;
	uint32_t missed;
};

struct daemon {
	const char *config_file;
	struct config *config;
	struct ruleset *rules;
	struct ledger *ledger, *control; /* the two logs */
	struct journal_told told[2];
	struct subjects *subjects;
	struct capture *capture;
	struct loop *loop;
	struct serve *serve;
	struct watch signals;
	struct timer tick;
	uint64_t ticks;
	struct thread *threads;
	unsigned thread_count;
	const char **names;
	struct guard *guards;
	uint64_t started_unix;
	uint64_t last_unix; /* the last record before this run; 0: none */
	uint64_t most_open; /* connections, since memory was given back */
	char policy_error[512];
	bool ready;
};

/* ---- logs.c ---- */

/* Opens both logs and the keys of the pseudonyms; says what went wrong. */
int logs_open(struct daemon *d);

/* ---- notes.c: records of the daemon itself ---- */

void note_lifecycle(struct daemon *d, Lifecycle__Kind kind, const char *reason);
void note_policy(struct daemon *d, bool refused);
void note_heartbeat(struct daemon *d);
/* Services with fail: open pass unread from when we go (START, `from` 0) until we are back (END: since `from`, with the
 * connections that were made). No record if there is no such service. */
void note_bypass(struct daemon *d, Bypass__Kind kind, uint64_t from);
/* When the ledger in `dir` was last written to, 0: never. */
uint64_t note_last(const char *dir);

/* ---- report.c: status and metrics ---- */

/* The sum over all workers. */
void report_totals(const struct daemon *d, struct worker_stats *sum);
uint32_t report_keywords(const struct ruleset *rules);
/* Fills a reply whose parts are malloc'd. */
void report_status(struct daemon *d, StatusReply *s);
/* Adds the metrics in Prometheus text format; `arg` is the daemon. */
void report_metrics(void *arg, struct buf *out);
