/* SPDX-License-Identifier: Apache-2.0 */
/* owner.c - who the worker is, and the folders that must be its own. */
#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "base/own.h"
#include "daemon.h"

/* Gives what lies in `path` to the worker, if it is root's: an earlier version ran as root. Links are not followed. */
static void give_tree(int dir, uid_t uid, gid_t gid, unsigned depth)
{
	DIR *d = depth ? fdopendir(dup(dir)) : NULL;
	struct dirent *entry;
	struct stat st;

	while (d && (entry = readdir(d))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (S_ISDIR(st.st_mode)) {
			owned(own_close) int below =
				openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (below >= 0)
				give_tree(below, uid, gid, depth - 1);
		} else if (S_ISREG(st.st_mode) && !st.st_uid && st.st_nlink == 1 &&
		           fchownat(dir, entry->d_name, uid, gid, AT_SYMLINK_NOFOLLOW)) {
			log_warn("record: %s cannot be given to the worker: error=%s", entry->d_name,
			         strerrorname_np(errno));
		}
	}
	if (d)
		closedir(d);
	if (!fstat(dir, &st) && !st.st_uid && fchown(dir, uid, gid))
		log_warn("record: a folder cannot be given to the worker: error=%s", strerrorname_np(errno));
}

/* Makes `path`, as the worker's if it is new. */
static int give_dir(const struct daemon *d, const char *path, mode_t mode, bool tree)
{
	int err = make_parents(path, 0755);
	bool fresh = !err && !mkdir(path, mode);
	owned(own_close) int fd = -1;

	if (!err && !fresh && errno != EEXIST)
		err = -errno;
	fd = err ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!err && fd < 0)
		err = -errno;
	if (err) {
		log_error("%s: %s", path, strerror(-err));
		return err;
	}
	if (d->worker_uid && (fresh || tree))
		give_tree(fd, d->worker_uid, d->worker_gid, tree ? 8 : 0);
	return 0;
}

/* Can the worker's user reach it? Asked by a process that is as little as the worker will be. */
static bool reachable(const struct passwd *user, const char *path, int mode)
{
	pid_t asks = fork();
	int status;

	if (asks < 0)
		return false;
	if (!asks) {
		capng_clear(CAPNG_SELECT_BOTH);
		if (capng_change_id((int)user->pw_uid, (int)user->pw_gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_AMBIENT))
			_exit(2);
		_exit(faccessat(AT_FDCWD, path, mode, AT_EACCESS) ? 1 : 0);
	}
	while (waitpid(asks, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* The nearest folder at or above `path` that is there. */
static void nearest(const char *path, char *out, size_t room, bool above)
{
	snprintf(out, room, "%s", path);
	while ((above || access(out, F_OK)) && strchr(out, '/')) {
		char *up = dirname(out);

		above = false;
		if (!strcmp(up, out))
			break;
		memmove(out, up, strlen(up) + 1);
	}
}

/* Who the worker is: the configured user, which must be there and reach its files; else `sluice` if there is such a
 * user who can; else root without a capability. */
int daemon_user(struct daemon *d)
{
	const struct config *c = d->config;
	const char *name = c->user ? c->user : "sluice";
	const struct passwd *user = getpwnam(name);
	/* The folder of the record itself will be the worker's; the way to it must be open. */
	const struct {
		const char *path;
		int mode;
	} needs[] = { { c->policy, R_OK | X_OK }, { c->record_dir, X_OK } };
	char at[4096];

	d->worker_uid = 0;
	if (!user) {
		if (c->user) {
			log_error("user: there is no user '%s' on this host", name);
			return -ENOENT;
		}
		snprintf(d->user_lack, sizeof(d->user_lack),
		         "user: there is no user 'sluice': the worker is root without a capability");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(needs) && user->pw_uid; i++) {
		nearest(needs[i].path, at, sizeof(at), i > 0);
		if (reachable(user, at, needs[i].mode))
			continue;
		if (c->user) {
			log_error("user: '%s' cannot read %s", name, at);
			return -EACCES;
		}
		snprintf(d->user_lack, sizeof(d->user_lack),
		         "user: 'sluice' cannot read %.128s: the worker is root without a capability", at);
		return 0;
	}
	d->worker_uid = user->pw_uid;
	d->worker_gid = user->pw_gid;
	return 0;
}

/* One daemon a record: the next would take over the guard before its worker met the lock of the ledger. */
static int lock_record(struct daemon *d)
{
	owned(own_close) int fd = open(d->config->record_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
		int err = -errno;

		log_error("record: %s: %s", d->config->record_dir,
		          err == -EWOULDBLOCK ? "another daemon has it" : strerror(-err));
		return err;
	}
	d->record_lock = TAKE_FD(fd); /* until the process ends */
	return 0;
}

int daemon_folders(struct daemon *d, bool lock)
{
	const struct config *c = d->config;
	char keys[4096], cosigned[4096];
	int err;

	if ((size_t)snprintf(keys, sizeof(keys), "%s.keys", c->record_dir) >= sizeof(keys) ||
	    (size_t)snprintf(cosigned, sizeof(cosigned), "%s.cosigned", c->record_dir) >= sizeof(cosigned))
		return -ENAMETOOLONG;
	err = give_dir(d, c->record_dir, 0750, true);
	err = err ? err : give_dir(d, keys, 0700, true);
	/* Somebody else writes there; it must be there before the worker's sandbox is. */
	err = err || !c->witness_count ? err : give_dir(d, cosigned, 0755, false);
	return err || !lock ? err : lock_record(d);
}
