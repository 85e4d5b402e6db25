/* SPDX-License-Identifier: Apache-2.0 */
/* private.h - the inside of an exchange, shared by the files of this room. */
#pragma once

#include "exchange/exchange.h"

#define TEXTS_MAX    512 /* texts followed at a time */
#define CHOICES_MAX  256
#define FINDINGS_MAX 256
#define READINGS_MAX 5

#define QUESTIONS_MAX 64 /* open at a time; a hit beyond them counts unasked */

/* A place in the answer where it may be cut: all before it is decided. */
struct point {
	uint64_t wire;       /* bytes of the answer before it; content without its encoding */
	uint64_t scanned;    /* of these */
	uint64_t structural; /* of these; wire = scanned + structural */
	uint64_t left;       /* bytes still promised by the framing: of the chunk, or of the length */
	bool in_chunk;       /* a chunk has begun and its closing line break is not behind us */
	bool line_start;     /* BODY_LINES: a line break, or nothing, is in front of it */
	uint32_t sequence;   /* number of the next message, where they are numbered */
	uint64_t packed;     /* encoded content: bytes the server sent that hold no text behind it; 0: wire */
	uint64_t framed;     /* of these, structural */
	struct seam seam;    /* whether the encoding can be ended behind these */
};

/* Bytes the server sent up to there. */
static inline uint64_t point_wire(const struct point *p)
{
	return p->packed ? p->packed : p->wire;
}

/* A hit whose rule has asked for an opinion. */
struct asking {
	uint64_t id;
	struct sight sight;
	enum channel channel;
	uint32_t choice;
	uint64_t wire;      /* as of a finding */
	uint64_t step;      /* of reading, in which it was found */
	struct point point; /* nothing behind it is cleared */
	uint32_t place;     /* of its text, + 1; 0: one by itself */
	uint64_t upto;      /* byte of the text that `window` goes to */
	size_t hit_at;      /* of the hit, within the window: its first byte that is there, */
	size_t hit_end;     /* and the one behind it */
	uint64_t missing;   /* bytes of the hit in front of the window */
	bool generated;     /* as of an excerpt */
	struct buf window;  /* owned */
	bool ripe;          /* it may be asked */
	bool given;         /* it was */
};

/* The state of a text before a unit touched it. */
struct mark {
	uint64_t symbols, bytes;
	bool cut; /* inside a character or an escape */
	struct point point;
};

/* Bytes of a decoded string that may become an escape of the JSON in it. */
struct unescape {
	uint8_t len;
	uint8_t bytes[12];
};

/* Letters in a row that may be base64, and what they are decoded to. */
#define UNBASE_RUN 24
#define UNBASE_MAX UNBASE_RUN
struct unbase {
	uint8_t run, have, quiet, more;
	uint32_t bits;
	uint8_t first[UNBASE_RUN];
};

/* A text that may come whole in each message. As long as each begins with all that was seen, what is new is the text;
 * what is new and all that came are two readings, until it is clear which of them it is. */
struct again {
	struct buf seen;
	size_t at, before; /* bytes of this message's text compared; of `seen` when it began */
	uint32_t grown;    /* messages in a row that had all of it and more */
	bool whole, parts; /* it is clear */
};

/* One text as the reader will see it. A text in which a backslash occurs has a twin, read without its escapes: it may
 * be JSON, as tool arguments are. One in which base64 may occur has another twin, read decoded. */
struct text {
	enum channel channel;
	uint32_t choice, sub;
	uint64_t path;
	struct lookout state;
	bool asked;              /* repeats what the client sent */
	bool is_twin, is_orphan; /* a twin; one whose text is gone */
	uint32_t twin;           /* place of its twin, 0: none; the first text is never one */
	uint32_t twin_of;        /* a twin: place of its text */
	uint32_t coded;          /* likewise, of its other twin */
	bool is_coded;
	struct unescape escapes;
	struct unbase letters; /* of base64: before there is a twin, only how many came in a row, and which */
	struct again *again;   /* owned; NULL: not such a text */
	struct excerpt *kept;  /* owned; its end, for evidence; NULL: none is kept */
	bool touched;          /* in this unit */
	bool whole;            /* nothing of it goes before its end */
	struct mark *marks;    /* owned; units that hold a symbol which may be part of a hit, oldest first */
	uint32_t mark_first, mark_end, mark_room;
};

#define CHOICE_ID 72

/* A choice, a block of content, an item of output. Wire positions are of the unit that says so. */
struct choice {
	uint32_t index;
	bool finishing; /* in this unit */
	bool finished;
	bool opened, shut, part_opened, part_shut, has_id;
	enum tap what; /* TAP_MESSAGE, TAP_CALL, TAP_REASONING */
	uint32_t part;
	uint64_t finish_at, open_at, shut_at, part_open_at, part_shut_at;
	char id[CHOICE_ID];
};

enum body_kind {
	BODY_NONE,
	BODY_EVENTS,  /* server-sent events: unit = event */
	BODY_LINES,   /* JSON messages one behind the other: unit = message */
	BODY_JSON,    /* held whole */
	BODY_TENSORS, /* held whole: JSON, and bytes behind it */
	BODY_TEXT,    /* held whole */
	BODY_LIVE,    /* text of unknown length: unit = character */
};

#define TENSORS_MAX 64

/* A message with the bytes of its outputs behind it. */
struct tensors {
	uint64_t json;               /* bytes of the JSON that are to come */
	uint64_t sizes[TENSORS_MAX]; /* of the outputs, as the JSON says */
	uint32_t size_count, at;     /* the output after the one that is read */
	uint64_t read;               /* bytes of all outputs */
	uint64_t left;               /* of it */
	uint32_t length, element;    /* of the element under way: as its header says, and what is left */
	uint8_t header;              /* bytes of its header read */
	bool odd;                    /* its bytes are no elements */
};

/* What the data of one event is. */
enum payload {
	PAYLOAD_START,
	PAYLOAD_BRACKET, /* "[": the end mark or an array */
	PAYLOAD_END_MARK,
	PAYLOAD_JSON,
	PAYLOAD_TEXT,
};

/* A name that was read and holds nothing that any rule knows: ids and models come again in every event. */
#define LABELS      16
#define LABEL_BYTES 72
struct label {
	const struct field *row;
	uint32_t len;
	uint8_t bytes[LABEL_BYTES];
};

#define TEMPLATES      4
#define TEMPLATE_HOLES 6
#define TEMPLATE_SAID  5

/* What may be another in the next event: its words, a number, a name. */
enum hole_kind { HOLE_WORDS, HOLE_NUMBER, HOLE_LABEL };

struct hole {
	enum hole_kind kind;
	uint32_t at;      /* of a draft: in the event; of a template: fixed bytes between it and the one before */
	struct leaf leaf; /* whose it is */
};

/* An event on its way to be a template. */
struct draft {
	struct slice event; /* the input from its first byte on; empty: it will not be one */
	struct hole holes[TEMPLATE_HOLES];
	size_t hole_count;
	bool has_words;
	bool label_open; /* the last hole is a label whose end is to come */
	uint64_t scanned, hits;
};

enum phase { PHASE_HEAD, PHASE_BODY, PHASE_DONE, PHASE_CUT };

struct exchange {
	struct ruleset *rules; /* shared */
	struct exchange_limits limits;
	struct scope scope;
	char asked_model[128];              /* of the request; the scope's */
	char named_model[128];              /* of the answer; the scope's */
	bool words_read;                    /* some text of the answer's body was */
	struct lookout spare[READINGS_MAX]; /* memory for looking ahead */
	struct exchange_report report;
	const struct rule *blocked; /* the first rule that blocked, NULL: none */
	bool redacted;              /* something is masked */
	struct kept *kept;          /* owned; NULL: no rule of the ruleset asks for evidence */
	struct redact *redact;      /* owned; NULL: no rule of the ruleset redacts */
	bool asks;                  /* some rule of the ruleset asks for an opinion */
	bool skims;                 /* no rule asks for more than which needles are in a text, and nothing is kept */

	/* request */
	enum phase asking;
	struct http1_reader *reader; /* owned; of the head that is being read, either way */
	struct http1_body request_body;
	struct walk *request_walk;       /* owned; NULL: nothing to learn from the request */
	struct decoder *request_decoder; /* owned; NULL: it is not encoded */
	bool request_seen, begun;
	bool to_head, http10;
	bool to_websocket; /* it asks for one, and may have it */
	size_t model_len;  /* of the request's model, so far */
	uint32_t wanted;   /* choices the request asks for; 0: it does not say */
	bool wants_usage;

	/* answer */
	enum phase answering;
	struct http1_reader *answer_reader; /* owned */
	uint64_t start;                     /* lane position of the answer's first byte */
	bool started, head_cleared;
	bool head_sent;    /* the head goes out by itself, */
	uint64_t head_end; /* and ends here */
	bool answer_close; /* the server will close after it */
	struct http1_body body;
	struct decoder *decoder;   /* owned; NULL: the content is not encoded */
	struct gathered *gathered; /* owned; NULL: it is no stream of events with an encoding */
	struct point raw;          /* of encoded content: what was read of what the server sent */
	enum body_kind kind;
	struct point here;    /* what was read, with what it was */
	struct point unit;    /* where the current unit began */
	struct point edge;    /* the last place between units: where the next one will begin */
	struct point cleared; /* what was released */
	struct point free;    /* what may be, but for questions; not kept where no rule asks any */
	struct point gone;    /* cleared, when it was last looked at: it added up */
	bool unit_open, field_open;
	struct sse sse;
	struct ndjson lines;
	struct tensors tensors;
	enum payload payload;
	uint8_t end_mark; /* bytes of "[DONE]" matched */
	uint8_t lead_len;
	uint8_t lead[6]; /* the first bytes of a text that are not blank */
	struct walk walk;
	uint64_t walk_structural; /* of walk.structural, already in here.structural */
	struct lookout one;       /* the text by itself that is under way */
	struct label labels[LABELS];
	struct label label; /* the name under way; len over LABEL_BYTES: too long to be kept */
	bool label_known;   /* so far it is the one of labels[]: it was not read again */

	struct template *templates[TEMPLATES]; /* owned */
	uint8_t template_count, template_next;
	uint32_t said[TEMPLATE_SAID]; /* how often each value that is kept has changed */
	struct draft draft;

	struct text *texts; /* owned */
	size_t text_count, text_room, last_text;
	size_t holding;         /* texts with marks */
	size_t again_bytes;     /* kept of texts that come again */
	struct choice *choices; /* owned */
	size_t choice_count, choice_room;
	bool finishing; /* some choice is */

	struct finding *findings; /* owned */
	size_t finding_count, finding_room;
	uint64_t found_at[FINDINGS_MAX]; /* of each: the step of its last hit */
	uint64_t hits;                   /* met so far */
	uint64_t step;                   /* of reading: hits of one step are one place in the text */

	struct asking *questions; /* owned; open ones, the oldest first */
	size_t question_count, question_room;
	size_t gathering;       /* of these, not ripe */
	uint64_t question_last; /* id */

	/* what a refusal repeats */
	char fingerprint_text[128];
	char time_text[64];
	uint64_t created, usage[3], number;
	bool has_usage, message_begun, message_ended;
	uint64_t usage_at, begun_at, ended_at; /* wire positions of the units that said so first */
	bool ids_seen, text_seen;
	size_t tap_at;
	bool tap_open; /* a string that is to be repeated is under way */
};

/* Reading stops at a hit that blocks, where the answer goes out while it comes. What is held whole is read on. */
static inline bool stopped(const struct exchange *x)
{
	return x->blocked && x->report.streamed;
}

/* ---- reading.c: pieces of text meet the scanner ---- */

#define UNESCAPE_MAX 12

/* The readings of one text, where they are told apart. */
enum { READ_PLAIN, READ_TWIN, READ_ALONE };

/* One way to read a text. Borrows both. */
struct reading {
	struct lookout *state;
	struct unescape *escapes; /* NULL: as it is */
	struct unbase *coded;     /* NULL: as it is */
	struct excerpt *kept;     /* NULL: nothing is kept of it */
	uint32_t text;            /* place of the text whose track masks its hits, + 1; 0: they cannot be masked */
	uint32_t place;           /* of the text whose state it is, + 1; 0: one by itself */
	uint8_t way;              /* READ_... */
};

/* Feeds `bytes` to all readings side by side. Stops behind the byte that blocks, if stopped(). */
enum exception readings_feed(struct exchange *x, struct reading *readings, size_t count, struct slice bytes,
                             enum channel channel, uint32_t choice);
enum exception reading_end(struct exchange *x, struct reading *r, enum channel channel, uint32_t choice);
/* Does `text` by itself hold nothing that any rule knows? What cannot be read is not clean. */
bool reading_clean(struct exchange *x, struct slice text);
/* Takes one byte, gives those that are plain now: escapes as UTF-8, all that is none as it is. */
size_t unescape_byte(struct unescape *u, uint8_t c, uint8_t out[UNESCAPE_MAX]);

/* A hit of a rule counts: it is kept. `reading`: that has met it just now; NULL: it was met before, and all behind it
 * was held. */
enum exception reading_count(struct exchange *x, const struct reading *reading, const struct sight *hit,
                             enum action action, enum channel channel, uint32_t choice, uint64_t wire);

/* ---- question.c: hits that wait for an opinion ---- */

/* A hit of a rule that asks. */
enum exception question_new(struct exchange *x, const struct reading *r, const struct sight *hit, enum channel channel,
                            uint32_t choice);
/* Text of this reading was read: windows take it. `end`: no more of it comes. */
void question_gather(struct exchange *x, const struct reading *r, bool end);
/* The text at `place` (+ 1) is gone. */
void question_leave(struct exchange *x, uint32_t place);
/* All before `p` may go out, as far as no question is in the way. */
void question_clear_asked(struct exchange *x, const struct point *p);
static inline void question_clear(struct exchange *x, const struct point *p)
{
	if (x->asks) {
		question_clear_asked(x, p);
		return;
	}
	x->cleared = *p;
	x->head_cleared |= x->head_sent && p->wire >= x->head_end;
}
/* How far that is, questions or not. */
static inline uint64_t question_free(const struct exchange *x)
{
	return x->asks ? x->free.wire : x->cleared.wire;
}
void questions_free(struct exchange *x);

/* ---- tap.c: what a refusal repeats, and which choices there are ---- */

enum exception tap_read(struct exchange *x, const struct leaf *leaf);

/* ---- tensors.c: JSON and bytes ---- */

enum exception tensors_data(struct exchange *x, struct slice data);
/* All of it was read. */
enum exception tensors_end(struct exchange *x);

/* ---- lines.c: JSON messages one behind the other ---- */

enum exception lines_data(struct exchange *x, struct slice data);

/* ---- base64.c: text in letters that stand for bytes ---- */

static inline bool unbase_letter(uint8_t c)
{
	return (uint8_t)((c | 0x20) - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '+' || c == '-' || c == '/' ||
	       c == '_';
}

/* Takes one byte of a text, gives what is decoded now: nothing as long as there is no run. */
size_t unbase_byte(struct unbase *u, uint8_t c, uint8_t out[UNBASE_MAX]);

/* ---- text.c: texts and what of them is held ---- */

void text_free(struct exchange *x, struct text *t);
/* As at the start of a text. */
void text_restart(struct lookout *l);
/* The text of a leaf, made if it is new; NULL: there are too many. Texts move when one is made: keep their places. */
struct text *text_find(struct exchange *x, const struct leaf *leaf);
/* The text at `at` is about to be read: it has a twin from its first backslash on. Texts may move. */
enum exception text_ready(struct exchange *x, size_t at, struct slice bytes);
/* Its readings, behind the `count` that are there; returns how many there are then. */
size_t text_readings(struct exchange *x, size_t at, struct reading *readings, size_t count);
/* A piece of a text that goes on. */
enum exception text_go_on(struct exchange *x, const struct leaf *leaf, size_t at);
/* Nothing is held for it. */
void text_forget_marks(struct exchange *x, struct text *t);

/* ---- again.c: a text that may come whole in each message ---- */

enum exception text_again(struct exchange *x, const struct leaf *leaf);

/* A piece of a text that goes on over units, or of one by itself (`alone`). 0, or the exception. */
enum exception text_feed(struct exchange *x, const struct leaf *leaf);
/* A whole text by itself: a field value, a comment. */
enum exception text_alone(struct exchange *x, enum channel channel, struct slice bytes, bool begin, bool end);
/* A choice is named; `finish`: it ends with this unit. */
enum exception text_choice(struct exchange *x, uint32_t index, bool finish);
/* All that are known end with this unit. */
void text_choices_finish(struct exchange *x);
/* NULL: too many. */
struct choice *choice_of(struct exchange *x, uint32_t index);
void unit_begin(struct exchange *x);
/* The unit that began at x->unit is complete and ends at x->here: decides how far the answer is cleared. */
enum exception unit_end(struct exchange *x);
/* No more text comes: edges at the ends are resolved. Clears all that was read, if nothing was found. */
enum exception texts_end(struct exchange *x);
/* What is held is as much as may be: the name of that. */
enum exception held_too_large(const struct exchange *x);
/* Nothing but framing since the last unit's end: it goes with it. */
void unit_extend(struct exchange *x);

/* ---- narrow.c: what a request offers and we could not read ---- */

enum upgrade { UPGRADE_NONE, UPGRADE_WEBSOCKET, UPGRADE_H2C, UPGRADE_OTHER };

enum upgrade upgrade_of(const struct http1_head *h, struct slice head);
/* Narrows Accept-Encoding in the head that begins at l->parsed, takes the offer of HTTP/2 out if it is there (`h2c`),
 * and keeps h->len right. Below 0: it does not fit. */
int narrow(struct lane *l, struct http1_head *h, bool h2c);

/* ---- media.c: what an answer says it is ---- */

enum body_kind body_kind_of(const struct http1_head *h, struct slice head, enum http1_framing framing,
                            enum coding *coding, enum exception *exception);

/* ---- encoded.c: content with an encoding ---- */

/* The body begins at x->here. */
enum exception encoded_begin(struct exchange *x, enum coding coding);
/* Bytes it has allocated. */
size_t encoded_memory(const struct exchange *x);
/* n bytes of framing were read. */
void encoded_framing(struct exchange *x, size_t n);
enum exception encoded_data(struct exchange *x, struct slice data);
/* The last words of a cut answer take the form that the encoding has them in, no shorter than what is promised of the
 * chunk or the body. Below 0: the encoding cannot be ended where it was cut. */
int encoded_words(const struct exchange *x, struct buf *words);
/* The body is complete: so must be its encoding. */
enum exception encoded_end(struct exchange *x);

/* ---- template.c: an event like the one before it ---- */

void template_free(struct exchange *x);
/* What was learnt of events is not true any more. */
void template_forget(struct exchange *x);
/* An event begins at the first byte of `data`, and goes the long way. */
void template_begin(struct exchange *x, struct slice data);
/* What it says. */
void template_leaf(struct exchange *x, const struct leaf *leaf);
/* It was read, up to `end`. */
void template_end(struct exchange *x, const uint8_t *end);
/* It goes on in another piece of input: it will not be one. */
void template_leave(struct exchange *x);
/* Reads an event that begins `data`, if it is all there and like one before it. False: it is not. */
bool template_read(struct exchange *x, struct slice data, size_t *used, enum exception *e);

/* ---- body.c: bodies become texts ---- */

void body_begin(struct exchange *x);
/* Content of the body, framing taken off. */
enum exception body_data(struct exchange *x, struct slice data);
/* n bytes of content were read, of which `text` are accounted for by whoever scans them. */
void body_advance(struct exchange *x, size_t n, size_t text);
/* One JSON message of the answer. */
void json_begin(struct exchange *x);
enum exception json_data(struct exchange *x, struct slice data);
enum exception json_end(struct exchange *x);
enum exception unparsable(struct exchange *x, const char *why);
enum exception body_end(struct exchange *x);
/* A line that is no data is over, if one is under way. */
enum exception body_line_end(struct exchange *x);
