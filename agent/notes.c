/* SPDX-License-Identifier: Apache-2.0 */
/* notes.c - records of the daemon itself: its life, its policy, its gaps. */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timex.h>
#include <time.h>

#include "base/log.h"
#include "base/own.h"
#include "daemon.h"
#include "report.h"

#define DURABLE_S 2

static void append(struct daemon *d, const Record *r, unsigned where)
{
	int err = where & LOG_LEDGER ? ledger_append(d->ledger, r, NULL) : 0;
	int control_err = where & LOG_CONTROL ? ledger_append(d->control, r, NULL) : 0;

	if (err || control_err)
		log_event(EVENT_RECORD_FAILED, "record: not written: error=%s",
		          strerrorname_np(err ? -err : -control_err));
}

/* What stands in both logs has a number that no other record has, so that a reader of both knows it again. Without one
 * (there is no randomness) it is told twice. */
void note_record(struct daemon *d, Record *r)
{
	unsigned where = record_logs(r->body_case);
	bool both = where == (LOG_LEDGER | LOG_CONTROL);

	if (both && getrandom(&r->twin, sizeof(r->twin), GRND_NONBLOCK) != sizeof(r->twin))
		r->twin = 0;
	append(d, r, where);
}

/* The writer's, and of who waits for it; the last of them frees it. */
struct durable {
	struct ledger_note note;
	sem_t told;
	int err;
	atomic_int users;
};

static void durable_put(struct durable *w)
{
	if (atomic_fetch_sub(&w->users, 1) != 1)
		return;
	sem_destroy(&w->told);
	free(w);
}

static void durable_done(struct ledger_note *n, uint64_t seq, int err)
{
	struct durable *w = container_of(n, struct durable, note);

	(void)seq;
	w->err = err;
	sem_post(&w->told);
	durable_put(w);
}

int note_durably(struct ledger *l, const Record *r)
{
	struct durable *w = calloc(1, sizeof(*w));
	struct timespec t;
	int err, got;

	if (!w)
		return -ENOMEM;
	w->note.done = durable_done;
	atomic_init(&w->users, 2);
	sem_init(&w->told, 0, 0);
	err = ledger_append(l, r, &w->note);
	if (err) {
		durable_put(w); /* the writer's: it was never told */
		durable_put(w);
		return err;
	}
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += DURABLE_S;
	do
		got = sem_clockwait(&w->told, CLOCK_MONOTONIC, &t);
	while (got && errno == EINTR);
	err = got ? -ETIMEDOUT : w->err;
	durable_put(w);
	return err;
}

int note_access(struct daemon *d, const Caller *caller, const Access *what)
{
	Access a = *what;
	Record r = RECORD__INIT;

	a.uid = caller->uid;
	a.groups = caller->groups;
	a.n_groups = caller->n_groups;
	a.pid = caller->pid;
	r.body_case = RECORD__BODY_ACCESS;
	r.access = &a;
	return note_durably(d->control, &r);
}

bool note_plain(const char *text, size_t most)
{
	size_t len = strlen(text);

	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return len <= most;
}

void note_lifecycle(struct daemon *d, Lifecycle__Kind kind, const char *reason)
{
	Lifecycle l = LIFECYCLE__INIT;
	Record r = RECORD__INIT;

	l.kind = kind;
	l.reason = (char *)reason;
	l.version = (char *)SLUICE_VERSION;
	r.body_case = RECORD__BODY_LIFECYCLE;
	r.lifecycle = &l;
	note_record(d, &r);
}

void note_policy(struct daemon *d, bool refused)
{
	PolicyChange p = POLICY_CHANGE__INIT;
	Record r = RECORD__INIT;

	p.digest.data = (uint8_t *)ruleset_digest(d->rules);
	p.digest.len = RULESET_DIGEST;
	p.rules = (uint32_t)ruleset_rules(d->rules);
	p.keywords = report_keywords(d->rules);
	p.refused = refused;
	r.body_case = RECORD__BODY_POLICY;
	r.policy = &p;
	note_record(d, &r);
}

void note_heartbeat(struct daemon *d)
{
	Heartbeat h = HEARTBEAT__INIT;
	Record r = RECORD__INIT;
	struct worker_stats sum;
	int clock_state;

	report_totals(d, &sum);
	h.exchanges = sum.exchanges;
	clock_state = adjtimex(&(struct timex){ .modes = 0 });
	h.clock_synchronised = clock_state >= 0 && clock_state != TIME_ERROR;
	r.body_case = RECORD__BODY_HEARTBEAT;
	r.heartbeat = &h;
	note_record(d, &r);
}

uint64_t note_last(const char *dir)
{
	struct ledger_reader *r = NULL;
	const Record *record;
	uint64_t at = 0;

	if (ledger_reader_open(&r, dir))
		return 0;
	if (!ledger_seek_last(r, 1))
		while (ledger_next(r, &record) == 1)
			at = record->time_unix_nano;
	ledger_reader_close(&r);
	return at;
}

/* The services that pass unread while we are gone; false if there is none. */
static bool open_services(const struct daemon *d, char *names, size_t room)
{
	size_t len = 0;

	names[0] = '\0';
	for (size_t i = 0; i < d->config->service_count; i++)
		if (d->config->services[i].fail_open && len < room)
			len += (size_t)snprintf(names + len, room - len, "%s%s", len ? "," : "",
			                        d->config->services[i].name);
	return len > 0;
}

void note_bypass(struct daemon *d, Bypass__Kind kind, uint64_t from)
{
	char names[1024];
	struct timespec now;
	Bypass b = BYPASS__INIT;
	Record r = RECORD__INIT;

	if (!open_services(d, names, sizeof(names)))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	b.kind = kind;
	b.service = names;
	b.reason = (char *)"fail_open";
	b.from_unix_nano = from;
	if (kind == BYPASS__KIND__END) {
		b.to_unix_nano = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
		d->open_ns = b.to_unix_nano > from ? b.to_unix_nano - from : 0;
		b.connections = d->open_passed;
		log_event(EVENT_FAIL_OPEN, "fail open: unread while the daemon was gone: services=%s connections=%llu",
		          names, (unsigned long long)b.connections);
	}
	r.body_case = RECORD__BODY_BYPASS;
	r.bypass = &b;
	note_record(d, &r);
}
