/* SPDX-License-Identifier: Apache-2.0 */
/* lax_reader_test.c - answers that are one thing by their type and another to a reader who does not go by it. */
#define TRANSCRIPT_SUITE lax_reader
#define TRANSCRIPT_PACK  TALK_PACK
#include "tests/lib/transcript.h"

#define INFER "POST /v2/models/m/infer HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
#define PART1 "{\"t\":\"FORBIDDEN-\"}"
#define PART2 "{\"t\":\"ALPHA.\"}"

TEST(lax_reader, lines_that_are_no_fields)
{
	EXPECT(ANY, STREAM PART1 "\n" PART2 "\n\n", "exception unparsable\n");
	EXPECT(ANY, STREAM " " PART1 "\n " PART2 "\n\n", "exception unparsable\n");
	EXPECT(ANY, STREAM "[" PART1 "]\n\n", "exception unparsable\n");
	EXPECT(ANY, STREAM " data: " PART1 "\n\n data: " PART2 "\n\n", "exception unparsable\n");
	EXPECT(ANY, STREAM "\x1f\x8b\x08\n\n", "exception unparsable\n");
	EXPECT_WHOLE(ANY, STREAM "x-field: a\n: b\n_c\nData: d\n\n", "cleared none\n");
}

TEST(lax_reader, text_that_is_none)
{
	EXPECT(ANY, PLAIN ": ping\n\ndata: " PART1 "\n\n", "exception content_type\n");
	EXPECT(ANY, PLAIN "id: 1\ndata: " PART1 "\n\n", "exception content_type\n");
	EXPECT(ANY, PLAIN "retry: 1\ndata: " PART1 "\n\n", "exception content_type\n");
	EXPECT(ANY, PLAIN "[" PART1 "," PART2 "]", "exception content_type\n");
	EXPECT(ANY, PLAIN "F\0O\0R\0", "exception content_type\n");
	EXPECT(ANY, PLAIN "\x1f\x8b\x08", "exception content_type\n");
	EXPECT_WHOLE(ANY, PLAIN ":root {}", "cleared none\n");
	EXPECT_WHOLE(ANY, PLAIN "[info] it runs", "cleared none\n");
}

/* Messages in an array, as some APIs stream: one text in parts. Those of one message are told apart. */
TEST(lax_reader, messages_in_an_array)
{
	EXPECT(ANY, JSON "[" PART1 "," PART2 "]", BLOCKED);
	EXPECT(ANY, STREAM "data: [" PART1 "," PART2 "]\n\n", BLOCKED);
	cr_expect(says("t.alpha other 0"));
	EXPECT(ANY,
	       JSON "[{\"c\":[{\"t\":\"FORBID\"},{\"t\":\"no\"}]},{\"c\":[{\"t\":\"DEN-ALPHA\"},{\"t\":\"thing\"}]}]",
	       BLOCKED);
	EXPECT_WHOLE(ANY, JSON "{\"c\":[{\"t\":\"FORBIDDEN-\"},{\"t\":\"ALPHA\"}]}", "cleared none\n");
}

#define TENSORS                                                                                                        \
	"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ninference-header-content-length: 55\r\n\r\n"

TEST(lax_reader, tensors_of_other_sizes)
{
	EXPECT_WHOLE(INFER, TENSORS "{\"outputs\":[{\"parameters\":{\"binary_data_size\":   6}}]} \2\0\0\0ok",
	             "cleared none\n");
	EXPECT(INFER, TENSORS "{\"outputs\":[{\"parameters\":{\"binary_data_size\":   3}}]} \2\0\0\0ok",
	       "exception unparsable\n");
	EXPECT(INFER, TENSORS "{\"outputs\":[{\"parameters\":{\"binary_data_size\":   9}}]} \2\0\0\0ok",
	       "exception unparsable\n");
}
