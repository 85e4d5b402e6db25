/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h - the Castagnoli CRC (RFC 3720, B.4), slice by eight: no instruction set to ask for. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`; start with 0. */
uint32_t crc32c(uint32_t crc, const void *at, size_t len);
