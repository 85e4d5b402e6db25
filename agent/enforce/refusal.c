/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal.c - what a client is told when an answer is cut or replaced.
 *
 * A refusal is valid in its API and tells an SDK not to try again: an end without a finish reason would be taken for a
 * whole answer, and a reset makes agents ask again (reference: wire formats, sections 1 and 4).
 */
#include "enforce/refusal.h"

#include <inttypes.h>
#include <stdarg.h>

static const struct refusal_words refusal_generic = { .error = refusal_openai_error };

static const struct refusal_words *const endings[ENDING_COUNT] = {
	[ENDING_GENERIC] = &refusal_generic,
	[ENDING_OPENAI_CHAT] = &refusal_chat,
	[ENDING_COMPLETIONS] = &refusal_completions,
	[ENDING_RESPONSES] = &refusal_responses,
	[ENDING_ANTHROPIC] = &refusal_anthropic,
	[ENDING_OLLAMA_CHAT] = &refusal_ollama_chat,
	[ENDING_OLLAMA_GENERATE] = &refusal_ollama_generate,
	[ENDING_GENERATE] = &refusal_generate,
	[ENDING_LLAMA] = &refusal_llama,
	[ENDING_TRITON] = &refusal_triton,
};

/* ---- words ---- */

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

int refusal_add(struct buf *out, const char *format, ...)
{
	va_list args;
	int err = 0;

	va_start(args, format);
	while (*format && !err) {
		size_t n = strcspn(format, "%");

		err = buf_add(out, slice_of(format, n));
		format += n;
		if (err || !*format)
			break;
		if (format[1] == 'J')
			err = add_string(out, va_arg(args, struct slice));
		else
			err = buf_printf(out, "%" PRIu64, va_arg(args, uint64_t));
		format += 2;
	}
	va_end(args);
	return err;
}

const char *refusal_error_code(const struct refusal *r)
{
	return r->exception == EXCEPTION_NONE ? "content_filter" : exception_table[r->exception].name;
}

int refusal_error_text(struct buf *out, const struct refusal *r)
{
	if (r->exception == EXCEPTION_NONE)
		return buf_add(out, SLICE("The answer was refused by the content policy."));
	return buf_printf(out, "The answer was withheld: %s.", exception_table[r->exception].text);
}

int refusal_openai_error(struct buf *out, const struct refusal *r)
{
	int err = buf_add(out, SLICE("{\"error\":{\"message\":\""));

	err = err ? err : refusal_error_text(out, r);
	return err ? err
	           : buf_printf(out, "\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
	                        r->exception == EXCEPTION_NONE ? "content_filter" : "not_inspected",
	                        refusal_error_code(r));
}

/* ---- the table's words ---- */

int refusal_events(struct buf *out, const struct refusal *r)
{
	const struct refusal_words *words = endings[r->ending];
	int err = 0;

	if (r->exception == EXCEPTION_NONE && words->events)
		return words->events(out, r);
	if (words->error_event)
		err = buf_printf(out, "event: %s\n", words->error_event);
	err = err ? err : buf_add(out, SLICE("data: "));
	err = err ? err : words->error(out, r);
	return err ? err : buf_add(out, SLICE("\n\n"));
}

int refusal_line(struct buf *out, const struct refusal *r)
{
	const struct refusal_words *words = endings[r->ending];
	int err = (r->exception == EXCEPTION_NONE && words->body ? words->body : words->error)(out, r);

	return err ? err : buf_add(out, SLICE("\n"));
}

int refusal_body(struct buf *out, const struct refusal *r, unsigned *status)
{
	const struct refusal_words *words = endings[r->ending];

	if (r->exception == EXCEPTION_NONE && words->body) {
		*status = 200;
		return words->body(out, r);
	}
	/* 403 and not 5xx for a block: SDKs ask again after a 5xx. */
	*status = r->exception == EXCEPTION_NONE ? 403 : exception_table[r->exception].status;
	return words->error(out, r);
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
