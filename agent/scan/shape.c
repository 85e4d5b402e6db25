/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/shape.h"

#include <errno.h>
#include <stdio.h>

#include "scan/utf8.h"

#define DEPTH_MAX 32

/* A part of the pattern: lengths in characters, `first` the bytes it may begin with (meaningless if min is 0 and it may
 * be empty: then what follows counts too). */
struct part {
	uint32_t min, max, reach;
	struct bytes first;
	bool simple; /* one byte of `first`, and nothing else */
};

struct reader {
	struct slice in;
	size_t at;
	unsigned depth;
	bool caseless;
	int looking; /* inside of look-arounds */
	struct shape *shape;
	char *why;
	size_t *where;
};

static bool branches(struct reader *r, struct part *out, bool top);

static bool refuse(struct reader *r, const char *what)
{
	if (!*r->why) {
		snprintf(r->why, SHAPE_WHY, "%s", what);
		*r->where = r->at < r->in.len ? r->at : r->in.len;
	}
	return false;
}

static bool ahead(const struct reader *r, const char *text)
{
	size_t n = strlen(text);

	return r->in.len - r->at >= n && !memcmp(r->in.at + r->at, text, n);
}

static bool accept(struct reader *r, const char *text)
{
	if (!ahead(r, text))
		return false;
	r->at += strlen(text);
	return true;
}

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

static void join(struct bytes *to, const struct bytes *more)
{
	for (int i = 0; i < 4; i++)
		to->bits[i] |= more->bits[i];
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

static void add_range(struct bytes *b, uint32_t from, uint32_t to)
{
	for (uint32_t c = from; c <= to && c < 256; c++)
		bytes_add(b, (uint8_t)c);
}

static void add_beyond_ascii(struct bytes *b)
{
	b->bits[2] = b->bits[3] = UINT64_MAX;
}

/* The characters from..to; the other case of ASCII letters too where case does not count. K and S have relatives
 * beyond ASCII (KELVIN SIGN, LONG S). */
static void add_chars(const struct reader *r, struct bytes *b, uint32_t from, uint32_t to)
{
	if (to >= 0x80)
		add_beyond_ascii(b);
	for (uint32_t c = from; c <= to && c < 0x80; c++) {
		uint8_t lower = ascii_lower((uint8_t)c);

		bytes_add(b, (uint8_t)c);
		if (!r->caseless || lower < 'a' || lower > 'z')
			continue;
		bytes_add(b, lower);
		bytes_add(b, lower & 0xdf);
		if (lower == 'k')
			bytes_add(b, 0xe2);
		if (lower == 's')
			bytes_add(b, 0xc5);
	}
	if (r->caseless && to >= 0x80) {
		add_range(b, 'K', 'K');
		add_range(b, 'S', 'S');
		add_range(b, 'k', 'k');
		add_range(b, 's', 's');
	}
}

static void add_kind(struct bytes *b, uint8_t kind)
{
	struct bytes set = { 0 };

	switch (ascii_lower(kind)) {
	case 'd':
		add_range(&set, '0', '9');
		break;
	case 'w':
		add_range(&set, '0', '9');
		add_range(&set, 'A', 'Z');
		add_range(&set, 'a', 'z');
		add_range(&set, '_', '_');
		break;
	default:
		add_range(&set, '\t', '\r');
		add_range(&set, ' ', ' ');
	}
	if (kind < 'a') {
		for (int i = 0; i < 4; i++)
			set.bits[i] = ~set.bits[i];
		add_beyond_ascii(&set);
	}
	join(b, &set);
}

static int hex_value(uint8_t c)
{
	c = ascii_lower(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \xHH or \x{H...}, behind the x. */
static bool read_hex(struct reader *r, uint32_t *c)
{
	bool braces = accept(r, "{");
	size_t digits = 0;

	for (*c = 0; r->at < r->in.len && digits < (braces ? 6 : 2); r->at++, digits++) {
		int v = hex_value(r->in.at[r->at]);

		if (v < 0)
			break;
		*c = *c << 4 | (uint32_t)v;
	}
	if (!digits || (braces && !accept(r, "}")) || *c > 0x10ffff)
		return refuse(r, "a character in hexadecimal is \\xHH or \\x{H...}");
	return true;
}

/* An escape that stands for characters, behind the backslash; *one: the character, if it is a single one. */
static bool read_escape(struct reader *r, struct bytes *set, uint32_t *one)
{
	static const char names[] = "tnrf", meant[] = "\t\n\r\f";
	uint8_t c;

	*one = SHAPE_ENDLESS;
	if (r->at == r->in.len)
		return refuse(r, "ends in a backslash");
	c = r->in.at[r->at++];
	if (strchr("dDwWsS", c) && c) {
		add_kind(set, c);
		return true;
	}
	if (c == 'p' || c == 'P') {
		if (!accept(r, "{"))
			return refuse(r, "a property is \\p{NAME}");
		while (r->at < r->in.len && r->in.at[r->at] != '}')
			r->at++;
		if (!accept(r, "}"))
			return refuse(r, "a property is \\p{NAME}");
		memset(set, 0xff, sizeof(*set));
		return true;
	}
	if (c == 'x') {
		if (!read_hex(r, one))
			return false;
	} else if (c && strchr(names, c)) {
		*one = (uint8_t)meant[strchr(names, c) - names];
	} else if (c >= 0x80 || (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z')) {
		r->at--;
		return refuse(r, "this escape is not supported");
	} else {
		*one = c;
	}
	add_chars(r, set, *one, *one);
	return true;
}

/* A character of the pattern itself. */
static bool read_char(struct reader *r, uint32_t *c)
{
	size_t took = utf8_decode(r->in.at + r->at, r->in.len - r->at, c);

	if (!took || (*c == UTF8_REPLACEMENT && took != 3))
		return refuse(r, "is not UTF-8");
	r->at += took;
	return true;
}

/* [...], behind the bracket. */
static bool read_class(struct reader *r, struct bytes *set)
{
	bool negated = accept(r, "^"), any = false;

	while (r->at < r->in.len && (r->in.at[r->at] != ']' || !any)) {
		uint32_t from, to;
		struct bytes kind = { 0 };

		any = true;
		if (ahead(r, "[:") || ahead(r, "[.") || ahead(r, "[=") || ahead(r, "]"))
			return refuse(r, "a '[' or ']' inside a class must have a backslash");
		if (accept(r, "\\")) {
			if (!read_escape(r, &kind, &from))
				return false;
		} else if (!read_char(r, &from)) {
			return false;
		}
		if (from == SHAPE_ENDLESS) {
			join(set, &kind);
			continue;
		}
		to = from;
		if (ahead(r, "-") && !ahead(r, "-]")) {
			r->at++;
			if (accept(r, "\\") ? !read_escape(r, &kind, &to) : !read_char(r, &to))
				return false;
			if (to == SHAPE_ENDLESS || to < from)
				return refuse(r, "a range of a class must go from a lower to a higher character");
		}
		add_chars(r, set, from, to);
	}
	if (!accept(r, "]"))
		return refuse(r, "a class has no ']'");
	if (negated) {
		/* A character beyond ASCII may be left out while its neighbours are not. */
		for (int i = 0; i < 2; i++)
			set->bits[i] = ~set->bits[i];
		add_beyond_ascii(set);
		if (r->caseless)
			memset(set, 0xff, sizeof(*set));
	}
	return true;
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
	struct part in;

	r->looking++;
	if (!branches(r, &in, false))
		return false;
	r->looking--;
	if (!accept(r, ")"))
		return refuse(r, "a '(' has no ')'");
	if (in.reach == SHAPE_ENDLESS || in.max == SHAPE_ENDLESS)
		return refuse(r, "what is looked at around a match must be of bounded length");
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
	if (accept(r, "*"))
		return refuse(r, "verbs are not supported");
	if (accept(r, "?=") || accept(r, "?!"))
		return look(r, false, false, false, out);
	behind = ahead(r, "?<=") || ahead(r, "?<!");
	if (behind) {
		bool had = s->has_guard;

		negative = ahead(r, "?<!");
		r->at += 3;
		if (!look(r, true, negative, may_guard && !had, out))
			return false;
		*guard = may_guard && !had && s->has_guard;
		return true;
	}
	if (accept(r, "?i:"))
		r->caseless = true;
	else if (!accept(r, "?:") && !accept(r, "?>") && accept(r, "?"))
		return refuse(r, "of groups only (...), (?:...), (?>...), (?i:...) and look-arounds are supported");
	if (!branches(r, out, false))
		return false;
	r->caseless = was;
	out->simple = false;
	return accept(r, ")") || refuse(r, "a '(' has no ')'");
}

static bool read_atom(struct reader *r, struct part *out, bool may_guard, bool *guard)
{
	struct bytes set = { 0 };
	uint32_t c;

	*guard = false;
	if (accept(r, "("))
		return read_group(r, out, may_guard, guard);
	if (accept(r, "["))
		return read_class(r, &set) && one_of(r, &set, out);
	if (accept(r, ".")) {
		memset(&set, 0xff, sizeof(set));
		set.bits[0] &= ~(1ull << '\n');
		return one_of(r, &set, out);
	}
	if (ahead(r, "^") || ahead(r, "$"))
		return refuse(r, "'^' and '$' are not supported: a text has no end while it is written");
	if (ahead(r, "*") || ahead(r, "+") || ahead(r, "?"))
		return refuse(r, "nothing is there to be repeated");
	if (ahead(r, "{") || ahead(r, "}") || ahead(r, "]"))
		return refuse(r, "'{', '}' and ']' must have a backslash");
	if (accept(r, "\\b") || accept(r, "\\B")) {
		*out = (struct part){ .reach = 1 };
		if (!r->shape->behind)
			r->shape->behind = 1;
		return true;
	}
	if (accept(r, "\\")) {
		if (!read_escape(r, &set, &c))
			return false;
	} else {
		if (!read_char(r, &c))
			return false;
		add_chars(r, &set, c, c);
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
	if (accept(r, "*")) {
		*low = 0, *high = SHAPE_ENDLESS;
	} else if (accept(r, "+")) {
		*high = SHAPE_ENDLESS;
	} else if (accept(r, "?")) {
		*low = 0;
	} else if (accept(r, "{")) {
		if (!read_number(r, low))
			return refuse(r, "a repeat is {N}, {N,} or {N,M}, below 65536");
		*high = *low;
		if (accept(r, ",")) {
			*high = SHAPE_ENDLESS;
			if (!ahead(r, "}") && !read_number(r, high))
				return refuse(r, "a repeat is {N}, {N,} or {N,M}, below 65536");
		}
		if (!accept(r, "}") || *high < *low || !*high)
			return refuse(r, "a repeat is {N}, {N,} or {N,M}, below 65536");
	} else {
		any = false;
	}
	if (any && accept(r, "+"))
		*keeps = true;
	else if (any)
		accept(r, "?");
	if (any && (ahead(r, "*") || ahead(r, "+") || ahead(r, "?")))
		return refuse(r, "a repeat of a repeat needs a group");
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
		join(&s->then, &all->first);
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
	for (size_t pieces = 0; r->at < r->in.len && !ahead(r, "|") && !ahead(r, ")"); pieces++) {
		struct part one = { 0 }, all;
		uint32_t low, high;
		bool guard, keeps, look_around;

		if (!read_atom(r, &one, top && leading, &guard))
			return false;
		look_around = !one.max;
		if (!read_quantifier(r, &low, &high, &keeps))
			return false;
		if (look_around && (low != 1 || high != 1))
			return refuse(r, "a look-around or edge cannot be repeated");
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
			join(&out->first, &all.first);
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
		return refuse(r, "groups are nested too deeply");
	if (!sequence(r, out, top))
		return false;
	while (accept(r, "|")) {
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
		join(&out->first, &more.first);
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
	if (accept(&r, "(?i)"))
		r.caseless = true;
	if (!branches(&r, &all, true))
		return -EINVAL;
	if (r.at < pattern.len) {
		refuse(&r, "a ')' has no '('");
		return -EINVAL;
	}
	if (!all.min) {
		r.at = 0;
		refuse(&r, "can match nothing at all");
		return -EINVAL;
	}
	s.min = all.min;
	s.max = all.max;
	s.reach = all.reach;
	s.first = all.first;
	*out = s;
	return 0;
}
