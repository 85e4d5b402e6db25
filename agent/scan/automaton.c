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

#define SLOTS_MAX    (1u << 28) /* 4 GiB of nodes */
#define SIZE_CLASSES 24
#define RUN_MAX      16 /* nodes of an unbranched end of a word that are put side by side */
#define CHECK_FREE   UINT32_MAX
#define CHECK_ROOT   (UINT32_MAX - 1)

/* A node under way: words[low..high) begin with it. */
struct range {
	uint32_t low, high, node;
	uint16_t real; /* depth without edges */
	uint16_t run;  /* slots kept right behind the node for those that follow it */
};

struct level {
	struct range *at; /* owned */
	size_t len, room;
};

struct builder {
	struct automaton *a;
	const struct word *words;
	const uint16_t *pool;
	uint16_t edge;
	uint64_t *taken; /* owned: one bit a slot */
	size_t taken_words;
	uint32_t cursor[SIZE_CLASSES];
	uint32_t run_cursor[RUN_MAX + 1];
	uint32_t first_free; /* word of `taken` */
	uint32_t used;       /* slots in use end here */
	uint32_t base_max;
	size_t output_room;
	struct level now, next;
	uint16_t *set;  /* owned: symbols of the children of the node at hand */
	uint32_t *from; /* owned: where their ranges begin, one more than symbols */
};

static void builder_free(struct builder *b)
{
	free(b->now.at);
	free(b->next.at);
	free(b->taken);
	free(b->set);
	free(b->from);
}

static void take(struct builder *b, uint32_t slot)
{
	b->taken[slot >> 6] |= 1ull << (slot & 63);
	if (slot >= b->used)
		b->used = slot + 1;
}

/* Whether slots at..at+63 are taken, one bit each. */
static uint64_t taken64(const struct builder *b, uint32_t at)
{
	const uint64_t *w = &b->taken[at >> 6];

	return at & 63 ? w[0] >> (at & 63) | w[1] << (64 - (at & 63)) : w[0];
}

/* All per-slot arrays for slots below `want`. New slots are free. */
static int grow(struct builder *b, size_t want)
{
	struct automaton *a = b->a;
	size_t slots = a->slots ? a->slots : 256;
	struct node *nodes;
	uint64_t *taken;
	uint16_t *hold;
	uint32_t *out;

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
	out = realloc(a->out, slots * sizeof(*out));
	if (!out)
		return -ENOMEM;
	a->out = out;
	memset(out + a->slots, 0, (slots - a->slots) * sizeof(*out));
	if (b->edge) {
		uint32_t *edge = realloc(a->edge, slots * sizeof(*edge));

		if (!edge)
			return -ENOMEM;
		a->edge = edge;
		memset(edge + a->slots, 0, (slots - a->slots) * sizeof(*edge));
	}
	taken = realloc(b->taken, (slots / 64 + 3) * sizeof(*taken));
	if (!taken)
		return -ENOMEM;
	b->taken = taken;
	memset(taken + b->taken_words, 0, (slots / 64 + 3 - b->taken_words) * sizeof(*taken));
	b->taken_words = slots / 64 + 3;
	for (; a->slots < slots; a->slots++)
		a->nodes[a->slots] = (struct node){ .check = CHECK_FREE };
	return 0;
}

static size_t size_class(size_t n)
{
	return n <= 8 ? n : 6 + (size_t)(63 - __builtin_clzll(n));
}

/* Where the search for a base begins. Any free slot does for a single child, so that one starts at the first there is.
 * Larger sets go on where the last of their size was put: what lies before has been tried, and is left to smaller ones.
 * That makes all searches together linear. */
static uint32_t first_base(struct builder *b, size_t n)
{
	if (n > 1)
		return b->cursor[size_class(n)];
	while (!~b->taken[b->first_free])
		b->first_free++;
	return b->first_free * 64 > b->set[0] ? b->first_free * 64 - b->set[0] : 0;
}

/* A base that puts the children `set` (ascending) on free slots; 64 bases are looked at together. */
static int find_base(struct builder *b, size_t n, uint32_t *out)
{
	uint32_t base = first_base(b, n);
	uint64_t taken;
	int error;

	for (;; base += 64) {
		error = grow(b, (size_t)base + b->a->symbols + 192); /* no probe at run time leaves the array either */
		if (error)
			return error;
		taken = 0;
		for (size_t k = 0; k < n && ~taken; k++)
			taken |= taken64(b, base + b->set[k]);
		if (~taken)
			break;
	}
	base += (uint32_t)__builtin_ctzll(~taken);
	b->cursor[size_class(n)] = base;
	*out = base;
	return 0;
}

/* Where `n` slots side by side are free. From the first symbol on, so that no base is below 0. */
static int find_run(struct builder *b, size_t n, uint32_t *out)
{
	uint32_t at = b->run_cursor[n] > b->a->symbols ? b->run_cursor[n] : (uint32_t)b->a->symbols;
	uint64_t ends;
	int error;

	for (;; at += 64 - RUN_MAX) {
		error = grow(b, (size_t)at + b->a->symbols + 192);
		if (error)
			return error;
		ends = ~taken64(b, at);
		for (size_t i = 1; i < n; i++)
			ends &= ends >> 1;
		if (ends)
			break;
	}
	at += (uint32_t)__builtin_ctzll(ends);
	b->run_cursor[n] = at;
	*out = at;
	return 0;
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
	a->outputs[a->output_count] = (struct output){ low, count, a->out[node], real };
	a->out[node] = (uint32_t)a->output_count++;
	a->nodes[node].fail |= NODE_OUT;
	return 0;
}

static uint32_t rest(const struct automaton *a, uint32_t node)
{
	return a->nodes[node].base == NODE_LEAF ? a->nodes[node].fail & ~NODE_OUT : node;
}

static uint16_t symbol_at(const struct builder *b, uint32_t word, size_t depth)
{
	return b->pool[b->words[word].start + depth];
}

/* Makes the child of r by set[i]; it is at `depth`, and its place is free. */
static int add_child(struct builder *b, const struct range *r, size_t i, size_t depth, uint16_t run)
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
		fail = automaton_step(a->nodes, a->root, a->nodes[r->node].fail & ~NODE_OUT, symbol);
	}
	take(b, slot);
	a->states++;
	a->nodes[slot] = (struct node){ ends == high ? NODE_LEAF : 0, r->node, rest(a, fail), 0 };
	a->nodes[r->node].some |= 1u << (symbol & 31);
	a->out[slot] = a->out[fail];
	if (a->out[slot])
		a->nodes[slot].fail |= NODE_OUT;
	if (ends > low) {
		int error = add_output(b, slot, low, ends - low, real);

		if (error)
			return error;
	}
	return ends == high ? 0 : push(&b->next, (struct range){ ends, high, slot, real, run });
}

/* The base of the node, whose n children are in b->set; *run: slots kept behind the child. The end of a word that no
 * other shares is a chain of nodes with one child; side by side they cost a cache line for four, not one each. */
static int place(struct builder *b, const struct range *r, size_t n, size_t depth, uint32_t *base, uint16_t *run)
{
	size_t left = b->words[r->low].len - depth;
	uint32_t at;
	int error;

	*run = 0;
	if (r->run) {
		*run = r->run - 1;
		*base = r->node + 1 - b->set[0];
		return 0;
	}
	if (r->high - r->low > 1 || left < 2)
		return find_base(b, n, base);
	if (left > RUN_MAX)
		left = RUN_MAX;
	error = find_run(b, left, &at);
	if (error)
		return error;
	for (size_t i = 0; i < left; i++)
		take(b, at + (uint32_t)i);
	*run = (uint16_t)(left - 1);
	*base = at - b->set[0];
	return 0;
}

static int expand(struct builder *b, const struct range *r, size_t depth)
{
	struct automaton *a = b->a;
	uint32_t base;
	uint16_t run;
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
	error = place(b, r, n, depth, &base, &run);
	if (error)
		return error;
	if (base > b->base_max)
		b->base_max = base;
	a->nodes[r->node].base = base;
	a->hold[r->node] = r->real;
	for (size_t i = 0; i < n && !error; i++)
		error = add_child(b, r, i, depth + 1, run);
	if (error || !b->edge)
		return error;
	for (size_t i = 0; i < n; i++)
		if (b->set[i] == b->edge) {
			a->edge[r->node] = base + b->edge;
			return 0;
		}
	a->edge[r->node] = r->node == NODE_ROOT ? NODE_ROOT : a->edge[a->nodes[r->node].fail & ~NODE_OUT];
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
	error = grow(b, a->symbols + 128);
	if (error)
		return error;
	take(b, NODE_ROOT);
	a->nodes[NODE_ROOT] = (struct node){ .check = CHECK_ROOT };
	a->states = 1;
	return count ? push(&b->now, (struct range){ 0, (uint32_t)count, NODE_ROOT, 0, 0 }) : 0;
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
	if ((at = realloc(a->out, slots * sizeof(*a->out))))
		a->out = at;
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
	free(a->out);
	free(a->hold);
	free(a->outputs);
	free(a->ids);
	*a = (struct automaton){ 0 };
}
