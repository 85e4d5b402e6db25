/* SPDX-License-Identifier: Apache-2.0 */
/* spaces.c - the keeper hands its workers what it made in other network namespaces: listeners, and sockets to dial
 * with. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "wards.h"

/* All its listeners, in as many messages as they need; the worker takes them when it has the last. */
static void tell_of_space(struct ward *w, uint64_t netns)
{
	const struct capture *capture = w->k->d->capture;
	unsigned loops = w->k->d->thread_count, all = 2 * loops, count = 0;
	int fds[FDS_MOST];
	char text[64];

	/* A host without IPv6 has the first half of them. */
	if (capture_listener_in(capture, netns, 0, AF_INET6) < 0)
		all = loops;
	snprintf(text, sizeof(text), "%llu %u", (unsigned long long)capture_inode(capture, netns), all);
	for (unsigned i = 0; i < all; i++) {
		bool v4 = i < loops;

		fds[count++] = capture_listener_in(capture, netns, v4 ? i : i - loops, v4 ? AF_INET : AF_INET6);
		if (count < FDS_MOST && i + 1 < all)
			continue;
		ward_send(w, (struct commanded){ .what = COMMAND_SPACE, .part = i + 1 - count, .value = netns }, text,
		          fds, count);
		count = 0;
	}
}

void wards_space_came(void *arg, uint64_t netns)
{
	struct keeper *k = arg;

	for (struct ward *w = k->wards; w; w = w->next)
		if (w->role != WARD_DRAINING)
			tell_of_space(w, netns);
}

void wards_space_went(void *arg, uint64_t netns)
{
	struct keeper *k = arg;

	for (struct ward *w = k->wards; w; w = w->next)
		ward_command(w, COMMAND_NO_SPACE, netns, NULL, NULL, 0);
}

void ward_give_dials(struct ward *w, uint64_t netns, int family)
{
	int fds[DIALS_ASK], n;

	n = family == AF_INET || family == AF_INET6
	            ? capture_make_dials(w->k->d->capture, netns, family, fds, ARRAY_LEN(fds))
	            : -EAFNOSUPPORT;
	if (n <= 0) {
		log_debug("worker: it asks for sockets that cannot be made: error=%s", strerrorname_np(-n));
		return;
	}
	ward_send(w, (struct commanded){ .what = COMMAND_DIALS, .part = (uint32_t)family, .value = netns }, NULL, fds,
	          (size_t)n);
	while (n)
		close(fds[--n]);
}
