/* SPDX-License-Identifier: Apache-2.0 */
#include "record/frame.h"

#include <endian.h>

#include "record/crc32c.h"

#define TAG_SEQ       0x09 /* field 1, fixed64 */
#define TAG_TIME      0x11
#define TAG_BOOTTIME  0x19
#define TAG_BOOT_ID   0x22
#define SHORTEST      (2 + STAMP_LEN + CRC_LEN) /* of a record in its frame */
#define LENGTH_DIGITS 3

enum frame_step frame_read(struct slice in, struct frame *out)
{
	size_t len = 0, n = 1;

	if (!in.len)
		return FRAME_MORE;
	if (in.at[0] != TAG_RECORD && in.at[0] != TAG_HEADER && in.at[0] != TAG_TRAILER)
		return FRAME_BAD;
	for (;; n++) {
		if (n > LENGTH_DIGITS)
			return FRAME_BAD;
		if (n == in.len)
			return FRAME_MORE;
		len |= (size_t)(in.at[n] & 0x7F) << (7 * (n - 1));
		if (!(in.at[n] & 0x80))
			break;
	}
	/* One way to write a length, or bytes could be slipped in that no CRC covers. */
	if (len > RECORD_MAX || (n > 1 && !in.at[n]))
		return FRAME_BAD;
	n++;
	if (in.len - n < len)
		return FRAME_MORE;
	*out = (struct frame){ in.at[0], { in.at + n, len }, n + len };
	return FRAME_ITEM;
}

size_t frame_start(uint8_t *to, uint8_t tag, size_t len)
{
	size_t n = 0;

	to[n++] = tag;
	for (; len >= 0x80; len >>= 7)
		to[n++] = (uint8_t)(len | 0x80);
	to[n++] = (uint8_t)len;
	return n;
}

static uint8_t *put_fixed64(uint8_t *to, uint8_t tag, uint64_t value)
{
	value = htole64(value);
	*to++ = tag;
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

void frame_stamp(uint8_t *to, const struct stamp *s)
{
	to = put_fixed64(to, TAG_SEQ, s->seq);
	to = put_fixed64(to, TAG_TIME, s->time_unix_nano);
	to = put_fixed64(to, TAG_BOOTTIME, s->boottime_nano);
	*to++ = TAG_BOOT_ID;
	*to++ = BOOT_ID_LEN;
	memcpy(to, s->boot_id, BOOT_ID_LEN);
}

void frame_seal(uint8_t *at, size_t len)
{
	uint32_t crc = htole32(crc32c(0, at, len));

	at[len] = TAG_CRC;
	memcpy(at + len + 1, &crc, sizeof(crc));
}

bool frame_sealed(struct slice body)
{
	size_t len = body.len - CRC_LEN;
	uint32_t crc;

	if (body.len <= CRC_LEN || body.at[len] != TAG_CRC)
		return false;
	memcpy(&crc, body.at + len + 1, sizeof(crc));
	return le32toh(crc) == crc32c(0, body.at, len);
}

bool frame_seq(struct slice body, uint64_t *out)
{
	uint64_t seq;

	if (body.len < 1 + sizeof(seq) || body.at[0] != TAG_SEQ)
		return false;
	memcpy(&seq, body.at + 1, sizeof(seq));
	*out = le64toh(seq);
	return true;
}

size_t frame_record(uint8_t *to, const struct stamp *s, struct slice body)
{
	size_t len = STAMP_LEN + body.len, n = frame_start(to, TAG_RECORD, len + CRC_LEN);

	frame_stamp(to + n, s);
	if (body.len)
		memcpy(to + n + STAMP_LEN, body.at, body.len);
	frame_seal(to + n, len);
	return n + len + CRC_LEN;
}

/* A record with a seq that fits this place: text that a stranger chose may look like a record, but hardly like the one
 * that is due, and what a forged seq could do is bounded. */
static bool whole_record(struct slice at, uint64_t expected, uint64_t within, struct frame *f, uint64_t *seq)
{
	return at.len && at.at[0] == TAG_RECORD && frame_read(at, f) == FRAME_ITEM && frame_seq(f->body, seq) &&
	       *seq >= expected && *seq - expected <= within && frame_sealed(f->body);
}

bool frame_damaged(struct slice rest, uint64_t expected, uint64_t *beyond)
{
	uint64_t within = rest.len / SHORTEST + 1, seq, next = expected;
	bool found = false;
	size_t last = 0;
	struct frame f;

	for (size_t i = 0; i < rest.len;) {
		if (whole_record(slice_from(rest, i), expected, within, &f, &seq)) {
			found = true;
			next = seq >= next ? seq + 1 : next;
			i += f.used;
			last = i;
		} else {
			i++;
		}
	}
	/* A record that is whole but for its length field: the last of a file, its CRC the file's end. */
	for (size_t i = 1; !found && i < 1 + LENGTH_DIGITS + 1 && i < rest.len && rest.len - i <= RECORD_MAX; i++)
		found = frame_sealed(slice_from(rest, i));
	*beyond = next + (rest.len - last) / SHORTEST + 1;
	return found;
}
