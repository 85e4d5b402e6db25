/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_eval.c - sluicectl model eval: how right a model is on labelled texts, and how early.
 *
 * Every score comes from the engine that the daemon runs. A text is scored twice: at its end, which gives accuracy,
 * and character by character as a rule with `hold: none` would see it, which gives the characters read before the
 * decision.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/model.h"

#define LOW_OVERBLOCK 0.05 /* recall_at_fpr_05 */

struct eval_options {
	const char *model, *paths[64], *svg;
	size_t path_count;
	struct data_columns columns;
	double threshold, overblock;
	enum classifier_window window;
	unsigned last;
	uint16_t least;
	bool json;
};

/* What a risk's decisions come to. */
struct tally {
	size_t right[2], wrong[2]; /* by truth */
};

struct risk_result {
	const char *name;
	struct tally tally;
	struct curve curve; /* owned */
	const struct curve_point *at_05, *at_wanted;
};

/* How early: texts that are decided in the end. */
struct early {
	size_t texts;             /* found in the end */
	uint64_t read, whole;     /* their characters: before the decision, in all */
	size_t harmless, stopped; /* harmless texts, and those that would have been stopped on the way */
};

struct eval {
	const struct eval_options *o;
	const struct classifier *c;
	struct samples samples; /* owned, as all below */
	uint64_t *truth;        /* risks of the model, bit by bit */
	int32_t *logits;        /* [risk][text] */
	struct risk_result *results;
	struct early early;
	double accuracy, macro_f1, recall_05;
};

static void eval_free(struct eval *e)
{
	samples_free(&e->samples);
	free(e->truth);
	free(e->logits);
	for (unsigned r = 0; e->results && r < classifier_risks(e->c); r++)
		curve_free(&e->results[r].curve);
	free(e->results);
}

static double ratio(double part, double of)
{
	return of > 0 ? part / of : 0;
}

static double f1(const struct tally *t, bool of)
{
	return ratio(2.0 * (double)t->right[of], 2.0 * (double)t->right[of] + (double)(t->wrong[0] + t->wrong[1]));
}

static double precision(const struct tally *t)
{
	return ratio((double)t->right[1], (double)(t->right[1] + t->wrong[0]));
}

static double recall(const struct tally *t)
{
	return ratio((double)t->right[1], (double)(t->right[1] + t->wrong[1]));
}

/* Risks of the data as those of the model. What the model does not know is told once, and counts as harmless. */
static void translate(struct eval *e)
{
	unsigned to[CLASSIFIER_RISKS_MAX];

	for (unsigned i = 0; i < e->samples.risks; i++) {
		to[i] = UINT32_MAX;
		for (unsigned r = 0; r < classifier_risks(e->c); r++)
			if (!strcmp(e->samples.names[i], classifier_risk(e->c, r)->name))
				to[i] = r;
		if (to[i] == UINT32_MAX)
			fprintf(stderr, "sluicectl: the model does not know %s; texts with it count as without\n",
			        e->samples.names[i]);
	}
	for (size_t k = 0; k < e->samples.count; k++)
		for (unsigned i = 0; i < e->samples.risks; i++)
			if (e->samples.at[k].risks >> i & 1 && to[i] != UINT32_MAX)
				e->truth[k] |= (uint64_t)1 << to[i];
}

/* The highest logit of each risk over the windows of the text; of the answer, the logit at its end. */
static void note(const struct eval *e, const struct judged *j, int32_t *best)
{
	for (unsigned r = 0; r < classifier_risks(e->c); r++) {
		int32_t logit = judged_logit(j, r);

		if (e->o->window == CLASSIFIER_ANSWER || logit > best[r])
			best[r] = logit;
	}
}

static int score_text(const struct eval *e, struct slice text, int32_t *best)
{
	owned(judged_free) struct judged *j = NULL;
	int err = judged_start(&j, e->c, e->o->window, e->o->last, NULL, 0);
	bool noted = false;
	size_t used;

	if (err)
		return err;
	for (unsigned r = 0; r < classifier_risks(e->c); r++)
		best[r] = INT32_MIN;
	while (text.len) {
		/* A window of the last characters is asked after each byte: it has no other ends. */
		size_t len = e->o->window == CLASSIFIER_LAST ? 1 : text.len;
		enum judged_step step = judged_feed(j, slice_of(text.at, len), &used);

		text = slice_from(text, used);
		if ((e->o->window == CLASSIFIER_SENTENCE && step == JUDGED_SENTENCE) ||
		    (e->o->window == CLASSIFIER_LAST && judged_window(j) >= e->o->least)) {
			note(e, j, best);
			noted = true;
		}
	}
	if (judged_end(j) == JUDGED_SENTENCE || !noted || e->o->window == CLASSIFIER_ANSWER)
		note(e, j, best);
	return 0;
}

/* Characters read until a risk of `wanted` passes its threshold; 0: never. *all: characters of the text. */
static int read_until(const struct eval *e, struct slice text, uint64_t wanted, uint64_t *until, uint64_t *all)
{
	struct classifier_watch watches[CLASSIFIER_WATCH_MAX];
	owned(judged_free) struct judged *j = NULL;
	unsigned count = 0;
	size_t used;
	int err;

	for (unsigned r = 0; r < classifier_risks(e->c) && count < CLASSIFIER_WATCH_MAX; r++)
		if (wanted >> r & 1)
			watches[count++] = (struct classifier_watch){ (uint16_t)r, e->o->least,
				                                      classifier_logit_of(e->o->threshold) };
	err = judged_start(&j, e->c, e->o->window, e->o->last, watches, count);
	if (err)
		return err;
	*until = 0;
	for (; text.len; text = slice_from(text, used)) {
		judged_feed(j, text, &used);
		if (!*until && judged_passed(j))
			*until = judged_symbols(j);
	}
	judged_end(j);
	*all = judged_symbols(j);
	if (!*until && judged_passed(j))
		*until = *all;
	return 0;
}

static int measure_early(struct eval *e, struct slice text, uint64_t truth, uint64_t found)
{
	uint64_t until, all;
	int err;

	if (truth & found) {
		err = read_until(e, text, truth & found, &until, &all);
		if (err)
			return err;
		e->early.texts++;
		e->early.read += until ? until : all; /* shorter than `least`: decided at the end */
		e->early.whole += all;
	} else if (!truth) {
		err = read_until(e, text, UINT64_MAX, &until, &all);
		if (err)
			return err;
		e->early.harmless++;
		e->early.stopped += until != 0;
	}
	return 0;
}

static int score_all(struct eval *e)
{
	unsigned risks = classifier_risks(e->c);
	int32_t best[CLASSIFIER_RISKS_MAX] = { 0 }, threshold = classifier_logit_of(e->o->threshold);
	size_t count = e->samples.count, exact = 0, none_right[2] = { 0 }, none_wrong[2] = { 0 };
	struct tally none = { 0 };

	for (size_t k = 0; k < count; k++) {
		struct slice text = slice_of(e->samples.at[k].text, e->samples.at[k].len);
		uint64_t found = 0;
		int err = score_text(e, text, best);

		if (err)
			return err;
		for (unsigned r = 0; r < risks; r++) {
			struct tally *t = &e->results[r].tally;
			bool is = e->truth[k] >> r & 1, says = best[r] >= threshold;

			e->logits[r * count + k] = best[r];
			found |= (uint64_t)says << r;
			++*(is == says ? &t->right[is] : &t->wrong[is]);
		}
		exact += found == e->truth[k];
		++*(!found == !e->truth[k] ? &none_right[!e->truth[k]] : &none_wrong[!e->truth[k]]);
		err = measure_early(e, text, e->truth[k], found);
		if (err)
			return err;
	}
	memcpy(none.right, none_right, sizeof(none.right));
	memcpy(none.wrong, none_wrong, sizeof(none.wrong));
	e->accuracy = ratio((double)exact, (double)count);
	e->macro_f1 = f1(&none, true);
	return 0;
}

static int conclude(struct eval *e)
{
	unsigned risks = classifier_risks(e->c);
	size_t count = e->samples.count;
	owned(own_free) bool *positive = calloc(count, sizeof(*positive));

	if (!positive)
		return -ENOMEM;
	for (unsigned r = 0; r < risks; r++) {
		struct risk_result *res = &e->results[r];

		res->name = classifier_risk(e->c, r)->name;
		for (size_t k = 0; k < count; k++)
			positive[k] = e->truth[k] >> r & 1;
		if (curve_make(&res->curve, e->logits + r * count, positive, count))
			return -ENOMEM;
		res->at_05 = curve_at(&res->curve, LOW_OVERBLOCK);
		res->at_wanted = e->o->overblock >= 0 ? curve_at(&res->curve, e->o->overblock) : NULL;
		e->macro_f1 += f1(&res->tally, true);
		e->recall_05 += res->at_05 ? res->at_05->recall / risks : 0;
	}
	e->macro_f1 /= risks + 1;
	return 0;
}

static void print_json(const struct eval *e)
{
	const struct early *y = &e->early;

	printf("{\"texts\":%zu,\"accuracy\":%.6f,\"macro_f1\":%.6f,\"per_risk\":{", e->samples.count, e->accuracy,
	       e->macro_f1);
	for (unsigned r = 0; r < classifier_risks(e->c); r++) {
		const struct risk_result *res = &e->results[r];
		const struct tally *t = &res->tally;

		fputs(r ? "," : "", stdout);
		cli_json_string(stdout, res->name);
		printf(":{\"precision\":%.6f,\"recall\":%.6f,\"f1\":%.6f,\"positives\":%zu,\"auc\":%.6f,"
		       "\"recall_at_fpr_05\":%.6f",
		       precision(t), recall(t), f1(t, true), t->right[1] + t->wrong[1], res->curve.area,
		       res->at_05 ? res->at_05->recall : 0);
		if (res->at_wanted)
			printf(",\"wanted\":{\"overblock\":%.6f,\"threshold\":%.6f,\"recall\":%.6f,\"precision\":%.6f}",
			       res->at_wanted->overblock, res->at_wanted->probability, res->at_wanted->recall,
			       res->at_wanted->precision);
		putchar('}');
	}
	printf("},\"recall_at_fpr_05\":%.6f,\"chars_to_decision\":%.2f,\"chars_of_text\":%.2f,"
	       "\"stopped_in_passing\":%.6f,\"threshold\":%.6f}\n",
	       e->recall_05, ratio((double)y->read, (double)y->texts), ratio((double)y->whole, (double)y->texts),
	       ratio((double)y->stopped, (double)y->harmless), e->o->threshold);
}

static void print_text(const struct eval *e)
{
	const struct early *y = &e->early;

	printf("%zu texts: accuracy %.4f, macro-F1 %.4f (threshold %.4f)\n", e->samples.count, e->accuracy, e->macro_f1,
	       e->o->threshold);
	for (unsigned r = 0; r < classifier_risks(e->c); r++) {
		const struct risk_result *res = &e->results[r];
		const struct tally *t = &res->tally;

		printf("\n%s: %zu positive; precision %.4f, recall %.4f, F1 %.4f, area under the ROC curve %.4f\n",
		       res->name, t->right[1] + t->wrong[1], precision(t), recall(t), f1(t, true), res->curve.area);
		curve_print(stdout, &res->curve);
		if (res->at_wanted)
			printf("  wanted: at most %.4f overblocked: threshold %.4f, precision %.4f, recall %.4f\n",
			       e->o->overblock, res->at_wanted->probability, res->at_wanted->precision,
			       res->at_wanted->recall);
		else if (e->o->overblock >= 0)
			puts("  wanted: no threshold overblocks so little");
	}
	printf("\nread along: decided after %.1f of %.1f characters; %.4f of harmless texts pass the threshold on the "
	       "way\n",
	       ratio((double)y->read, (double)y->texts), ratio((double)y->whole, (double)y->texts),
	       ratio((double)y->stopped, (double)y->harmless));
}

static int draw(const struct eval *e)
{
	struct curve_named curves[CLASSIFIER_RISKS_MAX];
	int err;

	for (unsigned r = 0; r < classifier_risks(e->c); r++)
		curves[r] = (struct curve_named){ e->results[r].name, e->results[r].curve };
	err = curve_svg(e->o->svg, curves, classifier_risks(e->c));
	if (err)
		fprintf(stderr, "sluicectl: %s: %s\n", e->o->svg, strerror(-err));
	return err;
}

static int run(struct eval_options *o)
{
	owned(model_close) struct model_file m = { 0 };
	owned(eval_free) struct eval e = { .o = o };
	size_t risks;
	int err;

	if (model_open(&m, o->model))
		return 2;
	e.c = m.classifier;
	risks = classifier_risks(e.c);
	if (!o->columns.positive)
		o->columns.positive = risks == 1 ? classifier_risk(e.c, 0)->name : "local.flagged";
	if (model_data(&e.samples, o->paths, o->path_count, &o->columns))
		return 2;
	e.truth = calloc(e.samples.count, sizeof(*e.truth));
	e.logits = calloc(e.samples.count, risks * sizeof(*e.logits));
	e.results = calloc(risks, sizeof(*e.results));
	err = e.truth && e.logits && e.results ? 0 : -ENOMEM;
	if (!err) {
		translate(&e);
		err = score_all(&e);
	}
	if (!err)
		err = conclude(&e);
	if (err) {
		fprintf(stderr, "sluicectl: %s\n", strerror(-err));
		return 2;
	}
	if (o->json)
		print_json(&e);
	else
		print_text(&e);
	return o->svg && draw(&e) ? 2 : 0;
}

/* ---- the command ---- */

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl model eval -m MODEL --data FILE... [--json]\n"
	      "\n"
	      "Measures a model on labelled texts (formats and columns as 'model train'): precision, recall and F1 of\n"
	      "each risk, what a threshold overblocks (harmless texts above it), and how early a text is decided when\n"
	      "it is read as it comes. Accuracy counts texts whose risks are all right; macro-F1 is the mean over the\n"
	      "risks and 'none'.\n"
	      "\n"
	      "  -m, --model FILE         the model\n"
	      "      --data FILE          labelled texts; may come again ('-': standard input)\n"
	      "      --text-column NAME   --label-column NAME   --risk NAME     as 'model train'; --risk defaults to\n"
	      "                           the model's, if it has one\n"
	      "      --threshold P        probability that decides (0.5)\n"
	      "      --overblock RATE     also give the threshold that overblocks at most so many harmless texts\n"
	      "      --window WINDOW      answer | sentence | last:N (answer): a text scores as its highest window\n"
	      "      --least N            no decision before so many characters when reading along (8)\n"
	      "      --svg FILE           draw the curves\n"
	      "      --json               one object: accuracy, macro_f1, per_risk, recall_at_fpr_05,\n"
	      "                           chars_to_decision (mean over texts found), chars_of_text (of the same),\n"
	      "                           stopped_in_passing (harmless texts that pass the threshold on the way)\n",
	      to);
	return status;
}

static bool share(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return end != text && !*end && *out >= 0 && *out <= 1;
}

static bool window(const char *text, struct eval_options *o)
{
	char *end;

	o->window = CLASSIFIER_ANSWER;
	if (!strcmp(text, "answer"))
		return true;
	o->window = CLASSIFIER_SENTENCE;
	if (!strcmp(text, "sentence"))
		return true;
	o->window = CLASSIFIER_LAST;
	if (strncmp(text, "last:", 5) || text[5] < '0' || text[5] > '9')
		return false;
	o->last = (unsigned)strtoul(text + 5, &end, 10);
	return !*end && o->last && o->last <= CLASSIFIER_LAST_MAX;
}

static bool option(struct eval_options *o, int c, const char *value)
{
	char *end;
	long n;

	switch (c) {
	case 'd':
		if (o->path_count == ARRAY_LEN(o->paths))
			return false;
		o->paths[o->path_count++] = value;
		return true;
	case 'm':
		o->model = value;
		return true;
	case 't':
		o->columns.text = value;
		return true;
	case 'l':
		o->columns.label = value;
		return true;
	case 'r':
		o->columns.positive = value;
		return model_risk_known(value);
	case 'p':
		return share(value, &o->threshold);
	case 'b':
		return share(value, &o->overblock);
	case 'w':
		return window(value, o);
	case 'e':
		n = strtol(value, &end, 10);
		o->least = (uint16_t)n;
		return end != value && !*end && n >= 0 && n <= UINT16_MAX;
	case 's':
		o->svg = value;
		return true;
	case 'j':
		o->json = true;
		return true;
	default:
		return false;
	}
}

int model_eval_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "data", required_argument, NULL, 'd' },
		{ "model", required_argument, NULL, 'm' },
		{ "text-column", required_argument, NULL, 't' },
		{ "label-column", required_argument, NULL, 'l' },
		{ "risk", required_argument, NULL, 'r' },
		{ "threshold", required_argument, NULL, 'p' },
		{ "overblock", required_argument, NULL, 'b' },
		{ "window", required_argument, NULL, 'w' },
		{ "least", required_argument, NULL, 'e' },
		{ "svg", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	struct eval_options o = { .threshold = 0.5, .overblock = -1, .least = 8 };
	int c;

	while ((c = getopt_long(argc, argv, "m:h", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout, 0);
		if (!option(&o, c, optarg))
			return usage(stderr, 2);
	}
	for (; optind < argc && o.path_count && o.path_count < ARRAY_LEN(o.paths); optind++)
		o.paths[o.path_count++] = argv[optind];
	if (optind < argc || !o.path_count || !o.model)
		return usage(stderr, 2);
	return run(&o);
}
