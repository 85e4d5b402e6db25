/* SPDX-License-Identifier: Apache-2.0 */
/* dialect_ollama.c - Ollama's own API, which SGLang serves, too: one JSON object behind the other, streamed unless the
 * request says otherwise. `context` is the whole conversation as token ids. */
#include "stream/field.h"

static const struct field function[] = {
	TEXT("name", CHANNEL_TOOL_NAME),
	PLAIN("arguments"),
	PLAIN("index"),
	{},
};

static const struct field tool_call[] = { LABEL("id"), BELOW("function", function), {} };

static const struct field said[] = {
	LABEL("role"),
	TEXT("content", CHANNEL_CONTENT),
	TEXT("thinking", CHANNEL_REASONING),
	BELOW("tool_calls", tool_call),
	LABEL("tool_name"),
	{},
};

#define FRAME                                                                                                          \
	TAPPED("model", TAP_MODEL), TAPPED("created_at", TAP_TIME), VALUE("done", TAP_DONE), LABEL("done_reason"),     \
		IDS("context"), PLAIN("total_duration"), PLAIN("load_duration"),                                       \
		VALUE("prompt_eval_count", TAP_INPUT_TOKENS), PLAIN("prompt_eval_duration"),                           \
		VALUE("eval_count", TAP_OUTPUT_TOKENS), PLAIN("eval_duration"), BELOW("logprobs", openai_token)

static const struct field generate[] = {
	TEXT("response", CHANNEL_CONTENT),
	TEXT("thinking", CHANNEL_REASONING),
	FRAME,
	{},
};

static const struct field chat[] = { BELOW("message", said), FRAME, {} };

static const struct field request[] = { TAPPED("model", TAP_MODEL), {} };

const struct dialect ollama_dialects[] = {
	{ "ollama.generate", METHOD_POST, "/api/generate", ENDING_OLLAMA_GENERATE, true, request, generate, generate },
	{ "ollama.chat", METHOD_POST, "/api/chat", ENDING_OLLAMA_CHAT, true, request, chat, chat },
	{},
};
