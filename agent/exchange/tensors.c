/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensors.c - the KServe binary tensor extension: JSON of a given length, then the outputs' bytes one behind the other.
 *
 * A text output is elements of four bytes of length (little endian) and as many of text; the elements of an output are
 * read as one text. All bytes are read as they stand, too: what is in them does not depend on what the JSON says of
 * them.
 */
#include "exchange/private.h"

/* The next output begins: elements are counted from there. */
static void next_output(struct exchange *x)
{
	struct tensors *t = &x->tensors;

	t->left = t->at < t->size_count ? t->sizes[t->at] : UINT64_MAX;
	t->at++;
	t->header = 0;
	t->element = t->length = 0;
	t->odd = false;
}

static enum exception element_text(struct exchange *x, struct slice bytes)
{
	struct leaf leaf = {
		.channel = CHANNEL_CONTENT,
		.string = true,
		.text = bytes,
		.path = (uint64_t)1 << 33,
		.sub = x->tensors.at,
	};

	return text_feed(x, &leaf);
}

/* A piece of one output. */
static enum exception output_data(struct exchange *x, struct slice data)
{
	struct tensors *t = &x->tensors;
	enum exception e = EXCEPTION_NONE;

	while (data.len && !t->odd && e == EXCEPTION_NONE) {
		size_t n;

		if (t->header < 4) {
			t->length |= (uint32_t)data.at[0] << 8 * t->header++;
			data = slice_from(data, 1);
			if (t->header < 4)
				continue;
			t->element = t->length;
			/* Longer than what is left: these are no texts. */
			t->odd = t->left != UINT64_MAX && t->element > t->left;
		} else {
			n = t->element < data.len ? t->element : data.len;
			e = element_text(x, slice_of(data.at, n));
			t->element -= (uint32_t)n;
			data = slice_from(data, n);
		}
		if (t->header == 4 && !t->element)
			t->header = 0, t->length = 0;
	}
	return e;
}

static enum exception binary_data(struct exchange *x, struct slice data)
{
	struct leaf raw = { .channel = CHANNEL_TEXT, .string = true, .text = data };
	enum exception e = text_feed(x, &raw);
	struct tensors *t = &x->tensors;

	x->here.scanned += data.len;
	t->read += data.len;
	while (data.len && e == EXCEPTION_NONE) {
		size_t n;

		while (!t->left || !t->at)
			next_output(x);
		n = t->left < data.len ? (size_t)t->left : data.len;
		e = output_data(x, slice_of(data.at, n));
		if (t->left != UINT64_MAX)
			t->left -= n;
		data = slice_from(data, n);
	}
	return e;
}

/* A reader that does not go by the sizes would find other texts. */
enum exception tensors_end(struct exchange *x)
{
	const struct tensors *t = &x->tensors;
	uint64_t said = 0;

	if (t->json)
		return unparsable(x, "the JSON in front of the tensors is cut short");
	for (uint32_t i = 0; i < t->size_count; i++)
		said = said + t->sizes[i] < said ? UINT64_MAX : said + t->sizes[i];
	return t->size_count && said != t->read ? unparsable(x, "the tensors are not of the sizes that the JSON says")
	                                        : EXCEPTION_NONE;
}

enum exception tensors_data(struct exchange *x, struct slice data)
{
	struct tensors *t = &x->tensors;
	size_t n = t->json < data.len ? (size_t)t->json : data.len;
	enum exception e = EXCEPTION_NONE;

	body_advance(x, data.len, data.len);
	if (n) {
		e = json_data(x, slice_of(data.at, n));
		t->json -= n;
		data = slice_from(data, n);
		if (e == EXCEPTION_NONE && !t->json)
			e = json_end(x);
	}
	return e == EXCEPTION_NONE && data.len ? binary_data(x, data) : e;
}
