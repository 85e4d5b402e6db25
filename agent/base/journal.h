/* SPDX-License-Identifier: Apache-2.0 */
/* journal.h - messages that are for the journal alone; apart from base/log.h, whose words <syslog.h> has, too. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* One message with its id; `priority` as syslog(3) has it. 0 or -errno. */
int journal_event(const char *id, int priority, const char *text);

struct journal_told {
	const char *id; /* of the message */
	int64_t at;     /* monotonic seconds of the last message; 0: none yet */
};

/* A checkpoint, at most one a minute; `arg` is a journal_told. From any thread, one at a time for each of them. */
void journal_checkpoint(void *arg, const char *note, size_t len);
