/* SPDX-License-Identifier: Apache-2.0 */
/* witness.h - what the files of `sluicectl witness` share. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "record/record.h"

#define WITNESS_LISTEN "127.0.0.1:9478"
#define SUBMITS_MAX    16

enum { WITNESS_OK = 0, WITNESS_REFUSED = 1, WITNESS_ERROR = 2 };

/* Answers add-checkpoint at HOST:PORT until a signal ends it; prints where it listens once it does. Returns the exit
 * status. */
int witness_serve(struct witness *w, const char *listen);

/* A witness that is asked. */
struct asked {
	const char *url, *key;
};

/* Sends the newest checkpoint of the logs below `dir` to each and keeps what they cosign. Returns the exit status:
 * WITNESS_REFUSED when a witness has seen another history. */
int witness_submit(const char *dir, const struct asked *list, size_t n, unsigned seconds);
/* What each has cosigned so far. */
int witness_list(const char *dir, const struct asked *list, size_t n);
