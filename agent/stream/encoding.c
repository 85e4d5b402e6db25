/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encoding.c - content codings (RFC 9110 8.4.1) taken off, a byte at a time.
 *
 * The libraries decode; this file asks them what can be read of each prefix. Bytes are given one by one, so that what
 * a byte brings never depends on how the input came, and so that the place in the encoded bytes is known at which a
 * reader has a given text. What a reader could skip or read in another way is refused: text in headers, frames to be
 * skipped, bytes behind the end, a "deflate" that is valid with and without its wrapper.
 */
#include "stream/stream.h"

#include <brotli/decode.h>
#include <errno.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/own.h"

#define OUT_BYTES     16384
#define INFLATE_BYTES 44000 /* zlib.h: "about 44 KB" */
/* A decoder's memory: windows of 8 MiB, as RFC 9659 has it for zstd. */
#define WINDOW_LOG 23
#define MEMORY_MAX ((1u << WINDOW_LOG) + (1u << 20))

struct decoder {
	enum coding coding;
	bool started; /* the library's state is there */
	bool ended;   /* the stream, member or frame is complete */
	bool drained; /* all that the bytes so far bring was given out */
	bool settled; /* no byte so far waits inside the library for the rest of its block */
	enum decoder_fault fault;
	const char *why;
	uint64_t in, out; /* bytes so far */
	uint32_t quiet;   /* bytes since the last output */
	uint64_t head_at; /* bytes of this stream, member or frame */
	uint8_t head[5];  /* the first of them */
	uint8_t bytes[2]; /* given and not yet taken: the last `given` of `held` */
	uint8_t held, given;
	size_t memory; /* brotli's */
	union {
		z_stream z;
		BrotliDecoderState *br;
		ZSTD_DStream *zstd;
	};
	uint8_t piece[OUT_BYTES];
};

static void fault(struct decoder *d, enum decoder_fault what, const char *why)
{
	if (d->fault)
		return;
	d->fault = what;
	d->why = why;
}

static uint8_t *waiting(struct decoder *d)
{
	return d->bytes + d->held - d->given;
}

/* ---- gzip (RFC 1952), deflate (RFC 1950, RFC 1951) ---- */

static void start_zlib(struct decoder *d, int window)
{
	d->z = (z_stream){};
	d->started = inflateInit2(&d->z, window) == Z_OK;
	if (!d->started)
		fault(d, DECODER_MEMORY, "no memory for a decoder");
}

static void stop_zlib(struct decoder *d)
{
	inflateEnd(&d->z);
}

static size_t run_zlib(struct decoder *d)
{
	d->z.next_in = waiting(d);
	d->z.avail_in = d->given;
	d->z.next_out = d->piece;
	d->z.avail_out = OUT_BYTES;
	switch (inflate(&d->z, Z_SYNC_FLUSH)) {
	case Z_OK:
	case Z_BUF_ERROR:
		break;
	case Z_STREAM_END:
		d->ended = true;
		break;
	case Z_NEED_DICT:
		fault(d, DECODER_CORRUPT, "a preset dictionary");
		break;
	case Z_MEM_ERROR:
		fault(d, DECODER_MEMORY, "no memory for a decoder");
		break;
	default:
		fault(d, DECODER_CORRUPT, "corrupt deflate data");
	}
	d->given = (uint8_t)d->z.avail_in;
	return OUT_BYTES - d->z.avail_out;
}

enum { GZIP_FLAGS = 3, GZIP_EXTRA = 4, GZIP_NAME = 8, GZIP_COMMENT = 16 };

static void begin_gzip(struct decoder *d)
{
	if (!d->started)
		start_zlib(d, 15 + 16);
	else if (d->head_at == 1) /* a further member */
		inflateReset(&d->z);
	if (d->head_at == GZIP_FLAGS + 1 && d->head[GZIP_FLAGS] & (GZIP_EXTRA | GZIP_NAME | GZIP_COMMENT))
		fault(d, DECODER_CORRUPT, "a gzip header with room for text");
}

/* "deflate" is zlib by the standard and bare deflate by some servers; clients try the one, then the other. */
static bool wrapped(const struct decoder *d)
{
	return (d->head[0] & 15) == 8 && d->head[0] >> 4 <= 7 && (d->head[0] << 8 | d->head[1]) % 31 == 0;
}

static void begin_deflate(struct decoder *d)
{
	static const int zlib = 15, bare = -15;
	const uint8_t *h = d->head;

	if (d->head_at == 2)
		start_zlib(d, wrapped(d) ? zlib : bare);
	/* What begins a zlib stream begins a stored block, too. */
	if (d->head_at == 5 && wrapped(d) && (h[1] ^ h[3]) == 0xff && (h[2] ^ h[4]) == 0xff)
		fault(d, DECODER_CORRUPT, "deflate with two readings");
}

/* ---- br (RFC 7932) ---- */

/* What is asked for stands in front of what is given, to be counted back. */
struct brotli_block {
	_Alignas(max_align_t) size_t size;
};

static void *brotli_alloc(void *arg, size_t size)
{
	struct decoder *d = arg;
	struct brotli_block *b = size <= MEMORY_MAX - d->memory ? malloc(sizeof(*b) + size) : NULL;

	if (!b)
		return NULL;
	b->size = size;
	d->memory += size;
	return b + 1;
}

static void brotli_free(void *arg, void *at)
{
	struct brotli_block *b = at;
	struct decoder *d = arg;

	if (!b)
		return;
	d->memory -= b[-1].size;
	free(b - 1);
}

static void begin_brotli(struct decoder *d)
{
	if (d->started)
		return;
	d->br = BrotliDecoderCreateInstance(brotli_alloc, brotli_free, d);
	d->started = d->br;
	if (!d->br)
		fault(d, DECODER_MEMORY, "no memory for a decoder");
}

static void stop_brotli(struct decoder *d)
{
	BrotliDecoderDestroyInstance(d->br);
}

static size_t run_brotli(struct decoder *d)
{
	size_t in = d->given, room = OUT_BYTES;
	const uint8_t *from = waiting(d);
	uint8_t *to = d->piece;
	BrotliDecoderErrorCode code;

	switch (BrotliDecoderDecompressStream(d->br, &in, &from, &room, &to, NULL)) {
	case BROTLI_DECODER_RESULT_SUCCESS:
		d->ended = true;
		break;
	case BROTLI_DECODER_RESULT_ERROR:
		code = BrotliDecoderGetErrorCode(d->br);
		if (code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
		    code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES)
			fault(d, DECODER_BOMB, "a window that is too large");
		else
			fault(d, DECODER_CORRUPT, "corrupt brotli data");
		break;
	default:
		break;
	}
	d->given = (uint8_t)in;
	return OUT_BYTES - room;
}

/* ---- zstd (RFC 8878) ---- */

static void begin_zstd(struct decoder *d)
{
	static const uint8_t magic[] = { 0x28, 0xb5, 0x2f, 0xfd };

	/* Frames to be skipped and frames of old versions have other numbers. */
	if (d->head_at <= sizeof(magic) && d->head[d->head_at - 1] != magic[d->head_at - 1])
		fault(d, DECODER_CORRUPT, "not a zstd frame");
	if (d->started || d->fault)
		return;
	d->zstd = ZSTD_createDStream();
	d->started = d->zstd;
	if (!d->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, WINDOW_LOG)))
		fault(d, DECODER_MEMORY, "no memory for a decoder");
}

static void stop_zstd(struct decoder *d)
{
	ZSTD_freeDStream(d->zstd);
}

static size_t run_zstd(struct decoder *d)
{
	ZSTD_inBuffer in = { waiting(d), d->given, 0 };
	ZSTD_outBuffer out = { d->piece, OUT_BYTES, 0 };
	size_t left = ZSTD_decompressStream(d->zstd, &out, &in);

	if (ZSTD_isError(left)) {
		switch (ZSTD_getErrorCode(left)) {
		case ZSTD_error_frameParameter_windowTooLarge:
			fault(d, DECODER_BOMB, "a window that is too large");
			break;
		case ZSTD_error_memory_allocation:
			fault(d, DECODER_MEMORY, "no memory for a decoder");
			break;
		default:
			fault(d, DECODER_CORRUPT, "corrupt zstd data");
		}
	}
	d->given -= (uint8_t)in.pos;
	d->ended = !left;
	return out.pos;
}

/* ---- the table ---- */

static const struct codec {
	struct slice name, alias;
	bool again;    /* a further member or frame may follow */
	bool blocks;   /* nothing comes of a block before its last byte, but a part of it may be readable before that */
	uint8_t first; /* bytes that are needed to know what it is */
	/* A byte came: d->head_at of this stream, the first of them in d->head. Starts the library. */
	void (*begin)(struct decoder *d);
	/* Takes what is given, fills d->piece. Returns its length. */
	size_t (*run)(struct decoder *d);
	void (*stop)(struct decoder *d);
} codecs[CODING_COUNT] = {
	[CODING_GZIP] = { SLICE("gzip"), SLICE("x-gzip"), true, false, 1, begin_gzip, run_zlib, stop_zlib },
	[CODING_DEFLATE] = { SLICE("deflate"), SLICE("deflate"), false, false, 2, begin_deflate, run_zlib, stop_zlib },
	[CODING_BROTLI] = { SLICE("br"), SLICE("br"), false, false, 1, begin_brotli, run_brotli, stop_brotli },
	[CODING_ZSTD] = { SLICE("zstd"), SLICE("zstd"), true, true, 1, begin_zstd, run_zstd, stop_zstd },
};

bool coding_of(struct slice value, enum coding *out)
{
	if (!value.len || slice_is_nocase(value, SLICE("identity"))) {
		*out = CODING_NONE;
		return true;
	}
	for (enum coding c = CODING_NONE + 1; c < CODING_COUNT; c++)
		if (slice_is_nocase(value, codecs[c].name) || slice_is_nocase(value, codecs[c].alias)) {
			*out = c;
			return true;
		}
	return false;
}

int decoder_new(struct decoder **out, enum coding coding)
{
	struct decoder *d = malloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	memset(d, 0, offsetof(struct decoder, piece));
	d->coding = coding;
	d->drained = d->settled = true;
	*out = d;
	return 0;
}

void decoder_free(struct decoder **at)
{
	struct decoder *d = *at;

	if (!d)
		return;
	if (d->started)
		codecs[d->coding].stop(d);
	free(d);
	*at = NULL;
}

size_t decoder_memory(const struct decoder *d)
{
	size_t library = 0;

	if (d->started)
		library = d->coding == CODING_BROTLI ? d->memory
		          : d->coding == CODING_ZSTD ? ZSTD_sizeof_DStream(d->zstd)
		                                     : INFLATE_BYTES;
	return sizeof(*d) + library;
}

void decoder_give(struct decoder *d, uint8_t byte)
{
	const struct codec *c = &codecs[d->coding];

	if (d->ended) {
		if (!c->again) {
			fault(d, DECODER_CORRUPT, "bytes behind the end of the encoding");
			return;
		}
		d->ended = false;
		d->head_at = 0;
	}
	if (d->head_at < sizeof(d->head))
		d->head[d->head_at] = byte;
	d->head_at++;
	d->in++;
	if (!d->given)
		d->held = 0;
	d->bytes[d->held++] = byte;
	d->given++;
	if (d->fault || d->head_at < c->first)
		return;
	c->begin(d);
	d->drained = d->settled = false;
	if (++d->quiet > DECODER_QUIET_MAX)
		fault(d, DECODER_BOMB, "a great deal that says nothing");
}

enum step decoder_take(struct decoder *d, struct slice *piece)
{
	const struct codec *c = &codecs[d->coding];
	size_t n;

	if (!d->fault && d->drained)
		return STEP_MORE;
	n = d->fault ? 0 : c->run(d);
	d->out += n;
	if (d->out > DECODER_SLACK && (d->out - DECODER_SLACK) / DECODER_RATIO_MAX > d->in)
		fault(d, DECODER_BOMB, "far more text than bytes");
	if (d->fault)
		return STEP_BAD;
	d->drained = d->ended || (n < OUT_BYTES && !d->given);
	if (d->ended && d->given) {
		fault(d, DECODER_CORRUPT, "bytes behind the end of the encoding");
		return STEP_BAD;
	}
	if (n) {
		d->quiet = 0;
		*piece = slice_of(d->piece, n);
	}
	if (n || d->ended || !c->blocks)
		d->settled = true;
	return n ? STEP_ITEM : STEP_MORE;
}

bool decoder_settled(const struct decoder *d)
{
	return d->settled;
}

bool decoder_quiet(const struct decoder *d)
{
	return d->quiet;
}

bool decoder_complete(const struct decoder *d)
{
	return !d->in || d->ended;
}

/* ---- going on where a stream was left ---- */

#define STORED_MAX 65535

struct seam decoder_seam(const struct decoder *d)
{
	/* zlib.h, inflate(): bits of the last byte that are left, + 64 in the last block, + 128 between two blocks. */
	static const int between = 128, blurs = 64 + 63;
	struct seam none = { .kind = SEAM_NONE };

	if ((d->coding != CODING_GZIP && d->coding != CODING_DEFLATE) || !d->started || d->ended || d->fault ||
	    !d->drained || !(d->z.data_type & between) || d->z.data_type & blurs)
		return none;
	return (struct seam){
		.kind = d->coding == CODING_GZIP ? SEAM_GZIP
		        : wrapped(d)             ? SEAM_ZLIB
		                                 : SEAM_BARE,
		.sum = (uint32_t)d->z.adler,
		.size = (uint32_t)d->z.total_out,
	};
}

static const uint8_t trailers[] = { [SEAM_GZIP] = 8, [SEAM_ZLIB] = 4, [SEAM_BARE] = 0 };

size_t seam_length(const struct seam *s, size_t text)
{
	size_t blocks = text ? (text + STORED_MAX - 1) / STORED_MAX : 1;

	return text + 5 * blocks + trailers[s->kind];
}

int seam_close(const struct seam *s, struct slice text, struct buf *out)
{
	uint32_t size = s->size + (uint32_t)text.len, sum = s->sum;
	uint8_t end[8];
	int err;

	if (s->kind == SEAM_GZIP)
		sum = (uint32_t)crc32(sum, text.at, (uInt)text.len);
	else
		sum = (uint32_t)adler32(sum, text.at, (uInt)text.len);
	do {
		uint16_t n = text.len < STORED_MAX ? (uint16_t)text.len : STORED_MAX;
		uint8_t head[5] = { n == text.len, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)~n, (uint8_t)(~n >> 8) };

		err = buf_add(out, slice_of(head, sizeof(head)));
		err = err ? err : buf_add(out, slice_of(text.at, n));
		text = slice_from(text, n);
	} while (text.len && !err);
	for (int i = 0; i < 4; i++) {
		end[i] = (uint8_t)(sum >> (s->kind == SEAM_GZIP ? 8 * i : 24 - 8 * i));
		end[4 + i] = (uint8_t)(size >> 8 * i);
	}
	return err ? err : buf_add(out, slice_of(end, trailers[s->kind]));
}

enum decoder_fault decoder_fault(const struct decoder *d, const char **why)
{
	*why = d->why;
	return d->fault;
}
