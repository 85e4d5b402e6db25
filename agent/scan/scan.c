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
	uint32_t node;
	bool in_word;
};

/* Where hits go. */
struct sink {
	struct scan_hit *hits;
	size_t most, n;
	uint32_t done; /* hits of the character at hand that an earlier call delivered */
	uint32_t seen; /* hits of it so far */
};

/* Delivers what ends at the place, then leaves a leaf. False: no room. */
static bool deliver(const struct automaton *a, struct sink *k, struct place *p)
{
	for (uint32_t o = a->out[p->node]; o; o = a->outputs[o].next) {
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
	if (a->nodes[p->node].base == NODE_LEAF)
		p->node = a->nodes[p->node].fail & ~NODE_OUT;
	return true;
}

static bool cross_edge(const struct automaton *a, struct sink *k, struct place *p)
{
	p->node = a->edge[p->node];
	return deliver(a, k, p);
}

static NEVER_INLINE bool careful(const struct scanner *s, struct sink *k, struct place *at, uint32_t entry)
{
	const struct automaton *a = &s->automaton;
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
	for (uint32_t i = 0; i < n; i++) {
		bool word = seq[i] & TEXT_WORD;

		if (word != p.in_word) {
			if (a->edge && !cross_edge(a, k, &p))
				return false;
			p.in_word = word;
		}
		p.node = automaton_step(a->nodes, a->root, p.node, TEXT_SYMBOL(seq[i]));
		p.symbols++;
		if (!deliver(a, k, &p))
			return false;
	}
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

static always_inline size_t feed(const struct scanner *s, struct scan_state *st, struct slice bytes, size_t *used,
                                 struct scan_hit *hits, size_t most, const bool edges)
{
	const struct node *nodes = s->automaton.nodes;
	const uint32_t *root = s->automaton.root, *edge = s->automaton.edge;
	const uint32_t *ascii = s->table.blocks[s->table.index[0]];
	const uint8_t *p = bytes.at, *end = bytes.at + bytes.len;
	struct sink k = { hits, most, .done = st->done };
	uint64_t symbols = st->symbols;
	uint32_t node = st->node, in_word = st->in_word;

	if (unlikely(st->tail_len) && bytes.len) {
		struct place at = { symbols, node, in_word };
		uint32_t cp;
		size_t took = finish_tail(st, bytes, &cp);

		if (cp != UTF8_CUT) {
			if (!careful(s, &k, &at, fold_text(&s->table, cp))) {
				end = p;
			} else {
				st->tail_len = 0;
				symbols = at.symbols;
				node = at.node;
				in_word = at.in_word;
			}
		}
		if (p != end)
			p += took;
	}
	while (p < end) {
		const uint8_t *from = p;
		uint32_t entry;

		if (*p < 0x80) {
			entry = ascii[*p++];
		} else {
			uint32_t cp;
			size_t took = utf8_decode(p, (size_t)(end - p), &cp);

			if (unlikely(!took)) {
				st->tail_len = (uint8_t)(end - p);
				memcpy(st->tail, p, st->tail_len);
				p = end;
				break;
			}
			p += took;
			entry = fold_text(&s->table, cp);
		}
		if (likely(!(entry & TEXT_SPECIAL))) {
			uint32_t word = entry >> 16, to = node, waited = 0;

			if (edges && word != in_word) {
				to = edge[node];
				waited = nodes[to].fail & NODE_OUT;
			}
			/* A leaf must be left before the next step; only the careful path does that. */
			if (!edges || likely(!waited)) {
				to = automaton_step(nodes, root, to, TEXT_SYMBOL(entry));
				if (likely(!(nodes[to].fail & NODE_OUT))) {
					node = to;
					symbols++;
					in_word = word;
					continue;
				}
			}
		}
		struct place at = { symbols, node, in_word };
		if (!careful(s, &k, &at, entry)) {
			p = from;
			break;
		}
		symbols = at.symbols;
		node = at.node;
		in_word = at.in_word;
	}
	st->symbols = symbols;
	st->node = node;
	st->in_word = (uint8_t)in_word;
	st->done = k.done;
	*used = (size_t)(p - bytes.at);
	return k.n;
}

size_t scan_feed(const struct scanner *s, struct scan_state *st, struct slice bytes, size_t *used,
                 struct scan_hit *hits, size_t most)
{
	if (s->automaton.edge)
		return feed(s, st, bytes, used, hits, most, true);
	return feed(s, st, bytes, used, hits, most, false);
}

size_t scan_end(const struct scanner *s, struct scan_state *st, struct scan_hit *hits, size_t most)
{
	struct sink k = { hits, most, .done = st->done };
	struct place at = { st->symbols, st->node, st->in_word };

	if (st->tail_len) {
		if (!careful(s, &k, &at, fold_text(&s->table, UTF8_REPLACEMENT))) {
			st->done = k.done;
			return k.n;
		}
		*st = (struct scan_state){ .symbols = at.symbols, .node = at.node, .in_word = at.in_word };
	}
	k.seen = 0;
	if (at.in_word && s->automaton.edge && !cross_edge(&s->automaton, &k, &at)) {
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
