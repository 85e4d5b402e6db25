/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c - one JSON message along a dialect's table: each string comes out as a piece of a named text.
 *
 * In a streamed chunk the choice that a text belongs to is named by a sibling key, which servers with sorted keys send
 * after the text. Such text waits in `late` until its choice object ends; everything else goes out as it is read.
 */
#include "stream/field.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"

/* A piece that waits; its bytes follow it. */
struct late_piece {
	struct leaf leaf;
	uint32_t place; /* of the tool call in this choice, if sub is not known */
	bool sub_known;
};

struct late {
	struct buf pieces;
	struct buf out; /* bytes of the piece that was given last */
	bool draining;
};

static uint64_t mix(uint64_t h, const void *at, size_t len)
{
	const uint8_t *p = at;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211u; /* FNV-1a */
	return h;
}

void walk_free(struct walk *w)
{
	if (!w->late)
		return;
	buf_free(&w->late->pieces);
	buf_free(&w->late->out);
	free(w->late);
	w->late = NULL;
}

void walk_start(struct walk *w, const struct field *rows)
{
	json_start(&w->json);
	w->rows = rows;
	w->depth = 0;
	w->row = NULL;
	w->row_path = 14695981039346656037u;
	w->begun = w->in_string = w->in_number = w->key_begun = w->telling = false;
	w->key_rest.len = 0;
	w->key_len = w->key_raw = 0;
	w->choice = w->sub = 0;
	w->choice_depth = w->sub_depth = 0;
	w->choice_known = w->sub_known = false;
	w->structural = 0;
	w->fed = w->at = 0;
	w->why = NULL;
	if (w->late) {
		buf_cut(&w->late->pieces, 0);
		w->late->draining = false;
	}
}

static enum step bad(struct walk *w, const char *why)
{
	w->why = why;
	return STEP_BAD;
}

/* ---- where we are ---- */

static const struct field *row_of(const struct field *rows, const uint8_t *key, size_t len)
{
	for (; rows && rows->key; rows++)
		if (rows->key[0] == (char)key[0] && strlen(rows->key) == len && !memcmp(rows->key, key, len))
			return rows;
	return NULL;
}

/* A value begins: in an array its row is that of the array, in an object the key has set it. */
static void enter_value(struct walk *w)
{
	struct walk_level *l = &w->level[w->depth];

	if (!w->depth || !l->array)
		return;
	w->row = l->row;
	w->row_path = l->path;
	/* Which choice it is says more than its place. */
	if (l->outermost && !(l->row && l->row->items != ITEMS_PLAIN))
		w->row_path = mix(l->path, &l->position, sizeof(l->position));
	l->position++;
}

static void open_container(struct walk *w, bool array)
{
	const struct field *row = w->depth ? w->row : NULL;
	struct walk_level *up = &w->level[w->depth], *l = &w->level[++w->depth];
	bool in_array = w->depth > 1 && (up->array || up->in_array);

	l->array = array;
	l->in_array = in_array;
	l->outermost = array && !in_array;
	l->position = 0;
	l->seen = 0;
	l->path = w->row_path;
	l->row = array ? row : NULL;
	l->rows = array ? NULL : row ? row->below : NULL;
	if (w->depth == 1 && !array)
		l->rows = w->rows;
	if (array || !row || !up->array)
		return;
	/* An object in an array of choices or of tool calls. */
	if (row->items == ITEMS_CHOICES || row->items == ITEMS_CHOICES_PLACED) {
		w->choice_depth = w->depth;
		w->choice = up->position - 1;
		w->choice_known = w->choice_placed = row->items == ITEMS_CHOICES_PLACED;
		memset(w->sub_of, 0, sizeof(w->sub_of));
	} else if (row->items == ITEMS_TOOLS || row->items == ITEMS_TOOLS_PLACED) {
		w->sub_depth = w->depth;
		w->sub = up->position - 1;
		w->sub_known = w->sub_placed = row->items == ITEMS_TOOLS_PLACED;
	}
}

/* ---- text that waits for its choice ---- */

static enum step defer(struct walk *w, const struct leaf *leaf)
{
	struct late_piece piece = { .leaf = *leaf, .sub_known = w->sub_known || !w->sub_depth };
	struct late *late = w->late;

	if (!late) {
		late = w->late = calloc(1, sizeof(*late));
		if (!late)
			return bad(w, "out of memory");
		late->pieces = BUF(WALK_LATE_MAX);
		late->out = BUF(WALK_LATE_MAX);
	}
	if (!piece.sub_known) {
		piece.place = w->level[w->sub_depth - 1].position - 1;
		if (piece.place >= WALK_TOOLS_MAX)
			return bad(w, "too many tool calls in one message");
	}
	if (buf_add(&late->pieces, slice_of(&piece, sizeof(piece))) || buf_add(&late->pieces, leaf->text))
		return bad(w, "too much text before the index of its choice");
	return STEP_MORE;
}

static bool must_wait(const struct walk *w)
{
	if (!w->choice_depth)
		return false;
	return !w->choice_known || (w->sub_depth && !w->sub_known) || (w->late && buf_len(&w->late->pieces));
}

/* The next piece that waited; false when none is left. */
static bool drain(struct walk *w, struct leaf *leaf)
{
	struct late *late = w->late;
	struct late_piece piece;

	if (!buf_len(&late->pieces)) {
		late->draining = false;
		return false;
	}
	memcpy(&piece, buf_slice(&late->pieces).at, sizeof(piece));
	buf_take(&late->pieces, sizeof(piece));
	buf_cut(&late->out, 0);
	*leaf = piece.leaf;
	leaf->choice = w->choice;
	if (!piece.sub_known)
		leaf->sub = w->sub_of[piece.place] ? w->sub_of[piece.place] - 1 : piece.place;
	/* Taking may free the queue: the bytes move to where they stay until the next call. */
	if (piece.leaf.text.len) {
		uint8_t *to = buf_want(&late->out, piece.leaf.text.len);

		memcpy(to, buf_slice(&late->pieces).at, piece.leaf.text.len);
		buf_added(&late->out, piece.leaf.text.len);
		leaf->text = buf_slice(&late->out);
		buf_take(&late->pieces, piece.leaf.text.len);
	}
	return true;
}

/* ---- values ---- */

/* Gives a piece of the current leaf, or puts it aside. */
static enum step give(struct walk *w, struct leaf *leaf, struct slice text, uint32_t raw, bool string, bool end)
{
	const struct field *row = w->row;
	enum role role = row ? row->role : ROLE_UNKNOWN;
	struct leaf l = { .text = text, .raw = raw, .string = string, .begin = !w->begun, .end = end, .at = w->at };

	w->begun = !end;
	if (string && (role == ROLE_CHOICE || role == ROLE_TOOL))
		return bad(w, "index is not a number");
	l.tap = row ? row->tap : TAP_NONE;
	l.channel = CHANNEL_NONE;
	if (string)
		l.channel = role == ROLE_TEXT ? row->channel : role == ROLE_LABEL ? CHANNEL_LABEL : CHANNEL_OTHER;
	if (l.channel == CHANNEL_LABEL)
		l.row = row;
	if (l.channel == CHANNEL_OTHER)
		l.path = w->row_path;
	else if (role == ROLE_TEXT)
		l.path = row->variant;
	l.choice = w->choice_depth ? w->choice : 0;
	l.sub = w->sub_depth ? w->sub : 0;
	if (must_wait(w))
		return defer(w, &l);
	*leaf = l;
	return STEP_ITEM;
}

static enum step index_digits(struct walk *w, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9' || w->number > 99999)
			return bad(w, "index is not a small whole number");
		w->number = w->number * 10 + (text.at[i] - '0');
	}
	return STEP_MORE;
}

static enum step index_end(struct walk *w)
{
	if (w->row->role == ROLE_CHOICE && w->depth == w->choice_depth && !w->choice_placed) {
		if (w->choice_known)
			return bad(w, "two indexes in one choice");
		w->choice = w->number;
		w->choice_known = true;
	} else if (w->row->role == ROLE_TOOL && w->depth == w->sub_depth && !w->sub_placed) {
		uint32_t place = w->level[w->sub_depth - 1].position - 1;

		if (w->sub_known)
			return bad(w, "two indexes in one tool call");
		if (place >= WALK_TOOLS_MAX)
			return bad(w, "too many tool calls in one message");
		w->sub = w->number;
		w->sub_known = true;
		w->sub_of[place] = w->number + 1;
	}
	return STEP_MORE;
}

static bool is_index(const struct walk *w)
{
	return w->row && (w->row->role == ROLE_CHOICE || w->row->role == ROLE_TOOL);
}

static bool is_tapped(const struct walk *w)
{
	return w->row && w->row->tap != TAP_NONE;
}

/* ---- keys ---- */

static enum step give_key(struct leaf *leaf, struct slice text, uint32_t raw, bool begin, bool end)
{
	*leaf = (struct leaf){
		.channel = CHANNEL_KEY, .string = true, .begin = begin, .end = end, .text = text, .raw = raw
	};
	return STEP_ITEM;
}

static enum step key_piece(struct walk *w, const struct json_item *item, struct leaf *leaf)
{
	if (!w->key_raw)
		w->key_path = w->level[w->depth].path;
	w->key_path = mix(w->key_path, item->text.at, item->text.len);
	w->key_raw += item->raw;
	if (!w->key_begun && w->key_len + item->text.len <= sizeof(w->key)) {
		memcpy(w->key + w->key_len, item->text.at, item->text.len);
		w->key_len += (uint32_t)item->text.len;
		return STEP_MORE;
	}
	if (!w->key_begun) {
		/* Longer than any we know: give what was kept, then this piece from the start of the next call. */
		w->key_begun = true;
		w->key_rest = item->text;
		return give_key(leaf, slice_of(w->key, w->key_len), 0, true, false);
	}
	return give_key(leaf, item->text, 0, false, false);
}

/* In an object no table knows: does the key's number say which of several texts is meant? */
static bool tells_apart(const uint8_t *key, size_t len)
{
	static const struct slice keys[] = { SLICE("index"), SLICE("output_index"), SLICE("content_index") };

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (slice_is(slice_of(key, len), keys[i]))
			return true;
	return false;
}

static enum step key_end(struct walk *w, struct leaf *leaf)
{
	struct walk_level *l = &w->level[w->depth];
	bool begun = w->key_begun;
	uint32_t len = w->key_len, raw = w->key_raw;

	w->row = begun ? NULL : row_of(l->rows, w->key, len);
	if (w->row) {
		/* Readers differ on which of two values counts; what they make of them over several messages is
		 * beyond any scanner. */
		uint64_t bit = 1ull << (w->row - l->rows);

		if (l->seen & bit)
			return bad(w, "two values for one key");
		l->seen |= bit;
	}
	w->row_path = raw ? w->key_path : l->path;
	w->telling = !w->row && !begun && tells_apart(w->key, len);
	w->key_begun = false;
	w->key_len = 0;
	w->key_raw = 0;
	if (w->row) {
		w->structural += raw;
		return STEP_MORE;
	}
	return give_key(leaf, begun ? (struct slice){ w->key, 0 } : slice_of(w->key, len), raw, !begun, true);
}

/* ---- the walk ---- */

static enum step close_container(struct walk *w)
{
	if (w->depth == w->sub_depth) {
		w->sub_depth = 0;
		w->sub = 0;
	}
	if (w->depth == w->choice_depth) {
		w->choice_depth = 0;
		if (w->late && buf_len(&w->late->pieces))
			w->late->draining = true;
	}
	w->depth--;
	return STEP_MORE;
}

static enum step literal(struct walk *w, struct leaf *leaf, struct slice text)
{
	enter_value(w);
	w->begun = false;
	return is_tapped(w) ? give(w, leaf, text, 0, false, true) : STEP_MORE;
}

static enum step take(struct walk *w, const struct json_item *item, struct leaf *leaf)
{
	switch (item->kind) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		enter_value(w);
		open_container(w, item->kind == JSON_ARRAY);
		return STEP_MORE;
	case JSON_OBJECT_END:
	case JSON_ARRAY_END:
		return close_container(w);
	case JSON_KEY:
		return key_piece(w, item, leaf);
	case JSON_KEY_END:
		return key_end(w, leaf);
	case JSON_STRING:
	case JSON_STRING_END:
		if (!w->in_string) {
			enter_value(w);
			w->begun = false;
		}
		w->in_string = item->kind == JSON_STRING;
		if (item->kind == JSON_STRING)
			return give(w, leaf, item->text, item->raw, true, false);
		return give(w, leaf, (struct slice){ w->key, 0 }, 0, true, true);
	case JSON_NUMBER:
	case JSON_NUMBER_END:
		if (!w->in_number) {
			enter_value(w);
			w->begun = false;
			w->number = 0;
		}
		w->in_number = item->kind == JSON_NUMBER;
		/* Interleaved texts must not be read as one: the number becomes part of what is behind it. */
		if (w->telling && item->kind == JSON_NUMBER)
			w->level[w->depth].path = mix(w->level[w->depth].path, item->text.at, item->text.len);
		if (is_index(w))
			return item->kind == JSON_NUMBER ? index_digits(w, item->text) : index_end(w);
		if (!is_tapped(w))
			return STEP_MORE;
		if (item->kind == JSON_NUMBER)
			return give(w, leaf, item->text, 0, false, false);
		return give(w, leaf, (struct slice){ w->key, 0 }, 0, false, true);
	case JSON_TRUE:
		return literal(w, leaf, SLICE("true"));
	case JSON_FALSE:
		return literal(w, leaf, SLICE("false"));
	case JSON_NULL:
		return literal(w, leaf, SLICE("null"));
	default:
		return STEP_MORE;
	}
}

enum step walk_feed(struct walk *w, struct slice in, size_t *used, struct leaf *leaf)
{
	struct json_item item;

	*used = 0;
	for (;;) {
		enum step step;
		size_t n;

		if (w->key_rest.len) {
			struct slice rest = w->key_rest;

			w->key_rest.len = 0;
			return give_key(leaf, rest, 0, false, false);
		}
		if (w->late && w->late->draining && drain(w, leaf))
			return STEP_ITEM;
		step = json_feed(&w->json, slice_from(in, *used), &n, &item);
		*used += n;
		/* An escape may be used before its item comes: the sum is right again when it has. */
		w->structural += n;
		if (step == STEP_BAD)
			return bad(w, item.why);
		if (step == STEP_ITEM && (item.kind == JSON_STRING || item.kind == JSON_KEY)) {
			w->structural -= item.raw;
			w->at = w->fed + *used - item.ahead;
		}
		if (step == STEP_MORE)
			return STEP_MORE;
		step = take(w, &item, leaf);
		if (step != STEP_MORE)
			return step;
	}
}

enum step walk_finish(struct walk *w, struct leaf *leaf)
{
	struct json_item item;

	for (;;) {
		enum step step;

		if (w->late && w->late->draining && drain(w, leaf))
			return STEP_ITEM;
		step = json_finish(&w->json, &item);
		if (step == STEP_BAD)
			return bad(w, item.why);
		if (step == STEP_MORE)
			return STEP_MORE;
		step = take(w, &item, leaf);
		if (step != STEP_MORE)
			return step;
	}
}
