/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c - text walks the automaton.
 *
 * Two paths. The quick one takes a character that gives one symbol and ends no needle: it is the whole cost of ordinary
 * text, and for scanners without word edges it is compiled without them. The careful one (step.c) does everything, one
 * character from the state before it.
 */
#include "scan/scan.h"

#include <endian.h>

#include "scan/scanner.h"
#include "scan/utf8.h"

#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define always_inline inline __attribute__((always_inline))

/* Finishes the character that st->tail began. Returns the bytes of `bytes` it took; *cp is UTF8_CUT if it is still not
 * whole. */
#define UTF8_CUT UINT32_MAX
static size_t finish_tail(struct scan_state *st, struct slice bytes, uint32_t *cp)
{
	uint8_t joined[8];
	size_t more = bytes.len < 4 ? bytes.len : 4, took;

	memcpy(joined, st->tail, st->tail_len);
	memcpy(joined + st->tail_len, bytes.at, more);
	took = utf8_decode(joined, st->tail_len + more, cp);
	if (took)
		return took - st->tail_len; /* the tail is one maximal subpart: it is always taken whole */
	memcpy(st->tail, joined, st->tail_len + more);
	st->tail_len += (uint8_t)more;
	*cp = UTF8_CUT;
	return more;
}

/* If a is b, *x = xx and *y = yy. Nobody can predict it, and compilers cannot be made to leave the branch out. */
static always_inline void choose(uint32_t a, uint32_t b, uint32_t *x, uint32_t xx, uint32_t *y, uint32_t yy)
{
#ifdef __x86_64__
	__asm__("cmpl %4, %5\n\tcmovel %2, %0\n\tcmovel %3, %1"
	        : "+r"(*x), "+r"(*y)
	        : "r"(xx), "rm"(yy), "r"(a), "rm"(b)
	        : "cc");
#else
	uint32_t mask = -(uint32_t)(a == b);

	*x ^= (*x ^ xx) & mask;
	*y ^= (*y ^ yy) & mask;
#endif
}

/* The entry of the character at p; *took is 0 if it is cut. */
static always_inline uint32_t next_entry(const struct fold_table *t, const uint8_t *p, const uint8_t *end, size_t *took)
{
	uint32_t cp;

	if (likely(*p < 0x80)) {
		*took = 1;
		return t->low[*p];
	}
	*took = utf8_decode(p, (size_t)(end - p), &cp);
	return *took ? fold_text(t, cp) : 0;
}

/* Where the bytes are. */
struct walk {
	const uint8_t *p, *end;
	bool have; /* `entry`, of `took` bytes at p and perhaps some before, is looked at first */
	uint32_t entry;
	size_t took;
	const uint8_t *lanes; /* where lanes are tried next */
	size_t alone;         /* bytes to go without them if they fail */
	const uint8_t *ascii; /* where long ASCII is looked for next */
};

enum stop { STOP_END, STOP_CUT, STOP_CAREFUL, STOP_ASCII };

/* How ASCII goes: by words; or by the rows, if most nodes are there, whenever it comes, else only where there is much
 * of it. */
enum ascii_way { BY_WORDS, ROWS_FOR_LONG, ROWS_FOR_ALL };

/* Looks at the next character for the careful path. */
static enum stop look(const struct scanner *s, struct walk *w)
{
	if (w->have)
		return STOP_CAREFUL;
	if (w->p == w->end)
		return STOP_END;
	w->entry = next_entry(&s->table, w->p, w->end, &w->took);
	return w->took ? STOP_CAREFUL : STOP_CUT;
}

/* Where a class leads by rows and links alone; ROWS_STOP if they do not know. */
static always_inline uint32_t move_on(const struct rows *r, uint32_t at, uint8_t class)
{
	const struct link *l = r->links;

	while (at - ROWS_LINK < ROWS_LINK && (l = &r->links[at - ROWS_LINK])->class != class)
		at = l->fail;
	if (likely(at < ROWS_LINK))
		return r->next[at + class];
	if (unlikely(at >= ROWS_COLD))
		return ROWS_STOP;
	return likely(l[1].class != ROWS_NO_CLASS) ? at + 1 : l[1].fail;
}

/* The same without a branch that nobody can predict. Where it leads may be behind the last link: that is not followed
 * before the next character, and ROWS_STOP comes that much later. */
static always_inline uint32_t glide(const struct rows *r, uint32_t at, uint8_t class)
{
	uint32_t linked = -(at / ROWS_LINK), same, row;
	const struct link *l = &r->links[at & linked & ROWS_AT];

	row = (at & ~linked) | (l->fail & linked);
	if (unlikely(row >= ROWS_LINK))
		return move_on(r, at, class);
	same = linked & -(uint32_t)(l->class == class);
	return (r->next[row + class] & ~same) | ((at + 1) & same);
}

/* Long ASCII is read in several lanes at once, because a walk waits for memory most of the time. All but the first lane
 * begin at the root, which forgets what began before them: the walk of the lane before goes on into each until both are
 * at the same place, from where on they are the same. */
#define LANES  4
#define LANE   512
#define STRIDE (LANES * LANE)
#define TRACE  64 /* places of a lane that are kept for that */

/* Takes STRIDE bytes at p. False if anything but rows and links is asked for: nothing is taken then. */
static bool run_lanes(const struct rows *r, const uint8_t *p, uint32_t *at, bool in_word)
{
	uint32_t place[LANES], trace[LANES][TRACE + 1], to;
	uint8_t class = 0;

	place[0] = *at & ROWS_COLD ? rows_as(r, *at & ROWS_AT, in_word) : *at;
	for (size_t i = 1; i < LANES; i++) {
		uint8_t before = r->class[p[i * LANE - 1]];

		class |= before;
		place[i] = rows_at(r, NODE_ROOT, r->letters >> (before & 63) & 1);
	}
	if (class == ROWS_NO_CLASS || place[0] >= ROWS_COLD)
		return false;
	for (size_t k = 0; k < LANE; k++) {
#pragma GCC unroll 8
		for (size_t i = 0; i < LANES; i++) {
			uint8_t c = r->class[p[i * LANE + k]];

			if (unlikely(c == ROWS_NO_CLASS))
				return false;
			place[i] = glide(r, place[i], c);
			if (unlikely(place[i] >= ROWS_COLD))
				return false;
			trace[i][k < TRACE ? k : TRACE] = place[i];
		}
	}
	for (size_t i = 0; i < LANES; i++) {
		if (place[i] & ROWS_LINK && r->links[place[i] & ROWS_AT].class == ROWS_NO_CLASS)
			place[i] = r->links[place[i] & ROWS_AT].fail;
		if (place[i] >= ROWS_COLD)
			return false;
	}
	to = place[0];
	for (size_t i = 1; i < LANES; i++) {
		size_t k = 0;

		for (; k < LANE; k++) {
			to = move_on(r, to, r->class[p[i * LANE + k]]);
			if (to & ROWS_STOP)
				return false;
			if (k < TRACE && to == trace[i][k])
				break;
		}
		if (k < LANE)
			to = place[i];
	}
	*at = to;
	return true;
}

/* Takes ASCII by the rows as long as each character has a class and ends nothing. *node: where the walk is, as rows
 * know it. Returns where it stopped. */
static always_inline const uint8_t *run(const struct scanner *s, const uint8_t *p, const uint8_t *end, uint32_t *node,
                                        bool in_word, bool *stop)
{
	const struct rows *r = &s->rows;
	const uint8_t *from = p;
	uint32_t at = *node, to;
	uint8_t class;

	*stop = false;
	for (; p != end && (class = r->class[*p]) != ROWS_NO_CLASS; at = to, p++) {
		to = move_on(r, at, class);
		if (unlikely(to & ROWS_STOP))
			to = rows_slow(r, &s->automaton, at, class,
			               p == from ? in_word : r->letters >> r->class[p[-1]] & 1);
		if (unlikely(to & ROWS_STOP)) {
			*stop = true;
			break;
		}
	}
	*node = at;
	return p;
}

/* Takes ASCII, in lanes while there is enough of it. */
static __attribute__((noinline)) const uint8_t *run_ascii(const struct scanner *s, struct walk *w, const uint8_t *p,
                                                          uint32_t *at, bool in_word, bool *stop)
{
	*stop = false;
	if (w->end - p >= STRIDE && p >= w->lanes && run_lanes(&s->rows, p, at, in_word)) {
		w->alone = STRIDE;
		return p + STRIDE;
	}
	if (p >= w->lanes) {
		w->lanes = (size_t)(w->end - p) < w->alone ? w->end : p + w->alone;
		w->alone *= 2;
	}
	return run(s, p, w->lanes, at, in_word, stop);
}

/* Whether it is worth while to go over to the rows: the way there and back costs as much as some characters. */
static always_inline bool ascii_ahead(const uint8_t *p, const uint8_t *end)
{
	uint64_t next[2];

	if (end - p < (ptrdiff_t)sizeof(next))
		return false;
	memcpy(next, p, sizeof(next));
	return !((next[0] | next[1]) & 0x8080808080808080u);
}

/* The way to the rows and back pays from here on, wherever the needles' nodes are. */
#define LONG_ASCII 64

/* How many bytes of ASCII there are at p, up to LONG_ASCII of them. */
static always_inline size_t ascii_length(const uint8_t *p, const uint8_t *end)
{
	size_t n = 0;

	for (uint64_t next; n < LONG_ASCII && end - p >= (ptrdiff_t)(n + sizeof(next)); n += sizeof(next)) {
		memcpy(&next, p + n, sizeof(next));
		if (next & 0x8080808080808080u)
			break;
	}
	return n;
}

/* Takes long ASCII by the rows, up to what they cannot take. */
static __attribute__((noinline)) void walk_rows(const struct scanner *s, struct walk *w, struct scan_state *st)
{
	const uint8_t *p = w->p;
	uint32_t at = rows_at(&s->rows, st->at & ROWS_AT, st->in_word), in_word = st->in_word;
	bool stop = false;

	while (!stop && p != w->end && s->rows.class[*p] != ROWS_NO_CLASS) {
		const uint8_t *from = p;

		p = run_ascii(s, w, p, &at, in_word, &stop);
		if (p != from)
			in_word = s->table.low[p[-1]] >> 16 & 1;
	}
	if (p != w->p) {
		st->symbols += (size_t)(p - w->p);
		st->at = ROWS_COLD | rows_node(&s->rows, at);
		st->last = (uint16_t)TEXT_SYMBOL(s->table.low[p[-1]]);
		st->in_word = (uint8_t)in_word;
	}
	w->p = p;
	w->ascii = p == w->end ? p : p + 1;
}

/* The node of a walk by words, at the last letter. */
static uint32_t node_of_words(const struct scanner *s, const struct scan_state *st)
{
	const struct words_place *place = &s->words.places[st->at & WORDS_PLACE];

	return words_letters(&s->automaton, &s->table, place->node, st->letters);
}

static size_t words_hold(const struct scanner *s, const struct scan_state *st)
{
	return st->letters ? s->automaton.hold[node_of_words(s, st)] : s->words.places[st->at & WORDS_PLACE].hold;
}

/* How many letters that is. */
static always_inline size_t letters_count(uint64_t letters)
{
	return letters ? 8 - (size_t)__builtin_clzll(letters) / 8 : 0;
}

/* Goes over from words to letters. */
static void settle(const struct scanner *s, struct scan_state *st)
{
	if (!(st->at & WORDS_AT))
		return;
	if (st->letters)
		st->last = (uint16_t)TEXT_SYMBOL(s->table.low[st->letters >> 8 * (letters_count(st->letters) - 1)]);
	st->at = ROWS_COLD | node_of_words(s, st);
}

static always_inline bool begins_word(const struct scanner *s, const struct scan_state *st, struct slice bytes)
{
	return st->at & WORDS_AT ||
	       (!st->in_word && !st->apart && !st->seam && !st->parted_count &&
	        s->words.byte[*bytes.at] == WORDS_LETTER &&
	        (bytes.len < 16 ? !(bytes.at[bytes.len - 1] & 0x80) : ascii_ahead(bytes.at, bytes.at + bytes.len)));
}

/* Short pieces are read where enough can be read behind them, and with the letters of the word that they go on. */
#define WORDS_PIECE 64

/* Copies `len` <= WORDS_PIECE bytes, with zeros behind. */
static always_inline void copy_piece(uint8_t *to, const uint8_t *from, size_t len)
{
	if (len < 16) {
		memset(to, 0, 16);
		for (size_t i = 0; i < len; i++)
			to[i] = from[i];
	} else {
		for (size_t i = 16; i < len; i += 16)
			memcpy(to + i - 16, from + i - 16, 16);
		memcpy(to + len - 16, from + len - 16, 16);
	}
	memset(to + len, 0, WORDS_BEHIND);
}

/* The walk is at w->p, in front of what is not taken by words. */
static always_inline void leave_words(const struct scanner *s, struct walk *w, struct scan_state *st,
                                      const struct words_walk *at)
{
	size_t left = (size_t)(w->end - w->p);

	if (left && (left != at->open || left > sizeof(st->letters))) {
		settle(s, st);
		/* That is for letters. */
		for (w->ascii = w->p; w->ascii != w->end && s->words.byte[*w->ascii] == WORDS_LETTER;)
			w->ascii++;
		return;
	}
	/* The end, perhaps in a word. */
	st->letters = left ? at->letters : 0;
	st->in_word = left > 0;
	st->at = at->place || left ? WORDS_AT | at->place : 0;
	w->p = w->end;
}

/* Takes ASCII by words, up to what they cannot take; what is left of a word at the end is in the state. */
static __attribute__((noinline)) void walk_words(const struct scanner *s, struct walk *w, struct scan_state *st)
{
	uint8_t text[sizeof(st->letters) + WORDS_PIECE + WORDS_BEHIND];
	bool by_words = st->at & WORDS_AT, more = true;
	size_t cut = by_words ? letters_count(st->letters) : 0;
	const uint8_t *from = w->p;
	struct words_walk at = { .place = st->at & ~WORDS_AT };

	if (!by_words)
		at.place = words_place(&s->words, &s->automaton, st->at & ROWS_AT);
	while (more) {
		size_t left = (size_t)(w->end - w->p), n = left < WORDS_PIECE ? left : WORDS_PIECE;

		if (!cut && left > WORDS_PIECE) {
			at.p = w->p;
			at.limit = w->end - (WORDS_BEHIND - 1);
			words_run(&s->words, &at);
			more = at.p >= at.limit;
			w->p = at.p;
			continue;
		}
		if (cut)
			memcpy(text, &(uint64_t){ htole64(st->letters) }, sizeof(st->letters));
		copy_piece(text + cut, w->p, n);
		at.p = text;
		at.limit = text + cut + n;
		words_run(&s->words, &at);
		if (cut && at.p == text) {
			/* The word is not over, or it is for letters. */
			if (at.open == cut + n && at.open <= sizeof(st->letters)) {
				st->letters = at.letters;
				w->p = w->end;
				st->symbols += n;
			} else {
				settle(s, st);
			}
			return;
		}
		more = n < left && at.p + at.open >= at.limit;
		w->p += (size_t)(at.p - text) - cut;
		cut = 0;
	}
	if (w->p != from) {
		st->last = (uint16_t)TEXT_SYMBOL(s->table.low[w->p[-1]]);
		st->in_word = 0;
		st->at = WORDS_AT | at.place;
		st->letters = 0;
	}
	leave_words(s, w, st, &at);
	st->symbols += (size_t)(w->p - from);
}

/* Takes characters as long as each gives one symbol and ends nothing. STOP_CAREFUL: `entry` is not taken. STOP_ASCII:
 * what follows is for walk_words() or walk_rows(). */
static always_inline enum stop walk(const struct scanner *s, struct walk *w, struct scan_state *st, const bool edges,
                                    const enum ascii_way way)
{
	const bool rows = way == ROWS_FOR_ALL;
	const struct automaton *a = &s->automaton;
	const struct node *nodes = a->nodes;
	const uint64_t(*root)[2] = (const uint64_t(*)[2])a->root;
	const uint8_t *p = w->p, *end = w->end;
	uint32_t at = st->at, node, base, last = st->last, in_word = st->in_word, entry = w->entry;
	uint64_t one = root[last][0], symbols = st->symbols; /* `one`, `node` and `base` count if `at` is ROWS_COLD */
	enum stop why = STOP_END;
	size_t took = w->took;

	/* A short piece may be all there is for now: it is not left to the slower way for good. */
	if (rows && at >= ROWS_COLD && p < end && *p < 0x80)
		at = rows_at(&s->rows, at & ROWS_AT, in_word);
	if (!rows)
		at |= ROWS_COLD; /* zero is the root for both */
	node = at < ROWS_COLD ? NODE_ROOT : at & ROWS_AT;
	base = nodes[node].base;

	if (w->have)
		goto have;
	while (p < end) {
		if (rows && *p < 0x80 && (at < ROWS_COLD || ascii_ahead(p, end))) {
			const uint8_t *from = p;
			uint32_t place = at < ROWS_COLD ? at : ROWS_COLD | node;
			bool stop;

			p = run_ascii(s, w, p, &place, in_word, &stop);
			at = place;
			if (p != from) {
				last = TEXT_SYMBOL(s->table.low[p[-1]]);
				in_word = s->table.low[p[-1]] >> 16 & 1;
				symbols += (size_t)(p - from);
			}
			if (at >= ROWS_COLD) {
				node = at & ROWS_AT;
				base = nodes[node].base;
				one = root[last][0];
			}
			if (stop) {
				entry = s->table.low[*p];
				took = 1;
				why = STOP_CAREFUL;
				break;
			}
			if (p == end || s->rows.class[*p] != ROWS_NO_CLASS)
				continue;
		}
		if (way == BY_WORDS && !in_word && s->words.byte[*p] == WORDS_LETTER && p >= w->ascii) {
			if (ascii_ahead(p, end)) {
				why = STOP_ASCII;
				break;
			}
		}
		if (way == ROWS_FOR_LONG && *p < 0x80 && p >= w->ascii) {
			size_t n = ascii_length(p, end);

			if (n >= LONG_ASCII) {
				why = STOP_ASCII;
				break;
			}
			w->ascii = p + n + 1;
		}
		entry = next_entry(&s->table, p, end, &took);
		if (unlikely(!took)) {
			why = STOP_CUT;
			break;
		}
	have:
		if (unlikely(entry & TEXT_SPECIAL)) {
			why = STOP_CAREFUL;
			break;
		}
		if (rows && at < ROWS_COLD) {
			node = rows_node(&s->rows, at);
			base = nodes[node].base;
			one = root[last][0];
			at = ROWS_COLD;
		}
		uint32_t symbol = TEXT_SYMBOL(entry), word = entry >> 16 & 1;
		uint32_t to = (base & NODE_BASE) + symbol, one_to = (AT_BASE(one) & NODE_BASE) + symbol;
		uint64_t first = root[symbol][0], begin = edges ? root[symbol][word & ~in_word] : first;
		uint32_t next = AT_SLOT(begin), next_base = AT_BASE(begin);

		choose(AT_SLOT(one), nodes[one_to].check, &next, one_to, &next_base, nodes[one_to].base);
		next_base |= base << 2 & NODE_OUT; /* NODE_DEEP */
		choose(node, nodes[to].check, &next, to, &next_base, nodes[to].base);
		if (edges)
			next_base |= base << 1 & NODE_OUT; /* NODE_WAIT */
		if (unlikely(next_base & NODE_OUT)) {
			if (base & NODE_WAIT || nodes[to].check == node) {
				why = STOP_CAREFUL;
				break;
			}
			next = automaton_step(a, node, symbol, edges && word & ~in_word);
			next_base = nodes[next].base;
			if (next_base & NODE_OUT) {
				why = STOP_CAREFUL;
				break;
			}
		}
		one = first;
		last = symbol;
		node = next;
		base = next_base;
		symbols++;
		in_word = word;
		p += took;
	}
	/* Still at hand if the first was not taken. */
	w->p = p;
	w->have = w->have && why == STOP_CAREFUL && symbols == st->symbols;
	w->entry = entry;
	w->took = took;
	st->symbols = symbols;
	st->at = at < ROWS_COLD ? at : ROWS_COLD | node;
	st->last = (uint16_t)last;
	st->in_word = (uint8_t)in_word;
	return why;
}

static always_inline size_t feed(const struct scanner *s, struct scan_state *st, struct slice bytes, size_t *used,
                                 struct scan_hit *hits, size_t most, const bool edges, const enum ascii_way way)
{
	struct walk w = {
		.p = bytes.at, .end = bytes.at + bytes.len, .lanes = bytes.at, .alone = STRIDE, .ascii = bytes.at
	};
	struct sink k = { hits, most, .done = st->done };
	const bool all = s->gapped.nodes;
	uint8_t tail = st->tail_len;
	enum stop why;

	*used = bytes.len;
	if (!bytes.len)
		return 0;
	if (tail) {
		uint32_t cp;

		w.took = finish_tail(st, bytes, &cp);
		if (cp == UTF8_CUT)
			return 0;
		w.entry = fold_text(&s->table, cp);
		w.have = true;
		st->tail_len = 0;
	}
	while ((why = unlikely(all || st->apart || st->seam || st->parted_count)
	                      ? look(s, &w)
	                      : walk(s, &w, st, edges, way)) >= STOP_CAREFUL) {
		if (way == BY_WORDS && why == STOP_ASCII) {
			walk_words(s, &w, st);
			if (w.p == w.end)
				break;
			continue;
		}
		if (way == ROWS_FOR_LONG && why == STOP_ASCII) {
			walk_rows(s, &w, st);
			continue;
		}
		if (!step_character(s, &k, st, w.entry)) {
			/* Only a character of which nothing was taken can have been begun before. */
			if (w.have)
				st->tail_len = tail;
			break;
		}
		w.p += w.took;
		w.have = false;
	}
	if (why == STOP_CUT) {
		st->tail_len = (uint8_t)(w.end - w.p);
		memcpy(st->tail, w.p, st->tail_len);
		w.p = w.end;
	}
	st->done = k.done;
	*used = (size_t)(w.p - bytes.at);
	return k.n;
}

/* Short ASCII, as tokens are, is over before the rest has begun. */
static size_t feed_words(const struct scanner *s, struct scan_state *st, struct slice bytes, size_t *used,
                         struct scan_hit *hits, size_t most)
{
	struct walk w = { .p = bytes.at, .end = bytes.at + bytes.len };
	size_t n = 0;

	if (bytes.len && !st->tail_len && begins_word(s, st, bytes))
		walk_words(s, &w, st);
	*used = bytes.len;
	if (w.p != w.end) {
		size_t taken = (size_t)(w.p - bytes.at);

		n = s->automaton.edges ? feed(s, st, slice_from(bytes, taken), used, hits, most, true, BY_WORDS)
		                       : feed(s, st, slice_from(bytes, taken), used, hits, most, false, BY_WORDS);
		*used += taken;
	}
	return n;
}

size_t scan_feed(const struct scanner *s, struct scan_state *st, struct slice bytes, size_t *used,
                 struct scan_hit *hits, size_t most)
{
	if (s->words.worth)
		return feed_words(s, st, bytes, used, hits, most);
	if (s->rows.worth)
		return s->automaton.edges ? feed(s, st, bytes, used, hits, most, true, ROWS_FOR_ALL)
		                          : feed(s, st, bytes, used, hits, most, false, ROWS_FOR_ALL);
	return s->automaton.edges ? feed(s, st, bytes, used, hits, most, true, ROWS_FOR_LONG)
	                          : feed(s, st, bytes, used, hits, most, false, ROWS_FOR_LONG);
}

size_t scan_end(const struct scanner *s, struct scan_state *st, struct scan_hit *hits, size_t most)
{
	struct sink k = { hits, most, .done = st->done };

	settle(s, st);
	if (st->tail_len) {
		if (!step_character(s, &k, st, fold_text(&s->table, UTF8_REPLACEMENT))) {
			st->done = k.done;
			return k.n;
		}
		st->tail_len = 0;
	}
	k.seen = 0;
	if (st->in_word && !st->seam && !step_end_word(s, &k, st)) {
		st->done = k.done;
		return k.n;
	}
	*st = (struct scan_state){ .symbols = st->symbols };
	return k.n;
}

size_t scan_hold(const struct scanner *s, const struct scan_state *st)
{
	size_t hold, more = st->apart ? s->automaton.hold[st->twin] : 0;

	if (st->at & WORDS_AT)
		return words_hold(s, st);
	hold = rows_hold(&s->rows, &s->automaton, st->at);
	if (more > hold)
		hold = more;
	more = st->gapped ? step_gap_hold(s, st) : 0;
	if (more > hold)
		hold = more;
	more = st->parted_count ? step_parted_hold(s, st) : 0;
	return more > hold ? more : hold;
}

static uint64_t symbols_of(const struct scanner *s, uint32_t entry)
{
	if (!(entry & TEXT_SPECIAL) || entry & TEXT_TWIN)
		return 1;
	return entry & TEXT_DROP ? 0 : s->table.multi[TEXT_SYMBOL(entry)];
}

void scan_locate(const struct scanner *s, struct scan_state at, struct slice bytes, uint64_t start, uint64_t end,
                 size_t *from, size_t *to)
{
	uint64_t before = at.symbols, after;

	*from = start < before ? 0 : bytes.len;
	*to = end <= before ? 0 : bytes.len;
	for (size_t i = 0; i < bytes.len && before < end; before = after) {
		size_t first = i, took;
		uint32_t cp;

		if (at.tail_len) {
			took = finish_tail(&at, bytes, &cp);
			at.tail_len = 0;
			if (cp == UTF8_CUT)
				return;
		} else {
			took = utf8_decode(bytes.at + i, bytes.len - i, &cp);
			if (!took)
				return;
		}
		i += took;
		after = before + symbols_of(s, fold_text(&s->table, cp));
		if (start >= before && start < after)
			*from = first;
		if (end > before && end <= after)
			*to = i;
	}
}
