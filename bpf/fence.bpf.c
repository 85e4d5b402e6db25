// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * fence.bpf.c - the backstop: text leaves a guarded address of a unit through the agent or not at all.
 *
 * Sees IP packets of sockets created below where it is attached, and asks `members` whether they are of a unit: the
 * agent's own answers leave from the same addresses. Cannot see AF_PACKET frames, sockets brought in from elsewhere,
 * Unix sockets: the LSM programs refuse those.
 */
#include "maps.bpf.h"
#include "kernel.bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

/* The agent's own namespace. */
const volatile __u64 netns = 0;

#define EXTENSIONS  8
#define HOP_BY_HOP  0
#define ROUTING     43
#define DESTINATION 60

/* Where TCP begins; 0: this is no TCP; -1: cannot tell. A server can put extension headers before its TCP. */
static __always_inline int tcp_of_v6(struct __sk_buff *skb, __u8 next)
{
	int at = sizeof(struct ipv6hdr);
	__u8 extension[2];

	for (int i = 0; i < EXTENSIONS; i++) {
		if (next == IPPROTO_TCP)
			return at;
		if (next != HOP_BY_HOP && next != ROUTING && next != DESTINATION)
			return 0;
		if (bpf_skb_load_bytes(skb, at, extension, sizeof(extension)))
			return -1;
		next = extension[0];
		at += (extension[1] + 1) * 8;
	}
	return -1;
}

/* A dial that we closed: its text must go on to our end, where the kernel answers with the RST that tells the server to
 * stop. Without it the server would retransmit into the fence for minutes. A dial has the same address at both ends, so
 * the packet stays on this host, and a tuple with no connected socket behind it has no reader. */
static __always_inline int nobody_reads(struct __sk_buff *skb, const struct dial *key)
{
	struct bpf_sock *sk __attribute__((cleanup(put_sk))) = NULL;
	struct bpf_sock_tuple tuple = {};

	if (key->server.ip[0] != key->agent.ip[0] || key->server.ip[1] != key->agent.ip[1] ||
	    key->server.ip[2] != key->agent.ip[2] || key->server.ip[3] != key->agent.ip[3])
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		tuple.ipv4.saddr = key->server.ip[3];
		tuple.ipv4.daddr = key->agent.ip[3];
		tuple.ipv4.sport = bpf_htons(key->server.port);
		tuple.ipv4.dport = bpf_htons(key->agent.port);
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, key->server.ip, 16);
		__builtin_memcpy(tuple.ipv6.daddr, key->agent.ip, 16);
		tuple.ipv6.sport = bpf_htons(key->server.port);
		tuple.ipv6.dport = bpf_htons(key->agent.port);
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	return !sk || sk->state == BPF_TCP_TIME_WAIT || sk->state == BPF_TCP_LISTEN;
}

/* bpf_get_netns_cookie() is not for cgroup_skb programs; the socket knows. 0: it is no TCP socket. */
static __always_inline __u64 netns_of_skb(struct __sk_buff *skb)
{
	struct sock *sk = tcp_sock_of(skb->sk);

	return sk ? netns_of(sk) : 0;
}

/* Whether there is a door. While there is one at home, the agent lives, and is about to be in the other namespaces. */
static __always_inline int attended(struct door *door, __u64 in)
{
	struct bpf_sock *sk __attribute__((cleanup(put_sk))) = NULL;

	door->netns = in;
	sk = bpf_map_lookup_elem(&doors, door);
	return sk != NULL;
}

SEC("cgroup_skb/egress")
int fence(struct __sk_buff *skb)
{
	struct door door = { .v6 = skb->protocol == bpf_htons(ETH_P_IPV6) };
	struct dial key = {};
	struct owner *owner;
	struct ipv6hdr h6;
	struct iphdr h4;
	struct tcphdr tcp;
	int at;

	if (!service_in(bpf_skb_cgroup_id(skb)))
		return 1;
	/* The addresses from the packet, not from skb->sk: they are what the reader will see. */
	if (!door.v6) {
		if (bpf_skb_load_bytes(skb, 0, &h4, sizeof(h4)) || h4.protocol != IPPROTO_TCP)
			return 1;
		at = h4.ihl * 4;
	} else {
		if (bpf_skb_load_bytes(skb, 0, &h6, sizeof(h6)))
			return 1;
		at = tcp_of_v6(skb, h6.nexthdr);
		if (!at)
			return 1;
	}
	if (at < 0 || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp))) {
		/* A header that cannot be read may hide text. */
		count(TALLY_FENCED);
		return 0;
	}
	if (skb->len <= (__u32)at + tcp.doff * 4)
		return 1; /* handshake, ACK, FIN, RST: no text, and the server must be able to finish */

	key.netns = netns_of_skb(skb);
	if (!key.netns) {
		/* No TCP socket has made it, so it is nobody's answer but a forged one. */
		count(TALLY_FENCED);
		return 0;
	}
	if (!door.v6) {
		end_v4(&key.server, h4.saddr, bpf_ntohs(tcp.source));
		end_v4(&key.agent, h4.daddr, bpf_ntohs(tcp.dest));
	} else {
		__builtin_memcpy(key.server.ip, &h6.saddr, 16);
		__builtin_memcpy(key.agent.ip, &h6.daddr, 16);
		key.server.port = bpf_ntohs(tcp.source);
		key.agent.port = bpf_ntohs(tcp.dest);
	}
	if (bpf_map_lookup_elem(&dials, &key))
		return 1;
	owner = owner_of(&key.server, key.netns);
	if (!owner || nobody_reads(skb, &key))
		return 1;
	if (owner->fail_open && !attended(&door, key.netns) && !attended(&door, netns))
		return 1; /* what steer lets pass while nobody is there must be able to answer */
	/* The connection does not end at us: an unread answer. The server's retransmits meet the same. */
	count(TALLY_FENCED);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
