/* SPDX-License-Identifier: Apache-2.0 */
#include "record/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

static int file_remove(int dir, const char *name)
{
	if (!unlinkat(dir, name, 0) || (errno == EISDIR && !unlinkat(dir, name, AT_REMOVEDIR)))
		return 0;
	return -errno;
}

static int file_make_dir(int dir, const char *name)
{
	return mkdirat(dir, name, 0750) ? -errno : 0;
}

static int file_space(int dir, uint64_t *left)
{
	struct statvfs st;

	if (fstatvfs(dir, &st))
		return -errno;
	*left = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static uint64_t file_clock(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const struct file_ops file_system = {
	.open = file_open,
	.append = file_append,
	.reserve = file_reserve,
	.sync = file_sync,
	.truncate = file_truncate,
	.rename = file_rename,
	.sync_dir = file_sync_dir,
	.remove = file_remove,
	.make_dir = file_make_dir,
	.space = file_space,
	.clock = file_clock,
};
