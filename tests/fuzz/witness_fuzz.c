/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_fuzz.c - any bytes as a request to a witness, and the same bytes as an answer of one. Of a log whose key
 * everybody has: the first byte may ask for the note to be signed, so that what stands behind the signature is reached.
 * A cosignature is of the text that was sent, and sizes never fall.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "record/note.h"
#include "record/record.h"

#define ORIGIN "l"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];
static struct witness *witness;
static struct note_signer signer;
static struct note_key key;
static uint64_t last;

static void at_exit(void)
{
	char command[128];

	witness_close(&witness);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		abort();
}

static void begin(void)
{
	char log[VKEY_MAX], vkey[LEDGER_VKEY];
	const char *one = log;
	struct witness_options o = { .dir = dir, .name = "w", .logs = &one, .log_count = 1 };

	strcpy(dir, "/dev/shm/sluice-fuzz-XXXXXX");
	if (!mkdtemp(dir))
		abort();
	atexit(at_exit);
	if (note_signer_make(&signer, ORIGIN, KEY_ED25519, (const uint8_t[KEY_LEN]){ 1 }))
		abort();
	note_key_text(&signer.pub, log);
	if (witness_open(&witness, &o))
		abort();
	witness_vkey(witness, vkey);
	if (note_key_read(&key, slice_str(vkey)))
		abort();
}

/* Behind the last empty line, the log's own signature in place of what stood there. Returns the length. */
static size_t sign(uint8_t *at, size_t len, size_t room)
{
	size_t text = 0, end = len;
	int n;

	for (size_t i = 1; i < len; i++)
		if (at[i] == '\n' && at[i - 1] == '\n')
			end = i;
	for (size_t i = 1; i < end && !text; i++)
		if (at[i] == '\n' && at[i - 1] == '\n')
			text = i + 1;
	if (end + 1 >= len || text >= end)
		return len;
	n = note_signature(&signer, slice_of(at + text, end - text), 1, (char *)at + end + 1, room - end - 1);
	return n < 0 ? len : end + 1 + (size_t)n;
}

static void check(const uint8_t *at, size_t len, const struct witness_answer *a)
{
	struct slice body = slice_of(at, len), line, text, signatures;
	struct checkpoint c;

	if (a->status != 200)
		return;
	while (note_line(&body, &line) && line.len)
		;
	if (note_split(body, &text, &signatures) || checkpoint_read(&c, text) || c.size < last ||
	    !note_signed_by(text, slice_of(a->body, a->len), &key, NULL))
		abort();
	last = c.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t copy[WITNESS_BODY];
	struct witness_answer a;
	size_t len;

	if (!witness)
		begin();
	if (!size || size > sizeof(copy) / 2)
		return 0;
	len = size - 1;
	memcpy(copy, data + 1, len);
	if (data[0] & 1)
		len = sign(copy, len, sizeof(copy));
	witness_add(witness, copy, len, &a);
	if (a.len >= sizeof(a.body) || !a.type)
		abort();
	check(copy, len, &a);
	return 0;
}
