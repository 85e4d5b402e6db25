/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - the fields of a message as they are stored (protobuf encoding). Here and not behind a door: a question to
 * five million records calls this a hundred million times.
 */
#pragma once

#include <endian.h>

#include "base/slice.h"

/* One field of a message. */
struct wire_field {
	uint32_t id;
	uint8_t wire;       /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
	uint64_t number;    /* of 0, 1, 5; of 2 the length */
	struct slice bytes; /* of 2 */
};

static inline bool wire_varint(struct slice *in, uint64_t *out)
{
	uint64_t value = 0;

	if (in->len && in->at[0] < 0x80) { /* as most are */
		*out = in->at[0];
		*in = slice_from(*in, 1);
		return true;
	}
	for (size_t i = 0; i < in->len && i < 10; i++) {
		value |= (uint64_t)(in->at[i] & 0x7F) << (7 * i);
		if (!(in->at[i] & 0x80)) {
			*in = slice_from(*in, i + 1);
			*out = value;
			return true;
		}
	}
	return false;
}

static inline bool wire_fixed(struct slice *in, size_t len, uint64_t *out)
{
	uint64_t value = 0;

	if (in->len < len)
		return false;
	memcpy(&value, in->at, len);
	*out = le64toh(value);
	*in = slice_from(*in, len);
	return true;
}

/* Takes the first field off *in. False at the end, and where the bytes are no field. */
static inline bool wire_next(struct slice *in, struct wire_field *out)
{
	uint64_t tag, len;

	if (!in->len || !wire_varint(in, &tag) || tag >> 3 > UINT32_MAX)
		return false;
	out->id = (uint32_t)(tag >> 3);
	out->wire = tag & 7;
	switch (out->wire) {
	case 0:
		return wire_varint(in, &out->number);
	case 1:
		return wire_fixed(in, 8, &out->number);
	case 2:
		if (!wire_varint(in, &len) || len > in->len)
			return false;
		out->number = len;
		out->bytes = slice_of(in->at, (size_t)len);
		*in = slice_from(*in, (size_t)len);
		return true;
	case 5:
		return wire_fixed(in, 4, &out->number);
	default:
		return false;
	}
}
