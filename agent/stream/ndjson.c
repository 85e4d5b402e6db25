/* SPDX-License-Identifier: Apache-2.0 */
/* ndjson.c - where one JSON message ends and the next begins. */
#include "stream/stream.h"

enum { BETWEEN, INSIDE, COMPLETE, BROKEN };

void ndjson_start(struct ndjson *n)
{
	*n = (struct ndjson){};
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* How many bytes belong to the message. */
static size_t inside(struct ndjson *n, struct slice in)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.at[i];

		if (n->escaped) {
			n->escaped = false;
		} else if (n->in_string) {
			n->escaped = c == '\\';
			n->in_string = c != '"';
		} else if (c == '"') {
			n->in_string = true;
		} else if (c == '{' || c == '[') {
			n->depth++;
		} else if ((c == '}' || c == ']') && !--n->depth) {
			n->state = COMPLETE;
			return i + 1;
		}
	}
	return in.len;
}

bool ndjson_between(const struct ndjson *n)
{
	return n->state == BETWEEN;
}

enum step ndjson_feed(struct ndjson *n, struct slice in, size_t *used, struct ndjson_item *item)
{
	*used = 0;
	*item = (struct ndjson_item){ .kind = NDJSON_END, .text = slice_of(in.at, 0) };
	if (n->state == COMPLETE) {
		n->state = BETWEEN;
		return STEP_ITEM;
	}
	if (!in.len)
		return n->state == BROKEN ? STEP_BAD : STEP_MORE;
	if (n->state == BETWEEN && is_blank(in.at[0])) {
		while (*used < in.len && is_blank(in.at[*used]))
			++*used;
		item->kind = NDJSON_BLANK;
		item->text = slice_of(in.at, *used);
		return STEP_ITEM;
	}
	if (n->state == BROKEN || (n->state == BETWEEN && in.at[0] != '{' && in.at[0] != '[')) {
		n->state = BROKEN;
		item->why = "a message is neither an object nor an array";
		return STEP_BAD;
	}
	n->state = INSIDE;
	*used = inside(n, in);
	item->kind = NDJSON_DATA;
	item->text = slice_of(in.at, *used);
	return STEP_ITEM;
}
