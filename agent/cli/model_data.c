/* SPDX-License-Identifier: Apache-2.0 */
/* model_data.c - labelled texts from CSV, and what the two formats share. Nothing is guessed: a file that can be read
 * in two ways is refused with file and line. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/own.h"
#include "cli/model.h"
#include "policy/policy.h"

#define FIELDS_MAX 1024

void samples_free(struct samples *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->at[i].text);
	free(s->at);
	*s = (struct samples){ 0 };
}

int data_bad(const struct data_reader *r, int error, const char *format, ...)
{
	owned(own_free) char *what = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&what, format, args) < 0)
		what = NULL;
	va_end(args);
	if (!what || asprintf(r->why, "%s:%zu: %s", r->name, r->line, what) < 0) {
		*r->why = NULL;
		return -ENOMEM;
	}
	return error;
}

static bool is_one_of(const char *column, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcasecmp(column, names[i]))
			return true;
	return false;
}

bool data_is_text(const char *column, const struct data_columns *columns)
{
	static const char *const names[] = { "text", "content", "comment", "sentence", "message" };

	if (columns->text)
		return !strcmp(column, columns->text);
	return is_one_of(column, names, ARRAY_LEN(names));
}

bool data_is_label(const char *column, const struct data_columns *columns)
{
	static const char *const names[] = { "label", "labels", "risk", "risks" };

	if (columns->label)
		return !strcmp(column, columns->label);
	return is_one_of(column, names, ARRAY_LEN(names));
}

static int risk_bit(const struct data_reader *r, struct slice name, uint64_t *risks)
{
	struct samples *s = r->to;
	unsigned i;

	for (i = 0; i < s->risks; i++)
		if (slice_is(name, slice_str(s->names[i])))
			break;
	if (i == CLASSIFIER_RISKS_MAX)
		return data_bad(r, -EINVAL, "more than %d risks", CLASSIFIER_RISKS_MAX);
	if (i == s->risks) {
		memset(s->names[i], 0, sizeof(s->names[i]));
		memcpy(s->names[i], name.at, name.len);
		s->risks++;
	}
	*risks |= (uint64_t)1 << i;
	return 0;
}

static struct slice trimmed(struct slice s)
{
	while (s.len && (*s.at == ' ' || *s.at == '\t'))
		s = slice_from(s, 1);
	while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static int label_word(const struct data_reader *r, struct slice word, uint64_t *risks)
{
	static const char *const none[] = { "", "0", "false", "no", "none", "safe" };
	static const char *const some[] = { "1", "true", "yes" };
	struct slice name;
	uint16_t number;

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (slice_is_nocase(word, slice_str(none[i])))
			return 0;
	for (size_t i = 0; i < ARRAY_LEN(some); i++)
		if (slice_is_nocase(word, slice_str(some[i])))
			return risk_bit(r, slice_str(r->columns->positive), risks);
	if (!taxonomy_find(word, &name, &number))
		return data_bad(r, -EINVAL, "unknown label '%.*s': 0, 1, a clause like A.1.d or local.NAME",
		                (int)(word.len < 40 ? word.len : 40), (const char *)word.at);
	if (name.len >= CLASSIFIER_NAME_MAX)
		return data_bad(r, -EINVAL, "a risk's name is longer than %d bytes", CLASSIFIER_NAME_MAX - 1);
	return risk_bit(r, name, risks);
}

int data_label(const struct data_reader *r, struct slice label, uint64_t *risks)
{
	for (;;) {
		size_t n = 0;
		int err;

		while (n < label.len && !strchr(",;|", label.at[n]))
			n++;
		err = label_word(r, trimmed(slice_of(label.at, n)), risks);
		if (err || n == label.len)
			return err;
		label = slice_from(label, n + 1);
	}
}

int data_add(const struct data_reader *r, struct slice text, uint64_t risks)
{
	struct samples *s = r->to;
	uint8_t *copy;

	if (text.len > DATA_TEXT_MAX)
		return data_bad(r, -EFBIG, "a text of more than 1 MiB");
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 1024;
		struct sample *more = realloc(s->at, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->at = more;
		s->room = room;
	}
	copy = malloc(text.len + 1);
	if (!copy)
		return -ENOMEM;
	if (text.len)
		memcpy(copy, text.at, text.len);
	copy[text.len] = 0;
	s->at[s->count++] = (struct sample){ copy, text.len, risks };
	return 0;
}

/* ---- CSV ---- */

/* One record; its fields lie one after the other in `text`, each with a terminator. */
struct record {
	uint8_t *text; /* owned */
	size_t len, room;
	size_t starts[FIELDS_MAX + 1];
	size_t count;
};

static int put(struct record *c, uint8_t byte)
{
	if (c->len == c->room) {
		size_t room = c->room ? 2 * c->room : 4096;
		uint8_t *more = realloc(c->text, room);

		if (!more)
			return -ENOMEM;
		c->text = more;
		c->room = room;
	}
	c->text[c->len++] = byte;
	return 0;
}

static struct slice field(const struct record *c, size_t i)
{
	return slice_of(c->text + c->starts[i], c->starts[i + 1] - c->starts[i] - 1);
}

/* Reads one field from *in; what ends it (comma, line end, end) stays. *lines counts line ends inside it. */
static int read_field(const struct data_reader *r, struct record *c, struct slice *in, size_t *lines)
{
	bool quoted = in->len && *in->at == '"';
	int err = 0;

	if (quoted)
		*in = slice_from(*in, 1);
	while (!err && in->len) {
		uint8_t byte = *in->at;

		if (quoted && byte == '"') {
			*in = slice_from(*in, 1);
			if (!in->len || *in->at != '"')
				return put(c, 0);
		} else if (!quoted && byte == '"') {
			return data_bad(r, -EINVAL, "a quote inside a field that does not begin with one");
		} else if (!quoted && (byte == ',' || byte == '\n' || byte == '\r')) {
			break;
		}
		if (!byte)
			return data_bad(r, -EINVAL, "a byte of value 0");
		*lines += byte == '\n';
		if (c->len - c->starts[c->count - 1] >= DATA_TEXT_MAX + 1)
			return data_bad(r, -EFBIG, "a field of more than 1 MiB");
		err = put(c, byte);
		*in = slice_from(*in, 1);
	}
	if (err)
		return err;
	return quoted ? data_bad(r, -EINVAL, "the quote that begins here is never closed") : put(c, 0);
}

/* Reads one record and its line end. */
static int read_record(const struct data_reader *r, struct record *c, struct slice *in, size_t *lines)
{
	c->len = c->count = 0;
	for (;;) {
		int err;

		if (c->count == FIELDS_MAX)
			return data_bad(r, -EINVAL, "more than %d fields", FIELDS_MAX);
		c->starts[c->count++] = c->len;
		err = read_field(r, c, in, lines);
		if (err)
			return err;
		c->starts[c->count] = c->len;
		if (!in->len)
			return 0;
		if (*in->at == ',') {
			*in = slice_from(*in, 1);
			continue;
		}
		if (*in->at == '\r' && in->len > 1 && in->at[1] == '\n')
			*in = slice_from(*in, 1);
		if (*in->at != '\n')
			return data_bad(r, -EINVAL, "neither a comma nor a line end behind a field");
		*in = slice_from(*in, 1);
		++*lines;
		return 0;
	}
}

static int find_columns(const struct data_reader *r, const struct record *c, size_t *text, size_t *label)
{
	*text = *label = SIZE_MAX;
	for (size_t i = 0; i < c->count; i++) {
		const char *name = (const char *)c->text + c->starts[i];
		size_t *to = data_is_text(name, r->columns) ? text : data_is_label(name, r->columns) ? label : NULL;

		if (!to)
			continue;
		if (*to != SIZE_MAX)
			return data_bad(r, -EINVAL, "two columns may be the %s: say which",
			                to == text ? "text" : "label");
		*to = i;
	}
	if (*text == SIZE_MAX)
		return data_bad(r, -EINVAL, "no column '%s': --text-column names it",
		                r->columns->text ? r->columns->text : "text");
	if (*label == SIZE_MAX)
		return data_bad(r, -EINVAL, "no column '%s': --label-column names it",
		                r->columns->label ? r->columns->label : "label");
	return 0;
}

static int read_csv(struct data_reader *r, struct slice in, struct record *c)
{
	size_t text, label, fields = 0;

	for (size_t lines = 0; in.len; r->line += lines, lines = 0) {
		uint64_t risks = 0;
		int err;

		/* An empty line is no record: writers end files with them. */
		if (*in.at == '\n' || (*in.at == '\r' && in.len > 1 && in.at[1] == '\n')) {
			in = slice_from(in, *in.at == '\n' ? 1 : 2);
			lines = 1;
			continue;
		}
		err = read_record(r, c, &in, &lines);
		if (err)
			return err;
		if (!fields) {
			fields = c->count;
			err = find_columns(r, c, &text, &label);
			if (err)
				return err;
			continue;
		}
		if (c->count != fields)
			return data_bad(r, -EINVAL, "%zu fields where the header has %zu", c->count, fields);
		err = data_label(r, field(c, label), &risks);
		if (!err)
			err = data_add(r, field(c, text), risks);
		if (err)
			return err;
	}
	return fields ? 0 : data_bad(r, -EINVAL, "no header: the file is empty");
}

int data_read(struct samples *s, const char *name, struct slice bytes, const struct data_columns *columns, char **why)
{
	struct data_reader r = { s, name, 1, columns, why };
	struct record c = { 0 };
	size_t at = 0;
	int err;

	*why = NULL;
	if (bytes.len >= 3 && !memcmp(bytes.at, "\xef\xbb\xbf", 3))
		bytes = slice_from(bytes, 3);
	while (at < bytes.len && strchr(" \t\r\n", bytes.at[at]) && bytes.at[at])
		at++;
	if (at < bytes.len && bytes.at[at] == '{')
		return data_read_json(&r, bytes);
	err = read_csv(&r, bytes, &c);
	free(c.text);
	return err;
}
