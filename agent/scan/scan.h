/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.h - the door of scan: text meets needles.
 *
 * Pure: knows ids, not meanings. Text is UTF-8 cut anywhere; each code point is folded to symbols (case, width,
 * compatibility forms, ignorable characters, controls and U+FFFD to nothing) and walks one automaton. What is kept for
 * a text is one small struct, and the automaton's depth in it is the least hold: the longest end of the text that could
 * still become a needle. A second reading takes letters as those they look like (UTS #39): it hits only where letters
 * of both kinds are mixed, so that no word of another script is mistaken for one of this. Symbols are counted from 0
 * over the whole text; scan_locate() turns a count back into bytes.
 *
 * Word edges (design, section 6) are symbols of no width between a letter or digit of a script that separates words and
 * anything else, in needles and text alike: "must not touch" costs no look-behind and its wait is part of the hold.
 * Hangul syllables are one symbol each; a needle without a gap is looked for as its syllables, as their parts (NFD) and
 * as letters, each throughout. In parts and letters an open syllable begins a closed one, so there it is found in it.
 *
 * What shows as nothing and may part words for a reader (a zero-width space, a control, U+FFFD; not an accent, a soft
 * hyphen or a joiner) is in the middle of a word both nothing and an edge: needles go on over it, end at it and begin
 * behind it.
 */
#pragma once

#include "base/slice.h"

#define SCAN_NEEDLE_MAX 256 /* symbols of a needle */

struct needle {
	struct slice text;            /* UTF-8 */
	uint32_t id;                  /* the caller's, comes back in hits; need not be unique */
	bool edge_before, edge_after; /* must not touch a letter or digit there; ignored where the needle's own end is
	                               * no letter or digit of a script that separates words */
	uint8_t gap;                  /* up to so many characters in a row that are neither letter, mark nor number are
	                               * skipped between the needle's own, of which only those others count; at most
	                               * SCAN_GAP_MAX */
};

#define SCAN_GAP_MAX  8
#define SCAN_GAP_SPAN 63 /* characters that a needle with its gaps may take */

enum scan_fault {
	SCAN_FINE,
	SCAN_NOT_UTF8,   /* the needle is not UTF-8 */
	SCAN_EMPTY,      /* it folds to nothing */
	SCAN_TOO_LONG,   /* over SCAN_NEEDLE_MAX symbols */
	SCAN_TOO_MANY,   /* automaton over its limit of states or symbols */
	SCAN_ALL_NOISE,  /* with a gap: nothing is left */
	SCAN_TOO_WIDE,   /* gap over SCAN_GAP_MAX, or over SCAN_GAP_SPAN characters with all gaps */
	SCAN_NO_READING, /* no pinyin */
	SCAN_FAULT_COUNT
};

extern const char *const scan_fault_text[SCAN_FAULT_COUNT];

/* What a needle folds to, edges aside. */
struct scan_look {
	size_t symbols;
	bool word_first, word_last; /* its ends are letters or digits of scripts that separate words */
};

/* Looks at one needle's text as scanner_compile would. Returns SCAN_FINE and fills *out, or what is wrong with it. */
enum scan_fault scan_look(struct slice text, struct scan_look *out);

/* The same of a needle with all that is asked of it; what its gap skips is left out. */
enum scan_fault scan_look_needle(const struct needle *n, struct scan_look *out);

enum scan_form { SCAN_PINYIN, SCAN_INITIALS };

#define SCAN_FORM_MAX (7 * SCAN_NEEDLE_MAX)

/* A keyword's Han characters in Latin letters: toneless pinyin ("du pin" and "dupin" are two needles; this is the one
 * without spaces), or the first letter of each syllable. Other characters stay as they fold. Writes at most
 * SCAN_FORM_MAX bytes, unterminated. One reading a character: the commonest. Returns SCAN_FINE; SCAN_NO_READING if
 * there is no Han character or one of unknown reading; or what is wrong with the text. */
enum scan_fault scan_form(struct slice text, enum scan_form form, uint8_t *out, size_t *len);

/* Immutable once compiled; any number of threads may use it. */
struct scanner;

/* Compiles needles[0..count); count 0 is allowed. Copies what it needs. Errors: -EINVAL with *fault and *which saying
 * what is wrong with which needle; -ENOMEM. */
int scanner_compile(struct scanner **out, const struct needle *needles, size_t count, enum scan_fault *fault,
                    size_t *which);
void scanner_free(struct scanner **at);

struct scanner_stats {
	size_t needles, states, symbols, bytes; /* bytes: memory of tables */
	size_t longest;                         /* symbols of the longest needle */
};
void scanner_stats(const struct scanner *s, struct scanner_stats *out);

#define SCAN_PARTED_MAX 8 /* needles that begin in the middle of a word, followed at a time */

/* One text under way: 32 bytes for needles, 24 for those with a gap, and 32 for those that begin in the middle of a
 * word, behind what parts it unseen. All zero is the start of a text. */
struct scan_state {
	uint64_t symbols; /* so far, edges not counted */
	uint32_t at;      /* where in the automaton, or in what stands for it */
	uint32_t done;    /* hits of the next character that a full array has already taken */
	union {
		struct {                      /* of the second reading, if it is apart from the first */
			uint32_t twin;        /* node */
			uint8_t changed, own; /* symbols since the last that looks like another, and since the
			                       * last of those */
		};
		uint64_t letters; /* where `at` is before a word: those of it so far, the first lowest */
	};
	uint16_t last;    /* symbol, as the automaton numbers them */
	uint8_t apart;    /* the second reading is at another node than the first */
	uint8_t in_word;  /* the last character was a letter or digit of a separating script */
	uint8_t tail_len; /* bytes of a cut UTF-8 character */
	uint8_t tail[3];
	uint64_t taken;  /* of the last 64 symbols, newest lowest: those that no gap skips */
	uint64_t words;  /* those that are letters or digits of a separating script */
	uint32_t gapped; /* node of the reading without noise */
	bool seam;       /* in the middle of a word, behind what may part it */
	uint8_t parted_count;
	uint32_t parted[SCAN_PARTED_MAX]; /* nodes, with flags; eldest first */
};

struct scan_hit {
	uint32_t needle;     /* its id */
	uint64_t start, end; /* symbols [start, end) of the text */
};

/* Feeds bytes that follow those fed before. Writes up to `most` hits (at least 1) and returns how many; *used <
 * bytes.len only if there was no room for more: call again with the rest. Bytes that are not UTF-8 count as U+FFFD each
 * maximal part (Unicode 15, section 3.9). Hits come in order of their end; of one end, longest first, and those that
 * had to wait for a word edge after the others; of each, those of the second reading, of needles with a gap and of
 * those that begin in the middle of a word last. */
size_t scan_feed(const struct scanner *s, struct scan_state *st, struct slice bytes, size_t *used,
                 struct scan_hit *hits, size_t most);

/* The text is over: resolves a word edge at its end; a cut character counts as U+FFFD. Returns hits as scan_feed: call
 * again as long as it returns `most` (>= 1). Afterwards st is at the start of a text, its symbol count going on. */
size_t scan_end(const struct scanner *s, struct scan_state *st, struct scan_hit *hits, size_t most);

/* Symbols at the end of the text that could still become part of a hit; 0: nothing must be held. A cut UTF-8 character
 * (st->tail_len bytes) is held besides. */
size_t scan_hold(const struct scanner *s, const struct scan_state *st);

/* The part of `bytes` that gave symbols [start, end): *from is the offset of the first byte of the character that gave
 * the first, *to is behind the last byte of the one that gave the last. `at` is the state before `bytes` was fed.
 * Both are bytes.len if not reached. */
void scan_locate(const struct scanner *s, struct scan_state at, struct slice bytes, uint64_t start, uint64_t end,
                 size_t *from, size_t *to);

/* ---- what scanning does to a text, for people ---- */

/* A symbol of a text, and where it comes from. */
struct scan_symbol {
	uint32_t folded; /* the code point that it folds to */
	uint32_t looks;  /* what it looks like; folded if nothing else */
	size_t from, to; /* bytes of its character */
	bool letter;     /* of a script that separates words */
	bool noise;      /* a gap skips it */
};

/* Calls `each` for every symbol of a whole text, in order; characters that fold to nothing give none. */
void scan_explain(struct slice text, void (*each)(void *to, const struct scan_symbol *symbol), void *to);

#define SCAN_HOLD_MAX 1024 /* more counts as this */

/* How many symbols are held after each character of a text. */
struct scan_holds {
	uint64_t at[SCAN_HOLD_MAX + 1]; /* characters after which so many are held */
	uint64_t count, sum;
	size_t most;
};

/* Adds a whole text. */
void scan_holds_add(struct scan_holds *h, const struct scanner *s, struct slice text);

/* The least number that `permille` of all characters hold no more than. */
size_t scan_holds_quantile(const struct scan_holds *h, unsigned permille);
/* ---- recognisers: patterns and checks ---- */

#define PATTERN_LENGTH_MAX 1024 /* characters that one match may take */

struct check;

/* The check of that name, or NULL; and its name. */
const struct check *check_find(struct slice name);
const char *check_name(const struct check *c);

/* A regular expression: Perl's syntax as far as shape.h has it, over UTF-8, classes such as \d in ASCII. */
struct pattern {
	struct slice text;
	uint32_t max_length;       /* characters, for endless repeats only; 0: the pattern has a bound of its own */
	bool holds;                /* what may still become a match is held */
	const struct check *check; /* NULL: every match counts */
};

struct pattern_fault {
	size_t which, at; /* pattern, and byte in its text */
	char why[128];
};

/* Immutable once compiled; any number of threads may use it. */
struct recognisers;

/* Compiles patterns[0..count). Copies what it needs. Errors: -EINVAL with *fault saying what is wrong with which: what
 * has no longest match, matches nothing, or takes too much work is refused here; -ENOMEM. */
int recognisers_compile(struct recognisers **out, const struct pattern *patterns, size_t count,
                        struct pattern_fault *fault);
void recognisers_free(struct recognisers **at);
size_t recognisers_count(const struct recognisers *s);
/* Those that became machine code. Where the system forbids memory that is written and run, none do: PCRE2 interprets
 * them, with the same result. */
size_t recognisers_compiled(const struct recognisers *s);

/* The last bytes of one text under way, and its patterns. Positions are bytes of the text; they go on when it ends. */
struct trail;

struct recognised {
	size_t pattern; /* its place in what was compiled */
	uint64_t from, to;
};

/* Told of a match; what it returns other than 0 ends the call. */
typedef int trail_found(void *to, const struct recognised *what);

int trail_new(struct trail **out, uint64_t position); /* of the text's first byte; -ENOMEM */
void trail_free(struct trail **at);
/* Makes `to` the same as `from`, both of the same recognisers. -ENOMEM: `to` may only be freed. */
int trail_copy(const struct recognisers *s, struct trail *to, const struct trail *from);

/* Adds bytes that are about to be scanned from state `before`. -ENOMEM. */
int trail_add(struct trail *t, const struct scan_state *before, struct slice bytes);
/* No more bytes come, if any: a cut character counts as U+FFFD. To be called before scan_end. */
void trail_end(struct trail *t);
/* Another text begins where this one ended. */
void trail_restart(struct trail *t);
/* As trail_new(0), in the same memory. */
void trail_again(struct trail *t);

/* Looks for patterns in what was added since the last call; `end`: nothing follows. Each is told as soon as nothing
 * that follows can change it. Errors: what `found` returned; -ENOMEM; -ETIME: a pattern went over its limit of work. */
int trail_recognise(struct trail *t, const struct recognisers *s, bool end, trail_found *found, void *to);

/* Lets go of what neither a pattern under way needs, nor symbols from `symbol` on, nor belongs to the last `keep`
 * bytes. `s` may be NULL. */
void trail_forget(struct trail *t, const struct recognisers *s, uint64_t symbol, size_t keep);
/* Whole characters from byte `from` on, as far as they are kept; *at is where they begin, if there are any. Good until
 * the next call for t. */
struct slice trail_recent(const struct trail *t, uint64_t from, uint64_t *at);

/* The first byte that a pattern which holds may still need; UINT64_MAX: none. */
uint64_t trail_hold(const struct trail *t);

/* Bytes [*from, *to) of symbols [start, end) of a hit; symbols in front of a position; characters behind one. */
void trail_locate(const struct trail *t, const struct scanner *s, uint64_t start, uint64_t end, uint64_t *from,
                  uint64_t *to);
uint64_t trail_symbols(const struct trail *t, const struct scanner *s, uint64_t position);
/* No more than the symbols in front of a position, and few less; nothing is read for it. */
uint64_t trail_symbols_least(const struct trail *t, uint64_t position);
uint64_t trail_characters(const struct trail *t, uint64_t position);

/* ---- classifier: a linear judge over hashed n-grams of symbols ----
 *
 * Keywords say "certainly this", the judge "very likely this". It reads the text once, with constant work for a
 * character and the same result under every cut: the score of a window is the sum of small integers, one for each
 * n-gram that ends in the window, over the square root of the window's symbols. Everything is integer arithmetic, so
 * every machine says the same.
 *
 * Symbols are the fold's, so disguises by case, width and invisible characters change nothing; white space counts only
 * between two words. A sentence ends with 。 ! ? or a line end, with a full stop before white space, or after
 * CLASSIFIER_SENTENCE_MAX symbols; n-grams never reach over its start, whatever the window, so a sentence weighs the
 * same by itself and inside an answer.
 */
#define CLASSIFIER_RISKS_MAX    64
#define CLASSIFIER_NAME_MAX     72 /* bytes of a risk's name, terminator included */
#define CLASSIFIER_NGRAM_MAX    5  /* symbols */
#define CLASSIFIER_BITS_MIN     8  /* of the number of buckets */
#define CLASSIFIER_BITS_MAX     22
#define CLASSIFIER_FILE_MAX     (8u << 20)
#define CLASSIFIER_SENTENCE_MAX 512 /* symbols */
#define CLASSIFIER_LAST_MAX     1024
#define CLASSIFIER_WATCH_MAX    64
#define CLASSIFIER_DIGEST       32
#define CLASSIFIER_START        0x110000u /* symbol before the first of a sentence */

/* A model in use: immutable, any number of threads may read it. */
struct classifier;

/* What is wrong with a model file, and at which byte. */
struct classifier_fault {
	const char *what;
	size_t at;
};

/* What is told of a risk. Logits are natural, in 1/65536: 0 is a probability of one half. */
struct classifier_risk {
	char name[CLASSIFIER_NAME_MAX]; /* opaque to scan */
	int64_t gain;                   /* logit of a window: gain * sum / (256 * sqrt(symbols)) + offset */
	int32_t offset;
	uint32_t positives; /* texts that had the risk, of those trained on */
};

/* Opens a model file (docs: agent/scan/classifier_file.c). Borrows `file`, which may be mapped, for the model's life:
 * its bytes must not change. Every byte is checked, the digest over all of it too. Errors: -EINVAL with *fault,
 * -ENOMEM.
 */
int classifier_open(struct classifier **out, struct slice file, struct classifier_fault *fault);
void classifier_free(struct classifier **at);

/* True: `signature` (64 bytes) is that of the whole file under the Ed25519 public key (32 bytes; RFC 8032). */
bool classifier_signed(struct slice file, struct slice signature, struct slice key);

unsigned classifier_risks(const struct classifier *c);
const struct classifier_risk *classifier_risk(const struct classifier *c, unsigned i);
/* SHA-256 of the file's content, as the file carries it. */
const uint8_t *classifier_digest(const struct classifier *c);

/* What n-grams are counted in which buckets. */
struct classifier_shape {
	uint8_t ngram_max; /* 1 to CLASSIFIER_NGRAM_MAX: n-grams of 1 to so many symbols */
	uint8_t bits;      /* 2^bits buckets */
};
struct classifier_shape classifier_shape(const struct classifier *c);
uint64_t classifier_texts(const struct classifier *c); /* trained on */
/* What tells this program's fold from others. A model's buckets are those of the fold it was trained with: one made
 * with another is refused. */
uint32_t classifier_fold(void);

/* Probability and logit. */
int32_t classifier_logit_of(double probability);
double classifier_probability(int32_t logit);

enum classifier_window {
	CLASSIFIER_ANSWER,   /* the text so far */
	CLASSIFIER_SENTENCE, /* the sentence so far */
	CLASSIFIER_LAST,     /* its last symbols */
	CLASSIFIER_WINDOW_COUNT
};

/* A score that is waited for: the risk's logit comes to `logit` or more in a window of at least `least` symbols. */
struct classifier_watch {
	uint16_t risk, least;
	int32_t logit;
};

/* One text under way. */
struct judged;

/* Starts a text; `last` is the size of a CLASSIFIER_LAST window, 1 to CLASSIFIER_LAST_MAX, else ignored. Borrows the
 * model, copies the watches (at most CLASSIFIER_WATCH_MAX). Errors: -EINVAL, -ENOMEM. */
int judged_start(struct judged **out, const struct classifier *c, enum classifier_window window, unsigned last,
                 const struct classifier_watch *watches, size_t count);
void judged_free(struct judged **at);
/* Makes *to the same as `from`: NULL, or made so from a text that was started alike. -ENOMEM: *to is as it was. */
int judged_copy(struct judged **to, const struct judged *from);
/* The same text begins anew, as after judged_start. */
void judged_restart(struct judged *j);

/* Memory of such a text: 96 bytes, 8 a risk, and for CLASSIFIER_LAST 2 a risk and symbol. Watches are 16 each. */
size_t judged_bytes(const struct classifier *c, enum classifier_window window, unsigned last);

enum judged_step {
	JUDGED_MORE,     /* all bytes are used */
	JUDGED_PASSED,   /* a watch has come true that was not: see judged_passed() */
	JUDGED_SENTENCE, /* a sentence is over; its score can be asked for until the next call, judged_passed() too */
	JUDGED_STEP_COUNT
};

/* Feeds bytes that follow those fed before; *used of them were read: call again with the rest. Stops behind the
 * character that gave an event. Bytes that are not UTF-8 count as U+FFFD. A sentence is reported in every window. */
enum judged_step judged_feed(struct judged *j, struct slice bytes, size_t *used);
/* The text is over: JUDGED_SENTENCE, or JUDGED_MORE if it ended with a sentence. Feed no more. */
enum judged_step judged_end(struct judged *j);

/* Watches that came true with the last step, bit by bit. */
uint64_t judged_passed(const struct judged *j);
/* Logit of a risk in the window as it stands; that of no symbols is the risk's offset. */
int32_t judged_logit(const struct judged *j, unsigned risk);
uint64_t judged_symbols(const struct judged *j);  /* of the text so far */
unsigned judged_window(const struct judged *j);   /* symbols in the window */
unsigned judged_sentence(const struct judged *j); /* of the sentence under way; 0: none is */

/* ---- making models, and looking into them ---- */

/* An n-gram of a text: its symbols in reading order, CLASSIFIER_START for what lies before the sentence. */
struct classifier_gram {
	uint32_t bucket, n;
	uint32_t symbols[CLASSIFIER_NGRAM_MAX];
};

/* Visits every n-gram of a text, in order of their ends. Returns the text's symbols. */
uint64_t classifier_grams(struct classifier_shape shape, struct slice text,
                          void (*visit)(void *to, const struct classifier_gram *gram), void *to);
int classifier_weight(const struct classifier *c, unsigned risk, uint32_t bucket); /* -127 to 127 */

/* A model to be written. */
struct classifier_draft {
	struct classifier_shape shape;
	const struct classifier_risk *risks;
	unsigned risk_count;
	const int8_t *weights; /* [bucket][risk] */
	uint64_t texts;
};

/* The file of a model; the bytes are the caller's. The same draft gives the same bytes. Errors: -EINVAL if
 * classifier_open would refuse it, -ENOMEM. */
int classifier_build(uint8_t **out, size_t *len, const struct classifier_draft *draft);
