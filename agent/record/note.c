/* SPDX-License-Identifier: Apache-2.0 */
#include "record/note.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/own.h"

#define DASH         "\xe2\x80\x94 " /* U+2014 and a space */
#define COSIGN_STAMP 8

static void own_pkey(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void own_md(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

/* ---- base64 ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_write(char *to, const uint8_t *at, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)at[i] << 16;

		v |= i + 1 < len ? (uint32_t)at[i + 1] << 8 : 0;
		v |= i + 2 < len ? at[i + 2] : 0;
		to[n++] = digits[v >> 18];
		to[n++] = digits[v >> 12 & 63];
		to[n++] = i + 1 < len ? digits[v >> 6 & 63] : '=';
		to[n++] = i + 2 < len ? digits[v & 63] : '=';
	}
	return n;
}

static int digit(uint8_t c)
{
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

int base64_read(uint8_t *to, size_t room, struct slice text)
{
	size_t n = 0;

	if (text.len % 4)
		return -EBADMSG;
	for (size_t i = 0; i < text.len; i += 4) {
		const uint8_t *p = text.at + i;
		size_t pad = i + 4 == text.len ? (size_t)(p[3] == '=') + (p[3] == '=' && p[2] == '=') : 0;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = k >= 4 - pad ? 0 : digit(p[k]);

			if (d < 0)
				return -EBADMSG;
			v = v << 6 | (uint32_t)d;
		}
		/* One way to write it: the bits that padding leaves over are zero. */
		if ((pad == 1 && v & 0xFF) || (pad == 2 && v & 0xFFFF))
			return -EBADMSG;
		for (size_t k = 0; k < 3 - pad; k++) {
			if (n == room)
				return -ENOBUFS;
			to[n++] = (uint8_t)(v >> (16 - 8 * k));
		}
	}
	return (int)n;
}

void hash_lines(FILE *to, const struct hash *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char line[64];
		size_t len = base64_write(line, list[i].at, HASH_LEN);

		fprintf(to, "%.*s\n", (int)len, line);
	}
}

/* ---- keys ---- */

bool note_name_is_good(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= NOTE_NAME)
		return false;
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7F || *p == '+')
			return false;
	return true;
}

void note_key_make(struct note_key *out, const char *name, uint8_t type, const uint8_t key[KEY_LEN])
{
	uint8_t bytes[NOTE_NAME + 2 + KEY_LEN];
	size_t len = strnlen(name, NOTE_NAME - 1);
	struct note_key k = { .type = type };
	struct hash h;

	memcpy(k.name, name, len);
	memcpy(k.key, key, KEY_LEN);
	memcpy(bytes, name, len);
	bytes[len] = '\n';
	bytes[len + 1] = type;
	memcpy(bytes + len + 2, key, KEY_LEN);
	hash_bytes(&h, slice_of(bytes, len + 2 + KEY_LEN));
	memcpy(k.id, h.at, KEY_ID);
	*out = k;
}

int note_signer_make(struct note_signer *out, const char *name, uint8_t type, const uint8_t seed[KEY_LEN])
{
	owned(own_pkey) EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, KEY_LEN);
	uint8_t pub[KEY_LEN];
	size_t len = sizeof(pub);

	if (!note_name_is_good(name))
		return -EINVAL;
	if (!pkey || EVP_PKEY_get_raw_public_key(pkey, pub, &len) != 1 || len != KEY_LEN)
		return -EIO;
	note_key_make(&out->pub, name, type, pub);
	memcpy(out->seed, seed, KEY_LEN);
	return 0;
}

void note_key_text(const struct note_key *k, char to[VKEY_MAX])
{
	uint8_t bytes[1 + KEY_LEN];
	char key[64];
	size_t n;

	bytes[0] = k->type;
	memcpy(bytes + 1, k->key, KEY_LEN);
	n = base64_write(key, bytes, sizeof(bytes));
	snprintf(to, VKEY_MAX, "%s+%02x%02x%02x%02x+%.*s", k->name, k->id[0], k->id[1], k->id[2], k->id[3], (int)n,
	         key);
}

int note_key_read(struct note_key *out, struct slice text)
{
	const uint8_t *first = memchr(text.at, '+', text.len);
	size_t name_len = first ? (size_t)(first - text.at) : 0;
	char name[NOTE_NAME], said[VKEY_MAX];
	uint8_t bytes[1 + KEY_LEN];
	struct note_key k;

	if (!name_len || name_len >= NOTE_NAME || text.len < name_len + 10 || text.at[name_len + 9] != '+')
		return -EBADMSG;
	memcpy(name, text.at, name_len);
	name[name_len] = '\0';
	if (!note_name_is_good(name) ||
	    base64_read(bytes, sizeof(bytes), slice_from(text, name_len + 10)) != (int)sizeof(bytes) ||
	    (bytes[0] != KEY_ED25519 && bytes[0] != KEY_COSIGN))
		return -EBADMSG;
	note_key_make(&k, name, bytes[0], bytes + 1);
	note_key_text(&k, said);
	if (!slice_is(text, slice_str(said)))
		return -EBADMSG;
	*out = k;
	return 0;
}

int note_sign_bytes(const struct note_signer *s, struct slice bytes, uint8_t sig[SIG_LEN])
{
	owned(own_pkey) EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, s->seed, KEY_LEN);
	owned(own_md) EVP_MD_CTX *c = EVP_MD_CTX_new();
	size_t len = SIG_LEN;

	if (!pkey || !c || EVP_DigestSignInit(c, NULL, NULL, NULL, pkey) != 1 ||
	    EVP_DigestSign(c, sig, &len, bytes.at, bytes.len) != 1)
		return -EIO;
	return 0;
}

bool note_verify_bytes(const uint8_t key[KEY_LEN], struct slice bytes, const uint8_t sig[SIG_LEN])
{
	owned(own_pkey) EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, KEY_LEN);
	owned(own_md) EVP_MD_CTX *c = EVP_MD_CTX_new();

	return pkey && c && EVP_DigestVerifyInit(c, NULL, NULL, NULL, pkey) == 1 &&
	       EVP_DigestVerify(c, sig, SIG_LEN, bytes.at, bytes.len) == 1;
}

/* ---- notes ---- */

/* What a cosignature signs: a head with the time, then the text. -ENOBUFS. */
static int cosigned_text(uint64_t unix_s, struct slice text, char *to, size_t room)
{
	int n = snprintf(to, room, "cosignature/v1\ntime %" PRIu64 "\n%.*s", unix_s, SLICE_ARG(text));

	return n < 0 || (size_t)n >= room ? -ENOBUFS : n;
}

int note_signature(const struct note_signer *s, struct slice text, uint64_t unix_s, char *to, size_t room)
{
	uint8_t blob[KEY_ID + COSIGN_STAMP + SIG_LEN];
	uint64_t stamp = htobe64(unix_s);
	char line[128], cosigned[NOTE_MAX];
	size_t at = KEY_ID, n;
	int len, err;

	memcpy(blob, s->pub.id, KEY_ID);
	if (s->pub.type == KEY_COSIGN) {
		len = cosigned_text(unix_s, text, cosigned, sizeof(cosigned));
		if (len < 0)
			return len;
		text = slice_of(cosigned, (size_t)len);
		memcpy(blob + at, &stamp, COSIGN_STAMP);
		at += COSIGN_STAMP;
	}
	err = note_sign_bytes(s, text, blob + at);
	if (err)
		return err;
	n = base64_write(line, blob, at + SIG_LEN);
	len = snprintf(to, room, DASH "%s %.*s\n", s->pub.name, (int)n, line);
	return len < 0 || (size_t)len >= room ? -ENOBUFS : len;
}

int note_split(struct slice note, struct slice *text, struct slice *signatures)
{
	const uint8_t *at = NULL;

	if (note.len > NOTE_MAX || !note.len || note.at[note.len - 1] != '\n' || memchr(note.at, '\0', note.len))
		return -EBADMSG;
	for (size_t i = note.len - 1; i > 0 && !at; i--)
		if (note.at[i] == '\n' && note.at[i - 1] == '\n')
			at = note.at + i;
	if (!at)
		return -EBADMSG;
	*text = slice_of(note.at, (size_t)(at - note.at));
	*signatures = slice_from(note, text->len + 1);
	/* Each line behind the empty one is a signature, and there is one. */
	if (!signatures->len)
		return -EBADMSG;
	for (struct slice rest = *signatures; rest.len;) {
		const uint8_t *end = memchr(rest.at, '\n', rest.len);

		if (rest.len < sizeof(DASH) || memcmp(rest.at, DASH, sizeof(DASH) - 1) != 0)
			return -EBADMSG;
		rest = slice_from(rest, (size_t)(end - rest.at) + 1);
	}
	return 0;
}

/* The blob of the next line of key k: id and what follows. Returns its length, or 0 when there is none. */
static size_t next_blob(struct slice *rest, const struct note_key *k, uint8_t blob[256])
{
	size_t name = strlen(k->name), dash = sizeof(DASH) - 1;

	while (rest->len) {
		const uint8_t *end = memchr(rest->at, '\n', rest->len);
		struct slice line = slice_of(rest->at, end ? (size_t)(end - rest->at) : rest->len);
		int n;

		*rest = slice_from(*rest, line.len + (end != NULL));
		if (line.len < dash + name + 1 || memcmp(line.at, DASH, dash) != 0 ||
		    memcmp(line.at + dash, k->name, name) != 0 || line.at[dash + name] != ' ')
			continue;
		n = base64_read(blob, 256, slice_from(line, dash + name + 1));
		if (n > KEY_ID && !memcmp(blob, k->id, KEY_ID))
			return (size_t)n;
	}
	return 0;
}

bool note_signed_by(struct slice text, struct slice signatures, const struct note_key *k, uint64_t *ret_unix)
{
	bool cosign = k->type == KEY_COSIGN;
	size_t want = KEY_ID + (cosign ? COSIGN_STAMP : 0) + SIG_LEN, n;
	char cosigned[NOTE_MAX];
	uint8_t blob[256];

	while ((n = next_blob(&signatures, k, blob)) > 0) {
		struct slice what = text;
		uint64_t stamp = 0;

		if (n != want)
			continue;
		if (cosign) {
			int len;

			memcpy(&stamp, blob + KEY_ID, COSIGN_STAMP);
			stamp = be64toh(stamp);
			len = cosigned_text(stamp, text, cosigned, sizeof(cosigned));
			if (len < 0)
				return false;
			what = slice_of(cosigned, (size_t)len);
		}
		if (!note_verify_bytes(k->key, what, blob + n - SIG_LEN))
			continue;
		if (ret_unix)
			*ret_unix = stamp;
		return true;
	}
	return false;
}

bool note_names(struct slice signatures, const struct note_key *k)
{
	uint8_t blob[256];

	return next_blob(&signatures, k, blob) > 0;
}

/* ---- checkpoints ---- */

int checkpoint_text(const struct checkpoint *c, char *to, size_t room)
{
	char root[64];
	size_t n = base64_write(root, c->root.at, HASH_LEN);
	int len = snprintf(to, room, "%s\n%" PRIu64 "\n%.*s\n", c->origin, c->size, (int)n, root);

	return len < 0 || (size_t)len >= room ? -ENOBUFS : len;
}

bool note_line(struct slice *rest, struct slice *line)
{
	const uint8_t *end = rest->len ? memchr(rest->at, '\n', rest->len) : NULL;

	if (!end)
		return false;
	*line = slice_of(rest->at, (size_t)(end - rest->at));
	*rest = slice_from(*rest, line->len + 1);
	return true;
}

bool checkpoint_size_read(struct slice text, uint64_t *out)
{
	uint64_t v = 0;

	if (!text.len || (text.len > 1 && text.at[0] == '0'))
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < '0' || text.at[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(text.at[i] - '0'), &v))
			return false;
	if (v > INT64_MAX)
		return false;
	*out = v;
	return true;
}

int checkpoint_read(struct checkpoint *out, struct slice text)
{
	struct slice origin, size, root;
	struct checkpoint c = { .size = 0 };

	if (!note_line(&text, &origin) || !note_line(&text, &size) || !note_line(&text, &root))
		return -EBADMSG;
	if (!origin.len || origin.len >= NOTE_NAME || !checkpoint_size_read(size, &c.size) ||
	    base64_read(c.root.at, HASH_LEN, root) != HASH_LEN)
		return -EBADMSG;
	memcpy(c.origin, origin.at, origin.len);
	*out = c;
	return 0;
}

int rotation_text(char *to, size_t room, const char *origin, uint64_t size, const struct hash *root, const char *vkey)
{
	char root64[64];
	size_t n = base64_write(root64, root->at, HASH_LEN);
	int len = snprintf(to, room, "sluice key rotation\n%s\n%" PRIu64 "\n%.*s\n%s\n", origin, size, (int)n, root64,
	                   vkey);

	return len < 0 || (size_t)len >= room ? -ENOBUFS : len;
}
