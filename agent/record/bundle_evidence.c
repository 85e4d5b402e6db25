/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle_evidence.c - what was kept of findings, handed out as it is: age files that nobody here can read.
 *
 * What is restricted is not handed out, and what was erased is not there any more.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"
#include "record/bundle.h"
#include "record/frame.h"

static int put_file(struct bundled *b, const struct bundle_evidence *e, uint64_t seq, struct slice file)
{
	char name[256];
	int err;

	if ((size_t)snprintf(name, sizeof(name), "%s/%" PRIu64 ".age", e->folder, seq) >= sizeof(name))
		return -ENAMETOOLONG;
	err = b->sink->begin(b->sink, name, file.len);
	return err ? err : b->sink->bytes(b->sink, file);
}

int bundled_evidence(struct bundled *b, struct bundle_evidence *e, const Record *r)
{
	owned(own_free) uint8_t *file = NULL;
	struct evidence_place p;
	size_t len = 0;
	int err = evidence_place(&p, r);

	if (err == -ENODATA)
		return 0;
	if (!err && erasures_state(e->erasures, r->seq) == ERASURE_RESTRICTED) {
		e->restricted++;
		return 0;
	}
	err = err ? err : evidence_read(b->path, &p, &file, &len);
	if (err == -ENODATA || (err && erasures_state(e->erasures, r->seq) == ERASURE_DONE)) {
		e->erased++;
		return 0;
	}
	if (err == -ENOENT) {
		e->gone++;
		return 0;
	}
	err = err ? err : put_file(b, e, r->seq, slice_of(file, len));
	e->sealed += !err;
	return err;
}

struct all {
	struct bundled *b;
	struct bundle_evidence *e;
};

static int look_at(void *arg, struct slice raw, uint64_t index)
{
	const struct all *a = arg;
	Record *r;
	int err;

	(void)index;
	if (!frame_holds(raw, RECORD__BODY_FINDING))
		return 0;
	r = record__unpack(NULL, raw.len, raw.at);
	err = r ? bundled_evidence(a->b, a->e, r) : -EBADMSG;
	if (r)
		record__free_unpacked(r, NULL);
	return err;
}

int bundled_all_evidence(struct bundled *b, struct bundle_evidence *e)
{
	return bundled_each(b, look_at, &(struct all){ b, e });
}
