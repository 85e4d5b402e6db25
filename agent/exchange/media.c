/* SPDX-License-Identifier: Apache-2.0 */
/* media.c - what an answer says it is, and whether that can be read. */
#include "exchange/private.h"

static bool media_is(struct slice type, const char *media)
{
	return slice_is_nocase(type, slice_str(media));
}

static bool ends_in(struct slice s, struct slice tail)
{
	return s.len > tail.len && slice_is_nocase(slice_from(s, s.len - tail.len), tail);
}

static struct slice trim(struct slice s)
{
	while (s.len && (s.at[0] == ' ' || s.at[0] == '\t'))
		s = slice_from(s, 1);
	while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static struct slice until(struct slice s, uint8_t c)
{
	const uint8_t *at = s.len ? memchr(s.at, c, s.len) : NULL;

	return at ? slice_of(s.at, (size_t)(at - s.at)) : s;
}

/* A charset parameter other than UTF-8 or its subset is text that we would misread. */
static bool charset_readable(struct slice params)
{
	while (params.len) {
		struct slice one = until(params, ';'), name = trim(until(one, '=')), value;

		params = slice_from(params, one.len < params.len ? one.len + 1 : one.len);
		if (!slice_is_nocase(name, SLICE("charset")))
			continue;
		value = trim(slice_from(one, until(one, '=').len < one.len ? until(one, '=').len + 1 : one.len));
		if (value.len > 1 && value.at[0] == '"' && value.at[value.len - 1] == '"')
			value = slice_of(value.at + 1, value.len - 2);
		if (!slice_is_nocase(value, SLICE("utf-8")) && !slice_is_nocase(value, SLICE("utf8")) &&
		    !slice_is_nocase(value, SLICE("us-ascii")))
			return false;
	}
	return true;
}

/* Text by another name: metrics as Prometheus asks for them, documentation pages. */
static bool is_text(struct slice type)
{
	static const char *const names[] = { "application/openmetrics-text", "application/javascript",
		                             "application/yaml", "application/xml" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (media_is(type, names[i]))
			return true;
	return type.len > 5 && slice_is_nocase(slice_of(type.at, 5), SLICE("text/"));
}

enum body_kind body_kind_of(const struct http1_head *h, struct slice head, enum http1_framing framing,
                            enum coding *coding, enum exception *exception)
{
	static const char *const lines[] = { "application/x-ndjson", "application/ndjson", "application/jsonl",
		                             "application/x-jsonlines", "application/jsonlines" };
	struct slice value = slice_of(head.at + h->content_type.at, h->content_type.len), type = until(value, ';');

	*exception = EXCEPTION_NONE;
	if (framing == HTTP1_NO_BODY || (framing == HTTP1_LENGTH && !h->length))
		return BODY_NONE;
	if (h->status == 206) {
		*exception = EXCEPTION_PARTIAL_CONTENT;
		return BODY_NONE;
	}
	*coding = CODING_NONE;
	if (h->encoded && !coding_of(slice_of(head.at + h->content_encoding.at, h->content_encoding.len), coding)) {
		*exception = EXCEPTION_CONTENT_ENCODING;
		return BODY_NONE;
	}
	if (!charset_readable(slice_from(value, type.len < value.len ? type.len + 1 : type.len))) {
		*exception = EXCEPTION_CHARSET;
		return BODY_NONE;
	}
	type = trim(type);
	if (media_is(type, "text/event-stream"))
		return BODY_EVENTS;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (media_is(type, lines[i]))
			return BODY_LINES;
	if (media_is(type, "application/json") || media_is(type, "text/json") || ends_in(type, SLICE("+json")))
		return BODY_JSON;
	if (media_is(type, "application/octet-stream") &&
	    http1_value(h, head, SLICE("inference-header-content-length")).at)
		return BODY_TENSORS;
	if (is_text(type))
		return framing == HTTP1_LENGTH ? BODY_TEXT : BODY_LIVE;
	*exception = EXCEPTION_CONTENT_TYPE;
	return BODY_NONE;
}
