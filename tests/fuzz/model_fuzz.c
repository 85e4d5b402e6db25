/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_fuzz - model files and data files. The first byte says which: a model as it is, a model whose digest is made to
 * fit (so that what is behind it is reached) with a text behind it, a data file, or (255) an evidence that is learnt
 * from.
 *
 * What opens must judge a text the same way in one piece and byte by byte; what is refused must say what and where.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/lesson.h"
#include "cli/model.h"

static void judge(const struct classifier *c, struct slice text)
{
	owned(judged_free) struct judged *whole = NULL;
	owned(judged_free) struct judged *bytes = NULL;
	size_t used;

	if (judged_start(&whole, c, CLASSIFIER_LAST, 7, NULL, 0) ||
	    judged_start(&bytes, c, CLASSIFIER_LAST, 7, NULL, 0))
		abort();
	for (struct slice in = text; in.len; in = slice_from(in, used))
		judged_feed(whole, in, &used);
	for (struct slice in = text; in.len; in = slice_from(in, used))
		judged_feed(bytes, slice_of(in.at, 1), &used);
	judged_end(whole);
	judged_end(bytes);
	for (unsigned r = 0; r < classifier_risks(c); r++)
		if (judged_logit(whole, r) != judged_logit(bytes, r))
			abort();
}

static void model(struct slice file)
{
	struct classifier_fault fault = { NULL, 0 };
	struct classifier *c = NULL;

	if (classifier_open(&c, file, &fault)) {
		if (!fault.what || fault.at > file.len || c)
			abort();
		return;
	}
	judge(c, file);
	classifier_free(&c);
}

/* The head of the input, with weights enough for what it says, sealed. */
static void sealed(struct slice in)
{
	uint8_t head[64 + 8 + 2 * 88] = { 0 }, *file;
	size_t risks, start, len;
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	memcpy(head, in.at, in.len < sizeof(head) ? in.len : sizeof(head));
	head[64] = (uint8_t)(8 + head[64] % 3);
	risks = head[66] = (uint8_t)(1 + head[66] % 2);
	head[67] = 0;
	start = (72 + risks * 88 + 63) / 64 * 64;
	len = start + (risks << head[64]);
	file = calloc(1, len);
	memcpy(file, head, 72 + risks * 88);
	for (size_t i = start; i < len && in.len; i++)
		file[i] = in.at[i % in.len];
	for (unsigned i = 0; i < 8; i++)
		file[16 + i] = (uint8_t)((uint64_t)len >> 8 * i);
	for (unsigned i = 0; i < 4; i++)
		file[12 + i] = (uint8_t)(start >> 8 * i);
	memcpy(file, "sluicemd\2\0\0", 12);
	for (unsigned i = 0; i < 4; i++)
		file[68 + i] = (uint8_t)(classifier_fold() >> 8 * i);
	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	EVP_DigestUpdate(md, file, 32);
	EVP_DigestUpdate(md, file + 64, len - 64);
	EVP_DigestFinal_ex(md, file + 32, NULL);
	EVP_MD_CTX_free(md);
	model(slice_of(file, len));
	free(file);
}

static void data(struct slice bytes)
{
	struct data_columns columns = { .positive = "local.fuzz" };
	owned(samples_free) struct samples s = { 0 };
	owned(own_free) char *why = NULL;
	int err = data_read(&s, "fuzz", bytes, &columns, &why);

	if (err ? !why || strncmp(why, "fuzz:", 5) : why != NULL)
		abort();
	for (size_t i = 0; i < s.count; i++)
		if (s.at[i].text[s.at[i].len] || s.risks > CLASSIFIER_RISKS_MAX ||
		    (s.risks < 64 && s.at[i].risks >> s.risks))
			abort();
}

static void evidence(struct slice json)
{
	owned(evidence_words_free) struct evidence_words w = { .offset = 0 };
	struct buf out = BUF(4 * EVIDENCE_MAX);
	int err = evidence_words_read(&w, json);

	if (err && err != -EBADMSG)
		abort();
	if (!err && evidence_words_span(&w, true, &out))
		abort();
	if (buf_len(&out) > buf_len(&w.before) + buf_len(&w.match) + buf_len(&w.after))
		abort();
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
	if (!size)
		return 0;
	if (*at == 255) {
		evidence(slice_of(at + 1, size - 1));
		return 0;
	}
	switch (*at % 3) {
	case 0:
		model(slice_of(at + 1, size - 1));
		break;
	case 1:
		sealed(slice_of(at + 1, size - 1));
		break;
	default:
		data(slice_of(at + 1, size - 1));
	}
	return 0;
}
