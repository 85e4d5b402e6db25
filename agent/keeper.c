/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.c - the privileged process: the guard in the kernel, the doors, and workers, one of which serves.
 *
 * While none serves the doors stay: connections wait in their backlogs and nothing passes. Services with `fail: open`
 * pass only when the keeper is gone, too.
 */
#include "keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "herald.h"
#include "wards.h"

static void again_due(struct timer *t)
{
	struct keeper *k = container_of(t, struct keeper, again);
	int err;

	if (k->stopping || ward_with(k, WARD_SERVING) || ward_with(k, WARD_COMING))
		return;
	err = ward_spawn(k);
	if (err) {
		log_error("worker: cannot be made: error=%s retry_s=1", strerrorname_np(-err));
		loop_timer(k->loop, &k->again, TICK_NS);
	}
}

/* ---- signals and time ---- */

static void stop(struct keeper *k, uint32_t signal)
{
	log_event(EVENT_STOPPING, "stopping: signal=%s", sigabbrev_np((int)signal));
	sd_notify(0, "STOPPING=1");
	if (k->stopping)
		return;
	k->stopping = true;
	if (!k->wards)
		loop_stop(k->loop);
	/* A keeper without CAP_KILL may not signal another user. */
	for (struct ward *w = k->wards; w; w = w->next)
		if (ward_signal(w, SIGTERM))
			ward_command(w, COMMAND_STOP, 0, NULL, NULL, 0);
}

static void ended(struct keeper *k)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!upgrade_checked(k, pid, status) && !ward_ended(k, pid, status))
			herald_ended(k->d, pid, status);
}

/* Configuration and policy, as they are now. */
static void reload(struct keeper *k)
{
	struct ward *serving = ward_with(k, WARD_SERVING);
	char why[TEXT_MAX];
	uint64_t value;

	if (!change_begin(k, &value, why) && value == k->d->generation && serving)
		ward_command(serving, COMMAND_RELOAD, 0, NULL, NULL, 0);
}

static void signal_ready(struct watch *w, uint32_t events)
{
	struct keeper *k = container_of(w, struct keeper, signals);
	struct signalfd_siginfo info;
	char why[TEXT_MAX];
	uint64_t value;

	(void)events;
	while (read(w->fd, &info, sizeof(info)) == sizeof(info))
		switch (info.ssi_signo) {
		case SIGCHLD:
			ended(k);
			break;
		case SIGHUP:
			reload(k);
			break;
		case SIGUSR2:
			(void)upgrade_begin(k, &value, why);
			break;
		default:
			stop(k, info.ssi_signo);
			break;
		}
}

/* A server came up in another network namespace. */
static void listens_ready(struct watch *w, uint32_t events)
{
	(void)events;
	capture_heard(container_of(w, struct keeper, listens)->d->capture);
}

static void tick_due(struct timer *t)
{
	struct keeper *k = container_of(t, struct keeper, tick);

	loop_timer(k->loop, t, TICK_NS);
	if (k->doors)
		capture_audit(k->d->capture);
	sd_notify(0, "WATCHDOG=1");
	if (!k->stopping)
		herald_look(k->d);
	if (k->stopping && ++k->stopping_s == STOP_S) {
		for (struct ward *w = k->wards; w; w = w->next)
			if (ward_signal(w, SIGKILL))
				loop_stop(k->loop);
	}
	ward_tick(k);
	if (k->policy_news)
		kept_renew(k->d);
	k->policy_kept = k->policy_news;
	k->policy_news = false;
}

static int watch_signals(struct keeper *k)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	k->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (k->signals.fd < 0)
		return -errno;
	return loop_add_level(k->loop, &k->signals, EPOLLIN);
}

/* ---- birth ---- */

static int listen_for_control(struct daemon *d)
{
	const struct config *c = d->config;
	int err = serve_listen(&d->sockets, c->control, c->metrics_listen);

	if (err)
		log_error("control: %s, metrics %s: %s", c->control, c->metrics_listen ? c->metrics_listen : "none",
		          strerror(-err));
	return err;
}

/* Whether a service manager has given us a cgroup of our own. A shell that runs in a unit hands INVOCATION_ID on to
 * what is started by hand, and its cgroup is not ours alone: SYSTEMD_EXEC_PID (systemd 248) says who was meant. */
static bool is_managed(void)
{
	const char *pid = getenv("SYSTEMD_EXEC_PID");

	return getenv("INVOCATION_ID") && (!pid || strtol(pid, NULL, 10) == (long)getpid());
}

static int open_capture(struct keeper *k, const int *kept, size_t kept_count)
{
	struct daemon *d = k->d;
	const struct config *c = d->config;
	struct capture_options o = {
		.pins = c->pins,
		.own_cgroup = is_managed() ? NULL : c->own_cgroup,
		.guard_count = c->service_count,
		.loops = d->thread_count,
		.kept = kept,
		.kept_count = kept_count,
		.watcher = { .came = wards_space_came, .went = wards_space_went, .arg = k },
	};
	char why[512] = "";
	int err;

	d->guards = guards_of(c);
	if (!d->guards)
		return -ENOMEM;
	o.guards = d->guards;
	err = capture_open(&d->capture, &o, why, sizeof(why));
	if (err) {
		log_error("capture: %s", why);
		return err;
	}
	k->listens.fd = capture_listens(d->capture);
	return loop_add_level(k->loop, &k->listens, EPOLLIN);
}

static int find_program(struct keeper *k)
{
	ssize_t n = readlink("/proc/self/exe", k->program, sizeof(k->program) - 1);

	k->program[n > 0 ? n : 0] = '\0';
	return n > 0 ? 0 : -errno;
}

/* The first worker, or the one after those that another program of this process made. */
static int begin(struct keeper *k, bool goes_on)
{
	int err = goes_on ? again_wards(k) : 0;

	if (!err && goes_on) {
		k->was_up = true;
		k->change.why = "upgrade";
	}
	return err ? err : ward_spawn(k);
}

int keeper_run(struct daemon *d)
{
	struct keeper k = { .d = d,
		            .signals = { .ready = signal_ready, .fd = -1 },
		            .listens = { .ready = listens_ready, .fd = -1 },
		            .check_says = { .fd = -1 } };
	owned(own_free) int *kept = NULL;
	size_t kept_count = 0;
	bool goes_on = keeper_goes_on();
	int err = loop_new(&k.loop);

	d->born_unix = (uint64_t)time(NULL);
	k.tick.due = tick_due;
	k.again.due = again_due;
	err = err ? err : watch_signals(&k);
	err = err ? err : find_program(&k);
	err = err ? err : daemon_user(d);
	err = err ? err : again_read(d, &kept, &kept_count);
	if (err == -EBADMSG)
		log_error("upgrade: what the program before this one had cannot be read");
	err = err ? err : daemon_folders(d, !goes_on);
	err = err || !goes_on ? err : daemon_policy_key(d);
	err = err ? err : herald_start(d);
	err = err || goes_on ? err : listen_for_control(d);
	if (!err && !goes_on)
		kept_forget(d);
	err = err ? err : open_capture(&k, kept, kept_count);
	err = err ? err : begin(&k, goes_on);
	if (!err) {
		loop_timer(k.loop, &k.tick, TICK_NS);
		loop_run(k.loop);
		err = k.error;
	}
	wards_free(&k);
	change_drop(&k);
	capture_close(&d->capture);
	serve_unlisten(&d->sockets);
	own_close(&k.check_says.fd);
	if (k.signals.fd >= 0)
		own_close(&k.signals.fd);
	loop_free(&k.loop);
	return err;
}
