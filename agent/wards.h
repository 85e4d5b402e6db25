/* SPDX-License-Identifier: Apache-2.0 */
/* wards.h - the inside of the keeper: its workers, and how one follows another. */
#pragma once

#include "keeper.h"

#define TICK_NS      1000000000u
#define BEATLESS_S   15  /* a worker whose loops do not turn is ended */
#define RELOAD_S     120 /* what reading a policy may take */
#define RELEASE_S    30  /* what giving the record away may take */
#define STOP_S       20  /* what ending may take */
#define SHORT_LIFE_S 10  /* a worker that dies younger is not made again at once */
#define PAUSE_MAX_S  10

enum ward_role {
	WARD_COMING,   /* reads its policy, waits for the record */
	WARD_SERVING,  /* has the record and the doors */
	WARD_DRAINING, /* has given them away */
	WARD_ROLES
};

/* A worker, as the keeper sees it. */
struct ward {
	struct keeper *k;
	struct ward *next;
	pid_t pid;
	struct watch pair; /* this end of what it tells */
	int commands;      /* and of what it is told */
	enum ward_role role;
	uint64_t born; /* loop time */
	unsigned beatless_s, patience_s;
	bool loaded;     /* coming: it waits for the record, or has it */
	struct pipes to; /* of others: towards the one that is coming */
};

/* What the next worker will be told to be. */
struct change {
	struct config *config; /* NULL: as it is */
	struct guard *guards;
	const char *why; /* NULL: there is none under way */
};

struct keeper {
	struct daemon *d;
	struct loop *loop;
	struct watch signals, listens;
	struct timer tick, again; /* again: when a worker is made after a pause */
	struct ward *wards;
	struct change change;
	char failed_why[TEXT_MAX]; /* of the one that was coming */
	char program[4096];        /* what is begun at an upgrade */
	pid_t check;               /* whether it would start; 0: nobody asks */
	struct watch check_says;
	char check_text[TEXT_MAX];
	size_t check_len;
	unsigned pause_s, stopping_s, release_s;
	bool was_up, stopping, doors;
	bool policy_news; /* it is in force, and no copy of it is kept yet */
	bool policy_kept; /* a copy was made in this tick */
	int error;        /* why the first worker did not come up */
};

/* ---- wards.c ---- */

struct ward *ward_with(struct keeper *k, enum ward_role role);
/* Makes the next worker: of the change that is under way, or as it is. -errno. */
int ward_spawn(struct keeper *k);
/* One that another program of this process made. -errno. */
int ward_adopt(struct keeper *k, pid_t pid, int pair, int commands, enum ward_role role);
/* Whatever is to be done when `pid` has ended; false: it is none of ours. */
bool ward_ended(struct keeper *k, pid_t pid, int status);
/* -EPERM: a keeper without CAP_KILL may not. */
int ward_signal(struct ward *w, int signal);
void ward_command(struct ward *w, enum command what, uint64_t value, const char *text, const int *fds, size_t fd_count);
/* The same, whole. */
void ward_send(struct ward *w, struct commanded c, const char *text, const int *fds, size_t fd_count);
void ward_tick(struct keeper *k);
/* In a fork, and at the end. Leaves the loop alone: in a fork its epoll is the parent's, too. */
void wards_free(struct keeper *k);

/* ---- spaces.c ---- */

/* There is another network namespace now, or no more: all workers are told. `arg` is the keeper. */
void wards_space_came(void *arg, uint64_t netns);
void wards_space_went(void *arg, uint64_t netns);
/* Makes sockets in a namespace that is guarded, for a worker that asks for them. */
void ward_give_dials(struct ward *w, uint64_t netns, int family);

/* ---- change.c ---- */

struct guard *guards_of(const struct config *c);
/* Begins to take in what the configuration says now. 0: *value is the generation that will serve, the present one if
 * nothing is to be changed but the policy. -errno with the cause in `why`. */
int change_begin(struct keeper *k, uint64_t *value, char why[TEXT_MAX]);
/* The next worker has read its policy: from here on the host is guarded as it expects. -errno, logged: as it was. */
int change_commit(struct keeper *k);
/* It did not come up. */
void change_drop(struct keeper *k);
/* Begins to go over to the program that is there now. As change_begin(). */
int upgrade_begin(struct keeper *k, uint64_t *value, char why[TEXT_MAX]);
/* The process that tried it has ended; false: `pid` is another. */
bool upgrade_checked(struct keeper *k, pid_t pid, int status);

/* ---- again.c: one program of the keeper after another, in one process ---- */

/* Does not return if it succeeds. -errno. */
int again_exec(struct keeper *k);
/* Whether there was one before us, and what it had: sets sockets, record_lock, generation, thread_count. `kept` is the
 * caller's. -EBADMSG: it says so in words that are not ours. */
int again_read(struct daemon *d, int **kept, size_t *kept_count);
/* Its workers. */
int again_wards(struct keeper *k);
