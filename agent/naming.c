/* SPDX-License-Identifier: Apache-2.0 */
/*
 * naming.c - from somebody to the pseudonyms that stand in the record: for who must find all that is kept of them.
 *
 * Nobody's name is stored: a pseudonym can be made again from the name and the key of its days, and from nothing else.
 * A key that is gone took its pseudonyms with it. What was asked for is on record, as the pseudonyms that were told.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "daemon.h"

#define DIGESTS_MOST 64
#define DAY_NS       (86400 * 1000000000ull)

static int add_name(SubjectReply *reply, const struct subject_name *name)
{
	Pseudonym **more = reallocarray(reply->pseudonyms, reply->n_pseudonyms + 1, sizeof(*more)), *one;

	if (!more)
		return -ENOMEM;
	reply->pseudonyms = more;
	one = malloc(sizeof(*one));
	if (!one)
		return -ENOMEM;
	*one = (Pseudonym)PSEUDONYM__INIT;
	more[reply->n_pseudonyms++] = one;
	one->tag.data = malloc(SUBJECT_TAG);
	if (!one->tag.data)
		return -ENOMEM;
	one->tag.len = SUBJECT_TAG;
	memcpy(one->tag.data, name->tag, SUBJECT_TAG);
	one->from_unix_nano = (uint64_t)name->first_day * DAY_NS;
	one->until_unix_nano = (uint64_t)(name->last_day + 1) * DAY_NS;
	return 0;
}

static int add_names(struct subjects *s, const ProtobufCBinaryData *digest, SubjectReply *reply)
{
	owned(own_free) struct subject_name *list = NULL;
	size_t n = 0;
	int err = subjects_names(s, digest->data, digest->len, &list, &n);

	for (size_t i = 0; i < n && !err; i++)
		err = add_name(reply, &list[i]);
	return err;
}

/* As many of them as an Access record has room for. */
static void say(const SubjectReply *reply, char *to, size_t room)
{
	size_t len = (size_t)snprintf(to, room, "subject_tag=");

	for (size_t i = 0; i < reply->n_pseudonyms && len + 2 * SUBJECT_TAG + 2 < room; i++) {
		if (i)
			to[len++] = ',';
		for (size_t k = 0; k < SUBJECT_TAG; k++)
			len += (size_t)snprintf(to + len, room - len, "%02x", reply->pseudonyms[i]->tag.data[k]);
	}
}

void subject_answer(struct daemon *d, const SubjectRequest *in, const Caller *caller, SubjectReply **out, char *error,
                    size_t room)
{
	Access access = ACCESS__INIT;
	SubjectReply *reply = malloc(sizeof(*reply));
	char filter[512];
	bool good = in->n_digests && in->n_digests <= DIGESTS_MOST && note_plain(in->reason, 512);
	int err = !reply || !caller ? -ENOMEM : 0;

	for (size_t i = 0; i < in->n_digests; i++)
		good &= in->digests[i].len == EXCHANGE_SUBJECT;
	if (reply)
		*reply = (SubjectReply)SUBJECT_REPLY__INIT;
	for (size_t i = 0; i < in->n_digests && !err && good; i++)
		err = add_names(d->subjects, &in->digests[i], reply);
	if (!err && good) {
		say(reply, filter, sizeof(filter));
		access.what = (char *)"subject";
		access.filter = filter;
		access.reason = in->reason;
		err = note_access(d, caller, &access);
	}
	snprintf(error, room, "%s",
	         !good ? "digests of identities, and a reason in plain text"
	         : err ? "a key cannot be read, or it could not be put on record"
	               : "");
	log_info("subject: uid=%u error=%s", caller ? caller->uid : 65534, err ? strerrorname_np(-err) : "none");
	if (*error) {
		if (reply)
			subject_reply__free_unpacked(reply, NULL);
		return;
	}
	*out = reply;
}
