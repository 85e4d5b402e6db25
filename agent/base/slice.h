/* SPDX-License-Identifier: Apache-2.0 */
/* slice.h - bytes that somebody else owns: a pointer and a length, never a terminator. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *at;
	size_t len;
};

/* The slice of a string literal, without its terminator. */
#define SLICE(text) ((struct slice){ (const uint8_t *)(text), sizeof(text) - 1 })

/* For printf's "%.*s". */
#define SLICE_ARG(s) (int)(s).len, (const char *)(s).at

static inline struct slice slice_of(const void *at, size_t len)
{
	return (struct slice){ at, len };
}

static inline struct slice slice_str(const char *text)
{
	return (struct slice){ (const uint8_t *)text, strlen(text) };
}

/* Without the first n bytes; n <= s.len. */
static inline struct slice slice_from(struct slice s, size_t n)
{
	return (struct slice){ s.at + n, s.len - n };
}

static inline bool slice_is(struct slice s, struct slice other)
{
	return s.len == other.len && (!s.len || !memcmp(s.at, other.at, s.len));
}

static inline uint8_t ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Equal but for the case of ASCII letters (HTTP field names and tokens, RFC 9110 5.1). */
static inline bool slice_is_nocase(struct slice s, struct slice other)
{
	if (s.len != other.len)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (ascii_lower(s.at[i]) != ascii_lower(other.at[i]))
			return false;
	return true;
}
