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
	key ^= key >> 32;
	return key | !key; /* 0: none */
}

static struct slice number_bytes(const uint64_t *number)
{
	return slice_of(number, sizeof(*number));
}

/* All but the stamp and the CRC of a record, of which each is said once: the block's own numbers answer for the stamp.
 */
bool filter_is_keyed(const ProtobufCFieldDescriptor *f)
{
	const ProtobufCFieldDescriptor *own = record__descriptor.fields;

	return f < own || f >= own + record__descriptor.n_fields ||
	       (f->type != PROTOBUF_C_TYPE_FIXED64 && f->type != PROTOBUF_C_TYPE_FIXED32);
}

/* ---- grams ---- */

/* Three characters of a text, in 64 classes: what is looked for need not be said as it is written. */
enum { CLASS_LETTER = 1, CLASS_DIGIT = 27, CLASS_SIGN = 28, CLASS_OTHER = 35, CLASS_WIDE = 36, CLASS_COUNT = 64 };

static uint32_t class_of(uint8_t c)
{
	static const char signs[] = "-_./: @";
	const char *sign = c ? strchr(signs, c) : NULL;

	c = ascii_lower(c);
	if (c >= 'a' && c <= 'z')
		return CLASS_LETTER + c - 'a';
	if (c >= '0' && c <= '9')
		return CLASS_DIGIT;
	if (c >= 0x80)
		return CLASS_WIDE + c % (CLASS_COUNT - CLASS_WIDE);
	return sign ? CLASS_SIGN + (uint32_t)(sign - signs) : CLASS_OTHER;
}

/* Ids are made of these: they stand everywhere and tell nothing. */
static bool is_dull(uint32_t gram)
{
	for (; gram; gram >>= 6)
		if ((gram & 63) != CLASS_DIGIT && (gram & 63) > CLASS_LETTER + 5)
			return false;
	return true;
}

void filter_grams(struct slice text, void (*add)(void *arg, uint32_t gram), void *arg)
{
	uint32_t gram = 0;

	for (size_t i = 0; i < text.len; i++) {
		gram = (gram << 6 | class_of(text.at[i])) & (GRAM_COUNT - 1);
		if (i >= 2 && !is_dull(gram))
			add(arg, gram);
	}
}

uint64_t filter_gram_key(uint32_t gram)
{
	return filter_key(&gram, 1, SLICE("gram"));
}

uint64_t filter_kind_key(uint32_t kind)
{
	return filter_key(&kind, 1, SLICE("type"));
}

/* ---- keys ---- */

struct keying {
	const struct key_sink *to;
	uint32_t path[DEPTH_MOST];
};

static void add_number(const struct keying *k, size_t depth, uint64_t number)
{
	(void)k->to->add(k->to->arg, filter_key(k->path, depth, number_bytes(&number)));
}

/* Numbers of a repeated field in one string of bytes. */
static void add_packed(const struct keying *k, size_t depth, const ProtobufCFieldDescriptor *f, struct slice in)
{
	size_t width = filter_width(f->type);
	uint64_t number;

	while (in.len && (width ? wire_fixed(&in, width, &number) : wire_varint(&in, &number)))
		add_number(k, depth, number);
}

static void add_bytes(const struct keying *k, size_t depth, const ProtobufCFieldDescriptor *f, struct slice bytes)
{
	bool fresh = true;

	if (bytes.len <= KEYED_BYTES)
		fresh = k->to->add(k->to->arg, filter_key(k->path, depth, bytes));
	if (fresh && f->type == PROTOBUF_C_TYPE_STRING)
		k->to->text(k->to->arg, bytes);
}

static void message_keys(struct keying *k, const ProtobufCMessageDescriptor *d, struct slice in, size_t depth)
{
	struct wire_field f;

	if (depth == DEPTH_MOST)
		return;
	while (wire_next(&in, &f)) {
		const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(d, f.id);

		k->path[depth] = f.id;
		if (!field || !filter_is_keyed(field))
			continue;
		if (f.wire != 2)
			add_number(k, depth + 1, f.number);
		else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			message_keys(k, field->descriptor, f.bytes, depth + 1);
		else if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES)
			add_bytes(k, depth + 1, field, f.bytes);
		else
			add_packed(k, depth + 1, field, f.bytes);
	}
}

void filter_keys(struct slice raw, const struct key_sink *to)
{
	struct keying k = { .to = to };
	struct record_head h;

	(void)record_head_read(raw, &h);
	if (h.kind)
		(void)to->add(to->arg, filter_kind_key(h.kind));
	message_keys(&k, &record__descriptor, raw, 0);
}

/* ---- asking ---- */

static bool term_may(const struct term *t, const void *of)
{
	const struct key_asked *a = of;

	if (t->type) {
		for (uint32_t kind = 0; kind < 64; kind++)
			if (t->kinds >> kind & 1 && a->has(a->arg, filter_kind_key(kind)))
				return true;
		return false;
	}
	for (size_t i = 0; i < t->count; i++) {
		const struct leaf *l = &t->leaves[i];

		/* A default is not written; then the kind must be there at least. */
		if (l->keyed ? a->has(a->arg, l->key) : l->depth == 1 || a->has(a->arg, filter_kind_key(l->path[0])))
			return true;
	}
	return false;
}

/* A gram of a needle that a block does not have. */
struct missing {
	const struct key_asked *a;
	bool is;
};

static void look_for(void *arg, uint32_t gram)
{
	struct missing *m = arg;

	m->is = m->is || !m->a->has(m->a->arg, filter_gram_key(gram));
}

bool filter_needle_may(const struct needle *n, const struct key_asked *a)
{
	struct missing m = { .a = a };

	filter_grams(slice_of(n->at, n->len), look_for, &m);
	return !m.is || a->has(a->arg, filter_gram_key(GRAM_ALL));
}

bool filter_may_match(const struct record_filter *f, uint64_t least, uint64_t most, const struct key_asked *a)
{
	if (!f)
		return true;
	return most >= f->since && least <= f->until && filter_groups(f, term_may, a) &&
	       (!f->text || filter_text_may(f->text, a));
}
