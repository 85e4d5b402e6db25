/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forms.c - a word in the forms that its rule asks for.
 *
 * A word without Han characters, or with one of unknown reading, has none: policy check counts those.
 */
#include "base/own.h"
#include "policy/draft.h"

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

void draft_forms(struct draft *d, enum role role, const char *who, const char *file, struct mark at, struct slice text)
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
