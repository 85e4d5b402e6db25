/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/keyring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define IDENTITY_FILE_MAX 65536

void keyring_wipe(struct keyring *k)
{
	explicit_bzero(k, sizeof(*k));
}

static int wrong(const char *command, const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", command, what, why);
	return -EINVAL;
}

static int read_line(struct keyring *k, const char *command, const char *path, char *line)
{
	size_t len = strcspn(line, "\r");

	line[len] = '\0';
	if (!*line || *line == '#')
		return 0;
	if (!strncmp(line, "age-encryption.org/", 19) || !strncmp(line, "-----BEGIN ", 11))
		return wrong(command, path,
		             "an identity file under a passphrase, or a key of another program, is not supported "
		             "by this version: decrypt it first, or use reveal --sealed and age");
	if (k->n == AGE_IDENTITIES)
		return wrong(command, path, "too many identities");
	if (age_identity_read(&k->ids[k->n], line))
		return wrong(command, path, "a line is no identity (AGE-SECRET-KEY-1...)");
	k->n++;
	return 0;
}

int keyring_read(struct keyring *k, const char *command, const char *path)
{
	uint8_t *data = NULL;
	char *text, *line, *rest = NULL;
	size_t len = 0, had = k->n;
	int err = cli_read(path, IDENTITY_FILE_MAX, &data, &len);

	if (err)
		return wrong(command, path, strerror(-err));
	text = malloc(len + 1);
	if (text) {
		memcpy(text, data, len);
		text[len] = '\0';
	} else {
		err = wrong(command, path, strerror(ENOMEM));
	}
	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && !err; line = strtok_r(NULL, "\n", &rest))
		err = read_line(k, command, path, line);
	if (text)
		explicit_bzero(text, len);
	if (data)
		explicit_bzero(data, len);
	free(text);
	free(data);
	if (!err && k->n == had)
		err = wrong(command, path, "there is no identity in it");
	return err;
}

const char *keyring_why(int err)
{
	switch (err) {
	case -EBADMSG:
		return "the evidence is not what was written: see sluicectl verify";
	case -ENODATA:
		return "its key was erased";
	case -EACCES:
		return "it is not for this identity, or the record may not be read";
	default:
		return strerror(-err);
	}
}
