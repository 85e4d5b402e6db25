/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1.c - HTTP/1.1 heads (RFC 9110, RFC 9112), read as they grow.
 *
 * One state for each part of a line, so a fault is found at the byte that makes it one: a TLS client is told apart by
 * its first byte, not by the line end that never comes. What a field means is read when its line is complete. Where the
 * RFCs allow a recipient to repair, this one refuses: whatever is repaired here would be read differently behind us.
 */
#include "stream/stream.h"

#include "base/own.h"

enum part { METHOD, TARGET, VERSION, STATUS, REASON, START_LF, LINE, NAME, SPACE, VALUE, VALUE_LF, END_LF, COMPLETE };

/* Classes of bytes. */
enum {
	TOKEN = 1,   /* RFC 9110 5.6.2: names, methods */
	TEXT = 2,    /* field values: visible, space, tab, obs-text */
	VISIBLE = 4, /* request targets */
	HOST = 8,    /* RFC 3986 host and port, but no comma: that is a list */
};

static const uint8_t class[256] = {
	['\t'] = TEXT,
	[' '] = TEXT,
	['!'] = TOKEN | TEXT | VISIBLE | HOST,
	['"'] = TEXT | VISIBLE,
	['#'] = TOKEN | TEXT | VISIBLE,
	['$' ... '\''] = TOKEN | TEXT | VISIBLE | HOST,
	['(' ... ')'] = TEXT | VISIBLE | HOST,
	['*' ... '+'] = TOKEN | TEXT | VISIBLE | HOST,
	[','] = TEXT | VISIBLE,
	['-' ... '.'] = TOKEN | TEXT | VISIBLE | HOST,
	['/'] = TEXT | VISIBLE,
	['0' ... '9'] = TOKEN | TEXT | VISIBLE | HOST,
	[':' ... ';'] = TEXT | VISIBLE | HOST,
	['<'] = TEXT | VISIBLE,
	['='] = TEXT | VISIBLE | HOST,
	['>' ... '@'] = TEXT | VISIBLE,
	['A' ... 'Z'] = TOKEN | TEXT | VISIBLE | HOST,
	['['] = TEXT | VISIBLE | HOST,
	['\\'] = TEXT | VISIBLE,
	[']'] = TEXT | VISIBLE | HOST,
	['^'] = TOKEN | TEXT | VISIBLE,
	['_'] = TOKEN | TEXT | VISIBLE | HOST,
	['`'] = TOKEN | TEXT | VISIBLE,
	['a' ... 'z'] = TOKEN | TEXT | VISIBLE | HOST,
	['{'] = TEXT | VISIBLE,
	['|'] = TOKEN | TEXT | VISIBLE,
	['}'] = TEXT | VISIBLE,
	['~'] = TOKEN | TEXT | VISIBLE | HOST,
	[0x80 ... 0xff] = TEXT,
};

bool http1_token_byte(uint8_t c)
{
	return class[c] & TOKEN;
}

bool http1_value_byte(uint8_t c)
{
	return class[c] & TEXT;
}

static struct slice at_span(struct slice bytes, struct span s)
{
	return (struct slice){ bytes.at + s.at, s.len };
}

static enum http1_fault refuse(struct http1_reader *r, enum http1_fault fault, const char *why)
{
	r->why = why;
	return fault;
}

/* The byte where a line should have gone on or ended is none of either. */
static enum http1_fault stray(struct http1_reader *r, uint8_t c, const char *why)
{
	return refuse(r, HTTP1_MALFORMED, c == '\n' ? "bare LF" : why);
}

/* Moves over bytes of that class. False: the input ends with them. */
static bool run(struct http1_reader *r, struct slice s, uint8_t wanted)
{
	while (r->seen < s.len && class[s.at[r->seen]] & wanted)
		r->seen++;
	return r->seen < s.len;
}

/* Uses the byte under way; the next one begins that part. */
static enum http1_fault go(struct http1_reader *r, enum part next)
{
	r->mark = ++r->seen;
	r->part = next;
	return HTTP1_FINE;
}

static struct span since_mark(const struct http1_reader *r)
{
	return (struct span){ r->mark, r->seen - r->mark };
}

/* ---- what fields mean ---- */

static enum http1_fault read_length(struct http1_reader *r, struct slice value)
{
	uint64_t n = 0;

	if (r->head.chunked)
		return refuse(r, HTTP1_MALFORMED, "both Transfer-Encoding and Content-Length");
	if (!value.len)
		return refuse(r, HTTP1_MALFORMED, "Content-Length is not a number");
	for (size_t i = 0; i < value.len; i++) {
		uint8_t digit = value.at[i] - '0';

		if (digit > 9)
			return refuse(r, HTTP1_MALFORMED, "Content-Length is not a number");
		if (n > ((uint64_t)INT64_MAX - digit) / 10)
			return refuse(r, HTTP1_MALFORMED, "Content-Length is too large");
		n = n * 10 + digit;
	}
	r->head.has_length = true;
	r->head.length = n;
	return HTTP1_FINE;
}

static enum http1_fault read_coding(struct http1_reader *r, struct slice value)
{
	if (r->head.minor == 0)
		return refuse(r, HTTP1_MALFORMED, "Transfer-Encoding in HTTP/1.0");
	if (r->head.has_length)
		return refuse(r, HTTP1_MALFORMED, "both Transfer-Encoding and Content-Length");
	if (!slice_is_nocase(value, SLICE("chunked")))
		return refuse(r, HTTP1_CODING, "Transfer-Encoding is not chunked");
	r->head.chunked = true;
	return HTTP1_FINE;
}

static enum http1_fault read_host(struct http1_reader *r, struct slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if (!(class[value.at[i]] & HOST))
			return refuse(r, HTTP1_MALFORMED, "Host is not a host");
	return HTTP1_FINE;
}

/* Takes the first element off a comma list, without the white space around it (RFC 9110 5.6.1). */
static struct slice list_next(struct slice *list)
{
	struct slice one = *list;

	one.len = 0;
	while (one.len < list->len && one.at[one.len] != ',')
		one.len++;
	*list = slice_from(*list, one.len < list->len ? one.len + 1 : one.len);
	while (one.len && (*one.at == ' ' || *one.at == '\t'))
		one = slice_from(one, 1);
	while (one.len && (one.at[one.len - 1] == ' ' || one.at[one.len - 1] == '\t'))
		one.len--;
	return one;
}

static enum http1_fault read_connection(struct http1_reader *r, struct slice value)
{
	while (value.len) {
		struct slice option = list_next(&value);

		r->head.close |= slice_is_nocase(option, SLICE("close"));
		r->head.keep_alive |= slice_is_nocase(option, SLICE("keep-alive"));
		r->head.upgrade |= slice_is_nocase(option, SLICE("upgrade"));
	}
	return HTTP1_FINE;
}

static enum http1_fault read_upgrade(struct http1_reader *r, struct slice value)
{
	(void)value;
	r->head.upgrade = true;
	return HTTP1_FINE;
}

static enum http1_fault read_expect(struct http1_reader *r, struct slice value)
{
	while (value.len)
		r->head.expect_continue |= slice_is_nocase(list_next(&value), SLICE("100-continue"));
	return HTTP1_FINE;
}

static enum http1_fault read_type(struct http1_reader *r, struct slice value)
{
	(void)value;
	r->head.content_type = r->head.fields[r->head.field_count].value;
	return HTTP1_FINE;
}

static enum http1_fault read_encoding(struct http1_reader *r, struct slice value)
{
	r->head.content_encoding = r->head.fields[r->head.field_count].value;
	while (value.len) {
		struct slice coding = list_next(&value);

		r->head.encoded |= coding.len && !slice_is_nocase(coding, SLICE("identity"));
	}
	return HTTP1_FINE;
}

/* The fields that decide how the message is read. `again`: a second line of that name would be read as the first, as
 * the last or as a list, depending on who reads. */
static const struct {
	struct slice name;
	enum http1_fault (*read)(struct http1_reader *r, struct slice value);
	enum http1_fault again; /* HTTP1_FINE: may be repeated */
	const char *why;
	bool frames;
} known[] = {
	{ SLICE("host"), read_host, HTTP1_MALFORMED, "more than one Host", false },
	{ SLICE("content-length"), read_length, HTTP1_MALFORMED, "more than one Content-Length", true },
	{ SLICE("transfer-encoding"), read_coding, HTTP1_CODING, "more than one Transfer-Encoding", true },
	{ SLICE("content-type"), read_type, HTTP1_MALFORMED, "more than one Content-Type", false },
	{ SLICE("content-encoding"), read_encoding, HTTP1_MALFORMED, "more than one Content-Encoding", false },
	{ SLICE("connection"), read_connection, HTTP1_FINE, NULL, false },
	{ SLICE("upgrade"), read_upgrade, HTTP1_FINE, NULL, false },
	{ SLICE("expect"), read_expect, HTTP1_FINE, NULL, false },
};
#define KNOWN_HOST 1u /* bit of the first row */

/* The line of fields[field_count] is complete. llhttp takes a tab behind "chunked" for a part of it, and reads on until
 * the connection closes. */
static enum http1_fault field_complete(struct http1_reader *r, struct slice s)
{
	struct http1_head *h = &r->head;
	struct slice name = at_span(s, h->fields[h->field_count].name);
	struct span value = h->fields[h->field_count].value;
	bool tab = memchr(s.at + value.at + value.len, '\t', r->seen - value.at - value.len);
	enum http1_fault fault = HTTP1_FINE;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!slice_is_nocase(name, known[i].name))
			continue;
		if (r->known & (1u << i) && known[i].again)
			return refuse(r, known[i].again, known[i].why);
		if (known[i].frames && tab)
			return refuse(r, HTTP1_MALFORMED, "a tab behind what frames the body");
		r->known |= 1u << i;
		fault = known[i].read(r, at_span(s, value));
		break;
	}
	h->field_count++;
	return fault;
}

/* ---- the parts of a head ---- */

static const struct {
	struct slice name;
	enum http1_method method;
} methods[] = {
	{ SLICE("GET"), HTTP1_GET },
	{ SLICE("HEAD"), HTTP1_HEAD },
	{ SLICE("POST"), HTTP1_POST },
	{ SLICE("CONNECT"), HTTP1_CONNECT },
};

static enum http1_fault part_method(struct http1_reader *r, struct slice s)
{
	struct http1_head *h = &r->head;

	if (!run(r, s, TOKEN))
		return HTTP1_FINE;
	h->method_name = since_mark(r);
	if (s.at[r->seen] != ' ' || !h->method_name.len)
		return stray(r, s.at[r->seen], "not a method");
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (slice_is(at_span(s, h->method_name), methods[i].name))
			h->method = methods[i].method;
	return go(r, TARGET);
}

static enum http1_fault part_target(struct http1_reader *r, struct slice s)
{
	if (!run(r, s, VISIBLE))
		return HTTP1_FINE;
	r->head.target = since_mark(r);
	if (s.at[r->seen] != ' ' || !r->head.target.len)
		return stray(r, s.at[r->seen], "not a request target");
	return go(r, VERSION);
}

static enum http1_fault version_complete(struct http1_reader *r, struct slice s)
{
	const uint8_t *digits = s.at + r->mark + 5;

	r->head.minor = digits[2] - '0';
	if (digits[0] == '1' && r->head.minor <= 1)
		return HTTP1_FINE;
	if (slice_is(slice_of(s.at, r->seen + 1), SLICE("PRI * HTTP/2.0")))
		return refuse(r, HTTP1_H2_PREFACE, "HTTP/2 preface");
	return refuse(r, HTTP1_VERSION, "neither HTTP/1.0 nor HTTP/1.1");
}

/* "HTTP/" DIGIT "." DIGIT, then what follows it in this kind of line. */
static enum http1_fault part_version(struct http1_reader *r, struct slice s)
{
	static const char form[] = "HTTP/0.0";
	enum http1_fault fault = HTTP1_FINE;
	uint32_t i = r->seen - r->mark;
	uint8_t c = s.at[r->seen];

	if (i == sizeof(form) - 1) {
		if (c != (r->response ? ' ' : '\r'))
			return stray(r, c, "bytes after the HTTP version");
		return go(r, r->response ? STATUS : START_LF);
	}
	if (form[i] == '0' ? c < '0' || c > '9' : c != form[i])
		return stray(r, c, "not an HTTP version");
	if (i == sizeof(form) - 2)
		fault = version_complete(r, s);
	r->seen += !fault;
	return fault;
}

static enum http1_fault part_status(struct http1_reader *r, struct slice s)
{
	uint32_t i = r->seen - r->mark;
	uint8_t c = s.at[r->seen];

	if (i == 3 && c == ' ')
		return go(r, REASON);
	if (i == 3 && c == '\r')
		return go(r, START_LF);
	if (i == 3 || c < (i ? '0' : '1') || c > (i ? '9' : '5'))
		return stray(r, c, "not a status code");
	r->head.status = r->head.status * 10 + (c - '0');
	r->seen++;
	return HTTP1_FINE;
}

static enum http1_fault part_reason(struct http1_reader *r, struct slice s)
{
	if (!run(r, s, TEXT))
		return HTTP1_FINE;
	if (s.at[r->seen] != '\r')
		return stray(r, s.at[r->seen], "control character in the reason");
	return go(r, START_LF);
}

static enum http1_fault part_start_lf(struct http1_reader *r, struct slice s)
{
	if (s.at[r->seen] != '\n')
		return refuse(r, HTTP1_MALFORMED, "bare CR");
	return go(r, LINE);
}

static enum http1_fault part_line(struct http1_reader *r, struct slice s)
{
	uint8_t c = s.at[r->seen];

	if (c == '\r')
		return go(r, END_LF);
	if (c == ' ' || c == '\t')
		return refuse(r, HTTP1_MALFORMED, "folded line");
	if (c == ':')
		return refuse(r, HTTP1_MALFORMED, "empty field name");
	if (!(class[c] & TOKEN))
		return stray(r, c, "not a field name");
	if (r->head.field_count == HTTP1_FIELDS_MAX)
		return refuse(r, HTTP1_TOO_LARGE, "too many fields");
	r->mark = r->seen;
	r->part = NAME;
	return HTTP1_FINE;
}

static enum http1_fault part_name(struct http1_reader *r, struct slice s)
{
	if (!run(r, s, TOKEN))
		return HTTP1_FINE;
	if (s.at[r->seen] == ' ' || s.at[r->seen] == '\t')
		return refuse(r, HTTP1_MALFORMED, "white space before the colon");
	if (s.at[r->seen] != ':')
		return stray(r, s.at[r->seen], "not a field name");
	r->head.fields[r->head.field_count].name = since_mark(r);
	return go(r, SPACE);
}

static enum http1_fault part_space(struct http1_reader *r, struct slice s)
{
	while (r->seen < s.len && (s.at[r->seen] == ' ' || s.at[r->seen] == '\t'))
		r->seen++;
	if (r->seen < s.len) {
		r->mark = r->seen;
		r->part = VALUE;
	}
	return HTTP1_FINE;
}

static enum http1_fault part_value(struct http1_reader *r, struct slice s)
{
	struct span value;

	if (!run(r, s, TEXT))
		return HTTP1_FINE;
	if (s.at[r->seen] != '\r')
		return stray(r, s.at[r->seen], "control character in a field value");
	value = since_mark(r);
	while (value.len && (s.at[value.at + value.len - 1] == ' ' || s.at[value.at + value.len - 1] == '\t'))
		value.len--;
	r->head.fields[r->head.field_count].value = value;
	return go(r, VALUE_LF);
}

static enum http1_fault part_value_lf(struct http1_reader *r, struct slice s)
{
	enum http1_fault fault;

	if (s.at[r->seen] != '\n')
		return refuse(r, HTTP1_MALFORMED, "bare CR");
	fault = field_complete(r, s);
	return fault ? fault : go(r, LINE);
}

static enum http1_fault part_end_lf(struct http1_reader *r, struct slice s)
{
	if (s.at[r->seen] != '\n')
		return refuse(r, HTTP1_MALFORMED, "bare CR");
	if (!r->response && r->head.minor == 1 && !(r->known & KNOWN_HOST))
		return refuse(r, HTTP1_MALFORMED, "no Host");
	/* RFC 9110 8.6, RFC 9112 6.1: http-parser would wait for the body. */
	if (r->response && (r->head.status < 200 || r->head.status == 204) && (r->head.chunked || r->head.length))
		return refuse(r, HTTP1_MALFORMED, "a body where there can be none");
	go(r, COMPLETE);
	r->head.len = r->seen;
	return HTTP1_FINE;
}

/* Each is called with at least one byte left. On a fault that byte stays where it is. */
static enum http1_fault (*const parts[COMPLETE])(struct http1_reader *r, struct slice s) = {
	[METHOD] = part_method, [TARGET] = part_target,     [VERSION] = part_version,   [STATUS] = part_status,
	[REASON] = part_reason, [START_LF] = part_start_lf, [LINE] = part_line,         [NAME] = part_name,
	[SPACE] = part_space,   [VALUE] = part_value,       [VALUE_LF] = part_value_lf, [END_LF] = part_end_lf,
};

void http1_start(struct http1_reader *r, bool response)
{
	*r = (struct http1_reader){ .response = response, .part = response ? VERSION : METHOD };
	r->head.response = response;
}

enum step http1_read(struct http1_reader *r, struct slice head, enum http1_fault *fault)
{
	if (head.len > HTTP1_HEAD_MAX)
		head.len = HTTP1_HEAD_MAX;
	while (!r->fault && r->part != COMPLETE && r->seen < head.len)
		r->fault = parts[r->part](r, head);
	if (!r->fault && r->part != COMPLETE && head.len == HTTP1_HEAD_MAX)
		r->fault = refuse(r, HTTP1_TOO_LARGE, "head too long");
	*fault = r->fault;
	if (r->fault)
		return STEP_BAD;
	return r->part == COMPLETE ? STEP_ITEM : STEP_MORE;
}

struct slice http1_value(const struct http1_head *h, struct slice bytes, struct slice name)
{
	for (uint32_t i = 0; i < h->field_count; i++)
		if (slice_is_nocase(at_span(bytes, h->fields[i].name), name))
			return at_span(bytes, h->fields[i].value);
	return (struct slice){ NULL, 0 };
}

enum http1_framing http1_framing(const struct http1_head *h, bool to_head)
{
	if (h->response && (to_head || h->status < 200 || h->status == 204 || h->status == 304))
		return HTTP1_NO_BODY;
	if (h->chunked)
		return HTTP1_CHUNKED;
	if (h->has_length)
		return HTTP1_LENGTH;
	return h->response ? HTTP1_UNTIL_CLOSE : HTTP1_NO_BODY;
}
