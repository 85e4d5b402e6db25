/* SPDX-License-Identifier: Apache-2.0 */
/* recogniser_compile.c - patterns become a set: what has no bound is refused, what takes too much work is tried out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "scan/recogniser_set.h"

/* PCRE2's measures of work and memory for one attempt. What is refused when compiled comes nowhere near. */
#define MATCH_LIMIT   20000
#define DEPTH_LIMIT   5000
#define HEAP_LIMIT_KB 1024
#define TRIAL_LIMIT   (MATCH_LIMIT / 4)
#define BEHIND_MAX    64 /* characters */
#define COUNT_MAX     1024

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
	return bytes_has(&p->first, c) && !recogniser_guarded(p, prev);
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

size_t recognisers_compiled(const struct recognisers *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++) {
		size_t size = 0;

		pcre2_pattern_info(s->at[i].code, PCRE2_INFO_JITSIZE, &size);
		n += size > 0;
	}
	return n;
}
