/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/draft.h"

#include <stdlib.h>

#define PART_BYTES 65536

struct arena_part {
	struct arena_part *before;
	size_t size;
	_Alignas(void *) uint8_t bytes[];
};

void *arena_take(struct arena *a, size_t n)
{
	struct arena_part *p = a->parts;

	n = (n + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
	if (n > a->left) {
		size_t size = n > PART_BYTES ? n : PART_BYTES;

		p = malloc(sizeof(*p) + size);
		if (!p)
			return NULL;
		p->before = a->parts;
		p->size = size;
		a->parts = p;
		a->left = size;
	}
	a->left -= n;
	return p->bytes + (p->size - a->left - n);
}

const char *arena_copy(struct arena *a, struct slice text)
{
	char *to = arena_take(a, text.len + 1);

	if (!to)
		return NULL;
	if (text.len)
		memcpy(to, text.at, text.len);
	to[text.len] = 0;
	return to;
}

void arena_free(struct arena *a)
{
	for (struct arena_part *p = a->parts, *before; p; p = before) {
		before = p->before;
		free(p);
	}
	*a = (struct arena){ 0 };
}

void draft_free(struct draft *d)
{
	arena_free(&d->kept);
	arena_free(&d->texts);
	free(d->rules);
	free(d->keywords);
	free(d->meanings);
	free(d->categories);
	d->rules = NULL;
	d->keywords = NULL;
	d->meanings = NULL;
	d->categories = NULL;
}

bool draft_reserve(void **at, size_t *room, size_t count, size_t size)
{
	size_t more = *room ? 2 * *room : 16;
	void *p;

	if (count < *room)
		return true;
	p = realloc(*at, more * size);
	if (!p)
		return false;
	*at = p;
	*room = more;
	return true;
}

static const char *const role_names[] = { "keyword", "except", "near", "all_of" };

void draft_keyword(struct draft *d, enum role role, const char *who, const char *file, struct mark at,
                   struct slice text)
{
	struct draft_rule *r = &d->rules[d->rule_count - 1];
	const char *what = role_names[role];
	char quoted[REPORT_QUOTE_MAX];
	struct scan_look look;
	enum scan_fault fault = scan_look(text, &look);
	bool edges = r->boundary != BOUNDARY_NONE;

	if (fault == SCAN_NOT_UTF8) {
		report_mistake(d->report, file, at, "%s: %s %s", who, what, scan_fault_text[fault]);
		return;
	}
	if (fault != SCAN_FINE) {
		report_mistake(d->report, file, at, "%s: %s '%s' %s", who, what, report_quote(text, quoted),
		               scan_fault_text[fault]);
		return;
	}
	if (r->boundary == BOUNDARY_WORD && !(look.word_first && look.word_last)) {
		report_mistake(d->report, file, at,
		               "%s: %s '%s' does not %s with a letter or digit of a script that separates words, as "
		               "boundary 'word' needs",
		               who, what, report_quote(text, quoted), look.word_first ? "end" : "begin");
		return;
	}
	if (!draft_reserve((void **)&d->keywords, &d->keyword_room, d->keyword_count, sizeof(*d->keywords)) ||
	    !draft_reserve((void **)&d->meanings, &d->meaning_room, d->keyword_count, sizeof(*d->meanings))) {
		report_mistake(d->report, file, at, "%s: out of memory", who);
		return;
	}
	d->meanings[d->keyword_count] =
		(struct meaning){ (uint32_t)(d->rule_count - 1), (uint32_t)r->words[role], role };
	d->keywords[d->keyword_count++] = (struct needle){ text, (uint32_t)(d->rule_count - 1), edges, edges };
	r->words[role]++;
	r->count++;
	if (role == ROLE_KEYWORD)
		r->rule.keywords++;
}
