/* SPDX-License-Identifier: Apache-2.0 */
/*
 * herald.h - the process that tells people: pushes alerts, and does nothing else.
 *
 * Neither of the other two may do it: the keeper has privileges and must not read what receivers answer, the worker
 * reads the traffic and must not wait for them, nor have a TLS library between itself and a stranger. So a third one,
 * with the worker's sandbox and no file but those of name resolution and certificates. It hears facts over a socket
 * pair and says nothing back; that it stands still, is full or dead costs nobody anything. It is there only where
 * `alerts:` names a receiver.
 */
#pragma once

#include "daemon.h"

/* ---- in the keeper ---- */

/* Makes it, if alerts are configured. 0 or -errno, logged. */
int herald_start(struct daemon *d);
/* Makes it again when it has died, at most every ten seconds. Every second. */
void herald_look(struct daemon *d);

/* ---- in the worker ---- */

/* Tells it how things are; silence for longer than `patience_s` is an alert. Never waits. */
void herald_tell(struct daemon *d, unsigned patience_s);
