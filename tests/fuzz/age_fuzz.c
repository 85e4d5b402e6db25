/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age_fuzz.c - any bytes as an age file and as an identity: reading ends, and what we sealed is read as it was, or,
 * once a byte of it is another, not at all.
 *
 * The first byte says which: odd, the rest is a file; even, the rest is a text that is sealed, of which the next two
 * bytes say which byte is changed.
 */
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "record/age.h"
#include "record/record.h"
#include "tests/lib/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of no use to anybody. */
static const char *const secret = "AGE-SECRET-KEY-1QHNJAFLFVWX3P7WXUVWU4AUYMLDR8WYNY7G6Z9L7YH38WL4LKUSQ8XEV67";

static struct age_identity mine(void)
{
	static struct age_identity id;
	static bool have;

	if (!have)
		MUST(!age_identity_read(&id, secret));
	have = true;
	return id;
}

static int open_file(const uint8_t *file, size_t len, uint8_t **text, size_t *text_len)
{
	struct age_identity id = mine();
	int err = age_open(&id, 1, file, len, text, text_len);

	MUST(!err || err == -EBADMSG || err == -EACCES);
	return err;
}

static void seal(const uint8_t *data, size_t size)
{
	struct age_identity id = mine();
	struct age_recipient to;
	owned(own_free) uint8_t *header = NULL;
	owned(own_free) uint8_t *payload = NULL;
	owned(own_free) uint8_t *file = NULL;
	owned(own_free) uint8_t *text = NULL;
	owned(own_free) uint8_t *other = NULL;
	size_t header_len, payload_len, len, at = (size_t)data[0] << 8 | data[1];

	memcpy(to.key, id.recipient, sizeof(to.key));
	MUST(!age_seal(&to, 1, slice_of(data, size), &header, &header_len, &payload, &payload_len));
	file = malloc(header_len + payload_len);
	MUST(file);
	memcpy(file, header, header_len);
	memcpy(file + header_len, payload, payload_len);
	MUST(!open_file(file, header_len + payload_len, &text, &len));
	MUST(len == size && !memcmp(text, data, len));
	file[at % (header_len + payload_len)] ^= 0x20;
	MUST(open_file(file, header_len + payload_len, &other, &len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned(own_free) uint8_t *text = NULL;
	owned(own_free) char *line = NULL;
	struct age_identity id;
	size_t len;

	if (size < 3)
		return 0;
	if (!(data[0] & 1)) {
		seal(data + 1, size - 1);
		return 0;
	}
	(void)open_file(data + 1, size - 1, &text, &len);
	line = strndup((const char *)data + 1, size - 1);
	MUST(line);
	(void)age_identity_read(&id, line);
	return 0;
}
