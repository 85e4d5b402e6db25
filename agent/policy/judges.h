/* SPDX-License-Identifier: Apache-2.0 */
/* judges.h - models of a policy, and what they have read of one text. */
#pragma once

#include "policy/policy.h"

#define MODELS_MAX      16
#define JUDGES_MAX      32
#define JUDGE_RULES     CLASSIFIER_WATCH_MAX /* that one judge decides alone */
#define JUDGES_TEXT_MAX (64u << 10)          /* bytes that they keep of one text */
#define JUDGE_LEAST     8 /* symbols of a window before it is asked in the middle of a sentence, as in `model eval` */

/* A model over a window: what is read once for all rules that use it so. */
struct judge {
	const struct classifier *model; /* borrowed */
	enum classifier_window window;
	uint16_t last;
	uint8_t alone_count;
	uint32_t alone[JUDGE_RULES]; /* rules that it decides alone */
	uint8_t watch_count;
	struct classifier_watch watches[JUDGE_RULES]; /* of those that hold nothing */
	uint8_t watch_of[JUDGE_RULES];                /* place in alone[] of each */
};

/* One text as the judges have it. */
struct judges_text;

void judges_free(struct judges_text **at);
/* Makes *to the same as `from` (which may be NULL), both of the same ruleset. -ENOMEM: *to is freed. */
int judges_copy(const struct ruleset *r, struct judges_text **to, const struct judges_text *from);

/* Where the lookout stands, and where hits go. */
struct judges_call {
	const struct ruleset *rules;
	const struct scope *scope;
	struct lookout *lookout;
	lookout_seen *seen;
	void *to;
};

/* Reads *piece, which the scanner has not read yet, and shortens it to where a sentence ends; *over: it does. Tells
 * what is decided in the middle of it. 0, -ENOMEM, or what `seen` returned. */
int judges_feed(const struct judges_call *c, struct slice *piece, bool *over);

/* The scanner has read the piece, too. */
void judges_caught_up(const struct lookout *w);

/* The sentence is over, `end`: the text is; the scanner has read it to there. Tells what is decided alone. */
int judges_decide(const struct judges_call *c, bool end);
/* ... and what has waited for it was asked about: the next sentence begins, or the next text. */
void judges_go_on(const struct judges_call *c, bool end);
/* No more bytes come: a cut character counts as U+FFFD. */
int judges_end(const struct judges_call *c);

/* Is the question of a rule's words asked now? */
bool judges_asked(const struct rule *rule, bool end);
/* What the judge says of them. True: no less than `limit`. Nothing being left to judge, it agrees. */
bool judges_agree(const struct lookout *w, const struct rule *rule, int32_t limit, int32_t *logit);

/* What must be held for those that decide alone; makes *out no smaller. */
void judges_hold(const struct lookout *w, struct lookout_hold *out);
bool judges_idle(const struct ruleset *r, const struct judges_text *t);
