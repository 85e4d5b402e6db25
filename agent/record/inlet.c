/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inlet.c - records of a process that wrote the log before us and still has answers under way.
 *
 * It is as trusted as we are, and what it sends is still read as a stranger's: one record at a time, of a kind that
 * belongs in this log, as large as any record may be. Whatever else comes ends the connection.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/loop.h"
#include "base/own.h"
#include "record/frame.h"
#include "record/record.h"
#include "record/relay.h"

#define TAKES_A_TURN 64
#define CLOSE_MS     1000

/* A record between its arrival and its confirmation. */
struct taken {
	struct ledger_note note;
	struct ledger_inlet *in;
	struct taken *next;
	uint64_t no, seq;
	int err;
	atomic_bool told;
};

struct ledger_inlet {
	struct ledger *ledger;
	struct loop *loop;
	unsigned log; /* LOG_LEDGER or LOG_CONTROL */
	struct watch watch;
	struct post post;
	atomic_bool posted;
	atomic_uint untold; /* notes that the ledger has */
	struct taken *first, **last;
	uint32_t events; /* that are waited for */
	bool over, bad;
	bool gone; /* nobody reads confirmations any more */
	bool left; /* freed by the post that is still to come */
	uint8_t message[sizeof(struct relay_head) + RECORD_MAX + 1];
};

static void end(struct ledger_inlet *in, bool bad)
{
	in->bad |= bad;
	if (in->over)
		return;
	loop_del(in->loop, &in->watch);
	in->over = true;
}

/* For records, or until there is room for confirmations: who reads none sends nothing either. */
static void wait_for(struct ledger_inlet *in, uint32_t events)
{
	if (in->over || in->events == events)
		return;
	loop_del(in->loop, &in->watch);
	in->events = events;
	if (loop_add_level(in->loop, &in->watch, events))
		in->over = in->bad = true;
}

/* Confirms what is told, in the order it came; waits at most so long for room. */
static void confirm(struct ledger_inlet *in, int patience_ms)
{
	while (in->first && atomic_load(&in->first->told)) {
		struct taken *t = in->first;
		struct relay_ack ack = { .no = t->no, .seq = t->seq, .err = t->err };

		if (!in->gone && send(in->watch.fd, &ack, sizeof(ack), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			struct pollfd room = { .fd = in->watch.fd, .events = POLLOUT };

			if (errno == EAGAIN && patience_ms && poll(&room, 1, patience_ms) == 1)
				continue;
			if (errno == EAGAIN && !patience_ms && !in->over) {
				wait_for(in, EPOLLOUT);
				return;
			}
			in->gone = true;
			end(in, false);
		}
		in->first = t->next;
		if (!in->first)
			in->last = &in->first;
		free(t);
	}
	wait_for(in, EPOLLIN);
}

static void posted(struct post *p)
{
	struct ledger_inlet *in = container_of(p, struct ledger_inlet, post);

	atomic_store(&in->posted, false);
	if (in->left)
		free(in);
	else
		confirm(in, 0);
}

/* In the writer's thread. */
static void durable(struct ledger_note *n, uint64_t seq, int err)
{
	struct taken *t = container_of(n, struct taken, note);
	struct ledger_inlet *in = t->in;

	t->seq = seq;
	t->err = err;
	atomic_store(&t->told, true);
	if (!atomic_exchange(&in->posted, true))
		loop_post(in->loop, &in->post);
	/* Behind this it may be freed. */
	atomic_fetch_sub(&in->untold, 1);
}

/* False: that was no record of this log. */
static bool take(struct ledger_inlet *in, size_t len)
{
	struct relay_head head;
	struct taken *t;
	Record *r;
	int err;

	if (len < sizeof(head) || len >= sizeof(in->message))
		return false;
	memcpy(&head, in->message, sizeof(head));
	if (head.version != RELAY_VERSION)
		return false;
	r = record__unpack(NULL, len - sizeof(head), in->message + sizeof(head));
	if (!r)
		return false;
	t = record_logs(r->body_case) & in->log ? calloc(1, sizeof(*t)) : NULL;
	if (!t) {
		record__free_unpacked(r, NULL);
		return false;
	}
	*t = (struct taken){ .note.done = durable, .in = in, .no = head.no };
	*in->last = t;
	in->last = &t->next;
	atomic_fetch_add(&in->untold, 1);
	err = ledger_append(in->ledger, r, &t->note);
	if (err) { /* else the writer tells */
		t->err = err;
		atomic_fetch_sub(&in->untold, 1);
		atomic_store(&t->told, true);
	}
	record__free_unpacked(r, NULL);
	return true;
}

static void ready(struct watch *w, uint32_t events)
{
	struct ledger_inlet *in = container_of(w, struct ledger_inlet, watch);

	for (int i = 0; i < TAKES_A_TURN && !in->over && (events & ~(uint32_t)EPOLLOUT); i++) {
		ssize_t n = recv(w->fd, in->message, sizeof(in->message), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0)
			end(in, false);
		else if (!take(in, (size_t)n))
			end(in, true);
	}
	confirm(in, 0);
}

int ledger_inlet_open(struct ledger_inlet **out, struct ledger *l, unsigned log, struct loop *loop, int fd)
{
	struct ledger_inlet *in = calloc(1, sizeof(*in));
	int err;

	if (!in) {
		close(fd);
		return -ENOMEM;
	}
	in->ledger = l;
	in->loop = loop;
	in->log = log;
	in->last = &in->first;
	in->post.run = posted;
	in->events = EPOLLIN;
	in->watch = (struct watch){ .ready = ready, .fd = fd };
	err = loop_add_level(loop, &in->watch, EPOLLIN);
	if (err) {
		close(fd);
		free(in);
		return err;
	}
	*out = in;
	return 0;
}

bool ledger_inlet_over(const struct ledger_inlet *in, bool *bad)
{
	*bad = in->bad;
	return in->over && !in->first && !atomic_load(&in->untold) && !atomic_load(&in->posted);
}

void ledger_inlet_close(struct ledger_inlet **at)
{
	struct ledger_inlet *in = *at;

	if (!in)
		return;
	*at = NULL;
	/* What is not confirmed comes again, to the next one. */
	confirm(in, CLOSE_MS);
	end(in, false);
	while (in->first) {
		struct taken *t = in->first;

		in->first = t->next;
		free(t);
	}
	close(in->watch.fd);
	in->left = true;
	if (!atomic_load(&in->posted))
		free(in);
}
