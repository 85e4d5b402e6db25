/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fastserver.c - a server of OpenAI-style answers that is never the limit: epoll, one thread, prepared bytes.
 *
 *   fastserver [--host ADDRESS] --port PORT
 *
 * What is served is said by numbers in the request's body, wherever it is posted:
 *
 *   {"stream":true,"events":200,"size":12,"pace":5000}    an event of `size` bytes every `pace` microseconds (0: each
 *                                                         stream writes its next one whenever the socket takes it)
 *   {"json":1000}                                         one JSON answer with that much text
 *   {"stream":true,"events":200,"plant":7}                likewise, but what test policies forbid stands in events 7
 * and 8
 *   {"say":"words"}                                       one JSON answer with these words
 *
 * Each event is one chunk and one write, as inference servers do it. Ends with its parent's SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "event.h"

#define REQUEST_MAX 65536
#define CLIENTS_MAX 65536

static const char stream_head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
				  "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

struct client {
	int fd;
	bool streaming, blocked, closing;
	char *request;
	size_t got;
	long events; /* still to be written */
	long plant;  /* before which of them the forbidden phrase begins; negative: before none */
	size_t size, at;
	uint64_t pace, due; /* nanoseconds */
	char *pending;      /* owned, bytes that the socket did not take */
	size_t pending_len, pending_at, pending_room;
	struct client *next; /* of those that are streaming */
	bool listed;
};

#define SLOW_NS 1000000000u /* streams with pauses of this or more are looked at ten times a second only */
#define LOOK_NS 100000000u

static int poller, timer;
static struct client *streaming, *slow;
static uint64_t slow_look; /* when they are looked at next */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct client *c, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

/* Sends, or keeps for later what the socket does not take. */
static void put(struct client *c, const char *bytes, size_t len)
{
	ssize_t n = c->blocked ? 0 : send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN) {
		c->closing = true;
		return;
	}
	if (n < 0)
		n = 0;
	if ((size_t)n == len)
		return;
	len -= (size_t)n;
	if (c->pending_len + len > c->pending_room) {
		c->pending_room = c->pending_len + len + 65536;
		c->pending = realloc(c->pending, c->pending_room);
		if (!c->pending)
			die("fastserver");
	}
	memcpy(c->pending + c->pending_len, bytes + n, len);
	c->pending_len += len;
	if (!c->blocked) {
		c->blocked = true;
		watch(c, EPOLLIN | EPOLLOUT);
	}
}

static void flush(struct client *c)
{
	ssize_t n =
		send(c->fd, c->pending + c->pending_at, c->pending_len - c->pending_at, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN) {
		c->closing = true;
		return;
	}
	if (n > 0)
		c->pending_at += (size_t)n;
	if (c->pending_at == c->pending_len) {
		c->pending_at = c->pending_len = 0;
		c->blocked = false;
		watch(c, EPOLLIN);
	}
}

static long number(const char *body, const char *name, long otherwise)
{
	const char *at = strstr(body, name);

	return at ? strtol(at + strlen(name), NULL, 10) : otherwise;
}

static void put_chunk(struct client *c, const char *bytes, size_t len, bool last)
{
	static char chunk[EVENT_MAX + 64];
	size_t n = (size_t)snprintf(chunk, 32, "%zx\r\n", len);

	n += bench_put(chunk + n, bytes, len);
	n += bench_put(chunk + n, "\r\n0\r\n\r\n", last ? 7 : 2);
	put(c, chunk, n);
}

/* The next event of a stream, or its end. */
static void step(struct client *c, uint64_t t)
{
	char event[EVENT_MAX];

	if (c->events > 0) {
		size_t len = c->plant == 0    ? bench_words_event(event, PLANT_BEGIN, t)
		             : c->plant == -1 ? bench_words_event(event, PLANT_END, t)
		                              : bench_event(event, c->size, &c->at, t);

		c->events--;
		c->plant = c->plant > -2 ? c->plant - 1 : c->plant;
		put_chunk(c, event, len, false);
		c->due += c->pace;
		return;
	}
	put_chunk(c, EVENT_STOP, sizeof(EVENT_STOP) - 1, false);
	put_chunk(c, EVENT_DONE, sizeof(EVENT_DONE) - 1, true);
	c->streaming = false;
}

static void answer_json(struct client *c, size_t size)
{
	static char *body; /* kept: the same size is asked again and again */
	static size_t body_size = SIZE_MAX, body_len;

	if (body_size != size) {
		body = realloc(body, bench_json_room(size) + 256);
		if (!body)
			die("fastserver");
		char *json = malloc(bench_json_room(size));

		if (!json)
			die("fastserver");
		size_t len = bench_json(json, size);

		body_len = (size_t)sprintf(body,
		                           "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
		                           "content-length: %zu\r\n\r\n",
		                           len);
		body_len += bench_put(body + body_len, json, len);
		body_size = size;
		free(json);
	}
	put(c, body, body_len);
}

static void answer_words(struct client *c, const char *words)
{
	char answer[2048];
	size_t len = strcspn(words, "\"");

	if (len > 1000)
		len = 1000;
	int n = snprintf(answer, sizeof(answer),
	                 "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s%.*s%s",
	                 sizeof(JSON_HEAD) - 1 + len + sizeof(JSON_TAIL) - 1, JSON_HEAD, (int)len, words, JSON_TAIL);

	put(c, answer, (size_t)n);
}

/* A complete request: begin its answer. */
static void begin(struct client *c, const char *body)
{
	const char *say = strstr(body, "\"say\":\"");

	if (say) {
		answer_words(c, say + 7);
		return;
	}
	if (!strstr(body, "\"stream\":true")) {
		answer_json(c, (size_t)number(body, "\"json\":", 300));
		return;
	}
	c->events = number(body, "\"events\":", 100);
	c->size = (size_t)number(body, "\"size\":", 12);
	if (c->size > EVENT_MAX / 2)
		c->size = EVENT_MAX / 2;
	c->pace = (uint64_t)number(body, "\"pace\":", 0) * 1000;
	c->plant = number(body, "\"plant\":", -2);
	c->at = 0;
	c->due = bench_now() + c->pace;
	c->streaming = true;
	put(c, stream_head, sizeof(stream_head) - 1);
	if (!c->listed) {
		struct client **list = c->pace >= SLOW_NS ? &slow : &streaming;

		c->listed = true;
		c->next = *list;
		*list = c;
	}
}

static void readable(struct client *c)
{
	ssize_t n = recv(c->fd, c->request + c->got, REQUEST_MAX - 1 - c->got, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		c->closing = true;
		return;
	}
	c->got += (size_t)n;
	c->request[c->got] = '\0';
	while (!c->streaming) {
		char *end = strstr(c->request, "\r\n\r\n");

		if (!end) {
			c->closing = c->got + 1 == REQUEST_MAX;
			return;
		}
		*end = '\0';
		const char *field = strcasestr(c->request, "\r\ncontent-length:");
		size_t length = field ? strtoul(field + 17, NULL, 10) : 0;
		size_t whole = (size_t)(end + 4 - c->request) + length;

		*end = '\r';
		if (whole >= REQUEST_MAX) {
			c->closing = true;
			return;
		}
		if (c->got < whole)
			return;
		char after = c->request[whole];

		c->request[whole] = '\0';
		begin(c, end + 4);
		c->request[whole] = after;
		memmove(c->request, c->request + whole, c->got - whole + 1);
		c->got -= whole;
	}
}

static void drop(struct client *c)
{
	close(c->fd);
	free(c->request);
	free(c->pending);
	free(c);
}

static void accept_all(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;

		if (fd < 0)
			return;
		struct client *c = calloc(1, sizeof(*c));

		if (!c || !(c->request = malloc(REQUEST_MAX)))
			die("fastserver");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		c->fd = fd;
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

		epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
	}
}

/* One event for each stream of a list that is due. Returns when the next one is: 0 now, UINT64_MAX never. */
static uint64_t turn_of(struct client **at, uint64_t t)
{
	uint64_t next = UINT64_MAX;

	while (*at) {
		struct client *c = *at;

		if (!c->closing && c->streaming && !c->blocked && (!c->pace || c->due <= t))
			step(c, c->pace ? bench_now() : t);
		if (c->closing || !c->streaming) {
			*at = c->next;
			c->listed = false;
			if (c->closing)
				drop(c);
			continue;
		}
		if (!c->blocked) {
			uint64_t due = c->pace ? c->due : 0;

			next = due < next ? due : next;
		}
		at = &c->next;
	}
	return next;
}

static uint64_t turn(void)
{
	uint64_t t = bench_now(), next = turn_of(&streaming, t);

	if (slow && t >= slow_look) {
		turn_of(&slow, t);
		slow_look = t + LOOK_NS;
	}
	return slow && slow_look < next ? slow_look : next;
}

static int listen_at(const char *host, int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || inet_pton(AF_INET, host, &at.sin_addr) != 1)
		die("fastserver: address");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 4096))
		die("fastserver: bind");
	return fd;
}

int main(int argc, char **argv)
{
	const char *host = "127.0.0.1";
	int port = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--host"))
			host = argv[i + 1];
		else if (!strcmp(argv[i], "--port"))
			port = atoi(argv[i + 1]);
	}
	if (port < 1 || port > 65535) {
		fprintf(stderr, "usage: fastserver [--host ADDRESS] --port PORT\n");
		return 2;
	}
	struct rlimit files = { CLIENTS_MAX, CLIENTS_MAX };

	setrlimit(RLIMIT_NOFILE, &files); /* as far as we may */
	poller = epoll_create1(EPOLL_CLOEXEC);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	int listener = listen_at(host, port);
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = &listener };

	epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
	e.data.ptr = &timer;
	epoll_ctl(poller, EPOLL_CTL_ADD, timer, &e);
	for (;;) {
		uint64_t next = turn();
		struct epoll_event ready[512];

		if (next != UINT64_MAX && next) {
			struct itimerspec when = { .it_value = { .tv_sec = (time_t)(next / 1000000000u),
				                                 .tv_nsec = (long)(next % 1000000000u) } };

			timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
		}
		int n = epoll_wait(poller, ready, 512, next ? -1 : 0);

		for (int i = 0; i < n; i++) {
			struct client *c = ready[i].data.ptr;
			uint64_t expired;

			if (ready[i].data.ptr == &listener) {
				accept_all(listener);
				continue;
			}
			if (ready[i].data.ptr == &timer) {
				(void)!read(timer, &expired, sizeof(expired));
				continue;
			}
			if (ready[i].events & EPOLLOUT && c->blocked)
				flush(c);
			if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !c->closing)
				readable(c);
			if (c->closing && !c->listed)
				drop(c);
		}
	}
}
