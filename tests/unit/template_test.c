/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_test.c - random streams of events that are alike: those that come whole go a short way, those that are cut
 * the long one, and both come to the same bytes and the same report.
 */
#define TRANSCRIPT_PACK                                                                                                \
	"pack: t\nversion: \"1\"\nrules:\n"                                                                            \
	"  - {id: t.block, risk: A.1.d, action: block, keywords: [purple llama, 毒气]}\n"                            \
	"  - {id: t.near, risk: A.1.d, action: block, keywords: [lamp], near: {words: [oil], within: 12}}\n"           \
	"  - {id: t.except, risk: A.1.d, action: block, keywords: [stone], except: [\"stone age\", sandstone]}\n"      \
	"  - {id: t.all, risk: A.1.d, action: block, all_of: {words: [sugar, salt, lime], within: 60}}\n"              \
	"  - {id: t.mask, risk: A.4.f, action: redact, boundary: none, keywords: [abc, bcd, 赵一]}\n"                \
	"  - {id: t.masknear, risk: A.4.f, action: redact, keywords: [kilo], near: {words: [mike], within: 9}}\n"      \
	"  - {id: t.number, risk: A.4.f, action: redact, pattern: '(?<![0-9])[0-9]{6}(?![0-9])'}\n"                    \
	"  - {id: t.key, risk: A.4.f, action: block, pattern: 'key-[0-9]{3}-[a-z]{4}'}\n"                              \
	"  - {id: t.flag, risk: A.4.a, action: flag, keywords: [gently, 甲]}\n"
#define TRANSCRIPT_SUITE template
#include "tests/lib/transcript.h"

#define ROUNDS 3000
#define BYTES  16384

static uint64_t seed;
static char answer[BYTES];
static size_t len;

static size_t pick(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed >> 11) % n;
}

static __attribute__((format(printf, 1, 2))) void add(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	len += (size_t)vsnprintf(answer + len, BYTES - len, format, args);
	va_end(args);
	cr_assert_lt(len, BYTES);
}

static const char *const words[] = {
	"a",      "b",  "ab",      "c",      "bc",   "d ",    " ",     "e",     "purple", " lla",   "ma",
	" llama", "毒", "气",      "赵",     "一",   "la",    "mp ",   "lamp ", "oil",    " stone", "stone ",
	"age",    "sa", "nd",      "sugar ", "salt", " lime", " kilo", " ki",   "lo ",    " mike ", "12",
	"34",     "56", "7",       "key",    "-123", "-abcd", "",      "gen",   "tly ",   "甲",     "x",
	"y",      "z",  "\\u0061", "\\n",    "\\\\", "\\\"",  "\xe6",  "\xff",
};

static const char *word(void)
{
	/* Most are harmless: a stream is to go on. */
	return pick(4) ? (pick(2) ? "and so on " : "no") : words[pick(sizeof(words) / sizeof(*words))];
}

/* A number, mostly a plain one, seldom one that is none. */
static const char *number(void)
{
	static const char *const odd[] = { "0",  "-7", "1.50", "-0.25", "1e9", "2E-3", "12345678901234567890",
		                           "00", "1.", "-",    "+1" };
	static char plain[4][24];
	static size_t turn;
	char *to = plain[turn++ % 4];

	if (!pick(12))
		return odd[pick(pick(8) ? 7 : sizeof(odd) / sizeof(*odd))];
	snprintf(to, sizeof(plain[0]), "%zu", pick(pick(2) ? 10 : 100000));
	return to;
}

/* A name that is often another one. */
static const char *name(void)
{
	static const char *const names[] = { "2026-11-22T06:00:00.1Z",
		                             "2026-11-22T06:00:00.25Z",
		                             "2026-11-22T06:00:01Z",
		                             "today",
		                             "purple llama",
		                             "",
		                             "a\\u0062c",
		                             "甲",
		                             "stone" };

	return names[pick(pick(10) ? 3 : sizeof(names) / sizeof(*names))];
}

enum api {
	API_CHAT,
	API_ANTHROPIC,
	API_TGI,
	API_SGLANG,
	API_RESPONSES,
	API_ANY,
	API_NUMBERS,
	API_OLLAMA,
	API_NAMES,
	API_COUNT
};

static const char *const requests[API_COUNT] = {
	CHAT,
	"POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
	"POST /generate_stream HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
	"POST /generate HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
	"POST /v1/responses HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
	ANY,
	CHAT,
	"POST /api/chat HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
	CHAT,
};

static void message(enum api api, size_t kind)
{
	size_t i = pick(6) ? 0 : 1;

	switch (api) {
	case API_CHAT:
		if (kind == 0)
			add("{\"id\":\"x\",\"choices\":[{\"index\":%zu,\"delta\":{},\"finish_reason\":\"stop\"}]}", i);
		else if (kind == 1)
			add("{\"id\":\"x\",\"choices\":[{\"index\":%zu,\"delta\":{\"reasoning\":\"%s\"}}]}", i, word());
		else if (kind == 2)
			add("{\"choices\":[{\"delta\":{\"content\":\"%s\"},\"index\":%zu}],\"id\":\"x\"}", word(), i);
		else if (kind == 3)
			add("{\"id\":\"x\",\"choices\":[{\"index\":%zu,\"delta\":{\"content\":\"%s\",\"more\":\"%s\"}}]"
			    "}",
			    i, word(), word());
		else
			add("{\"id\":\"x\",\"choices\":[{\"index\":%zu,\"delta\":{\"content\":\"%s\"},"
			    "\"finish_reason\":null}],\"created\":7}",
			    i, word());
		break;
	case API_ANTHROPIC:
		if (kind == 0)
			add("{\"type\":\"content_block_stop\",\"index\":%zu}", i);
		else if (kind == 1)
			add("{\"type\":\"content_block_delta\",\"index\":%zu,\"delta\":{\"thinking\":\"%s\"}}", i,
			    word());
		else
			add("{\"type\":\"content_block_delta\",\"index\":%zu,\"delta\":{\"type\":\"text_delta\","
			    "\"text\":"
			    "\"%s\"}}",
			    i, word());
		break;
	case API_TGI:
		add("{\"index\":1,\"token\":{\"id\":5,\"text\":\"%s\",\"special\":false},\"generated_text\":%s,"
		    "\"details\":null}",
		    word(), kind ? "null" : "\"abc stone\"");
		break;
	case API_SGLANG:
		add("{\"text\":\"%s\",\"meta_info\":{\"id\":\"a\",\"finish_reason\":null}}", word());
		break;
	case API_NUMBERS:
		if (kind == 0)
			add("{\"choices\":[{\"delta\":{\"content\":\"%s\"},\"index\":%zu,\"p\":%s}],\"created\":%s,"
			    "\"t\":%s}",
			    word(), i, number(), number(), number());
		else if (kind == 1)
			add("{\"choices\":[{\"index\":%zu,\"delta\":{\"content\":\"%s\"},\"x\":[%s,%s]}],\"t\":%s}", i,
			    word(), number(), number(), number());
		else
			add("{\"created\":%s,\"choices\":[{\"index\":%zu,\"delta\":{\"content\":\"%s\"}}],\"usage\":{"
			    "\"prompt_tokens\":7,\"completion_tokens\":%s},\"output_index\":%zu,\"t\":%s}",
			    pick(4) ? "5" : number(), pick(4), word(), number(), i, number());
		break;
	case API_OLLAMA:
		if (kind == 0)
			add("{\"model\":\"m\",\"message\":{\"content\":\"%s\"},\"created_at\":\"%s\",\"done\":%s}",
			    word(), name(), pick(3) ? "false" : "true");
		else if (kind == 1)
			add("{\"model\":\"m\",\"created_at\":\"%s\",\"message\":{\"thinking\":\"%s\"},\"done\":false}",
			    name(), word());
		else
			add("{\"model\":\"m\",\"created_at\":\"%s\",\"message\":{\"role\":\"assistant\",\"content\":\"%"
			    "s\"},"
			    "\"done\":false,\"eval_count\":%s}",
			    name(), word(), number());
		break;
	case API_NAMES:
		add("{\"id\":\"%s\",\"object\":\"%s\",\"model\":\"%s\",\"system_fingerprint\":\"%s\",\"choices\":[{"
		    "\"index\":%zu,"
		    "\"delta\":{\"role\":\"%s\",\"content\":\"%s\"}}]}",
		    pick(6) ? "x" : name(), pick(3) ? "chunk" : name(), pick(9) ? "m" : name(), pick(9) ? "f" : name(),
		    i, pick(2) ? "assistant" : name(), word());
		break;
	case API_RESPONSES:
		if (kind > 2)
			add("{\"type\":\"response.output_text.delta\",\"sequence_number\":%s,\"item_id\":\"%s\","
			    "\"output_index\":%zu,"
			    "\"content_index\":0,\"delta\":\"%s\",\"logprobs\":[]}",
			    number(), pick(9) ? "i" : name(), i, word());
		else if (kind == 0)
			add("{\"type\":\"response.output_text.done\",\"output_index\":%zu,\"content_index\":0,\"text\":"
			    "\"%s\"}",
			    i, word());
		else
			add("{\"type\":\"response.output_text.delta\",\"output_index\":%zu,\"content_index\":0,"
			    "\"delta\":"
			    "\"%s\"}",
			    i, word());
		break;
	default:
		add("{\"u\":\"%s\"}", word());
	}
}

static void write_answer(enum api api)
{
	static const char *const breaks[] = { "\n", "\r\n", "\r" };
	const char *line = breaks[pick(8) ? 0 : pick(3)];
	size_t events = pick(40) + 1, often = pick(12) + 1;
	bool chunked = pick(2), named = pick(2);

	len = 0;
	if (api == API_OLLAMA) {
		add("HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n");
		for (size_t i = 0; i < events; i++) {
			message(api, pick(often) ? 9 : pick(5));
			add("%s", pick(6) ? "\n" : pick(3) ? "\r\n" : " ");
		}
		return;
	}
	add("%s", chunked ? CHUNKED : STREAM);
	for (size_t i = 0; i < events; i++) {
		size_t at = len, size;

		if (chunked)
			add("00000\r\n");
		if (!i && !pick(8))
			add("\xef\xbb\xbf");
		if (!pick(20))
			line = breaks[pick(3)];
		if (!pick(16))
			add(": ping %s%s%s", word(), line, pick(2) ? line : "");
		if (named)
			add("event: content%s", line);
		add("data: ");
		message(api, pick(often) ? 9 : pick(5));
		if (!pick(24))
			add("%sdata: %s", line, pick(2) ? "" : " ");
		if (!pick(24))
			add("%sid: %zu", line, i);
		add("%s%s", line, line);
		if (!chunked)
			continue;
		size = len - at - 7;
		answer[at + snprintf(answer + at, 6, "%05zx", size)] = '\r';
		add("\r\n");
	}
	if (chunked)
		add("0\r\n\r\n");
}

/* In pieces of `most` bytes at most, of random lengths; 0: whole; 1: of a byte. */
static void run_pieces(struct result *r, enum api api, size_t most, const struct exchange_limits *limits)
{
	struct talk *t = &r->talk;

	talk_begin(t, rules, limits, slice_str(requests[api]));
	for (size_t at = 0, n; at < len; at += n) {
		n = most ? pick(most) + 1 : len;
		n = n < len - at ? n : len - at;
		talk_feed(t, slice_of((uint8_t *)answer + at, n), false);
	}
	talk_feed(t, SLICE(""), true);
	talk_conclude(t);
	log_report(r, t->x);
	talk_end(t);
}

TEST(template, the_short_way_comes_to_the_same)
{
	size_t blocked = 0, masked = 0, cleared = 0, refused = 0;

	for (uint64_t round = 1; round <= ROUNDS; round++) {
		static const size_t pieces[] = { 1, 400, 150, 60 };
		enum api api = (enum api)(round % API_COUNT);
		struct exchange_limits limits = {}, *some = NULL;

		seed = round * 0x9e3779b97f4a7c15u;
		write_answer(api);
		if (!pick(8)) {
			limits.event_max = pick(800) + 60;
			some = &limits;
		}
		run_pieces(&first, api, 0, some);
		for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
			run_pieces(&next, api, pieces[i], some);
			cr_assert_str_eq(next.log, first.log, "round %lu, pieces of %zu\n%s\nwhole\n%s\nin pieces\n%s",
			                 round, pieces[i], answer, first.log, next.log);
			cr_assert(next.talk.len == first.talk.len &&
			                  !memcmp(next.talk.out, first.talk.out, next.talk.len),
			          "round %lu, pieces of %zu\n%s\nwhole\n%.*s\nin pieces\n%.*s", round, pieces[i],
			          answer, (int)first.talk.len, first.talk.out, (int)next.talk.len, next.talk.out);
		}
		blocked += begins(BLOCKED);
		masked += begins(REDACTED);
		cleared += begins("cleared");
		refused += begins("exception");
	}
	cr_assert(blocked > ROUNDS / 16 && masked > ROUNDS / 64 && cleared > ROUNDS / 16, "%zu %zu %zu, %zu refused",
	          blocked, masked, cleared, refused);
}

/* Where rules ask for words alone, pieces are read in a shorter way than beside a rule that asks for more. */
TEST(template, words_alone_come_to_the_same)
{
#define WORDS                                                                                                          \
	"pack: t\nversion: \"1\"\nrules:\n"                                                                            \
	"  - {id: t.block, risk: A.1.d, action: block, keywords: [purple llama, 毒气]}\n"                            \
	"  - {id: t.later, risk: A.1.d, action: block, services: [there], keywords: [so on]}\n"                        \
	"  - {id: t.flag, risk: A.4.a, action: flag, keywords: [gently, lamp, 甲]}\n"
	static const struct exchange_limits limits = { .service = "here" };
	struct ruleset *all = rules, *words_only = talk_rules(WORDS);
	struct ruleset *more =
		talk_rules(WORDS "  - {id: t.never, risk: A.4.f, action: shadow, pattern: '[a-z]{9}#{9}'}\n");
	size_t blocked = 0, flagged = 0;

	cr_assert(words_only && more);
	for (uint64_t round = 1; round <= ROUNDS / 8; round++) {
		enum api api = (enum api)(round % API_COUNT);

		seed = round * 0x9e3779b97f4a7c15u;
		write_answer(api);
		rules = more;
		run_pieces(&first, api, 0, &limits);
		for (size_t most = 0; most <= 90; most = 3 * most + 1) {
			rules = words_only;
			run_pieces(&next, api, most, &limits);
			cr_assert_str_eq(next.log, first.log, "round %lu, pieces of %zu\n%s\n%s\nwords alone\n%s",
			                 round, most, answer, first.log, next.log);
			cr_assert(next.talk.len == first.talk.len &&
			          !memcmp(next.talk.out, first.talk.out, next.talk.len));
		}
		blocked += begins(BLOCKED);
		flagged += begins("flagged");
	}
	rules = all;
	ruleset_put(&words_only);
	ruleset_put(&more);
	cr_assert(blocked > ROUNDS / 512 && flagged > ROUNDS / 512, "%zu %zu", blocked, flagged);
}

TEST(template, whatever_ends_the_lines)
{
	EXPECT_CUT(CHAT,
	           STREAM "data: {\"choices\":[{\"delta\":{\"content\":\"a \"}}]}\r\n\r\n"
	                  "data: {\"choices\":[{\"delta\":{\"content\":\"b \"}}]}\r\n\r\n"
	                  "data: {\"choices\":[{\"delta\":{\"content\":\"purple \"}}]}\r\n\r\n"
	                  "data: {\"choices\":[{\"delta\":{\"content\":\"llama \"}}]}\r\n\r\n",
	           BLOCKED,
	           STREAM "data: {\"choices\":[{\"delta\":{\"content\":\"a \"}}]}\r\n\r\n"
	                  "data: {\"choices\":[{\"delta\":{\"content\":\"b \"}}]}\r\n\r\n",
	           FILTERED(0) DONE);
	EXPECT_MASKED(CHAT, STREAM SAY(0, "gently ") SAY(0, "gently ") SAY(0, "a") SAY(0, "b") SAY(0, "c"),
	              STREAM SAY(0, "gently ") SAY(0, "gently ") SAY(0, "*") SAY(0, "*") SAY(0, "*"));
	cr_expect(says("t.flag content 0"));
}
