/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_log.h - what the JSON decoder gave, as a transcript: one line an item, "<offset> <kind> [<text> (<raw bytes>)]".
 *
 * Input is fed from the end of a guard page. Text pieces are joined, so the transcript must not depend on the cut.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include "stream/stream.h"
#include "tests/lib/edge.h"
#include "tests/lib/test.h"

#define LOG_MAX (1 << 16)

struct log {
	size_t len;
	enum json_kind open; /* the kind of text that is still growing */
	bool growing;
	uint64_t raw;
	char text[LOG_MAX];
};

static const char *const kind_names[JSON_KIND_COUNT] = {
	[JSON_OBJECT] = "{",      [JSON_OBJECT_END] = "}",
	[JSON_ARRAY] = "[",       [JSON_ARRAY_END] = "]",
	[JSON_KEY] = "key",       [JSON_KEY_END] = "key-end",
	[JSON_STRING] = "string", [JSON_STRING_END] = "string-end",
	[JSON_NUMBER] = "number", [JSON_NUMBER_END] = "number-end",
	[JSON_TRUE] = "true",     [JSON_FALSE] = "false",
	[JSON_NULL] = "null",
};

static __attribute__((format(printf, 2, 3))) void put(struct log *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	l->len += (size_t)vsnprintf(l->text + l->len, LOG_MAX - l->len, format, args);
	va_end(args);
	cr_assert_lt(l->len, LOG_MAX);
}

static void close_text(struct log *l)
{
	if (l->growing)
		put(l, " (%lu)\n", (unsigned long)l->raw);
	l->growing = false;
}

/* One more piece of text that began at `from`. */
static void put_text(struct log *l, enum json_kind kind, size_t from, const uint8_t *at, size_t len, uint64_t raw)
{
	if (!l->growing || l->open != kind) {
		close_text(l);
		put(l, "%zu %s ", from, kind_names[kind]);
		l->growing = true;
		l->open = kind;
		l->raw = 0;
	}
	l->raw += raw;
	for (size_t i = 0; i < len; i++)
		put(l, at[i] < 0x20 ? "\\x%02x" : "%c", at[i]);
}

static void put_mark(struct log *l, size_t at, const char *what)
{
	close_text(l);
	put(l, "%zu %s\n", at, what);
}

struct reader {
	struct json j;
	struct log *l;
	size_t at;
	bool bad;
};

static void read_item(struct reader *r, const struct json_item *item)
{
	bool wordless = item->kind == JSON_NUMBER_END;

	if (item->kind == JSON_KEY || item->kind == JSON_STRING || item->kind == JSON_NUMBER)
		put_text(r->l, item->kind, r->at - item->ahead - item->raw, item->text.at, item->text.len, item->raw);
	else
		put_mark(r->l, r->at - !wordless, kind_names[item->kind]);
}

static void read_bad(struct reader *r, const struct json_item *item)
{
	r->bad = true;
	close_text(r->l);
	put(r->l, "%zu BAD %s\n", r->at, item->why);
}

static void read_piece(struct reader *r, struct slice s)
{
	struct json_item item;
	size_t used;

	for (s = at_edge(s); !r->bad; s = slice_from(s, used)) {
		enum step step = json_feed(&r->j, s, &used, &item);

		cr_assert_leq(used, s.len);
		r->at += used;
		if (step == STEP_BAD)
			read_bad(r, &item);
		else if (step == STEP_ITEM)
			read_item(r, &item);
		else
			break;
	}
}

static void read_end(struct reader *r)
{
	struct json_item item;
	enum step step = STEP_ITEM;

	while (!r->bad && (step = json_finish(&r->j, &item)) == STEP_ITEM)
		read_item(r, &item);
	if (!r->bad && step == STEP_BAD)
		read_bad(r, &item);
	else if (!r->bad)
		put_mark(r->l, r->at, json_done(&r->j) ? "done" : "blank");
	if (r->j.lone)
		put(r->l, "lone %u\n", r->j.lone);
}

/* The transcript of the input, cut at `cut` and, if `single`, between all bytes. */
static const char *transcript(struct slice in, size_t cut, bool single)
{
	static struct log l;
	struct reader r = { .l = &l };

	l.len = 0;
	l.growing = false;
	json_start(&r.j);
	cr_assert(json_blank(&r.j));
	if (single) {
		for (size_t i = 0; i < in.len; i++)
			read_piece(&r, slice_of(in.at + i, 1));
	} else {
		read_piece(&r, slice_of(in.at, cut));
		read_piece(&r, slice_from(in, cut));
	}
	read_end(&r);
	return l.text;
}
