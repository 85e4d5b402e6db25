/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "scan/narrow.h"

struct trail {
	struct recent recent;
	struct recognising recognising;
	struct narrow narrow;
};

int trail_new(struct trail **out, uint64_t position)
{
	struct trail *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->recent.base = t->recent.start = t->recognising.seen = position;
	*out = t;
	return 0;
}

void trail_free(struct trail **at)
{
	if (!*at)
		return;
	recent_free(&(*at)->recent);
	recognising_free(&(*at)->recognising);
	narrow_free(&(*at)->narrow);
	free(*at);
	*at = NULL;
}

int trail_copy(const struct recognisers *s, struct trail *to, const struct trail *from)
{
	int error = recent_copy(&to->recent, &from->recent);

	if (!error && s)
		error = recognising_copy(s, &to->recognising, &from->recognising);
	return error || !s ? error : narrow_copy(s, &to->narrow, &from->narrow);
}

int trail_add(struct trail *t, const struct scan_state *before, struct slice bytes)
{
	return recent_add(&t->recent, before, bytes);
}

void trail_end(struct trail *t)
{
	recent_end(&t->recent);
}

void trail_restart(struct trail *t)
{
	recent_restart(&t->recent);
	recognising_again(&t->recognising, t->recent.base);
	narrow_free(&t->narrow);
}

void trail_again(struct trail *t)
{
	recent_again(&t->recent);
	recognising_again(&t->recognising, 0);
	narrow_free(&t->narrow);
}

int trail_recognise(struct trail *t, const struct recognisers *s, bool end, trail_found *found, void *to)
{
	int error = narrow_take(&t->narrow, s, &t->recent, &t->recognising);

	if (!error)
		error = recognisers_feed(s, &t->recognising, &t->recent, end, found, to);
	return error ? error : narrow_recognise(&t->narrow, s, end, found, to);
}

void trail_forget(struct trail *t, const struct recognisers *s, uint64_t symbol, size_t keep)
{
	uint64_t all = t->recent.base + t->recent.clean, byte = all;

	if (s) {
		uint64_t first = narrow_needed(&t->narrow, s);

		byte = recognisers_needed(s, &t->recognising, &t->recent);
		byte = first < byte ? first : byte;
		narrow_forget(&t->narrow, s, t->recognising.alive);
	}
	if (keep && (all < keep || byte > all - keep))
		byte = all < keep ? 0 : all - keep;
	recent_forget(&t->recent, byte, symbol);
}

uint64_t trail_hold(const struct trail *t, const struct recognisers *s)
{
	uint64_t first = recognisers_hold(s, &t->recognising), second = narrow_hold(&t->narrow, s);

	return second < first ? second : first;
}

void trail_locate(const struct trail *t, const struct scanner *s, uint64_t start, uint64_t end, uint64_t *from,
                  uint64_t *to)
{
	recent_locate(&t->recent, s, start, end, from, to);
}

uint64_t trail_symbols(const struct trail *t, const struct scanner *s, uint64_t position)
{
	return recent_symbols(&t->recent, s, position);
}

uint64_t trail_symbols_least(const struct trail *t, uint64_t position)
{
	return recent_symbols_least(&t->recent, position);
}

uint64_t trail_characters(const struct trail *t, uint64_t position)
{
	return recent_characters(&t->recent, position);
}

struct slice trail_recent(const struct trail *t, uint64_t from, uint64_t *at)
{
	const struct recent *r = &t->recent;
	uint64_t first = r->base + r->head, end = r->base + r->clean;

	if (from < first)
		from = first;
	if (from >= end)
		return SLICE("");
	/* What was forgotten may end inside a character. */
	while (from < end && (*recent_at(r, from) & 0xc0) == 0x80)
		from++;
	*at = from;
	return slice_of(recent_at(r, from), (size_t)(end - from));
}
