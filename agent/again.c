/* SPDX-License-Identifier: Apache-2.0 */
/*
 * again.c - the keeper becomes another program, and stays the process it is.
 *
 * execve(2) keeps what matters: the process that systemd watches and the workers have for a parent, its cgroup, by
 * which their dials are known, and descriptors. What they are for is told by a variable of the environment:
 *
 *   SLUICE_TAKEOVER=VERSION GENERATION LOOPS CONTROL METRICS LOCK COUNT [KEPT]... [PID PAIR COMMANDS ROLE]...
 *   SLUICE_BORN=SECONDS, when the first of these programs was started
 *
 * where KEPT are the listeners, and other network namespaces with theirs: capture_keep()
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "wards.h"

#define TOLD    "SLUICE_TAKEOVER"
#define BORN    "SLUICE_BORN" /* seconds since 1970 */
#define VERSION 2
#define ROOM    120000 /* the kernel takes 128 KiB */
#define LOOPS   256    /* as many as the configuration may ask for */
#define KEPT    65536

extern char **environ;

/* ---- out ---- */

static void keep(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, 0);
}

static void let_go(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void mark(struct keeper *k, void (*how)(int fd), const int *kept, size_t count)
{
	how(k->d->sockets.control);
	how(k->d->sockets.metrics);
	how(k->d->record_lock);
	for (size_t i = 0; i < count; i++)
		how(kept[i]);
	for (struct ward *w = k->wards; w; w = w->next) {
		how(w->pair.fd);
		how(w->commands);
	}
}

int again_exec(struct keeper *k)
{
	struct daemon *d = k->d;
	owned(own_free) int *kept = NULL;
	owned(own_free) char *text = malloc(ROOM);
	char born[24];
	size_t len, count = 0;
	int err = capture_keep(d->capture, &kept, &count);

	if (err || !text)
		return err ? err : -ENOMEM;
	len = (size_t)snprintf(text, ROOM, "%d %llu %u %d %d %d %zu", VERSION, (unsigned long long)d->generation,
	                       d->thread_count, d->sockets.control, d->sockets.metrics, d->record_lock, count);
	for (size_t i = 0; i < count && len < ROOM; i++)
		len += (size_t)snprintf(text + len, ROOM - len, " %d", kept[i]);
	for (struct ward *w = k->wards; w && len < ROOM; w = w->next)
		len += (size_t)snprintf(text + len, ROOM - len, " %d %d %d %d", (int)w->pid, w->pair.fd, w->commands,
		                        (int)w->role);
	if (len >= ROOM)
		return -E2BIG;
	log_info("upgrade: going over to program=%s", k->program);
	mark(k, keep, kept, count);
	snprintf(born, sizeof(born), "%llu", (unsigned long long)d->born_unix);
	if (setenv(TOLD, text, 1) || setenv(BORN, born, 1)) {
		err = -ENOMEM;
	} else {
		execle(k->program, "sluiced", "-c", d->config_file, (char *)NULL, environ);
		err = -errno;
	}
	unsetenv(TOLD);
	unsetenv(BORN);
	mark(k, let_go, kept, count);
	return err;
}

/* ---- in ---- */

bool keeper_goes_on(void)
{
	return getenv(TOLD) != NULL;
}

static bool next_number(const char **text, long long *to)
{
	char *end;

	errno = 0;
	*to = strtoll(*text, &end, 10);
	if (end == *text || errno)
		return false;
	*text = end;
	return true;
}

/* A descriptor that is there, or -1. */
static bool next_fd(const char **text, int *to)
{
	long long n;

	if (!next_number(text, &n) || n < -1 || n > 1 << 24 || (n >= 0 && fcntl((int)n, F_SETFD, FD_CLOEXEC)))
		return false;
	*to = (int)n;
	return true;
}

static char *rest; /* of what we were told: the workers; read once */

int again_read(struct daemon *d, int **kept, size_t *kept_count)
{
	const char *text = getenv(TOLD);
	long long version, generation, loops, count;
	int *fds, control, metrics, lock;

	if (!text)
		return 0;
	if (!next_number(&text, &version) || version != VERSION || !next_number(&text, &generation) || generation < 1 ||
	    !next_number(&text, &loops) || loops < 1 || loops > LOOPS || !next_fd(&text, &control) || control < 0 ||
	    !next_fd(&text, &metrics) || !next_fd(&text, &lock) || lock < 0 || !next_number(&text, &count) ||
	    count < 2 * loops || count > KEPT)
		return -EBADMSG;
	fds = calloc((size_t)count, sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	for (long long i = 0; i < count; i++)
		if (!next_fd(&text, &fds[i])) {
			free(fds);
			return -EBADMSG;
		}
	rest = strdup(text);
	if (!rest) {
		free(fds);
		return -ENOMEM;
	}
	if (getenv(BORN)) /* who does not say it is young */
		d->born_unix = strtoull(getenv(BORN), NULL, 10);
	unsetenv(BORN);
	d->generation = (uint64_t)generation;
	d->thread_count = (unsigned)loops;
	d->sockets = (struct serve_sockets){ .control = control, .metrics = metrics, .path = d->config->control };
	d->record_lock = lock;
	*kept = fds;
	*kept_count = (size_t)count;
	return unsetenv(TOLD);
}

int again_wards(struct keeper *k)
{
	const char *text = rest;
	long long pid, role;
	int pair, commands, err = 0;

	while (text && !err && next_number(&text, &pid)) {
		if (pid < 2 || !next_fd(&text, &pair) || pair < 0 || !next_fd(&text, &commands) || commands < 0 ||
		    !next_number(&text, &role) || role < 0 || role >= WARD_ROLES)
			err = -EBADMSG;
		else
			err = ward_adopt(k, (pid_t)pid, pair, commands, (enum ward_role)role);
	}
	free(TAKE(rest));
	return err;
}
