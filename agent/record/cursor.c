/* SPDX-License-Identifier: Apache-2.0 */
/* cursor.c - a place in a log that is known again: the log's name, the seq, and the record's own hash. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"
#include "record/frame.h"
#include "record/segment.h"
#include "record/tree.h"

#define HASH_DIGITS 16

/* The name of the log, from the header of any of its segments. */
static int read_origin(const char *dir, char to[NOTE_NAME])
{
	owned(own_close) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	owned(own_free) struct segment_name *list = NULL;
	size_t n = 0;
	int err = at < 0 ? -errno : segment_list(at, &list, &n);

	if (err)
		return err;
	for (size_t i = n; i > 0; i--) {
		owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
		struct slice raw;

		if (!segment_walk_open(&w, at, &list[i - 1]) && segment_walk_next(&w, &raw) >= 0 && w.begun) {
			snprintf(to, NOTE_NAME, "%s", w.head.origin);
			return 0;
		}
	}
	return -ENOENT;
}

static void hash_text(char to[HASH_DIGITS + 1], struct slice raw)
{
	struct hash leaf;

	hash_leaf(&leaf, raw);
	for (size_t i = 0; i < HASH_DIGITS / 2; i++)
		snprintf(to + 2 * i, 3, "%02x", leaf.at[i]);
}

int ledger_cursor(const char *dir, const uint8_t *raw, size_t len, char to[LEDGER_CURSOR])
{
	char origin[NOTE_NAME], hash[HASH_DIGITS + 1];
	uint64_t seq;
	int err = frame_seq(slice_of(raw, len), &seq) ? read_origin(dir, origin) : -EBADMSG;

	if (err)
		return err;
	hash_text(hash, slice_of(raw, len));
	snprintf(to, LEDGER_CURSOR, "o=%s;s=%" PRIu64 ";h=%s", origin, seq, hash);
	return 0;
}

/* o=ORIGIN;s=SEQ;h=HASH */
static bool read_cursor(struct slice text, struct slice *origin, uint64_t *seq, struct slice *hash)
{
	const char *from = (const char *)text.at, *s, *h;
	char *end;

	if (text.len < 2 || memcmp(from, "o=", 2) != 0)
		return false;
	s = memmem(from, text.len, ";s=", 3);
	h = memmem(from, text.len, ";h=", 3);
	if (!s || !h || h < s + 4 || (size_t)(from + text.len - h) != 3 + HASH_DIGITS || s[3] < '0' || s[3] > '9')
		return false;
	*origin = slice_of(from + 2, (size_t)(s - from) - 2);
	errno = 0;
	*seq = strtoull(s + 3, &end, 10);
	*hash = slice_of(h + 3, HASH_DIGITS);
	return end == h && !errno && *seq < UINT64_MAX;
}

int ledger_find_cursor(const char *dir, const char *text, size_t len, uint64_t *seq)
{
	owned(ledger_reader_close) struct ledger_reader *r = NULL;
	char mine[NOTE_NAME], hash[HASH_DIGITS + 1];
	struct slice origin, wanted, raw;
	uint64_t at = 0, got_seq;
	int err, got;

	if (!read_cursor(slice_of(text, len), &origin, &at, &wanted))
		return -EINVAL;
	err = read_origin(dir, mine);
	if (err)
		return err;
	if (!slice_is(origin, slice_str(mine)))
		return -ENOENT;
	err = ledger_reader_open(&r, dir);
	if (err)
		return err;
	ledger_seek_seq(r, at);
	while ((got = ledger_step(r)) == -EBADMSG)
		;
	if (got < 0)
		return got;
	*seq = at;
	if (!got)
		return -ESTALE; /* the log ends before it */
	ledger_raw(r, &raw.at, &raw.len);
	if (!frame_seq(raw, &got_seq) || got_seq != at)
		return -ENODATA; /* it was pruned, or never was */
	hash_text(hash, raw);
	return slice_is_nocase(wanted, slice_str(hash)) ? 0 : -ESTALE;
}

int ledger_find(struct ledger_reader **r, const char *dir, uint64_t seq, const Record **out)
{
	int err = ledger_reader_open(r, dir), got;

	if (err)
		return err;
	ledger_seek_seq(*r, seq);
	got = ledger_next(*r, out);
	return got < 0 ? got : got && (*out)->seq == seq ? 0 : -ENOENT;
}
