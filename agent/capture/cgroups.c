// SPDX-License-Identifier: Apache-2.0
/* cgroups.c - where cgroup2 is mounted, and the cgroup that our own dials are known by. */
#include "capture/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/dirs.h"
#include "base/own.h"

int cgroup_id(const char *dir, uint64_t *id)
{
	struct stat st;

	if (stat(dir, &st))
		return -errno;
	*id = st.st_ino; /* kernfs: the inode number of a cgroup's directory is its id */
	return 0;
}

/* Undoes mountinfo's octal escapes (proc(5)) in place. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' && text[2] <= '7' &&
		    text[3] >= '0' && text[3] <= '7') {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = 0;
}

/* Field `n` of a line, from 0. */
static char *field(const char *line, const char *end, unsigned n)
{
	const char *space;

	while (n--) {
		space = memchr(line, ' ', (size_t)(end - line));
		if (!space)
			return NULL;
		line = space + 1;
	}
	space = memchr(line, ' ', (size_t)(end - line));
	return strndup(line, (size_t)((space ? space : end) - line));
}

int mountinfo_cgroup2(const char *text, char **dir, char **root)
{
	for (const char *end; *text; text = *end ? end + 1 : end) {
		const char *dash;

		end = text + strcspn(text, "\n");
		dash = strstr(text, " - ");
		if (!dash || dash > end || strncmp(dash + 3, "cgroup2 ", 8))
			continue;
		owned(own_free) char *at = field(text, dash, 4);
		owned(own_free) char *from = field(text, dash, 3);
		if (!at || !from)
			return -EINVAL;
		unescape(at);
		unescape(from);
		*dir = TAKE(at);
		*root = TAKE(from);
		return 0;
	}
	return -ENOENT;
}

/* Returns an owned text. /proc tells no size, so it is read to its end. */
static int read_all(const char *path, char **ret)
{
	owned(own_free) char *text = NULL;
	owned(own_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		char *more = realloc(text, len + 4096 + 1);

		if (!more)
			return -ENOMEM;
		text = more;
		n = read(fd, text + len, 4096);
		if (n < 0)
			return -errno;
		len += (size_t)n;
	} while (n);
	text[len] = 0;
	*ret = TAKE(text);
	return 0;
}

static int enter(const char *dir)
{
	char path[PATH_MAX + 16];
	owned(own_close) int fd = -1;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return -errno;
	return 0;
}

/* The directory of the cgroup we are in: "0::PATH" of /proc/self/cgroup, which counts from where `root` does. */
static int own_directory(struct capture *c, const char *root, struct why why)
{
	owned(own_free) char *text = NULL;
	const char *line;
	char *dir;
	int err = read_all("/proc/self/cgroup", &text), n;

	if (err)
		return because(why, err, "cannot read /proc/self/cgroup");
	line = strncmp(text, "0::", 3) ? strstr(text, "\n0::") : text;
	if (!line)
		return because(why, -ENOENT, "this process is in no cgroup2: is the kernel started without it?");
	line = strchr(line, '/');
	if (!line)
		return because(why, -ENOENT, "this process is in no cgroup2");
	n = (int)strcspn(line, "\n");
	if (strcmp(root, "/")) {
		size_t len = strlen(root);

		if (strncmp(line, root, len) || (line[len] != '/' && line[len] != '\n'))
			return because(why, -ENOENT, "our cgroup %.*s is not below the mounted one, %s", n, line, root);
		line += len;
		n -= (int)len;
	}
	if (!strncmp(line, "/..", 3))
		return because(why, -ENOENT, "our cgroup %.*s is outside what %s shows", n, line, c->mount);
	if (n <= 1) /* everybody's sockets are below: `dialled` would take strangers for us */
		return because(
			why, -EINVAL,
			"the daemon is in the root of %s: start it from its service, or give it a cgroup of its own",
			c->mount);
	if (asprintf(&dir, "%s%.*s", c->mount, n, line) < 0)
		return because(why, -ENOMEM, "out of memory");
	c->own = dir;
	return 0;
}

int cgroups_find(struct capture *c, const char *own, struct why why)
{
	owned(own_free) char *text = NULL;
	owned(own_free) char *root = NULL;
	char dir[PATH_MAX];
	int err = read_all("/proc/self/mountinfo", &text);

	if (err)
		return because(why, err, "cannot read /proc/self/mountinfo");
	if (mountinfo_cgroup2(text, &c->mount, &root))
		return because(why, -ENOENT, "no cgroup2 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	if (own) {
		own += strspn(own, "/");
		snprintf(dir, sizeof(dir), "%s/%s", c->mount, own);
		err = make_dirs(dir, 0755);
		if (!err)
			err = enter(dir);
		if (err)
			return because(why, err, "cannot make and enter the cgroup %s: %s", dir, strerror(-err));
	}
	err = own_directory(c, root, why);
	if (err)
		return err;
	err = cgroup_id(c->own, &c->own_id);
	return err ? because(why, err, "cannot find our own cgroup %s: %s", c->own, strerror(-err)) : 0;
}
