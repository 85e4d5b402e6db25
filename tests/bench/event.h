/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.h - the answers that fastserver writes and loadgen expects, byte for byte.
 *
 * An event carries the monotonic time at which the server wrote it, in nanoseconds and always sixteen digits, so that
 * the way to the client is measured, not only the gap between two arrivals. Both run on one host.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define EVENT_MAX   16384
#define TIME_DIGITS 16
#define EVENT_HEAD                                                                                                     \
	"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,"                \
	"\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\""
#define EVENT_TIME "\"},\"finish_reason\":null}],\"t\":1"
#define EVENT_TAIL "}\n\n"
#define EVENT_STOP                                                                                                     \
	"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,"                \
	"\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define EVENT_DONE "data: [DONE]\n\n"
#define JSON_HEAD                                                                                                      \
	"{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1764000000,\"model\":\"bench\","        \
	"\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\""
#define JSON_TAIL "\"},\"finish_reason\":\"stop\"}]}"

/* Forbidden by the policies of tests and bench, in two parts: an event each. */
#define PLANT_BEGIN " FORBIDDEN-PHR"
#define PLANT_END   "ASE-ALPHA and so on"

/* Harmless text, no character of which needs an escape; answers say it round and round. */
static const char bench_text[] =
	" The river runs past the old mill and under a stone bridge where children fish in summer."
	" 今天的天气很好，我们去公园散步，然后在湖边喝茶。"
	" A model answers one token at a time; each of them is a few letters or a short word."
	" Später gehen wir über die Brücke ins Café und lesen die Zeitung von gestern."
	" 请把这段文字翻译成英文，并说明每一步的理由。 Numbers such as 42 and 1999 are fine as well.";

static inline uint64_t bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Writes up to `size` bytes of the text from *at on, whole characters only; at least one. Returns the bytes written. */
static inline size_t bench_words(char *to, size_t size, size_t *at)
{
	size_t n = 0, len = sizeof(bench_text) - 1;

	for (;;) {
		unsigned char c = (unsigned char)bench_text[*at];
		size_t k = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;

		if (n && n + k > size)
			return n;
		memcpy(to + n, bench_text + *at, k);
		n += k;
		*at = (*at + k) % len;
	}
}

static inline size_t bench_put(char *to, const char *text, size_t len)
{
	memcpy(to, text, len);
	return len;
}

/* Ends an event whose content stands in `to` up to `n`. Returns its length. */
static inline size_t bench_event_end(char *to, size_t n, uint64_t t)
{
	n += bench_put(to + n, EVENT_TIME, sizeof(EVENT_TIME) - 1);
	for (int i = TIME_DIGITS - 1; i >= 0; i--, t /= 10)
		to[n + (size_t)i] = (char)('0' + t % 10);
	n += TIME_DIGITS;
	return n + bench_put(to + n, EVENT_TAIL, sizeof(EVENT_TAIL) - 1);
}

/* One event of `size` bytes of content, written at time `t`. Moves *at on. Returns its length. */
static inline size_t bench_event(char *to, size_t size, size_t *at, uint64_t t)
{
	size_t n = bench_put(to, EVENT_HEAD, sizeof(EVENT_HEAD) - 1);

	return bench_event_end(to, n + bench_words(to + n, size, at), t);
}

/* The same with words of the caller's. */
static inline size_t bench_words_event(char *to, const char *words, uint64_t t)
{
	size_t n = bench_put(to, EVENT_HEAD, sizeof(EVENT_HEAD) - 1);

	return bench_event_end(to, n + bench_put(to + n, words, strlen(words)), t);
}

/* The time in an event, 0 if it is not one of ours. */
static inline uint64_t bench_event_time(const char *event, size_t len)
{
	uint64_t t = 0;
	const char *digits;

	if (len < sizeof(EVENT_HEAD EVENT_TIME EVENT_TAIL) + TIME_DIGITS)
		return 0;
	digits = event + len - (sizeof(EVENT_TAIL) - 1) - TIME_DIGITS;
	for (int i = 0; i < TIME_DIGITS; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return 0;
		t = t * 10 + (uint64_t)(digits[i] - '0');
	}
	return t;
}

/* Room that bench_json() may need for `size` bytes of content. */
static inline size_t bench_json_room(size_t size)
{
	return sizeof(JSON_HEAD) + sizeof(JSON_TAIL) + size + 8;
}

/* An answer that is not streamed, `size` bytes of content. Returns its length. */
static inline size_t bench_json(char *to, size_t size)
{
	size_t at = 0, n = bench_put(to, JSON_HEAD, sizeof(JSON_HEAD) - 1);

	n += bench_words(to + n, size, &at);
	return n + bench_put(to + n, JSON_TAIL, sizeof(JSON_TAIL) - 1);
}
