/* SPDX-License-Identifier: Apache-2.0 */
/*
 * note.h - signed notes and checkpoints of C2SP (signed-note, tlog-checkpoint), Ed25519. Pure but for memory.
 *
 * A note is a text that ends in a newline, an empty line, and a line for each signature: "— name base64(id || sig)".
 * A checkpoint's text is three lines: origin, size, base64 of the root.
 */
#pragma once

#include <stdio.h>

#include "record/tree.h"

#define NOTE_NAME 256
#define NOTE_MAX  16384 /* bytes of a note; 16 cosignatures fit */
#define KEY_ID    4
#define KEY_LEN   32
#define SIG_LEN   64

#define KEY_ED25519 0x01 /* signature types of signed-note */
#define KEY_COSIGN  0x04 /* cosignature/v1 of tlog-cosignature */

struct note_key { /* public */
	char name[NOTE_NAME];
	uint8_t type;
	uint8_t id[KEY_ID];
	uint8_t key[KEY_LEN];
};

struct note_signer { /* secret: wipe it */
	struct note_key pub;
	uint8_t seed[KEY_LEN];
};

/* Whether a name can stand in a note: not empty, no space, no '+'. */
bool note_name_is_good(const char *name);

/* A key pair from a seed. -EINVAL: bad name. -EIO: libcrypto. */
int note_signer_make(struct note_signer *out, const char *name, uint8_t type, const uint8_t seed[KEY_LEN]);
void note_key_make(struct note_key *out, const char *name, uint8_t type, const uint8_t key[KEY_LEN]);

/* "name+hexid+base64(type || key)", what C2SP calls a vkey. Text of at most NOTE_NAME + 64 bytes. */
#define VKEY_MAX (NOTE_NAME + 64)
void note_key_text(const struct note_key *k, char to[VKEY_MAX]);
/* -EBADMSG. */
int note_key_read(struct note_key *out, struct slice text);

/* Ed25519 over any bytes. */
int note_sign_bytes(const struct note_signer *s, struct slice bytes, uint8_t sig[SIG_LEN]);
bool note_verify_bytes(const uint8_t key[KEY_LEN], struct slice bytes, const uint8_t sig[SIG_LEN]);

/* Writes the signature line of `text` (which ends in a newline) behind it. `unix_s` counts for cosignatures only.
 * Returns its length; -ENOBUFS, -EIO. */
int note_signature(const struct note_signer *s, struct slice text, uint64_t unix_s, char *to, size_t room);

/* The text of a note and the lines behind it. -EBADMSG: not a note. */
int note_split(struct slice note, struct slice *text, struct slice *signatures);
/* Whether one of the lines is k's signature of the text. *unix_s, if not NULL: of a cosignature. */
bool note_signed_by(struct slice text, struct slice signatures, const struct note_key *k, uint64_t *unix_s);
/* Whether a line claims to be of a key of this name and id. */
bool note_names(struct slice signatures, const struct note_key *k);

/* The next line of a text, without its newline; false: none is left whole. */
bool note_line(struct slice *rest, struct slice *line);

struct checkpoint {
	char origin[NOTE_NAME];
	uint64_t size;
	struct hash root;
};

/* The unsigned text. Returns its length, or -ENOBUFS. */
int checkpoint_text(const struct checkpoint *c, char *to, size_t room);
/* Reads the text of a checkpoint; lines behind the third are allowed and ignored. -EBADMSG. */
int checkpoint_read(struct checkpoint *out, struct slice text);
/* A size as a checkpoint writes it: decimal, no leading zero, at most INT64_MAX. */
bool checkpoint_size_read(struct slice text, uint64_t *out);

/* What the old key signs of the new one. Returns its length, or -ENOBUFS. */
int rotation_text(char *to, size_t room, const char *origin, uint64_t size, const struct hash *root, const char *vkey);

/* base64 with padding; returns the length written, without a terminator. */
size_t base64_write(char *to, const uint8_t *at, size_t len);
/* Strict. Returns the bytes, or -EBADMSG, -ENOBUFS. */
int base64_read(uint8_t *to, size_t room, struct slice text);
/* Each hash on a line of base64, as proofs have them. */
void hash_lines(FILE *to, const struct hash *list, size_t n);
