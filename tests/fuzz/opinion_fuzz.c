/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opinion_fuzz.c - what an endpoint answers: JSON of the two kinds, and labels as guard models write them.
 *
 * Input: one byte that chooses the form, then the body; or, by its high bit, the label alone. Must hold: an answer that
 * is understood says a word of the configuration, and only categories it has; what is asked about any text is JSON.
 */
#include <errno.h>
#include <stdint.h>

#include "opinion/words.h"
#include "stream/stream.h"
#include "tests/lib/fuzz.h"

static char *safe[] = { (char *)"safe", (char *)"Safe" }, *unsafe[] = { (char *)"unsafe", (char *)"Controversial" },
	    *names[] = { (char *)"S1", (char *)"S10", (char *)"Violent", (char *)"hate/threatening" };
static struct config_message messages[] = { { (char *)"user", (char *)"a" },
	                                    { (char *)"assistant", (char *)"<{text}>{text" } };

#define WORDS .safe = { safe, 2 }, .unsafe = { unsafe, 2 }, .categories = { names, 4 }
static const struct config_opinion forms[] = {
	{ .kind = OPINION_MODERATIONS,
	  .verdict_after = (char *)"",
	  .category_after = (char *)"",
	  .categories = { names, 4 } },
	{ .kind = OPINION_CHAT,
	  .model = (char *)"m",
	  .messages = messages,
	  .message_count = 2,
	  .max_tokens = 9,
	  .verdict_after = (char *)"",
	  .category_after = (char *)"",
	  WORDS },
	{ .kind = OPINION_CHAT,
	  .messages = messages,
	  .message_count = 2,
	  .max_tokens = 9,
	  .verdict_after = (char *)"Safety:",
	  .category_after = (char *)"Categories:",
	  WORDS },
};

static bool is_json(struct slice s)
{
	struct json json;
	struct json_item item;
	size_t used;

	json_start(&json);
	while (s.len) {
		if (json_feed(&json, s, &used, &item) == STEP_BAD)
			return false;
		s = slice_from(s, used);
	}
	return json_done(&json);
}

/* Up to the first byte that is not ASCII: askers give UTF-8. */
static struct slice ascii(struct slice s)
{
	size_t len = 0;

	while (len < s.len && s.at[len] < 0x80)
		len++;
	return slice_of(s.at, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice body = size ? slice_of(data + 1, size - 1) : SLICE("");
	const struct config_opinion *c = &forms[size ? (data[0] & 0x7f) % 3 : 0];
	struct label label = {};
	struct buf out = BUF(1u << 20);
	bool alone = size && data[0] >> 7 && c->kind == OPINION_CHAT;
	int err = alone ? words_label(c, body, &label) : words_read(c, body, &label);

	MUST(!err || err == -EBADMSG);
	MUST(err || !(label.categories >> 4));
	if (!err && c->kind == OPINION_CHAT) {
		char **from = label.unsafe ? unsafe : safe;

		MUST(label.word == from[0] || label.word == from[1]);
	}
	MUST(!words_ask(&out, c, ascii(body)));
	MUST(is_json(buf_slice(&out)));
	buf_free(&out);
	return 0;
}
