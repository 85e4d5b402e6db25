/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_test.c - the words of refusals, byte for byte, and the exception table. */
#include "tests/lib/test.h"

#include "enforce/enforce.h"

#define OUT_MAX 65536

/* What was written, as a string. Static. */
static const char *text_of(struct buf *b)
{
	static char text[OUT_MAX + 1];

	memcpy(text, buf_slice(b).at, buf_len(b));
	text[buf_len(b)] = '\0';
	buf_free(b);
	return text;
}

static const char *events(const struct refusal *r)
{
	struct buf b = BUF(OUT_MAX);

	cr_assert_eq(refusal_events(&b, r), 0);
	return text_of(&b);
}

static const char *body(const struct refusal *r, unsigned want)
{
	struct buf b = BUF(OUT_MAX);
	unsigned status = 0;

	cr_assert_eq(refusal_body(&b, r, &status), 0);
	cr_expect_eq(status, want);
	return text_of(&b);
}

TEST(enforce, every_exception_has_a_row_of_its_own)
{
	for (size_t i = 0; i < EXCEPTION_COUNT; i++) {
		const struct exception_row *row = &exception_table[i];

		cr_assert_not_null(row->name, "exception %zu", i);
		cr_assert_not_null(row->text);
		cr_expect(i == EXCEPTION_NONE || *row->text, "%s", row->name);
		cr_expect_eq(strspn(row->name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(row->name));
		cr_expect(!row->status || row->status >= 400);
		cr_expect(!row->status || strcmp(status_phrase(row->status), "Refused"), "%u", row->status);
		for (size_t k = 0; k < i; k++)
			cr_expect_str_neq(row->name, exception_table[k].name);
	}
	for (size_t i = 0; i < VERDICT_COUNT; i++)
		cr_assert_not_null(verdict_names[i]);
}

TEST(enforce, a_chat_stream_ends_each_choice)
{
	static const uint32_t choices[] = { 2, 0 };
	struct refusal r = {
		.ending = ENDING_OPENAI_CHAT,
		.id = SLICE("chatcmpl-1"),
		.model = SLICE("m"),
		.fingerprint = SLICE("fp"),
		.created = 5,
		.choices = choices,
		.choice_count = 2,
	};

	cr_expect_str_eq(
		events(&r),
		"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\","
		"\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":2,\"delta\":{},\"logprobs\":null,"
		"\"finish_reason\":\"content_filter\"}]}\n\n"
		"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\","
		"\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
		"\"finish_reason\":\"content_filter\"}]}\n\n"
		"data: [DONE]\n\n");
	r.choice_count = 0;
	cr_expect_str_eq(events(&r), "data: [DONE]\n\n");
}

TEST(enforce, strings_of_the_server_cannot_leave_their_quotes)
{
	static const uint32_t choices[] = { 0 };
	struct refusal r = {
		.ending = ENDING_OPENAI_CHAT,
		.id = SLICE("a\"},\\\n\r\x01毒"),
		.choices = choices,
		.choice_count = 1,
	};

	cr_expect_str_eq(
		body(&r, 200),
		"{\"id\":\"a\\u0022},\\u005c\\u000a\\u000d\\u0001"
		"毒\",\"object\":\"chat.completion\",\"created\":0,"
		"\"model\":\"\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\"},"
		"\"logprobs\":null,\"finish_reason\":\"content_filter\"}]}");
	cr_expect_null(strchr(events(&r), '\r'));
}

TEST(enforce, other_apis_and_exceptions_get_an_error)
{
	struct refusal r = { .ending = ENDING_GENERIC };

	cr_expect_str_eq(body(&r, 403),
	                 "{\"error\":{\"message\":\"The answer was refused by the content policy.\",\"type\":"
	                 "\"content_filter\",\"param\":null,\"code\":\"content_filter\"}}");
	r = (struct refusal){ .ending = ENDING_OPENAI_CHAT, .exception = EXCEPTION_TOO_DEEP };
	cr_expect_str_eq(events(&r),
	                 "data: {\"error\":{\"message\":\"The answer was withheld: the answer is nested too deeply.\","
	                 "\"type\":\"not_inspected\",\"param\":null,\"code\":\"too_deep\"}}\n\n");
	body(&r, 502);
}

TEST(enforce, a_full_buffer_is_an_error)
{
	static const uint32_t choices[] = { 0 };
	struct refusal r = { .ending = ENDING_OPENAI_CHAT, .id = SLICE("abc"), .choices = choices, .choice_count = 1 };
	size_t need = strlen(events(&r));

	for (size_t cap = 0; cap < need; cap++) {
		struct buf b = BUF(cap);

		cr_assert_lt(refusal_events(&b, &r), 0);
		buf_free(&b);
	}
}
