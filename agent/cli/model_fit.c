/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_fit.c - labelled texts become a model.
 *
 * One linear separator a risk (L2-loss support vectors by liblinear's dual solver). A text is the counts of its n-grams
 * over the square root of its symbols, which is what the daemon can keep while it reads. Each count is scaled by how
 * much likelier the n-gram is in positive texts (Wang and Manning, ACL 2012): rare n-grams weigh little and the
 * frequent, telling ones much. Probabilities come from scores of texts that the separator had not seen.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include <linear.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/model.h"

#define FOLDS     5
#define SMOOTHING 3.0 /* texts that every n-gram is taken to have been in, on each side, besides those it was in */
#define FEWEST    10  /* texts with and without a risk: fewer teach nothing */
#define QUANTA    127

/* The n-grams of a text: what liblinear calls a row. */
struct row {
	uint32_t *bucket; /* of the pool, rising */
	float *count;     /* over the root of the symbols */
	size_t len;
};

struct fit {
	const struct samples *samples;
	const struct training *how;
	struct row *rows;
	uint32_t *buckets; /* pool of all rows, owned as all below */
	float *counts;
	size_t len, room;
	struct feature_node *nodes, **x;
	double *y, *ratio, *weights, *scores;
	bool *positive;
	int8_t *quantised; /* [bucket][risk] */
	struct classifier_risk risks[CLASSIFIER_RISKS_MAX];
};

static void fit_free(struct fit *f)
{
	free(f->rows);
	free(f->buckets);
	free(f->counts);
	free(f->nodes);
	free(f->x);
	free(f->y);
	free(f->ratio);
	free(f->weights);
	free(f->scores);
	free(f->positive);
	free(f->quantised);
}

struct grams_of_text {
	uint32_t *at; /* owned */
	size_t len, room;
	bool failed;
};

static void gather(void *to, const struct classifier_gram *gram)
{
	struct grams_of_text *g = to;

	if (g->len == g->room) {
		size_t room = g->room ? 2 * g->room : 4096;
		uint32_t *more = realloc(g->at, room * sizeof(*more));

		if (!more) {
			g->failed = true;
			return;
		}
		g->at = more;
		g->room = room;
	}
	g->at[g->len++] = gram->bucket;
}

static int by_value(const void *x, const void *y)
{
	uint32_t a, b;

	memcpy(&a, x, sizeof(a));
	memcpy(&b, y, sizeof(b));
	return a < b ? -1 : a > b;
}

static int reserve(struct fit *f, size_t more)
{
	size_t room = f->room ? f->room : 65536;
	uint32_t *buckets;
	float *counts;

	if (f->room - f->len >= more)
		return 0;
	while (room - f->len < more)
		room *= 2;
	buckets = realloc(f->buckets, room * sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	f->buckets = buckets;
	counts = realloc(f->counts, room * sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	f->counts = counts;
	f->room = room;
	return 0;
}

static int count_grams(struct fit *f)
{
	struct grams_of_text g = { 0 };
	int err = 0;

	for (size_t i = 0; i < f->samples->count && !err; i++) {
		const struct sample *s = &f->samples->at[i];
		uint64_t symbols;

		g.len = 0;
		symbols = classifier_grams(f->how->shape, slice_of(s->text, s->len), gather, &g);
		err = g.failed ? -ENOMEM : reserve(f, g.len);
		if (err)
			break;
		if (g.len)
			qsort(g.at, g.len, sizeof(*g.at), by_value);
		for (size_t from = 0, to; from < g.len; from = to) {
			for (to = from; to < g.len && g.at[to] == g.at[from]; to++)
				;
			f->buckets[f->len] = g.at[from];
			f->counts[f->len++] = (float)((double)(to - from) / sqrt((double)symbols));
			f->rows[i].len++;
		}
	}
	free(g.at);
	for (size_t i = 0, at = 0; i < f->samples->count; at += f->rows[i++].len) {
		f->rows[i].bucket = f->buckets + at;
		f->rows[i].count = f->counts + at;
	}
	return err;
}

/* Which part of cross-validation a text is in: by its place, so that the same data is always parted alike. */
static unsigned fold_of(size_t i)
{
	return (uint32_t)(i * 2654435761u) >> 16;
}

static bool is_left_out(size_t i, int fold)
{
	return fold >= 0 && fold_of(i) % FOLDS == (unsigned)fold;
}

/* ratio[bucket]: log of how much likelier it is in a positive text. */
static void weigh(struct fit *f, int fold)
{
	size_t buckets = (size_t)1 << f->how->shape.bits;
	double in = 0, out = 0;
	double *with = f->ratio, *without = f->weights; /* free at this point */

	for (size_t b = 0; b < buckets; b++)
		with[b] = without[b] = SMOOTHING;
	for (size_t i = 0; i < f->samples->count; i++) {
		if (is_left_out(i, fold))
			continue;
		*(f->positive[i] ? &in : &out) += 1;
		for (size_t k = 0; k < f->rows[i].len; k++)
			(f->positive[i] ? with : without)[f->rows[i].bucket[k]] += 1;
	}
	for (size_t b = 0; b < buckets; b++)
		f->ratio[b] = log(with[b] / in) - log(without[b] / out);
}

static void silent(const char *text)
{
	(void)text;
}

/* Trains on all texts but those of `fold` (-1: on all). Leaves the weights in f->weights; returns the bias. */
static double separate(struct fit *f, int fold)
{
	int buckets = 1 << f->how->shape.bits, sign;
	struct parameter parameter = { .solver_type = L2R_L2LOSS_SVC_DUAL, .eps = 0.1, .C = f->how->cost };
	struct problem problem = { .n = buckets + 1, .y = f->y, .x = f->x, .bias = 1 };
	struct feature_node *node = f->nodes;
	struct model *model;
	double bias;

	weigh(f, fold);
	for (size_t i = 0; i < f->samples->count; i++) {
		if (is_left_out(i, fold))
			continue;
		f->x[problem.l] = node;
		f->y[problem.l++] = f->positive[i] ? 1 : -1;
		for (size_t k = 0; k < f->rows[i].len; k++) {
			uint32_t b = f->rows[i].bucket[k];

			*node++ = (struct feature_node){ (int)b + 1, f->rows[i].count[k] * f->ratio[b] };
		}
		*node++ = (struct feature_node){ buckets + 1, 1 };
		*node++ = (struct feature_node){ -1, 0 };
	}
	srand(1); /* liblinear shuffles by rand() */
	set_print_string_function(silent);
	model = train(&problem, &parameter);
	sign = model->label[0] == 1 ? 1 : -1;
	for (int b = 0; b < buckets; b++)
		f->weights[b] = sign * model->w[b] * f->ratio[b];
	bias = sign * model->w[buckets];
	free_and_destroy_model(&model);
	return bias;
}

static double score(const struct fit *f, size_t i, double bias)
{
	for (size_t k = 0; k < f->rows[i].len; k++)
		bias += f->weights[f->rows[i].bucket[k]] * f->rows[i].count[k];
	return bias;
}

/* Weights become whole steps of the largest / QUANTA, as the model keeps them. Returns the step. */
static double quantise(struct fit *f)
{
	size_t buckets = (size_t)1 << f->how->shape.bits;
	double most = 0, step;

	for (size_t i = 0; i < buckets; i++)
		most = fmax(most, fabs(f->weights[i]));
	step = most > 0 ? most / QUANTA : 1;
	for (size_t i = 0; i < buckets; i++)
		f->weights[i] = rint(f->weights[i] / step) * step;
	return step;
}

/* Puts the weights into the model; the logit becomes a * (bias + step * sum / root) + b. */
static void keep(struct fit *f, unsigned risk, double bias, double a, double b)
{
	size_t buckets = (size_t)1 << f->how->shape.bits;
	struct classifier_risk *r = &f->risks[risk];
	double step = quantise(f), offset;

	for (size_t i = 0; i < buckets; i++)
		f->quantised[i * f->samples->risks + risk] = (int8_t)lrint(f->weights[i] / step);
	r->gain = (int64_t)rint(a * step * 256 * 65536);
	offset = rint((a * bias + b) * 65536);
	r->offset = (int32_t)fmax(INT32_MIN, fmin(INT32_MAX, offset));
}

/* How right the scores are that cross-validation gave. */
static void judge(const struct fit *f, double a, double b, double *accuracy, double *macro_f1)
{
	size_t right[2] = { 0 }, wrong = 0;

	*macro_f1 = 0;
	for (size_t i = 0; i < f->samples->count; i++)
		++*(f->positive[i] == (a * f->scores[i] + b >= 0) ? &right[f->positive[i]] : &wrong);
	for (int side = 0; side < 2; side++)
		*macro_f1 += (double)right[side] / (double)(2 * right[side] + wrong);
	*accuracy = (double)(right[0] + right[1]) / (double)f->samples->count;
}

/* Scores each text by weights that have not seen it; *exact: how many would be right without rounding the weights. */
static void cross_validate(struct fit *f, size_t *exact)
{
	*exact = 0;
	for (int fold = 0; fold < FOLDS; fold++) {
		double bias = separate(f, fold);

		for (size_t i = 0; i < f->samples->count; i++)
			*exact += is_left_out(i, fold) && f->positive[i] == (score(f, i, bias) >= 0);
		quantise(f);
		for (size_t i = 0; i < f->samples->count; i++)
			if (is_left_out(i, fold))
				f->scores[i] = score(f, i, bias);
	}
}

static int fit_risk(struct fit *f, unsigned risk)
{
	size_t count = f->samples->count, positives = 0, exact;
	struct classifier_risk *r = &f->risks[risk];
	double a, b, accuracy, macro_f1;

	memcpy(r->name, f->samples->names[risk], sizeof(r->name));
	for (size_t i = 0; i < count; i++) {
		f->positive[i] = f->samples->at[i].risks >> risk & 1;
		positives += f->positive[i];
	}
	if (positives < FEWEST || count - positives < FEWEST) {
		fprintf(stderr, "sluicectl: %s: %zu texts with it and %zu without; at least %d of each are needed\n",
		        r->name, positives, count - positives, FEWEST);
		return -EINVAL;
	}
	r->positives = (uint32_t)positives;
	cross_validate(f, &exact);
	platt_fit(f->scores, f->positive, count, &a, &b);
	if (!(a > 0)) {
		fprintf(stderr, "sluicectl: %s: the texts do not tell it from the rest\n", r->name);
		return -EINVAL;
	}
	judge(f, a, b, &accuracy, &macro_f1);
	if (!f->how->quiet)
		printf("%s: %zu of %zu texts; %d-fold cross-validation: accuracy %.4f (%.4f before rounding the "
		       "weights), "
		       "macro-F1 %.4f\n",
		       r->name, positives, count, FOLDS, accuracy, (double)exact / (double)count, macro_f1);
	keep(f, risk, separate(f, -1), a, b);
	return 0;
}

static int allocate(struct fit *f)
{
	size_t count = f->samples->count, buckets = (size_t)1 << f->how->shape.bits;

	f->nodes = calloc(f->len + 2 * count, sizeof(*f->nodes));
	f->x = calloc(count, sizeof(*f->x));
	f->y = calloc(count, sizeof(*f->y));
	f->scores = calloc(count, sizeof(*f->scores));
	f->positive = calloc(count, sizeof(*f->positive));
	f->ratio = calloc(buckets, sizeof(*f->ratio));
	f->weights = calloc(buckets, sizeof(*f->weights));
	f->quantised = calloc(buckets, f->samples->risks);
	return f->nodes && f->x && f->y && f->scores && f->positive && f->ratio && f->weights && f->quantised ? 0
	                                                                                                      : -ENOMEM;
}

static int by_name(const void *x, const void *y)
{
	return strcmp(x, y);
}

/* Risks by name: the model does not depend on which came first. */
static void sort_risks(struct samples *s)
{
	char names[CLASSIFIER_RISKS_MAX][CLASSIFIER_NAME_MAX];
	unsigned to[CLASSIFIER_RISKS_MAX] = { 0 };

	memcpy(names, s->names, sizeof(names));
	qsort(s->names, s->risks, sizeof(s->names[0]), by_name);
	for (unsigned i = 0; i < s->risks; i++)
		while (strcmp(names[i], s->names[to[i]]))
			to[i]++;
	for (size_t k = 0; k < s->count; k++) {
		uint64_t risks = 0;

		for (unsigned i = 0; i < s->risks; i++)
			risks |= (s->at[k].risks >> i & 1) << to[i];
		s->at[k].risks = risks;
	}
}

int model_fit(uint8_t **file, size_t *len, struct samples *s, const struct training *how)
{
	owned(fit_free) struct fit f = { .samples = s, .how = how };
	struct classifier_draft draft = { .shape = how->shape, .risk_count = s->risks, .texts = s->count };
	int err;

	sort_risks(s);
	f.rows = calloc(s->count + 1, sizeof(*f.rows));
	err = f.rows ? count_grams(&f) : -ENOMEM;
	if (!err)
		err = allocate(&f);
	if (err)
		fprintf(stderr, "sluicectl: %s\n", strerror(-err));
	for (unsigned risk = 0; risk < s->risks && !err; risk++)
		err = fit_risk(&f, risk);
	if (err)
		return err;
	draft.risks = f.risks;
	draft.weights = f.quantised;
	err = classifier_build(file, len, &draft);
	if (err)
		fprintf(stderr, "sluicectl: the model cannot be built: %s\n", strerror(-err));
	return err;
}
