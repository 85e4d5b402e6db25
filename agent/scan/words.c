/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/own.h"

#define WORD_MAX   16         /* letters of a word that the tables know */
#define LINE       4          /* slots of a cache line */
#define WORDS_FULL (1u << 31) /* of words_slot.id */
#define BATCH      8          /* words whose memory is waited for together */

#define unlikely(x)   __builtin_expect(!!(x), 0)
#define always_inline inline __attribute__((always_inline))

static always_inline uint64_t mixed(uint64_t key)
{
	return key * 0x9e3779b97f4a7c15u;
}

static always_inline uint32_t line_of(const struct words_table *t, uint64_t key)
{
	return (uint32_t)((mixed(key) >> 32) * t->lines >> 32);
}

static always_inline uint64_t pair_key(uint32_t place, uint32_t id)
{
	return (uint64_t)id << 32 | place;
}

/* What stands for a word in `known`: its letters, or for longer ones a hash, which no letters look like. */
static always_inline uint64_t word_key(uint64_t first, uint64_t second)
{
	uint64_t h = first * 0xd6e8feb86659fd93u;

	if (!second)
		return first;
	h ^= h >> 32;
	h = (h ^ second) * 0xa0761d6478bd642fu;
	return (h ^ h >> 29) | 1ull << 63;
}

static always_inline const struct words_slot *slots_of(const struct words_table *t, uint64_t key)
{
	return &t->slots[(size_t)line_of(t, key) * LINE];
}

/* What a table says of a key: id 0 if it does not know it. */
struct entry {
	uint32_t id, to;
};

/* Where a line had no room. */
static __attribute__((noinline)) struct entry find_behind(const struct words_table *t, uint32_t line, uint64_t key)
{
	const struct words_slot *s;

	do {
		line = line + 1 == t->lines ? 0 : line + 1;
		s = &t->slots[(size_t)line * LINE];
		for (unsigned i = 0; i < LINE; i++)
			if (s[i].key == key)
				return (struct entry){ s[i].id & ~WORDS_FULL, s[i].to };
	} while (s->id & WORDS_FULL);
	return (struct entry){ 0 };
}

/* Whether a key is there, and where in its line, nobody can predict: there is no branch for it. */
static always_inline struct entry find(const struct words_table *t, uint64_t key)
{
	uint32_t line = line_of(t, key), known;
	const struct words_slot *s = &t->slots[(size_t)line * LINE], *at;
	unsigned same = (unsigned)(s[0].key == key) | (unsigned)(s[1].key == key) << 1 |
	                (unsigned)(s[2].key == key) << 2 | (unsigned)(s[3].key == key) << 3;

	if (unlikely(!same && s->id & WORDS_FULL))
		return find_behind(t, line, key);
	at = s + __builtin_ctz(same | 1u << LINE); /* there is a line behind the last */
	known = -(uint32_t)(same != 0);
	return (struct entry){ at->id & known & ~WORDS_FULL, at->to & known };
}

static int table_new(struct words_table *t, size_t count)
{
	t->lines = (uint32_t)(count * 2 / 5 + 1);
	t->count = 0;
	t->slots = aligned_alloc(64, words_table_bytes(t));
	if (!t->slots)
		return -ENOMEM;
	memset(t->slots, 0, words_table_bytes(t));
	return 0;
}

static void put(struct words_table *t, uint64_t key, uint32_t id, uint32_t to)
{
	for (uint32_t line = line_of(t, key);; line = line + 1 == t->lines ? 0 : line + 1) {
		struct words_slot *s = &t->slots[(size_t)line * LINE];

		for (unsigned i = 0; i < LINE; i++) {
			if (s[i].key)
				continue;
			s[i].key = key;
			s[i].id |= id;
			s[i].to = to;
			t->count++;
			return;
		}
		s[0].id |= WORDS_FULL;
	}
}

/* The slot of a key that is there. */
static struct words_slot *slot_of(const struct words_table *t, uint64_t key)
{
	size_t i = (size_t)line_of(t, key) * LINE;

	while (t->slots[i].key != key)
		i = i + 1 == (size_t)t->lines * LINE ? 0 : i + 1;
	return &t->slots[i];
}

/* Room for `count` keys. */
static int table_resize(struct words_table *t, size_t count)
{
	struct words_table old = *t;
	int error = table_new(t, count);

	if (error) {
		*t = old;
		return error;
	}
	for (size_t i = 0; i < (size_t)old.lines * LINE; i++)
		if (old.slots[i].key)
			put(t, old.slots[i].key, old.slots[i].id & ~WORDS_FULL, old.slots[i].to);
	free(old.slots);
	return 0;
}

static int add(struct words_table *t, uint64_t key, uint32_t id, uint32_t to)
{
	int error = 2 * (size_t)t->count >= 5 * (size_t)t->lines ? table_resize(t, (size_t)t->count * 5 / 4 + 64) : 0;

	if (!error)
		put(t, key, id, to);
	return error;
}

/* One needle's walk down its own nodes. */
struct builder {
	struct words *w;
	const struct automaton *a;
	const uint16_t *pool;
	const bool *letter;
	uint16_t edge, space; /* symbols; space 0: no needle has one */
	uint8_t *ascii;       /* owned: by symbol, the letter or digit that it is, or 0 */
	uint64_t *seen;       /* owned: a bit for each slot of which the word that ends there is known */
	uint16_t other[0x80]; /* symbols of separators other than space */
	size_t other_count;
	uint32_t ids;
};

static void builder_free(struct builder *b)
{
	free(b->ascii);
	free(b->seen);
}

static uint32_t hash_node(const struct words *w, uint32_t node)
{
	return (uint32_t)((mixed(node) >> 32) * w->place_slots >> 32);
}

static uint32_t find_place(const struct words *w, uint32_t node)
{
	for (uint32_t i = hash_node(w, node); w->place_of[i]; i = i + 1 == w->place_slots ? 0 : i + 1)
		if (w->places[w->place_of[i]].node == node)
			return w->place_of[i];
	return 0;
}

uint32_t words_place(const struct words *w, const struct automaton *a, uint32_t node)
{
	uint32_t place;

	for (; node != NODE_ROOT; node = a->fail[node]) {
		place = find_place(w, node);
		if (place)
			return place | (w->places[place].fail ? WORDS_DEEP : 0);
	}
	return 0;
}

static void put_place(struct words *w, uint32_t place)
{
	uint32_t i = hash_node(w, w->places[place].node);

	while (w->place_of[i])
		i = i + 1 == w->place_slots ? 0 : i + 1;
	w->place_of[i] = place;
}

static int grow_places(struct words *w)
{
	size_t room = w->place_room ? w->place_room * 5 / 4 : 64;
	struct words_place *places = realloc(w->places, room * sizeof(*places));

	if (!places)
		return -ENOMEM;
	w->places = places;
	w->place_room = room;
	free(w->place_of);
	w->place_slots = 2 * room;
	w->place_of = calloc(w->place_slots, sizeof(*w->place_of));
	if (!w->place_of)
		return -ENOMEM;
	for (uint32_t i = 1; i < w->place_count; i++)
		put_place(w, i);
	return 0;
}

static int add_place(struct builder *b, uint32_t node)
{
	struct words *w = b->w;
	int error;

	if (find_place(w, node))
		return 0;
	if (w->place_count == w->place_room) {
		error = grow_places(w);
		if (error)
			return error;
	}
	w->places[w->place_count] = (struct words_place){ .node = node, .hold = b->a->hold[node] };
	put_place(w, (uint32_t)w->place_count++);
	return 0;
}

/* The letters of a word in two numbers; false: they are not all ASCII, or too many. */
static bool spell(const struct builder *b, const uint16_t *symbols, size_t len, uint64_t letters[2])
{
	letters[0] = letters[1] = 0;
	if (len > WORD_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!b->ascii[symbols[i]])
			return false;
		letters[i / 8] |= (uint64_t)b->ascii[symbols[i]] << 8 * (i % 8);
	}
	return true;
}

static bool has_child(const struct automaton *a, uint32_t node, uint32_t symbol)
{
	return a->nodes[(a->nodes[node].base & NODE_BASE) + symbol].check == node;
}

/* Where the word that ends at the node leads to. */
static uint32_t leads_to(const struct builder *b, uint32_t node)
{
	const struct automaton *a = b->a;
	uint32_t flags = a->nodes[node].base & (NODE_OUT | NODE_WAIT) ? WORDS_LETTERS : 0, to = NODE_ROOT;

	for (uint32_t n = node; n != NODE_ROOT && !(flags & WORDS_OTHER); n = a->fail[n])
		for (size_t i = 0; i < b->other_count; i++)
			if (has_child(a, n, b->other[i])) {
				flags |= WORDS_OTHER;
				break;
			}
	if (b->space)
		to = automaton_step(a, node, b->space, false);
	if (a->nodes[to].base & NODE_OUT)
		flags |= WORDS_LETTERS;
	return flags | words_place(b->w, a, automaton_rest(a, to));
}

/* The id of a word, which becomes known. -EEXIST: another has the same key. */
static int word_id(struct builder *b, const uint64_t letters[2], uint64_t *key, uint32_t *id)
{
	struct words *w = b->w;

	*key = word_key(letters[0], letters[1]);
	*id = find(&w->known, *key).id;
	if (*id)
		return letters[1] && memcmp(w->longer[*id], letters, sizeof(*w->longer)) ? -EEXIST : 0;
	*id = ++b->ids;
	if (letters[1]) {
		if (*id >= w->longer_room) {
			size_t room = *id + *id / 4 + 64;
			uint8_t(*longer)[16] = realloc(w->longer, room * sizeof(*longer));

			if (!longer)
				return -ENOMEM;
			w->longer = longer;
			w->longer_room = room;
		}
		memcpy(w->longer[*id], letters, 16);
	}
	return add(&w->known, *key, *id, w->space);
}

/* The word that leads from one node to another. */
static int add_word(struct builder *b, uint32_t from, uint32_t node, const uint16_t *symbols, size_t len)
{
	uint64_t letters[2], key;
	uint32_t id, to;
	int error;

	if (b->seen[node >> 6] >> (node & 63) & 1 || !spell(b, symbols, len, letters))
		return 0;
	b->seen[node >> 6] |= 1ull << (node & 63);
	error = word_id(b, letters, &key, &id);
	if (error)
		return error;
	to = leads_to(b, node);
	if (from != NODE_ROOT)
		return add(&b->w->pairs, pair_key(find_place(b->w, from), id), 1, to);
	slot_of(&b->w->known, key)->to = to;
	return 0;
}

/* Goes down the needle; `visit` is called for each of its words that may be walked as one, with the nodes around it. */
static int walk(struct builder *b, const struct word *n,
                int (*visit)(struct builder *b, uint32_t from, uint32_t node, const uint16_t *symbols, size_t len))
{
	const struct automaton *a = b->a;
	const uint16_t *p = b->pool + n->start;
	uint32_t node = AT_SLOT(a->root[p[0]][0]), from = NODE_ROOT;
	size_t begin = 0, i = 0;
	bool in_word = b->letter[p[0]];
	int error = 0;

	/* An edge is not a node that a walk is ever at. */
	if (b->edge && p[0] == b->edge)
		begin = 1;
	if (p[0] == b->space)
		error = visit(b, node, NODE_ROOT, NULL, 0);
	for (i = 1; i <= n->len && !error; i++) {
		bool letter = i < n->len && b->letter[p[i]];

		if (letter && !in_word && i > begin)
			begin = i, from = node;
		if (in_word && !letter && (begin || (b->edge && p[0] == b->edge)))
			error = visit(b, from, node, p + begin, i - begin);
		in_word = letter;
		if (i < n->len)
			node = (a->nodes[node].base & NODE_BASE) + p[i];
		if (!error && i < n->len && p[i] == b->space)
			error = visit(b, node, NODE_ROOT, NULL, 0);
	}
	return error;
}

static int visit_place(struct builder *b, uint32_t from, uint32_t node, const uint16_t *symbols, size_t len)
{
	(void)node, (void)symbols, (void)len;
	return from == NODE_ROOT ? 0 : add_place(b, from);
}

static int visit_word(struct builder *b, uint32_t from, uint32_t node, const uint16_t *symbols, size_t len)
{
	return len ? add_word(b, from, node, symbols, len) : 0;
}

/* Whether the needle neither begins nor ends inside of a word of ASCII. */
static bool is_whole(const struct builder *b, const struct word *n)
{
	const uint16_t *p = b->pool + n->start;

	return !b->ascii[p[0]] && (!b->ascii[p[n->len - 1]] || n->wait);
}

/* What the bytes are. False: letters do not fold as they should. */
static bool sort_bytes(struct builder *b, const struct fold_table *t)
{
	struct words *w = b->w;

	for (unsigned c = 0; c < 0x80; c++) {
		uint32_t entry = t->low[c], symbol = TEXT_SYMBOL(entry);
		bool letter = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

		if (letter) {
			if (entry & TEXT_SPECIAL || !(entry & TEXT_WORD) || entry != t->low[c | 0x20])
				return false;
			w->byte[c] = WORDS_LETTER;
			b->ascii[symbol] = symbol ? (uint8_t)(c | 0x20) : 0;
		} else if (!(entry & (TEXT_SPECIAL | TEXT_WORD))) {
			if (c == ' ') {
				w->byte[c] = WORDS_SPACE;
				b->space = (uint16_t)symbol;
				continue;
			}
			if (!AT_SLOT(b->a->root[symbol][0]))
				w->byte[c] = WORDS_SEPARATOR;
			if (symbol)
				b->other[b->other_count++] = (uint16_t)symbol;
		}
	}
	return true;
}

int words_build(struct words *w, const struct automaton *a, const struct fold_table *t, const struct word *words,
                size_t count, const uint16_t *pool, uint16_t edge, const bool *letter)
{
	owned(builder_free) struct builder b = {
		.w = w,
		.a = a,
		.pool = pool,
		.letter = letter,
		.edge = edge,
	};
	int error = 0;

	b.ascii = calloc(a->symbols + 1, 1);
	b.seen = calloc(a->slots / 64 + 1, sizeof(*b.seen));
	if (!b.ascii || !b.seen)
		return -ENOMEM;
	if (!sort_bytes(&b, t))
		return 0;
	for (size_t i = 0; i < count; i++)
		if (!is_whole(&b, &words[i]))
			return 0;
	w->place_count = 1;
	error = grow_places(w);
	if (!error)
		w->places[0] = (struct words_place){ 0 };
	for (size_t i = 0; i < count && !error; i++)
		error = walk(&b, &words[i], visit_place);
	for (size_t i = 1; i < w->place_count && !error; i++)
		w->places[i].fail = words_place(w, a, a->fail[w->places[i].node]) & WORDS_PLACE;
	for (size_t i = 1; i < w->place_count && !error; i++)
		if (w->places[w->places[i].fail & WORDS_PLACE].fail)
			w->places[i].fail |= WORDS_DEEP;
	w->space = b.space ? words_place(w, a, AT_SLOT(a->root[b.space][0])) : 0; /* its fail node is the root */
	if (b.space && a->nodes[AT_SLOT(a->root[b.space][0])].base & NODE_OUT)
		w->byte[' '] = WORDS_OUTSIDE;
	if (!error)
		error = table_new(&w->known, 64);
	w->longer = calloc(1, sizeof(*w->longer)); /* id 0 is no word */
	if (!error && !w->longer)
		error = -ENOMEM;
	if (!error)
		error = table_new(&w->pairs, w->place_count);
	for (size_t i = 0; i < count && !error; i++)
		error = walk(&b, &words[i], visit_word);
	if (error == -EEXIST)
		return 0;
	if (error)
		return error;
	w->worth = true;
	return 0;
}

void words_free(struct words *w)
{
	free(w->known.slots);
	free(w->pairs.slots);
	free(w->places);
	free(w->place_of);
	free(w->longer);
	*w = (struct words){ 0 };
}

size_t words_table_bytes(const struct words_table *t)
{
	return t->lines ? ((size_t)t->lines + 1) * LINE * sizeof(*t->slots) : 0;
}

size_t words_bytes(const struct words *w)
{
	return words_table_bytes(&w->known) + words_table_bytes(&w->pairs) + w->place_count * sizeof(*w->places) +
	       w->place_slots * sizeof(*w->place_of) + w->longer_room * sizeof(*w->longer);
}

uint32_t words_letters(const struct automaton *a, const struct fold_table *t, uint32_t node, uint64_t letters)
{
	/* In this reading no needle ends inside a word. */
	for (bool begins = true; letters; letters >>= 8, begins = false)
		node = automaton_step(a, node, TEXT_SYMBOL(t->low[letters & 0xff]), begins);
	return node;
}

/* Letters and digits at p, up to 16: in two numbers, folded, the first lowest. */
static always_inline unsigned read_word(const uint8_t *p, uint64_t letters[2])
{
#ifdef __SSE2__
	static const uint8_t masks[32] = { 255, 255, 255, 255, 255, 255, 255, 255,
		                           255, 255, 255, 255, 255, 255, 255, 255 };
	const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p), low = _mm_or_si128(x, _mm_set1_epi8(' '));
	const __m128i letter =
		_mm_cmplt_epi8(_mm_add_epi8(low, _mm_set1_epi8(-128 - 'a' + 256)), _mm_set1_epi8(-128 + 26));
	const __m128i digit =
		_mm_cmplt_epi8(_mm_add_epi8(x, _mm_set1_epi8(-128 - '0' + 256)), _mm_set1_epi8(-128 + 10));
	unsigned len = (unsigned)__builtin_ctz(~(unsigned)_mm_movemask_epi8(_mm_or_si128(letter, digit)));

	_mm_storeu_si128((__m128i *)(void *)letters,
	                 _mm_and_si128(low, _mm_loadu_si128((const __m128i *)(const void *)(masks + 16 - len))));
	return len;
#else
	unsigned len = 0;

	letters[0] = letters[1] = 0;
	for (; len < 16; len++) {
		uint8_t low = p[len] | ' ';

		if ((low < 'a' || low > 'z') && (p[len] < '0' || p[len] > '9'))
			break;
		letters[len / 8] |= (uint64_t)low << 8 * (len % 8);
	}
	return len;
#endif
}

/* A word and the separator behind it; or the separator alone. */
struct item {
	const uint8_t *p;
	uint64_t letters[2], key;
	uint32_t id, to;        /* as in `known`; of what is in no needle 0 and where its separator leads */
	uint8_t len, separator; /* enum words_byte */
};

/* Reads words ahead, and asks for their slots. Returns how many; fewer than BATCH if that is all. */
static always_inline size_t read_ahead(const struct words *w, struct words_walk *walk, struct item *items)
{
	const uint8_t *p = walk->p;
	size_t n = 0;

	for (; n < BATCH && p < walk->limit; n++) {
		struct item *i = &items[n];
		unsigned len = read_word(p, i->letters);

		i->p = p;
		i->len = (uint8_t)len;
		i->separator = w->byte[p[len]];
		if (i->separator < WORDS_SEPARATOR) {
			walk->open = len;
			walk->letters = i->letters[0];
			break;
		}
		i->key = word_key(i->letters[0], i->letters[1]);
		__builtin_prefetch(slots_of(&w->known, i->key));
		p += len + 1;
	}
	walk->p = p;
	return n;
}

/* Finds the words, and asks for where they lead from the word before. */
static always_inline void look_up(const struct words *w, uint32_t before, struct item *items, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		struct item *i = &items[k];
		struct entry e = find(&w->known, i->key);

		if (unlikely(i->letters[1]) && memcmp(w->longer[e.id], i->letters, sizeof(i->letters)))
			e = (struct entry){ 0 };
		i->id = e.id;
		i->to = e.to | (w->space & -(uint32_t)!e.id);
		__builtin_prefetch(slots_of(&w->pairs, pair_key(before & WORDS_PLACE, i->id)));
		before = i->to;
	}
}

/* Where a word leads. */
static always_inline uint32_t lead(const struct words *w, uint32_t at, const struct item *i)
{
	struct entry e = find(&w->pairs, pair_key(at & WORDS_PLACE, i->id));
	uint32_t found;

	while (unlikely(at & WORDS_DEEP) && !e.id && i->id) {
		at = w->places[at & WORDS_PLACE].fail;
		e = find(&w->pairs, pair_key(at & WORDS_PLACE, i->id));
	}
	found = -e.id;
	return (e.to & found) | (i->to & ~found);
}

void words_run(const struct words *w, struct words_walk *walk)
{
	struct item items[BATCH];
	uint32_t at = walk->place;
	size_t n;

	walk->open = 0;
	do {
		n = read_ahead(w, walk, items);
		look_up(w, at, items, n);
		for (size_t k = 0; k < n; k++) {
			const struct item *i = &items[k];
			uint32_t to = lead(w, at, i), space = -(uint32_t)(i->separator == WORDS_SPACE);

			/* Separators by themselves are in no table. */
			if (unlikely(to & (WORDS_LETTERS | (WORDS_OTHER & ~space)) || (!i->len && at))) {
				walk->place = at;
				walk->p = i->p;
				walk->open = 0;
				return;
			}
			at = to & space & ~WORDS_OTHER;
		}
	} while (n == BATCH);
	walk->place = at;
}
