/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal.c - what a client is told when an answer is cut or replaced.
 *
 * A refusal is valid in its API and tells an SDK not to try again: an end without a finish reason would be taken for a
 * whole answer, and a reset makes agents ask again (reference: wire formats, sections 1 and 4).
 */
#include "enforce/enforce.h"

#include <inttypes.h>

static int add_string(struct buf *out, struct slice s)
{
	int err = buf_add(out, SLICE("\""));

	for (size_t i = 0; i < s.len && !err; i++) {
		if (s.at[i] == '"' || s.at[i] == '\\' || s.at[i] < 0x20)
			err = buf_printf(out, "\\u%04x", s.at[i]);
		else
			err = buf_add(out, slice_of(s.at + i, 1));
	}
	return err ? err : buf_add(out, SLICE("\""));
}

/* {"id":…,"object":…,"created":…,"model":… without the closing brace. */
static int add_openai_frame(struct buf *out, const struct refusal *r, const char *object)
{
	int err = buf_add(out, SLICE("{\"id\":"));

	err = err ? err : add_string(out, r->id);
	err = err ? err : buf_printf(out, ",\"object\":\"%s\",\"created\":%" PRIu64 ",\"model\":", object, r->created);
	err = err ? err : add_string(out, r->model);
	if (!err && r->fingerprint.len) {
		err = buf_add(out, SLICE(",\"system_fingerprint\":"));
		err = err ? err : add_string(out, r->fingerprint);
	}
	return err;
}

static int openai_events(struct buf *out, const struct refusal *r)
{
	int err = 0;

	for (size_t i = 0; i < r->choice_count && !err; i++) {
		err = buf_add(out, SLICE("data: "));
		err = err ? err : add_openai_frame(out, r, "chat.completion.chunk");
		err = err ? err
		          : buf_printf(out,
		                       ",\"choices\":[{\"index\":%" PRIu32 ",\"delta\":{},\"logprobs\":null,"
		                       "\"finish_reason\":\"content_filter\"}]}\n\n",
		                       r->choices[i]);
	}
	return err ? err : buf_add(out, SLICE("data: [DONE]\n\n"));
}

static int openai_body(struct buf *out, const struct refusal *r)
{
	int err = add_openai_frame(out, r, "chat.completion");

	err = err ? err : buf_add(out, SLICE(",\"choices\":["));
	for (size_t i = 0; i < r->choice_count && !err; i++)
		err = buf_printf(out,
		                 "%s{\"index\":%" PRIu32 ",\"message\":{\"role\":\"assistant\",\"content\":\"\"},"
		                 "\"logprobs\":null,\"finish_reason\":\"content_filter\"}",
		                 i ? "," : "", r->choices[i]);
	err = err ? err : buf_add(out, SLICE("]"));
	if (!err && r->has_usage)
		err = buf_printf(out,
		                 ",\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64
		                 ",\"total_tokens\":%" PRIu64 "}",
		                 r->prompt_tokens, r->completion_tokens, r->total_tokens);
	return err ? err : buf_add(out, SLICE("}"));
}

/* {"error":{…}} as the OpenAI API has it; other APIs' clients show it as text. */
static int error_object(struct buf *out, const struct refusal *r)
{
	if (r->exception == EXCEPTION_NONE)
		return buf_add(out, SLICE("{\"error\":{\"message\":\"The answer was refused by the content policy.\","
		                          "\"type\":\"content_filter\",\"param\":null,\"code\":\"content_filter\"}}"));
	return buf_printf(out,
	                  "{\"error\":{\"message\":\"The answer was withheld: %s.\",\"type\":\"not_inspected\","
	                  "\"param\":null,\"code\":\"%s\"}}",
	                  exception_table[r->exception].text, exception_table[r->exception].name);
}

int refusal_events(struct buf *out, const struct refusal *r)
{
	int err;

	if (r->exception == EXCEPTION_NONE && r->ending == ENDING_OPENAI_CHAT)
		return openai_events(out, r);
	err = buf_add(out, SLICE("data: "));
	err = err ? err : error_object(out, r);
	return err ? err : buf_add(out, SLICE("\n\n"));
}

int refusal_body(struct buf *out, const struct refusal *r, unsigned *status)
{
	if (r->exception == EXCEPTION_NONE && r->ending == ENDING_OPENAI_CHAT) {
		*status = 200;
		return openai_body(out, r);
	}
	/* 403 and not 5xx for a block: SDKs ask again after a 5xx. */
	*status = r->exception == EXCEPTION_NONE ? 403 : exception_table[r->exception].status;
	return error_object(out, r);
}

const char *status_phrase(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} phrases[] = {
		{ 200, "OK" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 408, "Request Timeout" },
		{ 431, "Request Header Fields Too Large" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Refused";
}
