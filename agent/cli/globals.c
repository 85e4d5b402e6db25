/* SPDX-License-Identifier: Apache-2.0 */
/* globals.c - what the options before the subcommand say, and what follows from them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/cli.h"

struct cli_globals cli_globals;

int cli_record_dir(char **out)
{
	owned(config_free) struct config *config = NULL;
	owned(own_free) char *mistakes = NULL;
	const char *file = cli_globals.config ? cli_globals.config : CONFIG_FILE;
	int err;

	/* Without a configuration there is the default; a broken one must not send the reader to another record. */
	if (!cli_globals.config && access(file, F_OK) && errno == ENOENT) {
		*out = strdup(CONFIG_RECORD_DIR);
		return *out ? 0 : -ENOMEM;
	}
	err = config_load(&config, file, &mistakes);
	if (err) {
		fputs(mistakes ? mistakes : "out of memory\n", stderr);
		return err;
	}
	*out = TAKE(config->record_dir);
	return 0;
}

bool cli_range(const char *text, uint64_t *first, uint64_t *last)
{
	uint64_t from, to;
	int end = 0;

	if (sscanf(text, "%" SCNu64 "%n", &from, &end) != 1 || *text < '0' || *text > '9')
		return false;
	to = from;
	if (text[end] == '-' && text[end + 1] >= '0' && text[end + 1] <= '9') {
		text += end + 1;
		if (sscanf(text, "%" SCNu64 "%n", &to, &end) != 1)
			return false;
	}
	if (text[end] || from > to)
		return false;
	*first = from;
	*last = to;
	return true;
}
