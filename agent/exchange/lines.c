/* SPDX-License-Identifier: Apache-2.0 */
/* lines.c - JSON messages one behind the other: each is a unit. */
#include "exchange/private.h"

static enum exception line_item(struct exchange *x, const struct ndjson_item *item)
{
	struct slice text = item->text;
	enum exception e;

	switch (item->kind) {
	case NDJSON_BLANK:
		body_advance(x, text.len, 0);
		x->here.line_start = text.at[text.len - 1] == '\n';
		unit_extend(x);
		return EXCEPTION_NONE;
	case NDJSON_DATA:
		if (!x->unit_open) {
			unit_begin(x);
			json_begin(x);
			template_begin(x, text);
		}
		body_advance(x, text.len, text.len);
		x->here.line_start = false;
		return json_data(x, text);
	default:
		e = json_end(x);
		x->report.events++;
		if (e == EXCEPTION_NONE && !stopped(x))
			e = unit_end(x);
		if (e == EXCEPTION_NONE)
			template_end(x, text.at);
		return e;
	}
}

/* No more than may be held is read ahead of what is cleared. */
enum exception lines_data(struct exchange *x, struct slice data)
{
	enum exception e = EXCEPTION_NONE;
	struct ndjson_item item;
	bool more = true;

	while (e == EXCEPTION_NONE && !x->blocked && more) {
		uint64_t held = x->here.wire - x->cleared.wire;
		struct slice in = data;
		enum step step;
		size_t used;

		if (in.len && held >= x->limits.event_max)
			return held_too_large(x);
		if (in.len > x->limits.event_max - held)
			in.len = x->limits.event_max - held;
		if (in.len && !x->unit_open && ndjson_between(&x->lines) && template_read(x, in, &used, &e)) {
			data = slice_from(data, used);
			continue;
		}
		step = ndjson_feed(&x->lines, in, &used, &item);
		if (step == STEP_BAD)
			return unparsable(x, item.why);
		if (step == STEP_ITEM)
			e = line_item(x, &item);
		data = slice_from(data, used);
		more = step == STEP_ITEM;
	}
	template_leave(x);
	return e;
}
