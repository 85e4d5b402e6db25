/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "base/own.h"
#include "policy/policy.h"
#include "policy/taxonomy.h"

/* A folder of files that goes away with its scope. */
struct folder {
	char path[64];
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void folder_remove(struct folder *f)
{
	nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct folder folder_make(void)
{
	struct folder f = { "/tmp/sluice-policy-XXXXXX" };

	cr_assert_not_null(mkdtemp(f.path));
	return f;
}

static void folder_add(const struct folder *f, const char *name, const void *bytes, size_t len)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, len, file), len);
	fclose(file);
}

static void folder_text(const struct folder *f, const char *name, const char *text)
{
	folder_add(f, name, text, strlen(text));
}

static struct ruleset *load_fine(const struct folder *f)
{
	owned(policy_report_free) struct policy_report report = { 0 };
	struct ruleset *r = NULL;
	int error = ruleset_load(&r, f->path, &report);

	cr_assert_eq(error, 0, "%s", report.text ? report.text : "");
	cr_assert_eq(report.errors, 0);
	return r;
}

/* The folder is refused with exactly this report. */
static void load_bad(const struct folder *f, const char *expected)
{
	owned(policy_report_free) struct policy_report report = { 0 };
	struct ruleset *r = NULL;
	int error = ruleset_load(&r, f->path, &report);

	cr_expect_eq(error, -EINVAL, "error %d", error);
	cr_expect_null(r);
	cr_expect_gt(report.errors, 0);
	cr_expect_str_eq(report.text ? report.text : "", expected, "got:\n%s", report.text ? report.text : "");
}

static void pack_bad(const char *pack, const char *expected)
{
	owned(folder_remove) struct folder f = folder_make();

	folder_text(&f, "a.yaml", pack);
	load_bad(&f, expected);
}

/* One rule with these lines added to id, risk and action (lines 3 to 5 of the file). */
#define RULE(more) "pack: p\nrules:\n  - id: r1\n    risk: A.1.d\n    action: block\n" more

static size_t hits_of(const struct ruleset *r, const char *text, struct scan_hit *hits, size_t most)
{
	struct scan_state st = { 0 };
	size_t used, n = scan_feed(ruleset_scanner(r), &st, slice_str(text), &used, hits, most);

	return n + scan_end(ruleset_scanner(r), &st, hits + n, most - n);
}

TEST(policy, good_folder)
{
	owned(folder_remove) struct folder f = folder_make();
	owned(ruleset_put) struct ruleset *r = NULL, *shared = NULL;
	struct scan_hit hits[8];

	folder_text(&f, "weapons.yaml",
	            "# remark\npack: weapons\nversion: \"2026.11.21\"\nnote: x\nrules:\n"
	            "  - id: weapons.nerve\n    risk: [A.1.d, \"a.1 H\"]\n    action: block\n"
	            "    keywords: [沙林毒气配方, synthesis of sarin]\n    keywords_file: nerve.txt\n"
	            "  - {id: weapons.ass, risk: local.test, action: flag, keywords: [ass], description: words}\n");
	folder_text(&f, "nerve.txt", "\xef\xbb\xbf# list\r\nnovichok\r\n\r\n  二甘醇 x \r\n");
	folder_text(&f, "b.yml",
	            "pack: b\nrules:\n- {id: b.1, risk: A.4.f, action: flag, boundary: none, keywords: [ab]}\n");
	folder_text(&f, ".hidden.yaml", "not: [a pack");
	folder_text(&f, "README", "nothing");
	r = load_fine(&f);
	shared = ruleset_get(r);
	cr_expect_eq(ruleset_rules(r), 3);
	cr_expect_eq(ruleset_packs(r), 2);
	cr_expect_str_eq(ruleset_rule_at(r, 0)->id, "b.1");

	cr_assert_eq(hits_of(r, "the SYNTHESIS\xe2\x80\x8b of Sarin, 合成沙林毒氣配方", hits, 8), 2);
	cr_expect_str_eq(ruleset_rule(r, hits[0].needle)->id, "weapons.nerve");
	cr_expect_eq(ruleset_keyword(r, hits[0].needle), 1);
	cr_expect_eq(hits[0].start, 4);
	cr_expect_eq(hits[0].end, 22);
	cr_expect_eq(ruleset_keyword(r, hits[1].needle), 0);
	cr_expect_eq(ruleset_rule(r, hits[1].needle)->action, ACTION_BLOCK);
	cr_expect_eq(ruleset_rule(r, hits[1].needle)->risk_count, 2);
	cr_expect_str_eq(ruleset_rule(r, hits[1].needle)->risks[0], "A.1.d");
	cr_expect_str_eq(ruleset_rule(r, hits[1].needle)->risks[1], "A.1.h");
	cr_expect_null(ruleset_rule(r, hits[1].needle)->risks[2]);
	cr_expect_eq(ruleset_rule(r, hits[1].needle)->risk_ids[0], 14);
	cr_expect_eq(ruleset_rule(r, hits[1].needle)->keywords, 4);
	cr_assert_eq(hits_of(r, "class 二甘醇 x", hits, 8), 1);
	cr_expect_eq(ruleset_keyword(r, hits[0].needle), 3);
	cr_assert_eq(hits_of(r, "novichok", hits, 8), 1);
	cr_expect_eq(ruleset_keyword(r, hits[0].needle), 2);
	cr_assert_eq(hits_of(r, "an ass", hits, 8), 1);
	cr_expect_eq(ruleset_rule(r, hits[0].needle)->risk_ids[0], TAXONOMY_LOCAL);
	cr_assert_eq(hits_of(r, "cabin", hits, 8), 1);
}

TEST(policy, shipped_selftest)
{
	owned(policy_report_free) struct policy_report report = { 0 };
	owned(ruleset_put) struct ruleset *r = NULL;
	struct scan_hit hits[4];

	cr_assert_eq(ruleset_load(&r, "packaging/policy.d", &report), 0, "%s", report.text ? report.text : "");
	cr_assert_eq(hits_of(r, "so: forbidden-phrase-alpha.", hits, 4), 1);
	cr_assert_eq(hits_of(r, "這是測試禁語甲", hits, 4), 1);
}

TEST(policy, unsupported_keys_by_name)
{
	static const char *const keys[] = { "redact", "shadow", "fold" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		char pack[256], expected[256];

		snprintf(pack, sizeof(pack), RULE("    keywords: [abc]\n    %s: 2\n"), keys[i]);
		snprintf(expected, sizeof(expected), "a.yaml:7:5: rule 'r1': '%s' is not supported by this version\n",
		         keys[i]);
		pack_bad(pack, expected);
	}
	pack_bad("pack: p\nclassifier: [x]\nrules: [{id: a, risk: A.1.d, action: flag, keywords: [x]}]\n",
	         "a.yaml:2:1: 'classifier' is not supported by this version\n");
}

TEST(policy, mistakes_of_shape)
{
	pack_bad("", "a.yaml:1:1: empty file\n");
	pack_bad("# nothing\n", "a.yaml:1:1: empty file\n");
	pack_bad("- a\n", "a.yaml:1:1: a pack must be a mapping\n");
	pack_bad("pack: p\n", "a.yaml:1:1: 'rules' is missing\n");
	pack_bad("pack: p\nrules: []\n", "a.yaml:2:8: 'rules' is empty\n");
	pack_bad("pack: p\nrules: x\n", "a.yaml:2:8: 'rules' must be a list\n");
	pack_bad("pack: p\nrules: [x]\n", "a.yaml:2:9: rule 1: must be a mapping\n");
	pack_bad("pack: p\nrules: [{}]\n",
	         "a.yaml:2:9: rule 1: 'id' is missing\na.yaml:2:9: rule 1: 'risk' is missing\n"
	         "a.yaml:2:9: rule 1: 'action' is missing\na.yaml:2:9: rule 1: no keywords\n");
	pack_bad("pack: [p]\nrules: [{id: a, risk: A.1.d, action: flag, keywords: [x]}]\n",
	         "a.yaml:1:7: 'pack' must be text\n");
	pack_bad("pack: p q\nrules: [{id: a, risk: A.1.d, action: flag, keywords: [x]}]\n",
	         "a.yaml:1:7: 'pack' is 'p q': only letters, digits, '.', '_' and '-', at most 128\n");
	pack_bad(RULE("    keywords: abc\n"), "a.yaml:6:15: rule 'r1': 'keywords' must be a list\n");
	pack_bad(RULE("    keywords: [[a]]\n"), "a.yaml:6:16: rule 'r1': a keyword must be text\n");
	pack_bad(RULE("    keywords: []\n"), "a.yaml:3:5: rule 'r1': no keywords\n");
	pack_bad(RULE("    keywords: [abc]\n    foo: 1\n"), "a.yaml:7:5: rule 'r1': unknown key 'foo'\n");
	pack_bad(RULE("    keywords: [abc]\n    note: [1]\n"), "a.yaml:7:11: rule 'r1': 'note' must be text\n");
	pack_bad(RULE("    keywords: [abc]\n    boundary: x\n"), "a.yaml:7:15: rule 'r1': unknown boundary 'x'\n");
	pack_bad(RULE("    keywords: [abc]\n    risk: A.1.d\n"), "a.yaml:7:5: key 'risk' is there twice\n");
	pack_bad("pack: p\nrules: [{id: a, risk: A.9.d, action: stop, keywords: [x]}]\nfoo: 1\n",
	         "a.yaml:3:1: unknown key 'foo'\na.yaml:2:23: rule 'a': unknown risk 'A.9.d'\n"
	         "a.yaml:2:38: rule 'a': unknown action 'stop'\n");
	pack_bad("pack: p\nrules: [{id: a, risk: [], action: flag, keywords: [x]}]\n",
	         "a.yaml:2:23: rule 'a': 'risk' is empty\n");
}

TEST(policy, mistakes_of_yaml)
{
	pack_bad("pack: p\nrules: [\n", "a.yaml:3:1: not YAML: did not find expected node content\n");
	pack_bad("pack: p\nrules: \"\xff\"\n", "a.yaml:2:9: not YAML: invalid leading UTF-8 octet\n");
	pack_bad("a: &x [*x]\n", "a.yaml:1:4: anchors are not supported\n");
	pack_bad("a: *x\n", "a.yaml:1:4: aliases are not supported\n");
	pack_bad("a: !!str x\n", "a.yaml:1:4: tags are not supported\n");
	pack_bad("a: b\n---\nc: d\n", "a.yaml:2:1: one document a file\n");
	pack_bad("[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]", "a.yaml:1:17: nested too deeply\n");
	pack_bad("? [a]\n: b\n", "a.yaml:1:3: a key must be text\n");
}

TEST(policy, mistakes_of_keywords)
{
	pack_bad(RULE("    keywords: [\"\\u200b\"]\n"),
	         "a.yaml:6:16: rule 'r1': keyword '\xe2\x80\x8b' has no character that is looked at\n");
	pack_bad(
		RULE("    boundary: word\n    keywords: [abc, 沙林, abc-, -abc]\n"),
		"a.yaml:7:21: rule 'r1': keyword '沙林' does not begin with a letter or digit of a script that "
		"separates "
		"words, as boundary 'word' needs\n"
		"a.yaml:7:25: rule 'r1': keyword 'abc-' does not end with a letter or digit of a script that separates "
		"words, as boundary 'word' needs\n"
		"a.yaml:7:31: rule 'r1': keyword '-abc' does not begin with a letter or digit of a script that "
		"separates "
		"words, as boundary 'word' needs\n");
}

TEST(policy, mistakes_of_lists)
{
	owned(folder_remove) struct folder f = folder_make();
	char path[256];

	folder_text(&f, "a.yaml",
	            "pack: p\nrules:\n"
	            "- {id: a, risk: A.1.d, action: flag, keywords_file: none.txt}\n"
	            "- {id: b, risk: A.1.d, action: flag, keywords_file: ../../etc/passwd}\n"
	            "- {id: c, risk: A.1.d, action: flag, keywords_file: /etc/passwd}\n"
	            "- {id: d, risk: A.1.d, action: flag, keywords_file: link.txt}\n"
	            "- {id: e, risk: A.1.d, action: flag, keywords_file: binary.txt}\n"
	            "- {id: f, risk: A.1.d, action: flag, keywords_file: latin.txt}\n"
	            "- {id: g, risk: A.1.d, action: flag, keywords_file: sub}\n"
	            "- {id: h, risk: A.1.d, action: flag, keywords_file: huge.txt}\n"
	            "- {id: i, risk: A.1.d, action: flag, keywords_file: pipe.txt}\n"
	            "- {id: j, risk: A.1.d, action: flag, keywords_file: empty.txt}\n");
	snprintf(path, sizeof(path), "%s/link.txt", f.path);
	cr_assert_eq(symlink("/etc/hostname", path), 0);
	snprintf(path, sizeof(path), "%s/sub", f.path);
	cr_assert_eq(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/pipe.txt", f.path);
	cr_assert_eq(mkfifo(path, 0644), 0);
	folder_add(&f, "binary.txt", "abc\nde\0f\n", 9);
	folder_text(&f, "latin.txt", "abc\n# \xe4\nK\xe4se\n");
	folder_text(&f, "empty.txt", "# nothing\n");
	folder_text(&f, "huge.txt", "");
	snprintf(path, sizeof(path), "%s/huge.txt", f.path);
	cr_assert_eq(truncate(path, 100 << 20), 0);
	load_bad(&f, "a.yaml:3:53: rule 'a': keywords_file 'none.txt': No such file or directory\n"
	             "a.yaml:4:53: rule 'b': keywords_file '../../etc/passwd': must be inside the policy folder\n"
	             "a.yaml:5:53: rule 'c': keywords_file '/etc/passwd': must be inside the policy folder\n"
	             "a.yaml:6:53: rule 'd': keywords_file 'link.txt': must be inside the policy folder\n"
	             "binary.txt:2:1: rule 'e': binary, not a word list\n"
	             "latin.txt:3:1: rule 'f': keyword is not UTF-8\n"
	             "a.yaml:9:53: rule 'g': keywords_file 'sub': not a regular file\n"
	             "a.yaml:10:53: rule 'h': keywords_file 'huge.txt': too large\n"
	             "a.yaml:11:53: rule 'i': keywords_file 'pipe.txt': not a regular file\n"
	             "a.yaml:12:3: rule 'j': no keywords\n");
}

/* Of a folder with one good pack nothing is loaded for the sake of one that is no pack. */
TEST(policy, files_that_are_no_packs)
{
	owned(folder_remove) struct folder f = folder_make();
	owned(policy_report_free) struct policy_report report = { 0 };
	struct ruleset *r = NULL;
	char path[256];

	folder_text(&f, "a.yaml", RULE("    keywords: [abc]\n"));
	folder_add(&f, "c.yaml", "pack: p\nrules: \0\n", 18);
	folder_text(&f, "d.yaml", "pack: p\nrules: &r [*r]\n");
	load_bad(&f, "c.yaml:2:8: not YAML: control characters are not allowed\n"
	             "d.yaml:2:8: anchors are not supported\n");
	folder_text(&f, "b.yaml", "");
	snprintf(path, sizeof(path), "%s/b.yaml", f.path);
	cr_assert_eq(truncate(path, 100 << 20), 0);
	cr_expect_eq(ruleset_load(&r, f.path, &report), -EFBIG);
	cr_expect_null(r);
	cr_expect_eq(strncmp(report.text, "b.yaml:1:1: too large\n", 22), 0, "%s", report.text);
}

TEST(policy, all_files_and_doubles)
{
	owned(folder_remove) struct folder f = folder_make();

	folder_text(&f, "a.yaml", RULE("    keywords: [abc]\n"));
	folder_text(&f, "b.yaml", RULE("    keywords: [abc]\n    fold: 1\n"));
	folder_text(&f, "c.yml", "x\n");
	load_bad(&f, "b.yaml:7:5: rule 'r1': 'fold' is not supported by this version\n"
	             "c.yml:1:1: a pack must be a mapping\n"
	             "b.yaml:3:9: rule 'r1': the id is taken by the rule at a.yaml:3:9\n");
}

TEST(policy, many_mistakes_are_counted)
{
	owned(folder_remove) struct folder f = folder_make();
	owned(policy_report_free) struct policy_report report = { 0 };
	owned(own_free) char *pack = NULL;
	struct ruleset *r = NULL;
	size_t n = 0, lines = 0;

	pack = malloc(20000);
	n = (size_t)sprintf(pack, "pack: p\nrules:\n");
	for (int i = 0; i < 200; i++)
		n += (size_t)sprintf(pack + n, "- x\n");
	folder_text(&f, "a.yaml", pack);
	cr_assert_eq(ruleset_load(&r, f.path, &report), -EINVAL);
	cr_expect_eq(report.errors, 200);
	for (size_t i = 0; i < report.len; i++)
		lines += report.text[i] == '\n';
	cr_expect_eq(lines, 101);
}

TEST(policy, folder_itself)
{
	owned(folder_remove) struct folder f = folder_make();
	owned(policy_report_free) struct policy_report report = { 0 };
	struct ruleset *r = NULL;
	char path[128];

	cr_expect_eq(ruleset_load(&r, f.path, &report), -EINVAL);
	cr_expect(strstr(report.text, ": no packs (*.yaml): an empty policy guards nothing\n"));
	policy_report_free(&report);
	cr_expect_eq(ruleset_load(&r, "/nonexistent", &report), -ENOENT);
	cr_expect_str_eq(report.text, "/nonexistent: No such file or directory\n");
	policy_report_free(&report);
	snprintf(path, sizeof(path), "%s/d.yaml", f.path);
	cr_assert_eq(mkdir(path, 0755), 0);
	cr_expect_eq(ruleset_load(&r, f.path, &report), -EINVAL);
	cr_expect_str_eq(report.text, "d.yaml:1:1: not a regular file\n");
	cr_expect_null(r);
}

static void digest_of(const char *file, const char *pack, uint8_t *out)
{
	owned(folder_remove) struct folder f = folder_make();
	owned(ruleset_put) struct ruleset *r = NULL;

	folder_text(&f, file, pack);
	folder_text(&f, "l.txt", "# remark\nabc\n");
	r = load_fine(&f);
	memcpy(out, ruleset_digest(r), RULESET_DIGEST);
}

TEST(policy, digest)
{
	uint8_t a[RULESET_DIGEST], b[RULESET_DIGEST];

	digest_of("a.yaml", RULE("    keywords: [abc]\n"), a);
	digest_of("z.yaml",
	          "# other layout\n{pack: p, rules: [{action: block, risk: A.1 d, id: r1, keywords_file: l.txt}]}", b);
	cr_expect_arr_eq(a, b, sizeof(a));
	digest_of("a.yaml", RULE("    keywords: [abd]\n"), b);
	cr_expect(memcmp(a, b, sizeof(a)));
	digest_of("a.yaml", RULE("    keywords: [abc]\n    boundary: none\n"), b);
	cr_expect(memcmp(a, b, sizeof(a)));
	digest_of("a.yaml", RULE("    keywords: [abc]\n    gap: 1\n"), b);
	cr_expect(memcmp(a, b, sizeof(a)));
	digest_of("a.yaml", "pack: p\nversion: 2\nrules: [{action: block, risk: A.1 d, id: r1, keywords: [abc]}]", b);
	cr_expect(memcmp(a, b, sizeof(a)));
}

TEST(policy, taxonomy)
{
	struct slice name;
	uint16_t number;

	for (size_t i = 0; i < TAXONOMY_COUNT; i++) {
		cr_assert(taxonomy_find(slice_str(taxonomy[i].clause), &name, &number));
		cr_expect_eq(number, taxonomy[i].number);
		/* A.1.d is 14: the numbers are the clause's own. */
		cr_expect_eq(number, (taxonomy[i].clause[2] - '0') * 10 + taxonomy[i].clause[4] - 'a' + 1);
	}
	cr_expect_not(taxonomy_find(SLICE("A.1"), &name, &number));
	cr_expect_not(taxonomy_find(SLICE("A.1.j"), &name, &number));
	cr_expect_not(taxonomy_find(SLICE("local."), &name, &number));
	cr_expect_not(taxonomy_find(SLICE("local.a b"), &name, &number));
}
