/* SPDX-License-Identifier: Apache-2.0 */
/* Needles become a scanner: fold, number the code points they use by frequency, build the automaton. */
#include "scan/scan.h"

#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/own.h"
#include "scan/jamo.h"
#include "scan/scanner.h"

#define SYMBOLS_MAX UINT16_MAX
#define HUGE_PAGE   ((size_t)2 << 20)

/* Slots of an automaton that is walked by words where its needles allow it: 4 MB of nodes. */
#ifndef WORDS_FROM
#define WORDS_FROM (1u << 19)
#endif

const char *const scan_fault_text[SCAN_FAULT_COUNT] = {
	[SCAN_FINE] = "fine",
	[SCAN_NOT_UTF8] = "is not UTF-8",
	[SCAN_EMPTY] = "has no character that is looked at",
	[SCAN_TOO_LONG] = "is longer than 256 characters",
	[SCAN_TOO_MANY] = "does not fit: too many keywords",
	[SCAN_NO_READING] = "has no Han character, or one whose pinyin is unknown",
	[SCAN_ALL_NOISE] = "has no letter or number, and its gap skips the rest",
	[SCAN_TOO_WIDE] = "is too long for its gap: with all gaps (each at most 8) it may take 63 characters",
};

_Static_assert(SCAN_NEEDLE_MAX == 256, "scan_fault_text says 256");
_Static_assert(SCAN_GAP_MAX == 8 && SCAN_GAP_SPAN == 63, "scan_fault_text says so");
_Static_assert(offsetof(struct scan_state, taken) <= 32, "state of a text");
_Static_assert(offsetof(struct scan_state, parted) <= 56, "state of a text, with gaps");
_Static_assert(sizeof(struct scan_state) <= 88, "state of a text, with parted words");

/* A code point in use. */
struct used {
	uint32_t cp, count;
};

struct compile {
	struct fold_pool pool;
	struct word *words; /* owned, as all below */
	size_t word_count, word_room, gapped;
	uint32_t *number; /* by folded code point: first its count, then its symbol */
	struct used *used;
	uint32_t *used_cp;
	bool *letter; /* by symbol */
	size_t used_count, longest;
};

static void compile_free(struct compile *c)
{
	fold_pool_free(&c->pool);
	free(c->words);
	free(c->number);
	free(c->used);
	free(c->used_cp);
	free(c->letter);
}

#define FORMS_MAX (2 + JAMO_FORM_COUNT) /* of a needle, itself and its look among them */

static int reserve_words(struct compile *c)
{
	size_t room = c->word_room ? 2 * c->word_room : 64;
	struct word *words;

	if (c->word_room - c->word_count >= FORMS_MAX)
		return 0;
	words = realloc(c->words, room * sizeof(*words));
	if (!words)
		return -ENOMEM;
	c->words = words;
	c->word_room = room;
	return 0;
}

static void add_word(struct compile *c, size_t start, const struct needle *n, const struct scan_look *look)
{
	bool begins = n->gap && n->edge_before && look->word_first;

	c->words[c->word_count++] = (struct word){
		.start = (uint32_t)start,
		.id = n->id,
		.len = (uint16_t)(c->pool.len - start),
		.wait = n->edge_after && look->word_last,
		.gap = n->gap | (begins ? GAP_EDGE : 0),
	};
	c->gapped += n->gap > 0;
}

/* The needle at start..end, just added, with its letters as those they look like: what one who mixes scripts comes to
 * in the second reading. A needle all of whose letters look like others would be a word of theirs; it has no such form.
 */
static int add_look(struct compile *c, size_t start, size_t end, const struct needle *n, const struct scan_look *look)
{
	size_t to = c->pool.len, changed = 0, kept = 0;
	int error;

	for (size_t i = start; i < end; i++) {
		uint32_t cp = c->pool.at[i];
		bool looks = cp != FOLD_EDGE && !fold_is_own(cp) && fold_twin(cp);

		changed += looks;
		kept += cp != FOLD_EDGE && !looks && !fold_is_own(cp) && !fold_is_noise(cp);
	}
	if (!changed || !kept)
		return 0;
	error = fold_pool_reserve(&c->pool, end - start);
	if (error)
		return error;
	for (size_t i = start; i < end; i++) {
		uint32_t cp = c->pool.at[i], looks = cp == FOLD_EDGE || fold_is_own(cp) ? 0 : fold_twin(cp);

		c->pool.at[c->pool.len++] = looks ? looks : cp;
	}
	add_word(c, to, n, look);
	return 0;
}

static bool is_added(const struct compile *c, size_t first, size_t start)
{
	size_t len = c->pool.len - start;

	for (size_t i = first; i < c->word_count; i++)
		if (c->words[i].len == len &&
		    !memcmp(c->pool.at + c->words[i].start, c->pool.at + start, len * sizeof(*c->pool.at)))
			return true;
	return false;
}

/* The needle just added, with its Hangul spelled in the other ways. What is too long for a needle then is left out. */
static int add_jamo(struct compile *c, size_t start, size_t end, const struct needle *n, const struct scan_look *look)
{
	size_t first = c->word_count - 1;
	int error = fold_pool_reserve(&c->pool, JAMO_FORM_COUNT * JAMO_PARTS_MAX * (end - start));

	for (int form = 0; !error && form < JAMO_FORM_COUNT; form++) {
		size_t at = c->pool.len;

		c->pool.len += jamo_spell((enum jamo_form)form, c->pool.at + start, end - start, c->pool.at + at);
		if (c->pool.len == at)
			break;
		if (c->pool.len - at > SCAN_NEEDLE_MAX || is_added(c, first, at))
			c->pool.len = at;
		else
			add_word(c, at, n, look);
	}
	return error;
}

static int fold_all(struct compile *c, const struct needle *needles, size_t count, enum scan_fault *fault,
                    size_t *which)
{
	for (size_t i = 0; i < count; i++) {
		struct scan_look look = { 0 };
		size_t start = c->pool.len, end;
		enum scan_fault f;
		int error = reserve_words(c);

		if (error)
			return error;
		f = fold_needle(&c->pool, &needles[i], &look, &error);
		if (error)
			return error;
		if (f == SCAN_FINE && c->pool.len > UINT32_MAX)
			f = SCAN_TOO_MANY;
		if (f != SCAN_FINE) {
			*fault = f;
			*which = i;
			return -EINVAL;
		}
		end = c->pool.len;
		add_word(c, start, &needles[i], &look);
		if (!needles[i].gap)
			error = add_jamo(c, start, end, &needles[i], &look);
		if (!error && !needles[i].gap)
			error = add_look(c, start, end, &needles[i], &look);
		if (error)
			return error;
		if (look.symbols > c->longest)
			c->longest = look.symbols;
	}
	return 0;
}

static int by_count(const void *x, const void *y)
{
	const struct used *a = x, *b = y;

	if (a->cp == FOLD_EDGE || b->cp == FOLD_EDGE)
		return a->cp == FOLD_EDGE ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->cp < b->cp ? -1 : a->cp > b->cp;
}

/* The frequent get small numbers: the children of busy nodes then lie close together. The edge comes first of all,
 * because fail nodes may be those behind it, of the same level. */
static int number_symbols(struct compile *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->pool.len; i++)
		if (!c->number[c->pool.at[i]]++)
			c->used_count++;
	c->used = malloc((c->used_count + 1) * sizeof(*c->used));
	c->used_cp = calloc(c->used_count + 1, sizeof(*c->used_cp));
	c->letter = calloc(c->used_count + 1, sizeof(*c->letter));
	if (!c->used || !c->used_cp || !c->letter)
		return -ENOMEM;
	if (c->used_count > SYMBOLS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < c->pool.len; i++) {
		uint32_t cp = c->pool.at[i];

		if (c->number[cp]) {
			c->used[n++] = (struct used){ cp, c->number[cp] };
			c->number[cp] = 0;
		}
	}
	qsort(c->used, n, sizeof(*c->used), by_count);
	for (size_t i = 0; i < n; i++) {
		c->used_cp[i] = c->used[i].cp;
		c->number[c->used[i].cp] = (uint32_t)i + 1;
		c->letter[i + 1] = c->used[i].cp != FOLD_EDGE && fold_is_letter(c->used[i].cp);
	}
	return 0;
}

/* The pool of code points becomes one of symbols, in place. */
static const uint16_t *narrow(struct compile *c)
{
	uint16_t *to = (uint16_t *)(void *)c->pool.at;

	for (size_t i = 0; i < c->pool.len; i++) {
		uint32_t cp;
		uint16_t symbol;

		memcpy(&cp, &c->pool.at[i], sizeof(cp));
		symbol = (uint16_t)c->number[cp];
		memcpy(&to[i], &symbol, sizeof(symbol));
	}
	/* Of a million keywords that is 40 MB, while the most memory is in use. */
	if (c->pool.len) {
		void *less = realloc(c->pool.at, c->pool.len * sizeof(*to));

		if (less) {
			c->pool.at = less;
			c->pool.room = 0;
			to = less;
		}
	}
	return to;
}

/* `from` moves to *to, which goes on behind it. */
static void *move(uint8_t **to, void *from, size_t len)
{
	void *at = *to;

	if (len)
		memcpy(at, from, len);
	*to += (len + 63) & ~(size_t)63;
	free(from);
	return at;
}

/* Puts what every character reads side by side and asks for huge pages: text jumps about in it, and with small pages
 * half of its time goes into finding them. That the kernel grants none is no error. */
static int pack(struct scanner *s)
{
	struct automaton *a = &s->automaton;
	size_t low = FOLD_LOW * sizeof(*s->table.low), root = (a->symbols + 1) * sizeof(*a->root);
	size_t nodes = a->slots * sizeof(*a->nodes), next = (s->rows.count << s->rows.shift) * sizeof(*s->rows.next),
	       links = s->rows.link_count * sizeof(*s->rows.links), known = words_table_bytes(&s->words.known),
	       pairs = words_table_bytes(&s->words.pairs), places = s->words.place_count * sizeof(*s->words.places),
	       len = (low + root + nodes + next + links + known + pairs + places + 512 + HUGE_PAGE - 1) &
	             ~(HUGE_PAGE - 1);
	uint8_t *at = aligned_alloc(HUGE_PAGE, len);

	if (!at)
		return -ENOMEM;
	madvise(at, len, MADV_HUGEPAGE);
	s->hot = at;
	s->table.low = move(&at, s->table.low, low);
	s->rows.next = move(&at, s->rows.next, next);
	s->rows.links = move(&at, s->rows.links, links);
	s->words.known.slots = move(&at, s->words.known.slots, known);
	s->words.pairs.slots = move(&at, s->words.pairs.slots, pairs);
	s->words.places = move(&at, s->words.places, places);
	a->root = move(&at, a->root, root);
	a->nodes = move(&at, a->nodes, nodes);
	return 0;
}

/* Words with a gap last. */
static size_t part_words(struct compile *c)
{
	size_t plain = 0;

	for (size_t i = 0; i < c->word_count; i++) {
		struct word w = c->words[i];

		if (w.gap)
			continue;
		c->words[i] = c->words[plain];
		c->words[plain++] = w;
	}
	return plain;
}

/* A needle of this gap goes on from the node, or waits there. */
static void reach_node(struct scanner *s, uint32_t slot, uint8_t gap, bool waits)
{
	struct reach *at = &s->reach[slot];
	uint8_t *reach = &(waits ? at->waits : at->goes_on)[gap & GAP_EDGE ? 1 : 0];
	uint8_t width = (uint8_t)((gap & ~GAP_EDGE) + 1);

	if (width > *reach)
		*reach = width;
	if (width - 1 > s->gap_max)
		s->gap_max = width - 1;
}

static int build_gapped(struct compile *c, struct scanner *s, struct word *words, size_t count, const uint16_t *pool)
{
	struct automaton *g = &s->gapped;
	int error;

	if (!count)
		return 0;
	error = automaton_build(g, words, count, pool, c->used_count, 0, c->letter);
	if (error)
		return error;
	s->gaps = malloc(count);
	s->reach = calloc(g->slots, sizeof(*s->reach));
	if (!s->gaps || !s->reach)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint32_t slot = AT_SLOT(g->root[pool[words[i].start]][0]);

		s->gaps[i] = words[i].gap;
		for (size_t k = 1; k < words[i].len; k++) {
			reach_node(s, slot, words[i].gap, false);
			slot = (g->nodes[slot].base & NODE_BASE) + pool[words[i].start + k];
		}
		if (words[i].wait)
			reach_node(s, slot, words[i].gap, true);
	}
	return 0;
}

/* The forms for ASCII. With gaps each character is looked at for itself. */
static int build_ascii(struct compile *c, struct scanner *s, size_t plain, const uint16_t *pool)
{
	int error = 0;

	/* With nodes that are near, rows are quicker: no word is looked up in two tables. */
	if (plain == c->word_count && s->automaton.slots >= WORDS_FROM)
		error = words_build(&s->words, &s->automaton, &s->table, c->words, plain, pool,
		                    (uint16_t)c->number[FOLD_EDGE], c->letter);
	if (error || s->words.worth)
		return error ? error : rows_none(&s->rows);
	words_free(&s->words);
	return rows_build(&s->rows, &s->automaton, &s->table, c->letter);
}

static int build(struct compile *c, struct scanner *s)
{
	size_t plain = part_words(c);
	const uint16_t *pool;
	int error;

	s->own = calloc(c->used_count + 1, sizeof(*s->own));
	if (!s->own)
		return -ENOMEM;
	for (size_t i = 0; i < c->used_count; i++)
		s->own[i + 1] = fold_is_own(c->used_cp[i]);
	pool = narrow(c);
	error = automaton_build(&s->automaton, c->words, plain, pool, c->used_count, (uint16_t)c->number[FOLD_EDGE],
	                        c->letter);
	/* They are sorted, and the edge is the least symbol of all. */
	while (!error && c->number[FOLD_EDGE] && s->edged < plain && pool[c->words[s->edged].start] == EDGE_SYMBOL)
		s->edged++;
	/* What the doubling of arrays left behind is a sixth of the peak of a million keywords. */
	malloc_trim(0);
	if (!error)
		error = build_ascii(c, s, plain, pool);
	if (!error)
		error = build_gapped(c, s, c->words + plain, c->word_count - plain, pool);
	/* pack() needs some of everything twice. */
	fold_pool_free(&c->pool);
	free(c->words);
	c->words = NULL;
	malloc_trim(0);
	return error ? error : pack(s);
}

static int compile(struct compile *c, struct scanner *s, const struct needle *needles, size_t count,
                   enum scan_fault *fault, size_t *which)
{
	int error;

	c->number = calloc(FOLD_EDGE + 1, sizeof(*c->number));
	if (!c->number)
		return -ENOMEM;
	error = reserve_words(c); /* there is a list even if it stays empty */
	if (!error)
		error = fold_all(c, needles, count, fault, which);
	if (!error)
		error = number_symbols(c);
	if (!error)
		error = fold_table_build(&s->table, c->number, c->used_cp, c->used_count);
	if (!error)
		error = build(c, s);
	if (error == -E2BIG) {
		*fault = SCAN_TOO_MANY;
		*which = count ? count - 1 : 0;
		error = -EINVAL;
	}
	s->needles = count;
	s->longest = c->longest;
	return error;
}

int scanner_compile(struct scanner **out, const struct needle *needles, size_t count, enum scan_fault *fault,
                    size_t *which)
{
	owned(compile_free) struct compile c = { 0 };
	owned(scanner_free) struct scanner *s = calloc(1, sizeof(*s));
	int error;

	if (!s || count > UINT32_MAX - 1)
		return -ENOMEM;
	error = compile(&c, s, needles, count, fault, which);
	if (error)
		return error;
	*out = TAKE(s);
	return 0;
}

void scanner_free(struct scanner **at)
{
	if (!*at)
		return;
	if ((*at)->hot) {
		(*at)->automaton.nodes = NULL;
		(*at)->automaton.root = NULL;
		(*at)->table.low = NULL;
		(*at)->rows.next = NULL;
		(*at)->rows.links = NULL;
		(*at)->words.known.slots = NULL;
		(*at)->words.pairs.slots = NULL;
		(*at)->words.places = NULL;
		free((*at)->hot);
	}
	automaton_free(&(*at)->automaton);
	automaton_free(&(*at)->gapped);
	rows_free(&(*at)->rows);
	words_free(&(*at)->words);
	free((*at)->own);
	free((*at)->gaps);
	free((*at)->reach);
	fold_table_free(&(*at)->table);
	free(*at);
	*at = NULL;
}

void scanner_stats(const struct scanner *s, struct scanner_stats *out)
{
	const struct automaton *a = &s->automaton;

	*out = (struct scanner_stats){
		.needles = s->needles,
		.states = a->states,
		.symbols = a->symbols,
		.longest = s->longest,
		.bytes = sizeof(*s) +
		         a->slots * (sizeof(*a->nodes) + sizeof(*a->fail) + sizeof(*a->out) + sizeof(*a->hold)) +
		         (a->wait ? a->slots * sizeof(*a->wait) : 0) + (a->symbols + 1) * sizeof(*a->root) +
		         a->output_count * sizeof(*a->outputs) + a->id_count * sizeof(*a->ids) +
		         s->table.block_count * sizeof(*s->table.blocks) + fold_multi_count * sizeof(*s->table.multi) +
		         FOLD_LOW * sizeof(*s->table.low) + rows_bytes(&s->rows, a) + words_bytes(&s->words),
	};
}
