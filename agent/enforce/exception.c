/* SPDX-License-Identifier: Apache-2.0 */
/* exception.c - every way of losing sight of an answer, by name. */
#include "enforce/enforce.h"

const char *const verdict_names[VERDICT_COUNT] = {
	"cleared", "shadowed", "flagged", "redacted", "blocked", "exception"
};

const struct exception_row exception_table[EXCEPTION_COUNT] = {
	[EXCEPTION_NONE] = { "none", 0, "" },
	[EXCEPTION_REQUEST_MALFORMED] = { "request_malformed", 400, "the request is not unambiguous HTTP/1.1" },
	[EXCEPTION_REQUEST_TOO_LARGE] = { "request_too_large", 431, "the head of the request is too large" },
	[EXCEPTION_REQUEST_TIMEOUT] = { "request_timeout", 408, "the head of the request did not come in time" },
	[EXCEPTION_HTTP_VERSION] = { "http_version", 505, "only HTTP/1.0 and HTTP/1.1 can be inspected" },
	[EXCEPTION_HTTP2] = { "http2", 505, "HTTP/2 cannot be inspected" },
	[EXCEPTION_UPGRADE] = { "upgrade", 501, "a change of protocol cannot be inspected" },
	[EXCEPTION_CONNECT] = { "connect", 501, "a tunnel cannot be inspected" },
	[EXCEPTION_ANSWER_MALFORMED] = { "answer_malformed", 502, "the server's answer is not unambiguous HTTP/1.1" },
	[EXCEPTION_ANSWER_HEAD_TOO_LARGE] = { "answer_head_too_large", 502, "the head of the answer is too large" },
	[EXCEPTION_ANSWER_UNEXPECTED] = { "answer_unexpected", 0, "the server sent bytes that no request asked for" },
	[EXCEPTION_ANSWER_TRUNCATED] = { "answer_truncated", 502, "the server's answer ended in the middle" },
	[EXCEPTION_CONTENT_ENCODING] = { "content_encoding", 502,
	                                 "the answer is encoded in a way that cannot be read" },
	[EXCEPTION_ENCODING_MALFORMED] = { "encoding_malformed", 502, "the answer is not what its encoding says" },
	[EXCEPTION_ENCODING_BOMB] = { "encoding_bomb", 502, "the answer decodes to more than can be read" },
	[EXCEPTION_CONTENT_TYPE] = { "content_type", 502, "the answer is of a type that cannot be inspected" },
	[EXCEPTION_CHARSET] = { "charset", 502, "the answer is in a character set that cannot be inspected" },
	[EXCEPTION_PARTIAL_CONTENT] = { "partial_content", 502, "parts of an answer cannot be inspected" },
	[EXCEPTION_UNPARSABLE] = { "unparsable", 502, "the answer could not be parsed" },
	[EXCEPTION_TOO_DEEP] = { "too_deep", 502, "the answer is nested too deeply" },
	[EXCEPTION_EVENT_TOO_LARGE] = { "event_too_large", 502, "an event of the answer is too large to be held" },
	[EXCEPTION_HELD_TOO_LARGE] = { "held_too_large", 502, "what waits for a classifier is too large to be held" },
	[EXCEPTION_BODY_TOO_LARGE] = { "body_too_large", 502, "the answer is too large to be held" },
	[EXCEPTION_TOO_MANY_TEXTS] = { "too_many_texts", 502, "the answer holds too many texts at a time" },
	[EXCEPTION_TEXT_AFTER_FINISH] = { "text_after_finish", 502, "a choice went on after it was finished" },
	[EXCEPTION_TEXT_CHANGED] = { "text_changed", 502, "a text that came again is not what it was" },
	[EXCEPTION_MODEL_NAMED_LATE] = { "model_named_late", 502,
	                                 "the answer names another model than the request, behind its first words" },
	[EXCEPTION_TOKEN_IDS] = { "token_ids", 502, "the answer holds token ids in place of text" },
	[EXCEPTION_RULE_TIMEOUT] = { "rule_timeout", 502, "a rule took more work on the answer than it may" },
	[EXCEPTION_COVERAGE] = { "coverage", 502, "not every byte of the answer was accounted for" },
	[EXCEPTION_MEMORY] = { "memory", 503, "out of memory" },
	[EXCEPTION_RECORD_NOT_DURABLE] = { "record_not_durable", 0, "the decision could not be recorded" },
	[EXCEPTION_REPLACED] = { "replaced", 503,
	                         "the guard was replaced, and the answer took longer than it may then" },
};
