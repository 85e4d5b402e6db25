/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.c - one connection: the client's socket, the server's, and the pump between them.
 *
 * Each end must see what it would have seen without us: a half-close is passed on when the bytes before it are, a reset
 * is passed on as a reset, a slow reader slows the writer, a server that refuses makes the client see a refusal.
 */
#include "flow/private.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/own.h"

#define HALF_CLOSED_NS 60000000000u

/* ---- sides ---- */

void side_fin(struct side *s)
{
	if (s->fin_sent || s->watch.fd < 0)
		return;
	shutdown(s->watch.fd, SHUT_WR);
	s->fin_sent = true;
}

void side_close(struct flow *f, struct side *s, enum end_kind how)
{
	struct linger hard = { .l_onoff = 1 };

	if (s->watch.fd < 0)
		return;
	loop_del(f->worker->loop, &s->watch);
	if (how == END_RST)
		setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(s->watch.fd);
	s->watch.fd = -1;
	s->readable = s->writable = false;
}

static void side_event(struct side *s, uint32_t events)
{
	if (s->eof)
		s->reset |= (events & EPOLLERR) != 0; /* nothing is left to be read in front of it */
	else if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->hup = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		s->writable = true;
}

/* Where one read goes: into the lane if it has much room, as it has once it is full of a body; else into the scratch,
 * from which few bytes are copied. readv(2) into both costs more than the copy. */
static uint8_t *place_to_read(struct worker *w, struct lane *l, size_t space, size_t *most)
{
	size_t room = l->buf.data ? l->buf.room - l->buf.end : 0;
	bool much = room >= SCRATCH_BYTES / 4 && room <= space;

	*most = much ? room : space;
	if (*most > SCRATCH_BYTES)
		*most = SCRATCH_BYTES;
	return much ? l->buf.data + l->buf.end : w->scratch;
}

/* Reads once. Returns bytes, 0 when there was nothing or the end (s->eof, s->reset tell), -ENOBUFS when the lane can
 * take no more. */
ssize_t side_read(struct worker *w, struct side *s, struct lane *l)
{
	size_t space = l->buf.cap - buf_len(&l->buf), most;
	uint8_t *to = place_to_read(w, l, space, &most);
	ssize_t n;

	if (!space)
		return -ENOBUFS;
	n = recv(s->watch.fd, to, most, 0);
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR) {
			s->readable = errno == EINTR;
			return 0;
		}
		s->reset = s->eof = true;
		s->readable = false;
		return 0;
	}
	if (!n) {
		s->eof = true;
		s->readable = false;
		return 0;
	}
	/* A short read has emptied the socket, unless its end is still to be read. */
	if ((size_t)n < most && !s->hup)
		s->readable = false;
	if (to != w->scratch)
		buf_added(&l->buf, (size_t)n);
	else if (buf_add(&l->buf, slice_of(w->scratch, (size_t)n)))
		s->reset = s->eof = true; /* out of memory: bytes are lost, the connection is not to go on */
	return n;
}

/* Sends what is cleared. False: the peer is gone. */
bool side_write(struct side *s, struct lane *l)
{
	while (s->writable && l->cleared) {
		struct slice out = lane_sendable(l);
		ssize_t n = send(s->watch.fd, out.at, out.len, MSG_NOSIGNAL);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			s->writable = false;
			return errno == EAGAIN;
		}
		if ((size_t)n < out.len)
			s->writable = false;
		lane_sent(l, (size_t)n);
	}
	return true;
}

bool flow_send_down(struct flow *f)
{
	return f->client.watch.fd >= 0 && side_write(&f->client, &f->down);
}

void flow_drain_server(struct flow *f)
{
	struct side *s = &f->server;

	for (int i = 0; s->watch.fd >= 0 && s->readable && i < READS_A_TURN; i++) {
		ssize_t n = recv(s->watch.fd, f->worker->scratch, SCRATCH_BYTES, 0);

		if (n > 0) {
			f->stop.bytes_after += (uint64_t)n;
			if (f->x)
				exchange_discard(f->x, (uint64_t)n);
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else {
			s->readable = false;
			if (!n || errno != EAGAIN)
				s->eof = true;
		}
	}
	if (s->readable)
		loop_again(f->worker->loop, &s->watch);
}

/* ---- life ---- */

static void count_stream(struct flow *f, bool on)
{
	if (f->streaming != on)
		count(&f->worker->stats.streams, on ? 1 : (uint64_t)-1);
	f->streaming = on;
}

void flow_kill(struct flow *f)
{
	struct worker *w = f->worker;

	if (f->state == FLOW_DEAD)
		return;
	f->state = FLOW_DEAD;
	count_stream(f, false);
	memory_charge(f);
	side_close(f, &f->client, f->end_kind);
	side_close(f, &f->server, f->end_kind);
	loop_timer_stop(w->loop, &f->timer);
	ask_leave(f);
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
	f->next = w->dead;
	w->dead = f;
	count(&w->stats.open, (uint64_t)-1);
}

void flow_reap(struct worker *w)
{
	struct flow **at = &w->dead;

	while (*at) {
		struct flow *f = *at;

		if (f->note_out) { /* the writer will still tell it */
			at = &f->next;
			continue;
		}
		*at = f->next;
		exchange_free(&f->x);
		lane_free(&f->up);
		lane_free(&f->down);
		free(f);
	}
}

void flow_exchange_over(struct flow *f)
{
	struct worker *w = f->worker;
	const struct exchange_report *r = exchange_report(f->x);

	ask_leave(f);
	if (!coverage_holds(&r->coverage)) {
		exchange_except(f->x, EXCEPTION_COVERAGE, "at the end");
		r = exchange_report(f->x);
	}
	if (r->exception == EXCEPTION_COVERAGE) {
		count(&w->stats.coverage_mismatches, 1);
		log_event(EVENT_COVERAGE,
		          "coverage: bytes of an answer do not add up: service=%s in=%llu scanned=%llu structural=%llu "
		          "withheld=%llu",
		          w->o.services[f->service], (unsigned long long)r->coverage.in,
		          (unsigned long long)r->coverage.scanned, (unsigned long long)r->coverage.structural,
		          (unsigned long long)r->coverage.withheld);
	}
	count(&w->stats.exchanges, 1);
	count(&w->stats.events, r->events);
	count(&w->stats.bytes_in, r->coverage.in);
	count(&w->stats.bytes_released, r->coverage.released);
	count(&w->stats.verdicts[r->verdict], 1);
	count(&w->stats.exceptions[r->exception], 1);
	count(&w->services[f->service].verdicts[r->verdict], 1);
	count(&w->services[f->service].exceptions[r->exception], 1);
	if (r->streamed) {
		histogram_add(&w->stats.hold_time, histogram_times, f->max_hold_ns);
		histogram_add(&w->stats.hold_chars, histogram_characters, r->max_hold);
	}
	if (!f->findings_noted)
		note_findings(f, NULL);
	if (!f->exchange_noted && (w->o.record_all || r->verdict != VERDICT_CLEARED))
		note_exchange(f, NULL);
	f->exchange_noted = f->findings_noted = false;
	exchange_free(&f->x);
	count_stream(f, false);
	f->stop = (struct stop){};
	f->held_since = f->max_hold_ns = 0;
}

void flow_end(struct flow *f, enum end_kind how)
{
	f->end_kind = how;
	if (f->state == FLOW_PASSING)
		note_upgrade(f, true);
	if (f->x &&
	    (f->state == FLOW_ENDING || exchange_begun(f->x) || exchange_report(f->x)->exception != EXCEPTION_NONE))
		flow_exchange_over(f);
	flow_kill(f);
}

/* ---- the pump ---- */

/* Whether the operator wants nobody served now: the record cannot be kept, or soon cannot. Answers under way are
 * ended as their record allows. */
static bool is_stopped(const struct worker *w)
{
	return (w->o.stopped && atomic_load_explicit(w->o.stopped, memory_order_relaxed)) ||
	       (w->o.record_closed && !ledger_is_sound(w->o.ledger));
}

static int begin_exchange(struct flow *f)
{
	struct exchange_limits limits = f->worker->o.limits;

	limits.upgrade_pass = f->worker->o.upgrade_pass && f->worker->o.upgrade_pass[f->service];
	limits.service = f->worker->o.services[f->service];
	limits.now = (int64_t)(unix_now() / 1000000000u);
	return exchange_new(&f->x, f->worker->rules, &limits);
}

static bool pump_up(struct flow *f)
{
	struct side *c = &f->client, *s = &f->server;
	bool moved = false;

	for (int i = 0; i < READS_A_TURN && c->readable && !c->eof && f->up.cleared < UP_HIGH; i++) {
		ssize_t n = side_read(f->worker, c, &f->up);

		if (n == -ENOBUFS)
			break; /* pipelined requests wait for their turn, and the client with them */
		moved |= n > 0 || c->eof;
	}
	/* Bytes behind the last answer were not asked for: they must not become the next request's. */
	if (!f->x && !s->eof && buf_len(&f->up.buf) > f->up.parsed && buf_len(&f->down.buf) == f->down.parsed) {
		if (is_stopped(f->worker) || begin_exchange(f)) {
			flow_end(f, END_RST);
			return false;
		}
		f->started_unix = unix_now();
		f->moved_at = loop_now(f->worker->loop);
		note_new_id(f);
		if (memory_is_short(f->worker)) {
			exchange_except(f->x, EXCEPTION_MEMORY, "of all connections together");
			cut_begin(f);
			return false;
		}
		if (!f->lingering)
			loop_timer(f->worker->loop, &f->timer, f->worker->o.head_timeout_ms * 1000000ull);
	}
	if (f->x && !exchange_asked(f->x)) {
		if (exchange_request(f->x, &f->up, c->eof) == ORDER_CUT) {
			cut_begin(f);
			return false;
		}
		if (exchange_begun(f->x) && !f->lingering)
			loop_timer_stop(f->worker->loop, &f->timer);
	}
	if (!f->connecting && !side_write(s, &f->up)) {
		/* What broke it is to be read, behind what the server may have said before. */
		s->readable = s->hup = !s->eof;
		s->reset |= s->eof;
	}
	/* Behind the last byte, not in front of a pipelined request that waits for its turn. */
	if (c->eof && !c->reset && !buf_len(&f->up.buf) && !f->connecting)
		side_fin(s);
	return moved;
}

/* How long text waited, on the clock of the loop. */
static void watch_hold(struct flow *f)
{
	uint64_t now = loop_now(f->worker->loop);
	bool held = f->x && lane_held(&f->down) && exchange_report(f->x)->streamed;

	if (held && !f->held_since) {
		f->held_since = now;
	} else if (!held && f->held_since) {
		if (now - f->held_since > f->max_hold_ns)
			f->max_hold_ns = now - f->held_since;
		f->held_since = 0;
	}
}

/* The answer is held for an opinion, and its lane has as much as it reads ahead. */
static bool is_full(const struct flow *f)
{
	return f->x && buf_len(&f->down.buf) > f->down.parsed && exchange_waits(f->x);
}

/* What came, or was decided, is read; questions that come up are asked. */
static enum order read_answer(struct flow *f)
{
	enum order order;

	do
		order = exchange_answer(f->x, &f->down, f->server.eof);
	while (order != ORDER_CUT && ask_questions(f, false));
	return order;
}

static bool pump_down(struct flow *f)
{
	struct side *s = &f->server;
	bool moved = false;
	uint64_t sent;

	for (int i = 0; i < READS_A_TURN && s->readable && !s->eof && f->down.cleared < DOWN_HIGH && !is_full(f); i++) {
		ssize_t n = side_read(f->worker, s, &f->down);

		if (n == -ENOBUFS) {
			/* The lane has room for whatever an exchange may hold and a turn may bring. */
			if (!f->x) {
				flow_end(f, END_RST);
				return false;
			}
			exchange_except(f->x, EXCEPTION_MEMORY, NULL);
			cut_begin(f);
			return false;
		}
		moved |= n > 0 || s->eof;
	}
	if (!f->x && buf_len(&f->down.buf) > f->down.parsed) {
		if (begin_exchange(f)) {
			flow_end(f, END_RST);
			return false;
		}
		f->started_unix = unix_now();
		note_new_id(f);
	}
	if (f->x && (buf_len(&f->down.buf) > f->down.parsed || s->eof || f->decided))
		switch (read_answer(f)) {
		case ORDER_CUT:
			cut_begin(f);
			return false;
		case ORDER_PASS:
			pass_begin(f);
			return false;
		default:
			break;
		}
	watch_hold(f);
	if (f->x)
		count_stream(f, exchange_streamed(f->x));
	sent = f->down.base;
	if (!flow_send_down(f)) {
		flow_end(f, END_RST);
		return false;
	}
	if (f->down.base == sent)
		return moved;
	f->moved_at = loop_now(f->worker->loop);
	histogram_add(&f->worker->stats.added, histogram_times, exact_now() - loop_now(f->worker->loop));
	return moved;
}

/* The ends of the connection: what is broken or closed on one side happens on the other. */
static void pump_ends(struct flow *f)
{
	struct side *c = &f->client, *s = &f->server;

	if (c->reset) {
		flow_end(f, END_RST);
		return;
	}
	if (!s->eof || f->down.cleared || (f->x && (f->asked_count || exchange_gathers(f->x))))
		return;
	/* A server that has closed answers a further request with a reset. */
	if (s->reset || (!f->x && buf_len(&f->up.buf))) {
		flow_end(f, END_RST);
		return;
	}
	side_fin(c);
	if (c->eof) {
		flow_end(f, END_FIN);
	} else if (!f->lingering) {
		/* As long as a kernel keeps a closed connection whose peer does not close. */
		f->lingering = true;
		loop_timer(f->worker->loop, &f->timer, HALF_CLOSED_NS);
	}
}

static void pump(struct flow *f)
{
	bool moved, next;

	do {
		next = false;
		moved = pump_up(f);
		if (f->state != FLOW_OPEN)
			return;
		moved |= pump_down(f);
		if (f->state != FLOW_OPEN)
			return;
		if (f->x && exchange_asked(f->x) && exchange_answered(f->x)) {
			flow_exchange_over(f);
			/* A request that waited in the lane has nobody else to come back for it. */
			next = buf_len(&f->up.buf) > f->up.parsed;
		}
	} while (next || (moved && !f->client.readable && !f->server.readable));
	pump_ends(f);
	if (f->state != FLOW_OPEN || (f->worker->passing >= 0 && drain_pass(f)))
		return;
	/* More is there, and it had its share: the others first. */
	if (f->client.readable && !f->client.eof && f->up.cleared < UP_HIGH && buf_len(&f->up.buf) < f->up.buf.cap)
		loop_again(f->worker->loop, &f->client.watch);
	if (f->server.readable && !f->server.eof && f->down.cleared < DOWN_HIGH && !is_full(f))
		loop_again(f->worker->loop, &f->server.watch);
}

/* It has grown where there is no more memory for it. */
static void give_up(struct flow *f)
{
	if (!f->x) {
		flow_end(f, END_RST);
		return;
	}
	exchange_except(f->x, EXCEPTION_MEMORY, "of all connections together");
	cut_begin(f);
}

void flow_step(struct flow *f)
{
	switch (f->state) {
	case FLOW_OPEN:
		pump(f);
		break;
	case FLOW_STOPPING:
	case FLOW_NOTING:
	case FLOW_ENDING:
		cut_step(f);
		break;
	case FLOW_PASSING:
		pass_step(f);
		break;
	case FLOW_DEAD:
		break;
	}
	if (!memory_charge(f) && f->state == FLOW_OPEN)
		give_up(f);
	if (memory_is_short(f->worker))
		memory_sweep(f->worker);
}

/* ---- events ---- */

static void client_ready(struct watch *watch, uint32_t events)
{
	struct flow *f = container_of(watch, struct flow, client.watch);
	struct worker *w = f->worker;

	side_event(&f->client, events);
	flow_step(f);
	flow_reap(w);
}

/* connect(2) has come to its end. */
static bool connected(struct flow *f, uint32_t events)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return false;
	getsockopt(f->server.watch.fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		count(&f->worker->stats.dial_failed, 1);
		log_debug("dial: service=%s error=%s", f->worker->o.services[f->service], strerrorname_np(err));
		f->server.eof = true; /* it was the server who was not there */
		flow_end(f, END_RST); /* what the client would have got from a server that is not there */
		return false;
	}
	f->connecting = false;
	return true;
}

static void server_ready(struct watch *watch, uint32_t events)
{
	struct flow *f = container_of(watch, struct flow, server.watch);
	struct worker *w = f->worker;

	if (!f->connecting || connected(f, events)) {
		side_event(&f->server, events);
		flow_step(f);
	}
	flow_reap(w);
}

static void timer_due(struct timer *t)
{
	struct flow *f = container_of(t, struct flow, timer);
	struct worker *w = f->worker;

	if (f->state == FLOW_OPEN && f->x && !exchange_begun(f->x)) {
		exchange_except(f->x, EXCEPTION_REQUEST_TIMEOUT, NULL);
		cut_begin(f);
	} else if (f->state == FLOW_OPEN || f->state == FLOW_PASSING) {
		flow_end(f, END_FIN);
	} else {
		cut_timer(f);
	}
	flow_reap(w);
}

/* In the worker's list, and in no loop yet. NULL: no memory. */
static struct flow *flow_new(struct worker *w, int client)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	count(&w->stats.open, 1);
	f->worker = w;
	f->link = &w->flows;
	f->next = w->flows;
	if (f->next)
		f->next->link = &f->next;
	w->flows = f;
	f->client.watch = (struct watch){ .ready = client_ready, .fd = client };
	f->server.watch = (struct watch){ .ready = server_ready, .fd = -1 };
	f->timer.due = timer_due;
	f->gather.due = ask_gather_due;
	f->up = LANE(HTTP1_HEAD_MAX + UP_HIGH);
	f->down = LANE(w->held_max + HTTP1_HEAD_MAX + DOWN_HIGH + READS_A_TURN * SCRATCH_BYTES);
	f->end_kind = END_RST;
	return f;
}

static void flow_begin(struct flow *f)
{
	struct worker *w = f->worker;

	if (loop_add(w->loop, &f->client.watch) || loop_add(w->loop, &f->server.watch)) {
		log_error("epoll: error=%s", strerrorname_np(errno));
		flow_kill(f);
	}
}

void flow_adopt(struct worker *w, int client, int server)
{
	struct flow *f = flow_new(w, client);
	int err;

	if (!f) {
		close(client);
		close(server);
		return;
	}
	f->server.watch.fd = server;
	err = capture_ends(w->o.capture, client, &f->ends, &f->service);
	if (err) {
		/* The service is not guarded any more: it was idle, and may close as a server may. */
		log_debug("adopt: error=%s", strerrorname_np(-err));
		f->end_kind = END_FIN;
		flow_kill(f);
		return;
	}
	f->client.writable = f->server.writable = true;
	flow_begin(f);
}

void flow_accept(struct worker *w, int client)
{
	struct flow *f = flow_new(w, client);
	int err, fd = -1;

	if (!f) {
		close(client);
		return;
	}
	count(&w->stats.accepted, 1);
	f->connecting = true;
	if (is_stopped(w)) {
		count(&w->stats.refused, 1);
		side_close(f, &f->client, END_RST);
		flow_kill(f);
		return;
	}
	err = capture_dial(w->o.capture, client, &fd, &f->ends, &f->service);
	if (err) {
		count(err == -ELOOP ? &w->stats.refused : &w->stats.dial_failed, 1);
		if (err == -ELOOP)
			log_warn("accept: a connection made to a door of ours was refused");
		else
			log_debug("dial: error=%s", strerrorname_np(-err));
		flow_kill(f);
		return;
	}
	f->server.watch.fd = fd;
	flow_begin(f);
}
