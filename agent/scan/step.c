/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.c - one character in all readings, hits and all.
 *
 * Everything happens on a copy of the state: if the caller's array is full, the state stays before the character, which
 * is not used up, and the hits of it that were delivered are skipped next time.
 *
 * Three readings. The first takes a character as what it folds to. The second takes it as the letter it looks like; it
 * goes its own way from such a letter on until both are at the same node again, for then their symbols are the same as
 * far back as matters. The third is that of needles with a gap and passes over noise; as its needles lie in the text
 * with holes, it keeps which of the last 64 symbols it took.
 *
 * A character that gives no symbol and may part words is a seam in the middle of one: what waits for the end of the
 * word ends there, and needles may begin behind it. Those are followed one by one, each from the edge's node on and for
 * as long as the text goes on as one of them does; the readings above go on as if nothing had been there.
 */
#include "scan/scanner.h"

static uint32_t node_of(const struct scanner *s, const struct scan_state *p)
{
	return rows_node(&s->rows, p->at);
}

/* What has to hold for a needle that ends here, beside its symbols. */
enum reading { READ_FIRST, READ_TWIN, READ_GAPPED, READ_PARTED };

struct outputs {
	const struct automaton *a;
	enum reading reading;
	uint32_t head;
	uint32_t length; /* READ_PARTED: of the needle, not of one that ends it */
};

/* Beside the node of a needle that is followed from a seam on. */
#define PARTED_LOOKS  (1u << 28) /* takes letters as those they look like, and has taken one */
#define PARTED_OWN    (1u << 29) /* has met a letter that others look like */
#define PARTED_FORKED (1u << 30) /* there is one with PARTED_LOOKS that goes its own way */

/* The place of the newest `len` taken symbols: how many symbols of the text they lie in. 0: further back than is known.
 * *run: most that were skipped in a row between them and behind. */
static uint32_t spread(uint64_t taken, uint32_t len, uint32_t *run)
{
	uint32_t span = 0, most = 0;

	for (; len; len--) {
		uint32_t skipped;

		if (!taken)
			return 0;
		skipped = (uint32_t)__builtin_ctzll(taken);
		if (skipped > most)
			most = skipped;
		span += skipped + 1;
		taken = skipped == 63 ? 0 : taken >> (skipped + 1);
	}
	*run = most;
	return span;
}

/* Whether a word begins `span` symbols back. */
static bool word_begins(const struct scan_state *p, uint32_t span)
{
	return span > SCAN_GAP_SPAN || !(p->words >> span & 1);
}

/* How many symbols the needle at ids[i], which ends here, takes of the text; 0: it is none after all. */
static uint32_t length(const struct scanner *s, const struct scan_state *p, const struct outputs *o, uint32_t i,
                       uint32_t len)
{
	uint32_t run, span;

	switch (o->reading) {
	case READ_FIRST:
		return len;
	case READ_TWIN:
		/* Letters of both kinds, or it is an ordinary word of another script. */
		return p->changed < len && p->own < len ? len : 0;
	case READ_PARTED:
		return i < s->edged && len == o->length ? len : 0;
	default:
		span = spread(p->taken, len, &run);
		if (!span || run > (s->gaps[i] & ~GAP_EDGE))
			return 0;
		return s->gaps[i] & GAP_EDGE && !word_begins(p, span) ? 0 : span;
	}
}

static bool deliver(const struct scanner *s, struct sink *k, const struct scan_state *p, struct outputs o)
{
	for (; o.head; o.head = o.a->outputs[o.head].next) {
		const struct output *out = &o.a->outputs[o.head];

		for (uint32_t i = out->first; i < out->first + out->count; i++) {
			uint32_t len = length(s, p, &o, i, out->length);

			if (!len || k->seen++ < k->done)
				continue;
			if (k->n == k->most) {
				k->done = k->seen - 1;
				return false;
			}
			k->hits[k->n++] = (struct scan_hit){ o.a->ids[i], p->symbols - len, p->symbols };
		}
	}
	return true;
}

/* Delivers what ends where a needle from a seam on has come to; `outputs`: the automaton's `out` or `wait`. */
static bool deliver_parted(const struct scanner *s, struct sink *k, const struct scan_state *p, uint32_t parted,
                           const uint32_t *outputs)
{
	const struct automaton *a = &s->automaton;
	uint32_t node = parted & NODE_BASE;

	/* Letters of both kinds, as in the second reading. */
	if (parted & PARTED_LOOKS && !(parted & PARTED_OWN))
		return true;
	return deliver(s, k, p, (struct outputs){ a, READ_PARTED, outputs[node], a->hold[node] });
}

bool step_end_word(const struct scanner *s, struct sink *k, const struct scan_state *p)
{
	const struct automaton *a = &s->automaton, *g = &s->gapped;

	if (a->wait && !deliver(s, k, p, (struct outputs){ a, READ_FIRST, a->wait[node_of(s, p)], 0 }))
		return false;
	if (a->wait && p->apart && !deliver(s, k, p, (struct outputs){ a, READ_TWIN, a->wait[p->twin], 0 }))
		return false;
	if (g->wait && p->gapped && !deliver(s, k, p, (struct outputs){ g, READ_GAPPED, g->wait[p->gapped], 0 }))
		return false;
	for (size_t i = 0; a->wait && i < p->parted_count; i++)
		if (!deliver_parted(s, k, p, p->parted[i], a->wait))
			return false;
	return true;
}

static uint8_t one_more(uint8_t distance)
{
	return distance == UINT8_MAX ? distance : (uint8_t)(distance + 1);
}

/* Symbols on the way to the node since the last that others look like. */
static uint8_t own_distance(const struct scanner *s, uint32_t node)
{
	const struct node *nodes = s->automaton.nodes;
	uint8_t distance = 0;

	while (node != NODE_ROOT) {
		uint32_t parent = nodes[node].check == NODE_OF_ROOT ? NODE_ROOT : nodes[node].check;

		if (s->own[node - (nodes[parent].base & NODE_BASE)])
			return distance;
		distance = one_more(distance);
		node = parent;
	}
	return UINT8_MAX;
}

/* The second reading, before the first has gone on. Returns its node, a leaf too. */
static uint32_t step_twin(const struct scanner *s, struct scan_state *p, uint32_t symbol, uint32_t looks, bool begins)
{
	if (!p->apart) {
		p->apart = true;
		p->twin = node_of(s, p);
		p->changed = UINT8_MAX;
		p->own = own_distance(s, p->twin);
	}
	p->changed = symbol != looks ? 0 : one_more(p->changed);
	p->own = symbol == looks && s->own[symbol] ? 0 : one_more(p->own);
	return automaton_step(&s->automaton, p->twin, looks, begins);
}

static bool step_gapped(const struct scanner *s, struct sink *k, struct scan_state *p, uint32_t entry)
{
	const struct automaton *g = &s->gapped;
	uint32_t node;

	p->taken = p->taken << 1 | !(entry & TEXT_NOISE);
	p->words = p->words << 1 | !!(entry & TEXT_WORD);
	if (entry & TEXT_NOISE) {
		if (!(p->taken & ((2ull << s->gap_max) - 1)))
			p->gapped = NODE_ROOT;
		return true;
	}
	node = automaton_step(g, p->gapped, TEXT_SYMBOL(entry), false);
	if (!deliver(s, k, p, (struct outputs){ g, READ_GAPPED, g->out[node], 0 }))
		return false;
	p->gapped = automaton_rest(g, node);
	return true;
}

/* One that is followed from a seam on goes on by a symbol, if it does. */
static bool follow(const struct scanner *s, struct sink *k, struct scan_state *p, uint32_t parted, uint32_t symbol)
{
	const struct automaton *a = &s->automaton;
	uint32_t node = parted & NODE_BASE, to = (a->nodes[node].base & NODE_BASE) + symbol;

	if (a->nodes[to].check != node)
		return true;
	parted = (parted & ~NODE_BASE) | to;
	if (!deliver_parted(s, k, p, parted, a->out))
		return false;
	if (!(a->nodes[to].base & NODE_LEAF) && p->parted_count < SCAN_PARTED_MAX)
		p->parted[p->parted_count++] = parted;
	return true;
}

static bool step_parted(const struct scanner *s, struct sink *k, struct scan_state *p, uint32_t entry, uint32_t looks)
{
	uint32_t symbol = TEXT_SYMBOL(entry), look = TEXT_SYMBOL(looks), was[SCAN_PARTED_MAX + 1];
	uint32_t own = symbol == look && s->own[symbol] ? PARTED_OWN : 0;
	size_t count = p->parted_count;

	memcpy(was, p->parted, count * sizeof(*was));
	if (p->seam && s->edged && entry & TEXT_WORD)
		was[count++] = AT_SLOT(s->automaton.root[EDGE_SYMBOL][0]);
	p->seam = false;
	p->parted_count = 0;
	for (size_t i = 0; i < count; i++) {
		bool forks = symbol != look && !(was[i] & (PARTED_LOOKS | PARTED_FORKED));

		if (!follow(s, k, p, was[i] | own | (forks ? PARTED_FORKED : 0), was[i] & PARTED_LOOKS ? look : symbol))
			return false;
		if (forks && !follow(s, k, p, was[i] | PARTED_LOOKS, look))
			return false;
	}
	return true;
}

static bool step(const struct scanner *s, struct sink *k, struct scan_state *p, uint32_t entry, uint32_t looks)
{
	const struct automaton *a = &s->automaton;
	uint32_t symbol = TEXT_SYMBOL(entry), node, twin = NODE_ROOT;
	bool word = entry & TEXT_WORD, begins = word && !p->in_word;

	if (p->in_word && !word && !p->seam && !step_end_word(s, k, p))
		return false;
	if (p->apart || entry != looks)
		twin = step_twin(s, p, symbol, TEXT_SYMBOL(looks), begins);
	node = automaton_step(a, node_of(s, p), symbol, begins);
	p->last = (uint16_t)symbol;
	p->in_word = word;
	p->symbols++;
	if (!deliver(s, k, p, (struct outputs){ a, READ_FIRST, a->out[node], 0 }))
		return false;
	node = automaton_rest(a, node);
	p->at = ROWS_COLD | node;
	if (p->apart) {
		if (!deliver(s, k, p, (struct outputs){ a, READ_TWIN, a->out[twin], 0 }))
			return false;
		p->twin = automaton_rest(a, twin);
		p->apart = p->twin != node;
	}
	if (s->gapped.nodes && !step_gapped(s, k, p, entry))
		return false;
	return !(p->seam || p->parted_count) || step_parted(s, k, p, entry, looks);
}

/* In the middle of a word, where it may end. */
static bool step_seam(const struct scanner *s, struct sink *k, struct scan_state *p)
{
	if (!step_end_word(s, k, p))
		return false;
	p->seam = true;
	p->words &= ~(uint64_t)1;
	k->done = 0;
	return true;
}

bool step_character(const struct scanner *s, struct sink *k, struct scan_state *at, uint32_t entry)
{
	const uint32_t *seq = &entry, *looks = &entry;
	struct scan_state p = *at;
	uint32_t n = 1;

	k->seen = 0;
	if (entry & TEXT_SPECIAL && entry & TEXT_TWIN) {
		seq = &s->table.twins[TEXT_SYMBOL(entry)][0];
		looks = &s->table.twins[TEXT_SYMBOL(entry)][1];
	} else if (entry & TEXT_SPECIAL) {
		if (entry & TEXT_DROP) {
			if (!(entry & TEXT_PARTS) || !p.in_word || p.seam)
				return true;
			if (!step_seam(s, k, &p))
				return false;
			*at = p;
			return true;
		}
		seq = looks = s->table.multi + TEXT_SYMBOL(entry) + 1;
		n = seq[-1];
	}
	for (uint32_t i = 0; i < n; i++)
		if (!step(s, k, &p, seq[i], looks[i]))
			return false;
	k->done = 0;
	*at = p;
	return true;
}

static bool reaches(const struct scan_state *p, const uint8_t width[2], uint32_t span, uint32_t run)
{
	return run < width[0] || (run < width[1] && word_begins(p, span));
}

size_t step_parted_hold(const struct scanner *s, const struct scan_state *p)
{
	size_t most = 0;

	for (size_t i = 0; i < p->parted_count; i++) {
		size_t hold = s->automaton.hold[p->parted[i] & NODE_BASE];

		most = hold > most ? hold : most;
	}
	return most;
}

size_t step_gap_hold(const struct scanner *s, const struct scan_state *p)
{
	const struct automaton *g = &s->gapped;

	for (uint32_t node = p->gapped; node != NODE_ROOT; node = g->fail[node]) {
		uint32_t run, span = spread(p->taken, g->hold[node], &run);

		const struct reach *r = &s->reach[node];

		/* Some needle goes on from here, or waits, for which no gap was too wide. */
		if (span && (reaches(p, r->goes_on, span, run) || (p->taken & 1 && reaches(p, r->waits, span, run))))
			return span;
	}
	return 0;
}
