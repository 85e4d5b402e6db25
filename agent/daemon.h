/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.h - what sluiced consists of, for the files that wire it. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "alert/alert.h"
#include "base/journal.h"
#include "base/loop.h"
#include "capture/capture.h"
#include "config/config.h"
#include "flow/flow.h"
#include "policy/policy.h"
#include "record/record.h"
#include "serve/serve.h"

struct thread {
	pthread_t id;
	struct loop *loop;
	struct worker *worker;
	bool running;
	struct post pulse; /* asked every tick whether its loop still turns */
	atomic_bool beats;
	uint32_t missed;
};

/* Ends of what a worker that takes over has with one before it. */
struct pipes {
	int ledger, control, flows;
};

#define NO_PIPES    ((struct pipes){ -1, -1, -1 })
#define WORKERS_MAX 8 /* that serves, comes, and those that still drain */

struct daemon {
	const char *config_file;
	struct config *config;
	struct pack_key *policy_key; /* owned; NULL: packs need not be signed */
	struct ruleset *rules;
	struct ledger *ledger, *control; /* the two logs */
	struct journal_told told[2];
	char retain_policy[2][64]; /* of each log */
	struct subjects *subjects;
	struct tally *tally;
	struct opinions *opinions; /* NULL: none are configured */
	struct memory memory;
	struct holds *holds;
	struct erasures *erasures;
	struct evidence_store *evidence; /* NULL: nobody to seal for */
	struct capture *capture;         /* the keeper's; in the worker, what dialling needs of it */
	struct loop *loop;               /* the worker's main one */
	struct serve *serve;
	struct serve_sockets sockets; /* the keeper's, for all workers */
	struct watch signals;
	struct timer tick;
	uint64_t ticks;
	struct thread *threads;
	unsigned thread_count;
	bool *upgrade_pass; /* by service, as names */
	const char **names;
	struct guard *guards;
	int record_lock;
	int keeper;   /* the worker's end of the pair */
	int commands; /* and of the other one */
	struct watch commands_watch;
	struct pipes pipes[WORKERS_MAX];
	size_t pipe_count;
	struct before *before; /* workers before this one that still have answers under way */
	size_t before_count;
	struct timer leave_tick;      /* in a worker that gives way */
	uint64_t leave_at, leave_end; /* loop time: what is open is ended, the process ends; 0: not yet */
	bool leaving;
	bool taken_over;             /* this worker follows one that did not die */
	const char *why;             /* and why: "configuration", "upgrade" */
	uint64_t generation;         /* of configuration or program, from 1 */
	uint64_t refused_generation; /* the one that did not come */
	char refused_why[1024];
	pid_t parent;
	uid_t worker_uid;
	gid_t worker_gid;
	unsigned restarts;      /* workers before this one */
	char last_end[64];      /* how the last one ended; empty: this is the first */
	char user_lack[256];    /* why the worker has no user of its own; empty: it has */
	char sandbox_lack[192]; /* what this kernel cannot take from it */
	uint64_t open_passed;   /* connections that passed unread while nobody guarded */
	uint64_t started_unix;
	uint64_t last_unix; /* the last record before this run; 0: none */
	uint64_t most_open; /* connections, since memory was given back */
	char policy_error[512];
	uint64_t policy_loaded_unix;
	uint64_t open_ns; /* how long fail: open services passed unread before this run */
	unsigned stuck;   /* loops that stand still */
	pid_t herald;     /* 0: there is none to be; -1: it is gone */
	int herald_pair[2];
	uint64_t herald_born;              /* monotonic seconds */
	struct alert_counts *alert_counts; /* shared with it; NULL: there is none */
	uint32_t uncovered;                /* as last asked */
	bool ready;
	atomic_bool stopped; /* nobody is served: the disk of the record */
	unsigned disk_state; /* see disk.c */
	struct {
		uint64_t unix_s[2][CONFIG_WITNESSES_MAX]; /* by log and witness: when it last cosigned; 0: never */
		struct timespec seen[2];                  /* the file that says so, as it was then */
	} witnessed;
};

/* ---- logs.c ---- */

/* Opens both logs and the keys of the pseudonyms; says what went wrong. */
int logs_open(struct daemon *d);
/* The folder of the ledger. -ENAMETOOLONG. */
int logs_ledger_dir(const struct daemon *d, char *to, size_t room);

/* ---- disk.c ---- */

/* Looks at the disk of the record, and does what the configuration says about it. Every second. */
void disk_look(struct daemon *d);

/* ---- holding.c ---- */

/* Sets a legal hold or ends it; `error` says what went wrong, empty if nothing. */
void hold_answer(struct daemon *d, const HoldRequest *in, const Caller *caller, char *error, size_t room);

/* ---- erasing.c ---- */

/* May that evidence be read? On record, with who asks; `error` says why not, empty if it may. */
void reveal_answer(struct daemon *d, const RevealRequest *in, const Caller *caller, char *error, size_t room);
/* Erases, or restricts where a term or a hold forbids it yet. On success *out is the caller's. */
void erase_answer(struct daemon *d, const EraseRequest *in, const Caller *caller, EraseReply **out, char *error,
                  size_t room);
/* What was to be erased when we went is, and what may be by now. At the start (`first`), and now and then. */
void erase_due(struct daemon *d, bool first);

/* ---- naming.c ---- */

/* The pseudonyms of somebody; that they were asked for is on record first. On success *out is the caller's. */
void subject_answer(struct daemon *d, const SubjectRequest *in, const Caller *caller, SubjectReply **out, char *error,
                    size_t room);

/* ---- exporting.c ---- */

/* Puts on record that somebody exports; `error` says why it could not be, empty if it was. */
void export_answer(struct daemon *d, const ExportRequest *in, const Caller *caller, char *error, size_t room);

/* ---- reviewing.c ---- */

/* Puts on record what a finding was; `error` says why not, empty if it did. */
void review_answer(struct daemon *d, const ReviewRequest *in, const Caller *caller, char *error, size_t room);
/* Which of that evidence may be learnt from? On record, with who asks. On success *out is the caller's. */
void learn_answer(struct daemon *d, const LearnRequest *in, const Caller *caller, LearnReply **out, char *error,
                  size_t room);

/* ---- notes.c: records of the daemon itself ---- */

void note_lifecycle(struct daemon *d, Lifecycle__Kind kind, const char *reason);
void note_policy(struct daemon *d, bool refused);
void note_heartbeat(struct daemon *d);
/* Appends and waits until it is durable, two seconds at most: -ETIMEDOUT, and then it may become so yet. */
int note_durably(struct ledger *l, const Record *r);
/* Somebody asked for something: durable, with what the kernel says of the caller. */
int note_access(struct daemon *d, const Caller *caller, const Access *what);
/* Text of a caller that may go on record: no controls, not too long. */
bool note_plain(const char *text, size_t most);
/* Services with fail: open pass unread from when we go (START, `from` 0) until we are back (END: since `from`, with the
 * connections that were made). No record if there is no such service. */
void note_bypass(struct daemon *d, Bypass__Kind kind, uint64_t from);
/* When the ledger in `dir` was last written to, 0: never. */
uint64_t note_last(const char *dir);

/* ---- main.c ---- */

/* What the configuration asks of policies. */
struct policy_terms daemon_terms(const struct daemon *d);
/* Reads the policy, says on standard error what is wrong with it. 0 or -errno. */
int daemon_policy(struct daemon *d);
/* The key that it must be signed with, which only the keeper may read. 0 or -errno. */
int daemon_policy_key(struct daemon *d);
/* Whether the configuration has every opinion that the rules ask for; says in `why` which one it has not. -ENOENT. */
int daemon_opinions(const struct config *c, const struct ruleset *rules, char *why, size_t room);
void daemon_print_report(const struct policy_report *report);

/* ---- owner.c: in the keeper, before there is a worker ---- */

/* Sets worker_uid and worker_gid. -ENOENT or -EACCES, logged, if the configured user cannot be it. */
int daemon_user(struct daemon *d);
/* Makes the folders of the record and gives them to the worker; takes the lock that one daemon may have, if it is not
 * ours already. Logs what fails; -errno. */
int daemon_folders(struct daemon *d, bool lock);
