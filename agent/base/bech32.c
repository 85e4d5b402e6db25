/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bech32.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define DATA_DIGITS  52 /* of a key: five bits each */
#define CHECK_DIGITS 6

static uint32_t step(uint32_t sum, unsigned value)
{
	static const uint32_t generator[] = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3 };
	uint32_t top = sum >> 25;

	sum = (sum & 0x1ffffff) << 5 ^ value;
	for (unsigned i = 0; i < 5; i++)
		if (top >> i & 1)
			sum ^= generator[i];
	return sum;
}

static unsigned char lower(char c, bool *has_lower, bool *has_upper)
{
	*has_lower |= c >= 'a' && c <= 'z';
	*has_upper |= c >= 'A' && c <= 'Z';
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

int bech32_key(uint8_t to[BECH32_KEY], const char *prefix, const char *text)
{
	static const char digits[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
	size_t before = strlen(prefix), n = 0;
	bool has_lower = false, has_upper = false;
	uint32_t sum = 1, bits = 0;
	uint8_t key[BECH32_KEY];
	unsigned have = 0;

	if (strlen(text) != before + 1 + DATA_DIGITS + CHECK_DIGITS || text[before] != '1')
		return -EINVAL;
	for (size_t i = 0; i < before; i++) {
		if (lower(text[i], &has_lower, &has_upper) != (unsigned char)prefix[i])
			return -EINVAL;
		sum = step(sum, (unsigned char)prefix[i] >> 5);
	}
	sum = step(sum, 0);
	for (size_t i = 0; i < before; i++)
		sum = step(sum, (unsigned char)prefix[i] & 31);
	for (size_t i = 0; i < DATA_DIGITS + CHECK_DIGITS; i++) {
		const char *at = strchr(digits, lower(text[before + 1 + i], &has_lower, &has_upper));
		unsigned value = at ? (unsigned)(at - digits) : 32;

		if (value > 31)
			return -EINVAL;
		sum = step(sum, value);
		if (i >= DATA_DIGITS)
			continue;
		bits = bits << 5 | value;
		have += 5;
		if (have >= 8) {
			have -= 8;
			key[n++] = (uint8_t)(bits >> have);
		}
	}
	if (sum != 1 || n != BECH32_KEY || (bits & ((1u << have) - 1)) || (has_lower && has_upper)) {
		explicit_bzero(key, sizeof(key));
		return -EINVAL;
	}
	memcpy(to, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	return 0;
}
