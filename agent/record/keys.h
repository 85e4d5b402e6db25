/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h - what the checkpoints of a log are signed with: a key that lives a day, in a file of mode 0600 outside the
 * log, and perhaps a second one that lives as long as the log and that the daemon cannot change.
 *
 * Who takes the day's key cannot sign what was before it: the key of the day before signed the tree's root of then,
 * and is erased.
 */
#pragma once

#include "record/note.h"

struct keys {
	char *file;
	struct note_signer now, next; /* next: made, its KeyRotation may be on record or not */
	struct note_signer origin;
	uint64_t made_unix; /* of `now` */
	bool has_next, has_origin, fresh;
};

/* Reads or makes the key in `file` (and the folder it lies in, mode 0700); `origin_pem`, if not NULL: the text
 * of an Ed25519 key as `openssl genpkey` writes it. -EINVAL: the name cannot stand in a note, or a key is none. */
int keys_open(struct keys *out, const char *file, const char *name, const char *origin_pem);
void keys_close(struct keys *k);

/* Makes `next`, durable beside `now`. */
int keys_prepare(struct keys *k);
/* `next` takes the place of `now`, which is overwritten and gone. */
int keys_advance(struct keys *k);
/* Forgets `next`. */
void keys_discard(struct keys *k);
