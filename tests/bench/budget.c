/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget.c - fixed answers through an exchange, for callgrind to count the instructions of each.
 *
 *   budget [--list] [--policy FOLDER] [CASE...]
 *
 * A case is an answer as a server would write it, in the pieces in which it would come, with 10,000 keywords that its
 * text begins to match as text does in life. It is read once uncounted, so that what is made once is made, and then
 * counted. Under callgrind (--instr-atstart=no) each case leaves a dump of its name; scripts/budget divides its
 * instructions by what is printed here: name, number of units, unit. By itself it says how long each took.
 */
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#endif

#include "base/own.h"
#include "exchange/exchange.h"
#include "event.h"
#include "tests/lib/classifier_craft.h"

#define KEYWORDS 10000
#define EVENTS   1000
#define BODY     1000000

#define ASK(path) "POST " path " HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
#define EVENT_STREAM                                                                                                   \
	"HTTP/1.1 200 OK\r\ndate: Sun, 22 Nov 2026 06:00:00 GMT\r\nserver: uvicorn\r\n"                                \
	"content-type: text/event-stream; charset=utf-8\r\n%stransfer-encoding: chunked\r\n\r\n"

/* An answer, and how it comes: piece i ends at ends[i]. */
struct answer {
	struct buf bytes;
	size_t *ends;
	size_t count, room;
};

static void die(const char *why)
{
	fprintf(stderr, "budget: %s\n", why);
	exit(2);
}

static void end_piece(struct answer *a)
{
	if (a->count == a->room) {
		a->room = a->room ? 2 * a->room : 64;
		a->ends = realloc(a->ends, a->room * sizeof(*a->ends));
		if (!a->ends)
			die("out of memory");
	}
	a->ends[a->count++] = buf_len(&a->bytes);
}

static void put(struct answer *a, struct slice bytes)
{
	if (buf_add(&a->bytes, bytes))
		die("out of memory");
}

static void put_chunk(struct answer *a, struct slice data)
{
	char size[24];
	int n = snprintf(size, sizeof(size), "%zx\r\n", data.len);

	put(a, slice_of(size, (size_t)n));
	put(a, data);
	put(a, SLICE("\r\n"));
}

/* ---- the answers ---- */

/* The message of event i, with `words`; returns its length. */
typedef int message(char *to, size_t room, size_t i, const char *words);

static int chat(char *to, size_t room, size_t i, const char *words)
{
	(void)i;
	return snprintf(to, room,
	                "data: {\"id\":\"chatcmpl-7f3a21b09c6e4d58\",\"object\":\"chat.completion.chunk\","
	                "\"created\":1795327200,\"model\":\"qwen3-32b\",\"choices\":[{\"index\":0,\"delta\":"
	                "{\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
	                words);
}

static int chat_two(char *to, size_t room, size_t i, const char *words)
{
	return snprintf(to, room,
	                "data: {\"id\":\"chatcmpl-7f3a21b09c6e4d58\",\"object\":\"chat.completion.chunk\","
	                "\"created\":1795327200,\"model\":\"qwen3-32b\",\"choices\":[{\"index\":%zu,\"delta\":"
	                "{\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
	                i % 2, words);
}

/* As llama.cpp says it with timings: a number behind the words that is another each time. */
static int chat_number(char *to, size_t room, size_t i, const char *words)
{
	return snprintf(to, room,
	                "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"%s\"}}],"
	                "\"created\":1795327200,\"id\":\"chatcmpl-7f3a21b0\",\"model\":\"qwen3-32b\","
	                "\"object\":\"chat.completion.chunk\",\"timings\":{\"predicted_n\":%zu,"
	                "\"predicted_ms\":%zu.%03zu}}\n\n",
	                words, i, i * 31, i * 7 % 1000);
}

static int responses(char *to, size_t room, size_t i, const char *words)
{
	return snprintf(to, room,
	                "event: response.output_text.delta\n"
	                "data: {\"type\":\"response.output_text.delta\",\"sequence_number\":%zu,\"item_id\":"
	                "\"msg_68e1b2c3d4f5\",\"output_index\":0,\"content_index\":0,\"delta\":\"%s\","
	                "\"logprobs\":[]}\n\n",
	                i + 4, words);
}

static int anthropic(char *to, size_t room, size_t i, const char *words)
{
	(void)i;
	return snprintf(to, room,
	                "event: content_block_delta\n"
	                "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
	                "\"text\":\"%s\"}}\n\n",
	                words);
}

static int ollama(char *to, size_t room, size_t i, const char *words)
{
	return snprintf(to, room,
	                "{\"model\":\"qwen3:8b\",\"created_at\":\"2026-11-22T06:%02zu:%02zu.%06zuZ\",\"message\":"
	                "{\"role\":\"assistant\",\"content\":\"%s\"},\"done\":false}\n",
	                i / 3000, i / 50 % 60, i * 7919 % 1000000, words);
}

/* Deflates to the end of a block (RFC 1951 3.2.4), as servers do for each event. */
static size_t deflated(z_stream *z, const char *data, size_t len, uint8_t *to, size_t room)
{
	z->next_in = (Bytef *)(uintptr_t)data;
	z->avail_in = (uInt)len;
	z->next_out = to;
	z->avail_out = (uInt)room;
	if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in)
		die("zlib");
	return room - z->avail_out;
}

/* A stream of events of 12 bytes of words. A piece is an event, or with `bulk` 64 KiB. */
static void stream(struct answer *a, message *say, const char *type, bool gzip, bool bulk)
{
	char head[512], event[1024], words[64];
	uint8_t packed[2048];
	size_t at = 0;
	z_stream z = {};
	int n = snprintf(head, sizeof(head), EVENT_STREAM, gzip ? "content-encoding: gzip\r\n" : "");

	if (type)
		n = snprintf(head, sizeof(head),
		             "HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n", type);
	if (gzip && deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY))
		die("zlib");
	put(a, slice_of(head, (size_t)n));
	end_piece(a);
	for (size_t i = 0; i < EVENTS; i++) {
		words[bench_words(words, 12, &at)] = '\0';
		n = say(event, sizeof(event), i, words);
		if (gzip)
			put_chunk(a, slice_of(packed, deflated(&z, event, (size_t)n, packed, sizeof(packed))));
		else
			put_chunk(a, slice_of(event, (size_t)n));
		if (!bulk || buf_len(&a->bytes) - a->ends[a->count - 1] > 65536)
			end_piece(a);
	}
	if (gzip)
		deflateEnd(&z);
	end_piece(a);
}

static void whole(struct answer *a, size_t size)
{
	char *body = malloc(bench_json_room(size)), head[128];
	size_t len;
	int n;

	if (!body)
		die("out of memory");
	len = bench_json(body, size);
	n = snprintf(head, sizeof(head),
	             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n", len);
	put(a, slice_of(head, (size_t)n));
	for (size_t i = 0; i < len; i += 65536) {
		put(a, slice_of(body + i, len - i < 65536 ? len - i : 65536));
		end_piece(a);
	}
	free(body);
}

static void text_of(struct answer *a, const char *text, size_t size)
{
	while (buf_len(&a->bytes) + strlen(text) <= size)
		put(a, slice_str(text));
	end_piece(a);
}

/* ---- the cases ---- */

static void make_chat(struct answer *a)
{
	stream(a, chat, NULL, false, false);
}

static void make_chat_bulk(struct answer *a)
{
	stream(a, chat, NULL, false, true);
}

static void make_chat_two(struct answer *a)
{
	stream(a, chat_two, NULL, false, false);
}

static void make_chat_number(struct answer *a)
{
	stream(a, chat_number, NULL, false, false);
}

static void make_chat_gzip(struct answer *a)
{
	stream(a, chat, NULL, true, false);
}

static void make_responses(struct answer *a)
{
	stream(a, responses, NULL, false, false);
}

static void make_anthropic(struct answer *a)
{
	stream(a, anthropic, NULL, false, false);
}

static void make_ollama(struct answer *a)
{
	stream(a, ollama, "application/x-ndjson", false, false);
}

static void make_small(struct answer *a)
{
	whole(a, 300);
}

static void make_big(struct answer *a)
{
	whole(a, BODY);
}

static void make_zh(struct answer *a)
{
	text_of(a, "今天的天气很好，我们去公园散步，然后在湖边喝茶。请把这段文字翻译成英文，并说明每一步的理由。",
	        BODY);
}

static void make_en(struct answer *a)
{
	text_of(a,
	        "The river runs past the old mill and under a stone bridge where children fish in summer. A model "
	        "answers one token at a time; each of them is a few letters or a short word. ",
	        BODY);
}

#define CHAT_ASK ASK("/v1/chat/completions")

static const struct budget_case {
	const char *name, *request; /* NULL: text for the scanner */
	void (*make)(struct answer *a);
	const char *unit;
	bool recognisers, judge; /* beside the keywords */
} cases[] = {
	{ "chat", CHAT_ASK, make_chat, "event", false, false },
	{ "chat, recognisers", CHAT_ASK, make_chat, "event", true, false },
	{ "chat, judge", CHAT_ASK, make_chat, "event", false, true },
	{ "chat, recognisers, judge", CHAT_ASK, make_chat, "event", true, true },
	{ "chat, 64 KiB a read", CHAT_ASK, make_chat_bulk, "event", false, false },
	{ "chat, two choices", CHAT_ASK, make_chat_two, "event", false, false },
	{ "chat, a number changes", CHAT_ASK, make_chat_number, "event", false, false },
	{ "chat, gzip", CHAT_ASK, make_chat_gzip, "event", false, false },
	{ "responses", ASK("/v1/responses"), make_responses, "event", false, false },
	{ "anthropic", ASK("/v1/messages"), make_anthropic, "event", false, false },
	{ "ollama", ASK("/api/chat"), make_ollama, "event", false, false },
	{ "small JSON", CHAT_ASK, make_small, "exchange", false, false },
	{ "small JSON, recognisers", CHAT_ASK, make_small, "exchange", true, false },
	{ "1 MB JSON", CHAT_ASK, make_big, "MB", false, false },
	{ "1 MB JSON, recognisers", CHAT_ASK, make_big, "MB", true, false },
	{ "scan, Chinese", NULL, make_zh, "MB", false, false },
	{ "scan, English", NULL, make_en, "MB", false, false },
};

/* ---- the policy ---- */

static uint32_t rnd(uint32_t below)
{
	static uint64_t seed = 0x9e3779b97f4a7c15u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 32) * below >> 32);
}

static void put_word(FILE *to)
{
	static const char *const starts[] = { "的",   "我们", "今天", "天气",   "文字",  "每",
		                              "the ", "and ", "a ",   "model ", "stone " };

	if (!rnd(5))
		fputs(starts[rnd(ARRAY_LEN(starts))], to);
	if (rnd(5)) {
		for (uint32_t n = 2 + rnd(4); n; n--) {
			uint32_t c = 0x4e00 + rnd(20896);

			fprintf(to, "%c%c%c", (int)(0xe0 | c >> 12), (int)(0x80 | (c >> 6 & 0x3f)),
			        (int)(0x80 | (c & 0x3f)));
		}
	} else {
		for (uint32_t n = 7 + rnd(8); n; n--)
			fputc('a' + (int)rnd(26), to);
	}
	fputc('\n', to);
}

static void put_model(const char *path)
{
	size_t len;
	owned(own_free) uint8_t *model = craft_quiet(&len);
	FILE *file = fopen(path, "w");

	if (!file || fwrite(model, 1, len, file) != len || fclose(file))
		die("no temporary file");
}

/* Ten thousand keywords; where `more` is given, the packs of that folder beside them; and a judge that finds nothing.
 */
static struct ruleset *load(const char *more, bool judge)
{
	char dir[] = "/tmp/sluice-budget-XXXXXX", path[5][512];
	static const char *const packs[] = { "personal.yaml", "secrets.yaml" };
	struct policy_report report = {};
	struct ruleset *rules = NULL;
	FILE *file;

	if (!mkdtemp(dir))
		die("no temporary folder");
	snprintf(path[0], sizeof(path[0]), "%s/words.txt", dir);
	snprintf(path[1], sizeof(path[1]), "%s/words.yaml", dir);
	file = fopen(path[0], "w");
	if (!file)
		die("no temporary file");
	for (size_t i = 0; i < KEYWORDS; i++)
		put_word(file);
	fclose(file);
	file = fopen(path[1], "w");
	if (!file)
		die("no temporary file");
	fputs("pack: budget\nversion: \"1\"\nrules:\n  - {id: budget.words, risk: A.1.d, action: block, keywords_file: "
	      "words.txt}\n",
	      file);
	if (judge)
		fputs("  - {id: budget.judge, risk: local.aa, action: block, classifier: {model: quiet.model, "
		      "threshold: 0.999999, hold: none}}\n",
		      file);
	fclose(file);
	snprintf(path[4], sizeof(path[4]), "%s/quiet.model", dir);
	if (judge)
		put_model(path[4]);
	for (size_t i = 0; more && i < ARRAY_LEN(packs); i++) {
		char from[512];

		snprintf(from, sizeof(from), "%s/%s", more, packs[i]);
		snprintf(path[2 + i], sizeof(path[0]), "%s/%s", dir, packs[i]);
		if (symlink(from, path[2 + i]))
			die("no temporary file");
	}
	if (ruleset_load(&rules, dir, &report)) {
		fprintf(stderr, "budget: %zu mistakes in the policy\n", report.errors);
		exit(2);
	}
	policy_report_free(&report);
	for (size_t i = 0; i < (more ? 4 : 2); i++)
		unlink(path[i]);
	if (judge)
		unlink(path[4]);
	rmdir(dir);
	return rules;
}

/* ---- running ---- */

static void exchange_once(struct ruleset *rules, const char *request, const struct answer *a)
{
	static const struct exchange_limits limits = { .service = "budget" };
	struct lane up = LANE(65536), down = LANE(32u << 20);
	struct exchange *x = NULL;
	size_t at = 0;

	if (exchange_new(&x, rules, &limits) || buf_add(&up.buf, slice_str(request)))
		die("out of memory");
	exchange_request(x, &up, false);
	for (size_t i = 0; i < a->count; i++) {
		enum order order;

		if (buf_add(&down.buf, slice_of(buf_slice(&a->bytes).at + at, a->ends[i] - at)))
			die("out of memory");
		at = a->ends[i];
		order = exchange_answer(x, &down, false);
		if (order == ORDER_CUT)
			die("an answer was cut: what is counted is not what is meant");
		lane_sent(&down, down.cleared);
	}
	exchange_free(&x);
	lane_free(&up);
	lane_free(&down);
}

static void scan_once(struct ruleset *rules, const struct answer *a)
{
	const struct scanner *s = ruleset_scanner(rules);
	struct slice text = buf_slice(&a->bytes);
	struct scan_state state = {};
	struct scan_hit hits[64];

	while (text.len) {
		size_t used;

		if (scan_feed(s, &state, text, &used, hits, ARRAY_LEN(hits)))
			die("harmless text was hit");
		text = slice_from(text, used);
	}
}

static void once(const struct budget_case *c, struct ruleset *rules, const struct answer *a)
{
	if (c->request)
		exchange_once(rules, c->request, a);
	else
		scan_once(rules, a);
}

static void count(const struct budget_case *c, struct ruleset *rules)
{
	double units = !strcmp(c->unit, "event") ? EVENTS : 1;
	struct answer a = { .bytes = BUF(16u << 20) };
	struct timespec from, to;

	c->make(&a);
	if (!strcmp(c->unit, "MB"))
		units = (double)buf_len(&a.bytes) / 1e6;
	once(c, rules, &a);
	CALLGRIND_START_INSTRUMENTATION;
	CALLGRIND_ZERO_STATS;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	once(c, rules, &a);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	CALLGRIND_DUMP_STATS_AT(c->name);
	CALLGRIND_STOP_INSTRUMENTATION;
	printf("%s\t%.6f\t%s\t%.0f ns\n", c->name, units, c->unit,
	       ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / units);
	fflush(stdout);
	buf_free(&a.bytes);
	free(a.ends);
}

static bool wanted(const struct budget_case *c, char **names, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(names[i], c->name))
			return true;
	return !n;
}

/* What the numbers depend on beside the code. */
static void print_setting(void)
{
	struct utsname u;
	const char *wide = "";

	uname(&u);
#ifdef __x86_64__
	wide = __builtin_cpu_supports("avx2") ? "+avx2" : "";
#endif
	printf("setting\tgcc %d, glibc %s, zlib %s, %s%s\n", __GNUC__, gnu_get_libc_version(), zlibVersion(), u.machine,
	       wide);
}

int main(int argc, char **argv)
{
	const char *packs = NULL;
	struct ruleset *rules[2][2] = { { NULL } };
	int i = 1;

	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--list")) {
			for (size_t k = 0; k < ARRAY_LEN(cases); k++)
				puts(cases[k].name);
			return 0;
		}
		if (strcmp(argv[i], "--policy") || i + 1 == argc)
			die("usage: budget [--list] [--policy FOLDER] [CASE...]");
		packs = argv[++i];
	}
	print_setting();
	for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
		const struct budget_case *c = &cases[k];

		if (!wanted(c, argv + i, argc - i) || (c->recognisers && !packs))
			continue;
		if (!rules[c->recognisers][c->judge])
			rules[c->recognisers][c->judge] = load(c->recognisers ? packs : NULL, c->judge);
		count(c, rules[c->recognisers][c->judge]);
	}
	for (size_t k = 0; k < 4; k++)
		ruleset_put(&rules[k / 2][k % 2]);
	return 0;
}
