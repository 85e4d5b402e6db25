/* SPDX-License-Identifier: Apache-2.0 */
/* serve_test.c - the control socket and the metrics page, asked by friends and strangers. */
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/own.h"
#include "serve/serve.h"

struct ground {
	char dir[32], control[64], metrics[32];
	struct loop *loop;
	struct serve *serve;
	struct serve_sockets sockets;
	pthread_t thread;
	bool ill;
	size_t padding; /* bytes of the status' policy_error */
};

static void answer(void *arg, const ControlRequest *in, ControlReply *out)
{
	struct ground *g = arg;

	if (in->op_case == CONTROL_REQUEST__OP_RELOAD) {
		out->error = strdup("no");
		return;
	}
	out->status = malloc(sizeof(*out->status));
	*out->status = (StatusReply)STATUS_REPLY__INIT;
	out->status->ready = true;
	out->status->pid = 77;
	if (g->padding) {
		out->status->policy_error = malloc(g->padding + 1);
		memset(out->status->policy_error, 'x', g->padding);
		out->status->policy_error[g->padding] = '\0';
	}
}

static void metrics(void *arg, struct buf *out)
{
	(void)arg;
	buf_printf(out, "# HELP a_total b\n# TYPE a_total counter\na_total 1\n");
}

static bool healthy(void *arg, struct buf *out)
{
	struct ground *g = arg;

	buf_printf(out, g->ill ? "record: failed\n" : "ok\n");
	return !g->ill;
}

static void *runs(void *arg)
{
	loop_run(((struct ground *)arg)->loop);
	return NULL;
}

static uint16_t free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&a, len), 0);
	getsockname(fd, (struct sockaddr *)&a, &len);
	close(fd);
	return ntohs(a.sin_port);
}

static int ground_open(struct ground *g)
{
	struct serve_ops ops = { .arg = g, .answer = answer, .metrics = metrics, .healthy = healthy };
	int err;

	g->sockets = SERVE_SOCKETS;
	err = serve_listen(&g->sockets, g->control, g->metrics);
	err = err ? err : serve_open(&g->serve, g->loop, &g->sockets, &ops);
	if (err)
		serve_unlisten(&g->sockets);
	return err;
}

static void ground_make(struct ground *g)
{
	snprintf(g->dir, sizeof(g->dir), "/tmp/serve-XXXXXX");
	cr_assert_not_null(mkdtemp(g->dir));
	snprintf(g->control, sizeof(g->control), "%s/run/control.sock", g->dir);
	snprintf(g->metrics, sizeof(g->metrics), "127.0.0.1:%d", free_port());
	cr_assert_eq(loop_new(&g->loop), 0);
}

static void ground_start(struct ground *g)
{
	ground_make(g);
	cr_assert_eq(ground_open(g), 0);
	pthread_create(&g->thread, NULL, runs, g);
}

static void ground_remove(struct ground *g)
{
	char run[64];

	loop_free(&g->loop);
	snprintf(run, sizeof(run), "%s/run", g->dir);
	cr_expect_eq(access(g->control, F_OK), -1, "the socket is taken away");
	rmdir(run);
	cr_expect_eq(rmdir(g->dir), 0);
}

static void ground_stop(struct ground *g)
{
	loop_stop(g->loop);
	pthread_join(g->thread, NULL);
	serve_close(&g->serve);
	serve_unlisten(&g->sockets);
	ground_remove(g);
}

static int ask_status(const struct ground *g, ControlReply **reply)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	StatusRequest body = STATUS_REQUEST__INIT;

	request.op_case = CONTROL_REQUEST__OP_STATUS;
	request.status = &body;
	return serve_ask(reply, g->control, &request, 3000);
}

static int connect_control(const struct ground *g)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", g->control);
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static bool answers(const struct ground *g)
{
	ControlReply *reply = NULL;
	bool good = !ask_status(g, &reply) && reply->status && reply->status->pid == 77;

	if (reply)
		control_reply__free_unpacked(reply, NULL);
	return good;
}

/* Sends, closes its half if asked to, reads all that comes. */
static size_t talk(int fd, const void *bytes, size_t len, bool end, char *out, size_t room)
{
	size_t have = 0;
	ssize_t n;

	cr_expect_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
	if (end)
		shutdown(fd, SHUT_WR);
	while (have < room - 1 && (n = recv(fd, out + have, room - 1 - have, 0)) > 0)
		have += (size_t)n;
	out[have] = '\0';
	close(fd);
	return have;
}

TEST(serve, a_round_trip)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	ReloadRequest body = RELOAD_REQUEST__INIT;
	ControlReply *reply = NULL;
	struct ground g = {};
	struct stat st;

	ground_start(&g);
	cr_assert(answers(&g));
	cr_assert_eq(stat(g.control, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0660);
	request.op_case = CONTROL_REQUEST__OP_RELOAD;
	request.reload = &body;
	cr_assert_eq(serve_ask(&reply, g.control, &request, 3000), 0);
	cr_assert_str_eq(reply->error, "no");
	control_reply__free_unpacked(reply, NULL);
	ground_stop(&g);
}

TEST(serve, a_reply_larger_than_any_buffer)
{
	ControlReply *reply = NULL;
	struct ground g = { .padding = 3u << 20 };

	ground_start(&g);
	cr_assert_eq(ask_status(&g, &reply), 0);
	cr_assert_eq(strlen(reply->status->policy_error), g.padding);
	control_reply__free_unpacked(reply, NULL);
	ground_stop(&g);
}

TEST(serve, nonsense_is_hung_up_on)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "a huge length", "\xff\xff\xff\xff\x0f", 5 },
		{ "an endless length", "\xff\xff\xff\xff\xff\xff\xff", 7 },
		{ "a length over the limit", "\x81\x40", 2 },
		{ "a message that is none", "\x03\x07\xff\xff", 4 },
	};
	struct ground g = {};
	char out[256];

	ground_start(&g);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		cr_expect_eq(talk(connect_control(&g), rows[i].bytes, rows[i].len, false, out, sizeof(out)), 0, "%s",
		             rows[i].name);
	cr_expect_eq(talk(connect_control(&g), "\x0a", 1, true, out, sizeof(out)), 0, "half a request");
	cr_expect_eq(talk(connect_control(&g), "", 0, true, out, sizeof(out)), 0, "nothing");
	cr_expect_gt(talk(connect_control(&g), "\0", 1, false, out, sizeof(out)), 0, "an empty request is one");
	cr_assert(answers(&g));
	ground_stop(&g);
}

static void *asks(void *arg)
{
	size_t good = 0;

	for (int i = 0; i < 25; i++)
		good += answers(arg);
	return (void *)good;
}

TEST(serve, many_callers)
{
	pthread_t threads[8];
	int silent[80];
	struct ground g = {};

	ground_start(&g);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_create(&threads[i], NULL, asks, &g);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *good = NULL;

		pthread_join(threads[i], &good);
		cr_expect_eq((size_t)good, 25);
	}
	/* More silent ones than there is room for: those beyond are hung up on, and room comes back. */
	for (size_t i = 0; i < ARRAY_LEN(silent); i++)
		silent[i] = connect_control(&g);
	for (size_t i = 0; i < ARRAY_LEN(silent); i++)
		close(silent[i]);
	for (int i = 0; i < 100 && !answers(&g); i++)
		usleep(10000);
	cr_assert(answers(&g));
	ground_stop(&g);
}

static int connect_metrics(const struct ground *g)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_port = htons((uint16_t)strtol(strchr(g->metrics, ':') + 1, NULL, 10));
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

TEST(serve, metrics_are_a_page_of_http)
{
	static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
	static const char health[] = "GET /healthz HTTP/1.1\r\n\r\n", other[] = "GET /metricsx HTTP/1.1\r\n\r\n";
	static const char body[] = "# HELP a_total b\n# TYPE a_total counter\na_total 1\n";
	struct ground g = {};
	char out[2048], length[64], junk[20000];
	int fd;

	ground_start(&g);
	talk(connect_metrics(&g), ask, sizeof(ask) - 1, false, out, sizeof(out));
	snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", sizeof(body) - 1);
	cr_assert_eq(strncmp(out, "HTTP/1.1 200 OK\r\n", 17), 0);
	cr_assert_not_null(strstr(out, length));
	cr_assert_not_null(strstr(out, "text/plain; version=0.0.4"));
	cr_assert_str_eq(strstr(out, "\r\n\r\n") + 4, body);
	cr_expect_gt(talk(connect_metrics(&g), health, sizeof(health) - 1, false, out, sizeof(out)), 0);
	cr_expect_eq(strncmp(out, "HTTP/1.1 200 OK\r\n", 17), 0);
	cr_expect_str_eq(strstr(out, "\r\n\r\n") + 4, "ok\n");
	g.ill = true;
	cr_expect_gt(talk(connect_metrics(&g), health, sizeof(health) - 1, false, out, sizeof(out)), 0);
	cr_expect_eq(strncmp(out, "HTTP/1.1 503 Service Unavailable\r\n", 34), 0);
	cr_expect_not_null(strstr(out, "record: failed"));
	cr_expect_gt(talk(connect_metrics(&g), other, sizeof(other) - 1, false, out, sizeof(out)), 0);
	cr_expect_eq(strncmp(out, "HTTP/1.1 404 Not Found\r\n", 24), 0);
	cr_expect_eq(talk(connect_metrics(&g), "POST / HTTP/1.1\r\n\r\n", 19, false, out, sizeof(out)), 0);
	cr_expect_eq(talk(connect_metrics(&g), "GET / HTTP/1.1\r\n", 16, true, out, sizeof(out)), 0);
	memset(junk, 'a', sizeof(junk));
	fd = connect_metrics(&g);
	send(fd, junk, sizeof(junk), MSG_NOSIGNAL); /* it hangs up in the middle */
	cr_expect_leq(recv(fd, out, sizeof(out), 0), 0);
	close(fd);
	cr_assert(answers(&g));
	ground_stop(&g);
}

TEST(serve, a_socket_left_behind_is_replaced_a_live_one_is_not)
{
	struct ground g = {}, second = {};
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char run[64];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ground_make(&g);
	snprintf(run, sizeof(run), "%s/run", g.dir);
	cr_assert_eq(mkdir(run, 0755), 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", g.control);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd); /* as a daemon that was killed */
	cr_assert_eq(ground_open(&g), 0);
	pthread_create(&g.thread, NULL, runs, &g);
	cr_assert(answers(&g));

	memcpy(second.control, g.control, sizeof(g.control));
	snprintf(second.metrics, sizeof(second.metrics), "127.0.0.1:%d", free_port());
	cr_assert_eq(loop_new(&second.loop), 0);
	cr_assert_eq(ground_open(&second), -EADDRINUSE);
	cr_assert_null(second.serve);
	loop_free(&second.loop);
	cr_assert(answers(&g), "the first one lives on");
	ground_stop(&g);
}

TEST(serve, what_is_no_socket_is_left_alone)
{
	struct ground g = {};
	char run[64];
	struct stat st;
	int fd;

	ground_make(&g);
	snprintf(run, sizeof(run), "%s/run", g.dir);
	cr_assert_eq(mkdir(run, 0755), 0);
	fd = open(g.control, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert_eq(write(fd, "precious", 8), 8);
	close(fd);
	cr_assert_eq(ground_open(&g), -EADDRINUSE);
	cr_assert_eq(stat(g.control, &st), 0);
	cr_assert_eq(st.st_size, 8);
	unlink(g.control);
	ground_remove(&g);
}

TEST(serve, addresses_that_are_none)
{
	static const char *const wrong[] = {
		"",       "127.0.0.1", "127.0.0.1:",    "127.0.0.1:0", "127.0.0.1:65536", "localhost:1",
		"[::1:1", ":9477",     "127.0.0.1:80x", "[]:1"
	};
	struct ground g = { .sockets = SERVE_SOCKETS };
	char path[200], run[64];

	ground_make(&g);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		cr_expect_eq(serve_listen(&g.sockets, g.control, wrong[i]), -EINVAL, "%s", wrong[i]);
		cr_expect_eq(access(g.control, F_OK), -1);
	}
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	cr_expect_eq(serve_listen(&g.sockets, path, NULL), -ENAMETOOLONG);
	snprintf(run, sizeof(run), "%s/run", g.dir);
	ground_remove(&g);
}

TEST(serve, nobody_answers)
{
	ControlReply *reply = NULL;
	struct ground g = { .control = "/nonexistent/control.sock" };

	cr_assert_eq(ask_status(&g, &reply), -ENOENT);
	cr_assert_null(reply);
}
