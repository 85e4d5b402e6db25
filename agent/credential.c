/* SPDX-License-Identifier: Apache-2.0 */
/* credential.c - what systemd hands to the unit (LoadCredential=): readable by the keeper's user, so read before the
 * worker becomes another. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "daemon.h"

#define CREDENTIAL_MAX 4096

int credential_read(char **out, const char *name)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char path[4096], text[CREDENTIAL_MAX + 1];
	owned(own_close) int fd = -1;
	ssize_t n;

	if (!folder)
		return -ENOENT;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	if (n < 0 || n > CREDENTIAL_MAX)
		return n < 0 ? -errno : -EFBIG;
	text[n] = '\0';
	*out = strdup(text);
	OPENSSL_cleanse(text, sizeof(text));
	return *out ? 0 : -ENOMEM;
}

void credential_free(char **at)
{
	if (*at)
		OPENSSL_cleanse(*at, strlen(*at));
	own_free(at);
}
