/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c - a record as one line of JSON, by its descriptors: a field added to the schema needs no line here.
 *
 * Defaults are left out as protobuf does, but for seq and the numbers of Coverage: a sum is read with its zeros.
 * Strings may hold what a stranger sent: controls are escaped, what is not UTF-8 becomes U+FFFD.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/json_text.h"
#include "base/own.h"
#include "record/record.h"

#define LINE_CAP (8u << 20)
#define NS       ((uint64_t)1000000000)

static int put(struct buf *b, const char *text)
{
	return buf_add(b, slice_str(text));
}

static int put_string(struct buf *b, const char *text)
{
	return json_text(b, slice_str(text ? text : ""));
}

static int put_hex(struct buf *b, const ProtobufCBinaryData *data)
{
	static const char digit[] = "0123456789abcdef";
	uint8_t *to = buf_want(b, 2 * data->len + 2);

	if (!to)
		return -ENOMEM;
	*to++ = '"';
	for (size_t i = 0; i < data->len; i++) {
		*to++ = (uint8_t)digit[data->data[i] >> 4];
		*to++ = (uint8_t)digit[data->data[i] & 15];
	}
	*to = '"';
	buf_added(b, 2 * data->len + 2);
	return 0;
}

static int put_unsigned(struct buf *b, uint64_t value)
{
	uint8_t text[20];
	size_t i = sizeof(text);

	do
		text[--i] = (uint8_t)('0' + value % 10);
	while (value /= 10);
	return buf_add(b, slice_of(text + i, sizeof(text) - i));
}

static int put_name(struct buf *b, const char *name)
{
	int err = put(b, "\"");

	if (!err)
		err = put(b, name);
	return err ? err : put(b, "\":");
}

static int put_time(struct buf *b, uint64_t unix_nano)
{
	time_t seconds = (time_t)(unix_nano / NS);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	return buf_printf(b, "\"%04d-%02d-%02dT%02d:%02d:%02d.%09" PRIu64 "Z\"", tm.tm_year + 1900, tm.tm_mon + 1,
	                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, unix_nano % NS);
}

static int put_enum(struct buf *b, const ProtobufCFieldDescriptor *f, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);

	return v ? buf_printf(b, "\"%s\"", v->name) : buf_printf(b, "%d", value);
}

static bool is_time(const ProtobufCFieldDescriptor *f)
{
	static const char end[] = "_unix_nano";
	size_t len = strlen(f->name);

	return len >= sizeof(end) - 1 && !strcmp(f->name + len - (sizeof(end) - 1), end);
}

static int put_message(struct buf *b, const ProtobufCMessage *m);

static int put_float(struct buf *b, double value, int digits)
{
	return isfinite(value) ? buf_printf(b, "%.*g", digits, value) : put(b, "null");
}

static int put_value(struct buf *b, const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return buf_printf(b, "%" PRId32, *(const int32_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return put_unsigned(b, *(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return buf_printf(b, "%" PRId64, *(const int64_t *)at);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return is_time(f) ? put_time(b, *(const uint64_t *)at) : put_unsigned(b, *(const uint64_t *)at);
	case PROTOBUF_C_TYPE_FLOAT:
		return put_float(b, *(const float *)at, 9);
	case PROTOBUF_C_TYPE_DOUBLE:
		return put_float(b, *(const double *)at, 17);
	case PROTOBUF_C_TYPE_BOOL:
		return put(b, *(const protobuf_c_boolean *)at ? "true" : "false");
	case PROTOBUF_C_TYPE_ENUM:
		return put_enum(b, f, *(const int *)at);
	case PROTOBUF_C_TYPE_STRING:
		return put_string(b, *(char *const *)at);
	case PROTOBUF_C_TYPE_BYTES:
		return put_hex(b, at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return put_message(b, *(const ProtobufCMessage *const *)at);
	}
	return -EPROTO;
}

static size_t value_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default:
		return 4;
	}
}

/* Whether the field has something to say in proto3's sense. */
static bool is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const void *at)
{
	static const uint8_t zero[8];

	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)((const uint8_t *)m + f->quantifier_offset) == f->id;
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(const void *const *)at;
	if (f->type == PROTOBUF_C_TYPE_STRING)
		return *(char *const *)at && **(char *const *)at;
	if (f->type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)at)->len;
	return memcmp(at, zero, value_size(f)) || m->descriptor == &coverage__descriptor ||
	       (m->descriptor == &record__descriptor && !strcmp(f->name, "seq"));
}

static int put_repeated(struct buf *b, const ProtobufCFieldDescriptor *f, const uint8_t *at, size_t n)
{
	int err = put(b, "[");

	for (size_t i = 0; !err && i < n; i++) {
		if (i)
			err = put(b, ",");
		if (!err)
			err = put_value(b, f, at + i * value_size(f));
	}
	return err ? err : put(b, "]");
}

static int put_field(struct buf *b, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, bool *any)
{
	const uint8_t *at = (const uint8_t *)m + f->offset;
	bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
	size_t n = repeated ? *(const size_t *)((const uint8_t *)m + f->quantifier_offset) : 0;
	bool body = m->descriptor == &record__descriptor && f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
	int err;

	if (repeated ? !n : !is_set(m, f, at))
		return 0;
	err = *any ? put(b, ",") : 0;
	*any = true;
	if (!err && body)
		err = buf_printf(b, "\"type\":\"%s\",", f->name);
	if (!err)
		err = put_name(b, f->name);
	if (err)
		return err;
	return repeated ? put_repeated(b, f, *(const uint8_t *const *)at, n) : put_value(b, f, at);
}

static int put_message(struct buf *b, const ProtobufCMessage *m)
{
	bool any = false;
	int err = put(b, "{");

	for (unsigned i = 0; !err && i < m->descriptor->n_fields; i++)
		err = put_field(b, m, &m->descriptor->fields[i], &any);
	return err ? err : put(b, "}");
}

static void own_buf(struct buf *b)
{
	buf_free(b);
}

int record_json(const Record *r, char **text, size_t *len)
{
	owned(own_buf) struct buf b = BUF(LINE_CAP);
	char *grown;
	int err = put_message(&b, &r->base);

	if (err)
		return err;
	grown = realloc(*text, *len + buf_len(&b) + 1);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + *len, buf_slice(&b).at, buf_len(&b));
	*len += buf_len(&b);
	grown[*len] = 0;
	*text = grown;
	return 0;
}
