/* SPDX-License-Identifier: Apache-2.0 */
#include "record/gz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <zlib.h>

#include <openssl/evp.h>

#include "base/own.h"
#include "record/frame.h"

#define IN_ROOM   (64u << 10)
#define GZIP_BITS (15 + 16) /* zlib: a window of 32 KiB, in gzip's wrapping */

/* ---- reading ---- */

struct gz_reader {
	int fd;
	z_stream z;
	bool inside, over; /* of a member; at the end of the file */
	uint8_t in[IN_ROOM];
};

int gz_open(struct gz_reader **out, int fd)
{
	struct gz_reader *r = calloc(1, sizeof(*r));

	if (!r || inflateInit2(&r->z, GZIP_BITS) != Z_OK) {
		free(r);
		return -ENOMEM;
	}
	r->fd = fd;
	*out = r;
	return 0;
}

void gz_close(struct gz_reader **at)
{
	struct gz_reader *r = *at;

	if (!r)
		return;
	inflateEnd(&r->z);
	own_close(&r->fd);
	free(r);
	*at = NULL;
}

static int more_in(struct gz_reader *r)
{
	ssize_t n;

	do
		n = read(r->fd, r->in, sizeof(r->in));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r->over = !n;
	r->z.next_in = r->in;
	r->z.avail_in = (unsigned)n;
	return 0;
}

ssize_t gz_read(struct gz_reader *r, uint8_t *to, size_t room)
{
	unsigned want = room > 1u << 30 ? 1u << 30 : (unsigned)room;

	r->z.next_out = to;
	r->z.avail_out = want;
	while (r->z.avail_out) {
		int err, did;

		err = r->z.avail_in || r->over ? 0 : more_in(r);
		if (err)
			return err;
		if (!r->z.avail_in) /* the end: right only between members */
			return r->inside ? -EBADMSG : (ssize_t)(want - r->z.avail_out);
		r->inside = true;
		did = inflate(&r->z, Z_NO_FLUSH);
		if (did == Z_STREAM_END) {
			r->inside = false;
			did = inflateReset(&r->z);
		}
		if (did != Z_OK && did != Z_BUF_ERROR)
			return -EBADMSG;
	}
	return (ssize_t)(want - r->z.avail_out);
}

/* ---- sealing ---- */

struct sealer {
	const struct file_ops *ops;
	const struct seal *s;
	int dir, in, out;
	EVP_MD_CTX *raw, *packed;
	z_stream z;
	bool deflating;
	uint64_t offset, records, last_seq;
	size_t have; /* bytes in data */
	uint8_t data[GZ_MEMBER + FRAME_MAX], gz[GZ_MEMBER * 2];
};

static void sealer_free(struct sealer **at)
{
	struct sealer *w = *at;

	if (!w)
		return;
	if (w->deflating)
		deflateEnd(&w->z);
	EVP_MD_CTX_free(w->raw);
	EVP_MD_CTX_free(w->packed);
	own_close(&w->in);
	own_close(&w->out);
	free(w);
}

static int write_out(const struct file_ops *ops, int fd, const uint8_t *at, size_t len)
{
	while (len) {
		ssize_t n = ops->append(fd, at, len);

		if (n <= 0)
			return n ? (int)n : -EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One member of the first `len` bytes of data. */
static int write_member(struct sealer *w, const uint8_t *at, size_t len)
{
	w->z.next_in = (uint8_t *)at;
	w->z.avail_in = (unsigned)len;
	if (deflateReset(&w->z) != Z_OK)
		return -EIO;
	do {
		size_t n;
		int did, err;

		w->z.next_out = w->gz;
		w->z.avail_out = sizeof(w->gz);
		did = deflate(&w->z, Z_FINISH);
		if (did == Z_STREAM_ERROR)
			return -EIO;
		n = sizeof(w->gz) - w->z.avail_out;
		if (EVP_DigestUpdate(w->packed, w->gz, n) != 1)
			return -EIO;
		err = write_out(w->ops, w->out, w->gz, n);
		if (err)
			return err;
	} while (!w->z.avail_out);
	return 0;
}

static int fill_data(struct sealer *w)
{
	while (w->have < sizeof(w->data)) {
		ssize_t n = read(w->in, w->data + w->have, sizeof(w->data) - w->have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		w->have += (size_t)n;
	}
	return 0;
}

/* The whole fields that make the next member; 0: none is left. -EBADMSG. */
static ssize_t next_cut(struct sealer *w)
{
	struct slice rest = slice_of(w->data, w->have);
	struct frame f;
	size_t cut = 0;
	uint64_t seq;

	while (w->records < w->s->records || !w->offset) {
		if (frame_read(rest, &f) != FRAME_ITEM || f.tag == TAG_TRAILER || !frame_sealed(f.body))
			return rest.len && cut ? (ssize_t)cut : -EBADMSG;
		if (cut && cut + f.used > GZ_MEMBER)
			break;
		if (f.tag == TAG_RECORD) {
			if (!frame_seq(f.body, &seq))
				return -EBADMSG;
			w->last_seq = seq;
			w->records++;
		}
		cut += f.used;
		w->offset += f.used;
		rest = slice_from(rest, f.used);
	}
	return (ssize_t)cut;
}

static int write_body(struct sealer *w)
{
	for (;;) {
		ssize_t cut;
		int err = fill_data(w);

		if (err)
			return err;
		if (w->s->stop && w->s->stop(w->s->arg))
			return -ECANCELED;
		cut = next_cut(w);
		if (cut <= 0)
			return (int)cut;
		if (EVP_DigestUpdate(w->raw, w->data, (size_t)cut) != 1)
			return -EIO;
		err = write_member(w, w->data, (size_t)cut);
		if (err)
			return err;
		memmove(w->data, w->data + cut, w->have - (size_t)cut);
		w->have -= (size_t)cut;
	}
}

static int write_trailer(struct sealer *w)
{
	SegmentTrailer t = SEGMENT_TRAILER__INIT;
	uint8_t sum[HASH_LEN], body[256], frame[sizeof(body) + 4];
	size_t len, n;

	if (EVP_DigestFinal_ex(w->raw, sum, NULL) != 1)
		return -EIO;
	t.last_seq = w->last_seq;
	t.root = (ProtobufCBinaryData){ HASH_LEN, (uint8_t *)w->s->root.at };
	t.records = w->records;
	t.length = w->offset;
	t.sha256 = (ProtobufCBinaryData){ HASH_LEN, sum };
	len = segment_trailer__pack(&t, body);
	n = frame_start(frame, TAG_TRAILER, len);
	memcpy(frame + n, body, len);
	return write_member(w, frame, n + len);
}

/* "<hex>  NAME\n", durable before the file it is about has its name. */
static int write_sum(struct sealer *w, const char *gz_name)
{
	owned(own_close) int fd = -1;
	char name[NAME_ROOM + 8], line[2 * HASH_LEN + NAME_ROOM + 4];
	uint8_t sum[HASH_LEN];
	int n = 0, opened, err;

	if (EVP_DigestFinal_ex(w->packed, sum, NULL) != 1)
		return -EIO;
	for (size_t i = 0; i < HASH_LEN; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, "%02x", sum[i]);
	n += snprintf(line + n, sizeof(line) - (size_t)n, "  %s\n", gz_name);
	snprintf(name, sizeof(name), "%s" SUM_SUFFIX, gz_name);
	opened = w->ops->open(w->dir, name, O_WRONLY | O_CREAT | O_TRUNC);
	if (opened < 0)
		return opened;
	fd = opened;
	err = write_out(w->ops, fd, (const uint8_t *)line, (size_t)n);
	err = err ? err : w->ops->sync(fd);
	return err ? err : w->ops->sync_dir(w->dir);
}

static int seal_to(struct sealer *w, const char *raw, const char *sealed, const char *temporary)
{
	int err;

	w->in = openat(w->dir, raw, O_RDONLY | O_CLOEXEC);
	if (w->in < 0)
		return -errno;
	w->out = w->ops->open(w->dir, temporary, O_WRONLY | O_CREAT | O_TRUNC);
	if (w->out < 0) {
		err = w->out;
		w->out = -1;
		return err;
	}
	err = write_body(w);
	if (!err && w->records != w->s->records)
		err = -EBADMSG;
	err = err ? err : write_trailer(w);
	err = err ? err : w->ops->sync(w->out);
	err = err ? err : write_sum(w, sealed);
	err = err ? err : w->ops->rename(w->dir, temporary, sealed);
	err = err ? err : w->ops->sync_dir(w->dir);
	return err ? err : w->ops->remove(w->dir, raw);
}

int gz_seal(const struct file_ops *ops, int dir, const struct seal *s)
{
	owned(sealer_free) struct sealer *w = calloc(1, sizeof(*w));
	struct segment_name name = s->name;
	char raw[NAME_ROOM], sealed[NAME_ROOM], temporary[NAME_ROOM + 8];
	int err;

	if (!w)
		return -ENOMEM;
	w->ops = ops;
	w->s = s;
	w->dir = dir;
	w->in = w->out = -1;
	w->raw = EVP_MD_CTX_new();
	w->packed = EVP_MD_CTX_new();
	if (!w->raw || !w->packed || EVP_DigestInit_ex(w->raw, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestInit_ex(w->packed, EVP_sha256(), NULL) != 1 ||
	    deflateInit2(&w->z, 1, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	w->deflating = true;
	name.sealed = false;
	segment_name_text(raw, &name);
	name.sealed = true;
	segment_name_text(sealed, &name);
	snprintf(temporary, sizeof(temporary), "%s.new", sealed);
	err = seal_to(w, raw, sealed, temporary);
	if (err)
		(void)ops->remove(dir, temporary);
	return err;
}
