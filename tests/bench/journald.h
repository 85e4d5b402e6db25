/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journald.h - a journald of our own to be measured beside the record: the host's program in a mount namespace of its
 * own, with its sockets in a /run and its files in a /var/log that nobody else sees, on the disk that is measured.
 *
 * A rate ends with what journalctl --sync asks for: all that was sent is written and synced. What was sent is counted in
 * the files afterwards.
 */
#pragma once

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/own.h"

#define JOURNALD       "/lib/systemd/systemd-journald"
#define JOURNALD_MOST  90 /* seconds, of all of it */
#define JOURNALD_WAITS 100000 /* us, between looks */
#define JOURNALD_CONF                                                                                                  \
	"[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nRateLimitBurst=0\nSystemMaxUse=4G\nReadKMsg=no\n"      \
	"Audit=no\nForwardToSyslog=no\nForwardToWall=no\n"

struct journald {
	double seconds;
	unsigned long long messages, bytes; /* found in its files */
};

static inline bool journald_waits_for(const char *path)
{
	for (int i = 0; i < 200; i++) {
		if (!access(path, F_OK))
			return true;
		usleep(JOURNALD_WAITS);
	}
	return false;
}

static inline bool journald_write(const char *path, const char *text)
{
	FILE *out = fopen(path, "we");

	if (!out)
		return false;
	fputs(text, out);
	return !fclose(out);
}

/* A machine id of ours, where the host has none. */
static inline bool journald_ground(const char *dir)
{
	char path[400];

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL) || mkdir("/run/systemd", 0755) ||
	    mkdir("/run/systemd/journal", 0755) || mkdir("/run/systemd/journald.conf.d", 0755) ||
	    !journald_write("/run/systemd/journald.conf.d/bench.conf", JOURNALD_CONF) ||
	    !journald_write("/run/machine-id", "0123456789abcdef0123456789abcdef\n"))
		return false;
	snprintf(path, sizeof(path), "%s/journal", dir);
	return !mkdir(path, 0755) && !mount(dir, "/var/log", NULL, MS_BIND, NULL) &&
	       !mount("/run/machine-id", "/etc/machine-id", NULL, MS_BIND, NULL);
}

/* What is in the files: its own reader counts. */
static inline void journald_count(struct journald *out)
{
	sd_journal *j = NULL;
	uint64_t bytes = 0;

	if (sd_journal_open_directory(&j, "/var/log/journal/0123456789abcdef0123456789abcdef", 0) < 0)
		return;
	(void)sd_journal_add_match(j, "SLUICE_BENCH=1", 0);
	SD_JOURNAL_FOREACH(j)
	out->messages++;
	if (sd_journal_get_usage(j, &bytes) >= 0)
		out->bytes = bytes;
	sd_journal_close(j);
}

static inline bool journald_send(unsigned long long n)
{
	for (unsigned long long i = 0; i < n; i++)
		if (sd_journal_send("MESSAGE=exchange %llu", i, "SLUICE_BENCH=1", "SLUICE_SERVICE=vllm",
		                    "SLUICE_MODEL=qwen2.5-7b-instruct", "SLUICE_REQUEST=chatcmpl-5f1c2d3e4a5b6c7d",
		                    "SLUICE_SRC=10.1.2.3:51234", "SLUICE_DST=10.1.2.4:8000", "SLUICE_BYTES=20480",
		                    "SLUICE_VERDICT=CLEARED", "SLUICE_PATH=/v1/chat/completions", "PRIORITY=7", NULL) < 0)
			return false;
	return true;
}

static inline int journald_child(const char *dir, unsigned long long n, int to)
{
	struct journald out = { 0 };
	struct timespec from, until;
	pid_t pid;
	bool good;

	alarm(JOURNALD_MOST);
	if (!journald_ground(dir))
		return 1;
	pid = fork();
	if (!pid) {
		execl(JOURNALD, JOURNALD, NULL);
		_exit(127);
	}
	good = pid > 0 && journald_waits_for("/run/systemd/journal/socket") && !kill(pid, SIGUSR1) &&
	       journald_waits_for("/run/systemd/journal/flushed");
	clock_gettime(CLOCK_MONOTONIC, &from);
	good = good && journald_send(n) && !kill(pid, SIGRTMIN + 1) && journald_waits_for("/run/systemd/journal/synced");
	clock_gettime(CLOCK_MONOTONIC, &until);
	out.seconds = (double)(until.tv_sec - from.tv_sec) + (double)(until.tv_nsec - from.tv_nsec) / 1e9;
	if (good)
		journald_count(&out);
	if (pid > 0) {
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
	}
	return good && write(to, &out, sizeof(out)) == sizeof(out) ? 0 : 1;
}

/* Sends n messages of what an answer leaves, from this process's cores. False: it does not run here. */
static inline bool journald_measure(struct journald *out, const char *dir, unsigned long long n)
{
	struct pollfd p = { .events = POLLIN };
	int pipes[2];
	pid_t child;
	bool good;

	if (access(JOURNALD, X_OK) || geteuid() != 0 || mkdir(dir, 0755) || pipe(pipes))
		return false;
	child = fork();
	if (!child) {
		setpgid(0, 0);
		_exit(journald_child(dir, n, pipes[1]));
	}
	close(pipes[1]);
	p.fd = pipes[0];
	good = child > 0 && poll(&p, 1, JOURNALD_MOST * 1000) == 1 && read(pipes[0], out, sizeof(*out)) == sizeof(*out);
	close(pipes[0]);
	if (child > 0) {
		if (!good)
			kill(-child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	return good && out->messages == n;
}
