/* SPDX-License-Identifier: Apache-2.0 */
/* discover_probe.c - how an inference server is told by its answers. Nothing of them is ever printed. */
#include "cli/discover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/own.h"

#define ANSWER_MAX 65536

/* The first row that fits counts. An answer fits when its status is 200 and it holds every text given, spaces left out.
 */
static const struct tell {
	const char *path, *has, *and_has;
	const char *api, *kind;
} tells[] = {
	{ "/v1/models", "\"owned_by\":\"vllm\"", NULL, "OpenAI", "vLLM" },
	{ "/v1/models", "\"owned_by\":\"sglang\"", NULL, "OpenAI", "SGLang" },
	{ "/v1/models", "\"owned_by\":\"llamacpp\"", NULL, "OpenAI", "llama.cpp" },
	{ "/v1/models", "\"owned_by\":\"library\"", "\"object\":\"list\"", "OpenAI", "Ollama" },
	{ "/v1/models", "\"object\":\"list\"", "\"data\":", "OpenAI", NULL },
	{ "/api/tags", "{\"models\":", NULL, "Ollama", "Ollama" },
	{ "/v2", "\"name\":\"triton\"", NULL, "KServe v2", "Triton" },
	{ "/v2", "\"extensions\":[", "\"version\":", "KServe v2", NULL },
	{ "/v2/health/ready", "", NULL, "KServe v2", NULL },
	{ "/info", "\"model_id\":", "\"max_concurrent_requests\":", "TGI", "TGI" },
	{ "/props", "\"default_generation_settings\":", NULL, "llama.cpp", "llama.cpp" },
	{ "/get_model_info", "\"model_path\":", "\"is_generation\":", "SGLang", "SGLang" },
};

const char *discover_path(size_t index)
{
	for (size_t i = 0; i < ARRAY_LEN(tells); i++)
		if ((!i || strcmp(tells[i].path, tells[i - 1].path)) && !index--)
			return tells[i].path;
	return NULL;
}

/* Whether `text` is in there, with JSON's white space left out of the answer. */
static bool holds(struct slice in, const char *text)
{
	for (size_t from = 0; from < in.len; from++) {
		size_t at = from, k = 0;

		while (text[k] && at < in.len) {
			if (in.at[at] == (uint8_t)text[k])
				k++;
			else if (!k || !strchr(" \t\r\n", in.at[at]) || !in.at[at])
				break;
			at++;
		}
		if (!text[k])
			return true;
	}
	return !*text;
}

bool discover_answer(const char *path, struct slice answer, const char **api, const char **kind)
{
	static const char ok[] = " 200";

	if (answer.len < 12 || memcmp(answer.at, "HTTP/1.", 7) || memcmp(answer.at + 8, ok, sizeof(ok) - 1))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(tells); i++) {
		const struct tell *t = &tells[i];
		const uint8_t *body;

		if (strcmp(t->path, path))
			continue;
		body = memmem(answer.at, answer.len, "\r\n\r\n", 4);
		if (!body)
			return false;
		body += 4;
		/* Where the status alone tells, a page with words is some web server's way to say yes to everything. */
		if (!*t->has ? body == answer.at + answer.len
		             : holds(slice_of(body, (size_t)(answer.at + answer.len - body)), t->has) &&
		                       (!t->and_has ||
		                        holds(slice_of(body, (size_t)(answer.at + answer.len - body)), t->and_has))) {
			*api = t->api;
			*kind = t->kind;
			return true;
		}
	}
	return false;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool wait_for(int fd, short events, int64_t until)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = until - now_ms();

	return left > 0 && poll(&p, 1, (int)left) == 1;
}

/* Connects on loopback; -1 where the listener cannot be reached that way. */
static int dial(const struct listener *l, int64_t until)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(l->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
		                   .sin6_port = htons(l->port),
		                   .sin6_addr = in6addr_loopback };
	bool is_v4 = IN6_IS_ADDR_V4MAPPED(&l->ip);
	struct sockaddr *to = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	owned(own_close) int fd = -1;
	int err = 0;
	socklen_t len = sizeof(err);

	if (is_v4) {
		memcpy(&v4.sin_addr, &l->ip.s6_addr[12], 4);
		if (v4.sin_addr.s_addr == htonl(INADDR_ANY))
			v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		if (ntohl(v4.sin_addr.s_addr) >> 24 != 127)
			return -1;
	} else if (!IN6_IS_ADDR_UNSPECIFIED(&l->ip) && !IN6_IS_ADDR_LOOPBACK(&l->ip)) {
		return -1;
	}
	fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, to, is_v4 ? sizeof(v4) : sizeof(v6)) &&
	    (errno != EINPROGRESS || !wait_for(fd, POLLOUT, until) ||
	     getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) || err))
		return -1;
	return TAKE_FD(fd);
}

/* False: nobody there who speaks HTTP. */
static bool ask(const struct listener *l, const char *path, int timeout_ms, uint8_t *answer, size_t *len)
{
	int64_t until = now_ms() + timeout_ms;
	owned(own_close) int fd = dial(l, until);
	char request[256];
	int n = snprintf(request, sizeof(request),
	                 "GET %s HTTP/1.1\r\nHost: localhost:%u\r\nUser-Agent: sluicectl discover\r\n"
	                 "Accept: application/json\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n",
	                 path, l->port);

	*len = 0;
	if (fd < 0 || send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		return false;
	while (*len < ANSWER_MAX && wait_for(fd, POLLIN, until)) {
		ssize_t got = recv(fd, answer + *len, ANSWER_MAX - *len, 0);

		if (got <= 0)
			break;
		*len += (size_t)got;
		if (memcmp(answer, "HTTP/1.", *len < 7 ? *len : 7))
			return false;
	}
	return *len >= 7;
}

void discover_probe(struct listener *l, int timeout_ms)
{
	uint8_t answer[ANSWER_MAX];
	const char *path;

	for (size_t i = 0; (path = discover_path(i)) != NULL; i++) {
		const char *api, *kind;
		size_t len;

		if (!ask(l, path, timeout_ms, answer, &len))
			return;
		if (!discover_answer(path, slice_of(answer, len), &api, &kind))
			continue;
		l->api = api;
		l->asked = path;
		l->kind = kind ? kind : l->kind;
		return;
	}
}
