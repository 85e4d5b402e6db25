/* SPDX-License-Identifier: Apache-2.0 */
/* evidence_verify.c - is the evidence what its records say? */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"
#include "record/record.h"

struct check {
	const char *dir;
	const struct erasures *erased;
	struct evidence_counts counts;
	void (*fault)(void *arg, enum fault what, const char *text);
	void *arg;
};

static void tell(struct check *c, enum fault what, uint64_t seq, const char *text)
{
	char line[160];

	snprintf(line, sizeof(line), "evidence of record %" PRIu64 ": %s", seq, text);
	c->counts.faults++;
	c->fault(c->arg, what, line);
}

/* What is told of a reading that gave `got`. */
static void judge(struct check *c, uint64_t seq, int got)
{
	switch (erasures_state(c->erased, seq)) {
	case ERASURE_DONE:
		c->counts.erased++;
		if (!got)
			tell(c, FAULT_TAMPERED, seq, "it was erased, and is there");
		else if (got == -EBADMSG)
			tell(c, FAULT_TAMPERED, seq, "what is left is not what was written");
		return;
	case ERASURE_RESTRICTED:
		c->counts.restricted++;
		break;
	default:
		break;
	}
	if (!got)
		c->counts.kept++;
	else if (got == -ENODATA)
		tell(c, FAULT_TAMPERED, seq, "its key was erased, and no Erasure says so");
	else if (got == -EBADMSG)
		tell(c, FAULT_TAMPERED, seq, "it is not what was written");
	else if (got == -ENOENT)
		tell(c, FAULT_MISSING, seq, "its pack is gone");
}

static int look(void *arg, const Record *r)
{
	struct check *c = arg;
	owned(own_free) uint8_t *file = NULL;
	struct evidence_place p;
	size_t len;
	int err;

	if (r->finding->evidence && r->finding->evidence->state == EVIDENCE__STATE__LOST)
		c->counts.lost++;
	err = evidence_place(&p, r);
	if (err == -ENODATA)
		return 0;
	err = err ? err : evidence_read(c->dir, &p, &file, &len);
	if (err && err != -ENODATA && err != -EBADMSG && err != -ENOENT)
		return err;
	judge(c, r->seq, err);
	return 0;
}

int evidence_verify(struct evidence_counts *out, const char *dir, const char *control,
                    void (*fault)(void *arg, enum fault what, const char *text), void *arg)
{
	owned(erasures_close) struct erasures *erased = NULL;
	struct check c = { .dir = dir, .fault = fault, .arg = arg };
	int err = erasures_open(&erased, control);

	c.erased = erased;
	/* A damaged record is told by who verifies the log. */
	err = err ? err : evidence_each(dir, 0, UINT64_MAX, look, &c);
	if (!err)
		*out = c.counts;
	return err;
}
