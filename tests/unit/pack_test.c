/* SPDX-License-Identifier: Apache-2.0 */
/* pack_test.c - the keys of rules that are more than words: what is taken in, and what is refused, where and why. */
#include "tests/lib/test.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/own.h"
#include "policy/draft.h"

/* What loading a folder of one pack and one list says. */
static char *load(const char *pack, const char *list, struct ruleset **rules)
{
	char dir[] = "/tmp/sluice-pack-XXXXXX", path[64];
	struct policy_report report = {};
	FILE *file;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/l.csv", dir);
	file = fopen(path, "w");
	fputs(list, file);
	fclose(file);
	snprintf(path, sizeof(path), "%s/a.yaml", dir);
	file = fopen(path, "w");
	fputs(pack, file);
	fclose(file);
	cr_expect_eq(ruleset_load(rules, dir, &report) != 0, report.errors != 0);
	unlink(path);
	snprintf(path, sizeof(path), "%s/l.csv", dir);
	unlink(path);
	rmdir(dir);
	return report.text ? report.text : strdup("");
}

static void bad(const char *pack, const char *expected)
{
	owned(ruleset_put) struct ruleset *r = NULL;
	owned(own_free) char *said = load(pack, "", &r);

	cr_expect_str_eq(said, expected, "%s\nsaid:\n%s", pack, said);
	cr_expect_null(r);
}

static struct ruleset *good(const char *pack, const char *list)
{
	struct ruleset *r = NULL;
	owned(own_free) char *said = load(pack, list, &r);

	cr_assert_not_null(r, "%s", said);
	return r;
}

#define RULE(more)    "pack: p\nrules:\n  - id: r1\n    risk: A.1.d\n    action: block\n" more
#define PATTERN(text) RULE("    pattern: '" text "'\n")

TEST(pack, all_keys)
{
	owned(ruleset_put) struct ruleset *r =
		good("pack: p\nservices: [a, b]\nvalid_until: 2027-01-31\n"
	             "categories: [{id: local.canary, number: 91, zh: 金丝雀, en: canary}]\nrules:\n"
	             "- {id: r1, risk: [A.4.f, local.canary, local.other], action: redact, pattern: 'ab-[0-9]{4,}', "
	             "max_length: 20, check: entropy, evidence: hash, models: m*, valid_from: 2026-03-01, "
	             "examples: {hit: [x, y], miss: [z]}}\n"
	             "- {id: r2, risk: A.1.a, action: shadow, services: c, all_of: {words: [甲, 乙], within: 40}}\n"
	             "- {id: r3, risk: A.1.b, action: block, keywords: [x], except: [xy, zx], near: {words: [n], "
	             "within: 9}}\n",
	             "");
	const struct rule *one = ruleset_rule_at(r, 0), *two = ruleset_rule_at(r, 1), *three = ruleset_rule_at(r, 2);

	cr_expect_eq(one->action, ACTION_REDACT);
	cr_expect_eq(one->evidence, EVIDENCE_HASH);
	cr_expect(one->has_pattern);
	cr_expect_eq(one->risk_ids[0], 46);
	cr_expect_eq(one->risk_ids[1], 91);
	cr_expect_eq(one->risk_ids[2], 90);
	cr_expect_str_eq(one->validity.services[1], "b");
	cr_expect_null(one->validity.services[2]);
	cr_expect_str_eq(one->validity.models[0], "m*");
	cr_expect_eq(one->validity.from, 1772323200);
	cr_expect_eq(one->validity.until, 1801440000);
	cr_expect_eq(one->hit_count, 2);
	cr_expect(slice_is(one->examples_miss[0], SLICE("z")));
	cr_expect_eq(two->action, ACTION_SHADOW);
	cr_expect_eq(two->all_count, 2);
	cr_expect_eq(two->all_within, 40);
	cr_expect_str_eq(two->validity.services[0], "c");
	cr_expect_null(two->validity.models);
	cr_expect_eq(three->keywords, 1);
	cr_expect(three->has_except);
	cr_expect_eq(three->near_within, 9);
	cr_expect_eq(ruleset_patterns(r), 1);
}

TEST(pack, mistakes_of_patterns)
{
	static const struct {
		const char *pattern, *at, *why;
	} cases[] = {
		{ "a+", "14", "has no longest match: bound its repeats, or give a max_length" },
		{ "a*b?", "14", "can match nothing at all" },
		{ "(a+b*)+", "14", "has no longest match: bound its repeats, or give a max_length" },
		{ "^a", "14", "'^' and '$' are not supported: a text has no end while it is written" },
		{ "a$", "15", "'^' and '$' are not supported: a text has no end while it is written" },
		{ "(a)\\1", "18", "this escape is not supported" },
		{ "a\\K", "16", "this escape is not supported" },
		{ "\\Aa", "15", "this escape is not supported" },
		{ "(?R)a", "16", "of groups only (...), (?:...), (?>...), (?i:...) and look-arounds are supported" },
		{ "(*ACCEPT)a", "16", "verbs are not supported" },
		{ "a{2", "17", "a repeat is {N}, {N,} or {N,M}, below 65536" },
		{ "a{3,2}b", "20", "a repeat is {N}, {N,} or {N,M}, below 65536" },
		{ "a{,2}b", "16", "a repeat is {N}, {N,} or {N,M}, below 65536" },
		{ "a{2}{3}b", "18", "'{', '}' and ']' must have a backslash" },
		{ "a**", "16", "a repeat of a repeat needs a group" },
		{ "[ab", "17", "a class has no ']'" },
		{ "[b-a]", "18", "a range of a class must go from a lower to a higher character" },
		{ "(ab", "17", "a '(' has no ')'" },
		{ "ab)", "16", "a ')' has no '('" },
		{ "甲\\", "16", "ends in a backslash" },
		{ "[0-9]{1025}", "14", "may look at more than 1024 characters" },
		{ "(?<=a{70})b", "14", "looks back more than 64 characters" },
		{ "(?=a+)b", "20", "what is looked at around a match must be of bounded length" },
		{ "(?:a{1,30}){1,30}b", "14",
		  "needs too much work on some texts: make its repeats exclude each other" },
		{ "[a-z]{1,99}[a-z]{1,99}[a-z]{1,99}[0-9]", "14",
		  "needs too much work on some texts: make its repeats exclude each other" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char pack[512], expected[512];

		snprintf(pack, sizeof(pack), PATTERN("%s"), cases[i].pattern);
		snprintf(expected, sizeof(expected), "a.yaml:6:%s: rule 'r1': the pattern: %s\n", cases[i].at,
		         cases[i].why);
		bad(pack, expected);
	}
	bad(PATTERN("(?:a+)+b") "    max_length: 50\n",
	    "a.yaml:6:14: rule 'r1': the pattern: repeats an endless repeat endlessly: it could take for ever\n");
	bad(PATTERN("a{2,3}b") "    max_length: 50\n",
	    "a.yaml:6:14: rule 'r1': the pattern: has a longest match of its own: max_length is for endless repeats\n");
	bad(PATTERN("a{20,}b") "    max_length: 10\n",
	    "a.yaml:6:14: rule 'r1': the pattern: has no match as short as max_length\n");
	bad(PATTERN("a{2,}b") "    max_length: 2000\n",
	    "a.yaml:7:17: rule 'r1': 'max_length' must be a number from 1 to 1024\n");
	bad(PATTERN("ab") "    check: no\n", "a.yaml:7:12: rule 'r1': unknown check 'no'\n");
	bad(PATTERN("ab") "    keywords: [x]\n", "a.yaml:3:5: rule 'r1': a rule has keywords or a pattern, not both\n");
	bad(RULE("    keywords: [x]\n    check: luhn\n"), "a.yaml:7:12: rule 'r1': 'check' needs a pattern\n");
}

/* What needs little work and is often written is taken in. */
TEST(pack, patterns_that_are_fine)
{
	static const char *const patterns[] = {
		"(?i)bearer {1,4}[a-z0-9]{20,40}",
		"[^\\s@]{1,64}@[^\\s@]{1,64}\\.[a-z]{2,8}",
		"\\d{3}-?\\d{4}",
		"(?:ab|cd){2,4}x",
		"(?>a{1,50})b",
		"[\\x{4e00}-\\x{9fff}]{2,4}先生",
		"\\bfoo\\b",
		"a{1,9}?b",
		"\\p{Han}{2,3}",
		"(a|b)c",
		"\\[x\\]\\{y\\}",
	};

	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		char pack[512];
		struct ruleset *r;

		snprintf(pack, sizeof(pack), PATTERN("%s"), patterns[i]);
		r = good(pack, "");
		ruleset_put(&r);
	}
}

TEST(pack, mistakes_of_conditions)
{
	bad(RULE("    keywords: [x]\n    near: [a]\n"),
	    "a.yaml:7:11: rule 'r1': 'near' must be {words: [...], within: N}\n");
	bad(RULE("    keywords: [x]\n    near: {words: [a]}\n"),
	    "a.yaml:7:11: rule 'r1': 'near' must be {words: [...], within: N}\n");
	bad(RULE("    keywords: [x]\n    near: {words: [a], within: 0}\n"),
	    "a.yaml:7:32: rule 'r1': 'within' must be a number from 1 to 512\n");
	bad(RULE("    keywords: [x]\n    near: {words: [a], within: 4294967297}\n"),
	    "a.yaml:7:32: rule 'r1': 'within' must be a number from 1 to 512\n");
	bad(RULE("    keywords: [x]\n    near: {words: [], within: 2, of: 3}\n"),
	    "a.yaml:7:34: rule 'r1': 'near': unknown key 'of'\na.yaml:7:19: rule 'r1': 'near': no words\n");
	bad(RULE("    keywords: [x]\n    except: a\n"), "a.yaml:7:13: rule 'r1': 'except' must be a list\n");
	bad(RULE("    keywords: [x]\n    except: [\"\\u200b\"]\n"),
	    "a.yaml:7:14: rule 'r1': except '\xe2\x80\x8b' has no character that is looked at\n");
	bad(RULE("    keywords: [x]\n    all_of: {words: [a, b], within: 9}\n"),
	    "a.yaml:7:13: rule 'r1': 'all_of' cannot be joined with keywords, a pattern, 'near' or 'except'\n");
	bad(RULE("    keywords: [x]\n    evidence: prompt\n"),
	    "a.yaml:7:15: rule 'r1': evidence 'prompt' is not supported by this version: no prompt is kept\n");
	bad(RULE("    keywords: [x]\n    evidence: all\n"), "a.yaml:7:15: rule 'r1': unknown evidence 'all'\n");
	bad(RULE("    keywords: [x]\n    valid_from: 2026-02-29\n"),
	    "a.yaml:7:17: rule 'r1': 'valid_from' must be a date, YYYY-MM-DD\n");
	bad(RULE("    keywords: [x]\n    valid_from: 2026-03-02\n    valid_until: 2026-03-01\n"),
	    "a.yaml:3:5: rule 'r1': 'valid_until' is before 'valid_from'\n");
	bad(RULE("    keywords: [x]\n    services: []\n"), "a.yaml:7:15: rule 'r1': 'services' is empty\n");
	bad(RULE("    keywords: [x]\n    models: {a: b}\n"),
	    "a.yaml:7:13: rule 'r1': 'models' must be a name or a list of names\n");
	bad(RULE("    keywords: [x]\n    examples: {hits: [a]}\n"),
	    "a.yaml:7:16: rule 'r1': 'examples': unknown key 'hits'\n");
	bad(RULE("    keywords: [x]\n    examples: {hit: [[a]]}\n"),
	    "a.yaml:7:22: rule 'r1': an example must be text\n");
}

TEST(pack, mistakes_of_categories)
{
	bad("pack: p\ncategories: [{id: canary, number: 91}]\nrules: [{id: a, risk: A.1.d, action: flag, keywords: "
	    "[x]}]\n",
	    "a.yaml:2:14: categories: 'canary' must begin with 'local.'\n");
	bad("pack: p\ncategories: [{id: local.a, number: 12}]\nrules: [{id: a, risk: A.1.d, action: flag, keywords: "
	    "[x]}]\n",
	    "a.yaml:2:14: categories: 'local.a' needs a number above 90\n");
	bad("pack: p\ncategories: [{id: local.a, number: 91}, {id: local.b, number: 91}]\n"
	    "rules: [{id: a, risk: A.1.d, action: flag, keywords: [x]}]\n",
	    "a.yaml:2:41: category 'local.b': the number is taken by the category at a.yaml:2:14\n");
}

TEST(pack, csv)
{
	static const char pack[] = "pack: p\nrules:\n"
				   "- {id: a, risk: A.1.a, action: flag, keywords_file: l.csv}\n"
				   "- {id: b, risk: [A.1.b, A.1.c], action: flag, keywords_file: l.csv}\n";
	owned(ruleset_put) struct ruleset *r = NULL, *none = NULL;
	owned(own_free) char *said = NULL;

	r = good(pack, "\xef\xbb\xbfnote,risk,keyword\r\n,A.1.a,甲\r\n\"say \"\"x\"\", y\",A.1 b,\"乙,乙\"\n"
	               "\"two\nlines\",a.1.C,\"a\"\"b\"\n\n,A.1.a,丙\n");
	cr_expect_eq(ruleset_rule_at(r, 0)->keywords, 2);
	cr_expect_eq(ruleset_rule_at(r, 1)->keywords, 2);
	said = load(pack, "keyword,risk\n甲,A.9.a\n乙\n\"丙,A.1.a\n", &none);
	cr_expect_str_eq(said, "l.csv:2:1: rule 'a': unknown risk 'A.9.a'\nl.csv:3:1: rule 'a': no column 'risk'\n"
	                       "l.csv:4:1: rule 'a': a quote is not closed\n"
	                       "l.csv:2:1: rule 'b': unknown risk 'A.9.a'\nl.csv:3:1: rule 'b': no column 'risk'\n"
	                       "l.csv:4:1: rule 'b': a quote is not closed\n");
	own_free(&said);
	said = load(pack, "word,risk\n甲,A.1.a\n", &none);
	cr_expect_str_eq(
		said, "l.csv:1:1: rule 'a': the first line must name the columns, 'keyword' and 'risk' among them\n"
		      "l.csv:1:1: rule 'b': the first line must name the columns, 'keyword' and 'risk' among them\n");
}

/* The words of a policy, with a space behind each. */
static char *words_of(const char *pack, const char *list)
{
	char dir[] = "/tmp/sluice-pack-XXXXXX", path[64];
	owned(policy_report_free) struct policy_report report = {};
	owned(ruleset_put) struct ruleset *r = NULL;
	struct policy_word w;
	char *said = NULL;
	size_t len;
	FILE *file;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/l.txt", dir);
	file = fopen(path, "w");
	fputs(list, file);
	fclose(file);
	snprintf(path, sizeof(path), "%s/a.yaml", dir);
	file = fopen(path, "w");
	fputs(pack, file);
	fclose(file);
	ruleset_load_words(&r, dir, NULL, &report);
	unlink(path);
	snprintf(path, sizeof(path), "%s/l.txt", dir);
	unlink(path);
	rmdir(dir);
	file = open_memstream(&said, &len);
	if (report.text)
		fputs(report.text, file);
	for (size_t i = 0; r && ruleset_word(r, i, &w); i++)
		fprintf(file, "%.*s ", SLICE_ARG(w.text));
	fclose(file);
	return said;
}

#define EXPECT_WORDS(pack, list, expected)                                                                             \
	do {                                                                                                           \
		owned(own_free) char *said = words_of(pack, list);                                                     \
                                                                                                                       \
		cr_expect_str_eq(said, expected, "said:\n%s", said);                                                   \
	} while (0)

TEST(pack, split)
{
	EXPECT_WORDS(RULE("    split: true\n    keywords: [手枪, 法, none]\n"), "", "手枪 手木仓 法 水去 氵去 none ");
	EXPECT_WORDS(RULE("    split: false\n    keywords: [手枪]\n"), "", "手枪 ");
	/* of several characters: all, and any choice; the shorter way first */
	EXPECT_WORDS(RULE("    split: l.txt\n    keywords: [枪毒]\n"), "# ours\n毒 龶母\n槍\t木ham\n",
	             "枪毒 木ham龶母 木仓龶母 枪龶母 木ham毒 木仓毒 ");
	EXPECT_WORDS(RULE("    split: l.txt\n    keywords: [x]\n"), "毒\n毒 母\n毒母 母\n\n",
	             "l.txt:1:1: rule 'r1': a line of 'split' is a character, white space and two parts or more\n"
	             "l.txt:2:1: rule 'r1': a line of 'split' is a character, white space and two parts or more\n"
	             "l.txt:3:1: rule 'r1': a line of 'split' is a character, white space and two parts or more\n");
	EXPECT_WORDS(RULE("    split: nowhere\n    keywords: [x]\n"), "",
	             "a.yaml:6:12: rule 'r1': split 'nowhere': No such file or directory\n");
	EXPECT_WORDS(RULE("    split: true\n    pattern: 'x'\n"), "",
	             "a.yaml:6:12: rule 'r1': 'split' is for keywords, not for a pattern\n");
	/* Many characters: each by itself, and all. */
	EXPECT_WORDS(RULE("    split: true\n    keywords: [枪炸好她]\n"), "",
	             "枪炸好她 木仓火乍女子女也 木仓炸好她 枪火乍好她 枪炸女子她 枪炸好女也 ");
}
