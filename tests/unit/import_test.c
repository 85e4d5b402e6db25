/* SPDX-License-Identifier: Apache-2.0 */
/* import_test.c - the forms and encodings of foreign word lists, and what becomes of their words. */
#include "tests/lib/test.h"

#include <errno.h>

#include "base/own.h"
#include "policy/policy.h"

/* Reads one list. What it says is added to `said`. */
static int read_list(struct import *x, const char *name, const void *bytes, size_t len, const struct import_how *how,
                     enum import_form *form, struct policy_report *report)
{
	char dir[] = "/tmp/sluice-import-XXXXXX", path[128];
	FILE *f;
	int error;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wxe");
	cr_assert_not_null(f);
	cr_assert_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
	error = import_add(x, path, how, form, report);
	unlink(path);
	rmdir(dir);
	return error;
}

/* The words of a list: "line:word=category" each, with a space between; or what is wrong, without the folder. */
static void expect(const char *name, const void *bytes, size_t len, struct import_how how, enum import_form form,
                   const char *expected)
{
	owned(import_free) struct import *x = NULL;
	owned(policy_report_free) struct policy_report report = {};
	owned(own_free) char *said = NULL;
	enum import_form is = IMPORT_AUTO;
	size_t n = 0;
	FILE *f = open_memstream(&said, &n);
	int error;

	cr_assert_eq(import_new(&x), 0);
	error = read_list(x, name, bytes, len, &how, &is, &report);
	if (error)
		fputs(report.text ? report.text + strlen("/tmp/sluice-import-XXXXXX/") : "", f);
	for (size_t i = 0; !error && i < import_count(x); i++) {
		const struct import_word *w = import_word_at(x, i);

		fprintf(f, "%s%u:%.*s", i ? " " : "", w->line, SLICE_ARG(w->text));
		if (w->category.len)
			fprintf(f, "=%.*s", SLICE_ARG(w->category));
		if (w->fate == IMPORT_BROKEN)
			fputs("?", f);
	}
	fclose(f);
	cr_expect_str_eq(said, expected, "%s: said\n%s", name, said);
	cr_expect_eq(is, error ? IMPORT_AUTO : form, "%s: read as %s", name, import_form_names[is]);
}

#define TEXT(text) text, sizeof(text) - 1

TEST(import, forms)
{
	struct import_how any = {};

	expect("a.txt", TEXT("# x\n\n one two \r\nthree\n"), any, IMPORT_LINES, "3:one two 4:three");
	expect("a", TEXT("one|A.1.d\n#x\ntwo\nthree | b | 9\n"), any, IMPORT_PAIRS, "1:one=A.1.d 3:two 4:three=b");
	expect("a", TEXT("one\tx\ntwo\ty\n"), any, IMPORT_TSV, "1:one=x 2:two=y");
	expect("a.tsv", TEXT("id\t分类\t敏感词\n1\tx\tone\n"), any, IMPORT_TSV, "2:one=x");
	expect("a.CSV", TEXT("Word,Type\n\"a, \"\"b\"\"\",x\n\"two\nlines\",y\nlast,z"), any, IMPORT_CSV,
	       "2:a, \"b\"=x 3:two\nlines=y 5:last=z");
	expect("a.csv", TEXT("one,x\ntwo\n"), any, IMPORT_CSV, "1:one=x 2:two");
	expect("a.csv", TEXT("\"open\n"), any, IMPORT_CSV, "a.csv:1:1: a quote is not closed\n");
	expect("a.json", TEXT("[\"one\", \"\\ud83d\\ude00\\u6bd2\",\n\"\\\\ud83d\"]"), any, IMPORT_JSON,
	       "1:one 1:😀毒 2:\\ud83d");
	expect("a.json", TEXT("[{\"word\": \"one\", \"level\": 3, \"category\": \"x\"},\n{\"word\":\"two\"}]"), any,
	       IMPORT_JSON, "1:one=x 2:two");
	expect("a.json", TEXT("{\"x\": [\"one\"], \"words\": [\"two\"]}"), any, IMPORT_JSON, "1:one=x 1:two");
	expect("a.json", TEXT("{\"one\": \"x\"}"), any, IMPORT_JSON,
	       "a.json:1:1: each key must have a list of words: {\"category\": [\"word\"]}\n");
	expect("a.json", TEXT("[[\"one\"]]"), any, IMPORT_JSON,
	       "a.json:1:1: a list in a list: words are text or objects\n");
	expect("a.json", TEXT("\"one\""), any, IMPORT_JSON, "a.json:1:1: neither a list nor an object\n");
	expect("a.txt", TEXT("a|b\n"), (struct import_how){ .form = IMPORT_LINES }, IMPORT_LINES, "1:a|b");
	expect("a.csv", TEXT("1,x,one\n"), (struct import_how){ .word_column = "3", .category_column = "2" },
	       IMPORT_CSV, "1:one=x");
	expect("a.csv", TEXT("n,W,C\n1,one,x\n"), (struct import_how){ .word_column = "w", .category_column = "c" },
	       IMPORT_CSV, "2:one=x");
	expect("a.csv", TEXT("n,W\n"), (struct import_how){ .word_column = "x" }, IMPORT_CSV,
	       "a.csv:1:1: the first row has no column of that name\n");
	expect("a.csv", TEXT("a,b,c\nd\n"), (struct import_how){ .word_column = "2" }, IMPORT_CSV,
	       "a.csv:2:1: the row has no such column\n");
	expect("a", TEXT("b25l\ndHdvIHdvcmRz\n5q+S\nnot base64\n_-\n"), (struct import_how){ .base64 = true },
	       IMPORT_LINES, "1:one 2:two words 3:毒 4:not base64? 5:_-?");
	expect("a", TEXT("tr4=|x\ntg==\n"), (struct import_how){ .base64 = true, .encoding = "gbk" }, IMPORT_PAIRS,
	       "1:毒=x 2:tg==?");
}

TEST(import, encodings)
{
	struct import_how any = {}, gbk = { .encoding = "GBK" };

	expect("a",
	       TEXT("\xef\xbb\xbf"
	            "one\n"),
	       any, IMPORT_LINES, "1:one");
	expect("a", TEXT("\xff\xfe\xd2\x6b\n\0o\0"), any, IMPORT_LINES, "1:毒 2:o");
	expect("a", TEXT("\xfe\xff\x6b\xd2\0\n\xd8\x3d\xde\0"), any, IMPORT_LINES, "1:毒 2:😀");
	expect("a", TEXT("\x84\x31\x95\x33\xb6\xbe"), any, IMPORT_LINES, "1:毒");
	expect("a", TEXT("\xb6\xbe\n\x95\x32\x83\x37\n"), gbk, IMPORT_LINES, "1:毒 2:𠀋");
	expect("a", TEXT("\xac\x72\n"), (struct import_how){ .encoding = "big5" }, IMPORT_LINES, "1:毒");
	expect("a", TEXT("one\n\xb6\xbe\n"), any, IMPORT_LINES,
	       "a:2:1: not UTF-8; --encoding names another, such as gb18030\n");
	expect("a", TEXT("one\n\nt\xb6"), gbk, IMPORT_LINES, "a:3:1: not in that encoding\n");
	expect("a", TEXT("\xed\xa0\x80"), any, IMPORT_LINES,
	       "a:1:1: not UTF-8; --encoding names another, such as gb18030\n");
	expect("a", TEXT("o\0"), any, IMPORT_LINES, "a: binary, not a word list\n");
	expect("a", TEXT("o"), (struct import_how){ .encoding = "GB18030//IGNORE" }, IMPORT_LINES,
	       "a: unknown encoding\n");
	expect("a", TEXT(""), any, IMPORT_LINES, "");
}

static void add(struct import *x, const char *text)
{
	owned(policy_report_free) struct policy_report report = {};
	struct import_how how = { .form = IMPORT_PAIRS };
	enum import_form form;

	cr_assert_eq(read_list(x, "list", text, strlen(text), &how, &form, &report), 0, "%s", report.text);
}

TEST(import, fates)
{
	static const struct {
		enum import_fate fate;
		uint32_t other;
	} expected[] = {
		{ IMPORT_TAKEN, 0 }, { IMPORT_SAME, 1 },   { IMPORT_TAKEN, 0 }, { IMPORT_NOTHING, 0 },
		{ IMPORT_SHORT, 0 }, { IMPORT_INSIDE, 1 }, { IMPORT_TAKEN, 0 }, { IMPORT_INSIDE, 10 },
		{ IMPORT_LEFT, 0 },  { IMPORT_TAKEN, 0 },  { IMPORT_LONG, 0 },
	};
	owned(policy_report_free) struct policy_report report = {};
	owned(import_free) struct import *x = NULL;
	struct import_risk map[] = { { SLICE("drugs"), SLICE("A.1.h") }, { SLICE("odd"), SLICE("-") } };
	char long_word[400];

	memset(long_word, 'x', sizeof(long_word) - 1);
	long_word[sizeof(long_word) - 1] = 0;
	cr_assert_eq(import_new(&x), 0);
	add(x, "alpha|drugs\nＡＬＰＨＡ|a.1 H\nalpha|A.2.a\n\u200b|drugs\nx|drugs\nthe alpha "
	       "male|drugs\nalphabet|drugs\n");
	add(x, "有毒物|人格\n?!|odd\n毒物|人格\n");
	add(x, long_word);
	cr_expect_eq(import_risks(x, map, ARRAY_LEN(map), SLICE("A.1.d"), &report), -EINVAL);
	cr_expect(report.text &&
	          strstr(report.text, "list:1:1: the category '人格' has no risk: --map names one, or '-' to "
	                              "leave it out\n"));
	cr_expect_eq(report.errors, 1, "each category once");
	import_free(&x);

	cr_assert_eq(import_new(&x), 0);
	add(x, "alpha|drugs\nＡＬＰＨＡ|a.1 H\nalpha|A.2.a\n\u200b|drugs\nx|drugs\nthe alpha "
	       "male|drugs\nalphabet|drugs\n");
	add(x, "有毒物|侵害他人名誉权\n?!|odd\n毒物|A.4.c\n");
	add(x, long_word);
	cr_assert_eq(import_risks(x, map, ARRAY_LEN(map), SLICE("A.1.d"), &report), 0);
	cr_assert_eq(import_sift(x, 2, true), 0);
	cr_assert_eq(import_count(x), ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		const struct import_word *w = import_word_at(x, i);

		cr_expect_eq(w->fate, expected[i].fate, "word %zu: %d", i, w->fate);
		cr_expect_eq(w->other, expected[i].other, "word %zu: %u", i, w->other);
	}
	cr_expect(slice_is(import_word_at(x, 7)->risk, SLICE("A.4.c")), "a category may be the name of a risk");
	cr_expect(slice_is(import_word_at(x, 10)->risk, SLICE("A.1.d")));
}

/* Whatever the bytes are: words, or mistakes. */
TEST(import, any_bytes)
{
	static const char alphabet[] = "ab|,\t\"\n\r#[]{}:\\ud83=\xef\xbb\xbf\xff\xfe\xb6\xbe\x84\x31\x95\x33\0";
	uint8_t bytes[64];
	uint32_t seed = 1;

	for (int i = 0; i < 3000; i++) {
		owned(policy_report_free) struct policy_report report = {};
		owned(import_free) struct import *x = NULL;
		struct import_how how = {};
		enum import_form form;
		size_t n;

		for (n = 0; n < sizeof(bytes); n++) {
			seed = seed * 1664525 + 1013904223;
			bytes[n] = (uint8_t)alphabet[(seed >> 8) % sizeof(alphabet)];
		}
		how.form = (enum import_form)((seed >> 8) % IMPORT_FORM_COUNT);
		how.encoding = import_encoding((seed >> 16) % 9);
		how.base64 = seed >> 31;
		cr_assert_eq(import_new(&x), 0);
		if (!read_list(x, "list", bytes, (seed >> 4) % sizeof(bytes), &how, &form, &report) &&
		    !import_risks(x, NULL, 0, SLICE("A.1.d"), &report))
			cr_assert_eq(import_sift(x, 1, false), 0);
	}
}
