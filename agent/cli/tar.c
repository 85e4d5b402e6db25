/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tar.h"

#include <errno.h>
#include <openssl/evp.h>

#include "base/own.h"

#define BLOCK     512
#define NAME_MOST 100
#define SIZE_MOST 0777777777777ull
#define SUM_LEN   32

/* POSIX.1-2017 pax, section ustar. */
struct ustar {
	char name[NAME_MOST], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[6],
		version[2];
	char uname[32], gname[32], major[8], minor[8], prefix[155], fill[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "a header of tar");

static int put(struct tar *t, const void *at, size_t len)
{
	return fwrite(at, 1, len, t->to) == len ? 0 : errno ? -errno : -EIO;
}

static int end_file(struct tar *t)
{
	static const uint8_t zeros[BLOCK];
	uint8_t sum[SUM_LEN];
	int err;

	if (!*t->path)
		return 0;
	if (t->left)
		return -EINVAL;
	err = put(t, zeros, (size_t)t->pad);
	if (EVP_DigestFinal_ex(t->sum, sum, NULL) != 1)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(sum); i++)
		fprintf(t->sums_to, "%02x", sum[i]);
	fprintf(t->sums_to, "  %s\n", t->path);
	*t->path = '\0';
	return err;
}

/* Eleven digits; less than SIZE_MOST. */
static void put_octal(char to[12], uint64_t value)
{
	to[11] = '\0';
	for (int i = 10; i >= 0; i--, value >>= 3)
		to[i] = (char)('0' + (value & 7));
}

static int begin(struct bundle_sink *s, const char *path, uint64_t len)
{
	struct tar *t = container_of(s, struct tar, sink);
	struct ustar h = { .mode = "0000600",
		           .uid = "0000000",
		           .gid = "0000000",
		           .type = '0',
		           .magic = "ustar",
		           .version = { '0', '0' } };
	unsigned sum = 0;
	int n, err = end_file(t);

	if (err)
		return err;
	n = snprintf(h.name, sizeof(h.name), "%s/%s", t->top, path);
	if (n < 0 || (size_t)n >= sizeof(h.name) || len > SIZE_MOST)
		return -ENAMETOOLONG;
	put_octal(h.size, len);
	put_octal(h.mtime, t->time_unix);
	memset(h.sum, ' ', sizeof(h.sum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((const uint8_t *)&h)[i];
	snprintf(h.sum, sizeof(h.sum), "%06o", sum);
	snprintf(t->path, sizeof(t->path), "%s", path);
	t->left = len;
	t->pad = (BLOCK - len % BLOCK) % BLOCK;
	if (EVP_DigestInit_ex(t->sum, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	return put(t, &h, sizeof(h));
}

static int bytes(struct bundle_sink *s, struct slice what)
{
	struct tar *t = container_of(s, struct tar, sink);

	if (what.len > t->left)
		return -EINVAL;
	if (what.len && EVP_DigestUpdate(t->sum, what.at, what.len) != 1)
		return -ENOMEM;
	t->left -= what.len;
	return put(t, what.at, what.len);
}

int tar_open(struct tar *t, FILE *to, const char *top, uint64_t time_unix)
{
	*t = (struct tar){ .sink = { .begin = begin, .bytes = bytes },
		           .to = to,
		           .top = top,
		           .time_unix = time_unix,
		           .sum = EVP_MD_CTX_new() };
	t->sums_to = open_memstream(&t->sums, &t->sums_len);
	return t->sum && t->sums_to ? 0 : -ENOMEM;
}

int tar_put(struct tar *t, const char *path, struct slice what)
{
	int err = begin(&t->sink, path, what.len);

	return err ? err : bytes(&t->sink, what);
}

int tar_end(struct tar *t)
{
	static const uint8_t zeros[2 * BLOCK];
	int err = end_file(t);

	if (err)
		return err;
	if (fflush(t->sums_to))
		return -ENOMEM;
	err = tar_put(t, "SHA256SUMS", slice_of(t->sums, t->sums_len));
	err = err ? err : end_file(t);
	err = err ? err : put(t, zeros, sizeof(zeros));
	return err ? err : fflush(t->to) ? -errno : 0;
}

void tar_close(struct tar *t)
{
	EVP_MD_CTX_free(t->sum);
	if (t->sums_to)
		fclose(t->sums_to);
	free(t->sums);
}
