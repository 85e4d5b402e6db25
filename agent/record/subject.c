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

static void own_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* All that is in the folder of the keys, from the start. NULL: errno says why. */
static DIR *listing(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		own_close(&fd);
	return d;
}

/* The day of a key's name; false: it is none. */
static bool key_day(const char *name, long *day)
{
	int end = 0;

	return sscanf(name, "subject-%ld.key%n", day, &end) == 1 && end && !name[end];
}

static long today(void)
{
	return (long)(time(NULL) / DAY_SECONDS);
}

/* The day of the newest key in the folder, -1 if there is none. */
static long newest(int dir)
{
	owned(own_dir) DIR *d = listing(dir);
	const struct dirent *e;
	long best = -1, day;

	while (d && (e = readdir(d)) != NULL)
		if (key_day(e->d_name, &day) && day > best)
			best = day;
	return best;
}

static int read_key(const struct subjects *s, long day, uint8_t key[KEY_BYTES])
{
	owned(own_close) int fd = -1;
	char name[64];

	snprintf(name, sizeof(name), "subject-%ld.key", day);
	fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	return read(fd, key, KEY_BYTES) == KEY_BYTES ? 0 : -EBADMSG;
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
	int err;

	/* A clock that stood in the future must not keep one key for ever. */
	if (day < 0 || day > now || now - day >= EPOCH_DAYS)
		return make_key(s, now);
	err = day == s->day ? 0 : read_key(s, day, s->key);
	if (!err)
		s->day = day;
	return err;
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

static int by_day(const void *a, const void *b)
{
	const struct subject_name *x = a, *y = b;

	return (x->first_day > y->first_day) - (x->first_day < y->first_day);
}

static int name_of(const struct subjects *s, const uint8_t *digest, size_t len, long day, struct subject_name *out)
{
	uint8_t key[KEY_BYTES], mac[32];
	unsigned size = sizeof(mac);
	int err = read_key(s, day, key);

	if (!err && !HMAC(EVP_sha256(), key, KEY_BYTES, digest, len, mac, &size))
		err = -EIO;
	if (!err) {
		*out = (struct subject_name){ .first_day = day, .last_day = day + EPOCH_DAYS };
		memcpy(out->tag, mac, SUBJECT_TAG);
	}
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(mac, sizeof(mac));
	return err;
}

int subjects_names(struct subjects *s, const uint8_t *digest, size_t len, struct subject_name **out, size_t *ret_n)
{
	owned(own_free) struct subject_name *list = NULL;
	owned(own_dir) DIR *d = listing(s->dir);
	const struct dirent *e;
	size_t n = 0;
	long day;

	if (!d)
		return -errno;
	while ((e = readdir(d)) != NULL) {
		struct subject_name *more;
		int err;

		if (!key_day(e->d_name, &day) || day < 0 || day > LONG_MAX / 2)
			continue;
		if (n == SUBJECT_NAMES)
			return -E2BIG;
		more = reallocarray(list, n + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		list = more;
		err = name_of(s, digest, len, day, &list[n]);
		if (err == -ENOENT) /* its days are over since it was listed */
			continue;
		if (err)
			return err;
		n++;
	}
	if (n)
		qsort(list, n, sizeof(*list), by_day);
	/* The next key ends it, also on its first day. */
	for (size_t i = 0; i + 1 < n; i++)
		if (list[i + 1].first_day < list[i].last_day)
			list[i].last_day = list[i + 1].first_day;
	*out = TAKE(list);
	*ret_n = n;
	return 0;
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

int subjects_forget(struct subjects *s, unsigned days)
{
	owned(own_dir) DIR *d = listing(s->dir);
	const struct dirent *e;
	int gone = 0, err = 0;
	long day;

	if (!d)
		return -errno;
	while ((e = readdir(d)) != NULL) {
		int one;

		if (!key_day(e->d_name, &day) || day < 0 || day > LONG_MAX / 2 ||
		    today() - day < (long)days + EPOCH_DAYS)
			continue;
		one = shred_key(s->dir, e->d_name);
		err = one ? one : err;
		gone += !one;
	}
	if (gone && fsync(s->dir))
		err = -errno;
	return err ? err : gone;
}
