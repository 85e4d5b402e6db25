/* SPDX-License-Identifier: Apache-2.0 */
/* policy_import.h - an import as its options ask for it. */
#pragma once

#include "cli/policy.h"

#define IMPORT_MAPS_MAX  256
#define IMPORT_RISKS_MAX 128

struct importing {
	struct import *words;
	struct import_how how;
	struct import_risk map[IMPORT_MAPS_MAX];
	size_t maps, least;
	struct {
		struct slice name;
		size_t words;
	} risks[IMPORT_RISKS_MAX]; /* of the words that are taken */
	size_t risk_count;
	const char *into, *pack, *key, *none;
	enum action action;
	bool prune, force, all, json;
	struct pack_key *signer;
	struct policy_report report;
	char try[64]; /* folder in which what is to be written is tried; "": none yet */
};

/* Writes the pack of the words that are taken where nobody reads it, loads it, and only then gives it its names.
 * Returns the exit status. */
int import_write_pack(struct importing *x);

/* Tries a pack that is there already, and copies it, its lists and their signatures. Returns the exit status. */
int import_copy_pack(struct importing *x, const char *path);
