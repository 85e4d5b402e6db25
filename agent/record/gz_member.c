/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gz_member.c - a sealed segment in pieces: each member can be read by itself, so that most need not be. A member is
 * whole in memory, which is what libdeflate is made for: it takes a third of zlib's time.
 */
#include <errno.h>
#include <libdeflate.h>

#include "base/own.h"
#include "record/gz.h"

#define IN_MOST (GZ_RAW_MOST + 1024) /* deflate never makes more of it */
#define IN_ROOM (4 * IN_MOST)

struct gz_members {
	int fd;
	struct libdeflate_decompressor *inflater;
	uint64_t in_at; /* of `in` in the file */
	size_t in_len;
	uint8_t in[IN_ROOM], raw[GZ_RAW_MOST];
};

int gz_members_open(struct gz_members **out, int fd)
{
	struct gz_members *g = malloc(sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->fd = fd;
	g->in_at = g->in_len = 0;
	g->inflater = libdeflate_alloc_decompressor();
	if (!g->inflater) {
		free(g);
		return -ENOMEM;
	}
	*out = g;
	return 0;
}

void gz_members_close(struct gz_members **at)
{
	if (!*at)
		return;
	libdeflate_free_decompressor((*at)->inflater);
	free(*at);
	*at = NULL;
}

/* Bytes of the file from `at` on; fewer than IN_MOST only at its end. */
static int look(struct gz_members *g, uint64_t at, struct slice *out)
{
	uint64_t skip = at - g->in_at;

	if (at < g->in_at || skip > g->in_len || g->in_len - skip < IN_MOST) {
		g->in_at = at;
		g->in_len = 0;
		skip = 0;
		while (g->in_len < IN_ROOM) {
			ssize_t n = pread(g->fd, g->in + g->in_len, IN_ROOM - g->in_len, (off_t)(at + g->in_len));

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -errno;
			if (!n)
				break;
			g->in_len += (size_t)n;
		}
	}
	*out = slice_of(g->in + skip, g->in_len - (size_t)skip);
	return 0;
}

int gz_member(struct gz_members *g, uint64_t at, struct slice *raw, size_t *used)
{
	struct slice in = { NULL, 0 };
	size_t len;
	int err = at > INT64_MAX ? -EBADMSG : look(g, at, &in);

	if (err || !in.len)
		return err;
	if (libdeflate_gzip_decompress_ex(g->inflater, in.at, in.len, g->raw, GZ_RAW_MOST, used, &len) !=
	    LIBDEFLATE_SUCCESS)
		return -EBADMSG;
	*raw = slice_of(g->raw, len);
	return 1;
}
