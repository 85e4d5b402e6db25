/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_responses.c - OpenAI's Responses API: OpenAI, vLLM, SGLang, llama.cpp, Ollama.
 *
 * An item of the output is a choice, a part of its content or its summary is a sub. Events are named; most texts come
 * as deltas, then as a whole in "….done", then in the part, in the item and in the response: each is a text of its own,
 * read in full. An item ends for us with the response, because its text comes again after its end.
 */
#include "stream/field.h"

static const struct kind events[] = {
	{ "response.output_text.delta", CHANNEL_CONTENT, TAP_NONE },
	{ "response.output_text.done", CHANNEL_CONTENT, TAP_NONE },
	{ "response.reasoning_text.delta", CHANNEL_REASONING, TAP_NONE },
	{ "response.reasoning_text.done", CHANNEL_REASONING, TAP_NONE },
	{ "response.reasoning_summary_text.delta", CHANNEL_REASONING, TAP_NONE },
	{ "response.reasoning_summary_text.done", CHANNEL_REASONING, TAP_NONE },
	{ "response.refusal.delta", CHANNEL_REFUSAL, TAP_NONE },
	{ "response.refusal.done", CHANNEL_REFUSAL, TAP_NONE },
	{ "response.function_call_arguments.delta", CHANNEL_TOOL_ARGUMENTS, TAP_NONE },
	{ "response.function_call_arguments.done", CHANNEL_TOOL_ARGUMENTS, TAP_NONE },
	{ "response.mcp_call_arguments.delta", CHANNEL_TOOL_ARGUMENTS, TAP_NONE },
	{ "response.mcp_call_arguments.done", CHANNEL_TOOL_ARGUMENTS, TAP_NONE },
	{ "response.code_interpreter_call_code.delta", CHANNEL_TOOL_ARGUMENTS, TAP_NONE },
	{ "response.code_interpreter_call_code.done", CHANNEL_TOOL_ARGUMENTS, TAP_NONE },
	{ "response.custom_tool_call_input.delta", CHANNEL_TOOL_ARGUMENTS, TAP_NONE },
	{ "response.custom_tool_call_input.done", CHANNEL_TOOL_ARGUMENTS, TAP_NONE },
	{ "response.audio.transcript.delta", CHANNEL_CONTENT, TAP_NONE },
	{ "response.content_part.added", CHANNEL_CONTENT, TAP_PART_OPEN },
	{ "response.content_part.done", CHANNEL_CONTENT, TAP_PART_SHUT },
	{ "response.reasoning_part.added", CHANNEL_REASONING, TAP_NONE },
	{ "response.reasoning_part.done", CHANNEL_REASONING, TAP_NONE },
	{ "response.reasoning_summary_part.added", CHANNEL_REASONING, TAP_NONE },
	{ "response.reasoning_summary_part.done", CHANNEL_REASONING, TAP_NONE },
	{ "response.output_item.added", CHANNEL_NONE, TAP_OPEN },
	{ "response.output_item.done", CHANNEL_NONE, TAP_SHUT },
	{ "response.created", CHANNEL_NONE, TAP_BEGIN },
	{ "response.completed", CHANNEL_NONE, TAP_END },
	{ "response.incomplete", CHANNEL_NONE, TAP_END },
	{ "response.failed", CHANNEL_NONE, TAP_END },
	{},
};

static const struct kind items[] = {
	{ "message", CHANNEL_NONE, TAP_MESSAGE },
	{ "function_call", CHANNEL_NONE, TAP_CALL },
	{ "reasoning", CHANNEL_NONE, TAP_REASONING },
	{},
};

/* `n` keeps the parts of an event apart from those of an item and of a response. */
#define PART(n)                                                                                                        \
	LABEL("type"), TEXT_APART("text", CHANNEL_CONTENT, n), TEXT_APART("refusal", CHANNEL_REFUSAL, n),              \
		TEXT_APART("transcript", CHANNEL_CONTENT, (n) + 1), BELOW("logprobs", openai_token)
#define SUMMARY(n) LABEL("type"), TEXT_APART("text", CHANNEL_REASONING, n)
#define ITEM(n, content, summary)                                                                                      \
	TAPPED("id", TAP_CHOICE_ID), KIND("type", items), LABEL("status"), LABEL("role"), LABEL("call_id"),            \
		TEXT_APART("name", CHANNEL_TOOL_NAME, n), TEXT_APART("arguments", CHANNEL_TOOL_ARGUMENTS, n),          \
		TEXT_APART("input", CHANNEL_TOOL_ARGUMENTS, (n) + 1),                                                  \
		TEXT_APART("code", CHANNEL_TOOL_ARGUMENTS, (n) + 2), ITEMS("content", ITEMS_TOOLS_PLACED, content),    \
		ITEMS("summary", ITEMS_TOOLS_PLACED, summary)

static const struct field event_part[] = { PART(8), {} };
static const struct field item_part[] = { PART(16), {} };
static const struct field item_summary[] = { SUMMARY(20), {} };
static const struct field event_item[] = { ITEM(24, item_part, item_summary), {} };
static const struct field output_part[] = { PART(32), {} };
static const struct field output_summary[] = { SUMMARY(36), {} };
static const struct field output_item[] = { ITEM(40, output_part, output_summary), {} };

static const struct field usage[] = {
	VALUE("input_tokens", TAP_PROMPT_TOKENS), VALUE("output_tokens", TAP_COMPLETION_TOKENS),
	VALUE("total_tokens", TAP_TOTAL_TOKENS),  PLAIN("input_tokens_details"),
	PLAIN("output_tokens_details"),           {},
};

static const struct field response[] = {
	TAPPED("id", TAP_ID),
	LABEL("object"),
	VALUE("created_at", TAP_CREATED),
	LABEL("status"),
	TAPPED("model", TAP_MODEL),
	ITEMS("output", ITEMS_CHOICES_PLACED, output_item),
	TEXT_APART("output_text", CHANNEL_CONTENT, 48),
	BELOW("usage", usage),
	{},
};

static const struct field event[] = {
	INDEX("output_index", ROLE_CHOICE),
	INDEX("content_index", ROLE_TOOL),
	{ KEY("summary_index"), .role = ROLE_TOOL, .variant = 1 },
	KIND("type", events),
	VALUE("sequence_number", TAP_SEQUENCE),
	TAPPED("item_id", TAP_CHOICE_ID),
	TEXT_BY_KIND("delta", 0),
	TEXT_BY_KIND("text", 1),
	TEXT_BY_KIND("refusal", 1),
	TEXT_BY_KIND("arguments", 1),
	TEXT_BY_KIND("code", 1),
	TEXT_BY_KIND("input", 1),
	TEXT_APART("name", CHANNEL_TOOL_NAME, 1),
	BELOW("part", event_part),
	BELOW("item", event_item),
	BELOW("response", response),
	BELOW("logprobs", openai_token),
	LABEL("obfuscation"),
	{},
};

static const struct field request[] = { TAPPED("model", TAP_MODEL), {} };

const struct dialect responses_dialects[] = {
	{ "openai.responses", METHOD_POST, "/v1/responses", ENDING_RESPONSES, false, request, event, response },
	{ "openai.responses", METHOD_GET, "/v1/responses/*", ENDING_RESPONSES, false, NULL, event, response },
	{ "openai.responses", METHOD_POST, "/v1/responses/*/cancel", ENDING_RESPONSES, false, NULL, event, response },
	{},
};
