/* SPDX-License-Identifier: Apache-2.0 */
/* refusal_native.c - the words of servers' own APIs: Ollama, TGI, SGLang, llama.cpp, Triton. */
#include "enforce/refusal.h"

/* {"error":"…" without the closing brace. */
static int add_error(struct buf *out, const struct refusal *r)
{
	int err = buf_add(out, SLICE("{\"error\":\""));

	err = err ? err : refusal_error_text(out, r);
	return err ? err : buf_add(out, SLICE("\""));
}

static int plain_error(struct buf *out, const struct refusal *r)
{
	int err = add_error(out, r);

	return err ? err : buf_add(out, SLICE("}"));
}

/* The message as the one event that ends a stream. */
static int one_event(struct buf *out, const struct refusal *r, int (*message)(struct buf *out, const struct refusal *r))
{
	int err = buf_add(out, SLICE("data: "));

	err = err ? err : message(out, r);
	return err ? err : buf_add(out, SLICE("\n\n"));
}

/* ---- Ollama: clients want a time that can be read ---- */

static int ollama(struct buf *out, const struct refusal *r, const char *said)
{
	int err = refusal_add(out, "{\"model\":%J,\"created_at\":%J,", r->model,
	                      r->time.len ? r->time : SLICE("1970-01-01T00:00:00Z"));

	err = err ? err : buf_printf(out, "%s,\"done\":true,\"done_reason\":\"content_filter\"", said);
	if (!err && r->has_usage)
		err = refusal_add(out, ",\"prompt_eval_count\":%L,\"eval_count\":%L", r->prompt_tokens,
		                  r->completion_tokens);
	return err ? err : buf_add(out, SLICE("}"));
}

static int ollama_chat(struct buf *out, const struct refusal *r)
{
	return ollama(out, r, "\"message\":{\"role\":\"assistant\",\"content\":\"\"}");
}

static int ollama_generate(struct buf *out, const struct refusal *r)
{
	return ollama(out, r, "\"response\":\"\"");
}

static int ollama_chat_event(struct buf *out, const struct refusal *r)
{
	return one_event(out, r, ollama_chat);
}

static int ollama_generate_event(struct buf *out, const struct refusal *r)
{
	return one_event(out, r, ollama_generate);
}

const struct refusal_words refusal_ollama_chat = { ollama_chat_event, ollama_chat, plain_error, NULL };
const struct refusal_words refusal_ollama_generate = { ollama_generate_event, ollama_generate, plain_error, NULL };

/* ---- /generate: SGLang names its answers, TGI does not ---- */

static bool is_sglang(const struct refusal *r)
{
	return r->id.len;
}

static int sglang(struct buf *out, const struct refusal *r)
{
	return refusal_add(out,
	                   "{\"text\":\"\",\"meta_info\":{\"id\":%J,\"finish_reason\":{\"type\":\"content_filter\"},"
	                   "\"prompt_tokens\":%L,\"completion_tokens\":%L}}",
	                   r->id, r->prompt_tokens, r->completion_tokens);
}

#define TGI_DETAILS "\"details\":{\"finish_reason\":\"content_filter\",\"generated_tokens\":%L,\"seed\":null"

static int generate_events(struct buf *out, const struct refusal *r)
{
	int err;

	if (is_sglang(r)) {
		err = one_event(out, r, sglang);
		return err ? err : buf_add(out, SLICE("data: [DONE]\n\n"));
	}
	return refusal_add(out,
	                   "data:{\"index\":%L,\"token\":{\"id\":0,\"text\":\"\",\"logprob\":0.0,\"special\":true},"
	                   "\"generated_text\":\"\"," TGI_DETAILS ",\"input_length\":%L}}\n\n",
	                   r->completion_tokens, r->completion_tokens, r->prompt_tokens);
}

static int generate_body(struct buf *out, const struct refusal *r)
{
	if (is_sglang(r))
		return sglang(out, r);
	return refusal_add(out, "{\"generated_text\":\"\"," TGI_DETAILS ",\"prefill\":[],\"tokens\":[]}}",
	                   r->completion_tokens);
}

static int generate_error(struct buf *out, const struct refusal *r)
{
	int err = add_error(out, r);

	return err ? err : refusal_add(out, ",\"error_type\":%J}", slice_str(refusal_error_code(r)));
}

const struct refusal_words refusal_generate = { generate_events, generate_body, generate_error, NULL };

/* ---- llama.cpp ---- */

static int llama(struct buf *out, const struct refusal *r)
{
	return refusal_add(
		out,
		"{\"index\":%L,\"content\":\"\",\"tokens\":[],\"stop\":true,\"model\":%J,\"tokens_predicted\":%L,"
		"\"tokens_evaluated\":%L,\"stop_type\":\"word\",\"stopping_word\":\"\",\"truncated\":false}",
		(uint64_t)(r->choice_count ? r->choices[0] : 0), r->model, r->completion_tokens, r->prompt_tokens);
}

static int llama_events(struct buf *out, const struct refusal *r)
{
	struct refusal one = *r;
	int err = 0;

	for (size_t i = 0; i < r->choice_count && !err; i++) {
		one.choices = &r->choices[i];
		one.choice_count = 1;
		err = one_event(out, &one, llama);
	}
	return err;
}

const struct refusal_words refusal_llama = { llama_events, llama, refusal_openai_error, NULL };

/* ---- Triton: the model names its outputs, so there is no answer that we could write ---- */

const struct refusal_words refusal_triton = { .error = plain_error };
