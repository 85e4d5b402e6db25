/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/rows.h"

#include <errno.h>
#include <stdlib.h>

#include "base/own.h"

#define ROWS_MAX 32768

static bool is_letter(const struct rows *r, unsigned class)
{
	return r->letters >> class & 1;
}

/* Characters that fold to the same symbol share a class; the frequent symbols, which have the small numbers, come
 * first. Returns how many there are. */
static unsigned make_classes(struct rows *r, const struct automaton *a, const struct fold_table *t, const bool *letter)
{
	unsigned count = 2;

	r->letters = 1ull << 1;
	memset(r->class, ROWS_NO_CLASS, sizeof(r->class));
	for (uint32_t symbol = 0; symbol <= a->symbols; symbol++) {
		bool used = false;

		for (unsigned c = 0; c < 0x80; c++) {
			uint32_t entry = t->low[c];

			if (entry & TEXT_SPECIAL || TEXT_SYMBOL(entry) != symbol || (symbol && count == ROWS_CLASSES))
				continue;
			r->class[c] = symbol ? (uint8_t)count : entry & TEXT_WORD ? 1 : 0;
			used = symbol;
		}
		if (used) {
			r->letters |= (uint64_t)letter[symbol] << count;
			r->symbol[count++] = (uint16_t)symbol;
		}
	}
	return count;
}

static bool has_child(const struct automaton *a, uint32_t node, uint32_t symbol)
{
	return a->nodes[(a->nodes[node].base & NODE_BASE) + symbol].check == node;
}

/* Nodes to look at, in order of depth but for those behind links. */
struct queue {
	uint32_t *at; /* owned */
	size_t len;
	unsigned classes;
};

static void queue_free(struct queue *q)
{
	free(q->at);
}

static uint32_t child_of(const struct rows *r, const struct automaton *a, uint32_t node, unsigned class)
{
	return (a->nodes[node].base & NODE_BASE) + r->symbol[class];
}

/* How many classes lead on from the node, and the last of them. */
static unsigned ways_on(const struct rows *r, const struct automaton *a, const struct queue *q, uint32_t node,
                        unsigned *last)
{
	unsigned ways = 0;

	for (unsigned c = 2; c < q->classes; c++) {
		if (!has_child(a, node, r->symbol[c]))
			continue;
		ways++;
		*last = c;
	}
	return ways;
}

/* A link for the node and for each that follows while it is alone; what comes behind them is looked at later. */
static void add_links(struct rows *r, const struct automaton *a, struct queue *q, uint32_t node)
{
	unsigned class = 0;

	do {
		ways_on(r, a, q, node, &class);
		r->of[node] = ROWS_LINK | (uint32_t)r->link_count;
		r->link_slot[r->link_count] = node;
		r->links[r->link_count++] = (struct link){ 0, a->hold[node], (uint8_t) class };
		node = child_of(r, a, node, class);
	} while (!(a->nodes[node].base & (NODE_OUT | NODE_WAIT)) && ways_on(r, a, q, node, &class) == 1);
	r->link_slot[r->link_count] = node;
	r->links[r->link_count++] = (struct link){ 0, 0, ROWS_NO_CLASS };
	q->at[q->len++] = node;
}

static void add_node(struct rows *r, const struct automaton *a, struct queue *q, uint32_t node)
{
	unsigned class = 0, ways = ways_on(r, a, q, node, &class);

	if (ways == 1 && !(a->nodes[node].base & (NODE_OUT | NODE_WAIT))) {
		add_links(r, a, q, node);
		return;
	}
	if (ways < 1 || r->count == ROWS_MAX)
		return;
	r->of[node] = (uint32_t)r->count << r->shift;
	r->row_slot[r->count++] = node;
	for (unsigned c = 2; c < q->classes; c++)
		if (has_child(a, node, r->symbol[c]))
			q->at[q->len++] = child_of(r, a, node, c);
}

static void add_nodes(struct rows *r, const struct automaton *a, struct queue *q)
{
	r->count = 2;
	for (unsigned c = 2; c < q->classes; c++) {
		const uint64_t *first = a->root[r->symbol[c]];

		for (int begins = 0; begins < 2; begins++)
			if (AT_SLOT(first[begins]) && (!begins || first[0] != first[1]))
				q->at[q->len++] = AT_SLOT(first[begins]);
	}
	for (size_t i = 0; i < q->len; i++)
		add_node(r, a, q, q->at[i]);
}

/* The last symbol on the way to the node is a letter. */
static bool ends_in_letter(const struct rows *r, const struct automaton *a, uint32_t node, const bool *letter,
                           unsigned classes)
{
	uint32_t parent = a->nodes[node].check;

	if (parent != NODE_OF_ROOT)
		return letter[node - (a->nodes[parent].base & NODE_BASE)];
	for (unsigned c = 2; c < classes; c++)
		if (AT_SLOT(a->root[r->symbol[c]][0]) == node)
			return is_letter(r, c);
	return false;
}

static uint32_t step(const struct rows *r, const struct automaton *a, uint32_t node, unsigned class, bool in_word)
{
	bool word = is_letter(r, class);
	uint32_t to;

	if (a->nodes[node].base & NODE_WAIT && !word)
		return ROWS_STOP;
	to = automaton_step(a, node, r->symbol[class], word && !in_word);
	return a->nodes[to].base & NODE_OUT ? ROWS_STOP : rows_at(r, to, word);
}

/* Nodes that no class leads on from go on as those they fail to: most of other scripts. */
static void liken(struct rows *r, const struct automaton *a, const struct queue *q)
{
	for (uint32_t i = 1; i < a->slots; i++) {
		uint32_t node = i;
		unsigned class;

		if (r->of[i] != (ROWS_COLD | i))
			continue;
		while (node != NODE_ROOT && r->of[node] == (ROWS_COLD | node) && !(a->nodes[node].base & NODE_WAIT) &&
		       !ways_on(r, a, q, node, &class))
			node = a->fail[node];
		if (node == NODE_ROOT)
			r->of[i] = ROWS_STOP;
		else if (!(r->of[node] & ROWS_COLD))
			r->of[i] = ROWS_STOP | r->of[node];
	}
}

/* What nodes lead to, when all have their places. */
static void fill(struct rows *r, const struct automaton *a, const bool *letter, unsigned classes)
{
	for (size_t i = 0; i < r->count; i++) {
		uint32_t node = r->row_slot[i];
		bool in_word = i < 2 ? i : ends_in_letter(r, a, node, letter, classes);

		for (unsigned c = 0; c < classes; c++)
			r->next[(i << r->shift) + c] = step(r, a, node, c, in_word);
	}
	for (size_t i = 0; i < r->link_count; i++) {
		struct link *l = &r->links[i];
		uint32_t node = r->link_slot[i];

		if (l->class == ROWS_NO_CLASS)
			l->fail = a->nodes[node].base & NODE_OUT ? ROWS_STOP : rows_at(r, node, false);
		else
			l->fail = rows_as(r, a->fail[node], ends_in_letter(r, a, node, letter, classes));
	}
}

uint32_t rows_slow(const struct rows *r, const struct automaton *a, uint32_t at, unsigned class, bool in_word)
{
	uint32_t node;

	while (at >= ROWS_LINK) {
		const struct link *l = &r->links[at & ROWS_AT];

		if (at & ROWS_COLD) {
			node = at & ROWS_AT;
			at = rows_as(r, node, in_word);
			if (at & ROWS_COLD)
				return step(r, a, node, class, in_word);
		} else if (l->class == class) {
			return l[1].class == ROWS_NO_CLASS ? l[1].fail : at + 1;
		} else {
			at = l->fail;
		}
	}
	return r->next[at + class];
}

/* Gives back what was too much. */
static void trim(void *at, size_t size, size_t count)
{
	void *now;

	memcpy(&now, at, sizeof(now));
	now = realloc(now, (count ? count : 1) * size);
	if (now)
		memcpy(at, &now, sizeof(now));
}

int rows_build(struct rows *r, const struct automaton *a, const struct fold_table *t, const bool *letter)
{
	owned(queue_free) struct queue q = { .classes = make_classes(r, a, t, letter) };
	size_t most = a->states + 2;

	while (1u << r->shift < q.classes)
		r->shift++;
	q.at = malloc(most * sizeof(*q.at));
	r->of = malloc(a->slots * sizeof(*r->of));
	r->row_slot = calloc(most < ROWS_MAX ? most : ROWS_MAX, sizeof(*r->row_slot));
	r->link_slot = malloc(2 * most * sizeof(*r->link_slot));
	r->links = malloc(2 * most * sizeof(*r->links));
	if (!q.at || !r->of || !r->row_slot || !r->link_slot || !r->links)
		return -ENOMEM;
	for (uint32_t i = 0; i < a->slots; i++)
		r->of[i] = ROWS_COLD | i;
	add_nodes(r, a, &q);
	r->worth = 2 * (r->count + r->link_count) >= a->states;
	trim(&r->links, sizeof(*r->links), r->link_count);
	trim(&r->link_slot, sizeof(*r->link_slot), r->link_count);
	r->next = calloc(r->count << r->shift, sizeof(*r->next));
	if (!r->next)
		return -ENOMEM;
	liken(r, a, &q);
	fill(r, a, letter, q.classes);
	return 0;
}

int rows_none(struct rows *r)
{
	r->row_slot = calloc(2, sizeof(*r->row_slot));
	return r->row_slot ? 0 : -ENOMEM;
}

void rows_free(struct rows *r)
{
	free(r->next);
	free(r->links);
	free(r->of);
	free(r->row_slot);
	free(r->link_slot);
	*r = (struct rows){ 0 };
}

size_t rows_bytes(const struct rows *r, const struct automaton *a)
{
	return (r->of ? a->slots * sizeof(*r->of) : 0) +
	       r->count * ((sizeof(*r->next) << r->shift) + sizeof(*r->row_slot)) +
	       r->link_count * (sizeof(*r->links) + sizeof(*r->link_slot));
}
