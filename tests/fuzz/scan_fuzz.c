/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: up to four needles, each a byte of flags and length and its text; then the text. Hits, hold and places must be
 * those of the slow reference, wherever the text is cut and however little room there is.
 */
#include "base/own.h"
#include "tests/lib/scan_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fine)
{
	if (!fine)
		abort();
}

static size_t run(const struct scanner *s, struct slice text, size_t cut, size_t most, struct scan_hit *hits,
                  struct scan_state *at_cut)
{
	struct scan_state st = { 0 };
	size_t n = 0, used, i = 0;

	*at_cut = st;
	while (i < text.len) {
		struct slice piece = slice_from(text, i);

		if (i < cut)
			piece.len = cut - i;
		n += scan_feed(s, &st, piece, &used, hits + n, most);
		i += used;
		if (i == cut)
			*at_cut = st;
	}
	return n + scan_end(s, &st, hits + n, REFERENCE_HITS - n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct scan_hit want[REFERENCE_HITS], got[REFERENCE_HITS];
	owned(scanner_free) struct scanner *s = NULL;
	struct reference_case c = { 0 };
	enum scan_fault fault;
	size_t which, n;

	while (c.count < 4 && size > 1 && data[0] & 0x80) {
		size_t len = data[0] & 0x1f;
		struct scan_look look;

		if (len > size - 1)
			len = size - 1;
		c.needles[c.count] =
			(struct needle){ slice_of(data + 1, len), (uint32_t)c.count, data[0] & 0x40, data[0] & 0x20 };
		/* Needles that begin with U+0001 to U+0003 have a gap. */
		if (len && data[1] && data[1] < 4) {
			c.needles[c.count].gap = data[1];
			c.needles[c.count].text = slice_from(c.needles[c.count].text, 1);
		}
		if (scan_look_needle(&c.needles[c.count], &look) == SCAN_FINE)
			c.count++;
		data += 1 + len;
		size -= 1 + len;
	}
	c.text = slice_of(data, size < 96 ? size : 96);
	check(!scanner_compile(&s, c.needles, c.count, &fault, &which));
	n = reference_hits(&c, want);
	for (size_t cut = 0; cut <= c.text.len; cut++) {
		struct scan_state st;
		size_t m = run(s, c.text, cut, cut % 2 ? 1 : REFERENCE_HITS / 2, got, &st);

		check(m == n);
		for (size_t i = 0; i < n; i++)
			check(got[i].needle == want[i].needle && got[i].start == want[i].start &&
			      got[i].end == want[i].end);
		check(scan_hold(s, &st) == reference_hold(&c, cut));
	}
	for (size_t i = 0; i < n && i < 8; i++) {
		size_t from, to, rf, rt;

		reference_locate(&c, &want[i], &rf, &rt);
		scan_locate(s, (struct scan_state){ 0 }, c.text, want[i].start, want[i].end, &from, &to);
		/* A hit of a character that the end cuts is reported by scan_end; no byte sequence gave it whole. */
		check(from == rf || from == c.text.len);
		check(to == rt || to == c.text.len);
	}
	return 0;
}
