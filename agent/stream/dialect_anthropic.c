/* SPDX-License-Identifier: Apache-2.0 */
/* dialect_anthropic.c - the Messages API: Anthropic, vLLM, SGLang, llama.cpp, Ollama. A block of the content is a
 * choice. */
#include "stream/field.h"

static const struct kind events[] = {
	{ "message_start", CHANNEL_NONE, TAP_BEGIN },
	{ "content_block_start", CHANNEL_NONE, TAP_OPEN },
	{ "content_block_stop", CHANNEL_NONE, TAP_CLOSE },
	{ "message_stop", CHANNEL_NONE, TAP_END },
	{},
};

static const struct field citation[] = {
	LABEL("type"), LABEL("cited_text"), LABEL("document_title"), LABEL("url"), LABEL("title"), {},
};

#define BLOCK(n)                                                                                                       \
	LABEL("type"), LABEL("id"), TEXT("text", CHANNEL_CONTENT), TEXT("thinking", CHANNEL_REASONING),                \
		TEXT_APART("name", CHANNEL_TOOL_NAME, n), LABEL("signature"), PLAIN("input"),                          \
		BELOW("citations", citation)

static const struct field block[] = { BLOCK(0), {} };

static const struct field usage[] = {
	VALUE("input_tokens", TAP_INPUT_TOKENS),
	VALUE("output_tokens", TAP_OUTPUT_TOKENS),
	PLAIN("cache_creation_input_tokens"),
	PLAIN("cache_read_input_tokens"),
	{},
};

/* A stop of the message counts in events alone: an answer that is not streamed ends by itself. */
#define MESSAGE                                                                                                        \
	TAPPED("id", TAP_ID), LABEL("type"), LABEL("role"), TAPPED("model", TAP_MODEL),                                \
		ITEMS("content", ITEMS_CHOICES_PLACED, block), LABEL("stop_reason"), LABEL("stop_sequence"),           \
		BELOW("usage", usage)

static const struct field message[] = { MESSAGE, {} };

static const struct field delta[] = {
	LABEL("type"),
	TEXT("text", CHANNEL_CONTENT),
	TEXT("thinking", CHANNEL_REASONING),
	TEXT("partial_json", CHANNEL_TOOL_ARGUMENTS),
	LABEL("signature"),
	BELOW("citation", citation),
	TAPPED("stop_reason", TAP_STOP),
	LABEL("stop_sequence"),
	{},
};

static const struct field event[] = {
	INDEX("index", ROLE_CHOICE),
	KIND("type", events),
	BELOW("delta", delta),
	BELOW("content_block", block),
	BELOW("message", message),
	BELOW("usage", usage),
	{},
};

static const struct field request[] = { TAPPED("model", TAP_MODEL), {} };

const struct dialect anthropic_dialects[] = {
	{ "anthropic.messages", METHOD_POST, "/v1/messages", ENDING_ANTHROPIC, false, request, event, message },
	{},
};
