/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.c - requests are written, answers are read.
 *
 * An endpoint may be broken, taken over, or repeat the text it was asked about. So an answer is understood only if it
 * says one of the things that the configuration lists, and what is handed on are the configuration's words, never the
 * answer's.
 */
#include "opinion/words.h"

#include <errno.h>

#include "stream/stream.h"

#define CONTENT_MAX 4096 /* bytes of what a guard model writes */
#define DEPTH       6    /* of the members that are looked at */
#define KEY_MAX     64

/* ---- asking ---- */

static int put(struct buf *out, const char *text)
{
	return buf_add(out, slice_str(text));
}

/* The inside of a JSON string (RFC 8259 7). `text` is UTF-8. */
static int put_escaped(struct buf *out, struct slice text)
{
	size_t run = 0;
	int err = 0;

	for (size_t i = 0; i < text.len && !err; i++) {
		uint8_t c = text.at[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		err = buf_add(out, slice_of(text.at + run, i - run));
		if (!err)
			err = c < 0x20 ? buf_printf(out, "\\u%04x", c) : buf_printf(out, "\\%c", c);
		run = i + 1;
	}
	return err ? err : buf_add(out, slice_from(text, run));
}

static int put_member(struct buf *out, const char *name, const char *value)
{
	int err = buf_printf(out, "\"%s\":\"", name);

	err = err ? err : put_escaped(out, slice_str(value));
	return err ? err : put(out, "\"");
}

/* A message, `{text}` in it being the text. */
static int put_content(struct buf *out, const char *form, struct slice text)
{
	static const char place[] = "{text}";
	int err = 0;

	for (const char *at; !err && (at = strstr(form, place)); form = at + sizeof(place) - 1) {
		err = put_escaped(out, slice_of(form, (size_t)(at - form)));
		err = err ? err : put_escaped(out, text);
	}
	return err ? err : put_escaped(out, slice_str(form));
}

int words_ask(struct buf *out, const struct config_opinion *c, struct slice text)
{
	int err = put(out, "{");

	if (!err && c->model) {
		err = put_member(out, "model", c->model);
		err = err ? err : put(out, ",");
	}
	if (!err && c->kind == OPINION_MODERATIONS) {
		err = put(out, "\"input\":\"");
		err = err ? err : put_escaped(out, text);
		return err ? err : put(out, "\"}");
	}
	err = err ? err : put(out, "\"messages\":[");
	for (size_t i = 0; i < c->message_count && !err; i++) {
		err = put(out, i ? ",{" : "{");
		err = err ? err : put_member(out, "role", c->messages[i].role);
		err = err ? err : put(out, ",\"content\":\"");
		err = err ? err : put_content(out, c->messages[i].content, text);
		err = err ? err : put(out, "\"}");
	}
	return err ? err
	           : buf_printf(out, "],\"max_tokens\":%u,\"temperature\":0,\"stream\":false}",
	                        (unsigned)c->max_tokens);
}

/* ---- labels ---- */

static struct slice trimmed(struct slice s)
{
	while (s.len && (s.at[0] == ' ' || s.at[0] == '\t' || s.at[0] == '\r'))
		s = slice_from(s, 1);
	while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t' || s.at[s.len - 1] == '\r'))
		s.len--;
	return s;
}

/* The next line, trimmed. False: there is none. */
static bool next_line(struct slice *text, struct slice *line)
{
	const uint8_t *end;

	if (!text->len)
		return false;
	end = memchr(text->at, '\n', text->len);
	*line = trimmed(slice_of(text->at, end ? (size_t)(end - text->at) : text->len));
	*text = slice_from(*text, end ? (size_t)(end - text->at) + 1 : text->len);
	return true;
}

/* What stands behind `after` at the start of the line. */
static bool behind(struct slice line, const char *after, struct slice *rest)
{
	size_t n = strlen(after);

	if (line.len < n || !slice_is_nocase(slice_of(line.at, n), slice_str(after)))
		return false;
	*rest = trimmed(slice_from(line, n));
	return true;
}

static const char *word_in(const struct config_words *words, struct slice said)
{
	for (size_t i = 0; i < words->count; i++)
		if (slice_is_nocase(said, slice_str(words->at[i])))
			return words->at[i];
	return NULL;
}

static uint64_t categories_in(const struct config_words *names, struct slice list)
{
	uint64_t bits = 0;

	while (list.len) {
		const uint8_t *comma = memchr(list.at, ',', list.len);
		size_t len = comma ? (size_t)(comma - list.at) : list.len;
		struct slice one = trimmed(slice_of(list.at, len));

		for (size_t i = 0; i < names->count; i++)
			if (slice_is_nocase(one, slice_str(names->at[i])))
				bits |= UINT64_C(1) << i;
		list = slice_from(list, comma ? len + 1 : len);
	}
	return bits;
}

int words_label(const struct config_opinion *c, struct slice text, struct label *out)
{
	struct label label = {};
	bool first = true, second = false;
	struct slice line, rest;

	while (next_line(&text, &line)) {
		const char *safe, *unsafe;

		if (!line.len)
			continue;
		if (*c->verdict_after ? behind(line, c->verdict_after, &rest) : first) {
			if (!*c->verdict_after)
				rest = line;
			safe = word_in(&c->safe, rest);
			unsafe = word_in(&c->unsafe, rest);
			if ((!safe && !unsafe) || (label.word && label.unsafe != (unsafe != NULL)))
				return -EBADMSG;
			label.unsafe = unsafe != NULL;
			label.word = unsafe ? unsafe : safe;
			second = !*c->category_after;
		} else if (*c->category_after ? behind(line, c->category_after, &rest) : second) {
			label.categories |= categories_in(&c->categories, *c->category_after ? rest : line);
			second = false;
		}
		first = false;
	}
	if (!label.word)
		return -EBADMSG;
	*out = label;
	return 0;
}

/* ---- answers: JSON ---- */

struct level {
	bool array;
	uint32_t index; /* of the element under way, from 0 */
	uint32_t key_len;
	uint8_t key[KEY_MAX]; /* of the member under way; longer ones are none that is looked for */
};

struct answer {
	const struct config_opinion *c;
	struct level levels[DEPTH];
	unsigned depth;
	struct buf content;
	bool has_content;
	uint32_t results, flagged_at; /* results begun; the one whose `flagged` was read, from 1 */
	struct label label;
};

static bool key_is(const struct answer *a, unsigned depth, const char *key)
{
	const struct level *l = &a->levels[depth];

	return !l->array && l->key_len <= KEY_MAX && slice_is(slice_of(l->key, l->key_len), slice_str(key));
}

/* choices[0].message.content */
static bool at_content(const struct answer *a)
{
	return a->c->kind == OPINION_CHAT && a->depth == 4 && key_is(a, 0, "choices") && a->levels[1].array &&
	       !a->levels[1].index && key_is(a, 2, "message") && key_is(a, 3, "content");
}

static bool in_results(const struct answer *a)
{
	return a->c->kind == OPINION_MODERATIONS && a->depth >= 3 && key_is(a, 0, "results") && a->levels[1].array;
}

static int take_bool(struct answer *a, bool yes)
{
	const struct level *l = &a->levels[3];

	if (!in_results(a))
		return 0;
	if (a->depth == 3 && key_is(a, 2, "flagged")) {
		if (a->flagged_at == a->levels[1].index + 1)
			return -EBADMSG;
		a->flagged_at = a->levels[1].index + 1;
		a->results++;
		a->label.unsafe |= yes;
	} else if (a->depth == 4 && key_is(a, 2, "categories") && !l->array && l->key_len <= KEY_MAX && yes) {
		a->label.categories |= categories_in(&a->c->categories, slice_of(l->key, l->key_len));
	}
	return 0;
}

static void open_level(struct answer *a, bool array)
{
	if (a->depth < DEPTH)
		a->levels[a->depth] = (struct level){ .array = array };
	a->depth++;
}

/* A value is complete. */
static void value_over(struct answer *a)
{
	if (a->depth && a->depth <= DEPTH)
		a->levels[a->depth - 1].index += a->levels[a->depth - 1].array;
}

static void take_key(struct answer *a, struct slice piece)
{
	struct level *l = a->depth && a->depth <= DEPTH ? &a->levels[a->depth - 1] : NULL;

	if (!l)
		return;
	if (l->index) { /* of an object: its key is complete, this is the next one */
		l->key_len = 0;
		l->index = 0;
	}
	if (l->key_len + piece.len <= KEY_MAX) {
		memcpy(l->key + l->key_len, piece.at, piece.len);
		l->key_len += (uint32_t)piece.len;
	} else {
		l->key_len = KEY_MAX + 1;
	}
}

static int take(struct answer *a, const struct json_item *item)
{
	struct level *l = a->depth && a->depth <= DEPTH ? &a->levels[a->depth - 1] : NULL;
	int err = 0;

	switch (item->kind) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		open_level(a, item->kind == JSON_ARRAY);
		break;
	case JSON_OBJECT_END:
	case JSON_ARRAY_END:
		a->depth--;
		value_over(a);
		break;
	case JSON_KEY:
		take_key(a, item->text);
		break;
	case JSON_KEY_END:
		if (l && l->index)
			l->key_len = 0; /* an empty key behind another one */
		if (l)
			l->index = 1;
		break;
	case JSON_STRING:
		if (at_content(a) && (a->has_content || buf_add(&a->content, item->text)))
			err = -EBADMSG;
		break;
	case JSON_STRING_END:
		if (at_content(a)) {
			err = a->has_content ? -EBADMSG : 0;
			a->has_content = true;
		}
		value_over(a);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		err = take_bool(a, item->kind == JSON_TRUE);
		value_over(a);
		break;
	case JSON_NUMBER_END:
	case JSON_NULL:
		value_over(a);
		break;
	default:
		break;
	}
	return err;
}

static int read_json(struct answer *a, struct slice body)
{
	struct json_item item;
	enum step step = STEP_MORE;
	struct json json;
	size_t used;
	int err = 0;

	json_start(&json);
	while (body.len && !err) {
		step = json_feed(&json, body, &used, &item);
		body = slice_from(body, used);
		if (step == STEP_BAD)
			return -EBADMSG;
		if (step != STEP_ITEM)
			break;
		err = take(a, &item);
	}
	return err ? err : json_done(&json) ? 0 : -EBADMSG;
}

int words_read(const struct config_opinion *c, struct slice body, struct label *out)
{
	struct answer a = { .c = c, .content = BUF(CONTENT_MAX) };
	int err = read_json(&a, body);

	if (!err && c->kind == OPINION_CHAT)
		err = a.has_content ? words_label(c, buf_slice(&a.content), &a.label) : -EBADMSG;
	else if (!err && !a.results)
		err = -EBADMSG;
	buf_free(&a.content);
	if (err)
		return err;
	*out = a.label;
	return 0;
}
