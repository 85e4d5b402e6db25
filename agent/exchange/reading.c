/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reading.c - pieces of text meet the scanner, and what was found is kept.
 *
 * The same bytes may be read in several ways: as part of a longer text, by themselves, and without their escapes. All
 * readings go side by side, so that what is found first never depends on how the bytes came.
 */
#include "exchange/excerpt.h"
#include "exchange/private.h"
#include "exchange/redact.h"

#include <errno.h>
#include <stdlib.h>

#define STEP 64 /* bytes that are looked through before they are read one by one */

/* ---- hits ---- */

/* Counts a hit of what was found before. The same place may be met by several readings. */
static void found_again(struct exchange *x, struct finding *f, uint64_t *step, uint64_t offset)
{
	if (*step == x->step || f->last_offset == offset)
		return;
	*step = x->step;
	f->repeat++;
	f->last_offset = offset;
}

/* Symbols of a hit that may have gone out: those of units in front of the first that its text holds. */
static uint64_t exposed(const struct exchange *x, const struct lookout *state, const struct sight *hit)
{
	uint64_t out = 0;

	for (size_t i = 0; i < x->text_count; i++) {
		const struct text *t = &x->texts[i];

		if (&t->state == state)
			out = t->mark_first != t->mark_end ? t->marks[t->mark_first].symbols : state->scan.symbols;
	}
	out = out < hit->end ? out : hit->end;
	return out > hit->start ? out - hit->start : 0;
}

enum exception reading_count(struct exchange *x, const struct reading *reading, const struct sight *hit,
                             enum action action, enum channel channel, uint32_t choice, uint64_t wire)
{
	const struct rule *rule = hit->rule;
	uint32_t keyword = hit->keyword;
	bool decides = action == ACTION_BLOCK && !x->blocked;

	if (decides)
		x->blocked = rule;
	for (size_t i = 0; i < x->finding_count; i++) {
		struct finding *f = &x->findings[i];

		if (f->rule == rule && f->keyword == keyword && f->channel == channel && f->choice == choice) {
			f->action = action > f->action ? action : f->action;
			f->logit = hit->logit > f->logit ? hit->logit : f->logit;
			f->exposed = decides && reading ? exposed(x, reading->state, hit) : f->exposed;
			found_again(x, f, &x->found_at[i], hit->start);
			return EXCEPTION_NONE;
		}
	}
	if (x->finding_count == FINDINGS_MAX) {
		x->report.findings_lost++;
		if (!decides)
			return EXCEPTION_NONE;
		excerpt_forget(x, --x->finding_count); /* what ends the answer is always on record */
	}
	if (x->finding_count == x->finding_room) {
		size_t room = x->finding_room ? 2 * x->finding_room : 4;
		struct finding *more = realloc(x->findings, room * sizeof(*more));

		if (!more)
			return EXCEPTION_MEMORY;
		x->findings = more;
		x->finding_room = room;
	}
	x->found_at[x->finding_count] = x->step;
	x->findings[x->finding_count++] = (struct finding){
		.rule = rule,
		.keyword = keyword,
		.action = action,
		.channel = channel,
		.choice = choice,
		.offset = hit->start,
		.length = (uint32_t)(hit->end - hit->start),
		.wire = wire,
		.last_offset = hit->start,
		.judged = hit->judged,
		.logit = hit->logit,
		.exposed = decides && reading ? exposed(x, reading->state, hit) : 0,
	};
	excerpt_found(x, x->finding_count - 1, reading ? reading->kept : NULL, hit);
	return EXCEPTION_NONE;
}

static enum exception found(struct exchange *x, const struct reading *reading, const struct sight *hit,
                            enum channel channel, uint32_t choice)
{
	enum action action = hit->rule->action;

	x->hits++;
	if (hit->rule->opinion)
		return question_new(x, reading, hit, channel, choice);
	if (action == ACTION_REDACT && !redact_hit(x, reading, hit, hit->rule))
		action = ACTION_BLOCK;
	x->redacted |= action == ACTION_REDACT;
	return reading_count(x, reading, hit, action, channel, choice, point_wire(&x->unit));
}

/* ---- escapes of JSON in a string that was decoded already ---- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The UTF-16 unit of the \uXXXX at p. */
static int32_t unit_at(const uint8_t *p)
{
	int32_t unit = 0;

	for (int i = 2; i < 6; i++)
		unit = unit << 4 | (hex_digit(p[i]) & 15); /* the caller has looked: they are digits */
	return unit;
}

static bool is_high(int32_t unit)
{
	return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(int32_t unit)
{
	return unit >= 0xdc00 && unit < 0xe000;
}

/* More bytes may still make an escape of what waits. */
static bool may_become(const struct unescape *u)
{
	for (size_t i = 0; i < u->len; i++) {
		size_t at = i % 6;

		if (at == 0 ? u->bytes[i] != '\\' : at == 1 ? u->bytes[i] != 'u' : hex_digit(u->bytes[i]) < 0)
			return false;
	}
	return u->len < 6 || (u->len < 12 && is_high(unit_at(u->bytes)));
}

/* The character that the waiting bytes stand for, 0 if they are no escape. */
static uint32_t meaning(const struct unescape *u)
{
	static const uint8_t meant[256] = {
		['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
		['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
	};
	int32_t unit, low;

	if (u->bytes[0] != '\\' || u->len < 2)
		return 0;
	if (u->len == 2)
		return meant[u->bytes[1]];
	for (size_t i = 0; i < u->len; i++)
		if (i % 6 > 1 && hex_digit(u->bytes[i]) < 0)
			return 0;
	unit = u->len % 6 ? 0 : unit_at(u->bytes);
	if (u->len == 6)
		return is_low(unit) ? 0 : (uint32_t)unit;
	low = u->len == 12 && u->bytes[6] == '\\' && u->bytes[7] == 'u' ? unit_at(u->bytes + 6) : 0;
	return is_low(low) ? 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00) : 0;
}

static size_t put_utf8(uint8_t *out, uint32_t c)
{
	static const uint8_t lead[] = { 0, 0x00, 0xc0, 0xe0, 0xf0 };
	size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = len - 1; i > 0; i--, c >>= 6)
		out[i] = (uint8_t)(0x80 | (c & 0x3f));
	out[0] = (uint8_t)(lead[len] | c);
	return len;
}

size_t unescape_byte(struct unescape *u, uint8_t c, uint8_t out[UNESCAPE_MAX])
{
	struct unescape odd;
	uint32_t meant;
	size_t n = 1;

	u->bytes[u->len++] = c;
	if (may_become(u))
		return 0;
	meant = meaning(u);
	if (meant) {
		u->len = 0;
		return put_utf8(out, meant);
	}
	/* No escape: the first byte stands for itself, and the others may begin another one. */
	odd = *u;
	u->len = 0;
	out[0] = odd.bytes[0];
	for (size_t i = 1; i < odd.len; i++)
		n += unescape_byte(u, odd.bytes[i], out + n);
	return n;
}

/* ---- readings ---- */

/* Where hits go. */
struct sink {
	struct exchange *x;
	enum channel channel;
	uint32_t choice;
	const struct reading *reading; /* that is under way */
	bool look;                     /* only whether there are any */
	enum exception exception;
};

static int seen(void *at, const struct sight *hit)
{
	struct sink *to = at;

	if (to->look)
		return -EEXIST;
	to->exception = found(to->x, to->reading, hit, to->channel, to->choice);
	return to->exception == EXCEPTION_NONE ? 0 : -ECANCELED;
}

static enum exception exception_of(const struct sink *to, int error)
{
	switch (error) {
	case 0:
		return EXCEPTION_NONE;
	case -ECANCELED:
		return to->exception;
	case -ETIME:
		return EXCEPTION_RULE_TIMEOUT;
	default:
		return EXCEPTION_MEMORY;
	}
}

static enum exception scan(struct sink *to, const struct reading *r, struct slice bytes)
{
	to->reading = r;
	if (r->kept)
		excerpt_add(r->kept, bytes);
	return exception_of(to, lookout_feed(to->x->rules, &to->x->scope, r->state, bytes, seen, to));
}

static enum exception read_on(struct sink *to, struct reading *r, struct slice bytes)
{
	enum exception e = EXCEPTION_NONE;
	uint8_t plain[256];
	size_t n = 0;

	_Static_assert(UNBASE_MAX >= UNESCAPE_MAX, "what one byte may give");
	if (!r->escapes && !r->coded)
		return scan(to, r, bytes);
	for (size_t i = 0; i < bytes.len && e == EXCEPTION_NONE; i++) {
		n += r->coded ? unbase_byte(r->coded, bytes.at[i], plain + n)
		              : unescape_byte(r->escapes, bytes.at[i], plain + n);
		if (n + UNBASE_MAX > sizeof(plain) || i + 1 == bytes.len) {
			e = scan(to, r, slice_of(plain, n));
			n = 0;
		}
	}
	return e;
}

/* Does `bytes` hit nothing in any reading? Leaves them behind `bytes` if so, as they were otherwise. */
static bool hits_nothing(struct sink *to, struct reading *readings, size_t count, struct slice bytes)
{
	struct unescape escapes[READINGS_MAX];
	struct unbase coded[READINGS_MAX];
	struct {
		size_t len;
		uint64_t end;
	} kept[READINGS_MAX] = { 0 };
	struct exchange *x = to->x;
	bool clean = true;

	to->look = true;
	for (size_t i = 0; i < count && clean; i++) {
		clean = !lookout_copy(x->rules, &x->spare[i], readings[i].state);
		if (readings[i].escapes)
			escapes[i] = *readings[i].escapes;
		if (readings[i].coded)
			coded[i] = *readings[i].coded;
		if (readings[i].kept)
			kept[i].len = readings[i].kept->len, kept[i].end = readings[i].kept->end;
	}
	if (!clean) {
		to->look = false;
		return false;
	}
	/* What goes wrong counts as a hit: byte by byte it will be seen whether it does. */
	for (size_t i = 0; i < count && clean; i++)
		clean = read_on(to, &readings[i], bytes) == EXCEPTION_NONE;
	to->look = false;
	for (size_t i = 0; i < count && !clean; i++) {
		struct lookout spoilt = *readings[i].state;

		*readings[i].state = x->spare[i];
		x->spare[i] = spoilt;
		if (readings[i].escapes)
			*readings[i].escapes = escapes[i];
		if (readings[i].coded)
			*readings[i].coded = coded[i];
		if (readings[i].kept)
			excerpt_back(readings[i].kept, kept[i].len, kept[i].end);
	}
	return clean;
}

/* Windows that wait for text take what was read. */
static void gather(struct exchange *x, const struct reading *readings, size_t count)
{
	for (size_t i = 0; i < count && x->gathering; i++)
		question_gather(x, &readings[i], false);
}

/* The same where rules ask for words alone, and the bytes are read as they are: there is little to remember then. */
static bool skim(struct exchange *x, struct reading *readings, size_t count, struct slice bytes)
{
	struct scan_state before[READINGS_MAX];
	size_t i = 0;

	for (; i < count; i++) {
		before[i] = readings[i].state->scan;
		if (readings[i].escapes || readings[i].coded || !lookout_skim(x->rules, readings[i].state, bytes))
			break;
	}
	if (i == count)
		return true;
	while (i-- > 0) {
		readings[i].state->scan = before[i];
		readings[i].state->bytes -= bytes.len;
	}
	return false;
}

static enum exception feed(struct exchange *x, struct reading *readings, size_t count, struct slice bytes,
                           enum channel channel, uint32_t choice)
{
	struct sink to = { .x = x, .channel = channel, .choice = choice };
	enum exception e = EXCEPTION_NONE;

	if (!bytes.len || (!x->gathering && hits_nothing(&to, readings, count, bytes)))
		return EXCEPTION_NONE;
	while (bytes.len && e == EXCEPTION_NONE && !stopped(x)) {
		struct slice step = slice_of(bytes.at, bytes.len < STEP ? bytes.len : STEP);

		bytes = slice_from(bytes, step.len);
		gather(x, readings, count);
		if (hits_nothing(&to, readings, count, step))
			continue;
		for (size_t at = 0; at < step.len && e == EXCEPTION_NONE && !stopped(x); at++) {
			x->step++;
			for (size_t i = 0; i < count && e == EXCEPTION_NONE; i++)
				e = read_on(&to, &readings[i], slice_of(step.at + at, 1));
			redact_step(x);
		}
	}
	gather(x, readings, count);
	return e;
}

/* While excerpts are kept, in pieces: they grow by what is read ahead. */
enum exception readings_feed(struct exchange *x, struct reading *readings, size_t count, struct slice bytes,
                             enum channel channel, uint32_t choice)
{
	enum exception e = EXCEPTION_NONE;

	if (x->skims && skim(x, readings, count, bytes))
		return EXCEPTION_NONE;
	if (!x->kept)
		return feed(x, readings, count, bytes, channel, choice);
	while (bytes.len && e == EXCEPTION_NONE && !stopped(x)) {
		struct slice piece = slice_of(bytes.at, bytes.len < EXCERPT_PIECE ? bytes.len : EXCERPT_PIECE);

		bytes = slice_from(bytes, piece.len);
		for (size_t i = 0; i < count; i++)
			if (readings[i].kept)
				excerpt_trim(x, readings[i].kept);
		e = feed(x, readings, count, piece, channel, choice);
		for (size_t i = 0; i < count; i++)
			if (readings[i].kept)
				excerpt_settle(x, readings[i].kept);
	}
	return e;
}

enum exception reading_end(struct exchange *x, struct reading *r, enum channel channel, uint32_t choice)
{
	struct sink to = { .x = x, .channel = channel, .choice = choice };
	enum exception e = EXCEPTION_NONE;

	x->step++;
	if (r->escapes) {
		e = scan(&to, r, slice_of(r->escapes->bytes, r->escapes->len));
		r->escapes->len = 0;
	}
	to.reading = r;
	if (x->gathering)
		question_gather(x, r, true);
	if (e == EXCEPTION_NONE)
		e = exception_of(&to, lookout_end(x->rules, &x->scope, r->state, seen, &to));
	if (x->gathering)
		question_leave(x, r->place); /* those that the end itself has brought */
	return e;
}

bool reading_clean(struct exchange *x, struct slice text)
{
	struct sink to = { .x = x, .look = true };
	struct lookout state = { .unjudged = true };
	bool clean = !lookout_feed(x->rules, &x->scope, &state, text, seen, &to) &&
	             !lookout_end(x->rules, &x->scope, &state, seen, &to);

	lookout_free(&state);
	return clean;
}
