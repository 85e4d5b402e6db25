/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell.c - the track of a text is read again, and what is to be hidden is hidden.
 *
 * The same decoders read as the first time, a byte at a time, and remember which bytes of the lane each of their
 * characters came from. A cell is the least piece that is whole for all of them: a character, or an escape of the JSON
 * in the text. Its mask:
 *
 *   *            for each byte that stands for itself, and for an escape like \n each of its two
 *   U+FF0A       for a character of three bytes, so that there is one mask a character there, too
 *   \u002a       for \uXXXX: only the digits are written
 *
 * An escape of the JSON in a text is hidden as a whole, and leaves what JSON may have there.
 */
#include "exchange/redact.h"

#define PIECES_MAX 64
#define RAW_MAX    12 /* a surrogate pair */

/* What one item of the decoder came from. */
struct piece {
	uint64_t raw[RAW_MAX];
	uint8_t raw_len;
	uint8_t first; /* byte that it stands for, or the first of them */
	bool hit;
	uint8_t write; /* in its place */
};

struct eye {
	struct exchange *x;
	struct pending *hits; /* of this text */
	size_t hit_count;
	size_t next[READINGS], ends[READINGS]; /* of each reading: its first hit that is not behind, behind its last */
	uint64_t last[READINGS];               /* and the symbol behind them */
	bool has_twin;
	struct json json;
	uint64_t raw[2 * RAW_MAX]; /* bytes that the decoder has and that gave nothing yet */
	size_t raw_len;
	struct scan_state plain, twin;
	struct unescape escapes;
	uint8_t waiting[sizeof(((struct unescape *)0)->bytes)]; /* of each byte in escapes: its piece */
	uint64_t alone;                                         /* READ_ALONE counts that much more than READ_PLAIN */
	uint64_t plain_from, twin_from;                         /* symbols before the character under way */
	size_t plain_piece, twin_piece;                         /* its first piece */
	struct piece pieces[PIECES_MAX];
	size_t count;
	bool broken;
};

static bool between(const struct eye *e)
{
	return !e->raw_len && !e->plain.tail_len && !e->twin.tail_len && !e->escapes.len;
}

/* Does a hit cover symbols [from, to) of a reading? A character of no symbol is covered inside of a hit. */
static bool covered(struct eye *e, uint8_t way, uint64_t from, uint64_t to)
{
	size_t *i = &e->next[way];

	while (*i < e->ends[way] && e->hits[*i].end <= from)
		++*i;
	return *i < e->ends[way] && e->hits[*i].start < (from == to ? from : to);
}

static void mark(struct eye *e, size_t first, size_t last)
{
	for (size_t i = first; i <= last; i++)
		e->pieces[i].hit = true;
}

/* Counts symbols only. */
static void count_symbols(const struct eye *e, struct scan_state *state, struct slice bytes)
{
	struct scan_hit hits[8];
	size_t used;

	while (bytes.len) {
		scan_feed(ruleset_scanner(e->x->rules), state, bytes, &used, hits, 8);
		bytes = slice_from(bytes, used);
	}
}

/* ---- the reading without escapes ---- */

static void twin_bytes(struct eye *e, struct slice bytes, size_t first, size_t last)
{
	if (!e->twin.tail_len) {
		e->twin_piece = first;
		e->twin_from = e->twin.symbols;
	}
	count_symbols(e, &e->twin, bytes);
	if (!e->twin.tail_len && covered(e, READ_TWIN, e->twin_from, e->twin.symbols))
		mark(e, e->twin_piece, last);
}

static void twin_byte(struct eye *e, uint8_t c, size_t piece)
{
	struct unescape before = e->escapes;
	uint8_t out[UNESCAPE_MAX];
	size_t n, done;

	e->waiting[before.len] = (uint8_t)piece;
	before.bytes[before.len++] = c;
	n = unescape_byte(&e->escapes, c, out);
	done = (size_t)before.len - e->escapes.len;
	if (!n)
		return;
	if (slice_is(slice_of(out, n), slice_of(before.bytes, done)))
		for (size_t i = 0; i < n; i++)
			twin_bytes(e, slice_of(out + i, 1), e->waiting[i], e->waiting[i]);
	else
		twin_bytes(e, slice_of(out, n), e->waiting[0], e->waiting[done - 1]);
	memmove(e->waiting, e->waiting + done, e->escapes.len);
}

/* ---- masks ---- */

static bool is_hex(uint8_t c)
{
	c = ascii_lower(c);
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Bytes of the \uXXXX that the pieces from i on stand for: 6, or 0 if they stand for none. */
static size_t unit_at(const struct eye *e, size_t i)
{
	if (i + 6 > e->count || e->pieces[i].first != '\\' || e->pieces[i + 1].first != 'u')
		return 0;
	for (size_t k = i + 2; k < i + 6; k++)
		if (!is_hex(e->pieces[k].first))
			return 0;
	return 6;
}

static bool is_surrogate(const struct eye *e, size_t i, const char *half)
{
	return ascii_lower(e->pieces[i + 2].first) == 'd' && strchr(half, ascii_lower(e->pieces[i + 3].first));
}

/* Pieces of the escape in the text that begins with piece i; 1: none does. */
static size_t escape_at(const struct eye *e, size_t i)
{
	if (e->pieces[i].first != '\\' || i + 1 == e->count)
		return 1;
	if (unit_at(e, i))
		return unit_at(e, i + 6) && is_surrogate(e, i, "89ab") && is_surrogate(e, i + 6, "cdef") ? 12 : 6;
	return unescape_pair(e->pieces[i + 1].first) ? 2 : 1;
}

/* An escape in the text is hidden as a whole. */
static void spread(struct eye *e)
{
	size_t len;

	for (size_t i = 0; i < e->count; i += len) {
		bool hit = false;

		len = escape_at(e, i);
		for (size_t k = i; k < i + len; k++)
			hit |= e->pieces[k].hit;
		if (len == 1 || !hit)
			continue;
		mark(e, i, i + len - 1);
		for (size_t k = i; k < i + len && len > 2; k++) {
			e->pieces[k].write = (uint8_t) "\\u002a"[(k - i) % 6];
			e->pieces[k].hit = (k - i) % 6 > 1;
		}
	}
}

/* The \uXXXX in the lane, or the byte. */
static bool write_piece(struct redact *r, const struct piece *p)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t digits[4] = { '0', '0', (uint8_t)hex[p->write >> 4], (uint8_t)hex[p->write & 15] };
	bool fine = true;

	for (size_t i = 0; i < p->raw_len && fine; i++) {
		if (p->raw_len < 6)
			fine = redact_write(r, p->raw[i], p->write);
		else if (i % 6 > 1)
			fine = redact_write(r, p->raw[i], digits[i % 6 - 2]);
	}
	return fine;
}

static bool is_wide(const struct eye *e, size_t i)
{
	if (i + 3 > e->count || (e->pieces[i].first & 0xf0) != 0xe0)
		return false;
	for (size_t k = i; k < i + 3; k++)
		if (!e->pieces[k].hit || e->pieces[k].raw_len != 1 || (k > i && (e->pieces[k].first & 0xc0) != 0x80))
			return false;
	return true;
}

static bool write_cell(struct eye *e)
{
	static const uint8_t wide[3] = { 0xef, 0xbc, 0x8a }; /* U+FF0A, full-width asterisk */
	struct redact *r = e->x->redact;

	spread(e);
	for (size_t i = 0; i < e->count; i++) {
		if (is_wide(e, i)) {
			for (size_t k = 0; k < 3; k++)
				if (!redact_write(r, e->pieces[i + k].raw[0], wide[k]))
					return false;
			i += 2;
		} else if (e->pieces[i].hit && !write_piece(r, &e->pieces[i])) {
			return false;
		}
	}
	return true;
}

static void cell_end(struct eye *e)
{
	bool hit = false;

	for (size_t i = 0; i < e->count; i++)
		hit |= e->pieces[i].hit;
	if (hit && !write_cell(e))
		e->broken = true;
	e->count = 0;
}

/* ---- the first reading ---- */

/* `text` came from the first `raw` bytes that the decoder has. */
static void piece(struct eye *e, struct slice text, size_t raw)
{
	struct piece *p = &e->pieces[e->count];
	size_t at = e->count;

	if (at == PIECES_MAX || raw > RAW_MAX || raw > e->raw_len) {
		e->broken = true;
		return;
	}
	*p = (struct piece){ .raw_len = (uint8_t)raw, .first = text.at[0], .write = '*' };
	memcpy(p->raw, e->raw, raw * sizeof(*e->raw));
	e->raw_len -= raw;
	memmove(e->raw, e->raw + raw, e->raw_len * sizeof(*e->raw));
	e->count++;
	if (!e->plain.tail_len) {
		e->plain_piece = at;
		e->plain_from = e->plain.symbols;
	}
	count_symbols(e, &e->plain, text);
	if (!e->plain.tail_len) {
		uint64_t from = e->plain_from, to = e->plain.symbols;

		if (covered(e, READ_PLAIN, from, to) || covered(e, READ_ALONE, from + e->alone, to + e->alone))
			mark(e, e->plain_piece, at);
	}
	for (size_t i = 0; i < text.len && e->has_twin; i++)
		twin_byte(e, text.at[i], at);
	if (between(e))
		cell_end(e);
}

static void json_byte(struct eye *e, uint8_t c)
{
	struct slice in = slice_of(&c, 1);
	struct json_item item;
	enum step step;
	size_t used;

	do {
		step = json_feed(&e->json, in, &used, &item);
		in = slice_from(in, used);
		if (step == STEP_ITEM && item.text.len)
			piece(e, item.text, item.raw);
	} while (step == STEP_ITEM && !e->broken);
	e->broken |= step == STEP_BAD;
}

static void string_begins(struct eye *e)
{
	struct json_item item;
	size_t used;

	json_start(&e->json);
	json_feed(&e->json, SLICE("\""), &used, &item);
}

static void part_begins(struct eye *e, const struct part *p)
{
	if (!p->cut) {
		e->count = e->raw_len = 0;
		e->escapes.len = 0;
		e->plain = (struct scan_state){ .symbols = p->symbols[READ_PLAIN] };
		e->twin = (struct scan_state){ .symbols = p->symbols[READ_TWIN] };
		e->alone = p->symbols[READ_ALONE] - p->symbols[READ_PLAIN];
	}
	if (p->begins)
		e->alone = p->symbols[READ_ALONE] - p->symbols[READ_PLAIN];
	if (p->json && (!p->cut || p->begins))
		string_begins(e);
}

/* Hits that begin before symbol counts `from`, end behind `to`, or lie on both sides of something lost, have failed. */
static void fail(struct eye *e, const uint64_t from[READINGS], const uint64_t to[READINGS])
{
	for (size_t i = 0; i < e->hit_count; i++) {
		struct pending *h = &e->hits[i];

		h->failed |= h->start < to[h->way] && h->end > from[h->way];
		h->failed |= from[h->way] == to[h->way] && h->start < from[h->way] && h->end > from[h->way];
	}
}

static void counts(const struct eye *e, uint64_t at[READINGS])
{
	at[READ_PLAIN] = e->plain.symbols;
	at[READ_TWIN] = e->has_twin ? e->twin.symbols : e->plain.symbols;
	at[READ_ALONE] = e->plain.symbols + e->alone;
}

static bool all_behind(const struct eye *e)
{
	uint64_t at[READINGS];

	if (e->count || !between(e))
		return false;
	counts(e, at);
	return e->last[0] <= at[0] && e->last[1] <= at[1] && e->last[2] <= at[2];
}

/* The byte of the lane, -1 if it is not there any more. */
static int byte_at(const struct lane *l, uint64_t at)
{
	struct slice all = buf_slice(&l->buf);

	return at < l->base || at - l->base >= all.len ? -1 : all.at[at - l->base];
}

static void read_part(struct eye *e, struct track *t, uint32_t i, const uint64_t from[READINGS])
{
	struct redact *r = e->x->redact;
	struct part *p = &t->parts[i];
	uint32_t keep = 0; /* bytes of the part that nobody needs any more */
	struct part behind = *p;

	part_begins(e, p);
	for (uint32_t k = 0; k < p->len && !e->broken && !all_behind(e); k++) {
		int c = byte_at(r->lane, p->at + k);

		if (c < 0 || e->raw_len == 2 * RAW_MAX) {
			e->broken = true;
			return;
		}
		e->raw[e->raw_len++] = p->at + k;
		if (p->json)
			json_byte(e, (uint8_t)c);
		else
			piece(e, slice_of(&(uint8_t){ (uint8_t)c }, 1), 1);
		if (!e->count && between(e)) {
			uint64_t at[READINGS];

			counts(e, at);
			if (at[0] > from[0] || at[1] > from[1] || at[2] > from[2])
				continue;
			keep = k + 1;
			memcpy(behind.symbols, at, sizeof(at));
		}
	}
	if (!keep || keep == p->len)
		return;
	/* The next reading begins there. */
	behind.at += keep;
	behind.len -= keep;
	behind.cut = false;
	behind.begins = false;
	*p = behind;
	track_drop(r, t, i);
}

void track_read(struct exchange *x, size_t text, struct pending *hits, size_t count)
{
	static const uint64_t none[READINGS] = {}, all[READINGS] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
	struct redact *r = x->redact;
	struct track nothing = {}, *t = text < r->track_count ? &r->tracks[text] : &nothing;
	struct eye e = { .x = x, .hits = hits, .hit_count = count, .has_twin = x->texts[text].twin };
	uint64_t from[READINGS], at[READINGS];
	uint64_t cleared = redact_cleared(x);
	uint32_t i = t->first;

	for (size_t k = 0; k < count; k++) {
		uint8_t way = hits[k].way;

		e.next[way] = e.ends[way] ? e.next[way] : k;
		e.ends[way] = k + 1;
		e.last[way] = hits[k].end > e.last[way] ? hits[k].end : e.last[way];
	}
	/* Nothing can be read from the middle of a character on, nor what was released. */
	while (i < t->end && (t->parts[i].cut || t->parts[i].lost || t->parts[i].at < cleared))
		i++;
	if (i == t->end) {
		fail(&e, none, all);
		return;
	}
	fail(&e, none, t->parts[i].symbols);
	track_needs(x, text, from);
	for (; i < t->end && !e.broken && !all_behind(&e); i++) {
		const struct part *p = &t->parts[i];

		if (p->lost) {
			/* What follows may begin in the middle of what was lost. */
			while (i + 1 < t->end && (t->parts[i + 1].cut || t->parts[i + 1].lost))
				i++;
			fail(&e, p->symbols, i + 1 < t->end ? t->parts[i + 1].symbols : all);
			e.count = e.raw_len = 0;
			e.escapes.len = 0;
			e.plain.tail_len = e.twin.tail_len = 0;
			continue;
		}
		read_part(&e, t, i, from);
	}
	/* What was not reached. */
	counts(&e, at);
	fail(&e, e.broken ? none : at, all);
}
