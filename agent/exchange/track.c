/* SPDX-License-Identifier: Apache-2.0 */
/* track.c - where in the lane the texts lie, as far back as a hit may begin. */
#include <errno.h>
#include <stdlib.h>

#include "exchange/redact.h"

#define NOWHERE UINT64_MAX

/* A part this long may get another behind it, so that its beginning can be let go. */
#define PART_LEN 1024
/* Fewer are not worth a look. */
#define PARTS_TRIM 32

int redact_new(struct redact **out)
{
	struct redact *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*out = r;
	return 0;
}

void redact_free(struct redact **at)
{
	struct redact *r = *at;

	if (!r)
		return;
	for (size_t i = 0; i < r->track_count; i++)
		free(r->tracks[i].parts);
	free(r->tracks);
	free(r->runs);
	free(r->pending);
	free(r->masks);
	free(r);
	*at = NULL;
}

/* ---- the message ---- */

/* Bytes that a decoder made lie in no lane. */
static uint64_t place_of(const struct lane *l, struct slice bytes)
{
	struct slice all = l ? buf_slice(&l->buf) : SLICE("");

	if (!l || (uintptr_t)bytes.at < (uintptr_t)all.at ||
	    (uintptr_t)bytes.at + bytes.len > (uintptr_t)all.at + all.len)
		return NOWHERE;
	return l->base + (uint64_t)(bytes.at - all.at);
}

void redact_message(struct exchange *x)
{
	x->redact->run_count = x->redact->fed = 0;
}

void redact_data(struct exchange *x, struct slice data)
{
	struct redact *r = x->redact;
	uint64_t at;
	struct run *last;

	if (!data.len)
		return;
	at = place_of(r->lane, data);
	last = r->run_count ? &r->runs[r->run_count - 1] : NULL;
	if (last && at != NOWHERE && last->at != NOWHERE && last->at + last->len == at &&
	    last->from + last->len == r->fed) {
		last->len += data.len;
		r->fed += data.len;
		return;
	}
	/* Only text that waits for its choice is behind by more than a few: the oldest half is let go. */
	if (r->run_count == RUNS_MAX) {
		memmove(r->runs, r->runs + RUNS_MAX / 2, RUNS_MAX / 2 * sizeof(*r->runs));
		r->run_count = RUNS_MAX / 2;
	}
	if (r->run_count == r->run_room) {
		size_t room = r->run_room ? 2 * r->run_room : 16;
		struct run *more = realloc(r->runs, room * sizeof(*more));

		if (!more) {
			r->run_count = 0; /* nothing is known of what was before: it cannot be masked */
			r->fed += data.len;
			return;
		}
		r->runs = more;
		r->run_room = room;
	}
	r->runs[r->run_count++] = (struct run){ r->fed, at, data.len };
	r->fed += data.len;
}

/* ---- tracks ---- */

void track_drop(struct redact *r, struct track *t, uint32_t first)
{
	r->parts -= first - t->first;
	t->first = first;
	if (t->first == t->end)
		t->first = t->end = 0;
}

/* The text's track, made if it is the first time; NULL: out of memory. */
static struct track *track_of(struct redact *r, size_t text)
{
	size_t room = r->track_count ? r->track_count : 2;
	struct track *more;

	if (text < r->track_count)
		return &r->tracks[text];
	while (room <= text)
		room *= 2;
	more = realloc(r->tracks, room * sizeof(*more));
	if (!more)
		return NULL;
	memset(more + r->track_count, 0, (room - r->track_count) * sizeof(*more));
	r->tracks = more;
	r->track_count = room;
	return &more[text];
}

static bool is_pending(const struct redact *r, size_t text)
{
	for (size_t i = 0; i < r->pending_count; i++)
		if (r->pending[i].text == text)
			return true;
	return false;
}

void redact_forget(struct exchange *x, size_t text)
{
	struct redact *r = x->redact;
	struct track *t;

	if (is_pending(r, text))
		redact_settle(x);
	if (text >= r->track_count)
		return;
	t = &r->tracks[text];
	track_drop(r, t, t->end);
	free(t->parts);
	*t = (struct track){};
}

void redact_alone(struct exchange *x)
{
	struct redact *r = x->redact;

	r->alone_base += x->one.scan.symbols;
	r->alone_text = 0;
}

void track_needs(const struct exchange *x, size_t text, uint64_t from[READINGS])
{
	const struct text *t = &x->texts[text];

	from[READ_PLAIN] = lookout_first(x->rules, &t->state);
	from[READ_TWIN] = t->twin ? lookout_first(x->rules, &x->texts[t->twin].state) : UINT64_MAX;
	from[READ_ALONE] = x->redact->alone_text == text + 1 ? x->redact->alone_base + lookout_first(x->rules, &x->one)
	                                                     : UINT64_MAX;
}

/* Is the text between two characters, in all its readings? */
static bool is_whole(const struct exchange *x, const struct text *t)
{
	return !t->state.scan.tail_len &&
	       (!t->twin || (!x->texts[t->twin].state.scan.tail_len && !x->texts[t->twin].escapes.len));
}

/* May none of what was read become part of a hit? */
static bool is_idle(const struct exchange *x, const struct text *t, const uint64_t from[READINGS])
{
	return is_whole(x, t) && t->state.scan.symbols == from[READ_PLAIN] && from[READ_ALONE] == UINT64_MAX &&
	       (!t->twin || x->texts[t->twin].state.scan.symbols == from[READ_TWIN]);
}

void track_trim(struct exchange *x, size_t text)
{
	struct redact *r = x->redact;
	struct track *t = text < r->track_count ? &r->tracks[text] : NULL;
	uint64_t from[READINGS], cleared = redact_cleared(x);
	uint32_t keep;

	if (!t || t->first == t->end || is_pending(r, text))
		return;
	keep = t->first;
	track_needs(x, text, from);
	for (uint32_t i = t->first; i < t->end; i++) {
		const struct part *p = &t->parts[i];
		bool past = !p->cut;

		if (p->symbols[READ_PLAIN] > from[READ_PLAIN] && p->at >= cleared)
			break;
		for (int k = 0; k < READINGS; k++)
			past &= p->symbols[k] <= from[k];
		/* What was released is not needed, whatever it was. */
		if (past || (!p->lost && p->at < cleared))
			keep = i;
	}
	track_drop(r, t, is_idle(x, &x->texts[text], from) ? t->end : keep);
}

static bool reserve(struct track *t)
{
	uint32_t live = t->end - t->first;

	if (t->end < t->room)
		return true;
	if (t->first > live) {
		memmove(t->parts, t->parts + t->first, live * sizeof(*t->parts));
	} else {
		uint32_t room = t->room ? 2 * t->room : 4;
		struct part *more = malloc(room * sizeof(*more));

		if (!more)
			return false;
		if (live)
			memcpy(more, t->parts + t->first, live * sizeof(*more));
		free(t->parts);
		t->parts = more;
		t->room = room;
	}
	t->first = 0;
	t->end = live;
	return true;
}

/* Adds a part, or makes the last one longer if the new one goes on with it. */
static bool add(struct exchange *x, struct track *t, const struct part *p)
{
	struct redact *r = x->redact;
	struct part *last = t->first < t->end ? &t->parts[t->end - 1] : NULL;

	if (last && !last->lost && !p->lost && !p->begins && last->json == p->json && last->at + last->len == p->at &&
	    t->unit == x->unit.wire && (last->len < PART_LEN || p->cut)) {
		last->len += p->len;
		return true;
	}
	if (r->parts == PARTS_MAX) {
		/* Too many pieces: the oldest cannot be masked any more. */
		track_drop(r, t, t->first < t->end ? t->first + 1 : t->first);
		if (r->parts == PARTS_MAX)
			return true;
	}
	if (!reserve(t))
		return false;
	t->parts[t->end++] = *p;
	t->unit = x->unit.wire;
	r->parts++;
	return true;
}

/* The run that byte `from` of the message lies in; most often the last one. run_count: none. */
static size_t run_of(const struct redact *r, uint64_t from)
{
	size_t i = r->run_count;

	while (i && r->runs[i - 1].from > from)
		i--;
	return i && from < r->runs[i - 1].from + r->runs[i - 1].len ? i - 1 : r->run_count;
}

bool redact_leaf(struct exchange *x, size_t text, const struct leaf *leaf)
{
	struct redact *r = x->redact;
	const struct text *of = &x->texts[text];
	struct track *t = track_of(r, text);
	struct part p = { .json = leaf->raw > 0, .begins = leaf->begin, .cut = !is_whole(x, of) };
	uint64_t from = leaf->at - leaf->raw;
	bool fine = true;

	if (!t)
		return false;
	if (leaf->channel == CHANNEL_OTHER || leaf->channel == CHANNEL_LOGPROBS)
		r->alone_text = (uint32_t)text + 1;
	if (t->end - t->first > PARTS_TRIM && t->end - t->first >= t->trim_at) {
		if (is_pending(r, text))
			redact_settle(x);
		track_trim(x, text);
		t->trim_at = 2 * (t->end - t->first);
	}
	p.symbols[READ_PLAIN] = of->state.scan.symbols;
	p.symbols[READ_TWIN] = of->twin ? x->texts[of->twin].state.scan.symbols : of->state.scan.symbols;
	p.symbols[READ_ALONE] = r->alone_base + x->one.scan.symbols;
	/* What stands for itself is where it was read. */
	p.at = place_of(r->lane, leaf->text);
	if (p.json && leaf->raw == leaf->text.len && p.at != NOWHERE) {
		p.len = leaf->raw;
		return add(x, t, &p);
	}
	/* Numbers that are bytes, and keys. */
	if (p.json ? leaf->at < leaf->raw : leaf->channel == CHANNEL_LOGPROBS) {
		p.at = NOWHERE;
		p.len = (uint32_t)leaf->text.len;
		p.lost = true;
		return add(x, t, &p);
	}
	if (!p.json) {
		p.len = (uint32_t)leaf->text.len;
		p.lost = p.at == NOWHERE;
		return add(x, t, &p);
	}
	for (size_t i = run_of(r, from); i < r->run_count && fine && from < leaf->at; i++) {
		const struct run *run = &r->runs[i];
		uint64_t end = run->from + run->len < leaf->at ? run->from + run->len : leaf->at;

		p.lost = run->at == NOWHERE;
		p.at = p.lost ? NOWHERE : run->at + (from - run->from);
		p.len = (uint32_t)(end - from);
		fine = add(x, t, &p);
		from = end;
		p.cut = true;
		p.begins = false;
	}
	if (fine && from < leaf->at) {
		p.lost = true;
		p.at = NOWHERE;
		p.len = (uint32_t)(leaf->at - from);
		fine = add(x, t, &p);
	}
	return fine;
}
