/* SPDX-License-Identifier: Apache-2.0 */
/* holding.c - legal holds as they are asked for over the control socket: on record, with who asked, or not at all. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "daemon.h"

static int note_hold(struct daemon *d, const Hold *h)
{
	Record r = RECORD__INIT;

	r.body_case = RECORD__BODY_HOLD;
	r.hold = (Hold *)h;
	return note_durably(d->control, &r);
}

void hold_answer(struct daemon *d, const HoldRequest *in, const Caller *caller, char *error, size_t room)
{
	Access access = ACCESS__INIT;
	Hold h = HOLD__INIT;
	char filter[64];
	int err;

	*error = '\0';
	if (!*in->id || !note_plain(in->id, HOLD_ID - 1) || !note_plain(in->authority, 256) ||
	    !note_plain(in->reason, 512)) {
		snprintf(error, room, "an id of at most %d characters, and plain text elsewhere", HOLD_ID - 1);
		return;
	}
	snprintf(filter, sizeof(filter), "%" PRIu64 "-%" PRIu64, in->first_seq, in->last_seq);
	h.id = in->id;
	h.filter = in->release ? (char *)"" : in->all ? (char *)"all" : filter;
	h.authority = in->authority;
	h.until_unix_nano = in->until_unix_nano;
	h.released = in->release;
	access.what = (char *)(in->release ? "release" : "hold");
	access.filter = in->id;
	access.reason = in->reason;
	if (!caller)
		err = -ENOMEM;
	else if (in->release && !holds_has(d->holds, in->id))
		err = -ENOENT;
	else
		err = note_access(d, caller, &access);
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
