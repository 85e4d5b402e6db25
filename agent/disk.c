/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.c - the disk of the record fills up or fails: what the operator wants done, in auditd's words.
 *
 * What is withheld stays withheld whatever the disk does; here it is only decided whether anybody is still served, and
 * whether records still take space.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/own.h"
#include "daemon.h"

enum { FINE, LOW, VERY_LOW, FULL, BROKEN };

static unsigned state_of(const struct config_disk *c, struct ledger *l, uint64_t *space)
{
	struct ledger_stats s;

	ledger_stats(l, &s);
	if (s.space_left < *space)
		*space = s.space_left;
	return s.failed                             ? BROKEN
	       : s.full                             ? FULL
	       : s.space_left < c->admin_space_left ? VERY_LOW
	       : s.space_left < c->space_left       ? LOW
	                                            : FINE;
}

void disk_look(struct daemon *d)
{
	const struct config_disk *c = &d->config->disk;
	const struct {
		const char *what;
		enum disk_action action;
	} table[] = {
		[FINE] = { "there is space again", DISK_SYSLOG },
		[LOW] = { "space_left is reached", c->space_left_action },
		[VERY_LOW] = { "admin_space_left is reached", c->admin_space_left_action },
		[FULL] = { "the disk is full", c->disk_full_action },
		[BROKEN] = { "the disk refuses the record", c->disk_error_action },
	};
	uint64_t space = UINT64_MAX;
	unsigned state = state_of(c, d->ledger, &space), other = state_of(c, d->control, &space);
	enum disk_action was = table[d->disk_state].action, now;

	state = state > other ? state : other;
	if (state == d->disk_state)
		return;
	now = table[state].action;
	if (now != DISK_IGNORE || state == FULL || state == BROKEN)
		log_event(state > VERY_LOW ? EVENT_RECORD_FAILED
		          : state == FINE  ? EVENT_RECORD_BACK
		                           : EVENT_RECORD_SPACE,
		          "record: %s: space_left=%llu action=%s", table[state].what, (unsigned long long)space,
		          disk_action_names[now]);
	d->disk_state = state;
	if ((was == DISK_STOP_SERVING) != (now == DISK_STOP_SERVING)) {
		bool stop = now == DISK_STOP_SERVING;

		atomic_store(&d->stopped, stop);
		note_lifecycle(d, stop ? LIFECYCLE__KIND__SERVICE_SUSPENDED : LIFECYCLE__KIND__SERVICE_RESUMED,
		               table[state].what);
	}
	ledger_suspend(d->ledger, now == DISK_SUSPEND);
	ledger_suspend(d->control, now == DISK_SUSPEND);
}
