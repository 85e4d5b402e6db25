/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/fold.h"

#include <errno.h>
#include <stdlib.h>

#include "scan/utf8.h"

void fold_pool_free(struct fold_pool *p)
{
	free(p->at);
	*p = (struct fold_pool){ 0 };
}

/* Room for `more` entries behind the pool. */
static int reserve(struct fold_pool *p, size_t more)
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

/* What a code point folds to: entries with FOLD_WORD. */
static size_t base_fold(uint32_t cp, const uint32_t **out, uint32_t *one)
{
	uint32_t e = fold_blocks[fold_index[cp >> FOLD_SHIFT]][cp & (FOLD_BLOCK - 1)];

	*out = one;
	switch (FOLD_KIND(e)) {
	case FOLD_SELF:
		*one = cp | (e & FOLD_WORD);
		return 1;
	case FOLD_ONE:
		*one = e & (FOLD_WORD | 0x1fffffu);
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
		n = base_fold(cp, &seq, &one);
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
	bool edge_before;
	struct scan_look look;
};

static bool visit_needle(void *to, uint32_t folded)
{
	struct needle_pool *np = to;
	struct fold_pool *p = np->pool;

	if (!np->look.symbols && np->edge_before && folded & FOLD_WORD)
		p->at[p->len++] = FOLD_EDGE;
	p->at[p->len++] = FOLD_VALUE(folded);
	return visit_look(&np->look, folded);
}

enum scan_fault fold_needle(struct fold_pool *p, const struct needle *n, struct scan_look *look, int *error)
{
	struct needle_pool np = { .pool = p, .edge_before = n->edge_before };
	size_t before = p->len;
	enum scan_fault fault;

	*error = reserve(p, SCAN_NEEDLE_MAX + 1);
	if (*error)
		return SCAN_FINE;
	fault = walk(n->text, visit_needle, &np);
	if (fault != SCAN_FINE) {
		p->len = before;
		return fault;
	}
	*look = np.look;
	return SCAN_FINE;
}

bool fold_is_letter(uint32_t folded)
{
	return fold_blocks[fold_index[folded >> FOLD_SHIFT]][folded & (FOLD_BLOCK - 1)] & FOLD_WORD;
}

static uint32_t text_entry(uint32_t folded, const uint32_t *number)
{
	return number[FOLD_VALUE(folded)] | (folded & FOLD_WORD ? TEXT_WORD : 0);
}

/* The base entry as text reads it, where the code point itself is not in use. */
static uint32_t translate(uint32_t e, const uint32_t *number)
{
	switch (FOLD_KIND(e)) {
	case FOLD_SELF:
		return e & FOLD_WORD ? TEXT_WORD : 0;
	case FOLD_ONE:
		return text_entry(e, number);
	case FOLD_MULTI:
		return TEXT_SPECIAL | FOLD_VALUE(e);
	default:
		return TEXT_SPECIAL | TEXT_DROP;
	}
}

int fold_table_build(struct fold_table *t, const uint32_t *number, const uint32_t *used, size_t count)
{
	size_t blocks = fold_block_count;

	memcpy(t->index, fold_index, sizeof(t->index));
	/* Shared blocks first, then one of its own for each block that has a symbol: at most as many as the index. */
	t->blocks = malloc((blocks + (count < FOLD_INDEX ? count : FOLD_INDEX)) * sizeof(*t->blocks));
	t->multi = malloc(fold_multi_count * sizeof(*t->multi));
	t->low = malloc(FOLD_LOW * sizeof(*t->low));
	if (!t->blocks || !t->multi || !t->low)
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
		uint16_t *b;
		uint32_t *e;

		if (used[i] == FOLD_EDGE)
			continue;
		b = &t->index[used[i] >> FOLD_SHIFT];
		if (*b < fold_block_count) {
			memcpy(t->blocks[blocks], t->blocks[*b], sizeof(*t->blocks));
			*b = (uint16_t)blocks++;
		}
		/* What is folded folds to itself, so its entry is FOLD_SELF and has only the word flag so far. */
		e = &t->blocks[*b][used[i] & (FOLD_BLOCK - 1)];
		*e = (*e & TEXT_WORD) | number[used[i]];
	}
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
}
