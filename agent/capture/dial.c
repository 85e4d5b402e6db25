// SPDX-License-Identifier: Apache-2.0
/* dial.c - the doors that steered connections arrive at, and the dials that go on to the servers. */
#include "capture/state.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include "base/own.h"

#define DOOR_BACKLOG 4096 /* the kernel takes somaxconn if that is less */
#define DIAL_TRIES   8
#define SHARE_DIALS  1000 /* so many take a port that was used before, when one of them found no free one */
#define SHARE_TRIES  32

static socklen_t door_address(int family, uint16_t port, struct sockaddr_storage *a)
{
	*a = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
	if (family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)a;

		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)a;

	v6->sin6_addr = in6addr_loopback;
	v6->sin6_port = htons(port);
	return sizeof(*v6);
}

/* On loopback: nobody reaches a door but by sk_lookup, or by dialling it, which is refused. */
static int door_make(const struct capture *c, const struct space *s, int family, uint16_t *port, int *ret)
{
	owned(own_close) int fd = space_socket(c, s, family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_storage a;
	socklen_t len = door_address(family, *port, &a);
	struct end at;
	int one = 1;

	if (fd < 0)
		return fd;
	/* A namespace that has just been made has no loopback yet. */
	if (s != c->spaces[0])
		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
	/* What is accepted here holds the *guarded* port and inherits SO_REUSEADDR: without it a restarted server could
	 * not bind while clients of the last one are connected to us. */
	/* Accepted sockets inherit SO_KEEPALIVE, too: a client that vanished must not stay for ever; the server's own
	 * keepalive sees only us. */
	if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) ||
	    (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))) ||
	    bind(fd, (struct sockaddr *)&a, len) || listen(fd, DOOR_BACKLOG) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		return -errno;
	end_of(&a, &at);
	*port = at.port;
	*ret = TAKE_FD(fd);
	return 0;
}

/* What another program listened on in this very process. */
static int doors_take(struct capture *c, struct space *s, const int *given, struct why why)
{
	for (int f = 0; f < 2; f++)
		for (unsigned i = 0; i < c->loops; i++) {
			struct sockaddr_storage a;
			socklen_t len = sizeof(a);
			struct end at;
			int fd = given[f * (int)c->loops + (int)i];

			if (fd < 0)
				continue;
			if (getsockname(fd, (struct sockaddr *)&a, &len) || fcntl(fd, F_SETFD, FD_CLOEXEC))
				return because(why, -errno, "a listener that was handed over is none");
			end_of(&a, &at);
			s->door_port[f] = at.port;
			s->listeners[f * (int)c->loops + (int)i] = fd;
		}
	return 0;
}

int doors_make(struct capture *c, struct space *s, const int *given, struct why why)
{
	static const int family[2] = { AF_INET, AF_INET6 };

	if (given)
		return doors_take(c, s, given, why);
	for (int f = 0; f < 2; f++)
		for (unsigned i = 0; i < c->loops; i++) {
			int *at = &s->listeners[f * (int)c->loops + (int)i];
			int err = door_make(c, s, family[f], &s->door_port[f], at);

			if (f && !i && (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT)) {
				lines_add(&c->missing, "IPv6: this host has no ::1; guarded IPv6 addresses answer as "
				                       "without a daemon");
				break;
			}
			if (err)
				return because(why, err, "cannot listen on loopback: %s", strerror(-err));
		}
	return 0;
}

int doors_open(struct capture *c, const struct space *s)
{
	for (uint32_t f = 0; f < 2; f++) {
		struct door key = { .netns = s->netns, .v6 = f };
		uint64_t fd = (uint64_t)s->listeners[f * c->loops];

		/* One of the group; the kernel spreads over all of it. */
		if (s->listeners[f * c->loops] >= 0 && bpf_map_update_elem(c->maps[MAP_DOORS], &key, &fd, BPF_ANY))
			return -errno;
	}
	return 0;
}

void doors_close(struct capture *c, struct space *s)
{
	for (unsigned i = 0; s->listeners && i < 2 * c->loops; i++)
		if (s->listeners[i] >= 0)
			close(s->listeners[i]);
	free(TAKE(s->listeners));
}

int capture_listener(const struct capture *c, unsigned loop, int family)
{
	return loop < c->loops ? c->spaces[0]->listeners[(family == AF_INET6) * c->loops + loop] : -1;
}

static bool is_door(const struct space *s, const struct end *at)
{
	struct sockaddr_storage a;
	struct end door;
	int f = !end_is_v4(at);

	if (!s->door_port[f])
		return false;
	door_address(f ? AF_INET6 : AF_INET, s->door_port[f], &a);
	end_of(&a, &door);
	return end_is(&door, at);
}

/* A dial that `dials` had no room for is steered back to us: same address at both ends, from a port we know of. */
static bool is_lost(struct capture *c, const struct end *client, const struct end *server)
{
	uint8_t bit = (uint8_t)(1 << (client->port & 7)), *at = &c->lost[client->port >> 3];
	bool lost = (*at & bit) && !memcmp(client->ip, server->ip, sizeof(client->ip));

	if (lost)
		*at &= (uint8_t)~bit;
	return lost;
}

/* The next port that the kernel once chose for us; 0: there is none. */
static uint16_t used_port(struct space *s)
{
	for (unsigned i = 0; i < LETTERS; i++) {
		uint16_t port = ++s->last_shared;

		if (s->used[port >> 3] & 1 << (port & 7))
			return port;
	}
	return 0;
}

static void set_port(struct sockaddr_storage *a, uint16_t port)
{
	if (a->ss_family == AF_INET)
		((struct sockaddr_in *)a)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)a)->sin6_port = htons(port);
}

/* Takes a free port, as the kernel chooses; `from` has it then. One address has few, and each is in TIME_WAIT for a
 * minute if the client was the first to close. Where there is none, one that was used before is taken by its number:
 * the kernel allows that if all its sockets say SO_REUSEADDR, and connect(2) goes on behind a TIME_WAIT (RFC 6191).
 * They say it when they are bound: before, the kernel would look in half of its range first, for milliseconds, and take
 * none of these all the same. */
static int bind_somewhere(struct space *s, int fd, struct sockaddr_storage *from, socklen_t len)
{
	int one = 1, err = -EADDRINUSE;

	if (!s->share_dials) {
		err = bind(fd, (const struct sockaddr *)from, len) ? -errno : 0;
		if (err == -EADDRINUSE)
			s->share_dials = SHARE_DIALS;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s->share_dials)
		s->share_dials--;
	for (int i = 0; i < SHARE_TRIES && err == -EADDRINUSE; i++) {
		set_port(from, used_port(s));
		err = bind(fd, (const struct sockaddr *)from, len) ? -errno : 0;
	}
	return err || !getsockname(fd, (struct sockaddr *)from, &len) ? err : -errno;
}

/* Of the namespace that it is in: its cookie is what the kernel gave every socket of it. NULL: it is not guarded. */
static struct space *space_of(const struct capture *c, int fd)
{
	uint64_t netns;
	socklen_t len = sizeof(netns);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &netns, &len) ? NULL : space_by_netns(c, netns);
}

/* -EAGAIN: none is there that was made in that namespace. */
static int dial_socket(struct capture *c, struct space *s, int family)
{
	struct pool *p = &s->pools[family == AF_INET6];

	if (p->count)
		return p->at[--p->count];
	if (s != c->spaces[0] && s->ns < 0)
		return -EAGAIN;
	return space_socket(c, s, family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Dials `to` from its own address, so that the server's getsockname is right and servers bound to one address work. */
static int dial_once(struct capture *c, struct space *s, const struct sockaddr_storage *to, socklen_t len,
                     const struct end *client, int *ret)
{
	owned(own_close) int fd = dial_socket(c, s, to->ss_family);
	struct sockaddr_storage from = *to;
	struct letter *letter;
	struct end here;
	socklen_t cookie_len = sizeof(letter->cookie);
	int one = 1, err;

	if (fd < 0)
		return fd;
	set_port(&from, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	err = bind_somewhere(s, fd, &from, len);
	if (err)
		return err;
	end_of(&from, &here);
	s->used[here.port >> 3] |= (uint8_t)(1 << (here.port & 7));
	letter = &c->letters[here.port];
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &letter->cookie, &cookie_len))
		return -errno;
	memcpy(letter->client.ip, client->ip, sizeof(client->ip));
	__atomic_store_n(&letter->client.port, client->port, __ATOMIC_RELEASE);
	err = connect(fd, (const struct sockaddr *)to, len) && errno != EINPROGRESS ? -errno : 0;
	if (__atomic_exchange_n(&letter->client.port, 0, __ATOMIC_ACQUIRE) && !err) {
		/* Not taken: the kernel could not note the dial. It is on its way back to our own door. */
		c->lost[here.port >> 3] |= (uint8_t)(1 << (here.port & 7));
		return -ENOBUFS;
	}
	if (err)
		return err;
	*ret = TAKE_FD(fd);
	return 0;
}

static int find_ends(struct capture *c, int client, struct space **space, struct ends *ends, size_t *service)
{
	struct ends way = { 0 };
	socklen_t n = sizeof(way.client), m = sizeof(way.server);
	const struct watched *s;
	struct owner owner;
	struct space *in;
	struct end to;

	if (getpeername(client, (struct sockaddr *)&way.client, &n) ||
	    getsockname(client, (struct sockaddr *)&way.server, &m))
		return -errno;
	end_of(&way.server, &to);
	in = space_of(c, client);
	if (!in)
		return -ENOENT;
	if (is_door(in, &to))
		return -ELOOP;
	way.inode = in == c->spaces[0] ? 0 : in->inode;
	s = guarded_owner(c, in->netns, &to, &owner) ? NULL : service_by_id(c, owner.service);
	if (!s)
		return -ENOENT; /* no longer guarded since it was steered */
	*space = in;
	*ends = way;
	*service = (size_t)(s - c->services);
	return 0;
}

int capture_ends(struct capture *c, int client, struct ends *ends, size_t *service)
{
	struct space *in;
	int err;

	pthread_mutex_lock(&c->dialling);
	err = find_ends(c, client, &in, ends, service);
	pthread_mutex_unlock(&c->dialling);
	return err;
}

int capture_dial(struct capture *c, int client, int *fd, struct ends *ends, size_t *service)
{
	struct ends way = { 0 };
	struct end from, to;
	struct space *in = NULL;
	size_t whose = 0;
	int err, one = 1, up = -1;
	socklen_t m;

	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	pthread_mutex_lock(&c->dialling);
	err = find_ends(c, client, &in, &way, &whose);
	m = way.server.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	end_of(&way.client, &from);
	end_of(&way.server, &to);
	if (!err)
		err = is_lost(c, &from, &to) ? -ELOOP : -EADDRNOTAVAIL;
	/* A port in TIME_WAIT towards this very server cannot be used again yet: the next one can. */
	for (int i = 0; i < DIAL_TRIES && err == -EADDRNOTAVAIL; i++)
		err = dial_once(c, in, &way.server, m, &from, &up);
	pthread_mutex_unlock(&c->dialling);
	if (err)
		return err;
	*fd = up;
	*ends = way;
	*service = whose;
	return 0;
}
