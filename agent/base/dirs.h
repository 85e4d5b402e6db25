/* SPDX-License-Identifier: Apache-2.0 */
/* dirs.h - folders that are missing are made. */
#pragma once

#include <sys/types.h>

/* Makes `path` and what is missing above it, each with `mode` (less the umask). 0 also if it is there; -errno of
 * mkdir(2), -ENOENT for an empty path, -ENOMEM. */
int make_dirs(const char *path, mode_t mode);

/* The same for the folder that `path` lies in. */
int make_parents(const char *path, mode_t mode);
