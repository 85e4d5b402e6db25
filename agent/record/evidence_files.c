/* SPDX-License-Identifier: Apache-2.0 */
/* evidence_files.c - packs as a reader finds them, and how what is in them ends. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "record/record.h"

#define DAY_SECONDS 86400
#define PACK_DIGITS 8

/* A name is a day and nothing else: it comes from a file that anybody may have written. */
static bool is_pack(const char *name)
{
	return strspn(name, "0123456789") == PACK_DIGITS && !name[PACK_DIGITS];
}

int evidence_place(struct evidence_place *out, const Record *r)
{
	struct evidence_place p = { .seq = r->seq, .time_unix_nano = r->time_unix_nano };
	const Evidence *e = r->body_case == RECORD__BODY_FINDING ? r->finding->evidence : NULL;

	if (!e || e->state != EVIDENCE__STATE__KEPT)
		return -ENODATA;
	if (!is_pack(e->pack) || strlen(e->kind) >= sizeof(p.kind) || e->sha256.len != sizeof(p.sha256) ||
	    e->header_sha256.len != sizeof(p.header_sha256) || !e->length || e->length > EVIDENCE_PAYLOAD ||
	    !e->header_length || e->header_length > EVIDENCE_HEADER || e->offset > INT64_MAX - e->length ||
	    e->header_offset > INT64_MAX - e->header_length)
		return -EBADMSG;
	snprintf(p.pack, sizeof(p.pack), "%s", e->pack);
	snprintf(p.kind, sizeof(p.kind), "%s", e->kind);
	p.offset = e->offset;
	p.length = e->length;
	p.header_offset = e->header_offset;
	p.header_length = e->header_length;
	memcpy(p.sha256, e->sha256.data, sizeof(p.sha256));
	memcpy(p.header_sha256, e->header_sha256.data, sizeof(p.header_sha256));
	*out = p;
	return 0;
}

int evidence_find(struct evidence_place *out, const char *dir, uint64_t seq)
{
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	const Record *record;
	int err = ledger_find(&r, dir, seq, &record);

	return err ? err : evidence_place(out, record);
}

int evidence_each(const char *dir, uint64_t first, uint64_t last, int (*each)(void *arg, const Record *r), void *arg)
{
	owned(record_filter_free) struct record_filter *f = NULL;
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	const Record *record;
	int err = record_filter_new(&f), got;

	if (!err && record_filter_add(f, "type=finding"))
		err = -EINVAL;
	err = err ? err : ledger_reader_open(&r, dir);
	if (err)
		return err;
	ledger_reader_filter(r, f);
	if (first)
		ledger_seek_seq(r, first);
	while (!err && ((got = ledger_next(r, &record)) == 1 || got == -EBADMSG)) {
		if (got == 1 && record->seq > last)
			break;
		if (got == 1)
			err = each(arg, record);
	}
	return err;
}

static int open_part(const char *dir, const struct evidence_place *p, const char *suffix, int flags)
{
	owned(own_free) char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/" EVIDENCE_DIR "/%s%s", dir, p->pack, suffix) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* All of it, or -EBADMSG: the file ends before. */
static int read_at(int fd, uint8_t *to, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t n = pread(fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EBADMSG;
		to += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static bool is_digest(const uint8_t *at, size_t len, const uint8_t of[32])
{
	uint8_t now[32];

	return EVP_Digest(at, len, now, NULL, EVP_sha256(), NULL) == 1 && !memcmp(now, of, sizeof(now));
}

static bool is_zero(const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i])
			return false;
	return true;
}

int evidence_read(const char *dir, const struct evidence_place *p, uint8_t **file, size_t *len)
{
	owned(own_free) uint8_t *all = malloc(p->header_length + p->length);
	owned(own_close) int keys = open_part(dir, p, ".keys", O_RDONLY);
	owned(own_close) int pack = open_part(dir, p, ".pack", O_RDONLY);
	bool erased;
	int err = !all ? -ENOMEM : pack < 0 ? pack : keys < 0 ? keys : 0;

	err = err ? err : read_at(pack, all + p->header_length, p->length, p->offset);
	err = err ? err : read_at(keys, all, p->header_length, p->header_offset);
	if (err)
		return err;
	erased = is_zero(all, p->header_length);
	if (!is_digest(all + p->header_length, p->length, p->sha256) ||
	    (!erased && !is_digest(all, p->header_length, p->header_sha256)))
		return -EBADMSG;
	if (erased)
		return -ENODATA;
	*file = TAKE(all);
	*len = p->header_length + p->length;
	return 0;
}

/* File systems that write elsewhere keep the old bytes for a while all the same. */
static int overwrite(int fd, uint64_t offset, uint64_t len)
{
	static const uint8_t zeros[4096];

	while (len) {
		size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);
		ssize_t done = pwrite(fd, zeros, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -EIO;
		offset += (uint64_t)done;
		len -= (uint64_t)done;
	}
	return 0;
}

/* Those of one pack. */
static int shred_pack(const char *dir, const struct evidence_place *list, size_t n)
{
	owned(own_close) int keys = open_part(dir, list, ".keys", O_WRONLY);
	struct stat st;
	int err = 0;

	if (keys < 0)
		return keys;
	if (fstat(keys, &st))
		return -errno;
	for (size_t i = 0; i < n; i++) {
		/* The file does not grow by it. */
		bool there = list[i].header_offset + list[i].header_length <= (uint64_t)st.st_size;
		int one = there ? overwrite(keys, list[i].header_offset, list[i].header_length) : -EBADMSG;

		err = err ? err : one;
	}
	if (fsync(keys) && !err)
		err = -errno;
	return err;
}

int evidence_shred(const char *dir, const struct evidence_place *list, size_t n)
{
	int err = 0;

	while (n) {
		size_t same = 1;
		int one;

		while (same < n && !strcmp(list[same].pack, list->pack))
			same++;
		one = shred_pack(dir, list, same);
		err = err ? err : one;
		list += same;
		n -= same;
	}
	return err;
}

/* ---- days that are over ---- */

/* The day of a file's name, since 1970; -1: it is none of a pack's. */
static long day_of(const char *name)
{
	struct tm tm = { 0 };
	const char *end = strptime(name, "%Y%m%d", &tm);

	if (!end || end != name + PACK_DIGITS || (strcmp(end, ".pack") != 0 && strcmp(end, ".keys") != 0))
		return -1;
	return (long)(timegm(&tm) / DAY_SECONDS);
}

static int forget_file(int dir, const char *name)
{
	owned(own_close) int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int err = 0;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (strstr(name, ".keys"))
		err = overwrite(fd, 0, (uint64_t)st.st_size);
	if (!err && fsync(fd))
		err = -errno;
	return err ? err : unlinkat(dir, name, 0) ? -errno : 0;
}

static void own_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

int evidence_forget(const char *dir, unsigned days)
{
	owned(own_free) char *path = NULL;
	owned(own_dir) DIR *d = NULL;
	long today = (long)(time(NULL) / DAY_SECONDS);
	const struct dirent *e;
	int gone = 0, err = 0;

	if (asprintf(&path, "%s/" EVIDENCE_DIR, dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d)) != NULL) {
		long day = day_of(e->d_name);
		int one;

		if (day < 0 || today - day <= (long)days)
			continue;
		one = forget_file(dirfd(d), e->d_name);
		err = one ? one : err;
		gone += !one && strstr(e->d_name, ".keys");
	}
	if (gone && fsync(dirfd(d)))
		err = -errno;
	return err ? err : gone;
}
