/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.c - a copy of the policy that was last in force, beside the control socket.
 *
 * A worker that died is made again, and reads the policy. If that was edited meanwhile and is broken now, the gate
 * would stay closed for a mistake that nobody has asked to be in force; so the next worker takes the copy. The keeper
 * makes it, byte for byte and without reading it: a worker, which strangers may have taken over, must not say what the
 * next one allows. Signatures are copied along and checked again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "daemon.h"

#define KEPT      "policy.kept"
#define NEXT      KEPT ".next"
#define DEPTH_MAX 4
#define FILES_MAX 4096
#define BYTES_MAX (256u << 20)

/* What a copy may still take, and the folder that it does not leave. */
struct copying {
	char root[PATH_MAX];
	unsigned files;
	uint64_t bytes;
};

static int beside_control(const struct daemon *d, const char *name, char path[KEPT_PATH])
{
	char folder[KEPT_PATH];

	if ((size_t)snprintf(folder, sizeof(folder), "%s", d->config->control) >= sizeof(folder) ||
	    (size_t)snprintf(path, KEPT_PATH, "%s/%s", dirname(folder), name) >= KEPT_PATH)
		return -ENAMETOOLONG;
	return 0;
}

int kept_path(const struct daemon *d, char path[KEPT_PATH])
{
	return beside_control(d, KEPT, path);
}

static void sweep(int at, const char *name, unsigned depth)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	while (dir && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(fd, e->d_name, 0) && errno == EISDIR && depth)
			sweep(fd, e->d_name, depth - 1);
	}
	if (dir)
		closedir(dir);
	else
		own_close(&fd);
	unlinkat(at, name, AT_REMOVEDIR);
}

static int copy_bytes(int from, int to, struct copying *left)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(from, bytes, sizeof(bytes))) > 0) {
		if ((uint64_t)n > left->bytes)
			return -EFBIG;
		left->bytes -= (uint64_t)n;
		for (ssize_t done = 0; done < n;) {
			ssize_t k = write(to, bytes + done, (size_t)(n - done));

			if (k < 0)
				return -errno;
			done += k;
		}
	}
	return n < 0 ? -errno : 0;
}

static int copy_folder(int from, int to, struct copying *left, unsigned depth);

/* Where the descriptor is; empty when it cannot be told. */
static void path_of(int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	path[n < 0 ? 0 : n] = '\0';
}

/* Links are followed as far as they stay inside, as a reader of the policy does. openat2() would say so by itself, but
 * systemd forbids it to units with RestrictSUIDSGID=: so where a name has led is asked of a descriptor that reads
 * nothing. 1: nor does the reader get it. */
static int open_inside(int from, const char *name, const char *root, int *out)
{
	owned(own_close) int at = openat(from, name, O_PATH | O_CLOEXEC);
	size_t len = strlen(root);
	char path[PATH_MAX], link[64];
	int fd;

	if (at < 0)
		return errno == ENOENT || errno == ELOOP ? 1 : -errno;
	path_of(at, path);
	if (!*path)
		return -ENOTSUP;
	if (strncmp(path, root, len) || path[len] != '/')
		return 1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
	fd = open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*out = fd;
	return 0;
}

static int copy_entry(int from, int to, const char *name, struct copying *left, unsigned depth)
{
	owned(own_close) int in = -1, out = -1;
	int err = open_inside(from, name, left->root, &in);
	struct stat st;

	if (err || fstat(in, &st))
		return err < 0 ? err : err ? 0 : -errno;
	if (!left->files--)
		return -EFBIG;
	if (S_ISDIR(st.st_mode) && depth) {
		if (mkdirat(to, name, 0750))
			return -errno;
		out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (out < 0 || fchmod(out, 0750))
			return -errno;
		return copy_folder(in, out, left, depth - 1);
	}
	if (!S_ISREG(st.st_mode))
		return 0;
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (out < 0 || fchmod(out, 0640))
		return -errno;
	return copy_bytes(in, out, left);
}

static int copy_folder(int from, int to, struct copying *left, unsigned depth)
{
	int own = dup(from), err = 0;
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	const struct dirent *e;

	if (!dir) {
		err = -errno;
		own_close(&own);
		return err;
	}
	while (!err && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			err = copy_entry(from, to, e->d_name, left, depth);
	closedir(dir);
	return err;
}

static int copy_policy(const struct daemon *d, const char *next)
{
	owned(own_close) int from = open(d->config->policy, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to = -1;
	struct copying left = { .files = FILES_MAX, .bytes = BYTES_MAX };

	if (from < 0)
		return -errno;
	path_of(from, left.root);
	if (!*left.root)
		return -ENOTSUP;
	if (mkdir(next, 0750))
		return -errno;
	to = open(next, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0 || fchmod(to, 0750))
		return -errno;
	return copy_folder(from, to, &left, DEPTH_MAX);
}

void kept_renew(const struct daemon *d)
{
	char path[KEPT_PATH], next[KEPT_PATH];
	int err = kept_path(d, path), group;

	err = err ? err : beside_control(d, NEXT, next);
	if (!err) {
		sweep(AT_FDCWD, next, DEPTH_MAX);
		/* The worker reads it by its group, and nobody else does. */
		group = setfsgid(d->worker_gid);
		err = copy_policy(d, next);
		setfsgid((gid_t)group);
		if (!err && renameat2(AT_FDCWD, next, AT_FDCWD, path, RENAME_EXCHANGE) &&
		    (errno != ENOENT || rename(next, path)))
			err = -errno;
		sweep(AT_FDCWD, next, DEPTH_MAX);
	}
	if (err)
		log_warn("policy: no copy of it is kept, a worker that ends while it is broken cannot be made again: "
		         "error=%s",
		         strerrorname_np(-err));
}

void kept_forget(const struct daemon *d)
{
	char path[KEPT_PATH];

	if (!kept_path(d, path))
		sweep(AT_FDCWD, path, DEPTH_MAX);
}
