/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encoding_fuzz.c - content codings taken off.
 *
 * Input: one byte that names the coding, then the encoded bytes.
 *
 * Must hold: no more text than the caps allow; of every prefix at least the text that the library gives a reader who
 * has it at once; the same text as that reader's where both come to an end.
 */
#include <stdint.h>

#include "tests/lib/encode.h"
#include "tests/lib/fuzz.h"

#define TEXT_MAX (1u << 21)

static uint8_t ours[TEXT_MAX], theirs[TEXT_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum step step = STEP_MORE;
	struct decoder *d;
	struct slice in, piece;
	enum coding coding;
	size_t len = 0, used = 0, n;
	const char *why;
	bool bare;

	if (size < 1 || size > 4096)
		return 0;
	coding = CODING_GZIP + data[0] % (CODING_COUNT - 1);
	in = slice_of(data + 1, size - 1);
	MUST(!decoder_new(&d, coding));
	for (; used < in.len && step == STEP_MORE; used++) {
		decoder_give(d, in.at[used]);
		while ((step = decoder_take(d, &piece)) == STEP_ITEM) {
			MUST(piece.len);
			if (len + piece.len <= TEXT_MAX)
				memcpy(ours + len, piece.at, piece.len);
			len += piece.len;
		}
		MUST(len <= DECODER_SLACK + (size_t)DECODER_RATIO_MAX * (used + 2) + 32768);
	}
	MUST((step == STEP_BAD) == (decoder_fault(d, &why) != DECODER_FINE));
	MUST(step != STEP_BAD || why);
	/* Bytes in front of the one that was refused may have gone out. */
	in.len = step == STEP_BAD ? used - 1 : used;
	bare = coding == CODING_DEFLATE && in.len > 1 &&
	       ((in.at[0] & 15) != 8 || in.at[0] >> 4 > 7 || (in.at[0] << 8 | in.at[1]) % 31);
	n = decode_prefix(coding, bare, in, theirs, TEXT_MAX);
	MUST(n <= len && (len > TEXT_MAX || !memcmp(ours, theirs, n)));
	if (step == STEP_MORE && len <= TEXT_MAX)
		MUST(n == len);
	decoder_free(&d);
	return 0;
}
