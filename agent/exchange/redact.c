/* SPDX-License-Identifier: Apache-2.0 */
/* redact.c - hits of rules that redact become masks, and masks are written when what they hide is released. */
#include "exchange/redact.h"

#include <stdlib.h>

static const char cannot[] = "a match that cannot be masked";

static void block(struct exchange *x, const struct rule *rule)
{
	if (!x->blocked) {
		x->blocked = rule;
		x->report.detail = cannot;
	}
	for (size_t i = 0; i < x->finding_count; i++)
		if (x->findings[i].rule == rule)
			x->findings[i].action = ACTION_BLOCK;
}

bool redact_hit(struct exchange *x, const struct reading *reading, const struct sight *hit, const struct rule *rule)
{
	struct redact *r = x->redact;
	uint64_t base = reading->way == READ_ALONE && r ? r->alone_base : 0;
	struct pending new = { .rule = rule, .start = base + hit->start, .end = base + hit->end, .way = reading->way };

	if (r && reading->text && !r->pending)
		r->pending = calloc(PENDING_MAX, sizeof(*r->pending));
	if (!r || !reading->text || !r->pending) {
		if (!x->blocked)
			x->report.detail = cannot;
		return false;
	}
	new.text = reading->text - 1;
	/* What overlaps is masked as one; hits come in order of their end. */
	for (size_t i = r->pending_count; i-- > 0;) {
		struct pending *p = &r->pending[i];

		if (p->text != new.text || p->way != new.way)
			continue;
		if (new.start >= p->end)
			break;
		p->start = new.start < p->start ? new.start : p->start;
		p->end = new.end > p->end ? new.end : p->end;
		return true;
	}
	if (r->pending_count == PENDING_MAX)
		redact_settle(x);
	r->pending[r->pending_count++] = new;
	return true;
}

/* Those of one text stand side by side, and those of one reading in the order of the text. */
static int by_text(const void *a, const void *b)
{
	const struct pending *p = a, *q = b;

	if (p->text != q->text)
		return p->text < q->text ? -1 : 1;
	if (p->way != q->way)
		return p->way < q->way ? -1 : 1;
	return p->start != q->start ? (p->start < q->start ? -1 : 1) : 0;
}

void redact_settle(struct exchange *x)
{
	struct redact *r = x->redact;
	size_t n;

	if (!r->pending_count)
		return;
	qsort(r->pending, r->pending_count, sizeof(*r->pending), by_text);
	for (size_t i = 0; i < r->pending_count; i += n) {
		n = 1;
		while (i + n < r->pending_count && r->pending[i + n].text == r->pending[i].text)
			n++;
		track_read(x, r->pending[i].text, &r->pending[i], n);
		for (size_t k = i; k < i + n; k++)
			if (r->pending[k].failed)
				block(x, r->pending[k].rule);
	}
	r->pending_count = 0;
}

/* ---- masks ---- */

bool redact_write(struct redact *r, uint64_t at, uint8_t byte)
{
	struct mask *last = r->mask_count ? &r->masks[r->mask_count - 1] : NULL;

	if (last && last->at + last->len == at && last->len < sizeof(last->bytes)) {
		last->bytes[last->len++] = byte;
		return true;
	}
	if (r->mask_count == MASKS_MAX)
		return false;
	if (r->mask_count == r->mask_room) {
		size_t room = r->mask_room ? 2 * r->mask_room : 16;
		struct mask *more = realloc(r->masks, room * sizeof(*more));

		if (!more)
			return false;
		r->masks = more;
		r->mask_room = room;
	}
	r->masks[r->mask_count++] = (struct mask){ .at = at, .len = 1, .bytes = { byte } };
	return true;
}

static int by_place(const void *a, const void *b)
{
	const struct mask *p = a, *q = b;

	return p->at != q->at ? (p->at < q->at ? -1 : 1) : 0;
}

void redact_apply(struct exchange *x, struct lane *l)
{
	struct redact *r = x->redact;
	uint64_t cleared = redact_cleared(x), behind = 0;
	size_t left = 0, n;

	if (!r->mask_count)
		return;
	/* The same place may have been masked for several hits, with the same bytes: it is counted once. */
	qsort(r->masks, r->mask_count, sizeof(*r->masks), by_place);
	for (size_t i = 0; i < r->mask_count; i++) {
		struct mask *m = &r->masks[i];

		if (m->at >= cleared) {
			r->masks[left++] = *m;
			continue;
		}
		n = cleared - m->at < m->len ? (size_t)(cleared - m->at) : m->len;
		for (size_t k = 0; k < n; k++) {
			l->buf.data[l->buf.start + (m->at + k - l->base)] = m->bytes[k];
			r->masked += m->at + k >= behind;
		}
		behind = m->at + n > behind ? m->at + n : behind;
		/* Part of it is read on: it stays as it is. */
		if (n < m->len) {
			struct mask rest = { .at = cleared, .len = (uint8_t)(m->len - n) };

			memcpy(rest.bytes, m->bytes + n, rest.len);
			r->masks[left++] = rest;
		}
	}
	r->mask_count = left;
}

uint64_t redact_masked(const struct exchange *x)
{
	return x->redact ? x->redact->masked : 0;
}
