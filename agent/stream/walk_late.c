/* SPDX-License-Identifier: Apache-2.0 */
/* walk_late.c - text that waits for the number of its choice, or for the kind of its message, which stand behind it. */
#include "stream/walk.h"

#include <stdlib.h>

/* A piece that waits; its bytes follow it. */
struct late_piece {
	struct leaf leaf;
	uint32_t place; /* of the tool call in this choice, if sub is not known */
	bool choice_known, sub_known, by_kind;
	uint8_t variant; /* by_kind: what says the text if a channel is found */
};

void walk_free(struct walk *w)
{
	if (!w->late)
		return;
	buf_free(&w->late->pieces);
	buf_free(&w->late->out);
	free(w->late);
	w->late = NULL;
}

/* Where the tool call, or part, that is not named yet stands. */
uint32_t walk_sub_place(const struct walk *w)
{
	return w->sub.depth > 1 ? w->level[w->sub.depth - 1].position - 1 : 0;
}

enum step walk_defer(struct walk *w, const struct leaf *leaf, bool by_kind)
{
	struct late_piece piece = {
		.leaf = *leaf,
		.choice_known = w->choice.known || !w->choice.depth,
		.sub_known = w->sub.known || !w->sub.depth,
		.by_kind = by_kind,
	};
	struct late *late = w->late;

	if (!late) {
		late = w->late = calloc(1, sizeof(*late));
		if (!late)
			return walk_bad(w, "out of memory");
		late->pieces = BUF(WALK_LATE_MAX);
		late->out = BUF(WALK_LATE_MAX);
	}
	if (by_kind)
		piece.variant = w->row->variant;
	late->kinds |= by_kind;
	if (!piece.sub_known) {
		piece.place = walk_sub_place(w);
		if (piece.place >= WALK_TOOLS_MAX)
			return walk_bad(w, "too many tool calls in one message");
	}
	if (buf_add(&late->pieces, slice_of(&piece, sizeof(piece))) || buf_add(&late->pieces, leaf->text))
		return walk_bad(w, "too much text before the index of its choice");
	return STEP_MORE;
}

/* The kind of the message says what the text is; of a kind that no table knows it is like any other string. */
void walk_set_kind(const struct walk *w, struct leaf *leaf, uint8_t variant)
{
	if (!w->kind || w->kind->channel == CHANNEL_NONE)
		return;
	leaf->channel = w->kind->channel;
	leaf->path = variant;
}

/* The next piece that waited; false when none is left. */
bool walk_drain(struct walk *w, struct leaf *leaf)
{
	struct late *late = w->late;
	struct late_piece piece;

	if (!buf_len(&late->pieces)) {
		late->draining = late->kinds = false;
		return false;
	}
	memcpy(&piece, buf_slice(&late->pieces).at, sizeof(piece));
	buf_take(&late->pieces, sizeof(piece));
	buf_cut(&late->out, 0);
	*leaf = piece.leaf;
	if (!piece.choice_known)
		leaf->choice = w->late_choice;
	if (piece.by_kind)
		walk_set_kind(w, leaf, piece.variant);
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
