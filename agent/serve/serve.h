/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.h - the door of serve: the control socket, the metrics endpoint, and systemd.
 *
 * Knows no other room: what is asked for is answered by the functions that main hands over.
 */
#pragma once

#include "base/buf.h"
#include "base/loop.h"
#include "control.pb-c.h"

struct serve;

struct serve_ops {
	void *arg;
	/* Fills a reply whose parts are malloc'd: it is freed with control_reply__free_unpacked(). */
	void (*answer)(void *arg, const ControlRequest *in, ControlReply *out);
	/* Adds the metrics in Prometheus text format 0.0.4. */
	void (*metrics)(void *arg, struct buf *out);
	/* Adds words on how it is; false: not well. */
	bool (*healthy)(void *arg, struct buf *out);
};

/* What is listened on: -1 where nothing is. */
struct serve_sockets {
	int control, metrics;
	const char *path; /* of control; borrowed */
};

#define SERVE_SOCKETS ((struct serve_sockets){ .control = -1, .metrics = -1 })

/* Listens on the Unix socket `control` (made with mode 0660; one left by a dead daemon is replaced) and, if `metrics`
 * is not NULL, on that loopback address for HTTP. Borrows `control`. Errors: -errno; -EADDRINUSE if a daemon lives at
 * `control`. */
int serve_listen(struct serve_sockets *out, const char *control, const char *metrics);
/* Closes them and removes the path. */
void serve_unlisten(struct serve_sockets *s);

/* Serves on sockets that stay the caller's and that a later process may serve on, too. */
int serve_open(struct serve **out, struct loop *l, const struct serve_sockets *sockets, const struct serve_ops *ops);
void serve_close(struct serve **at);

/* ---- the other end, for sluicectl ---- */

/* Asks the daemon at `control`. On success *out is the caller's, control_reply__free_unpacked(). Errors: -errno of
 * connect(2), -EBADMSG. Waits at most `timeout_ms` for each step. */
int serve_ask(ControlReply **out, const char *control, const ControlRequest *request, int timeout_ms);
