/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_upgrade_test.c - what requests offer that could not be read, and connections that may leave HTTP. */
#include "tests/lib/test.h"

#include "tests/lib/talk.h"

static struct ruleset *rules;
static struct talk t;

static void setup(void)
{
	rules = talk_rules(TALK_PACK);
	cr_assert_not_null(rules);
}

static void teardown(void)
{
	ruleset_put(&rules);
}

TestSuite(upgrade, .init = setup, .fini = teardown);

#define SOCKET                                                                                                         \
	"GET /v1/realtime HTTP/1.1\r\nhost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "     \
	"x\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
#define FRAME  "\x81\x05hello"

/* What the server gets of a request that comes in two pieces; "!NAME" of the exception if it gets nothing. */
static const char *server_gets(const char *request, size_t cut, bool pass)
{
	static char got[4096];
	struct exchange_limits limits = { .upgrade_pass = pass };
	enum order order;

	t.up = LANE(1u << 20);
	cr_assert_eq(exchange_new(&t.x, rules, &limits), 0);
	cr_assert_eq(buf_add(&t.up.buf, slice_of(request, cut)), 0);
	order = exchange_request(t.x, &t.up, false);
	if (order != ORDER_CUT) {
		cr_assert_eq(buf_add(&t.up.buf, slice_str(request + cut)), 0);
		order = exchange_request(t.x, &t.up, false);
	}
	if (order == ORDER_CUT)
		snprintf(got, sizeof(got), "!%s", exception_table[exchange_report(t.x)->exception].name);
	else
		snprintf(got, sizeof(got), "%.*s", SLICE_ARG(lane_sendable(&t.up)));
	exchange_free(&t.x);
	lane_free(&t.up);
	return got;
}

static const struct {
	const char *request, *server;
} offers[] = {
	/* HTTP/2: Java's client offers it with every request, curl with --http2 */
	{ "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: a\r\nHTTP2-Settings: "
	  "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
	  "Upgrade: h2c\r\nUser-Agent: Java\r\n\r\n",
	  "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: Java\r\n\r\n" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, close, HTTP2-Settings\r\nHTTP2-Settings: "
	  "AA\r\n\r\n",
	  "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" },
	{ "POST / HTTP/1.1\r\nHost: a\r\nconnection: http2-settings , keep-alive,,upgrade , te\r\nupgrade: "
	  "H2C\r\ncontent-length: 2\r\n\r\n{}",
	  "POST / HTTP/1.1\r\nHost: a\r\nconnection: keep-alive, te\r\ncontent-length: 2\r\n\r\n{}" },
	{ "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nAccept-Encoding: gzip, br\r\nHost: "
	  "a\r\nConnection: HTTP2-Settings\r\n\r\n",
	  "GET / HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: a\r\n\r\n" },
	/* encodings */
	{ "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\naccept-encoding:\r\nX: y\r\n\r\n",
	  "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\naccept-encoding:identity\r\nX: y\r\n\r\n" },
	/* other protocols */
	{ SOCKET, "!upgrade" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n", "!upgrade" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n\r\n",
	  "!upgrade" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n", "!upgrade" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: TLS/1.0\r\n\r\n", "!upgrade" },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!http2" },
	{ "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "!connect" },
};

TEST(upgrade, offers_do_not_reach_the_server)
{
	for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++)
		for (size_t cut = 0; cut <= strlen(offers[i].request); cut++)
			cr_assert_str_eq(server_gets(offers[i].request, cut, false), offers[i].server,
			                 "offer %zu cut at %zu", i, cut);
}

TEST(upgrade, only_a_websocket_may_pass)
{
	cr_expect_str_eq(server_gets(SOCKET, 0, true), SOCKET);
	for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++)
		if (strcmp(offers[i].request, SOCKET) != 0)
			cr_expect_str_eq(server_gets(offers[i].request, 0, true), offers[i].server, "offer %zu", i);
	cr_expect_str_eq(server_gets("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "
	                             "websocket\r\ncontent-length: 2\r\n\r\n{}",
	                             0, true),
	                 "!upgrade");
	cr_expect_str_eq(
		server_gets("GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 0, true),
		"!upgrade");
}

/* The head of the 101 goes out, what is behind it is not read; and only where it was asked for. */
TEST(upgrade, what_follows_a_101_is_no_answer)
{
	static const struct exchange_limits pass = { .upgrade_pass = true };
	static const char answer[] = SWITCH FRAME;

	for (size_t cut = 0; cut < sizeof(answer); cut++) {
		talk_begin(&t, rules, &pass, SLICE(SOCKET));
		talk_feed(&t, slice_of(answer, cut), false);
		if (cut < sizeof(SWITCH) - 1)
			cr_assert_eq(t.order, ORDER_PUMP);
		talk_feed(&t, slice_of(answer + cut, sizeof(answer) - 1 - cut), false);
		cr_assert_eq(t.order, ORDER_PASS, "cut at %zu", cut);
		cr_assert_eq(t.len, sizeof(SWITCH) - 1);
		cr_assert(exchange_report(t.x)->passed && exchange_asked(t.x) && exchange_answered(t.x));
		cr_assert(coverage_holds(&exchange_report(t.x)->coverage));
		talk_end(&t);
	}
	/* The server says no, or yes to something else. */
	talk_begin(&t, rules, &pass, SLICE(SOCKET));
	talk_feed(&t, SLICE("HTTP/1.1 426 No\r\ncontent-length: 0\r\n\r\n"), false);
	cr_expect_eq(t.order, ORDER_DONE);
	talk_end(&t);
	talk_begin(&t, rules, &pass, SLICE(SOCKET));
	talk_feed(&t, SLICE("HTTP/1.1 101 Yes\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"), false);
	cr_expect(t.order == ORDER_CUT && exchange_report(t.x)->exception == EXCEPTION_UPGRADE);
	talk_end(&t);
	talk_begin(&t, rules, &pass, SLICE("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
	talk_feed(&t, SLICE(SWITCH), false);
	cr_expect(t.order == ORDER_CUT && exchange_report(t.x)->exception == EXCEPTION_UPGRADE);
	talk_end(&t);
	/* Words in its head are read as in any other. */
	talk_begin(&t, rules, &pass, SLICE(SOCKET));
	talk_feed(&t, SLICE("HTTP/1.1 101 FORBIDDEN-ALPHA\r\nupgrade: websocket\r\n\r\n"), false);
	cr_expect(t.order == ORDER_CUT && exchange_report(t.x)->verdict == VERDICT_BLOCKED);
	talk_end(&t);
}
