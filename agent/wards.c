/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wards.c - workers come, serve, give way and go.
 *
 * One serves at most. The next one is made beside it and reads its policy; only then is the one that serves asked for
 * the record, so that whatever is wrong with the next one is found while nothing has changed. commands.c has the other
 * half.
 */
#include "wards.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "herald.h"
#include "report.h"

struct ward *ward_with(struct keeper *k, enum ward_role role)
{
	struct ward *w = k->wards;

	while (w && w->role != role)
		w = w->next;
	return w;
}

static size_t ward_count(const struct keeper *k)
{
	size_t n = 0;

	for (const struct ward *w = k->wards; w; w = w->next)
		n++;
	return n;
}

/* ---- what is said ---- */

static void tell(struct ward *w, const void *what, size_t len, const char *of)
{
	if (send(w->pair.fd, what, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warn("worker: it could not be told %s: error=%s", of, strerrorname_np(errno));
}

void ward_send(struct ward *w, struct commanded c, const char *text, const int *fds, size_t fd_count)
{
	struct iovec part = { &c, sizeof(c) };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(FDS_MOST * sizeof(int))];
	} room = {};
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };

	snprintf(c.text, sizeof(c.text), "%s", text ? text : "");
	if (fd_count) {
		struct cmsghdr *head;

		m.msg_control = room.room;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		head = CMSG_FIRSTHDR(&m);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
	}
	if (sendmsg(w->commands, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warn("worker: it could not be commanded: command=%u error=%s", c.what, strerrorname_np(errno));
}

void ward_command(struct ward *w, enum command what, uint64_t value, const char *text, const int *fds, size_t fd_count)
{
	ward_send(w, (struct commanded){ .what = what, .value = value }, text, fds, fd_count);
}

static void say_status(struct ward *w)
{
	owned(guard_status_drop) GuardStatus *status = report_guard(w->k->d);
	owned(own_free) uint8_t *packed = NULL;
	size_t len = status ? guard_status__get_packed_size(status) : 0;

	if (len && len <= GUARD_STATUS_MAX)
		packed = malloc(len);
	if (packed)
		guard_status__pack(status, packed);
	tell(w, packed ? packed : (uint8_t *)"", packed ? len : 0, "the state of the guard");
}

static void open_doors(struct ward *w)
{
	struct told answer = { .what = TELL_READY };
	struct keeper *k = w->k;

	if (!k->doors) {
		answer.error = capture_doors(k->d->capture);
		k->doors = !answer.error;
		k->d->open_passed = answer.error ? 0 : capture_open_passed(k->d->capture);
		if (answer.error)
			log_error("capture: the doors could not be put in place: error=%s",
			          strerrorname_np(-answer.error));
	}
	answer.value = k->d->open_passed;
	tell(w, &answer, sizeof(answer), "of the doors");
}

/* ---- one after another ---- */

static void close_pipes(struct pipes *p)
{
	own_close(&p->ledger);
	own_close(&p->control);
	own_close(&p->flows);
	*p = NO_PIPES;
}

static void send_records(struct ward *w)
{
	const int fds[2] = { w->to.ledger, w->to.control };

	if (fds[0] < 0)
		return;
	ward_command(w, COMMAND_HAND_OVER, 0, NULL, fds, 2);
	own_close(&w->to.ledger);
	own_close(&w->to.control);
	w->to.ledger = w->to.control = -1;
}

/* The record is free: the guard is as the next one expects it, and it may go on. */
static void let_in(struct ward *coming)
{
	struct keeper *k = coming->k;
	struct told answer = { .what = TELL_LOADED };

	k->release_s = 0;
	/* Now, and not before: what the last one took from them is confirmed. */
	for (struct ward *w = k->wards; w; w = w->next)
		if (w->role == WARD_DRAINING)
			send_records(w);
	answer.error = change_commit(k);
	tell(coming, &answer, sizeof(answer), "that it may go on");
}

static void loaded(struct ward *coming)
{
	struct keeper *k = coming->k;
	struct ward *serving = ward_with(k, WARD_SERVING);

	if (coming->role != WARD_COMING || coming->loaded)
		return;
	coming->loaded = true;
	if (serving) {
		k->release_s = RELEASE_S;
		send_records(serving);
	} else {
		let_in(coming);
	}
}

static void released(struct ward *w)
{
	struct ward *coming = ward_with(w->k, WARD_COMING);

	if (w->role != WARD_SERVING || !w->k->release_s)
		return;
	w->role = WARD_DRAINING;
	if (coming)
		let_in(coming);
	else
		loop_timer(w->k->loop, &w->k->again, 0);
}

/* Who tells people is by the configuration, too. */
static void tell_of_herald(struct ward *w)
{
	const int *fd = &w->k->d->herald_pair[1];

	ward_command(w, COMMAND_HERALD, 0, NULL, fd, *fd >= 0);
}

static void up(struct ward *w, uint64_t rules)
{
	struct keeper *k = w->k;

	if (w->role != WARD_COMING)
		return;
	w->role = WARD_SERVING;
	w->patience_s = BEATLESS_S;
	k->was_up = true;
	for (struct ward *old = k->wards; old; old = old->next) {
		if (old->role != WARD_DRAINING || old->to.flows < 0)
			continue;
		ward_command(old, COMMAND_DRAIN, k->d->config->drain_timeout_ms, NULL, &old->to.flows, 1);
		close_pipes(&old->to);
	}
	tell_of_herald(w);
	sd_notifyf(0, "READY=1\nSTATUS=guarding %zu services, %llu rules", k->d->config->service_count,
	           (unsigned long long)rules);
}

static void say_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	/* The time is for Type=notify-reload of systemd 253 and later. */
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
	           (unsigned long long)now.tv_sec * 1000000u + (unsigned long long)now.tv_nsec / 1000);
}

static void asked_to_change(struct ward *w, enum tell what)
{
	struct {
		struct told told;
		char text[TEXT_MAX];
	} answer = { .told.what = what };
	struct keeper *k = w->k;

	if (w->role != WARD_SERVING) {
		answer.told.error = -EBUSY;
		snprintf(answer.text, sizeof(answer.text), "a change is under way");
	} else {
		answer.told.error = what == TELL_UPGRADE ? upgrade_begin(k, &answer.told.value, answer.text)
		                                         : change_begin(k, &answer.told.value, answer.text);
	}
	tell(w, &answer, sizeof(answer), "what becomes of the change");
}

/* At once, before somebody edits it again; who says it all the time is heard with the next tick. */
static void keep_policy(struct keeper *k)
{
	if (k->policy_kept)
		k->policy_news = true;
	else
		kept_renew(k->d);
	k->policy_kept = true;
}

static void heard(struct ward *w, const struct told *t, const char *text)
{
	w->beatless_s = 0;
	switch (t->what) {
	case TELL_READY:
		open_doors(w);
		break;
	case TELL_LOADED:
		loaded(w);
		break;
	case TELL_FAILED:
		if (w->role == WARD_COMING)
			snprintf(w->k->failed_why, sizeof(w->k->failed_why), "%s", text);
		break;
	case TELL_RELEASED:
		released(w);
		break;
	case TELL_UP:
		up(w, t->value);
		break;
	case TELL_RELOADING:
		w->patience_s = RELOAD_S;
		if (w->role == WARD_SERVING)
			say_reloading();
		break;
	case TELL_RELOADED:
		w->patience_s = BEATLESS_S;
		if (w->role == WARD_SERVING)
			sd_notify(0, "READY=1");
		break;
	case TELL_POLICY:
		if (w->role == WARD_SERVING)
			keep_policy(w->k);
		break;
	case TELL_STATUS:
		say_status(w);
		break;
	case TELL_DIALS:
		ward_give_dials(w, t->value, t->error);
		break;
	case TELL_RELOAD:
	case TELL_UPGRADE:
		asked_to_change(w, (enum tell)t->what);
		break;
	default:
		break;
	}
}

static void pair_ready(struct watch *watch, uint32_t events)
{
	struct ward *w = container_of(watch, struct ward, pair);
	struct {
		struct told told;
		char text[TEXT_MAX];
	} t;
	ssize_t n = -1;

	(void)events;
	for (int i = 0; i < 64; i++) {
		memset(&t, 0, sizeof(t));
		n = recv(watch->fd, &t, sizeof(t) - 1, MSG_DONTWAIT);
		if (n >= (ssize_t)sizeof(t.told))
			heard(w, &t.told, t.text);
		else if (n <= 0)
			break;
	}
	/* It is gone or about to be; the signal will say so. */
	if (n == 0)
		loop_del(w->k->loop, watch);
}

/* ---- birth ---- */

static void ward_close(struct ward *w)
{
	close_pipes(&w->to);
	own_close(&w->pair.fd);
	own_close(&w->commands);
	free(w);
}

static void ward_drop(struct ward *w)
{
	struct ward **at = &w->k->wards;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	loop_del(w->k->loop, &w->pair);
	ward_close(w);
}

void wards_free(struct keeper *k)
{
	while (k->wards) {
		struct ward *w = k->wards;

		k->wards = w->next;
		ward_close(w);
	}
}

static int ward_new(struct ward **out, struct keeper *k, int pair, int commands, enum ward_role role)
{
	struct ward *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	*w = (struct ward){ .k = k,
		            .pair = { .ready = pair_ready, .fd = pair },
		            .commands = commands,
		            .role = role,
		            .born = loop_now(k->loop),
		            .patience_s = role == WARD_COMING ? RELOAD_S : BEATLESS_S,
		            .to = NO_PIPES };
	err = loop_add_level(k->loop, &w->pair, EPOLLIN);
	if (err) {
		free(w);
		return err;
	}
	w->next = k->wards;
	k->wards = w;
	*out = w;
	return 0;
}

int ward_adopt(struct keeper *k, pid_t pid, int pair, int commands, enum ward_role role)
{
	struct ward *w;
	int err = ward_new(&w, k, pair, commands, role);

	if (!err)
		w->pid = pid;
	return err;
}

static int seqpacket(int both[2])
{
	both[0] = both[1] = -1;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) ? -errno : 0;
}

/* The next one's ends go into `theirs`. */
static int make_pipes(struct ward *w, struct pipes *theirs)
{
	int *ends[][2] = { { &w->to.ledger, &theirs->ledger },
		           { &w->to.control, &theirs->control },
		           { &w->to.flows, &theirs->flows } };
	int err = 0;

	close_pipes(&w->to);
	*theirs = NO_PIPES;
	for (size_t i = 0; i < ARRAY_LEN(ends) && !err; i++) {
		int both[2];

		err = seqpacket(both);
		*ends[i][0] = both[0];
		*ends[i][1] = both[1];
	}
	return err;
}

/* In the fork: everything of the keeper goes but what the worker needs. */
static int be_worker(struct keeper *k, int pair, int commands, const struct pipes *pipes, size_t pipe_count)
{
	struct daemon *d = k->d;
	char why[256] = "";
	int err = 0;

	wards_free(k);
	own_close(&k->signals.fd);
	own_close(&k->check_says.fd);
	loop_free(&k->loop);
	memcpy(d->pipes, pipes, pipe_count * sizeof(*pipes));
	d->pipe_count = pipe_count;
	d->commands = commands;
	if (k->change.config) {
		herald_is_now(d, -1); /* until it is told whom */
		config_free(&d->config);
		free(d->guards);
		d->config = TAKE(k->change.config);
		d->guards = TAKE(k->change.guards);
		err = capture_expect(d->capture, d->guards, d->config->service_count, why, sizeof(why));
		if (err)
			keeper_tell_text(pair, TELL_FAILED, why);
		log_set_level(d->config->log_level);
	}
	d->taken_over = k->change.why != NULL;
	d->why = k->change.why;
	d->generation += d->taken_over;
	if (!err)
		err = work(d, pair);
	fflush(NULL);
	return err;
}

int ward_spawn(struct keeper *k)
{
	int both[2] = { -1, -1 }, commands[2] = { -1, -1 }, room = GUARD_STATUS_MAX + 4096, err;
	struct pipes pipes[WORKERS_MAX];
	size_t pipe_count = 0;
	pid_t parent = getpid(), pid;
	struct ward *w = NULL;

	if (ward_count(k) >= WORKERS_MAX)
		return -EUSERS;
	err = seqpacket(both);
	err = err ? err : seqpacket(commands);
	for (struct ward *old = k->wards; old && !err; old = old->next)
		err = make_pipes(old, &pipes[pipe_count++]);
	err = err ? err : ward_new(&w, k, both[0], commands[0], WARD_COMING);
	if (!err) {
		setsockopt(both[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
		k->failed_why[0] = '\0';
		pid = fork();
		if (pid < 0) {
			err = -errno;
			ward_drop(w);
			both[0] = commands[0] = -1;
		} else if (!pid) {
			k->d->parent = parent;
			exit(be_worker(k, both[1], commands[1], pipes, pipe_count) ? 1 : 0);
		} else {
			w->pid = pid;
			both[0] = commands[0] = -1;
		}
	}
	own_close(&both[0]);
	own_close(&both[1]);
	own_close(&commands[0]);
	own_close(&commands[1]);
	for (size_t i = 0; i < pipe_count; i++)
		close_pipes(&pipes[i]);
	/* The next one reads its policy by itself: this one may have read a newer one by then. */
	ruleset_put(&k->d->rules);
	return err;
}

/* ---- death ---- */

static void describe(int status, char *text, size_t len)
{
	if (WIFSIGNALED(status))
		snprintf(text, len, "worker ended by SIG%s", sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(text, len, "worker ended with status %d", WEXITSTATUS(status));
}

/* Nothing passes until there is another. */
static void make_again(struct keeper *k, uint64_t lived_s, bool was_up)
{
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

/* The one that serves goes on as it was. */
static void refuse(struct keeper *k, const char *how)
{
	struct ward *serving = ward_with(k, WARD_SERVING);

	log_error("change: the next worker did not come up, the one before it goes on: cause=\"%s\"",
	          k->failed_why[0] ? k->failed_why : how);
	for (struct ward *w = k->wards; w; w = w->next)
		close_pipes(&w->to);
	change_drop(k);
	ward_command(serving, COMMAND_REFUSED, k->d->generation + 1, k->failed_why[0] ? k->failed_why : how, NULL, 0);
	tell_of_herald(serving); /* another program has another */
	sd_notify(0, "READY=1");
}

static void coming_ended(struct keeper *k, const struct ward *w, int status, uint64_t lived_s, const char *how)
{
	struct ward *serving = ward_with(k, WARD_SERVING);

	if (!k->was_up && WIFEXITED(status)) {
		k->error = -ECHILD;
		loop_stop(k->loop);
		return;
	}
	if (serving && !w->loaded) {
		refuse(k, how);
		return;
	}
	change_drop(k);
	snprintf(k->d->last_end, sizeof(k->d->last_end), "%s", how);
	if (!serving) /* else it has been asked to give way, and will be followed when it has */
		make_again(k, lived_s, false);
}

static void serving_ended(struct keeper *k, uint64_t lived_s, const char *how)
{
	struct ward *coming = ward_with(k, WARD_COMING);

	snprintf(k->d->last_end, sizeof(k->d->last_end), "%s", how);
	if (!coming) {
		make_again(k, lived_s, true);
		return;
	}
	k->d->restarts++;
	log_event(EVENT_WORKER_GONE, "worker: it is gone, the next one is on its way: cause=\"%s\"", how);
	if (coming->loaded)
		let_in(coming);
}

bool ward_ended(struct keeper *k, pid_t pid, int status)
{
	struct ward *w = k->wards;
	enum ward_role role;
	uint64_t lived_s;
	char how[64];
	bool clean;

	while (w && w->pid != pid)
		w = w->next;
	if (!w)
		return false;
	describe(status, how, sizeof(how));
	lived_s = (loop_now(k->loop) - w->born) / TICK_NS;
	clean = WIFEXITED(status) && !WEXITSTATUS(status);
	role = w->role;
	/* What it said last. */
	pair_ready(&w->pair, 0);
	role = role == w->role ? role : w->role;
	if (k->stopping) {
		ward_drop(w);
		if (!clean && role == WARD_SERVING)
			k->error = -ECHILD;
		if (!k->wards)
			loop_stop(k->loop);
		return true;
	}
	if (role == WARD_COMING) {
		struct ward gone = *w;

		ward_drop(w);
		coming_ended(k, &gone, status, lived_s, how);
	} else {
		ward_drop(w);
		if (role == WARD_SERVING)
			serving_ended(k, lived_s, how);
		else if (clean)
			log_info("worker: it has drained and is gone: lived_s=%llu", (unsigned long long)lived_s);
		else
			log_error("worker: it is gone with what it drained: cause=\"%s\"", how);
	}
	return true;
}

/* ---- time ---- */

int ward_signal(struct ward *w, int signal)
{
	return kill(w->pid, signal) ? -errno : 0;
}

/* A keeper without CAP_KILL may not signal another user. One that only comes or drains is left alone then, and fails
 * when it next asks; what only ends the one that serves ends the keeper, whose death is the worker's. */
static void put_down(struct ward *w)
{
	struct keeper *k = w->k;

	if (!ward_signal(w, SIGKILL))
		return;
	if (w->role == WARD_SERVING) {
		k->error = -EPERM;
		loop_stop(k->loop);
	} else {
		shutdown(w->pair.fd, SHUT_RDWR);
	}
}

void ward_tick(struct keeper *k)
{
	for (struct ward *w = k->wards; w; w = w->next) {
		if (k->stopping || ++w->beatless_s <= w->patience_s)
			continue;
		log_event(EVENT_LOOP_STUCK, "worker: its loops stand still, it is ended: seconds=%u", w->patience_s);
		w->beatless_s = 0;
		put_down(w);
	}
	if (k->release_s && !--k->release_s && ward_with(k, WARD_SERVING)) {
		log_error("worker: it does not give the record away, it is ended: seconds=%d", RELEASE_S);
		put_down(ward_with(k, WARD_SERVING));
	}
}
