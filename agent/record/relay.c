/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.c - a log changes hands: this process has stopped writing it, and sends what is still appended here to the one
 * that writes it now.
 *
 * What waits for a record here waits as before: its note is told when the other process says that the record is
 * durable. Until then the record stays here, so that nothing is lost when the other process dies: the next one gets
 * what was not confirmed again. A record that was durable, but not confirmed by then, is in the log twice, with the
 * same exchange_id.
 */
#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "base/own.h"
#include "record/private.h"
#include "record/relay.h"

#define FLUSH_S 5 /* what closing may wait for the other process */

/* ---- sending ---- */

static int send_item(int fd, const struct item *i)
{
	struct relay_head head = { .version = RELAY_VERSION, .no = i->seq };
	struct iovec parts[2] = { { &head, sizeof(head) }, { (void *)i->body, i->len } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t n;

	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Records that were not taken, as one that is sent in front. Lock held. */
static void queue_loss(struct ledger *l)
{
	Loss body = LOSS__INIT;
	Record r = RECORD__INIT;
	struct item *i;

	if (!l->loss.count)
		return;
	body.where = (char *)"record";
	body.count = l->loss.count;
	body.first_unix_nano = l->loss.first_unix_nano;
	body.last_unix_nano = l->loss.last_unix_nano;
	r.body_case = RECORD__BODY_LOSS;
	r.loss = &body;
	if (item_new(l, &i, &r, NULL))
		return;
	l->loss = (struct loss){};
	i->next = l->first;
	if (!l->first)
		l->last = &i->next;
	l->first = i;
	l->queue_bytes += item_frame(i);
	l->queue_records++;
}

static void *send_run(void *arg)
{
	struct ledger *l = arg;
	struct relay *r = &l->relay;

	pthread_setname_np(pthread_self(), "ledger");
	pthread_mutex_lock(&l->lock);
	for (;;) {
		struct item *i;
		int err;

		queue_loss(l);
		if (r->stop)
			break;
		if (!l->first) {
			pthread_cond_wait(&l->wake, &l->lock);
			continue;
		}
		i = l->first;
		l->first = i->next;
		if (!l->first)
			l->last = &l->first;
		l->queue_records--;
		l->queue_notes -= i->note != NULL;
		i->next = NULL;
		i->seq = r->next_no++;
		*r->last = i;
		r->last = &i->next;
		/* No lock is held: who waits here for room may wait for confirmations to be read. */
		pthread_mutex_unlock(&l->lock);
		err = send_item(r->fd, i);
		pthread_mutex_lock(&l->lock);
		r->sent_no = r->next_no;
		r->stop |= err != 0;
		pthread_cond_broadcast(&l->wake);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* ---- what is confirmed ---- */

/* The item of that number, unlinked; NULL: there is none. Lock held. */
static struct item *take_sent(struct relay *r, uint64_t no)
{
	for (struct item **at = &r->first; *at; at = &(*at)->next) {
		struct item *i = *at;

		if (i->seq != no)
			continue;
		*at = i->next;
		if (!*at)
			r->last = at;
		return i;
	}
	return NULL;
}

static void confirmed(struct ledger *l, const struct relay_ack *ack)
{
	struct item *i;

	pthread_mutex_lock(&l->lock);
	/* Not while it is being sent, which ends soon, also when all is to end: forgetting this one would send it
	 * twice. A number that nothing has yet is nobody's. */
	while (ack->no >= l->relay.sent_no && ack->no < l->relay.next_no)
		pthread_cond_wait(&l->wake, &l->lock);
	i = ack->no < l->relay.sent_no ? take_sent(&l->relay, ack->no) : NULL;
	if (i) {
		l->queue_bytes -= item_frame(i);
		l->stats.records += !ack->err;
		if (ack->err && ack->err != -ENOSPC)
			loss_add(l, 1);
		atomic_store(&l->sound, !ack->err);
		pthread_cond_broadcast(&l->wake);
	}
	pthread_mutex_unlock(&l->lock);
	if (i && i->note)
		i->note->done(i->note, ack->seq, ack->err);
	free(i);
}

static void *ack_run(void *arg)
{
	struct ledger *l = arg;
	struct relay_ack ack;
	ssize_t n;

	pthread_setname_np(pthread_self(), "ledger-acks");
	do {
		n = recv(l->relay.fd, &ack, sizeof(ack), 0);
		if (n == sizeof(ack) && ack.err <= 0)
			confirmed(l, &ack);
		/* ECONNRESET: it closed without reading all; what it confirmed before is there all the same. */
	} while (n == sizeof(ack) || (n < 0 && (errno == EINTR || errno == ECONNRESET)));
	/* The other process is gone: what it has not confirmed waits for the next. */
	pthread_mutex_lock(&l->lock);
	l->relay.stop = true;
	pthread_cond_broadcast(&l->wake);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* ---- life ---- */

static int start(struct ledger *l, int fd)
{
	struct relay *r = &l->relay;
	int err;

	r->fd = fd;
	r->stop = false;
	r->last = &r->first;
	err = ledger_thread(&r->sender, send_run, l);
	if (err)
		return err;
	err = ledger_thread(&r->acks, ack_run, l);
	if (err) {
		pthread_mutex_lock(&l->lock);
		r->stop = true;
		pthread_cond_broadcast(&l->wake);
		pthread_mutex_unlock(&l->lock);
		pthread_join(r->sender, NULL);
		return err;
	}
	r->runs = true;
	return 0;
}

/* What was not confirmed goes back to the front of the queue. */
static void stop(struct ledger *l)
{
	struct relay *r = &l->relay;

	if (!r->runs)
		return;
	pthread_mutex_lock(&l->lock);
	r->stop = true;
	pthread_cond_broadcast(&l->wake);
	pthread_mutex_unlock(&l->lock);
	shutdown(r->fd, SHUT_RDWR);
	pthread_join(r->sender, NULL);
	pthread_join(r->acks, NULL);
	close(r->fd);
	r->fd = -1;
	r->runs = false;
	pthread_mutex_lock(&l->lock);
	for (struct item *i = r->first; i; i = i->next) {
		l->queue_records++;
		l->queue_notes += i->note != NULL;
	}
	if (r->first) {
		*r->last = l->first;
		if (!l->first)
			l->last = r->last;
		l->first = TAKE(r->first);
	}
	pthread_mutex_unlock(&l->lock);
}

int relay_to(struct ledger *l, int fd)
{
	int err;

	stop(l);
	err = start(l, fd);
	if (err)
		close(fd);
	return err;
}

uint64_t ledger_waiting(struct ledger *l)
{
	uint64_t n = 0;

	pthread_mutex_lock(&l->lock);
	if (l->relayed) {
		for (const struct item *i = l->relay.first; i; i = i->next)
			n++;
		n += l->queue_records;
	}
	pthread_mutex_unlock(&l->lock);
	return n;
}

void relay_close(struct ledger *l)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += FLUSH_S;
	pthread_mutex_lock(&l->lock);
	while (l->relay.runs && !l->relay.stop && (l->first || l->relay.first) &&
	       pthread_cond_timedwait(&l->wake, &l->lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&l->lock);
	stop(l);
	/* Nobody took these. */
	while (l->first) {
		struct item *i = l->first;

		l->first = i->next;
		if (i->note)
			i->note->done(i->note, 0, -EIO);
		free(i);
	}
	l->last = &l->first;
}
