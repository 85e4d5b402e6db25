/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.c - the unprivileged process: reads the traffic, decides, keeps the record.
 *
 * Order of birth: sandbox, policy (if this is not the first worker), ledger, loops, doors (asked of the keeper),
 * control. Whatever fails leaves the gate closed.
 */
#include <errno.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "herald.h"
#include "keeper.h"
#include "report.h"
#include "sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define TRACED true
#else
#define TRACED false
#endif

#define TICK_NS     1000000000u
#define HEARTBEAT_S 60
#define WITNESSED_S 2
#define FORGET_S    3600
#define MISSED_MAX  10    /* ticks without a turn of a worker's loop, then no beat is sent */
#define LOG_WAIT_MS 60000 /* for the record: closing it waits for the disk */
#define SILENCE_S   15    /* after which the herald says that nothing is read */
#define RELOAD_S    120   /* the same, while a policy is read */

#define ORIGIN_KEY "origin.key" /* the credential's name */

static uint64_t nanos(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- policy ---- */

static void expect_findings(struct daemon *d)
{
	for (size_t i = 0; i < d->config->service_count; i++)
		tally_expect(d->tally, d->names[i], d->rules);
}

void daemon_reload_policy(struct daemon *d)
{
	struct policy_report report = {};
	struct ruleset *fresh = NULL, *old = d->rules;
	struct policy_terms terms = daemon_terms(d);
	char why[sizeof(d->policy_error)];
	int err;

	keeper_tell(d->keeper, TELL_RELOADING, 0);
	herald_tell(d, RELOAD_S);
	err = ruleset_load_on(&fresh, d->config->policy, &terms, &report);
	if (!err && daemon_opinions(d->config, fresh, why, sizeof(why))) {
		ruleset_put(&fresh);
		memcpy(d->policy_error, why, sizeof(why));
		log_error("policy: refused, the old one stays: %s", why);
		note_policy(d, true);
	} else if (err) {
		const char *said = report.text && *report.text ? report.text : strerror(-err);

		snprintf(d->policy_error, sizeof(d->policy_error), "%.*s", (int)strcspn(said, "\n"), said);
		daemon_print_report(&report);
		log_event(EVENT_POLICY_REFUSED, "policy: refused, the old one stays: mistakes=%zu", report.errors);
		note_policy(d, true);
	} else {
		d->rules = fresh;
		expect_findings(d);
		d->policy_error[0] = '\0';
		d->policy_loaded_unix = nanos(CLOCK_REALTIME);
		for (unsigned i = 0; i < d->thread_count; i++)
			if (worker_set_rules(d->threads[i].worker, fresh))
				log_error("policy: out of memory: a worker keeps the old one");
		ruleset_put(&old);
		note_policy(d, false);
		log_event(EVENT_POLICY_LOADED, "policy: loaded rules=%zu keywords=%u", ruleset_rules(fresh),
		          report_keywords(fresh));
	}
	policy_report_free(&report);
	keeper_tell(d->keeper, TELL_RELOADED, 0);
	if (!d->policy_error[0])
		keeper_tell(d->keeper, TELL_POLICY, 0);
}

/* ---- control ---- */

static void answer(void *arg, const ControlRequest *in, ControlReply *out)
{
	struct daemon *d = arg;
	char error[256] = "";

	switch (in->op_case) {
	case CONTROL_REQUEST__OP_RELOAD:
		daemon_reload_policy(d);
		out->error = strdup(d->policy_error);
		break;
	case CONTROL_REQUEST__OP_CHANGE:
		commands_ask_change(d, in->change->upgrade ? TELL_UPGRADE : TELL_RELOAD, out);
		break;
	case CONTROL_REQUEST__OP_HOLD:
		hold_answer(d, in->hold, in->caller, error, sizeof(error));
		out->error = strdup(error);
		break;
	case CONTROL_REQUEST__OP_EXPORT:
		export_answer(d, in->export, in->caller, error, sizeof(error));
		out->error = strdup(error);
		break;
	case CONTROL_REQUEST__OP_REVEAL:
		reveal_answer(d, in->reveal, in->caller, error, sizeof(error));
		out->error = strdup(error);
		break;
	case CONTROL_REQUEST__OP_ERASE:
		erase_answer(d, in->erase, in->caller, &out->erase, error, sizeof(error));
		out->error = strdup(error);
		break;
	case CONTROL_REQUEST__OP_SUBJECT:
		subject_answer(d, in->subject, in->caller, &out->subject, error, sizeof(error));
		out->error = strdup(error);
		break;
	case CONTROL_REQUEST__OP_REVIEW:
		review_answer(d, in->review, in->caller, error, sizeof(error));
		out->error = strdup(error);
		break;
	case CONTROL_REQUEST__OP_LEARN:
		learn_answer(d, in->learn, in->caller, &out->learn, error, sizeof(error));
		out->error = strdup(error);
		break;
	case CONTROL_REQUEST__OP_STATUS:
		out->status = malloc(sizeof(*out->status));
		if (out->status) {
			*out->status = (StatusReply)STATUS_REPLY__INIT;
			report_status(d, out->status);
		}
		break;
	default:
		out->error = strdup("this version does not know that request");
	}
}

/* ---- signals and time ---- */

static void signal_ready(struct watch *w, uint32_t events)
{
	struct daemon *d = container_of(w, struct daemon, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (read(w->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			continue; /* the keeper's */
		log_info("stopping: signal=%s", sigabbrev_np((int)info.ssi_signo));
		commands_stop(d);
	}
}

static void beat(struct post *p)
{
	atomic_store(&container_of(p, struct thread, pulse)->beats, true);
}

/* Whether every loop has turned lately: the main loop alone proves nothing about the traffic. */
static bool all_turn(struct daemon *d)
{
	unsigned stuck = 0;

	for (unsigned i = 0; i < d->thread_count; i++) {
		struct thread *t = &d->threads[i];

		if (atomic_load(&t->beats)) {
			atomic_store(&t->beats, false);
			t->missed = 0;
			loop_post(t->loop, &t->pulse);
		} else if (++t->missed >= MISSED_MAX) {
			stuck++;
			if (t->missed == MISSED_MAX)
				log_event(EVENT_LOOP_STUCK, "worker: its loop stands still: loop=%u seconds=%d", i,
				          MISSED_MAX);
		}
	}
	d->stuck = stuck;
	return !stuck;
}

/* A crowd has gone: what the allocator keeps of it goes back to the system. */
static void give_back(struct daemon *d)
{
	struct worker_stats sum;

	report_totals(d, &sum);
	if (sum.open > d->most_open)
		d->most_open = sum.open;
	if (d->most_open < 256 || sum.open > d->most_open / 2)
		return;
	malloc_trim(0);
	d->most_open = sum.open;
}

/* A pseudonym can be linked for as long as its record is there, and no longer. Pruning goes by whole segments of a day:
 * two days more. Under a hold records stay, and their keys with them. */
static void forget_keys(struct daemon *d)
{
	int n;

	if (!d->subjects || holds_on_ledger(d->holds, 0, UINT64_MAX))
		return;
	n = subjects_forget(d->subjects, d->config->retain_days + 2);
	if (n > 0)
		log_info("record: keys of pseudonyms erased: keys=%d", n);
	else if (n < 0)
		log_warn("record: a key of pseudonyms is not erased: error=%s", strerrorname_np(-n));
}

/* Evidence stays as long as its record, and likewise. */
static void forget_evidence(struct daemon *d)
{
	char dir[4096];
	int n;

	if (holds_on_ledger(d->holds, 0, UINT64_MAX))
		return;
	snprintf(dir, sizeof(dir), "%s/ledger", d->config->record_dir);
	n = evidence_forget(dir, d->config->retain_days + 2);
	if (n > 0)
		log_info("record: evidence erased: days=%d", n);
	else if (n < 0)
		log_warn("record: evidence is not erased: error=%s", strerrorname_np(-n));
}

static void tick_due(struct timer *t)
{
	struct daemon *d = container_of(t, struct daemon, tick);

	loop_timer(d->loop, t, TICK_NS);
	if (all_turn(d))
		keeper_tell(d->keeper, TELL_BEAT, 0);
	give_back(d);
	if (d->leaving)
		return; /* the record's disk, its keys and who is told are the next one's */
	commands_look(d);
	disk_look(d);
	herald_tell(d, SILENCE_S);
	if (d->ticks % WITNESSED_S == 0)
		witnessed_look(d);
	if (d->ticks % FORGET_S == 0) {
		forget_keys(d);
		erase_due(d, !d->ticks);
		forget_evidence(d);
	}
	if (++d->ticks % HEARTBEAT_S == 0) {
		windows_note(d);
		note_heartbeat(d);
	}
}

static int watch_signals(struct daemon *d, const sigset_t *set)
{
	d->signals = (struct watch){ .ready = signal_ready };
	d->signals.fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals.fd < 0)
		return -errno;
	d->tick.due = tick_due;
	loop_timer(d->loop, &d->tick, TICK_NS);
	return loop_add_level(d->loop, &d->signals, EPOLLIN);
}

/* ---- birth ---- */

static void *run_thread(void *arg)
{
	struct thread *t = arg;

	loop_run(t->loop);
	return NULL;
}

static int start_workers(struct daemon *d)
{
	struct worker_options o = {
		.capture = d->capture,
		.ledger = d->ledger,
		.services = d->names,
		.upgrade_pass = d->upgrade_pass,
		.service_count = d->config->service_count,
		.limits = { .body_max = d->config->body_max,
		            .event_max = d->config->event_max,
		            .identity = (const char *const *)d->config->identity_headers,
		            .identity_count = d->config->identity_count },
		.subjects = d->subjects,
		.evidence = d->evidence,
		.tally = d->tally,
		.opinions = d->opinions,
		.opinion_count = d->config->opinion_count,
		.memory = &d->memory,
		.head_timeout_ms = d->config->head_timeout_ms,
		.stop_timeout_ms = d->config->stop_timeout_ms,
		.files_most = d->files_most,
		.record_all = d->config->record_all,
		.stopped = &d->stopped,
		.record_closed = d->config->disk.closed,
	};

	d->memory.most = d->config->memory_max;
	for (unsigned i = 0; i < d->thread_count; i++) {
		struct thread *t = &d->threads[i];
		int err = loop_new(&t->loop);

		t->pulse.run = beat;
		atomic_init(&t->beats, true);
		err = err ? err : worker_new(&t->worker, &o, i, t->loop, d->rules);
		err = err ? err : -pthread_create(&t->id, NULL, run_thread, t);
		if (err)
			return err;
		t->running = true;
	}
	return 0;
}

/* Asks for the doors; waits for them. */
static int open_doors(struct daemon *d)
{
	struct told answer;
	ssize_t n = keeper_ask(d->keeper, TELL_READY, &answer, sizeof(answer), ASK_MS);

	if (n != sizeof(answer))
		return n < 0 ? (int)n : -EBADMSG;
	d->open_passed = answer.value;
	return answer.error;
}

/* Asks for the record: a worker that has it gives it away first. */
static int ask_for_record(struct daemon *d)
{
	struct told answer = {};
	ssize_t n = keeper_ask(d->keeper, TELL_LOADED, &answer, sizeof(answer), LOG_WAIT_MS);

	if (n != sizeof(answer))
		return n < 0 ? (int)n : -EBADMSG;
	return answer.error;
}

/* What is on disk cannot be read, nobody serves, and the worker before this one died: the policy it had. What is wrong
 * with the one on disk is told as if it had been refused at a reload, which is what becomes of it. */
static int read_kept_policy(struct daemon *d, int err, const char *why)
{
	struct policy_report report = {};
	struct policy_terms terms = daemon_terms(d);
	char path[KEPT_PATH], text[TEXT_MAX];

	if (d->taken_over || kept_path(d, path) || ruleset_load_on(&d->rules, path, &terms, &report) ||
	    daemon_opinions(d->config, d->rules, text, sizeof(text))) {
		ruleset_put(&d->rules);
		policy_report_free(&report);
		return err;
	}
	policy_report_free(&report);
	snprintf(d->policy_error, sizeof(d->policy_error), "%s", why);
	return 0;
}

/* The policy of a worker that follows others; the keeper hears what is wrong with it. */
static int read_policy(struct daemon *d)
{
	owned(policy_report_free) struct policy_report report = {};
	const char *said;
	char text[TEXT_MAX];
	struct policy_terms terms = daemon_terms(d);
	int err = ruleset_load_on(&d->rules, d->config->policy, &terms, &report);

	daemon_print_report(&report);
	if (!err) {
		err = daemon_opinions(d->config, d->rules, text, sizeof(text));
		if (!err)
			return 0;
		ruleset_put(&d->rules);
		keeper_tell_text(d->keeper, TELL_FAILED, text);
		return read_kept_policy(d, err, text);
	}
	said = report.text && *report.text ? report.text : strerror(-err);
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(said, "\n"), said);
	keeper_tell_text(d->keeper, TELL_FAILED, text);
	return read_kept_policy(d, err, text);
}

static int enter_sandbox(struct daemon *d)
{
	char keys[4096], cosigned[4096], kept[KEPT_PATH] = "";
	struct sandbox_path paths[] = {
		{ d->config->policy, false },
		{ kept_path(d, kept) ? NULL : kept, false },
		{ d->config->record_dir, true },
		{ keys, true },
		{ cosigned, false },
		{ "/proc/sys/kernel/random/boot_id", false }, /* every record names it */
	};
	struct sandbox s = { .uid = d->worker_uid,
		             .gid = d->worker_gid,
		             .paths = paths,
		             .path_count = ARRAY_LEN(paths),
		             .traced = TRACED };
	int err;

	snprintf(keys, sizeof(keys), "%s.keys", d->config->record_dir);
	snprintf(cosigned, sizeof(cosigned), "%s.cosigned", d->config->record_dir);
	/* What a library reads once when it is first used is read now. */
	OPENSSL_init_crypto(OPENSSL_INIT_ADD_ALL_CIPHERS | OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_LOAD_CONFIG,
	                    NULL);
	capture_narrow(d->capture);
	err = sandbox_enter(&s, d->sandbox_lack, sizeof(d->sandbox_lack));
	if (err)
		log_error("sandbox: %s", d->sandbox_lack);
	else if (*d->sandbox_lack)
		log_warn("this kernel lacks what=\"%s\"", d->sandbox_lack);
	/* The keeper may have died before its death was to be ours. */
	return err ? err : getppid() == d->parent ? 0 : -EPIPE;
}

/* Their files and names are read before the sandbox, they are asked from within it. */
static int open_opinions(struct daemon *d)
{
	char why[256];
	int err;

	if (!d->config->opinion_count)
		return 0;
	err = opinions_new(&d->opinions, d->config->opinions, d->config->opinion_count, why, sizeof(why));
	if (err)
		log_error("%s", why);
	return err;
}

/* The user that the worker is about to be cannot read it. */
static int read_origin_key(struct daemon *d)
{
	int err = credential_read(&d->origin_pem, ORIGIN_KEY);

	if (err && err != -ENOENT)
		log_error("record: the credential " ORIGIN_KEY " cannot be read: error=%s", strerrorname_np(-err));
	return err == -ENOENT ? 0 : err;
}

static int start(struct daemon *d, const sigset_t *signals)
{
	struct serve_ops ops = { .arg = d, .answer = answer, .metrics = report_metrics, .healthy = report_health };
	struct rlimit files = {};
	int err = loop_new(&d->loop);

	/* It may not be asked from within the sandbox. */
	getrlimit(RLIMIT_NOFILE, &files);
	d->files_most = files.rlim_cur;
	d->started_unix = d->policy_loaded_unix = nanos(CLOCK_REALTIME);
	d->threads = calloc(d->thread_count, sizeof(*d->threads));
	d->names = calloc(d->config->service_count, sizeof(*d->names));
	d->upgrade_pass = calloc(d->config->service_count, sizeof(*d->upgrade_pass));
	if (!d->threads || !d->names || !d->upgrade_pass || tally_new(&d->tally))
		return -ENOMEM;
	for (size_t i = 0; i < d->config->service_count; i++) {
		d->names[i] = d->config->services[i].name;
		d->upgrade_pass[i] = d->config->services[i].upgrade_pass;
	}
	err = err ? err : watch_signals(d, signals);
	err = err ? err : open_opinions(d);
	err = err ? err : read_origin_key(d);
	err = err ? err : enter_sandbox(d);
	err = err || d->rules ? err : read_policy(d);
	err = err ? err : ask_for_record(d);
	err = err ? err : logs_open(d);
	credential_free(&d->origin_pem);
	if (err)
		return err;
	expect_findings(d);
	if (d->taken_over)
		note_lifecycle(d, LIFECYCLE__KIND__RELOAD, d->why);
	else
		note_lifecycle(d, LIFECYCLE__KIND__START, d->last_end);
	if (d->config->retain_unsafe)
		note_lifecycle(d, LIFECYCLE__KIND__UNSAFE, d->retain_policy[0]);
	note_policy(d, false);
	if (d->policy_error[0]) {
		note_policy(d, true);
		log_event(EVENT_POLICY_REFUSED,
		          "policy: what is on disk is broken, the last one that was in force stays: "
		          "cause=\"%s\"",
		          d->policy_error);
	}
	if (d->opinions)
		err = opinions_start(d->opinions);
	capture_ask_with(d->capture, commands_ask_dials, d);
	err = err ? err : start_workers(d);
	if (err)
		return err;
	err = open_doors(d);
	if (err) {
		log_error("keeper: it did not open the doors: error=%s", strerrorname_np(-err));
		return err;
	}
	if (d->last_unix && !d->restarts && !d->taken_over)
		note_bypass(d, BYPASS__KIND__END, d->last_unix);
	err = commands_take_over(d);
	err = err ? err : commands_watch(d);
	if (err) {
		log_error("taking over: error=%s", strerrorname_np(-err));
		return err;
	}
	err = serve_open(&d->serve, d->loop, &d->sockets, &ops);
	if (err) {
		log_error("control: %s", strerror(-err));
		return err;
	}
	d->ready = true;
	log_event(EVENT_READY, "ready: services=%zu rules=%zu keywords=%u loops=%u", d->config->service_count,
	          ruleset_rules(d->rules), report_keywords(d->rules), d->thread_count);
	keeper_tell(d->keeper, TELL_UP, ruleset_rules(d->rules));
	if (!d->policy_error[0])
		keeper_tell(d->keeper, TELL_POLICY, 0);
	herald_tell(d, SILENCE_S);
	return 0;
}

static void stop(struct daemon *d)
{
	serve_close(&d->serve);
	for (unsigned i = 0; d->threads && i < d->thread_count; i++)
		if (d->threads[i].running) {
			loop_stop(d->threads[i].loop);
			pthread_join(d->threads[i].id, NULL);
		}
	for (unsigned i = 0; d->threads && i < d->thread_count; i++)
		if (d->threads[i].worker)
			worker_stop(d->threads[i].worker);
	opinions_free(&d->opinions);
	capture_close(&d->capture);
	if (d->ledger) {
		if (d->ready && !d->leaving) {
			windows_note(d);
			note_lifecycle(d, LIFECYCLE__KIND__STOP, "signal");
			note_bypass(d, BYPASS__KIND__START, 0);
		}
		evidence_close(&d->evidence); /* its records go into the ledger */
		ledger_close(&d->ledger);
		ledger_close(&d->control);
	}
	commands_close(d);
	for (unsigned i = 0; d->threads && i < d->thread_count; i++) {
		if (d->threads[i].worker)
			worker_free(&d->threads[i].worker);
		loop_free(&d->threads[i].loop);
	}
	subjects_close(&d->subjects);
	tally_free(&d->tally);
	holds_close(&d->holds);
	erasures_close(&d->erasures);
	own_close(&d->signals.fd);
	loop_free(&d->loop);
	ruleset_put(&d->rules);
	own_close(&d->keeper);
	free(d->threads);
	free(d->names);
	free(d->upgrade_pass);
	free(d->windows.before);
}

int work(struct daemon *d, int fd)
{
	sigset_t set;
	int err;

	umask(0027); /* whatever the keeper's is: auditors read the record by its group */
	d->keeper = fd;
	d->signals = (struct watch){ .fd = -1 };
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	err = start(d, &set);
	if (!err)
		loop_run(d->loop);
	stop(d);
	config_free(&d->config);
	free(d->guards);
	return err;
}
