/* SPDX-License-Identifier: Apache-2.0 */
/* filter_keys.c - what the index of a segment knows of its records, and what a filter may ask it. */
#include "record/filter_terms.h"

#define KEY_START 0xCBF29CE484222325ull /* FNV-1a, 64 bit */
#define KEY_PRIME 0x100000001B3ull

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
bool filter_is_keyed(const ProtobufCFieldDescriptor *f)
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
		else if (filter_is_keyed(field) && f.wire == 2 && f.bytes.len <= KEYED_BYTES)
			k->add(k->arg, filter_key(k->path, depth + 1, f.bytes));
		else if (filter_is_keyed(field) && f.wire != 2)
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

struct index_asked {
	bool (*has)(const void *arg, uint64_t key);
	const void *arg;
};

static bool term_may(const struct term *t, const void *of)
{
	const struct index_asked *a = of;

	if (t->type) {
		for (uint32_t kind = 0; kind < 64; kind++)
			if (t->kinds >> kind & 1 && a->has(a->arg, kind_key(kind)))
				return true;
		return false;
	}
	for (size_t i = 0; i < t->count; i++) {
		const struct leaf *l = &t->leaves[i];

		/* A default is not written; then the kind must be there at least. */
		if (l->keyed ? a->has(a->arg, l->key) : l->depth == 1 || a->has(a->arg, kind_key(l->path[0])))
			return true;
	}
	return false;
}

bool filter_may_match(const struct record_filter *f, uint64_t least, uint64_t most,
                      bool (*has)(const void *arg, uint64_t key), const void *arg)
{
	struct index_asked asked = { has, arg };

	if (!f)
		return true;
	return most >= f->since && least <= f->until && filter_groups(f, term_may, &asked);
}
