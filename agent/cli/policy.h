/* SPDX-License-Identifier: Apache-2.0 */
/* policy.h - what the files behind sluicectl policy share. */
#pragma once

#include "cli/cli.h"

int policy_check_main(int argc, char **argv);
int policy_import_main(int argc, char **argv);
int policy_show_main(int argc, char **argv);
int policy_test_main(int argc, char **argv);

/* Loads a policy and its words; what is wrong is printed. `key` (may be NULL): file of the key that all of it must be
 * signed with; the configured policy must be signed with the configured key, if there is one. `config` (may be NULL):
 * if a configuration is named, or needed to find the policy, it is the caller's. `taken` (may be NULL): milliseconds. 0
 * or -errno. */
int cli_policy_words(struct ruleset **out, const char *dir, const char *key, struct config **config, double *taken);

/* Text from a policy or a file: no control characters; cut to `most` bytes (0: not), never inside a character. */
void cli_text(FILE *to, struct slice text, size_t most);

void cli_hex(FILE *to, const uint8_t *bytes, size_t n);
