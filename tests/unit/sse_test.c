/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse_test.c - server-sent events, compared as a transcript: one line an item, "<offset> <kind> [<text>]".
 *
 * Text is given with the offset of its first byte, everything else with the offset behind what was used for it. Every
 * input is read whole, byte by byte, and cut in two at every place, from the end of a guard page each time.
 */
#include <stdarg.h>
#include <stdio.h>

#include "stream/stream.h"
#include "tests/lib/edge.h"
#include "tests/lib/test.h"

#define LOG_MAX (1 << 14)

struct log {
	size_t len;
	int open; /* kind of the text that is still growing, -1: none */
	char text[LOG_MAX];
};

static const char *const kind_names[] = {
	[SSE_DATA] = "data",           [SSE_DATA_END] = "data-end",   [SSE_FIELD] = "field",
	[SSE_FIELD_END] = "field-end", [SSE_EVENT_END] = "event-end", [SSE_LF] = "lf",
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
	if (l->open >= 0)
		put(l, "'\n");
	l->open = -1;
}

static void put_item(struct log *l, size_t at, const struct sse_item *item)
{
	bool text = item->kind == SSE_DATA || item->kind == SSE_FIELD;

	if (!text || l->open != (int)item->kind) {
		close_text(l);
		put(l, text ? "%zu %s '" : "%zu %s\n", at - item->text.len, kind_names[item->kind]);
	}
	if (text) {
		l->open = item->kind;
		cr_assert_gt(item->text.len, 0);
	}
	for (size_t i = 0; i < item->text.len; i++)
		put(l, item->text.at[i] == '\n' ? "\\n" : "%c", item->text.at[i]);
}

static void read_piece(struct sse *sse, struct log *l, size_t *at, struct slice s)
{
	struct sse_item item;
	size_t used;

	s = at_edge(s);
	while (sse_feed(sse, s, &used, &item) == STEP_ITEM) {
		cr_assert_leq(used, s.len);
		*at += used;
		s = slice_from(s, used);
		put_item(l, *at, &item);
	}
	cr_assert_eq(used, s.len);
	*at += used;
}

static const char *transcript(struct slice in, size_t cut, bool single)
{
	static struct log l;
	struct sse sse;
	size_t at = 0;

	l.len = 0;
	l.open = -1;
	l.text[0] = '\0';
	sse_start(&sse);
	if (single) {
		for (size_t i = 0; i < in.len; i++)
			read_piece(&sse, &l, &at, slice_of(in.at + i, 1));
	} else {
		read_piece(&sse, &l, &at, slice_of(in.at, cut));
		read_piece(&sse, &l, &at, slice_from(in, cut));
	}
	close_text(&l);
	return l.text;
}

static void same_however_cut(const char *text, const char *want)
{
	struct slice in = slice_str(text);

	EACH_CUT (cut, in.len)
		cr_assert_str_eq(transcript(in, cut, false), want, "'%s' cut at %zu:\n%swant\n%s", text, cut,
		                 transcript(in, cut, false), want);
	cr_assert_str_eq(transcript(in, 0, true), want, "'%s' byte by byte:\n%swant\n%s", text, transcript(in, 0, true),
	                 want);
}

TEST(sse, lines_of_data)
{
	same_however_cut("data: x\n\n", "6 data 'x'\n8 data-end\n9 event-end\n");
	same_however_cut("data:x\n\n", "5 data 'x'\n7 data-end\n8 event-end\n");
	same_however_cut("data:  x \n\n", "6 data ' x '\n10 data-end\n11 event-end\n");
	same_however_cut("data:\n\n", "6 data-end\n7 event-end\n");
	same_however_cut("data: \n\n", "7 data-end\n8 event-end\n");
	same_however_cut("data\n\n", "5 data-end\n6 event-end\n");
	same_however_cut("data:\tx:y\n\n", "5 data '\tx:y'\n10 data-end\n11 event-end\n");
	same_however_cut("data: a long line of plain text\n", "6 data 'a long line of plain text'\n32 data-end\n");
}

/* The line break between two data lines is text, that behind the last one is not. */
TEST(sse, several_lines_of_data)
{
	same_however_cut("data: a\ndata: b\n\ndata: c\n\n",
	                 "6 data 'a'\n8 data-end\n12 data '\\nb'\n16 data-end\n17 event-end\n"
	                 "23 data 'c'\n25 data-end\n26 event-end\n");
	same_however_cut("data\ndata\n\n", "5 data-end\n8 data '\\n'\n10 data-end\n11 event-end\n");
	same_however_cut("data:a\nid:1\ndata:b\n\n", "5 data 'a'\n7 data-end\n7 field 'id:1'\n12 field-end\n"
	                                             "16 data '\\nb'\n19 data-end\n20 event-end\n");
}

TEST(sse, other_lines)
{
	same_however_cut(": ping\n\n", "0 field ': ping'\n7 field-end\n8 event-end\n");
	same_however_cut("event: a\nid\nretry:1\n", "0 field 'event: a'\n9 field-end\n9 field 'id'\n12 field-end\n"
	                                            "12 field 'retry:1'\n20 field-end\n");
	same_however_cut("dat: x\n", "0 field 'dat: x'\n7 field-end\n");
	same_however_cut("datax\n", "0 field 'datax'\n6 field-end\n");
	same_however_cut("dat\n", "0 field 'dat'\n4 field-end\n");
	same_however_cut("data : x\n", "0 field 'data : x'\n9 field-end\n");
	same_however_cut("Data: x\n", "0 field 'Data: x'\n8 field-end\n");
	same_however_cut(" data: x\n", "0 field ' data: x'\n9 field-end\n");
	same_however_cut("ddata: x\n", "0 field 'ddata: x'\n9 field-end\n");
	same_however_cut("\n\n", "1 event-end\n2 event-end\n");
}

TEST(sse, line_breaks)
{
	same_however_cut("data: x\r\r", "6 data 'x'\n8 data-end\n9 event-end\n");
	same_however_cut("data: x\r\n\r\n", "6 data 'x'\n8 data-end\n10 event-end\n11 lf\n");
	same_however_cut("data: x\n\r\ndata: y\r\n", "6 data 'x'\n8 data-end\n9 event-end\n10 lf\n"
	                                             "16 data 'y'\n18 data-end\n");
	same_however_cut("data: x\r\n\n", "6 data 'x'\n8 data-end\n10 event-end\n");
	same_however_cut("data: x\r\rdata: y\r\n\r\n\r\n",
	                 "6 data 'x'\n8 data-end\n9 event-end\n15 data 'y'\n17 data-end\n"
	                 "19 event-end\n20 lf\n21 event-end\n22 lf\n");
	same_however_cut("\r\n", "1 event-end\n2 lf\n");
	same_however_cut(":a\rdata\r\n", "0 field ':a'\n3 field-end\n8 data-end\n");
}

TEST(sse, byte_order_mark)
{
	same_however_cut("\xEF\xBB\xBF"
	                 "data: x\n",
	                 "9 data 'x'\n11 data-end\n");
	same_however_cut("\xEF\xBB\xBF\n", "4 event-end\n");
	same_however_cut("\xEF\xBB"
	                 "data: x\n",
	                 "0 field '\xEF\xBB"
	                 "data: x'\n10 field-end\n");
	same_however_cut("\xEF\n", "0 field '\xEF'\n2 field-end\n");
	same_however_cut("\xEF\xBB\xBF\xEF\xBB\xBF"
	                 "data\n",
	                 "3 field '\xEF\xBB\xBF"
	                 "data'\n11 field-end\n");
	same_however_cut("\n\xEF\xBB\xBF"
	                 "data\n",
	                 "1 event-end\n1 field '\xEF\xBB\xBF"
	                 "data'\n9 field-end\n");
}

/* What is not complete at the end was given all the same: a lax client shows it. */
TEST(sse, unfinished_event)
{
	same_however_cut("data: half", "6 data 'half'\n");
	same_however_cut("id: 1", "0 field 'id: 1'\n");
}

/* Bytes that are no line breaks but look like them in a word of eight. */
TEST(sse, any_byte_is_text)
{
	char line[64] = "data: ", want[128];

	for (int c = 1; c < 256; c++) {
		if (c == '\n' || c == '\r')
			continue;
		memset(line + 6, c, 20);
		strcpy(line + 26, "\n");
		snprintf(want, sizeof(want), "6 data '%.20s'\n27 data-end\n", line + 6);
		cr_assert_str_eq(transcript(slice_str(line), 0, false), want, "byte %d", c);
	}
}
