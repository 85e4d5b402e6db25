/* SPDX-License-Identifier: Apache-2.0 */
#include "record/age.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/bech32.h"
#include "base/own.h"
#include "record/note.h"

int age_recipient_read(struct age_recipient *out, const char *text)
{
	return bech32_key(out->key, "age", text);
}

/* ---- libcrypto ---- */

static int random_bytes(uint8_t *to, size_t len)
{
	return getrandom(to, len, 0) == (ssize_t)len ? 0 : -EIO;
}

/* HKDF-SHA-256, RFC 5869. */
int age_hkdf(uint8_t to[32], struct slice secret, struct slice salt, const char *info)
{
	owned(own_pkey_ctx) EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	size_t len = 32;

	if (!c || EVP_PKEY_derive_init(c) != 1 || EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) != 1 ||
	    EVP_PKEY_CTX_set1_hkdf_salt(c, salt.at, (int)salt.len) != 1 ||
	    EVP_PKEY_CTX_set1_hkdf_key(c, secret.at, (int)secret.len) != 1 ||
	    EVP_PKEY_CTX_add1_hkdf_info(c, (const unsigned char *)info, (int)strlen(info)) != 1 ||
	    EVP_PKEY_derive(c, to, &len) != 1 || len != 32)
		return -EIO;
	return 0;
}

/* ChaCha20-Poly1305, RFC 8439: writes in.len + AGE_TAG bytes. */
static int aead(uint8_t *to, const uint8_t key[32], const uint8_t nonce[12], struct slice in)
{
	owned(own_cipher) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0;

	if (!c || EVP_EncryptInit_ex(c, EVP_chacha20_poly1305(), NULL, key, nonce) != 1 ||
	    (in.len && EVP_EncryptUpdate(c, to, &n, in.at, (int)in.len) != 1) || n != (int)in.len ||
	    EVP_EncryptFinal_ex(c, to + n, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AGE_TAG, to + in.len) != 1)
		return -EIO;
	return 0;
}

/* The shared secret, and our own share. A share of small order gives zeros, which libcrypto refuses. */
static int agree(const struct age_recipient *with, uint8_t secret[32], uint8_t share[32])
{
	owned(own_pkey) EVP_PKEY *mine = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	owned(own_pkey) EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, with->key, AGE_KEY);
	owned(own_pkey_ctx) EVP_PKEY_CTX *c = mine ? EVP_PKEY_CTX_new(mine, NULL) : NULL;
	size_t len = 32, share_len = 32;

	if (!theirs || !c || EVP_PKEY_get_raw_public_key(mine, share, &share_len) != 1)
		return -EIO;
	if (EVP_PKEY_derive_init(c) != 1 || EVP_PKEY_derive_set_peer(c, theirs) != 1 ||
	    EVP_PKEY_derive(c, secret, &len) != 1 || len != 32)
		return -EINVAL;
	return 0;
}

/* ---- the header ---- */

/* base64 without padding. */
static size_t base64_bare(char *to, const uint8_t *at, size_t len)
{
	size_t n = base64_write(to, at, len);

	while (n && to[n - 1] == '=')
		n--;
	return n;
}

static int put_stanza(FILE *f, const struct age_recipient *to, const uint8_t file_key[AGE_FILE_KEY])
{
	static const uint8_t zero[12];
	uint8_t secret[32], share[32], salt[64], key[32], body[AGE_BODY];
	char text[64];
	int err = agree(to, secret, share);

	memcpy(salt, share, 32);
	memcpy(salt + 32, to->key, 32);
	err = err ? err : age_hkdf(key, slice_of(secret, 32), slice_of(salt, 64), AGE_X25519_INFO);
	err = err ? err : aead(body, key, zero, slice_of(file_key, AGE_FILE_KEY));
	if (!err) {
		fprintf(f, "-> X25519 %.*s\n", (int)base64_bare(text, share, 32), text);
		fprintf(f, "%.*s\n", (int)base64_bare(text, body, AGE_BODY), text);
	}
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(key, sizeof(key));
	return err;
}

static int make_header(const struct age_recipient *to, size_t n, const uint8_t file_key[AGE_FILE_KEY], char **out,
                       size_t *out_len)
{
	owned(own_free) char *text = NULL;
	uint8_t key[32], mac[32];
	char mac_text[64];
	unsigned mac_len = sizeof(mac);
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int err = f ? 0 : -ENOMEM;

	if (f)
		fputs("age-encryption.org/v1\n", f);
	for (size_t i = 0; !err && i < n; i++)
		err = put_stanza(f, &to[i], file_key);
	if (f)
		fputs("---", f);
	err = err ? err : age_hkdf(key, slice_of(file_key, AGE_FILE_KEY), (struct slice){ mac, 0 }, "header");
	if (!err && fflush(f))
		err = -ENOMEM;
	if (!err && !HMAC(EVP_sha256(), key, sizeof(key), (uint8_t *)text, len, mac, &mac_len))
		err = -EIO;
	if (!err)
		fprintf(f, " %.*s\n", (int)base64_bare(mac_text, mac, sizeof(mac)), mac_text);
	OPENSSL_cleanse(key, sizeof(key));
	if (f && fclose(f) && !err)
		err = -ENOMEM;
	if (err)
		return err;
	*out = TAKE(text);
	*out_len = len;
	return 0;
}

/* ---- the payload ---- */

/* A nonce for the key, then chunks; the last one, and only it, is marked in its counter. */
static int make_payload(const uint8_t file_key[AGE_FILE_KEY], struct slice text, uint8_t **out, size_t *out_len)
{
	size_t chunks = text.len ? (text.len + AGE_CHUNK - 1) / AGE_CHUNK : 1;
	owned(own_free) uint8_t *all = malloc(AGE_NONCE + text.len + chunks * AGE_TAG);
	uint8_t key[32], nonce[12] = { 0 };
	size_t at = AGE_NONCE;
	int err = all ? random_bytes(all, AGE_NONCE) : -ENOMEM;

	err = err ? err : age_hkdf(key, slice_of(file_key, AGE_FILE_KEY), slice_of(all, AGE_NONCE), "payload");
	for (size_t i = 0; !err && i < chunks; i++) {
		size_t from = i * AGE_CHUNK, len = text.len - from < AGE_CHUNK ? text.len - from : AGE_CHUNK;

		for (unsigned k = 0; k < 8; k++)
			nonce[10 - k] = (uint8_t)((uint64_t)i >> (8 * k));
		nonce[11] = i + 1 == chunks;
		err = aead(all + at, key, nonce, (struct slice){ text.at + from, len });
		at += len + AGE_TAG;
	}
	OPENSSL_cleanse(key, sizeof(key));
	if (err)
		return err;
	*out = TAKE(all);
	*out_len = at;
	return 0;
}

int age_seal(const struct age_recipient *to, size_t n, struct slice text, uint8_t **header, size_t *header_len,
             uint8_t **payload, size_t *payload_len)
{
	owned(own_free) char *head = NULL;
	owned(own_free) uint8_t *body = NULL;
	uint8_t file_key[AGE_FILE_KEY];
	size_t head_len = 0, body_len = 0;
	int err = n && n <= AGE_RECIPIENTS ? random_bytes(file_key, sizeof(file_key)) : -EINVAL;

	err = err ? err : make_header(to, n, file_key, &head, &head_len);
	err = err ? err : make_payload(file_key, text, &body, &body_len);
	OPENSSL_cleanse(file_key, sizeof(file_key));
	if (err)
		return err;
	*header = (uint8_t *)TAKE(head);
	*header_len = head_len;
	*payload = TAKE(body);
	*payload_len = body_len;
	return 0;
}
