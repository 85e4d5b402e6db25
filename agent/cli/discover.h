/* SPDX-License-Identifier: Apache-2.0 */
/* discover.h - what `sluicectl discover` sees on a host: listeners, who holds them, and how they answer. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/slice.h"

struct listener {
	struct in6_addr ip; /* IPv4 as v4-mapped */
	uint16_t port;
	ino_t inode;
	ino_t netns;       /* of the process that holds it */
	bool elsewhere;    /* in another network namespace than ours */
	pid_t pid;         /* 0: not to be seen */
	char process[64];  /* as the kernel calls it; printable */
	char unit[128];    /* the service unit it runs in, or "" */
	const char *kind;  /* by its command line: "vLLM", …; NULL: unknown */
	bool never_http;   /* a process that is known to be something else */
	const char *api;   /* by its answers: "OpenAI", …; NULL: unknown */
	const char *asked; /* the path that it answered so */
};

/* All TCP listeners that this process may see, each once; *list is the caller's, free(3). 0 or -errno. */
int discover_listeners(struct listener **list, size_t *count);

/* What a command line says: words separated by NUL. NULL: none that we know. Constant string. */
const char *discover_kind(struct slice command);

/* Asks a listener of ours, on loopback only, the few paths that inference servers answer; sets kind, api and asked.
 * Each request has `timeout_ms` in all and reads at most 64 KiB. What is not HTTP hears one request and no more. */
void discover_probe(struct listener *l, int timeout_ms);

/* Reads one answer: whether a server that says this to GET `path` is an inference server; *kind may be NULL. */
bool discover_answer(const char *path, struct slice answer, const char **api, const char **kind);

/* The `index`-th path that is asked, NULL behind the last. */
const char *discover_path(size_t index);
