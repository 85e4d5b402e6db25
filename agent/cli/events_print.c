/* SPDX-License-Identifier: Apache-2.0 */
/* events_print.c - a record for people, for scripts, and as it is stored. What a stranger sent never reaches the
 * terminal as a control character. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/own.h"
#include "cli/events.h"

#define NS ((uint64_t)1000000000)

static bool plain(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if ((uint8_t)*text <= ' ' || (uint8_t)*text >= 0x7F || *text == '"' || *text == '\\')
			return false;
	return true;
}

/* Bytes of a UTF-8 character that may go to a terminal; 0: escape the byte. */
static size_t shown(const uint8_t *s)
{
	size_t n = s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	return s[0] == 0xC2 && s[1] < 0xA0 ? 0 : n; /* C1 controls */
}

static void put_text(FILE *to, const char *key, const char *text)
{
	const uint8_t *s = (const uint8_t *)text;

	if (plain(text)) {
		fprintf(to, " %s=%s", key, text);
		return;
	}
	fprintf(to, " %s=\"", key);
	while (*s) {
		size_t n = *s < 0x80 ? *s >= ' ' && *s != 0x7F : shown(s);

		if (*s == '"' || *s == '\\')
			fputc('\\', to);
		if (n)
			fwrite(s, 1, n, to);
		else
			fprintf(to, "\\x%02x", *s);
		s += n ? n : 1;
	}
	fputc('"', to);
}

static void put_set(FILE *to, const char *key, const char *text)
{
	if (text && *text)
		put_text(to, key, text);
}

static void put_bytes(FILE *to, const char *key, const ProtobufCBinaryData *data)
{
	if (!data->len)
		return;
	fprintf(to, " %s=", key);
	for (size_t i = 0; i < data->len; i++)
		fprintf(to, "%02x", data->data[i]);
}

static void put_enum(FILE *to, const char *key, const ProtobufCEnumDescriptor *d, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);

	if (value && v)
		fprintf(to, " %s=%s", key, v->name);
	else if (value)
		fprintf(to, " %s=%d", key, value);
}

static void put_stop(FILE *to, const Measure *m)
{
	if (!m || !m->result)
		return;
	put_enum(to, "stop", &measure__result__descriptor, (int)m->result);
	put_set(to, "by", m->method);
}

static void put_exchange(FILE *to, const Exchange *x)
{
	const Coverage *c = x->coverage;

	put_enum(to, "verdict", &verdict__descriptor, (int)x->verdict);
	put_enum(to, "action", &action__descriptor, (int)x->action);
	if (x->service) {
		put_set(to, "service", x->service->name);
		put_set(to, "model", x->service->model);
	}
	put_set(to, "method", x->method);
	put_set(to, "path", x->path);
	if (x->status)
		fprintf(to, " status=%" PRIu32, x->status);
	put_set(to, "finish", x->finish);
	if (c)
		fprintf(to,
		        " in=%" PRIu64 " scanned=%" PRIu64 " structural=%" PRIu64 " withheld=%" PRIu64
		        " released=%" PRIu64,
		        c->in, c->scanned, c->structural, c->withheld, c->released);
	if (c && c->unscanned)
		fprintf(to, " unscanned=%" PRIu64, c->unscanned);
	put_set(to, "exception", x->exception);
	put_stop(to, x->stop_generation);
	put_bytes(to, "exchange", &x->exchange_id);
}

static void put_finding(FILE *to, const Finding *f)
{
	for (size_t i = 0; i < f->n_risks; i++) {
		put_set(to, "rule", f->risks[i]->rule_id);
		put_set(to, "risk", f->risks[i]->risk_id);
	}
	put_enum(to, "verdict", &verdict__descriptor, (int)f->verdict);
	put_enum(to, "action", &action__descriptor, (int)f->action);
	put_enum(to, "channel", &channel__descriptor, (int)f->channel);
	fprintf(to, " choice=%" PRIu32 " offset=%" PRIu64 " length=%" PRIu32, f->choice, f->offset, f->length);
	if (f->repeat_count)
		fprintf(to, " repeated=%" PRIu32, f->repeat_count);
	put_stop(to, f->stop_generation);
	put_bytes(to, "exchange", &f->exchange_id);
}

static void put_time_value(FILE *to, uint64_t unix_nano)
{
	time_t seconds = (time_t)(unix_nano / NS);
	char text[40];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(to, "%s.%09" PRIu64 "Z", text, unix_nano % NS);
}

static void put_unsigned(FILE *to, const char *key, uint64_t value)
{
	static const char end[] = "_unix_nano";
	size_t len = strlen(key), cut = sizeof(end) - 1;

	if (!value)
		return;
	if (len > cut && !strcmp(key + len - cut, end)) {
		fprintf(to, " %.*s=", (int)(len - cut), key);
		put_time_value(to, value);
	} else {
		fprintf(to, " %s=%" PRIu64, key, value);
	}
}

/* Any other body: what is set, in the schema's order. */
static void put_field(FILE *to, const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		put_unsigned(to, f->name, *(const uint32_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		put_unsigned(to, f->name, *(const uint64_t *)at);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		fprintf(to, " %s=%" PRId64, f->name, *(const int64_t *)at);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		fprintf(to, " %s=%s", f->name, *(const protobuf_c_boolean *)at ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		put_enum(to, f->name, f->descriptor, *(const int *)at);
		break;
	case PROTOBUF_C_TYPE_STRING:
		put_set(to, f->name, *(char *const *)at);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		put_bytes(to, f->name, at);
		break;
	default: /* numbers with a point, and messages: none in these bodies */
		break;
	}
}

static void put_any(FILE *to, const ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const uint8_t *at = (const uint8_t *)m + f->offset;

		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			put_field(to, f, at);
			continue;
		}
		for (size_t k = 0; f->type == PROTOBUF_C_TYPE_STRING &&
		                   k < *(const size_t *)((const uint8_t *)m + f->quantifier_offset);
		     k++)
			put_field(to, f, &(*(char **const *)(const void *)at)[k]);
	}
}

static const char *type_name(const Record *r)
{
	const ProtobufCFieldDescriptor *f =
		r->body_case ? protobuf_c_message_descriptor_get_field(&record__descriptor, r->body_case) : NULL;

	return f ? f->name : "record";
}

/* The part behind the type, each word with a space in front. */
static void put_message(FILE *to, const Record *r)
{
	if (r->body_case == RECORD__BODY_FINDING)
		put_finding(to, r->finding);
	else if (r->body_case == RECORD__BODY_EXCHANGE)
		put_exchange(to, r->exchange);
	else if (r->body_case)
		put_any(to,
		        *(const ProtobufCMessage *const *)&r->finding); /* the members of a oneof share their place */
	else
		fprintf(to, " seq=%" PRIu64, r->seq);
}

static void put_short(FILE *to, const char *form, bool utc, const Record *r)
{
	static char host[65];
	time_t seconds = (time_t)(r->time_unix_nano / NS);
	char when[40];
	struct tm tm;

	if (!*host && gethostname(host, sizeof(host) - 1))
		memcpy(host, "localhost", sizeof("localhost"));
	if (utc)
		gmtime_r(&seconds, &tm);
	else
		localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), form, &tm);
	fprintf(to, "%s %s sluice[%s]:", when, host, type_name(r));
	put_message(to, r);
	fputc('\n', to);
}

static int put_cat(FILE *to, const Record *r)
{
	owned(own_free) char *text = NULL;
	size_t len = 0;
	FILE *memory = open_memstream(&text, &len);

	if (!memory)
		return -ENOMEM;
	put_message(memory, r);
	if (fclose(memory))
		return -ENOMEM;
	fprintf(to, "%s\n", len ? text + 1 : "");
	return 0;
}

static int put_json(FILE *to, const char *before, const Record *r)
{
	owned(own_free) char *text = NULL;
	size_t len = 0;
	int err = record_json(r, &text, &len);

	if (!err)
		fprintf(to, "%s%s\n", before, text);
	return err;
}

/* As in a segment: the whole output is one Segment message. */
static void put_pb(FILE *to, struct slice raw)
{
	size_t len = raw.len;

	fputc(0x0A, to);
	for (; len >= 0x80; len >>= 7)
		fputc((int)(len & 0x7F) | 0x80, to);
	fputc((int)len, to);
	fwrite(raw.at, 1, raw.len, to);
}

int events_print(FILE *to, enum event_output how, bool utc, const Record *r, struct slice raw)
{
	switch (how) {
	case EVENTS_JSON:
		return put_json(to, "", r);
	case EVENTS_JSON_SEQ: /* RFC 7464 */
		return put_json(to, "\x1e", r);
	case EVENTS_CAT:
		return put_cat(to, r);
	case EVENTS_PB:
		put_pb(to, raw);
		return 0;
	case EVENTS_SHORT_ISO:
		put_short(to, "%Y-%m-%dT%H:%M:%S%z", utc, r);
		return 0;
	default:
		put_short(to, "%b %d %H:%M:%S", utc, r);
		return 0;
	}
}
