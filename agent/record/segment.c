/* SPDX-License-Identifier: Apache-2.0 */
/* segment.c - writing one file of a ledger. Nothing is tried twice on a file that failed: the kernel may have dropped
 * the pages and would report success. */
#include "record/segment.h"

#include <errno.h>
#include <fcntl.h>

#include "base/own.h"
#include "record/frame.h"

#define HEADER_ROOM 1024
#define DAY_NS      (86400ull * 1000000000u)

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "0"
#endif

static int write_all(struct segment *s, const struct file_ops *ops, const uint8_t *at, size_t len)
{
	while (len) {
		ssize_t n = ops->append(s->fd, at, len);

		if (n <= 0)
			return n ? (int)n : -EIO;
		at += n;
		len -= (size_t)n;
		s->size += (uint64_t)n;
	}
	return 0;
}

static int write_header(struct segment *s, const struct file_ops *ops, const struct segment_head *head)
{
	SegmentHeader h = SEGMENT_HEADER__INIT;
	ProtobufCBinaryData key_id = { KEY_ID, (uint8_t *)head->key_id };
	uint8_t body[HEADER_ROOM], frame[FRAME_MAX < HEADER_ROOM + 8 ? FRAME_MAX : HEADER_ROOM + 8];
	size_t len, n;

	h.format = SEGMENT_FORMAT;
	h.origin = (char *)head->origin;
	h.first_seq = head->first_seq;
	h.tree_size = head->tree_size;
	h.root = (ProtobufCBinaryData){ HASH_LEN, (uint8_t *)head->root.at };
	h.n_key_ids = 1;
	h.key_ids = &key_id;
	h.build = (char *)SLUICE_VERSION;
	h.retention_class = (char *)(head->retention_class ? head->retention_class : "");
	h.created_unix_nano = s->created_unix_nano = ops->clock(CLOCK_REALTIME);
	if (head->floor_days)
		h.not_before_delete_unix_nano = h.created_unix_nano + head->floor_days * DAY_NS;
	len = segment_header__get_packed_size(&h);
	if (len > HEADER_ROOM - CRC_LEN)
		return -ENAMETOOLONG;
	segment_header__pack(&h, body);
	frame_seal(body, len);
	n = frame_start(frame, TAG_HEADER, len + CRC_LEN);
	memcpy(frame + n, body, len + CRC_LEN);
	return write_all(s, ops, frame, n + len + CRC_LEN);
}

/* Space for the whole segment now, so that a full disk is noticed while there is still room to say so. */
static int reserve_space(struct segment *s, const struct file_ops *ops, uint64_t reserve)
{
	int err = reserve > s->size ? ops->reserve(s->fd, reserve) : 0;

	return err == -EOPNOTSUPP || err == -ENOSYS ? 0 : err;
}

static int begin(struct segment *s, const struct file_ops *ops, int dir, const struct segment_head *head,
                 uint64_t reserve)
{
	int err = reserve_space(s, ops, reserve);

	if (!err && !s->size)
		err = write_header(s, ops, head);
	s->header = s->size;
	if (!err)
		err = segment_sync(s, ops);
	return err ? err : ops->sync_dir(dir);
}

int segment_create(struct segment *s, const struct file_ops *ops, int dir, const struct segment_head *head,
                   uint64_t reserve)
{
	char name[NAME_ROOM];

	*s = (struct segment){ .fd = -1, .name.first_seq = head->first_seq };
	segment_name_text(name, &s->name);
	s->fd = ops->open(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL);
	if (s->fd < 0) {
		int err = s->fd;

		s->fd = -1;
		return err;
	}
	return begin(s, ops, dir, head, reserve);
}

int segment_resume(struct segment *s, const struct file_ops *ops, int dir, const struct segment_head *head,
                   uint64_t size, uint64_t reserve)
{
	char name[NAME_ROOM];

	*s = (struct segment){ .fd = -1,
		               .name.first_seq = head->first_seq,
		               .size = size,
		               .durable = size,
		               .created_unix_nano = head->created_unix_nano };
	segment_name_text(name, &s->name);
	s->fd = ops->open(dir, name, O_WRONLY | O_APPEND);
	if (s->fd < 0) {
		int err = s->fd;

		s->fd = -1;
		return err;
	}
	return begin(s, ops, dir, head, reserve);
}

int segment_write(struct segment *s, const struct file_ops *ops, struct slice bytes)
{
	return write_all(s, ops, bytes.at, bytes.len);
}

int segment_sync(struct segment *s, const struct file_ops *ops)
{
	int err = ops->sync(s->fd);

	if (!err)
		s->durable = s->size;
	return err;
}

void segment_finish(struct segment *s, const struct file_ops *ops)
{
	if (s->fd < 0)
		return;
	(void)ops->truncate(s->fd, s->size); /* the size is already so: only space is given back, which may fail */
	close(TAKE_FD(s->fd));
}

void segment_abandon(struct segment *s, const struct file_ops *ops)
{
	if (s->fd < 0)
		return;
	(void)ops->truncate(s->fd, s->durable); /* the Recovery record says where the sound part ends if this fails */
	close(TAKE_FD(s->fd));
}
