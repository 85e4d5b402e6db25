/* SPDX-License-Identifier: Apache-2.0 */
/* exporting.c - somebody is about to take records out: on record, with who asks, or not at all. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "daemon.h"

void export_answer(struct daemon *d, const ExportRequest *in, const Caller *caller, char *error, size_t room)
{
	Access a = ACCESS__INIT;
	int err;

	*error = '\0';
	if (!*in->filter || !note_plain(in->filter, 512) || !note_plain(in->reason, 512)) {
		snprintf(error, room, "what is exported and why, in plain text of at most 512 characters");
		return;
	}
	a.what = (char *)"export";
	a.filter = in->filter;
	a.reason = in->reason;
	err = caller ? note_access(d, caller, &a) : -ENOMEM;
	if (err)
		snprintf(error, room, "it could not be put on record");
	log_info("export: uid=%u error=%s", caller ? caller->uid : 65534, err ? strerrorname_np(-err) : "none");
}
