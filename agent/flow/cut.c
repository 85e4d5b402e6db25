/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cut.c - the end of an answer that was cut, in the order that the law and design P5 ask for: stop generating, write it
 * down, then tell.
 *
 *   STOPPING  the server was sent FIN; its own FIN confirms.
 *             After CONFIRM_WAIT the record is written with what is known.
 *   NOTING    the record is on its way to the disk. The client has heard nothing.
 *   ENDING    the refusal goes to the client.
 *             A server that has not closed by the stop time-out is reset.
 *
 * Until ENDING the client is not read: what it asks next is for the exchange after this one, if there will be one.
 */
#include "flow/private.h"

#include <errno.h>

#include "base/log.h"
#include "base/own.h"

#define CONFIRM_WAIT_NS 100000000u
#define LINGER_NS       2000000000u  /* for a client that has its refusal to close */
#define SLOW_CLIENT_NS  30000000000u /* for one that does not read it */

static void noted_done(struct ledger_note *n, uint64_t seq, int err);
static void noted(struct post *p);

static void confirm(struct flow *f, bool confirmed)
{
	struct worker *w = f->worker;

	if (f->stop.result != STOP_REQUESTED)
		return;
	f->stop.result = confirmed ? STOP_CONFIRMED : STOP_NOT_CONFIRMED;
	f->stop.latency_us = (loop_now(w->loop) - f->stop.at) / 1000;
	count(confirmed ? &w->stats.stop_confirmed : &w->stats.stop_not_confirmed, 1);
}

/* FIN is the gentlest word a server understands; the ladder's last is RST. */
static void stop_server(struct flow *f)
{
	const struct exchange_report *r = exchange_report(f->x);
	struct worker *w = f->worker;

	if (!exchange_begun(f->x) || f->connecting) {
		side_close(f, &f->server, END_RST); /* it was asked nothing */
		return;
	}
	count(&w->stats.stopped, 1);
	f->stop.at = loop_now(w->loop);
	f->stop.at_unix = unix_now();
	f->stop.result = STOP_REQUESTED;
	if (r->complete) {
		f->stop.method = "complete";
		confirm(f, true);
		return;
	}
	f->stop.method = "fin";
	if (f->server.eof)
		confirm(f, true);
	else
		side_fin(&f->server);
}

static void write_down(struct flow *f)
{
	const struct exchange_report *r = exchange_report(f->x);
	int err = 0;

	f->state = FLOW_NOTING;
	f->note_err = 0;
	f->note.done = noted_done;
	f->noted.run = noted;
	f->note_out = true;
	f->noting_since = exact_now();
	if (r->verdict == VERDICT_BLOCKED && r->finding_count) {
		f->findings_noted = true;
		err = note_findings(f, &f->note);
	} else {
		f->exchange_noted = true;
		err = note_exchange(f, &f->note);
	}
	if (err) {
		f->note_out = false;
		f->note_err = err;
		cut_step(f);
	}
}

void cut_begin(struct flow *f)
{
	loop_timer_stop(f->worker->loop, &f->timer);
	ask_leave(f);
	f->state = FLOW_STOPPING;
	f->up.cleared = 0; /* nothing more is asked of the server */
	stop_server(f);
	if (f->server.watch.fd >= 0 && f->stop.result == STOP_REQUESTED) {
		loop_timer(f->worker->loop, &f->timer, CONFIRM_WAIT_NS);
		cut_step(f);
	} else {
		write_down(f);
	}
}

/* In the writer's thread. */
static void noted_done(struct ledger_note *n, uint64_t seq, int err)
{
	struct flow *f = container_of(n, struct flow, note);

	(void)seq;
	f->note_err = err;
	loop_post(f->worker->loop, &f->noted);
}

static void conclude(struct flow *f)
{
	struct worker *w = f->worker;
	enum conclusion how;

	if (f->note_err)
		exchange_except(f->x, EXCEPTION_RECORD_NOT_DURABLE, NULL);
	how = exchange_conclude(f->x, &f->down, f->note_err != 0);
	f->state = FLOW_ENDING;
	f->end_kind = how == CONCLUDE_RESET ? END_RST : END_FIN;
	if (f->note_err)
		log_event(EVENT_RECORD_FAILED, "record: a refusal is cut without words: service=%s error=%s",
		          w->o.services[f->service], strerrorname_np(-f->note_err));
	if (how == CONCLUDE_KEEP && f->server.watch.fd >= 0 && !f->server.eof) {
		/* The server's answer was complete, the client has one, too: both may go on. */
		f->state = FLOW_OPEN;
		f->end_kind = END_RST;
		f->up.cleared = f->up.parsed; /* of a request that was answered before it was read to its end */
		flow_exchange_over(f);
		flow_step(f);
		return;
	}
	loop_timer(w->loop, &f->timer,
	           f->stop.result == STOP_REQUESTED ? w->o.stop_timeout_ms * 1000000ull : LINGER_NS);
	cut_step(f);
}

static void noted(struct post *p)
{
	struct flow *f = container_of(p, struct flow, noted);
	struct worker *w = f->worker;

	f->note_out = false;
	histogram_add(&w->stats.record_wait, histogram_times, exact_now() - f->noting_since);
	if (f->state == FLOW_NOTING)
		conclude(f);
	flow_reap(w);
}

/* The client has all we had to say, or is gone; the server is stopped, or was not to be. */
static void end_if_done(struct flow *f)
{
	bool told = f->client.watch.fd < 0 || !f->down.cleared;

	if (!told)
		return;
	if (f->client.watch.fd >= 0 && f->end_kind == END_RST)
		side_close(f, &f->client, END_RST);
	else if (f->client.watch.fd >= 0)
		side_fin(&f->client);
	if (f->stop.result == STOP_REQUESTED)
		return;
	side_close(f, &f->server, END_RST);
	if (f->client.watch.fd < 0 || f->client.eof) {
		flow_end(f, f->end_kind);
	} else if (!f->lingering) {
		/* Closing now would reset what it has not read yet. */
		f->lingering = true;
		loop_timer(f->worker->loop, &f->timer, LINGER_NS);
	}
}

/* What the client still sends is of no use. */
static void drain_client(struct flow *f)
{
	struct side *c = &f->client;

	for (int i = 0; c->watch.fd >= 0 && c->readable && i < READS_A_TURN; i++) {
		ssize_t n = recv(c->watch.fd, f->worker->scratch, SCRATCH_BYTES, 0);

		if (n > 0)
			continue;
		c->readable = n < 0 && errno == EINTR;
		if (!n || (errno != EAGAIN && errno != EINTR)) {
			c->eof = true;
			c->reset |= n < 0;
		}
	}
	if (c->reset)
		side_close(f, c, END_RST);
	if (c->readable)
		loop_again(f->worker->loop, &c->watch);
}

void cut_step(struct flow *f)
{
	if (f->stop.result != STOP_CONFIRMED || f->state == FLOW_ENDING)
		flow_drain_server(f);
	if (f->server.eof)
		confirm(f, true);
	if (f->client.watch.fd >= 0 && f->state != FLOW_ENDING && !flow_send_down(f))
		side_close(f, &f->client, END_RST);
	if (f->state == FLOW_STOPPING && f->stop.result != STOP_REQUESTED) {
		loop_timer_stop(f->worker->loop, &f->timer);
		write_down(f);
	} else if (f->state == FLOW_NOTING && !f->note_out) {
		conclude(f);
	} else if (f->state == FLOW_ENDING) {
		drain_client(f);
		if (f->client.watch.fd >= 0 && !flow_send_down(f))
			side_close(f, &f->client, END_RST);
		end_if_done(f);
	}
}

void cut_timer(struct flow *f)
{
	switch (f->state) {
	case FLOW_STOPPING: /* not confirmed yet: the record says so, and asking goes on */
		write_down(f);
		break;
	case FLOW_ENDING:
		if (f->stop.result == STOP_REQUESTED) {
			f->stop.method = "rst";
			confirm(f, false);
			side_close(f, &f->server, END_RST);
			loop_timer(f->worker->loop, &f->timer, LINGER_NS);
			cut_step(f);
		} else if (f->down.cleared && !f->patience++) {
			loop_timer(f->worker->loop, &f->timer, SLOW_CLIENT_NS);
		} else {
			flow_end(f, f->down.cleared ? END_RST : f->end_kind);
		}
		break;
	default:
		break;
	}
}
