/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encode.h - content codings put on, by the libraries that took them off, in the forms that servers have.
 */
#pragma once

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/buf.h"
#include "stream/stream.h"

enum flush {
	FORM_FLUSHED, /* what is given can be read at once */
	FORM_AT_END,  /* all comes at the end */
	FORM_MEMBERS, /* gzip, zstd: each piece a member or frame of its own */
	FORM_STORED,  /* flushed, and hardly compressed */
	FLUSH_COUNT
};

static const char *const coding_names[CODING_COUNT] = { "identity", "gzip", "deflate", "br", "zstd" };

struct encoder {
	enum coding coding;
	enum flush form;
	bool bare; /* deflate without its wrapper */
	z_stream z;
	BrotliEncoderState *br;
	ZSTD_CStream *zstd;
};

static inline void encode_zlib(struct encoder *e, struct buf *out, struct slice in, int flush)
{
	int ret;

	e->z.next_in = (uint8_t *)in.at;
	e->z.avail_in = (uInt)in.len;
	do {
		uint8_t *to = buf_want(out, 4096);

		if (!to)
			abort();
		e->z.next_out = to;
		e->z.avail_out = 4096;
		ret = deflate(&e->z, flush);
		buf_added(out, 4096 - e->z.avail_out);
	} while (!e->z.avail_out && ret != Z_STREAM_END);
}

static inline void encode_brotli(struct encoder *e, struct buf *out, struct slice in, BrotliEncoderOperation op)
{
	size_t avail = in.len;
	const uint8_t *from = in.at;

	do {
		uint8_t *to = buf_want(out, 4096);
		size_t room = 4096;

		if (!to || !BrotliEncoderCompressStream(e->br, op, &avail, &from, &room, &to, NULL))
			abort();
		buf_added(out, 4096 - room);
	} while (avail || BrotliEncoderHasMoreOutput(e->br));
}

static inline void encode_zstd(struct encoder *e, struct buf *out, struct slice in, ZSTD_EndDirective op)
{
	ZSTD_inBuffer from = { in.at, in.len, 0 };
	size_t left;

	do {
		ZSTD_outBuffer to = { buf_want(out, 4096), 4096, 0 };

		if (!to.dst)
			abort();
		left = ZSTD_compressStream2(e->zstd, &to, &from, op);
		if (ZSTD_isError(left))
			abort();
		buf_added(out, to.pos);
	} while (from.pos < from.size || (op != ZSTD_e_continue && left));
}

static inline void encoder_begin(struct encoder *e, enum coding coding, enum flush form, bool bare)
{
	int level = form == FORM_STORED ? 0 : 6;

	*e = (struct encoder){ .coding = coding, .form = form, .bare = bare };
	if (coding == CODING_GZIP || coding == CODING_DEFLATE) {
		int window = coding == CODING_GZIP ? 31 : bare ? -15 : 15;

		if (deflateInit2(&e->z, level, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
			abort();
	} else if (coding == CODING_BROTLI) {
		e->br = BrotliEncoderCreateInstance(NULL, NULL, NULL);
		BrotliEncoderSetParameter(e->br, BROTLI_PARAM_QUALITY, form == FORM_STORED ? 0 : 5);
	} else if (coding == CODING_ZSTD) {
		e->zstd = ZSTD_createCStream();
		ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, form == FORM_STORED ? -100 : 3);
	}
}

static inline void encoder_add(struct encoder *e, struct buf *out, struct slice piece)
{
	bool flush = e->form == FORM_FLUSHED || e->form == FORM_STORED, member = e->form == FORM_MEMBERS;

	switch (e->coding) {
	case CODING_GZIP:
	case CODING_DEFLATE:
		encode_zlib(e, out, piece, flush ? Z_SYNC_FLUSH : member ? Z_FINISH : Z_NO_FLUSH);
		if (member)
			deflateReset(&e->z);
		break;
	case CODING_BROTLI:
		encode_brotli(e, out, piece, flush ? BROTLI_OPERATION_FLUSH : BROTLI_OPERATION_PROCESS);
		break;
	case CODING_ZSTD:
		encode_zstd(e, out, piece, flush ? ZSTD_e_flush : member ? ZSTD_e_end : ZSTD_e_continue);
		break;
	default:
		buf_add(out, piece);
	}
}

static inline void encoder_end(struct encoder *e, struct buf *out)
{
	if (e->coding == CODING_GZIP || e->coding == CODING_DEFLATE) {
		if (e->form != FORM_MEMBERS)
			encode_zlib(e, out, SLICE(""), Z_FINISH);
		deflateEnd(&e->z);
	} else if (e->coding == CODING_BROTLI) {
		encode_brotli(e, out, SLICE(""), BROTLI_OPERATION_FINISH);
		BrotliEncoderDestroyInstance(e->br);
	} else if (e->coding == CODING_ZSTD) {
		if (e->form != FORM_MEMBERS)
			encode_zstd(e, out, SLICE(""), ZSTD_e_end);
		ZSTD_freeCStream(e->zstd);
	}
}

/* What a client's library makes of the first bytes of an encoding, given at once: how a reader that is not ours reads.
 * Returns the length of the text in `out`. */
static inline size_t decode_prefix(enum coding coding, bool bare, struct slice in, uint8_t *out, size_t room)
{
	size_t len = 0;

	if (coding == CODING_GZIP || coding == CODING_DEFLATE) {
		z_stream z = {};
		int ret = Z_OK;

		if (inflateInit2(&z, coding == CODING_GZIP ? 31 : bare ? -15 : 15) != Z_OK)
			abort();
		z.next_in = (uint8_t *)in.at;
		z.avail_in = (uInt)in.len;
		z.next_out = out;
		z.avail_out = (uInt)room;
		while (ret == Z_OK) {
			ret = inflate(&z, Z_SYNC_FLUSH);
			if (ret == Z_STREAM_END && z.avail_in && coding == CODING_GZIP) {
				inflateReset(&z);
				ret = Z_OK;
			}
		}
		len = room - z.avail_out;
		inflateEnd(&z);
	} else if (coding == CODING_BROTLI) {
		BrotliDecoderState *br = BrotliDecoderCreateInstance(NULL, NULL, NULL);
		size_t left = room;

		BrotliDecoderDecompressStream(br, &in.len, &in.at, &left, &out, NULL);
		len = room - left;
		BrotliDecoderDestroyInstance(br);
	} else if (coding == CODING_ZSTD) {
		ZSTD_DStream *zstd = ZSTD_createDStream();
		ZSTD_inBuffer from = { in.at, 0, 0 };
		ZSTD_outBuffer to = { out, room, 0 };
		size_t before;

		/* Of a frame that is given whole the library compares the size that its head tells; a stream's reader
		 * gets the text of one that lies, so the bytes come one by one. The library may keep text back that is
		 * decoded, until it is called once more. */
		while (from.size < in.len) {
			from.size++;
			do
				before = to.pos;
			while (!ZSTD_isError(ZSTD_decompressStream(zstd, &to, &from)) &&
			       (from.pos < from.size || to.pos > before));
		}
		len = to.pos;
		ZSTD_freeDStream(zstd);
	}
	return len;
}
