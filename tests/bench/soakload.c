/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soakload.c - a crowd in front of fastserver that compares every byte, until it is told to stop; epoll, one thread.
 *
 *   soakload --port PORT [--host ADDRESS] [--from ADDRESS] [--busy N] [--slow N] [--kept N] [--silent N] [--pause S]
 *
 * Four kinds of clients: `busy` ones ask on and on, for streams and whole answers, one in four of them forbidden;
 * `slow` ones have streams with an event every PAUSE to two PAUSE seconds; `kept` ones keep a connection and ask now
 * and then; `silent` ones connect and say nothing. What must come is known to the byte: a clean answer whole, a
 * forbidden one up to its phrase and then a refusal. On standard output, a line for each answer that was refused or was
 * not whole, and one a second; times are CLOCK_MONOTONIC in seconds, BORN of the connection, BEGIN of the request:
 *
 *   R END PORT KIND                      refused, in words or cut short behind the first word of it
 *   X BORN BEGIN END PORT KIND WHY       not whole: reset, closed, connect, stuck
 *   S BORN BEGIN END PORT KIND STATUS    answered with an error
 *   W BORN BEGIN END PORT KIND WHY       bytes that must not have come
 *   T TIME OPEN CLEAN REFUSED EVENTS BYTES
 *
 * SIGTERM: nobody asks any more, what is under way may come to its end. Exit status 0 unless it cannot work at all.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event.h"

#define LINE_KEPT   256
#define REST_MAX    8192 /* of an answer that is not what was asked for */
#define BIRTHS_TURN 100  /* connections begun in one turn of 50 ms */
#define TURN_NS     50000000u
#define STUCK_NS    120000000000u /* longer than it should take */
#define AGAIN_NS    200000000u
#define FORBIDDEN   "ASE-ALPHA" /* the end of the phrase: whatever has it has had the whole */

enum client_kind { BUSY, SLOW, KEPT, SILENT, KINDS };
static const char *const kind_names[KINDS] = { "busy", "slow", "kept", "silent" };

enum place { STATUS_LINE, HEADER_LINE, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER_LINE, LENGTH_DATA, ENDED, BROKEN };

static const long json_sizes[] = { 60, 700, 9000, 60000 };
#define JSON_SIZES (sizeof(json_sizes) / sizeof(json_sizes[0]))

struct client {
	enum client_kind kind;
	int fd;
	uint16_t port;
	bool connecting, asked, told; /* told: the refusal has begun */
	uint64_t born, begun, due;    /* due: when something is to be done, or to be over */
	/* what was asked for */
	bool stream, forbidden;
	long events, plant, size;
	size_t json;
	/* what has come */
	enum place place;
	bool chunked, has_length, close_after, done;
	int status;
	uint64_t left;
	long seen;
	size_t at, body_len;
	char line[LINE_KEPT];
	size_t line_len;
	char *rest; /* owned: the event that is not complete, or an answer in words */
	size_t rest_len;
	const char *wrong;
};

static struct options {
	const char *host, *from;
	int port;
	long many[KINDS];
	double pause;
} opt = { .host = "127.0.0.1", .from = NULL, .pause = 5 };

static int poller;
static volatile sig_atomic_t stopping;
static char *whole_json[JSON_SIZES];
static size_t whole_json_len[JSON_SIZES];
static unsigned long long open_now, clean, refused, all_events, all_bytes;
static struct sockaddr_in to, from;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void told_to_stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static long below(long n)
{
	return random() % n;
}

static double seconds(uint64_t t)
{
	return (double)t / 1e9;
}

static void say(char letter, const struct client *c, const char *why)
{
	printf("%c %.3f %.3f %.3f %u %s %s\n", letter, seconds(c->born), seconds(c->begun), seconds(bench_now()),
	       c->port, kind_names[c->kind], why);
}

/* What was wrong, and with what. */
static void say_wrong(const struct client *c)
{
	char text[REST_MAX + 160];
	size_t n;

	if (c->stream)
		n = (size_t)sprintf(text, "%s: stream, event %ld of %ld, plant %ld: ", c->wrong, c->seen, c->events,
		                    c->plant);
	else
		n = (size_t)sprintf(text, "%s: JSON, byte %zu of %zu: ", c->wrong, c->body_len,
		                    whole_json_len[c->json]);
	for (size_t i = 0; i < c->rest_len; i++)
		text[n++] = c->rest[i] < ' ' ? '~' : c->rest[i];
	text[n] = '\0';
	say('W', c, text);
}

/* ---- the answer ---- */

static void wrong(struct client *c, const char *why)
{
	c->wrong = c->wrong ? c->wrong : why;
	c->place = BROKEN;
}

static bool holds(const char *bytes, size_t len, const char *words)
{
	return memmem(bytes, len, words, strlen(words)) != NULL;
}

/* Behind the cleared events of a forbidden answer: words that say so, and the end. */
static void refusal_event(struct client *c, const char *bytes, size_t len)
{
	if (holds(bytes, len, FORBIDDEN))
		wrong(c, "the phrase");
	else if (holds(bytes, len, "\"content_filter\""))
		c->told = true;
	else if (c->told && len == sizeof(EVENT_DONE) - 1 && !memcmp(bytes, EVENT_DONE, len))
		c->done = true;
	else
		wrong(c, "neither the answer nor a refusal");
}

static void event_over(struct client *c, const char *bytes, size_t len)
{
	char want[EVENT_MAX];
	size_t n = 0, at = c->at;

	all_events++;
	if (!c->told && c->seen == c->plant) /* alone, where the server ended behind it: forbidden is what goes on */
		n = bench_words_event(want, PLANT_BEGIN, bench_event_time(bytes, len));
	else if (!c->told && c->seen < c->events && c->seen != c->plant + 1)
		n = bench_event(want, (size_t)c->size, &at, bench_event_time(bytes, len));
	else if (!c->told && !c->forbidden && c->seen == c->events)
		n = bench_put(want, EVENT_STOP, sizeof(EVENT_STOP) - 1);
	else if (!c->told && !c->forbidden && c->seen == c->events + 1)
		n = bench_put(want, EVENT_DONE, sizeof(EVENT_DONE) - 1);
	if (n == len && !memcmp(want, bytes, len)) {
		c->done = c->seen == c->events + 1;
		c->at = at;
		c->seen++;
	} else if (c->forbidden) {
		refusal_event(c, bytes, len);
	} else {
		wrong(c, holds(bytes, len, "content_filter") ? "refused what is clean" : "not the bytes of the server");
	}
}

/* Keeps what belongs together; false if there is too much of it. */
static bool keep(struct client *c, const char *bytes, size_t len)
{
	if (!c->rest && !(c->rest = malloc(REST_MAX)))
		die("soakload");
	if (c->rest_len + len > REST_MAX) {
		wrong(c, "too long");
		return false;
	}
	memcpy(c->rest + c->rest_len, bytes, len);
	c->rest_len += len;
	return true;
}

static void event_bytes(struct client *c, const char *bytes, size_t len)
{
	while (len && c->place != BROKEN) {
		const char *lf = memchr(bytes, '\n', len);
		size_t n = lf ? (size_t)(lf - bytes) + 1 : len;

		if (!keep(c, bytes, n))
			return;
		bytes += n;
		len -= n;
		if (c->rest_len >= 2 && c->rest[c->rest_len - 1] == '\n' && c->rest[c->rest_len - 2] == '\n') {
			event_over(c, c->rest, c->rest_len);
			if (c->place != BROKEN) /* else it is shown */
				c->rest_len = 0;
		}
	}
}

static void body_bytes(struct client *c, const char *bytes, size_t len)
{
	all_bytes += len;
	if (c->status != 200 || (c->forbidden && !c->stream)) {
		keep(c, bytes, len);
	} else if (c->stream) {
		event_bytes(c, bytes, len);
	} else if (c->body_len + len > whole_json_len[c->json] ||
	           memcmp(whole_json[c->json] + c->body_len, bytes, len)) {
		wrong(c, "not the bytes of the server");
	}
	c->body_len += len;
}

static void line_over(struct client *c)
{
	char *end;

	c->line[c->line_len < LINE_KEPT ? c->line_len : LINE_KEPT - 1] = '\0';
	switch (c->place) {
	case STATUS_LINE:
		c->status = strncmp(c->line, "HTTP/1.1 ", 9) ? 0 : atoi(c->line + 9);
		c->place = c->status ? HEADER_LINE : BROKEN;
		break;
	case HEADER_LINE:
		if (c->line_len == 0)
			c->place = c->chunked ? CHUNK_SIZE : c->left ? LENGTH_DATA : ENDED;
		else if (!strncasecmp(c->line, "transfer-encoding:", 18))
			c->chunked = strcasestr(c->line, "chunked") != NULL;
		else if (!strncasecmp(c->line, "connection:", 11))
			c->close_after = strcasestr(c->line, "close") != NULL;
		else if (!strncasecmp(c->line, "content-length:", 15))
			c->left = strtoull(c->line + 15, NULL, 10);
		break;
	case CHUNK_SIZE:
		c->left = strtoull(c->line, &end, 16);
		c->place = end == c->line ? BROKEN : c->left ? CHUNK_DATA : TRAILER_LINE;
		break;
	case CHUNK_END:
		c->place = c->line_len ? BROKEN : CHUNK_SIZE;
		break;
	case TRAILER_LINE:
		c->place = c->line_len ? TRAILER_LINE : ENDED;
		break;
	default:
		c->place = BROKEN;
	}
	c->line_len = 0;
}

static void follow(struct client *c, const char *bytes, size_t len)
{
	size_t i = 0;

	while (i < len && c->place < ENDED) {
		if (c->place == CHUNK_DATA || c->place == LENGTH_DATA) {
			size_t n = len - i < c->left ? len - i : (size_t)c->left;
			enum place was = c->place;

			body_bytes(c, bytes + i, n);
			i += n;
			c->left -= n;
			if (!c->left && c->place == was)
				c->place = was == CHUNK_DATA ? CHUNK_END : ENDED;
		} else {
			char letter = bytes[i++];

			if (letter == '\n')
				line_over(c);
			else if (letter != '\r' && c->line_len++ < LINE_KEPT - 1)
				c->line[c->line_len - 1] = letter;
		}
	}
	if (i < len && c->place == ENDED)
		wrong(c, "bytes behind the end");
	if (c->place == BROKEN)
		wrong(c, "no HTTP");
}

/* ---- connections ---- */

static void watch(struct client *c, int how, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(poller, how, c->fd, &e))
		die("soakload: epoll");
}

static void hang_up(struct client *c)
{
	if (c->fd >= 0) {
		close(c->fd);
		open_now--;
	}
	c->fd = -1;
	c->asked = c->connecting = false;
	c->due = bench_now() + AGAIN_NS + (uint64_t)below(AGAIN_NS);
}

static void dial(struct client *c)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	c->born = c->begun = bench_now();
	c->port = 0;
	if (fd < 0)
		die("soakload: socket");
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (opt.from && bind(fd, (struct sockaddr *)&from, sizeof(from)))
		die("soakload: bind");
	c->fd = fd;
	open_now++;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS) {
		say('X', c, "connect");
		hang_up(c);
		return;
	}
	c->connecting = true;
	c->due = c->born + STUCK_NS;
	watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static uint64_t expected_ns(const struct client *c, long pace_us)
{
	return c->stream ? (uint64_t)c->events * (uint64_t)pace_us * 1000u : 0;
}

static void ask(struct client *c)
{
	char body[256], plant[32], request[640];
	long pace = 50000;
	int n;

	c->stream = c->kind == SLOW || (c->kind == BUSY && below(4));
	c->forbidden = below(c->kind == BUSY ? 4 : 8) == 0;
	c->events = c->kind == SLOW ? 4 + below(9) : 20 + below(160);
	c->plant = c->forbidden ? below(c->events - 1) : -2;
	c->size = 4 + below(60);
	c->json = (size_t)below(c->kind == KEPT ? 2 : JSON_SIZES);
	if (c->kind == SLOW)
		pace = (long)(opt.pause * 1e6) + below((long)(opt.pause * 1e6));
	snprintf(plant, sizeof(plant), ",\"plant\":%ld", c->plant);
	if (c->stream)
		n = snprintf(body, sizeof(body), "{\"stream\":true,\"events\":%ld,\"size\":%ld,\"pace\":%ld%s}",
		             c->events, c->size, pace, c->forbidden ? plant : "");
	else if (c->forbidden)
		n = snprintf(body, sizeof(body), "{\"say\":\"so%s%s\"}", PLANT_BEGIN, PLANT_END);
	else
		n = snprintf(body, sizeof(body), "{\"stream\":false,\"json\":%ld}", json_sizes[c->json]);
	n = snprintf(request, sizeof(request),
	             "POST /v1/chat/completions HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n"
	             "Content-Length: %d\r\n\r\n%s",
	             opt.host, opt.port, n, body);
	c->place = STATUS_LINE;
	c->chunked = c->has_length = c->close_after = c->done = c->told = false;
	c->status = 0;
	c->left = 0;
	c->seen = 0;
	c->at = c->body_len = c->line_len = c->rest_len = 0;
	c->wrong = NULL;
	c->asked = true;
	c->begun = bench_now();
	c->due = c->begun + expected_ns(c, pace) + STUCK_NS;
	(void)!send(c->fd, request, (size_t)n, MSG_NOSIGNAL); /* a failure shows in the read */
}

/* When a client that keeps its connection asks again. */
static void rest_a_while(struct client *c)
{
	c->asked = false;
	if (c->kind == KEPT)
		c->due = bench_now() + (uint64_t)((opt.pause * (1 + (double)below(1000) / 200)) * 1e9);
	else
		c->due = c->kind == SILENT ? UINT64_MAX : bench_now();
}

static void say_refused(const struct client *c)
{
	refused++;
	printf("R %.3f %u %s\n", seconds(bench_now()), c->port, kind_names[c->kind]);
}

/* The answer is over, or the connection: `why` it ended early, NULL if by its framing. */
static void answer_over(struct client *c, const char *why)
{
	char status[16];

	/* Words of a refusal that were cut short are a telling, too. */
	if (c->forbidden && c->rest_len && holds(c->rest, c->rest_len, "content_filter"))
		c->told = true;
	if (c->rest_len && holds(c->rest, c->rest_len, FORBIDDEN))
		wrong(c, "the phrase");
	if (!c->wrong && !why && c->status == 200) {
		if (c->forbidden ? !c->told : c->stream ? !c->done : c->body_len != whole_json_len[c->json])
			wrong(c, c->forbidden ? "forbidden, and not refused" : "the end is missing");
		else if (c->forbidden && c->stream && !c->done)
			wrong(c, "a refusal without its end");
	}
	if (c->told)
		say_refused(c);
	if (c->wrong)
		say_wrong(c);
	free(c->rest);
	c->rest = NULL;
	c->rest_len = 0;
	if (!c->wrong && why) {
		say('X', c, why);
	} else if (!c->wrong && c->status != 200) {
		snprintf(status, sizeof(status), "%d", c->status);
		say('S', c, status);
	} else if (!c->wrong && !c->forbidden) {
		clean++;
		if (!c->close_after && (c->kind == KEPT || below(3)) && !stopping) {
			rest_a_while(c);
			return;
		}
	}
	hang_up(c);
}

static void readable(struct client *c)
{
	static char bytes[1 << 18];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		const char *why = n < 0 ? "reset" : "closed";

		if (c->asked) {
			answer_over(c, why);
		} else {
			if (c->kind != SILENT)
				say('X', c, "gone while idle");
			hang_up(c);
		}
		return;
	}
	if (!c->asked) {
		c->told = false;
		say('W', c, "bytes that nobody asked for");
		hang_up(c);
		return;
	}
	follow(c, bytes, (size_t)n);
	if (c->place >= ENDED)
		answer_over(c, NULL);
}

static void connected(struct client *c)
{
	struct sockaddr_in me;
	socklen_t len = sizeof(me);
	int err = 0;

	len = sizeof(err);
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	len = sizeof(me);
	if (err || getsockname(c->fd, (struct sockaddr *)&me, &len)) {
		say('X', c, "connect");
		hang_up(c);
		return;
	}
	c->port = ntohs(me.sin_port);
	c->connecting = false;
	watch(c, EPOLL_CTL_MOD, EPOLLIN);
	rest_a_while(c);
	if (c->kind == KEPT)
		c->due = bench_now();
}

/* What time brings: births, questions, and answers that do not end. Returns how many connections are left. */
static size_t look(struct client *all, size_t count)
{
	uint64_t t = bench_now();
	size_t births = 0, left = 0;

	for (size_t i = 0; i < count; i++) {
		struct client *c = &all[i];

		if (stopping && c->fd >= 0 && !c->asked)
			hang_up(c);
		left += c->fd >= 0;
		if (c->due > t)
			continue;
		if (c->fd < 0) {
			if (!stopping && births++ < BIRTHS_TURN)
				dial(c);
		} else if (c->connecting || c->asked) {
			say('X', c, "stuck");
			hang_up(c);
		} else if (!stopping) {
			ask(c);
		}
	}
	return left;
}

static void tell(void)
{
	printf("T %.3f %llu %llu %llu %llu %llu\n", seconds(bench_now()), open_now, clean, refused, all_events,
	       all_bytes);
	fflush(stdout);
}

static bool read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "host", 1, NULL, 'h' },  { "from", 1, NULL, 'f' },      { "port", 1, NULL, 'p' },
		{ "pause", 1, NULL, 'a' }, { "busy", 1, NULL, BUSY },     { "slow", 1, NULL, SLOW },
		{ "kept", 1, NULL, KEPT }, { "silent", 1, NULL, SILENT }, {},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (letter >= 0 && letter < KINDS)
			opt.many[letter] = atol(optarg);
		else if (letter == 'h')
			opt.host = optarg;
		else if (letter == 'f')
			opt.from = optarg;
		else if (letter == 'p')
			opt.port = atoi(optarg);
		else if (letter == 'a')
			opt.pause = atof(optarg);
		else
			return false;
	}
	to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
	from = (struct sockaddr_in){ .sin_family = AF_INET };
	return opt.port > 0 && opt.port < 65536 && opt.pause > 0 && opt.pause <= 60 &&
	       inet_pton(AF_INET, opt.host, &to.sin_addr) == 1 &&
	       (!opt.from || inet_pton(AF_INET, opt.from, &from.sin_addr) == 1);
}

int main(int argc, char **argv)
{
	struct client *all;
	size_t count = 0, left = 1;
	uint64_t looked = 0, told = 0;

	if (!read_options(argc, argv)) {
		fprintf(stderr, "usage: soakload --port PORT [--host ADDRESS] [--from ADDRESS] [--busy N] [--slow N] "
		                "[--kept N]\n                [--silent N] [--pause SECONDS]\n");
		return 2;
	}
	signal(SIGTERM, told_to_stop);
	for (int k = 0; k < KINDS; k++)
		count += (size_t)opt.many[k];
	struct rlimit files = { count + 100, count + 100 };

	setrlimit(RLIMIT_NOFILE, &files);
	all = calloc(count + 1, sizeof(*all));
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (!all || poller < 0)
		die("soakload");
	for (size_t i = 0; i < JSON_SIZES; i++) {
		whole_json[i] = malloc(bench_json_room((size_t)json_sizes[i]));
		if (!whole_json[i])
			die("soakload");
		whole_json_len[i] = bench_json(whole_json[i], (size_t)json_sizes[i]);
	}
	for (size_t i = 0, k = 0, n = 0; i < count; i++, n++) {
		while (n >= (size_t)opt.many[k])
			k++, n = 0;
		all[i].kind = (enum client_kind)k;
		all[i].fd = -1;
	}
	while (!stopping || left) {
		struct epoll_event ready[512];
		int n = epoll_wait(poller, ready, 512, 50);
		uint64_t t = bench_now();

		for (int i = 0; i < n; i++) {
			struct client *c = ready[i].data.ptr;

			if (c->fd >= 0 && c->connecting)
				connected(c);
			else if (c->fd >= 0)
				readable(c);
		}
		if (t >= looked + TURN_NS || (stopping && left)) {
			left = look(all, count);
			looked = t;
		}
		if (t >= told + 1000000000u) {
			tell();
			told = t;
		}
	}
	tell();
	for (size_t i = 0; i < count; i++)
		free(all[i].rest);
	for (size_t i = 0; i < JSON_SIZES; i++)
		free(whole_json[i]);
	free(all);
	return 0;
}
