/* SPDX-License-Identifier: Apache-2.0 */
/*
 * windows.c - a minute of a service in one record: how many answers, what became of them, what was found in them.
 *
 * The control log keeps them for years, when the ledger's record of each answer is long gone. A minute in which nothing
 * ended has none: that the host was up then, its Heartbeat says.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "report.h"

#define FOUND_MOST 256 /* rows: a record has its bound */

struct found {
	Window__Found row[FOUND_MOST], *list[FOUND_MOST];
	size_t n;
	uint64_t left_out;
	const char *service;
};

static const Verdict verdicts[VERDICT_COUNT] = {
	[VERDICT_CLEARED] = VERDICT__CLEARED, [VERDICT_SHADOWED] = VERDICT__SHADOWED,
	[VERDICT_FLAGGED] = VERDICT__FLAGGED, [VERDICT_REDACTED] = VERDICT__REDACTED,
	[VERDICT_BLOCKED] = VERDICT__BLOCKED, [VERDICT_EXCEPTION] = VERDICT__EXCEPTION,
};

static bool find(void *arg, const struct finding_count *row)
{
	struct found *f = arg;
	Window__Found *to = &f->row[f->n];

	if (strcmp(row->service, f->service) != 0)
		return false;
	if (f->n == FOUND_MOST) {
		f->left_out += row->count;
		return true;
	}
	*to = (Window__Found)WINDOW__FOUND__INIT;
	/* The names are the tally's, and stay as long as it. */
	to->rule_id = (char *)row->rule;
	to->risk_id = (char *)row->risk;
	to->action = (char *)row->action;
	to->count = row->count;
	f->list[f->n++] = to;
	return true;
}

static void note_one(struct daemon *d, size_t service, uint64_t from, uint64_t to, struct found *f)
{
	Window__Ended ended[VERDICT_COUNT], *ends[VERDICT_COUNT];
	Window__Excepted excepted[EXCEPTION_COUNT], *exceptions[EXCEPTION_COUNT];
	struct service_stats now, *before = &d->windows.before[service];
	Window w = WINDOW__INIT;
	Record r = RECORD__INIT;

	report_service(d, service, &now);
	for (size_t i = 0; i < VERDICT_COUNT; i++) {
		ended[i] = (Window__Ended)WINDOW__ENDED__INIT;
		ended[i].verdict = verdicts[i];
		ended[i].count = now.verdicts[i] - before->verdicts[i];
		w.exchanges += ended[i].count;
		ends[w.n_verdicts] = &ended[i];
		w.n_verdicts += ended[i].count > 0;
	}
	for (size_t i = 0; i < EXCEPTION_COUNT; i++) {
		excepted[i] = (Window__Excepted)WINDOW__EXCEPTED__INIT;
		excepted[i].exception = (char *)exception_table[i].name;
		excepted[i].count = i == EXCEPTION_NONE ? 0 : now.exceptions[i] - before->exceptions[i];
		exceptions[w.n_exceptions] = &excepted[i];
		w.n_exceptions += excepted[i].count > 0;
	}
	f->service = d->names[service];
	f->n = f->left_out = 0;
	tally_take(d->tally, find, f);
	*before = now;
	if (!w.exchanges && !f->n)
		return;
	w.from_unix_nano = from;
	w.to_unix_nano = to;
	w.service = (char *)d->names[service];
	w.verdicts = ends;
	w.exceptions = exceptions;
	w.findings = f->list;
	w.n_findings = f->n;
	w.findings_left_out = f->left_out;
	r.body_case = RECORD__BODY_WINDOW;
	r.window = &w;
	note_record(d, &r);
}

void windows_note(struct daemon *d)
{
	owned(own_free) struct found *f = malloc(sizeof(*f));
	struct timespec t;
	uint64_t now, from = d->windows.until;

	if (!d->windows.before)
		d->windows.before = calloc(d->config->service_count, sizeof(*d->windows.before));
	/* Without memory it is told with the next minute. */
	if (!f || !d->windows.before)
		return;
	clock_gettime(CLOCK_REALTIME, &t);
	now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	for (size_t i = 0; i < d->config->service_count; i++)
		note_one(d, i, from ? from : d->started_unix, now, f);
	d->windows.until = now;
}
