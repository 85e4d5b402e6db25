/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.c - of each alternative the longest run of characters that stand for themselves.
 *
 * Only what is sure: what is in brackets of any kind is passed over, and a pattern with settings, quotes, comments or
 * verbs in it, where characters may not mean what they seem to, gives nothing.
 */
#include "record/pattern.h"

#define SPECIAL    "\\^$.[|()?*+{"
#define TAKES_MORE "QEc" /* escapes that may swallow a bracket */

struct reading {
	const char *at;
	struct slice best, run;
};

static void end_run(struct reading *r)
{
	if (r->run.len > r->best.len)
		r->best = r->run;
	r->run = (struct slice){ NULL, 0 };
}

/* Behind a class; NULL: it does not end. "]" stands for itself as its first member. */
static const char *behind_class(const char *at)
{
	at++;
	at += *at == '^';
	at += *at == ']';
	for (; *at && *at != ']'; at++) {
		if (at[0] == '[' && (at[1] == ':' || at[1] == '.' || at[1] == '='))
			return NULL;
		if (*at == '\\' && (!*++at || strchr(TAKES_MORE, *at)))
			return NULL;
	}
	return *at ? at + 1 : NULL;
}

/* Behind a group that begins at "("; NULL: not a plain one. */
static const char *behind_group(const char *at)
{
	size_t depth = 0;

	do {
		if (*at == '(') {
			if (at[1] == '*' || (at[1] == '?' && at[2] != ':'))
				return NULL;
			depth++;
			at++;
		} else if (*at == ')') {
			depth--;
			at++;
		} else if (*at == '[') {
			at = behind_class(at);
			if (!at)
				return NULL;
		} else if (*at == '\\') {
			if (!at[1] || strchr(TAKES_MORE, at[1]))
				return NULL;
			at += 2;
		} else if (*at++ == '\0') {
			return NULL;
		}
	} while (depth);
	return at;
}

/* An escape outside of brackets: of a sign it is the sign, of a letter or digit something else. */
static bool read_escape(struct reading *r)
{
	char c = r->at[1];

	end_run(r);
	/* What takes more characters with it, or changes what follows: not read. */
	if (!c || strchr("QEpPNKgkxoucCX0123456789RH", c))
		return false;
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
		r->at += 2;
		return true;
	}
	r->run = slice_of(r->at + 1, 1);
	r->at += 2;
	return true;
}

/* Behind "{2,3}"; NULL: it is no repetition. */
static const char *behind_count(const char *at)
{
	size_t n = 1 + strspn(at + 1, "0123456789,");

	return n > 1 && at[n] == '}' ? at + n + 1 : NULL;
}

/* "?", "*", "+", "{2}": what is repeated may be missing. */
static bool read_repeat(struct reading *r)
{
	/* Not half a character: the whole of it goes. */
	while (r->run.len && (r->run.at[r->run.len - 1] & 0xC0) == 0x80)
		r->run.len--;
	if (r->run.len)
		r->run.len--;
	end_run(r);
	r->at = *r->at == '{' ? behind_count(r->at) : r->at + 1;
	return r->at;
}

/* One alternative. False: nothing is known. */
static bool read_alternative(struct reading *r)
{
	r->best = r->run = (struct slice){ NULL, 0 };
	while (*r->at && *r->at != '|') {
		char c = *r->at;

		if (c == '[' || c == '(') {
			end_run(r);
			r->at = c == '[' ? behind_class(r->at) : behind_group(r->at);
			if (!r->at)
				return false;
		} else if (c == '\\') {
			if (!read_escape(r))
				return false;
		} else if (c == '?' || c == '*' || c == '+' || c == '{') {
			if (!read_repeat(r))
				return false;
		} else if (strchr(SPECIAL, c)) {
			end_run(r);
			if (c == ')')
				return false;
			r->at++;
		} else {
			if (!r->run.at)
				r->run.at = (const uint8_t *)r->at;
			r->run.len++;
			r->at++;
		}
	}
	end_run(r);
	return true;
}

size_t pattern_words(const char *pattern, bool caseless, struct needle out[PATTERN_WORDS])
{
	struct reading r = { .at = pattern };
	size_t n = 0;

	do {
		if (n)
			r.at++;
		if (n == PATTERN_WORDS || !read_alternative(&r) || !needle_make(&out[n], r.best, caseless))
			return 0;
		n++;
	} while (*r.at);
	return n;
}
