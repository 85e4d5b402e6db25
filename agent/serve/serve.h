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
};

/* Listens on the Unix socket `control` (made with mode 0660; one left by a dead daemon is replaced) and, if `metrics`
 * is not NULL, on that loopback address for HTTP. Errors: -errno; -EADDRINUSE if a daemon lives at `control`. */
int serve_open(struct serve **out, struct loop *l, const char *control, const char *metrics,
               const struct serve_ops *ops);
void serve_close(struct serve **at);

/* ---- the other end, for sluicectl ---- */

/* Asks the daemon at `control`. On success *out is the caller's, control_reply__free_unpacked(). Errors: -errno of
 * connect(2), -EBADMSG. Waits at most `timeout_ms` for each step. */
int serve_ask(ControlReply **out, const char *control, const ControlRequest *request, int timeout_ms);
