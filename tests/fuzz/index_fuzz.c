/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_fuzz.c - any bytes as an index: it is refused, or each block of it lies within the segment it is said to be of,
 * behind the one before, and can be asked. The CRC is made right, so that what is behind it is reached.
 */
#include <endian.h>
#include <stdlib.h>

#include "base/own.h"
#include "record/crc32c.h"
#include "record/index.h"

#define HEAD 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t number(const uint8_t *at, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, at, len);
	return le64toh(v);
}

static struct record_filter *filter(void)
{
	static struct record_filter *f;

	if (!f && (record_filter_new(&f) || record_filter_add(f, "verdict=BLOCKED") || record_filter_add(f, "+") ||
	           record_filter_add(f, "type=access")))
		abort();
	return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned(index_free) struct index *x = NULL;
	owned(own_free) uint8_t *copy = NULL;
	uint64_t end = 0, length;
	uint32_t crc;

	if (size < HEAD + 4 || size > 1 << 20)
		return 0;
	copy = malloc(size);
	memcpy(copy, data, size);
	crc = htole32(crc32c(0, copy, size - 4));
	memcpy(copy + size - 4, &crc, 4);
	length = number(copy + 24, 8);
	if (index_read(&x, slice_of(copy, size), number(copy + 16, 8), length, (uint32_t)number(copy + 32, 4)))
		return 0;
	for (size_t i = 0; i < index_blocks(x); i++) {
		struct index_block b = index_block(x, i);

		if (b.at < end || b.at > length || b.len > length - b.at)
			abort();
		end = b.at + b.len;
		(void)index_may_match(x, i, filter());
	}
	return 0;
}
