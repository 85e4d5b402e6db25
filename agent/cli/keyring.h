/* SPDX-License-Identifier: Apache-2.0 */
/* keyring.h - the age identities that somebody has, from files as age-keygen makes them. */
#pragma once

#include "record/record.h"

struct keyring {
	struct age_identity ids[AGE_IDENTITIES];
	size_t n;
};

void keyring_wipe(struct keyring *k);
/* Adds the identities of a file. 0, or -EINVAL with the reason printed; `command` says who is speaking. */
int keyring_read(struct keyring *k, const char *command, const char *path);
/* In words, why evidence that may be read could not be. */
const char *keyring_why(int err);
