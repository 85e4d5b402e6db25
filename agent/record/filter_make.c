/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter_make.c - FIELD=VALUE read: the schema says which fields a name can mean, and how a value of theirs is written
 * on the wire.
 */
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/own.h"
#include "record/filter_terms.h"
#include "record/frame.h"

#define BYTES_MOST 256
#define NS         1000000000ull

static void term_free(struct term *t)
{
	for (size_t i = 0; i < t->owned_count; i++)
		free(t->owned[i]);
	free(t->owned);
	free(t->leaves);
	free(t->field);
}

void record_filter_free(struct record_filter **at)
{
	struct record_filter *f = *at;

	if (!f)
		return;
	for (size_t i = 0; i < f->terms_count; i++)
		term_free(&f->terms[i]);
	filter_text_free(&f->text);
	free(f);
	*at = NULL;
}

int record_filter_new(struct record_filter **out)
{
	struct record_filter *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->until = UINT64_MAX;
	f->most = SEVERITY_CRITICAL;
	f->groups = 1;
	*out = f;
	return 0;
}

void record_filter_times(struct record_filter *f, uint64_t since, uint64_t until)
{
	f->since = since;
	f->until = until;
}

/* "2026-11-21T10:00:00.123456789Z", as json prints times; shorter fractions are read, too. */
static bool read_time(const char *text, uint64_t *out)
{
	uint64_t unit = NS / 10, nano = 0;
	struct tm tm = { 0 };
	const char *s = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!s)
		return false;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9' && unit; s++, unit /= 10)
			nano += (uint64_t)(*s - '0') * unit;
	if (strcasecmp(s, "z") != 0 || timegm(&tm) < 0)
		return false;
	*out = (uint64_t)timegm(&tm) * NS + nano;
	return true;
}

static bool read_unsigned(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end)
		return !errno;
	return read_time(text, out);
}

static bool read_signed(const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return *text && !*end && !errno;
}

static bool read_enum(const ProtobufCEnumDescriptor *d, const char *text, uint64_t *out)
{
	for (unsigned i = 0; i < d->n_values; i++)
		if (!strcasecmp(d->values[i].name, text)) {
			*out = (uint64_t)(int64_t)d->values[i].value;
			return true;
		}
	return false;
}

static int digit(char c)
{
	c = (char)ascii_lower((uint8_t)c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(struct term *t, const char *text, struct slice *out)
{
	size_t len = strlen(text) / 2;
	uint8_t *bytes, **more;

	if (strlen(text) != 2 * len || len > BYTES_MOST)
		return false;
	bytes = malloc(len + 1);
	more = bytes ? reallocarray(t->owned, t->owned_count + 1, sizeof(*more)) : NULL;
	if (!more) {
		free(bytes);
		return false;
	}
	t->owned = more;
	t->owned[t->owned_count++] = bytes;
	for (size_t i = 0; i < len; i++) {
		if (digit(text[2 * i]) < 0 || digit(text[2 * i + 1]) < 0)
			return false;
		bytes[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
	}
	*out = slice_of(bytes, len);
	return true;
}

static bool read_text(struct term *t, const char *text, struct slice *out)
{
	uint8_t *copy = (uint8_t *)strdup(text), **more;

	more = copy ? reallocarray(t->owned, t->owned_count + 1, sizeof(*more)) : NULL;
	if (!more) {
		free(copy);
		return false;
	}
	t->owned = more;
	t->owned[t->owned_count++] = copy;
	*out = slice_of(copy, strlen(text));
	return true;
}

/* How the value looks on the wire. False: no value of that field. */
static bool read_value(struct term *t, struct leaf *l, const ProtobufCFieldDescriptor *f, const char *text)
{
	int64_t number = 0;
	double real;
	float single;
	uint32_t bits;
	char *end;

	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FIXED64:
		return read_unsigned(text, &l->number);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		if (!read_signed(text, &number))
			return false;
		l->number = (uint64_t)number;
		return true;
	case PROTOBUF_C_TYPE_SFIXED32:
		if (!read_signed(text, &number))
			return false;
		l->number = (uint32_t)number;
		return true;
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SINT64:
		if (!read_signed(text, &number))
			return false;
		l->number = (uint64_t)number << 1 ^ (uint64_t)(number >> 63);
		return true;
	case PROTOBUF_C_TYPE_FLOAT:
		single = strtof(text, &end);
		memcpy(&bits, &single, sizeof(bits));
		l->number = bits;
		return *text && !*end;
	case PROTOBUF_C_TYPE_DOUBLE:
		real = strtod(text, &end);
		memcpy(&l->number, &real, sizeof(l->number));
		return *text && !*end;
	case PROTOBUF_C_TYPE_BOOL:
		l->number = !strcasecmp(text, "true") || !strcmp(text, "1");
		return l->number || !strcasecmp(text, "false") || !strcmp(text, "0");
	case PROTOBUF_C_TYPE_ENUM:
		return read_enum(f->descriptor, text, &l->number);
	case PROTOBUF_C_TYPE_STRING:
		l->text = true;
		return read_text(t, text, &l->bytes);
	case PROTOBUF_C_TYPE_BYTES:
		l->text = true;
		return read_hex(t, text, &l->bytes);
	default:
		return false;
	}
}

/* The way from the record to a field, last name first. */
struct way {
	const struct way *up;
	const ProtobufCFieldDescriptor *field;
};

static bool is_named(const struct way *w, struct slice field)
{
	for (; w; w = w->up) {
		size_t len = strlen(w->field->name);

		if (field.len < len || strncasecmp((const char *)field.at + field.len - len, w->field->name, len) != 0)
			return false;
		field.len -= len;
		if (!field.len)
			return true;
		if (field.at[--field.len] != '.')
			return false;
	}
	return false;
}

uint8_t filter_width(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return 4;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 0;
	}
}

static int add_leaf(struct term *t, const struct way *w, const char *value)
{
	struct leaf l = { .repeated = w->field->label == PROTOBUF_C_LABEL_REPEATED,
		          .width = filter_width(w->field->type) },
		    *more;

	for (const struct way *up = w; up; up = up->up)
		l.depth++;
	if (l.depth > DEPTH_MOST)
		return 0;
	if (!read_value(t, &l, w->field, value))
		return 0;
	for (size_t i = l.depth; w; w = w->up)
		l.path[--i] = w->field->id;
	l.is_default = l.text ? !l.bytes.len : !l.number;
	more = reallocarray(t->leaves, t->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->leaves = more;
	t->leaves[t->count++] = l;
	return 0;
}

/* Every field of that name, however deep. *known: there is one. */
static int add_leaves(struct term *t, const ProtobufCMessageDescriptor *d, const struct way *up, struct slice field,
                      const char *value, bool *known)
{
	int err = 0;

	for (unsigned i = 0; i < d->n_fields && !err; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		struct way here = { up, f };
		size_t before = t->count;

		if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
			err = add_leaves(t, f->descriptor, &here, field, value, known);
		} else if (is_named(&here, field)) {
			*known = true;
			err = add_leaf(t, &here, value);
			if (t->count > before) {
				struct leaf *l = &t->leaves[before];

				l->keyed = filter_is_keyed(f) && !l->is_default && l->bytes.len <= KEYED_BYTES;
				l->key = filter_key(l->path, l->depth,
				                    l->text ? l->bytes : slice_of(&l->number, sizeof(l->number)));
				l->sharp = l->text && needle_make(&l->needle, l->bytes, false);
			}
		}
	}
	return err;
}

static void add_kinds(struct term *t, const char *value)
{
	for (unsigned i = 0; i < record__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &record__descriptor.fields[i];

		if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && f->id < 64 && !strcasecmp(f->name, value))
			t->kinds |= 1ull << f->id;
	}
}

/* The term of that field in the present group, made if there is none. */
static struct term *term_for(struct record_filter *f, struct slice field)
{
	size_t group = f->groups - 1;
	struct term *t;

	for (size_t i = 0; i < f->terms_count; i++)
		if (f->terms[i].group == group && slice_is_nocase(slice_str(f->terms[i].field), field))
			return &f->terms[i];
	if (f->terms_count == TERMS_MOST)
		return NULL;
	t = &f->terms[f->terms_count];
	*t = (struct term){ .group = group, .field = strndup((const char *)field.at, field.len) };
	if (!t->field)
		return NULL;
	t->type = slice_is_nocase(field, SLICE("type"));
	f->terms_count++;
	return t;
}

const char *record_filter_add(struct record_filter *f, const char *text)
{
	const char *sign = strchr(text, '=');
	bool known = false;
	struct slice field;
	struct term *t;

	if (!strcmp(text, "+")) {
		if (f->group_open || !f->terms_count)
			return "stands between matches";
		f->groups++;
		f->group_open = true;
		return NULL;
	}
	if (!sign || sign == text)
		return "not FIELD=VALUE";
	field = slice_of(text, (size_t)(sign - text));
	t = term_for(f, field);
	if (!t)
		return "too many matches";
	f->group_open = false;
	if (t->type)
		add_kinds(t, sign + 1);
	else if (add_leaves(t, &record__descriptor, NULL, field, sign + 1, &known))
		return "out of memory";
	return t->type || known ? NULL : "no record has such a field";
}

const char *record_filter_end(const struct record_filter *f)
{
	return f->group_open ? "stands between matches" : NULL;
}

int record_filter_grep(struct record_filter *f, const char *pattern, bool caseless, char *why, size_t room)
{
	filter_text_free(&f->text);
	return filter_text_new(&f->text, pattern, caseless, why, room);
}

void record_filter_severity(struct record_filter *f, enum severity least, enum severity most)
{
	f->least = least;
	f->most = most;
}
