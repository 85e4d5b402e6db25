/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - sluicectl model: show and explain; train and eval have files of their own. */
#include "cli/model.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/own.h"
#include "cli/cli.h"

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl model train --data FILE... -o MODEL [...]\n"
	      "       sluicectl model eval -m MODEL --data FILE... [...]\n"
	      "       sluicectl model show MODEL [--key FILE [--signature FILE]]\n"
	      "       sluicectl model explain -m MODEL [-n N] [TEXT]\n"
	      "       sluicectl model feedback -o FILE -i FILE [...]\n"
	      "\n"
	      "Classifiers that read along: train one on labelled texts, measure it, look at it, and ask which "
	      "n-grams\n"
	      "of a text weigh what; and what people said of findings, as data to train on. 'sluicectl model train\n"
	      "--help', 'model eval --help' and 'model feedback --help' say more.\n"
	      "\n"
	      "  -m, --model FILE      the model\n"
	      "      --key FILE        show: Ed25519 public key (PEM); exit status 1 if the signature is not its own\n"
	      "      --signature FILE  show: the model's detached signature (MODEL.sig)\n"
	      "  -n, --top N           explain: so many n-grams of each risk (20)\n"
	      "\n"
	      "A model is signed by: openssl pkeyutl -sign -rawin -inkey KEY -in MODEL -out MODEL.sig\n",
	      to);
	return status;
}

bool model_risk_known(const char *name)
{
	struct slice canonical;
	uint16_t number;

	if (taxonomy_find(slice_str(name), &canonical, &number) && slice_is(canonical, slice_str(name)))
		return true;
	fprintf(stderr, "sluicectl: unknown risk '%s': a clause like A.1.d, or local.NAME\n", name);
	return false;
}

void model_close(struct model_file *m)
{
	classifier_free(&m->classifier);
	if (m->map)
		munmap(m->map, m->len);
	*m = (struct model_file){ 0 };
}

int model_open(struct model_file *m, const char *path)
{
	owned(own_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct classifier_fault fault = { "out of memory", 0 };
	struct model_file opened = { 0 };
	struct stat st;
	int err;

	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
		fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > CLASSIFIER_FILE_MAX) {
		fprintf(stderr, "sluicectl: %s: not a file of 1 byte to 8 MiB\n", path);
		return -EINVAL;
	}
	opened.len = (size_t)st.st_size;
	opened.map = mmap(NULL, opened.len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (opened.map == MAP_FAILED) {
		err = -errno;
		fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(-err));
		return err;
	}
	err = classifier_open(&opened.classifier, slice_of(opened.map, opened.len), &fault);
	if (err) {
		fprintf(stderr, "sluicectl: %s: byte %zu: %s\n", path, fault.at, fault.what);
		model_close(&opened);
		return err;
	}
	*m = opened;
	return 0;
}

/* ---- show ---- */

/* 1: signed, 0: not, -errno: cannot tell, the reason printed. */
static int is_signed(const struct model_file *m, const char *key_path, const char *signature_path)
{
	owned(own_free) uint8_t *pem = NULL;
	owned(own_free) uint8_t *signature = NULL;
	uint8_t key[32];
	size_t pem_len, signature_len, key_len = sizeof(key);
	BIO *bio;
	EVP_PKEY *pkey;
	bool good;
	int err = cli_read(key_path, 65536, &pem, &pem_len);

	if (err) {
		fprintf(stderr, "sluicectl: %s: %s\n", key_path, strerror(-err));
		return err;
	}
	err = cli_read(signature_path, 65536, &signature, &signature_len);
	if (err) {
		fprintf(stderr, "sluicectl: %s: %s\n", signature_path, strerror(-err));
		return err;
	}
	bio = BIO_new_mem_buf(pem, (int)pem_len);
	pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	good = pkey && EVP_PKEY_id(pkey) == EVP_PKEY_ED25519 && EVP_PKEY_get_raw_public_key(pkey, key, &key_len) == 1;
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	if (!good) {
		fprintf(stderr, "sluicectl: %s: not an Ed25519 public key in PEM\n", key_path);
		return -EINVAL;
	}
	return classifier_signed(slice_of(m->map, m->len), slice_of(signature, signature_len),
	                         slice_of(key, sizeof(key)));
}

static void print_model(const struct classifier *c, size_t len)
{
	struct classifier_shape shape = classifier_shape(c);

	printf("digest ");
	for (size_t i = 0; i < CLASSIFIER_DIGEST; i++)
		printf("%02x", classifier_digest(c)[i]);
	printf("\n%zu bytes, n-grams of 1 to %u, 2^%u buckets, trained on %llu texts\n", len, shape.ngram_max,
	       shape.bits, (unsigned long long)classifier_texts(c));
	for (unsigned r = 0; r < classifier_risks(c); r++) {
		const struct classifier_risk *risk = classifier_risk(c, r);
		size_t used = 0;

		for (uint32_t b = 0; b < 1u << shape.bits; b++)
			used += classifier_weight(c, r, b) != 0;
		printf("%s: %u positive texts, %zu weights, %.4f of nothing\n", risk->name, risk->positives, used,
		       classifier_probability(risk->offset));
	}
}

static int show(const char *path, const char *key, const char *signature)
{
	owned(model_close) struct model_file m = { 0 };
	owned(own_free) char *beside = NULL;
	int good = -1;

	if (model_open(&m, path))
		return 2;
	if (key) {
		if (!signature && asprintf(&beside, "%s.sig", path) < 0) {
			beside = NULL;
			return 2;
		}
		good = is_signed(&m, key, signature ? signature : beside);
		if (good < 0)
			return 2;
	}
	print_model(m.classifier, m.len);
	if (key)
		puts(good ? "signature: good" : "signature: NOT by this key");
	return key && !good ? 1 : 0;
}

/* ---- explain ---- */

#define GRAMS_MAX (CLASSIFIER_NGRAM_MAX << 16) /* n-grams of the text that are looked at */

struct weighed {
	struct classifier_gram gram;
	size_t count, first;
	int weight;
};

struct explained {
	const struct classifier *classifier;
	unsigned risk;
	struct weighed *at; /* owned */
	size_t len;
};

static void weigh(void *to, const struct classifier_gram *gram)
{
	struct explained *e = to;

	if (e->len < GRAMS_MAX) {
		e->at[e->len] = (struct weighed){ *gram, 1, e->len, 0 };
		e->len++;
	}
}

static int by_gram(const void *x, const void *y)
{
	const struct weighed *a = x, *b = y;
	int order = memcmp(&a->gram, &b->gram, sizeof(a->gram));

	return order ? order : a->first < b->first ? -1 : 1;
}

static int by_weight(const void *x, const void *y)
{
	const struct weighed *a = x, *b = y;
	long u = labs((long)a->weight * (long)a->count), v = labs((long)b->weight * (long)b->count);

	return u != v ? u > v ? -1 : 1 : a->first < b->first ? -1 : a->first > b->first;
}

static void print_symbol(uint32_t c)
{
	if (c == CLASSIFIER_START)
		fputs("^", stdout);
	else if (c == ' ')
		fputs("_", stdout);
	else if (c < 0x21 || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000))
		printf("\\u%04x", c);
	else if (c < 0x80)
		putchar((int)c);
	else if (c < 0x800)
		printf("%c%c", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
	else if (c < 0x10000)
		printf("%c%c%c", 0xe0 | c >> 12, 0x80 | (c >> 6 & 0x3f), 0x80 | (c & 0x3f));
	else
		printf("%c%c%c%c", 0xf0 | c >> 18, 0x80 | (c >> 12 & 0x3f), 0x80 | (c >> 6 & 0x3f), 0x80 | (c & 0x3f));
}

static void explain_risk(struct explained *e, uint64_t symbols, int32_t logit, size_t top)
{
	const struct classifier_risk *risk = classifier_risk(e->classifier, e->risk);
	double step = (double)risk->gain / 65536 / 256 / sqrt(symbols ? (double)symbols : 1);

	for (size_t i = 0; i < e->len; i++)
		e->at[i].weight = classifier_weight(e->classifier, e->risk, e->at[i].gram.bucket);
	qsort(e->at, e->len, sizeof(*e->at), by_weight);
	printf("%s: probability %.4f, logit %+.3f, of nothing %+.3f\n", risk->name, classifier_probability(logit),
	       logit / 65536.0, risk->offset / 65536.0);
	for (size_t i = 0; i < e->len && i < top && e->at[i].weight; i++) {
		const struct weighed *w = &e->at[i];

		printf("  %+8.3f  ", w->weight * (double)w->count * step);
		for (uint32_t k = 0; k < w->gram.n; k++)
			print_symbol(w->gram.symbols[k]);
		if (w->count > 1)
			printf("  x %zu", w->count);
		putchar('\n');
	}
}

static int explain(const char *path, struct slice text, size_t top)
{
	owned(model_close) struct model_file m = { 0 };
	owned(judged_free) struct judged *j = NULL;
	struct explained e = { 0 };
	uint64_t symbols;
	size_t n = 0;
	int err;

	if (model_open(&m, path))
		return 2;
	e.classifier = m.classifier;
	e.at = calloc(GRAMS_MAX, sizeof(*e.at));
	err = e.at ? judged_start(&j, m.classifier, CLASSIFIER_ANSWER, 0, NULL, 0) : -ENOMEM;
	if (err) {
		fprintf(stderr, "sluicectl: %s\n", strerror(-err));
		free(e.at);
		return 2;
	}
	symbols = classifier_grams(classifier_shape(m.classifier), text, weigh, &e);
	/* Equal n-grams become one. */
	qsort(e.at, e.len, sizeof(*e.at), by_gram);
	for (size_t i = 0; i < e.len; i++)
		if (n && !memcmp(&e.at[n - 1].gram, &e.at[i].gram, sizeof(e.at[i].gram)))
			e.at[n - 1].count++;
		else
			e.at[n++] = e.at[i];
	e.len = n;
	for (size_t used; text.len; text = slice_from(text, used))
		judged_feed(j, text, &used);
	judged_end(j);
	for (e.risk = 0; e.risk < classifier_risks(m.classifier); e.risk++)
		explain_risk(&e, symbols, judged_logit(j, e.risk), top);
	free(e.at);
	return 0;
}

/* ---- the command ---- */

struct options {
	const char *model, *key, *signature;
	size_t top;
};

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "model", required_argument, NULL, 'm' },
		{ "key", required_argument, NULL, 'k' },
		{ "signature", required_argument, NULL, 's' },
		{ "top", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "m:n:h", options, NULL)) != -1) {
		switch (c) {
		case 'm':
			o->model = optarg;
			break;
		case 'k':
			o->key = optarg;
			break;
		case 's':
			o->signature = optarg;
			break;
		case 'n':
			o->top = strtoul(optarg, &end, 10);
			if (end == optarg || *end || *optarg == '-')
				return usage(stderr, 2);
			break;
		case 'h':
			return usage(stdout, 0) - 1;
		default:
			return usage(stderr, 2);
		}
	}
	return 0;
}

static int explain_main(int argc, char **argv)
{
	struct options o = { .top = 20 };
	owned(own_free) uint8_t *read = NULL;
	int err, done = parse(argc, argv, &o);
	size_t len;

	if (done)
		return done < 0 ? 0 : done;
	if (!o.model || o.key || o.signature || argc - optind > 1)
		return usage(stderr, 2);
	if (optind < argc)
		return explain(o.model, slice_str(argv[optind]), o.top);
	err = cli_read("-", DATA_TEXT_MAX, &read, &len);
	if (err) {
		fprintf(stderr, "sluicectl: standard input: %s\n", strerror(-err));
		return 2;
	}
	return explain(o.model, slice_of(read, len), o.top);
}

static int show_main(int argc, char **argv)
{
	struct options o = { 0 };
	int done = parse(argc, argv, &o);

	if (done)
		return done < 0 ? 0 : done;
	if (!o.model && optind + 1 == argc)
		o.model = argv[optind++];
	if (!o.model || optind != argc || (o.signature && !o.key))
		return usage(stderr, 2);
	return show(o.model, o.key, o.signature);
}

int model_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{ "train", model_train_main }, { "eval", model_eval_main },         { "show", show_main },
		{ "explain", explain_main },   { "feedback", model_feedback_main },
	};

	if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")))
		return usage(stdout, 0);
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return usage(stderr, 2);
}
