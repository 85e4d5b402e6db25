/* SPDX-License-Identifier: Apache-2.0 */
/* media_test.c - what servers say their answers are: each is read, or refused by name; and bytes that do not add up. */
#include "tests/lib/transcript.h"

#include "exchange/private.h"

static const struct {
	const char *type; /* NULL: no such field */
	const char *body;
	const char *says; /* how the report begins */
} cases[] = {
	/* what runs beside a model: metrics, health, documentation, errors */
	{ "text/plain; version=0.0.4; charset=utf-8", "# HELP a b\n# TYPE a counter\na 1\n", "cleared none" },
	{ "text/plain; version=1.0.0; escaping=underscores", "# HELP a b\n", "cleared none" },
	{ "application/openmetrics-text; version=1.0.0; charset=utf-8", "a_total 1\n# EOF\n", "cleared none" },
	{ "application/openmetrics-text; version=1.0.0; charset=utf-8", "a{b=\"FORBIDDEN-ALPHA\"} 1\n",
	  "blocked none" },
	{ "text/html; charset=utf-8", "<html><title>Docs</title>", "cleared none" },
	{ "text/html;charset=UTF-8", "<p>FORBIDDEN-ALPHA</p>", "blocked none" },
	{ "application/json", "{\"status\":\"ok\"}", "cleared none" },
	{ "application/problem+json", "{\"title\":\"no\"}", "cleared none" },
	{ "application/problem+json", "{\"title\":\"FORBIDDEN-ALPHA\"}", "blocked none" },
	{ "application/vnd.api+json; charset=\"utf-8\"", "{}", "cleared none" },
	{ "TEXT/PLAIN", "Ollama is running", "cleared none" },
	{ "application/yaml", "openapi: 3.1.0\n", "cleared none" },
	/* what cannot be read as text */
	{ NULL, "hello", "exception content_type" },
	{ "", "hello", "exception content_type" },
	{ "text/", "hello", "exception content_type" },
	{ "application/octet-stream", "hello", "exception content_type" },
	{ "application/vnd.google.protobuf", "hello", "exception content_type" },
	{ "audio/wav", "RIFF", "exception content_type" },
	{ "image/png", "\x89PNG", "exception content_type" },
	{ "multipart/mixed; boundary=a", "--a\r\n\r\nhello\r\n--a--", "exception content_type" },
	{ "application/pdf", "%PDF", "exception content_type" },
	{ "text/plain; charset=utf-16", "h\0", "exception charset" },
	{ "text/plain; charset=iso-2022-jp", "hello", "exception charset" },
	{ "text/plain; charset=\"gb18030\"", "hello", "exception charset" },
	{ "text/plain; charset=", "hello", "exception charset" },
};

TEST(exchange, each_type_is_read_or_refused_by_name)
{
	char answer[1024];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (int framing = 0; framing < 2; framing++) {
			int n = snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\n%s%s%s",
			                 cases[i].type ? "Content-Type: " : "", cases[i].type ? cases[i].type : "",
			                 cases[i].type ? "\r\n" : "");

			if (framing)
				n += snprintf(answer + n, sizeof(answer) - (size_t)n, "Content-Length: %zu\r\n",
				              strlen(cases[i].body));
			n += snprintf(answer + n, sizeof(answer) - (size_t)n, "\r\n%s", cases[i].body);
			every_cut("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n", slice_of(answer, (size_t)n), NULL);
			cr_expect(begins(cases[i].says), "%s: %s", cases[i].type, first.log);
			if (begins("cleared"))
				cr_expect(first.talk.released == (size_t)n && says(" withheld 0 "), "%s", first.log);
		}
}

/* A health check answers with nothing, whatever type it says that is. */
TEST(exchange, an_empty_answer_has_no_type)
{
	EXPECT_WHOLE(ANY, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "cleared none\n");
	EXPECT_WHOLE(ANY, "HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 0\r\n\r\n", "cleared none\n");
	EXPECT_WHOLE("GET /health HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 304 Same\r\nContent-Type: image/png\r\n\r\n",
	             "cleared none\n");
}

/* ---- coverage ---- */

TEST(exchange, sums_that_hold)
{
	struct coverage good = { .in = 10, .scanned = 3, .structural = 4, .withheld = 3, .released = 7 }, bad;

	cr_expect(coverage_holds(&good));
	for (size_t i = 0; i < sizeof(good) / sizeof(uint64_t); i++) {
		bad = good;
		((uint64_t *)&bad)[i]++;
		cr_expect_not(coverage_holds(&bad), "member %zu", i);
		bad = good;
		((uint64_t *)&bad)[i]--;
		cr_expect_not(coverage_holds(&bad), "member %zu", i);
	}
	bad = (struct coverage){ .in = 1, .withheld = UINT64_MAX, .released = 2, .scanned = 2 };
	cr_expect_not(coverage_holds(&bad));
}

/* One byte that nobody accounts for, or that two do: nothing more goes out, and the exception says why. */
TEST(exchange, a_byte_too_many_stops_the_answer)
{
	static struct talk t;

	for (int off = -1; off <= 1; off++)
		for (int where = 0; where < 3; where++) {
			size_t before;

			if (off < 0 && where == 2)
				continue; /* more was cleared than was read: another exception is first */
			talk_begin(&t, rules, NULL, SLICE(CHAT));
			talk_feed(&t, SLICE(STREAM SAY(0, "hello")), false);
			before = t.len;
			cr_assert_eq(before, sizeof(STREAM SAY(0, "hello")) - 1);
			*(where == 0   ? &t.x->here.scanned
			  : where == 1 ? &t.x->here.structural
			               : &t.x->here.wire) += (uint64_t)off;
			talk_feed(&t, SLICE(SAY(0, " world")), false);
			if (!off) {
				cr_expect_eq(t.order, ORDER_PUMP);
				cr_expect_gt(t.len, before);
			} else {
				cr_expect_eq(t.order, ORDER_CUT);
				cr_expect_eq(t.len, before);
				cr_expect_eq(exchange_report(t.x)->exception, EXCEPTION_COVERAGE);
				cr_expect(coverage_holds(&exchange_report(t.x)->coverage),
				          "what went out was in order");
			}
			talk_conclude(&t);
			talk_end(&t);
		}
}

/* Even where no unit ends: framing goes out with the unit before it. */
TEST(exchange, what_is_cleared_must_add_up)
{
	static struct talk t;
	size_t before;

	talk_begin(&t, rules, NULL, SLICE(CHAT));
	talk_feed(&t, SLICE(CHUNKED "8\r\n: ping\n\n"), false);
	before = t.len;
	t.x->here.wire++;
	talk_feed(&t, SLICE("\r\n"), false);
	cr_expect_eq(t.order, ORDER_CUT);
	cr_expect_eq(t.len, before);
	cr_expect_eq(exchange_report(t.x)->exception, EXCEPTION_COVERAGE);
	talk_conclude(&t);
	talk_end(&t);
}
