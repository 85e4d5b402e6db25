/* SPDX-License-Identifier: Apache-2.0 */
/* tar.h - a tar archive (POSIX ustar) written file by file, with a list of SHA-256 sums as its last file. */
#pragma once

#include <stdio.h>

#include "record/record.h"

struct tar {
	struct bundle_sink sink; /* for who fills it */
	FILE *to;                /* borrowed */
	const char *top;         /* folder that everything is in */
	uint64_t time_unix;      /* of all files */
	uint64_t left, pad;      /* of the file being written */
	void *sum;
	char *sums; /* text of SHA256SUMS */
	size_t sums_len;
	FILE *sums_to;
	char path[256];
};

/* -ENOMEM. */
int tar_open(struct tar *t, FILE *to, const char *top, uint64_t time_unix);
/* A file from memory. */
int tar_put(struct tar *t, const char *path, struct slice bytes);
/* The sums, and the end. */
int tar_end(struct tar *t);
void tar_close(struct tar *t);
