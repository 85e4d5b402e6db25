/* SPDX-License-Identifier: Apache-2.0 */
/* alerts.c - the keys of `alerts:`: who is told, and of how much. */
#include <string.h>

#include "config/read.h"

static const struct unit second_units[] = { { "s", 1 }, { "min", 60 }, { "h", 3600 }, { "d", 86400 }, {} };

/* "http://host[:port]/..." A name or a password in it would be a secret in a file that anybody may read. */
static void read_url(struct reader *r, yaml_node_t *n, const char *what, char **to)
{
	const char *host, *p;

	read_text(r, n, what, to);
	if (!*to)
		return;
	host = !strncmp(*to, "http://", 7) ? *to + 7 : !strncmp(*to, "https://", 8) ? *to + 8 : "";
	for (p = *to; *p > 0x20 && *p < 0x7f; p++)
		;
	if (!*host || *p || strchr("/?#", *host) || strlen(*to) > 2048)
		read_wrong(r, n, "%s must be a URL that begins with http:// or https://", what);
	else if (memchr(host, '@', strcspn(host, "/?#")))
		read_wrong(r, n, "%s: no name or password here: the credential alerts.token is for that", what);
}

static void alerts_alertmanager(struct reader *r, yaml_node_t *n)
{
	char **to = &r->config->alerts.alertmanager;

	read_url(r, n, "alerts.alertmanager", to);
	if (*to && strpbrk(*to, "?#"))
		read_wrong(r, n, "alerts.alertmanager is the URL of its root: /api/v2/alerts is put behind it");
}

static void alerts_webhook(struct reader *r, yaml_node_t *n)
{
	read_url(r, n, "alerts.webhook", &r->config->alerts.webhook);
}

static void alerts_blocks(struct reader *r, yaml_node_t *n)
{
	uint64_t count;

	if (read_number(r, n, "alerts.blocks", NULL, 1, 1000000, &count))
		r->config->alerts.blocks = (uint32_t)count;
}

static void alerts_window(struct reader *r, yaml_node_t *n)
{
	uint64_t s;

	if (read_number(r, n, "alerts.window", second_units, 1, 86400, &s))
		r->config->alerts.window_s = (uint32_t)s;
}

static void alerts_policy_age(struct reader *r, yaml_node_t *n)
{
	uint64_t s;

	if (read_number(r, n, "alerts.policy_age", second_units, 1, 366u * 86400, &s))
		r->config->alerts.policy_age_s = (uint32_t)s;
}

static const struct key alert_keys[] = {
	{ "alertmanager", alerts_alertmanager, NULL },
	{ "webhook", alerts_webhook, NULL },
	{ "blocks", alerts_blocks, NULL },
	{ "window", alerts_window, NULL },
	{ "policy_age", alerts_policy_age, NULL },
	{},
};

void read_alerts(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "alerts", alert_keys);
}
