/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dirs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/own.h"

static int make_one(const char *path, mode_t mode)
{
	return mkdir(path, mode) && errno != EEXIST ? -errno : 0;
}

int make_parents(const char *path, mode_t mode)
{
	owned(own_free) char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *slash = *copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
		int err;

		*slash = '\0';
		err = make_one(copy, mode);
		*slash = '/';
		if (err)
			return err;
	}
	return 0;
}

int make_dirs(const char *path, mode_t mode)
{
	int err = *path ? make_parents(path, mode) : -ENOENT;

	return err ? err : make_one(path, mode);
}
