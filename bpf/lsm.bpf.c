// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * lsm.bpf.c - the ways out of a unit that `fence` cannot see. Needs "bpf" in the kernel's LSM list; loading is
 * optional.
 *
 * Outside both: RDMA, shared memory, files, pipes, descriptors passed to somebody else.
 */
#include "maps.bpf.h"
#include "kernel.bpf.h"
#include <linux/errno.h>
#include <bpf/bpf_tracing.h>

#define AF_NETLINK 16
#define SOCK_RAW   3

/* Per cgroup (6.0): 1 allows, 0 refuses with EPERM. Frames, vsock, XDP, RDS and the like carry text past the fence;
 * what servers need is left. */
SEC("lsm_cgroup/socket_create")
int BPF_PROG(families, int family, int type, int protocol, int kern)
{
	if (kern || family == AF_UNIX || family == AF_NETLINK)
		return 1;
	if ((family == AF_INET || family == AF_INET6) && type != SOCK_RAW)
		return 1;
	if (!service_in(bpf_get_current_cgroup_id()))
		return 1;
	count(TALLY_FAMILY);
	return 0;
}

/* Host-wide, so it leaves at the first test for everybody else. A socket made before its owner was moved into the
 * unit's cgroup keeps the old cgroup for life and is invisible to `fence`: it may speak to us alone. */
SEC("lsm/socket_sendmsg")
int BPF_PROG(old_socket, struct socket *sock, struct msghdr *msg, int size, int ret)
{
	struct dial key = {};
	unsigned short family;
	struct sock *sk;

	if (ret || !service_in(bpf_get_current_cgroup_id()))
		return ret;
	sk = sock->sk;
	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if ((family != AF_INET && family != AF_INET6) || service_in(cgroup_of(sk)))
		return 0;
	key.netns = netns_of(sk);
	ends_of_sock(sk, family, &key.server, &key.agent);
	if (bpf_map_lookup_elem(&dials, &key))
		return 0; /* a socket-activated server answers us */
	count(TALLY_OLD_SOCKET);
	return -EPERM;
}

/* A server may also listen on a Unix socket: nobody outside the unit may use it. */
SEC("lsm/unix_stream_connect")
int BPF_PROG(side_door, struct sock *sock, struct sock *other, struct sock *newsk, int ret)
{
	__u32 service;

	if (ret)
		return ret;
	service = service_in(cgroup_of(other));
	if (!service || service == service_in(bpf_get_current_cgroup_id()))
		return 0;
	count(TALLY_SIDE_DOOR);
	return -ECONNREFUSED;
}

char LICENSE[] SEC("license") = "GPL";
