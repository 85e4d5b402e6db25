/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classifier_file.c - the model file. All numbers are little-endian; it can be mapped and used as it is.
 *
 *      0  magic "sluicemd"
 *      8  u32 version, 2
 *     12  u32 where the weights begin, a multiple of 64
 *     16  u64 bytes of the file
 *     24  u64 texts trained on
 *     32  SHA-256 over bytes [0, 32) and [64, end)
 *     64  u8 bits, u8 longest n-gram, u16 risks, u32 fold (classifier_fold())
 *     72  risks, 88 bytes each: name of 72 bytes padded with 0, i64 gain, i32 offset, u32 positives
 *         0 up to the weights
 *         weights, i8 [bucket][risk]; -128 is none
 */
#include <errno.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "base/own.h"
#include "scan/classifier.h"

#define MAGIC      "sluicemd"
#define VERSION    2
#define AT_VERSION 8
#define AT_WEIGHTS 12
#define AT_SIZE    16
#define AT_TEXTS   24
#define AT_DIGEST  32
#define AT_SHAPE   64
#define AT_FOLD    68
#define AT_RISKS   72
#define RISK_BYTES 88
#define ALIGN      64
#define GAIN_MAX   ((int64_t)1 << 40)

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

static void put(uint8_t *p, unsigned bytes, uint64_t v)
{
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

/* FNV-1a over the table, number by number. */
uint32_t classifier_fold(void)
{
	static _Atomic uint32_t known;
	uint64_t h = 0xcbf29ce484222325u;
	uint32_t fold = known;

	if (fold)
		return fold;
	for (size_t i = 0; i < FOLD_INDEX; i++)
		h = (h ^ fold_index[i]) * 0x100000001b3u;
	for (size_t i = 0; i < fold_block_count; i++)
		for (size_t k = 0; k < FOLD_BLOCK; k++)
			h = (h ^ fold_blocks[i][k]) * 0x100000001b3u;
	for (size_t i = 0; i < fold_multi_count; i++)
		h = (h ^ fold_multi[i]) * 0x100000001b3u;
	fold = (uint32_t)(h ^ h >> 32) | 1;
	known = fold;
	return fold;
}

static int digest_of(struct slice file, uint8_t out[CLASSIFIER_DIGEST])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) && EVP_DigestUpdate(md, file.at, AT_DIGEST) &&
	            EVP_DigestUpdate(md, file.at + AT_SHAPE, file.len - AT_SHAPE) && EVP_DigestFinal_ex(md, out, NULL);

	EVP_MD_CTX_free(md);
	return good ? 0 : -ENOMEM;
}

static size_t weights_at(unsigned risks)
{
	return (AT_RISKS + (size_t)risks * RISK_BYTES + ALIGN - 1) / ALIGN * ALIGN;
}

static int bad(struct classifier_fault *fault, size_t at, const char *what)
{
	*fault = (struct classifier_fault){ what, at };
	return -EINVAL;
}

/* Names are printable ASCII: they go to terminals and records. */
static const char *risk_name_fault(const uint8_t *name)
{
	size_t n = 0;

	while (n < CLASSIFIER_NAME_MAX && name[n]) {
		if (name[n] <= ' ' || name[n] > '~')
			return "a risk's name is not printable ASCII";
		n++;
	}
	if (!n || n == CLASSIFIER_NAME_MAX)
		return n ? "a risk's name has no end" : "a risk has no name";
	for (; n < CLASSIFIER_NAME_MAX; n++)
		if (name[n])
			return "bytes behind a risk's name";
	return NULL;
}

static int read_risks(struct classifier *c, struct slice file, struct classifier_fault *fault)
{
	for (unsigned i = 0; i < c->risk_count; i++) {
		size_t at = AT_RISKS + (size_t)i * RISK_BYTES;
		struct classifier_risk *r = &c->risks[i];
		const char *what = risk_name_fault(file.at + at);

		if (what)
			return bad(fault, at, what);
		memcpy(r->name, file.at + at, CLASSIFIER_NAME_MAX);
		r->gain = (int64_t)get(file.at + at + 72, 8);
		r->offset = (int32_t)get(file.at + at + 80, 4);
		r->positives = (uint32_t)get(file.at + at + 84, 4);
		if (r->gain <= 0 || r->gain > GAIN_MAX)
			return bad(fault, at + 72, "a risk's gain is out of range");
		if (r->positives > c->texts)
			return bad(fault, at + 84, "more positive texts than texts");
		for (unsigned k = 0; k < i; k++)
			if (!strcmp(c->risks[k].name, r->name))
				return bad(fault, at, "a risk comes twice");
	}
	return 0;
}

int classifier_open(struct classifier **out, struct slice file, struct classifier_fault *fault)
{
	owned(own_free) struct classifier *c = NULL;
	uint8_t digest[CLASSIFIER_DIGEST];
	size_t start, risks;
	unsigned bits, ngram_max;
	int err;

	if (file.len < AT_RISKS)
		return bad(fault, file.len, "too short for a model");
	if (memcmp(file.at, MAGIC, sizeof(MAGIC) - 1))
		return bad(fault, 0, "not a model of sluice");
	if (get(file.at + AT_VERSION, 4) != VERSION)
		return bad(fault, AT_VERSION, "a version of the format that this program does not read");
	if (get(file.at + AT_SIZE, 8) != file.len)
		return bad(fault, AT_SIZE, "the file is not as long as it says");
	if (file.len > CLASSIFIER_FILE_MAX)
		return bad(fault, AT_SIZE, "larger than 8 MiB");
	bits = file.at[AT_SHAPE];
	ngram_max = file.at[AT_SHAPE + 1];
	risks = get(file.at + AT_SHAPE + 2, 2);
	if (bits < CLASSIFIER_BITS_MIN || bits > CLASSIFIER_BITS_MAX)
		return bad(fault, AT_SHAPE, "number of buckets out of range");
	if (!ngram_max || ngram_max > CLASSIFIER_NGRAM_MAX)
		return bad(fault, AT_SHAPE + 1, "length of n-grams out of range");
	if (!risks || risks > CLASSIFIER_RISKS_MAX)
		return bad(fault, AT_SHAPE + 2, "number of risks out of range");
	if (get(file.at + AT_FOLD, 4) != classifier_fold())
		return bad(fault, AT_FOLD, "made with another fold of characters than this program's: train it anew");
	start = weights_at((unsigned)risks);
	if (get(file.at + AT_WEIGHTS, 4) != start)
		return bad(fault, AT_WEIGHTS, "the weights are not where they belong");
	if (file.len != start + (risks << bits))
		return bad(fault, AT_SIZE, "the length does not fit buckets and risks");
	for (size_t i = AT_RISKS + risks * RISK_BYTES; i < start; i++)
		if (file.at[i])
			return bad(fault, i, "bytes between risks and weights");
	err = digest_of(file, digest);
	if (err)
		return err;
	if (memcmp(digest, file.at + AT_DIGEST, sizeof(digest)))
		return bad(fault, AT_DIGEST, "the digest does not fit the content");
	if (memchr(file.at + start, 0x80, file.len - start))
		return bad(fault, (size_t)((const uint8_t *)memchr(file.at + start, 0x80, file.len - start) - file.at),
		           "a weight out of range");
	c = calloc(1, sizeof(*c) + risks * sizeof(c->risks[0]));
	if (!c)
		return -ENOMEM;
	c->weights = (const int8_t *)file.at + start;
	c->shape = (struct classifier_shape){ (uint8_t)ngram_max, (uint8_t)bits };
	c->risk_count = (unsigned)risks;
	c->texts = get(file.at + AT_TEXTS, 8);
	memcpy(c->digest, digest, sizeof(digest));
	err = read_risks(c, file, fault);
	if (err)
		return err;
	for (uint32_t i = 0; i < ROOTS; i++)
		c->root[i] = classifier_root(i);
	*out = TAKE(c);
	return 0;
}

void classifier_free(struct classifier **at)
{
	free(*at);
	*at = NULL;
}

bool classifier_signed(struct slice file, struct slice signature, struct slice key)
{
	EVP_PKEY *pkey = key.len == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key.at, key.len) : NULL;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good = pkey && md && signature.len == 64 && EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1 &&
	            EVP_DigestVerify(md, signature.at, signature.len, file.at, file.len) == 1;

	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	return good;
}

unsigned classifier_risks(const struct classifier *c)
{
	return c->risk_count;
}

const struct classifier_risk *classifier_risk(const struct classifier *c, unsigned i)
{
	return &c->risks[i];
}

const uint8_t *classifier_digest(const struct classifier *c)
{
	return c->digest;
}

struct classifier_shape classifier_shape(const struct classifier *c)
{
	return c->shape;
}

uint64_t classifier_texts(const struct classifier *c)
{
	return c->texts;
}

int classifier_weight(const struct classifier *c, unsigned risk, uint32_t bucket)
{
	return c->weights[(size_t)bucket * c->risk_count + risk];
}

int classifier_build(uint8_t **out, size_t *len, const struct classifier_draft *draft)
{
	owned(classifier_free) struct classifier *made = NULL;
	owned(own_free) uint8_t *file = NULL;
	struct classifier_fault fault;
	size_t start, size;
	int err;

	if (!draft->risk_count || draft->risk_count > CLASSIFIER_RISKS_MAX || draft->shape.bits > CLASSIFIER_BITS_MAX)
		return -EINVAL;
	start = weights_at(draft->risk_count);
	size = start + ((size_t)draft->risk_count << draft->shape.bits);
	file = calloc(1, size);
	if (!file)
		return -ENOMEM;
	memcpy(file, MAGIC, sizeof(MAGIC) - 1);
	put(file + AT_VERSION, 4, VERSION);
	put(file + AT_WEIGHTS, 4, start);
	put(file + AT_SIZE, 8, size);
	put(file + AT_TEXTS, 8, draft->texts);
	file[AT_SHAPE] = draft->shape.bits;
	file[AT_SHAPE + 1] = draft->shape.ngram_max;
	put(file + AT_SHAPE + 2, 2, draft->risk_count);
	put(file + AT_FOLD, 4, classifier_fold());
	for (unsigned i = 0; i < draft->risk_count; i++) {
		const struct classifier_risk *r = &draft->risks[i];
		uint8_t *at = file + AT_RISKS + (size_t)i * RISK_BYTES;

		memcpy(at, r->name, strnlen(r->name, CLASSIFIER_NAME_MAX));
		put(at + 72, 8, (uint64_t)r->gain);
		put(at + 80, 4, (uint32_t)r->offset);
		put(at + 84, 4, r->positives);
	}
	memcpy(file + start, draft->weights, size - start);
	err = digest_of(slice_of(file, size), file + AT_DIGEST);
	if (!err)
		err = classifier_open(&made, slice_of(file, size), &fault);
	if (err)
		return err;
	*out = TAKE(file);
	*len = size;
	return 0;
}
