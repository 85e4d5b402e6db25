/* SPDX-License-Identifier: Apache-2.0 */
/* model_json.c - labelled texts from JSON Lines: {"text": "...", "risks": ["A.1.d", "local.x"]}, one object a line. The
 * label may be a string, 0 or 1, true or false, null, or an array of these. */
#include <errno.h>

#include "base/buf.h"
#include "base/own.h"
#include "cli/model.h"
#include "stream/stream.h"

enum member { MEMBER_OTHER, MEMBER_TEXT, MEMBER_LABEL };

struct line {
	struct data_reader *reader;
	struct buf key, value, text;
	enum member member;
	unsigned depth;
	bool has_text, has_label;
	uint64_t risks;
};

static int key_over(struct line *l)
{
	const struct data_columns *columns = l->reader->columns;
	const char *key;
	bool *has;

	if (buf_add(&l->key, SLICE("\0")))
		return data_bad(l->reader, -EFBIG, "a key of more than 1 KiB");
	key = (const char *)buf_slice(&l->key).at;
	l->member = strlen(key) + 1 != buf_len(&l->key) ? MEMBER_OTHER
	            : data_is_text(key, columns)        ? MEMBER_TEXT
	            : data_is_label(key, columns)       ? MEMBER_LABEL
	                                                : MEMBER_OTHER;
	if (l->member == MEMBER_OTHER)
		return 0;
	has = l->member == MEMBER_TEXT ? &l->has_text : &l->has_label;
	if (*has)
		return data_bad(l->reader, -EINVAL, "two values for the %s",
		                l->member == MEMBER_TEXT ? "text" : "label");
	*has = true;
	return 0;
}

/* A value of the object, or of an array in it, is complete. */
static int value_over(struct line *l, bool string)
{
	struct slice value = buf_slice(&l->value);
	int err = 0;

	if (l->member == MEMBER_LABEL) {
		err = data_label(l->reader, value, &l->risks);
	} else if (l->member == MEMBER_TEXT) {
		if (!string || l->depth != 1)
			return data_bad(l->reader, -EINVAL, "the text is not a string");
		err = buf_add(&l->text, value) ? -ENOMEM : 0;
	}
	return err;
}

static int take(struct line *l, const struct json_item *item)
{
	switch (item->kind) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		l->depth++;
		if (l->depth > 1 && l->member == MEMBER_TEXT)
			return data_bad(l->reader, -EINVAL, "the text is not a string");
		if (l->member == MEMBER_LABEL && (item->kind == JSON_OBJECT || l->depth > 2))
			return data_bad(l->reader, -EINVAL, "the label is neither a value nor an array of values");
		return l->depth == 1 && item->kind == JSON_ARRAY ? data_bad(l->reader, -EINVAL, "not an object") : 0;
	case JSON_OBJECT_END:
	case JSON_ARRAY_END:
		l->depth--;
		return 0;
	case JSON_KEY:
		if (l->depth == 1 && buf_add(&l->key, item->text))
			return data_bad(l->reader, -EFBIG, "a key of more than 1 KiB");
		return 0;
	case JSON_KEY_END:
		return l->depth == 1 ? key_over(l) : 0;
	case JSON_STRING:
	case JSON_NUMBER:
		if (l->member == MEMBER_OTHER)
			return 0;
		return buf_add(&l->value, item->text) ? data_bad(l->reader, -EFBIG, "a value of more than 1 MiB") : 0;
	case JSON_STRING_END:
	case JSON_NUMBER_END:
		return value_over(l, item->kind == JSON_STRING_END);
	case JSON_TRUE:
		return buf_add(&l->value, SLICE("1")) ? -ENOMEM : value_over(l, false);
	case JSON_FALSE:
	case JSON_NULL:
		return value_over(l, false);
	default:
		return 0;
	}
}

static int read_line(struct line *l, struct slice in)
{
	struct json_item item;
	enum step step = STEP_MORE;
	struct json json;
	size_t used;
	int err;

	json_start(&json);
	while (in.len) {
		step = json_feed(&json, in, &used, &item);
		in = slice_from(in, used);
		if (step != STEP_ITEM)
			break;
		if (!l->depth && item.kind != JSON_OBJECT)
			return data_bad(l->reader, -EINVAL, "not an object");
		err = take(l, &item);
		if (err)
			return err;
		/* What was gathered has been used. */
		if (item.kind != JSON_STRING && item.kind != JSON_NUMBER)
			buf_cut(&l->value, 0);
		if (l->depth <= 1 && item.kind == JSON_KEY_END)
			buf_cut(&l->key, 0);
	}
	if (step == STEP_BAD)
		return data_bad(l->reader, -EINVAL, "%s", item.why ? item.why : "not JSON");
	if (!json_done(&json))
		return data_bad(l->reader, -EINVAL, "the object does not end on its line");
	if (!l->has_text || !l->has_label)
		return data_bad(l->reader, -EINVAL, "no %s", l->has_text ? "label" : "text");
	return data_add(l->reader, buf_slice(&l->text), l->risks);
}

int data_read_json(struct data_reader *r, struct slice bytes)
{
	for (; bytes.len; r->line++) {
		const uint8_t *end = memchr(bytes.at, '\n', bytes.len);
		size_t len = end ? (size_t)(end - bytes.at) : bytes.len, blank = 0;
		struct line l = {
			.reader = r, .key = BUF(1024), .value = BUF(DATA_TEXT_MAX), .text = BUF(DATA_TEXT_MAX)
		};
		int err = 0;

		while (blank < len && (bytes.at[blank] == ' ' || bytes.at[blank] == '\t' || bytes.at[blank] == '\r'))
			blank++;
		if (blank < len)
			err = read_line(&l, slice_of(bytes.at, len));
		buf_free(&l.key);
		buf_free(&l.value);
		buf_free(&l.text);
		if (err)
			return err;
		bytes = slice_from(bytes, end ? len + 1 : len);
	}
	return 0;
}
