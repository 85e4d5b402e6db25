/* SPDX-License-Identifier: Apache-2.0 */
/* folder.h - the ledger's folder: made, opened and locked for one writer; and the name of this boot. */
#pragma once

#include <stdint.h>

/* Makes what is missing of `path` (mode 0750). Both descriptors are the caller's, the lock lasts as long as *ret_lock.
 * -EBUSY: another writer has it. */
int folder_open(const char *path, int *ret_dir, int *ret_lock);

/* 16 bytes, zero where the kernel does not say. */
void folder_boot_id(uint8_t id[16]);
