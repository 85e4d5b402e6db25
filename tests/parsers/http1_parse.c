/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_parse.c - what we make of bytes on a connection, for tests/e2e/parsers_test.py to compare with other parsers.
 *
 *   http1_parse request|response < CASES
 *
 * Each case is a length (4 bytes, big-endian) and as many bytes, the last of the connection. For each, one line of
 * JSON:
 *   {"messages": [{"start": [..], "fields": [[name, value]..], "body": hex, "complete": bool}..],
 *    "passed": bytes that would go on to the other side, "error": text or null}
 */
#include <stdio.h>
#include <stdlib.h>

#include "stream/stream.h"

static void put_string(struct slice s)
{
	putchar('"');
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < 0x20 || s.at[i] >= 0x7f || s.at[i] == '"' || s.at[i] == '\\')
			printf("\\u%04x", s.at[i]);
		else
			putchar(s.at[i]);
	putchar('"');
}

static struct slice part(struct slice in, struct span s)
{
	return slice_of(in.at + s.at, s.len);
}

static void put_head(const struct http1_head *h, struct slice in, bool first)
{
	printf("%s{\"start\": [", first ? "" : ", ");
	if (h->response) {
		printf("%u", h->status);
	} else {
		put_string(part(in, h->method_name));
		printf(", ");
		put_string(part(in, h->target));
	}
	printf(", %u], \"fields\": [", h->minor);
	for (uint32_t i = 0; i < h->field_count; i++) {
		printf("%s[", i ? ", " : "");
		put_string(part(in, h->fields[i].name));
		printf(", ");
		put_string(part(in, h->fields[i].value));
		printf("]");
	}
	printf("], \"body\": \"");
}

/* Of one message. Returns why it ended the connection, or NULL; *used: its bytes, *complete. */
static const char *message(struct slice in, bool response, bool first, size_t *used, bool *complete)
{
	static struct http1_reader reader;
	struct http1_body body;
	struct http1_body_item item = {};
	enum http1_framing framing;
	enum http1_fault fault;
	enum step step;
	size_t n;

	*used = 0;
	*complete = false;
	http1_start(&reader, response);
	step = http1_read(&reader, in, &fault);
	if (step != STEP_ITEM)
		return step == STEP_BAD ? reader.why : "incomplete head";
	/* What exchange refuses of a head that is well-formed. */
	if (!response && reader.head.method == HTTP1_CONNECT)
		return "connect";
	if ((!response && reader.head.upgrade) || (response && reader.head.status == 101))
		return "upgrade";
	put_head(&reader.head, in, first);
	*used = reader.head.len;
	framing = http1_framing(&reader.head, false);
	http1_body_start(&body, framing, reader.head.length);
	do {
		step = http1_body_feed(&body, slice_from(in, *used), &n, &item);
		if (step == STEP_ITEM && item.kind == HTTP1_DATA)
			for (size_t i = 0; i < item.data.len; i++)
				printf("%02x", item.data.at[i]);
		*used += step == STEP_BAD ? 0 : n;
	} while (step == STEP_ITEM ? item.kind != HTTP1_END : step == STEP_MORE && n > 0);
	*complete = step == STEP_ITEM || (framing == HTTP1_UNTIL_CLOSE && step == STEP_MORE);
	printf("\", \"complete\": %s}", *complete ? "true" : "false");
	return step == STEP_BAD ? item.why : *complete ? NULL : "incomplete body";
}

int main(int argc, char **argv)
{
	bool response = argc > 1 && !strcmp(argv[1], "response");
	uint8_t length[4];

	while (fread(length, 1, 4, stdin) == 4) {
		size_t len = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3],
		       used;
		uint8_t *bytes = malloc(len + 1);
		struct slice in = slice_of(bytes, len);
		const char *error = NULL;
		bool first = true, complete;

		if (!bytes || fread(bytes, 1, len, stdin) != len)
			return 1;
		printf("{\"messages\": [");
		while (in.len && !error) {
			error = message(in, response, first, &used, &complete);
			first &= !used;
			in = slice_from(in, used);
		}
		printf("], \"passed\": %zu, \"error\": ", len - in.len);
		if (error)
			put_string(slice_str(error));
		else
			printf("null");
		printf("}\n");
		free(bytes);
	}
	return 0;
}
