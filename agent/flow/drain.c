/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain.c - a worker gives way to one of another process, and no client is told.
 *
 * An answer under way ends where it began: its text is in this process. Between two exchanges a connection is nothing
 * but two sockets, which the other worker gets; its next request is read there, by the policy of there. Sockets keep
 * what the kernel knows of them: the tuple of the dial, and bytes that nobody has read yet.
 */
#include "flow/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"

#define PASS_VERSION  1
#define PASS_RETRY_NS 5000000u
#define TAKES_A_TURN  64

/* What comes with the two sockets, client's and server's. */
struct passed {
	uint32_t version, zero;
};

union two_fds {
	struct cmsghdr head; /* for its alignment */
	char room[CMSG_SPACE(2 * sizeof(int))];
};

/* Where connections come from. */
struct source {
	struct watch watch;
	struct worker *worker;
	struct source *next;
};

/* ---- calls from other threads ---- */

struct call {
	struct post post;
	struct worker *worker;
	int fd;
	sem_t *done;
};

static int call(struct worker *w, void (*run)(struct post *p), int fd, sem_t *done)
{
	struct call *c = malloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct call){ .post.run = run, .worker = w, .fd = fd, .done = done };
	loop_post(w->loop, &c->post);
	return 0;
}

static int call_with(struct worker *w, void (*run)(struct post *p), int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0), err = own < 0 ? -errno : 0;

	err = err ? err : call(w, run, own, NULL);
	if (err && own >= 0)
		close(own);
	return err;
}

/* ---- the doors ---- */

static void close_doors(struct post *p)
{
	struct call *c = container_of(p, struct call, post);
	struct worker *w = c->worker;

	doors_leave(w);
	loop_timer_stop(w->loop, &w->retry);
	w->leaving = true;
	sem_post(c->done);
	free(c);
}

int worker_close_doors(struct worker *w, sem_t *done)
{
	return call(w, close_doors, -1, done);
}

/* ---- passing on ---- */

static bool is_quiet(const struct side *s)
{
	return s->watch.fd >= 0 && !s->eof && !s->hup && !s->reset && !s->fin_sent;
}

/* Nothing is under way: the next byte is the first of a request. */
static bool is_idle(const struct flow *f)
{
	return f->state == FLOW_OPEN && !f->x && !f->connecting && !f->lingering && is_quiet(&f->client) &&
	       is_quiet(&f->server) && !buf_len(&f->up.buf) && !buf_len(&f->down.buf);
}

static int send_two(int fd, int client, int server)
{
	struct passed p = { .version = PASS_VERSION };
	struct iovec part = { &p, sizeof(p) };
	union two_fds room = {};
	struct msghdr m = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = room.room, .msg_controllen = sizeof(room.room)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int fds[2] = { client, server };

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

bool drain_pass(struct flow *f)
{
	struct worker *w = f->worker;
	int err;

	if (w->passing < 0 || !is_idle(f))
		return false;
	err = send_two(w->passing, f->client.watch.fd, f->server.watch.fd);
	if (err == -EPIPE || err == -ECONNRESET) {
		/* There will be another, or the time is up. */
		close(TAKE_FD(w->passing));
	} else if (err) {
		loop_timer(w->loop, &w->pass_more, PASS_RETRY_NS);
	} else {
		f->end_kind = END_FIN; /* only this process closes it */
		flow_kill(f);
	}
	return !err;
}

static void pass_all(struct worker *w)
{
	struct flow *next;

	for (struct flow *f = w->flows; f && w->passing >= 0; f = next) {
		next = f->next;
		if (is_idle(f) && !drain_pass(f))
			break;
	}
	flow_reap(w);
}

void drain_more(struct timer *t)
{
	pass_all(container_of(t, struct worker, pass_more));
}

static void pass_on(struct post *p)
{
	struct call *c = container_of(p, struct call, post);
	struct worker *w = c->worker;

	own_close(&w->passing);
	w->passing = c->fd;
	free(c);
	pass_all(w);
}

int worker_pass_on(struct worker *w, int fd)
{
	return call_with(w, pass_on, fd);
}

/* ---- the end of patience ---- */

static void expire(struct flow *f)
{
	switch (f->state) {
	case FLOW_OPEN:
		if (f->x && !f->connecting) {
			exchange_except(f->x, EXCEPTION_REPLACED, NULL);
			cut_begin(f);
		} else {
			flow_end(f, f->connecting ? END_RST : END_FIN);
		}
		break;
	case FLOW_PASSING:
		flow_end(f, END_RST);
		break;
	default: /* a cut ends by itself */
		break;
	}
}

static void expire_all(struct post *p)
{
	struct call *c = container_of(p, struct call, post);
	struct worker *w = c->worker;
	struct flow *next;

	free(c);
	pass_all(w);
	for (struct flow *f = w->flows; f; f = next) {
		next = f->next;
		expire(f);
	}
	flow_reap(w);
}

int worker_expire(struct worker *w)
{
	return call(w, expire_all, -1, NULL);
}

/* ---- taking over ---- */

static void source_end(struct source *s)
{
	struct source **at = &s->worker->sources;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	/* Behind the connections that came by it: who sees it gone sees them. */
	__atomic_fetch_sub(&s->worker->source_count, 1, __ATOMIC_RELEASE);
	loop_del(s->worker->loop, &s->watch);
	close(s->watch.fd);
	free(s);
}

/* One of our own dials, to where the client wanted to go: or it is not taken. */
static bool belong(int client, int server)
{
	struct sockaddr_storage wanted = {}, there = {};
	socklen_t n = sizeof(wanted), m = sizeof(there);

	/* A socket that blocks would stop the loop. */
	return !getsockname(client, (struct sockaddr *)&wanted, &n) &&
	       !getpeername(server, (struct sockaddr *)&there, &m) && n == m && !memcmp(&wanted, &there, n) &&
	       !fcntl(client, F_SETFL, O_RDWR | O_NONBLOCK) && !fcntl(server, F_SETFL, O_RDWR | O_NONBLOCK);
}

/* 1: taken, 0: nothing there, -1: the other end is gone or is not what we know. */
static int take_two(struct source *s)
{
	struct passed p = {};
	struct iovec part = { &p, sizeof(p) };
	union two_fds room = {};
	struct msghdr m = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = room.room, .msg_controllen = sizeof(room.room)
	};
	ssize_t n = recvmsg(s->watch.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int fds[2] = { -1, -1 };

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c),
		       c->cmsg_len - CMSG_LEN(0) < sizeof(fds) ? c->cmsg_len - CMSG_LEN(0) : sizeof(fds));
	if (n == sizeof(p) && p.version == PASS_VERSION && fds[1] >= 0 && belong(fds[0], fds[1])) {
		flow_adopt(s->worker, fds[0], fds[1]);
		return 1;
	}
	own_close(&fds[0]);
	own_close(&fds[1]);
	if (n > 0)
		log_warn("adopt: a connection that was passed on cannot be taken: bytes=%zd version=%u", n, p.version);
	return n == sizeof(p) && p.version == PASS_VERSION ? 1 : -1;
}

static void source_ready(struct watch *w, uint32_t events)
{
	struct source *s = container_of(w, struct source, watch);
	struct worker *worker = s->worker;
	int taken = 1;

	(void)events;
	for (int i = 0; i < TAKES_A_TURN && taken > 0; i++)
		taken = take_two(s);
	if (taken < 0)
		source_end(s);
	flow_reap(worker);
}

static void adopt(struct post *p)
{
	struct call *c = container_of(p, struct call, post);
	struct worker *w = c->worker;
	struct source *s = calloc(1, sizeof(*s));

	if (s)
		*s = (struct source){ .watch = { .ready = source_ready, .fd = c->fd },
			              .worker = w,
			              .next = w->sources };
	if (!s || loop_add_level(w->loop, &s->watch, EPOLLIN)) {
		log_error("adopt: connections of the last worker cannot be taken");
		__atomic_fetch_sub(&w->source_count, 1, __ATOMIC_RELEASE);
		close(c->fd);
		free(s);
	} else {
		w->sources = s;
	}
	free(c);
}

int worker_adopt(struct worker *w, int fd)
{
	int err;

	__atomic_fetch_add(&w->source_count, 1, __ATOMIC_RELAXED);
	err = call_with(w, adopt, fd);
	if (err)
		__atomic_fetch_sub(&w->source_count, 1, __ATOMIC_RELAXED);
	return err;
}

bool worker_may_adopt(const struct worker *w)
{
	return __atomic_load_n(&w->source_count, __ATOMIC_ACQUIRE) != 0;
}

void drain_stop(struct worker *w)
{
	while (w->sources)
		source_end(w->sources);
	loop_timer_stop(w->loop, &w->pass_more);
	own_close(&w->passing);
	w->passing = -1;
}
