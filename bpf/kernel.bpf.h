/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* kernel.bpf.h - of the kernel's structs only the fields that are read; CO-RE finds them where they are. */
#pragma once

#include "maps.bpf.h"

#define KERNEL __attribute__((preserve_access_index))

struct kernfs_node {
	const char *name;
	__u64 id;
} KERNEL;

struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} KERNEL;

struct cgroup_root {
	int hierarchy_id;
} KERNEL;

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
} KERNEL;

struct sock_cgroup_data {
	struct cgroup *cgroup;
} KERNEL;

struct in6_raw {
	__u32 word[4];
};

struct net {
	__u64 net_cookie;
} KERNEL;

struct net_of {
	struct net *net;
} KERNEL;

struct sock_common {
	struct net_of skc_net;
	unsigned short skc_family;
	__u32 skc_daddr, skc_rcv_saddr;
	__u16 skc_dport, skc_num; /* network order, host order */
	struct in6_raw skc_v6_daddr, skc_v6_rcv_saddr;
} KERNEL;

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
} KERNEL;

struct socket {
	struct sock *sk;
} KERNEL;

struct msghdr;

/* The cgroup that the socket was created in, which it keeps for life; 0 if there is none. Each pointer is tested: some
 * verifiers refuse the next step otherwise. */
static __always_inline __u64 cgroup_of(struct sock *sk)
{
	struct cgroup *cg = sk->sk_cgrp_data.cgroup;
	struct kernfs_node *kn;

	if (!cg)
		return 0;
	kn = cg->kn;
	return kn ? kn->id : 0;
}

/* The kernel's own struct of a TCP socket; NULL if it is another. */
static __always_inline struct sock *tcp_sock_of(struct bpf_sock *sk)
{
	return sk ? (struct sock *)bpf_skc_to_tcp_sock(sk) : NULL;
}

/* The cookie of the network namespace that the socket was made in; 0 if it cannot be told. */
static __always_inline __u64 netns_of(struct sock *sk)
{
	struct net *net = sk->__sk_common.skc_net.net;

	return net ? net->net_cookie : 0;
}

/* Both ends of a socket, from the kernel's own struct. */
static __always_inline void ends_of_sock(struct sock *sk, unsigned short family, struct end *local, struct end *remote)
{
	__u16 here = sk->__sk_common.skc_num, there = bpf_ntohs(sk->__sk_common.skc_dport);

	if (family == AF_INET) {
		end_v4(local, sk->__sk_common.skc_rcv_saddr, here);
		end_v4(remote, sk->__sk_common.skc_daddr, there);
		return;
	}
	for (int i = 0; i < 4; i++) {
		local->ip[i] = sk->__sk_common.skc_v6_rcv_saddr.word[i];
		remote->ip[i] = sk->__sk_common.skc_v6_daddr.word[i];
	}
	local->port = here;
	remote->port = there;
}
