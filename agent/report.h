/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - status and metrics, as the two processes know them. */
#pragma once

#include "daemon.h"

/* The keeper's part: what is guarded and what is not. The caller frees it with guard_status_drop(); NULL: no memory. */
GuardStatus *report_guard(struct daemon *d);

static inline void guard_status_drop(GuardStatus **at)
{
	if (*at)
		guard_status__free_unpacked(*at, NULL);
}

/* The sum over all loops. */
void report_totals(const struct daemon *d, struct worker_stats *sum);
/* The same of one service. */
void report_service(const struct daemon *d, size_t service, struct service_stats *sum);
uint32_t report_keywords(const struct ruleset *rules);
/* Fills a reply whose parts are malloc'd; asks the keeper for its part. */
void report_status(struct daemon *d, StatusReply *s);
/* What the keeper says is guarded; the caller frees it with guard_status_drop(). NULL: it does not say, and that is
 * logged. */
GuardStatus *report_ask_guard(struct daemon *d);

/* ---- witnessed.c ---- */

/* Looks whether witnesses have cosigned the record since. Now and then. */
void witnessed_look(struct daemon *d);
/* Adds the ages of signatures, ours and theirs. */
void witnessed_metrics(const struct daemon *d, struct buf *out);

/* ---- metrics.c ---- */

/* Adds the metrics in Prometheus text format; `arg` is the daemon. */
void report_metrics(void *arg, struct buf *out);
/* Whether answers are read and recorded. Adds what is wrong, a line each, or "ok". */
bool report_health(void *arg, struct buf *out);
