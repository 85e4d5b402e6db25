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

#define SLOTS_MAX    (1u << 28) /* 2 GiB of nodes; bases leave room for four flags */
#define SIZE_CLASSES 24
#define RUN_MAX      16 /* nodes of an unbranched end of a word that are put side by side */
#define CHECK_FREE   UINT32_MAX

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
	const bool *letter;
	uint8_t *edged; /* owned: by slot, the node or one of its fail chain begins with an edge */
	bool waits;
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
	free(b->edged);
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

/* *at, an array of slots, gets `slots` of them; those new are zero. */
static int grow_array(void *at, size_t size, size_t old, size_t slots)
{
	void *now;

	memcpy(&now, at, sizeof(now));
	now = realloc(now, slots * size);
	if (!now)
		return -ENOMEM;
	memset((uint8_t *)now + old * size, 0, (slots - old) * size);
	memcpy(at, &now, sizeof(now));
	return 0;
}

/* All per-slot arrays for slots below `want`. New slots are free. */
static int grow(struct builder *b, size_t want)
{
	struct automaton *a = b->a;
	size_t slots = a->slots ? a->slots : 256, old = a->slots, words;

	if (want <= a->slots)
		return 0;
	if (want > SLOTS_MAX)
		return -E2BIG;
	while (slots < want)
		slots += slots / 2;
	words = slots / 64 + 3;
	if (grow_array(&a->nodes, sizeof(*a->nodes), old, slots) ||
	    grow_array(&a->fail, sizeof(*a->fail), old, slots) || grow_array(&a->out, sizeof(*a->out), old, slots) ||
	    grow_array(&a->hold, sizeof(*a->hold), old, slots) ||
	    (b->waits && grow_array(&a->wait, sizeof(*a->wait), old, slots)) ||
	    (b->edge && grow_array(&b->edged, sizeof(*b->edged), old, slots)) ||
	    grow_array(&b->taken, sizeof(*b->taken), b->taken_words, words))
		return -ENOMEM;
	b->taken_words = words;
	for (; a->slots < slots; a->slots++)
		a->nodes[a->slots].check = CHECK_FREE;
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

/* The needles words[low..low+count) end at a node: *head is the output of its next shorter suffix, and becomes theirs.
 */
static int add_output(struct builder *b, uint32_t *head, uint32_t low, uint32_t count, uint16_t real)
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
	a->outputs[a->output_count] = (struct output){ low, count, *head, real };
	*head = (uint32_t)a->output_count++;
	return 0;
}

static uint16_t symbol_at(const struct builder *b, uint32_t word, size_t depth)
{
	return b->pool[b->words[word].start + depth];
}

/* Whether a word of a text begins with r's child by `symbol`, as far as the words know. */
static bool begins(const struct builder *b, const struct range *r, uint16_t symbol, size_t depth)
{
	uint16_t before = depth > 1 ? symbol_at(b, r->low, depth - 2) : 0;

	return before && before != b->edge && b->letter[symbol] && !b->letter[before];
}

/* Flags of the new node `slot` that come from its fail node. */
static uint32_t inherit(struct builder *b, const struct range *r, uint32_t slot, uint32_t fail)
{
	struct automaton *a = b->a;
	uint32_t rest = automaton_rest(a, fail), flags = 0;

	a->fail[slot] = rest;
	a->out[slot] = a->out[fail];
	if (b->waits)
		a->wait[slot] = a->wait[fail];
	if (b->edge) {
		if (b->edged[rest])
			flags = NODE_DEEP;
		b->edged[slot] = b->edged[rest] || b->edged[r->node] || r->node == AT_SLOT(a->root[b->edge][0]);
	}
	return a->hold[rest] > NODE_SHALLOW ? NODE_DEEP : flags;
}

/* Makes the child of r by set[i]; it is at `depth`, and its place is free. */
static int add_child(struct builder *b, const struct range *r, size_t i, size_t depth, uint16_t run)
{
	struct automaton *a = b->a;
	uint16_t symbol = b->set[i], real = r->real + (symbol != b->edge);
	uint32_t low = b->from[i], high = b->from[i + 1], now = low, ends, fail = NODE_ROOT, flags;
	uint32_t slot = (a->nodes[r->node].base & NODE_BASE) + symbol;
	int error = 0;

	while (now < high && b->words[now].len == depth && !b->words[now].wait)
		now++;
	for (ends = now; ends < high && b->words[ends].len == depth;)
		ends++;
	if (r->node == NODE_ROOT)
		a->root[symbol][0] = AT(slot, 0);
	else
		fail = automaton_step(a, a->fail[r->node], symbol, begins(b, r, symbol, depth));
	if (r->node == NODE_ROOT ? !a->root[symbol][1] : b->edge && r->node == AT_SLOT(a->root[b->edge][0]))
		a->root[symbol][1] = AT(slot, 0);
	take(b, slot);
	a->states++;
	flags = inherit(b, r, slot, fail);
	a->hold[slot] = real;
	if (now > low)
		error = add_output(b, &a->out[slot], low, now - low, real);
	if (!error && ends > now)
		error = add_output(b, &a->wait[slot], now, ends - now, real);
	if (error)
		return error;
	if (a->out[slot])
		flags |= NODE_OUT;
	if (b->waits && a->wait[slot])
		flags |= NODE_WAIT;
	if (now == high)
		flags |= NODE_LEAF;
	a->nodes[slot] = (struct node){ flags, r->node == NODE_ROOT ? NODE_OF_ROOT : r->node };
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
	a->nodes[r->node].base |= base;
	for (size_t i = 0; i < n && !error; i++)
		error = add_child(b, r, i, depth + 1, run);
	return error;
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
	if (a->wait != b->wait)
		return a->wait ? 1 : -1;
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
	a->edges = b->edge || b->waits;
	if (!a->root || !a->ids || !b->set || !b->from)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		a->ids[i] = words[i].id;
	a->id_count = count;
	error = grow(b, a->symbols + 128);
	if (error)
		return error;
	take(b, NODE_ROOT);
	a->states = 1;
	return count ? push(&b->now, (struct range){ 0, (uint32_t)count, NODE_ROOT, 0, 0 }) : 0;
}

static void trim_array(void *at, size_t size, size_t slots)
{
	void *now;

	memcpy(&now, at, sizeof(now));
	now = now ? realloc(now, slots * size) : NULL;
	if (now)
		memcpy(at, &now, sizeof(now));
}

/* Gives back what the doubling took too much. No probe leaves the array. */
static void trim(struct builder *b)
{
	struct automaton *a = b->a;
	size_t slots = (size_t)b->base_max + a->symbols + 1;

	if (slots < b->used)
		slots = b->used;
	trim_array(&a->nodes, sizeof(*a->nodes), slots);
	trim_array(&a->fail, sizeof(*a->fail), slots);
	trim_array(&a->hold, sizeof(*a->hold), slots);
	trim_array(&a->out, sizeof(*a->out), slots);
	trim_array(&a->wait, sizeof(*a->wait), slots);
	trim_array(&a->outputs, sizeof(*a->outputs), a->output_count);
	a->slots = slots;
}

/* Bases of the first nodes are known at the end only. */
static void finish_roots(struct automaton *a)
{
	for (size_t c = 0; c <= a->symbols; c++)
		for (size_t k = 0; k < 2; k++)
			a->root[c][k] = AT(AT_SLOT(a->root[c][k]), a->nodes[AT_SLOT(a->root[c][k])].base);
}

int automaton_build(struct automaton *a, struct word *words, size_t count, const uint16_t *pool, size_t symbols,
                    uint16_t edge, const bool *letter)
{
	owned(builder_free) struct builder b = { .a = a, .words = words, .pool = pool, .edge = edge, .letter = letter };
	int error;

	for (size_t i = 0; i < count; i++) {
		b.waits |= words[i].wait;
		words[i].key = 0;
		for (size_t k = 0; k < 4; k++)
			words[i].key = words[i].key << 16 | (k < words[i].len ? pool[words[i].start + k] : 0);
	}
	if (count)
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
	if (!error) {
		trim(&b);
		finish_roots(a);
	}
	return error;
}

void automaton_free(struct automaton *a)
{
	free(a->nodes);
	free(a->root);
	free(a->fail);
	free(a->out);
	free(a->wait);
	free(a->hold);
	free(a->outputs);
	free(a->ids);
	*a = (struct automaton){ 0 };
}
