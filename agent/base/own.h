/* SPDX-License-Identifier: Apache-2.0 */
/* own.h - say who frees, and let scope exit do it. */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* `owned(f) T x = empty;` runs f(&x) when x goes out of scope. */
#define owned(f) __attribute__((cleanup(f)))

/* Moves a pointer or an fd out of the variable that owned it. */
#define TAKE(p)                                                                                                        \
	({                                                                                                             \
		__auto_type took = (p);                                                                                \
		(p) = NULL;                                                                                            \
		took;                                                                                                  \
	})
#define TAKE_FD(d)                                                                                                     \
	({                                                                                                             \
		int took = (d);                                                                                        \
		(d) = -1;                                                                                              \
		took;                                                                                                  \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that holds member `m` at address `p`. */
#define container_of(p, type, m) ((type *)((char *)(p)-offsetof(type, m)))

static inline void own_free(void *at)
{
	void *p;

	memcpy(&p, at, sizeof(p));
	free(p);
}

static inline void own_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
