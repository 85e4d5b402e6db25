/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - all that the writer asks of the file system, as a table, so that tests can be the disk that fails.
 *
 * Each call returns 0 (or what it opened or wrote) or -errno. Names are inside the ledger's folder `dir`.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "record/record.h"

struct file_ops {
	int (*open)(int dir, const char *name, int flags);     /* O_CLOEXEC added; new files have mode 0640 */
	ssize_t (*append)(int fd, const void *at, size_t len); /* may write less; never 0 */
	int (*reserve)(int fd, uint64_t bytes);                /* space kept ready; the size stays */
	int (*sync)(int fd);                                   /* data and size */
	int (*truncate)(int fd, uint64_t size);                /* gives reserved space back, too */
	int (*rename)(int dir, const char *from, const char *to);
	int (*sync_dir)(int dir);
	int (*remove)(int dir, const char *name);   /* a file, or an empty folder */
	int (*make_dir)(int dir, const char *name); /* -EEXIST is its answer for one that is there */
	int (*space)(int dir, uint64_t *left);      /* bytes that the log may still fill */
	uint64_t (*clock)(clockid_t which);         /* nanoseconds */
};

extern const struct file_ops file_system;

/* ledger_open() on a file system of the caller's. Borrows ops. */
int ledger_open_on(struct ledger **out, const struct ledger_options *o, const struct file_ops *ops);
