/* SPDX-License-Identifier: Apache-2.0 */
/* walk.h - what the files of the walk share. Private to stream. */
#pragma once

#include "base/buf.h"
#include "stream/field.h"

/* Pieces that wait, each with its bytes behind it. */
struct late {
	struct buf pieces;
	struct buf out; /* bytes of the piece that was given last */
	bool draining;
	bool kinds; /* some waits for the kind of the message */
};

static inline enum step walk_bad(struct walk *w, const char *why)
{
	w->why = why;
	return STEP_BAD;
}

/* Some text waits, or must. */
static inline bool walk_must_wait(const struct walk *w)
{
	if (!w->choice.depth)
		return false;
	return !w->choice.known || (w->sub.depth && !w->sub.known) || (w->late && buf_len(&w->late->pieces));
}

/* Where the tool call, or part, that is not named yet stands. */
uint32_t walk_sub_place(const struct walk *w);
/* The kind of the message says what the text is; of a kind that no table knows it is like any other string. */
void walk_set_kind(const struct walk *w, struct leaf *leaf, uint8_t variant);
/* Puts a piece aside, until walk_drain(). */
enum step walk_defer(struct walk *w, const struct leaf *leaf, bool by_kind);
/* The next piece that waited; false when none is left. */
bool walk_drain(struct walk *w, struct leaf *leaf);
