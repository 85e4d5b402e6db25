/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encoded.c - an answer whose content is encoded: what of its bytes may go out when their text is cleared.
 *
 * Texts are read as they would be without the encoding, and so are the points of the exchange: their `wire` counts
 * content as it reads. Beside it runs the place in the bytes that the server sent. A byte goes out when all that can be
 * read of the bytes up to it is cleared, so it moves on between units only, and stays where a decoder has read nothing
 * yet of a block that others could read in part.
 *
 * A byte brings some letters, and an event that comes by letters is read the long way (template.c). So of a stream of
 * events the text waits within a call until its event is over. It never waits beyond: at the end of an event the place
 * in the server's bytes must be the one where it ended, as if each letter had been read when it came.
 */
#include "exchange/private.h"

#include <stdlib.h>

#define GATHER 4096

/* Text of an event under way, decoded in this call and not read yet. There is none between two calls. */
struct gathered {
	size_t len;
	bool at_edge; /* a line break in front of all may end an event */
	uint8_t bytes[GATHER];
};

/* The bytes read so far hold no text but what is in front of x->here. From a seam on they wait for text: what goes out
 * behind it could not be gone on from. */
static void settle(struct exchange *x)
{
	struct seam seam = decoder_seam(x->decoder);
	bool leaves = x->here.seam.kind != SEAM_NONE && seam.kind == SEAM_NONE && decoder_quiet(x->decoder) &&
	              !decoder_complete(x->decoder);

	if (!decoder_settled(x->decoder) || leaves)
		return;
	x->here.packed = x->raw.packed;
	x->here.framed = x->raw.framed;
	x->here.left = x->raw.left;
	x->here.in_chunk = x->raw.in_chunk;
	x->here.seam = seam;
}

enum exception encoded_begin(struct exchange *x, enum coding coding)
{
	if (decoder_new(&x->decoder, coding))
		return EXCEPTION_MEMORY;
	if (x->kind == BODY_EVENTS) {
		x->gathered = calloc(1, sizeof(*x->gathered));
		if (!x->gathered)
			return EXCEPTION_MEMORY;
		x->gathered->at_edge = true;
	}
	x->raw = x->here;
	x->raw.packed = x->here.wire;
	x->raw.framed = x->here.structural;
	settle(x);
	return EXCEPTION_NONE;
}

size_t encoded_memory(const struct exchange *x)
{
	return (x->decoder ? decoder_memory(x->decoder) : 0) + (x->gathered ? sizeof(*x->gathered) : 0);
}

void encoded_framing(struct exchange *x, size_t n)
{
	x->raw.packed += n;
	x->raw.framed += n;
	settle(x);
}

static enum exception refused(struct exchange *x)
{
	static const enum exception names[] = {
		[DECODER_CORRUPT] = EXCEPTION_ENCODING_MALFORMED,
		[DECODER_BOMB] = EXCEPTION_ENCODING_BOMB,
		[DECODER_MEMORY] = EXCEPTION_MEMORY,
	};

	return names[decoder_fault(x->decoder, &x->report.detail)];
}

/* Bytes that wait in the lane are bounded whether or not there is text in them. */
static enum exception room(const struct exchange *x)
{
	if (!x->report.streamed)
		return x->raw.packed < x->limits.body_max + HTTP1_HEAD_MAX ? EXCEPTION_NONE : EXCEPTION_BODY_TOO_LARGE;
	return x->raw.packed - point_wire(&x->cleared) < x->limits.event_max ? EXCEPTION_NONE : held_too_large(x);
}

/* ---- events of decoded text ---- */

/* May a line break behind this byte end an event? Behind another one, and behind the mark of the byte order. */
static bool is_edge(uint8_t c)
{
	return c == '\n' || c == '\r' || c == 0xbf;
}

/* Reads the first n bytes of what was gathered. */
static enum exception read_gathered(struct exchange *x, size_t n)
{
	struct gathered *g = x->gathered;
	enum exception e;

	if (!g || !n)
		return EXCEPTION_NONE;
	e = body_data(x, slice_of(g->bytes, n));
	g->at_edge = is_edge(g->bytes[n - 1]);
	g->len -= n;
	memmove(g->bytes, g->bytes + n, g->len);
	return e;
}

static enum exception read_all_gathered(struct exchange *x)
{
	return x->gathered ? read_gathered(x, x->gathered->len) : EXCEPTION_NONE;
}

/* How much must be read now that the bytes from `from` on have come: up to the last place where an event may end. */
static size_t over(const struct gathered *g, size_t from)
{
	size_t n = 0;

	for (size_t i = from; i < g->len; i++)
		if (g->bytes[i] <= '\r' && (g->bytes[i] == '\n' || g->bytes[i] == '\r') &&
		    (i ? is_edge(g->bytes[i - 1]) : g->at_edge))
			n = i + 1;
	return n;
}

/* Text that one byte brought, or a part of it. */
static enum exception text_came(struct exchange *x, struct slice piece)
{
	struct gathered *g = x->gathered;
	enum exception e;
	size_t from;

	if (!g)
		return body_data(x, piece);
	if (g->len + piece.len > GATHER) {
		e = read_all_gathered(x);
		if (e != EXCEPTION_NONE || stopped(x))
			return e;
	}
	if (piece.len > GATHER) {
		g->at_edge = is_edge(piece.at[piece.len - 1]);
		return body_data(x, piece);
	}
	from = g->len;
	memcpy(g->bytes + from, piece.at, piece.len);
	g->len += piece.len;
	return read_gathered(x, over(g, from));
}

/* One byte of the encoding. */
static enum exception byte_came(struct exchange *x, uint8_t byte, bool last)
{
	enum exception e = room(x), full = e;
	enum step step = STEP_MORE;
	struct slice piece;

	if (full != EXCEPTION_NONE) {
		e = read_all_gathered(x);
		return e != EXCEPTION_NONE || stopped(x) ? e : full;
	}
	decoder_give(x->decoder, byte);
	while (!stopped(x) && (step = decoder_take(x->decoder, &piece)) == STEP_ITEM) {
		e = text_came(x, piece);
		if (e != EXCEPTION_NONE)
			return e;
	}
	if ((last || step == STEP_BAD) && !stopped(x))
		e = read_all_gathered(x);
	if (e != EXCEPTION_NONE || stopped(x))
		return e;
	if (step == STEP_BAD)
		return refused(x);
	x->raw.packed++;
	if (x->body.framing != HTTP1_UNTIL_CLOSE)
		x->raw.left--;
	settle(x);
	if (!x->gathered || !x->gathered->len)
		unit_extend(x);
	return EXCEPTION_NONE;
}

enum exception encoded_data(struct exchange *x, struct slice data)
{
	enum exception e = EXCEPTION_NONE;

	for (size_t i = 0; i < data.len && e == EXCEPTION_NONE && !stopped(x); i++)
		e = byte_came(x, data.at[i], i + 1 == data.len);
	return e;
}

enum exception encoded_end(struct exchange *x)
{
	if (decoder_complete(x->decoder)) {
		settle(x);
		return EXCEPTION_NONE;
	}
	x->report.detail = "the encoding ends in the middle";
	return EXCEPTION_ENCODING_MALFORMED;
}

int encoded_words(const struct exchange *x, struct buf *words)
{
	const struct point *at = &x->cleared;
	uint64_t promised = x->body.framing == HTTP1_LENGTH || at->in_chunk ? at->left : 0;
	struct buf encoded = BUF(2 * EXCHANGE_EVENT_MAX);
	int err = at->seam.kind != SEAM_NONE && promised <= EXCHANGE_EVENT_MAX ? 0 : -1;

	/* Line breaks mean nothing between events; behind the end of an encoding, any byte does. */
	words->cap = 2 * EXCHANGE_EVENT_MAX;
	while (!err && seam_length(&at->seam, buf_len(words)) < promised)
		err = buf_add(words, SLICE("\n"));
	err = err ? err : seam_close(&at->seam, buf_slice(words), &encoded);
	buf_cut(words, 0);
	err = err ? err : buf_add(words, buf_slice(&encoded));
	buf_free(&encoded);
	return err;
}
