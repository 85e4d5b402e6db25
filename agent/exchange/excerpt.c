/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/excerpt.h"

#include <errno.h>
#include <stdlib.h>

int kept_new(struct kept **out, const struct ruleset *rules)
{
	struct kept *k;

	*out = NULL;
	if (ruleset_keeps(rules) == EVIDENCE_NONE)
		return 0;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->one.keep = EXCERPT_BYTES;
	if (ruleset_keeps(rules) == EVIDENCE_FULL)
		k->full_left = EXCERPT_FULL;
	*out = k;
	return 0;
}

static void empty(struct excerpt *e)
{
	if (e->at)
		explicit_bzero(e->at, e->room);
	free(e->at);
	e->at = NULL;
	e->len = e->room = 0;
}

void kept_free(struct kept **at)
{
	if (!*at)
		return;
	empty(&(*at)->one);
	free(*at);
	*at = NULL;
}

/* Text that a model wrote, as the tables know it. */
static bool is_generated(const struct text *t)
{
	return !t->asked && t->channel >= CHANNEL_CONTENT && t->channel <= CHANNEL_TEXT;
}

struct excerpt *excerpt_of(struct exchange *x, struct text *t)
{
	if (!x->kept || t->kept)
		return t->kept;
	t->kept = calloc(1, sizeof(*t->kept));
	if (t->kept) {
		t->kept->keep = EXCERPT_BYTES;
		t->kept->end = t->state.bytes;
		t->kept->generated = is_generated(t);
	}
	return t->kept;
}

/* Nothing that comes in this text stands behind a match in it any more. */
static void part(struct exchange *x, const struct excerpt *e)
{
	for (size_t i = 0; i < x->finding_count; i++)
		if (x->kept->found[i] == e)
			x->kept->found[i] = NULL;
}

void excerpt_drop(struct exchange *x, struct text *t)
{
	if (!t->kept)
		return;
	part(x, t->kept);
	empty(t->kept);
	free(t->kept);
	t->kept = NULL;
}

void excerpt_restart(struct exchange *x, struct excerpt *e)
{
	if (!e)
		return;
	part(x, e);
	e->len = 0;
	e->end = 0;
}

void excerpt_copy(struct exchange *x, struct text *to, const struct text *from)
{
	to->kept = NULL;
	if (!from->kept || !excerpt_of(x, to))
		return;
	to->kept->end = from->kept->end - from->kept->len;
	excerpt_add(to->kept, slice_of(from->kept->at, from->kept->len));
}

/* Memory that held text is wiped before it goes back. */
static bool grow(struct excerpt *e, size_t more)
{
	size_t room = e->room ? e->room : 512;
	uint8_t *to;

	while (room < e->len + more)
		room *= 2;
	if (room == e->room)
		return true;
	to = malloc(room);
	if (!to)
		return false;
	if (e->len)
		memcpy(to, e->at, e->len);
	if (e->at)
		explicit_bzero(e->at, e->room);
	free(e->at);
	e->at = to;
	e->room = room;
	return true;
}

void excerpt_add(struct excerpt *e, struct slice bytes)
{
	e->end += bytes.len;
	if (!bytes.len)
		return;
	if (!grow(e, bytes.len)) {
		e->len = 0;
		return;
	}
	memcpy(e->at + e->len, bytes.at, bytes.len);
	e->len += bytes.len;
}

void excerpt_back(struct excerpt *e, size_t len, uint64_t end)
{
	e->len = e->len < len ? e->len : len;
	e->end = end;
}

void excerpt_trim(struct exchange *x, struct excerpt *e)
{
	if (e->len <= 2 * e->keep)
		return;
	while (x->kept->full_left && e->keep < e->len && e != &x->kept->one) {
		size_t n = x->kept->full_left < EXCERPT_BYTES ? x->kept->full_left : EXCERPT_BYTES;

		x->kept->full_left -= n;
		e->keep += n;
	}
	if (e->len <= 2 * e->keep)
		return;
	memmove(e->at, e->at + e->len - e->keep, e->keep);
	e->len = e->keep;
}

/* Bytes [from, to) of the text, as far as they are kept; their first place is from + *missing. */
static struct slice part_of(const struct excerpt *e, uint64_t from, uint64_t to, uint64_t *missing)
{
	uint64_t first = e->end - e->len;

	*missing = 0;
	to = to < e->end ? to : e->end;
	if (from < first) {
		*missing = (first < to ? first : to) - from;
		from += *missing;
	}
	return from < to ? slice_of(e->at + (from - first), (size_t)(to - from)) : (struct slice){ 0 };
}

static bool add(struct evidence_text *t, struct slice bytes, uint32_t *count)
{
	uint8_t *to = realloc(t->at, (size_t)t->before + t->match + t->after + bytes.len);

	if (!to)
		return false;
	t->at = to;
	memcpy(to + t->before + t->match + t->after, bytes.at, bytes.len);
	*count += (uint32_t)bytes.len;
	return true;
}

void excerpt_settle(struct exchange *x, const struct excerpt *e)
{
	for (size_t i = 0; i < x->finding_count; i++) {
		struct evidence_text *t = &x->findings[i].text;
		uint64_t missing, at = x->kept->to[i] + t->after;
		struct slice more;

		if (x->kept->found[i] != e)
			continue;
		more = part_of(e, at, x->kept->to[i] + EVIDENCE_CONTEXT, &missing);
		if (missing || (more.len && !add(t, more, &t->after)) || t->after == EVIDENCE_CONTEXT)
			x->kept->found[i] = NULL;
	}
}

/* From the first byte of a character on. */
static struct slice whole(struct slice s)
{
	size_t n = 0;

	while (n < 3 && n < s.len && (s.at[n] & 0xc0) == 0x80)
		n++;
	return slice_from(s, n);
}

void excerpt_found(struct exchange *x, size_t i, const struct excerpt *e, const struct sight *hit)
{
	struct finding *f = &x->findings[i];
	struct evidence_text *t = &f->text;
	uint64_t from = hit->from > EVIDENCE_CONTEXT ? hit->from - EVIDENCE_CONTEXT : 0, missing;
	struct slice before, match;
	struct excerpt last;

	*t = (struct evidence_text){ 0 };
	if (x->kept)
		x->kept->found[i] = NULL;
	if (!x->kept || !e || f->rule->evidence == EVIDENCE_NONE || hit->to <= hit->from)
		return;
	/* No more than there is in any case, however the text was cut. */
	last = *e;
	if (last.len > EXCERPT_BYTES) {
		last.at += last.len - EXCERPT_BYTES;
		last.len = EXCERPT_BYTES;
	}
	before = whole(part_of(&last, from, hit->from, &missing));
	match = part_of(&last, hit->from, hit->to, &t->missing);
	if (missing && t->missing)
		before = (struct slice){ 0 };
	if ((before.len && !add(t, before, &t->before)) || !match.len || !add(t, match, &t->match)) {
		excerpt_forget(x, i);
		return;
	}
	t->generated = e->generated;
	x->kept->found[i] = e;
	x->kept->to[i] = hit->to;
	excerpt_settle(x, e);
}

void excerpt_asked(struct exchange *x, const struct asking *q)
{
	struct slice s = buf_slice(&q->window), before, match, after;
	struct evidence_text t = { .missing = q->missing, .generated = q->generated };
	struct finding *f = NULL;

	for (size_t i = 0; i < x->finding_count && !f; i++)
		if (x->findings[i].rule == q->sight.rule && x->findings[i].keyword == q->sight.keyword &&
		    x->findings[i].channel == q->channel && x->findings[i].choice == q->choice)
			f = &x->findings[i];
	/* The first hit of a finding is the one whose text is kept. */
	if (!x->kept || !f || f->repeat || f->text.at || f->rule->evidence == EVIDENCE_NONE ||
	    q->hit_at >= q->hit_end || q->hit_end > s.len)
		return;
	match = slice_of(s.at + q->hit_at, q->hit_end - q->hit_at);
	before = slice_of(s.at, q->missing ? 0 : q->hit_at);
	if (before.len > EVIDENCE_CONTEXT)
		before = whole(slice_from(before, before.len - EVIDENCE_CONTEXT));
	after = slice_from(s, q->hit_end);
	if (after.len > EVIDENCE_CONTEXT)
		after.len = EVIDENCE_CONTEXT;
	if ((before.len && !add(&t, before, &t.before)) || !add(&t, match, &t.match) ||
	    (after.len && !add(&t, after, &t.after))) {
		if (t.at)
			explicit_bzero(t.at, (size_t)t.before + t.match + t.after);
		free(t.at);
		return;
	}
	f->text = t;
}

void excerpt_forget(struct exchange *x, size_t i)
{
	struct evidence_text *t = &x->findings[i].text;

	if (t->at)
		explicit_bzero(t->at, (size_t)t->before + t->match + t->after);
	free(t->at);
	*t = (struct evidence_text){ 0 };
	if (x->kept)
		x->kept->found[i] = NULL;
}

void exchange_texts(const struct exchange *x, exchange_text_seen *each, void *arg)
{
	for (size_t i = 0; i < x->text_count; i++) {
		const struct text *t = &x->texts[i];

		if (!t->kept || !t->kept->len || !t->kept->generated || t->is_twin)
			continue;
		each(arg, t->channel, t->choice, t->kept->end - t->kept->len, slice_of(t->kept->at, t->kept->len));
	}
}
