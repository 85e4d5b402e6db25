/* SPDX-License-Identifier: Apache-2.0 */
/* refusal_messages.c - the words of Anthropic's Messages API. */
#include "enforce/refusal.h"

static int add_message(struct buf *out, const struct refusal *r, const char *stop)
{
	int err = refusal_add(out,
	                      "{\"id\":%J,\"type\":\"message\",\"role\":\"assistant\",\"model\":%J,\"content\":[],"
	                      "\"stop_reason\":",
	                      r->id, r->model);

	err = err ? err : buf_printf(out, "%s,\"stop_sequence\":null,", stop);
	return err ? err
	           : refusal_add(out, "\"usage\":{\"input_tokens\":%L,\"output_tokens\":%L}}", r->prompt_tokens,
	                         r->completion_tokens);
}

/* Each open block is closed, a tool's with what it has of its input, and the message stops for a refusal. */
static int events(struct buf *out, const struct refusal *r)
{
	int err = 0;

	if (!r->begun) {
		err = buf_add(out, SLICE("event: message_start\ndata: {\"type\":\"message_start\",\"message\":"));
		err = err ? err : add_message(out, r, "null");
		err = err ? err : buf_add(out, SLICE("}\n\n"));
	}
	for (size_t i = 0; i < r->item_count && !err; i++)
		err = refusal_add(out,
		                  "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":%L}\n\n",
		                  (uint64_t)r->items[i].index);
	if (!r->ended && !err)
		err = refusal_add(out,
		                  "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
		                  "\"refusal\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":%L}}\n\n",
		                  r->completion_tokens);
	return err ? err : buf_add(out, SLICE("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

static int body(struct buf *out, const struct refusal *r)
{
	return add_message(out, r, "\"refusal\"");
}

static int error(struct buf *out, const struct refusal *r)
{
	int err = refusal_add(out, "{\"type\":\"error\",\"error\":{\"type\":%J,\"message\":\"",
	                      slice_str(refusal_error_code(r)));

	err = err ? err : refusal_error_text(out, r);
	return err ? err : buf_add(out, SLICE("\"}}"));
}

const struct refusal_words refusal_anthropic = { events, body, error, "error" };
