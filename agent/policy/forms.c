/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forms.c - a word in the forms that its rule asks for.
 *
 * A word without Han characters, or with one of unknown reading, has none: policy check counts those.
 */
#include "base/own.h"
#include "policy/draft.h"

#define SPLIT_WAYS    4 /* of writing a character in parts, that count */
#define SPLIT_CHOICES 3 /* characters of which any choice may be in parts */

/* The bytes of the character at the front of text that is UTF-8. */
static size_t character(struct slice text)
{
	size_t n = 1;

	while (n < text.len && (text.at[n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* Pinyin with a space on both sides of each syllable but at the ends. At most SCAN_FORM_MAX bytes: no syllable has more
 * than six. */
static size_t spaced(struct slice text, uint8_t out[static SCAN_FORM_MAX])
{
	bool space = false;
	size_t n = 0;

	for (size_t took; text.len; text = slice_from(text, took)) {
		uint8_t syllable[SCAN_FORM_MAX];
		struct slice piece = { text.at, took = character(text) };
		size_t len = 0;
		bool read = scan_form(piece, SCAN_PINYIN, syllable, &len) == SCAN_FINE;

		if (read)
			piece = slice_of(syllable, len);
		if (n + piece.len + 1 > SCAN_FORM_MAX)
			return 0;
		if (n && (space || read))
			out[n++] = ' ';
		memcpy(out + n, piece.at, piece.len);
		n += piece.len;
		space = read;
	}
	return n;
}

/* The text with those of its characters in parts that `which` says, the n-th way each; a character that has not so many
 * ways takes its last. 0: it does not fit, or nothing is to be written otherwise. */
static size_t in_parts(const struct splits *table, struct slice text, uint64_t which, size_t way,
                       uint8_t out[static SCAN_FORM_MAX])
{
	size_t n = 0, at = 0, took;
	bool any = false;

	for (; text.len; text = slice_from(text, took), at++) {
		struct slice piece = { text.at, took = character(text) }, parts = piece;

		for (size_t i = 0; at < 64 && which >> at & 1 && i <= way; i++) {
			struct slice next = splits_find(table, piece, i);

			if (!next.len)
				break;
			parts = next;
			any |= i == way;
		}
		if (n + parts.len > SCAN_FORM_MAX)
			return 0;
		memcpy(out + n, parts.at, parts.len);
		n += parts.len;
	}
	return any ? n : 0;
}

struct forming {
	struct draft *draft;
	enum role role;
	const char *who, *file;
	struct mark at;
};

static void add_split(const struct forming *f, struct slice text, uint64_t which)
{
	uint8_t bytes[SCAN_FORM_MAX];
	struct draft *d = f->draft;

	for (size_t way = 0; way < SPLIT_WAYS; way++) {
		size_t n = in_parts(&d->splits, text, which, way, bytes);
		struct slice kept = slice_of(n ? arena_copy(&d->texts, slice_of(bytes, n)) : NULL, n);

		if (kept.at)
			draft_needle(d, f->role, FORM_SPLIT, f->who, f->file, f->at, kept);
		else if (n)
			report_mistake(d->report, f->file, f->at, "%s: out of memory", f->who);
	}
}

/* Every choice of characters while they are few; else each by itself, and all. */
static void add_splits(const struct forming *f, struct slice text)
{
	uint64_t all = 0, at = 1;

	for (struct slice rest = text; rest.len && at; at <<= 1) {
		struct slice piece = { rest.at, character(rest) };

		if (splits_find(&f->draft->splits, piece, 0).len)
			all |= at;
		rest = slice_from(rest, piece.len);
	}
	if (__builtin_popcountll(all) <= SPLIT_CHOICES) {
		for (uint64_t which = all; which; which = (which - 1) & all)
			add_split(f, text, which);
		return;
	}
	add_split(f, text, all);
	for (uint64_t left = all; left; left &= left - 1)
		add_split(f, text, left & -left);
}

static void draft_letters(struct draft *d, enum role role, const char *who, const char *file, struct mark at,
                          struct slice text)
{
	const struct rule *rule = &d->rules[d->rule_count - 1].rule;
	const struct {
		enum form form;
		bool asked;
	} forms[] = { { FORM_PINYIN, rule->pinyin }, { FORM_SPACED, rule->pinyin }, { FORM_INITIALS, rule->initials } };
	size_t joined = 0;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		uint8_t bytes[SCAN_FORM_MAX];
		struct slice kept;
		size_t n = 0;

		if (!forms[i].asked)
			continue;
		if (forms[i].form == FORM_SPACED) {
			n = spaced(text, bytes);
			if (n <= joined)
				continue; /* one syllable */
		} else if (scan_form(text, forms[i].form == FORM_PINYIN ? SCAN_PINYIN : SCAN_INITIALS, bytes, &n)) {
			return;
		}
		if (forms[i].form == FORM_PINYIN)
			joined = n;
		kept = slice_of(arena_copy(&d->texts, slice_of(bytes, n)), n);
		if (kept.at)
			draft_needle(d, role, forms[i].form, who, file, at, kept);
		else
			report_mistake(d->report, file, at, "%s: out of memory", who);
	}
}

void draft_forms(struct draft *d, enum role role, const char *who, const char *file, struct mark at, struct slice text)
{
	draft_letters(d, role, who, file, at, text);
	if (d->rules[d->rule_count - 1].rule.split)
		add_splits(&(struct forming){ d, role, who, file, at }, text);
}
