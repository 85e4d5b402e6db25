/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.h - a folder of its own for each test, records with a name, waiting for a note. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/own.h"
#include "record/file.h"
#include "record/frame.h"
#include "record/record.h"
#include "tests/lib/test.h"

struct waiter {
	struct ledger_note note;
	sem_t told;
	uint64_t seq;
	int err;
};

static inline void waiter_told(struct ledger_note *n, uint64_t seq, int err)
{
	struct waiter *w = container_of(n, struct waiter, note);

	w->seq = seq;
	w->err = err;
	sem_post(&w->told);
}

static inline int wait_told(struct waiter *w)
{
	while (sem_wait(&w->told))
		;
	return w->err;
}

static inline void waiter_init(struct waiter *w)
{
	w->note.done = waiter_told;
	sem_init(&w->told, 0, 0);
}

/* A path for a folder that is not there yet. */
static inline const char *new_dir(char to[64])
{
	strcpy(to, "/tmp/sluice-ledger-XXXXXX");
	cr_assert_not_null(mkdtemp(to));
	return to;
}

/* With its key beside it. */
static inline void remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char key[300];

	snprintf(key, sizeof(key), "%s.key", dir);
	unlink(key);

	while (d && (e = readdir(d))) {
		char *path = NULL;

		if (e->d_name[0] == '.' || asprintf(&path, "%s/%s", dir, e->d_name) < 0)
			continue;
		if (unlink(path))
			remove_dir(path);
		free(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static inline int append_named(struct ledger *l, const char *name, struct ledger_note *note)
{
	Record r = RECORD__INIT;
	Exchange x = EXCHANGE__INIT;

	x.request_id = (char *)name;
	r.body_case = RECORD__BODY_EXCHANGE;
	r.exchange = &x;
	return ledger_append(l, &r, note);
}

/* Appends, and waits until it is durable. Returns the note's error; *seq is told, if not NULL. */
static inline int append_wait(struct ledger *l, const char *name, uint64_t *seq)
{
	struct waiter w;
	int err;

	waiter_init(&w);
	err = append_named(l, name, &w.note);
	if (!err)
		err = wait_told(&w);
	if (!err && seq)
		*seq = w.seq;
	return err;
}

static inline const char *path_of(char to[128], const char *dir, uint64_t first_seq)
{
	snprintf(to, 128, "%s/%020llu.seg", dir, (unsigned long long)first_seq);
	return to;
}

static inline void empty_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[400];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.128s/%s", dir, e->d_name);
		if (unlink(path)) {
			empty_dir(path);
			rmdir(path);
		}
	}
	if (d)
		closedir(d);
}

static inline size_t read_file(const char *path, uint8_t *to, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, to, room);

	if (fd >= 0)
		close(fd);
	return n < 0 ? 0 : (size_t)n;
}

static inline void write_file(const char *path, const uint8_t *at, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	cr_assert(fd >= 0 && write(fd, at, len) == (ssize_t)len);
	close(fd);
}

/* The log as it was born: the checkpoint of no records, nothing else. */
struct birth {
	uint8_t note[4096 + 2];
	size_t len;
};

/* Opens and closes a log in `dir` and keeps its first checkpoint. */
static inline void make_birth(struct birth *b, const char *dir, const struct ledger_options *o)
{
	struct ledger *l = NULL;
	char path[128];

	cr_assert_eq(ledger_open(&l, o), 0);
	ledger_close(&l);
	snprintf(path, sizeof(path), "%s/checkpoint", dir);
	b->len = read_file(path, b->note, sizeof(b->note) - 2);
	cr_assert(b->len);
	memcpy(b->note + b->len, "\f\n", 2);
}

/* The folder holds what it held at birth; its key is the same. */
static inline void bear_again(const struct birth *b, const char *dir)
{
	char path[128];

	empty_dir(dir);
	snprintf(path, sizeof(path), "%s/checkpoint", dir);
	write_file(path, b->note, b->len);
	strcat(path, "s");
	write_file(path, b->note, b->len + 2);
}

/* The same in memory, where it can be, for tests with thousands of syncs that are not about the disk. */
static inline const char *new_fast_dir(char to[64])
{
	strcpy(to, "/dev/shm/sluice-ledger-XXXXXX");
	return mkdtemp(to) ? to : new_dir(to);
}

/* What a reader finds: records, errors, recoveries, the seqs and names in order. */
struct found {
	size_t records, errors, recoveries, n;
	Recovery__Kind kind; /* of the last Recovery */
	uint64_t gap_next;   /* its next_seq */
	bool in_order;       /* each seq above the one before */
	uint64_t last_seq;
	struct {
		uint64_t seq;
		char name[24];
	} seen[4096];
};

static inline void read_all(const char *dir, struct found *f)
{
	struct ledger_reader *r = NULL;
	const Record *rec;
	int got;

	memset(f, 0, sizeof(*f));
	f->in_order = true;
	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	while ((got = ledger_next(r, &rec))) {
		if (got < 0) {
			cr_assert_eq(got, -EBADMSG);
			cr_assert(f->errors++ < 1000);
			continue;
		}
		f->in_order &= !f->records || rec->seq > f->last_seq;
		f->last_seq = rec->seq;
		f->records++;
		if (rec->body_case == RECORD__BODY_RECOVERY) {
			f->recoveries++;
			f->kind = rec->recovery->kind;
			f->gap_next = rec->recovery->next_seq;
		} else if (rec->body_case == RECORD__BODY_EXCHANGE && f->n < ARRAY_LEN(f->seen)) {
			f->seen[f->n].seq = rec->seq;
			snprintf(f->seen[f->n++].name, sizeof(f->seen[0].name), "%s", rec->exchange->request_id);
		}
	}
	ledger_reader_close(&r);
}
