// SPDX-License-Identifier: Apache-2.0
/*
 * pins.c - the directory that keeps the guard standing while no daemon runs.
 *
 * Links are pinned as "link_…", maps by their names. A pinned link gets the new program in one step where the kernel
 * can do that; where it cannot, the new link stands before the old one goes.
 */
#include "capture/state.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include "base/log.h"
#include "base/own.h"

#define BPFFS        "/sys/fs/bpf"
#define DEFAULT_PINS BPFFS "/sluice"

static bool on_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned)fs.f_type == BPF_FS_MAGIC;
}

int pins_prepare(struct capture *c, struct why why)
{
	owned(own_free) char *up = strdup(c->pins);
	char *slash;

	if (!up)
		return because(why, -ENOMEM, "out of memory");
	slash = strrchr(up, '/');
	if (!slash || slash == up)
		return because(why, -EINVAL, "the pin directory %s must be an absolute path below a bpffs", c->pins);
	*slash = 0;
	if (!strcmp(up, BPFFS) && !on_bpffs(up) && mount("bpf", BPFFS, "bpf", 0, "mode=0700"))
		return because(why, -errno, "cannot mount a bpffs: mount -t bpf bpf %s: %s", BPFFS, strerror(errno));
	if (!on_bpffs(up))
		return because(why, -EINVAL, "%s is not on a bpffs: mount -t bpf bpf %s", c->pins, up);
	if (mkdir(c->pins, 0700) && errno != EEXIST)
		return because(why, -errno, "cannot make the pin directory %s: %s", c->pins, strerror(errno));
	return 0;
}

/* Puts the pin of `fd` in the place of an older one. */
static int pin_over(const char *path, int fd)
{
	owned(own_free) char *fresh = NULL;

	if (asprintf(&fresh, "%s~", path) < 0) {
		fresh = NULL;
		return -ENOMEM;
	}
	unlink(fresh); /* of a run that was killed right here */
	if (bpf_obj_pin(fd, fresh))
		return -errno;
	if (rename(fresh, path)) {
		int err = -errno;

		unlink(fresh);
		return err;
	}
	return 0;
}

static int pin_path(const struct capture *c, const char *name, char **ret)
{
	return asprintf(ret, "%s/link_%s", c->pins, name) < 0 ? (*ret = NULL, -ENOMEM) : 0;
}

/* Gives a pinned link its new program; false if there is none, or it hangs on nothing any more. */
static bool updated(const char *path, int prog)
{
	owned(own_close) int link = bpf_obj_get(path);

	return link >= 0 && !bpf_link_update(link, prog, NULL);
}

static int link_info(const char *path, struct bpf_link_info *info)
{
	owned(own_close) int link = bpf_obj_get(path);
	__u32 len = sizeof(*info);

	if (link < 0)
		return -errno;
	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(link, info, &len) ? -errno : 0;
}

int pins_cgroup(struct capture *c, const char *name, int prog, int attach_type, const char *cgroup)
{
	owned(own_free) char *path = NULL;
	owned(own_close) int dir = -1;
	owned(own_close) int link = -1;
	struct bpf_link_info info = {};
	uint64_t id;
	int err = pin_path(c, name, &path);

	if (!err)
		err = cgroup_id(cgroup, &id);
	if (err)
		return err;
	if (!link_info(path, &info) && info.cgroup.cgroup_id == id && updated(path, prog))
		return 0;
	dir = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	link = bpf_link_create(prog, dir, (enum bpf_attach_type)attach_type, NULL);
	return link < 0 ? -errno : pin_over(path, link);
}

int pins_netns(struct capture *c, const char *name, int prog, int ns)
{
	owned(own_free) char *path = NULL;
	owned(own_close) int link = -1;
	struct bpf_link_info info = {};
	struct stat st;
	int err = pin_path(c, name, &path);

	if (err)
		return err;
	if (fstat(ns, &st))
		return -errno;
	if (!link_info(path, &info) && info.netns.netns_ino == st.st_ino && updated(path, prog))
		return 0;
	link = bpf_link_create(prog, ns, BPF_SK_LOOKUP, NULL);
	return link < 0 ? -errno : pin_over(path, link);
}

int pins_tracing(struct capture *c, const char *name, int prog)
{
	owned(own_free) char *path = NULL;
	owned(own_close) int link = -1;
	int err = pin_path(c, name, &path);

	if (err)
		return err;
	link = bpf_raw_tracepoint_open(NULL, prog);
	return link < 0 ? -errno : pin_over(path, link);
}

/* The kernel lets go of an unpinned link some time later; a detached one is off at once. Tracing links know no
 * detaching, but they do nothing by themselves. */
static void detach(const char *dir, const char *name)
{
	char path[PATH_MAX];
	owned(own_close) int link = -1;

	if (strncmp(name, "link_", 5) || snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return;
	link = bpf_obj_get(path);
	if (link >= 0)
		bpf_link_detach(link);
}

/* Unlinks every entry that `chosen` says yes to. Returns the first error. */
static int unlink_some(const char *dir, bool (*chosen)(const char *name))
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int err = 0;

	if (!d)
		return -errno;
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.' || !chosen(entry->d_name))
			continue;
		detach(dir, entry->d_name);
		if (unlinkat(dirfd(d), entry->d_name, 0) && !err)
			err = -errno;
	}
	closedir(d);
	return err;
}

static bool is_steer(const char *name)
{
	return !strncmp(name, "link_steer", 10); /* of every namespace */
}

static bool is_link(const char *name)
{
	return !strncmp(name, "link_", 5);
}

static bool is_any(const char *name)
{
	return *name;
}

int capture_unpin(const char *pins)
{
	int err;

	pins = pins ? pins : DEFAULT_PINS;
	if (access(pins, F_OK))
		return errno == ENOENT ? 0 : -errno;
	if (!on_bpffs(pins))
		return -EINVAL; /* somebody else's files */
	/* New connections go their own way before anything that they rely on is taken down. */
	err = unlink_some(pins, is_steer);
	if (!err)
		err = unlink_some(pins, is_link);
	if (!err)
		err = unlink_some(pins, is_any);
	if (!err && rmdir(pins))
		err = -errno;
	return err;
}

static void sweep(struct capture *c, const char *prefix, bool (*gone)(const struct bpf_link_info *info),
                  void (*then)(struct capture *c, uint64_t id))
{
	struct dirent *entry;
	DIR *d = opendir(c->pins);

	while (d && (entry = readdir(d))) {
		owned(own_free) char *path = NULL;
		struct bpf_link_info info = {};

		if (strncmp(entry->d_name, prefix, strlen(prefix)) ||
		    asprintf(&path, "%s/%s", c->pins, entry->d_name) < 0) {
			path = NULL;
			continue;
		}
		if (link_info(path, &info) || !gone(&info))
			continue;
		log_debug("link that hangs on nothing removed pin=%s", entry->d_name);
		unlink(path);
		if (then)
			then(c, strtoull(entry->d_name + strlen(prefix), NULL, 16));
	}
	if (d)
		closedir(d);
}

static bool cgroup_gone(const struct bpf_link_info *info)
{
	return !info->cgroup.cgroup_id;
}

static bool netns_gone(const struct bpf_link_info *info)
{
	return !info->netns.netns_ino;
}

/* Dials that an earlier run left in closing lose their tuple by the link on its cgroup: it goes with the cgroup. */
void pins_sweep_dialled(struct capture *c)
{
	sweep(c, "link_dialled_", cgroup_gone, NULL);
}

void pins_sweep_steer(struct capture *c)
{
	sweep(c, "link_steer_", netns_gone, space_gone);
}

bool pins_steered(const struct capture *c, uint64_t netns)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/link_steer_%llx", c->pins, (unsigned long long)netns);
	return !access(path, F_OK);
}
