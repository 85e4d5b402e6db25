/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - the request lane: strict framing, and what must be known of a request to read its answer. */
#include "exchange/private.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

static enum exception fault_exception(enum http1_fault fault)
{
	switch (fault) {
	case HTTP1_TOO_LARGE:
		return EXCEPTION_REQUEST_TOO_LARGE;
	case HTTP1_VERSION:
		return EXCEPTION_HTTP_VERSION;
	case HTTP1_H2_PREFACE:
		return EXCEPTION_HTTP2;
	default:
		return EXCEPTION_REQUEST_MALFORMED;
	}
}

static void copy_shown(char *to, size_t room, struct slice s)
{
	size_t n = s.len < room - 1 ? s.len : room - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = s.at[i] > 0x20 && s.at[i] < 0x7f ? (char)s.at[i] : '?';
	to[n] = '\0';
}

/* The path of a request target: origin form, or absolute form (RFC 9112 3.2.2). */
static struct slice path_of(struct slice target)
{
	size_t end = 0;

	if (target.len && target.at[0] != '/') {
		const uint8_t *scheme = memmem(target.at, target.len, "://", 3);

		if (scheme) {
			size_t at = (size_t)(scheme - target.at) + 3;

			while (at < target.len && target.at[at] != '/')
				at++;
			target = slice_from(target, at);
		}
	}
	while (end < target.len && target.at[end] != '?' && target.at[end] != '#')
		end++;
	return slice_of(target.at, end);
}

static int hex_digit(uint8_t c)
{
	c = ascii_lower(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path as a server's router reads it: percent-encoding taken off (RFC 3986 2.1), empty segments left out. A client
 * must not choose by its spelling how an answer is read. What is too long to be a path we know stays as it is. */
static struct slice decoded(struct slice path, uint8_t *to, size_t room)
{
	size_t n = 0;

	if (path.len > room)
		return path;
	for (size_t i = 0; i < path.len; i++) {
		uint8_t c = path.at[i];

		if (c == '%' && i + 2 < path.len && hex_digit(path.at[i + 1]) >= 0 && hex_digit(path.at[i + 2]) >= 0) {
			c = (uint8_t)(hex_digit(path.at[i + 1]) << 4 | hex_digit(path.at[i + 2]));
			i += 2;
		}
		if (c == '/' && n && to[n - 1] == '/')
			continue;
		to[n++] = c;
	}
	return slice_of(to, n);
}

/* SHA-256(name in lower case ‖ 0 ‖ value) of the first identity field that was given. */
static void identify(struct exchange *x, const struct http1_head *h, struct slice head)
{
	for (size_t i = 0; i < x->limits.identity_count && !x->report.has_subject; i++) {
		const char *name = x->limits.identity[i];
		struct slice value = http1_value(h, head, slice_str(name));
		EVP_MD_CTX *md = value.len ? EVP_MD_CTX_new() : NULL;
		bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

		for (; good && *name; name++) {
			uint8_t c = ascii_lower((uint8_t)*name);

			good = EVP_DigestUpdate(md, &c, 1);
		}
		good = good && EVP_DigestUpdate(md, "", 1) && EVP_DigestUpdate(md, value.at, value.len);
		x->report.has_subject = good && EVP_DigestFinal_ex(md, x->report.subject, NULL);
		EVP_MD_CTX_free(md);
	}
}

/* How an answer is read never hangs on its request; a refusal says less where the request could not be read. */
static void learn_no_more(struct exchange *x)
{
	/* What one reader takes for another model than the next is not known: all rules count. */
	x->report.model[0] = '\0';
	if (x->request_walk)
		walk_free(x->request_walk);
	free(x->request_walk);
	x->request_walk = NULL;
}

/* `encoding`: the request's, which may be none that we know. */
static enum exception learn_begin(struct exchange *x, struct slice encoding)
{
	enum coding coding;

	if (!coding_of(encoding, &coding))
		return EXCEPTION_NONE;
	if (coding != CODING_NONE && decoder_new(&x->request_decoder, coding))
		return EXCEPTION_MEMORY;
	x->request_walk = malloc(sizeof(*x->request_walk));
	if (!x->request_walk)
		return EXCEPTION_MEMORY;
	memset(x->request_walk, 0, WALK_BLANK);
	walk_start(x->request_walk, x->report.dialect->request);
	return EXCEPTION_NONE;
}

static enum exception head_read(struct exchange *x, struct lane *l, struct slice head)
{
	struct http1_head *h = &x->reader->head;
	struct slice method = slice_of(head.at + h->method_name.at, h->method_name.len);
	struct slice path = path_of(slice_of(head.at + h->target.at, h->target.len));
	enum http1_framing framing = http1_framing(h, false);
	enum upgrade upgrade = upgrade_of(h, head);
	uint8_t plain[256];

	copy_shown(x->report.method, sizeof(x->report.method), method);
	copy_shown(x->report.path, sizeof(x->report.path), path);
	if (h->method == HTTP1_CONNECT)
		return EXCEPTION_CONNECT;
	/* h2c is an offer that a server may leave: it does not see it. */
	x->to_websocket = upgrade == UPGRADE_WEBSOCKET && x->limits.upgrade_pass && h->method == HTTP1_GET &&
	                  framing == HTTP1_NO_BODY && h->minor;
	if (upgrade != UPGRADE_NONE && upgrade != UPGRADE_H2C && !x->to_websocket)
		return EXCEPTION_UPGRADE;
	x->begun = true;
	identify(x, h, head);
	x->to_head = h->method == HTTP1_HEAD;
	x->http10 = !h->minor;
	x->report.dialect = dialect_of(method, decoded(path, plain, sizeof(plain)));
	http1_body_start(&x->request_body, framing, h->length);
	if (x->report.dialect->request && framing != HTTP1_NO_BODY) {
		enum exception e = learn_begin(x, slice_of(head.at + h->content_encoding.at, h->content_encoding.len));

		if (e != EXCEPTION_NONE)
			return e;
	}
	if (narrow(l, h, upgrade == UPGRADE_H2C))
		return EXCEPTION_REQUEST_TOO_LARGE;
	l->parsed += h->len;
	l->cleared = l->parsed;
	free(x->reader);
	x->reader = NULL;
	x->asking = framing == HTTP1_NO_BODY ? PHASE_DONE : PHASE_BODY;
	return EXCEPTION_NONE;
}

static enum exception read_head(struct exchange *x, struct lane *l)
{
	struct slice head = slice_from(buf_slice(&l->buf), l->parsed);
	enum http1_fault fault;

	if (!head.len)
		return EXCEPTION_NONE;
	x->request_seen = true;
	if (!x->reader) {
		x->reader = malloc(sizeof(*x->reader));
		if (!x->reader)
			return EXCEPTION_MEMORY;
		http1_start(x->reader, false);
	}
	switch (http1_read(x->reader, head, &fault)) {
	case STEP_MORE:
		return EXCEPTION_NONE;
	case STEP_BAD:
		x->report.detail = x->reader->why;
		return fault_exception(fault);
	default:
		return head_read(x, l, head);
	}
}

/* A body that is not JSON tells nothing; the server will say so. */
static void learn(struct exchange *x, struct slice data)
{
	struct leaf leaf;
	enum step step;
	size_t used;

	do {
		step = walk_feed(x->request_walk, data, &used, &leaf);
		data = slice_from(data, used);
		if (step == STEP_ITEM && leaf.tap == TAP_MODEL && leaf.string) {
			size_t room = sizeof(x->report.model) - x->model_len;

			copy_shown(x->report.model + x->model_len, room, leaf.text);
			x->model_len = strlen(x->report.model);
		}
		if (step == STEP_ITEM && leaf.tap == TAP_WANTS_USAGE && !leaf.string)
			x->wants_usage = slice_is(leaf.text, SLICE("true"));
		if (step == STEP_ITEM && leaf.tap == TAP_N && !leaf.string)
			for (size_t i = 0; i < leaf.text.len && x->wanted < CHOICES_MAX; i++)
				if (leaf.text.at[i] >= '0' && leaf.text.at[i] <= '9')
					x->wanted = x->wanted * 10 + (leaf.text.at[i] - '0');
	} while (step == STEP_ITEM);
	if (step == STEP_BAD)
		learn_no_more(x);
}

/* An encoded body: what cannot be decoded tells nothing, either. */
static void learn_encoded(struct exchange *x, struct slice data)
{
	struct slice piece;

	for (size_t i = 0; i < data.len && x->request_walk; i++) {
		enum step step;

		decoder_give(x->request_decoder, data.at[i]);
		while ((step = decoder_take(x->request_decoder, &piece)) == STEP_ITEM && x->request_walk)
			learn(x, piece);
		if (step == STEP_BAD)
			learn_no_more(x);
	}
}

static enum exception read_body(struct exchange *x, struct lane *l)
{
	struct http1_body_item item;
	enum step step;
	size_t used;

	do {
		step = http1_body_feed(&x->request_body, slice_from(buf_slice(&l->buf), l->parsed), &used, &item);
		if (step == STEP_BAD) {
			x->report.detail = item.why;
			return EXCEPTION_REQUEST_MALFORMED;
		}
		l->parsed += used;
		if (step == STEP_ITEM && item.kind == HTTP1_DATA && x->request_decoder)
			learn_encoded(x, item.data);
		else if (step == STEP_ITEM && item.kind == HTTP1_DATA && x->request_walk)
			learn(x, item.data);
		/* The end of a body comes by a call of its own. */
	} while (step == STEP_ITEM ? item.kind != HTTP1_END : used > 0);
	l->cleared = l->parsed;
	if (step == STEP_ITEM)
		x->asking = PHASE_DONE;
	return EXCEPTION_NONE;
}

enum order exchange_request(struct exchange *x, struct lane *l, bool eof)
{
	enum exception e = EXCEPTION_NONE;

	if (x->answering == PHASE_CUT)
		return ORDER_CUT;
	if (x->asking == PHASE_HEAD)
		e = read_head(x, l);
	if (x->asking == PHASE_BODY && e == EXCEPTION_NONE)
		e = read_body(x, l);
	if (e == EXCEPTION_NONE && eof && x->asking == PHASE_HEAD && x->request_seen) {
		e = EXCEPTION_REQUEST_MALFORMED;
		x->report.detail = "the request ends in its head";
	}
	if (e != EXCEPTION_NONE)
		return exchange_except(x, e, NULL);
	return x->asking == PHASE_DONE ? ORDER_DONE : ORDER_PUMP;
}
