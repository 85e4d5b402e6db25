/* SPDX-License-Identifier: Apache-2.0 */
/* dialect_openai.c - chat completions and completions as OpenAI has them, and those who imitate it: vLLM, SGLang,
 * llama.cpp, TGI, Ollama, Triton's front end. Rows that only one of them sends stand among the others. */
#include "stream/field.h"

/* ---- tokens beside the text they are of ---- */

static const struct field openai_top_token[] = {
	TEXT_APART("token", CHANNEL_LOGPROBS, 1),
	TEXT_APART("bytes", CHANNEL_LOGPROBS, 1),
	PLAIN("logprob"),
	PLAIN("id"),
	PLAIN("prob"),
	{},
};

const struct field openai_token[] = {
	TEXT("token", CHANNEL_LOGPROBS),
	TEXT("bytes", CHANNEL_LOGPROBS),
	PLAIN("logprob"),
	BELOW("top_logprobs", openai_top_token),
	PLAIN("id"),
	PLAIN("prob"),
	BELOW("top_probs", openai_top_token),
	{},
};

static const struct field openai_refusal_token[] = {
	TEXT_APART("token", CHANNEL_LOGPROBS, 2),
	TEXT_APART("bytes", CHANNEL_LOGPROBS, 2),
	PLAIN("logprob"),
	BELOW("top_logprobs", openai_top_token),
	{},
};

/* Of completions: arrays side by side, and text as the keys of objects. */
static const struct field openai_logprobs[] = {
	BELOW("content", openai_token),
	BELOW("refusal", openai_refusal_token),
	TEXT_APART("tokens", CHANNEL_LOGPROBS, 3),
	{ KEY("top_logprobs"), .variant = 4, .keys = true },
	PLAIN("token_logprobs"),
	PLAIN("text_offset"),
	{},
};

/* An array of objects by token id, each with the token's text. */
static const struct field openai_prompt_token[] = {
	TEXT_APART("decoded_token", CHANNEL_LOGPROBS, 5),
	PLAIN("logprob"),
	PLAIN("rank"),
	{},
};
static const struct field openai_prompt_tokens[] = { BELOW("", openai_prompt_token), {} };
#define PROMPT_LOGPROBS                                                                                                \
	{                                                                                                              \
		KEY("prompt_logprobs"), .each = openai_prompt_tokens                                                   \
	}

#define OPENAI_ECHO                                                                                                    \
	PROMPT_LOGPROBS, IDS("prompt_token_ids"), PLAIN("prompt_text"), PLAIN("kv_transfer_params"),                   \
		PLAIN("routed_experts")

/* ---- what a choice says ---- */

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

static const struct field openai_custom_tool[] = {
	TEXT_APART("name", CHANNEL_TOOL_NAME, 2),
	TEXT_APART("input", CHANNEL_TOOL_ARGUMENTS, 2),
	{},
};

static const struct field openai_tool_call[] = {
	INDEX("index", ROLE_TOOL),           LABEL("id"), LABEL("type"), BELOW("function", openai_function),
	BELOW("custom", openai_custom_tool), {},
};

/* A part of a content that is an array, in place of a string. */
static const struct field openai_content_part[] = {
	LABEL("type"),
	TEXT("text", CHANNEL_CONTENT),
	TEXT_APART("refusal", CHANNEL_REFUSAL, 1),
	TEXT_APART("thinking", CHANNEL_REASONING, 2),
	{},
};

static const struct field openai_audio[] = {
	LABEL("id"), PLAIN("data"), TEXT_APART("transcript", CHANNEL_CONTENT, 1), PLAIN("expires_at"), {},
};

static const struct field openai_url_citation[] = {
	LABEL("url"), LABEL("title"), PLAIN("start_index"), PLAIN("end_index"), {},
};

static const struct field openai_annotation[] = {
	LABEL("type"),
	BELOW("url_citation", openai_url_citation),
	{},
};

#define OPENAI_TEXTS(tool_items)                                                                                       \
	LABEL("role"),                                                                                                 \
		{ KEY("content"), .role = ROLE_TEXT, .channel = CHANNEL_CONTENT, .below = openai_content_part },       \
		TEXT("reasoning_content", CHANNEL_REASONING), TEXT_APART("reasoning", CHANNEL_REASONING, 1),           \
		TEXT("refusal", CHANNEL_REFUSAL), BELOW("function_call", openai_function_call),                        \
		ITEMS("tool_calls", tool_items, openai_tool_call), BELOW("audio", openai_audio),                       \
		BELOW("annotations", openai_annotation)

static const struct field openai_delta[] = { OPENAI_TEXTS(ITEMS_TOOLS), {} };
static const struct field openai_message[] = { OPENAI_TEXTS(ITEMS_TOOLS_PLACED), {} };

#define OPENAI_CHOICE                                                                                                  \
	TAPPED("finish_reason", TAP_FINISH), LABEL("stop_reason"), BELOW("logprobs", openai_logprobs),                 \
		LABEL("matched_stop"), IDS("token_ids"), IDS("prompt_token_ids"), PLAIN("hidden_states")

static const struct field openai_chunk_choice[] = {
	INDEX("index", ROLE_CHOICE),
	BELOW("delta", openai_delta),
	OPENAI_CHOICE,
	{},
};

static const struct field openai_whole_choice[] = {
	PLAIN("index"),
	BELOW("message", openai_message),
	OPENAI_CHOICE,
	{},
};

/* Numbers only; the rows keep their names from being read as text. */
static const struct field openai_usage_details[] = {
	PLAIN("cached_tokens"),
	PLAIN("audio_tokens"),
	PLAIN("reasoning_tokens"),
	PLAIN("accepted_prediction_tokens"),
	PLAIN("rejected_prediction_tokens"),
	{},
};

const struct field openai_usage[] = {
	VALUE("prompt_tokens", TAP_PROMPT_TOKENS),
	VALUE("completion_tokens", TAP_COMPLETION_TOKENS),
	VALUE("total_tokens", TAP_TOTAL_TOKENS),
	BELOW("prompt_tokens_details", openai_usage_details),
	BELOW("completion_tokens_details", openai_usage_details),
	PLAIN("reasoning_tokens"),
	{},
};

/* llama.cpp's word on how fast it was. */
static const struct field llama_timings[] = {
	PLAIN("cache_n"),
	PLAIN("prompt_n"),
	PLAIN("prompt_ms"),
	PLAIN("prompt_per_token_ms"),
	PLAIN("prompt_per_second"),
	PLAIN("predicted_n"),
	PLAIN("predicted_ms"),
	PLAIN("predicted_per_token_ms"),
	PLAIN("predicted_per_second"),
	{},
};

/* What stands in each event comes first. */
#define OPENAI_FRAME(choices)                                                                                          \
	TAPPED("id", TAP_ID), LABEL("object"), VALUE("created", TAP_CREATED), TAPPED("model", TAP_MODEL), choices,     \
		TAPPED("system_fingerprint", TAP_FINGERPRINT), LABEL("service_tier"), BELOW("usage", openai_usage),    \
		LABEL("obfuscation"), BELOW("timings", llama_timings), OPENAI_ECHO

static const struct field openai_chunk[] = {
	OPENAI_FRAME(ITEMS("choices", ITEMS_CHOICES, openai_chunk_choice)),
	{},
};

static const struct field openai_whole[] = {
	OPENAI_FRAME(ITEMS("choices", ITEMS_CHOICES_PLACED, openai_whole_choice)),
	{},
};

static const struct field openai_stream_options[] = {
	VALUE("include_usage", TAP_WANTS_USAGE),
	{},
};

static const struct field openai_request[] = {
	TAPPED("model", TAP_MODEL),
	VALUE("n", TAP_N),
	BELOW("stream_options", openai_stream_options),
	{},
};

/* ---- completions ---- */

#define COMPLETIONS_CHOICE TEXT("text", CHANNEL_CONTENT), OPENAI_CHOICE, PROMPT_LOGPROBS

static const struct field completions_chunk_choice[] = { INDEX("index", ROLE_CHOICE), COMPLETIONS_CHOICE, {} };
static const struct field completions_whole_choice[] = { PLAIN("index"), COMPLETIONS_CHOICE, {} };

static const struct field completions_chunk[] = {
	OPENAI_FRAME(ITEMS("choices", ITEMS_CHOICES, completions_chunk_choice)),
	{},
};

static const struct field completions_whole[] = {
	OPENAI_FRAME(ITEMS("choices", ITEMS_CHOICES_PLACED, completions_whole_choice)),
	{},
};

/* ---- lists: models, and vectors, which are numbers ---- */

static const struct field models_item[] = {
	LABEL("id"), LABEL("object"), PLAIN("created"), LABEL("owned_by"), LABEL("root"), LABEL("parent"), {},
};

static const struct field models_whole[] = {
	LABEL("object"),
	BELOW("data", models_item),
	{},
};

static const struct field embeddings_item[] = {
	LABEL("object"),
	PLAIN("index"),
	LABEL("embedding"),
	{},
};

static const struct field embeddings_whole[] = {
	LABEL("object"),
	BELOW("data", embeddings_item),
	TAPPED("model", TAP_MODEL),
	BELOW("usage", openai_usage),
	TAPPED("id", TAP_ID),
	VALUE("created", TAP_CREATED),
	{},
};

const struct dialect openai_dialects[] = {
	{ "openai.chat", METHOD_POST, "/chat/completions", ENDING_OPENAI_CHAT, false, openai_request, openai_chunk,
	  openai_whole },
	{ "vllm.generate", METHOD_POST, "/inference/v1/generate", ENDING_GENERIC, false, NULL, completions_chunk,
	  completions_whole },
	{ "openai.completions", METHOD_POST, "/*/completions", ENDING_COMPLETIONS, false, openai_request,
	  completions_chunk, completions_whole },
	{ "openai.models", METHOD_GET, "/v1/models", ENDING_GENERIC, false, NULL, models_whole, models_whole },
	{ "openai.embeddings", METHOD_POST, "/v1/embeddings", ENDING_GENERIC, false, NULL, embeddings_whole,
	  embeddings_whole },
	{},
};
