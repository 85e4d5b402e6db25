/* SPDX-License-Identifier: Apache-2.0 */
/* exporting.c - somebody is about to take records out: on record, with who asks, or not at all. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "daemon.h"

static bool is_plain(const char *text, size_t most)
{
	size_t len = strlen(text);

	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return len <= most;
}

void export_answer(struct daemon *d, const ExportRequest *in, const Caller *caller, char *error, size_t room)
{
	Access a = ACCESS__INIT;
	Record r = RECORD__INIT;
	int err;

	*error = '\0';
	if (!*in->filter || !is_plain(in->filter, 512) || !is_plain(in->reason, 512)) {
		snprintf(error, room, "what is exported and why, in plain text of at most 512 characters");
		return;
	}
	if (caller) {
		a.uid = caller->uid;
		a.groups = caller->groups;
		a.n_groups = caller->n_groups;
		a.pid = caller->pid;
	}
	a.what = (char *)"export";
	a.filter = in->filter;
	a.reason = in->reason;
	r.body_case = RECORD__BODY_ACCESS;
	r.access = &a;
	err = caller ? note_durably(d->control, &r) : -ENOMEM;
	if (err)
		snprintf(error, room, "it could not be put on record");
	log_info("export: uid=%u error=%s", caller ? caller->uid : 65534, err ? strerrorname_np(-err) : "none");
}
