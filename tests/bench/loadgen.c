/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loadgen.c - time concurrent answers of a server; epoll, one thread.
 *
 *   loadgen --port PORT [--host ADDRESS] [--path PATH] [--streams N] [--seconds S] [--json]
 *           [--mode stream|json] [--events N] [--size BYTES] [--pace MICROSECONDS] [--close] [--body TEXT]
 *
 * N connections POST a request, read the answer to its end and ask again until S seconds have passed; streams under
 * way then get ten seconds to finish. In front of fastserver every byte is compared with what it must be, and `delay`
 * is the time from the server's write to our read. With --body TEXT any server can be asked: events are counted, not
 * compared. Printed in microseconds, as percentiles:
 *
 *   ttft   request sent -> first event          delay  event written -> read (fastserver only)
 *   gap    event -> next event of the stream    total  request sent -> end of the answer
 *   held   delay of events that waited for a successor    hop    last write that it waited for -> read
 *
 * A gate that reads holds an event whose last letters may still become something forbidden, until the next one says:
 * such an event comes after its successor was written, by itself or together with it. `hop` is what the way costs, from
 * the write that set the event free; `held` how long text waited; delay is both.
 *
 * --json prints one line of JSON instead. Exit status 0: something was answered and nothing was wrong; 1 if not;
 * 2 wrong usage. A keep-alive connection that the server closed before it answered is a reconnect, not an error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event.h"

#define DRAIN_NS            10000000000ull
#define MAX_ERRORS_IN_A_ROW 1000
#define LINE_KEPT           256
#define STREAMS_MAX         50000

/* A growing list of times in nanoseconds. */
struct samples {
	uint64_t *at;
	size_t count, room;
};

/* Where in the answer the next byte belongs. */
enum place {
	STATUS_LINE,
	HEADER_LINE,
	CHUNK_SIZE,
	CHUNK_DATA,
	CHUNK_END,
	TRAILER_LINE,
	LENGTH_DATA,
	REST_DATA,
	ENDED,
	BROKEN,
};

struct stream {
	int fd;
	bool reused, answered, chunked, has_length, close_after;
	enum place place;
	uint64_t sent, last_event, left;
	uint64_t last_read, last_delay; /* of the last event; 0: none with a time */
	long events;
	size_t at;       /* fastserver's place in its text */
	size_t body_len; /* bytes of the body so far */
	char line[LINE_KEPT];
	size_t line_len;
	char *event; /* owned, EVENT_MAX bytes: the event that is not complete yet */
	size_t event_len;
};

static struct options {
	const char *host, *path, *body;
	int port, streams;
	double seconds;
	bool json_out, stream, close;
	long events, size, pace;
} opt = { .host = "127.0.0.1",
	  .path = "/v1/chat/completions",
	  .streams = 1,
	  .seconds = 5,
	  .stream = true,
	  .events = 200,
	  .size = 12 };

static struct samples ttft, delay, hop, held, gap, total;
static long answers, errors, errors_in_a_row, reconnects, all_events, wrong_bytes;
static uint64_t all_bytes;
static int poller;
static char *request, *expected;
static size_t request_len, expected_len;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void add(struct samples *s, uint64_t value)
{
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 65536;
		s->at = realloc(s->at, s->room * sizeof(*s->at));
		if (!s->at)
			die("loadgen");
	}
	s->at[s->count++] = value;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double quantile(const struct samples *s, double q)
{
	return s->count ? (double)s->at[(size_t)(q * (double)(s->count - 1) + 0.5)] / 1e3 : 0;
}

/* ---- the answer ---- */

/* What the last event's delay was of, now that the next one, written at `next`, is there at t, or will not be (0). */
static void settle(struct stream *s, uint64_t t, uint64_t next)
{
	bool together = s->last_read == t, waited = together || (next && next <= s->last_read);

	if (s->last_read) {
		if (waited)
			add(&held, s->last_delay);
		if (!together)
			add(&hop, waited ? s->last_read - next : s->last_delay);
	}
	s->last_read = 0;
}

/* A complete event, with its empty line. */
static void event_over(struct stream *s, const char *bytes, size_t len, uint64_t t)
{
	if (s->events == 0)
		add(&ttft, t - s->sent);
	else
		add(&gap, t - s->last_event);
	s->last_event = t;
	if (!opt.body) {
		char want[EVENT_MAX];
		size_t n;

		if (s->events < opt.events) {
			uint64_t written = bench_event_time(bytes, len);

			n = bench_event(want, (size_t)opt.size, &s->at, written);
			settle(s, t, written);
			if (written && t >= written) {
				add(&delay, t - written);
				s->last_read = t;
				s->last_delay = t - written;
			}
		} else if (s->events == opt.events) {
			n = bench_put(want, EVENT_STOP, sizeof(EVENT_STOP) - 1);
		} else {
			n = bench_put(want, EVENT_DONE, sizeof(EVENT_DONE) - 1);
		}
		if (n != len || memcmp(want, bytes, len) || s->events > opt.events + 1) {
			wrong_bytes++;
			s->place = BROKEN;
		}
	}
	s->events++;
	all_events++;
}

/* Event-stream bytes without their framing. Events end in an empty line, LF or CRLF. */
static void event_bytes(struct stream *s, const char *bytes, size_t len, uint64_t t)
{
	size_t begin = 0;

	for (size_t i = 0; i < len;) {
		const char *lf = memchr(bytes + i, '\n', len - i);

		if (!lf)
			break;
		i = (size_t)(lf - bytes) + 1;
		/* is the line before this line break empty? */
		size_t before = i - 1;
		bool empty;

		if (before > begin && bytes[before - 1] == '\r')
			before--;
		if (before > begin)
			empty = bytes[before - 1] == '\n';
		else
			empty = s->event_len && (s->event[s->event_len - 1] == '\n' ||
			                         (s->event_len > 1 && s->event[s->event_len - 1] == '\r' &&
			                          s->event[s->event_len - 2] == '\n'));
		if (!empty)
			continue;
		if (s->event_len) {
			size_t n = i - begin;

			if (s->event_len + n > EVENT_MAX) {
				s->place = BROKEN;
				return;
			}
			memcpy(s->event + s->event_len, bytes + begin, n);
			event_over(s, s->event, s->event_len + n, t);
			s->event_len = 0;
		} else {
			event_over(s, bytes + begin, i - begin, t);
		}
		begin = i;
	}
	if (begin < len) {
		if (s->event_len + len - begin > EVENT_MAX) {
			s->place = BROKEN;
			return;
		}
		memcpy(s->event + s->event_len, bytes + begin, len - begin);
		s->event_len += len - begin;
	}
}

static void body_bytes(struct stream *s, const char *bytes, size_t len, uint64_t t)
{
	all_bytes += len;
	if (opt.stream) {
		event_bytes(s, bytes, len, t);
	} else {
		if (!s->body_len)
			add(&ttft, t - s->sent);
		if (!opt.body && (s->body_len + len > expected_len || memcmp(expected + s->body_len, bytes, len))) {
			wrong_bytes++;
			s->place = BROKEN;
		}
	}
	s->body_len += len;
}

/* A line of the framing is complete, without its line break. */
static void line_over(struct stream *s)
{
	char *end;

	s->line[s->line_len < LINE_KEPT ? s->line_len : LINE_KEPT - 1] = '\0';
	switch (s->place) {
	case STATUS_LINE:
		s->place = strncmp(s->line, "HTTP/1.1 2", 10) ? BROKEN : HEADER_LINE;
		break;
	case HEADER_LINE:
		if (s->line_len == 0) {
			s->close_after |= !s->chunked && !s->has_length;
			s->place = s->chunked ? CHUNK_SIZE : !s->has_length ? REST_DATA : s->left ? LENGTH_DATA : ENDED;
		} else if (!strncasecmp(s->line, "transfer-encoding:", 18)) {
			s->chunked = strcasestr(s->line, "chunked") != NULL;
		} else if (!strncasecmp(s->line, "connection:", 11)) {
			s->close_after = strcasestr(s->line, "close") != NULL;
		} else if (!strncasecmp(s->line, "content-length:", 15)) {
			s->left = strtoull(s->line + 15, NULL, 10);
			s->has_length = true;
		}
		break;
	case CHUNK_SIZE:
		s->left = strtoull(s->line, &end, 16);
		s->place = end == s->line ? BROKEN : s->left ? CHUNK_DATA : TRAILER_LINE;
		break;
	case CHUNK_END:
		s->place = s->line_len ? BROKEN : CHUNK_SIZE;
		break;
	case TRAILER_LINE:
		s->place = s->line_len ? TRAILER_LINE : ENDED;
		break;
	default:
		s->place = BROKEN;
	}
	s->line_len = 0;
}

static void follow(struct stream *s, const char *bytes, size_t len, uint64_t t)
{
	size_t i = 0;

	while (i < len && s->place != ENDED && s->place != BROKEN) {
		if (s->place == CHUNK_DATA || s->place == LENGTH_DATA || s->place == REST_DATA) {
			size_t n = len - i;
			enum place was = s->place;

			if (was != REST_DATA && n > s->left)
				n = (size_t)s->left;
			body_bytes(s, bytes + i, n, t);
			i += n;
			s->left -= was == REST_DATA ? 0 : n;
			if (was != REST_DATA && s->left == 0 && s->place == was)
				s->place = was == CHUNK_DATA ? CHUNK_END : ENDED;
		} else {
			char c = bytes[i++];

			if (c == '\n')
				line_over(s);
			else if (c != '\r' && s->line_len++ < LINE_KEPT - 1)
				s->line[s->line_len - 1] = c;
		}
	}
	if (i < len)
		s->place = BROKEN; /* nobody asked for these */
}

/* Whether an answer that ended by its framing is all that was asked for. */
static bool whole(const struct stream *s)
{
	if (opt.body)
		return true;
	return opt.stream ? s->events == opt.events + 2 && !s->event_len : s->body_len == expected_len;
}

/* ---- connections ---- */

static bool dial(struct stream *s)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = s };
	int on = 1;

	inet_pton(AF_INET, opt.host, &to.sin_addr);
	s->reused = false;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return false;
	if (connect(s->fd, (struct sockaddr *)&to, sizeof(to)) || epoll_ctl(poller, EPOLL_CTL_ADD, s->fd, &e)) {
		close(s->fd);
		s->fd = -1;
		return false;
	}
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return true;
}

static void ask(struct stream *s)
{
	*s = (struct stream){ .fd = s->fd, .reused = s->reused, .event = s->event, .sent = bench_now() };
	(void)!send(s->fd, request, request_len, MSG_NOSIGNAL); /* a failure shows in the read, where it is counted */
}

static void start(struct stream *s)
{
	if (dial(s)) {
		ask(s);
		return;
	}
	errors++;
	errors_in_a_row++;
}

static void hang_up(struct stream *s)
{
	close(s->fd);
	s->fd = -1;
}

static void answer_over(struct stream *s, bool good, bool more)
{
	settle(s, 0, 0);
	if (good && whole(s)) {
		add(&total, bench_now() - s->sent);
		answers++;
		errors_in_a_row = 0;
	} else {
		good = false;
		errors++;
		errors_in_a_row++;
	}
	if (good && !s->close_after && !opt.close && more) {
		s->reused = true;
		ask(s);
		return;
	}
	hang_up(s);
	if (more)
		start(s);
}

static void readable(struct stream *s, bool more)
{
	static char bytes[1 << 18];
	ssize_t n = read(s->fd, bytes, sizeof(bytes));
	uint64_t t = bench_now();

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		if (s->reused && !s->answered) {
			reconnects++;
			hang_up(s);
			if (more)
				start(s);
		} else {
			answer_over(s, n == 0 && s->place == REST_DATA, more);
		}
		return;
	}
	s->answered = true;
	follow(s, bytes, (size_t)n, t);
	if (s->place == ENDED || s->place == BROKEN)
		answer_over(s, s->place == ENDED, more);
}

/* ---- results ---- */

static void print_samples(const char *name, struct samples *s, const char *end)
{
	double sum = 0;

	if (s->count)
		qsort(s->at, s->count, sizeof(*s->at), by_value);
	for (size_t i = 0; i < s->count; i++)
		sum += (double)s->at[i];
	sum /= s->count ? (double)s->count * 1e3 : 1;
	if (opt.json_out)
		printf("\"%s\":{\"n\":%zu,\"mean\":%.2f,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%."
		       "2f}%s",
		       name, s->count, sum, quantile(s, .5), quantile(s, .9), quantile(s, .99), quantile(s, .999),
		       quantile(s, 1), end);
	else if (s->count)
		printf("%-6s n=%zu mean=%.1f p50=%.1f p90=%.1f p99=%.1f p99.9=%.1f max=%.1f us\n", name, s->count, sum,
		       quantile(s, .5), quantile(s, .9), quantile(s, .99), quantile(s, .999), quantile(s, 1));
}

static void print_results(double took, long unfinished)
{
	if (opt.json_out)
		printf("{\"answers\":%ld,\"errors\":%ld,\"wrong_bytes\":%ld,\"reconnects\":%ld,\"unfinished\":%ld,"
		       "\"events\":%ld,\"bytes\":%llu,\"seconds\":%.3f,\"answers_per_s\":%.1f,\"events_per_s\":%.1f,",
		       answers, errors, wrong_bytes, reconnects, unfinished, all_events, (unsigned long long)all_bytes,
		       took, (double)answers / took, (double)all_events / took);
	else
		printf("answers=%ld errors=%ld wrong=%ld reconnects=%ld unfinished=%ld events=%ld in %.2f s -> "
		       "%.0f answers/s %.0f events/s %.1f MB/s\n",
		       answers, errors, wrong_bytes, reconnects, unfinished, all_events, took, (double)answers / took,
		       (double)all_events / took, (double)all_bytes / took / 1e6);
	print_samples("ttft", &ttft, ",");
	print_samples("delay", &delay, ",");
	print_samples("hop", &hop, ",");
	print_samples("held", &held, ",");
	print_samples("gap", &gap, ",");
	print_samples("total", &total, "}\n");
}

static void prepare(void)
{
	char *made = NULL;
	const char *body = opt.body;

	if (!body && opt.stream) {
		if (asprintf(&made, "{\"stream\":true,\"events\":%ld,\"size\":%ld,\"pace\":%ld}", opt.events, opt.size,
		             opt.pace) < 0)
			die("loadgen");
	} else if (!body) {
		if (asprintf(&made, "{\"stream\":false,\"json\":%ld}", opt.size) < 0)
			die("loadgen");
		expected = malloc(bench_json_room((size_t)opt.size));
		if (!expected)
			die("loadgen");
		expected_len = bench_json(expected, (size_t)opt.size);
	}
	body = body ? body : made;
	int n = asprintf(&request,
	                 "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n%s"
	                 "Content-Length: %zu\r\n\r\n%s",
	                 opt.path, opt.host, opt.port, opt.close ? "Connection: close\r\n" : "", strlen(body), body);
	if (n < 0)
		die("loadgen");
	request_len = (size_t)n;
	free(made);
}

static bool read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "host", 1, NULL, 'h' },    { "port", 1, NULL, 'p' },    { "path", 1, NULL, 'u' },
		{ "streams", 1, NULL, 'n' }, { "seconds", 1, NULL, 's' }, { "json", 0, NULL, 'j' },
		{ "mode", 1, NULL, 'm' },    { "events", 1, NULL, 'e' },  { "size", 1, NULL, 'z' },
		{ "pace", 1, NULL, 'a' },    { "close", 0, NULL, 'c' },   { "body", 1, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		switch (c) {
		case 'h':
			opt.host = optarg;
			break;
		case 'p':
			opt.port = atoi(optarg);
			break;
		case 'u':
			opt.path = optarg;
			break;
		case 'n':
			opt.streams = atoi(optarg);
			break;
		case 's':
			opt.seconds = atof(optarg);
			break;
		case 'j':
			opt.json_out = true;
			break;
		case 'm':
			opt.stream = strcmp(optarg, "json") != 0;
			break;
		case 'e':
			opt.events = atol(optarg);
			break;
		case 'z':
			opt.size = atol(optarg);
			break;
		case 'a':
			opt.pace = atol(optarg);
			break;
		case 'c':
			opt.close = true;
			break;
		case 'b':
			opt.body = optarg;
			break;
		default:
			return false;
		}
	}
	struct in_addr address;

	return opt.port > 0 && opt.port < 65536 && opt.streams > 0 && opt.streams <= STREAMS_MAX && opt.seconds > 0 &&
	       opt.seconds <= 3600 && opt.events >= 0 && opt.size > 0 && opt.pace >= 0 &&
	       (!opt.stream || opt.size <= EVENT_MAX / 2) && inet_pton(AF_INET, opt.host, &address) == 1;
}

int main(int argc, char **argv)
{
	if (!read_options(argc, argv)) {
		fprintf(stderr, "usage: loadgen --port PORT [--host ADDRESS] [--path PATH] [--streams N] [--seconds S] "
		                "[--json]\n"
		                "               [--mode stream|json] [--events N] [--size BYTES] [--pace MICROSECONDS] "
		                "[--close]\n"
		                "               [--body TEXT]\n");
		return 2;
	}
	struct rlimit files = { STREAMS_MAX + 100, STREAMS_MAX + 100 };
	struct stream *streams = calloc((size_t)opt.streams, sizeof(*streams));

	setrlimit(RLIMIT_NOFILE, &files); /* as far as we may */
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (!streams || poller < 0)
		die("loadgen");
	prepare();

	uint64_t begin = bench_now(), stop_asking = begin + (uint64_t)(opt.seconds * 1e9);
	long open = 0;

	for (int i = 0; i < opt.streams; i++) {
		streams[i].event = malloc(EVENT_MAX);
		if (!streams[i].event)
			die("loadgen");
		start(&streams[i]);
	}
	for (;;) {
		struct epoll_event ready[512];
		uint64_t t = bench_now();
		int n = epoll_wait(poller, ready, 512, 100);

		for (int i = 0; i < n; i++)
			readable(ready[i].data.ptr, t < stop_asking && errors_in_a_row < MAX_ERRORS_IN_A_ROW);
		if (n && t < stop_asking)
			continue;
		open = 0;
		for (int i = 0; i < opt.streams; i++)
			open += streams[i].fd >= 0;
		if (!open || t > stop_asking + DRAIN_NS)
			break;
	}
	print_results((double)(bench_now() - begin) / 1e9, open);
	for (int i = 0; i < opt.streams; i++) {
		if (streams[i].fd >= 0)
			close(streams[i].fd);
		free(streams[i].event);
	}
	free(streams);
	free(request);
	free(expected);
	free(ttft.at);
	free(delay.at);
	free(hop.at);
	free(held.at);
	free(gap.at);
	free(total.at);
	return answers && !errors && !open ? 0 : 1;
}
