/* SPDX-License-Identifier: Apache-2.0 */
/* message.c - alerts as Alertmanager (API v2, POST /api/v2/alerts) and a webhook are told of them. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "alert/alert.h"

#define RUNBOOK "docs/runbook.md#"

/* A string of RFC 8259, without its quotes. Names of the configuration are UTF-8: its reader has seen to that. */
static int add_text(struct buf *out, const char *text)
{
	int err = 0;

	for (; *text && !err; text++)
		err = *text == '"' || *text == '\\' ? buf_printf(out, "\\%c", *text)
		      : (unsigned char)*text < 0x20 ? buf_printf(out, "\\u%04x", *text)
		                                    : buf_add(out, slice_of((const uint8_t *)text, 1));
	return err;
}

static int add_string(struct buf *out, const char *before, const char *text, const char *after)
{
	int err = buf_printf(out, "%s\"", before);

	err = err ? err : add_text(out, text);
	return err ? err : buf_printf(out, "\"%s", after);
}

static int add_time(struct buf *out, const char *before, uint64_t at)
{
	time_t t = (time_t)at;
	struct tm tm;

	gmtime_r(&t, &tm);
	return buf_printf(out, "%s\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", before, tm.tm_year + 1900, tm.tm_mon + 1,
	                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static int add_summary(struct buf *out, const struct alert_row *row, const char *service)
{
	const char *at = strstr(row->summary, "%s");
	int before = at ? (int)(at - row->summary) : (int)strlen(row->summary);
	int err = buf_printf(out, "\"summary\":\"%.*s", before, row->summary);

	if (!err && at)
		err = add_text(out, service);
	return err ? err : buf_printf(out, "%s\",", at ? at + 2 : "");
}

static int add_runbook(struct buf *out, const struct alert_row *row)
{
	int err = buf_printf(out, "\"runbook\":\"" RUNBOOK);

	for (const char *p = row->name; *p && !err; p++)
		err = buf_printf(out, "%c", tolower((unsigned char)*p));
	return err ? err : buf_printf(out, "\"");
}

int alert_for_alertmanager(struct buf *out, const struct alert_change *c, const struct alert_words *w,
                           uint64_t until_unix)
{
	const struct alert_row *row = &alert_table[c->kind];
	const char *service = row->by_service ? w->services[c->service] : "";
	int err = buf_printf(out, "%s{\"labels\":{\"alertname\":\"%s\",\"severity\":\"%s\",\"job\":\"sluice\"",
	                     buf_len(out) ? "," : "[", row->name, row->severity);

	err = err ? err : add_string(out, ",\"instance\":", w->host, "");
	if (!err && row->by_service)
		err = add_string(out, ",\"service\":", service, "");
	err = err ? err : buf_printf(out, "},\"annotations\":{");
	err = err ? err : add_summary(out, row, service);
	err = err ? err : add_runbook(out, row);
	err = err ? err : buf_printf(out, "}");
	if (!err && c->firing)
		err = add_time(out, ",\"startsAt\":", c->at_unix);
	err = err ? err : add_time(out, ",\"endsAt\":", c->firing ? until_unix : c->at_unix);
	return err ? err : buf_printf(out, "}");
}

int alert_for_webhook(struct buf *out, const struct alert_change *c, const struct alert_words *w, uint64_t dropped)
{
	const struct alert_row *row = &alert_table[c->kind];
	const char *service = row->by_service ? w->services[c->service] : "";
	int err = 0;

	if (!buf_len(out)) {
		err = add_string(out, "{\"version\":1,\"source\":\"sluice\",\"host\":", w->host, "");
		err = err ? err : buf_printf(out, ",\"dropped\":%llu,\"alerts\":[", (unsigned long long)dropped);
	} else {
		err = buf_printf(out, ",");
	}
	err = err ? err
	          : buf_printf(out, "{\"alert\":\"%s\",\"status\":\"%s\",\"severity\":\"%s\"", row->name,
	                       c->firing ? "firing" : "resolved", row->severity);
	err = err ? err : add_time(out, ",\"at\":", c->at_unix);
	if (!err && row->by_service)
		err = add_string(out, ",\"service\":", service, "");
	err = err ? err : buf_printf(out, ",");
	err = err ? err : add_summary(out, row, service);
	err = err ? err : add_runbook(out, row);
	return err ? err : buf_printf(out, "}");
}
