/* SPDX-License-Identifier: Apache-2.0 */
#include "record/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/dirs.h"
#include "base/own.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

int folder_open(const char *path, int *ret_dir, int *ret_lock)
{
	owned(own_close) int dir = -1;
	owned(own_close) int lock = -1;
	int err = make_dirs(path, 0750);

	if (err)
		return err;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	lock = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (lock < 0)
		return -errno;
	if (flock(lock, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	*ret_dir = TAKE_FD(dir);
	*ret_lock = TAKE_FD(lock);
	return 0;
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void folder_boot_id(uint8_t id[16])
{
	owned(own_close) int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	const char *told = getenv("SLUICE_BOOT_ID"); /* by the unit, whose /proc has processes and nothing else */
	char text[64] = { 0 };
	size_t digits = 0;

	if ((fd < 0 || read(fd, text, sizeof(text) - 1) <= 0) && told)
		snprintf(text, sizeof(text), "%s", told);
	for (const char *p = text; *p && digits < 32; p++) {
		int value = hex_value(*p);

		if (value < 0)
			continue;
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | value);
		digits++;
	}
}
