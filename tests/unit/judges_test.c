/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judges_test.c - rules that ask a classifier over texts that come in pieces: the same as on the whole text, asked
 * where the rule says, nothing let go that the rule holds, nothing held that it does not; and what of a pack is
 * refused.
 */
#include "tests/lib/test.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/own.h"
#include "tests/lib/classifier_craft.h"
#include "tests/lib/judge_craft.h"
#include "tests/lib/talk.h"

#define RULE(id, more) "- {id: " id ", risk: local.aa, action: block, boundary: none, " more "}\n"
#define BAD(more)      "classifier: {model: m.model, risk: local.bad, " more "}"
#define ASK(more)      "classifier: {model: m.model, risk: local." more "}"

static const char *const kinds[] = {
	RULE("now", ASK("aa, threshold: 0.8, window: answer, hold: none")),
	RULE("now.sentence", ASK("ba, threshold: 0.7, hold: none")),
	RULE("now.last", ASK("aa, threshold: 0.6, window: 20, hold: none")),
	RULE("sentence", ASK("aa, threshold: 0.6")),
	RULE("sentence.answer", ASK("ba, threshold: 0.6, window: answer")),
	RULE("sentence.last", ASK("aa, threshold: 0.7, window: 3")),
	RULE("whole", ASK("ba, threshold: 0.5, window: answer, hold: answer")),
	RULE("suspect", "keywords: [好, B7], suspect: [a, 說], " ASK("aa, threshold: 0.5")),
	RULE("suspect.near",
	     "suspect: [a, 你], near: {words: [b, 好], within: 4}, except: [a.], " ASK("ba, threshold: 0.5")),
	RULE("suspect.answer", "suspect: ['7'], " ASK("ba, threshold: 0.4, window: answer, hold: answer")),
	RULE("loose", "suspect: [你好], " ASK("aa, threshold: 0.4, hold: none")),
	RULE("unless", "pattern: '[a-c7]{2,5}', " ASK("aa, except_below: 0.4, window: 40")),
};

static struct ruleset *rules_of(const char *pack, uint8_t *model, size_t len)
{
	struct ruleset *r = talk_rules_model(pack, slice_of(model, len));

	free(model);
	return r;
}

/* These rules, and a model of random weights. */
static struct ruleset *crafted(const char *const *rules, size_t count, uint64_t seed)
{
	char pack[4096] = "pack: t\nrules:\n";
	size_t len;
	uint8_t *model = craft_model(2, 3, 10, seed, &len);

	for (size_t i = 0; i < count; i++)
		strcat(pack, rules[i]);
	return rules_of(pack, model, len);
}

static struct ruleset *good_and_bad(const char *pack)
{
	size_t len;
	uint8_t *model = judge_craft(&len);

	return rules_of(pack, model, len);
}

#define TOLD_MAX 4096

struct told {
	struct sight at[TOLD_MAX];
	size_t n;
};

static int tell(void *to, const struct sight *s)
{
	struct told *t = to;

	cr_assert_lt(t->n, TOLD_MAX);
	t->at[t->n++] = *s;
	return 0;
}

static int by_place(const void *x, const void *y)
{
	const struct sight *a = x, *b = y;
	int order = strcmp(a->rule->id, b->rule->id);

	if (order)
		return order;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->end != b->end)
		return a->end < b->end ? -1 : 1;
	return a->keyword < b->keyword ? -1 : a->keyword > b->keyword;
}

static const struct scope anywhere = {};

/* Pieces of `step` bytes, the first of `first`. */
static void run(const struct ruleset *r, struct slice text, size_t first, size_t step, struct told *t)
{
	struct lookout w = { .locate = true };

	t->n = 0;
	for (size_t n; text.len; text = slice_from(text, n)) {
		n = first ? first : step;
		n = n < text.len ? n : text.len;
		first = 0;
		cr_assert_eq(lookout_feed(r, &anywhere, &w, slice_of(text.at, n), tell, t), 0);
	}
	cr_assert_eq(lookout_end(r, &anywhere, &w, tell, t), 0);
	lookout_free(&w);
	qsort(t->at, t->n, sizeof(t->at[0]), by_place);
}

static void same(const struct told *a, const struct told *b, const char *how, size_t at)
{
	cr_assert_eq(a->n, b->n, "%s %zu: %zu and %zu", how, at, a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		const struct sight *x = &a->at[i], *y = &b->at[i];

		cr_assert(!by_place(x, y) && x->from == y->from && x->to == y->to && x->judged == y->judged &&
		                  x->logit == y->logit,
		          "%s %zu: %s %lu-%lu %d and %s %lu-%lu %d", how, at, x->rule->id, x->start, x->end, x->logit,
		          y->rule->id, y->start, y->end, y->logit);
	}
}

TEST(judges, the_same_under_every_cut)
{
	static struct told bytes, pieces;
	size_t told = 0;

	for (uint64_t seed = 1; seed <= 12; seed++) {
		owned(ruleset_put) struct ruleset *r = crafted(kinds, ARRAY_LEN(kinds), seed);
		uint64_t rnd = seed;
		uint8_t text[400];
		size_t len = craft_text(text, sizeof(text), &rnd);

		cr_assert_not_null(r);
		run(r, slice_of(text, len), 0, 1, &bytes);
		told += bytes.n;
		EACH_CUT (at, len) {
			run(r, slice_of(text, len), at, len, &pieces);
			same(&bytes, &pieces, "cut at", at);
		}
		for (size_t step = 2; step < 40; step++) {
			run(r, slice_of(text, len), 0, step, &pieces);
			same(&bytes, &pieces, "pieces of", step);
		}
	}
	cr_expect_gt(told, 100, "%zu", told);
}

/* One judge that decides alone reads over sentences of which there is nothing to say. */
TEST(judges, the_same_under_every_cut_alone)
{
	static const char *const alone[][2] = {
		{ RULE("one", ASK("aa, threshold: 0.7")), RULE("two", ASK("ba, threshold: 0.6, hold: none")) },
		{ RULE("one", ASK("aa, threshold: 0.9, window: answer")),
		  RULE("two", ASK("ba, threshold: 0.6, window: answer, hold: none")) },
		{ RULE("one", ASK("aa, threshold: 0.7, window: 30, hold: answer")),
		  RULE("two", ASK("ba, threshold: 0.6, window: 30, hold: none")) },
	};
	static struct told bytes, pieces;

	for (uint64_t seed = 1; seed <= 15; seed++) {
		owned(ruleset_put) struct ruleset *r = crafted(alone[seed % ARRAY_LEN(alone)], 2, seed);
		uint64_t rnd = seed;
		uint8_t text[1500];
		size_t len = craft_text(text, sizeof(text), &rnd);

		run(r, slice_of(text, len), 0, 1, &bytes);
		for (size_t step = 2; step < len; step += 1 + step / 8) {
			run(r, slice_of(text, len), 0, step, &pieces);
			same(&bytes, &pieces, "pieces of", step);
		}
	}
}

/* Every kind of rule is there to be compared. */
TEST(judges, every_kind_of_rule_finds)
{
	static struct told bytes;
	bool found[ARRAY_LEN(kinds)] = { false };

	for (uint64_t seed = 1; seed <= 12; seed++) {
		owned(ruleset_put) struct ruleset *r = crafted(kinds, ARRAY_LEN(kinds), seed);
		uint64_t rnd = seed;
		uint8_t text[2000];
		size_t len = craft_text(text, sizeof(text), &rnd);

		run(r, slice_of(text, len), 0, 1, &bytes);
		for (size_t i = 0; i < bytes.n; i++)
			for (size_t k = 0; k < ruleset_rules(r); k++)
				found[k] |= bytes.at[i].rule == ruleset_rule_at(r, k);
	}
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		cr_expect(found[k], "rule %zu", k);
}

/* Against a reading of each sentence by itself. */
TEST(judges, a_sentence_is_asked_when_it_is_over)
{
	static const char *const rule = RULE("sentence", ASK("aa, threshold: 0.6"));
	static struct told told;

	for (uint64_t seed = 1; seed <= 40; seed++) {
		owned(ruleset_put) struct ruleset *r = crafted(&rule, 1, seed);
		const struct classifier *c = ruleset_model_at(r, 0).classifier;
		owned(judged_free) struct judged *j = NULL;
		uint64_t rnd = seed, from = 0;
		enum judged_step step;
		uint8_t text[600];
		size_t len = craft_text(text, sizeof(text), &rnd), n = 0, used;

		run(r, slice_of(text, len), 0, 7, &told);
		cr_assert_eq(judged_start(&j, c, CLASSIFIER_SENTENCE, 0, NULL, 0), 0);
		for (size_t at = 0; at <= len; at += used) {
			used = 1;
			step = at < len ? judged_feed(j, slice_of(text + at, 1), &used) : judged_end(j);
			if (step != JUDGED_SENTENCE)
				continue;
			if (judged_logit(j, 0) >= classifier_logit_of(0.6)) {
				cr_assert_lt(n, told.n);
				cr_assert_eq(told.at[n].from, from);
				cr_assert_eq(told.at[n++].to, at < len ? at + 1 : len);
			}
			from = at + 1;
		}
		cr_assert_eq(n, told.n);
	}
}

/* ---- what is held ---- */

struct watch {
	uint64_t released; /* symbols */
	size_t n;
	bool blank[2048]; /* of each symbol */
	size_t symbols;
};

static void on_symbol(void *to, const struct scan_symbol *s)
{
	struct watch *w = to;

	w->blank[w->symbols++] = s->folded <= ' ' || s->folded == 0x85;
}

static int no_leak(void *to, const struct sight *s)
{
	const struct judging *j = &s->rule->judging;
	struct watch *w = to;

	/* Of the whole answer what was judged harmless before is out: but not the sentence that made it so. */
	w->n++;
	if (j->window == CLASSIFIER_ANSWER && j->hold == JUDGING_SENTENCE)
		cr_assert_gt(s->end, w->released);
	else if (j->hold != JUDGING_NONE) /* what is blank in front of a sentence is not part of it yet */
		for (uint64_t i = s->start; i < w->released; i++)
			cr_assert(w->blank[i], "%s %lu-%lu, out up to %lu", s->rule->id, s->start, s->end, w->released);
	return 0;
}

TEST(judges, nothing_goes_that_a_rule_holds)
{
	size_t n = 0;

	for (uint64_t seed = 1; seed <= 60; seed++) {
		owned(ruleset_put) struct ruleset *r = crafted(kinds, ARRAY_LEN(kinds), seed);
		struct lookout w = {};
		struct watch watch = {};
		uint64_t rnd = seed;
		uint8_t text[600];
		size_t len = craft_text(text, sizeof(text), &rnd), step = 1 + seed % 7;

		scan_explain(slice_of(text, len), on_symbol, &watch);
		for (size_t at = 0; at < len; at += step) {
			struct slice piece = slice_of(text + at, len - at < step ? len - at : step);
			struct lookout_hold hold;

			cr_assert_eq(lookout_feed(r, &anywhere, &w, piece, no_leak, &watch), 0);
			lookout_hold(r, &w, &hold);
			if (hold.symbol > watch.released)
				watch.released = hold.symbol;
		}
		cr_assert_eq(lookout_end(r, &anywhere, &w, no_leak, &watch), 0);
		lookout_free(&w);
		n += watch.n;
	}
	cr_expect_gt(n, 500);
}

static uint64_t held(const struct ruleset *r, const char *text, bool *whole)
{
	struct lookout w = {};
	struct lookout_hold hold;
	static struct told told;

	told.n = 0;
	cr_assert_eq(lookout_feed(r, &anywhere, &w, slice_str(text), tell, &told), 0);
	lookout_hold(r, &w, &hold);
	*whole = hold.whole;
	lookout_free(&w);
	return hold.length;
}

TEST(judges, nothing_is_held_that_no_rule_asks_for)
{
	static const struct {
		const char *rule, *text;
		uint64_t held;
		bool whole;
	} rows[] = {
		{ RULE("r", BAD("threshold: 0.9")), "今天好。", 0, false },
		{ RULE("r", BAD("threshold: 0.9")), "今天好。 \n\u200b", 0, false },
		{ RULE("r", BAD("threshold: 0.9")), "今天好。明天", 2, false },
		{ RULE("r", BAD("threshold: 0.9, window: 9")), "今天好。明天", 2, false },
		{ RULE("r", BAD("threshold: 0.9, hold: none")), "今天好。明天", 0, false },
		{ RULE("r", BAD("threshold: 0.9, window: answer, hold: answer")), "今天好。明天", 6, true },
		{ RULE("r", BAD("threshold: 0.9, hold: answer")), "今天好。", 4, true },
		{ RULE("r", "suspect: [天], " BAD("threshold: 0.9")), "今天好。明", 0, false },
		{ RULE("r", "suspect: [天], " BAD("threshold: 0.9")), "今天好。明天你们", 3, false },
		{ RULE("r", "suspect: [天], " BAD("threshold: 0.9, hold: none")), "今天好。明天你们", 0, false },
		{ RULE("r", "keywords: [天], " BAD("except_below: 0.1")), "今天好。明天你们", 3, false },
		{ RULE("r", "suspect: [天], " BAD("threshold: 0.9, window: answer, hold: answer")), "今天好。明", 4,
		  false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char pack[512];
		owned(ruleset_put) struct ruleset *r = NULL;
		bool whole;

		snprintf(pack, sizeof(pack), "pack: t\nrules:\n%s", rows[i].rule);
		r = good_and_bad(pack);
		cr_assert_not_null(r, "%s", pack);
		cr_expect_eq(held(r, rows[i].text, &whole), rows[i].held, "row %zu: %lu", i,
		             held(r, rows[i].text, &whole));
		cr_expect_eq(whole, rows[i].whole, "row %zu", i);
	}
}

/* ---- what is refused ---- */

/* What loading says of a pack, a model beside it, a key and a signature. */
static char *said(const char *pack, struct slice model, struct slice key, struct slice signature,
                  struct ruleset **rules)
{
	struct file {
		const char *name;
		struct slice bytes;
	} files[] = {
		{ "a.yaml", slice_str(pack) }, { "m.model", model }, { "k.pem", key }, { "m.model.sig", signature }
	};
	char dir[] = "/tmp/sluice-judges-XXXXXX", path[64];
	struct policy_report report = {};

	cr_assert_not_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		file = files[i].bytes.len ? fopen(path, "w") : NULL;
		if (file) {
			fwrite(files[i].bytes.at, 1, files[i].bytes.len, file);
			fclose(file);
		}
	}
	cr_expect_eq(ruleset_load(rules, dir, &report) != 0, report.errors != 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		unlink(path);
	}
	rmdir(dir);
	return report.text ? report.text : strdup("");
}

static void bad(const char *rule, struct slice model, const char *expected)
{
	owned(ruleset_put) struct ruleset *r = NULL;
	char pack[512];
	owned(own_free) char *text = NULL;

	snprintf(pack, sizeof(pack), "pack: t\nrules:\n%s", rule);
	text = said(pack, model, SLICE(""), SLICE(""), &r);
	cr_expect_str_eq(text, expected, "%s\nsaid: %s", rule, text);
	cr_expect_null(r);
}

TEST(judges, what_cannot_be_meant_is_refused)
{
	static const struct {
		const char *rule, *said;
	} rows[] = {
		{ RULE("r", "suspect: [x]"), "67: rule 'r': 'suspect' words need a 'classifier' that they wait for" },
		{ RULE("r", "classifier: m.model"),
		  "70: rule 'r': 'classifier' must be {model: FILE, threshold: P, ...}" },
		{ RULE("r", "classifier: {threshold: 0.5}"), "70: rule 'r': 'model' is missing" },
		{ RULE("r", BAD("threshold: 0.5, limit: 3")), "120: rule 'r': 'classifier': unknown key 'limit'" },
		{ RULE("r", BAD("threshold: 1")),
		  "115: rule 'r': 'threshold' must be a probability between 0 and 1, such as 0.9" },
		{ RULE("r", BAD("threshold: 0.0")),
		  "115: rule 'r': 'threshold' must be a probability between 0 and 1, such as 0.9" },
		{ RULE("r", BAD("threshold: 0.5, window: 1025")),
		  "128: rule 'r': 'window' must be sentence, answer, or a number of characters from 1 to 1024" },
		{ RULE("r", BAD("threshold: 0.5, hold: always")), "126: rule 'r': unknown hold 'always'" },
		{ RULE("r", BAD("window: answer")), "70: rule 'r': 'threshold' is missing" },
		{ RULE("r", BAD("threshold: 0.5, except_below: 0.1")),
		  "70: rule 'r': 'except_below' is for keywords or a pattern, and there are none" },
		{ RULE("r", "keywords: [x], " BAD("threshold: 0.5")),
		  "85: rule 'r': 'threshold' is for 'suspect' words or for a rule without keywords: keywords have "
		  "'except_below'" },
		{ RULE("r", "keywords: [x], " BAD("hold: none")),
		  "85: rule 'r': a classifier beside keywords or a pattern needs 'except_below' or 'suspect' words" },
		{ RULE("r", "suspect: [x], " BAD("except_below: 0.5")), "84: rule 'r': 'threshold' is missing" },
		{ RULE("r", "suspect: [x], " BAD("threshold: 0.5, hold: answer")),
		  "84: rule 'r': 'hold: answer' beside words needs 'window: answer'" },
		{ RULE("r", "all_of: {words: [x, y], within: 5}, " BAD("threshold: 0.5")),
		  "106: rule 'r': 'all_of' cannot be joined with 'classifier'" },
		{ RULE("r", "except: [x], " BAD("threshold: 0.5")),
		  "83: rule 'r': 'near' and 'except' are for words, and the classifier decides alone" },
		{ RULE("r", "classifier: {model: m.model, risk: A.1.d, threshold: 0.5}"),
		  "93: rule 'r': the model does not know the risk 'A.1.d'" },
		{ RULE("r", "classifier: {model: m.model, threshold: 0.5}"),
		  "70: rule 'r': the model knows none of the rule's risks: 'risk' must say which of its own is meant" },
		{ RULE("r", "classifier: {model: no.model, threshold: 0.5}"),
		  "78: rule 'r': model 'no.model': No such file or directory" },
		{ RULE("r", "classifier: {model: ../m.model, threshold: 0.5}"),
		  "78: rule 'r': model '../m.model': No such file or directory" },
		{ RULE("r", "classifier: {model: /etc/passwd, threshold: 0.5}"),
		  "78: rule 'r': model '/etc/passwd': must be inside the policy folder" },
		{ RULE("r", "classifier: {model: a.yaml, threshold: 0.5}"),
		  "78: rule 'r': model 'a.yaml': not a model of sluice, at byte 0" },
		{ "- {id: r, risk: local.bad, action: redact, " BAD("threshold: 0.5") "}\n",
		  "56: rule 'r': what a classifier decides alone can be blocked, flagged or shadowed, not redacted" },
		{ "- {id: r, risk: local.bad, action: redact, suspect: [x], " BAD("threshold: 0.5, hold: none") "}\n",
		  "70: rule 'r': what has gone out cannot be redacted: 'hold' must be sentence or answer" },
	};
	size_t len;
	owned(own_free) uint8_t *model = judge_craft(&len);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char expected[256];

		snprintf(expected, sizeof(expected), "a.yaml:3:%s\n", rows[i].said);
		bad(rows[i].rule, slice_of(model, len), expected);
	}
}

TEST(judges, hostile_models_are_refused_where_they_are_named)
{
	size_t len;
	owned(own_free) uint8_t *model = judge_craft(&len);
	uint32_t tried = 0;

	for (size_t at = 0; at < len; at = at < 400 ? at + 1 : 2 * at) {
		owned(ruleset_put) struct ruleset *r = NULL;
		owned(own_free) char *text = NULL;

		model[at] ^= 1;
		text = said("pack: t\nrules:\n" RULE("r", BAD("threshold: 0.5")), slice_of(model, len), SLICE(""),
		            SLICE(""), &r);
		model[at] ^= 1;
		cr_assert_null(r, "byte %zu", at);
		cr_assert(!strncmp(text, "a.yaml:3:", 9) && strstr(text, "rule 'r': model 'm.model': ") &&
		                  strstr(text, ", at byte "),
		          "%s", text);
		tried++;
	}
	cr_expect_gt(tried, 400);
	bad(RULE("r", BAD("threshold: 0.5")), slice_of(model, len - 1),
	    "a.yaml:3:78: rule 'r': model 'm.model': the file is not as long as it says, at byte 16\n");
}

TEST(judges, a_model_is_signed_where_the_rule_asks)
{
	static const char pack[] = "pack: t\nrules:\n" RULE("r", BAD("threshold: 0.5, key: k.pem"));
	EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	BIO *pem = BIO_new(BIO_s_mem());
	size_t len, signature_len = PACK_SIGNATURE;
	owned(own_free) uint8_t *model = judge_craft(&len);
	uint8_t signature[PACK_SIGNATURE], text[512];
	struct slice key, none = SLICE(""), file = slice_of(model, len), sig = slice_of(signature, PACK_SIGNATURE);
	struct ruleset *r = NULL;
	char *told;

	cr_assert(EVP_DigestSignInit(md, NULL, NULL, NULL, pair) == 1 &&
	          EVP_DigestSign(md, signature, &signature_len, model, len) == 1 && PEM_write_bio_PUBKEY(pem, pair));
	key = slice_of(text, (size_t)BIO_read(pem, text, sizeof(text)));
	told = said(pack, file, key, sig, &r);
	cr_expect_str_eq(told, "");
	cr_assert_not_null(r);
	ruleset_put(&r);
	free(told);
	for (int i = 0; i < 4; i++) {
		const char *why[] = { "signature 'm.model.sig': No such file or directory",
			              "model 'm.model': the signature is not that of the key over it",
			              "key 'k.pem': No such file or directory",
			              "key 'k.pem': not an Ed25519 public key in PEM" };

		signature[0] ^= i == 1;
		told = said(pack, file, i == 2 ? none : i == 3 ? SLICE("no key") : key, i == 0 ? none : sig, &r);
		signature[0] ^= i == 1;
		cr_expect(strstr(told, why[i]), "%s", told);
		cr_expect_null(r);
		free(told);
	}
	BIO_free(pem);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pair);
}
