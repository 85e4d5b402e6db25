/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h - the two processes of sluiced and what they say to each other.
 *
 * The keeper is root: it loads the BPF programs, makes the listeners, looks for servers, and keeps one worker serving.
 * It reads no byte of traffic and no file but the configuration and, once, the policy. The worker is a fork of it that
 * has given up every privilege (sandbox.h); it does all the rest. Between them are two socket pairs: over one the
 * worker tells and asks, over the other the keeper commands.
 *
 * A fork and not a new program: the worker needs the listeners, the letter box and the configuration, and a fork has
 * them without a protocol to hand them over. A worker that died is made again the same way, from a process that has
 * never read what strangers sent.
 */
#pragma once

#include "daemon.h"

/* What a worker tells. The keeper takes these from a process that may have been taken over: none of them makes it do
 * more than look up its own state, open the doors that were to be opened, make sockets in network namespaces that the
 * worker serves, read its own configuration again, begin its own program again, copy its own policy (once a second at
 * most), or tell systemd. */
enum tell {
	TELL_READY,     /* all is in place, open the doors. Answered with a struct told: 0 or -errno, and open_passed */
	TELL_UP,        /* serving; value: number of rules */
	TELL_BEAT,      /* all loops turn */
	TELL_RELOADING, /* a policy is read: beats may fail to come */
	TELL_RELOADED,
	TELL_STATUS, /* answered with a GuardStatus */
	TELL_DIALS,  /* sockets to dial with are wanted: value: namespace, error: family. COMMAND_DIALS brings them */
	/* of a worker that takes over from another, and of that one */
	TELL_LOADED,   /* the policy is read, the record may be ours. Answered with a struct told */
	TELL_FAILED,   /* it was not, and this is why: text follows */
	TELL_RELEASED, /* the record is anybody's, and nothing is accepted any more */
	/* what sluicectl asks for. Answered with a struct told: 0 or -errno, the generation that will serve, and text
	 */
	TELL_RELOAD,
	TELL_UPGRADE,
	TELL_POLICY, /* the policy as it lies there is in force: a copy may be kept */
	TELL_COUNT
};

struct told {
	uint32_t what;
	int32_t error;
	uint64_t value;
};

#define TEXT_MAX 1024 /* behind a struct told, or in a struct commanded; ends with a zero byte */

/* What the keeper commands a worker to do, over a pair of its own. */
enum command {
	COMMAND_RELOAD,    /* the policy, from where it was */
	COMMAND_HAND_OVER, /* accept no more, give the record away: descriptors for ledger and control log */
	COMMAND_DRAIN,     /* descriptor for connections between two exchanges; value: milliseconds for all others */
	COMMAND_REFUSED, /* a change that was asked for is not made; text: why; value: the generation that does not come
	                  */
	COMMAND_HERALD,  /* descriptor for who is told of alerts; none: nobody is */
	COMMAND_STOP,    /* as SIGTERM */
	COMMAND_SPACE, /* another network namespace: value: its cookie; text: its inode, and how many listeners it has;
	                * descriptors of those from `part` on */
	COMMAND_NO_SPACE, /* it is gone: value: its cookie */
	COMMAND_DIALS,    /* descriptors of sockets made in it: value: its cookie; part: their family */
	COMMAND_COUNT
};

struct commanded {
	uint32_t what, part;
	uint64_t value;
	char text[TEXT_MAX];
};

#define FDS_MOST  64 /* with one command */
#define DIALS_ASK 64 /* sockets that are made at a time */

#define GUARD_STATUS_MAX (1u << 20)

/* The keeper's life: returns when it was told to stop or the first worker could not start. 0 or -errno. */
int keeper_run(struct daemon *d);

/* Whether this program goes on as the keeper that another one was, in this very process: the policy need not be read,
 * the worker will. */
bool keeper_goes_on(void);

/* ---- work.c: the worker's life ---- */

/* Everything from the sandbox to the last record. `fd` is the worker's end of the pair. 0 or -errno. */
int work(struct daemon *d, int fd);

/* Tells the keeper; what gets lost is said again or does not matter. */
void keeper_tell(int fd, enum tell what, uint64_t value);
void keeper_tell_text(int fd, enum tell what, const char *text);
/* Tells and waits for the answer, at most so long: its length, or -errno. */
#define ASK_MS 5000
ssize_t keeper_ask(int fd, enum tell what, void *answer, size_t room, int timeout_ms);

/* ---- commands.c: what the worker does at the keeper's command ---- */

/* Listens for them. -errno. */
int commands_watch(struct daemon *d);
/* Goes on with what workers before this one send and pass on. -errno. */
int commands_take_over(struct daemon *d);
/* Forgets those that have ended; every second. */
void commands_look(struct daemon *d);
/* Asked to end: at once, or when those before this one have ended, which it writes for. */
void commands_stop(struct daemon *d);
/* Closes all of it; the logs are closed, and the loops do not run. */
void commands_close(struct daemon *d);
/* Asks for sockets to dial with in another namespace. From any thread; `arg` is the daemon. */
void commands_ask_dials(void *arg, uint64_t netns, int family);
/* Has the keeper change to the configuration or the program that is there now, for sluicectl. */
void commands_ask_change(struct daemon *d, enum tell what, ControlReply *out);
/* Reads the policy again. */
void daemon_reload_policy(struct daemon *d);
