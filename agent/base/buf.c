/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ROOM_MIN  512
#define ROOM_KEEP 16384 /* an empty queue keeps no more than this */

void buf_free(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->start = b->end = b->room = 0;
}

uint8_t *buf_want(struct buf *b, size_t want)
{
	size_t len = buf_len(b), need = len + want, room;
	uint8_t *data;

	if (want > b->cap || len > b->cap - want)
		return NULL;
	if (b->room - b->end >= want && b->data)
		return b->data + b->end;
	/* Sliding is cheap only while the dead part in front is at least as long as what moves. */
	if (b->start >= len && b->room >= need && b->data) {
		memcpy(b->data, b->data + b->start, len);
		b->start = 0;
		b->end = len;
		return b->data + len;
	}
	for (room = b->room < ROOM_MIN ? ROOM_MIN : b->room; room < need; room *= 2)
		;
	data = malloc(room);
	if (!data)
		return NULL;
	if (len)
		memcpy(data, b->data + b->start, len);
	free(b->data);
	b->data = data;
	b->room = room;
	b->start = 0;
	b->end = len;
	return data + len;
}

static int no_room(const struct buf *b, size_t want)
{
	return want > b->cap || buf_len(b) > b->cap - want ? -ENOBUFS : -ENOMEM;
}

int buf_add(struct buf *b, struct slice bytes)
{
	uint8_t *to;

	if (!bytes.len)
		return 0;
	to = buf_want(b, bytes.len);
	if (!to)
		return no_room(b, bytes.len);
	memcpy(to, bytes.at, bytes.len);
	buf_added(b, bytes.len);
	return 0;
}

int buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;
	uint8_t *to;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	to = buf_want(b, (size_t)n + 1);
	if (!to)
		return no_room(b, (size_t)n + 1);
	va_start(ap, format);
	vsnprintf((char *)to, (size_t)n + 1, format, ap);
	va_end(ap);
	buf_added(b, (size_t)n);
	return 0;
}

void buf_take(struct buf *b, size_t n)
{
	b->start += n;
	if (b->start < b->end)
		return;
	b->start = b->end = 0;
	if (b->room > ROOM_KEEP)
		buf_free(b);
}

int buf_splice(struct buf *b, size_t at, size_t del, struct slice bytes)
{
	size_t tail = buf_len(b) - at - del;
	uint8_t *here;

	if (bytes.len > del && !buf_want(b, bytes.len - del))
		return no_room(b, bytes.len - del);
	here = b->data + b->start + at;
	memmove(here + bytes.len, here + del, tail);
	if (bytes.len)
		memcpy(here, bytes.at, bytes.len);
	b->end = b->end - del + bytes.len;
	return 0;
}
