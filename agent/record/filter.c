/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.c - FIELD=VALUE over the stored bytes of a record.
 *
 * The schema says which fields a name can mean and how a value of theirs is written on the wire; what is left is
 * comparing bytes. A field that a message does not carry has proto3's default, if the message is there.
 */
#include "record/filter.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/own.h"
#include "record/frame.h"

#define DEPTH_MOST  6
#define TERMS_MOST  64
#define BYTES_MOST  256
#define NS          1000000000ull
#define KEY_START   0xCBF29CE484222325ull /* FNV-1a, 64 bit */
#define KEY_PRIME   0x100000001B3ull
#define KEYED_BYTES 128 /* longer values are not in the index */

/* One field that a name means, and the value it is to have. */
struct leaf {
	uint32_t path[DEPTH_MOST];
	uint8_t depth, width; /* bytes of a number, 0: a varint */
	bool repeated, text, is_default;
	bool keyed; /* the index knows such values */
	uint64_t key;
	uint64_t number;
	struct slice bytes; /* borrowed from the term */
};

struct term {
	char *field;
	bool type; /* the name is "type": kinds */
	uint64_t kinds;
	struct leaf *leaves;
	size_t count;
	uint8_t **owned;
	size_t owned_count;
	size_t group;
};

struct record_filter {
	uint64_t since, until;
	enum severity least, most;
	struct term terms[TERMS_MOST];
	size_t terms_count, groups;
	bool group_open; /* "+" was said, nothing since */
	struct filter_text *text;
};

const char *const severity_names[SEVERITY_COUNT] = {
	[SEVERITY_INFO] = "info", [SEVERITY_LOW] = "low",           [SEVERITY_MEDIUM] = "medium",
	[SEVERITY_HIGH] = "high", [SEVERITY_CRITICAL] = "critical",
};

/* ---- the wire (protobuf encoding) ---- */

static bool varint(struct slice *in, uint64_t *out)
{
	uint64_t value = 0;

	if (in->len && in->at[0] < 0x80) { /* as most are */
		*out = in->at[0];
		*in = slice_from(*in, 1);
		return true;
	}
	for (size_t i = 0; i < in->len && i < 10; i++) {
		value |= (uint64_t)(in->at[i] & 0x7F) << (7 * i);
		if (!(in->at[i] & 0x80)) {
			*in = slice_from(*in, i + 1);
			*out = value;
			return true;
		}
	}
	return false;
}

static bool fixed(struct slice *in, size_t len, uint64_t *out)
{
	uint64_t value = 0;

	if (in->len < len)
		return false;
	memcpy(&value, in->at, len);
	*out = le64toh(value);
	*in = slice_from(*in, len);
	return true;
}

bool wire_next(struct slice *in, struct wire_field *out)
{
	uint64_t tag, len;

	if (!in->len || !varint(in, &tag) || tag >> 3 > UINT32_MAX)
		return false;
	out->id = (uint32_t)(tag >> 3);
	out->wire = tag & 7;
	switch (out->wire) {
	case 0:
		return varint(in, &out->number);
	case 1:
		return fixed(in, 8, &out->number);
	case 2:
		if (!varint(in, &len) || len > in->len)
			return false;
		out->bytes = slice_of(in->at, (size_t)len);
		*in = slice_from(*in, (size_t)len);
		return true;
	case 5:
		return fixed(in, 4, &out->number);
	default:
		return false;
	}
}

bool record_head_read(struct slice raw, struct record_head *out)
{
	struct wire_field f;

	*out = (struct record_head){ 0 };
	/* The stamp is always written so. */
	if (raw.len > STAMP_LEN && raw.at[0] == 0x09 && raw.at[9] == 0x11 && raw.at[18] == 0x19 && raw.at[27] == 0x22 &&
	    raw.at[28] == BOOT_ID_LEN) {
		struct slice numbers = slice_of(raw.at + 1, 8);

		(void)fixed(&numbers, 8, &out->seq);
		numbers = slice_of(raw.at + 10, 8);
		(void)fixed(&numbers, 8, &out->time_unix_nano);
		raw = slice_from(raw, STAMP_LEN);
	}
	while (raw.len) {
		if (!wire_next(&raw, &f))
			return false;
		if (f.id == 1 && f.wire == 1)
			out->seq = f.number;
		else if (f.id == 2 && f.wire == 1)
			out->time_unix_nano = f.number;
		else if (f.id >= RECORD__BODY_FINDING && f.wire == 2) {
			out->kind = f.id;
			out->body = f.bytes;
		}
	}
	return true;
}

/* ---- keys ---- */

static uint64_t mix(uint64_t key, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		key = (key ^ s.at[i]) * KEY_PRIME;
	return key;
}

uint64_t filter_key(const uint32_t *path, size_t depth, struct slice value)
{
	uint64_t key = KEY_START;

	for (size_t i = 0; i < depth; i++)
		key = (key ^ path[i]) * KEY_PRIME;
	key = mix(key, value);
	/* FNV's upper bits are its good ones: spread them. */
	key ^= key >> 29;
	key *= 0xBF58476D1CE4E5B9ull;
	return key ^ key >> 32;
}

static struct slice number_bytes(const uint64_t *number)
{
	return slice_of(number, sizeof(*number));
}

/* Texts, short bytes, names and small numbers: what people ask for. Times and tallies are not worth their room. */
static bool is_keyed(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_BOOL:
		return strcmp(f->name, "boot_id") != 0;
	default:
		return !strcmp(f->name, "keyword_id") || !strcmp(f->name, "status") || !strcmp(f->name, "risk");
	}
}

struct keying {
	void (*add)(void *arg, uint64_t key);
	void *arg;
	uint32_t path[DEPTH_MOST];
};

static void message_keys(struct keying *k, const ProtobufCMessageDescriptor *d, struct slice in, size_t depth)
{
	struct wire_field f;

	if (depth == DEPTH_MOST)
		return;
	while (wire_next(&in, &f)) {
		const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(d, f.id);

		k->path[depth] = f.id;
		if (!field)
			continue;
		if (field->type == PROTOBUF_C_TYPE_MESSAGE && f.wire == 2)
			message_keys(k, field->descriptor, f.bytes, depth + 1);
		else if (is_keyed(field) && f.wire == 2 && f.bytes.len <= KEYED_BYTES)
			k->add(k->arg, filter_key(k->path, depth + 1, f.bytes));
		else if (is_keyed(field) && f.wire != 2)
			k->add(k->arg, filter_key(k->path, depth + 1, number_bytes(&f.number)));
	}
}

static uint64_t kind_key(uint32_t kind)
{
	return filter_key(&kind, 1, SLICE("type"));
}

void filter_keys(struct slice raw, void (*add)(void *arg, uint64_t key), void *arg)
{
	struct keying k = { .add = add, .arg = arg };
	struct record_head h;

	(void)record_head_read(raw, &h);
	if (h.kind)
		add(arg, kind_key(h.kind));
	message_keys(&k, &record__descriptor, raw, 0);
}

/* ---- making ---- */

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

static uint8_t width_of(ProtobufCType type)
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
	struct leaf l = { .repeated = w->field->label == PROTOBUF_C_LABEL_REPEATED, .width = width_of(w->field->type) },
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

				l->keyed = is_keyed(f) && !l->is_default && l->bytes.len <= KEYED_BYTES;
				l->key = filter_key(l->path, l->depth, l->text ? l->bytes : number_bytes(&l->number));
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

/* ---- asking ---- */

static bool same(const struct leaf *l, const struct wire_field *f)
{
	if (l->text)
		return f->wire == 2 && slice_is(f->bytes, l->bytes);
	return f->wire != 2 && f->number == l->number;
}

/* Numbers in one string of bytes, as repeated ones are written. */
static bool in_packed(const struct leaf *l, struct slice in)
{
	uint64_t number;

	while (in.len && (l->width ? fixed(&in, l->width, &number) : varint(&in, &number)))
		if (number == l->number)
			return true;
	return false;
}

static bool in_message(const struct leaf *l, struct slice in, size_t depth)
{
	bool last = depth + 1 == l->depth, seen = false, hit = false;
	struct wire_field f;

	while (wire_next(&in, &f)) {
		if (f.id != l->path[depth])
			continue;
		if (!last) {
			if (f.wire == 2 && in_message(l, f.bytes, depth + 1))
				return true;
			continue;
		}
		hit = l->repeated && !l->text && f.wire == 2 ? in_packed(l, f.bytes) : same(l, &f);
		if (hit && l->repeated)
			return true;
		seen = true;
	}
	return last && !l->repeated && (seen ? hit : l->is_default);
}

static bool term_holds(const struct term *t, const struct record_head *h, struct slice raw)
{
	if (t->type)
		return h->kind < 64 && t->kinds >> h->kind & 1;
	for (size_t i = 0; i < t->count; i++) {
		const struct leaf *l = &t->leaves[i];

		if (l->depth == 1 ? in_message(l, raw, 0) : l->path[0] == h->kind && in_message(l, h->body, 1))
			return true;
	}
	return false;
}

static bool terms_hold(const struct record_filter *f, const struct record_head *h, struct slice raw)
{
	size_t i = 0;

	if (!f->terms_count)
		return true;
	while (i < f->terms_count) {
		size_t group = f->terms[i].group;
		bool all = true;

		for (; i < f->terms_count && f->terms[i].group == group; i++)
			all = all && term_holds(&f->terms[i], h, raw);
		if (all)
			return true;
	}
	return false;
}

static uint64_t number_of(struct slice in, uint32_t id)
{
	struct wire_field f;
	uint64_t number = 0;

	while (wire_next(&in, &f))
		if (f.id == id && f.wire != 2)
			number = f.number;
	return number;
}

/* How grave a record is: by its kind, or by the value of one field of it. The first row that fits. */
static const struct {
	uint32_t kind, field; /* field 0: whatever it says */
	uint64_t value;
	enum severity is;
} gravity[] = {
	{ RECORD__BODY_FINDING, 6, VERDICT__BLOCKED, SEVERITY_HIGH },
	{ RECORD__BODY_FINDING, 6, VERDICT__REDACTED, SEVERITY_MEDIUM },
	{ RECORD__BODY_FINDING, 6, VERDICT__FLAGGED, SEVERITY_MEDIUM },
	{ RECORD__BODY_FINDING, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__BLOCKED, SEVERITY_HIGH },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__EXCEPTION, SEVERITY_HIGH },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__REDACTED, SEVERITY_MEDIUM },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__FLAGGED, SEVERITY_MEDIUM },
	{ RECORD__BODY_EXCHANGE, 12, VERDICT__SHADOWED, SEVERITY_LOW },
	{ RECORD__BODY_RECOVERY, 1, RECOVERY__KIND__TORN, SEVERITY_MEDIUM },
	{ RECORD__BODY_RECOVERY, 1, RECOVERY__KIND__UNPROVEN, SEVERITY_MEDIUM },
	{ RECORD__BODY_RECOVERY, 0, 0, SEVERITY_CRITICAL },
	{ RECORD__BODY_LOSS, 0, 0, SEVERITY_CRITICAL },
	{ RECORD__BODY_BYPASS, 0, 0, SEVERITY_HIGH },
	{ RECORD__BODY_POLICY, 4, true, SEVERITY_HIGH },
	{ RECORD__BODY_POLICY, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_LIFECYCLE, 1, LIFECYCLE__KIND__FAIL_MODE_CHANGED, SEVERITY_HIGH },
	{ RECORD__BODY_LIFECYCLE, 1, LIFECYCLE__KIND__SERVICE_SUSPENDED, SEVERITY_MEDIUM },
	{ RECORD__BODY_LIFECYCLE, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_CLOCK, 0, 0, SEVERITY_MEDIUM },
	{ RECORD__BODY_ACCESS, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_HOLD, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_ERASURE, 0, 0, SEVERITY_MEDIUM },
	{ RECORD__BODY_PRUNE, 0, 0, SEVERITY_LOW },
	{ RECORD__BODY_OPINION, 11, OPINION__OUTCOME__SAFE, SEVERITY_INFO },
	{ RECORD__BODY_OPINION, 11, OPINION__OUTCOME__UNSAFE, SEVERITY_LOW },
	{ RECORD__BODY_OPINION, 11, OPINION__OUTCOME__ABANDONED, SEVERITY_LOW },
	{ RECORD__BODY_OPINION, 0, 0, SEVERITY_MEDIUM },
};

static enum severity severity_of(const struct record_head *h)
{
	for (size_t i = 0; i < ARRAY_LEN(gravity); i++)
		if (gravity[i].kind == h->kind &&
		    (!gravity[i].field || number_of(h->body, gravity[i].field) == gravity[i].value))
			return gravity[i].is;
	return SEVERITY_INFO;
}

bool filter_wants(const struct record_filter *f, struct filter_scratch *s, struct slice raw)
{
	struct record_head h;

	if (!f)
		return true;
	/* What is no record goes on to whoever unpacks it and says so. */
	if (!record_head_read(raw, &h))
		return true;
	if (h.time_unix_nano < f->since || h.time_unix_nano > f->until || !terms_hold(f, &h, raw))
		return false;
	if (f->least > SEVERITY_INFO || f->most < SEVERITY_CRITICAL) {
		enum severity is = severity_of(&h);

		if (is < f->least || is > f->most)
			return false;
	}
	return !f->text || filter_text_found(f->text, s, &h);
}

bool filter_is_open(const struct record_filter *f)
{
	return !f || (!f->terms_count && !f->text && f->least == SEVERITY_INFO && f->most == SEVERITY_CRITICAL);
}

static bool term_may(const struct term *t, bool (*has)(const void *arg, uint64_t key), const void *arg)
{
	if (t->type) {
		for (uint32_t kind = 0; kind < 64; kind++)
			if (t->kinds >> kind & 1 && has(arg, kind_key(kind)))
				return true;
		return false;
	}
	for (size_t i = 0; i < t->count; i++) {
		const struct leaf *l = &t->leaves[i];

		/* A default is not written; then the kind must be there at least. */
		if (l->keyed ? has(arg, l->key) : l->depth == 1 || has(arg, kind_key(l->path[0])))
			return true;
	}
	return false;
}

bool filter_may_match(const struct record_filter *f, uint64_t least, uint64_t most,
                      bool (*has)(const void *arg, uint64_t key), const void *arg)
{
	size_t i = 0;

	if (!f)
		return true;
	if (most < f->since || least > f->until)
		return false;
	if (!f->terms_count)
		return true;
	while (i < f->terms_count) {
		size_t group = f->terms[i].group;
		bool all = true;

		for (; i < f->terms_count && f->terms[i].group == group; i++)
			all = all && term_may(&f->terms[i], has, arg);
		if (all)
			return true;
	}
	return false;
}

int filter_scratch_new(struct filter_scratch **out, const struct record_filter *f)
{
	*out = NULL;
	return f && f->text ? filter_text_scratch(out, f->text) : 0;
}
