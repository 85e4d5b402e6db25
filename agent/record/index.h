/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - what a sealed segment's blocks hold, so that most of them need not be read.
 *
 * NAME.idx stands beside NAME.seg.gz: for each gzip member its place, its first seq, its least and greatest time, and a
 * Bloom filter over the values in it and the grams of its texts (three characters in a row). It is derived: it may be
 * deleted at any time, is bound to its segment by the segment's length and end, and whoever goes by it checks that each
 * block is what it says. Nothing that verifies a log reads it. A forged one can hide records from who goes by it, no
 * more (a_forged_index_can_hide_and_nothing_else): who does not trust the folder asks without.
 *
 * All numbers little-endian: "SLUICEIX", u32 version, u32 blocks, u64 first seq, u64 length of the segment's file, u32
 * CRC32C of its last 512 bytes, u32 bytes of filters; the blocks, of 48 bytes: u64 place, u32 length, u32 records, u64
 * first seq, u64 least and u64 greatest time, u32 place and u32 length of the filter; the filters; u32 CRC32C of all
 * that.
 */
#pragma once

#include "record/file.h"
#include "record/filter.h"

#define INDEX_SUFFIX ".idx"

struct index;

struct index_block {
	uint64_t at, first_seq, least, most; /* place in the file; nanoseconds */
	uint32_t len, records, filter_at, filter_len;
};

/* Reads the index of the sealed segment open at `fd`. -ENOENT, -EBADMSG (damaged, or of another file), -errno. */
int index_load(struct index **out, int dir, uint64_t first_seq, int fd);
/* The same from bytes; borrows nothing. */
int index_read(struct index **out, struct slice bytes, uint64_t first_seq, uint64_t size, uint32_t tail);
void index_free(struct index **at);

size_t index_blocks(const struct index *x);
struct index_block index_block(const struct index *x, size_t i);
/* Whether block i can hold what is wanted. */
bool index_may_match(const struct index *x, size_t i, const struct record_filter *f);

/* Writes the index of a sealed segment, under a temporary name first. stop, which may be NULL, ends it. -EBADMSG: the
 * segment is not sound, -ECANCELED, -errno. */
int index_build(const struct file_ops *ops, int dir, uint64_t first_seq, bool (*stop)(void *arg), void *arg);
