/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter_look.c - most records are none of those that are wanted, and most of these are known by what they do not
 * contain: of each group of matches one term's values, or the words of the pattern.
 */
#include "record/filter_terms.h"

static bool add(struct filter_look *l, const struct needle *n)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->needles[i]->len == n->len && !memcmp(l->needles[i]->at, n->at, n->len))
			return true;
	if (l->count == LOOK_MOST)
		return false;
	l->needles[l->count++] = n;
	return true;
}

static bool is_sharp(const struct term *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (!t->leaves[i].sharp)
			return false;
	return !t->type;
}

/* The values of one term of each group. False: there is a group that has none. */
static bool add_groups(struct filter_look *l, const struct record_filter *f)
{
	for (size_t i = 0, end; i < f->terms_count; i = end) {
		const struct term *best = NULL;

		for (end = i; end < f->terms_count && f->terms[end].group == f->terms[i].group; end++)
			if (!best && is_sharp(&f->terms[end]))
				best = &f->terms[end];
		for (size_t k = 0; best && k < best->count; k++)
			if (!add(l, &best->leaves[k].needle))
				return false;
		if (!best)
			return false;
	}
	return f->terms_count;
}

void filter_look_for(struct filter_look *l, const struct record_filter *f)
{
	const struct needle *words = NULL;
	size_t n;

	l->count = 0;
	if (!f)
		return;
	if (add_groups(l, f))
		return;
	l->count = 0;
	n = f->text ? filter_text_needles(f->text, &words) : 0;
	for (size_t i = 0; i < n; i++)
		(void)add(l, &words[i]);
}

void filter_look_in(struct filter_look *l, struct slice in)
{
	l->in = in;
	for (size_t i = 0; i < l->count; i++)
		l->next[i] = needle_find(l->needles[i], in, 0);
}

bool filter_look_within(struct filter_look *l, size_t from, size_t to)
{
	bool hit = !l->count;

	for (size_t i = 0; i < l->count; i++) {
		if (l->next[i] < from)
			l->next[i] = needle_find(l->needles[i], l->in, from);
		hit = hit || l->next[i] < to;
	}
	return hit;
}
