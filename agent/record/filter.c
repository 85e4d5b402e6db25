/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.c - is a record wanted? Asked of its stored bytes: the value was made what it is on the wire, and what is left
 * is comparing. A field that a message does not carry has proto3's default, if the message is there.
 */
#include <errno.h>

#include "base/own.h"
#include "record/filter_terms.h"
#include "record/frame.h"

const char *const severity_names[SEVERITY_COUNT] = {
	[SEVERITY_INFO] = "info", [SEVERITY_LOW] = "low",           [SEVERITY_MEDIUM] = "medium",
	[SEVERITY_HIGH] = "high", [SEVERITY_CRITICAL] = "critical",
};

/* ---- what a record begins with ---- */

bool record_head_read(struct slice raw, struct record_head *out)
{
	struct wire_field f;

	*out = (struct record_head){ 0 };
	/* The stamp is always written so. */
	if (raw.len > STAMP_LEN && raw.at[0] == 0x09 && raw.at[9] == 0x11 && raw.at[18] == 0x19 && raw.at[27] == 0x22 &&
	    raw.at[28] == BOOT_ID_LEN) {
		struct slice numbers = slice_of(raw.at + 1, 8);

		(void)wire_fixed(&numbers, 8, &out->seq);
		numbers = slice_of(raw.at + 10, 8);
		(void)wire_fixed(&numbers, 8, &out->time_unix_nano);
		raw = slice_from(raw, STAMP_LEN);
	}
	while (raw.len) {
		if (!wire_next(&raw, &f))
			return false;
		if (f.id == 1 && f.wire == 1)
			out->seq = f.number;
		else if (f.id == 2 && f.wire == 1)
			out->time_unix_nano = f.number;
		else if (f.id >= RECORD__BODY_FINDING && f.wire == 2) {
			out->kind = f.id;
			out->body = f.bytes;
		}
	}
	return true;
}

/* ---- asking ---- */

static bool same(const struct leaf *l, const struct wire_field *f)
{
	if (l->text)
		return f->wire == 2 && slice_is(f->bytes, l->bytes);
	return f->wire != 2 && f->number == l->number;
}

/* Numbers in one string of bytes, as repeated ones are written. */
static bool in_packed(const struct leaf *l, struct slice in)
{
	uint64_t number;

	while (in.len && (l->width ? wire_fixed(&in, l->width, &number) : wire_varint(&in, &number)))
		if (number == l->number)
			return true;
	return false;
}

static bool in_message(const struct leaf *l, struct slice in, size_t depth)
{
	bool last = depth + 1 == l->depth, seen = false, hit = false;
	struct wire_field f;

	while (wire_next(&in, &f)) {
		if (f.id != l->path[depth])
			continue;
		if (!last) {
			if (f.wire == 2 && in_message(l, f.bytes, depth + 1))
				return true;
			continue;
		}
		hit = l->repeated && !l->text && f.wire == 2 ? in_packed(l, f.bytes) : same(l, &f);
		if (hit && l->repeated)
			return true;
		seen = true;
	}
	return last && !l->repeated && (seen ? hit : l->is_default);
}

static bool term_holds(const struct term *t, const struct record_head *h, struct slice raw)
{
	if (t->type)
		return h->kind < 64 && t->kinds >> h->kind & 1;
	for (size_t i = 0; i < t->count; i++) {
		const struct leaf *l = &t->leaves[i];

		if (l->depth == 1 ? in_message(l, raw, 0) : l->path[0] == h->kind && in_message(l, h->body, 1))
			return true;
	}
	return false;
}

struct asked {
	const struct record_head *h;
	struct slice raw;
};

static bool holds(const struct term *t, const void *arg)
{
	const struct asked *a = arg;

	return term_holds(t, a->h, a->raw);
}

static uint64_t number_of(struct slice in, uint32_t id)
{
	struct wire_field f;
	uint64_t number = 0;

	while (wire_next(&in, &f))
		if (f.id == id && f.wire != 2)
			number = f.number;
	return number;
}

/* How grave a record is: by its kind, or by the value of one field of it. The first row that fits. */
static const struct {
	uint32_t kind, field; /* field 0: whatever it says */
	uint64_t value;
	enum severity is;
} gravity[] = {
	{ RECORD__BODY_FINDING, 6, VERDICT__BLOCKED, SEVERITY_HIGH },
	{ RECORD__BODY_FINDING, 6, VERDICT__REDACTED, SEVERITY_MEDIUM },
	{ RECORD__BODY_FINDING, 6, VERDICT__FLAGGED, SEVERITY_MEDIUM },
	{ RECORD__BODY_FINDING, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__BLOCKED, SEVERITY_HIGH },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__EXCEPTION, SEVERITY_HIGH },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__REDACTED, SEVERITY_MEDIUM },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__FLAGGED, SEVERITY_MEDIUM },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__SHADOWED, SEVERITY_LOW },
	{ RECORD__BODY_RECOVERY, 1, RECOVERY__KIND__TORN, SEVERITY_MEDIUM },
	{ RECORD__BODY_RECOVERY, 1, RECOVERY__KIND__UNPROVEN, SEVERITY_MEDIUM },
	{ RECORD__BODY_RECOVERY, 0, 0, SEVERITY_CRITICAL },
	{ RECORD__BODY_LOSS, 0, 0, SEVERITY_CRITICAL },
	{ RECORD__BODY_BYPASS, 0, 0, SEVERITY_HIGH },
	{ RECORD__BODY_POLICY, 4, true, SEVERITY_HIGH },
	{ RECORD__BODY_POLICY, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_LIFECYCLE, 1, LIFECYCLE__KIND__FAIL_MODE_CHANGED, SEVERITY_HIGH },
	{ RECORD__BODY_LIFECYCLE, 1, LIFECYCLE__KIND__SERVICE_SUSPENDED, SEVERITY_MEDIUM },
	{ RECORD__BODY_LIFECYCLE, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_CLOCK, 0, 0, SEVERITY_MEDIUM },
	{ RECORD__BODY_ACCESS, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_HOLD, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_ERASURE, 0, 0, SEVERITY_MEDIUM },
	{ RECORD__BODY_PRUNE, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_OPINION, 11, OPINION__OUTCOME__SAFE, SEVERITY_INFO },
	{ RECORD__BODY_OPINION, 11, OPINION__OUTCOME__UNSAFE, SEVERITY_LOW },
	{ RECORD__BODY_OPINION, 11, OPINION__OUTCOME__ABANDONED, SEVERITY_LOW },
	{ RECORD__BODY_OPINION, 0, 0, SEVERITY_MEDIUM },
	{ RECORD__BODY_REVIEW, 5, REVIEW__OUTCOME__WRONG, SEVERITY_MEDIUM },
	{ RECORD__BODY_REVIEW, 0, 0, SEVERITY_LOW },
};

static enum severity severity_of(const struct record_head *h)
{
	for (size_t i = 0; i < ARRAY_LEN(gravity); i++)
		if (gravity[i].kind == h->kind &&
		    (!gravity[i].field || number_of(h->body, gravity[i].field) == gravity[i].value))
			return gravity[i].is;
	return SEVERITY_INFO;
}

bool filter_wants(const struct record_filter *f, struct filter_scratch *s, struct slice raw)
{
	struct record_head h;
	struct asked asked = { &h, raw };

	if (!f)
		return true;
	/* What is no record goes on to whoever unpacks it and says so. */
	if (!record_head_read(raw, &h))
		return true;
	if (h.time_unix_nano < f->since || h.time_unix_nano > f->until || !filter_groups(f, holds, &asked))
		return false;
	if (f->least > SEVERITY_INFO || f->most < SEVERITY_CRITICAL) {
		enum severity is = severity_of(&h);

		if (is < f->least || is > f->most)
			return false;
	}
	return !f->text || filter_text_found(f->text, s, &h);
}

bool filter_is_open(const struct record_filter *f)
{
	return !f || (!f->terms_count && !f->text && f->least == SEVERITY_INFO && f->most == SEVERITY_CRITICAL);
}

int filter_scratch_new(struct filter_scratch **out, const struct record_filter *f)
{
	*out = NULL;
	return f && f->text ? filter_text_scratch(out, f->text) : 0;
}
