/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge: the same under every cut, the same as a slow reference that keeps everything, blind to disguises, and deaf
 * to files that are not models.
 */
#include "tests/lib/test.h"

#include <errno.h>
#include <math.h>
#include <openssl/evp.h>

#include "base/own.h"
#include "scan/scan.h"
#include "tests/lib/classifier_craft.h"

#define TEXT 700

struct opened {
	uint8_t *file;
	size_t len;
	struct classifier *c;
};

static void opened_free(struct opened *o)
{
	classifier_free(&o->c);
	free(o->file);
}

static struct opened open_crafted(unsigned risks, unsigned ngram_max, unsigned bits, uint64_t seed)
{
	struct classifier_fault fault = { "", 0 };
	struct opened o = { 0 };

	o.file = craft_model(risks, ngram_max, bits, seed, &o.len);
	cr_assert_eq(classifier_open(&o.c, slice_of(o.file, o.len), &fault), 0, "%s at %zu", fault.what, fault.at);
	return o;
}

/* ---- the reference: n-grams by classifier_grams, sums kept for every symbol, division in floating point ---- */

struct reference {
	const struct classifier *c;
	unsigned risk;
	int sums[4 * TEXT]; /* what each symbol adds */
	size_t symbols;
};

static void reference_visit(void *to, const struct classifier_gram *gram)
{
	struct reference *ref = to;

	if (gram->n == 1)
		ref->sums[ref->symbols++] = 0;
	ref->sums[ref->symbols - 1] += classifier_weight(ref->c, ref->risk, gram->bucket);
}

static double reference_logit(const struct reference *ref, size_t from, size_t to)
{
	const struct classifier_risk *r = classifier_risk(ref->c, ref->risk);
	double sum = 0;

	for (size_t i = from; i < to; i++)
		sum += ref->sums[i];
	return to > from ? (double)r->gain * sum / floor(256 * sqrt((double)(to - from))) + r->offset : r->offset;
}

TEST(classifier, as_the_reference)
{
	static const unsigned shapes[][2] = { { 1, 3 }, { 1, 1 }, { 3, 5 }, { 2, 2 }, { 7, 3 }, { 8, 3 }, { 17, 3 } };
	uint64_t seed = 7;

	for (size_t k = 0; k < 210; k++) {
		const unsigned *shape = shapes[k % ARRAY_LEN(shapes)];
		owned(opened_free) struct opened o = open_crafted(shape[0], shape[1], 10, k);
		owned(judged_free) struct judged *answer = NULL;
		owned(judged_free) struct judged *last = NULL;
		uint8_t text[TEXT];
		size_t len = craft_text(text, 20 + craft_rnd(&seed, TEXT - 20), &seed), used, window = 1 + k % 50;
		struct slice in;

		cr_assert_eq(judged_start(&answer, o.c, CLASSIFIER_ANSWER, 0, NULL, 0), 0);
		cr_assert_eq(judged_start(&last, o.c, CLASSIFIER_LAST, (unsigned)window, NULL, 0), 0);
		for (in = slice_of(text, len); in.len; in = slice_from(in, used))
			judged_feed(answer, in, &used);
		for (in = slice_of(text, len); in.len; in = slice_from(in, used))
			judged_feed(last, in, &used);
		judged_end(answer);
		judged_end(last);
		for (unsigned r = 0; r < shape[0]; r++) {
			struct reference ref = { .c = o.c, .risk = r };
			size_t n = classifier_grams(classifier_shape(o.c), slice_of(text, len), reference_visit, &ref);

			cr_assert_eq(n, ref.symbols);
			cr_assert_eq(n, judged_symbols(answer));
			cr_assert_eq(judged_window(last), n < window ? n : window);
			cr_assert_float_eq(judged_logit(answer, r), reference_logit(&ref, 0, n), 2);
			cr_assert_float_eq(judged_logit(last, r), reference_logit(&ref, n < window ? 0 : n - window, n),
			                   2);
		}
	}
}

/* ---- cuts ---- */

#define RISKS 11 /* most that a model has here */

struct event {
	enum judged_step step;
	size_t at; /* bytes read */
	uint64_t symbols, passed;
	int32_t logit[RISKS];
};

struct events {
	struct event at[2 * TEXT];
	size_t count;
};

static void note(struct events *e, const struct judged *j, enum judged_step step, size_t at, unsigned risks)
{
	struct event *to = &e->at[e->count++];

	memset(to, 0, sizeof(*to));
	to->step = step;
	to->at = at;
	to->symbols = judged_symbols(j);
	to->passed = judged_passed(j);
	for (unsigned r = 0; r < risks; r++)
		to->logit[r] = judged_logit(j, r);
}

/* All that is told of a text fed in pieces: the first of `first` bytes, the others of `piece`. */
static void judge_pieces(struct events *e, const struct classifier *c, enum classifier_window window,
                         const struct classifier_watch *watches, size_t count, struct slice text, size_t first,
                         size_t piece)
{
	owned(judged_free) struct judged *j = NULL;
	size_t used, at = 0;

	e->count = 0;
	cr_assert_eq(judged_start(&j, c, window, 9, watches, count), 0);
	for (size_t len = first; text.len; len = piece) {
		struct slice in = slice_of(text.at, len < text.len ? len : text.len);

		text = slice_from(text, in.len);
		do {
			enum judged_step step = judged_feed(j, in, &used);

			in = slice_from(in, used);
			at += used;
			if (step != JUDGED_MORE)
				note(e, j, step, at, classifier_risks(c));
		} while (in.len);
	}
	note(e, j, judged_end(j), at, classifier_risks(c));
}

static bool same(const struct events *a, const struct events *b)
{
	return a->count == b->count && !memcmp(a->at, b->at, a->count * sizeof(a->at[0]));
}

TEST(classifier, every_cut_and_every_chunking)
{
	static const unsigned shapes[][2] = { { 1, 3 }, { 3, 4 }, { 3, 3 }, { RISKS, 3 }, { 1, 2 } };
	struct classifier_watch watches[] = { { 0, 1, 0 }, { 0, 5, 65536 }, { 1, 3, -30000 }, { 2, 8, 100000 } };
	static struct events whole, cut;
	size_t told = 0, passed = 0;
	uint64_t seed = 11;

	for (unsigned k = 0; k < 30; k++) {
		const unsigned *shape = shapes[k % ARRAY_LEN(shapes)], risks = shape[0];
		enum classifier_window window = (enum classifier_window)(k % CLASSIFIER_WINDOW_COUNT);
		owned(opened_free) struct opened o = open_crafted(risks, shape[1], 9, k);
		uint8_t bytes[160];
		struct slice text = slice_of(bytes, craft_text(bytes, sizeof(bytes), &seed));
		size_t count = risks == 1 ? 2 : 4;

		judge_pieces(&whole, o.c, window, watches, count, text, text.len, 1);
		told += whole.count;
		for (size_t i = 0; i < whole.count; i++)
			passed += whole.at[i].step == JUDGED_PASSED;
		EACH_CUT (at, text.len) {
			judge_pieces(&cut, o.c, window, watches, count, text, at, text.len);
			cr_assert(same(&whole, &cut), "model %u cut at %zu", k, at);
		}
		for (size_t piece = 1; piece < 12; piece++) {
			judge_pieces(&cut, o.c, window, watches, count, text, piece, piece);
			cr_assert(same(&whole, &cut), "model %u in pieces of %zu", k, piece);
		}
	}
	cr_expect_gt(told, 150, "texts without events show nothing");
	cr_expect_gt(passed, 30);
}

/* A watch comes true exactly where the logit first does, asked after each byte. */
TEST(classifier, a_watch_is_the_logit)
{
	uint64_t seed = 5;

	for (unsigned k = 0; k < 60; k++) {
		enum classifier_window window = (enum classifier_window)(k % CLASSIFIER_WINDOW_COUNT);
		struct classifier_watch watch = { 0, (uint16_t)(k % 7), (int32_t)craft_rnd(&seed, 200000) - 100000 };
		owned(opened_free) struct opened o = open_crafted(1, 3, 9, k);
		owned(judged_free) struct judged *watched = NULL;
		owned(judged_free) struct judged *asked = NULL;
		uint8_t text[TEXT];
		size_t len, used;
		bool was = false;

		cr_assert_eq(judged_start(&watched, o.c, window, 12, &watch, 1), 0);
		cr_assert_eq(judged_start(&asked, o.c, window, 12, NULL, 0), 0);
		len = craft_text(text, sizeof(text), &seed);
		for (size_t i = 0; i < len;) {
			uint64_t before = judged_symbols(asked);
			enum judged_step step = judged_feed(asked, slice_of(text + i, 1), &used);
			bool now, over = step == JUDGED_SENTENCE;
			size_t read = 0;

			/* A watch may stop between the end of what is not UTF-8 and the byte behind it. */
			judged_feed(watched, slice_of(text + i, 1), &read);
			i += used;
			if (read < used) {
				judged_feed(watched, slice_of(text + i - 1, 1), &read);
				before = 0;
			}
			/* Several symbols of one character hide what is between them. */
			if (judged_symbols(asked) > before + 1)
				was = judged_logit(asked, 0) >= watch.logit && judged_window(asked) >= watch.least;
			if (judged_symbols(asked) == before + 1) {
				now = judged_logit(asked, 0) >= watch.logit && judged_window(asked) >= watch.least;
				cr_assert_eq(judged_passed(watched), now && !was, "model %u byte %zu", k, i);
				was = now;
			}
			if (over && window == CLASSIFIER_SENTENCE)
				was = false;
		}
	}
}

TEST(classifier, sentences)
{
	static const struct {
		const char *text;
		size_t sentences; /* the end's included */
		uint64_t symbols;
	} rows[] = {
		{ "", 0, 0 },
		{ "   \n", 0, 0 },
		{ "你好。再见", 2, 5 },
		{ "你好！！！再见", 2, 7 },
		{ "!!!", 1, 3 },
		{ "Pi is 3.14 now. Good", 2, 19 },
		{ "one two", 1, 7 },
		{ "one  \t two", 1, 7 },
		{ "你 好", 1, 2 },
		{ "a\nb", 2, 2 },
		{ "a\xe2\x80\x8b.\xe2\x80\x8b b", 2, 3 },
		{ "好。 ", 1, 2 },
		{ "好\xe5\xa5", 1, 1 },
		{ "\xe5\xa5", 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		owned(opened_free) struct opened o = open_crafted(1, 3, 9, 1);
		owned(judged_free) struct judged *j = NULL;
		size_t n = 0, used;

		cr_assert_eq(judged_start(&j, o.c, CLASSIFIER_SENTENCE, 0, NULL, 0), 0);
		for (struct slice in = slice_str(rows[i].text); in.len; in = slice_from(in, used))
			n += judged_feed(j, in, &used) == JUDGED_SENTENCE;
		n += judged_end(j) == JUDGED_SENTENCE;
		cr_expect_eq(n, rows[i].sentences, "%s: %zu", rows[i].text, n);
		cr_expect_eq(judged_symbols(j), rows[i].symbols, "%s: %zu", rows[i].text, (size_t)judged_symbols(j));
	}
}

/* A text without an end is not held without an end. */
TEST(classifier, a_sentence_has_a_longest_length)
{
	owned(opened_free) struct opened o = open_crafted(1, 3, 9, 1);
	owned(judged_free) struct judged *j = NULL;
	size_t used, n = 0;

	cr_assert_eq(judged_start(&j, o.c, CLASSIFIER_SENTENCE, 0, NULL, 0), 0);
	for (size_t i = 0; i < 4 * CLASSIFIER_SENTENCE_MAX; i++) {
		n += judged_feed(j, SLICE("x"), &used) == JUDGED_SENTENCE;
		cr_assert_leq(judged_window(j), CLASSIFIER_SENTENCE_MAX);
	}
	cr_expect_eq(n, 4);
	cr_expect_eq(judged_end(j), JUDGED_MORE);
}

TEST(classifier, disguises_change_nothing)
{
	static const char plain[] = "sarin is 7 nerve agents, 说话";
	static const char *const disguised[] = {
		"SARIN IS 7 NERVE AGENTS, 说话",
		"ｓａｒｉｎ　ｉｓ　７　ｎｅｒｖｅ　ａｇｅｎｔｓ，　说话",
		"s\xe2\x80\x8b"
		"a\xc2\xadrin is 7 nerve\xe2\x81\xa0 agents, 说\xe2\x80\x8d话\xef\xb8\x8f",
		"sarin is ٧ nerve agents, 說話",
		"𝓼𝓪𝓻𝓲𝓷 is 7   nerve agents,说话",
	};
	owned(opened_free) struct opened o = open_crafted(2, 4, 16, 3);
	int32_t want[2], got[2];

	for (size_t i = 0; i <= ARRAY_LEN(disguised); i++) {
		owned(judged_free) struct judged *j = NULL;
		int32_t *to = i ? got : want;
		size_t used;

		cr_assert_eq(judged_start(&j, o.c, CLASSIFIER_ANSWER, 0, NULL, 0), 0);
		judged_feed(j, slice_str(i ? disguised[i - 1] : plain), &used);
		judged_end(j);
		to[0] = judged_logit(j, 0);
		to[1] = judged_logit(j, 1);
		if (i)
			cr_expect(got[0] == want[0] && got[1] == want[1], "%s", disguised[i - 1]);
	}
}

TEST(classifier, probability_and_logit)
{
	cr_expect_eq(classifier_logit_of(0.5), 0);
	cr_expect_eq(classifier_logit_of(0), INT32_MIN);
	cr_expect_eq(classifier_logit_of(-1), INT32_MIN);
	cr_expect_eq(classifier_logit_of(NAN), INT32_MIN);
	cr_expect_eq(classifier_logit_of(1), INT32_MAX);
	for (double p = 0.001; p < 1; p += 0.01)
		cr_expect_float_eq(classifier_probability(classifier_logit_of(p)), p, 1e-5);
}

TEST(classifier, starting_wrongly)
{
	owned(opened_free) struct opened o = open_crafted(1, 3, 9, 1);
	struct classifier_watch watch = { .risk = 1 }, many[CLASSIFIER_WATCH_MAX + 1] = { 0 };
	struct judged *j = NULL;

	cr_expect_eq(judged_start(&j, o.c, CLASSIFIER_WINDOW_COUNT, 0, NULL, 0), -EINVAL);
	cr_expect_eq(judged_start(&j, o.c, CLASSIFIER_LAST, 0, NULL, 0), -EINVAL);
	cr_expect_eq(judged_start(&j, o.c, CLASSIFIER_LAST, CLASSIFIER_LAST_MAX + 1, NULL, 0), -EINVAL);
	cr_expect_eq(judged_start(&j, o.c, CLASSIFIER_ANSWER, 0, &watch, 1), -EINVAL);
	cr_expect_eq(judged_start(&j, o.c, CLASSIFIER_ANSWER, 0, many, ARRAY_LEN(many)), -EINVAL);
	cr_expect_null(j);
	cr_expect_leq(judged_bytes(o.c, CLASSIFIER_ANSWER, 0), 160);
	cr_expect_leq(judged_bytes(o.c, CLASSIFIER_LAST, 256), 160 + 512);
}

/* ---- files ---- */

/* Puts the right digest on what a forger wrote, so that what is behind it is reached. */
static void seal(uint8_t *file, size_t len)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	EVP_DigestUpdate(md, file, 32);
	EVP_DigestUpdate(md, file + 64, len - 64);
	EVP_DigestFinal_ex(md, file + 32, NULL);
	EVP_MD_CTX_free(md);
}

TEST(classifier, forged_files)
{
	static const struct {
		size_t at;
		uint8_t byte;
		size_t named; /* the byte that the fault names */
		const char *what;
	} rows[] = {
		{ 0, 'S', 0, "not a model of sluice" },
		{ 8, 1, 8, "a version of the format that this program does not read" },
		{ 12, 64, 12, "the weights are not where they belong" },
		{ 16, 1, 16, "the file is not as long as it says" },
		{ 23, 0x80, 16, "the file is not as long as it says" },
		{ 64, 7, 64, "number of buckets out of range" },
		{ 64, 23, 64, "number of buckets out of range" },
		{ 64, 10, 16, "the length does not fit buckets and risks" },
		{ 65, 0, 65, "length of n-grams out of range" },
		{ 65, 6, 65, "length of n-grams out of range" },
		{ 66, 0, 66, "number of risks out of range" },
		{ 67, 1, 66, "number of risks out of range" },
		{ 68, 2, 68, "made with another fold of characters than this program's: train it anew" },
		{ 72, 0, 72, "a risk has no name" },
		{ 72, 0x1b, 72, "a risk's name is not printable ASCII" },
		{ 100, 'x', 72, "bytes behind a risk's name" },
		{ 72 + 88 + 6, 'a', 72 + 88, "a risk comes twice" },
		{ 72 + 72 + 7, 0x80, 72 + 72, "a risk's gain is out of range" },
		{ 72 + 72 + 5, 0x02, 72 + 72, "a risk's gain is out of range" },
		{ 72 + 84 + 3, 0x7f, 72 + 84, "more positive texts than texts" },
		{ 72 + 2 * 88, 1, 72 + 2 * 88, "bytes between risks and weights" },
		{ 300, 0x80, 300, "a weight out of range" },
	};
	size_t len;
	owned(own_free) uint8_t *file = craft_model(2, 3, 9, 1, &len);
	struct classifier *c = NULL;
	struct classifier_fault fault;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t was = file[rows[i].at];

		file[rows[i].at] = rows[i].byte;
		seal(file, len);
		cr_expect_eq(classifier_open(&c, slice_of(file, len), &fault), -EINVAL, "row %zu", i);
		cr_expect_str_eq(fault.what, rows[i].what);
		cr_expect_eq(fault.at, rows[i].named, "row %zu: %zu", i, fault.at);
		file[rows[i].at] = was;
	}
	seal(file, len);
	cr_expect_null(c);
	cr_assert_eq(classifier_open(&c, slice_of(file, len), &fault), 0, "the untouched file opens");
	classifier_free(&c);
}

/* No byte of a model can be changed, and none left away. */
TEST(classifier, every_byte_counts)
{
	size_t len;
	owned(own_free) uint8_t *file = craft_model(1, 3, 8, 1, &len);
	struct classifier *c = NULL;
	struct classifier_fault fault;

	for (size_t i = 0; i < len; i++) {
		file[i] ^= 0x10;
		cr_assert_eq(classifier_open(&c, slice_of(file, len), &fault), -EINVAL, "byte %zu", i);
		file[i] ^= 0x10;
		cr_assert_eq(classifier_open(&c, slice_of(file, i), &fault), -EINVAL, "%zu bytes", i);
	}
	cr_expect_null(c);
}

TEST(classifier, the_same_draft_gives_the_same_bytes)
{
	size_t a_len, b_len;
	owned(own_free) uint8_t *a = craft_model(3, 2, 12, 9, &a_len);
	owned(own_free) uint8_t *b = craft_model(3, 2, 12, 9, &b_len);

	cr_expect_eq(a_len, b_len);
	cr_expect_eq(memcmp(a, b, a_len), 0);
}

TEST(classifier, signatures)
{
	static const uint8_t secret[32] = { 1, 2, 3 };
	size_t len, key_len = 32, signature_len = 64;
	owned(own_free) uint8_t *file = craft_model(1, 3, 9, 1, &len);
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof(secret));
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t key[32], signature[64];
	struct slice s = slice_of(signature, 64), k = slice_of(key, 32);

	cr_assert_eq(EVP_PKEY_get_raw_public_key(pkey, key, &key_len), 1);
	cr_assert_eq(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey), 1);
	cr_assert_eq(EVP_DigestSign(md, signature, &signature_len, file, len), 1);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	cr_expect(classifier_signed(slice_of(file, len), s, k));
	cr_expect_not(classifier_signed(slice_of(file, len - 1), s, k));
	cr_expect_not(classifier_signed(slice_of(file, len), slice_of(signature, 63), k));
	cr_expect_not(classifier_signed(slice_of(file, len), s, slice_of(key, 31)));
	signature[5] ^= 1;
	cr_expect_not(classifier_signed(slice_of(file, len), s, k));
	signature[5] ^= 1;
	file[len - 1] ^= 1;
	cr_expect_not(classifier_signed(slice_of(file, len), s, k));
}
