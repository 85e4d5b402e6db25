/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - the door of stream: bytes become messages, messages become text with the place it came from.
 *
 * Pure: no I/O, no clock, no log. Every decoder takes a slice and says how far it got; the result never depends on
 * where the input was cut. Positions are counted from the first byte a decoder was given.
 *
 * Contract of each *_feed(): looks at in.at[0..in.len), sets *used to the bytes it is done with, and answers
 *   STEP_MORE  all of `in` was used; call again with what follows
 *   STEP_ITEM  one item is in *item; call again with the rest (which may be empty)
 *   STEP_BAD   the input breaks the grammar at in.at[*used]; item->why says how, in a constant string; the decoder is
 *              finished: every later call is STEP_BAD too
 * Slices in items point into `in`, into the decoder or to constants, and are good until the next call. Where text comes
 * in pieces, where they part depends on the cut; what they add up to does not.
 */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

enum step { STEP_MORE, STEP_ITEM, STEP_BAD };

/* ---- HTTP/1.1 heads (RFC 9110, RFC 9112), strict: what two parsers could read differently is refused ---- */

enum http1_method { HTTP1_OTHER, HTTP1_GET, HTTP1_HEAD, HTTP1_POST, HTTP1_CONNECT };

enum http1_fault {
	HTTP1_FINE,
	HTTP1_MALFORMED,  /* breaks the grammar, or is ambiguous */
	HTTP1_TOO_LARGE,  /* head over HTTP1_HEAD_MAX or over HTTP1_FIELDS_MAX fields */
	HTTP1_VERSION,    /* neither HTTP/1.0 nor HTTP/1.1 */
	HTTP1_H2_PREFACE, /* an HTTP/2 client (RFC 9113 3.4) */
	HTTP1_CODING,     /* a transfer coding other than a single "chunked" */
};

#define HTTP1_HEAD_MAX   65536
#define HTTP1_FIELDS_MAX 128

/* A part of the head, counted from its first byte. */
struct span {
	uint32_t at, len;
};

struct http1_field {
	struct span name, value; /* value without the white space around it */
};

/* A complete head. Spans refer to the bytes that were fed. */
struct http1_head {
	bool response;
	uint8_t minor;            /* HTTP/1.minor */
	enum http1_method method; /* request */
	struct span method_name, target;
	uint16_t status; /* response */
	uint32_t len;    /* of the whole head, empty line included */

	bool chunked;
	bool has_length;
	uint64_t length;        /* Content-Length, at most INT64_MAX */
	bool close, keep_alive; /* Connection options */
	bool upgrade;           /* an Upgrade field, or Connection: upgrade */
	bool expect_continue;
	bool encoded; /* Content-Encoding other than identity */
	struct span content_type, content_encoding;
	uint32_t field_count;
	struct http1_field fields[HTTP1_FIELDS_MAX];
};

/* Reads one head that grows in a buffer. */
struct http1_reader {
	bool response;
	uint8_t part;   /* of the head, that the next byte belongs to */
	uint32_t mark;  /* where it starts */
	uint32_t seen;  /* bytes looked at; after a fault: where the byte at fault is */
	uint32_t known; /* bit i: the i-th of the fields that matter was there */
	enum http1_fault fault;
	const char *why; /* after a fault: what is wrong, a constant string */
	struct http1_head head;
};

/* Starts over, for a request or for a response. */
void http1_start(struct http1_reader *r, bool response);

/* `head` begins with the first byte of the head and holds at least what it held in the last call; only what is new is
 * looked at. STEP_ITEM: r->head is complete. STEP_BAD: *fault says which kind (otherwise it is HTTP1_FINE), found at
 * the first byte that no head can have there, or at the end of the field line whose meaning is refused. Never looks at
 * bytes beyond the head. Empty lines before a request line are not skipped: they are malformed (RFC 9112 2.2 allows
 * it). Refused as well, because recipients differ: more than one Content-Type or Content-Encoding line, a Host that
 * is none, a tab behind the value of what frames the body, and a body announced with a 1xx or a 204. The form of the
 * target is left to the caller. */
enum step http1_read(struct http1_reader *r, struct slice head, enum http1_fault *fault);

/* What may stand in a field name or method (RFC 9110 5.6.2), and in a field value. */
bool http1_token_byte(uint8_t c);
bool http1_value_byte(uint8_t c);

/* The first such field's value, or an empty slice with at == NULL. `bytes` are the head's. Names match without case. */
struct slice http1_value(const struct http1_head *h, struct slice bytes, struct slice name);

/* ---- HTTP/1.1 bodies ---- */

enum http1_framing {
	HTTP1_NO_BODY,
	HTTP1_CHUNKED,
	HTTP1_LENGTH,
	HTTP1_UNTIL_CLOSE, /* responses only */
};

/* How the body that follows is framed (RFC 9112 6.3). `to_head`: the response answers a HEAD request. What follows a
 * 101 or a 2xx to CONNECT is no body and no message: the caller's to know. */
enum http1_framing http1_framing(const struct http1_head *h, bool to_head);

enum http1_body_kind {
	HTTP1_DATA,        /* `data` is body content */
	HTTP1_CHUNK,       /* a chunk-size line was read: body->left bytes of data follow; 0 in the last chunk */
	HTTP1_CHUNK_END,   /* the line break after a chunk's data */
	HTTP1_TRAILER,     /* `data`: next bytes of a trailer line, name and all, without its line break (structural) */
	HTTP1_TRAILER_END, /* that line is complete */
	HTTP1_END,         /* the body is complete; nothing after it was used. Comes again if asked again */
};

struct http1_body_item {
	enum http1_body_kind kind;
	struct slice data;
	const char *why; /* STEP_BAD */
};

struct http1_body {
	enum http1_framing framing;
	uint8_t state;
	uint8_t digits;   /* of the chunk size read so far */
	uint8_t name_len; /* of the trailer field name so far, capped */
	uint8_t names;    /* bit i: it may still become the i-th forbidden one */
	uint32_t line;    /* bytes of the trailer section so far, at most HTTP1_HEAD_MAX */
	uint64_t left;    /* of the chunk or of the body */
};

void http1_body_start(struct http1_body *b, enum http1_framing framing, uint64_t length);
/* Chunk extensions are refused (no inference server sends them, and parsers differ on them), and so are trailer fields
 * that frame, route or describe the message, and trailer sections over HTTP1_HEAD_MAX. Trailer lines come in pieces,
 * nothing is kept. HTTP1_END comes by a call of its own, which may be given nothing: feed until it. HTTP1_UNTIL_CLOSE
 * never ends by itself. */
enum step http1_body_feed(struct http1_body *b, struct slice in, size_t *used, struct http1_body_item *item);

/* ---- content codings (RFC 9110 8.4.1): gzip, deflate, br, zstd ---- */

enum coding { CODING_NONE, CODING_GZIP, CODING_DEFLATE, CODING_BROTLI, CODING_ZSTD, CODING_COUNT };

/* The coding that a Content-Encoding value names; none for an empty value and for "identity". False: an unknown one, or
 * more than one. */
bool coding_of(struct slice value, enum coding *out);

enum decoder_fault {
	DECODER_FINE,
	DECODER_CORRUPT, /* not of that coding, or its readers differ on it */
	DECODER_BOMB,    /* more text, memory or silence than an answer has use for */
	DECODER_MEMORY,
};

#define DECODER_RATIO_MAX 256        /* decoded bytes for each byte, on the whole, */
#define DECODER_SLACK     (1u << 20) /* beyond as many to begin with */
#define DECODER_QUIET_MAX (1u << 18) /* bytes in a row of which nothing can be read */

/* Takes one coding off. Memory is bounded: windows over 8 MiB are refused. Refused as well: gzip headers with a name, a
 * comment or an extra field, zstd frames to be skipped, preset dictionaries, bytes behind the end. Members of gzip and
 * frames of zstd may follow each other. Metadata of brotli is skipped: the library does not show it. */
struct decoder;

/* -ENOMEM. The decoder is the caller's: decoder_free(). `coding` is not CODING_NONE. */
int decoder_new(struct decoder **out, enum coding coding);
void decoder_free(struct decoder **at);
/* Bytes it takes. */
size_t decoder_memory(const struct decoder *d);

/* Gives one encoded byte, after decoder_take() said STEP_MORE. */
void decoder_give(struct decoder *d, uint8_t byte);
/* STEP_ITEM: *piece is the next text that can be read of the bytes given so far, good until the next call. STEP_MORE:
 * no more can. STEP_BAD: decoder_fault() says why, and it is for good. */
enum step decoder_take(struct decoder *d, struct slice *piece);

/* All text that any reader could have of the bytes given so far was taken: zstd's blocks are readable in part before
 * the library reads them whole. */
bool decoder_settled(const struct decoder *d);
/* The last byte brought no text. */
bool decoder_quiet(const struct decoder *d);
/* The encoding may end here: behind its end, or before its first byte. */
bool decoder_complete(const struct decoder *d);
enum decoder_fault decoder_fault(const struct decoder *d, const char **why);

/* A place in encoded bytes where an encoding can go on without its encoder: of gzip and deflate, between two blocks at
 * the border of a byte, which is where a flush leaves them. */
struct seam {
	enum { SEAM_NONE, SEAM_GZIP, SEAM_ZLIB, SEAM_BARE } kind;
	uint32_t sum, size; /* of the text so far, as the end of the stream has them */
};

/* Behind the bytes given so far. */
struct seam decoder_seam(const struct decoder *d);
/* How long `text` bytes become with the end of the stream. */
size_t seam_length(const struct seam *s, size_t text);
/* Adds `text` and the end of the stream: stored blocks, and the sums. s->kind is not SEAM_NONE. Errors as buf_add. */
int seam_close(const struct seam *s, struct slice text, struct buf *out);

/* ---- server-sent events (WHATWG HTML, 9.2.6) ---- */

enum sse_kind {
	SSE_DATA,      /* `text`: next bytes of the event's data; a line break between two data lines comes as "\n" */
	SSE_DATA_END,  /* the data line is complete */
	SSE_FIELD,     /* `text`: next bytes of another field or of a comment, name and all, without the line break */
	SSE_FIELD_END, /* that line is complete */
	SSE_EVENT_END, /* an empty line: the event is complete. Also when it had no data */
	SSE_LF,        /* the LF of the CRLF that ended an event: still part of it */
};

struct sse_item {
	enum sse_kind kind;
	struct slice text;
};

struct sse {
	uint8_t state;
	uint8_t name_len; /* of the field name matched so far against "data" */
	bool had_data;    /* a data line was complete in this event */
	uint8_t bom;      /* bytes of a byte order mark seen */
};

void sse_start(struct sse *s);
/* Lines end in LF, CR or CRLF. A CR ends its line at once; the LF after it is used silently, but after SSE_EVENT_END it
 * comes as SSE_LF, so that positions never depend on the cut. One space after "data:" is not text, a byte order mark
 * at the start of the stream is not either. SSE_FIELD lines are everything that is not data, comments included. Bytes
 * of a line are given as they come, before the line is complete; only the start of what may become "data" waits.
 * Text is the last bytes used, but for the "\n" between two data lines: it is not in the input, and comes as a piece of
 * its own once the name of the second line is read. Never STEP_BAD. */
enum step sse_feed(struct sse *s, struct slice in, size_t *used, struct sse_item *item);

/* ---- JSON (RFC 8259), strict but for lone surrogates, which become U+FFFD and are counted ---- */

#define JSON_DEPTH_MAX 64

enum json_kind {
	JSON_OBJECT,
	JSON_OBJECT_END,
	JSON_ARRAY,
	JSON_ARRAY_END,
	JSON_KEY,        /* `text`: next bytes of an object key, decoded UTF-8; may come in several pieces */
	JSON_KEY_END,    /* its closing quote */
	JSON_STRING,     /* `text`: next bytes of a string value, decoded UTF-8; may come in several pieces */
	JSON_STRING_END, /* its closing quote */
	JSON_NUMBER,     /* `text`: next bytes of a number */
	JSON_NUMBER_END, /* comes with the first byte after the number, or by json_finish() */
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
	JSON_KIND_COUNT
};

struct json_item {
	enum json_kind kind;
	struct slice text;
	uint32_t raw;    /* bytes of the input that `text` stands for: 6 for \u6bd2, 12 for a surrogate pair */
	uint32_t ahead;  /* bytes used beyond these: 0, but after a lone high surrogate part of the next escape */
	const char *why; /* STEP_BAD: "depth", or what is wrong */
};

struct json {
	uint8_t state;
	uint8_t after;   /* literal: bytes matched; escape: digits read */
	uint8_t literal; /* the enum json_kind under way */
	uint16_t depth;
	uint16_t unit; /* \u unit under way; what was before is shifted out by its four digits */
	uint16_t high; /* high surrogate that waits for its other half, 0: none */
	uint32_t raw;  /* bytes of the escape under way */
	bool in_key;
	uint8_t utf8_left;           /* continuation bytes that must follow: strings are checked to be UTF-8 */
	uint8_t utf8_low, utf8_high; /* range of the next one (Unicode 15, table 3-7) */
	uint32_t lone;               /* lone surrogates so far */
	uint64_t containers;         /* bit d - 1: the container at depth d is an object */
	uint8_t scratch[4];
};

void json_start(struct json *j);
/* One value; white space around it is used. After the value is complete json_done() is true, and any byte but white
 * space is STEP_BAD. A byte order mark, a control character in a string, bytes that are not UTF-8, NaN, comments,
 * trailing commas and depth over JSON_DEPTH_MAX are STEP_BAD.
 *
 * Where `text` is: its raw bytes end `ahead` bytes before the end of what was used, and the raw bytes of a string's
 * pieces add up to what is between its quotes. A piece is cut inside a character only where the input is. Punctuation
 * and literals come with their last byte used, JSON_NUMBER_END before the byte after the number. */
enum step json_feed(struct json *j, struct slice in, size_t *used, struct json_item *item);
/* The input has ended. STEP_ITEM: the number at the end is complete (call again). STEP_MORE: complete, or nothing but
 * white space was seen (json_done() tells which). STEP_BAD: the value is cut short. */
enum step json_finish(struct json *j, struct json_item *item);
bool json_done(const struct json *j);
/* Nothing but white space so far. */
bool json_blank(const struct json *j);

/* ---- JSON messages one behind the other, each on a line by custom (NDJSON) ---- */

enum ndjson_kind {
	NDJSON_DATA,  /* `text`: next bytes of a message */
	NDJSON_END,   /* the message is complete; no byte was used */
	NDJSON_BLANK, /* `text`: white space between messages */
};

struct ndjson_item {
	enum ndjson_kind kind;
	struct slice text;
	const char *why; /* STEP_BAD */
};

struct ndjson {
	uint8_t state;
	bool in_string, escaped;
	uint32_t depth;
};

void ndjson_start(struct ndjson *n);
/* Finds where messages begin and end: by their brackets, not by line breaks, which may stand inside one. Whether they
 * are JSON is for walk_feed() to say. A message that is neither an object nor an array is STEP_BAD. */
enum step ndjson_feed(struct ndjson *n, struct slice in, size_t *used, struct ndjson_item *item);
/* What follows is white space, or begins a message. */
bool ndjson_between(const struct ndjson *n);

/* ---- dialects: which value of a JSON message is which text (agent/stream/dialect.c has the tables) ---- */

/* One text as the reader will see it is (exchange, choice, sub, kind). */
enum channel {
	CHANNEL_NONE,
	CHANNEL_CONTENT,
	CHANNEL_REASONING,
	CHANNEL_REFUSAL,
	CHANNEL_TOOL_NAME,
	CHANNEL_TOOL_ARGUMENTS,
	CHANNEL_TEXT,     /* a body that is text as a whole */
	CHANNEL_LABEL,    /* names, ids, reasons: each value is a text of its own */
	CHANNEL_OTHER,    /* any string no table knows: read as one text from message to message, and each by itself */
	CHANNEL_KEY,      /* an object key no table knows */
	CHANNEL_HEADER,   /* an HTTP field value */
	CHANNEL_LOGPROBS, /* tokens beside the text they are of: read as one text, and each by itself */
	CHANNEL_COUNT
};

extern const char *const channel_names[CHANNEL_COUNT];

/* Values that are remembered besides being scanned. */
enum tap {
	TAP_NONE,
	TAP_ID,
	TAP_MODEL,
	TAP_CREATED,
	TAP_FINGERPRINT,
	TAP_PROMPT_TOKENS,
	TAP_COMPLETION_TOKENS,
	TAP_TOTAL_TOKENS,
	TAP_FINISH,    /* of a choice: a string that is not empty */
	TAP_STOP,      /* likewise, of all choices */
	TAP_DONE,      /* true: of all choices */
	TAP_END,       /* the name of a message that ends all choices */
	TAP_BEGIN,     /* the name of the message that an answer begins with */
	TAP_OPEN,      /* of one that opens a choice */
	TAP_CLOSE,     /* that closes a choice, of which no more text comes */
	TAP_SHUT,      /* that closes a choice whose text comes once more in full */
	TAP_PART_OPEN, /* a part of a choice, and its end */
	TAP_PART_SHUT,
	TAP_SEQUENCE,     /* number of the message */
	TAP_CHOICE_ID,    /* id of the choice */
	TAP_MESSAGE,      /* what the choice is: a message */
	TAP_CALL,         /* a function call */
	TAP_REASONING,    /* reasoning */
	TAP_TIME,         /* when, as a string */
	TAP_INPUT_TOKENS, /* of APIs that have no total */
	TAP_OUTPUT_TOKENS,
	TAP_SIZE,        /* bytes of an output behind the message */
	TAP_IDS,         /* token ids: not a value, but that there are some */
	TAP_N,           /* choices that a request asks for */
	TAP_WANTS_USAGE, /* the request asks for an event with usage */
	TAP_COUNT
};

struct field; /* a row: key, what it is, what is below it */

/* How an API ends an answer that was cut; the wording is enforce's. */
enum ending {
	ENDING_GENERIC,
	ENDING_OPENAI_CHAT,
	ENDING_COMPLETIONS,
	ENDING_RESPONSES,
	ENDING_ANTHROPIC,
	ENDING_OLLAMA_CHAT,
	ENDING_OLLAMA_GENERATE,
	ENDING_GENERATE, /* TGI's, or SGLang's: they share a path */
	ENDING_LLAMA,
	ENDING_TRITON,
	ENDING_COUNT
};

enum method { METHOD_POST, METHOD_GET, METHOD_ANY };

struct dialect {
	const char *name;
	enum method method;
	const char
		*path; /* a request path that ends in this is ours, '*' being any segment; with '^' in front: is this */
	enum ending ending;
	bool lines;                  /* its JSON answers may be one message behind the other */
	const struct field *request; /* NULL: nothing to learn from it */
	const struct field *message; /* one event of a stream */
	const struct field *whole;   /* an answer that is not streamed */
};

/* The dialect of a request, never NULL: "generic" knows no field and takes every string for text. A slash at the end of
 * the path does not count: routers differ on it. */
const struct dialect *dialect_of(struct slice method, struct slice path);

/* A piece of a leaf. Strings come in pieces, the first with `begin`, the last with `end` (perhaps empty); numbers and
 * literals only if tapped, as their bytes. An array of numbers from 0 to 255 comes as a string: the bytes that they
 * are, as far as they go. */
struct leaf {
	enum channel channel;
	enum tap tap;
	bool string, begin, end;
	bool again;              /* may hold all that came before it in its text */
	bool asked;              /* repeats what the client sent */
	uint32_t choice, sub;    /* of the choice and the tool call; 0 if there is none */
	uint64_t path;           /* CHANNEL_OTHER: which string, as a hash without the inner array positions; of a text
	                          * that a table knows: which of the keys that carry such text */
	const struct field *row; /* CHANNEL_LABEL: tells one name from another; NULL: unknown */
	uint8_t slot;            /* CHANNEL_LABEL: likewise, but for rows that seldom stand in one message */
	struct slice text;
	uint32_t raw; /* bytes of the message that `text` stands for; the others are structural */
	uint64_t at;  /* where in the message these end */
};

#define WALK_LATE_MAX  (1u << 20)
#define WALK_TOOLS_MAX 32
#define WALK_RUN       64
#define WALK_KIND_MAX  64
#define WALK_NUMBERS   8

struct walk_level {
	const struct field *rows; /* an object's fields; NULL: unknown territory */
	const struct field *row;  /* an array's own row, which its items share; of an object, the row it is below of */
	uint64_t path;
	uint64_t seen;     /* bit i: the i-th field of an object's table was there */
	uint32_t position; /* of the next item of an array */
	bool array, in_array, outermost;
	bool no_bytes; /* an array of something else */
};

/* Which choice, or which part of it, an object is about. */
struct walk_place {
	uint32_t index;
	uint16_t depth; /* level of the object; 0: not in one */
	bool known, placed;
};

/* Walks one JSON message along a table. Text whose choice is not known yet (its "index" comes later in the object)
 * waits in `late` until it is. Zero before the first walk_start(). */
struct walk {
	struct json json;
	const struct field *rows;
	uint16_t depth;

	const struct field *row; /* of the current value */
	uint64_t row_path;
	bool begun, in_string, in_number;
	bool telling; /* the number under way tells texts apart */
	uint32_t number;

	uint8_t key[64]; /* the key under way, as long as it may be one we know */
	uint32_t key_len, key_raw;
	uint64_t key_path; /* of its value: the path of the object, and the key so far */
	bool key_begun;
	struct slice key_rest;

	struct walk_place choice, sub;             /* of the object we are in */
	struct walk_place outer_choice, outer_sub; /* of one around it */
	uint32_t late_choice;                      /* of what waited */
	uint32_t sub_of[WALK_TOOLS_MAX]; /* index, + 1, of the tool call at each place of this choice; 0: none given */

	const struct kind *kind; /* of the message; NULL: none we know, or not known yet */
	bool kind_known;
	uint8_t name[WALK_KIND_MAX]; /* a kind's name under way */
	uint32_t name_len;

	/* Numbers of this message that say nothing to anybody, the first few: where they begin and end in it. */
	struct walk_number {
		uint64_t from, to;
	} numbers[WALK_NUMBERS];
	uint32_t number_count;
	uint64_t number_from; /* of the one under way */

	uint8_t run[WALK_RUN]; /* numbers that are bytes */
	uint32_t run_len, run_raw, digits;
	bool run_open, run_begun, unfit;
	struct json_item again; /* what ended them: to be taken again */
	bool has_again;

	uint64_t fed;        /* bytes of the message in earlier calls: whoever wants leaf.at counts them here */
	uint64_t at;         /* of the message, up to the end of the last text or number */
	struct late *late;   /* owned */
	uint64_t structural; /* bytes of this message that are in no leaf's `raw`; exact when the message has ended */
	const char *why;

	struct walk_level level[JSON_DEPTH_MAX + 1]; /* beyond the first, of no meaning before they are reached */
};

/* So many bytes of it are zero before it is used for the first time. */
#define WALK_BLANK offsetof(struct walk, level[1])

/* Starts a message of the given table (NULL: no table). Keeps memory of an earlier message. */
void walk_start(struct walk *w, const struct field *rows);
void walk_free(struct walk *w);
/* As the contract above; one leaf an item. STEP_BAD: w->why. */
enum step walk_feed(struct walk *w, struct slice in, size_t *used, struct leaf *leaf);
/* The message has ended: as json_finish. */
enum step walk_finish(struct walk *w, struct leaf *leaf);
