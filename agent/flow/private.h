/* SPDX-License-Identifier: Apache-2.0 */
/* private.h - the inside of a worker and of a flow, shared by the files of this room. */
#pragma once

#include <sys/uio.h>

#include "flow/flow.h"

#define SCRATCH_BYTES 65536  /* what one read(2) may bring */
#define UP_HIGH       262144 /* unsent bytes at which the client is no longer read */
#define DOWN_HIGH     262144 /* unsent bytes at which the server is no longer read */
#define READS_A_TURN  4      /* of one side, before its bytes are looked at and the others have their turn */

/* A listener of this loop; a descriptor of its own. */
struct door_watch {
	struct watch watch;
	struct worker *worker;
	struct door_watch *next;
	uint64_t netns; /* 0: our namespace */
	int family;
};

struct worker {
	struct worker_options o;
	struct loop *loop;
	struct ruleset *rules;
	size_t held_max; /* of one answer, streamed or not */
	unsigned index;  /* of the loop */
	struct door_watch *doors;
	struct timer retry;     /* out of descriptors, or of sockets to dial with: accept again later */
	int files_most;         /* the first descriptor that is not for clients */
	bool files_short;       /* look first whether there are some */
	uint64_t short_said;    /* when that was last logged, 0: never */
	struct flow *flows;     /* all of this worker's */
	uint64_t swept_at;      /* when memory was last looked for */
	struct flow *dead;      /* freed at the end of the call that ended them */
	bool leaving;           /* its doors are closed for good */
	int passing;            /* where connections go between two exchanges; -1: they stay */
	struct timer pass_more; /* there was no room for more */
	struct source *sources; /* of connections that others pass to us */
	size_t source_count;    /* of them, and of those that are posted; read by other threads */
	struct asked *asked;    /* inquiries that were not told yet */
	struct worker_stats stats;
	struct service_stats *services; /* by index of the guard */
	uint8_t ids[1024];              /* random bytes for ids of exchanges, the last `ids_left` not used yet */
	size_t ids_left;
	uint8_t scratch[SCRATCH_BYTES];
};

enum flow_state {
	FLOW_OPEN,
	FLOW_STOPPING, /* cut: the server is being stopped */
	FLOW_NOTING,   /* cut: the record is on its way to the disk */
	FLOW_ENDING,   /* what is cleared goes to the client, then the end */
	FLOW_PASSING,  /* no HTTP any more: bytes pass both ways, unread */
	FLOW_DEAD,
};

enum end_kind { END_FIN, END_RST };

/* One side of a connection. */
struct side {
	struct watch watch;
	bool readable, writable;
	bool hup;   /* the peer has closed its half: read to the end */
	bool eof;   /* it was read */
	bool reset; /* the connection is broken */
	bool fin_sent;
};

/* How far stopping the server got. */
struct stop {
	const char *method;
	enum { STOP_NONE, STOP_REQUESTED, STOP_CONFIRMED, STOP_NOT_CONFIRMED } result;
	uint64_t at; /* loop time */
	uint64_t at_unix;
	uint64_t latency_us, bytes_after;
};

/* A question of an exchange on its way to somebody who has an opinion. */
struct asked {
	struct inquiry inquiry;
	struct post post;
	struct worker *worker;
	struct asked *next, **link;
	struct flow *flow; /* NULL: nobody waits for it */
	uint64_t id;       /* of the question */
	const struct rule *rule;
	enum channel channel;
	uint32_t choice, length;
	uint64_t offset;
	bool block; /* without an opinion the hit counts */
	uint8_t text[];
};

struct flow {
	struct worker *worker;
	struct flow *next, **link;
	struct side client, server;
	bool connecting;
	struct ends ends;
	size_t service;
	struct lane up, down;
	struct exchange *x;
	enum flow_state state;
	enum end_kind end_kind;
	struct timer timer;
	struct stop stop;
	size_t charged;        /* bytes of memory on the common account */
	uint64_t moved_at;     /* when the client last took something */
	uint64_t started_unix; /* of the exchange */
	uint64_t held_since, max_hold_ns;
	uint8_t exchange_id[16];

	/* the record that a refusal waits for */
	struct ledger_note note;
	struct post noted;
	int note_err;
	uint64_t noting_since; /* monotonic nanoseconds */
	bool note_out;         /* the writer has it */
	bool exchange_noted;   /* an exception's Exchange is written before the client hears of it, */
	bool findings_noted;   /* and the findings of a block */
	bool lingering;
	bool streaming; /* counted as a stream */
	uint8_t patience;
	uint64_t passing_since, passed_up, passed_down;

	size_t asked_count;  /* inquiries under way */
	bool decided;        /* a question was, since the exchange last saw its answer */
	struct timer gather; /* a question waits for the end of its sentence */
};

/* flow.c */
void flow_accept(struct worker *w, int client);
/* Goes on with a connection between two exchanges; takes both descriptors. */
void flow_adopt(struct worker *w, int client, int server);
void flow_kill(struct flow *f);
/* Lets everything that can move, move. */
void flow_step(struct flow *f);
void flow_reap(struct worker *w);
/* The exchange is over: count it, write it down, forget it. */
void flow_exchange_over(struct flow *f);
/* Both ends go at once; an exchange under way is written down as far as it got. */
void flow_end(struct flow *f, enum end_kind how);
/* Sends what is cleared to the client. False: the client is gone. */
bool flow_send_down(struct flow *f);
/* Reads and throws away what the server still says. */
void flow_drain_server(struct flow *f);
/* Reads once. Bytes, 0 (s->eof, s->reset tell why), or -ENOBUFS: the lane can take no more. */
ssize_t side_read(struct worker *w, struct side *s, struct lane *l);
/* Sends what is cleared. False: the peer is gone. */
bool side_write(struct side *s, struct lane *l);
void side_fin(struct side *s);
void side_close(struct flow *f, struct side *s, enum end_kind how);

/* worker.c */
/* Accepts no more. */
void doors_leave(struct worker *w);

/* cut.c */
void cut_begin(struct flow *f);
void cut_step(struct flow *f);
void cut_timer(struct flow *f);

/* memory.c */
/* Puts what the connection holds now on the common account. False: there is too much, and it has grown. */
bool memory_charge(struct flow *f);
/* No new request is to be taken. */
bool memory_is_short(const struct worker *w);
/* Resets who does not read what waits for it; at most once a second. */
void memory_sweep(struct worker *w);

/* pass.c */
/* The exchange is over, and what follows is no HTTP. */
void pass_begin(struct flow *f);
void pass_step(struct flow *f);

/* drain.c */
/* Passes it to the worker that takes over, if nothing is under way on it. True: it is gone from here. */
bool drain_pass(struct flow *f);
void drain_more(struct timer *t);
/* Frees what it holds for taking and passing. */
void drain_stop(struct worker *w);

/* ask.c */
/* Asks what the exchange wants to have asked now; `hurry`: also what waits for more text. True: a question is decided
 * already. */
bool ask_questions(struct flow *f, bool hurry);
/* The exchange is over, or will be: nobody waits for opinions. */
void ask_leave(struct flow *f);
void ask_gather_due(struct timer *t);
/* Nobody tells anything any more. */
void ask_free(struct worker *w);

/* note.c */
int note_opinion(struct flow *f, const struct asked *a, enum opinion_outcome outcome, uint64_t latency_us,
                 bool counted);
/* A connection passes unread from here on, or did so until now. */
int note_upgrade(struct flow *f, bool end);
int note_exchange(struct flow *f, struct ledger_note *note);
/* Sends the findings; the last one carries the note. */
int note_findings(struct flow *f, struct ledger_note *note);
void note_new_id(struct flow *f);

/* keep.c */
/* What is kept of a finding beside its record. */
struct keep {
	Evidence evidence;
	uint8_t tag[SUBJECT_TAG];
	bool has_tag, asked; /* asked: `evidence` is part of the record */
	struct buf text;     /* to be sealed; empty: nothing is */
};

/* Fills *to, whose text the caller frees. `whole`: of this exchange the whole answer is not kept yet; cleared if it is
 * then. */
void keep_finding(struct flow *f, const struct finding *found, bool *whole, struct keep *to);
void keep_free(struct keep *k);

/* tally.c */
void tally_add(struct tally *t, const char *service, const struct rule *rule);

uint64_t unix_now(void);
/* Monotonic, as of now and not of the turn. */
uint64_t exact_now(void);

static inline void count(uint64_t *n, uint64_t by)
{
	__atomic_store_n(n, *n + by, __ATOMIC_RELAXED); /* one writer */
}
