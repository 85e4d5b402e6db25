/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conclude.c - the end of a cut answer: what was withheld goes, the refusal comes, and the framing that was promised is
 * kept.
 */
#include "exchange/private.h"

/* Room for a refusal beyond what the lane may hold. */
#define REFUSAL_MAX 65536

/* What the server said is repeated only if it was read to its end and holds nothing that any rule knows. */
static void keep_clean(struct exchange *x, char *text, size_t room)
{
	size_t len = strlen(text);

	if (len + 1 >= room || !reading_clean(x, slice_of(text, len)))
		*text = '\0';
}

/* Did the client get the unit that said so? */
static bool given(const struct exchange *x, bool said, uint64_t at)
{
	return said && x->head_cleared && at < x->cleared.wire;
}

/* Open is an item whose beginning the client has been given, and whose end it has not. */
static void fill_items(struct exchange *x, struct refusal *r, struct refusal_item *items)
{
	r->items = items;
	for (size_t i = 0; i < x->choice_count; i++) {
		struct choice *c = &x->choices[i];

		if (!given(x, c->opened, c->open_at) || given(x, c->finished, c->finish_at) ||
		    given(x, c->shut, c->shut_at))
			continue;
		if (!c->has_id)
			c->id[0] = '\0';
		keep_clean(x, c->id, sizeof(c->id));
		items[r->item_count++] = (struct refusal_item){
			.index = c->index,
			.id = slice_str(c->id),
			.what = c->what,
			.part_open = given(x, c->part_opened, c->part_open_at) &&
			             !given(x, c->part_shut, c->part_shut_at),
			.part = c->part,
		};
	}
}

static void fill(struct exchange *x, struct refusal *r, uint32_t *indexes, struct refusal_item *items)
{
	/* Which one is under way does not matter: the answer is cut in the middle of its frame. */
	if (x->tap_open)
		x->report.id[0] = x->report.model[0] = x->fingerprint_text[0] = x->time_text[0] = '\0';
	keep_clean(x, x->time_text, sizeof(x->time_text));
	keep_clean(x, x->report.id, sizeof(x->report.id));
	keep_clean(x, x->report.model, sizeof(x->report.model));
	keep_clean(x, x->fingerprint_text, sizeof(x->fingerprint_text));
	*r = (struct refusal){
		.ending = x->report.dialect->ending,
		.exception = x->blocked ? EXCEPTION_NONE : x->report.exception,
		.id = slice_str(x->report.id),
		.model = slice_str(x->report.model),
		.fingerprint = slice_str(x->fingerprint_text),
		.time = slice_str(x->time_text),
		.created = x->created,
		.begun = given(x, x->message_begun, x->begun_at),
		.ended = given(x, x->message_ended, x->ended_at),
		.sequence = x->cleared.sequence,
		.choices = indexes,
		.has_usage = x->has_usage,
		.prompt_tokens = x->usage[0],
		.completion_tokens = x->usage[1],
		.total_tokens = x->usage[2],
		.wants_usage = x->wants_usage && !given(x, x->has_usage, x->usage_at),
	};
	fill_items(x, r, items);
	/* Open is a choice whose end the client has not been given. */
	for (size_t i = 0; i < x->choice_count; i++) {
		const struct choice *c = &x->choices[i];

		if (!x->head_cleared || !c->finished || c->finish_at >= x->cleared.wire)
			indexes[r->choice_count++] = c->index;
	}
	/* Those that were asked for and have not begun are open, too. */
	for (uint32_t i = 0; i < (x->wanted ? x->wanted : 1) && r->choice_count < CHOICES_MAX; i++) {
		bool seen = x->choice_count && !x->wanted;

		for (size_t k = 0; k < x->choice_count && !seen; k++)
			seen = x->choices[k].index == i;
		if (!seen)
			indexes[r->choice_count++] = i;
	}
}

/* A complete message in place of the answer. */
static enum conclusion replace(struct exchange *x, struct lane *l, const struct refusal *r)
{
	struct buf body = BUF(REFUSAL_MAX);
	bool keep = x->blocked && x->report.complete && x->asking == PHASE_DONE && !x->answer_close && !x->http10;
	unsigned status;
	int err = refusal_body(&body, r, &status);

	if (!err && !status)
		err = -1; /* a row of the table that has no words */
	err = err ? err
	          : buf_printf(&l->buf,
	                       "HTTP/1.1 %u %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n%s%s\r\n",
	                       status, status_phrase(status), buf_len(&body),
	                       status >= 500 ? "x-should-retry: false\r\n" : "", keep ? "" : "connection: close\r\n");
	if (!err && !x->to_head)
		err = buf_add(&l->buf, buf_slice(&body));
	buf_free(&body);
	return err ? CONCLUDE_RESET : keep ? CONCLUDE_KEEP : CONCLUDE_CLOSE;
}

/* The rest of a body whose length was promised: `words`, and what means nothing there: between events, line breaks; on
 * a line, blanks in front of its end, because an empty line would be read as a message. */
static int pad(struct exchange *x, struct lane *l, struct slice words, uint64_t length)
{
	static const uint8_t breaks[64] = { [0 ... 63] = '\n' }, blanks[64] = { [0 ... 63] = ' ' };
	uint64_t left = length - words.len;
	bool line = x->kind == BODY_LINES && left && words.len;
	int err = buf_add(&l->buf, slice_of(words.at, words.len - line));

	while (left && !err) {
		size_t n = left < sizeof(breaks) ? (size_t)left : sizeof(breaks);

		err = buf_add(&l->buf, slice_of(line ? blanks : breaks, n));
		left -= n;
	}
	return err || !line ? err : buf_add(&l->buf, SLICE("\n"));
}

static int end_chunked(struct exchange *x, struct lane *l, struct slice words)
{
	int err = 0;

	if (x->cleared.in_chunk) {
		size_t first = words.len < x->cleared.left ? words.len : (size_t)x->cleared.left;

		if (x->cleared.left > EXCHANGE_EVENT_MAX)
			return -1; /* nobody waits for so much padding */
		err = pad(x, l, slice_of(words.at, first), x->cleared.left);
		err = err ? err : buf_add(&l->buf, SLICE("\r\n"));
		words = slice_from(words, first);
	}
	if (!err && words.len) {
		err = buf_printf(&l->buf, "%zx\r\n", words.len);
		err = err ? err : buf_add(&l->buf, words);
		err = err ? err : buf_add(&l->buf, SLICE("\r\n"));
	}
	return err ? err : buf_add(&l->buf, SLICE("0\r\n\r\n"));
}

/* Words behind the events that the client has. */
static enum conclusion append(struct exchange *x, struct lane *l, const struct refusal *r)
{
	struct buf words = BUF(REFUSAL_MAX);
	int err = (x->kind == BODY_EVENTS || x->kind == BODY_LINES) ? 0 : -1;

	if (!err && x->kind == BODY_EVENTS)
		err = refusal_events(&words, r);
	if (!err && x->kind == BODY_LINES && !x->cleared.line_start)
		err = buf_add(&words, SLICE("\n"));
	if (x->kind == BODY_LINES && !err)
		err = refusal_line(&words, r);
	if (!err && x->decoder)
		err = encoded_words(x, &words);
	if (!err)
		switch (x->body.framing) {
		case HTTP1_CHUNKED:
			err = end_chunked(x, l, buf_slice(&words));
			break;
		case HTTP1_LENGTH:
			err = buf_len(&words) > x->cleared.left || x->cleared.left > EXCHANGE_EVENT_MAX
			              ? -1
			              : pad(x, l, buf_slice(&words), x->cleared.left);
			break;
		default:
			err = buf_add(&l->buf, buf_slice(&words));
		}
	buf_free(&words);
	return err ? CONCLUDE_RESET : CONCLUDE_CLOSE;
}

enum conclusion exchange_conclude(struct exchange *x, struct lane *l, bool mute)
{
	size_t before = l->cleared;
	struct refusal_item items[CHOICES_MAX];
	uint32_t indexes[CHOICES_MAX];
	enum conclusion how;
	struct refusal r;

	buf_cut(&l->buf, l->cleared);
	l->buf.cap += REFUSAL_MAX + EXCHANGE_EVENT_MAX;
	fill(x, &r, indexes, items);
	if (mute)
		how = CONCLUDE_RESET;
	else if (x->report.exception == EXCEPTION_ANSWER_UNEXPECTED)
		how = CONCLUDE_CLOSE; /* the answer before it is complete, or none was asked for */
	else if (!x->head_cleared)
		how = replace(x, l, &r);
	else
		how = append(x, l, &r);
	if (how == CONCLUDE_RESET)
		buf_cut(&l->buf, before);
	l->buf.cap -= REFUSAL_MAX + EXCHANGE_EVENT_MAX;
	l->cleared = l->parsed = buf_len(&l->buf);
	x->answering = PHASE_DONE;
	x->asking = PHASE_DONE;
	return how;
}
