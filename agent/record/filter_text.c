/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter_text.c - a pattern over the texts of a record: its strings, the names of its enum values, its kind.
 *
 * Which names match is known before the first record is read. Most strings of a log are said again and again (models,
 * paths, services): the answer for one is kept.
 */
#include <errno.h>
#include <stdio.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/own.h"
#include "record/filter_terms.h"

#define FIELDS_MOST   64
#define MESSAGES_MOST 64
#define KNOWN         4096 /* a power of two */
#define KNOWN_TEXT    46
#define KEYS_MOST     256

enum part { PART_NONE, PART_TEXT, PART_NAME, PART_MESSAGE };

struct text_message {
	const ProtobufCMessageDescriptor *of;
	uint8_t part[FIELDS_MOST];
	struct text_message *inner[FIELDS_MOST];
	uint64_t names[FIELDS_MOST]; /* values whose name matches */
};

struct filter_text {
	pcre2_code *code;
	bool kinds[FIELDS_MOST]; /* whose name matches */
	struct text_message messages[MESSAGES_MOST];
	size_t count;
	struct needle words[PATTERN_WORDS]; /* a text that matches has one of them */
	size_t words_count;                 /* 0: not known */
	uint64_t keys[KEYS_MOST];           /* of the names and kinds that match */
	size_t keys_count;                  /* more than KEYS_MOST: not all of them */
};

struct known {
	uint8_t len, found, at[KNOWN_TEXT];
};

struct filter_scratch {
	pcre2_match_data *match;
	struct known known[KNOWN];
};

void filter_scratch_free(struct filter_scratch **at)
{
	if (!*at)
		return;
	pcre2_match_data_free((*at)->match);
	free(*at);
	*at = NULL;
}

int filter_text_scratch(struct filter_scratch **out, const struct filter_text *t)
{
	owned(filter_scratch_free) struct filter_scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->match = pcre2_match_data_create_from_pattern(t->code, NULL);
	if (!s->match)
		return -ENOMEM;
	*out = TAKE(s);
	return 0;
}

void filter_text_free(struct filter_text **at)
{
	if (!*at)
		return;
	pcre2_code_free((*at)->code);
	free(*at);
	*at = NULL;
}

static bool search(const struct filter_text *t, pcre2_match_data *match, struct slice s)
{
	return pcre2_match(t->code, s.len ? s.at : (const uint8_t *)"", s.len, 0, 0, match, NULL) >= 0;
}

static struct text_message *learn(struct filter_text *t, pcre2_match_data *match, const ProtobufCMessageDescriptor *d)
{
	struct text_message *m;

	for (size_t i = 0; i < t->count; i++)
		if (t->messages[i].of == d)
			return &t->messages[i];
	if (t->count == MESSAGES_MOST)
		return NULL;
	m = &t->messages[t->count++];
	m->of = d;
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		const ProtobufCEnumDescriptor *e = f->descriptor;

		if (f->id >= FIELDS_MOST)
			continue;
		if (f->type == PROTOBUF_C_TYPE_STRING) {
			m->part[f->id] = PART_TEXT;
		} else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
			m->inner[f->id] = learn(t, match, f->descriptor);
			m->part[f->id] = m->inner[f->id] ? PART_MESSAGE : PART_NONE;
		} else if (f->type == PROTOBUF_C_TYPE_ENUM) {
			m->part[f->id] = PART_NAME;
			for (unsigned k = 0; k < e->n_values; k++)
				if (e->values[k].value > 0 && e->values[k].value < 64 &&
				    search(t, match, slice_str(e->values[k].name)))
					m->names[f->id] |= 1ull << e->values[k].value;
		}
	}
	return m;
}

static void add_key(struct filter_text *t, uint64_t key)
{
	if (t->keys_count < KEYS_MOST)
		t->keys[t->keys_count] = key;
	t->keys_count++;
}

/* The keys of names that match, wherever a field has them. */
static void learn_keys(struct filter_text *t, const struct text_message *m, uint32_t path[DEPTH_MOST], size_t depth)
{
	for (uint32_t id = 0; id < FIELDS_MOST && depth < DEPTH_MOST; id++) {
		path[depth] = id;
		if (m->part[id] == PART_MESSAGE)
			learn_keys(t, m->inner[id], path, depth + 1);
		for (uint64_t value = 1; m->part[id] == PART_NAME && value < 64; value++)
			if (m->names[id] >> value & 1)
				add_key(t, filter_key(path, depth + 1, slice_of(&value, sizeof(value))));
	}
}

int filter_text_new(struct filter_text **out, const char *pattern, bool caseless, char *why, size_t room)
{
	owned(filter_text_free) struct filter_text *t = calloc(1, sizeof(*t));
	owned(filter_scratch_free) struct filter_scratch *s = NULL;
	uint32_t flags = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | (caseless ? PCRE2_CASELESS : 0);
	PCRE2_SIZE at = 0;
	uint32_t path[DEPTH_MOST];
	int code = 0;

	if (!t)
		return -ENOMEM;
	t->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, flags, &code, &at, NULL);
	if (!t->code) {
		char text[128];

		pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text));
		snprintf(why, room, "not a pattern: %s at offset %zu", text, at);
		return -EINVAL;
	}
	(void)pcre2_jit_compile(t->code, PCRE2_JIT_COMPLETE); /* where that is not allowed it is interpreted */
	if (filter_text_scratch(&s, t))
		return -ENOMEM;
	(void)learn(t, s->match, &record__descriptor);
	for (unsigned i = 0; i < record__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &record__descriptor.fields[i];

		if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && f->id < FIELDS_MOST)
			t->kinds[f->id] = search(t, s->match, slice_str(f->name));
		if (f->id < FIELDS_MOST && t->kinds[f->id])
			add_key(t, filter_kind_key(f->id));
	}
	learn_keys(t, &t->messages[0], path, 0);
	t->words_count = pattern_words(pattern, caseless, t->words);
	*out = TAKE(t);
	return 0;
}

static bool text_found(const struct filter_text *t, struct filter_scratch *s, struct slice text)
{
	uint64_t head = 0, tail = 0;
	struct known *k;

	if (!text.len)
		return false;
	if (text.len > KNOWN_TEXT)
		return search(t, s->match, text);
	memcpy(&head, text.at, text.len < 8 ? text.len : 8);
	if (text.len > 8)
		memcpy(&tail, text.at + text.len - 8, 8);
	head = (head ^ tail * 0x9E3779B97F4A7C15ull ^ text.len) * 0xBF58476D1CE4E5B9ull;
	k = &s->known[head >> 52];
	if (k->len != text.len || memcmp(k->at, text.at, text.len) != 0) {
		k->len = (uint8_t)text.len;
		memcpy(k->at, text.at, text.len);
		k->found = search(t, s->match, text);
	}
	return k->found;
}

static bool message_found(const struct filter_text *t, struct filter_scratch *s, const struct text_message *m,
                          struct slice in)
{
	struct wire_field f;

	while (wire_next(&in, &f)) {
		if (f.id >= FIELDS_MOST)
			continue;
		switch (m->part[f.id]) {
		case PART_TEXT:
			if (f.wire == 2 && text_found(t, s, f.bytes))
				return true;
			break;
		case PART_NAME:
			if (f.wire == 0 && f.number < 64 && m->names[f.id] >> f.number & 1)
				return true;
			break;
		case PART_MESSAGE:
			if (f.wire == 2 && message_found(t, s, m->inner[f.id], f.bytes))
				return true;
			break;
		default:
			break;
		}
	}
	return false;
}

bool filter_text_found(const struct filter_text *t, struct filter_scratch *s, const struct record_head *h)
{
	const struct text_message *record = &t->messages[0];

	if (h->kind >= FIELDS_MOST || !h->kind)
		return false;
	return t->kinds[h->kind] ||
	       (record->part[h->kind] == PART_MESSAGE && message_found(t, s, record->inner[h->kind], h->body));
}

size_t filter_text_needles(const struct filter_text *t, const struct needle **out)
{
	*out = t->words;
	return t->keys_count ? 0 : t->words_count;
}

bool filter_text_may(const struct filter_text *t, const struct key_asked *a)
{
	if (!t->words_count || t->keys_count > KEYS_MOST)
		return true;
	for (size_t i = 0; i < t->words_count; i++)
		if (filter_needle_may(&t->words[i], a))
			return true;
	for (size_t i = 0; i < t->keys_count; i++)
		if (a->has(a->arg, t->keys[i]))
			return true;
	return false;
}
