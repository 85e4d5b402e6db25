/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enforce.h - the door of enforce: verdicts, the exception table, and the words a client is told.
 *
 * Pure. Every way of losing sight of an answer is a row of the exception table; there is no other way to end an
 * exchange unread.
 */
#pragma once

#include "base/buf.h"
#include "policy/policy.h"
#include "stream/stream.h"

enum verdict {
	VERDICT_CLEARED,
	VERDICT_SHADOWED,
	VERDICT_FLAGGED,
	VERDICT_REDACTED,
	VERDICT_BLOCKED,
	VERDICT_EXCEPTION,
	VERDICT_COUNT
};

extern const char *const verdict_names[VERDICT_COUNT]; /* "cleared" and so on */

enum exception {
	EXCEPTION_NONE,
	EXCEPTION_REQUEST_MALFORMED,
	EXCEPTION_REQUEST_TOO_LARGE,
	EXCEPTION_REQUEST_TIMEOUT,
	EXCEPTION_HTTP_VERSION,
	EXCEPTION_HTTP2,
	EXCEPTION_UPGRADE,
	EXCEPTION_CONNECT,
	EXCEPTION_ANSWER_MALFORMED,
	EXCEPTION_ANSWER_HEAD_TOO_LARGE,
	EXCEPTION_ANSWER_UNEXPECTED,
	EXCEPTION_ANSWER_TRUNCATED,
	EXCEPTION_CONTENT_ENCODING,
	EXCEPTION_ENCODING_MALFORMED,
	EXCEPTION_ENCODING_BOMB,
	EXCEPTION_CONTENT_TYPE,
	EXCEPTION_CHARSET,
	EXCEPTION_PARTIAL_CONTENT,
	EXCEPTION_UNPARSABLE,
	EXCEPTION_TOO_DEEP,
	EXCEPTION_EVENT_TOO_LARGE,
	EXCEPTION_HELD_TOO_LARGE,
	EXCEPTION_BODY_TOO_LARGE,
	EXCEPTION_TOO_MANY_TEXTS,
	EXCEPTION_TEXT_AFTER_FINISH,
	EXCEPTION_TEXT_CHANGED,
	EXCEPTION_MODEL_NAMED_LATE,
	EXCEPTION_TOKEN_IDS,
	EXCEPTION_RULE_TIMEOUT,
	EXCEPTION_COVERAGE,
	EXCEPTION_MEMORY,
	EXCEPTION_RECORD_NOT_DURABLE,
	EXCEPTION_REPLACED,
	EXCEPTION_COUNT
};

/* One row: what the configuration, the metric, the record and the README call it. In this version every row closes. */
struct exception_row {
	const char *name;
	uint16_t status;  /* HTTP status when no answer has begun; 0: nothing can be said */
	const char *text; /* for people */
};

extern const struct exception_row exception_table[EXCEPTION_COUNT];

/* An item of output that is open: the client has seen it begin and not end. */
struct refusal_item {
	uint32_t index;
	struct slice id;
	enum tap what; /* TAP_MESSAGE, TAP_CALL, TAP_REASONING; TAP_NONE: not known */
	bool part_open;
	uint32_t part; /* which of its parts is */
};

/* What is known of an answer that is replaced or ended. Strings are decoded, not NUL-terminated. */
struct refusal {
	enum ending ending;
	enum exception exception; /* EXCEPTION_NONE: blocked by a rule */
	struct slice id, model, fingerprint;
	struct slice time;       /* as the server wrote it */
	uint64_t created;        /* seconds; 0: unknown */
	const uint32_t *choices; /* indexes to end, or to fill a replaced answer with */
	size_t choice_count;
	const struct refusal_item *items; /* where a choice has a frame of its own: those that are open */
	size_t item_count;
	bool begun, ended; /* the client has seen the event that the answer begins with; the one it ends with */
	uint32_t sequence; /* number of the next event */
	bool has_usage;
	bool wants_usage; /* the client asked for an event with usage and has not seen it */
	uint64_t prompt_tokens, completion_tokens, total_tokens;
};

/* Adds the server-sent events that end a stream: for each choice the API's "filtered" ending and the end mark; an error
 * event for an exception or an API we have no better word for. 0 or -errno of buf_add. */
int refusal_events(struct buf *out, const struct refusal *r);

/* Likewise, of a stream of JSON messages: one message and its line break. */
int refusal_line(struct buf *out, const struct refusal *r);

/* Adds the body that takes the place of an answer; *status is the HTTP status to send it with. */
int refusal_body(struct buf *out, const struct refusal *r, unsigned *status);

/* The reason phrase of the statuses used here. */
const char *status_phrase(unsigned status);
