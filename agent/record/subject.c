/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subject.c - who asked, as a pseudonym.
 *
 * tag = HMAC-SHA-256(K, digest of the identity)[0:16], with K random and new every 30 days. A key is a file of its own:
 * deleting it makes the tags of its time unlinkable for good, which no derived key allows. The mapping is not stored.
 */
#include "record/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"

#define KEY_BYTES   32
#define EPOCH_DAYS  30
#define DAY_SECONDS 86400

struct subjects {
	int dir;
	pthread_mutex_t lock; /* guards the key and its day */
	uint8_t key[KEY_BYTES];
	long day; /* since 1970, on which the key was made; -1: none */
};

void subjects_close(struct subjects **at)
{
	struct subjects *s = *at;

	if (!s)
		return;
	OPENSSL_cleanse(s->key, sizeof(s->key));
	own_close(&s->dir);
	pthread_mutex_destroy(&s->lock);
	free(s);
	*at = NULL;
}

static long today(void)
{
	return (long)(time(NULL) / DAY_SECONDS);
}

/* The day of the newest key in the folder, -1 if there is none. */
static long newest(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	long best = -1;

	if (!d) {
		own_close(&fd);
		return -1;
	}
	while ((e = readdir(d)) != NULL) {
		long day;
		int end = 0;

		if (sscanf(e->d_name, "subject-%ld.key%n", &day, &end) == 1 && end && !e->d_name[end] && day > best)
			best = day;
	}
	closedir(d);
	return best;
}

static int read_key(struct subjects *s, long day)
{
	owned(own_close) int fd = -1;
	char name[64];

	snprintf(name, sizeof(name), "subject-%ld.key", day);
	fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (read(fd, s->key, KEY_BYTES) != KEY_BYTES)
		return -EBADMSG;
	s->day = day;
	return 0;
}

/* Written whole or not at all: a torn key would be a second key for the same days. */
static int make_key(struct subjects *s, long day)
{
	owned(own_close) int fd = -1;
	uint8_t key[KEY_BYTES];
	char name[64];
	int err = 0;

	snprintf(name, sizeof(name), "subject-%ld.key", day);
	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return -errno;
	unlinkat(s->dir, "subject.new", 0);
	fd = openat(s->dir, "subject.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, key, sizeof(key)) != sizeof(key) || fsync(fd) || renameat(s->dir, "subject.new", s->dir, name) ||
	    fsync(s->dir))
		err = errno ? -errno : -EIO;
	if (!err) {
		memcpy(s->key, key, sizeof(key));
		s->day = day;
	}
	OPENSSL_cleanse(key, sizeof(key));
	return err;
}

static int refresh(struct subjects *s)
{
	long day = newest(s->dir), now = today();

	/* A clock that stood in the future must not keep one key for ever. */
	if (day >= 0 && day <= now && now - day < EPOCH_DAYS)
		return day == s->day ? 0 : read_key(s, day);
	return make_key(s, now);
}

int subjects_open(struct subjects **out, const char *dir)
{
	owned(subjects_close) struct subjects *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->day = -1;
	pthread_mutex_init(&s->lock, NULL);
	if (mkdir(dir, 0700) && errno != EEXIST) {
		s->dir = -1;
		return -errno;
	}
	s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return -errno;
	err = refresh(s);
	if (err)
		return err;
	*out = TAKE(s);
	return 0;
}

/* In front of the digest of a text: what is tagged for an identity has another length, so no identity has the tag of a
 * text. */
#define CONTENT "content"

static int tag_of(struct subjects *s, const uint8_t *digest, size_t len, uint8_t tag[SUBJECT_TAG])
{
	uint8_t mac[32];
	unsigned size = sizeof(mac);
	int err = 0;

	pthread_mutex_lock(&s->lock);
	if (today() - s->day >= EPOCH_DAYS || today() < s->day)
		err = refresh(s);
	if (!err && !HMAC(EVP_sha256(), s->key, KEY_BYTES, digest, len, mac, &size))
		err = -EIO;
	pthread_mutex_unlock(&s->lock);
	if (err)
		return err;
	memcpy(tag, mac, SUBJECT_TAG);
	OPENSSL_cleanse(mac, sizeof(mac));
	return 0;
}

int subjects_tag(struct subjects *s, const uint8_t *digest, size_t len, uint8_t tag[SUBJECT_TAG])
{
	return tag_of(s, digest, len, tag);
}

int subjects_content_tag(struct subjects *s, const uint8_t *text, size_t len, uint8_t tag[SUBJECT_TAG])
{
	uint8_t said[sizeof(CONTENT) - 1 + 32];
	int err = 0;

	memcpy(said, CONTENT, sizeof(CONTENT) - 1);
	if (EVP_Digest(text, len, said + sizeof(CONTENT) - 1, NULL, EVP_sha256(), NULL) != 1)
		err = -EIO;
	err = err ? err : tag_of(s, said, sizeof(said), tag);
	OPENSSL_cleanse(said, sizeof(said));
	return err;
}

/* File systems that write elsewhere keep the old bytes for a while all the same. */
static int shred_key(int dir, const char *name)
{
	static const uint8_t zeros[KEY_BYTES];
	owned(own_close) int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (write(fd, zeros, sizeof(zeros)) != sizeof(zeros) || fsync(fd) || unlinkat(dir, name, 0))
		return errno ? -errno : -EIO;
	return 0;
}

static void own_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

int subjects_forget(struct subjects *s, unsigned days)
{
	owned(own_dir) DIR *d = NULL;
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), gone = 0, err = 0;
	const struct dirent *e;

	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		err = -errno;
		own_close(&fd);
		return err;
	}
	while ((e = readdir(d)) != NULL) {
		long day;
		int end = 0, one;

		if (sscanf(e->d_name, "subject-%ld.key%n", &day, &end) != 1 || !end || e->d_name[end] || day < 0 ||
		    day > LONG_MAX / 2 || today() - day < (long)days + EPOCH_DAYS)
			continue;
		one = shred_key(s->dir, e->d_name);
		err = one ? one : err;
		gone += !one;
	}
	if (gone && fsync(s->dir))
		err = -errno;
	return err ? err : gone;
}
