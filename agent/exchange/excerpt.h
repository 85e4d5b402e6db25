/* SPDX-License-Identifier: Apache-2.0 */
/*
 * excerpt.h - the end of each text, kept for the rules that ask for evidence.
 *
 * A hit is told when it is complete, and often later; its bytes and those in front of it are still here then. Nothing
 * is kept where no rule asks. Bounds: of each text EXCERPT_BYTES and what one call brings, of all texts of an exchange
 * EXCERPT_FULL more if a rule asks for the whole answer.
 */
#pragma once

#include "exchange/private.h"

#define EXCERPT_BYTES 2048
#define EXCERPT_PIECE 4096  /* bytes read at a time while excerpts are kept */
#define EXCERPT_FULL  65536 /* shared by the texts of an exchange */

struct excerpt {
	uint8_t *at; /* owned */
	size_t len, room, keep;
	bool generated; /* else it may repeat what the client sent, or say what no table knows */
	uint64_t end;   /* place in its text of the byte behind the last one; counts as its lookout does */
};

/* What goes with the findings of an exchange. */
struct kept {
	struct excerpt one;                        /* of the text that is read by itself */
	const struct excerpt *found[FINDINGS_MAX]; /* of each finding whose text may still get some more behind it */
	uint64_t to[FINDINGS_MAX];                 /* where its match ended there */
	size_t full_left;
};

/* NULL where no rule asks for evidence. -ENOMEM. */
int kept_new(struct kept **out, const struct ruleset *rules);
void kept_free(struct kept **at);

/* The excerpt of a text, made if it is new; NULL: none is kept, or there is no memory. */
struct excerpt *excerpt_of(struct exchange *x, struct text *t);
/* Goes with a text that goes. */
void excerpt_drop(struct exchange *x, struct text *t);
/* The text begins anew, at its first byte. NULL is none. */
void excerpt_restart(struct exchange *x, struct excerpt *e);
/* A twin begins with what was kept of its text. */
void excerpt_copy(struct exchange *x, struct text *to, const struct text *from);
/* Bytes that are about to be read. Without memory what was kept is forgotten. */
void excerpt_add(struct excerpt *e, struct slice bytes);
/* They were not read after all: as it was when it had `len` bytes and ended there. */
void excerpt_back(struct excerpt *e, size_t len, uint64_t end);
/* Before a further piece: what is older than anybody asks for goes. */
void excerpt_trim(struct exchange *x, struct excerpt *e);
/* Bytes were read: findings in this text that wait for what stands behind them get it. */
void excerpt_settle(struct exchange *x, const struct excerpt *e);
/* Takes what finding `i` asks for, as of now. */
void excerpt_found(struct exchange *x, size_t i, const struct excerpt *e, const struct sight *hit);
/* The hit of a question counts: its finding takes what it asks for from the window that was asked about. */
void excerpt_asked(struct exchange *x, const struct asking *q);
/* Finding `i` is given up. */
void excerpt_forget(struct exchange *x, size_t i);
