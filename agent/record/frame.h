/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h - the fields of a Segment as bytes: tag, varint length, body; and the CRC that ends a body.
 *
 * Stored bytes are never packed again (protobuf is not canonical), so the parts that the ledger adds to a record are
 * bytes too: a stamp in front of what was appended, the CRC behind it. Pure: no I/O.
 */
#pragma once

#include "base/slice.h"

#define TAG_RECORD   0x0A
#define TAG_HEADER   0x12
#define TAG_TRAILER  0x1A
#define TAG_CRC      0x7D  /* field 15, fixed32: always the last five bytes */
#define RECORD_MAX   65535 /* a leaf of tlog-tiles */
#define FRAME_MAX    (1 + 3 + RECORD_MAX)
#define BOOT_ID_LEN  16
#define STAMP_LEN    (9 + 9 + 9 + 2 + BOOT_ID_LEN)
#define CRC_LEN      5
#define RECORD_EXTRA (STAMP_LEN + CRC_LEN)

enum frame_step { FRAME_MORE, FRAME_ITEM, FRAME_BAD };

struct frame {
	uint8_t tag;
	struct slice body;
	size_t used; /* bytes of the whole field */
};

/* What the ledger says about a record: fields 1 to 4. */
struct stamp {
	uint64_t seq, time_unix_nano, boottime_nano;
	uint8_t boot_id[BOOT_ID_LEN];
};

/* The field at the start of `in`. MORE: it goes on beyond the slice; BAD: no field of a Segment starts like this. */
enum frame_step frame_read(struct slice in, struct frame *out);
/* Writes tag and length; returns how many bytes (at most 4). len <= RECORD_MAX. */
size_t frame_start(uint8_t *to, uint8_t tag, size_t len);

/* Writes STAMP_LEN bytes. */
void frame_stamp(uint8_t *to, const struct stamp *s);
/* The CRC field over the len bytes in front of it: writes CRC_LEN bytes at `at + len`. */
void frame_seal(uint8_t *at, size_t len);
/* Whether a body ends in the right CRC. */
bool frame_sealed(struct slice body);
/* The seq of a record's bytes, if they start with one. */
bool frame_seq(struct slice body, uint64_t *out);

/* Whether the body of a record is that field of Record, 16 to 127: two bytes right behind the stamp. */
static inline bool frame_holds(struct slice body, unsigned field)
{
	return body.len > STAMP_LEN + 2 && body.at[STAMP_LEN] == (uint8_t)(0x80 | (field & 0x0f) << 3 | 2) &&
	       body.at[STAMP_LEN + 1] == field >> 4;
}

/* Writes a whole record (frame, stamp, `body`, CRC); returns its length. body.len + RECORD_EXTRA <= RECORD_MAX. */
size_t frame_record(uint8_t *to, const struct stamp *s, struct slice body);

/* `rest` starts where a field should and does not: were there whole records in it, so that it is damage and not just
 * an end that was never written? `expected` is the seq due here; *beyond is set to one more than any seq that may
 * have been used in `rest`. */
bool frame_damaged(struct slice rest, uint64_t expected, uint64_t *beyond);
