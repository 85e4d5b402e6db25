/* SPDX-License-Identifier: Apache-2.0 */
/* refusal_openai.c - the words of chat completions, completions and responses. */
#include "enforce/refusal.h"

/* ---- chat completions, completions ---- */

/* {"id":…,"object":…,"created":…,"model":… without the closing brace. */
static int add_frame(struct buf *out, const struct refusal *r, const char *object)
{
	int err = refusal_add(out, "{\"id\":%J,\"object\":%J,\"created\":%L,\"model\":%J", r->id, slice_str(object),
	                      r->created, r->model);

	if (!err && r->fingerprint.len)
		err = refusal_add(out, ",\"system_fingerprint\":%J", r->fingerprint);
	return err;
}

static int add_usage(struct buf *out, const struct refusal *r)
{
	return refusal_add(out, ",\"usage\":{\"prompt_tokens\":%L,\"completion_tokens\":%L,\"total_tokens\":%L}",
	                   r->prompt_tokens, r->completion_tokens, r->total_tokens);
}

/* An event for each open choice, the usage if it was asked for, and the end mark. */
static int events(struct buf *out, const struct refusal *r, const char *object, const char *said)
{
	int err = 0;

	for (size_t i = 0; i < r->choice_count && !err; i++) {
		err = buf_add(out, SLICE("data: "));
		err = err ? err : add_frame(out, r, object);
		err = err ? err : refusal_add(out, ",\"choices\":[{\"index\":%L,", (uint64_t)r->choices[i]);
		err = err ? err
		          : buf_printf(out, "%s,\"logprobs\":null,\"finish_reason\":\"content_filter\"}]}\n\n", said);
	}
	if (!err && r->wants_usage) {
		err = buf_add(out, SLICE("data: "));
		err = err ? err : add_frame(out, r, object);
		err = err ? err : buf_add(out, SLICE(",\"choices\":[]"));
		err = err ? err : add_usage(out, r);
		err = err ? err : buf_add(out, SLICE("}\n\n"));
	}
	return err ? err : buf_add(out, SLICE("data: [DONE]\n\n"));
}

static int body(struct buf *out, const struct refusal *r, const char *object, const char *said)
{
	int err = add_frame(out, r, object);

	err = err ? err : buf_add(out, SLICE(",\"choices\":["));
	for (size_t i = 0; i < r->choice_count && !err; i++) {
		err = refusal_add(out, i ? ",{\"index\":%L," : "{\"index\":%L,", (uint64_t)r->choices[i]);
		err = err ? err : buf_printf(out, "%s,\"logprobs\":null,\"finish_reason\":\"content_filter\"}", said);
	}
	err = err ? err : buf_add(out, SLICE("]"));
	if (!err && r->has_usage)
		err = add_usage(out, r);
	return err ? err : buf_add(out, SLICE("}"));
}

static int chat_events(struct buf *out, const struct refusal *r)
{
	return events(out, r, "chat.completion.chunk", "\"delta\":{}");
}

static int chat_body(struct buf *out, const struct refusal *r)
{
	return body(out, r, "chat.completion", "\"message\":{\"role\":\"assistant\",\"content\":\"\"}");
}

static int completions_events(struct buf *out, const struct refusal *r)
{
	return events(out, r, "text_completion", "\"text\":\"\"");
}

static int completions_body(struct buf *out, const struct refusal *r)
{
	return body(out, r, "text_completion", "\"text\":\"\"");
}

const struct refusal_words refusal_chat = { chat_events, chat_body, refusal_openai_error, NULL };
const struct refusal_words refusal_completions = { completions_events, completions_body, refusal_openai_error, NULL };

/* ---- responses ---- */

/* An event under way: its name, its type and its number; what follows is the caller's, up to the closing brace. */
static int add_event(struct buf *out, const char *name, uint32_t *sequence)
{
	return refusal_add(out, "event: ")
	               ?: buf_printf(out, "%s\ndata: {\"type\":\"%s\",\"sequence_number\":%u", name, name,
	                             (*sequence)++);
}

static int add_response(struct buf *out, const struct refusal *r, const char *status, const char *why)
{
	int err = refusal_add(out, "{\"id\":%J,\"object\":\"response\",\"created_at\":%L,\"status\":%J,\"error\":null,",
	                      r->id, r->created, slice_str(status));

	err = err ? err : buf_printf(out, "\"incomplete_details\":%s,", why);
	err = err ? err
	          : refusal_add(out,
	                        "\"instructions\":null,\"metadata\":{},\"model\":%J,\"output\":[],"
	                        "\"parallel_tool_calls\":false,\"temperature\":null,\"tool_choice\":\"auto\","
	                        "\"tools\":[],\"top_p\":null",
	                        r->model);
	if (!err && r->has_usage)
		err = refusal_add(out,
		                  ",\"usage\":{\"input_tokens\":%L,\"input_tokens_details\":{\"cached_tokens\":0},"
		                  "\"output_tokens\":%L,\"output_tokens_details\":{\"reasoning_tokens\":0},"
		                  "\"total_tokens\":%L}",
		                  r->prompt_tokens, r->completion_tokens, r->total_tokens);
	return err ? err : buf_add(out, SLICE("}"));
}

#define FILTERED "{\"reason\":\"content_filter\"}"

/* What the item was, without its text: the client has that from the deltas. */
static int add_item(struct buf *out, const struct refusal_item *item)
{
	switch (item->what) {
	case TAP_CALL:
		return refusal_add(out,
		                   "{\"id\":%J,\"type\":\"function_call\",\"status\":\"incomplete\",\"call_id\":\"\","
		                   "\"name\":\"\",\"arguments\":\"\"}",
		                   item->id);
	case TAP_REASONING:
		return refusal_add(
			out,
			"{\"id\":%J,\"type\":\"reasoning\",\"status\":\"incomplete\",\"summary\":[],\"content\":[]}",
			item->id);
	default:
		return refusal_add(out,
		                   "{\"id\":%J,\"type\":\"message\",\"status\":\"incomplete\",\"role\":\"assistant\","
		                   "\"content\":[]}",
		                   item->id);
	}
}

static int close_item(struct buf *out, const struct refusal_item *item, uint32_t *sequence)
{
	int err = 0;

	if (item->part_open) {
		err = add_event(out, "response.content_part.done", sequence);
		err = err ? err
		          : refusal_add(
				    out,
				    ",\"item_id\":%J,\"output_index\":%L,\"content_index\":%L,\"part\":{\"type\":%J,"
				    "\"text\":\"\",\"annotations\":[]}}\n\n",
				    item->id, (uint64_t)item->index, (uint64_t)item->part,
				    item->what == TAP_REASONING ? SLICE("reasoning_text") : SLICE("output_text"));
	}
	err = err ? err : add_event(out, "response.output_item.done", sequence);
	err = err ? err : refusal_add(out, ",\"output_index\":%L,\"item\":", (uint64_t)item->index);
	err = err ? err : add_item(out, item);
	return err ? err : buf_add(out, SLICE("}\n\n"));
}

static int responses_events(struct buf *out, const struct refusal *r)
{
	uint32_t sequence = r->sequence;
	int err = 0;

	if (r->ended)
		return 0;
	if (!r->begun) {
		err = add_event(out, "response.created", &sequence);
		err = err ? err : buf_add(out, SLICE(",\"response\":"));
		err = err ? err : add_response(out, r, "in_progress", "null");
		err = err ? err : buf_add(out, SLICE("}\n\n"));
	}
	for (size_t i = 0; i < r->item_count && !err; i++)
		err = close_item(out, &r->items[i], &sequence);
	err = err ? err : add_event(out, "response.incomplete", &sequence);
	err = err ? err : buf_add(out, SLICE(",\"response\":"));
	err = err ? err : add_response(out, r, "incomplete", FILTERED);
	return err ? err : buf_add(out, SLICE("}\n\n"));
}

static int responses_body(struct buf *out, const struct refusal *r)
{
	return add_response(out, r, "incomplete", FILTERED);
}

static int responses_error(struct buf *out, const struct refusal *r)
{
	int err;

	/* In place of an answer an error is the API's common one; in a stream it is an event of its own. */
	if (!r->begun)
		return refusal_openai_error(out, r);
	err = refusal_add(out, "{\"type\":\"error\",\"sequence_number\":%L,\"code\":%J,\"message\":\"",
	                  (uint64_t)r->sequence, slice_str(refusal_error_code(r)));
	err = err ? err : refusal_error_text(out, r);
	return err ? err : buf_add(out, SLICE("\",\"param\":null}"));
}

const struct refusal_words refusal_responses = { responses_events, responses_body, responses_error, "error" };
