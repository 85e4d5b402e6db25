// SPDX-License-Identifier: Apache-2.0
/* ends.c - addresses as sockets have them, as the maps key them, as people read them. */
#include "capture/state.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void end_of(const struct sockaddr_storage *from, struct end *to)
{
	*to = (struct end){ 0 };
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;

		to->ip[2] = htonl(0xffff);
		to->ip[3] = v4->sin_addr.s_addr;
		to->port = ntohs(v4->sin_port);
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

		memcpy(to->ip, &v6->sin6_addr, sizeof(to->ip));
		to->port = ntohs(v6->sin6_port);
	}
}

bool end_is(const struct end *a, const struct end *b)
{
	return a->port == b->port && !memcmp(a->ip, b->ip, sizeof(a->ip));
}

void end_text(const struct end *e, char *text, size_t len)
{
	char ip[INET6_ADDRSTRLEN];

	if (end_is_v4(e)) {
		inet_ntop(AF_INET, &e->ip[3], ip, sizeof(ip));
		snprintf(text, len, "%s:%u", ip, e->port);
	} else {
		inet_ntop(AF_INET6, e->ip, ip, sizeof(ip));
		snprintf(text, len, "[%s]:%u", ip, e->port);
	}
}
