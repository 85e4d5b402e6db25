/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact.h - masking in place, shared by the files of this room. Where no rule redacts there is no struct redact, and
 * none of this may be called but redact_free(), redact_hit(), redact_step(), redact_alone_text() and redact_masked().
 *
 * A mask takes exactly as many bytes as what it hides, so no length, chunk or offset changes and nothing is framed
 * anew. What is masked is still held when it is found (that is what holding is for): the bytes are overwritten in the
 * lane just before they are released.
 *
 *   track.c    of each text, where in the lane the part lies that may still become part of a hit
 *   redact.c   hits become masks, masks are written
 *   cell.c     which bytes stand for which symbols, and what hides them
 *
 * What cannot be masked is blocked: names, keys and fields (nothing follows where they lie), texts that are in the lane
 * in other bytes than those read (encoded, computed), and whatever is more than the bounds below.
 */
#pragma once

#include "exchange/private.h"

#define READINGS    3     /* READ_PLAIN, READ_TWIN, READ_ALONE */
#define PENDING_MAX 1024  /* hits that wait to become masks */
#define RUNS_MAX    4096  /* pieces that a message lies in */
#define PARTS_MAX   16384 /* pieces that all tracks lie in */
#define MASKS_MAX   (1u << 16)

/* A piece of a text as it lies in the lane. Positions are the lane's. */
struct part {
	uint64_t at;
	uint64_t symbols[READINGS]; /* of each reading, before it */
	uint32_t len;
	bool json;   /* inside a JSON string; otherwise its bytes are the text */
	bool begins; /* a string begins with it */
	bool cut;    /* it begins inside a character or an escape */
	bool lost;   /* what was read does not lie in the lane */
};

struct track {
	struct part *parts; /* owned */
	uint32_t first, end, room;
	uint32_t trim_at; /* parts at which some may be let go */
	uint64_t unit;    /* that the last one lies in */
};

/* A hit that is to be masked: symbols [start, end) of one reading of a text. */
struct pending {
	const struct rule *rule;
	uint64_t start, end;
	uint32_t text;
	uint8_t way;
	bool failed;
};

/* Bytes that take the place of those in the lane. */
struct mask {
	uint64_t at;
	uint8_t len;
	uint8_t bytes[7];
};

/* A message lies in the lane in runs: framing is between them. */
struct run {
	uint64_t from; /* byte of the message */
	uint64_t at;   /* in the lane; UINT64_MAX: not there */
	uint64_t len;
};

struct redact {
	const struct lane *lane; /* borrowed for one call */
	struct run *runs;        /* owned */
	size_t run_count, run_room;
	uint64_t fed;         /* bytes of the message */
	struct track *tracks; /* owned: by place of the text, as far as some text was read */
	size_t track_count;
	size_t parts;            /* of all tracks */
	uint64_t alone_base;     /* symbols of the texts read by themselves, before the one under way */
	uint32_t alone_text;     /* place of the one under way, + 1; 0: none */
	struct pending *pending; /* owned; PENDING_MAX of them once there was one */
	size_t pending_count;
	struct mask *masks; /* owned */
	size_t mask_count, mask_room;
	uint64_t masked; /* bytes written */
};

int redact_new(struct redact **out);
void redact_free(struct redact **at);

/* Where in the lane what is cleared ends. */
static inline uint64_t redact_cleared(const struct exchange *x)
{
	return x->start + point_wire(&x->cleared);
}

/* ---- track.c ---- */

/* A new message of JSON begins; its next bytes are these. */
void redact_message(struct exchange *x);
void redact_data(struct exchange *x, struct slice data);
/* texts[text] is about to read the leaf, in the readings given. False: out of memory. */
bool redact_leaf(struct exchange *x, size_t text, const struct leaf *leaf);
/* A text by itself has ended or begins; x->one is still that of the one before. */
void redact_alone(struct exchange *x);
/* Place of the text by itself under way, + 1; 0: it cannot be masked. */
static inline uint32_t redact_alone_text(const struct exchange *x)
{
	return x->redact ? x->redact->alone_text : 0;
}
/* The place is another text's now. */
void redact_forget(struct exchange *x, size_t text);
/* Lets go of what can be no part of a hit any more. */
void track_trim(struct exchange *x, size_t text);
/* Of each reading: the first symbol that may still become part of a hit. */
void track_needs(const struct exchange *x, size_t text, uint64_t from[READINGS]);
/* The first `n` bytes of the first part, and all parts before parts[first], are not needed any more. */
void track_drop(struct redact *r, struct track *t, uint32_t first);

/* ---- redact.c ---- */

/* A hit of a rule that redacts: it will be masked, or false. */
bool redact_hit(struct exchange *x, const struct reading *reading, const struct sight *hit, const struct rule *rule);
/* What was found becomes masks; a hit that cannot be masked blocks. Not in the middle of a leaf's reading. */
void redact_settle(struct exchange *x);
/* Often enough to be called behind each byte. */
static inline void redact_step(struct exchange *x)
{
	if (x->redact && x->redact->pending_count > PENDING_MAX / 2)
		redact_settle(x);
}
/* Writes the masks of all that is cleared. */
void redact_apply(struct exchange *x, struct lane *l);
/* Bytes of what is cleared that were masked. */
uint64_t redact_masked(const struct exchange *x);
/* The byte that is to stand at a place of the lane. False: no room. */
bool redact_write(struct redact *r, uint64_t at, uint8_t byte);

/* ---- cell.c ---- */

/* Reads the track of a text again and masks what the hits cover; those that it cannot are marked as failed. */
void track_read(struct exchange *x, size_t text, struct pending *hits, size_t count);
