/* SPDX-License-Identifier: Apache-2.0 */
/* herald.c - the process that pushes alerts, and how the others make it and tell it. */
#include "herald.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "alert/alert.h"
#include "base/log.h"
#include "base/own.h"
#include "report.h"
#include "sandbox.h"

#define TURN_MS     500
#define AGAIN_S     10
#define UNCOVERED_S 15 /* the keeper is asked what is not covered */
#define TOKEN       "alerts.token"

#if defined(__SANITIZE_ADDRESS__)
#define TRACED true
#else
#define TRACED false
#endif

/* ---- its own life ---- */

struct herald {
	struct alert_judge judge;
	struct pusher *pusher;
	const char **names;
};

static uint64_t seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec;
}

static void changed(void *arg, const struct alert_change *c)
{
	struct herald *h = arg;
	const struct alert_row *row = &alert_table[c->kind];

	log_event(c->firing ? EVENT_ALERT : EVENT_ALERT_OVER, "alert: name=%s state=%s service=%s", row->name,
	          c->firing ? "firing" : "resolved", row->by_service ? h->names[c->service] : "-");
	push_change(h->pusher, c);
}

static void said(void *arg, const char *target, const char *why, unsigned retry_s)
{
	(void)arg;
	if (why)
		log_event(EVENT_ALERT_UNTOLD, "alert: not delivered: to=%s error=\"%s\" retry_s=%u", target, why,
		          retry_s);
	else
		log_info("alert: delivered again: to=%s", target);
}

/* The last facts win; counters make up for those that were skipped. False: everybody else is gone. */
static bool hear(struct herald *h, int fd)
{
	struct alert_facts f;
	ssize_t n;

	while ((n = recv(fd, &f, sizeof(f), MSG_DONTWAIT)) != 0) {
		if (n == sizeof(f))
			alert_hear(&h->judge, &f, seconds(CLOCK_MONOTONIC));
		else if (n < 0 && errno != EINTR)
			return errno == EAGAIN;
	}
	return false;
}

/* What stands in the way of a header field is not a token. */
static char *read_token(void)
{
	owned(credential_free) char *text = NULL;
	size_t len;

	if (credential_read(&text, TOKEN))
		return NULL;
	len = strcspn(text, "\r\n");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f)
			return NULL;
	return len ? strndup(text, len) : NULL;
}

static int enter_sandbox(const struct daemon *d)
{
	static struct sandbox_path paths[] = {
		{ "/etc/resolv.conf", false },
		{ "/etc/hosts", false },
		{ "/etc/host.conf", false },
		{ "/etc/nsswitch.conf", false },
		{ "/etc/gai.conf", false },
		{ "/etc/ssl", false },
		{ "/usr/share/ca-certificates", false },
		{ "/usr/local/share/ca-certificates", false },
		{ "/usr/lib", false }, /* what resolves names is loaded when it is first needed */
	};
	struct sandbox s = { .uid = d->worker_uid,
		             .gid = d->worker_gid,
		             .paths = paths,
		             .path_count = ARRAY_LEN(paths),
		             .traced = TRACED };
	char lacks[192];
	int err = sandbox_enter(&s, lacks, sizeof(lacks));

	if (err)
		log_error("alert: sandbox: %s", lacks);
	return err;
}

static int live(struct daemon *d, int fd)
{
	const struct config_alerts *c = &d->config->alerts;
	struct alert_limits limits = { .window_s = c->window_s, .blocks = c->blocks, .policy_age_s = c->policy_age_s };
	owned(own_free) char *token = read_token();
	char host[128] = "host";
	struct push_options o = { .alertmanager = c->alertmanager,
		                  .webhook = c->webhook,
		                  .token = token,
		                  .counts = d->alert_counts,
		                  .said = said };
	struct herald *h = calloc(1, sizeof(*h));
	int err = h ? 0 : -ENOMEM;

	(void)gethostname(host, sizeof(host) - 1);
	if (!err && curl_global_init(CURL_GLOBAL_DEFAULT))
		err = -ENOMEM;
	err = err ? err : enter_sandbox(d);
	if (!err)
		h->names = calloc(d->config->service_count, sizeof(*h->names));
	if (err || !h->names) {
		free(h);
		return err ? err : -ENOMEM;
	}
	for (size_t i = 0; i < d->config->service_count; i++)
		h->names[i] = d->config->services[i].name;
	o.words = (struct alert_words){ .host = host, .services = h->names };
	err = push_new(&h->pusher, &o);
	alert_judge_init(&h->judge, &limits, d->config->service_count, seconds(CLOCK_MONOTONIC));
	while (!err && hear(h, fd)) {
		alert_look(&h->judge, seconds(CLOCK_MONOTONIC), seconds(CLOCK_REALTIME), changed, h);
		push_turn(h->pusher, fd, TURN_MS);
	}
	push_free(&h->pusher);
	free(h->names);
	free(h);
	curl_global_cleanup();
	return err;
}

/* ---- in the keeper ---- */

static int spawn(struct daemon *d)
{
	pid_t parent = getpid(), pid;
	sigset_t none;
	int err;

	d->herald_born = seconds(CLOCK_MONOTONIC);
	pid = fork();
	if (pid < 0)
		return -errno;
	d->herald = pid;
	if (pid)
		return 0;
	/* Nothing of the keeper's but this end of the pair. */
	if (dup2(d->herald_pair[0], 3) < 0 || close_range(4, ~0u, 0))
		_exit(1);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
	err = live(d, 3);
	fflush(NULL);
	ruleset_put(&d->rules);
	config_free(&d->config);
	free(d->guards);
	exit(err ? 1 : 0);
}

static bool is_wanted(const struct config *c)
{
	return c->alerts.alertmanager || c->alerts.webhook;
}

void herald_prepare(struct daemon *d, const struct config *next)
{
	if (!is_wanted(next) || d->alert_counts)
		return;
	d->alert_counts =
		mmap(NULL, sizeof(*d->alert_counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (d->alert_counts == MAP_FAILED)
		d->alert_counts = NULL;
}

static int start(struct daemon *d)
{
	int err = 0;

	d->herald = 0;
	d->herald_pair[0] = d->herald_pair[1] = -1;
	if (!is_wanted(d->config))
		return 0;
	herald_prepare(d, d->config);
	if (!d->alert_counts)
		err = -ENOMEM;
	if (!err && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, d->herald_pair))
		err = -errno;
	err = err ? err : spawn(d);
	if (err)
		log_error("alert: nobody can be told: error=%s", strerrorname_np(-err));
	return err;
}

int herald_start(struct daemon *d)
{
	return start(d);
}

void herald_follow(struct daemon *d)
{
	own_close(&d->herald_pair[0]);
	own_close(&d->herald_pair[1]);
	(void)start(d);
}

void herald_ended(struct daemon *d, pid_t pid, int status)
{
	if (d->herald <= 0 || pid != d->herald)
		return;
	log_error("alert: who tells people is gone, and made again: status=0x%x", (unsigned)status);
	d->herald = -1;
}

void herald_look(struct daemon *d)
{
	if (d->herald < 0 && seconds(CLOCK_MONOTONIC) - d->herald_born >= AGAIN_S)
		(void)spawn(d);
}

/* ---- in the worker ---- */

void herald_is_now(struct daemon *d, int fd)
{
	own_close(&d->herald_pair[0]);
	own_close(&d->herald_pair[1]);
	d->herald_pair[0] = -1;
	d->herald_pair[1] = fd;
}

void herald_tell(struct daemon *d, unsigned patience_s)
{
	struct alert_facts f = { .started_unix = d->started_unix / 1000000000u,
		                 .policy_loaded_unix = d->policy_loaded_unix / 1000000000u,
		                 .open_passed = d->open_passed,
		                 .patience_s = patience_s };
	struct worker_stats sum;

	if (d->herald_pair[1] < 0)
		return;
	report_totals(d, &sum);
	f.stops_not_confirmed = sum.stop_not_confirmed;
	f.record_sound = ledger_is_sound(d->ledger) && ledger_is_sound(d->control);
	if (d->ticks % UNCOVERED_S == 0) {
		owned(guard_status_drop) GuardStatus *g = report_ask_guard(d);

		d->uncovered = g ? (uint32_t)g->n_uncovered : d->uncovered;
	}
	f.uncovered = d->uncovered;
	for (size_t i = 0; i < d->config->opinion_count && d->opinions; i++) {
		struct opinion_stats one;

		opinions_stats(d->opinions, i, &one);
		f.breakers_opened += one.breaker_opened;
		f.breakers_open += (uint32_t)one.breaker_open;
	}
	for (size_t i = 0; i < d->config->service_count; i++) {
		struct service_stats one;

		report_service(d, i, &one);
		f.blocked[i] = one.verdicts[VERDICT_BLOCKED];
	}
	/* What does not get there is said again in a second. */
	(void)send(d->herald_pair[1], &f, sizeof(f), MSG_DONTWAIT | MSG_NOSIGNAL);
}
