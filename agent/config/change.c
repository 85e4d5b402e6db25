/* SPDX-License-Identifier: Apache-2.0 */
/* change.c - what a running daemon cannot take from a changed configuration. */
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "config/config.h"

/* What outlives every worker, or what other programs hold on to. Everything else is a worker's, and is taken by the
 * next one. */
static const struct {
	const char *name;
	size_t at;
} fixed[] = {
	{ "record.dir", offsetof(struct config, record_dir) },
	{ "control", offsetof(struct config, control) },
	{ "metrics.listen", offsetof(struct config, metrics_listen) },
	{ "capture.pins", offsetof(struct config, pins) },
	{ "capture.cgroup", offsetof(struct config, own_cgroup) },
	{ "user", offsetof(struct config, user) },
	{ "policy_key", offsetof(struct config, policy_key) },
};

static const char *text_at(const struct config *c, size_t at)
{
	const char *text;

	memcpy(&text, (const char *)c + at, sizeof(text));
	return text ? text : "";
}

bool config_changes(const struct config *now, const struct config *next, char *why, size_t room)
{
	size_t len = 0;

	why[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(fixed) && len < room; i++)
		if (strcmp(text_at(now, fixed[i].at), text_at(next, fixed[i].at)) != 0)
			len += (size_t)snprintf(why + len, room - len, "%s%s", len ? ", " : "", fixed[i].name);
	if (now->loops != next->loops && len < room)
		len += (size_t)snprintf(why + len, room - len, "%sloops", len ? ", " : "");
	if (len && len < room)
		snprintf(why + len, room - len, ": cannot change while the daemon runs, restart it");
	return !len;
}
