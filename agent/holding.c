/* SPDX-License-Identifier: Apache-2.0 */
/* holding.c - legal holds as they are asked for over the control socket: on record, with who asked, or not at all. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "daemon.h"

static int note_access(struct daemon *d, const HoldRequest *in, const Caller *caller)
{
	Access a = ACCESS__INIT;
	Record r = RECORD__INIT;

	a.uid = caller->uid;
	a.groups = caller->groups;
	a.n_groups = caller->n_groups;
	a.pid = caller->pid;
	a.what = (char *)(in->release ? "release" : "hold");
	a.filter = in->id;
	a.reason = in->reason;
	r.body_case = RECORD__BODY_ACCESS;
	r.access = &a;
	return note_durably(d->control, &r);
}

static int note_hold(struct daemon *d, const Hold *h)
{
	Record r = RECORD__INIT;

	r.body_case = RECORD__BODY_HOLD;
	r.hold = (Hold *)h;
	return note_durably(d->control, &r);
}

static bool is_plain(const char *text, size_t most)
{
	size_t len = strlen(text);

	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return len <= most;
}

void hold_answer(struct daemon *d, const HoldRequest *in, const Caller *caller, char *error, size_t room)
{
	Hold h = HOLD__INIT;
	char filter[64];
	int err;

	*error = '\0';
	if (!*in->id || !is_plain(in->id, HOLD_ID - 1) || !is_plain(in->authority, 256) || !is_plain(in->reason, 512)) {
		snprintf(error, room, "an id of at most %d characters, and plain text elsewhere", HOLD_ID - 1);
		return;
	}
	snprintf(filter, sizeof(filter), "%" PRIu64 "-%" PRIu64, in->first_seq, in->last_seq);
	h.id = in->id;
	h.filter = in->release ? (char *)"" : in->all ? (char *)"all" : filter;
	h.authority = in->authority;
	h.until_unix_nano = in->until_unix_nano;
	h.released = in->release;
	if (!caller)
		err = -ENOMEM;
	else if (in->release && !holds_has(d->holds, in->id))
		err = -ENOENT;
	else
		err = note_access(d, in, caller);
	/* A hold is in force before it is on record, and until its release is. */
	if (!err && !in->release)
		err = holds_apply(d->holds, &h);
	if (!err)
		err = note_hold(d, &h);
	if (!err && in->release)
		err = holds_apply(d->holds, &h);
	if (!err) {
		log_event(EVENT_HOLD, "hold: %s id=%s uid=%u", in->release ? "released" : "set", in->id, caller->uid);
		return;
	}
	snprintf(error, room, "%s",
	         err == -EEXIST   ? "there is a hold of that id"
	         : err == -ENOENT ? "there is no hold of that id"
	         : err == -EINVAL ? "the range is none"
	                          : "it could not be put on record");
	log_error("hold: not done: id=%s error=%s", in->id, strerrorname_np(-err));
}
