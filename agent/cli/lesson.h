/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lesson.h - findings to learn from: what people said of them, and the text that was kept of them, without what tells
 * of persons. `sluicectl model feedback` and `sluicectl export --training` stand on it.
 */
#pragma once

#include "base/buf.h"
#include "cli/keyring.h"
#include "policy/policy.h"
#include "record/record.h"

int export_training_main(int argc, char **argv);

/* ---- lesson_text.c: what stands in an evidence ---- */

/* The line of JSON that was sealed (flow/keep.c), as far as it is learnt from. */
struct evidence_words {
	struct buf before, match, after, answer; /* answer: the text with the match in it, if it was kept */
	bool has_answer;
	uint64_t missing, answer_missing; /* bytes that were not kept, at the start of match and answer */
	uint64_t offset;                  /* of the match, in symbols of its text */
};

/* Reads it. `w` is to be freed in each case; its texts are wiped then. -EBADMSG: it is none; -ENOMEM. */
int evidence_words_read(struct evidence_words *w, struct slice json);
void evidence_words_free(struct evidence_words *w);

/* The match, with what is around it if `wide`, without words that are cut. Appends. -ENOBUFS, -ENOMEM. */
int evidence_words_span(const struct evidence_words *w, bool wide, struct buf *out);

/* ---- veil.c: what is taken out of a text ---- */

struct veil {
	struct ruleset *shipped, *own; /* owned: the packs of personal data and secrets, and the operator's policy */
};

/* `policy`: a folder, NULL: as the configuration says. 0, or -errno with the reason printed. */
int veil_open(struct veil *v, const char *policy);
/* The shipped packs alone. */
int veil_open_shipped(struct veil *v);
void veil_close(struct veil *v);
/* Replaces in *text what either finds, and adds to *replaced how often. -errno: of what is in *text then nothing may be
 * used. */
int veil_draw(const struct veil *v, struct buf *text, uint64_t *replaced);

/* ---- lesson.c ---- */

#define LESSONS_MOST 100000

struct lesson {
	struct evidence_place place;
	uint64_t seq;
	enum review review;
	Verdict verdict;
	bool judged;         /* a classifier decided alone: the match is what it read */
	char *rule, **risks; /* owned */
	size_t risk_count;
};

struct lessons {
	struct lesson *at; /* owned */
	size_t n, room;
	uint64_t none; /* wanted, and nothing was kept of them */
};

void lessons_free(struct lessons *l);

/* Which findings; `filter` may have any match. */
struct lesson_choice {
	struct record_filter *filter;
	uint64_t first, last;
	bool (*wanted)(enum review review, Verdict verdict);
};

/* The findings of the record in folder `record` that are wanted, and of which something was kept, in order of seq.
 * Reads no evidence. 0, or -errno with the reason printed; -E2BIG: more than LESSONS_MOST. */
int lessons_gather(struct lessons *out, const char *record, const struct lesson_choice *of);

struct lesson_run {
	const char *command, *what; /* who is speaking; "feedback" or "training", as it goes on record */
	const char *reason, *record;
	const struct keyring *keys;
	/* Told of each text; borrows. 0, or -errno that ends it. */
	int (*each)(void *arg, const struct lesson *lesson, const struct evidence_words *words);
	void *arg;
	uint64_t erased, restricted, held, unread; /* counted: what may not be read, and what could not be */
};

/* Has the daemon put on record who reads which evidence, then reads and decrypts what it allows, some at a time. What
 * cannot be read is said. 0, or -errno with the reason printed. */
int lessons_read(struct lesson_run *r, const struct lessons *of);

/* ---- lesson_options.c: what the commands have in common ---- */

struct lesson_options {
	const char *out, *reason, *policy;
	struct record_filter *filter; /* owned */
	uint64_t since, until, first, last;
	bool reviewed;
	struct keyring keys;
};

/* Reads the line of a command, whose output is named by --output or, if `training`, by --training. 0; 1: help was asked
 * for; -EINVAL: it is not to be understood, and the usage says what is; -errno with the reason printed. */
int lesson_options_read(struct lesson_options *o, const char *command, bool training, int argc, char **argv);
void lesson_options_free(struct lesson_options *o);

/* The file that is written, for its owner alone, not over one that is there; "-": standard output. NULL, with the
 * reason printed. */
FILE *lesson_create(const char *command, const char *path);
/* Ends it; with `err` the file goes again. 0 or -errno, printed. */
int lesson_finish(const char *command, const char *path, FILE *to, int err);
