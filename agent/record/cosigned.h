/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cosigned.h - where cosigned checkpoints of a log are kept: RECORD.cosigned/NAME for the log in folder RECORD/NAME,
 * whole notes behind one another as in `checkpoints`.
 *
 * Beside the record and not in it: who talks to witnesses need not be able to write into the record.
 */
#pragma once

#include "record/record.h"

#define COSIGNED_BYTES (16u << 20)
#define COSIGNED_MOST  4096 /* notes; then the older half is thinned to every other one */

/* The path; the caller's. -ENOMEM, -errno of realpath(3). */
int cosigned_path(char **out, const char *dir);
