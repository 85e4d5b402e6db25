/* SPDX-License-Identifier: Apache-2.0 */
#include "base/journal.h"

#include <string.h>
#include <systemd/sd-journal.h>
#include <time.h>

#define JOURNAL_S 60 /* journald limits who says more */

int journal_event(const char *id, int priority, const char *text)
{
	return sd_journal_send("MESSAGE_ID=%s", id, "PRIORITY=%d", priority, "SYSLOG_IDENTIFIER=sluiced", "MESSAGE=%s",
	                       text, NULL);
}

/* What left the host in time cannot be taken back: rsyslog forwards the journal. */
void journal_checkpoint(void *arg, const char *note, size_t len)
{
	struct journal_told *told = arg;
	int origin = (int)strcspn(note, "\n"), size = (int)strcspn(note + origin + 1, "\n");
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (told->at && now.tv_sec - told->at < JOURNAL_S)
		return;
	told->at = now.tv_sec;
	(void)sd_journal_send("MESSAGE_ID=%s", told->id, "PRIORITY=6", "SYSLOG_IDENTIFIER=sluiced",
	                      "MESSAGE=checkpoint: origin=%.*s size=%.*s root=%.44s", origin, note, size,
	                      note + origin + 1, note + origin + size + 2, "SLUICE_CHECKPOINT=%.*s", (int)len, note,
	                      NULL);
}
