/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - the door of policy: what needles mean.
 *
 * A policy is a folder of YAML packs (design, section 7) and the word lists they name. It compiles to an immutable
 * ruleset with a digest, shared by reference count; a folder with any mistake is refused whole, each mistake named with
 * file, line and column.
 */
#pragma once

#include <stdio.h>

#include "base/buf.h"
#include "scan/scan.h"

/* In order of weight: the heaviest hit of an answer decides. */
enum action { ACTION_SHADOW, ACTION_FLAG, ACTION_REDACT, ACTION_BLOCK, ACTION_COUNT };

extern const char *const action_names[ACTION_COUNT]; /* "shadow", "flag", "redact", "block" */

/* What of a hit is kept beside the record: nothing; a keyed tag of the match; the match and what is around it, or what
 * there was of the answer, sealed. */
enum evidence { EVIDENCE_NONE, EVIDENCE_HASH, EVIDENCE_SPAN, EVIDENCE_FULL, EVIDENCE_COUNT };

extern const char *const evidence_names[EVIDENCE_COUNT];

/* For whom and when a rule is there. */
struct validity {
	const char *const *services,
		*const *models; /* NULL-terminated; NULL: all. "name*" stands for all that begin so */
	int64_t from, until;    /* seconds since 1970, [from, until); 0: no bound */
};

/* The risk that a pack or a data set names: a clause like A.1.d in any of its spellings, or local.NAME. *name is
 * borrowed from a table or from `text`. False: there is none. */
bool taxonomy_find(struct slice text, struct slice *name, uint16_t *number);

/* What waits for the judge. It is asked behind each sentence; `answer` over the window of the whole answer: at the
 * text's end. With `none`, where it decides alone, behind each character, too. */
enum judging_hold { JUDGING_NONE, JUDGING_SENTENCE, JUDGING_ANSWER, JUDGING_HOLD_COUNT };

extern const char *const judging_hold_names[JUDGING_HOLD_COUNT]; /* "none", "sentence", "answer" */

/* How a rule uses a model. Logits as scan.h has them. */
struct judging {
	const char *model;     /* the file as the rule names it; NULL: the rule asks no judge */
	const char *risk;      /* as the model names it */
	const uint8_t *digest; /* of the model: CLASSIFIER_DIGEST bytes */
	enum classifier_window window;
	enum judging_hold hold;
	bool alone;        /* the judge decides by itself; else words wait for it */
	uint16_t last;     /* symbols of a CLASSIFIER_LAST window */
	uint16_t of_model; /* the risk's place in the model */
	uint16_t judge;    /* the ruleset's, of this model and window */
	int32_t threshold; /* from here on it agrees; INT32_MAX: it is not asked that */
	int32_t unless;    /* hits do not count below; INT32_MIN: all do */
};

/* One rule of a pack. Strings live as long as the ruleset. */
struct rule {
	const char *id; /* unique in the policy */
	const char *pack;
	const char *const *risks; /* "A.1.d" however it was written, or "local.NAME"; NULL-terminated, at least one */
	uint16_t *risk_ids;       /* number of regulation.md section 4; 90 and up: the operator's own */
	size_t risk_count;
	enum action action;
	enum evidence evidence;
	struct validity validity;
	size_t keywords; /* how many */
	uint8_t gap;     /* so many characters of noise may stand between two of a word */
	bool pinyin;     /* words in Han characters count in pinyin too */
	bool initials;   /* and by the first letters of its syllables */
	bool split;      /* words in Han characters count with those in parts */
	size_t suspects; /* words that count only if the judge agrees */
	struct judging judging;
	bool has_pattern;
	bool has_except;      /* a hit inside one of these words does not count */
	uint32_t near_within; /* counts only if one of the words is that near, in characters; 0: no such condition */
	uint32_t all_count;   /* so many words must all occur; 0: no such condition */
	uint32_t all_within;  /* in so many characters */
	const char *opinion;  /* a hit counts if this model says so; NULL: it needs nobody's word */
	const struct slice *examples_hit, *examples_miss; /* texts that the author says it finds, or must not find */
	size_t hit_count, miss_count;
};

/* What a needle is to its rule. */
enum role { ROLE_KEYWORD, ROLE_EXCEPT, ROLE_NEAR, ROLE_ALL, ROLE_SUSPECT, ROLE_COUNT };

extern const char *const role_names[ROLE_COUNT]; /* "keyword", "except", "near", "all_of", "suspect" */

/* How a word is written there. */
enum form { FORM_WRITTEN, FORM_PINYIN, FORM_SPACED, FORM_INITIALS, FORM_SPLIT, FORM_COUNT };

extern const char *const form_names[FORM_COUNT]; /* "as written", "pinyin", "pinyin, spaced", "initials", "in parts" */

/* A pack of the policy. Strings live as long as the ruleset. */
struct pack {
	const char *name, *version, *file; /* version: "": none; file: its name in the folder */
	int64_t day;                       /* that its version names, seconds since 1970; 0: none */
	size_t rules;
};

/* One word of a policy, if they were kept. */
struct policy_word {
	const struct rule *rule;
	struct slice text; /* as written, or the form's */
	enum role role;
	enum form form;
	uint32_t keyword; /* index within its rule and role */
	uint8_t gap;
	const char *file; /* where it stands */
	uint32_t line, column;
};

struct ruleset;

/* Mistakes found while loading, one a line: "FILE:LINE:COLUMN: text", FILE as it is called in the folder; "DIR: text"
 * about the folder itself. The first 100 are listed. */
struct policy_report {
	char *text; /* owned; NULL: none */
	size_t len;
	size_t errors; /* mistakes, those not listed too */
};

void policy_report_free(struct policy_report *r);

/* Loads all *.yaml and *.yml of folder `dir`, in order of name. On success *out is the caller's (ruleset_put). Errors:
 * -EINVAL with what is wrong in *report (which the caller frees in each case), -errno of the file system, also in the
 * report. A folder without packs is an error: an empty policy guards nothing. */
int ruleset_load(struct ruleset **out, const char *dir, struct policy_report *report);

/* The same where each pack and each list must be signed with the key; NULL: none has to be. */
struct pack_key;
int ruleset_load_signed(struct ruleset **out, const char *dir, const struct pack_key *key,
                        struct policy_report *report);

/* The same, and keeps what its words say, for tools. */
int ruleset_load_words(struct ruleset **out, const char *dir, const struct pack_key *key, struct policy_report *report);

/* The same of one pack of a folder, which need not be a policy. */
int ruleset_load_pack(struct ruleset **out, const char *dir, const char *file, const struct pack_key *key,
                      struct policy_report *report);

/* The same of packs in memory, which can name no files; their names stand in mistakes. */
struct pack_text {
	const char *name;
	struct slice text;
};
int ruleset_load_texts(struct ruleset **out, const struct pack_text *packs, size_t count, struct policy_report *report);

/* What the configuration says about policies. */
struct policy_terms {
	enum evidence evidence; /* of rules that say none; not of those for personal data, whose text is kept by none */
	bool sealed;            /* there is somebody to seal evidence for: without, span and full are mistakes */
	bool words;             /* as ruleset_load_words() */
	const struct pack_key *key; /* as ruleset_load_signed(); NULL: nothing has to be signed */
};

int ruleset_load_on(struct ruleset **out, const char *dir, const struct policy_terms *terms,
                    struct policy_report *report);

/* Shares; release with ruleset_put. */
struct ruleset *ruleset_get(struct ruleset *r);
void ruleset_put(struct ruleset **at);

const struct scanner *ruleset_scanner(const struct ruleset *r);
/* The rule and keyword behind a needle id. */
const struct rule *ruleset_rule(const struct ruleset *r, uint32_t needle);
uint32_t ruleset_keyword(const struct ruleset *r, uint32_t needle); /* index within its rule, from 0 */
size_t ruleset_patterns(const struct ruleset *r);
/* Of these: machine code (recognisers_compiled). */
size_t ruleset_patterns_compiled(const struct ruleset *r);

/* A model that rules use. */
struct ruleset_model {
	const char *name; /* the file as the first rule names it */
	const struct classifier *classifier;
};

size_t ruleset_models(const struct ruleset *r);
struct ruleset_model ruleset_model_at(const struct ruleset *r, size_t i);

size_t ruleset_rules(const struct ruleset *r);
const struct rule *ruleset_rule_at(const struct ruleset *r, size_t i);
size_t ruleset_packs(const struct ruleset *r);
const struct pack *ruleset_pack_at(const struct ruleset *r, size_t i);
/* The word behind a needle id; needles are numbered from 0. False: there is none, or words were not kept. */
bool ruleset_word(const struct ruleset *r, size_t needle, struct policy_word *out);
size_t ruleset_needles(const struct ruleset *r);
/* Does any rule ask for it? */
bool ruleset_acts(const struct ruleset *r, enum action action);
/* The most that any rule asks for. */
enum evidence ruleset_keeps(const struct ruleset *r);
/* Does any rule ask for an opinion? */
bool ruleset_asks(const struct ruleset *r);
/* No rule asks for more of a text than which needles are in it: lookout_skim() is worth a try. */
bool ruleset_words_only(const struct ruleset *r);

#define RULESET_DIGEST 32
/* SHA-256 over what the packs and lists say; the same policy gives the same digest. */
const uint8_t *ruleset_digest(const struct ruleset *r);

/* ---- what the words of a policy do to each other (inspect.c) ---- */

#define POLICY_RISKS        31
#define POLICY_KEYWORDS_ALL 10000 /* fewest in all that the standard asks for, over those risks that have a fewest */

/* A risk of GB/T 45654-2025, appendix A, and what the policy has for it. */
struct risk_count {
	const char *clause, *zh, *en;
	uint16_t number;
	size_t keywords, least; /* least: that the standard asks for; 0: none */
};

struct word_counts {
	struct risk_count risks[POLICY_RISKS];
	size_t total;  /* keywords of risks that have a least */
	size_t unread; /* words that have no pinyin although their rule asks for it */
	size_t brief;  /* first letters of pinyin that are fewer than three: they will be found in harmless text */
};

/* Told that `other` is found in the text of `word`, by needle id; `whole`: it takes all of it. Both are keywords as
 * they are written; or `other` is an exception of the same rule that takes the whole keyword, which then never counts.
 * What is the same is told once, of the later word. */
typedef void words_seen(void *to, size_t word, size_t other, bool whole);

/* Reads the words of a policy that has kept them. Of words that are the same one counts for a risk; rules that are not
 * in force at `now` do not count. -EINVAL: words were not kept; -ENOMEM. */
int ruleset_inspect(const struct ruleset *r, int64_t now, struct word_counts *out, words_seen *seen, void *to);

/* The longest word of the rule in that role, in characters as they fold. */
size_t ruleset_longest(const struct ruleset *r, const struct rule *rule, enum role role);

/* ---- texts without what tells of persons (deidentify.c) ---- */

/* Adds `text` to *out with what rules find replaced by the rule's name in brackets: of all rules, or of those that
 * redact or are for personal information (A.4.f). What overlaps is one. *replaced counts them on. -ENOBUFS, -ENOMEM,
 * -ETIME (a pattern went over its limit of work): *out may hold a part. */
int ruleset_deidentify(const struct ruleset *r, bool all, struct slice text, struct buf *out, uint64_t *replaced);

/* The part of an excerpt that is not cut: without the word or number at each end that is (`head`, `tail`), since half a
 * number is found by no rule. */
struct slice text_uncut(struct slice text, bool head, bool tail);

/* ---- texts to try a policy on (bank.c) ---- */

struct bank;

/* One text a line; of a .csv the column that its first line names text, question, prompt or answer. Empty ones are left
 * out. Errors: -EBADMSG (no such column, or no CSV), -EFBIG, -ENOMEM, -errno of the file system. */
int bank_load(struct bank **out, const char *path);
void bank_free(struct bank **at);
size_t bank_count(const struct bank *b);
struct slice bank_text(const struct bank *b, size_t i);

/* ---- word lists of others (import.c, import_text.c, sift.c) ---- */

/* How the words stand in a file. Rows have fields: a word and, in another column, its category. */
enum import_form {
	IMPORT_AUTO,  /* by the name's end: .json, .csv, .tsv; else by the first line: a tab, a '|', or lines */
	IMPORT_LINES, /* one a line, '#' begins a comment line */
	IMPORT_CSV,   /* RFC 4180 */
	IMPORT_TSV,   /* between tabs, no quotes */
	IMPORT_PAIRS, /* between '|': word|category */
	IMPORT_JSON,  /* ["word"], [{"word": ..., "category": ...}] or {"category": ["word"]} */
	IMPORT_FORM_COUNT
};

extern const char *const import_form_names[IMPORT_FORM_COUNT];

struct import_how {
	enum import_form form;
	const char *encoding; /* a name of import_encoding(); NULL: as the byte order mark says, else UTF-8 */
	bool base64;          /* words are base64, and the encoding is theirs; of the file it is UTF-8 */
	const char *word_column, *category_column; /* a name in the first row, or a number from 1; NULL: by their usual
	                                            * names, else the first and the second */
	const struct pack_key *key;                /* the file must be signed with; NULL: need not be */
};

/* The encodings that are read, from 0; NULL behind the last. */
const char *import_encoding(size_t i);

/* What becomes of a word. */
enum import_fate {
	IMPORT_TAKEN,
	IMPORT_SAME,    /* folds to what `other` folds to, for the same risk */
	IMPORT_INSIDE,  /* the word `other` is found in it, for the same risk, and such words are not wanted */
	IMPORT_NOTHING, /* folds to nothing */
	IMPORT_SHORT,   /* fewer characters than are wanted */
	IMPORT_LONG,    /* more than a keyword may have */
	IMPORT_BROKEN,  /* no text: not UTF-8, or not base64 */
	IMPORT_LEFT,    /* its category is not wanted */
	IMPORT_FATE_COUNT
};

struct import_word {
	struct slice text, category; /* category: empty if there is none */
	const char *file;
	uint32_t line;
	struct slice risk; /* as the taxonomy has it; empty: not known yet */
	uint32_t other;    /* 1 + the word that is the same, or is found in this one; 0: none */
	enum import_fate fate;
};

/* A category's risk, "-" for one that is not wanted; the category "*" is any that no other entry names. */
struct import_risk {
	struct slice category, risk;
};

struct import;

int import_new(struct import **out); /* -ENOMEM */
void import_free(struct import **at);
/* Adds the words of a file. *form is what it was read as. -EINVAL: mistakes are in the report; -errno, reported too. */
int import_add(struct import *x, const char *path, const struct import_how *how, enum import_form *form,
               struct policy_report *report);
/* Says which words have which risk: by the table, else by a category that is itself a clause or a name of the taxonomy;
 * `none` (may be empty) is that of words without a category. -EINVAL: categories or words without a risk are in the
 * report, and x may only be freed. */
int import_risks(struct import *x, const struct import_risk *map, size_t count, struct slice none,
                 struct policy_report *report);
/* Gives each word its fate. `least`: characters; `prune`: words in which another is found are left out. -ENOMEM. */
int import_sift(struct import *x, size_t least, bool prune);
size_t import_count(const struct import *x);
const struct import_word *import_word_at(const struct import *x, size_t i);

/* ---- signed packs (signature.c) ---- */

#define PACK_SIGNATURE 64 /* bytes */

/* A pack_key is the public key of whoever signs packs: PEM, Ed25519, as "openssl pkey -pubout" writes it. */

/* Errors: -EINVAL (no such key), -errno of the file system, -ENOMEM. */
int pack_key_load(struct pack_key **out, const char *path);
int pack_key_parse(struct pack_key **out, struct slice pem);
void pack_key_free(struct pack_key **at);

/* Whether the signature, as "openssl pkeyutl -sign -rawin" makes it, is that of the key over the bytes of a pack or
 * word list. 0; -EBADMSG: it is not; -ENOMEM. */
int pack_verify(const struct pack_key *k, struct slice pack, struct slice signature);
/* The same of a file and its signature in FILE.sig; also -errno of the file system (-ENOENT: not signed). */
int pack_verify_file(const struct pack_key *k, const char *path);

/* ---- a text and its rules (lookout.c) ---- */

/* What is known of an exchange; a rule for other services or models does not count there. What is not known (NULL, "",
 * 0) keeps no rule away. */
struct scope {
	const char *service, *model;
	const char *named; /* by the answer itself; a rule for either model counts. NULL or "": none */
	int64_t now;       /* seconds since 1970 */
};

bool rule_applies(const struct rule *rule, const struct scope *scope);
/* Does some rule count in `now` that does not in `before`? */
bool ruleset_widens(const struct ruleset *r, const struct scope *before, const struct scope *now);

/* One text under way. All zero is the start of a text; `locate` may be set then: bytes of hits are asked for. */
struct lookout {
	struct scan_state scan;
	uint64_t bytes; /* so far */
	bool locate;
	bool unjudged; /* no prose: may be set at the start. No judge reads it, and what needs its agreement is not
	                  found */
	struct lookout_more *more;  /* owned: what rules need that are more than words; NULL: nothing yet */
	struct judges_text *judges; /* owned: what judges have read of it; NULL: nothing yet */
};

/* A hit that counts. Symbols [start, end) of the text, as scan counts them. Bytes [from, to) of the text are known if
 * the rule redacts, has a pattern or asks for evidence or an opinion, if a judge decided alone, or if the lookout
 * locates; else both are 0. What a judge decides alone is the sentence that made it so, or over the window of the whole
 * answer all that was read. */
struct sight {
	const struct rule *rule;
	uint32_t keyword; /* index within the rule; suspects behind the keywords; 0 of a pattern or a judge */
	bool judged;      /* the judge was asked: its logit */
	int32_t logit;
	uint64_t start, end, from, to;
};

/* Told of each hit as soon as nothing that follows can change it. What it returns other than 0 ends the call. */
typedef int lookout_seen(void *to, const struct sight *sight);

/* Feeds bytes that follow those fed before. At which byte a hit is told depends on the bytes alone, if they are fed one
 * by one; of a longer piece it is known at its end what was found in it, in some order. Errors: what `seen` returned;
 * -ENOMEM; -ETIME: a pattern or the conditions of a rule went over their limit of work. After an error w may only be
 * freed. */
int lookout_feed(const struct ruleset *r, const struct scope *scope, struct lookout *w, struct slice bytes,
                 lookout_seen *seen, void *to);

/* Feeds bytes in which no needle ends, of a text and rules that ask for nothing but needles. True: w is behind them, as
 * lookout_feed() would leave it, which would tell of nothing. False: w is as it was. */
bool lookout_skim(const struct ruleset *r, struct lookout *w, struct slice bytes);

/* The text is over: what waited is decided. Afterwards w is at the start of a text, its counts going on. */
int lookout_end(const struct ruleset *r, const struct scope *scope, struct lookout *w, lookout_seen *seen, void *to);

/* What must be held: everything from that symbol, and from that byte, on. */
struct lookout_hold {
	uint64_t symbol, byte;
	uint64_t length; /* in characters; 0: nothing */
	bool whole;      /* nothing of the text goes before its end */
};

void lookout_hold(const struct ruleset *r, const struct lookout *w, struct lookout_hold *out);

/* No symbol in front of it must be held, of both; the number of symbols so far: none must. It may be a few too low, for
 * symbols are not counted anew to know it. */
uint64_t lookout_first(const struct ruleset *r, const struct lookout *w);

/* What was read lately: bytes of the text, from `from` on as far as they are kept; *at is where they begin. Whole
 * characters of UTF-8; what was none is one odd character for each. Empty if no rule asks for opinions, and behind
 * lookout_end(). Good until the next call for w. */
struct slice lookout_recent(const struct lookout *w, uint64_t from, uint64_t *at);

/* So many bytes are kept at least, if a rule asks for opinions. */
#define LOOKOUT_RECENT 2048

/* Nothing is held, and nothing is remembered that a later hit would need. */
bool lookout_idle(const struct ruleset *r, const struct lookout *w);

/* Makes *to the same as *from, in memory of its own; *to is all zero or was made so before. -ENOMEM. */
int lookout_copy(const struct ruleset *r, struct lookout *to, const struct lookout *from);
void lookout_free(struct lookout *w);
/* As at the start of a text, in the memory that w has. */
void lookout_again(struct lookout *w);
