/* SPDX-License-Identifier: Apache-2.0 */
/* told.c - what a worker tells its keeper, and asks. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "keeper.h"

void keeper_tell(int fd, enum tell what, uint64_t value)
{
	struct told t = { .what = what, .value = value };

	if (send(fd, &t, sizeof(t), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warn("keeper: not told: error=%s", strerrorname_np(errno));
}

void keeper_tell_text(int fd, enum tell what, const char *text)
{
	struct {
		struct told told;
		char text[TEXT_MAX];
	} t = { .told.what = what };

	snprintf(t.text, sizeof(t.text), "%s", text);
	if (send(fd, &t, sizeof(t), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warn("keeper: not told: error=%s", strerrorname_np(errno));
}

/* Whether it answers that. A GuardStatus is a message by itself; its first byte is the tag of a field and the next ones
 * are never three zeros, as those of a struct told are. */
static bool is_answer(enum tell what, const void *answer, ssize_t n)
{
	uint32_t of = TELL_COUNT;

	if (n >= (ssize_t)sizeof(of))
		memcpy(&of, answer, sizeof(of));
	return what == TELL_STATUS ? of >= TELL_COUNT : n >= (ssize_t)sizeof(struct told) && of == (uint32_t)what;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

ssize_t keeper_ask(int fd, enum tell what, void *answer, size_t room, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t until = now_ms() + timeout_ms, left;
	ssize_t n;

	/* What was asked before and answered too late would else be taken for the answer to this, and this one's for
	 * that of the next. */
	while (recv(fd, answer, room, MSG_DONTWAIT) > 0)
		;
	keeper_tell(fd, what, 0);
	do {
		left = until - now_ms();
		if (left < 0 || poll(&p, 1, (int)left) != 1)
			return -ETIMEDOUT;
		n = recv(fd, answer, room, MSG_DONTWAIT);
		if (n < 0)
			return -errno;
	} while (n && !is_answer(what, answer, n));
	return n;
}
