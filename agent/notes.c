/* SPDX-License-Identifier: Apache-2.0 */
/* notes.c - records of the daemon itself: its life, its policy, its gaps. */
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "daemon.h"

static void note(struct daemon *d, Record *r)
{
	int err = ledger_append(d->ledger, r, NULL);

	if (err)
		log_error("record: not written: error=%s", strerrorname_np(-err));
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
	note(d, &r);
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
	note(d, &r);
}

void note_heartbeat(struct daemon *d)
{
	Heartbeat h = HEARTBEAT__INIT;
	Record r = RECORD__INIT;
	struct worker_stats sum;

	report_totals(d, &sum);
	h.exchanges = sum.exchanges;
	r.body_case = RECORD__BODY_HEARTBEAT;
	r.heartbeat = &h;
	note(d, &r);
}

void note_bypass(struct daemon *d, uint64_t passed)
{
	struct timespec now;
	Bypass b = BYPASS__INIT;
	Record r = RECORD__INIT;

	clock_gettime(CLOCK_REALTIME, &now);
	b.kind = BYPASS__KIND__END;
	b.reason = (char *)"fail_open";
	b.connections = passed;
	b.to_unix_nano = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	r.body_case = RECORD__BODY_BYPASS;
	r.bypass = &b;
	note(d, &r);
	log_warn("fail open: connections passed unread while the daemon was gone: count=%llu",
	         (unsigned long long)passed);
}
