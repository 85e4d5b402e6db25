/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h - the two processes of sluiced and what they say to each other.
 *
 * The keeper is root: it loads the BPF programs, makes the listeners, looks for servers, and keeps one worker alive. It
 * reads no byte of traffic and no file but the configuration and, once, the policy. The worker is a fork of it that has
 * given up every privilege (sandbox.h); it does all the rest. Between them is a socket pair with messages of a fixed
 * size, and one reply that is larger: the state of the guard.
 *
 * A fork and not a new program: the worker needs the listeners, the letter box and the configuration, and a fork has
 * them without a protocol to hand them over. A worker that died is made again the same way, from a process that has
 * never read what strangers sent.
 */
#pragma once

#include "daemon.h"

/* What a worker tells. The keeper takes these from a process that may have been taken over: none of them makes it do
 * more than look up its own state, open the doors that were to be opened, or tell systemd. */
enum tell {
	TELL_READY,     /* all is in place, open the doors. Answered with a struct told: 0 or -errno, and open_passed */
	TELL_UP,        /* serving; value: number of rules */
	TELL_BEAT,      /* all loops turn */
	TELL_RELOADING, /* a policy is read: beats may fail to come */
	TELL_RELOADED,
	TELL_STATUS, /* answered with a GuardStatus */
	TELL_COUNT
};

struct told {
	uint32_t what;
	int32_t error;
	uint64_t value;
};

#define GUARD_STATUS_MAX (1u << 20)

/* The keeper's life: returns when it was told to stop or the first worker could not start. 0 or -errno. */
int keeper_run(struct daemon *d);

/* ---- work.c: the worker's life ---- */

/* Everything from the sandbox to the last record. `fd` is the worker's end of the pair. 0 or -errno. */
int work(struct daemon *d, int fd);

/* Tells the keeper; what gets lost is said again or does not matter. */
void keeper_tell(int fd, enum tell what, uint64_t value);
/* Tells and waits for the answer, at most 5 seconds: its length, or -errno. */
ssize_t keeper_ask(int fd, enum tell what, void *answer, size_t room);
