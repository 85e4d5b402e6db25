/* SPDX-License-Identifier: Apache-2.0 */
/* events_match.c - FIELD=VALUE over a record's descriptors: a field of that name, however deep it lies. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#include "cli/events.h"

/* The way from the record to a field, last name first. */
struct way {
	const struct way *up;
	const char *name;
};

static bool is_field(const struct way *w, struct slice field)
{
	while (w) {
		size_t len = strlen(w->name);

		if (field.len < len || strncasecmp((const char *)field.at + field.len - len, w->name, len) != 0)
			return false;
		field.len -= len;
		if (!field.len)
			return true;
		if (field.at[--field.len] != '.')
			return false;
		w = w->up;
	}
	return false;
}

static bool same_hex(const ProtobufCBinaryData *data, const char *text)
{
	static const char digit[] = "0123456789abcdef";

	if (strlen(text) != 2 * data->len)
		return false;
	for (size_t i = 0; i < data->len; i++)
		if (ascii_lower((uint8_t)text[2 * i]) != digit[data->data[i] >> 4] ||
		    ascii_lower((uint8_t)text[2 * i + 1]) != digit[data->data[i] & 15])
			return false;
	return true;
}

static bool same_enum(const ProtobufCFieldDescriptor *f, int value, const char *text)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);

	return v && !strcasecmp(v->name, text);
}

static bool same_unsigned(uint64_t value, const char *text)
{
	char *end;
	uint64_t wanted, at;

	errno = 0;
	wanted = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end)
		return !errno && wanted == value;
	return events_time(text, 0, &at) && at == value; /* times as json prints them */
}

static bool same_signed(int64_t value, const char *text)
{
	char *end;
	int64_t wanted = strtoll(text, &end, 10);

	return *text && !*end && wanted == value;
}

static bool same_real(double value, const char *text)
{
	char *end;
	double wanted = strtod(text, &end);

	return *text && !*end && (float)wanted == (float)value;
}

static bool same_bool(bool value, const char *text)
{
	return !strcasecmp(text, value ? "true" : "false") || !strcmp(text, value ? "1" : "0");
}

/* Also moves *at on to the next value, for repeated fields. */
static bool same_value(const ProtobufCFieldDescriptor *f, const uint8_t **at, const char *text)
{
	const void *p = *at;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		*at += sizeof(int32_t);
		return same_signed(*(const int32_t *)p, text);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		*at += sizeof(uint32_t);
		return same_unsigned(*(const uint32_t *)p, text);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		*at += sizeof(int64_t);
		return same_signed(*(const int64_t *)p, text);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		*at += sizeof(uint64_t);
		return same_unsigned(*(const uint64_t *)p, text);
	case PROTOBUF_C_TYPE_FLOAT:
		*at += sizeof(float);
		return same_real(*(const float *)p, text);
	case PROTOBUF_C_TYPE_DOUBLE:
		*at += sizeof(double);
		return same_real(*(const double *)p, text);
	case PROTOBUF_C_TYPE_BOOL:
		*at += sizeof(protobuf_c_boolean);
		return same_bool(*(const protobuf_c_boolean *)p, text);
	case PROTOBUF_C_TYPE_ENUM:
		*at += sizeof(int);
		return same_enum(f, *(const int *)p, text);
	case PROTOBUF_C_TYPE_STRING:
		*at += sizeof(char *);
		return !strcmp(*(char *const *)p ? *(char *const *)p : "", text);
	case PROTOBUF_C_TYPE_BYTES:
		*at += sizeof(ProtobufCBinaryData);
		return same_hex(p, text);
	case PROTOBUF_C_TYPE_MESSAGE:
		*at += sizeof(void *);
		return false;
	}
	return false;
}

static bool in_message(const ProtobufCMessage *m, const struct way *up, const struct event_match *want);

static bool in_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const struct way *up,
                     const struct event_match *want)
{
	struct way here = { up, f->name };
	const uint8_t *at = (const uint8_t *)m + f->offset, *quantifier = (const uint8_t *)m + f->quantifier_offset;
	size_t n = 1;

	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && *(const uint32_t *)quantifier != f->id)
		return false;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		n = *(const size_t *)quantifier;
		at = *(const uint8_t *const *)at;
	}
	if (f->type != PROTOBUF_C_TYPE_MESSAGE && !is_field(&here, want->field))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
			const ProtobufCMessage *inner = ((const ProtobufCMessage *const *)(const void *)at)[i];

			if (inner && in_message(inner, &here, want))
				return true;
		} else if (same_value(f, &at, want->value)) {
			return true;
		}
	}
	return false;
}

static bool in_message(const ProtobufCMessage *m, const struct way *up, const struct event_match *want)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++)
		if (in_field(m, &m->descriptor->fields[i], up, want))
			return true;
	return false;
}

static bool is_type(const Record *r, const char *value)
{
	const ProtobufCFieldDescriptor *f =
		r->body_case ? protobuf_c_message_descriptor_get_field(&record__descriptor, r->body_case) : NULL;

	return f && !strcasecmp(f->name, value);
}

static bool holds(const struct event_match *m, const Record *r)
{
	return slice_is_nocase(m->field, SLICE("type")) ? is_type(r, m->value) : in_message(&r->base, NULL, m);
}

bool events_match(const struct event_match *m, size_t n, const Record *r)
{
	for (size_t i = 0; i < n; i++) {
		bool any = false;

		for (size_t k = 0; k < n && !any; k++)
			any = slice_is_nocase(m[k].field, m[i].field) && holds(&m[k], r);
		if (!any)
			return false;
	}
	return true;
}

static bool known(const ProtobufCMessageDescriptor *d, const struct way *up, struct slice field)
{
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		struct way here = { up, f->name };

		if (f->type == PROTOBUF_C_TYPE_MESSAGE ? known(f->descriptor, &here, field) : is_field(&here, field))
			return true;
	}
	return false;
}

const char *events_match_read(struct event_match *out, const char *text)
{
	const char *sign = strchr(text, '=');
	struct slice field;

	if (!sign || sign == text)
		return "not FIELD=VALUE";
	field = slice_of(text, (size_t)(sign - text));
	if (!slice_is_nocase(field, SLICE("type")) && !known(&record__descriptor, NULL, field))
		return "no record has such a field";
	*out = (struct event_match){ field, sign + 1 };
	return NULL;
}
