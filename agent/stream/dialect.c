/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect.c - the APIs we know, as tables. Adding a field is adding a row; adding an API is adding tables.
 *
 * A field that stands in no table is not passed unread: its strings are CHANNEL_OTHER, its keys CHANNEL_KEY. A row says
 * only which texts belong together, what may be remembered, and which strings are names and not prose.
 */
#include "stream/field.h"

#define TEXT(name, of)                                                                                                 \
	{                                                                                                              \
		.key = name, .role = ROLE_TEXT, .channel = of                                                          \
	}
/* A text apart from others of its channel: servers send the same words under old and new names side by side. */
#define TEXT_APART(name, of, n)                                                                                        \
	{                                                                                                              \
		.key = name, .role = ROLE_TEXT, .channel = of, .variant = n                                            \
	}
#define LABEL(name)                                                                                                    \
	{                                                                                                              \
		.key = name, .role = ROLE_LABEL                                                                        \
	}
#define TAPPED(name, t)                                                                                                \
	{                                                                                                              \
		.key = name, .role = ROLE_LABEL, .tap = t                                                              \
	}
#define VALUE(name, t)                                                                                                 \
	{                                                                                                              \
		.key = name, .role = ROLE_VALUE, .tap = t                                                              \
	}

const char *const channel_names[CHANNEL_COUNT] = {
	[CHANNEL_NONE] = "none",       [CHANNEL_CONTENT] = "content",     [CHANNEL_REASONING] = "reasoning",
	[CHANNEL_REFUSAL] = "refusal", [CHANNEL_TOOL_NAME] = "tool_name", [CHANNEL_TOOL_ARGUMENTS] = "tool_arguments",
	[CHANNEL_TEXT] = "text",       [CHANNEL_LABEL] = "label",         [CHANNEL_OTHER] = "other",
	[CHANNEL_KEY] = "key",         [CHANNEL_HEADER] = "header",
};

/* ---- OpenAI chat completions: OpenAI, vLLM, SGLang, llama.cpp, TGI, Ollama /v1, Triton's front end ---- */

static const struct field openai_function[] = {
	TEXT("name", CHANNEL_TOOL_NAME),
	TEXT("arguments", CHANNEL_TOOL_ARGUMENTS),
	{},
};

/* From before there were tools. */
static const struct field openai_function_call[] = {
	TEXT_APART("name", CHANNEL_TOOL_NAME, 1),
	TEXT_APART("arguments", CHANNEL_TOOL_ARGUMENTS, 1),
	{},
};

static const struct field openai_tool_call[] = {
	{ .key = "index", .role = ROLE_TOOL },           LABEL("id"), LABEL("type"),
	{ .key = "function", .below = openai_function }, {},
};

/* A part of a content that is an array, in place of a string. */
static const struct field openai_content_part[] = {
	LABEL("type"),
	TEXT("text", CHANNEL_CONTENT),
	TEXT_APART("refusal", CHANNEL_REFUSAL, 1),
	TEXT_APART("thinking", CHANNEL_REASONING, 2),
	{},
};

#define OPENAI_TEXTS(tool_items)                                                                                       \
	LABEL("role"),                                                                                                 \
		{ .key = "content", .role = ROLE_TEXT, .channel = CHANNEL_CONTENT, .below = openai_content_part },     \
		TEXT("reasoning_content", CHANNEL_REASONING), TEXT_APART("reasoning", CHANNEL_REASONING, 1),           \
		TEXT("refusal", CHANNEL_REFUSAL), { .key = "function_call", .below = openai_function_call },           \
	{                                                                                                              \
		.key = "tool_calls", .items = tool_items, .below = openai_tool_call                                    \
	}

static const struct field openai_delta[] = { OPENAI_TEXTS(ITEMS_TOOLS), {} };
static const struct field openai_message[] = { OPENAI_TEXTS(ITEMS_TOOLS_PLACED), {} };

static const struct field openai_chunk_choice[] = {
	{ .key = "index", .role = ROLE_CHOICE },
	{ .key = "delta", .below = openai_delta },
	TAPPED("finish_reason", TAP_FINISH),
	LABEL("stop_reason"),
	{ .key = "logprobs" },
	{ .key = "matched_stop" },
	{ .key = "token_ids" },
	{},
};

static const struct field openai_whole_choice[] = {
	{ .key = "index" },
	{ .key = "message", .below = openai_message },
	TAPPED("finish_reason", TAP_FINISH),
	LABEL("stop_reason"),
	{ .key = "logprobs" },
	{ .key = "matched_stop" },
	{ .key = "token_ids" },
	{},
};

/* Numbers only; the rows keep their names from being read as text. */
static const struct field openai_usage_details[] = {
	{ .key = "cached_tokens" },
	{ .key = "audio_tokens" },
	{ .key = "reasoning_tokens" },
	{ .key = "accepted_prediction_tokens" },
	{ .key = "rejected_prediction_tokens" },
	{},
};

static const struct field openai_usage[] = {
	VALUE("prompt_tokens", TAP_PROMPT_TOKENS),
	VALUE("completion_tokens", TAP_COMPLETION_TOKENS),
	VALUE("total_tokens", TAP_TOTAL_TOKENS),
	{ .key = "prompt_tokens_details", .below = openai_usage_details },
	{ .key = "completion_tokens_details", .below = openai_usage_details },
	{ .key = "reasoning_tokens" },
	{},
};

#define OPENAI_FRAME                                                                                                   \
	TAPPED("id", TAP_ID), LABEL("object"), VALUE("created", TAP_CREATED), TAPPED("model", TAP_MODEL),              \
		TAPPED("system_fingerprint", TAP_FINGERPRINT), LABEL("service_tier"),                                  \
		{ .key = "usage", .below = openai_usage },                                                             \
	{                                                                                                              \
		.key = "prompt_logprobs"                                                                               \
	}

static const struct field openai_chunk[] = {
	OPENAI_FRAME,
	{ .key = "choices", .items = ITEMS_CHOICES, .below = openai_chunk_choice },
	{},
};

static const struct field openai_whole[] = {
	OPENAI_FRAME,
	{ .key = "choices", .items = ITEMS_CHOICES_PLACED, .below = openai_whole_choice },
	{},
};

static const struct field openai_request[] = {
	TAPPED("model", TAP_MODEL),
	VALUE("n", TAP_N),
	{},
};

/* ---- whatever is in no other table: choices are told apart, all strings are text ---- */

static const struct field generic_choice[] = { { .key = "index", .role = ROLE_CHOICE }, {} };
static const struct field generic_message[] = {
	{ .key = "choices", .items = ITEMS_CHOICES, .below = generic_choice },
	{},
};

static const struct field generic_whole_choice[] = { { .key = "index" }, {} };
static const struct field generic_whole[] = {
	{ .key = "choices", .items = ITEMS_CHOICES_PLACED, .below = generic_whole_choice },
	{},
};

static const struct dialect dialects[] = {
	{ "openai.chat", "/chat/completions", ENDING_OPENAI_CHAT, openai_request, openai_chunk, openai_whole },
	{ "generic", NULL, ENDING_GENERIC, NULL, generic_message, generic_whole },
};

const struct dialect *dialect_of(struct slice method, struct slice path)
{
	const struct dialect *d = dialects;

	for (; d->path; d++) {
		size_t len = strlen(d->path);

		if (slice_is(method, SLICE("POST")) && path.len >= len &&
		    !memcmp(path.at + path.len - len, d->path, len))
			break;
	}
	return d;
}
