/* SPDX-License-Identifier: Apache-2.0 */
/* needle.c - first and last byte of the needle are compared with 16 places at once; where both fit, the rest is. */
#include "record/needle.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Unicode has other cases of these beyond ASCII: K U+212A, long s U+017F, dotted and dotless i. */
static bool is_plain(uint8_t c)
{
	return c && c < 0x80 && !strchr("kKsSiI", c);
}

bool needle_make(struct needle *n, struct slice text, bool caseless)
{
	size_t best = 0, len = caseless ? 0 : text.len, run = 0;

	for (size_t i = 0; caseless && i < text.len; i++) {
		run = is_plain(text.at[i]) ? run + 1 : 0;
		if (run > len) {
			len = run;
			best = i + 1 - run;
		}
	}
	if (len < NEEDLE_LEAST)
		return false;
	n->len = (uint8_t)(len < NEEDLE_MOST ? len : NEEDLE_MOST);
	n->caseless = caseless;
	for (size_t i = 0; i < n->len; i++)
		n->at[i] = caseless ? ascii_lower(text.at[best + i]) : text.at[best + i];
	return true;
}

static bool stands_at(const struct needle *n, const uint8_t *at)
{
	if (!n->caseless)
		return !memcmp(at, n->at, n->len);
	for (size_t i = 0; i < n->len; i++)
		if (ascii_lower(at[i]) != n->at[i])
			return false;
	return true;
}

static uint8_t fold_of(const struct needle *n, uint8_t c)
{
	return n->caseless && c >= 'a' && c <= 'z' ? 0x20 : 0;
}

#ifdef __SSE2__
/* Goes on from *at. False: not found before the last few bytes, which begin at *at then. */
static bool find_wide(const struct needle *n, struct slice in, size_t *at)
{
	__m128i first = _mm_set1_epi8((char)n->at[0]), last = _mm_set1_epi8((char)n->at[n->len - 1]);
	__m128i fold1 = _mm_set1_epi8((char)fold_of(n, n->at[0]));
	__m128i fold2 = _mm_set1_epi8((char)fold_of(n, n->at[n->len - 1]));
	size_t i = *at;

	for (; i < in.len && in.len - i >= sizeof(first) + n->len; i += sizeof(first)) {
		__m128i a = _mm_loadu_si128((const __m128i_u *)(in.at + i));
		__m128i b = _mm_loadu_si128((const __m128i_u *)(in.at + i + n->len - 1));
		unsigned both = (unsigned)_mm_movemask_epi8(_mm_and_si128(
			_mm_cmpeq_epi8(_mm_or_si128(a, fold1), first), _mm_cmpeq_epi8(_mm_or_si128(b, fold2), last)));

		for (; both; both &= both - 1) {
			*at = i + (size_t)__builtin_ctz(both);
			if (stands_at(n, in.at + *at))
				return true;
		}
	}
	*at = i;
	return false;
}
#else
static bool find_wide(const struct needle *n, struct slice in, size_t *at)
{
	(void)n, (void)in, (void)at;
	return false;
}
#endif

size_t needle_find(const struct needle *n, struct slice in, size_t from)
{
	if (find_wide(n, in, &from))
		return from;
	for (; from < in.len && in.len - from >= n->len; from++)
		if (stands_at(n, in.at + from))
			return from;
	return in.len;
}
