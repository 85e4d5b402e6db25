/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judges.c - models read along with a text, and are asked.
 *
 * All judges see the same sentences, whatever their models and windows, so a piece of text is cut where a sentence
 * ends: what the scanner tells of it is told before the judge is asked, and at the same place however the bytes came.
 */
#include "policy/judges.h"

#include <errno.h>
#include <stdlib.h>

#include "policy/ruleset.h"

#define HITS_A_CALL 16

const char *const judging_hold_names[JUDGING_HOLD_COUNT] = { "none", "sentence", "answer" };

struct judges_text {
	uint64_t text_symbol, text_byte;         /* where the text begins */
	uint64_t sentence_symbol, sentence_byte; /* where its sentence begins */
	bool holds_sentence, holds_answer;       /* some rule that applies does */
	bool sentence_ended;                     /* with the text */
	bool behind;                             /* sentence_symbol is yet to be told, from the end of the piece: */
	uint64_t since;                          /* so many symbols before it */
	size_t count;
	struct {
		struct judged *judged; /* owned */
		uint64_t told; /* of alone[], bit by bit: in this sentence; over the whole answer, in this text */
	} at[];
};

void judges_free(struct judges_text **at)
{
	struct judges_text *t = *at;

	for (size_t i = 0; t && i < t->count; i++)
		judged_free(&t->at[i].judged);
	free(t);
	*at = NULL;
}

static struct judges_text *make(size_t count)
{
	struct judges_text *t = calloc(1, sizeof(*t) + count * sizeof(t->at[0]));

	if (t)
		t->count = count;
	return t;
}

int judges_copy(const struct ruleset *r, struct judges_text **to, const struct judges_text *from)
{
	struct judges_text *t = *to;
	int error = 0;

	if (!from) {
		judges_free(to);
		return 0;
	}
	if (!t)
		t = *to = make(r->judge_count);
	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < from->count && !error; i++) {
		error = judged_copy(&t->at[i].judged, from->at[i].judged);
		t->at[i].told = from->at[i].told;
	}
	if (error) {
		judges_free(to);
		return error;
	}
	t->text_symbol = from->text_symbol;
	t->text_byte = from->text_byte;
	t->sentence_symbol = from->sentence_symbol;
	t->sentence_byte = from->sentence_byte;
	t->holds_sentence = from->holds_sentence;
	t->holds_answer = from->holds_answer;
	t->sentence_ended = from->sentence_ended;
	return 0;
}

static int start(const struct judges_call *c)
{
	const struct ruleset *r = c->rules;
	struct lookout *w = c->lookout;
	int error = 0;

	if (w->judges || w->unjudged || !r->judge_count)
		return 0;
	w->judges = make(r->judge_count);
	if (!w->judges)
		return -ENOMEM;
	for (size_t i = 0; i < r->judge_count && !error; i++) {
		const struct judge *judge = &r->judges[i];

		error = judged_start(&w->judges->at[i].judged, judge->model, judge->window, judge->last, judge->watches,
		                     judge->watch_count);
	}
	w->judges->text_symbol = w->judges->sentence_symbol = w->scan.symbols;
	w->judges->text_byte = w->judges->sentence_byte = w->bytes;
	return error;
}

static void find_holds(const struct judges_call *c)
{
	struct judges_text *t = c->lookout->judges;

	t->holds_sentence = t->holds_answer = false;
	for (size_t i = 0; i < t->count; i++)
		for (size_t k = 0; k < c->rules->judges[i].alone_count; k++) {
			const struct rule *rule = &c->rules->rules[c->rules->judges[i].alone[k]];

			if (rule->action != ACTION_BLOCK || !rule_applies(rule, c->scope))
				continue;
			t->holds_sentence |= rule->judging.hold == JUDGING_SENTENCE;
			t->holds_answer |= rule->judging.hold == JUDGING_ANSWER;
		}
}

/* What alone[k] of a judge has decided: all up to that symbol, and byte. */
static int tell(const struct judges_call *c, size_t i, size_t k, uint64_t symbol, uint64_t byte)
{
	const struct judge *judge = &c->rules->judges[i];
	const struct rule *rule = &c->rules->rules[judge->alone[k]];
	struct judges_text *t = c->lookout->judges;
	bool whole = judge->window == CLASSIFIER_ANSWER;
	struct sight s = { .rule = rule,
		           .judged = true,
		           .logit = judged_logit(t->at[i].judged, rule->judging.of_model),
		           .start = whole ? t->text_symbol : t->sentence_symbol,
		           .end = symbol,
		           .from = whole ? t->text_byte : t->sentence_byte,
		           .to = byte };

	t->at[i].told |= (uint64_t)1 << k;
	return c->seen(c->to, &s);
}

static bool may_tell(const struct judges_call *c, size_t i, size_t k)
{
	return !(c->lookout->judges->at[i].told >> k & 1) &&
	       rule_applies(&c->rules->rules[c->rules->judges[i].alone[k]], c->scope);
}

/* Symbols up to the end of `bytes`, from that state of the scanner on. */
static uint64_t symbols_behind(const struct judges_call *c, struct scan_state st, struct slice bytes)
{
	struct scan_hit hits[HITS_A_CALL];
	size_t used;

	for (; bytes.len; bytes = slice_from(bytes, used))
		scan_feed(c->rules->scanner, &st, bytes, &used, hits, HITS_A_CALL);
	return st.symbols;
}

/* Scores that came to where a rule acts at once, behind `bytes` that the scanner has not read. `begin`: where in them
 * the sentence begins, 0: in front. */
static int passed(const struct judges_call *c, size_t i, struct slice bytes, size_t begin)
{
	const struct judge *judge = &c->rules->judges[i];
	struct judges_text *t = c->lookout->judges;
	uint64_t bits = judged_passed(t->at[i].judged);
	int error = 0;

	for (; bits && !error; bits &= bits - 1) {
		size_t k = judge->watch_of[__builtin_ctzll(bits)];

		if (!may_tell(c, i, k))
			continue;
		if (begin) {
			t->sentence_symbol = symbols_behind(c, c->lookout->scan, slice_of(bytes.at, begin));
			t->sentence_byte = c->lookout->bytes + begin;
		}
		error = tell(c, i, k, symbols_behind(c, c->lookout->scan, bytes), c->lookout->bytes + bytes.len);
	}
	return error;
}

bool judges_asked(const struct rule *rule, bool end)
{
	return end || rule->judging.hold != JUDGING_ANSWER || rule->judging.window != CLASSIFIER_ANSWER;
}

/* Is it decided alone, where a sentence is over or, `end`, the text? */
static bool decides(const struct judges_call *c, size_t i, size_t k, bool end)
{
	const struct rule *rule = &c->rules->rules[c->rules->judges[i].alone[k]];
	const struct judges_text *t = c->lookout->judges;

	/* The last sentence of a text was asked about when it was over, if it was. */
	if (!judges_asked(rule, end) || (end && !t->sentence_ended && judges_asked(rule, false)))
		return false;
	return judged_window(t->at[i].judged) && may_tell(c, i, k) &&
	       judged_logit(t->at[i].judged, rule->judging.of_model) >= rule->judging.threshold;
}

/* A sentence is over of which there is nothing to say: where one judge decides alone, reading goes on. */
static bool in_passing(const struct judges_call *c)
{
	const struct judge *judge = &c->rules->judges[0];
	struct judges_text *t = c->lookout->judges;

	if (t->count > 1 || c->rules->judges_words)
		return false;
	for (size_t k = 0; k < judge->alone_count; k++)
		if (decides(c, 0, k, false))
			return false;
	if (judge->window != CLASSIFIER_ANSWER)
		t->at[0].told = 0;
	return true;
}

int judges_feed(const struct judges_call *c, struct slice *piece, bool *over)
{
	int error = start(c);
	struct judges_text *t = c->lookout->judges;
	size_t begin = 0;

	*over = false;
	if (error || !t)
		return error;
	find_holds(c);
	for (size_t i = 0; i < t->count && !error; i++) {
		*over = false;
		for (size_t at = 0, used; at < piece->len && !*over && !error;) {
			enum judged_step step = judged_feed(t->at[i].judged, slice_from(*piece, at), &used);

			at += used;
			error = passed(c, i, slice_of(piece->at, at), begin);
			if (step != JUDGED_SENTENCE)
				continue;
			*over = !in_passing(c);
			if (*over)
				piece->len = at;
			else
				begin = at;
		}
	}
	t->behind = begin > 0;
	if (t->behind) {
		t->since = symbols_behind(c, (struct scan_state){}, slice_from(*piece, begin));
		t->sentence_byte = c->lookout->bytes + begin;
	}
	return error;
}

void judges_caught_up(const struct lookout *w)
{
	struct judges_text *t = w->judges;

	if (t && t->behind)
		t->sentence_symbol = w->scan.symbols - t->since;
}

int judges_end(const struct judges_call *c)
{
	struct judges_text *t = c->lookout->judges;
	int error = 0;

	if (!t)
		return 0;
	find_holds(c);
	for (size_t i = 0; i < t->count && !error; i++) {
		t->sentence_ended = judged_end(t->at[i].judged) == JUDGED_SENTENCE;
		error = passed(c, i, SLICE(""), 0);
	}
	return error;
}

int judges_decide(const struct judges_call *c, bool end)
{
	const struct judges_text *t = c->lookout->judges;
	int error = 0;

	for (size_t i = 0; i < t->count; i++)
		for (size_t k = 0; k < c->rules->judges[i].alone_count && !error; k++)
			if (decides(c, i, k, end))
				error = tell(c, i, k, c->lookout->scan.symbols, c->lookout->bytes);
	return error;
}

void judges_go_on(const struct judges_call *c, bool end)
{
	struct judges_text *t = c->lookout->judges;

	t->sentence_symbol = c->lookout->scan.symbols;
	t->sentence_byte = c->lookout->bytes;
	for (size_t i = 0; i < t->count; i++) {
		if (end || c->rules->judges[i].window != CLASSIFIER_ANSWER)
			t->at[i].told = 0;
		if (end)
			judged_restart(t->at[i].judged);
	}
	if (!end)
		return;
	t->text_symbol = t->sentence_symbol;
	t->text_byte = t->sentence_byte;
	t->sentence_ended = false;
}

bool judges_agree(const struct lookout *w, const struct rule *rule, int32_t limit, int32_t *logit)
{
	const struct judged *judged = w->judges->at[rule->judging.judge].judged;

	*logit = judged_window(judged) ? judged_logit(judged, rule->judging.of_model) : limit;
	return *logit >= limit;
}

void judges_hold(const struct lookout *w, struct lookout_hold *out)
{
	const struct judges_text *t = w->judges;

	if (t->holds_answer && judged_symbols(t->at[0].judged)) {
		out->symbol = t->text_symbol;
		out->whole = true;
	} else if (t->holds_sentence && judged_sentence(t->at[0].judged) && t->sentence_symbol < out->symbol) {
		out->symbol = t->sentence_symbol;
	}
}

bool judges_idle(const struct ruleset *r, const struct judges_text *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (r->judges[i].window == CLASSIFIER_SENTENCE ? judged_sentence(t->at[i].judged)
		                                               : judged_window(t->at[i].judged))
			return false;
	return true;
}
