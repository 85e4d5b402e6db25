/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c - one JSON message along a dialect's table: each string comes out as a piece of a named text.
 *
 * In a streamed chunk the choice that a text belongs to is named by a sibling key, which servers with sorted keys send
 * after the text. Such text waits in `late` until its choice object ends; everything else goes out as it is read.
 */
#include "stream/walk.h"

static uint64_t mix(uint64_t h, const void *at, size_t len)
{
	const uint8_t *p = at;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211u; /* FNV-1a */
	return h;
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
	w->choice = w->sub = w->outer_choice = w->outer_sub = (struct walk_place){};
	w->kind = NULL;
	w->kind_known = false;
	w->run_open = w->has_again = false;
	w->structural = 0;
	w->fed = w->at = 0;
	w->number_count = 0;
	w->why = NULL;
	if (w->late) {
		buf_cut(&w->late->pieces, 0);
		w->late->draining = w->late->kinds = false;
	}
}

/* ---- where we are ---- */

static const struct field *row_of(const struct field *rows, const uint8_t *key, size_t len)
{
	for (; rows && rows->key; rows++)
		if (rows->len == len && rows->key[0] == (char)key[0] && !memcmp(rows->key, key, len))
			return rows;
	return NULL;
}

static bool has_choices(const struct field *rows)
{
	for (; rows && rows->key; rows++)
		if (rows->items == ITEMS_CHOICES || rows->items == ITEMS_CHOICES_PLACED)
			return true;
	return false;
}

/* A value begins: in an array its row is that of the array, in an object the key has set it. */
static void enter_value(struct walk *w)
{
	struct walk_level *l = &w->level[w->depth];

	if (!w->depth || !l->array)
		return;
	w->row = l->row;
	w->row_path = l->path;
	/* Which choice it is says more than its place. The messages of an array are a text one behind the other. */
	if (l->outermost && w->depth > 1 && !(l->row && l->row->items != ITEMS_PLAIN))
		w->row_path = mix(l->path, &l->position, sizeof(l->position));
	l->position++;
}

static void open_choice(struct walk *w, uint32_t index, bool placed)
{
	w->outer_choice = w->choice;
	w->choice = (struct walk_place){ .index = index, .depth = w->depth, .known = placed, .placed = placed };
	memset(w->sub_of, 0, sizeof(w->sub_of));
}

static void open_sub(struct walk *w, uint32_t index, bool placed)
{
	w->outer_sub = w->sub;
	w->sub = (struct walk_place){ .index = index, .depth = w->depth, .known = placed, .placed = placed };
}

/* The object that is the message: a table whose first row is an index is about one choice as a whole. */
static void open_message(struct walk *w, struct walk_level *l)
{
	l->rows = w->rows;
	if (!l->rows || l->rows->role != ROLE_CHOICE)
		return;
	open_choice(w, 0, false);
	if (l->rows[1].role == ROLE_TOOL)
		open_sub(w, 0, false);
}

static void open_container(struct walk *w, bool array)
{
	const struct field *row = w->depth ? w->row : NULL;
	struct walk_level *up = &w->level[w->depth], *l = &w->level[++w->depth];
	bool in_array = w->depth > 1 && ((up->array && w->depth > 2) || up->in_array);

	l->array = array;
	l->in_array = in_array;
	l->outermost = array && !in_array;
	l->no_bytes = false;
	l->position = 0;
	l->seen = 0;
	l->path = w->row_path;
	l->row = row;
	l->rows = array ? NULL : row ? row->below : NULL;
	if (array)
		return;
	if (w->depth == 1)
		open_message(w, l);
	if (!up->array || w->depth == 1)
		return;
	/* An array of messages: each by itself. */
	if (w->depth == 2 && !row && w->rows && !has_choices(w->rows) && w->rows->role != ROLE_CHOICE) {
		l->rows = w->rows;
		open_choice(w, up->position - 1, true);
	}
	if (!row)
		return;
	/* An object in an array of choices or of tool calls. */
	if (row->items == ITEMS_CHOICES || row->items == ITEMS_CHOICES_PLACED)
		open_choice(w, up->position - 1, row->items == ITEMS_CHOICES_PLACED);
	else if (row->items == ITEMS_TOOLS || row->items == ITEMS_TOOLS_PLACED)
		open_sub(w, up->position - 1, row->items == ITEMS_TOOLS_PLACED);
}

/* ---- values ---- */

/* Gives the piece in *l, or puts it aside. */
static inline enum step place(struct walk *w, struct leaf *l, bool by_kind)
{
	/* The number of the message is no choice's. */
	if (!w->choice.depth || (l->tap == TAP_SEQUENCE && !l->string))
		return STEP_ITEM;
	l->choice = w->choice.index;
	l->sub = w->sub.depth ? w->sub.index : 0;
	if (w->choice.depth == 1 && w->rows->loose && !(w->row && w->row->placed)) {
		l->choice = 0;
		return STEP_ITEM;
	}
	if (walk_must_wait(w) || (by_kind && !w->kind_known))
		return walk_defer(w, l, by_kind);
	if (by_kind)
		walk_set_kind(w, l, w->row->variant);
	return STEP_ITEM;
}

/* A piece of a string that the current row is about. */
static void name_text(const struct walk *w, struct leaf *l)
{
	const struct field *row = w->row;
	enum role role = row ? row->role : ROLE_UNKNOWN;

	l->channel = CHANNEL_OTHER;
	if (role == ROLE_TEXT && !row->by_kind) {
		l->channel = row->channel;
		l->path = row->variant;
		l->again = row->again;
		l->asked = row->asked;
	} else if (role == ROLE_LABEL || role == ROLE_KIND) {
		l->channel = CHANNEL_LABEL;
		l->row = row;
		l->slot = w->depth && w->level[w->depth].rows ? (uint8_t)(row - w->level[w->depth].rows + 5 * w->depth)
		                                              : 0;
	} else {
		l->path = w->row_path;
	}
}

/* The name of a kind is complete: what it says of the message, and of itself. */
static enum tap kind_end(struct walk *w)
{
	const struct kind *kind = w->row->kinds;

	for (; kind->name; kind++)
		if (w->name_len <= sizeof(w->name) && slice_is(slice_of(w->name, w->name_len), slice_str(kind->name)))
			break;
	if (w->depth == 1) {
		w->kind = kind->name ? kind : NULL;
		w->kind_known = true;
	}
	return kind->name ? kind->tap : TAP_NONE;
}

static void kind_piece(struct walk *w, struct slice text)
{
	if (!w->begun)
		w->name_len = 0;
	if (w->name_len + text.len > sizeof(w->name)) {
		w->name_len = sizeof(w->name) + 1;
		return;
	}
	if (text.len)
		memcpy(w->name + w->name_len, text.at, text.len);
	w->name_len += (uint32_t)text.len;
}

/* Gives a piece of the current leaf, or puts it aside. */
static enum step give(struct walk *w, struct leaf *leaf, struct slice text, uint32_t raw, bool string, bool end)
{
	const struct field *row = w->row;
	enum role role = row ? row->role : ROLE_UNKNOWN;

	*leaf = (struct leaf){
		.text = text, .raw = raw, .string = string, .begin = !w->begun, .end = end, .at = w->at
	};
	if (string && (role == ROLE_CHOICE || role == ROLE_TOOL))
		return walk_bad(w, "index is not a number");
	leaf->tap = row && (!string || role != ROLE_IDS) ? row->tap : TAP_NONE;
	if (string)
		name_text(w, leaf);
	if (string && role == ROLE_KIND) {
		kind_piece(w, text);
		if (end)
			leaf->tap = kind_end(w);
	}
	w->begun = !end;
	return place(w, leaf, string && role == ROLE_TEXT && row->by_kind);
}

static enum step index_digits(struct walk *w, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9' || w->number > 99999)
			return walk_bad(w, "index is not a small whole number");
		w->number = w->number * 10 + (text.at[i] - '0');
	}
	return STEP_MORE;
}

static enum step index_end(struct walk *w)
{
	if (w->row->role == ROLE_CHOICE && w->depth == w->choice.depth && !w->choice.placed) {
		if (w->choice.known)
			return walk_bad(w, "two indexes in one choice");
		w->choice.index = w->number;
		w->choice.known = true;
	} else if (w->row->role == ROLE_TOOL && w->depth == w->sub.depth && !w->sub.placed) {
		uint32_t at = walk_sub_place(w);

		if (w->sub.known)
			return walk_bad(w, "two indexes in one tool call");
		if (at >= WALK_TOOLS_MAX)
			return walk_bad(w, "too many tool calls in one message");
		w->sub.index = w->number | (uint32_t)w->row->variant << 24;
		w->sub.known = true;
		w->sub_of[at] = w->sub.index + 1;
	}
	/* What waited has its place now. */
	if (w->late && buf_len(&w->late->pieces) && w->choice.known && w->depth == w->choice.depth &&
	    (!w->sub.depth || w->sub.known) && (w->kind_known || !w->late->kinds)) {
		w->late_choice = w->choice.index;
		w->late->draining = true;
	}
	return STEP_MORE;
}

static bool is_index(const struct walk *w)
{
	return w->row && (w->row->role == ROLE_CHOICE || w->row->role == ROLE_TOOL);
}

static bool is_tapped(const struct walk *w)
{
	return w->row && w->row->tap != TAP_NONE && w->row->role != ROLE_IDS;
}

/* ---- numbers that are bytes ---- */

/* What was gathered, as the next piece of a text. The digits are its raw bytes. */
static enum step give_run(struct walk *w, struct leaf *leaf, bool end)
{
	*leaf = (struct leaf){
		.string = true,
		.begin = !w->run_begun,
		.end = end,
		.text = slice_of(w->run, w->run_len),
		.raw = w->run_raw,
	};

	w->structural -= w->run_raw;
	w->run_begun = true;
	w->run_open = !end;
	w->run_len = w->run_raw = 0;
	w->row = w->level[w->depth].row;
	w->row_path = w->level[w->depth].path;
	name_text(w, leaf);
	if (leaf->channel == CHANNEL_LABEL) {
		leaf->channel = CHANNEL_OTHER;
		leaf->path = w->row_path;
		leaf->row = NULL;
	}
	leaf->again = false;
	leaf->asked = false;
	leaf->path ^= (uint64_t)1 << 32; /* not the text of the strings there */
	return place(w, leaf, false);
}

static void byte_digits(struct walk *w, struct slice text)
{
	for (size_t i = 0; i < text.len && !w->unfit; i++) {
		if (text.at[i] < '0' || text.at[i] > '9' || w->digits == 3)
			w->unfit = true;
		w->number = w->number * 10 + (text.at[i] & 15);
		w->digits++;
	}
}

/* A number in an array is over. What is no byte ends the run for good. */
static enum step byte_end(struct walk *w, struct leaf *leaf)
{
	if (w->unfit || w->number > 255) {
		w->level[w->depth].no_bytes = true;
		return w->run_open ? give_run(w, leaf, true) : STEP_MORE;
	}
	if (!w->run_open) {
		w->run_open = true;
		w->run_begun = false;
		w->run_len = w->run_raw = 0;
	}
	w->run[w->run_len++] = (uint8_t)w->number;
	w->run_raw += w->digits;
	return w->run_len == WALK_RUN ? give_run(w, leaf, false) : STEP_MORE;
}

/* ---- keys ---- */

static enum step give_key(struct walk *w, struct leaf *leaf, struct slice text, uint32_t raw, bool begin, bool end)
{
	const struct field *row = w->level[w->depth].row;

	*leaf = (struct leaf){
		.channel = CHANNEL_KEY, .string = true, .begin = begin, .end = end, .text = text, .raw = raw
	};
	if (!row || !row->keys)
		return STEP_ITEM;
	leaf->channel = CHANNEL_LOGPROBS;
	leaf->path = 0x100 | row->variant;
	return place(w, leaf, false);
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
		enum step step = give_key(w, leaf, slice_of(w->key, w->key_len), 0, true, false);

		w->key_begun = true;
		/* Put aside, nobody comes back for the rest of it. */
		if (step == STEP_MORE)
			return give_key(w, leaf, item->text, 0, false, false);
		w->key_rest = item->text;
		return step;
	}
	return give_key(w, leaf, item->text, 0, false, false);
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
			return walk_bad(w, "two values for one key");
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
	if (l->row && l->row->each)
		w->row = l->row->each;
	return give_key(w, leaf, begun ? (struct slice){ w->key, 0 } : slice_of(w->key, len), raw, !begun, true);
}

/* ---- the walk ---- */

static enum step close_container(struct walk *w)
{
	if (w->depth == w->sub.depth) {
		w->sub = w->outer_sub;
		w->outer_sub.depth = 0;
	}
	if (w->depth == w->choice.depth) {
		uint32_t index = w->choice.index;

		w->choice = w->outer_choice;
		w->outer_choice.depth = 0;
		if (!w->choice.depth && w->late && buf_len(&w->late->pieces)) {
			w->late_choice = index;
			w->late->draining = true;
		}
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

static enum step number(struct walk *w, const struct json_item *item, struct leaf *leaf)
{
	bool first = !w->in_number, end = item->kind == JSON_NUMBER_END, in_bytes;

	if (first) {
		enter_value(w);
		w->begun = w->unfit = false;
		w->number = w->digits = 0;
		w->number_from = w->at - item->text.len;
	}
	w->in_number = !end;
	/* Interleaved texts must not be read as one: the number becomes part of what is behind it. */
	if (w->telling && !end)
		w->level[w->depth].path = mix(w->level[w->depth].path, item->text.at, item->text.len);
	if (is_index(w))
		return end ? index_end(w) : index_digits(w, item->text);
	if (is_tapped(w))
		return give(w, leaf, end ? slice_of(w->key, 0) : item->text, 0, false, end);
	if (end && w->depth && !w->level[w->depth].array && !w->telling && !(w->row && w->row->role == ROLE_IDS) &&
	    w->number_count < WALK_NUMBERS)
		w->numbers[w->number_count++] = (struct walk_number){ w->number_from, w->at };
	in_bytes = w->depth && w->level[w->depth].array && !w->level[w->depth].no_bytes;
	if (in_bytes && !end)
		byte_digits(w, item->text);
	/* Told once for a run of bytes: its text is open. */
	if (first && w->row && w->row->role == ROLE_IDS && !w->run_open) {
		w->begun = false;
		return give(w, leaf, slice_of(w->key, 0), 0, false, true);
	}
	return in_bytes && end ? byte_end(w, leaf) : STEP_MORE;
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
		return number(w, item, leaf);
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

/* What the last call left: the rest of a long key, or what ended a run of bytes. */
static enum step left_over(struct walk *w, struct leaf *leaf)
{
	struct slice rest = w->key_rest;

	if (rest.len) {
		w->key_rest.len = 0;
		return give_key(w, leaf, rest, 0, false, false);
	}
	if (!w->has_again)
		return STEP_MORE;
	w->has_again = false;
	return take(w, &w->again, leaf);
}

enum step walk_feed(struct walk *w, struct slice in, size_t *used, struct leaf *leaf)
{
	struct json_item item;
	enum step step;

	*used = 0;
	if (w->key_rest.len || w->has_again) {
		step = left_over(w, leaf);
		if (step != STEP_MORE)
			return step;
	}
	for (;;) {
		size_t n;

		if (w->late && w->late->draining && walk_drain(w, leaf))
			return STEP_ITEM;
		step = json_feed(&w->json, slice_from(in, *used), &n, &item);
		*used += n;
		/* An escape may be used before its item comes: the sum is right again when it has. */
		w->structural += n;
		if (step == STEP_BAD)
			return walk_bad(w, item.why);
		if (step == STEP_MORE)
			return STEP_MORE;
		if (item.kind == JSON_STRING || item.kind == JSON_KEY) {
			w->structural -= item.raw;
			w->at = w->fed + *used - item.ahead;
		} else if (item.kind == JSON_NUMBER) {
			w->at = w->fed + *used - item.ahead;
		}
		if (w->run_open && item.kind != JSON_NUMBER && item.kind != JSON_NUMBER_END) {
			step = give_run(w, leaf, true);
			w->again = item;
			w->has_again = step == STEP_ITEM;
			if (step != STEP_MORE)
				return step;
		}
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

		if (w->late && w->late->draining && walk_drain(w, leaf))
			return STEP_ITEM;
		step = json_finish(&w->json, &item);
		if (step == STEP_BAD)
			return walk_bad(w, item.why);
		if (step == STEP_MORE)
			return STEP_MORE;
		step = take(w, &item, leaf);
		if (step != STEP_MORE)
			return step;
	}
}
