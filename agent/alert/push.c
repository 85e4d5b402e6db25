/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push.c - alerts go out by HTTP, to receivers that may be slow, gone or hostile.
 *
 * Each target has a queue of changes, one request at a time with a deadline, and a pause after a failure that doubles
 * up to a minute. What comes back is not read: only the status counts, and a redirect is a failure. Alertmanager
 * forgets what is not said again, so what fires is repeated to it.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alert/alert.h"
#include "base/own.h"

#define QUEUE_MAX   64
#define BODY_MAX    (QUEUE_MAX * 2048 + 4096)
#define ANSWER_MAX  65536 /* a receiver that says more is cut off */
#define DEADLINE_MS 5000
#define CONNECT_MS  2000
#define PAUSE_MAX_S 60
#define REPEAT_S    60
#define STANDING    (ALERT_KIND_COUNT * ALERT_SERVICES_MAX)

struct target {
	struct pusher *pusher;
	const char *name;
	bool repeats; /* Alertmanager: states; the webhook: changes */
	char *url;
	struct curl_slist *fields;
	CURL *easy;
	bool busy;
	struct alert_change queue[QUEUE_MAX]; /* oldest first */
	size_t count, sending;
	uint64_t dropped, dropped_sending;
	struct buf body;
	size_t answered;
	unsigned pause_s;
	uint64_t not_before, repeat_at; /* monotonic seconds */
};

struct pusher {
	struct push_options o;
	CURLM *multi;
	struct target targets[2];
	size_t target_count;
	/* Since when it fires, 0: it does not. For what is repeated. */
	uint64_t since[ALERT_KIND_COUNT][ALERT_SERVICES_MAX];
	size_t standing;
};

static uint64_t seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec;
}

static size_t count_answer(char *data, size_t size, size_t n, void *arg)
{
	struct target *t = arg;

	(void)data;
	t->answered += size * n;
	return t->answered > ANSWER_MAX ? 0 : size * n;
}

/* ---- birth ---- */

static int add_target(struct pusher *p, const char *name, const char *url, const char *path, const char *token)
{
	struct target *t = &p->targets[p->target_count];
	char field[4096 + 32];
	struct curl_slist *more;
	size_t len = strlen(url);

	while (*path && len && url[len - 1] == '/')
		len--;
	p->target_count++;
	t->pusher = p;
	t->name = name;
	t->repeats = *path;
	t->body = BUF(BODY_MAX);
	t->easy = curl_easy_init();
	if (asprintf(&t->url, "%.*s%s", (int)len, url, path) < 0)
		t->url = NULL;
	t->fields = curl_slist_append(NULL, "Content-Type: application/json");
	if (!t->easy || !t->url || !t->fields)
		return -ENOMEM;
	if (token) {
		snprintf(field, sizeof(field), "Authorization: Bearer %s", token);
		more = curl_slist_append(t->fields, field);
		explicit_bzero(field, sizeof(field));
		if (!more)
			return -ENOMEM;
	}
	/* No "Expect: 100-continue": messages are small. */
	if (!curl_slist_append(t->fields, "Expect:"))
		return -ENOMEM;
	curl_easy_setopt(t->easy, CURLOPT_URL, t->url);
	curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(t->easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)DEADLINE_MS);
	curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->fields);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, count_answer);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	return 0;
}

void push_free(struct pusher **at)
{
	struct pusher *p = *at;

	if (!p)
		return;
	for (size_t i = 0; i < p->target_count; i++) {
		struct target *t = &p->targets[i];

		if (t->busy)
			curl_multi_remove_handle(p->multi, t->easy);
		curl_easy_cleanup(t->easy);
		curl_slist_free_all(t->fields);
		free(t->url);
		buf_free(&t->body);
	}
	curl_multi_cleanup(p->multi);
	free(p);
	*at = NULL;
}

int push_new(struct pusher **out, const struct push_options *o)
{
	owned(push_free) struct pusher *p = calloc(1, sizeof(*p));
	int err = 0;

	if (!p)
		return -ENOMEM;
	p->o = *o;
	p->multi = curl_multi_init();
	if (!p->multi)
		return -ENOMEM;
	if (o->alertmanager)
		err = add_target(p, "alertmanager", o->alertmanager, "/api/v2/alerts", NULL);
	if (!err && o->webhook)
		err = add_target(p, "webhook", o->webhook, "", o->token);
	if (err)
		return err;
	*out = TAKE(p);
	return 0;
}

/* ---- queues ---- */

static void forget(struct target *t, size_t n)
{
	t->count -= n;
	memmove(t->queue, t->queue + n, t->count * sizeof(*t->queue));
	t->sending -= n < t->sending ? n : t->sending;
}

void push_change(struct pusher *p, const struct alert_change *c)
{
	uint64_t *since = &p->since[c->kind][c->service];

	p->standing += (size_t)(c->firing && !*since);
	p->standing -= (size_t)(!c->firing && *since);
	*since = c->firing ? c->at_unix : 0;
	for (size_t i = 0; i < p->target_count; i++) {
		struct target *t = &p->targets[i];

		if (t->count == QUEUE_MAX) {
			forget(t, 1);
			t->dropped++;
			atomic_fetch_add(&p->o.counts->dropped, 1);
		}
		t->queue[t->count++] = *c;
	}
}

/* ---- sending ---- */

/* What fires and is not in the queue, where its last word is. */
static int add_standing(struct target *t, uint64_t until)
{
	struct pusher *p = t->pusher;
	int err = 0;

	for (size_t i = 0; i < STANDING && !err; i++) {
		struct alert_change c = { .kind = (enum alert_kind)(i / ALERT_SERVICES_MAX),
			                  .service = (uint16_t)(i % ALERT_SERVICES_MAX),
			                  .firing = true };
		bool queued = false;

		c.at_unix = p->since[c.kind][c.service];
		for (size_t k = 0; k < t->count; k++)
			queued |= t->queue[k].kind == c.kind && t->queue[k].service == c.service;
		/* What has no room waits for the next time. */
		if (c.at_unix && !queued && buf_len(&t->body) < BODY_MAX - 4096)
			err = alert_for_alertmanager(&t->body, &c, &p->o.words, until);
	}
	return err;
}

/* Whether a later change in the queue says more of the same alert. */
static bool is_outdated(const struct target *t, size_t at)
{
	for (size_t i = at + 1; i < t->count; i++)
		if (t->queue[i].kind == t->queue[at].kind && t->queue[i].service == t->queue[at].service)
			return true;
	return false;
}

/* A state is said once a message; changes are all said. */
static int write_body(struct target *t, bool repeat)
{
	struct pusher *p = t->pusher;
	uint64_t until = seconds(CLOCK_REALTIME) + 4 * REPEAT_S;
	int err = 0;

	buf_cut(&t->body, 0);
	t->sending = 0;
	for (size_t i = 0; i < t->count && !err && buf_len(&t->body) < BODY_MAX - 4096; i++) {
		if (!t->repeats)
			err = alert_for_webhook(&t->body, &t->queue[i], &p->o.words, t->dropped);
		else if (!is_outdated(t, i))
			err = alert_for_alertmanager(&t->body, &t->queue[i], &p->o.words, until);
		t->sending = i + 1;
	}
	if (!err && repeat)
		err = add_standing(t, until);
	return err ? err : buf_printf(&t->body, t->repeats ? "]" : "]}");
}

static void failed(struct target *t, const char *why)
{
	struct pusher *p = t->pusher;
	bool first = !t->pause_s;

	t->pause_s = first ? 1 : t->pause_s * 2 > PAUSE_MAX_S ? PAUSE_MAX_S : t->pause_s * 2;
	t->not_before = seconds(CLOCK_MONOTONIC) + t->pause_s;
	atomic_fetch_add(&p->o.counts->failed, 1);
	if (first)
		p->o.said(p->o.arg, t->name, why, t->pause_s);
}

static void delivered(struct target *t)
{
	struct pusher *p = t->pusher;

	if (t->pause_s)
		p->o.said(p->o.arg, t->name, NULL, 0);
	t->pause_s = 0;
	t->not_before = 0;
	t->repeat_at = seconds(CLOCK_MONOTONIC) + REPEAT_S;
	t->dropped -= t->dropped_sending;
	forget(t, t->sending);
	atomic_fetch_add(&p->o.counts->delivered, 1);
}

static void send_if_due(struct target *t)
{
	struct pusher *p = t->pusher;
	uint64_t now = seconds(CLOCK_MONOTONIC);
	bool repeat = t->repeats && p->standing && now >= t->repeat_at;

	if (t->busy || now < t->not_before || (!t->count && !repeat))
		return;
	if (write_body(t, repeat)) {
		failed(t, "out of memory");
		return;
	}
	t->answered = 0;
	t->dropped_sending = t->dropped;
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, (const char *)buf_slice(&t->body).at);
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long)buf_len(&t->body));
	if (curl_multi_add_handle(p->multi, t->easy))
		failed(t, "out of memory");
	else
		t->busy = true;
}

static void finished(struct target *t, CURLcode code)
{
	long status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_multi_remove_handle(t->pusher->multi, t->easy);
	t->busy = false;
	if (code)
		failed(t, curl_easy_strerror(code));
	else if (status >= 200 && status < 300)
		delivered(t);
	else
		failed(t, status >= 300 && status < 400 ? "it redirects, and that is not followed"
		          : status >= 500               ? "it answers with 5xx"
		                                        : "it answers with 4xx");
}

void push_turn(struct pusher *p, int fd, int ms)
{
	struct curl_waitfd extra = { .fd = fd, .events = CURL_WAIT_POLLIN };
	struct CURLMsg *m;
	int running, left;

	for (size_t i = 0; i < p->target_count; i++)
		send_if_due(&p->targets[i]);
	curl_multi_perform(p->multi, &running);
	while ((m = curl_multi_info_read(p->multi, &left)) != NULL) {
		char *private = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
		finished((struct target *)(void *)private, m->data.result);
	}
	curl_multi_poll(p->multi, &extra, 1, ms, NULL);
}
