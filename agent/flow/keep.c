/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.c - what a rule wants kept of a finding: a tag, and a line of JSON that is sealed before it meets a disk.
 *
 * Only text that a model wrote is sealed. What may be the client's (an answer that repeats the request, a string that
 * no table knows) leaves its tag and the word WITHHELD.
 */
#include "flow/private.h"

#include <errno.h>

#include "base/json_text.h"
#include "base/own.h"

#define ANSWER_BYTES 131072 /* of all texts of an answer; escaped six times as many */

_Static_assert(6 * (ANSWER_BYTES + 4096) < EVIDENCE_MAX, "what is kept of an answer fits an evidence");

/* Without the pieces of characters at its ends. */
static struct slice characters(struct slice s)
{
	size_t n = 0, back = 0;

	while (n < 3 && n < s.len && (s.at[n] & 0xc0) == 0x80)
		n++;
	s = slice_from(s, n);
	while (back < 3 && back < s.len && (s.at[s.len - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back < s.len) {
		uint8_t lead = s.at[s.len - 1 - back];
		size_t whole = lead < 0xc0 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;

		if (back < whole)
			s.len -= back + 1;
	}
	return s;
}

static int put(struct buf *b, const char *name, struct slice text)
{
	int err = buf_printf(b, ",\"%s\":", name);

	return err ? err : json_text(b, text);
}

/* ---- the whole answer ---- */

struct answer {
	struct buf *to;
	size_t left;
	bool any;
	int err;
};

static void put_text(void *arg, enum channel channel, uint32_t choice, uint64_t missing, struct slice text)
{
	struct answer *a = arg;
	size_t n = text.len < a->left ? text.len : a->left;

	missing += text.len - n;
	a->left -= n;
	text = characters(slice_of(text.at + (text.len - n), n));
	if (!a->err)
		a->err = buf_printf(a->to, "%s{\"channel\":\"%s\",\"choice\":%u,\"missing\":%llu", a->any ? "," : "",
		                    channel_names[channel], choice, (unsigned long long)missing);
	if (!a->err)
		a->err = put(a->to, "text", text);
	if (!a->err)
		a->err = buf_add(a->to, SLICE("}"));
	a->any = true;
}

static int put_answer(struct buf *b, const struct exchange *x)
{
	struct answer a = { .to = b, .left = ANSWER_BYTES };
	int err = buf_add(b, SLICE(",\"answer\":["));

	if (!err)
		exchange_texts(x, put_text, &a);
	err = err ? err : a.err;
	return err ? err : buf_add(b, SLICE("]"));
}

/* ---- one finding ---- */

static int put_finding(struct flow *f, const struct finding *found, bool whole, struct buf *b)
{
	const struct evidence_text *t = &found->text;
	const uint8_t *match = t->at + t->before;
	int err = buf_add(b, SLICE("{\"evidence\":1,\"exchange_id\":\""));

	for (size_t i = 0; i < sizeof(f->exchange_id) && !err; i++)
		err = buf_printf(b, "%02x", f->exchange_id[i]);
	err = err ? err : buf_add(b, SLICE("\""));
	err = err ? err : put(b, "service", slice_str(f->worker->o.services[f->service]));
	err = err ? err : put(b, "rule", slice_str(found->rule->id));
	err = err ? err : put(b, "channel", slice_str(channel_names[found->channel]));
	err = err ? err
	          : buf_printf(b, ",\"choice\":%u,\"offset\":%llu,\"length\":%u,\"missing\":%llu", found->choice,
	                       (unsigned long long)found->offset, found->length, (unsigned long long)t->missing);
	err = err ? err : put(b, "before", characters(slice_of(t->at, t->before)));
	err = err ? err : put(b, "match", slice_of(match, t->match));
	err = err ? err : put(b, "after", characters(slice_of(match + t->match, t->after)));
	if (!err && whole)
		err = put_answer(b, f->x);
	return err ? err : buf_add(b, SLICE("}\n"));
}

void keep_finding(struct flow *f, const struct finding *found, bool *whole, struct keep *to)
{
	const struct evidence_text *t = &found->text;
	enum evidence asked = found->rule->evidence;
	bool full = asked == EVIDENCE_FULL && *whole;

	to->evidence = (Evidence)EVIDENCE__INIT;
	to->text = BUF(EVIDENCE_MAX);
	if (asked == EVIDENCE_NONE)
		return;
	if (f->worker->o.subjects && t->at && !t->missing)
		to->has_tag = !subjects_content_tag(f->worker->o.subjects, t->at + t->before, t->match, to->tag);
	if (asked == EVIDENCE_HASH)
		return;
	to->asked = true;
	to->evidence.kind = (char *)evidence_names[full ? EVIDENCE_FULL : EVIDENCE_SPAN];
	to->evidence.state = t->at && !t->generated ? EVIDENCE__STATE__WITHHELD : EVIDENCE__STATE__LOST;
	if (!t->at || !t->generated || !f->worker->o.evidence)
		return;
	/* LOST as long as nobody wrote it. */
	if (put_finding(f, found, full, &to->text)) {
		keep_free(to);
		return;
	}
	*whole &= !full;
}

void keep_free(struct keep *k)
{
	struct slice text = buf_slice(&k->text);

	if (text.len)
		explicit_bzero((void *)text.at, text.len);
	buf_free(&k->text);
}
