/* SPDX-License-Identifier: Apache-2.0 */
/* lesson_test.c - what is learnt from: texts without what tells of persons, however they were cut. */
#include <errno.h>

#include "base/own.h"
#include "cli/lesson.h"
#include "tests/lib/test.h"

static const char pack[] =
	"pack: t\nrules:\n"
	"  - {id: t.phone, risk: A.4.f, action: flag, pattern: '(?<![0-9])1[3-9][0-9]{9}(?![0-9])', check: cn-mobile}\n"
	"  - {id: t.key, risk: A.3.c, action: block, pattern: 'sk-[A-Za-z0-9]{20}'}\n"
	"  - {id: t.pem, risk: A.3.c, action: block, pattern: '-----BEGIN PRIVATE "
        "KEY-----\\s{0,4}[A-Za-z0-9+/=]{16}'}\n"
	"  - {id: t.name, risk: A.3.c, action: redact, keywords: [Zaphod, Zaphod Beeblebrox]}\n"
	"  - {id: t.word, risk: A.1.d, action: block, keywords: [weasel]}\n";

static struct ruleset *rules;

static void setup(void)
{
	const struct pack_text texts[] = { { "t.yaml", SLICE(pack) } };
	struct policy_report report = {};

	cr_assert_eq(ruleset_load_texts(&rules, texts, 1, &report), 0, "%s", report.text ? report.text : "");
	policy_report_free(&report);
}

static void teardown(void)
{
	ruleset_put(&rules);
}

TestSuite(lesson, .init = setup, .fini = teardown);

static char *drawn(const char *text, bool all, uint64_t *n)
{
	struct buf out = BUF(65536);
	char *is;

	*n = 0;
	cr_assert_eq(ruleset_deidentify(rules, all, slice_str(text), &out, n), 0);
	is = strndup((const char *)buf_slice(&out).at, buf_len(&out));
	buf_free(&out);
	return is;
}

static void expect_drawn(const char *text, bool all, const char *wanted, uint64_t count)
{
	uint64_t n;
	owned(own_free) char *is = drawn(text, all, &n);

	cr_expect_str_eq(is, wanted);
	cr_expect_eq(n, count, "%s", text);
}

TEST(lesson, what_is_found_is_named_in_its_place)
{
	expect_drawn("", true, "", 0);
	expect_drawn("a quick brown fox", true, "a quick brown fox", 0);
	expect_drawn("13800138000", true, "[t.phone]", 1);
	expect_drawn("call 13800138000, not 13800138000.", true, "call [t.phone], not [t.phone].", 2);
	expect_drawn("毒13800138000毒", true, "毒[t.phone]毒", 1);
	expect_drawn("so Zaphod Beeblebrox said", true, "so [t.name] said", 1);
	expect_drawn("so ｚａｐｈｏｄ said", true, "so [t.name] said", 1);
	expect_drawn("a weasel", true, "a [t.word]", 1);
	/* Of an operator's policy what redacts, and what is of persons. */
	expect_drawn("a weasel of Zaphod: 13800138000", false, "a weasel of [t.name]: [t.phone]", 2);
}

TEST(lesson, a_secret_goes_whole)
{
	expect_drawn("is sk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_b-c, so", true, "is [t.key], so", 1);
	expect_drawn("x\n-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nkDz==\n-----END PRIVATE KEY-----\ny",
	             true, "x\n[t.pem]\ny", 1);
	expect_drawn("x -----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nand the rest of it is cut", true,
	             "x [t.pem]", 1);
}

TEST(lesson, rules_that_are_none_are_told)
{
	const struct pack_text texts[] = { { "bad.yaml", SLICE("pack: t\nrules: []\n") },
		                           { "file.yaml",
		                             SLICE("pack: u\nrules:\n  - {id: u.a, risk: A.1.d, action: block, "
		                                   "keywords_file: /etc/passwd}\n") } };
	struct policy_report report = {};
	struct ruleset *none = NULL;

	cr_expect_eq(ruleset_load_texts(&none, texts, 2, &report), -EINVAL);
	cr_expect_null(none);
	cr_expect(strstr(report.text, "bad.yaml:2:") && strstr(report.text, "file.yaml:3:"), "%s", report.text);
	policy_report_free(&report);
}

static void expect_uncut(const char *text, bool head, bool tail, const char *wanted)
{
	struct slice is = text_uncut(slice_str(text), head, tail);

	cr_expect(slice_is(is, slice_str(wanted)), "'%s': '%.*s', not '%s'", text, SLICE_ARG(is), wanted);
}

TEST(lesson, half_a_word_is_left_out)
{
	expect_uncut("", true, true, "");
	expect_uncut("a whole text", false, false, "a whole text");
	expect_uncut("g.san@mail.cn 写信", true, false, " 写信");
	expect_uncut("13 8000 is a phone", true, false, " is a phone");
	expect_uncut(" 0013 8000 is a phone", true, false, " is a phone");
	expect_uncut("１３８ ００１３ 电话", true, false, " 电话");
	expect_uncut("电话 138 0013", false, true, "电话 ");
	expect_uncut("电话 +86 138", false, true, "电话 ");
	expect_uncut("to zhang.san@ma", false, true, "to ");
	expect_uncut("电话 １３８", false, true, "电话 ");
	expect_uncut("今天天气", true, true, "今天天气");
	expect_uncut("onlyoneword", true, false, "");
	expect_uncut("onlyoneword", false, true, "");
}

TEST(lesson, half_a_key_is_left_out)
{
	expect_uncut("IEvQIBADANBgkqhkiG9w0BAQEFAASC\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nkDz==\n-----END PRIVATE "
	             "KEY-----\nso",
	             true, false, "\nso");
	expect_uncut("\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nkDzLq== 毒", true, false, " 毒");
	expect_uncut("-----END PRIVATE KEY-----\nso", true, false, "\nso");
}

/* However the text is cut: of a number that a rule finds in the whole nothing is left that is long enough to tell. */
TEST(lesson, no_cut_lets_half_a_number_through)
{
	static const char text[] = "请打 13800138000 或 13912345678，谢谢 sk-abcdefghij0123456789 吧";
	struct slice whole = SLICE(text);

	EACH_CUT (from, whole.len) {
		for (size_t to = from; to <= whole.len; to++) {
			struct slice part = text_uncut(slice_of(whole.at + from, to - from), from > 0, to < whole.len);
			struct buf out = BUF(4096);
			uint64_t n = 0;
			size_t digits = 0;

			cr_assert_eq(ruleset_deidentify(rules, true, part, &out, &n), 0);
			for (size_t i = 0; i < buf_len(&out); i++) {
				uint8_t c = buf_slice(&out).at[i];

				digits = c >= '0' && c <= '9' ? digits + 1 : 0;
				cr_assert_lt(digits, 1, "%zu-%zu: %.*s", from, to, SLICE_ARG(buf_slice(&out)));
			}
			buf_free(&out);
		}
	}
}

#define HEAD                                                                                                           \
	"{\"evidence\":1,\"exchange_id\":\"00\",\"service\":\"s\",\"rule\":\"t.word\",\"channel\":\"content\","        \
	"\"choice\":1,"                                                                                                \
	"\"offset\":3,\"length\":6,\"missing\":0,"

TEST(lesson, an_evidence_is_read)
{
	struct evidence_words w;
	struct buf out = BUF(4096);

	cr_assert_eq(
		evidence_words_read(
			&w, SLICE(HEAD "\"before\":\"ab \",\"match\":\"weasel\",\"after\":\" and so \\u6bd2\"}\n")),
		0);
	cr_expect(!w.has_answer && w.offset == 3);
	cr_assert_eq(evidence_words_span(&w, true, &out), 0);
	cr_expect(slice_is(buf_slice(&out), SLICE("ab weasel and so 毒")), "%.*s", SLICE_ARG(buf_slice(&out)));
	buf_cut(&out, 0);
	cr_assert_eq(evidence_words_span(&w, false, &out), 0);
	cr_expect(slice_is(buf_slice(&out), SLICE("weasel")));
	evidence_words_free(&w);
	buf_cut(&out, 0);
	/* Before it there was more: its first word may be cut. */
	cr_assert_eq(evidence_words_read(
			     &w, SLICE(HEAD "\"before\":\"13 8000, a \",\"match\":\"weasel\",\"after\":\"\"}\n")),
	             0);
	w.offset = 400;
	cr_assert_eq(evidence_words_span(&w, true, &out), 0);
	cr_expect(slice_is(buf_slice(&out), SLICE(", a weasel")), "%.*s", SLICE_ARG(buf_slice(&out)));
	evidence_words_free(&w);
	buf_free(&out);
}

TEST(lesson, of_an_answer_the_text_that_was_cut)
{
	struct evidence_words w;

	cr_assert_eq(
		evidence_words_read(
			&w, SLICE(HEAD "\"before\":\"\",\"match\":\"weasel\",\"after\":\"\",\"answer\":["
	                               "{\"channel\":\"reasoning\",\"choice\":1,\"missing\":0,\"text\":\"think\"},"
	                               "{\"channel\":\"content\",\"choice\":0,\"missing\":0,\"text\":\"other\"},"
	                               "{\"channel\":\"content\",\"choice\":1,\"missing\":9,\"text\":\"a weasel\"},"
	                               "{\"channel\":\"content\",\"choice\":1,\"missing\":0,\"text\":\"twice\"}]}")),
		0);
	cr_expect(w.has_answer && w.answer_missing == 9 && slice_is(buf_slice(&w.answer), SLICE("a weasel")));
	evidence_words_free(&w);
	cr_assert_eq(evidence_words_read(
			     &w, SLICE(HEAD "\"match\":\"weasel\",\"answer\":[],\"later\":[{\"channel\":\"content\","
	                                    "\"choice\":1,\"text\":\"no\"}]}")),
	             0);
	cr_expect(!w.has_answer);
	evidence_words_free(&w);
}

TEST(lesson, what_is_no_evidence_is_refused_at_every_cut)
{
	static const char good[] = HEAD "\"before\":\"ab \",\"match\":\"weasel\",\"after\":\"\"}";
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"match\":1}",
		"{\"match\":[\"weasel\"]}",
		"[{\"match\":\"weasel\"}]",
		"{\"match\":\"a\",\"missing\":-1}",
		"{\"match\":\"a\",\"choice\":1.5}",
		"{\"match\":\"a\",\"offset\":99999999999999999999}",
		"{\"match\":\"a\",\"channel\":\"0123456789012345678901234567890123456789\"}"
	};
	struct evidence_words w;

	EACH_CUT (at, sizeof(good) - 2) {
		cr_expect_eq(evidence_words_read(&w, slice_of(good, at)), -EBADMSG, "%zu", at);
		evidence_words_free(&w);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cr_expect_eq(evidence_words_read(&w, slice_str(bad[i])), -EBADMSG, "%s", bad[i]);
		evidence_words_free(&w);
	}
}
