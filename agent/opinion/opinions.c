/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opinions.c - the thread that asks: libcurl's multi interface, queues, deadlines, breakers.
 *
 * What is shared with the loops is the inbox, under a lock that is held for a few pointers, and the counters. Every
 * other field belongs to the thread. Name look-ups and files come before the sandbox; what is left are connections.
 */
#include "opinion/opinion.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "opinion/breaker.h"
#include "opinion/words.h"

#define CA_FILE    "/etc/ssl/certs/ca-certificates.crt"
#define CA_MAX     (8u << 20)
#define TOKEN_MAX  4096
#define ASK_MAX    (1u << 20) /* bytes of a request */
#define NS_A_MS    UINT64_C(1000000)
#define IDLE_MS    60000
#define WATCH_MS   200 /* while something runs: how soon a dropped inquiry is noticed, if nobody wakes us */
#define ADDRESSES  8
#define RESOLVE_AT 256 /* bytes of an address in a list */

const char *const opinion_outcome_names[OPINION_OUTCOME_COUNT] = {
	[OPINION_SAFE] = "safe",
	[OPINION_UNSAFE] = "unsafe",
	[OPINION_TIMED_OUT] = "timed_out",
	[OPINION_FAILED] = "failed",
	[OPINION_UNREADABLE] = "unreadable",
	[OPINION_TOO_LARGE] = "too_large",
	[OPINION_BUSY] = "busy",
	[OPINION_BREAKER_OPEN] = "breaker_open",
	[OPINION_ABANDONED] = "abandoned",
};

struct endpoint {
	const struct config_opinion *c;
	struct curl_slist *headers, *resolve;
	struct breaker breaker;
	struct inquiry *first, **last; /* waiting, the oldest first */
	uint64_t running;
	struct opinion_stats stats;
};

/* One inquiry on its way. */
struct transfer {
	struct transfer *next;
	struct endpoint *e;
	struct inquiry *q;
	CURL *easy;
	struct buf ask, answer;
	size_t head;
	bool too_large;
};

struct opinions {
	struct endpoint *endpoints;
	size_t count;
	CURLM *multi;
	struct buf certificates;
	struct transfer *transfers;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of the two below */
	struct inquiry *inbox, **inbox_last;
	bool stop;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One writer, many readers. */
static void set(uint64_t *n, uint64_t to)
{
	__atomic_store_n(n, to, __ATOMIC_RELAXED);
}

/* ---- the end of an inquiry ---- */

static void tell(struct endpoint *e, struct inquiry *q, enum opinion_outcome outcome)
{
	q->outcome = outcome;
	q->latency_ns = now() - q->asked;
	set(&e->stats.outcomes[outcome], e->stats.outcomes[outcome] + 1);
	if (opinion_is_in(outcome))
		histogram_add(&e->stats.latency, histogram_times, q->latency_ns);
	set(&e->stats.breaker_opened, e->breaker.opened);
	set(&e->stats.breaker_open, e->breaker.open);
	q->told(q); /* from here on it is the asker's */
}

/* ---- answers, as libcurl brings them ---- */

static size_t on_body(char *data, size_t one, size_t n, void *at)
{
	struct transfer *t = at;

	if (buf_add(&t->answer, slice_of(data, one * n))) {
		t->too_large = true;
		return 0;
	}
	return one * n;
}

/* Heads are counted and not read: interim ones may come for ever, too. */
static size_t on_head(char *data, size_t one, size_t n, void *at)
{
	struct transfer *t = at;

	(void)data;
	t->head += one * n;
	if (t->head > OPINION_HEAD_MAX) {
		t->too_large = true;
		return 0;
	}
	return one * n;
}

/* Whatever a name may have meant by now: without leave nothing goes to another host. */
static curl_socket_t on_socket(void *at, curlsocktype purpose, struct curl_sockaddr *to)
{
	const struct transfer *t = at;
	bool here = false;

	if (to->family == AF_INET)
		here = ntohl(((struct sockaddr_in *)&to->addr)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	else if (to->family == AF_INET6)
		here = IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&to->addr)->sin6_addr);
	if (purpose != CURLSOCKTYPE_IPCXN || (!here && !t->e->c->remote))
		return CURL_SOCKET_BAD;
	return socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
}

/* ---- transfers ---- */

static void transfer_free(struct opinions *o, struct transfer *t)
{
	struct transfer **at = &o->transfers;

	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	if (t->easy) {
		curl_multi_remove_handle(o->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	buf_free(&t->ask);
	buf_free(&t->answer);
	free(t);
}

/* No redirects, no proxies, no netrc, no cookies, no compressed answers, no other protocol than the URL's; nothing from
 * the environment. */
static bool set_up(struct opinions *o, struct transfer *t, uint64_t left_ns)
{
	const struct config_opinion *c = t->e->c;
	struct slice ask = buf_slice(&t->ask), ca = buf_slice(&o->certificates);
	struct curl_blob blob = { (void *)ca.at, ca.len, CURL_BLOB_NOCOPY };
	long ms = (long)(left_ns / NS_A_MS);
	CURLcode bad = CURLE_OK;

#define SET(option, value) bad = bad ? bad : curl_easy_setopt(t->easy, option, value)
	SET(CURLOPT_URL, c->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_POSTFIELDS, (const char *)ask.at);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask.len);
	SET(CURLOPT_HTTPHEADER, t->e->headers);
	SET(CURLOPT_RESOLVE, t->e->resolve);
	SET(CURLOPT_TIMEOUT_MS, ms ? ms : 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, ms ? ms : 1L);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)OPINION_ANSWER_MAX);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERFUNCTION, on_head);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_PRIVATE, t);
	if (ca.len)
		SET(CURLOPT_CAINFO_BLOB, &blob);
#undef SET
	return !bad;
}

static void begin(struct opinions *o, struct endpoint *e, struct inquiry *q, uint64_t left_ns)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t) {
		tell(e, q, OPINION_BUSY);
		return;
	}
	t->e = e;
	t->q = q;
	t->ask = BUF(ASK_MAX);
	t->answer = BUF(OPINION_ANSWER_MAX);
	t->easy = curl_easy_init();
	if (!t->easy || words_ask(&t->ask, e->c, q->text) || !set_up(o, t, left_ns) ||
	    curl_multi_add_handle(o->multi, t->easy)) {
		if (t->easy)
			curl_easy_cleanup(TAKE(t->easy));
		transfer_free(o, t);
		tell(e, q, OPINION_BUSY);
		return;
	}
	t->next = o->transfers;
	o->transfers = t;
	breaker_begin(&e->breaker);
	e->running++;
}

static enum opinion_outcome outcome_of(struct transfer *t, CURLcode result, struct label *label)
{
	long status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	t->q->status = status > 0 && status < 1000 ? (uint16_t)status : 0;
	if (t->too_large || result == CURLE_FILESIZE_EXCEEDED)
		return OPINION_TOO_LARGE;
	if (result == CURLE_OPERATION_TIMEDOUT)
		return OPINION_TIMED_OUT;
	if (result != CURLE_OK || status != 200)
		return OPINION_FAILED;
	if (words_read(t->e->c, buf_slice(&t->answer), label))
		return OPINION_UNREADABLE;
	return label->unsafe ? OPINION_UNSAFE : OPINION_SAFE;
}

static void finish(struct opinions *o, struct transfer *t, CURLcode result)
{
	struct label label = {};
	enum opinion_outcome outcome = outcome_of(t, result, &label);
	struct endpoint *e = t->e;
	struct inquiry *q = t->q;

	q->label = label.word;
	q->categories = label.categories;
	e->running--;
	breaker_end(&e->breaker, now(), opinion_is_in(outcome));
	transfer_free(o, t);
	tell(e, q, outcome);
}

static void leave(struct opinions *o, struct transfer *t)
{
	struct endpoint *e = t->e;
	struct inquiry *q = t->q;

	e->running--;
	breaker_leave(&e->breaker);
	transfer_free(o, t);
	tell(e, q, OPINION_ABANDONED);
}

/* ---- queues ---- */

static void push(struct inquiry ***last, struct inquiry *q)
{
	q->next = NULL;
	**last = q;
	*last = &q->next;
}

static void take_inbox(struct opinions *o, bool *stop)
{
	struct inquiry *q;

	pthread_mutex_lock(&o->lock);
	q = o->inbox;
	o->inbox = NULL;
	o->inbox_last = &o->inbox;
	*stop = o->stop;
	pthread_mutex_unlock(&o->lock);
	while (q) {
		struct inquiry *next = q->next;
		struct endpoint *e = &o->endpoints[q->endpoint];

		if (e->stats.waiting >= OPINION_WAITING) {
			tell(e, q, OPINION_BUSY);
		} else {
			push(&e->last, q);
			set(&e->stats.waiting, e->stats.waiting + 1);
		}
		q = next;
	}
}

static uint64_t deadline_of(const struct endpoint *e, const struct inquiry *q)
{
	return q->asked + e->c->deadline_ms * NS_A_MS;
}

/* What waits and need not, or may not, any more; then what may begin. They have one deadline each and come in order, so
 * the first that is late enough ends the search. */
static void serve_queue(struct opinions *o, struct endpoint *e, bool stop)
{
	struct inquiry **at = &e->first, *q;

	while ((q = *at)) {
		uint64_t time = now(), until = deadline_of(e, q);
		bool dropped = stop || atomic_load(&q->dropped), shut = breaker_shut_off(&e->breaker, time);

		if (!dropped && !shut && until > time && e->running >= e->c->concurrency) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		if (e->last == &q->next)
			e->last = at;
		set(&e->stats.waiting, e->stats.waiting - 1);
		if (dropped)
			tell(e, q, OPINION_ABANDONED);
		else if (shut)
			tell(e, q, OPINION_BREAKER_OPEN);
		else if (until <= time)
			tell(e, q, OPINION_TIMED_OUT);
		else
			begin(o, e, q, until - time);
	}
	set(&e->stats.running, e->running);
	set(&e->stats.breaker_open, e->breaker.open);
}

static void leave_dropped(struct opinions *o, bool all)
{
	struct transfer *next;

	for (struct transfer *t = o->transfers; t; t = next) {
		next = t->next;
		if (all || atomic_load(&t->q->dropped))
			leave(o, t);
	}
}

/* Milliseconds until something is to be done that no socket tells of. */
static int wait_ms(const struct opinions *o)
{
	uint64_t time = now();
	int ms = o->transfers ? WATCH_MS : IDLE_MS;

	for (size_t i = 0; i < o->count; i++) {
		const struct endpoint *e = &o->endpoints[i];
		uint64_t until = e->first ? deadline_of(e, e->first) : UINT64_MAX, left;

		if (until == UINT64_MAX)
			continue;
		left = until > time ? (until - time) / NS_A_MS + 1 : 0;
		if (left < (uint64_t)ms)
			ms = (int)left;
	}
	return ms;
}

static void *run(void *arg)
{
	struct opinions *o = arg;
	bool stop = false;
	int left;

	for (;;) {
		CURLMsg *m;

		take_inbox(o, &stop);
		leave_dropped(o, stop);
		for (size_t i = 0; i < o->count; i++)
			serve_queue(o, &o->endpoints[i], stop);
		if (stop)
			return NULL;
		curl_multi_perform(o->multi, &left);
		while ((m = curl_multi_info_read(o->multi, &left))) {
			struct transfer *t = NULL;

			if (m->msg != CURLMSG_DONE)
				continue;
			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
			finish(o, t, m->data.result);
		}
		/* What ended has made room. */
		for (size_t i = 0; i < o->count; i++)
			serve_queue(o, &o->endpoints[i], false);
		curl_multi_poll(o->multi, NULL, 0, wait_ms(o), NULL);
	}
}

/* ---- birth and death ---- */

static int because(char *why, size_t room, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, room, format, args);
	va_end(args);
	return err;
}

static int read_file(const char *path, struct buf *to)
{
	owned(own_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;

	while (n > 0) {
		uint8_t *at = buf_want(to, 4096);

		if (!at)
			return -EFBIG;
		n = read(fd, at, 4096);
		if (n > 0)
			buf_added(to, (size_t)n);
	}
	return n < 0 ? -errno : 0;
}

static int add_header(struct endpoint *e, const char *text)
{
	struct curl_slist *more = curl_slist_append(e->headers, text);

	if (!more)
		return -ENOMEM;
	e->headers = more;
	return 0;
}

static int add_token(struct endpoint *e)
{
	struct buf token = BUF(TOKEN_MAX + 4096);
	char line[TOKEN_MAX + 64];
	int err = read_file(e->c->token_file, &token);
	struct slice text = buf_slice(&token);

	while (text.len && text.at[text.len - 1] <= ' ')
		text.len--;
	for (size_t i = 0; i < text.len && !err; i++)
		if (text.at[i] <= ' ' || text.at[i] >= 0x7f)
			err = -EINVAL;
	if (!err && (!text.len || text.len > TOKEN_MAX))
		err = -EINVAL;
	if (!err) {
		snprintf(line, sizeof(line), "Authorization: Bearer %.*s", SLICE_ARG(text));
		err = add_header(e, line);
	}
	explicit_bzero(line, sizeof(line));
	if (token.data)
		explicit_bzero(token.data, token.room);
	buf_free(&token);
	return err;
}

/* A remote endpoint's name is looked up now and never again. */
static int find_addresses(struct endpoint *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found = NULL;
	char list[512 + ADDRESSES * RESOLVE_AT], host[INET6_ADDRSTRLEN];
	struct in6_addr a;
	size_t len;
	int n = 0;

	if (!e->c->remote || !strcmp(e->c->host, "localhost") || inet_pton(AF_INET, e->c->host, &a) == 1 ||
	    inet_pton(AF_INET6, e->c->host, &a) == 1)
		return 0;
	if (getaddrinfo(e->c->host, NULL, &hints, &found))
		return -ENOENT;
	len = (size_t)snprintf(list, sizeof(list), "%.256s:%u:", e->c->host, e->c->port);
	for (struct addrinfo *i = found; i && n < ADDRESSES; i = i->ai_next) {
		bool six = i->ai_family == AF_INET6;

		if (getnameinfo(i->ai_addr, i->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST))
			continue;
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s%s%s", n ? "," : "", six ? "[" : "", host,
		                        six ? "]" : "");
		n++;
	}
	freeaddrinfo(found);
	if (!n)
		return -ENOENT;
	e->resolve = curl_slist_append(NULL, list);
	return e->resolve ? 0 : -ENOMEM;
}

static int open_endpoint(struct opinions *o, struct endpoint *e, const struct config_opinion *c, char *why, size_t room)
{
	int err;

	e->c = c;
	e->last = &e->first;
	e->breaker.most = c->breaker_failures;
	e->breaker.pause = c->breaker_pause_ms * NS_A_MS;
	err = add_header(e, "Content-Type: application/json");
	err = err ? err : add_header(e, "Expect:");
	if (!err && c->token_file) {
		err = add_token(e);
		if (err)
			return because(why, room, err, "opinion %s: %s: %s", c->name, c->token_file,
			               err == -EINVAL ? "not a token" : strerror(-err));
	}
	if (!err) {
		err = find_addresses(e);
		if (err)
			return because(why, room, err, "opinion %s: the name %s is not known", c->name, c->host);
	}
	if (!err && !strncmp(c->url, "https:", 6) && !buf_len(&o->certificates)) {
		o->certificates = BUF(CA_MAX);
		err = read_file(CA_FILE, &o->certificates);
		if (err)
			return because(why, room, err, "opinion %s: %s: %s", c->name, CA_FILE, strerror(-err));
	}
	return err ? because(why, room, err, "opinion %s: %s", c->name, strerror(-err)) : 0;
}

int opinions_new(struct opinions **out, const struct config_opinion *list, size_t count, char *why, size_t room)
{
	struct opinions *o = calloc(1, sizeof(*o));
	int err = 0;

	*why = '\0';
	if (!o)
		return because(why, room, -ENOMEM, "out of memory");
	pthread_mutex_init(&o->lock, NULL);
	o->inbox_last = &o->inbox;
	o->endpoints = calloc(count + 1, sizeof(*o->endpoints));
	if (!o->endpoints || curl_global_init(CURL_GLOBAL_DEFAULT) || !(o->multi = curl_multi_init()))
		err = because(why, room, -ENOMEM, "out of memory");
	for (; o->count < count && !err; o->count++)
		err = open_endpoint(o, &o->endpoints[o->count], &list[o->count], why, room);
	if (err) {
		opinions_free(&o);
		return err;
	}
	*out = o;
	return 0;
}

int opinions_start(struct opinions *o)
{
	int err = -pthread_create(&o->thread, NULL, run, o);

	o->started = !err;
	return err;
}

void opinions_free(struct opinions **at)
{
	struct opinions *o = *at;

	if (!o)
		return;
	if (o->started) {
		pthread_mutex_lock(&o->lock);
		o->stop = true;
		pthread_mutex_unlock(&o->lock);
		curl_multi_wakeup(o->multi);
		pthread_join(o->thread, NULL);
	}
	for (size_t i = 0; o->endpoints && i < o->count; i++) {
		curl_slist_free_all(o->endpoints[i].headers);
		curl_slist_free_all(o->endpoints[i].resolve);
	}
	if (o->multi)
		curl_multi_cleanup(o->multi);
	buf_free(&o->certificates);
	pthread_mutex_destroy(&o->lock);
	free(o->endpoints);
	free(o);
	*at = NULL;
}

/* ---- from any thread ---- */

size_t opinions_find(const struct opinions *o, const char *name)
{
	size_t i = 0;

	while (i < o->count && strcmp(o->endpoints[i].c->name, name))
		i++;
	return i;
}

const struct config_opinion *opinions_at(const struct opinions *o, size_t endpoint)
{
	return o->endpoints[endpoint].c;
}

void opinions_ask(struct opinions *o, struct inquiry *q)
{
	q->asked = now();
	q->status = 0;
	q->label = NULL;
	q->categories = 0;
	pthread_mutex_lock(&o->lock);
	push(&o->inbox_last, q);
	pthread_mutex_unlock(&o->lock);
	curl_multi_wakeup(o->multi);
}

void opinions_wake(struct opinions *o)
{
	curl_multi_wakeup(o->multi);
}

void opinions_stats(const struct opinions *o, size_t endpoint, struct opinion_stats *out)
{
	const uint64_t *from = (const uint64_t *)&o->endpoints[endpoint].stats;

	for (size_t i = 0; i < sizeof(*out) / sizeof(uint64_t); i++)
		((uint64_t *)out)[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
