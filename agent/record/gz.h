/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gz.h - a sealed segment: gzip members behind one another, each of at most 64 KiB of whole records, so that zcat reads
 * the file and a reader may start at any member. Beside it stands its SHA-256 as sha256sum(1) writes it, which notices
 * what gzip's own checks do not.
 */
#pragma once

#include <sys/types.h>

#include "record/segment.h"

#define GZ_MEMBER (64u << 10)

struct gz_reader;

/* Takes the descriptor, on success. -ENOMEM. */
int gz_open(struct gz_reader **out, int fd);
void gz_close(struct gz_reader **at);
/* Bytes of what was compressed, 0 at the end, -EBADMSG: damaged or cut off, -errno. */
ssize_t gz_read(struct gz_reader *r, uint8_t *to, size_t room);

/* One member after the other, or any by its place: what the scan and the index read with. */
struct gz_members;

#define GZ_RAW_MOST (GZ_MEMBER + (4u << 10)) /* a member may be one record that is longer than GZ_MEMBER */

/* Borrows the descriptor. -ENOMEM. */
int gz_members_open(struct gz_members **out, int fd);
void gz_members_close(struct gz_members **at);
/* The member that begins at byte `at` of the file: 1, its bytes in *raw (borrowed until the next call) and its length
 * in the file in *used; 0: the file ends here; -EBADMSG: no member, or one longer than the sealer makes; -errno. */
int gz_member(struct gz_members *g, uint64_t at, struct slice *raw, size_t *used);

/* What the trailer of a segment says; length and hash are found while sealing. */
struct seal {
	struct segment_name name;
	uint64_t records; /* what the tree counts: a file may hold more that was never promised */
	struct hash root; /* behind the last of them */
	bool (*stop)(void *arg);
	void *arg;
};

/* Compresses the raw file into NAME.gz, with its trailer, syncs it and removes the raw one. -ECANCELED: stop said so;
 * -EBADMSG: the raw file is not sound, and stays. */
int gz_seal(const struct file_ops *ops, int dir, const struct seal *s);
