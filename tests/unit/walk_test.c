/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk_test.c - JSON messages along the tables, compared as a transcript: one line a text, "<channel> <choice>.<sub>
 * <text>", "tap" or "finish" before the text if it is remembered.
 *
 * Every message is read whole, byte by byte, and cut in two at every place.
 */
#include "tests/lib/test.h"

#include <stdarg.h>
#include <stdio.h>

#include "stream/stream.h"

#define LOG_MAX 8192

struct log {
	char text[LOG_MAX];
	size_t len;
	bool open;
	uint64_t raw;
};

static __attribute__((format(printf, 2, 3))) void put(struct log *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	l->len += (size_t)vsnprintf(l->text + l->len, LOG_MAX - l->len, format, args);
	va_end(args);
	cr_assert_lt(l->len, LOG_MAX);
}

static void see(struct log *l, const struct leaf *leaf)
{
	if (leaf->begin)
		put(l, "%s %u.%u%s ", channel_names[leaf->channel], leaf->choice, leaf->sub,
		    leaf->tap == TAP_FINISH ? " finish"
		    : leaf->tap != TAP_NONE ? " tap"
		                            : "");
	put(l, "%.*s", SLICE_ARG(leaf->text));
	if (leaf->end)
		put(l, "\n");
	cr_assert_neq(l->open, leaf->begin, "%s", l->text);
	l->open = !leaf->end;
	l->raw += leaf->raw;
}

/* False: refused. */
static bool feed(struct walk *w, struct log *l, struct slice in)
{
	struct leaf leaf;
	enum step step;
	size_t used;

	do {
		step = walk_feed(w, in, &used, &leaf);
		in = slice_from(in, used);
		if (step == STEP_ITEM)
			see(l, &leaf);
	} while (step == STEP_ITEM);
	return step != STEP_BAD;
}

static void read_in(struct log *l, const struct field *rows, struct slice message, size_t cut)
{
	struct walk w = {};
	struct leaf leaf;
	enum step step = STEP_MORE;
	bool fine = true;

	*l = (struct log){};
	walk_start(&w, rows);
	for (size_t at = 0, n; at < message.len && fine; at += n) {
		n = cut == SIZE_MAX ? 1 : at < cut ? cut - at : message.len - at;
		fine = feed(&w, l, slice_of(message.at + at, n));
	}
	while (fine && (step = walk_finish(&w, &leaf)) == STEP_ITEM)
		see(l, &leaf);
	if (!fine || step == STEP_BAD)
		put(l, "bad: %s", w.why);
	else
		cr_expect_eq(l->raw + w.structural, message.len, "%lu + %lu", l->raw, w.structural);
	walk_free(&w);
}

static void expect(const struct field *rows, const char *message, const char *log)
{
	static struct log whole, cut;
	size_t len = strlen(message);

	read_in(&whole, rows, slice_str(message), len);
	cr_expect_str_eq(whole.text, log, "%s gives\n%s", message, whole.text);
	for (size_t at = 1; at <= len; at++) {
		read_in(&cut, rows, slice_str(message), at == len ? SIZE_MAX : at);
		cr_assert_str_eq(cut.text, whole.text, "%s cut at %zu gives\n%s", message, at, cut.text);
	}
}

static const struct dialect *chat(void)
{
	return dialect_of(SLICE("POST"), SLICE("/v1/chat/completions"));
}

#define EVENT(text, log) expect(chat()->message, text, log)
#define WHOLE(text, log) expect(chat()->whole, text, log)

TEST(walk, paths_have_dialects)
{
	cr_expect_str_eq(chat()->name, "openai.chat");
	cr_expect_str_eq(dialect_of(SLICE("GET"), SLICE("/v1/chat/completions"))->name, "generic");
	cr_expect_str_eq(dialect_of(SLICE("POST"), SLICE("/v1/chat/completionsx"))->name, "generic");
}

TEST(walk, texts_of_a_chunk)
{
	EVENT("{\"id\":\"a\",\"created\":12,\"choices\":[{\"index\":1,\"delta\":{\"role\":\"x\",\"content\":"
	      "\"h\\u0069\"},"
	      "\"finish_reason\":null}]}",
	      "label 0.0 tap a\nnone 0.0 tap 12\nlabel 1.0 x\ncontent 1.0 hi\nnone 1.0 finish null\n");
	EVENT("{\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"t\",\"text\":\"a\"},\"b\"]}}]}",
	      "label 0.0 t\ncontent 0.0 a\ncontent 0.0 b\n");
	EVENT("{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":3,\"id\":\"i\",\"function\":{\"name\":"
	      "\"n\","
	      "\"arguments\":\"{}\"}}]},\"finish_reason\":\"stop\"}]}",
	      "label 0.3 i\ntool_name 0.3 n\ntool_arguments 0.3 {}\nlabel 0.0 finish stop\n");
}

TEST(walk, text_waits_for_its_index)
{
	EVENT("{\"choices\":[{\"delta\":{\"content\":\"a\"},\"index\":2},{\"delta\":{\"content\":\"b\"},\"index\":0}]}",
	      "content 2.0 a\ncontent 0.0 b\n");
	EVENT("{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"a\"},\"index\":1},{"
	      "\"function\":"
	      "{\"arguments\":\"b\"}}]},\"index\":5}]}",
	      "tool_arguments 5.1 a\ntool_arguments 5.1 b\n");
	/* None came: its place says which. */
	EVENT("{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"b\"}}]}",
	      "content 0.0 a\ncontent 1.0 b\n");
	EVENT("{\"choices\":[{\"delta\":{\"content\":\"a\"}", "bad: cut short");
}

TEST(walk, places_say_the_choice_of_a_whole_answer)
{
	WHOLE("{\"choices\":[{\"index\":7,\"message\":{\"content\":\"a\"}},{\"message\":{\"tool_calls\":[{\"id\":\"x\"}"
	      ","
	      "{\"function\":{\"arguments\":\"b\"}}]}}]}",
	      "content 0.0 a\nlabel 1.0 x\ntool_arguments 1.1 b\n");
}

TEST(walk, what_no_table_knows_is_text)
{
	EVENT("{\"u\":{\"k\":[\"a\",1,true]},\"\":\"e\"}",
	      "key 0.0 u\nkey 0.0 k\nother 0.0 a\nother 0.0 \001\nkey 0.0 \nother 0.0 e\n");
	EVENT("[\"a\",{\"content\":\"b\"}]", "other 0.0 a\nkey 0.0 content\nother 0.0 b\n");
	EVENT("{\"0123456789012345678901234567890123456789012345678901234567890123\":0,"
	      "\"01234567890123456789012345678901234567890123456789012345678901234\":0}",
	      "key 0.0 0123456789012345678901234567890123456789012345678901234567890123\n"
	      "key 0.0 01234567890123456789012345678901234567890123456789012345678901234\n");
	EVENT("{\"created\":\"a\"}", "other 0.0 tap a\n");
}

TEST(walk, what_readers_differ_on_is_refused)
{
	EVENT("{\"model\":\"a\",\"model\":\"b\"}", "label 0.0 tap a\nbad: two values for one key");
	EVENT("{\"choices\":[{\"index\":-1}]}", "bad: index is not a small whole number");
	EVENT("{\"choices\":[{\"index\":1.0}]}", "bad: index is not a small whole number");
	EVENT("{\"choices\":[{\"index\":9999999}]}", "bad: index is not a small whole number");
}
