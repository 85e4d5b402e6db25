/* SPDX-License-Identifier: Apache-2.0 */
/* refusal.h - what the files of refusals share; private to enforce. */
#pragma once

#include "enforce/enforce.h"

/* One API's words. NULL: it has none, an error says it. */
struct refusal_words {
	int (*events)(struct buf *out, const struct refusal *r); /* that end a stream of events */
	int (*body)(struct buf *out, const struct refusal *r); /* a JSON message in place of the answer, or behind it */
	int (*error)(struct buf *out, const struct refusal *r); /* a JSON message: an exception, or what has no words */
	const char *error_event;                                /* the name of the event it comes in; NULL: none */
};

extern const struct refusal_words refusal_chat, refusal_completions, refusal_responses, refusal_anthropic,
	refusal_ollama_chat, refusal_ollama_generate, refusal_generate, refusal_llama, refusal_triton;

/* `format` with each %J the next slice as a JSON string, quotes and all, and each %L the next uint64_t; of the server's
 * strings nothing can leave its quotes. 0 or -errno of buf_add. */
int refusal_add(struct buf *out, const char *format, ...);

/* "The answer was withheld: …", for people; what was refused, in one word. */
int refusal_error_text(struct buf *out, const struct refusal *r);
const char *refusal_error_code(const struct refusal *r);

/* {"error":{…}} as the OpenAI API has it; other APIs' clients show it as text. */
int refusal_openai_error(struct buf *out, const struct refusal *r);
