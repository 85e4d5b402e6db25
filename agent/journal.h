/* SPDX-License-Identifier: Apache-2.0 */
/* journal.h - messages that are for the journal alone; apart from base/log.h, whose words <syslog.h> has, too. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct journal_told {
	int64_t at; /* monotonic seconds of the last message; 0: none yet */
};

/* A checkpoint, at most one a minute; `arg` is a journal_told. From any thread, one at a time for each of them. */
void journal_checkpoint(void *arg, const char *note, size_t len);
