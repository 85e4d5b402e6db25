/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_serve.c - the HTTP of a witness: POST /add-checkpoint and nothing else (C2SP tlog-witness).
 *
 * Heads and bodies are read by the daemon's own strict reader. A guest has a bounded buffer and ten seconds for each
 * request; when there are too many, the one that has waited longest goes.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/own.h"
#include "cli/witness.h"
#include "stream/stream.h"

#define GUESTS_MAX   256
#define GUEST_TIME   10000000000u
#define HEAD_MOST    8192
#define IN_MOST      (HEAD_MOST + 2 * WITNESS_BODY)
#define LISTEN_QUEUE 128

struct guest {
	struct watch watch;
	struct timer timer;
	struct server *server;
	struct guest *next, *before; /* by when they came */
	struct buf in, content, out;
	struct http1_reader reader;
	struct http1_body body;
	bool in_body, last; /* last: hang up behind the answer */
};

struct server {
	struct loop *loop;
	struct witness *witness;
	struct watch door;
	struct guest *oldest, *newest;
	size_t count;
};

/* ---- guests ---- */

static void hang_up(struct guest *g)
{
	struct server *s = g->server;

	loop_del(s->loop, &g->watch);
	loop_timer_stop(s->loop, &g->timer);
	close(g->watch.fd);
	*(g->before ? &g->before->next : &s->oldest) = g->next;
	*(g->next ? &g->next->before : &s->newest) = g->before;
	s->count--;
	buf_free(&g->in);
	buf_free(&g->content);
	buf_free(&g->out);
	free(g);
}

static void too_late(struct timer *t)
{
	hang_up(container_of(t, struct guest, timer));
}

static const struct {
	unsigned status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 409, "Conflict" },
	{ 413, "Content Too Large" },
	{ 422, "Unprocessable Content" },
	{ 500, "Internal Server Error" },
};

static const char *reason_of(unsigned status)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

static void put_answer(struct guest *g, unsigned status, const char *type, struct slice body)
{
	g->last |= status == 400 || status == 413 || status == 405;
	if (buf_printf(&g->out, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n", status,
	               reason_of(status), type, body.len, g->last ? "Connection: close\r\n" : "") ||
	    buf_add(&g->out, body))
		g->last = true;
}

static void refuse(struct guest *g, unsigned status, const char *why)
{
	g->last = true;
	put_answer(g, status, "text/plain; charset=utf-8", slice_str(why));
}

/* ---- a request ---- */

/* True: go on with the body. */
static bool begin_body(struct guest *g)
{
	const struct http1_head *h = &g->reader.head;
	struct slice bytes = buf_slice(&g->in), target = slice_of(bytes.at + h->target.at, h->target.len);

	g->last = h->close || (!h->minor && !h->keep_alive);
	if (!slice_is(target, SLICE("/add-checkpoint"))) {
		refuse(g, 404, "POST /add-checkpoint is all there is\n");
		return false;
	}
	if (h->method != HTTP1_POST) {
		refuse(g, 405, "POST\n");
		return false;
	}
	if (h->has_length && h->length > WITNESS_BODY) {
		refuse(g, 413, "no request is so long\n");
		return false;
	}
	if (h->expect_continue)
		(void)buf_add(&g->out, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
	http1_body_start(&g->body, http1_framing(h, false), h->length);
	buf_take(&g->in, h->len);
	g->in_body = true;
	return true;
}

/* True: an item more may be there. */
static bool read_head(struct guest *g)
{
	enum http1_fault fault;

	switch (http1_read(&g->reader, buf_slice(&g->in), &fault)) {
	case STEP_MORE:
		if (buf_len(&g->in) > HEAD_MOST)
			refuse(g, 400, "no head is so long\n");
		return false;
	case STEP_BAD:
		refuse(g, 400, "not a request of HTTP/1.1\n");
		return false;
	case STEP_ITEM:
		break;
	}
	return begin_body(g);
}

static void end_body(struct guest *g)
{
	struct slice body = buf_slice(&g->content);
	struct witness_answer a;

	witness_add(g->server->witness, body.at, body.len, &a);
	put_answer(g, a.status, a.type, slice_of(a.body, a.len));
	buf_free(&g->content);
	g->in_body = false;
	http1_start(&g->reader, false);
	(void)loop_timer(g->server->loop, &g->timer, GUEST_TIME);
}

static bool read_body(struct guest *g)
{
	struct http1_body_item item;
	size_t used = 0;
	enum step step = http1_body_feed(&g->body, buf_slice(&g->in), &used, &item);

	if (step == STEP_BAD) {
		refuse(g, 400, "the body is not framed as HTTP/1.1 frames it\n");
		return false;
	}
	if (step == STEP_ITEM && item.kind == HTTP1_DATA && buf_add(&g->content, item.data)) {
		refuse(g, 413, "no request is so long\n");
		return false;
	}
	buf_take(&g->in, used);
	if (step == STEP_ITEM && item.kind == HTTP1_END)
		end_body(g);
	return step == STEP_ITEM;
}

/* True: all of it went. */
static bool flush(struct guest *g)
{
	while (buf_len(&g->out)) {
		struct slice out = buf_slice(&g->out);
		ssize_t n = send(g->watch.fd, out.at, out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			g->last |= errno != EAGAIN;
			return errno != EAGAIN;
		}
		buf_take(&g->out, (size_t)n);
	}
	return true;
}

/* Reads what is there, up to the buffer's cap. False: the other end is gone. */
static bool fill(struct guest *g)
{
	for (;;) {
		uint8_t *to = buf_want(&g->in, 4096);
		ssize_t n = to ? recv(g->watch.fd, to, 4096, 0) : -1;

		if (!to)
			return true;
		if (n > 0) {
			buf_added(&g->in, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		return n < 0 && errno == EAGAIN;
	}
}

static void guest_ready(struct watch *w, uint32_t events)
{
	struct guest *g = container_of(w, struct guest, watch);
	bool there;

	(void)events;
	for (;;) {
		size_t before;

		if (!flush(g))
			return; /* it is told when there is room */
		if (g->last && !g->in_body) {
			hang_up(g);
			return;
		}
		there = fill(g);
		before = buf_len(&g->in);
		/* One answer at a time: what follows waits until it went. */
		while (!buf_len(&g->out) && !(g->last && !g->in_body) && buf_len(&g->in) + g->in_body &&
		       (g->in_body ? read_body(g) : read_head(g)))
			;
		if (g->last && buf_len(&g->out))
			g->in_body = false;
		if (!buf_len(&g->out) && (!there || buf_len(&g->in) == before)) {
			if (!there)
				hang_up(g);
			return;
		}
	}
}

static void welcome(struct watch *w, uint32_t events)
{
	struct server *s = container_of(w, struct server, door);
	int fd;

	(void)events;
	while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct guest *g = calloc(1, sizeof(*g));

		if (!g) {
			close(fd);
			return;
		}
		if (s->count == GUESTS_MAX)
			hang_up(s->oldest);
		g->server = s;
		g->watch = (struct watch){ .ready = guest_ready, .fd = fd };
		g->timer.due = too_late;
		g->in = BUF(IN_MOST);
		g->content = BUF(WITNESS_BODY);
		g->out = BUF(4096);
		http1_start(&g->reader, false);
		g->before = s->newest;
		*(s->newest ? &s->newest->next : &s->oldest) = g;
		s->newest = g;
		s->count++;
		if (loop_add(s->loop, &g->watch) || loop_timer(s->loop, &g->timer, GUEST_TIME))
			hang_up(g);
	}
}

/* ---- the door ---- */

static void own_addresses(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

/* HOST:PORT, [ADDRESS]:PORT or :PORT. */
static int listen_at(const char *where, int *ret_fd)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	owned(own_addresses) struct addrinfo *list = NULL;
	owned(own_free) char *host = strdup(where);
	char *port = host ? strrchr(host, ':') : NULL, *name = host;
	owned(own_close) int fd = -1;
	int one = 1;

	if (!port)
		return -EINVAL;
	*port++ = '\0';
	if (*name == '[' && port[-2] == ']') {
		port[-2] = '\0';
		name++;
	}
	if (getaddrinfo(*name ? name : NULL, port, &hints, &list))
		return -EADDRNOTAVAIL;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, LISTEN_QUEUE))
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void say_where(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	char host[256], port[16];

	if (!getsockname(fd, (struct sockaddr *)&at, &len) &&
	    !getnameinfo((struct sockaddr *)&at, len, host, sizeof(host), port, sizeof(port),
	                 NI_NUMERICHOST | NI_NUMERICSERV))
		printf("http://%s%s%s:%s\n", strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "", port);
	fflush(stdout);
}

int witness_serve(struct witness *w, const char *where)
{
	owned(loop_free) struct loop *loop = NULL;
	struct server s = { .witness = w, .door = { .ready = welcome, .fd = -1 } };
	int err = listen_at(where, &s.door.fd);

	err = err ? err : loop_new(&loop);
	s.loop = loop;
	err = err ? err : loop_add_level(loop, &s.door, EPOLLIN);
	if (!err) {
		say_where(s.door.fd);
		loop_run(loop);
	}
	fprintf(stderr, "witness: %s: %s\n", where, strerror(-err));
	own_close(&s.door.fd);
	return WITNESS_ERROR;
}
