/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes are made in order of depth, from ranges of the sorted words: no trie is built first, nothing recurses, and
 * everything a node inherits (fail, output, where an edge leads) is known when it is made.
 */
#include "scan/automaton.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

#define SLOTS_MAX  (1u << 28) /* 4 GiB of nodes */
#define TRIES_MAX  48	      /* free slots tried for a set of children before the array grows */
#define CHECK_FREE UINT32_MAX
#define CHECK_ROOT (UINT32_MAX - 1)

/* A node under way: words[low..high) begin with it. */
struct range {
	uint32_t low, high, node;
	uint16_t real; /* depth without edges */
};

struct level {
	struct range *at; /* owned */
	size_t len, room;
};

/* Free slots are a ring through base (next) and fail (previous). */
struct builder {
	struct automaton *a;
	const struct word *words;
	const uint16_t *pool;
	uint16_t edge;
	uint32_t cursor; /* a free slot, CHECK_FREE: none */
	uint32_t used;	 /* slots in use end here */
	uint32_t base_max;
	size_t output_room;
	struct level now, next;
	uint16_t *set;	/* owned: symbols of the children of the node at hand */
	uint32_t *from; /* owned: where their ranges begin, one more than symbols */
};

static void builder_free(struct builder *b)
{
	free(b->now.at);
	free(b->next.at);
	free(b->set);
	free(b->from);
}

static void ring_take(struct builder *b, uint32_t slot)
{
	struct node *n = b->a->nodes, *x = &n[slot];

	if (x->base == slot) {
		b->cursor = CHECK_FREE;
		return;
	}
	n[x->base].fail = x->fail;
	n[x->fail].base = x->base;
	if (b->cursor == slot)
		b->cursor = x->base;
}

static void ring_add(struct builder *b, uint32_t slot)
{
	struct node *n = b->a->nodes, *x = &n[slot];

	*x = (struct node){ slot, CHECK_FREE, slot, 0 };
	if (b->cursor == CHECK_FREE) {
		b->cursor = slot;
		return;
	}
	x->base = b->cursor;
	x->fail = n[b->cursor].fail;
	n[x->fail].base = slot;
	n[b->cursor].fail = slot;
}

/* All per-slot arrays for slots below `want`. New slots are free. */
static int grow(struct builder *b, size_t want)
{
	struct automaton *a = b->a;
	size_t slots = a->slots ? a->slots : 256;
	struct node *nodes;
	uint16_t *hold;

	if (want <= a->slots)
		return 0;
	if (want > SLOTS_MAX)
		return -E2BIG;
	while (slots < want)
		slots += slots / 2;
	nodes = realloc(a->nodes, slots * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	a->nodes = nodes;
	hold = realloc(a->hold, slots * sizeof(*hold));
	if (!hold)
		return -ENOMEM;
	a->hold = hold;
	memset(hold + a->slots, 0, (slots - a->slots) * sizeof(*hold));
	if (b->edge) {
		uint32_t *edge = realloc(a->edge, slots * sizeof(*edge));

		if (!edge)
			return -ENOMEM;
		a->edge = edge;
		memset(edge + a->slots, 0, (slots - a->slots) * sizeof(*edge));
	}
	for (; a->slots < slots; a->slots++)
		ring_add(b, (uint32_t)a->slots);
	return 0;
}

static bool fits(const struct automaton *a, uint32_t base, const uint16_t *set, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (base + set[i] < a->slots && a->nodes[base + set[i]].check != CHECK_FREE)
			return false;
	return true;
}

/* A base that puts the children `set` (ascending) on free slots. The search is next-fit and gives up soon: the holes it
 * leaves are filled by the many nodes with one child, for which any free slot does. */
static int find_base(struct builder *b, size_t n, uint32_t *out)
{
	const uint16_t *set = b->set;
	uint32_t slot = b->cursor, base;
	int error;

	for (int i = 0; i < TRIES_MAX && slot != CHECK_FREE; i++, slot = b->a->nodes[slot].base) {
		if (slot < set[0] || !fits(b->a, slot - set[0], set, n))
			continue;
		base = slot - set[0];
		b->cursor = slot;
		goto found;
	}
	b->cursor = slot;
	base = (b->used > set[0] ? b->used : set[0]) - set[0];
found:
	error = grow(b, (size_t)base + b->a->symbols + 1); /* so that no probe leaves the array */
	if (!error)
		*out = base;
	return error;
}

static int push(struct level *l, struct range r)
{
	if (l->len == l->room) {
		size_t room = l->room ? 2 * l->room : 256;
		struct range *at = realloc(l->at, room * sizeof(*at));

		if (!at)
			return -ENOMEM;
		l->at = at;
		l->room = room;
	}
	l->at[l->len++] = r;
	return 0;
}

/* The needles words[low..low+count) end at `node`. */
static int add_output(struct builder *b, uint32_t node, uint32_t low, uint32_t count, uint16_t real)
{
	struct automaton *a = b->a;

	if (a->output_count == b->output_room) {
		size_t room = b->output_room ? 2 * b->output_room : 64;
		struct output *at = realloc(a->outputs, room * sizeof(*at));

		if (!at)
			return -ENOMEM;
		a->outputs = at;
		b->output_room = room;
		if (!a->output_count)
			a->outputs[a->output_count++] = (struct output){ 0 };
	}
	a->outputs[a->output_count] = (struct output){ low, count, a->nodes[node].out, real };
	a->nodes[node].out = (uint32_t)a->output_count++;
	return 0;
}

static uint32_t rest(const struct automaton *a, uint32_t node)
{
	return a->nodes[node].base == NODE_LEAF ? a->nodes[node].fail : node;
}

static uint16_t symbol_at(const struct builder *b, uint32_t word, size_t depth)
{
	return b->pool[b->words[word].start + depth];
}

/* Makes the child of r by set[i]; it is at `depth`, and its place is free. */
static int add_child(struct builder *b, const struct range *r, size_t i, size_t depth)
{
	struct automaton *a = b->a;
	uint16_t symbol = b->set[i], real = r->real + (symbol != b->edge);
	uint32_t low = b->from[i], high = b->from[i + 1], ends = low, slot = a->nodes[r->node].base + symbol, fail;

	while (ends < high && b->words[ends].len == depth)
		ends++;
	if (r->node == NODE_ROOT) {
		fail = NODE_ROOT;
		a->root[symbol] = slot;
	} else {
		fail = automaton_step(a->nodes, a->root, a->nodes[r->node].fail, symbol);
	}
	ring_take(b, slot);
	if (slot >= b->used)
		b->used = slot + 1;
	a->states++;
	a->nodes[slot] = (struct node){ ends == high ? NODE_LEAF : 0, r->node, rest(a, fail), a->nodes[fail].out };
	if (ends > low) {
		int error = add_output(b, slot, low, ends - low, real);

		if (error)
			return error;
	}
	return ends == high ? 0 : push(&b->next, (struct range){ ends, high, slot, real });
}

static int expand(struct builder *b, const struct range *r, size_t depth)
{
	struct automaton *a = b->a;
	uint32_t base;
	size_t n = 0;
	int error;

	for (uint32_t i = r->low; i < r->high; i++) {
		uint16_t symbol = symbol_at(b, i, depth);

		if (!n || b->set[n - 1] != symbol) {
			b->from[n] = i;
			b->set[n++] = symbol;
		}
	}
	b->from[n] = r->high;
	error = find_base(b, n, &base);
	if (error)
		return error;
	if (base > b->base_max)
		b->base_max = base;
	a->nodes[r->node].base = base;
	a->hold[r->node] = r->real;
	for (size_t i = 0; i < n && !error; i++)
		error = add_child(b, r, i, depth + 1);
	if (error || !b->edge)
		return error;
	for (size_t i = 0; i < n; i++)
		if (b->set[i] == b->edge) {
			a->edge[r->node] = base + b->edge;
			return 0;
		}
	a->edge[r->node] = r->node == NODE_ROOT ? NODE_ROOT : a->edge[a->nodes[r->node].fail];
	return 0;
}

static int compare(const void *x, const void *y, void *pool)
{
	const struct word *a = x, *b = y;
	const uint16_t *p = (const uint16_t *)pool + a->start, *q = (const uint16_t *)pool + b->start;
	size_t len = a->len < b->len ? a->len : b->len;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	for (size_t i = 4; i < len; i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	/* The place in the pool is the place in the caller's list: ids of one text keep their order. */
	return a->start < b->start ? -1 : a->start > b->start;
}

static int start(struct builder *b, const struct word *words, size_t count)
{
	struct automaton *a = b->a;
	int error;

	a->root = calloc(a->symbols + 1, sizeof(*a->root));
	a->ids = malloc((count ? count : 1) * sizeof(*a->ids));
	b->set = malloc((a->symbols + 1) * sizeof(*b->set));
	b->from = malloc((a->symbols + 2) * sizeof(*b->from));
	if (!a->root || !a->ids || !b->set || !b->from)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		a->ids[i] = words[i].id;
	a->id_count = count;
	error = grow(b, a->symbols + 1);
	if (error)
		return error;
	ring_take(b, NODE_ROOT);
	a->nodes[NODE_ROOT] = (struct node){ .check = CHECK_ROOT };
	b->used = 1;
	a->states = 1;
	return count ? push(&b->now, (struct range){ 0, (uint32_t)count, NODE_ROOT, 0 }) : 0;
}

/* Gives back what the doubling took too much. */
static void trim(struct builder *b)
{
	struct automaton *a = b->a;
	size_t slots = (size_t)b->base_max + a->symbols + 1;
	void *at;

	if (slots < b->used)
		slots = b->used;
	if ((at = realloc(a->nodes, slots * sizeof(*a->nodes))))
		a->nodes = at;
	if ((at = realloc(a->hold, slots * sizeof(*a->hold))))
		a->hold = at;
	if (a->edge && (at = realloc(a->edge, slots * sizeof(*a->edge))))
		a->edge = at;
	if (a->outputs && (at = realloc(a->outputs, a->output_count * sizeof(*a->outputs))))
		a->outputs = at;
	a->slots = slots;
}

int automaton_build(struct automaton *a, struct word *words, size_t count, const uint16_t *pool, size_t symbols,
		    uint16_t edge)
{
	owned(builder_free) struct builder b = { .a = a, .words = words, .pool = pool, .edge = edge };
	int error;

	for (size_t i = 0; i < count; i++) {
		words[i].key = 0;
		for (size_t k = 0; k < 4; k++)
			words[i].key = words[i].key << 16 | (k < words[i].len ? pool[words[i].start + k] : 0);
	}
	qsort_r(words, count, sizeof(*words), compare, (void *)pool);
	b.cursor = CHECK_FREE;
	a->symbols = symbols;
	error = start(&b, words, count);
	for (size_t depth = 0; !error && b.now.len; depth++) {
		struct level swap = b.now;

		for (size_t i = 0; i < b.now.len && !error; i++)
			error = expand(&b, &b.now.at[i], depth);
		b.now = b.next;
		b.next = swap;
		b.next.len = 0;
	}
	if (!error)
		trim(&b);
	return error;
}

void automaton_free(struct automaton *a)
{
	free(a->nodes);
	free(a->root);
	free(a->edge);
	free(a->hold);
	free(a->outputs);
	free(a->ids);
	*a = (struct automaton){ 0 };
}
