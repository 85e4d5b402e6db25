/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age.h - text for the holders of age keys: the age v1 format (C2SP age.md), X25519 recipients, written with libcrypto.
 *
 * Header and payload are made apart, because they are kept apart: without its header a payload is noise for good.
 * Header and payload one behind the other are an ordinary .age file. Writing needs no secret; who has an identity
 * reads with age_open() of record.h, which the daemon has no use for: it has no identity.
 */
#pragma once

#include <openssl/evp.h>

#include "base/slice.h"

#define AGE_KEY        32
#define AGE_RECIPIENTS 16

struct age_recipient {
	uint8_t key[AGE_KEY];
};

/* Reads "age1..." (Bech32, 62 characters). -EINVAL. */
int age_recipient_read(struct age_recipient *out, const char *text);

/* Encrypts `text` to 1 to AGE_RECIPIENTS recipients under a file key that is random and forgotten. Both parts are the
 * caller's. -EINVAL: the number, or a key that is none; -ENOMEM; -EIO: no randomness, or libcrypto refuses. */
int age_seal(const struct age_recipient *to, size_t n, struct slice text, uint8_t **header, size_t *header_len,
             uint8_t **payload, size_t *payload_len);

/* ---- shared by the files that write and read it ---- */

#define AGE_FILE_KEY    16
#define AGE_NONCE       16
#define AGE_TAG         16
#define AGE_CHUNK       65536
#define AGE_BODY        (AGE_FILE_KEY + AGE_TAG)
#define AGE_X25519_INFO "age-encryption.org/v1/X25519"

/* HKDF-SHA-256 (RFC 5869). -EIO. */
int age_hkdf(uint8_t to[32], struct slice secret, struct slice salt, const char *info);

static inline void own_pkey(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static inline void own_pkey_ctx(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
}

static inline void own_cipher(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}
