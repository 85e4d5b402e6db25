/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass.c - a connection that is no HTTP any more, where the service is configured to let that pass.
 *
 * Bytes go both ways as they come: nobody reads them. They are counted, and the record says from when until when.
 */
#include "flow/private.h"

#include <errno.h>

#include "base/log.h"

#define HALF_CLOSED_NS 60000000000u

/* One direction. False: the connection is broken. */
static bool pass_one(struct flow *f, struct side *from, struct side *to, struct lane *l, size_t high, uint64_t *passed)
{
	uint64_t came = 0;

	for (int i = 0; i < READS_A_TURN && from->readable && !from->eof && buf_len(&l->buf) < high; i++) {
		ssize_t n = side_read(f->worker, from, l);

		if (n == -ENOBUFS)
			break;
		came += (uint64_t)n;
	}
	*passed += came;
	count(&f->worker->stats.upgrade_bytes, came);
	l->parsed = l->cleared = buf_len(&l->buf);
	if (from->reset || !side_write(to, l))
		return false;
	if (from->eof && !l->cleared)
		side_fin(to);
	if (from->readable && !from->eof && buf_len(&l->buf) < high)
		loop_again(f->worker->loop, &from->watch);
	return true;
}

void pass_step(struct flow *f)
{
	if (!pass_one(f, &f->client, &f->server, &f->up, UP_HIGH, &f->passed_up) ||
	    !pass_one(f, &f->server, &f->client, &f->down, DOWN_HIGH, &f->passed_down)) {
		flow_end(f, END_RST);
		return;
	}
	if (f->client.fin_sent && f->server.fin_sent) {
		flow_end(f, END_FIN);
	} else if ((f->client.fin_sent || f->server.fin_sent) && !f->lingering) {
		f->lingering = true;
		loop_timer(f->worker->loop, &f->timer, HALF_CLOSED_NS);
	}
}

void pass_begin(struct flow *f)
{
	struct worker *w = f->worker;

	loop_timer_stop(w->loop, &f->timer);
	f->passing_since = unix_now();
	count(&w->stats.upgrades, 1);
	if (note_upgrade(f, false)) {
		/* What is not on record does not pass. */
		exchange_except(f->x, EXCEPTION_RECORD_NOT_DURABLE, NULL);
		flow_end(f, END_RST);
		return;
	}
	flow_exchange_over(f);
	f->state = FLOW_PASSING;
	/* Bytes that came behind the heads are the first of those that pass. */
	f->passed_up = buf_len(&f->up.buf) - f->up.cleared;
	f->passed_down = buf_len(&f->down.buf) - f->down.cleared;
	count(&w->stats.upgrade_bytes, f->passed_up + f->passed_down);
	log_event(EVENT_UPGRADE, "upgrade: a connection passes unread: service=%s", w->o.services[f->service]);
	pass_step(f);
}
