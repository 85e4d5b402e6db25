/* SPDX-License-Identifier: Apache-2.0 */
/* index_format.h - what the writer and the reader of an index share. */
#pragma once

#include <endian.h>

#include "record/index.h"
#include "record/segment.h"

#define INDEX_MAGIC       "SLUICEIX"
#define INDEX_VERSION     2
#define INDEX_HEAD_LEN    40
#define INDEX_BLOCK_LEN   48
#define INDEX_BITS_A_KEY  8
#define INDEX_PROBES      5 /* with 8 bits a key: 2 % wrong */
#define INDEX_BLOCKS_MOST (1u << 20)
#define INDEX_FILE_MOST   (256u << 20)

static inline uint32_t index_get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

static inline uint64_t index_get64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return le64toh(v);
}

static inline uint8_t *index_put32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static inline uint8_t *index_put64(uint8_t *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

/* The length of a file and the CRC of its end, which holds the trailer with the hash of all in front of it. */
int index_end(int fd, uint64_t *size, uint32_t *tail);
void index_name(char to[NAME_ROOM], uint64_t first_seq);
/* The bit of probe i in a filter of so many bits. */
uint64_t index_bit(uint64_t key, unsigned i, uint64_t bits);
