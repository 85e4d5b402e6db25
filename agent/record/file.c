/* SPDX-License-Identifier: Apache-2.0 */
#include "record/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int file_open(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_CLOEXEC, 0640);

	return fd < 0 ? -errno : fd;
}

static ssize_t file_append(int fd, const void *at, size_t len)
{
	ssize_t n;

	do
		n = write(fd, at, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n ? n : -EIO;
}

static int file_reserve(int fd, uint64_t bytes)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) ? -errno : 0;
}

static int file_sync(int fd)
{
	return fdatasync(fd) ? -errno : 0;
}

static int file_truncate(int fd, uint64_t size)
{
	return ftruncate(fd, (off_t)size) ? -errno : 0;
}

static int file_rename(int dir, const char *from, const char *to)
{
	return renameat(dir, from, dir, to) ? -errno : 0;
}

static int file_sync_dir(int dir)
{
	return fsync(dir) ? -errno : 0;
}

const struct file_ops file_system = {
	.open = file_open,
	.append = file_append,
	.reserve = file_reserve,
	.sync = file_sync,
	.truncate = file_truncate,
	.rename = file_rename,
	.sync_dir = file_sync_dir,
};
