/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "scan/recogniser.h"

#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "scan/check.h"
#include "scan/shape.h"

/* PCRE2's measures of work and memory for one attempt. What is refused when compiled comes nowhere near. */
#define MATCH_LIMIT   20000
#define DEPTH_LIMIT   5000
#define HEAP_LIMIT_KB 1024
#define TRIAL_LIMIT   (MATCH_LIMIT / 4)
#define BEHIND_MAX    64 /* characters */
#define COUNT_MAX     1024
#define TEXT_START    256 /* in place of the byte before */

struct recogniser {
	pcre2_code *code; /* owned */
	const struct check *check;
	bool holds;
	uint32_t window; /* characters of an attempt */
	uint32_t behind; /* characters in front of it */
	struct shape shape;
	struct bytes first; /* bytes a match may begin with */
	bool by_end; /* a match begins with a whole run of steps[0]: it is looked for where a run ends in `behind_run`
	              */
	struct bytes behind_run;
};

struct recognisers {
	struct recogniser *at;          /* owned */
	pcre2_match_context *context;   /* owned */
	pcre2_compile_context *compile; /* owned */
	uint16_t *list;                 /* owned: patterns that may begin with a byte, byte after byte */
	uint32_t list_of[257];
	struct bytes open[257];    /* by the byte before: where some pattern may begin */
	struct bytes goes_on[256]; /* by the byte some may begin with: what may follow that */
	size_t count;
	uint16_t *by_end; /* owned: patterns that are */
	size_t by_end_count;
	uint32_t behind; /* bytes */
};

void recognisers_free(struct recognisers **at)
{
	struct recognisers *s = *at;

	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++)
		pcre2_code_free(s->at[i].code);
	pcre2_match_context_free(s->context);
	pcre2_compile_context_free(s->compile);
	free(s->at);
	free(s->list);
	free(s->by_end);
	free(s);
	*at = NULL;
}

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

static bool guarded(const struct recogniser *p, unsigned prev)
{
	return p->shape.has_guard && prev != TEXT_START && bytes_has(&p->shape.guard, (uint8_t)prev);
}

/* The search of one pattern, from its next start to what was seen before. */
static int hunt(struct attempt *a, size_t pattern, struct under_way *u, size_t seen, trail_found *found, void *to)
{
	const struct recogniser *p = &a->set->at[pattern];
	const struct recent *t = a->text;
	int error = 0;

	while (!u->alive && !error) {
		size_t at = (size_t)(u->next - t->base);

		while (at < seen && (!bytes_has(&p->first, t->bytes[at]) || guarded(p, before(t, at))))
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
	return end - at < run->min || end - at > run->max || guarded(p, before(t, at)) ? SIZE_MAX : at;
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
	if (at == end || end - at > p->shape.steps[0].max || guarded(p, before(t, at))) {
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
			else if (guarded(p, prev))
				continue;
			if (start != SIZE_MAX)
				error = start_at(a, s->list[i], u, start, found, to);
		}
	}
	for (size_t i = 0; i < s->by_end_count && !a->end; i++)
		run_on(a, &s->at[s->by_end[i]], &g->at[s->by_end[i]]);
	return error;
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
		for (size_t i = 0; a.lives && i < s->count; i++)
			g->alive += g->at[i].alive;
	}
	pcre2_match_data_free(a.data);
	return error;
}

static uint64_t first_alive(const struct recognisers *s, const struct recognising *g, bool all)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; g->alive && i < s->count; i++)
		if (g->at[i].alive && (all || s->at[i].holds) && g->at[i].start < least)
			least = g->at[i].start;
	return least;
}

uint64_t recognisers_hold(const struct recognisers *s, const struct recognising *g)
{
	return first_alive(s, g, false);
}

uint64_t recognisers_needed(const struct recognisers *s, const struct recognising *g, const struct recent *r)
{
	uint64_t least = first_alive(s, g, true), end = r->base + r->clean;

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
	*to = (struct recognising){ .at = at, .seen = from->seen, .alive = from->alive };
	return 0;
}

/* ---- compiling ---- */

static int refuse(struct pattern_fault *fault, size_t which, size_t at, const char *why)
{
	fault->which = which;
	fault->at = at;
	snprintf(fault->why, sizeof(fault->why), "%s", why);
	return -EINVAL;
}

/* One trial text. False: it took too much work. */
static bool trial(const struct recogniser *p, pcre2_match_context *c, pcre2_match_data *data, const uint8_t *text,
                  size_t len)
{
	static const uint32_t ways[] = { 0, PCRE2_PARTIAL_HARD };

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		int rc = pcre2_match(p->code, text, len, 0, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT | ways[i], data, c);

		if (rc < 0 && rc != PCRE2_ERROR_NOMATCH && rc != PCRE2_ERROR_PARTIAL)
			return false;
	}
	return true;
}

/* Texts that lead a pattern far and then astray: its shortest walk, broken off anywhere, then the same one or two
 * characters again and again. */
static bool endures(const struct recogniser *p, pcre2_match_context *c, pcre2_match_data *data, uint8_t *text)
{
	const struct shape *s = &p->shape;
	size_t len = p->window + 8;

	for (size_t cut = 0; cut <= s->path_len; cut = cut < 8 ? cut + 1 : cut + 7)
		for (size_t x = 0; x < s->sample_count; x++)
			for (size_t y = 0; y < s->sample_count; y++) {
				memcpy(text, s->path, cut);
				for (size_t i = cut; i < len; i++)
					text[i] = (i - cut) % 2 ? s->samples[y] : s->samples[x];
				text[len] = '\x01';
				if (!trial(p, c, data, text, len + 1) || !trial(p, c, data, text, p->window))
					return false;
			}
	return true;
}

static int try_out(struct recognisers *s, const struct recogniser *p)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	uint8_t *text = malloc(p->window + SHAPE_PATH_MAX + 16);
	bool fine = false;

	if (data && text) {
		pcre2_set_match_limit(s->context, TRIAL_LIMIT);
		fine = endures(p, s->context, data, text);
		pcre2_set_match_limit(s->context, MATCH_LIMIT);
	}
	pcre2_match_data_free(data);
	free(text);
	return !data || !text ? -ENOMEM : fine ? 0 : -ETIME;
}

static int compile_one(struct recognisers *s, const struct pattern *from, size_t which, struct pattern_fault *fault)
{
	struct recogniser *p = &s->at[which];
	char why[SHAPE_WHY];
	uint32_t behind = 0;
	PCRE2_SIZE where;
	int error, number;
	size_t at = 0;

	if (shape_read(from->text, &p->shape, why, &at))
		return refuse(fault, which, at, why);
	if (p->shape.max == SHAPE_ENDLESS && !from->max_length)
		return refuse(fault, which, 0, "has no longest match: bound its repeats, or give a max_length");
	if (p->shape.max != SHAPE_ENDLESS && from->max_length)
		return refuse(fault, which, 0, "has a longest match of its own: max_length is for endless repeats");
	if (p->shape.nests)
		return refuse(fault, which, 0, "repeats an endless repeat endlessly: it could take for ever");
	p->window = p->shape.max == SHAPE_ENDLESS ? from->max_length : p->shape.reach;
	if (p->window > PATTERN_LENGTH_MAX)
		return refuse(fault, which, 0, "may look at more than 1024 characters");
	if (p->window < p->shape.min)
		return refuse(fault, which, 0, "has no match as short as max_length");
	p->window += p->shape.max != SHAPE_ENDLESS; /* what needs no more than its reach is decided before */
	p->check = from->check;
	p->holds = from->holds;
	p->code = pcre2_compile(from->text.at, from->text.len,
	                        PCRE2_UTF | PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UCP |
	                                PCRE2_NO_AUTO_CAPTURE,
	                        &number, &where, s->compile);
	if (!p->code) {
		char message[120];

		pcre2_get_error_message(number, (PCRE2_UCHAR *)message, sizeof(message));
		return refuse(fault, which, where, message);
	}
	pcre2_pattern_info(p->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
	p->behind = behind > p->shape.behind ? behind : p->shape.behind;
	if (p->behind > BEHIND_MAX)
		return refuse(fault, which, 0, "looks back more than 64 characters");
	error = try_out(s, p);
	if (error == -ETIME)
		return refuse(fault, which, 0,
		              "needs too much work on some texts: make its repeats exclude each other");
	/* Without JIT (forbidden by the system) PCRE2 interprets, with the same result. */
	if (!error)
		pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
	return error;
}

/* What a match may begin with, continuation bytes left out. */
static void set_first(struct recogniser *p)
{
	const struct shape *s = &p->shape;
	bool more = s->step_count > 1 && s->steps[1].min;
	bool whole_runs = s->step_count && (more || (s->step_count == 1 && s->has_then)) && s->has_guard && s->sure &&
	                  s->steps[0].max > s->steps[0].min && s->steps[0].min == 1;

	p->first = s->step_count ? s->steps[0].set : s->has_then ? s->then : s->first;
	p->first.bits[2] = 0;
	p->behind_run = more ? s->steps[1].set : s->then;
	for (int i = 0; i < 4; i++)
		whole_runs = whole_runs && !(s->steps[0].set.bits[i] & ~s->guard.bits[i]) &&
		             !(s->steps[0].set.bits[i] & p->behind_run.bits[i]);
	p->by_end = whole_runs;
}

/* Pattern i may be met at byte c behind byte prev. */
static bool meets(const struct recogniser *p, unsigned prev, uint8_t c)
{
	if (p->by_end)
		return bytes_has(&p->behind_run, c) && prev != TEXT_START &&
		       bytes_has(&p->shape.steps[0].set, (uint8_t)prev);
	return bytes_has(&p->first, c) && !guarded(p, prev);
}

static void add_all(struct bytes *to, const struct bytes *from)
{
	for (int i = 0; i < 4; i++)
		to->bits[i] |= from->bits[i];
}

/* What may follow the byte that pattern p is met at. */
static struct bytes following(const struct recogniser *p)
{
	static const struct bytes any = { { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };
	const struct shape *s = &p->shape;
	struct bytes set = {};

	if (p->by_end || !s->step_count || !s->steps[0].min)
		return any;
	if (s->steps[0].max > 1)
		add_all(&set, &s->steps[0].set);
	if (s->steps[0].min > 1)
		return set;
	if (s->step_count > 1 && s->steps[1].min)
		add_all(&set, &s->steps[1].set);
	else if (s->step_count == 1 && s->has_then)
		add_all(&set, &s->then);
	else
		return any;
	return set;
}

static int make_tables(struct recognisers *s)
{
	size_t n = 0;

	s->list = malloc((s->count * 256 + 1) * sizeof(*s->list));
	s->by_end = malloc((s->count + 1) * sizeof(*s->by_end));
	if (!s->list || !s->by_end)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++)
		if (s->at[i].by_end)
			s->by_end[s->by_end_count++] = (uint16_t)i;
	for (unsigned c = 0; c < 256; c++) {
		s->list_of[c] = (uint32_t)n;
		for (size_t i = 0; i < s->count; i++) {
			bool any = false;

			for (unsigned prev = 0; prev <= TEXT_START; prev++)
				if (meets(&s->at[i], prev, (uint8_t)c)) {
					bytes_add(&s->open[prev], (uint8_t)c);
					any = true;
				}
			if (any) {
				struct bytes next = following(&s->at[i]);

				s->list[n++] = (uint16_t)i;
				add_all(&s->goes_on[c], &next);
			}
		}
	}
	s->list_of[256] = (uint32_t)n;
	return 0;
}

int recognisers_compile(struct recognisers **out, const struct pattern *patterns, size_t count,
                        struct pattern_fault *fault)
{
	owned(recognisers_free) struct recognisers *s = calloc(1, sizeof(*s));
	int error = 0;

	if (!s)
		return -ENOMEM;
	if (count > COUNT_MAX)
		return refuse(fault, COUNT_MAX, 0, "is one too many: 1024 patterns at most");
	s->at = calloc(count + 1, sizeof(*s->at));
	s->context = pcre2_match_context_create(NULL);
	s->compile = pcre2_compile_context_create(NULL);
	if (!s->at || !s->context || !s->compile)
		return -ENOMEM;
	pcre2_set_match_limit(s->context, MATCH_LIMIT);
	pcre2_set_depth_limit(s->context, DEPTH_LIMIT);
	pcre2_set_heap_limit(s->context, HEAP_LIMIT_KB);
	pcre2_set_newline(s->compile, PCRE2_NEWLINE_LF);
	for (size_t i = 0; i < count && !error; i++) {
		s->count = i + 1;
		error = compile_one(s, &patterns[i], i, fault);
		set_first(&s->at[i]);
		if (s->at[i].behind * 4 + 4 > s->behind)
			s->behind = s->at[i].behind * 4 + 4;
	}
	if (!error)
		error = make_tables(s);
	if (error)
		return error;
	*out = TAKE(s);
	return 0;
}

size_t recognisers_count(const struct recognisers *s)
{
	return s->count;
}
