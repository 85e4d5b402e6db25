/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - sluiced: what it was called for.
 *
 * Order of birth: configuration and policy (a broken one stops us before anything is touched), capture (the gate is
 * closed now), the worker (keeper.c, work.c) with its ledger, the doors (the gate is open to us), control.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/own.h"
#include "keeper.h"
#include "report.h"

void daemon_print_report(const struct policy_report *report)
{
	if (report->text)
		fwrite(report->text, 1, report->len, stderr);
}

<<<<<<< HEAD
static void reload(struct daemon *d)
{
	struct policy_report report = {};
	struct ruleset *fresh = NULL, *old = d->rules;
	int err;

	/* The time is for Type=notify-reload of systemd 253 and later. */
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)nanos(CLOCK_MONOTONIC) / 1000);
	err = ruleset_load(&fresh, d->config->policy, &report);
	if (err) {
		const char *said = report.text && *report.text ? report.text : strerror(-err);

		snprintf(d->policy_error, sizeof(d->policy_error), "%.*s", (int)strcspn(said, "\n"), said);
		print_report(&report);
		log_error("policy: refused, the old one stays: mistakes=%zu", report.errors);
		note_policy(d, true);
	} else {
		d->rules = fresh;
		d->policy_error[0] = '\0';
		for (unsigned i = 0; i < d->thread_count; i++)
			if (worker_set_rules(d->threads[i].worker, fresh))
				log_error("policy: out of memory: a worker keeps the old one");
		ruleset_put(&old);
		note_policy(d, false);
		log_info("policy: loaded rules=%zu keywords=%u", ruleset_rules(fresh), report_keywords(fresh));
	}
	policy_report_free(&report);
	sd_notify(0, "READY=1");
}

/* ---- control ---- */

static void answer(void *arg, const ControlRequest *in, ControlReply *out)
{
	struct daemon *d = arg;

	switch (in->op_case) {
	case CONTROL_REQUEST__OP_RELOAD:
		reload(d);
		out->error = strdup(d->policy_error);
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
		if (info.ssi_signo == SIGHUP) {
			reload(d);
			continue;
		}
		log_info("stopping: signal=%s", sigabbrev_np((int)info.ssi_signo));
		loop_stop(d->loop);
	}
}

static void beat(struct post *p)
{
	atomic_store(&container_of(p, struct thread, pulse)->beats, true);
}

/* Whether every worker's loop has turned lately: the main loop alone proves nothing about the traffic. */
static bool all_turn(struct daemon *d)
{
	bool all = true;

	for (unsigned i = 0; i < d->thread_count; i++) {
		struct thread *t = &d->threads[i];

		if (atomic_load(&t->beats)) {
			atomic_store(&t->beats, false);
			t->missed = 0;
			loop_post(t->loop, &t->pulse);
		} else if (++t->missed >= MISSED_MAX) {
			all = false;
			if (t->missed == MISSED_MAX)
				log_error("worker: its loop stands still: loop=%u seconds=%d", i, MISSED_MAX);
		}
	}
	return all;
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

static void tick_due(struct timer *t)
{
	struct daemon *d = container_of(t, struct daemon, tick);

	loop_timer(d->loop, t, TICK_NS);
	capture_audit(d->capture);
	if (all_turn(d))
		sd_notify(0, "WATCHDOG=1");
	give_back(d);
	if (++d->ticks % HEARTBEAT_S == 0)
		note_heartbeat(d);
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
		.service_count = d->config->service_count,
		.limits = { .body_max = d->config->body_max,
		            .event_max = d->config->event_max,
		            .identity = (const char *const *)d->config->identity_headers,
		            .identity_count = d->config->identity_count },
		.subjects = d->subjects,
		.head_timeout_ms = d->config->head_timeout_ms,
		.stop_timeout_ms = d->config->stop_timeout_ms,
		.record_all = d->config->record_all,
	};

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

/* Whether a service manager has given us a cgroup of our own. A shell that runs in a unit hands INVOCATION_ID on to
 * what is started by hand, and its cgroup is not ours alone: SYSTEMD_EXEC_PID (systemd 248) says who was meant. */
static bool is_managed(void)
{
	const char *pid = getenv("SYSTEMD_EXEC_PID");

	return getenv("INVOCATION_ID") && (!pid || strtol(pid, NULL, 10) == (long)getpid());
}

static int open_capture(struct daemon *d)
{
	const struct config *c = d->config;
	struct capture_options o = {
		.pins = c->pins,
		.own_cgroup = is_managed() ? NULL : c->own_cgroup,
		.guard_count = c->service_count,
		.loops = d->thread_count,
	};
	char why[512] = "";
	int err;

	d->guards = calloc(c->service_count, sizeof(*d->guards));
	d->names = calloc(c->service_count, sizeof(*d->names));
	if (!d->guards || !d->names)
		return -ENOMEM;
	for (size_t i = 0; i < c->service_count; i++) {
		const struct config_service *s = &c->services[i];

		d->names[i] = s->name;
		d->guards[i] = (struct guard){
			.name = s->name,
			.unit = s->unit,
			.cgroup = s->cgroup,
			.ports = s->ports,
			.port_count = s->port_count,
			.fail_open = s->fail_open,
		};
	}
	o.guards = d->guards;
	err = capture_open(&d->capture, &o, why, sizeof(why));
	if (err)
		log_error("capture: %s", why);
	return err;
}

=======
>>>>>>> main
static void raise_limits(void)
{
	struct rlimit r;

	/* Two descriptors a connection. */
	if (!getrlimit(RLIMIT_NOFILE, &r) && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

<<<<<<< HEAD
static int start(struct daemon *d, const sigset_t *signals)
{
	struct serve_ops ops = { .arg = d, .answer = answer, .metrics = report_metrics };
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int err = loop_new(&d->loop);

	raise_limits();
	d->started_unix = nanos(CLOCK_REALTIME);
	d->thread_count = d->config->loops ? d->config->loops : cores > 0 ? (unsigned)cores : 1;
	d->threads = calloc(d->thread_count, sizeof(*d->threads));
	if (!d->threads)
		return -ENOMEM;
	err = err ? err : watch_signals(d, signals);
	err = err ? err : logs_open(d);
	err = err ? err : open_capture(d);
	if (err)
		return err;
	note_lifecycle(d, LIFECYCLE__KIND__START, "");
	note_policy(d, false);
	err = start_workers(d);
	if (err)
		return err;
	err = capture_doors(d->capture);
	if (err) {
		log_error("capture: the doors could not be put in place: error=%s", strerrorname_np(-err));
		return err;
	}
	if (d->last_unix)
		note_bypass(d, BYPASS__KIND__END, d->last_unix);
	err = serve_open(&d->serve, d->loop, d->config->control, d->config->metrics_listen, &ops);
	if (err) {
		log_error("control: %s, metrics %s: %s", d->config->control,
		          d->config->metrics_listen ? d->config->metrics_listen : "none", strerror(-err));
		return err;
	}
	d->ready = true;
	log_info("ready: services=%zu rules=%zu keywords=%u loops=%u", d->config->service_count,
	         ruleset_rules(d->rules), report_keywords(d->rules), d->thread_count);
	sd_notifyf(0, "READY=1\nSTATUS=guarding %zu services, %zu rules", d->config->service_count,
	           ruleset_rules(d->rules));
	return 0;
}

static void stop(struct daemon *d)
{
	sd_notify(0, "STOPPING=1");
	serve_close(&d->serve);
	for (unsigned i = 0; d->threads && i < d->thread_count; i++)
		if (d->threads[i].running) {
			loop_stop(d->threads[i].loop);
			pthread_join(d->threads[i].id, NULL);
		}
	for (unsigned i = 0; d->threads && i < d->thread_count; i++)
		if (d->threads[i].worker)
			worker_stop(d->threads[i].worker);
	capture_close(&d->capture);
	if (d->ledger) {
		if (d->ready) {
			note_lifecycle(d, LIFECYCLE__KIND__STOP, "signal");
			note_bypass(d, BYPASS__KIND__START, 0);
		}
		ledger_close(&d->ledger);
		ledger_close(&d->control);
	}
	for (unsigned i = 0; d->threads && i < d->thread_count; i++) {
		if (d->threads[i].worker)
			worker_free(&d->threads[i].worker);
		loop_free(&d->threads[i].loop);
	}
	subjects_close(&d->subjects);
	own_close(&d->signals.fd);
	loop_free(&d->loop);
	ruleset_put(&d->rules);
	config_free(&d->config);
	free(d->threads);
	free(d->guards);
	free(d->names);
}

=======
>>>>>>> main
static int usage(FILE *to, int status)
{
	fputs("usage: sluiced [-c FILE] [--check | --unpin | --version | --help]\n"
	      "\n"
	      "  -c, --config FILE  configuration (" CONFIG_FILE ")\n"
	      "      --check        read configuration and policy, name every mistake, guard nothing\n"
	      "      --unpin        take the guard down: what an earlier run left in the kernel is removed\n"
	      "      --version\n"
	      "\n"
	      "Runs in the foreground. SIGHUP reloads the policy, SIGTERM stops; the gate then stays as each\n"
	      "service's `fail` says.\n",
	      to);
	return status;
}

static int load_config(struct daemon *d)
{
	owned(own_free) char *mistakes = NULL;
	int err = config_load(&d->config, d->config_file, &mistakes);

	if (err)
		fputs(mistakes && *mistakes ? mistakes : "out of memory\n", stderr);
	return err;
}

int daemon_policy(struct daemon *d)
{
	owned(policy_report_free) struct policy_report report = {};
	int err = ruleset_load(&d->rules, d->config->policy, &report);

	daemon_print_report(&report);
	if (err && !report.text)
		fprintf(stderr, "%s: %s\n", d->config->policy, strerror(-err));
	return err;
}

static int check(struct daemon *d)
{
	printf("%s: good; %s: %zu rules, %u keywords\n", d->config_file, d->config->policy, ruleset_rules(d->rules),
	       report_keywords(d->rules));
	return fflush(stdout) ? -errno : 0;
}

/* Needs no good policy: it is what is left when everything else fails. */
static int take_down(struct daemon *d)
{
	int err = capture_unpin(d->config->pins);

	if (err)
		fprintf(stderr, "sluiced: %s: %s\n", d->config->pins, strerror(-err));
	return err;
}

static int run(struct daemon *d)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	log_set_level(d->config->log_level);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	d->thread_count = d->config->loops ? d->config->loops : cores > 0 ? (unsigned)cores : 1;
	return keeper_run(d);
}

int main(int argc, char **argv)
{
	enum { CHECK = 256, UNPIN, VERSION };
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, CHECK },
		{ "unpin", no_argument, NULL, UNPIN },      { "version", no_argument, NULL, VERSION },
		{ "help", no_argument, NULL, 'h' },         {},
	};
	struct daemon d = { .config_file = CONFIG_FILE, .signals = { .fd = -1 }, .sockets = SERVE_SOCKETS };
	int (*what)(struct daemon *) = run;
	int c, err;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			d.config_file = optarg;
			break;
		case CHECK:
			what = check;
			break;
		case UNPIN:
			what = take_down;
			break;
		case VERSION:
			puts("sluiced " SLUICE_VERSION);
			return 0;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind < argc)
		return usage(stderr, 2);
	err = load_config(&d);
	if (!err && what != take_down)
		err = daemon_policy(&d);
	if (!err)
		err = what(&d);
	ruleset_put(&d.rules);
	config_free(&d.config);
	free(d.guards);
	return err ? 1 : 0;
}
