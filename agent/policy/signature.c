/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature.c - whose pack it is.
 *
 * A pack travels with a detached signature: Ed25519 (RFC 8032) over the file's bytes, 64 bytes and nothing else, in a
 * file of the same name with ".sig" behind it. OpenSSL's own command makes and checks both; no format of ours is
 * needed.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "base/own.h"
#include "policy/doc.h"
#include "policy/draft.h"

#define KEY_BYTES_MAX  4096
#define LIST_BYTES_MAX (64u << 20)

struct pack_key {
	EVP_PKEY *key; /* owned */
};

static void context_free(EVP_MD_CTX **at)
{
	EVP_MD_CTX_free(*at);
}

static void bio_free(BIO **at)
{
	BIO_free(*at);
}

void pack_key_free(struct pack_key **at)
{
	if (!*at)
		return;
	EVP_PKEY_free((*at)->key);
	free(*at);
	*at = NULL;
}

int pack_key_parse(struct pack_key **out, struct slice pem)
{
	owned(pack_key_free) struct pack_key *k = calloc(1, sizeof(*k));
	owned(bio_free) BIO *in = pem.len <= KEY_BYTES_MAX ? BIO_new_mem_buf(pem.at, (int)pem.len) : NULL;

	if (pem.len > KEY_BYTES_MAX)
		return -EINVAL;
	if (!k || !in)
		return -ENOMEM;
	k->key = PEM_read_bio_PUBKEY(in, NULL, NULL, NULL);
	ERR_clear_error();
	if (!k->key || EVP_PKEY_get_base_id(k->key) != EVP_PKEY_ED25519)
		return -EINVAL;
	*out = TAKE(k);
	return 0;
}

int pack_verify(const struct pack_key *k, struct slice pack, struct slice signature)
{
	owned(context_free) EVP_MD_CTX *c = EVP_MD_CTX_new();
	int good;

	if (!c || EVP_DigestVerifyInit(c, NULL, NULL, NULL, k->key) != 1)
		return -ENOMEM;
	if (signature.len != PACK_SIGNATURE)
		return -EBADMSG;
	good = EVP_DigestVerify(c, signature.at, signature.len, pack.len ? pack.at : (const uint8_t *)"", pack.len);
	ERR_clear_error();
	return good == 1 ? 0 : -EBADMSG;
}

int pack_key_load(struct pack_key **out, const char *path)
{
	owned(arena_free) struct arena bytes = { 0 };
	struct slice pem = { 0 };
	int error = draft_read(&bytes, path, KEY_BYTES_MAX, &pem);

	return error ? error : pack_key_parse(out, pem);
}

bool draft_signed(const struct draft *d, const char *file, struct mark at, const char *path, struct slice bytes)
{
	owned(arena_free) struct arena kept = { 0 };
	owned(own_free) char *beside = NULL;
	struct slice signature = { 0 };
	const char *why = NULL;
	int error;

	if (!d->key)
		return true;
	if (asprintf(&beside, "%s.sig", path) < 0) {
		beside = NULL;
		report_mistake(d->report, file, at, "%s", strerror(ENOMEM));
		return false;
	}
	error = draft_read(&kept, beside, PACK_SIGNATURE, &signature);
	if (error == -ENOENT)
		why = "not signed: the configuration has a 'policy_key', and there is no signature beside it";
	else if (!error)
		error = pack_verify(d->key, bytes, signature);
	if (error == -EBADMSG || error == -EFBIG)
		why = "the signature beside it is not that of the 'policy_key' over what the file holds";
	if (error)
		report_mistake(d->report, file, at, "%s.sig: %s", strrchr(path, '/') ? strrchr(path, '/') + 1 : path,
		               why ? why : draft_why(error));
	return !error;
}

int pack_verify_file(const struct pack_key *k, const char *path)
{
	owned(arena_free) struct arena bytes = { 0 };
	owned(own_free) char *beside = NULL;
	struct slice pack = { 0 }, signature = { 0 };
	int error;

	if (asprintf(&beside, "%s.sig", path) < 0) {
		beside = NULL;
		return -ENOMEM;
	}
	error = draft_read(&bytes, path, LIST_BYTES_MAX, &pack);
	if (!error)
		error = draft_read(&bytes, beside, PACK_SIGNATURE, &signature);
	if (error == -EFBIG && pack.at)
		error = -EBADMSG;
	return error ? error : pack_verify(k, pack, signature);
}
