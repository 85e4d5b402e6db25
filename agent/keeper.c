/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.c - the privileged process: the guard in the kernel, the doors, and one worker that is kept alive.
 *
 * While a worker is gone the doors stay: connections wait in their backlogs and nothing passes. Services with
 * `fail: open` pass only when the keeper is gone, too.
 */
#include "keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "herald.h"
#include "report.h"

#define TICK_NS      1000000000u
#define BEATLESS_S   15  /* a worker whose loops do not turn is ended */
#define RELOAD_S     120 /* what reading a policy may take */
#define STOP_S       20  /* what ending may take */
#define SHORT_LIFE_S 10  /* a worker that dies younger is not made again at once */
#define PAUSE_MAX_S  10

struct keeper {
	struct daemon *d;
	struct loop *loop;
	struct watch signals, pair; /* pair: this end of what goes to the worker */
	struct timer tick, again;   /* again: when a worker is made after a pause */
	pid_t worker;               /* 0: there is none */
	uint64_t born;              /* loop time */
	unsigned pause_s, beatless_s, patience_s, stopping_s;
	bool up, was_up, stopping, doors;
	int error; /* why the first worker did not come up */
};

/* ---- what the worker says ---- */

static void say_status(struct keeper *k)
{
	owned(guard_status_drop) GuardStatus *status = report_guard(k->d);
	owned(own_free) uint8_t *packed = NULL;
	size_t len = status ? guard_status__get_packed_size(status) : 0;

	if (len && len <= GUARD_STATUS_MAX)
		packed = malloc(len);
	if (packed)
		guard_status__pack(status, packed);
	if (send(k->pair.fd, packed ? packed : (uint8_t *)"", packed ? len : 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warn("worker: it could not be told the state of the guard: error=%s", strerrorname_np(errno));
}

static void open_doors(struct keeper *k)
{
	struct told answer = { .what = TELL_READY };

	if (!k->doors) {
		answer.error = capture_doors(k->d->capture);
		k->doors = !answer.error;
		answer.value = answer.error ? 0 : capture_open_passed(k->d->capture);
		if (answer.error)
			log_error("capture: the doors could not be put in place: error=%s",
			          strerrorname_np(-answer.error));
	}
	if (send(k->pair.fd, &answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_error("worker: it could not be answered: error=%s", strerrorname_np(errno));
}

static void heard(struct keeper *k, const struct told *t)
{
	struct timespec now;

	k->beatless_s = 0;
	switch (t->what) {
	case TELL_READY:
		open_doors(k);
		break;
	case TELL_UP:
		k->up = k->was_up = true;
		k->patience_s = BEATLESS_S;
		sd_notifyf(0, "READY=1\nSTATUS=guarding %zu services, %llu rules", k->d->config->service_count,
		           (unsigned long long)t->value);
		break;
	case TELL_RELOADING:
		k->patience_s = RELOAD_S;
		clock_gettime(CLOCK_MONOTONIC, &now);
		/* The time is for Type=notify-reload of systemd 253 and later. */
		sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		           (unsigned long long)now.tv_sec * 1000000u + (unsigned long long)now.tv_nsec / 1000);
		break;
	case TELL_RELOADED:
		k->patience_s = BEATLESS_S;
		sd_notify(0, "READY=1");
		break;
	case TELL_STATUS:
		say_status(k);
		break;
	default:
		break;
	}
}

static void pair_ready(struct watch *w, uint32_t events)
{
	struct keeper *k = container_of(w, struct keeper, pair);
	struct told t;
	ssize_t n;

	(void)events;
	for (int i = 0; i < 64; i++) {
		n = recv(w->fd, &t, sizeof(t), MSG_DONTWAIT);
		if (n == sizeof(t))
			heard(k, &t);
		else if (n <= 0)
			break;
	}
	/* It is gone or about to be; the signal will say so. */
	if (n == 0)
		loop_del(k->loop, w);
}

/* ---- a worker ---- */

static void pair_close(struct keeper *k)
{
	if (k->pair.fd < 0)
		return;
	loop_del(k->loop, &k->pair);
	own_close(&k->pair.fd);
	k->pair.fd = -1;
}

static int spawn(struct keeper *k)
{
	int both[2], room = GUARD_STATUS_MAX + 4096, err;
	pid_t parent = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both))
		return -errno;
	setsockopt(both[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	k->worker = fork();
	if (k->worker < 0) {
		err = -errno;
		k->worker = 0;
		close(both[0]);
		close(both[1]);
		return err;
	}
	if (!k->worker) {
		struct daemon *d = k->d;

		close(both[0]);
		pair_close(k);
		own_close(&k->signals.fd);
		loop_free(&k->loop);
		d->parent = parent;
		err = work(d, both[1]);
		fflush(NULL);
		exit(err ? 1 : 0);
	}
	close(both[1]);
	k->pair.fd = both[0];
	k->born = loop_now(k->loop);
	k->up = false;
	k->beatless_s = 0;
	k->patience_s = RELOAD_S;
	/* The next one reads its policy by itself: this one may have read a newer one by then. */
	ruleset_put(&k->d->rules);
	return loop_add_level(k->loop, &k->pair, EPOLLIN);
}

static void again_due(struct timer *t)
{
	struct keeper *k = container_of(t, struct keeper, again);
	int err;

	if (k->worker || k->stopping)
		return;
	err = spawn(k);
	if (err) {
		log_error("worker: cannot be made: error=%s retry_s=1", strerrorname_np(-err));
		loop_timer(k->loop, &k->again, TICK_NS);
	}
}

static void describe(int status, char *text, size_t len)
{
	if (WIFSIGNALED(status))
		snprintf(text, len, "worker ended by SIG%s", sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(text, len, "worker ended with status %d", WEXITSTATUS(status));
}

static void worker_ended(struct keeper *k, int status)
{
	uint64_t lived_s = (loop_now(k->loop) - k->born) / TICK_NS;
	bool was_up = k->up;

	k->worker = 0;
	k->up = false;
	pair_close(k);
	if (k->stopping || (!k->was_up && WIFEXITED(status))) {
		k->error = k->stopping && WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -ECHILD;
		loop_stop(k->loop);
		return;
	}
	describe(status, k->d->last_end, sizeof(k->d->last_end));
	k->d->restarts++;
	if (was_up && lived_s >= SHORT_LIFE_S)
		k->pause_s = 0;
	log_event(EVENT_WORKER_GONE,
	          "worker: it is gone, nothing passes until the next one is up: cause=\"%s\" lived_s=%llu pause_s=%u",
	          k->d->last_end, (unsigned long long)lived_s, k->pause_s);
	sd_notifyf(0, "STATUS=%s, restarting; nothing passes", k->d->last_end);
	if (loop_timer(k->loop, &k->again, k->pause_s * (uint64_t)TICK_NS))
		loop_stop(k->loop);
	k->pause_s = k->pause_s ? (k->pause_s * 2 > PAUSE_MAX_S ? PAUSE_MAX_S : k->pause_s * 2) : 1;
}

/* ---- signals and time ---- */

/* A keeper without CAP_KILL may not signal another user: systemd ends them both, and what only ends the worker ends the
 * keeper, whose death is the worker's. */
static void tell_worker(struct keeper *k, int signal)
{
	if (!k->worker || !kill(k->worker, signal))
		return;
	if (errno == EPERM && signal == SIGKILL) {
		k->error = -EPERM;
		loop_stop(k->loop);
	} else if (errno == EPERM && signal == SIGHUP) {
		log_warn("reload: the worker cannot be told from here: use sluicectl policy reload");
	}
}

static void stop(struct keeper *k, uint32_t signal)
{
	log_event(EVENT_STOPPING, "stopping: signal=%s", sigabbrev_np((int)signal));
	sd_notify(0, "STOPPING=1");
	if (k->stopping)
		return;
	k->stopping = true;
	if (k->worker)
		tell_worker(k, SIGTERM);
	else
		loop_stop(k->loop);
}

static void signal_ready(struct watch *w, uint32_t events)
{
	struct keeper *k = container_of(w, struct keeper, signals);
	struct signalfd_siginfo info;
	int status;

	(void)events;
	while (read(w->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			tell_worker(k, SIGHUP);
		else if (info.ssi_signo != SIGCHLD)
			stop(k, info.ssi_signo);
		else if (k->worker && waitpid(k->worker, &status, WNOHANG) == k->worker)
			worker_ended(k, status);
	}
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
	if (k->stopping && ++k->stopping_s == STOP_S)
		tell_worker(k, SIGKILL);
	if (k->worker && !k->stopping && ++k->beatless_s > k->patience_s) {
		log_event(EVENT_LOOP_STUCK, "worker: its loops stand still, it is ended: seconds=%u", k->patience_s);
		k->beatless_s = 0;
		tell_worker(k, SIGKILL);
	}
}

static int watch_signals(struct keeper *k)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
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
	if (!d->guards)
		return -ENOMEM;
	for (size_t i = 0; i < c->service_count; i++) {
		const struct config_service *s = &c->services[i];

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

int keeper_run(struct daemon *d)
{
	struct keeper k = { .d = d,
		            .signals = { .ready = signal_ready, .fd = -1 },
		            .pair = { .ready = pair_ready, .fd = -1 } };
	int err = loop_new(&k.loop);

	k.tick.due = tick_due;
	k.again.due = again_due;
	err = err ? err : watch_signals(&k);
	err = err ? err : daemon_user(d);
	err = err ? err : daemon_folders(d);
	err = err ? err : herald_start(d);
	err = err ? err : listen_for_control(d);
	err = err ? err : open_capture(d);
	err = err ? err : spawn(&k);
	if (!err) {
		loop_timer(k.loop, &k.tick, TICK_NS);
		loop_run(k.loop);
		err = k.error;
	}
	pair_close(&k);
	capture_close(&d->capture);
	serve_unlisten(&d->sockets);
	if (k.signals.fd >= 0)
		own_close(&k.signals.fd);
	loop_free(&k.loop);
	return err;
}
