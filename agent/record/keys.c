/* SPDX-License-Identifier: Apache-2.0 */
#include "record/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/dirs.h"
#include "base/own.h"

/* The one line of a key's file: what it is, when it was made, the seed in hex. */
#define LINE_FORMAT "sluice-signing-key-1 %" PRIu64 " "
#define LINE_ROOM   160

static int sync_folder_of(const char *file)
{
	owned(own_free) char *folder = strdup(file);
	owned(own_close) int fd = -1;
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!folder)
		return -ENOMEM;
	if (slash)
		slash[slash == folder] = '\0';
	fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}

static int write_key(const char *file, uint64_t made, const uint8_t seed[KEY_LEN])
{
	owned(own_close) int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char line[LINE_ROOM];
	int n = snprintf(line, sizeof(line), LINE_FORMAT, made), err = 0;

	for (size_t i = 0; i < KEY_LEN; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, "%02x", seed[i]);
	line[n++] = '\n';
	if (fd < 0 || write(fd, line, (size_t)n) != n || fsync(fd))
		err = errno ? -errno : -EIO;
	OPENSSL_cleanse(line, sizeof(line));
	return err ? err : sync_folder_of(file);
}

/* 0, -ENOENT, -EINVAL (no key in it), -errno. */
static int read_key(const char *file, const char *name, struct note_signer *out, uint64_t *made)
{
	owned(own_close) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char line[LINE_ROOM] = "";
	uint8_t seed[KEY_LEN];
	uint64_t when = 0;
	int at = 0, err = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, line, sizeof(line) - 1);
	if (n < 0)
		return -errno;
	if (sscanf(line, LINE_FORMAT "%n", &when, &at) != 1 || !at || n != at + 2 * KEY_LEN + 1)
		err = -EINVAL;
	for (size_t i = 0; !err && i < KEY_LEN; i++) {
		unsigned v;

		if (sscanf(line + at + 2 * i, "%2x", &v) != 1)
			err = -EINVAL;
		else
			seed[i] = (uint8_t)v;
	}
	err = err ? err : note_signer_make(out, name, KEY_ED25519, seed);
	if (!err)
		*made = when;
	OPENSSL_cleanse(line, sizeof(line));
	OPENSSL_cleanse(seed, sizeof(seed));
	return err;
}

static int make_key(const char *file, const char *name, struct note_signer *out, uint64_t *made)
{
	uint8_t seed[KEY_LEN];
	uint64_t when = (uint64_t)time(NULL);
	int err = getrandom(seed, sizeof(seed), 0) == sizeof(seed) ? 0 : -EIO;

	err = err ? err : note_signer_make(out, name, KEY_ED25519, seed);
	err = err ? err : write_key(file, when, seed);
	OPENSSL_cleanse(seed, sizeof(seed));
	if (!err)
		*made = when;
	return err;
}

static int next_file(const struct keys *k, char **out)
{
	return asprintf(out, "%s.next", k->file) < 0 ? -ENOMEM : 0;
}

static void own_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static int read_pem(const char *text, const char *name, struct note_signer *out)
{
	owned(own_file) FILE *f = fmemopen((void *)text, strlen(text), "r");
	uint8_t seed[KEY_LEN];
	size_t len = sizeof(seed);
	EVP_PKEY *pkey;
	int err = -EINVAL;

	if (!f)
		return -errno;
	pkey = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	if (pkey && EVP_PKEY_get_raw_private_key(pkey, seed, &len) == 1 && len == KEY_LEN &&
	    EVP_PKEY_get_id(pkey) == EVP_PKEY_ED25519)
		err = note_signer_make(out, name, KEY_ED25519, seed);
	EVP_PKEY_free(pkey);
	OPENSSL_cleanse(seed, sizeof(seed));
	return err;
}

static int take_keys(struct keys *k, const char *name)
{
	owned(own_free) char *next = NULL;
	uint64_t made = 0;
	int err = next_file(k, &next), now;

	if (err)
		return err;
	now = read_key(k->file, name, &k->now, &k->made_unix);
	k->has_next = !read_key(next, name, &k->next, &made);
	if (!now)
		return 0;
	/* Overwritten, but not yet replaced: the next one is in force. */
	if (k->has_next) {
		k->now = k->next;
		k->made_unix = made;
		k->has_next = false;
		return rename(next, k->file) ? -errno : sync_folder_of(k->file);
	}
	if (now != -ENOENT)
		return now;
	k->fresh = true;
	/* Whole or not at all: a torn key would stop every later start. */
	err = make_key(next, name, &k->now, &k->made_unix);
	if (!err && rename(next, k->file))
		err = -errno;
	return err ? err : sync_folder_of(k->file);
}

int keys_open(struct keys *out, const char *file, const char *name, const char *origin_pem)
{
	struct keys k = { .file = strdup(file) };
	int err = k.file ? make_parents(file, 0700) : -ENOMEM;

	err = err ? err : take_keys(&k, name);
	if (!err && origin_pem) {
		err = read_pem(origin_pem, name, &k.origin);
		k.has_origin = !err;
	}
	if (err) {
		keys_close(&k);
		return err;
	}
	*out = k;
	return 0;
}

void keys_close(struct keys *k)
{
	free(k->file);
	OPENSSL_cleanse(k, sizeof(*k));
}

int keys_prepare(struct keys *k)
{
	owned(own_free) char *next = NULL;
	uint64_t made;
	int err = next_file(k, &next);

	err = err ? err : make_key(next, k->now.pub.name, &k->next, &made);
	k->has_next = !err;
	return err;
}

/* File systems that write elsewhere keep the old bytes for a while all the same. */
static int overwrite(const char *file)
{
	owned(own_close) int fd = open(file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	static const uint8_t zeros[LINE_ROOM];
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (st.st_size > (off_t)sizeof(zeros))
		return -EINVAL;
	return write(fd, zeros, (size_t)st.st_size) != st.st_size || fsync(fd) ? -EIO : 0;
}

int keys_advance(struct keys *k)
{
	owned(own_free) char *next = NULL;
	int err = next_file(k, &next);

	err = err ? err : overwrite(k->file);
	if (err)
		return err;
	OPENSSL_cleanse(&k->now, sizeof(k->now));
	k->now = k->next;
	k->made_unix = (uint64_t)time(NULL);
	k->has_next = false;
	OPENSSL_cleanse(&k->next, sizeof(k->next));
	return rename(next, k->file) ? -errno : sync_folder_of(k->file);
}

void keys_discard(struct keys *k)
{
	owned(own_free) char *next = NULL;

	if (!next_file(k, &next))
		(void)unlink(next);
	k->has_next = false;
	OPENSSL_cleanse(&k->next, sizeof(k->next));
}
