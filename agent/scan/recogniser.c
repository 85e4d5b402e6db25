/* SPDX-License-Identifier: Apache-2.0 */
/* recogniser.c - the search of all patterns in a text under way. */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "scan/check.h"
#include "scan/recogniser_set.h"

/* ---- one attempt ---- */

struct attempt {
	const struct recognisers *set;
	const struct recent *text;
	bool end;
	bool lives;             /* some start is alive */
	pcre2_match_data *data; /* owned; NULL: none was needed yet */
};

enum outcome { DEAD, ALIVE, MATCH, FAILED };

static size_t back(const uint8_t *at, size_t from, size_t low, uint32_t characters)
{
	while (characters && from > low) {
		from--;
		characters -= (at[from] & 0xc0) != 0x80;
	}
	return from;
}

/* Where the window of an attempt that starts at `at` ends, or SIZE_MAX if the text has not come so far. */
static size_t window_end(const struct recent *t, size_t at, uint32_t characters)
{
	if (t->clean - at < characters)
		return SIZE_MAX;
	for (; at < t->clean; at++) {
		if ((t->bytes[at] & 0xc0) == 0x80)
			continue;
		if (!characters--)
			return at;
	}
	return characters ? SIZE_MAX : at;
}

static enum outcome match(struct attempt *a, const struct recogniser *p, size_t at, size_t *behind, int *error)
{
	const struct recent *t = a->text;
	size_t from = back(t->bytes, at, t->head, p->behind), stop = window_end(t, at, p->window);
	bool whole = a->end || stop != SIZE_MAX;
	int rc;

	if (!a->data)
		a->data = pcre2_match_data_create(1, NULL);
	if (!a->data) {
		*error = -ENOMEM;
		return FAILED;
	}
	if (stop == SIZE_MAX)
		stop = t->clean;
	rc = pcre2_match(p->code, t->bytes + from, stop - from, at - from,
	                 PCRE2_NO_UTF_CHECK | (whole ? 0 : PCRE2_PARTIAL_HARD), a->data, a->set->context);
	if (rc >= 0) {
		*behind = from + pcre2_get_ovector_pointer(a->data)[1];
		return MATCH;
	}
	if (rc == PCRE2_ERROR_NOMATCH)
		return DEAD;
	if (rc == PCRE2_ERROR_PARTIAL)
		return ALIVE;
	*error = rc == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -ETIME;
	return FAILED;
}

/* Walks the steps from `at`. MATCH: they are passed, PCRE2 may decide. */
static enum outcome walk(const struct recent *t, const struct shape *s, size_t at)
{
	for (size_t i = 0; i < s->step_count; i++) {
		const struct step *step = &s->steps[i];
		size_t most = t->clean - at < step->max ? t->clean - at : step->max, n = 0;

		while (n < most && bytes_has(&step->set, t->bytes[at + n]))
			n++;
		at += n;
		if (at == t->clean && n < step->max)
			return ALIVE;
		if (n < step->min)
			return DEAD;
	}
	if (!s->has_then)
		return MATCH;
	return at == t->clean ? ALIVE : bytes_has(&s->then, t->bytes[at]) ? MATCH : DEAD;
}

static enum outcome try(struct attempt *a, const struct recogniser *p, size_t at, size_t *behind, int *error)
{
	enum outcome o = walk(a->text, &p->shape, at);

	/* What the walk lets live is alive, unless the text or the window ends, or something else was to be looked at
	 * first. */
	if (o == DEAD || (o == ALIVE && p->shape.sure && !a->end && a->text->clean - at < p->window))
		return o;
	return match(a, p, at, behind, error);
}

/* ---- the search ---- */

/* Tries one start. Moves u, tells of a match. */
static int start_at(struct attempt *a, size_t pattern, struct under_way *u, size_t at, trail_found *found, void *to)
{
	const struct recogniser *p = &a->set->at[pattern];
	uint64_t base = a->text->base;
	size_t behind = 0;
	int error = 0;

	u->alive = false;
	switch (try(a, p, at, &behind, &error)) {
	case ALIVE:
		u->alive = a->lives = true;
		u->start = base + at;
		return 0;
	case MATCH:
		u->next = base + at + 1;
		if (p->check && !p->check->holds(slice_of(a->text->bytes + at, behind - at)))
			return 0;
		u->next = base + behind;
		return found(to, &(struct recognised){ pattern, base + at, base + behind });
	case FAILED:
		return error;
	default:
		u->next = base + at + 1;
		return 0;
	}
}

static unsigned before(const struct recent *t, size_t at)
{
	return t->base + at > t->start ? t->bytes[at - 1] : TEXT_START;
}

/* The search of one pattern, from its next start to what was seen before. */
static int hunt(struct attempt *a, size_t pattern, struct under_way *u, size_t seen, trail_found *found, void *to)
{
	const struct recogniser *p = &a->set->at[pattern];
	const struct recent *t = a->text;
	int error = 0;

	while (!u->alive && !error) {
		size_t at = (size_t)(u->next - t->base);

		while (at < seen && (!bytes_has(&p->first, t->bytes[at]) || recogniser_guarded(p, before(t, at))))
			at++;
		if (at >= seen)
			return 0;
		error = start_at(a, pattern, u, at, found, to);
	}
	return error;
}

static int go_on(struct attempt *a, struct recognising *g, trail_found *found, void *to)
{
	int error = 0;

	for (size_t i = 0; g->alive && i < a->set->count && !error; i++) {
		struct under_way *u = &g->at[i];

		if (!u->alive)
			continue;
		error = start_at(a, i, u, (size_t)(u->start - a->text->base), found, to);
		if (!error && !u->alive)
			error = hunt(a, i, u, (size_t)(g->seen - a->text->base), found, to);
	}
	return error;
}

static bool any_high(const uint8_t *p)
{
	uint64_t eight;

	memcpy(&eight, p, sizeof(eight));
	return (eight & 0x8080808080808080u) == 0x8080808080808080u;
}

/* Where the run of steps[0] that ends at `end` begins, if a match may begin there; SIZE_MAX if not. */
static size_t run_start(const struct recent *t, const struct recogniser *p, const struct under_way *u, size_t end)
{
	const struct step *run = &p->shape.steps[0];
	size_t at = end, low = u->next > t->base + t->head ? (size_t)(u->next - t->base) : t->head;

	while (at > low && end - at <= run->max && bytes_has(&run->set, t->bytes[at - 1]))
		at--;
	return end - at < run->min || end - at > run->max || recogniser_guarded(p, before(t, at)) ? SIZE_MAX : at;
}

/* A run at the end of what is there may go on. */
static void run_on(struct attempt *a, const struct recogniser *p, struct under_way *u)
{
	const struct recent *t = a->text;
	size_t end = t->clean, at;

	if (u->alive || u->next > t->base + end || end == t->head ||
	    !bytes_has(&p->shape.steps[0].set, t->bytes[end - 1]))
		return;
	at = end;
	while (at > t->head && t->base + at > u->next && end - at <= p->shape.steps[0].max &&
	       bytes_has(&p->shape.steps[0].set, t->bytes[at - 1]))
		at--;
	if (at == end || end - at > p->shape.steps[0].max || recogniser_guarded(p, before(t, at))) {
		u->next = t->base + end; /* nothing begins inside of a run */
		return;
	}
	u->alive = a->lives = true;
	u->start = t->base + at;
}

/* The starts in what is new, of all patterns together. */
static int begin(struct attempt *a, struct recognising *g, size_t at, trail_found *found, void *to)
{
	const struct recognisers *s = a->set;
	const struct recent *t = a->text;
	const uint8_t *bytes = t->bytes;
	bool ascii_only = s->list_of[0x80] == s->list_of[256];
	size_t clean = t->clean;
	int error = 0;

	for (unsigned prev = at < clean ? before(t, at) : 0; at < clean && !error; prev = bytes[at++]) {
		uint8_t c = bytes[at];

		if (!bytes_has(&s->open[prev], c)) {
			if (c >= 0x80 && ascii_only && clean - at > 8 && any_high(bytes + at))
				at += 7;
			continue;
		}
		/* Most of what begins like something ends with the next byte: start_at() would say the same. */
		if (at + 1 < clean && !bytes_has(&s->goes_on[c], bytes[at + 1]))
			continue;
		for (uint32_t i = s->list_of[c]; i < s->list_of[c + 1] && !error; i++) {
			const struct recogniser *p = &s->at[s->list[i]];
			struct under_way *u = &g->at[s->list[i]];
			size_t start = at;

			if (u->alive || u->next > t->base + at)
				continue;
			if (p->by_end)
				start = run_start(t, p, u, at);
			else if (recogniser_guarded(p, prev))
				continue;
			if (start != SIZE_MAX)
				error = start_at(a, s->list[i], u, start, found, to);
		}
	}
	for (size_t i = 0; i < s->by_end_count && !a->end; i++)
		run_on(a, &s->at[s->by_end[i]], &g->at[s->by_end[i]]);
	return error;
}

/* What is alive, and where it begins: asked for at each event, and known until the next bytes come. */
static void count_alive(const struct recognisers *s, struct recognising *g)
{
	g->first = g->first_held = UINT64_MAX;
	for (size_t i = 0; i < s->count; i++) {
		const struct under_way *u = &g->at[i];

		if (!u->alive)
			continue;
		g->alive++;
		if (u->start < g->first)
			g->first = u->start;
		if (s->at[i].holds && u->start < g->first_held)
			g->first_held = u->start;
	}
}

int recognisers_feed(const struct recognisers *s, struct recognising *g, const struct recent *r, bool end,
                     trail_found *found, void *to)
{
	struct attempt a = { .set = s, .text = r, .end = end };
	int error;

	if (!g->at) {
		g->at = calloc(s->count, sizeof(*g->at));
		if (!g->at)
			return -ENOMEM;
	} else if (g->fresh) {
		memset(g->at, 0, s->count * sizeof(*g->at));
	}
	g->fresh = false;
	error = go_on(&a, g, found, to);
	if (!error)
		error = begin(&a, g, (size_t)(g->seen - r->base), found, to);
	if (!error) {
		g->seen = r->base + r->clean;
		g->alive = 0;
		if (a.lives)
			count_alive(s, g);
	}
	pcre2_match_data_free(a.data);
	return error;
}

uint64_t recognisers_hold(const struct recognising *g)
{
	return g->alive ? g->first_held : UINT64_MAX;
}

uint64_t recognisers_needed(const struct recognisers *s, const struct recognising *g, const struct recent *r)
{
	uint64_t least = g->alive ? g->first : UINT64_MAX, end = r->base + r->clean;

	if (least > end)
		least = end;
	return least > s->behind ? least - s->behind : 0;
}

void recognising_again(struct recognising *g, uint64_t position)
{
	g->seen = position;
	g->alive = 0;
	g->fresh = g->at != NULL;
}

void recognising_free(struct recognising *g)
{
	free(g->at);
	*g = (struct recognising){ 0 };
}

int recognising_copy(const struct recognisers *s, struct recognising *to, const struct recognising *from)
{
	struct under_way *at = to->at;

	if (!from->at || from->fresh) {
		recognising_again(to, from->seen);
		return 0;
	}
	if (!at)
		at = malloc(s->count * sizeof(*at));
	if (!at)
		return -ENOMEM;
	memcpy(at, from->at, s->count * sizeof(*at));
	*to = *from;
	to->at = at;
	return 0;
}
