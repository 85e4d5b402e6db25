/* SPDX-License-Identifier: Apache-2.0 */
/* bech32.h - keys of 32 bytes as people pass them on: Bech32 (BIP 173), as age writes them. Pure. */
#pragma once

#include <stdint.h>

#define BECH32_KEY 32

/* Reads PREFIX1... whose data is a key. `prefix` is lower case; the text is all lower or all upper case. -EINVAL; *to
 * is untouched then. */
int bech32_key(uint8_t to[BECH32_KEY], const char *prefix, const char *text);
