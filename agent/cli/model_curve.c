/* SPDX-License-Identifier: Apache-2.0 */
/* model_curve.c - what a classifier's scores are worth: Platt's sigmoid, the ROC curve, its picture. */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/own.h"
#include "cli/model.h"

/* Negative log likelihood of the targets under the sigmoid, without overflow. */
static double platt_loss(const double *scores, const bool *positive, size_t count, double high, double low, double a,
                         double b)
{
	double loss = 0;

	for (size_t i = 0; i < count; i++) {
		double t = positive[i] ? high : low, x = a * scores[i] + b;

		loss += x >= 0 ? (1 - t) * x + log1p(exp(-x)) : -t * x + log1p(exp(x));
	}
	return loss;
}

void platt_fit(const double *scores, const bool *positive, size_t count, double *a_out, double *b_out)
{
	double in = 0, out, high, low, a = 0, b, loss;

	for (size_t i = 0; i < count; i++)
		in += positive[i];
	out = (double)count - in;
	high = (in + 1) / (in + 2);
	low = 1 / (out + 2);
	b = log((in + 1) / (out + 1));
	loss = platt_loss(scores, positive, count, high, low, a, b);
	for (int round = 0; round < 100; round++) {
		double aa = 1e-12, ab = 0, bb = 1e-12, da = 0, db = 0, det, step_a, step_b, slope, step = 1;
		int halved = 0;

		for (size_t i = 0; i < count; i++) {
			double p = 1 / (1 + exp(-(a * scores[i] + b))), d = p - (positive[i] ? high : low);

			aa += scores[i] * scores[i] * p * (1 - p);
			ab += scores[i] * p * (1 - p);
			bb += p * (1 - p);
			da += scores[i] * d;
			db += d;
		}
		if (fabs(da) < 1e-5 && fabs(db) < 1e-5)
			break;
		det = aa * bb - ab * ab;
		step_a = -(bb * da - ab * db) / det;
		step_b = -(aa * db - ab * da) / det;
		slope = da * step_a + db * step_b;
		for (; halved < 32; halved++, step /= 2) {
			double less =
				platt_loss(scores, positive, count, high, low, a + step * step_a, b + step * step_b);

			if (less >= loss + 1e-4 * step * slope)
				continue;
			a += step * step_a;
			b += step * step_b;
			loss = less;
			break;
		}
		if (halved == 32)
			break;
	}
	*a_out = a;
	*b_out = b;
}

struct scored {
	int32_t score;
	bool positive;
};

static int falling(const void *x, const void *y)
{
	const struct scored *a = x, *b = y;

	return a->score > b->score ? -1 : a->score < b->score;
}

void curve_free(struct curve *c)
{
	free(c->points);
	*c = (struct curve){ 0 };
}

int curve_make(struct curve *out, const int32_t *scores, const bool *positive, size_t count)
{
	owned(own_free) struct scored *all = calloc(count + 1, sizeof(*all));
	struct curve c = { .points = calloc(count + 1, sizeof(*c.points)) };
	double in = 0, seen[2] = { 0 }, recall = 0, overblock = 0;

	if (!all || !c.points) {
		curve_free(&c);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		all[i] = (struct scored){ scores[i], positive[i] };
		in += positive[i];
	}
	qsort(all, count, sizeof(*all), falling);
	for (size_t i = 0; i < count; i++) {
		struct curve_point *p = &c.points[c.count];

		seen[all[i].positive]++;
		if (i + 1 < count && all[i + 1].score == all[i].score)
			continue;
		p->probability = classifier_probability(all[i].score);
		p->recall = in > 0 ? seen[1] / in : 0;
		p->overblock = in < (double)count ? seen[0] / ((double)count - in) : 0;
		p->precision = seen[1] / (seen[0] + seen[1]);
		c.area += (p->overblock - overblock) * (p->recall + recall) / 2;
		recall = p->recall;
		overblock = p->overblock;
		c.count++;
	}
	*out = c;
	return 0;
}

const struct curve_point *curve_at(const struct curve *c, double rate)
{
	const struct curve_point *best = NULL;

	for (size_t i = 0; i < c->count && c->points[i].overblock <= rate; i++)
		best = &c->points[i];
	return best;
}

void curve_print(FILE *to, const struct curve *c)
{
	static const double rates[] = { 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5 };
	enum { WIDTH = 50 };

	fprintf(to, "    overblocked  threshold  precision  recall\n");
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		const struct curve_point *p = curve_at(c, rates[i]);

		if (!p)
			continue;
		fprintf(to, "    <= %8.3f  %9.4f  %9.4f  %6.4f ", rates[i], p->probability, p->precision, p->recall);
		for (int k = 0; k < (int)lrint(p->recall * WIDTH); k++)
			fputs("█", to);
		fputc('\n', to);
	}
}

#define SIDE   360
#define MARGIN 60

static const char *const colours[] = { "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b" };

static void svg_frame(FILE *to, int left, const char *across, const char *up)
{
	fprintf(to, "<rect x='%d' y='%d' width='%d' height='%d' fill='none' stroke='#888'/>\n", left, MARGIN, SIDE,
	        SIDE);
	for (int k = 0; k <= 5; k++) {
		int at = k * SIDE / 5;

		fprintf(to, "<text x='%d' y='%d' text-anchor='middle'>%.1f</text>\n", left + at, MARGIN + SIDE + 16,
		        k / 5.0);
		fprintf(to, "<text x='%d' y='%d' text-anchor='end'>%.1f</text>\n", left - 6, MARGIN + SIDE - at + 4,
		        k / 5.0);
	}
	fprintf(to, "<text x='%d' y='%d' text-anchor='middle'>%s</text>\n", left + SIDE / 2, MARGIN + SIDE + 36,
	        across);
	fprintf(to, "<text x='%d' y='%d'>%s</text>\n", left, MARGIN - 8, up);
}

static void svg_line(FILE *to, int left, const struct curve *c, const char *colour, bool precision)
{
	fprintf(to, "<polyline fill='none' stroke='%s' stroke-width='1.5' points='", colour);
	if (!precision)
		fprintf(to, "%d,%d", left, MARGIN + SIDE);
	for (size_t i = 0; i < c->count; i++) {
		const struct curve_point *p = &c->points[i];
		double x = precision ? p->recall : p->overblock, y = precision ? p->precision : p->recall;

		fprintf(to, " %.1f,%.1f", left + x * SIDE, MARGIN + (1 - y) * SIDE);
	}
	fputs("'/>\n", to);
}

int curve_svg(const char *path, const struct curve_named *curves, size_t count)
{
	int second = 2 * MARGIN + SIDE, height = 2 * MARGIN + SIDE + 18 * (int)count;
	FILE *to = fopen(path, "we");
	bool failed;

	if (!to)
		return -errno;
	fprintf(to,
	        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif' "
	        "font-size='12'>\n<rect width='100%%' height='100%%' fill='#fff'/>\n",
	        2 * second, height);
	svg_frame(to, MARGIN, "overblocked share of harmless texts", "recall");
	svg_frame(to, second + MARGIN, "recall", "precision");
	for (size_t i = 0; i < count; i++) {
		const char *colour = colours[i % ARRAY_LEN(colours)];

		svg_line(to, MARGIN, &curves[i].curve, colour, false);
		svg_line(to, second + MARGIN, &curves[i].curve, colour, true);
		/* A risk's name has no character that XML minds: the model says so, but it may hold any ASCII. */
		fprintf(to, "<text x='%d' y='%d' fill='%s'>", MARGIN, 2 * MARGIN + SIDE + 18 * (int)i, colour);
		for (const char *p = curves[i].name; *p; p++)
			fprintf(to, strchr("<>&'\"", *p) ? "&#%d;" : "%c", *p);
		fprintf(to, " - area under the left curve %.4f</text>\n", curves[i].curve.area);
	}
	fputs("</svg>\n", to);
	failed = ferror(to);
	return fclose(to) || failed ? -EIO : 0;
}
