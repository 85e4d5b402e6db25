/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deidentify.c - texts without what tells of persons, as far as rules know it.
 *
 * What is found is replaced by the name of the rule, so that who reads or learns from the text still sees what stood
 * there. It is replaced rather too far than not far enough: a key that is longer than its pattern goes whole. Names of
 * people have no form: only words of the operator's find them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "policy/policy.h"

struct found {
	size_t from, to;
	const struct rule *rule;
};

struct finds {
	struct found *at; /* owned */
	size_t n, room;
	struct slice text;
	bool all;
};

static bool is_wanted(const struct rule *rule, bool all)
{
	if (all || rule->action == ACTION_REDACT)
		return true;
	for (size_t i = 0; i < rule->risk_count; i++)
		if (!strcmp(rule->risks[i], "A.4.f"))
			return true;
	return false;
}

static bool is_of_token(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("_+/=-", c));
}

/* A private key goes to its last line, all else to the end of its letters and digits. */
static size_t end_of(struct slice text, size_t from, size_t to)
{
	static const char begin[] = "-----BEGIN", end[] = "-----END";
	const uint8_t *last;

	if (text.len - from >= sizeof(begin) - 1 && !memcmp(text.at + from, begin, sizeof(begin) - 1)) {
		last = memmem(text.at + to, text.len - to, end, sizeof(end) - 1);
		if (!last)
			return text.len;
		to = (size_t)(last - text.at) + sizeof(end) - 1;
		while (to < text.len && (is_of_token(text.at[to]) || text.at[to] == ' '))
			to++;
		return to;
	}
	while (to < text.len && is_of_token(text.at[to]))
		to++;
	return to;
}

static int keep_hit(void *arg, const struct sight *hit)
{
	struct finds *f = arg;
	size_t from = (size_t)hit->from, to = (size_t)hit->to;

	if (!is_wanted(hit->rule, f->all) || from >= to || to > f->text.len)
		return 0;
	if (f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 16;
		struct found *more = reallocarray(f->at, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		f->at = more;
		f->room = room;
	}
	f->at[f->n++] = (struct found){ from, end_of(f->text, from, to), hit->rule };
	return 0;
}

/* Of those that begin together the longest first, then by name, so that the same text always gives the same. */
static int by_place(const void *x, const void *y)
{
	const struct found *a = x, *b = y;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	if (a->to != b->to)
		return a->to > b->to ? -1 : 1;
	return strcmp(a->rule->id, b->rule->id);
}

static int look(const struct ruleset *r, struct finds *f)
{
	struct scope anywhere = { .now = time(NULL) };
	struct lookout state = { .locate = true, .unjudged = true };
	int err = lookout_feed(r, &anywhere, &state, f->text, keep_hit, f);

	err = err ? err : lookout_end(r, &anywhere, &state, keep_hit, f);
	lookout_free(&state);
	return err;
}

int ruleset_deidentify(const struct ruleset *r, bool all, struct slice text, struct buf *out, uint64_t *replaced)
{
	struct finds f = { .text = text, .all = all };
	size_t at = 0;
	int err = look(r, &f);

	if (!err && f.n)
		qsort(f.at, f.n, sizeof(*f.at), by_place);
	for (size_t i = 0; i < f.n && !err; i++) {
		const struct found *one = &f.at[i];

		if (one->from < at) { /* in one that was replaced, or partly */
			at = one->to > at ? one->to : at;
			continue;
		}
		err = buf_add(out, slice_of(text.at + at, one->from - at));
		err = err ? err : buf_printf(out, "[%s]", one->rule->id);
		*replaced += !err;
		at = one->to;
	}
	if (!err && at < text.len)
		err = buf_add(out, slice_from(text, at));
	free(f.at);
	return err;
}

/* ---- ends of excerpts ---- */

/* Bytes of the digit at `at`: of ASCII, or of full width; 0: there is none. */
static size_t digit(struct slice s, size_t at)
{
	if (at < s.len && s.at[at] >= '0' && s.at[at] <= '9')
		return 1;
	return at + 2 < s.len && s.at[at] == 0xef && s.at[at + 1] == 0xbc && s.at[at + 2] >= 0x90 &&
	                       s.at[at + 2] <= 0x99
	               ? 3
	               : 0;
}

static bool is_of_word(uint8_t c)
{
	return is_of_token(c) || (c && strchr("@.%:~#?&()", c));
}

static size_t spaces(struct slice s)
{
	size_t n = 0;

	while (n < s.len && strchr(" \t\r\n", s.at[n]) && s.at[n])
		n++;
	return n;
}

static size_t token(struct slice s)
{
	size_t n = 0;

	while (n < s.len && is_of_token(s.at[n]))
		n++;
	return n;
}

#define KEY_LINE 24 /* letters and digits of a line of a key: hardly a word */

/* Bytes at the start that may be lines of a key whose first ones are not there, the last and shorter one, too. */
static size_t rest_of_key(struct slice s)
{
	size_t at = 0;

	for (;;) {
		size_t gap = spaces(slice_from(s, at)), line = token(slice_from(s, at + gap));

		if (line < KEY_LINE)
			return at ? at + gap + line : 0;
		at += gap + line;
	}
}

/* Where a key ends whose first line is not there; 0: there is none. */
static size_t end_of_key(struct slice s)
{
	static const char begin[] = "-----BEGIN", end[] = "-----END";
	const uint8_t *last = memmem(s.at, s.len, end, sizeof(end) - 1),
		      *first = memmem(s.at, s.len, begin, sizeof(begin) - 1);
	size_t at;

	if (!last || (first && first < last))
		return 0;
	for (at = (size_t)(last - s.at); at < s.len && (is_of_token(s.at[at]) || s.at[at] == ' '); at++)
		;
	return at;
}

/* Bytes at the start that may be the rest of a word or number; numbers go on over single spaces. */
static size_t rest_of_word(struct slice s)
{
	size_t at = 0, n;

	for (;;) {
		n = digit(s, at);
		if (!n && at < s.len && is_of_word(s.at[at]))
			n = 1;
		if (!n && at < s.len && s.at[at] == ' ')
			n = digit(s, at + 1) ? 1 : 0;
		if (!n)
			return at;
		at += n;
	}
}

/* Bytes of the digit that ends in front of `end`. */
static size_t digit_before(struct slice s, size_t end)
{
	if (end && digit(s, end - 1) == 1)
		return 1;
	return end >= 3 && digit(s, end - 3) == 3 ? 3 : 0;
}

static size_t start_of_word(struct slice s)
{
	size_t end = s.len, n;

	for (;;) {
		n = digit_before(s, end);
		if (!n && end && is_of_word(s.at[end - 1]))
			n = 1;
		if (!n && end && s.at[end - 1] == ' ')
			n = digit_before(s, end - 1) ? 1 : 0;
		if (!n)
			return end;
		end -= n;
	}
}

struct slice text_uncut(struct slice text, bool head, bool tail)
{
	if (head) {
		text = slice_from(text, end_of_key(text));
		text = slice_from(text, rest_of_word(text));
		text = slice_from(text, rest_of_key(text));
	}
	if (tail)
		text.len = start_of_word(text);
	return text;
}
