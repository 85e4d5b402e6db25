/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "scan/shape_reader.h"

#define DEPTH_MAX 32

/* A part of the pattern: lengths in characters, `first` the bytes it may begin with (meaningless if min is 0 and it may
 * be empty: then what follows counts too). */
struct part {
	uint32_t min, max, reach;
	struct bytes first;
	bool simple; /* one byte of `first`, and nothing else */
};

static bool branches(struct reader *r, struct part *out, bool top);

static uint32_t add(uint32_t a, uint32_t b)
{
	return a == SHAPE_ENDLESS || b == SHAPE_ENDLESS || a + b < a ? SHAPE_ENDLESS : a + b;
}

static uint32_t times(uint32_t a, uint32_t n)
{
	uint64_t product = (uint64_t)a * n;

	if (!a || !n)
		return 0;
	return a == SHAPE_ENDLESS || n == SHAPE_ENDLESS || product >= SHAPE_ENDLESS ? SHAPE_ENDLESS : (uint32_t)product;
}

static bool meet(const struct bytes *a, const struct bytes *b)
{
	for (int i = 0; i < 4; i++)
		if (a->bits[i] & b->bits[i])
			return true;
	return false;
}

static bool only_ascii(const struct bytes *b)
{
	return !b->bits[2] && !b->bits[3];
}

static void add_sample(struct shape *s, const struct bytes *set)
{
	/* A printable one, if there is one. */
	for (unsigned i = 0; i < 128; i++) {
		uint8_t c = (uint8_t)((i + 'a') & 127);

		if (!bytes_has(set, c))
			continue;
		if (s->path_len < SHAPE_PATH_MAX)
			s->path[s->path_len++] = c;
		if (s->sample_count < SHAPE_SAMPLES && !memchr(s->samples, c, s->sample_count))
			s->samples[s->sample_count++] = c;
		return;
	}
}

static bool one_of(struct reader *r, const struct bytes *set, struct part *out)
{
	*out = (struct part){ .min = 1, .max = 1, .reach = 1, .first = *set, .simple = only_ascii(set) };
	if (!r->looking)
		add_sample(r->shape, set);
	return true;
}

/* A look-around is empty; what it reads counts for the reach, or for what lies behind. */
static bool look(struct reader *r, bool behind, bool negative, bool may_guard, struct part *out)
{
	struct shape *s = r->shape;
	struct part in = { 0 };

	r->looking++;
	if (!branches(r, &in, false))
		return false;
	r->looking--;
	if (!shape_accept(r, ")"))
		return shape_refuse(r, "a '(' has no ')'");
	if (in.reach == SHAPE_ENDLESS || in.max == SHAPE_ENDLESS)
		return shape_refuse(r, "what is looked at around a match must be of bounded length");
	*out = (struct part){ .reach = behind ? 0 : in.reach };
	if (!behind)
		return true;
	if (in.max > s->behind)
		s->behind = in.max;
	if (may_guard && negative && in.simple) {
		s->guard = in.first;
		s->has_guard = true;
	}
	return true;
}

/* (...), behind the parenthesis. *guard: it was a look-behind that a walk over bytes can check. */
static bool read_group(struct reader *r, struct part *out, bool may_guard, bool *guard)
{
	bool was = r->caseless, behind, negative;
	struct shape *s = r->shape;

	*guard = false;
	if (shape_accept(r, "*"))
		return shape_refuse(r, "verbs are not supported");
	if (shape_accept(r, "?=") || shape_accept(r, "?!"))
		return look(r, false, false, false, out);
	behind = shape_ahead(r, "?<=") || shape_ahead(r, "?<!");
	if (behind) {
		bool had = s->has_guard;

		negative = shape_ahead(r, "?<!");
		r->at += 3;
		if (!look(r, true, negative, may_guard && !had, out))
			return false;
		*guard = may_guard && !had && s->has_guard;
		return true;
	}
	if (shape_accept(r, "?i:"))
		r->caseless = true;
	else if (!shape_accept(r, "?:") && !shape_accept(r, "?>") && shape_accept(r, "?"))
		return shape_refuse(r,
		                    "of groups only (...), (?:...), (?>...), (?i:...) and look-arounds are supported");
	if (!branches(r, out, false))
		return false;
	r->caseless = was;
	out->simple = false;
	return shape_accept(r, ")") || shape_refuse(r, "a '(' has no ')'");
}

static bool read_atom(struct reader *r, struct part *out, bool may_guard, bool *guard)
{
	struct bytes set = { 0 };
	uint32_t c;

	*guard = false;
	if (shape_accept(r, "("))
		return read_group(r, out, may_guard, guard);
	if (shape_accept(r, "["))
		return shape_class(r, &set) && one_of(r, &set, out);
	if (shape_accept(r, ".")) {
		memset(&set, 0xff, sizeof(set));
		set.bits[0] &= ~(1ull << '\n');
		return one_of(r, &set, out);
	}
	if (shape_ahead(r, "^") || shape_ahead(r, "$"))
		return shape_refuse(r, "'^' and '$' are not supported: a text has no end while it is written");
	if (shape_ahead(r, "*") || shape_ahead(r, "+") || shape_ahead(r, "?"))
		return shape_refuse(r, "nothing is there to be repeated");
	if (shape_ahead(r, "{") || shape_ahead(r, "}") || shape_ahead(r, "]"))
		return shape_refuse(r, "'{', '}' and ']' must have a backslash");
	if (shape_accept(r, "\\b") || shape_accept(r, "\\B")) {
		*out = (struct part){ .reach = 1 };
		if (!r->shape->behind)
			r->shape->behind = 1;
		return true;
	}
	if (shape_accept(r, "\\")) {
		if (!shape_escape(r, &set, &c))
			return false;
	} else {
		if (!shape_character(r, &c))
			return false;
		shape_add(r, &set, c, c);
	}
	if (!one_of(r, &set, out))
		return false;
	if (c != SHAPE_ENDLESS && c >= 0x80 && !r->caseless) {
		/* Of a character beyond ASCII its first byte is known. */
		memset(&out->first, 0, sizeof(out->first));
		bytes_add(&out->first, (uint8_t)(c < 0x800     ? 0xc0 | c >> 6
		                                 : c < 0x10000 ? 0xe0 | c >> 12
		                                               : 0xf0 | c >> 18));
	}
	return true;
}

static bool read_number(struct reader *r, uint32_t *n)
{
	size_t from = r->at;

	for (*n = 0; r->at < r->in.len && r->in.at[r->at] >= '0' && r->in.at[r->at] <= '9' && *n < 65536; r->at++)
		*n = *n * 10 + (r->in.at[r->at] - '0');
	return r->at > from && *n < 65536;
}

/* How often; 1 and 1 if nothing is said. */
static bool read_quantifier(struct reader *r, uint32_t *low, uint32_t *high, bool *keeps)
{
	bool any = true;

	*low = *high = 1;
	*keeps = false;
	if (shape_accept(r, "*")) {
		*low = 0, *high = SHAPE_ENDLESS;
	} else if (shape_accept(r, "+")) {
		*high = SHAPE_ENDLESS;
	} else if (shape_accept(r, "?")) {
		*low = 0;
	} else if (shape_accept(r, "{")) {
		if (!read_number(r, low))
			return shape_refuse(r, "a repeat is {N}, {N,} or {N,M}, below 65536");
		*high = *low;
		if (shape_accept(r, ",")) {
			*high = SHAPE_ENDLESS;
			if (!shape_ahead(r, "}") && !read_number(r, high))
				return shape_refuse(r, "a repeat is {N}, {N,} or {N,M}, below 65536");
		}
		if (!shape_accept(r, "}") || *high < *low || !*high)
			return shape_refuse(r, "a repeat is {N}, {N,} or {N,M}, below 65536");
	} else {
		any = false;
	}
	if (any && shape_accept(r, "+"))
		*keeps = true;
	else if (any)
		shape_accept(r, "?");
	if (any && (shape_ahead(r, "*") || shape_ahead(r, "+") || shape_ahead(r, "?")))
		return shape_refuse(r, "a repeat of a repeat needs a group");
	return true;
}

static struct part repeat(struct part p, uint32_t low, uint32_t high)
{
	struct part out = p;

	out.min = times(p.min, low);
	out.max = times(p.max, high);
	out.reach = add(times(p.max, high == SHAPE_ENDLESS ? high : high - 1), p.reach);
	out.simple = p.simple && low == 1 && high == 1;
	return out;
}

/* ---- how a match begins ---- */

struct lead {
	bool open;    /* steps may still be added */
	bool waiting; /* the last step, or the guard, waits for what follows it */
};

static void lead_add(struct shape *s, struct lead *l, const struct part *one, const struct part *all, uint32_t low,
                     uint32_t high)
{
	struct step *last = s->step_count ? &s->steps[s->step_count - 1] : NULL;

	if (!l->open)
		return;
	if (l->waiting && last->min != last->max && meet(&last->set, &all->first)) {
		/* Where the step ends cannot be told: only its least is sure. */
		last->max = last->min;
		s->then = last->set;
		bytes_join(&s->then, &all->first);
		s->has_then = all->min > 0;
		l->open = false;
		return;
	}
	if (one->simple && low >= 1 && low <= UINT16_MAX && s->step_count < SHAPE_STEPS) {
		s->steps[s->step_count++] =
			(struct step){ one->first, (uint16_t)low, high > UINT16_MAX ? UINT16_MAX : (uint16_t)high };
		l->waiting = true;
		return;
	}
	l->open = false;
	if (all->min) {
		s->then = all->first;
		s->has_then = true;
	} else if (last && last->min != last->max) {
		last->max = last->min;
	}
}

/* The pattern ends behind the steps. */
static void lead_end(struct shape *s, struct lead *l)
{
	struct step *last = s->step_count ? &s->steps[s->step_count - 1] : NULL;

	if (l->open && last)
		last->max = last->min;
}

/* ---- sequences and branches ---- */

static bool sequence(struct reader *r, struct part *out, bool top)
{
	struct lead lead = { .open = top };
	bool leading = true;

	*out = (struct part){ .simple = true };
	for (size_t pieces = 0; r->at < r->in.len && !shape_ahead(r, "|") && !shape_ahead(r, ")"); pieces++) {
		struct part one = { 0 }, all;
		uint32_t low, high;
		bool guard, keeps, look_around;

		if (!read_atom(r, &one, top && leading, &guard))
			return false;
		look_around = !one.max;
		if (!read_quantifier(r, &low, &high, &keeps))
			return false;
		if (look_around && (low != 1 || high != 1))
			return shape_refuse(r, "a look-around or edge cannot be repeated");
		if (high == SHAPE_ENDLESS && one.max == SHAPE_ENDLESS && !keeps)
			r->shape->nests = true;
		all = repeat(one, low, high);
		if (top && look_around && !guard && leading)
			r->shape->sure = false;
		if (look_around && !(guard && leading)) {
			/* Conditions in between end what a walk over bytes can tell. */
			if (!leading)
				lead_end(r->shape, &lead);
			if (!leading)
				lead.open = false;
		} else if (!look_around) {
			lead_add(r->shape, &lead, &one, &all, low, high);
		}
		if (!out->min)
			bytes_join(&out->first, &all.first);
		out->reach = out->reach > add(out->max, all.reach) ? out->reach : add(out->max, all.reach);
		out->min = add(out->min, all.min);
		out->max = add(out->max, all.max);
		out->simple = out->simple && !pieces && all.simple;
		leading = leading && look_around;
	}
	if (top)
		lead_end(r->shape, &lead);
	out->simple = out->simple && out->max == 1;
	return true;
}

static bool branches(struct reader *r, struct part *out, bool top)
{
	struct shape *s = r->shape;

	if (++r->depth > DEPTH_MAX)
		return shape_refuse(r, "groups are nested too deeply");
	if (!sequence(r, out, top))
		return false;
	while (shape_accept(r, "|")) {
		struct part more;

		if (top) {
			s->step_count = 0;
			s->has_guard = s->has_then = s->sure = false;
			top = false;
		}
		if (!sequence(r, &more, false))
			return false;
		if (!out->min || !more.min)
			memset(&out->first, 0xff, sizeof(out->first));
		bytes_join(&out->first, &more.first);
		out->min = out->min < more.min ? out->min : more.min;
		out->max = out->max > more.max ? out->max : more.max;
		out->reach = out->reach > more.reach ? out->reach : more.reach;
		out->simple = out->simple && more.simple;
	}
	r->depth--;
	return true;
}

int shape_read(struct slice pattern, struct shape *out, char why[static SHAPE_WHY], size_t *at)
{
	struct shape s = { .sure = true };
	struct reader r = { .in = pattern, .shape = &s, .why = why, .where = at };
	struct part all = { 0 };

	*why = 0;
	if (shape_accept(&r, "(?i)"))
		r.caseless = true;
	if (!branches(&r, &all, true))
		return -EINVAL;
	if (r.at < pattern.len) {
		shape_refuse(&r, "a ')' has no '('");
		return -EINVAL;
	}
	if (!all.min) {
		r.at = 0;
		shape_refuse(&r, "can match nothing at all");
		return -EINVAL;
	}
	s.min = all.min;
	s.max = all.max;
	s.reach = all.reach;
	s.first = all.first;
	*out = s;
	return 0;
}
