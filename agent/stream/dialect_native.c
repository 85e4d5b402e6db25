/* SPDX-License-Identifier: Apache-2.0 */
/* dialect_native.c - what servers speak besides the APIs of others: TGI and SGLang, which share a path, and llama.cpp.
 */
#include "stream/field.h"

/* ---- TGI: a token an event, the whole text with the last; SGLang: all of the text in each event ---- */

static const struct field tgi_token[] = {
	PLAIN("id"), TEXT("text", CHANNEL_CONTENT), PLAIN("logprob"), PLAIN("special"), {},
};

static const struct field tgi_listed[] = {
	PLAIN("id"), TEXT("text", CHANNEL_LOGPROBS), PLAIN("logprob"), PLAIN("special"), {},
};

static const struct field tgi_prefill[] = {
	PLAIN("id"),
	TEXT_APART("text", CHANNEL_LOGPROBS, 1),
	PLAIN("logprob"),
	{},
};

static const struct field tgi_top_token[] = {
	PLAIN("id"), TEXT_APART("text", CHANNEL_LOGPROBS, 2), PLAIN("logprob"), PLAIN("special"), {},
};

static const struct field tgi_sequence[] = {
	TEXT_APART("generated_text", CHANNEL_CONTENT, 2),
	LABEL("finish_reason"),
	PLAIN("generated_tokens"),
	PLAIN("seed"),
	BELOW("prefill", tgi_prefill),
	BELOW("tokens", tgi_listed),
	BELOW("top_tokens", tgi_top_token),
	{},
};

static const struct field tgi_details[] = {
	TAPPED("finish_reason", TAP_FINISH),
	VALUE("generated_tokens", TAP_OUTPUT_TOKENS),
	VALUE("input_length", TAP_INPUT_TOKENS),
	PLAIN("seed"),
	BELOW("prefill", tgi_prefill),
	BELOW("tokens", tgi_listed),
	BELOW("top_tokens", tgi_top_token),
	ITEMS("best_of_sequences", ITEMS_TOOLS_PLACED, tgi_sequence),
	{},
};

#define PLACED(name, of, n)                                                                                            \
	{                                                                                                              \
		KEY(name), .role = ROLE_TEXT, .channel = of, .variant = n, .placed = true                              \
	}

/* How it ended: {"type": …}. */
static const struct field sglang_finish[] = {
	{ KEY("type"), .role = ROLE_LABEL, .tap = TAP_FINISH, .placed = true }, LABEL("matched"), PLAIN("length"), {}
};

static const struct field sglang_meta[] = {
	TAPPED("id", TAP_ID),
	BELOW("finish_reason", sglang_finish),
	VALUE("prompt_tokens", TAP_INPUT_TOKENS),
	VALUE("completion_tokens", TAP_OUTPUT_TOKENS),
	PLAIN("cached_tokens"),
	PLAIN("e2e_latency"),
	LABEL("weight_version"),
	PLACED("output_token_logprobs", CHANNEL_LOGPROBS, 3),
	PLACED("input_token_logprobs", CHANNEL_LOGPROBS, 4),
	PLACED("output_top_logprobs", CHANNEL_LOGPROBS, 5),
	PLACED("input_top_logprobs", CHANNEL_LOGPROBS, 6),
	{},
};

#define GENERATE                                                                                                       \
	BELOW("token", tgi_token), TEXT_APART("generated_text", CHANNEL_CONTENT, 1), BELOW("details", tgi_details),    \
		BELOW("top_tokens", tgi_top_token), { KEY("text"),  .role = ROLE_TEXT, .channel = CHANNEL_CONTENT,     \
		                                      .variant = 3, .again = true,     .placed = true },               \
		IDS("output_ids"), BELOW("meta_info", sglang_meta)

/* TGI's `index` counts tokens; SGLang's says which of several texts the event is about, and stands behind it. */
static const struct field generate[] = { { KEY("index"), .role = ROLE_CHOICE, .loose = true }, GENERATE, {} };

static const struct field generate_request[] = { TAPPED("model", TAP_MODEL), {} };

/* ---- llama.cpp ---- */

#define LLAMA                                                                                                          \
	TEXT("content", CHANNEL_CONTENT), IDS("tokens"), VALUE("stop", TAP_DONE), TAPPED("model", TAP_MODEL),          \
		BELOW("completion_probabilities", openai_token), BELOW("probs", openai_token),                         \
		TEXT_ASKED("prompt", 1), LABEL("stop_type"), LABEL("stopping_word"), PLAIN("id_slot"),                 \
		PLAIN("generation_settings"), PLAIN("timings"), PLAIN("truncated"), PLAIN("has_new_line"),             \
		VALUE("tokens_predicted", TAP_OUTPUT_TOKENS), VALUE("tokens_evaluated", TAP_INPUT_TOKENS),             \
		PLAIN("tokens_cached")

static const struct field llama_event[] = { INDEX("index", ROLE_CHOICE), LLAMA, {} };
static const struct field llama_whole[] = { PLAIN("index"), LLAMA, {} };

/* ---- text without generation ---- */

/* Ids of a text that the client has are no way around us. */
static const struct field piece[] = { PLAIN("id"), TEXT("piece", CHANNEL_LOGPROBS), {} };

static const struct field utility[] = {
	TEXT_ASKED("content", 0),
	TEXT_ASKED("prompt", 0),
	BELOW("tokens", piece),
	{},
};

const struct dialect native_dialects[] = {
	{ "generate", METHOD_POST, "/generate", ENDING_GENERATE, false, generate_request, generate, generate },
	{ "generate", METHOD_POST, "/generate_stream", ENDING_GENERATE, false, NULL, generate, generate },
	{ "generate", METHOD_POST, "^/", ENDING_GENERATE, false, NULL, generate, generate },
	{ "llama.completion", METHOD_POST, "/completion", ENDING_LLAMA, false, generate_request, llama_event,
	  llama_whole },
	{ "llama.completion", METHOD_POST, "^/completions", ENDING_LLAMA, false, generate_request, llama_event,
	  llama_whole },
	{ "llama.completion", METHOD_POST, "/infill", ENDING_LLAMA, false, generate_request, llama_event, llama_whole },
	{ "tokens", METHOD_POST, "/detokenize", ENDING_GENERIC, false, NULL, utility, utility },
	{ "tokens", METHOD_POST, "/tokenize", ENDING_GENERIC, false, NULL, utility, utility },
	{ "tokens", METHOD_POST, "/apply-template", ENDING_GENERIC, false, NULL, utility, utility },
	{},
};
