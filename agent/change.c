/* SPDX-License-Identifier: Apache-2.0 */
/* change.c - the keeper goes over to another configuration, or to another program. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "herald.h"
#include "wards.h"

static int because(char why[TEXT_MAX], int err, const char *what)
{
	snprintf(why, TEXT_MAX, "%.*s", (int)strcspn(what, "\n"), what);
	return err;
}

struct guard *guards_of(const struct config *c)
{
	struct guard *guards = calloc(c->service_count, sizeof(*guards));

	for (size_t i = 0; guards && i < c->service_count; i++) {
		const struct config_service *s = &c->services[i];

		guards[i] = (struct guard){
			.name = s->name,
			.unit = s->unit,
			.cgroup = s->cgroup,
			.ports = s->ports,
			.port_count = s->port_count,
			.fail_open = s->fail_open,
		};
	}
	return guards;
}

/* ---- the configuration ---- */

/* What the file says now, if we can go over to it. */
static int read_next(struct keeper *k, struct config **out, char why[TEXT_MAX])
{
	owned(config_free) struct config *next = NULL;
	owned(own_free) char *mistakes = NULL;
	int err;

	if (k->stopping || k->check || ward_with(k, WARD_COMING) || !ward_with(k, WARD_SERVING))
		return because(why, -EBUSY, "a change is under way");
	err = config_load(&next, k->d->config_file, &mistakes);
	if (err) {
		fputs(mistakes ? mistakes : "", stderr);
		return because(why, err, mistakes && *mistakes ? mistakes : strerror(-err));
	}
	if (!config_changes(k->d->config, next, why, TEXT_MAX))
		return -EINVAL;
	*out = TAKE(next);
	return 0;
}

int change_begin(struct keeper *k, uint64_t *value, char why[TEXT_MAX])
{
	owned(config_free) struct config *next = NULL;
	int err = read_next(k, &next, why);

	*value = k->d->generation;
	if (!err && next->print == k->d->config->print)
		return 0;
	if (err) {
		log_error("configuration: refused, the old one stays: cause=\"%s\"", why);
		return err;
	}
	k->change = (struct change){ .config = TAKE(next), .why = "configuration" };
	k->change.guards = guards_of(k->change.config);
	herald_prepare(k->d, k->change.config);
	err = k->change.guards ? ward_spawn(k) : -ENOMEM;
	if (err) {
		change_drop(k);
		return because(why, err,
		               err == -EUSERS ? "too many workers still drain: wait, or set limits.drain_timeout"
		                              : strerror(-err));
	}
	*value = k->d->generation + 1;
	sd_notify(0, "STATUS=taking in a changed configuration");
	return 0;
}

void change_drop(struct keeper *k)
{
	config_free(&k->change.config);
	free(k->change.guards);
	k->change = (struct change){};
}

int change_commit(struct keeper *k)
{
	struct daemon *d = k->d;
	struct change *c = &k->change;
	char text[512] = "";
	int err = 0;

	if (!c->why)
		return 0;
	if (c->config) {
		err = capture_change(d->capture, c->guards, c->config->service_count, text, sizeof(text));
		if (err) {
			log_error("configuration: it cannot be put in force, the old one stays: cause=\"%s\"", text);
			change_drop(k);
			return err;
		}
		config_free(&d->config);
		free(d->guards);
		d->config = TAKE(c->config);
		d->guards = TAKE(c->guards);
		log_set_level(d->config->log_level);
		herald_follow(d);
	}
	d->generation++;
	log_info("change: in force: generation=%llu what=%s services=%zu", (unsigned long long)d->generation, c->why,
	         d->config->service_count);
	change_drop(k);
	return 0;
}

/* ---- the program ---- */

/* Keeps what the process says, to its first line. */
static void check_ready(struct watch *w, uint32_t events)
{
	struct keeper *k = container_of(w, struct keeper, check_says);
	char rest[512];
	ssize_t n;

	(void)events;
	if (k->check_len + 1 < sizeof(k->check_text)) {
		n = read(w->fd, k->check_text + k->check_len, sizeof(k->check_text) - 1 - k->check_len);
		k->check_len += n > 0 ? (size_t)n : 0;
	} else {
		n = read(w->fd, rest, sizeof(rest));
	}
	if (n <= 0 && (n == 0 || errno != EAGAIN))
		loop_del(k->loop, w);
}

/* A process of the program that is there now: would it start here? */
static int check_program(struct keeper *k)
{
	int says[2];
	sigset_t none;

	if (pipe2(says, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	k->check = fork();
	if (k->check < 0) {
		int err = -errno;

		k->check = 0;
		close(says[0]);
		close(says[1]);
		return err;
	}
	if (!k->check) {
		sigemptyset(&none);
		pthread_sigmask(SIG_SETMASK, &none, NULL);
		unsetenv("NOTIFY_SOCKET");
		if (dup2(says[1], STDOUT_FILENO) >= 0 && dup2(says[1], STDERR_FILENO) >= 0)
			execl(k->program, "sluiced", "--check", "-c", k->d->config_file, (char *)NULL);
		_exit(127);
	}
	close(says[1]);
	k->check_says = (struct watch){ .ready = check_ready, .fd = says[0] };
	k->check_len = 0;
	memset(k->check_text, 0, sizeof(k->check_text));
	return loop_add_level(k->loop, &k->check_says, EPOLLIN);
}

int upgrade_begin(struct keeper *k, uint64_t *value, char why[TEXT_MAX])
{
	owned(config_free) struct config *next = NULL;
	int err = read_next(k, &next, why);

	if (err) {
		log_error("upgrade: refused: cause=\"%s\"", why);
		return err;
	}
	err = check_program(k);
	if (err)
		return because(why, err, strerror(-err));
	log_info("upgrade: trying program=%s", k->program);
	*value = k->d->generation + 1;
	return 0;
}

bool upgrade_checked(struct keeper *k, pid_t pid, int status)
{
	struct ward *serving = ward_with(k, WARD_SERVING);
	char why[TEXT_MAX];
	int err = -ECANCELED;

	if (!k->check || pid != k->check)
		return false;
	k->check = 0;
	check_ready(&k->check_says, 0);
	loop_del(k->loop, &k->check_says);
	own_close(&k->check_says.fd);
	k->check_says.fd = -1;
	k->check_text[strcspn(k->check_text, "\n")] = '\0';
	if (k->stopping || !serving || ward_with(k, WARD_COMING))
		snprintf(why, sizeof(why), "a change is under way");
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		snprintf(why, sizeof(why), "%.900s cannot be run", k->program);
	else if (!WIFEXITED(status) || WEXITSTATUS(status))
		snprintf(why, sizeof(why), "%s", k->check_text[0] ? k->check_text : "the new program does not start");
	else
		err = again_exec(k);
	if (err != -ECANCELED)
		snprintf(why, sizeof(why), "%.900s: %s", k->program, strerror(-err));
	log_error("upgrade: refused, the old program goes on: cause=\"%s\"", why);
	if (serving)
		ward_command(serving, COMMAND_REFUSED, k->d->generation + 1, why, NULL, 0);
	return true;
}
