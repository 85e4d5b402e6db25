/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/recent.h"

#include <errno.h>
#include <stdlib.h>

#include "scan/utf8.h"

#define PLACE_BYTES 64 /* between two places, at least */

void recent_free(struct recent *r)
{
	free(r->bytes);
	free(r->places);
	*r = (struct recent){ 0 };
}

static int reserve(void **at, size_t *room, size_t want, size_t size)
{
	size_t more = *room ? *room : 64 / size + 4;
	void *p;

	if (want <= *room)
		return 0;
	while (more < want)
		more *= 2;
	p = realloc(*at, more * size);
	if (!p)
		return -ENOMEM;
	*at = p;
	*room = more;
	return 0;
}

static int reserve_bytes(struct recent *r, size_t more)
{
	if (r->len + more > r->room && r->head) {
		memmove(r->bytes, r->bytes + r->head, r->len - r->head);
		r->base += r->head;
		r->len -= r->head;
		r->clean -= r->head;
		r->head = 0;
	}
	return reserve((void **)&r->bytes, &r->room, r->len + more, 1);
}

int recent_copy(struct recent *to, const struct recent *from)
{
	size_t len = from->len - from->head;
	int error;

	to->len = to->head = to->place_count = 0;
	error = reserve_bytes(to, len);
	if (!error)
		error = reserve((void **)&to->places, &to->place_room, from->place_count, sizeof(*to->places));
	if (error) {
		recent_free(to);
		return error;
	}
	if (len)
		memcpy(to->bytes, from->bytes + from->head, len);
	if (from->place_count)
		memcpy(to->places, from->places, from->place_count * sizeof(*to->places));
	to->len = len;
	to->clean = from->clean - from->head;
	to->base = from->base + from->head;
	to->start = from->start;
	to->place_count = from->place_count;
	return 0;
}

/* A character of n bytes that folds to nothing, as U+FFFD does, which stands for it in the text. */
static void put_odd(uint8_t *at, size_t n)
{
	static const char *const odd[] = { "\x1a", "\xc2\xad", "\xef\xbf\xbd" };

	memcpy(at, odd[n - 1], n);
}

static bool all_ascii(const uint8_t *p)
{
	uint64_t eight;

	memcpy(&eight, p, sizeof(eight));
	return !(eight & 0x8080808080808080u);
}

/* Most characters that take three bytes; the others of them are left to who knows all. */
static bool plain_three(const uint8_t *p)
{
	return p[0] > 0xe0 && p[0] < 0xed && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80;
}

static void clean(struct recent *r)
{
	while (r->clean < r->len) {
		uint8_t *p = r->bytes + r->clean;
		size_t took = 1;
		uint32_t cp;

		if (*p < 0x80) {
			took = r->len - r->clean >= 8 && all_ascii(p) ? 8 : 1;
		} else if (r->len - r->clean < 3 || !plain_three(p)) {
			took = utf8_decode(p, r->len - r->clean, &cp);
			if (!took)
				return;
			if (cp == UTF8_REPLACEMENT)
				put_odd(p, took);
		} else {
			took = 3;
		}
		r->clean += took;
	}
}

int recent_add(struct recent *r, const struct scan_state *before, struct slice bytes)
{
	uint64_t position = r->base + r->len;
	int error = reserve_bytes(r, bytes.len);

	if (error)
		return error;
	/* Where a character is cut, places are not between two. */
	if (!before->tail_len && (!r->place_count || position - r->places[r->place_count - 1].byte >= PLACE_BYTES)) {
		error = reserve((void **)&r->places, &r->place_room, r->place_count + 1, sizeof(*r->places));
		if (error)
			return error;
		r->places[r->place_count++] = (struct recent_place){ position, *before };
	}
	memcpy(r->bytes + r->len, bytes.at, bytes.len);
	r->len += bytes.len;
	clean(r);
	return 0;
}

void recent_end(struct recent *r)
{
	if (r->clean < r->len)
		put_odd(r->bytes + r->clean, r->len - r->clean);
	r->clean = r->len;
}

void recent_restart(struct recent *r)
{
	r->base = r->start = r->base + r->len;
	r->head = r->len = r->clean = r->place_count = 0;
}

void recent_again(struct recent *r)
{
	r->base = r->start = 0;
	r->head = r->len = r->clean = r->place_count = 0;
}

void recent_forget(struct recent *r, uint64_t byte, uint64_t symbol)
{
	size_t gone = 0;

	while (gone + 1 < r->place_count && r->places[gone + 1].byte <= byte &&
	       r->places[gone + 1].state.symbols <= symbol)
		gone++;
	if (gone) {
		memmove(r->places, r->places + gone, (r->place_count - gone) * sizeof(*r->places));
		r->place_count -= gone;
	}
	if (r->place_count && r->places[0].byte < byte)
		byte = r->places[0].byte;
	if (byte > r->base + r->head)
		r->head = byte - r->base < r->clean ? (size_t)(byte - r->base) : r->clean;
}

/* The last place that has at most so many bytes and symbols before it. */
static const struct recent_place *place_before(const struct recent *r, uint64_t byte, uint64_t symbol)
{
	size_t i = r->place_count - 1;

	while (i && (r->places[i].byte > byte || r->places[i].state.symbols > symbol))
		i--;
	return &r->places[i];
}

void recent_locate(const struct recent *r, const struct scanner *s, uint64_t start, uint64_t end, uint64_t *from,
                   uint64_t *to)
{
	const struct recent_place *p = place_before(r, UINT64_MAX, start);
	struct slice bytes = { recent_at(r, p->byte), (size_t)(r->base + r->len - p->byte) };
	size_t at, behind;

	scan_locate(s, p->state, bytes, start, end, &at, &behind);
	*from = p->byte + at;
	*to = p->byte + behind;
}

uint64_t recent_symbols(const struct recent *r, const struct scanner *s, uint64_t position)
{
	const struct recent_place *p = place_before(r, position, UINT64_MAX);
	struct slice bytes = { recent_at(r, p->byte), (size_t)(position - p->byte) };
	struct scan_state state = p->state;
	struct scan_hit hits[16];
	size_t used;

	for (; bytes.len; bytes = slice_from(bytes, used))
		scan_feed(s, &state, bytes, &used, hits, 16);
	return state.symbols;
}

uint64_t recent_symbols_least(const struct recent *r, uint64_t position)
{
	return place_before(r, position, UINT64_MAX)->state.symbols;
}

uint64_t recent_characters(const struct recent *r, uint64_t position)
{
	uint64_t n = 0;

	for (size_t i = (size_t)(position - r->base); i < r->clean; i++)
		n += (r->bytes[i] & 0xc0) != 0x80;
	return n;
}
