/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/narrow.h"

#include <errno.h>
#include <stdlib.h>

#include "scan/fold.h"
#include "scan/utf8.h"

#define SAME UINT32_MAX /* reads as it is */
#define NONE 0          /* is left out */

void narrow_free(struct narrow *n)
{
	recent_free(&n->copy);
	recognising_free(&n->recognising);
	free(n->turns);
	*n = (struct narrow){ 0 };
}

static int reserve(struct narrow *n, size_t want)
{
	size_t room = n->room ? n->room : 16;
	struct turn *turns;

	if (want <= n->room)
		return 0;
	while (room < want)
		room *= 2;
	turns = realloc(n->turns, room * sizeof(*turns));
	if (!turns)
		return -ENOMEM;
	n->turns = turns;
	n->room = room;
	return 0;
}

int narrow_copy(const struct recognisers *s, struct narrow *to, const struct narrow *from)
{
	int error;

	if (!from->on) {
		narrow_free(to);
		return 0;
	}
	error = recent_copy(&to->copy, &from->copy);
	if (!error)
		error = recognising_copy(s, &to->recognising, &from->recognising);
	if (!error)
		error = reserve(to, from->count);
	if (error)
		return error;
	if (from->count)
		memcpy(to->turns, from->turns, from->count * sizeof(*to->turns));
	to->count = from->count;
	to->left_out = from->left_out;
	to->on = true;
	return 0;
}

/* ---- characters ---- */

/* Forms of full width that stand in numbers, addresses and keys; the others are the punctuation of Chinese text. */
static bool is_wide(uint32_t cp)
{
	static const char signs[] = "@.-_+";
	uint32_t c = cp - 0xfee0;

	if (cp <= 0xff00 || cp > 0xff5e)
		return false;
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || strchr(signs, (int)c);
}

/* What a character reads as: ASCII, NONE or SAME. Letters keep their case, which the fold does not. */
static uint32_t reads(uint32_t cp)
{
	const uint32_t *seq;
	uint32_t one;
	size_t n;

	if (is_wide(cp))
		return cp - 0xfee0;
	n = fold_point(cp, &seq, &one);
	if (!n)
		return NONE;
	return cp >= 0x80 && n == 1 && FOLD_VALUE(*seq) >= '0' && FOLD_VALUE(*seq) <= '9' ? FOLD_VALUE(*seq) : SAME;
}

/* Eight printable characters of ASCII. */
static bool plain_eight(const uint8_t *p)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return !((x | (x - 0x20 * ones) | (x + ones)) & high);
}

/* The first character from `from` on that does not read as it is; `to` if there is none. All are whole. */
static size_t first_turn(const uint8_t *bytes, size_t from, size_t to)
{
	while (from < to) {
		const uint8_t *p = bytes + from;
		uint32_t cp;
		size_t took;

		if (to - from >= 8 && plain_eight(p)) {
			from += 8;
		} else if (*p >= ' ' && *p < 0x7f) {
			from++;
		} else if (*p >= 0xe4 && *p <= 0xe9) {
			from += 3; /* U+4000 to U+9FFF */
		} else {
			took = utf8_decode(p, to - from, &cp);
			if (reads(cp) != SAME)
				return from;
			from += took;
		}
	}
	return to;
}

/* ---- the copy ---- */

static int add(struct narrow *n, const uint8_t *bytes, size_t len)
{
	/* No places: what is cut has none. */
	static const struct scan_state cut = { .tail_len = 1 };

	return recent_add(&n->copy, &cut, slice_of(bytes, len));
}

static int add_turn(struct narrow *n, const uint8_t *as, size_t len, uint64_t real, size_t width)
{
	int error = reserve(n, n->count + 1);

	if (error)
		return error;
	n->turns[n->count++] = (struct turn){ n->copy.base + n->copy.len, real, (uint8_t)len, (uint8_t)width };
	n->left_out = false;
	return add(n, as, len);
}

/* One character, at `real` of the text. */
static int add_character(struct narrow *n, const uint8_t *p, size_t len, uint32_t cp, uint64_t real)
{
	uint32_t as = reads(cp);
	uint8_t ascii = (uint8_t)as;

	if (as == NONE) {
		n->left_out = true;
		return 0;
	}
	if (as != SAME)
		return add_turn(n, &ascii, 1, real, len);
	return n->left_out ? add_turn(n, p, len, real, len) : add(n, p, len);
}

static int start(struct narrow *n, const struct recognisers *s, const struct recent *r, const struct recognising *g)
{
	int error = recent_copy(&n->copy, r);

	if (!error)
		error = recognising_copy(s, &n->recognising, g);
	if (error)
		return error;
	n->copy.place_count = 0;
	n->copy.len = n->copy.clean = (size_t)(g->seen - n->copy.base);
	n->on = true;
	return 0;
}

int narrow_take(struct narrow *n, const struct recognisers *s, const struct recent *r, const struct recognising *g)
{
	size_t at = (size_t)(g->seen - r->base);
	int error = 0;

	if (!n->on && first_turn(r->bytes, at, r->clean) == r->clean)
		return 0;
	if (!n->on)
		error = start(n, s, r, g);
	while (at < r->clean && !error) {
		size_t took = first_turn(r->bytes, at, r->clean) - at;
		uint32_t cp;

		if (took && !n->left_out) {
			error = add(n, r->bytes + at, took);
		} else {
			took = utf8_decode(r->bytes + at, r->clean - at, &cp);
			error = add_character(n, r->bytes + at, took, cp, r->base + at);
		}
		at += took;
	}
	return error;
}

/* ---- places ---- */

/* The last turn before a place of the copy; SIZE_MAX: there is none. */
static size_t turn_before(const struct narrow *n, uint64_t at)
{
	size_t low = 0, high = n->count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (n->turns[mid].at < at)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? low - 1 : SIZE_MAX;
}

/* Where the character that begins at a place of the copy begins in the text. */
static uint64_t real_start(const struct narrow *n, uint64_t at)
{
	size_t i = turn_before(n, at + 1);

	if (i == SIZE_MAX)
		return at;
	if (n->turns[i].at == at)
		return n->turns[i].real;
	return n->turns[i].real + n->turns[i].width + (at - n->turns[i].at - n->turns[i].len);
}

/* Where the character that ends at a place of the copy ends in the text. */
static uint64_t real_end(const struct narrow *n, uint64_t at)
{
	size_t i = turn_before(n, at);

	return i == SIZE_MAX ? at : n->turns[i].real + n->turns[i].width + (at - n->turns[i].at - n->turns[i].len);
}

/* Whether something in [from, to) of the copy is not what the text has there. */
static bool turned(const struct narrow *n, uint64_t from, uint64_t to)
{
	for (size_t i = turn_before(n, to); i != SIZE_MAX && n->turns[i].at >= from; i--) {
		if (n->turns[i].at > from || n->turns[i].len != n->turns[i].width)
			return true;
		if (!i)
			break;
	}
	return false;
}

/* ---- the search ---- */

struct telling {
	const struct narrow *narrow;
	trail_found *found;
	void *to;
};

static int tell(void *to, const struct recognised *what)
{
	const struct telling *t = to;
	const struct narrow *n = t->narrow;

	if (!turned(n, what->from, what->to))
		return 0;
	return t->found(t->to, &(struct recognised){ what->pattern, real_start(n, what->from), real_end(n, what->to) });
}

int narrow_recognise(struct narrow *n, const struct recognisers *s, bool end, trail_found *found, void *to)
{
	struct telling t = { n, found, to };

	return n->on ? recognisers_feed(s, &n->recognising, &n->copy, end, tell, &t) : 0;
}

uint64_t narrow_needed(const struct narrow *n, const struct recognisers *s)
{
	return n->on ? real_start(n, recognisers_needed(s, &n->recognising, &n->copy)) : UINT64_MAX;
}

uint64_t narrow_hold(const struct narrow *n)
{
	uint64_t first = n->on ? recognisers_hold(&n->recognising) : UINT64_MAX;

	return first == UINT64_MAX ? first : real_start(n, first);
}

void narrow_forget(struct narrow *n, const struct recognisers *s, bool alive)
{
	uint64_t needed;
	size_t old;

	if (!n->on)
		return;
	needed = recognisers_needed(s, &n->recognising, &n->copy);
	recent_forget(&n->copy, needed, UINT64_MAX);
	old = turn_before(n, needed);
	if (old != SIZE_MAX && old + 1 == n->count && !alive && !n->recognising.alive && !n->left_out) {
		narrow_free(n);
	} else if (old != SIZE_MAX && old) {
		memmove(n->turns, n->turns + old, (n->count - old) * sizeof(*n->turns));
		n->count -= old;
	}
}
