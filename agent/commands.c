/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.c - a worker takes over from those before it, and gives way to the one after it.
 *
 *   this one                          keeper                         the next one
 *                                                                    reads the policy; TELL_LOADED
 *                                     COMMAND_HAND_OVER
 *   accepts no more, closes the logs
 *   TELL_RELEASED
 *                                     answers                        opens the logs, accepts; TELL_UP
 *                                     COMMAND_DRAIN
 *   passes on idle connections, ends when nothing is under way
 *
 * Between TELL_RELEASED and the next one's logs connections wait at the doors, and records in this process. What is
 * under way is read on here to its end, and its records go to whoever writes the log.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "base/own.h"
#include "herald.h"
#include "keeper.h"
#include "report.h"

#define LOOK_NS   20000000u
#define AFTER_NS  45000000000u /* what cuts may take behind the time of the answers */
#define LEAVE_NS  30000000000u /* what confirming the last records may take, and the last connections */
#define CLOSING_S 5            /* a loop that does not turn accepts nothing, either */
#define STOP_NS   5000000000u  /* what the end of those before this one may take */

/* A worker before this one. */
struct before {
	struct ledger_inlet *ledger, *control;
};

/* ---- giving way ---- */

static void close_doors(struct daemon *d)
{
	struct timespec t;
	unsigned asked = 0;
	sem_t *done = calloc(1, sizeof(*done));
	bool all = done != NULL;

	if (!done)
		return;
	sem_init(done, 0, 0);
	for (unsigned i = 0; i < d->thread_count; i++)
		asked += !worker_close_doors(d->threads[i].worker, done);
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += CLOSING_S;
	for (unsigned i = 0; i < asked && all; i++)
		while (sem_clockwait(done, CLOCK_MONOTONIC, &t) && all)
			all = errno == EINTR;
	if (!all) {
		log_error("handing over: a loop does not answer");
		return; /* it may still post: the semaphore stays */
	}
	sem_destroy(done);
	free(done);
}

static void close_inlets(struct daemon *d)
{
	for (size_t i = 0; i < d->before_count; i++) {
		ledger_inlet_close(&d->before[i].ledger);
		ledger_inlet_close(&d->before[i].control);
	}
	free(TAKE(d->before));
	d->before_count = 0;
}

static void give_log(struct ledger *l, int fd, const char *name)
{
	int err = ledger_hand_over(l, fd);

	if (err)
		log_error("record: not handed over, records wait: log=%s error=%s", name, strerrorname_np(-err));
}

static void hand_over(struct daemon *d, const int fds[2])
{
	bool first = !d->leaving;

	d->leaving = true;
	if (first) {
		close_doors(d);
		serve_close(&d->serve);
		herald_is_now(d, -1);
	}
	give_log(d->ledger, fds[0], "ledger");
	give_log(d->control, fds[1], "control");
	/* Behind the logs: what they had from others is confirmed now. */
	close_inlets(d);
	if (!first)
		return;
	log_info("handing over: the record is released");
	keeper_tell(d->keeper, TELL_RELEASED, 0);
}

static uint64_t open_now(const struct daemon *d)
{
	struct worker_stats sum;

	report_totals(d, &sum);
	return sum.open;
}

/* Whether those before this one may still pass connections to it: they are told of the next one when this one is. */
static bool may_adopt(const struct daemon *d)
{
	for (unsigned i = 0; i < d->thread_count; i++)
		if (worker_may_adopt(d->threads[i].worker))
			return true;
	return false;
}

static void leave_due(struct timer *t)
{
	struct daemon *d = container_of(t, struct daemon, leave_tick);
	bool more = may_adopt(d); /* before the count of what is open, which has what came */
	uint64_t now = loop_now(d->loop), open = open_now(d);

	loop_timer(d->loop, t, LOOK_NS);
	if (!open)
		windows_note(d); /* of what ended here since the record was handed over */
	if (open && d->leave_at)
		d->leave_end = 0; /* something came when all seemed to be over: it has the time of the others */
	if (open && d->leave_at && now >= d->leave_at) {
		log_warn("draining: the time is up, what is open is ended: connections=%llu", (unsigned long long)open);
		for (unsigned i = 0; i < d->thread_count; i++)
			if (worker_expire(d->threads[i].worker))
				log_error("draining: out of memory");
		d->leave_at = 0;
		d->leave_end = now + AFTER_NS;
	}
	if (!open && !more && !ledger_waiting(d->ledger) && !ledger_waiting(d->control)) {
		log_info("draining: done");
		loop_stop(d->loop);
	} else if (!open && !d->leave_end) {
		d->leave_end = now + LEAVE_NS;
	} else if (d->leave_end && now >= d->leave_end) {
		log_error("draining: given up: connections=%llu records=%llu", (unsigned long long)open,
		          (unsigned long long)(ledger_waiting(d->ledger) + ledger_waiting(d->control)));
		loop_stop(d->loop);
	}
}

static void drain(struct daemon *d, int fd, uint64_t ms)
{
	for (unsigned i = 0; i < d->thread_count; i++) {
		int err = worker_pass_on(d->threads[i].worker, fd);

		if (err)
			log_error("draining: idle connections stay here: error=%s", strerrorname_np(-err));
	}
	close(fd);
	if (d->leave_tick.due)
		return; /* the time was set when it began */
	log_info("draining: connections=%llu limit_ms=%llu", (unsigned long long)open_now(d), (unsigned long long)ms);
	d->leave_at = loop_now(d->loop) + ms * 1000000u;
	d->leave_tick.due = leave_due;
	loop_timer(d->loop, &d->leave_tick, LOOK_NS);
}

/* ---- what the keeper says ---- */

static void refused(struct daemon *d, const struct commanded *c)
{
	snprintf(d->refused_why, sizeof(d->refused_why), "%s", c->text);
	d->refused_generation = c->value;
	log_event(EVENT_POLICY_REFUSED, "change: refused, nothing has changed: cause=\"%s\"", c->text);
	note_policy(d, true);
}

/* ---- other network namespaces ---- */

static void space_forget(struct daemon *d)
{
	for (uint32_t i = 0; i < d->space_count; i++)
		own_close(&d->space_fds[i]);
	free(TAKE(d->space_fds));
	d->space_count = 0;
}

/* Its listeners come in parts, in order; takes them. */
static void space_came(struct daemon *d, const struct commanded *c, int *fds, size_t count)
{
	unsigned long long inode;
	unsigned all;
	int err = 0;

	if (!c->part)
		space_forget(d);
	if (sscanf(c->text, "%llu %u", &inode, &all) != 2 || all > 2 * d->thread_count || c->part != d->space_count ||
	    count > all - c->part)
		return;
	if (!d->space_fds) {
		d->space_fds = malloc(2 * d->thread_count * sizeof(int));
		for (unsigned i = 0; d->space_fds && i < 2 * d->thread_count; i++)
			d->space_fds[i] = -1;
	}
	for (size_t i = 0; d->space_fds && i < count; i++) {
		d->space_fds[d->space_count++] = fds[i];
		fds[i] = -1;
	}
	if (!d->space_fds || d->space_count < all)
		return;
	err = capture_space_came(d->capture, c->value, inode, d->space_fds);
	d->space_count = err ? d->space_count : 0; /* taken */
	space_forget(d);
	for (unsigned i = 0; i < d->thread_count && !err; i++)
		err = worker_open_doors(d->threads[i].worker, c->value);
	if (err)
		log_error("namespace: its connections cannot be accepted: error=%s", strerrorname_np(-err));
}

static void space_went(struct daemon *d, uint64_t netns)
{
	for (unsigned i = 0; i < d->thread_count; i++)
		if (worker_shut_doors(d->threads[i].worker, netns))
			log_error("namespace: out of memory: its listeners stay");
	capture_space_went(d->capture, netns);
}

void commands_ask_dials(void *arg, uint64_t netns, int family)
{
	struct told t = { .what = TELL_DIALS, .error = family, .value = netns };
	struct daemon *d = arg;

	/* If it gets lost it is asked again. */
	(void)send(d->keeper, &t, sizeof(t), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Takes what it keeps of `fds`. */
static void obey(struct daemon *d, const struct commanded *c, int *fds, size_t count)
{
	switch (c->what) {
	case COMMAND_RELOAD:
		daemon_reload_policy(d);
		break;
	case COMMAND_HAND_OVER:
		if (fds[0] >= 0 && fds[1] >= 0) {
			hand_over(d, fds);
			fds[0] = fds[1] = -1;
		}
		break;
	case COMMAND_DRAIN:
		if (fds[0] >= 0 && d->leaving) {
			drain(d, fds[0], c->value);
			fds[0] = -1;
		}
		break;
	case COMMAND_REFUSED:
		refused(d, c);
		break;
	case COMMAND_HERALD:
		herald_is_now(d, fds[0]);
		fds[0] = -1;
		break;
	case COMMAND_STOP:
		commands_stop(d);
		break;
	case COMMAND_SPACE:
		space_came(d, c, fds, count);
		break;
	case COMMAND_NO_SPACE:
		space_went(d, c->value);
		break;
	case COMMAND_DIALS:
		capture_take_dials(d->capture, c->value, (int)c->part, fds, count);
		for (size_t i = 0; i < count; i++)
			fds[i] = -1;
		break;
	default:
		log_warn("keeper: it commands what this version does not know: command=%u", c->what);
		break;
	}
}

static void commands_ready(struct watch *w, uint32_t events)
{
	struct daemon *d = container_of(w, struct daemon, commands_watch);
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(FDS_MOST * sizeof(int))];
	} room = {};
	struct commanded c = {};
	struct iovec part = { &c, sizeof(c) };
	struct msghdr m = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = room.room, .msg_controllen = sizeof(room.room)
	};
	ssize_t n = recvmsg(w->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int fds[FDS_MOST];
	size_t count = 0;

	(void)events;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = -1;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
		count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(head), count * sizeof(int));
	}
	if (n == sizeof(c)) {
		c.text[sizeof(c.text) - 1] = '\0';
		obey(d, &c, fds, count);
	} else if (n == 0) {
		loop_del(d->loop, w); /* the keeper is gone, and we with it */
	}
	for (size_t i = 0; i < count; i++)
		own_close(&fds[i]);
}

int commands_watch(struct daemon *d)
{
	d->commands_watch = (struct watch){ .ready = commands_ready, .fd = d->commands };
	return loop_add_level(d->loop, &d->commands_watch, EPOLLIN);
}

/* ---- taking over ---- */

int commands_take_over(struct daemon *d)
{
	d->before = calloc(d->pipe_count + 1, sizeof(*d->before));
	if (!d->before)
		return -ENOMEM;
	for (; d->pipe_count; d->pipe_count--) {
		struct pipes *p = &d->pipes[d->pipe_count - 1];
		struct before *b = &d->before[d->before_count++];
		int err = ledger_inlet_open(&b->ledger, d->ledger, LOG_LEDGER, d->loop, TAKE_FD(p->ledger));

		err = err ? err : ledger_inlet_open(&b->control, d->control, LOG_CONTROL, d->loop, TAKE_FD(p->control));
		for (unsigned i = 0; i < d->thread_count && !err; i++)
			err = worker_adopt(d->threads[i].worker, p->flows);
		own_close(&p->flows);
		if (err)
			return err;
	}
	return 0;
}

/* Those that are over are forgotten. True: none is left. */
static bool look_at_inlets(struct daemon *d)
{
	bool left = false;

	for (size_t i = 0; i < d->before_count; i++) {
		struct ledger_inlet **two[] = { &d->before[i].ledger, &d->before[i].control };
		bool bad = false;

		for (size_t k = 0; k < ARRAY_LEN(two); k++) {
			if (!*two[k] || !ledger_inlet_over(*two[k], &bad)) {
				left |= *two[k] != NULL;
				continue;
			}
			if (bad)
				log_error("record: what a worker before this one sent is no record, the rest was not "
				          "taken");
			ledger_inlet_close(two[k]);
		}
	}
	return !left;
}

static void stop_due(struct timer *t)
{
	struct daemon *d = container_of(t, struct daemon, leave_tick);

	if (look_at_inlets(d) || loop_now(d->loop) >= d->leave_end)
		loop_stop(d->loop);
	else
		loop_timer(d->loop, t, LOOK_NS);
}

void commands_stop(struct daemon *d)
{
	/* A worker that gives way ends at once; its last records go to the one that serves, which waits for them. */
	if (d->leaving || look_at_inlets(d)) {
		loop_stop(d->loop);
	} else if (!d->leave_tick.due) {
		d->leave_tick.due = stop_due;
		d->leave_end = loop_now(d->loop) + STOP_NS;
		loop_timer(d->loop, &d->leave_tick, LOOK_NS);
	}
}

void commands_close(struct daemon *d)
{
	close_inlets(d);
	space_forget(d);
	/* What was posted before is run, so that nothing is left of it. */
	if (d->loop) {
		loop_stop(d->loop);
		loop_run(d->loop);
	}
	own_close(&d->commands);
	d->commands = -1;
	for (; d->pipe_count; d->pipe_count--) {
		own_close(&d->pipes[d->pipe_count - 1].ledger);
		own_close(&d->pipes[d->pipe_count - 1].control);
		own_close(&d->pipes[d->pipe_count - 1].flows);
	}
}

void commands_look(struct daemon *d)
{
	(void)look_at_inlets(d);
}

/* ---- what sluicectl asks ---- */

void commands_ask_change(struct daemon *d, enum tell what, ControlReply *out)
{
	struct {
		struct told told;
		char text[TEXT_MAX];
	} answer = {};
	ssize_t n = keeper_ask(d->keeper, what, &answer, sizeof(answer), ASK_MS);

	if (n < (ssize_t)sizeof(answer.told)) {
		out->error = strdup("the keeper does not answer");
		return;
	}
	answer.text[sizeof(answer.text) - 1] = '\0';
	if (answer.told.error) {
		out->error = strdup(answer.text);
		return;
	}
	out->generation = answer.told.value;
	if (answer.told.value != d->generation)
		return;
	/* Nothing but the policy can have changed. */
	daemon_reload_policy(d);
	out->error = strdup(d->policy_error);
}
