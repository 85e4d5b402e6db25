/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/draft.h"

#include <stdlib.h>
#include <sys/mman.h>

#define PART_BYTES 65536
#define HUGE_PAGE  ((size_t)2 << 20)

struct arena_part {
	struct arena_part *before;
	size_t size;
	_Alignas(void *) uint8_t bytes[];
};

/* What is large is a model most often, or a list of words. Text jumps about in a model, and with small pages a third of
 * the judge's time goes into finding them. That the kernel grants no others is no error. */
static struct arena_part *large_part(size_t n)
{
	size_t len = (sizeof(struct arena_part) + n + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	struct arena_part *p = aligned_alloc(HUGE_PAGE, len);

	if (!p)
		return NULL;
	madvise(p, len, MADV_HUGEPAGE);
	p->size = len - sizeof(*p);
	return p;
}

static struct arena_part *new_part(size_t n)
{
	size_t size = n > PART_BYTES ? n : PART_BYTES;
	struct arena_part *p;

	if (n >= HUGE_PAGE / 4)
		return large_part(n);
	p = malloc(sizeof(*p) + size);
	if (p)
		p->size = size;
	return p;
}

void *arena_take(struct arena *a, size_t n)
{
	struct arena_part *p = a->parts;

	n = (n + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
	if (n > a->left) {
		p = new_part(n);
		if (!p)
			return NULL;
		p->before = a->parts;
		a->parts = p;
		a->left = p->size;
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
	free(d->origins);
	free(d->pack_list);
	free(d->categories);
	splits_free(&d->splits);
	models_free(d->models, d->model_count);
	d->rules = NULL;
	d->keywords = NULL;
	d->meanings = NULL;
	d->origins = NULL;
	d->pack_list = NULL;
	d->categories = NULL;
	d->models = NULL;
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

const char *const role_names[ROLE_COUNT] = { "keyword", "except", "near", "all_of", "suspect" };
const char *const form_names[FORM_COUNT] = { "as written", "pinyin", "pinyin, spaced", "initials", "in parts" };

static bool reserve_needle(struct draft *d)
{
	return draft_reserve((void **)&d->keywords, &d->keyword_room, d->keyword_count, sizeof(*d->keywords)) &&
	       draft_reserve((void **)&d->meanings, &d->meaning_room, d->keyword_count, sizeof(*d->meanings)) &&
	       draft_reserve((void **)&d->origins, &d->origin_room, d->keyword_count, sizeof(*d->origins));
}

/* What the rule asks of its words. An exception stands as it is written: noise in it would widen what passes. */
static struct needle needle_of(const struct draft_rule *r, enum role role, struct slice text)
{
	bool edges = r->boundary != BOUNDARY_NONE;

	return (struct needle){ text, 0, edges, edges, role == ROLE_EXCEPT ? 0 : r->rule.gap };
}

void draft_needle(struct draft *d, enum role role, enum form form, const char *who, const char *file, struct mark at,
                  struct slice text)
{
	struct draft_rule *r = &d->rules[d->rule_count - 1];
	const char *what = form ? form_names[form] : role_names[role];
	char quoted[REPORT_QUOTE_MAX];
	struct needle n = needle_of(r, role, text);
	struct scan_look look = { 0 };
	enum scan_fault fault = scan_look_needle(&n, &look);

	/* A form is longer than its word: it takes what there is of the gap. */
	while (form && fault == SCAN_TOO_WIDE && n.gap--)
		fault = scan_look_needle(&n, &look);
	if (form == FORM_SPACED && n.gap)
		return; /* the gap skips the spaces */
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
	if (!reserve_needle(d)) {
		report_mistake(d->report, file, at, "%s: out of memory", who);
		return;
	}
	n.id = (uint32_t)(d->rule_count - 1);
	d->origins[d->keyword_count] = (struct origin){ file, (uint32_t)at.line,
		                                        (uint16_t)(at.column < UINT16_MAX ? at.column : UINT16_MAX),
		                                        d->risk };
	d->meanings[d->keyword_count] = (struct meaning){ n.id, (uint32_t)r->words[role], role, form };
	d->keywords[d->keyword_count++] = n;
	r->count++;
}

void draft_keyword(struct draft *d, enum role role, const char *who, const char *file, struct mark at,
                   struct slice text)
{
	struct draft_rule *r = &d->rules[d->rule_count - 1];
	size_t had = r->count;

	draft_needle(d, role, FORM_WRITTEN, who, file, at, text);
	if (r->count == had)
		return;
	if (role != ROLE_EXCEPT)
		draft_forms(d, role, who, file, at, text);
	r->words[role]++;
	if (role == ROLE_KEYWORD)
		r->rule.keywords++;
}
