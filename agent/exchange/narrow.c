/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow.c - what a request offers and we could not read is taken out of its head before the server sees it.
 *
 * Offers only: a server may ignore each of them (RFC 9110 7.8, 12.5.3), so a request means the same without. In place,
 * from the last field on, so that the places of the fields before stay right.
 */
#include "exchange/private.h"

#define OPTIONS_MAX 1024

static struct slice part(struct slice head, struct span s)
{
	return slice_of(head.at + s.at, s.len);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == ',';
}

/* The next element of a comma list; empty: the last was given. */
static struct slice next_option(struct slice *list)
{
	struct slice one;

	while (list->len && is_blank(*list->at))
		*list = slice_from(*list, 1);
	one = slice_of(list->at, 0);
	while (one.len < list->len && one.at[one.len] != ',')
		one.len++;
	*list = slice_from(*list, one.len);
	while (one.len && is_blank(one.at[one.len - 1]))
		one.len--;
	return one;
}

static bool about_h2c(struct slice name)
{
	return slice_is_nocase(name, SLICE("upgrade")) || slice_is_nocase(name, SLICE("http2-settings"));
}

enum upgrade upgrade_of(const struct http1_head *h, struct slice head)
{
	enum upgrade is = UPGRADE_NONE;

	if (!h->upgrade)
		return UPGRADE_NONE;
	for (uint32_t i = 0; i < h->field_count; i++) {
		struct slice value = part(head, h->fields[i].value);

		if (!slice_is_nocase(part(head, h->fields[i].name), SLICE("upgrade")))
			continue;
		if (is != UPGRADE_NONE)
			return UPGRADE_OTHER;
		is = slice_is_nocase(value, SLICE("websocket")) ? UPGRADE_WEBSOCKET
		     : slice_is_nocase(value, SLICE("h2c"))     ? UPGRADE_H2C
		                                                : UPGRADE_OTHER;
	}
	return is == UPGRADE_NONE ? UPGRADE_OTHER : is;
}

/* Connection without the options that go with h2c; the length of what is left in `to`. */
static size_t other_options(struct slice value, uint8_t *to)
{
	struct slice one;
	size_t n = 0;

	while ((one = next_option(&value)).len) {
		if (about_h2c(one))
			continue;
		if (n) {
			to[n++] = ',';
			to[n++] = ' ';
		}
		memcpy(to + n, one.at, one.len);
		n += one.len;
	}
	return n;
}

/* What takes the place of the n bytes at `at` of the head. */
static int put(struct lane *l, struct http1_head *h, uint32_t at, uint32_t n, struct slice bytes)
{
	int err = buf_splice(&l->buf, l->parsed + at, n, bytes);

	if (!err)
		h->len += (uint32_t)bytes.len - n;
	return err;
}

int narrow(struct lane *l, struct http1_head *h, bool h2c)
{
	uint32_t end = h->len - 2; /* of the line under way */
	uint8_t options[OPTIONS_MAX];
	int err = 0;

	for (uint32_t i = h->field_count; i-- > 0 && !err;) {
		const struct http1_field *f = &h->fields[i];
		struct slice head = slice_from(buf_slice(&l->buf), l->parsed), name = part(head, f->name);
		uint32_t line = end - f->name.at;

		end = f->name.at;
		if (slice_is_nocase(name, SLICE("accept-encoding"))) {
			/* What comes as it is goes out by the event, and can be ended in words. */
			err = put(l, h, f->value.at, f->value.len, SLICE("identity"));
		} else if (h2c && about_h2c(name)) {
			err = put(l, h, f->name.at, line, SLICE(""));
		} else if (h2c && slice_is_nocase(name, SLICE("connection"))) {
			size_t n = 0;

			if (f->value.len > OPTIONS_MAX / 2)
				return -1;
			n = other_options(part(head, f->value), options);
			err = n ? put(l, h, f->value.at, f->value.len, slice_of(options, n))
			        : put(l, h, f->name.at, line, SLICE(""));
		}
	}
	return err;
}
