/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - what `sluicectl model` is made of. */
#pragma once

#include <stdio.h>

#include "scan/scan.h"

#define DATA_FILE_MAX (1u << 30)
#define DATA_TEXT_MAX (1u << 20) /* bytes of one text */

/* One text and what it is known to be. */
struct sample {
	uint8_t *text; /* owned */
	size_t len;
	uint64_t risks; /* bit by bit, of samples.names */
};

struct samples {
	struct sample *at; /* owned */
	size_t count, room;
	char names[CLASSIFIER_RISKS_MAX][CLASSIFIER_NAME_MAX];
	unsigned risks;
};

void samples_free(struct samples *s);

/* What to read of a file. NULL: by the names that columns go by (model_data.c). */
struct data_columns {
	const char *text, *label;
	const char *positive; /* risk that a label of 1 stands for */
};

/* Adds what a file says, CSV (RFC 4180, with a header) or JSON Lines: one object a line. `name` is the file's, for
 * messages. Errors: -EINVAL and -EFBIG with *why ("FILE:LINE: what", the caller's); -ENOMEM. What was added before the
 * mistake stays. */
int data_read(struct samples *s, const char *name, struct slice bytes, const struct data_columns *columns, char **why);

/* Reads files ("-": standard input), at least one text in all. 0, or -errno with the reason printed. */
int model_data(struct samples *s, const char *const *paths, size_t count, const struct data_columns *columns);

/* Whether the taxonomy has a risk of that name as data may give it; says so if not. */
bool model_risk_known(const char *name);

/* ---- between model_data.c and model_json.c ---- */

struct data_reader {
	struct samples *to;
	const char *name;
	size_t line;
	const struct data_columns *columns;
	char **why;
};

bool data_is_text(const char *column, const struct data_columns *columns);
bool data_is_label(const char *column, const struct data_columns *columns);
/* Says why with file and line, and returns `error`. */
int data_bad(const struct data_reader *r, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Adds the risks that a label names to *risks. */
int data_label(const struct data_reader *r, struct slice label, uint64_t *risks);
int data_add(const struct data_reader *r, struct slice text, uint64_t risks);
int data_read_json(struct data_reader *r, struct slice bytes);

/* ---- training ---- */

struct training {
	struct classifier_shape shape;
	double cost; /* liblinear's C */
	bool quiet;
};

/* Trains risk by risk, and puts the risks of *s in order of their names; the same data gives the same bytes. Says on
 * standard output what cross-validation found, unless quiet. 0 with the file's bytes, the caller's; -EINVAL or -ENOMEM
 * with the reason printed. */
int model_fit(uint8_t **file, size_t *len, struct samples *s, const struct training *how);

/* Platt's sigmoid, as Lin, Lin and Weng (2007) fit it: probability = 1 / (1 + exp(-(a * score + b))). */
void platt_fit(const double *scores, const bool *positive, size_t count, double *a, double *b);

/* ---- measuring ---- */

int model_eval_main(int argc, char **argv);
int model_train_main(int argc, char **argv);
int model_feedback_main(int argc, char **argv);

/* One point for each different score, from the highest down. */
struct curve_point {
	double probability, recall, overblock, precision;
};
struct curve {
	struct curve_point *points; /* owned */
	size_t count;
	double area; /* under the ROC curve */
};

void curve_free(struct curve *c);
/* scores[i] (logits) of texts that are positive or not. 0 or -ENOMEM. */
int curve_make(struct curve *out, const int32_t *scores, const bool *positive, size_t count);
/* The point with the highest recall whose overblock rate is at most `rate`; NULL: none. */
const struct curve_point *curve_at(const struct curve *c, double rate);
void curve_print(FILE *to, const struct curve *c);

struct curve_named {
	const char *name;
	struct curve curve;
};
/* Recall against overblocking and precision against recall, one line a risk. 0 or -errno of the file. */
int curve_svg(const char *path, const struct curve_named *curves, size_t count);

/* A mapped model. */
struct model_file {
	struct classifier *classifier; /* owned, as the rest */
	void *map;
	size_t len;
};
/* Maps and checks; says on standard error what is wrong. 0 or -errno. */
int model_open(struct model_file *m, const char *path);
void model_close(struct model_file *m);
