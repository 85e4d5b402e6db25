/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age_open.c - an age file (C2SP age.md, v1) becomes text again, for who has an identity.
 *
 * Strict: one way to write each header, as the format asks. Nothing of the text is given out before all of it was
 * authenticated: what was cut or joined anew is no text.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/bech32.h"
#include "base/own.h"
#include "record/age.h"
#include "record/note.h"
#include "record/record.h"

#define INTRO    "age-encryption.org/v1\n"
#define STANZA   "-> "
#define MAC_LINE "--- "
#define COLUMNS  64 /* of a body's lines; a shorter one, perhaps empty, is its last */
#define DIGITS   43 /* 32 bytes in base64 without padding */

int age_identity_read(struct age_identity *out, const char *text)
{
	owned(own_pkey) EVP_PKEY *key = NULL;
	struct age_identity id;
	size_t len = sizeof(id.recipient);
	int err = *text == 'A' ? bech32_key(id.secret, "age-secret-key-", text) : -EINVAL;

	if (err)
		return err;
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, id.secret, sizeof(id.secret));
	if (!key || EVP_PKEY_get_raw_public_key(key, id.recipient, &len) != 1)
		err = -EINVAL;
	else
		*out = id;
	OPENSSL_cleanse(&id, sizeof(id));
	return err;
}

/* ChaCha20-Poly1305: writes in.len - AGE_TAG bytes. -EBADMSG: not what was sealed. */
static int unseal(uint8_t *to, const uint8_t key[32], const uint8_t nonce[12], struct slice in)
{
	owned(own_cipher) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int len = (int)(in.len - AGE_TAG), n = 0;

	if (!c || EVP_DecryptInit_ex(c, EVP_chacha20_poly1305(), NULL, key, nonce) != 1 ||
	    (len && EVP_DecryptUpdate(c, to, &n, in.at, len) != 1) || n != len ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, AGE_TAG, (void *)(in.at + len)) != 1)
		return -EIO;
	return EVP_DecryptFinal_ex(c, to + n, &n) == 1 ? 0 : -EBADMSG;
}

/* 32 bytes from 43 letters, in the one way they can be written. */
static int key_of(uint8_t to[32], struct slice digits)
{
	uint8_t padded[DIGITS + 1];

	if (digits.len != DIGITS || memchr(digits.at, '=', DIGITS))
		return -EBADMSG;
	memcpy(padded, digits.at, DIGITS);
	padded[DIGITS] = '=';
	return base64_read(to, 32, slice_of(padded, sizeof(padded))) == 32 ? 0 : -EBADMSG;
}

/* The next line, without its end. -EBADMSG: there is none. */
static int line_of(struct slice *rest, struct slice *line)
{
	const uint8_t *end = rest->len ? memchr(rest->at, '\n', rest->len) : NULL;

	if (!end)
		return -EBADMSG;
	*line = slice_of(rest->at, (size_t)(end - rest->at));
	*rest = slice_from(*rest, line->len + 1);
	return 0;
}

static bool begins(struct slice s, const char *with)
{
	size_t n = strlen(with);

	return s.len >= n && !memcmp(s.at, with, n);
}

/* Tries a stanza for X25519 with one identity. -EACCES: it is for somebody else. */
static int unwrap(const struct age_identity *id, const uint8_t share[32], const uint8_t body[AGE_BODY],
                  uint8_t file_key[AGE_FILE_KEY])
{
	static const uint8_t zero[12];
	owned(own_pkey) EVP_PKEY *mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, id->secret, 32);
	owned(own_pkey) EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, share, 32);
	owned(own_pkey_ctx) EVP_PKEY_CTX *c = mine ? EVP_PKEY_CTX_new(mine, NULL) : NULL;
	uint8_t secret[32], salt[64], key[32];
	size_t len = 32;
	int err;

	if (!theirs || !c || EVP_PKEY_derive_init(c) != 1 || EVP_PKEY_derive_set_peer(c, theirs) != 1)
		return -EIO;
	if (EVP_PKEY_derive(c, secret, &len) != 1 || len != 32)
		return -EBADMSG; /* a share of small order */
	memcpy(salt, share, 32);
	memcpy(salt + 32, id->recipient, 32);
	err = age_hkdf(key, slice_of(secret, 32), slice_of(salt, 64), AGE_X25519_INFO);
	err = err ? err : unseal(file_key, key, zero, slice_of(body, AGE_BODY));
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(key, sizeof(key));
	return err == -EBADMSG ? -EACCES : err;
}

/* One stanza behind its "-> ". 0 when it gave the key, -EACCES when it is not for us. */
static int read_stanza(struct slice args, struct slice *rest, const struct age_identity *ids, size_t n,
                       uint8_t file_key[AGE_FILE_KEY])
{
	bool x25519 = begins(args, "X25519 ");
	uint8_t share[32], body[AGE_BODY];
	struct slice line, first = { 0 };
	size_t lines = 0;
	int err;

	for (size_t i = 0; i < args.len; i++)
		if (args.at[i] < 0x20 || args.at[i] > 0x7e)
			return -EBADMSG;
	do {
		err = line_of(rest, &line);
		if (err || line.len > COLUMNS)
			return -EBADMSG;
		first = lines++ ? first : line;
	} while (line.len == COLUMNS);
	if (!x25519)
		return -EACCES;
	if (lines != 1 || key_of(share, slice_from(args, 7)) || key_of(body, first))
		return -EBADMSG;
	err = -EACCES;
	for (size_t i = 0; i < n && err == -EACCES; i++)
		err = unwrap(&ids[i], share, body, file_key);
	return err;
}

/* Reads the header to its end and leaves the payload in *rest. */
static int read_header(struct slice *rest, const struct age_identity *ids, size_t n, uint8_t file_key[AGE_FILE_KEY])
{
	struct slice all = *rest, line;
	bool have = false;
	uint8_t key[32], mac[32], said[32];
	unsigned mac_len = sizeof(mac);
	size_t covered;
	int err;

	if (!begins(all, INTRO))
		return -EBADMSG;
	*rest = slice_from(all, sizeof(INTRO) - 1);
	for (;;) {
		uint8_t got[AGE_FILE_KEY];

		covered = (size_t)(rest->at - all.at) + 3; /* the dashes, too */
		err = line_of(rest, &line);
		if (err || !begins(line, STANZA))
			break;
		err = read_stanza(slice_from(line, 3), rest, ids, n, got);
		if (err && err != -EACCES)
			return err;
		if (!err && !have)
			memcpy(file_key, got, sizeof(got));
		have |= !err;
		OPENSSL_cleanse(got, sizeof(got));
	}
	if (err || !begins(line, MAC_LINE) || key_of(said, slice_from(line, 4)))
		return -EBADMSG;
	if (!have)
		return -EACCES;
	err = age_hkdf(key, slice_of(file_key, AGE_FILE_KEY), (struct slice){ mac, 0 }, "header");
	if (!err && !HMAC(EVP_sha256(), key, sizeof(key), all.at, covered, mac, &mac_len))
		err = -EIO;
	OPENSSL_cleanse(key, sizeof(key));
	return err ? err : CRYPTO_memcmp(mac, said, sizeof(mac)) ? -EBADMSG : 0;
}

static int read_payload(const uint8_t file_key[AGE_FILE_KEY], struct slice in, uint8_t **out, size_t *out_len)
{
	uint8_t key[32], nonce[12] = { 0 };
	size_t len = 0, room = in.len;
	uint8_t *text;
	int err;

	if (in.len < AGE_NONCE + AGE_TAG)
		return -EBADMSG;
	text = malloc(in.len);
	if (!text)
		return -ENOMEM;
	err = age_hkdf(key, slice_of(file_key, AGE_FILE_KEY), slice_of(in.at, AGE_NONCE), "payload");
	in = slice_from(in, AGE_NONCE);
	for (uint64_t i = 0; !err && in.len; i++) {
		size_t n = in.len < AGE_CHUNK + AGE_TAG ? in.len : AGE_CHUNK + AGE_TAG;

		for (unsigned k = 0; k < 8; k++)
			nonce[10 - k] = (uint8_t)(i >> (8 * k));
		nonce[11] = n == in.len;
		/* An empty last chunk is the only one. */
		if (n < AGE_TAG || (n == AGE_TAG && i))
			err = -EBADMSG;
		err = err ? err : unseal(text + len, key, nonce, slice_of(in.at, n));
		len += err ? 0 : n - AGE_TAG;
		in = slice_from(in, n);
	}
	OPENSSL_cleanse(key, sizeof(key));
	if (err) {
		OPENSSL_cleanse(text, room);
		free(text);
		return err;
	}
	*out = text;
	*out_len = len;
	return 0;
}

int age_open(const struct age_identity *ids, size_t n, const uint8_t *file, size_t len, uint8_t **text,
             size_t *text_len)
{
	uint8_t file_key[AGE_FILE_KEY] = { 0 };
	struct slice rest = slice_of(file, len);
	int err = read_header(&rest, ids, n, file_key);

	err = err ? err : read_payload(file_key, rest, text, text_len);
	OPENSSL_cleanse(file_key, sizeof(file_key));
	return err;
}
