/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encoded.c - an answer whose content is encoded: what of its bytes may go out when their text is cleared.
 *
 * Texts are read as they would be without the encoding, and so are the points of the exchange: their `wire` counts
 * content as it reads. Beside it runs the place in the bytes that the server sent. A byte goes out when all that can be
 * read of the bytes up to it is cleared, so it moves on between units only, and stays where a decoder has read nothing
 * yet of a block that others could read in part.
 */
#include "exchange/private.h"

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
	x->raw = x->here;
	x->raw.packed = x->here.wire;
	x->raw.framed = x->here.structural;
	settle(x);
	return EXCEPTION_NONE;
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

enum exception encoded_data(struct exchange *x, struct slice data)
{
	for (size_t i = 0; i < data.len && !stopped(x); i++) {
		enum exception e = room(x);
		enum step step = STEP_MORE;
		struct slice piece;

		if (e != EXCEPTION_NONE)
			return e;
		decoder_give(x->decoder, data.at[i]);
		while (!stopped(x) && (step = decoder_take(x->decoder, &piece)) == STEP_ITEM) {
			e = body_data(x, piece);
			if (e != EXCEPTION_NONE)
				return e;
		}
		if (stopped(x))
			break;
		if (step == STEP_BAD)
			return refused(x);
		x->raw.packed++;
		if (x->body.framing != HTTP1_UNTIL_CLOSE)
			x->raw.left--;
		settle(x);
		unit_extend(x);
	}
	return EXCEPTION_NONE;
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
