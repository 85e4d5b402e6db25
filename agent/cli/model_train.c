/* SPDX-License-Identifier: Apache-2.0 */
/* model_train.c - sluicectl model train: reads the data, has a model fitted to it, writes the model. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/model.h"

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl model train --data FILE... -o MODEL\n"
	      "\n"
	      "Trains a classifier on labelled texts: CSV with a header, or JSON Lines. The label is 0 or 1, or names\n"
	      "risks (A.1.d, local.NAME; several with commas, or an array). The same data gives the same model.\n"
	      "\n"
	      "      --data FILE          labelled texts; may come again ('-': standard input)\n"
	      "  -o, --output FILE        the model\n"
	      "      --text-column NAME   (text, content, comment, sentence or message, in any case)\n"
	      "      --label-column NAME  (label, labels, risk or risks)\n"
	      "      --risk NAME          what a label of 1 stands for (local.flagged)\n"
	      "      --ngrams N           n-grams of 1 to N symbols, 1 to 5 (3)\n"
	      "      --bits N             2^N buckets, 8 to 22 (20, less with more than 7 risks)\n"
	      "      --cost C             how much a text on the wrong side costs (0.3)\n"
	      "      --quiet              say nothing if all went well\n",
	      to);
	return status;
}

static int read_data(struct samples *s, const char *path, const struct data_columns *columns)
{
	owned(own_free) uint8_t *data = NULL;
	owned(own_free) char *why = NULL;
	size_t len;
	int err = cli_read(path, DATA_FILE_MAX, &data, &len);

	if (!err)
		err = data_read(s, path, slice_of(data, len), columns, &why);
	if (err && why)
		fprintf(stderr, "%s\n", why);
	else if (err)
		fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(-err));
	return err;
}

int model_data(struct samples *s, const char *const *paths, size_t count, const struct data_columns *columns)
{
	for (size_t i = 0; i < count; i++) {
		int err = read_data(s, paths[i], columns);

		if (err)
			return err;
	}
	if (!s->count) {
		fputs("sluicectl: the data has no texts\n", stderr);
		return -EINVAL;
	}
	return 0;
}

/* Written beside and moved, so that nobody maps half a model. */
static int write_model(const char *path, const uint8_t *file, size_t len)
{
	owned(own_free) char *beside = NULL;
	FILE *to;
	int err = 0;

	if (asprintf(&beside, "%s.new", path) < 0) {
		beside = NULL;
		return -ENOMEM;
	}
	to = fopen(beside, "we");
	if (!to)
		return -errno;
	if (fwrite(file, 1, len, to) != len || fflush(to) || fsync(fileno(to)))
		err = -errno;
	if (fclose(to) && !err)
		err = -errno;
	if (!err && rename(beside, path))
		err = -errno;
	if (err)
		unlink(beside);
	return err;
}

/* As many buckets as leave room for all risks. */
static uint8_t bits_for(unsigned risks)
{
	uint8_t bits = 20;

	while (((size_t)risks << bits) > 7500000)
		bits--;
	return bits;
}

struct train_options {
	const char *paths[64], *output;
	size_t path_count;
	struct data_columns columns;
	struct training how;
};

static int run(const struct train_options *o)
{
	owned(samples_free) struct samples s = { 0 };
	owned(own_free) uint8_t *file = NULL;
	struct training how = o->how;
	size_t len;
	int err;

	if (model_data(&s, o->paths, o->path_count, &o->columns))
		return 2;
	if (!s.risks) {
		fputs("sluicectl: no text of the data has a risk\n", stderr);
		return 2;
	}
	if (!how.shape.bits)
		how.shape.bits = bits_for(s.risks);
	if ((size_t)s.risks << how.shape.bits > 7500000) {
		fprintf(stderr, "sluicectl: %u risks in 2^%u buckets do not fit into 8 MB: --bits %u\n", s.risks,
		        how.shape.bits, bits_for(s.risks));
		return 2;
	}
	if (model_fit(&file, &len, &s, &how))
		return 2;
	err = write_model(o->output, file, len);
	if (err) {
		fprintf(stderr, "sluicectl: %s: %s\n", o->output, strerror(-err));
		return 2;
	}
	if (!how.quiet)
		printf("%s: %zu bytes, %zu texts, n-grams of 1 to %u, 2^%u buckets\n", o->output, len, s.count,
		       how.shape.ngram_max, how.shape.bits);
	return 0;
}

static bool number_in(const char *text, long least, long most, uint8_t *out)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < least || n > most)
		return false;
	*out = (uint8_t)n;
	return true;
}

int model_train_main(int argc, char **argv)
{
	enum { DATA = 256, TEXT, LABEL, RISK, NGRAMS, BITS, COST, QUIET };
	static const struct option options[] = {
		{ "data", required_argument, NULL, DATA },
		{ "output", required_argument, NULL, 'o' },
		{ "text-column", required_argument, NULL, TEXT },
		{ "label-column", required_argument, NULL, LABEL },
		{ "risk", required_argument, NULL, RISK },
		{ "ngrams", required_argument, NULL, NGRAMS },
		{ "bits", required_argument, NULL, BITS },
		{ "cost", required_argument, NULL, COST },
		{ "quiet", no_argument, NULL, QUIET },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	struct train_options o = { .columns.positive = "local.flagged", .how = { .shape.ngram_max = 3, .cost = 0.3 } };
	bool good = true;
	char *end;
	int c;

	while (good && (c = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
		switch (c) {
		case DATA:
			good = o.path_count < ARRAY_LEN(o.paths);
			if (good)
				o.paths[o.path_count++] = optarg;
			break;
		case 'o':
			o.output = optarg;
			break;
		case TEXT:
			o.columns.text = optarg;
			break;
		case LABEL:
			o.columns.label = optarg;
			break;
		case RISK:
			o.columns.positive = optarg;
			good = model_risk_known(optarg);
			break;
		case NGRAMS:
			good = number_in(optarg, 1, CLASSIFIER_NGRAM_MAX, &o.how.shape.ngram_max);
			break;
		case BITS:
			good = number_in(optarg, CLASSIFIER_BITS_MIN, CLASSIFIER_BITS_MAX, &o.how.shape.bits);
			break;
		case COST:
			o.how.cost = strtod(optarg, &end);
			good = end != optarg && !*end && o.how.cost > 0 && o.how.cost <= 1e6;
			break;
		case QUIET:
			o.how.quiet = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			good = false;
		}
	}
	/* "--data a b c": the files that follow belong to it. */
	for (; good && optind < argc && o.path_count && o.path_count < ARRAY_LEN(o.paths); optind++)
		o.paths[o.path_count++] = argv[optind];
	if (!good || optind < argc || !o.path_count || !o.output)
		return usage(stderr, 2);
	return run(&o);
}
