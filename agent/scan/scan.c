/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c - text walks the automaton.
 *
 * Two paths. The quick one takes a character that gives one symbol and ends no needle: it is the whole cost of ordinary
 * text, and for scanners without word edges it is compiled without them. The careful one does everything, one character
 * from the state before it: if the caller's array is full, that state stays, the character is not used up, and the
 * hits of it that were delivered are skipped next time.
 */
#include "scan/scan.h"

#include "scan/scanner.h"
#include "scan/utf8.h"

#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define always_inline inline __attribute__((always_inline))
#define NEVER_INLINE  __attribute__((noinline))

/* Between two characters. */
struct place {
	uint64_t symbols;
	uint32_t node, one, two;
	bool in_word;
};

/* Where hits go. */
struct sink {
	struct scan_hit *hits;
	size_t most, n;
	uint32_t done; /* hits of the character at hand that an earlier call delivered */
	uint32_t seen; /* hits of it so far */
};

static struct place place_of(const struct scan_state *st)
{
	return (struct place){ st->symbols, st->node, st->one, st->two, st->in_word };
}

/* Delivers a list of outputs at the place. False: no room. */
static bool deliver(const struct automaton *a, struct sink *k, const struct place *p, uint32_t head)
{
	for (uint32_t o = head; o; o = a->outputs[o].next) {
		const struct output *out = &a->outputs[o];

		for (uint32_t i = 0; i < out->count; i++, k->seen++) {
			if (k->seen < k->done)
				continue;
			if (k->n == k->most) {
				k->done = k->seen;
				return false;
			}
			k->hits[k->n++] =
				(struct scan_hit){ a->ids[out->first + i], p->symbols - out->length, p->symbols };
		}
	}
	return true;
}

/* The word ends here: what waited for that is a hit. */
static bool end_word(const struct automaton *a, struct sink *k, const struct place *p)
{
	return !a->wait || deliver(a, k, p, a->wait[p->node]);
}

/* The child of `node`, or `other` if there is none. */
static uint32_t child_or(const struct automaton *a, uint32_t node, uint32_t symbol, uint32_t other)
{
	uint32_t to = (a->nodes[node].base & NODE_BASE) + symbol;

	return a->nodes[to].check == node ? automaton_rest(a, to) : other;
}

static bool step(const struct automaton *a, struct sink *k, struct place *p, uint32_t entry)
{
	uint32_t symbol = TEXT_SYMBOL(entry), one = automaton_rest(a, AT_SLOT(a->root[symbol])), node;
	bool word = entry & TEXT_WORD;

	if (p->in_word && !word && !end_word(a, k, p))
		return false;
	node = automaton_step(a, p->node, symbol, word && !p->in_word);
	p->two = child_or(a, p->one, symbol, one);
	p->one = one;
	p->in_word = word;
	p->symbols++;
	if (!deliver(a, k, p, a->out[node]))
		return false;
	p->node = automaton_rest(a, node);
	return true;
}

static NEVER_INLINE bool careful(const struct scanner *s, struct sink *k, struct place *at, uint32_t entry)
{
	const uint32_t *seq = &entry;
	struct place p = *at;
	uint32_t n = 1;

	if (entry & TEXT_SPECIAL) {
		if (entry & TEXT_DROP)
			return true;
		seq = s->table.multi + TEXT_SYMBOL(entry) + 1;
		n = seq[-1];
	}
	k->seen = 0;
	for (uint32_t i = 0; i < n; i++)
		if (!step(&s->automaton, k, &p, seq[i]))
			return false;
	*at = p;
	k->done = 0;
	return true;
}

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

/* a or b, without a branch: which of them is what nobody can predict. */
static always_inline uint64_t pick(bool which, uint64_t a, uint64_t b)
{
	return b ^ ((a ^ b) & -(uint64_t)which);
}

static always_inline uint64_t load(const struct node *nodes, uint32_t slot)
{
	return AT(slot, nodes[slot].base);
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

static always_inline size_t feed(const struct scanner *s, struct scan_state *st, struct slice bytes, size_t *used,
                                 struct scan_hit *hits, size_t most, const bool edges)
{
	const struct automaton *a = &s->automaton;
	const struct node *nodes = a->nodes;
	const uint64_t *root = a->root, *root_edge = a->root_edge;
	const uint8_t *p = bytes.at, *end = bytes.at + bytes.len;
	struct sink k = { hits, most, .done = st->done };
	uint64_t symbols = st->symbols, at = load(nodes, st->node), one = load(nodes, st->one),
		 two = load(nodes, st->two);
	uint32_t in_word = st->in_word, entry;
	size_t took;

	if (unlikely(st->tail_len) && bytes.len) {
		uint32_t cp;

		took = finish_tail(st, bytes, &cp);
		if (cp == UTF8_CUT) {
			*used = bytes.len;
			return 0;
		}
		entry = fold_text(&s->table, cp);
		goto have;
	}
	while (p < end) {
		entry = next_entry(&s->table, p, end, &took);
		if (unlikely(!took)) {
			st->tail_len = (uint8_t)(end - p);
			memcpy(st->tail, p, st->tail_len);
			p = end;
			break;
		}
have:
		if (likely(!(entry & TEXT_SPECIAL))) {
			uint32_t symbol = TEXT_SYMBOL(entry), word = entry >> 16;
			uint32_t to0 = (AT_BASE(at) & NODE_BASE) + symbol, to1 = (AT_BASE(one) & NODE_BASE) + symbol,
				 to2 = (AT_BASE(two) & NODE_BASE) + symbol;
			uint64_t first = root[symbol], begin = first, next, other;
			bool hit0 = nodes[to0].check == AT_SLOT(at), hit1 = nodes[to1].check == AT_SLOT(one),
			     hit2 = nodes[to2].check == AT_SLOT(two);
			uint32_t event;

			if (edges)
				begin = pick(word & ~in_word, root_edge[symbol], first);
			other = pick(hit1, load(nodes, to1), begin);
			other = pick(hit2, load(nodes, to2), other);
			next = pick(hit0, load(nodes, to0), other);
			/* Something ends here, or waits for what comes, or the answer lies down the chain. */
			event = AT_BASE(next) | AT_BASE(at) << 1 | (AT_BASE(at) << 2 & ((uint32_t)hit0 - 1));
			if (likely(!(event & NODE_OUT))) {
				two = pick(hit1, load(nodes, to1), first);
				one = first;
				at = next;
				symbols++;
				in_word = word;
				p += took;
				st->tail_len = 0;
				continue;
			}
		}
		struct place place = { symbols, AT_SLOT(at), AT_SLOT(one), AT_SLOT(two), in_word };
		if (!careful(s, &k, &place, entry))
			break;
		symbols = place.symbols;
		at = load(nodes, place.node);
		one = load(nodes, place.one);
		two = load(nodes, place.two);
		in_word = place.in_word;
		p += took;
		st->tail_len = 0;
	}
	st->symbols = symbols;
	st->node = AT_SLOT(at);
	st->one = AT_SLOT(one);
	st->two = AT_SLOT(two);
	st->in_word = (uint8_t)in_word;
	st->done = k.done;
	*used = (size_t)(p - bytes.at);
	return k.n;
}

size_t scan_feed(const struct scanner *s, struct scan_state *st, struct slice bytes, size_t *used,
                 struct scan_hit *hits, size_t most)
{
	if (s->automaton.root_edge)
		return feed(s, st, bytes, used, hits, most, true);
	return feed(s, st, bytes, used, hits, most, false);
}

size_t scan_end(const struct scanner *s, struct scan_state *st, struct scan_hit *hits, size_t most)
{
	struct sink k = { hits, most, .done = st->done };
	struct place at = place_of(st);

	if (st->tail_len) {
		if (!careful(s, &k, &at, fold_text(&s->table, UTF8_REPLACEMENT))) {
			st->done = k.done;
			return k.n;
		}
		*st = (struct scan_state){
			.symbols = at.symbols, .node = at.node, .one = at.one, .two = at.two, .in_word = at.in_word
		};
	}
	k.seen = 0;
	if (at.in_word && !end_word(&s->automaton, &k, &at)) {
		st->done = k.done;
		return k.n;
	}
	*st = (struct scan_state){ .symbols = at.symbols };
	return k.n;
}

size_t scan_hold(const struct scanner *s, const struct scan_state *st)
{
	return s->automaton.hold[st->node];
}

static uint64_t symbols_of(const struct scanner *s, uint32_t entry)
{
	if (!(entry & TEXT_SPECIAL))
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
