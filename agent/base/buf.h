/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h - a capped byte queue: bytes are added behind and taken in front.
 *
 * The bytes are contiguous, so parsers see slices and no ring. Memory grows by doubling up to `cap`; what does not fit
 * is refused, so a hostile peer meets back-pressure or a named exception, never the allocator's limit.
 */
#pragma once

#include "base/slice.h"

struct buf {
	uint8_t *data;
	size_t start, end; /* live bytes are data[start..end) */
	size_t room;       /* bytes allocated */
	size_t cap;        /* most live bytes at a time; 0: nothing fits */
};

/* An empty queue of at most `cap` bytes. Nothing is allocated until bytes come. */
#define BUF(most) ((struct buf){ .cap = (most) })

/* Frees the bytes; the queue is empty and usable afterwards. */
void buf_free(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

/* Never NULL, so that slice_from() may be asked for what is behind nothing. */
static inline struct slice buf_slice(const struct buf *b)
{
	return b->data ? (struct slice){ b->data + b->start, b->end - b->start } : SLICE("");
}

/* Room for `want` bytes behind the queue. Returns where they go, or NULL if the cap or memory forbids it.
 * Invalidates slices into the queue. Follow with buf_added(). */
uint8_t *buf_want(struct buf *b, size_t want);

static inline void buf_added(struct buf *b, size_t n)
{
	b->end += n;
}

/* Adds a copy of `bytes`. 0, or -ENOBUFS (cap) or -ENOMEM. The queue is unchanged on error. */
int buf_add(struct buf *b, struct slice bytes);

/* Adds text as printf does. Errors as buf_add. */
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Takes the first n bytes away; n <= buf_len(b). Gives large memory back when the queue runs empty. */
void buf_take(struct buf *b, size_t n);

/* Keeps only the first n bytes; n <= buf_len(b). */
static inline void buf_cut(struct buf *b, size_t n)
{
	b->end = b->start + n;
}

/* Replaces the `del` bytes at offset `at` by `bytes`. Errors as buf_add. */
int buf_splice(struct buf *b, size_t at, size_t del, struct slice bytes);
