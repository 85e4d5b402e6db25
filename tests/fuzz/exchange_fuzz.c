/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange_fuzz.c - whole answers through decode, scan and enforce.
 *
 * Input: one byte of options, one that seeds the cuts, then the answer as a server would send it; or, by an option, the
 * events of a stream one a line, each the content of a delta, so that text is met more often than framing; and by
 * another, these are encoded.
 *
 * Must hold: however the answer is cut, the client gets the same and the report says the same; what is released is what
 * the server sent; coverage adds up; and content of a choice that was released is no text that a rule blocks. By a
 * further option the rules redact: then what differs from what the server sent are masks, as many as the report says.
 * By another one, the rules know words alone when the answer is whole, and a pattern beside them when it is cut.
 */
#include <stdint.h>
#include <stdio.h>

#include "tests/lib/encode.h"
#include "tests/lib/fuzz.h"
#include "tests/lib/talk.h"

#define ANSWER_MAX (1u << 16)

/* And rules that wait: for the end of a number, for a word near, for an exception that may go on. */
#define PACK                                                                                                           \
	TALK_PACK                                                                                                      \
	"  - {id: t.number, risk: A.4.f, action: block, pattern: '(?<![0-9])[0-9]{4,6}(?:-[0-9]{2})?(?![0-9])'}\n"     \
	"  - {id: t.mail, risk: A.4.f, action: flag, pattern: '(?<![a-z])[a-z]{1,9}@[a-z]{2,9}(?![a-z])'}\n"           \
	"  - {id: t.key, risk: A.4.f, action: block, pattern: 'ab-[a-z]{3,}', max_length: 9}\n"                        \
	"  - {id: t.except, risk: A.1.h, action: block, boundary: none, keywords: [ox, xy], except: [box, xyz]}\n"     \
	"  - {id: t.near, risk: A.1.h, action: block, boundary: none, keywords: [q, 乙], near: {words: [z], "         \
	"within: 6}}\n"                                                                                                \
	"  - {id: t.all, risk: A.1.h, action: shadow, boundary: none, all_of: {words: [a, e, y], within: 9}}\n"

/* Words alone are read in a shorter way than beside a rule that asks for more, and to the same end. */
#define MORE "  - {id: t.never, risk: A.4.f, action: shadow, pattern: '[a-z]{9}#{9}'}\n"

static struct ruleset *rules, *blocking, *redacting, *words, *words_and_more;
static const char *const requests[] = {
	"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
	"POST /generate HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
	"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
	"POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\ncontent-length: 13\r\n\r\n{\"model\":\"m\"}",
};

/* By the upper half of the options, if it is not 0. */
#define ASK(path) "POST " path " HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
static const char *const apis[15] = {
	ASK("/v1/completions"),
	ASK("/v1/responses"),
	ASK("/v1/messages"),
	ASK("/api/generate"),
	ASK("/api/chat"),
	ASK("/generate"),
	ASK("/generate_stream"),
	ASK("/"),
	ASK("/v2/models/m/infer"),
	ASK("/v2/models/m/generate_stream"),
	ASK("/completion"),
	ASK("/tokenize"),
	ASK("/inference/v1/generate"),
	"GET /v1/responses/r HTTP/1.1\r\nhost: a\r\n\r\n",
	("POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 48\r\n\r\n"
	 "{\"n\":3, \"stream_options\":{\"include_usage\":true}}"),
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	static char pack[sizeof(PACK) + 64];
	const char *rest = PACK;

	for (const char *at; (at = strstr(rest, "action: block")); rest = at + 13) {
		strncat(pack, rest, (size_t)(at - rest));
		strcat(pack, "action: redact");
	}
	strcat(pack, rest);
	blocking = talk_rules(PACK);
	redacting = talk_rules(pack);
	words = talk_rules(TALK_PACK);
	words_and_more = talk_rules(TALK_PACK MORE);
	MUST(blocking && redacting && words && words_and_more);
	return 0;
}

/* ---- one run ---- */

struct result {
	struct talk talk;
	char report[1u << 14];
};

static void write_report(struct result *r, struct exchange *x)
{
	const struct exchange_report *p = exchange_report(x);
	const struct coverage *c = &p->coverage;
	int len = snprintf(r->report, sizeof(r->report), "%d %d %d %u %u %lu %lu %lu %lu %zu %lu %s %s", p->verdict,
	                   p->exception, r->talk.how, p->max_hold, p->events, c->in, c->scanned, c->structural,
	                   c->withheld, p->finding_count, p->findings_lost, p->id, p->model);

	MUST(c->in == c->scanned + c->structural + c->withheld);
	MUST(c->released == c->scanned + c->structural);
	MUST(rules == redacting ? c->released <= r->talk.released : c->released == r->talk.released);
	for (size_t i = 0; i < p->finding_count && len < (int)sizeof(r->report) - 200; i++) {
		const struct finding *f = &p->findings[i];

		len += snprintf(r->report + len, sizeof(r->report) - (size_t)len, "|%s %d %u %lu %u %lu %u",
		                f->rule->id, f->channel, f->choice, f->offset, f->length, f->wire, f->repeat);
	}
}

/* What differs is a mask, and the report says how much of it there is. */
static void look_at_masks(const struct talk *t, struct slice answer)
{
	uint64_t masked = t->released - exchange_report(t->x)->coverage.released, differ = 0;

	for (size_t i = 0; i < t->released; i++) {
		if (t->out[i] == answer.at[i])
			continue;
		differ++;
		/* Also the escape of an escape: \\u0061 for the last digit of \\u002a. */
		MUST(memchr("*0126a\xef\xbc\x8a", t->out[i], 9));
	}
	MUST(differ <= masked);
}

/* Pieces of `seed`-chosen length; 0: whole. */
static void run(struct result *r, const char *request, struct slice answer, uint32_t seed)
{
	static const struct exchange_limits limits = { .body_max = 4096, .event_max = 2048 };
	struct talk *t = &r->talk;
	size_t at = 0;

	talk_begin(t, rules, &limits, slice_str(request));
	t->how = CONCLUDE_KEEP;
	while (at < answer.len) {
		size_t n = answer.len - at;

		if (seed) {
			seed = seed * 1664525u + 1013904223u;
			n = (seed >> 16) % 23 + 1;
		}
		if (n > answer.len - at)
			n = answer.len - at;
		talk_feed(t, slice_of(answer.at + at, n), false);
		at += n;
	}
	talk_feed(t, SLICE(""), true);
	talk_conclude(t);
	MUST(t->released <= answer.len);
	if (rules == redacting)
		look_at_masks(t, answer);
	else
		MUST(!memcmp(t->out, answer.at, t->released));
	write_report(r, t->x);
	talk_end(t);
}

/* ---- streams of deltas ---- */

static uint8_t answer_bytes[ANSWER_MAX];
static uint8_t heard[4][ANSWER_MAX]; /* by choice */
static size_t heard_len[4];
static size_t content_at; /* where the head of write_stream() ends */

static size_t put(size_t at, const char *text)
{
	size_t n = strlen(text);

	if (at + n > ANSWER_MAX - 64)
		return at;
	memcpy(answer_bytes + at, text, n);
	return at + n;
}

/* What an encoder gave, as a chunk or as it is. */
static size_t put_chunk(size_t at, struct buf *bytes, bool chunked)
{
	size_t n = buf_len(bytes);
	char size[16];

	snprintf(size, sizeof(size), "%zx\r\n", n);
	if (n && at + n + 32 < ANSWER_MAX - 64) {
		at = chunked ? put(at, size) : at;
		memcpy(answer_bytes + at, buf_slice(bytes).at, n);
		at += n;
		at = chunked ? put(at, "\r\n") : at;
	}
	buf_cut(bytes, 0);
	return at;
}

/* Each line of `in` is a delta: its first byte says of which choice and how it is written, the rest is its text. */
static size_t write_stream(struct slice in, bool chunked, enum coding coding, enum flush form)
{
	size_t at = put(0, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: ");
	struct buf encoded = BUF(ANSWER_MAX * 4);
	struct encoder e;

	encoder_begin(&e, coding, form, false);
	at = put(at, coding_names[coding]);
	at = put(at, chunked ? "\r\ntransfer-encoding: chunked\r\n\r\n" : "\r\n\r\n");
	content_at = at;
	while (in.len && at < ANSWER_MAX / 2) {
		const uint8_t *end = memchr(in.at, '\n', in.len);
		struct slice line = slice_of(in.at, end ? (size_t)(end - in.at) : in.len);
		char event[16384];
		int n = 0;

		in = slice_from(in, line.len < in.len ? line.len + 1 : line.len);
		if (!line.len || line.len > 1024)
			continue;
		n += snprintf(event, sizeof(event), "data: {\"choices\":[{%.*s\"delta\":{\"content\":\"",
		              line.at[0] & 4 ? 0 : 10, line.at[0] & 1 ? "\"index\":1," : "\"index\":0,");
		for (size_t i = 1; i < line.len; i++) {
			uint8_t c = line.at[i];

			if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || line.at[0] & 8)
				n += snprintf(event + n, sizeof(event) - (size_t)n, "\\u%04x", c);
			else
				event[n++] = (char)c;
		}
		n += snprintf(event + n, sizeof(event) - (size_t)n, "\"}%s}]}\n\n",
		              !(line.at[0] & 4) ? ""
		              : line.at[0] & 1  ? ",\"index\":1"
		                                : ",\"index\":0");
		encoder_add(&e, &encoded, slice_of(event, (size_t)n));
		at = put_chunk(at, &encoded, chunked);
	}
	encoder_end(&e, &encoded);
	at = put_chunk(at, &encoded, chunked);
	buf_free(&encoded);
	return chunked ? put(at, "0\r\n\r\n") : at;
}

/* The content of the bytes that were released, without framing and encoding. */
static struct slice content_of(struct slice released, bool chunked, enum coding coding)
{
	static uint8_t content[ANSWER_MAX], text[ANSWER_MAX * 4];
	struct http1_body body;
	struct http1_body_item item;
	size_t used, len = 0;

	if (released.len < content_at)
		return SLICE("");
	released = slice_from(released, content_at);
	http1_body_start(&body, chunked ? HTTP1_CHUNKED : HTTP1_UNTIL_CLOSE, 0);
	while (released.len && http1_body_feed(&body, released, &used, &item) == STEP_ITEM && item.kind != HTTP1_END) {
		if (item.kind == HTTP1_DATA) {
			memcpy(content + len, item.data.at, item.data.len);
			len += item.data.len;
		}
		released = slice_from(released, used);
	}
	if (coding == CODING_NONE)
		return slice_of(content, len);
	return slice_of(text, decode_prefix(coding, false, slice_of(content, len), text, sizeof(text)));
}

/* What a naive reader hears of a stream of write_stream(): good only for what that writes. */
static void listen(struct slice released)
{
	static const char head[] = "\"content\":\"";

	memset(heard_len, 0, sizeof(heard_len));
	while (released.len) {
		const uint8_t *event = memmem(released.at, released.len, "data: {", 7), *end, *p;
		uint8_t *to;
		size_t choice, n;

		if (!event)
			return;
		end = memmem(event, (size_t)(released.at + released.len - event), "\n\n", 2);
		p = memmem(event, (size_t)(released.at + released.len - event), head, sizeof(head) - 1);
		if (!end || !p)
			return;
		choice = memmem(event, (size_t)(end - event), "\"index\":1", 9) ? 1 : 0;
		to = heard[choice] + heard_len[choice];
		for (n = 0, p += sizeof(head) - 1; p < end && *p != '"';) {
			unsigned c;

			if (*p == '\\' && sscanf((const char *)p, "\\u%04x", &c) == 1)
				p += 6;
			else
				c = *p++;
			/* A control that is no white space shows as nothing: it neither parts a word nor begins one. */
			if ((c >= 0x20 && c != 0x7f) || (c >= '\t' && c <= '\r'))
				to[n++] = (uint8_t)c;
		}
		heard_len[choice] += n;
		released = slice_from(released, (size_t)(end - released.at));
	}
}

static bool letter(uint8_t c)
{
	c = ascii_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80;
}

/* Does the text hold the keyword as a word? Plain ASCII: folding has tests of its own. Where an answer was cut, a word
 * at the end may have gone on in what was withheld: then it was not the keyword. */
static bool holds(const uint8_t *at, size_t len, bool whole, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= len; i++) {
		bool same = !i || !letter(at[i - 1]);

		for (size_t k = 0; k < n && same; k++)
			same = ascii_lower(at[i + k]) == (uint8_t)word[k];
		if (same && (i + n == len ? whole : !letter(at[i + n])))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct result whole, cut;
	const char *request;
	struct slice answer;
	bool stream, chunked;
	enum coding coding;

	if (size < 2 || size > 8192)
		return 0;
	request = data[0] >> 4 ? apis[(data[0] >> 4) - 1] : requests[data[0] & 3];
	stream = data[0] & 4;
	chunked = data[0] & 8;
	coding = (enum coding)(data[0] >> 4 & 7) % CODING_COUNT;
	rules = data[1] & 0x80 ? redacting : data[1] & 0x40 ? words : blocking;
	answer = slice_of(data + 2, size - 2);
	if (stream)
		answer = slice_of(answer_bytes,
		                  write_stream(answer, chunked, coding, data[0] & 0x80 ? FORM_AT_END : FORM_FLUSHED));
	run(&whole, request, answer, 0);
	rules = rules == words ? words_and_more : rules;
	run(&cut, request, answer, data[1] + 1u);
	MUST(whole.talk.len == cut.talk.len && whole.talk.released == cut.talk.released);
	MUST(!memcmp(whole.talk.out, cut.talk.out, whole.talk.len));
	if (strcmp(whole.report, cut.report))
		fprintf(stderr, "%s\n%s\n", whole.report, cut.report);
	MUST(!strcmp(whole.report, cut.report));
	if (stream && request == requests[0]) {
		bool all = whole.talk.released == answer.len;

		listen(content_of(slice_of(whole.talk.out, whole.talk.released), chunked, coding));
		for (size_t i = 0; i < 2; i++) {
			MUST(!holds(heard[i], heard_len[i], all, "forbidden-alpha"));
			MUST(!holds(heard[i], heard_len[i], all, "brown weasel"));
		}
	}
	return 0;
}
