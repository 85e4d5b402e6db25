/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - small sockets of the main loop: one request, one answer, good-bye. */
#include "serve/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "base/own.h"

#define CALLERS_MAX  64
#define REQUEST_MAX  4096
#define REPLY_MAX    (16u << 20)
#define CALL_TIME_NS 10000000000u
#define RETRY_NS     1000000000u

enum speech { SPEECH_CONTROL, SPEECH_HTTP };

struct caller {
	struct watch watch;
	struct timer timer;
	struct serve *serve;
	struct caller *next, **link;
	enum speech speech;
	struct buf in, out;
	bool answered;
};

struct serve {
	struct loop *loop;
	struct serve_ops ops;
	struct watch control, metrics;
	struct timer retry; /* out of descriptors: accept again later */
	struct caller *callers;
	size_t count;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static void hang_up(struct caller *c)
{
	struct serve *s = c->serve;

	loop_del(s->loop, &c->watch);
	loop_timer_stop(s->loop, &c->timer);
	close(c->watch.fd);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	s->count--;
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
}

/* The length in front of a message: bytes used, 0 if more are needed, -1 if it is too long. */
static int varint(struct slice in, uint32_t *value)
{
	*value = 0;
	for (size_t i = 0; i < in.len && i < 5; i++) {
		*value |= (uint32_t)(in.at[i] & 0x7f) << (7 * i);
		if (!(in.at[i] & 0x80))
			return (int)i + 1;
	}
	return in.len < 5 ? 0 : -1;
}

static int add_varint(struct buf *out, size_t value)
{
	uint8_t bytes[10];
	size_t n = 0;

	do {
		bytes[n] = (uint8_t)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
		value >>= 7;
		n++;
	} while (value);
	return buf_add(out, slice_of(bytes, n));
}

/* Who asks, as the kernel knows it; 65534 where it does not. */
static void set_caller(ControlRequest *request, int fd)
{
	struct ucred cred = { .uid = 65534 };
	gid_t groups[64];
	socklen_t len = sizeof(cred);

	if (request->caller)
		caller__free_unpacked(request->caller, NULL);
	request->caller = malloc(sizeof(*request->caller));
	if (!request->caller)
		return;
	*request->caller = (Caller)CALLER__INIT;
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	request->caller->uid = cred.uid;
	request->caller->pid = (uint32_t)cred.pid;
	len = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return;
	request->caller->groups = calloc(len / sizeof(*groups) + 1, sizeof(*request->caller->groups));
	for (size_t i = 0; request->caller->groups && i < len / sizeof(*groups); i++)
		request->caller->groups[request->caller->n_groups++] = groups[i];
}

/* True when there is an answer in c->out; false when more must come. Hangs up on nonsense (returns false, *bad). */
static bool answer_control(struct caller *c, bool *bad)
{
	struct slice in = buf_slice(&c->in);
	ControlReply reply = CONTROL_REPLY__INIT, *heap;
	ControlRequest *request;
	uint32_t len;
	int head = varint(in, &len);
	uint8_t *to;
	size_t size;

	if (head < 0 || len > REQUEST_MAX) {
		*bad = true;
		return false;
	}
	if (!head || in.len < (size_t)head + len)
		return false;
	request = control_request__unpack(NULL, len, in.at + head);
	heap = malloc(sizeof(*heap));
	if (!request || !heap) {
		if (request)
			control_request__free_unpacked(request, NULL);
		free(heap);
		*bad = true;
		return false;
	}
	*heap = reply;
	set_caller(request, c->watch.fd);
	c->serve->ops.answer(c->serve->ops.arg, request, heap);
	size = control_reply__get_packed_size(heap);
	if (!add_varint(&c->out, size) && (to = buf_want(&c->out, size)) != NULL)
		buf_added(&c->out, control_reply__pack(heap, to));
	else
		*bad = true;
	control_reply__free_unpacked(heap, NULL);
	control_request__free_unpacked(request, NULL);
	return !*bad;
}

static bool is_path(struct slice in, const char *path)
{
	size_t len = strlen(path);

	return in.len > 4 + len && !memcmp(in.at + 4, path, len) && strchr(" ?", in.at[4 + len]);
}

/* /metrics and /healthz, and nothing else. */
static bool answer_http(struct caller *c, bool *bad)
{
	const struct serve_ops *ops = &c->serve->ops;
	struct slice in = buf_slice(&c->in);
	struct buf page = BUF(REPLY_MAX);
	const char *status = "200 OK", *type = "text/plain; version=0.0.4; charset=utf-8";

	if (in.len < 4 || memcmp(in.at + in.len - 4, "\r\n\r\n", 4))
		return false;
	if (memcmp(in.at, "GET ", 4)) {
		*bad = true;
		return false;
	}
	if (is_path(in, "/metrics")) {
		ops->metrics(ops->arg, &page);
	} else {
		type = "text/plain; charset=utf-8";
		if (!is_path(in, "/healthz")) {
			status = "404 Not Found";
			buf_printf(&page, "/metrics and /healthz are here\n");
		} else if (!ops->healthy(ops->arg, &page)) {
			status = "503 Service Unavailable";
		}
	}
	*bad = buf_printf(&c->out,
	                  "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
	                  type, buf_len(&page)) ||
	       buf_add(&c->out, buf_slice(&page));
	buf_free(&page);
	return !*bad;
}

static void caller_step(struct caller *c)
{
	bool bad = false;

	while (!c->answered) {
		uint8_t *to = buf_want(&c->in, 512);
		ssize_t n = to ? recv(c->watch.fd, to, 512, 0) : -1;

		if (n < 0 && to && errno == EAGAIN)
			return;
		if (n < 0 && to && errno == EINTR)
			continue;
		if (n <= 0) {
			hang_up(c);
			return;
		}
		buf_added(&c->in, (size_t)n);
		c->answered = c->speech == SPEECH_CONTROL ? answer_control(c, &bad) : answer_http(c, &bad);
		if (bad) {
			hang_up(c);
			return;
		}
	}
	while (buf_len(&c->out)) {
		struct slice out = buf_slice(&c->out);
		ssize_t n = send(c->watch.fd, out.at, out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		buf_take(&c->out, (size_t)n);
	}
	hang_up(c);
}

static void caller_ready(struct watch *w, uint32_t events)
{
	(void)events;
	caller_step(container_of(w, struct caller, watch));
}

static void caller_late(struct timer *t)
{
	hang_up(container_of(t, struct caller, timer));
}

/* Root, and who runs the daemon. */
static bool may_ask(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) && (who.uid == 0 || who.uid == geteuid());
}

static void accept_one(struct serve *s, struct watch *door, enum speech speech)
{
	int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct caller *c;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
		/* The caller stays in the backlog. Asking again at once would only burn the core. */
		loop_del(s->loop, door);
		if (loop_timer(s->loop, &s->retry, RETRY_NS))
			loop_add_level(s->loop, door, EPOLLIN);
	}
	if (fd < 0)
		return;
	c = s->count < CALLERS_MAX && (speech == SPEECH_HTTP || may_ask(fd)) ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	*c = (struct caller){
		.watch = { .ready = caller_ready, .fd = fd },
		.timer = { .due = caller_late },
		.serve = s,
		.next = s->callers,
		.link = &s->callers,
		.speech = speech,
		.in = BUF(2 * REQUEST_MAX),
		.out = BUF(REPLY_MAX),
	};
	if (c->next)
		c->next->link = &c->next;
	s->callers = c;
	s->count++;
	if (loop_add(s->loop, &c->watch) || loop_timer(s->loop, &c->timer, CALL_TIME_NS))
		hang_up(c);
}

static void control_ready(struct watch *w, uint32_t events)
{
	(void)events;
	accept_one(container_of(w, struct serve, control), w, SPEECH_CONTROL);
}

static void metrics_ready(struct watch *w, uint32_t events)
{
	(void)events;
	accept_one(container_of(w, struct serve, metrics), w, SPEECH_HTTP);
}

static void retry_due(struct timer *t)
{
	struct serve *s = container_of(t, struct serve, retry);

	loop_add_level(s->loop, &s->control, EPOLLIN); /* EEXIST for the one that was not out */
	if (s->metrics.fd >= 0)
		loop_add_level(s->loop, &s->metrics, EPOLLIN);
}

static int unix_address(struct sockaddr_un *a, const char *path)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	memcpy(a->sun_path, path, strlen(path) + 1);
	return 0;
}

static int open_control(const char *path)
{
	owned(own_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a;
	struct stat there;
	int err = unix_address(&a, path);

	if (err)
		return err;
	if (fd < 0)
		return -errno;
	make_parents(path, 0755);
	if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return -EADDRINUSE;
	/* Connecting to what is no socket at all is refused, too: that is somebody's file. */
	if (errno == ECONNREFUSED && !lstat(path, &there) && S_ISSOCK(there.st_mode))
		unlink(path);
	own_close(&fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || chmod(path, 0660) || listen(fd, 16))
		return -errno;
	return TAKE_FD(fd);
}

/* "127.0.0.1:9477" or "[::1]:9477". */
static int open_metrics(const char *address)
{
	struct sockaddr_storage a = {};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
	owned(own_close) int fd = -1;
	char host[64];
	const char *colon = strrchr(address, ':');
	char *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : 0;
	socklen_t len;
	int one = 1;

	if (!colon || colon == address || *end || port < 1 || port > 65535 || (size_t)(colon - address) >= sizeof(host))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
	if (host[0] == '[') {
		if (host[strlen(host) - 1] != ']')
			return -EINVAL;
		host[strlen(host) - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
			return -EINVAL;
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		len = sizeof(*v6);
	} else {
		if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
			return -EINVAL;
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		len = sizeof(*v4);
	}
	fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 16))
		return -errno;
	return TAKE_FD(fd);
}

void serve_close(struct serve **at)
{
	struct serve *s = *at;

	if (!s)
		return;
	while (s->callers)
		hang_up(s->callers);
	loop_timer_stop(s->loop, &s->retry);
	if (s->control.fd >= 0)
		loop_del(s->loop, &s->control);
	if (s->metrics.fd >= 0)
		loop_del(s->loop, &s->metrics);
	free(s);
	*at = NULL;
}

void serve_unlisten(struct serve_sockets *s)
{
	if (s->control >= 0) {
		close(s->control);
		unlink(s->path);
	}
	if (s->metrics >= 0)
		close(s->metrics);
	*s = SERVE_SOCKETS;
}

int serve_listen(struct serve_sockets *out, const char *control, const char *metrics)
{
	struct serve_sockets s = SERVE_SOCKETS;
	int fd = open_control(control);

	if (fd < 0)
		return fd;
	s.control = fd;
	s.path = control;
	if (metrics) {
		fd = open_metrics(metrics);
		if (fd < 0) {
			serve_unlisten(&s);
			return fd;
		}
		s.metrics = fd;
	}
	*out = s;
	return 0;
}

int serve_open(struct serve **out, struct loop *l, const struct serve_sockets *sockets, const struct serve_ops *ops)
{
	owned(serve_close) struct serve *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->ops = *ops;
	s->control = (struct watch){ .ready = control_ready, .fd = -1 };
	s->metrics = (struct watch){ .ready = metrics_ready, .fd = -1 };
	s->retry.due = retry_due;
	s->control.fd = sockets->control;
	err = loop_add_level(l, &s->control, EPOLLIN);
	if (err) {
		s->control.fd = -1;
		return err;
	}
	if (sockets->metrics >= 0) {
		s->metrics.fd = sockets->metrics;
		err = loop_add_level(l, &s->metrics, EPOLLIN);
		if (err) {
			s->metrics.fd = -1;
			return err;
		}
	}
	*out = TAKE(s);
	return 0;
}

/* ---- the other end ---- */

static int send_request(int fd, const ControlRequest *request)
{
	struct buf out = BUF(2 * REQUEST_MAX);
	size_t size = control_request__get_packed_size(request);
	int err = add_varint(&out, size);
	uint8_t *to = err ? NULL : buf_want(&out, size + 1);

	if (to) {
		buf_added(&out, control_request__pack(request, to));
		if (send(fd, buf_slice(&out).at, buf_len(&out), MSG_NOSIGNAL) != (ssize_t)buf_len(&out))
			err = errno ? -errno : -EIO;
	} else {
		err = -ENOMEM;
	}
	buf_free(&out);
	return err;
}

int serve_ask(ControlReply **out, const char *control, const ControlRequest *request, int timeout_ms)
{
	owned(own_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	owned(buf_free) struct buf in = BUF(REPLY_MAX);
	struct timeval wait = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	struct sockaddr_un a;
	int err = unix_address(&a, control);

	if (err)
		return err;
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return -errno;
	err = send_request(fd, request);
	if (err)
		return err;
	for (;;) {
		uint8_t *to = buf_want(&in, 4096);
		ssize_t n = to ? recv(fd, to, 4096, 0) : -1;
		struct slice got;
		uint32_t len;
		int head;

		if (!to)
			return -ENOMEM;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		buf_added(&in, (size_t)n);
		got = buf_slice(&in);
		head = varint(got, &len);
		if (head > 0 && got.len >= (size_t)head + len) {
			ControlReply *reply = control_reply__unpack(NULL, len, got.at + head);

			if (!reply)
				return -EBADMSG;
			*out = reply;
			return 0;
		}
		if (!n && !got.len)
			return -EACCES; /* it hung up without a word: we may not ask */
		if (!n || head < 0)
			return -EBADMSG;
	}
}
