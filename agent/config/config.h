/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - the door of config: /etc/sluice/sluice.yaml, read strictly.
 *
 * Every mistake is named with file, line and column; an unknown key is a mistake. Defaults are filled in, so a reader
 * of the struct never asks whether something was given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

#define CONFIG_FILE       "/etc/sluice/sluice.yaml"
#define CONFIG_RECORD_DIR "/var/lib/sluice/record"

/* What is done about the disk of the record, in auditd's words; `halt` is stop-serving. */
enum disk_action { DISK_IGNORE, DISK_SYSLOG, DISK_SUSPEND, DISK_STOP_SERVING, DISK_ACTION_COUNT };
extern const char *const disk_action_names[DISK_ACTION_COUNT];

struct config_disk {
	uint64_t space_left, admin_space_left; /* bytes; 0: never */
	enum disk_action space_left_action, admin_space_left_action, disk_full_action, disk_error_action;
	bool closed; /* on_record_failure: guarded services are refused while the record cannot be written */
};

/* What is kept of a hit beside the record; numbered as in policy. */
enum config_evidence { KEEP_NONE, KEEP_HASH, KEEP_SPAN, KEEP_FULL, KEEP_COUNT };

#define CONFIG_RECIPIENTS_MAX 16
/* Who is told, and of how much. NULL: nobody. */
struct config_alerts {
	char *alertmanager, *webhook;
	uint32_t blocks, window_s, policy_age_s;
};

#define CONFIG_SERVICES_MAX 256 /* what capture can tell apart */

struct config_service {
	char *name;
	char *unit, *cgroup; /* NULL: not given */
	uint16_t *ports;
	size_t port_count; /* 0: auto */
	bool fail_open;
	bool upgrade_pass; /* WebSockets pass, unread */
};

/* Another model that rules may ask, in opinions.c. */
enum opinion_kind { OPINION_MODERATIONS, OPINION_CHAT, OPINION_KIND_COUNT };
extern const char *const opinion_kind_names[OPINION_KIND_COUNT]; /* "moderations", "chat" */

#define CONFIG_OPINIONS_MAX   16
#define CONFIG_CATEGORIES_MAX 64

struct config_words {
	char **at;
	size_t count;
};

struct config_message {
	char *role, *content; /* content: {text} stands for the text that is asked about */
};

struct config_opinion {
	char *name, *url;
	char *host; /* of the URL: a name or an address, an IPv6 one without its brackets */
	uint16_t port;
	char *model;      /* NULL: none is named to the endpoint */
	char *token_file; /* NULL: none */
	enum opinion_kind kind;
	uint32_t deadline_ms, concurrency, breaker_failures, breaker_pause_ms;
	bool block;  /* on_timeout: without an opinion the hit counts */
	bool remote; /* it may be elsewhere than on loopback */
	struct config_message *messages;
	size_t message_count;
	uint32_t max_tokens;
	char *verdict_after, *category_after; /* never NULL; "": the first line, and the one behind it */
	struct config_words safe, unsafe, categories;
};

/* Who cosigns the record's checkpoints. */
#define CONFIG_WITNESSES_MAX 16

struct config_witness {
	char *url; /* before /add-checkpoint */
	char *key; /* name+id+key */
};

struct config {
	struct config_service *services;
	size_t service_count;
	char *policy;     /* folder of packs */
	char *policy_key; /* public key that packs and lists must be signed with, PEM; NULL: they need not be */
	char *record_dir;
	uint32_t retain_days;
	bool retain_unsafe; /* below the floor, as the operator wants it */
	struct config_disk disk;
	char **recipients; /* of evidence, "age1..." */
	size_t recipient_count;
	enum config_evidence evidence; /* of rules that do not say */
	uint64_t segment_bytes;        /* of a file of the record; 0: the usual */
	bool record_all;               /* exchanges: all | flagged */
	struct config_witness *witnesses;
	size_t witness_count;
	char **identity_headers;
	size_t identity_count;
	struct config_alerts alerts;
	char *metrics_listen; /* "127.0.0.1:9477", or NULL */
	enum log_level log_level;
	char *user;       /* of the worker; NULL: not given */
	char *control;    /* path of the control socket */
	char *pins;       /* directory on a bpffs */
	char *own_cgroup; /* below the cgroup2 mount */
	uint32_t loops;   /* 0: one a core */
	uint64_t body_max, event_max;
	uint64_t memory_max; /* of all connections together */
	uint32_t head_timeout_ms, stop_timeout_ms;
	uint32_t drain_timeout_ms; /* what answers under way have when their worker is replaced */
	uint64_t print;            /* of the bytes of the file: equal where nothing was changed */
	struct config_opinion *opinions;
	size_t opinion_count;
};

/* Loads `file`. On success *out is the caller's. On error -EINVAL or -errno, and *report, which the caller frees, holds
 * one line a mistake: "FILE:LINE:COLUMN: what". */
int config_load(struct config **out, const char *file, char **report);
void config_free(struct config **at);

/* Whether a daemon that runs by `now` can go on by `next`. False: `why` names the keys that say otherwise. */
bool config_changes(const struct config *now, const struct config *next, char *why, size_t room);
