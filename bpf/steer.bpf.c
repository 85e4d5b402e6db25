// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * steer.bpf.c - new connections to a guarded address meet the agent; the agent's own dials pass.
 *
 * `steer` (one link per network namespace) cannot see who connects: bpf_sk_lookup carries the addresses and
 * nothing else. So `dialled` (sockops, on the agent's cgroup) writes the exact addresses of each dial before its
 * SYN leaves, and takes them back when the socket closes, also when the kernel closes it for a dead agent.
 */
#include "maps.bpf.h"
#include <linux/in.h>

/* sk_lookup cannot ask for its namespace, so each copy is told before it is loaded. */
const volatile __u64 netns = 0;

/* Which layout the pins have. Written: agent, when it makes them. Read: agent, before it takes them over. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} version SEC(".maps");

/* Letter box: for each local port, the client the next dial from it speaks for. Written: the agent through mmap, after
 * bind() and before connect(), so that it needs neither a capability nor bpf(2). Read and emptied: `dialled`. A slot is
 * used for one dial at a time, so it cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct letter);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} letters SEC(".maps");

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	struct bpf_sock *sk __attribute__((cleanup(put_sk))) = NULL;
	struct dial key = { .netns = netns };
	struct door door = { .netns = netns, .v6 = ctx->family == AF_INET6 };
	struct owner *owner;

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;

	if (ctx->family == AF_INET) {
		end_v4(&key.server, FIELD(32, ctx, local_ip4), ctx->local_port);
		end_v4(&key.agent, FIELD(32, ctx, remote_ip4), bpf_ntohs(ctx->remote_port));
	} else {
		end_v6(&key.server, ctx, local_ip6, ctx->local_port);
		end_v6(&key.agent, ctx, remote_ip6, bpf_ntohs(ctx->remote_port));
	}
	if (bpf_map_lookup_elem(&dials, &key)) {
		count(TALLY_OWN_DIAL);
		return SK_PASS;
	}
	owner = owner_of(&key.server, netns);
	if (!owner)
		return SK_PASS;

	/* Flags 0: the kernel still picks among the SO_REUSEPORT group of this listener. */
	sk = bpf_map_lookup_elem(&doors, &door);
	if (sk && !bpf_sk_assign(ctx, sk, 0)) {
		count(TALLY_STEERED);
		return SK_PASS;
	}
	if (!sk && owner->fail_open) {
		/* The operator prefers an unread answer to none; the count is the interval's trace. */
		count(TALLY_OPEN_PASSED);
		return SK_PASS;
	}
	/* Guarded and unattended: better no answer than an unread one. The client gets a RST. */
	count(TALLY_UNATTENDED);
	return SK_DROP;
}

SEC("sockops")
int dialled(struct bpf_sock_ops *s)
{
	struct dial key = {};
	struct letter *letter;
	__u32 port;

	switch (s->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB: /* port chosen, SYN not yet sent */
		port = s->local_port;
		letter = bpf_map_lookup_elem(&letters, &port);
		if (!letter || !letter->client.port || letter->cookie != bpf_get_socket_cookie(s))
			return 1; /* not a dial: nothing is allowed for it */
		key.netns = bpf_get_netns_cookie(s);
		ends_of(s, &key.agent, &key.server);
		if (bpf_map_update_elem(&dials, &key, &letter->client, BPF_ANY)) {
			/* The letter stays in the box: that is how the agent learns of it. */
			count(TALLY_DIAL_LOST);
			return 1;
		}
		letter->client.port = 0; /* good for one dial */
		bpf_sock_ops_cb_flags_set(s, s->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		return 1;
	case BPF_SOCK_OPS_STATE_CB:
		/* Not earlier: with SYN cookies the last ACK of the handshake is looked up again. */
		if (s->args[1] == BPF_TCP_CLOSE) {
			key.netns = bpf_get_netns_cookie(s);
			ends_of(s, &key.agent, &key.server);
			bpf_map_delete_elem(&dials, &key);
		}
		return 1;
	}
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
