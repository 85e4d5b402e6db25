/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - what a process that reads strangers' bytes may still do: nothing but its work.
 *
 * No capability, no new privileges, a user of its own, files only below the folders it was given (Landlock), and the
 * system calls of a list (seccomp); everything else answers EPERM or EACCES.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sandbox_path {
	const char *path;
	bool writable; /* files may be made and removed below it */
};

struct sandbox {
	uid_t uid; /* 0: stays root without a capability */
	gid_t gid;
	const struct sandbox_path *paths;
	size_t path_count;
	bool traced; /* a sanitizer's leak check will stop and read it: leaves ptrace and /proc */
};

/* Enters it for good, before any thread is started. What this kernel cannot do beyond the user and the capabilities is
 * said in `lacks` (empty: nothing). 0; -errno with the cause in `lacks`: the process must end. */
int sandbox_enter(const struct sandbox *s, char *lacks, size_t len);
