/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_fuzz.c - a message and its body never depend on the cut, and every span lies inside the head.
 *
 * The first byte of the input: bit 0 a response, bit 1 answers HEAD, the rest the length of the pieces. Bytes one by
 * one and the whole are always compared.
 */
#include <stdint.h>

#include "stream/stream.h"
#include "tests/lib/fuzz.h"

static void mix(uint64_t *hash, uint64_t value)
{
	*hash = (*hash ^ value) * 0x9e3779b97f4a7c15u;
	*hash ^= *hash >> 29;
}

static void mix_span(uint64_t *hash, const struct http1_head *h, struct span s)
{
	MUST(s.at <= h->len && s.len <= h->len - s.at);
	mix(hash, (uint64_t)s.at << 32 | s.len);
}

static void mix_head(uint64_t *hash, const struct http1_head *h, struct slice in)
{
	MUST(h->len <= in.len && h->len <= HTTP1_HEAD_MAX && h->field_count <= HTTP1_FIELDS_MAX);
	MUST(h->len >= 4 && slice_is(slice_of(in.at + h->len - 4, 4), SLICE("\r\n\r\n")));
	MUST(!(h->chunked && h->has_length) && h->length <= INT64_MAX);
	mix_span(hash, h, h->method_name);
	mix_span(hash, h, h->target);
	mix_span(hash, h, h->content_type);
	mix_span(hash, h, h->content_encoding);
	for (uint32_t i = 0; i < h->field_count; i++) {
		struct span name = h->fields[i].name, value = h->fields[i].value;

		mix_span(hash, h, name);
		mix_span(hash, h, value);
		MUST(name.len && in.at[name.at + name.len] == ':' && value.at > name.at + name.len);
		for (uint32_t k = 0; k < name.len; k++)
			MUST(http1_token_byte(in.at[name.at + k]));
		for (uint32_t k = 0; k < value.len; k++)
			MUST(http1_value_byte(in.at[value.at + k]));
	}
	mix(hash, h->length ^ (uint64_t)h->status << 48 ^ (uint64_t)h->minor << 40 ^ (uint64_t)h->method << 36);
	mix(hash, h->len | (uint64_t)h->chunked << 32 | (uint64_t)h->has_length << 33 | (uint64_t)h->close << 34 |
	                  (uint64_t)h->keep_alive << 35 | (uint64_t)h->upgrade << 36 |
	                  (uint64_t)h->expect_continue << 37 | (uint64_t)h->encoded << 38);
}

static void see_body(uint64_t *hash, const struct http1_body *b, size_t at, const struct http1_body_item *item)
{
	MUST((item->kind == HTTP1_DATA || item->kind == HTTP1_TRAILER) == (item->data.len > 0));
	for (size_t i = 0; i < item->data.len; i++)
		mix(hash, (uint64_t)(at - item->data.len + i) << 16 | (uint64_t)item->kind << 8 | item->data.at[i]);
	if (!item->data.len)
		mix(hash, (uint64_t)at << 16 | item->kind);
	if (item->kind == HTTP1_CHUNK)
		mix(hash, b->left);
}

/* The body in pieces, until it ends, is refused, or the input runs out. */
static uint64_t read_body(struct slice in, enum http1_framing framing, uint64_t length, size_t piece)
{
	struct http1_body b;
	struct http1_body_item item = { .kind = HTTP1_DATA };
	enum step step = STEP_MORE;
	uint64_t hash = 0;
	size_t at = 0, fed = 0;

	http1_body_start(&b, framing, length);
	while (step != STEP_BAD && !(step == STEP_ITEM && item.kind == HTTP1_END)) {
		struct slice here;
		size_t used;

		if (step == STEP_MORE && fed == in.len && at)
			break;
		if (step == STEP_MORE)
			fed = in.len - fed < piece ? in.len : fed + piece;
		here = slice_of(in.at + at, fed - at);
		step = http1_body_feed(&b, here, &used, &item);
		MUST(used <= here.len && (step != STEP_MORE || used == here.len));
		MUST(step != STEP_BAD || used < here.len);
		at += used;
		if (step == STEP_ITEM)
			see_body(&hash, &b, at, &item);
		if (step == STEP_MORE && !in.len)
			break;
	}
	mix(&hash, (uint64_t)at << 8 | (step == STEP_BAD ? (uint8_t)item.why[0] : 0));
	return hash;
}

static uint64_t read_all(struct slice in, bool response, bool to_head, size_t piece)
{
	static struct http1_reader r;
	enum http1_fault fault = HTTP1_FINE;
	enum step step = STEP_MORE;
	uint64_t hash = 0;
	size_t n = 0;

	http1_start(&r, response);
	while (step == STEP_MORE && n < in.len) {
		n = in.len - n < piece ? in.len : n + piece;
		step = http1_read(&r, slice_of(in.at, n), &fault);
	}
	MUST((step == STEP_BAD) == (fault != HTTP1_FINE));
	mix(&hash, (uint64_t)step << 40 | (uint64_t)fault << 32 | r.seen);
	if (step == STEP_BAD)
		mix(&hash, (uint64_t)r.why[0] << 8 | (uint8_t)r.why[1]);
	if (step != STEP_ITEM)
		return hash;
	mix_head(&hash, &r.head, in);
	mix(&hash, read_body(slice_from(in, r.head.len), http1_framing(&r.head, to_head), r.head.length, piece));
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	bool response, to_head;
	struct slice in;
	uint64_t whole;

	if (!len)
		return 0;
	response = data[0] & 1;
	to_head = data[0] & 2;
	in = slice_of(data + 1, len - 1);
	whole = read_all(in, response, to_head, SIZE_MAX);
	MUST(whole == read_all(in, response, to_head, 1));
	MUST(whole == read_all(in, response, to_head, data[0] / 4 + 1u));
	return 0;
}
