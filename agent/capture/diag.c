// SPDX-License-Identifier: Apache-2.0
/*
 * diag.c - the kernel's TCP sockets by socket diagnosis, and their end (sock_diag(7)).
 *
 * Each socket comes with the id of the cgroup it was created in, so one dump a family serves all units.
 */
#include "capture/state.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <sys/time.h>
#include "base/own.h"

#ifndef SOCK_DESTROY
#define SOCK_DESTROY 21
#endif

struct request {
	struct nlmsghdr head;
	struct inet_diag_req_v2 diag;
};

static int diag_socket(const struct capture *c, const struct space *in, int *ret)
{
	struct timeval patience = { .tv_sec = 5 };
	int fd = space_socket(c, in, AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	*ret = fd;
	return 0;
}

static void diag_end(const __be32 *ip, __be16 port, uint8_t family, struct end *to)
{
	*to = (struct end){ .port = ntohs(port) };
	if (family == AF_INET) {
		to->ip[2] = htonl(0xffff);
		to->ip[3] = ip[0];
	} else {
		memcpy(to->ip, ip, sizeof(to->ip));
	}
}

static int diag_take(const struct nlmsghdr *head, struct diag_list *out)
{
	const struct inet_diag_msg *msg = NLMSG_DATA(head);
	size_t left = head->nlmsg_len - NLMSG_LENGTH(sizeof(*msg));
	struct diag_socket *s, *more;

	if (head->nlmsg_len < NLMSG_LENGTH(sizeof(*msg)))
		return 0;
	if (!(out->count & (out->count + 1))) { /* grows at 0, 1, 3, 7, … */
		more = realloc(out->at, (out->count + 1) * 2 * sizeof(*more));
		if (!more)
			return -ENOMEM;
		out->at = more;
	}
	s = &out->at[out->count++];
	*s = (struct diag_socket){
		.family = msg->idiag_family,
		.state = msg->idiag_state,
		.inode = msg->idiag_inode,
		.scope = msg->id.idiag_if,
		.cookie = { msg->id.idiag_cookie[0], msg->id.idiag_cookie[1] },
	};
	diag_end(msg->id.idiag_src, msg->id.idiag_sport, s->family, &s->local);
	diag_end(msg->id.idiag_dst, msg->id.idiag_dport, s->family, &s->remote);
	for (const struct rtattr *a = (const struct rtattr *)(msg + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == INET_DIAG_CGROUP_ID && RTA_PAYLOAD(a) == sizeof(s->cgroup))
			memcpy(&s->cgroup, RTA_DATA(a), sizeof(s->cgroup));
	return 0;
}

static int diag_dump(int fd, uint8_t family, uint32_t states, struct diag_list *out)
{
	struct request request = {
		.head = { .nlmsg_len = sizeof(request),
		          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.diag = { .sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = states },
	};
	_Alignas(struct nlmsghdr) char answer[32768];

	if (send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		size_t left = (size_t)n;

		if (n < 0)
			return -errno;
		for (struct nlmsghdr *head = (struct nlmsghdr *)answer; NLMSG_OK(head, left);
		     head = NLMSG_NEXT(head, left)) {
			int err = 0;

			if (head->nlmsg_type == NLMSG_DONE)
				return 0;
			if (head->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(head))->error ?: -EIO;
			err = diag_take(head, out);
			if (err)
				return err;
		}
	}
}

int diag_list(const struct capture *c, const struct space *in, uint32_t states, struct diag_list *ret)
{
	owned(diag_free) struct diag_list out = { 0 };
	owned(own_close) int fd = -1;
	int err = diag_socket(c, in, &fd);

	if (!err)
		err = diag_dump(fd, AF_INET, states, &out);
	if (!err) {
		err = diag_dump(fd, AF_INET6, states, &out);
		if (err == -ENOENT)
			err = 0; /* a kernel without IPv6 */
	}
	if (err)
		return err;
	*ret = out;
	out = (struct diag_list){ 0 };
	return 0;
}

void diag_free(struct diag_list *list)
{
	free(list->at);
	*list = (struct diag_list){ 0 };
}

int diag_destroy(const struct capture *c, const struct space *in, const struct diag_socket *s)
{
	struct request request = {
		.head = { .nlmsg_len = sizeof(request),
		          .nlmsg_type = SOCK_DESTROY,
		          .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.diag = { .sdiag_family = s->family,
		          .sdiag_protocol = IPPROTO_TCP,
		          .idiag_states = 1u << s->state,
		          .id = { .idiag_sport = htons(s->local.port),
		                  .idiag_dport = htons(s->remote.port),
		                  .idiag_if = s->scope,
		                  .idiag_cookie = { s->cookie[0], s->cookie[1] } } },
	};
	_Alignas(struct nlmsghdr) char answer[1024];
	struct nlmsghdr *head = (struct nlmsghdr *)answer;
	owned(own_close) int fd = -1;
	int err = diag_socket(c, in, &fd);
	ssize_t n;

	if (err)
		return err;
	if (s->family == AF_INET) {
		request.diag.id.idiag_src[0] = s->local.ip[3];
		request.diag.id.idiag_dst[0] = s->remote.ip[3];
	} else {
		memcpy(request.diag.id.idiag_src, s->local.ip, sizeof(s->local.ip));
		memcpy(request.diag.id.idiag_dst, s->remote.ip, sizeof(s->remote.ip));
	}
	if (send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	n = recv(fd, answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(head, (size_t)n) || head->nlmsg_type != NLMSG_ERROR)
		return -EIO;
	return ((struct nlmsgerr *)NLMSG_DATA(head))->error;
}
