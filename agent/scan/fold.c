/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/fold.h"

#include <errno.h>
#include <stdlib.h>

#include "scan/utf8.h"

#define FLAGS (FOLD_WORD | FOLD_NOISE)

/* What folds to nothing and may part words for some reader: controls and what is no character, marks of direction,
 * spaces without width, fillers and tags. Accents and selectors, the soft hyphen and the (non-)joiners stand inside of
 * words that people write, and part none. */
static const uint32_t parts[][2] = {
	{ 0x0, 0x8 },         { 0xe, 0x1f },        { 0x7f, 0x84 },       { 0x86, 0x9f },       { 0x600, 0x605 },
	{ 0x61c, 0x61c },     { 0x6dd, 0x6dd },     { 0x70f, 0x70f },     { 0x890, 0x891 },     { 0x8e2, 0x8e2 },
	{ 0x115f, 0x1160 },   { 0x180e, 0x180e },   { 0x200b, 0x200b },   { 0x200e, 0x200f },   { 0x202a, 0x202e },
	{ 0x2060, 0x206f },   { 0x3164, 0x3164 },   { 0xfeff, 0xfeff },   { 0xffa0, 0xffa0 },   { 0xfff0, 0xfffb },
	{ 0xfffd, 0xfffd },   { 0x110bd, 0x110bd }, { 0x110cd, 0x110cd }, { 0x13430, 0x1343f }, { 0x1bca0, 0x1bca3 },
	{ 0x1d173, 0x1d17a }, { 0xe0000, 0xe00ff }, { 0xe01f0, 0xe0fff },
};
#define PART_BLOCKS 64 /* at most, in which they lie */

void fold_pool_free(struct fold_pool *p)
{
	free(p->at);
	*p = (struct fold_pool){ 0 };
}

int fold_pool_reserve(struct fold_pool *p, size_t more)
{
	size_t room = p->room ? p->room : 64;
	uint32_t *at;

	if (p->room - p->len >= more)
		return 0;
	while (room - p->len < more)
		room *= 2;
	at = realloc(p->at, room * sizeof(*at));
	if (!at)
		return -ENOMEM;
	p->at = at;
	p->room = room;
	return 0;
}

size_t fold_point(uint32_t cp, const uint32_t **out, uint32_t *one)
{
	uint32_t e = fold_blocks[fold_index[cp >> FOLD_SHIFT]][cp & (FOLD_BLOCK - 1)];

	*out = one;
	switch (FOLD_KIND(e)) {
	case FOLD_SELF:
		*one = cp | (e & FLAGS);
		return 1;
	case FOLD_ONE:
		*one = e & (FLAGS | 0x1fffffu);
		return 1;
	case FOLD_MULTI:
		*out = fold_multi + FOLD_VALUE(e) + 1;
		return fold_multi[FOLD_VALUE(e)];
	default:
		return 0;
	}
}

/* Walks the folded code points of a text; `visit` gets each with FOLD_WORD. */
static enum scan_fault walk(struct slice text, bool (*visit)(void *to, uint32_t folded), void *to)
{
	size_t symbols = 0;

	for (size_t i = 0, took; i < text.len; i += took) {
		const uint32_t *seq;
		uint32_t cp, one;
		size_t n;

		took = utf8_decode(text.at + i, text.len - i, &cp);
		/* U+FFFD itself may be written, and is three bytes long as no maximal subpart of that start is. */
		if (!took || (cp == UTF8_REPLACEMENT && (took != 3 || text.at[i] != 0xef)))
			return SCAN_NOT_UTF8;
		n = fold_point(cp, &seq, &one);
		symbols += n;
		if (symbols > SCAN_NEEDLE_MAX)
			return SCAN_TOO_LONG;
		for (size_t k = 0; k < n; k++)
			if (!visit(to, seq[k]))
				return SCAN_FINE;
	}
	return symbols ? SCAN_FINE : SCAN_EMPTY;
}

static bool visit_look(void *to, uint32_t folded)
{
	struct scan_look *look = to;

	look->word_last = folded & FOLD_WORD;
	if (!look->symbols++)
		look->word_first = look->word_last;
	return true;
}

enum scan_fault scan_look(struct slice text, struct scan_look *out)
{
	struct scan_look look = { 0 };
	enum scan_fault fault = walk(text, visit_look, &look);

	if (fault == SCAN_FINE)
		*out = look;
	return fault;
}

struct needle_pool {
	struct fold_pool *pool;
	bool edge_before, gap;
	struct scan_look look;
};

static bool visit_needle(void *to, uint32_t folded)
{
	struct needle_pool *np = to;
	struct fold_pool *p = np->pool;

	if (np->gap && folded & FOLD_NOISE)
		return true;
	if (!np->look.symbols && np->edge_before && !np->gap && folded & FOLD_WORD)
		p->at[p->len++] = FOLD_EDGE;
	p->at[p->len++] = FOLD_VALUE(folded);
	return visit_look(&np->look, folded);
}

/* Whether the needle fits with its gap. */
static enum scan_fault fit(const struct needle *n, const struct scan_look *look)
{
	if (!n->gap)
		return SCAN_FINE;
	if (!look->symbols)
		return SCAN_ALL_NOISE;
	if (n->gap > SCAN_GAP_MAX || look->symbols + (look->symbols - 1) * n->gap > SCAN_GAP_SPAN)
		return SCAN_TOO_WIDE;
	return SCAN_FINE;
}

enum scan_fault fold_needle(struct fold_pool *p, const struct needle *n, struct scan_look *look, int *error)
{
	struct needle_pool np = { .pool = p, .edge_before = n->edge_before, .gap = n->gap };
	size_t before = p->len;
	enum scan_fault fault;

	*error = fold_pool_reserve(p, SCAN_NEEDLE_MAX + 1);
	if (*error)
		return SCAN_FINE;
	fault = walk(n->text, visit_needle, &np);
	if (fault != SCAN_FINE) {
		p->len = before;
		return fault;
	}
	fault = fit(n, &np.look);
	if (fault != SCAN_FINE) {
		p->len = before;
		return fault;
	}
	*look = np.look;
	return SCAN_FINE;
}

static uint32_t base_entry(uint32_t cp)
{
	return fold_blocks[fold_index[cp >> FOLD_SHIFT]][cp & (FOLD_BLOCK - 1)];
}

enum scan_fault scan_look_needle(const struct needle *n, struct scan_look *out)
{
	uint32_t room[SCAN_NEEDLE_MAX + 1];
	struct needle_pool np = { .pool = &(struct fold_pool){ room, 0, SCAN_NEEDLE_MAX + 1 }, .gap = n->gap };
	enum scan_fault fault = walk(n->text, visit_needle, &np);

	if (fault == SCAN_FINE)
		fault = fit(n, &np.look);
	if (fault == SCAN_FINE)
		*out = np.look;
	return fault;
}

bool fold_is_letter(uint32_t folded)
{
	return base_entry(folded) & FOLD_WORD;
}

bool fold_is_noise(uint32_t folded)
{
	return base_entry(folded) & FOLD_NOISE;
}

bool fold_is_own(uint32_t folded)
{
	return (folded >= 'a' && folded <= 'z') || (folded >= 0x3400 && folded < 0xa000) ||
	       (folded >= 0x20000 && folded < 0x40000);
}

uint32_t fold_twin(uint32_t cp)
{
	uint32_t low = 0, high = fold_twin_count;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (fold_twins[mid].cp < cp)
			low = mid + 1;
		else
			high = mid;
	}
	return low < fold_twin_count && fold_twins[low].cp == cp ? fold_twins[low].looks : 0;
}

static uint32_t text_entry(uint32_t folded, const uint32_t *number)
{
	return number[FOLD_VALUE(folded)] | (folded & FLAGS) >> 5;
}

/* The base entry as text reads it, where the code point itself is not in use. */
static uint32_t translate(uint32_t e, const uint32_t *number)
{
	switch (FOLD_KIND(e)) {
	case FOLD_SELF:
		return (e & FLAGS) >> 5;
	case FOLD_ONE:
		return text_entry(e, number);
	case FOLD_MULTI:
		return TEXT_SPECIAL | FOLD_VALUE(e);
	default:
		return TEXT_SPECIAL | TEXT_DROP;
	}
}

/* The entry of a code point, in a block that no other shares. */
static uint32_t *own_entry(struct fold_table *t, uint32_t cp, size_t *blocks)
{
	uint16_t *b = &t->index[cp >> FOLD_SHIFT];

	if (*b < fold_block_count) {
		memcpy(t->blocks[*blocks], t->blocks[*b], sizeof(*t->blocks));
		*b = (uint16_t)(*blocks)++;
	}
	return &t->blocks[*b][cp & (FOLD_BLOCK - 1)];
}

int fold_table_build(struct fold_table *t, const uint32_t *number, const uint32_t *used, size_t count)
{
	size_t blocks = fold_block_count, own = count + fold_twin_count + PART_BLOCKS;

	memcpy(t->index, fold_index, sizeof(t->index));
	/* Shared blocks first, then one of its own for each block that has a symbol: at most as many as the index. */
	t->blocks = malloc((blocks + (own < FOLD_INDEX ? own : FOLD_INDEX)) * sizeof(*t->blocks));
	t->twins = malloc(fold_twin_count * sizeof(*t->twins));
	t->multi = malloc(fold_multi_count * sizeof(*t->multi));
	t->low = malloc(FOLD_LOW * sizeof(*t->low));
	if (!t->blocks || !t->multi || !t->low || !t->twins)
		return -ENOMEM;
	for (uint32_t b = 0; b < fold_block_count; b++)
		for (uint32_t k = 0; k < FOLD_BLOCK; k++)
			t->blocks[b][k] = translate(fold_blocks[b][k], number);
	for (uint32_t at = 0; at < fold_multi_count; at += fold_multi[at] + 1) {
		t->multi[at] = fold_multi[at];
		for (uint32_t k = 1; k <= fold_multi[at]; k++)
			t->multi[at + k] = text_entry(fold_multi[at + k], number);
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t *e;

		if (used[i] == FOLD_EDGE)
			continue;
		/* What is folded folds to itself, so its entry is FOLD_SELF and has only flags so far. */
		e = own_entry(t, used[i], &blocks);
		*e = (*e & ~TEXT_SYMBOL(UINT32_MAX)) | number[used[i]];
	}
	/* A look that no needle has is no reading. */
	for (uint32_t i = 0; i < fold_twin_count; i++) {
		uint32_t looks = number[fold_twins[i].looks], *e;

		if (!looks)
			continue;
		e = own_entry(t, fold_twins[i].cp, &blocks);
		t->twins[i][0] = *e;
		t->twins[i][1] = (*e & ~TEXT_SYMBOL(UINT32_MAX)) | looks;
		*e = TEXT_SPECIAL | TEXT_TWIN | i;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (uint32_t cp = parts[i][0]; cp <= parts[i][1]; cp++)
			*own_entry(t, cp, &blocks) |= TEXT_PARTS;
	t->block_count = blocks;
	for (uint32_t cp = 0; cp < FOLD_LOW; cp++)
		t->low[cp] = t->blocks[t->index[cp >> FOLD_SHIFT]][cp & (FOLD_BLOCK - 1)];
	return 0;
}

void fold_table_free(struct fold_table *t)
{
	free(t->blocks);
	free(t->multi);
	free(t->low);
	t->blocks = NULL;
	t->multi = NULL;
	t->low = NULL;
	free(t->twins);
	t->twins = NULL;
}
