/* SPDX-License-Identifier: Apache-2.0 */
/* lesson_text.c - what stands in an evidence: the line of JSON that flow/keep.c wrote. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/lesson.h"
#include "stream/stream.h"

#define KEY_MOST 64

enum { IN_EVIDENCE = 1, IN_ANSWER = 3 }; /* depths: the object itself, and those of the list `answer` */

/* A text of the whole answer, as far as it is read. */
struct one_text {
	char channel[32];
	uint64_t choice, missing;
	struct buf text;
};

struct words_reader {
	struct evidence_words *to;
	unsigned depth;
	bool in_answer, has_match;
	char channel[32];
	uint64_t choice;
	struct one_text one;
	struct buf key, value;
};

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->room);
	buf_free(b);
}

void evidence_words_free(struct evidence_words *w)
{
	wipe(&w->before);
	wipe(&w->match);
	wipe(&w->after);
	wipe(&w->answer);
}

static void reader_free(struct words_reader *r)
{
	wipe(&r->key);
	wipe(&r->value);
	wipe(&r->one.text);
}

static int number(struct slice value, uint64_t *out)
{
	uint64_t n = 0;

	if (!value.len || value.len > 19)
		return -EBADMSG;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return -EBADMSG;
		n = n * 10 + (uint64_t)(value.at[i] - '0');
	}
	*out = n;
	return 0;
}

static int name(struct slice value, char to[32])
{
	if (value.len >= 32 || memchr(value.at, 0, value.len))
		return -EBADMSG;
	memcpy(to, value.at, value.len);
	to[value.len] = '\0';
	return 0;
}

static int words(struct slice value, struct buf *to)
{
	wipe(to);
	*to = BUF(EVIDENCE_MAX);
	return buf_add(to, value);
}

/* A member of the evidence, or of a text of the answer. */
static int member(struct words_reader *r, bool text)
{
	struct slice key = buf_slice(&r->key), value = buf_slice(&r->value);
	bool inner = r->depth == IN_ANSWER;

	if (slice_is(key, SLICE("channel")) && text)
		return name(value, inner ? r->one.channel : r->channel);
	if (slice_is(key, SLICE("choice")) && !text)
		return number(value, inner ? &r->one.choice : &r->choice);
	if (slice_is(key, SLICE("missing")) && !text)
		return number(value, inner ? &r->one.missing : &r->to->missing);
	if (inner)
		return slice_is(key, SLICE("text")) && text ? words(value, &r->one.text) : 0;
	if (slice_is(key, SLICE("offset")) && !text)
		return number(value, &r->to->offset);
	if (slice_is(key, SLICE("before")) && text)
		return words(value, &r->to->before);
	if (slice_is(key, SLICE("after")) && text)
		return words(value, &r->to->after);
	if (slice_is(key, SLICE("match")) && text) {
		r->has_match = true;
		return words(value, &r->to->match);
	}
	return 0;
}

/* The text of the answer that the match stands in is the one that is kept. */
static void text_over(struct words_reader *r)
{
	if (r->depth == IN_ANSWER && r->in_answer && !r->to->has_answer && !strcmp(r->one.channel, r->channel) &&
	    r->one.choice == r->choice) {
		r->to->has_answer = true;
		r->to->answer_missing = r->one.missing;
		wipe(&r->to->answer);
		r->to->answer = r->one.text;
		r->one.text = BUF(EVIDENCE_MAX);
	}
	wipe(&r->one.text);
	r->one = (struct one_text){ .text = BUF(EVIDENCE_MAX) };
}

static bool is_read(const struct words_reader *r)
{
	return r->depth == IN_EVIDENCE || (r->depth == IN_ANSWER && r->in_answer);
}

static int take(struct words_reader *r, const struct json_item *item)
{
	switch (item->kind) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		if (r->depth == IN_EVIDENCE)
			r->in_answer = item->kind == JSON_ARRAY && slice_is(buf_slice(&r->key), SLICE("answer"));
		r->depth++;
		return 0;
	case JSON_OBJECT_END:
		text_over(r);
		r->depth--;
		return 0;
	case JSON_ARRAY_END:
		r->depth--;
		return 0;
	case JSON_KEY:
		return is_read(r) ? buf_add(&r->key, item->text) : 0;
	case JSON_STRING:
	case JSON_NUMBER:
		return is_read(r) ? buf_add(&r->value, item->text) : 0;
	case JSON_STRING_END:
	case JSON_NUMBER_END:
		return is_read(r) ? member(r, item->kind == JSON_STRING_END) : 0;
	default:
		return 0;
	}
}

/* What was gathered has been used. */
static void let_go(struct words_reader *r, enum json_kind kind)
{
	if (kind == JSON_KEY_END || kind == JSON_STRING_END || kind == JSON_NUMBER_END)
		buf_cut(&r->value, 0);
	if (kind != JSON_KEY && kind != JSON_KEY_END && kind != JSON_STRING && kind != JSON_NUMBER)
		buf_cut(&r->key, 0);
}

int evidence_words_read(struct evidence_words *w, struct slice in)
{
	owned(reader_free) struct words_reader r = {
		.to = w, .key = BUF(KEY_MOST), .value = BUF(EVIDENCE_MAX), .one.text = BUF(EVIDENCE_MAX)
	};
	struct json_item item;
	enum step step = STEP_MORE;
	struct json json;
	size_t used;
	int err = 0;

	*w = (struct evidence_words){ .before = BUF(EVIDENCE_MAX),
		                      .match = BUF(EVIDENCE_MAX),
		                      .after = BUF(EVIDENCE_MAX),
		                      .answer = BUF(EVIDENCE_MAX) };
	json_start(&json);
	while (!err && in.len) {
		step = json_feed(&json, in, &used, &item);
		in = slice_from(in, used);
		if (step != STEP_ITEM)
			break;
		err = take(&r, &item);
		let_go(&r, item.kind);
	}
	if (err == -ENOMEM)
		return err;
	return err || step == STEP_BAD || !json_done(&json) || !r.has_match ? -EBADMSG : 0;
}

/* ---- what is learnt from ---- */

static void count_symbol(void *to, const struct scan_symbol *symbol)
{
	(void)symbol;
	++*(uint64_t *)to;
}

/* Whether it is all that stood in front of the match. */
static bool is_start(const struct evidence_words *w, struct slice before)
{
	uint64_t symbols = 0;

	scan_explain(before, count_symbol, &symbols);
	return !w->missing && symbols == w->offset;
}

int evidence_words_span(const struct evidence_words *w, bool wide, struct buf *out)
{
	struct slice before = buf_slice(&w->before), match = buf_slice(&w->match);
	int err;

	/* The answer may have been cut anywhere behind the match. */
	err = wide ? buf_add(out, text_uncut(before, !is_start(w, before), false)) : 0;
	err = err ? err : buf_add(out, text_uncut(match, w->missing > 0, false));
	return err || !wide ? err : buf_add(out, text_uncut(buf_slice(&w->after), false, true));
}
