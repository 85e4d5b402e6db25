/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alert.h - the door of alert: what somebody must be told of now, and telling it.
 *
 * For hosts that no Prometheus looks at. Facts come once a second; a table says which of them are an alert; a change is
 * pushed to Alertmanager (API v2) and to a webhook. Names and runbook sections are those of packaging/prometheus. No
 * message holds a word of a prompt or an answer, an address, a path or a key: only names of the configuration, and
 * numbers.
 */
#pragma once

#include "base/buf.h"

#define ALERT_SERVICES_MAX 256

enum alert_kind {
	ALERT_DOWN,
	ALERT_RECORD_FAILED,
	ALERT_FAIL_OPEN,
	ALERT_UNCOVERED,
	ALERT_STOP_NOT_CONFIRMED,
	ALERT_POLICY_OLD,
	ALERT_OPINION_BREAKER,
	ALERT_BLOCKS_MANY, /* of a service */
	ALERT_KIND_COUNT
};

struct alert_row {
	const char *name, *severity, *summary; /* %s of the summary: the service */
	bool by_service;
};

extern const struct alert_row alert_table[ALERT_KIND_COUNT];

/* What the worker says of itself. Counters begin with it, and may fall when another takes its place. */
struct alert_facts {
	uint64_t started_unix, policy_loaded_unix; /* seconds */
	uint64_t open_passed;                      /* connections that passed unread before it began */
	uint64_t stops_not_confirmed;
	uint64_t breakers_opened; /* times, of all opinions */
	uint32_t breakers_open;   /* now */
	uint32_t uncovered;
	uint32_t patience_s; /* when silence is to be taken for its end; 0: never */
	bool record_sound;
	uint64_t blocked[ALERT_SERVICES_MAX]; /* answers, by service */
};

struct alert_limits {
	uint32_t window_s;     /* of blocks; what happens once is an alert for as long */
	uint32_t blocks;       /* of one service in a window: more are an alert */
	uint32_t policy_age_s; /* older is too old */
};

/* ---- judge.c: pure ---- */

#define ALERT_SLICES 10 /* a window moves on by a tenth, or by a second */

struct alert_judge {
	struct alert_limits limits;
	size_t services;
	bool known; /* facts have come */
	struct alert_facts last;
	uint64_t heard_at;         /* all times: monotonic seconds */
	uint64_t not_confirmed_at; /* when it last happened; 0: not yet */
	uint64_t breaker_at;       /* likewise */
	uint64_t slice_at;         /* when the newest slice began */
	uint32_t slices[ALERT_SERVICES_MAX][ALERT_SLICES];
	bool firing[ALERT_KIND_COUNT][ALERT_SERVICES_MAX]; /* [kind][0] where it is of no service */
};

/* One alert begins or ends. */
struct alert_change {
	enum alert_kind kind;
	uint16_t service;
	bool firing;
	uint64_t at_unix; /* seconds */
};

/* `now`: monotonic seconds, not 0. */
void alert_judge_init(struct alert_judge *j, const struct alert_limits *limits, size_t services, uint64_t now);
/* What the worker says now. */
void alert_hear(struct alert_judge *j, const struct alert_facts *f, uint64_t now);
/* Calls `changed` for each alert that begins or ends. */
void alert_look(struct alert_judge *j, uint64_t now, uint64_t now_unix,
                void (*changed)(void *arg, const struct alert_change *c), void *arg);

/* ---- message.c: pure ---- */

struct alert_words {
	const char *host;
	const char *const *services; /* names, by index */
};

/* Adds a change to the body for Alertmanager: begins with "[", ends without "]". `until_unix`: when it is over unless
 * it is said again; used for what is firing. 0, -ENOBUFS or -ENOMEM. */
int alert_for_alertmanager(struct buf *out, const struct alert_change *c, const struct alert_words *w,
                           uint64_t until_unix);
/* The same for the webhook: begins with the object that holds the list. `dropped`: changes that had no room. */
int alert_for_webhook(struct buf *out, const struct alert_change *c, const struct alert_words *w, uint64_t dropped);

/* ---- push.c: HTTP ---- */

struct pusher;

/* For other processes: read with atomic_load. */
struct alert_counts {
	_Atomic uint64_t delivered, failed, dropped; /* messages, attempts, changes */
};

struct push_options {
	const char *alertmanager; /* URL of its root; NULL: none */
	const char *webhook;      /* URL; NULL: none */
	const char *token;        /* Bearer, for the webhook; NULL: none */
	struct alert_words words;
	struct alert_counts *counts;
	/* Why a message did not arrive, the first time in a row (`retry_s` until the next attempt), and that one did
	 * again (`why` NULL). Strings are constant; no URL is in them. */
	void (*said)(void *arg, const char *target, const char *why, unsigned retry_s);
	void *arg;
};

/* Borrows the strings. -ENOMEM. */
int push_new(struct pusher **out, const struct push_options *o);
void push_free(struct pusher **at);
/* Queues a change for each target. Never waits: 64 fit, then the oldest goes. */
void push_change(struct pusher *p, const struct alert_change *c);
/* Sends, and waits until `fd` can be read, something came back, or `ms` are over. */
void push_turn(struct pusher *p, int fd, int ms);
