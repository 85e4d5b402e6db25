/* SPDX-License-Identifier: Apache-2.0 */
/* encoding_test.c - content codings taken off: what comes of each byte, what is refused, and what it costs. */
#include "tests/lib/test.h"

#include "tests/lib/encode.h"

#define TEXT_MAX (1u << 22)

static uint8_t text[TEXT_MAX];

struct result {
	size_t len;  /* of text */
	size_t used; /* bytes given */
	enum decoder_fault fault;
	const char *why;
	bool complete;
};

/* All of `in`, byte by byte as it must be. */
static struct result decode(enum coding coding, struct slice in)
{
	struct result r = {};
	struct decoder *d;
	enum step step = STEP_MORE;
	struct slice piece;

	cr_assert_eq(decoder_new(&d, coding), 0);
	for (; r.used < in.len && step == STEP_MORE; r.used++) {
		decoder_give(d, in.at[r.used]);
		while ((step = decoder_take(d, &piece)) == STEP_ITEM) {
			cr_assert_gt(piece.len, 0);
			if (r.len + piece.len <= TEXT_MAX)
				memcpy(text + r.len, piece.at, piece.len);
			r.len += piece.len;
		}
	}
	r.complete = step == STEP_MORE && decoder_complete(d);
	r.fault = decoder_fault(d, &r.why);
	cr_assert_eq(step == STEP_BAD, r.fault != DECODER_FINE);
	decoder_free(&d);
	return r;
}

static struct result decode_buf(enum coding coding, const struct buf *in)
{
	return decode(coding, buf_slice(in));
}

static const struct slice pieces[] = { SLICE("data: {\"a\":\"one two three\"}\n\n"),
	                               SLICE("data: {\"a\":\"毒气\"}\n\n"), SLICE(""), SLICE("data: [DONE]\n\n") };
#define WHOLE "data: {\"a\":\"one two three\"}\n\ndata: {\"a\":\"毒气\"}\n\ndata: [DONE]\n\n"

static void encode(struct buf *out, enum coding coding, enum flush form, bool bare)
{
	struct encoder e;

	*out = BUF(TEXT_MAX);
	encoder_begin(&e, coding, form, bare);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
		encoder_add(&e, out, pieces[i]);
	encoder_end(&e, out);
}

TEST(encoding, names)
{
	static const struct {
		const char *value;
		int coding; /* -1: refused */
	} cases[] = {
		{ "", CODING_NONE },
		{ "identity", CODING_NONE },
		{ "Identity", CODING_NONE },
		{ "gzip", CODING_GZIP },
		{ "X-GZIP", CODING_GZIP },
		{ "deflate", CODING_DEFLATE },
		{ "br", CODING_BROTLI },
		{ "zstd", CODING_ZSTD },
		{ "gzip, gzip", -1 },
		{ "identity, gzip", -1 },
		{ "gzip,", -1 },
		{ "compress", -1 },
		{ "brotli", -1 },
		{ "dcb", -1 },
		{ "gzi", -1 },
		{ "gzip;q=1", -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		enum coding c = CODING_COUNT;
		bool good = coding_of(slice_str(cases[i].value), &c);

		cr_expect_eq(good, cases[i].coding >= 0, "%s", cases[i].value);
		cr_expect_eq(c, good ? (enum coding)cases[i].coding : CODING_COUNT, "%s", cases[i].value);
	}
}

TEST(encoding, every_coding_in_every_form)
{
	for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++)
		for (int f = 0; f < FLUSH_COUNT * 2; f++) {
			enum flush form = f % FLUSH_COUNT;
			bool bare = f >= FLUSH_COUNT;
			struct buf in;
			struct result r;

			if ((bare && c != CODING_DEFLATE) ||
			    (form == FORM_MEMBERS && c != CODING_GZIP && c != CODING_ZSTD))
				continue;
			encode(&in, c, form, bare);
			r = decode_buf(c, &in);
			cr_expect(r.complete && r.len == sizeof(WHOLE) - 1 && !memcmp(text, WHOLE, r.len),
			          "%s form %d: %zu %s", coding_names[c], f, r.len, r.why);
			/* Cut short it is not complete, wherever. */
			for (size_t n = 1; n < buf_len(&in); n++) {
				r = decode(c, slice_of(buf_slice(&in).at, n));
				cr_expect_eq(r.fault, DECODER_FINE);
				if (form != FORM_MEMBERS)
					cr_expect_not(r.complete, "%s form %d at %zu", coding_names[c], f, n);
			}
			/* And nothing may follow it. */
			cr_assert_eq(buf_add(&in, SLICE("xx")), 0);
			r = decode_buf(c, &in);
			cr_expect_eq(r.fault, DECODER_CORRUPT, "%s form %d", coding_names[c], f);
			buf_free(&in);
		}
}

TEST(encoding, nothing_is_nothing)
{
	for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++)
		cr_expect(decode(c, SLICE("")).complete);
}

/* What a reader has of a prefix we have too: the least that release in step needs. */
TEST(encoding, no_reader_is_faster)
{
	static uint8_t theirs[1 << 16];

	for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++)
		for (enum flush f = 0; f < FLUSH_COUNT; f++) {
			struct decoder *d;
			struct slice piece, all;
			struct buf in;
			size_t len = 0;

			if (f == FORM_MEMBERS)
				continue;
			encode(&in, c, f, false);
			all = buf_slice(&in);
			cr_assert_eq(decoder_new(&d, c), 0);
			for (size_t i = 0; i < all.len; i++) {
				size_t had = len, n;

				decoder_give(d, all.at[i]);
				while (decoder_take(d, &piece) == STEP_ITEM)
					len += piece.len;
				n = decode_prefix(c, false, slice_of(all.at, i + 1), theirs, sizeof(theirs));
				cr_assert_leq(n, len, "%s form %d at %zu: %zu, not %zu", coding_names[c], f, i, n, len);
				/* What brings text is settled. */
				if (len > had)
					cr_assert(decoder_settled(d));
			}
			decoder_free(&d);
			buf_free(&in);
		}
}

/* The letters of a zstd block may stand in it as they are, long before the library gives them. */
TEST(encoding, a_block_is_not_settled_before_its_end)
{
	static uint8_t noise[4096];
	struct encoder e;
	struct buf in = BUF(TEXT_MAX);
	struct decoder *d;
	struct slice piece;
	size_t waits = 0;

	srand(7);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i % 64 < 40 ? rand()
		                                 : 'a'); /* literals that do not compress, and something that does */
	encoder_begin(&e, CODING_ZSTD, FORM_FLUSHED, false);
	encoder_add(&e, &in, slice_of(noise, sizeof(noise)));
	encoder_end(&e, &in);
	cr_assert_eq(decoder_new(&d, CODING_ZSTD), 0);
	for (size_t i = 0; i < buf_len(&in); i++) {
		bool came = false;

		decoder_give(d, buf_slice(&in).at[i]);
		while (decoder_take(d, &piece) == STEP_ITEM)
			came = true;
		cr_assert_eq(decoder_settled(d), came || decoder_complete(d), "at %zu", i);
		waits += !came;
	}
	cr_assert(decoder_complete(d));
	cr_assert_gt(waits, 1000, "the block was no block");
	decoder_free(&d);
	buf_free(&in);
}

TEST(encoding, what_could_be_read_in_two_ways_is_refused)
{
	static const struct {
		enum coding coding;
		struct slice in;
		const char *why;
	} cases[] = {
		{ CODING_GZIP, SLICE("\x1f\x8b\x08\x08xxxxxxname"), "a gzip header with room for text" },
		{ CODING_GZIP, SLICE("\x1f\x8b\x08\x10xxxxxxnote"), "a gzip header with room for text" },
		{ CODING_GZIP, SLICE("\x1f\x8b\x08\x04xxxxxx\x04\0none"), "a gzip header with room for text" },
		{ CODING_GZIP, SLICE("data: {}"), "corrupt deflate data" },
		{ CODING_GZIP, SLICE("\x1f\x8b\x07\0"), "corrupt deflate data" },
		{ CODING_DEFLATE, SLICE("\x78\x9c\x00\x63\xff"), "deflate with two readings" },
		{ CODING_DEFLATE, SLICE("\x78\xbb\x01\x02\x03\x04"), "a preset dictionary" },
		{ CODING_DEFLATE, SLICE("data: {}"), "corrupt deflate data" },
		{ CODING_BROTLI, SLICE("data: {} and more of it"), "corrupt brotli data" },
		{ CODING_ZSTD, SLICE("\x50\x2a\x4d\x18\x04\0\0\0none"), "not a zstd frame" },
		{ CODING_ZSTD, SLICE("\x27\xb5\x2f\xfd\x04\0\0\0none"), "not a zstd frame" },
		{ CODING_ZSTD, SLICE("data: {}"), "not a zstd frame" },
		{ CODING_ZSTD, SLICE("\x28\xb5\x2f\xfd\x03\0\1\0\0\0\0\0\0\0"), "corrupt zstd data" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct result r = decode(cases[i].coding, cases[i].in);

		cr_expect(r.fault == DECODER_CORRUPT && !strcmp(r.why, cases[i].why), "case %zu: %d %s", i, r.fault,
		          r.why);
	}
}

/* A changed byte at the end is found: check sums are looked at. */
TEST(encoding, check_sums_count)
{
	for (enum coding c = CODING_GZIP; c <= CODING_DEFLATE; c++) {
		struct buf in;

		encode(&in, c, FORM_AT_END, false);
		in.data[in.end - (c == CODING_GZIP ? 5 : 1)] ^= 1;
		cr_expect_eq(decode_buf(c, &in).fault, DECODER_CORRUPT);
		buf_free(&in);
	}
}

static struct result bomb(enum coding c, size_t megabytes)
{
	static uint8_t zeros[1 << 20];
	struct buf in = BUF(1u << 28);
	struct encoder e;
	struct result r;

	encoder_begin(&e, c, FORM_AT_END, false);
	for (size_t i = 0; i < megabytes; i++)
		encoder_add(&e, &in, slice_of(zeros, sizeof(zeros)));
	encoder_end(&e, &in);
	r = decode_buf(c, &in);
	buf_free(&in);
	return r;
}

TEST(encoding, bombs_are_capped)
{
	for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++) {
		struct result r = bomb(c, 64);

		cr_expect_eq(r.fault, DECODER_BOMB, "%s", coding_names[c]);
		cr_expect_leq(r.len, DECODER_SLACK + DECODER_RATIO_MAX * (r.used + 1) + 16384, "%s: %zu of %zu",
		              coding_names[c], r.len, r.used);
		r = bomb(c, 1);
		cr_expect(r.complete && r.len == 1 << 20, "%s: %s", coding_names[c], r.why);
	}
}

TEST(encoding, windows_are_capped)
{
	/* A zstd frame that asks for 2 GiB; brotli with 16 MiB of window, and text enough to use it. */
	struct result r = decode(CODING_ZSTD, SLICE("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"));
	BrotliEncoderState *br = BrotliEncoderCreateInstance(NULL, NULL, NULL);
	struct encoder e = { .coding = CODING_BROTLI, .form = FORM_AT_END, .br = br };
	static uint8_t noise[1 << 20];
	struct buf in = BUF(1u << 28);

	cr_expect(r.fault == DECODER_BOMB, "%d %s", r.fault, r.why);
	BrotliEncoderSetParameter(br, BROTLI_PARAM_QUALITY, 2);
	BrotliEncoderSetParameter(br, BROTLI_PARAM_LGWIN, 24);
	srand(3);
	for (int i = 0; i < 20; i++) {
		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)(rand() & 63);
		encoder_add(&e, &in, slice_of(noise, sizeof(noise)));
	}
	encoder_end(&e, &in);
	r = decode_buf(CODING_BROTLI, &in);
	cr_expect(r.fault == DECODER_BOMB, "%d %s after %zu", r.fault, r.why, r.len);
	buf_free(&in);
}

/* Empty blocks without end, and brotli's metadata, bring no text: nobody waits for ever. */
TEST(encoding, silence_is_capped)
{
	struct buf in = BUF(1u << 22);
	struct result r;

	cr_assert_eq(buf_add(&in, SLICE("\x1f\x8b\x08\0\0\0\0\0\0\3")), 0);
	for (int i = 0; i < 60000; i++)
		cr_assert_eq(buf_add(&in, SLICE("\0\0\0\xff\xff")), 0);
	r = decode_buf(CODING_GZIP, &in);
	cr_expect(r.fault == DECODER_BOMB && r.used < DECODER_QUIET_MAX + 2, "%d %zu", r.fault, r.used);
	buf_free(&in);
}
