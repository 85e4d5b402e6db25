// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * peer.bpf.c - the guarded server is told its client, not us. accept4(), getpeername() and SO_PEERNAME come here.
 *
 * Needs no test of the cgroup: only a tuple of ours changes anything.
 */
#include "maps.bpf.h"

SEC("cgroup/getpeername4")
int peer4(struct bpf_sock_addr *ctx)
{
	struct dial key = { .netns = bpf_get_netns_cookie(ctx) };
	struct bpf_sock *sk = ctx->sk;
	struct end *client;

	if (!sk)
		return 1;
	end_v4(&key.server, sk->src_ip4, sk->src_port);
	end_v4(&key.agent, ctx->user_ip4, bpf_ntohs(ctx->user_port));
	client = bpf_map_lookup_elem(&dials, &key);
	if (!client)
		return 1;
	ctx->user_ip4 = client->ip[3];
	ctx->user_port = bpf_htons(client->port);
	count(TALLY_PEER_TOLD);
	return 1;
}

/* Also every IPv4 client of a dual-stack server: both ends are v4-mapped, which is how `dials` keeps them anyway. */
SEC("cgroup/getpeername6")
int peer6(struct bpf_sock_addr *ctx)
{
	struct dial key = { .netns = bpf_get_netns_cookie(ctx) };
	struct bpf_sock *sk = ctx->sk;
	struct end *client;

	if (!sk)
		return 1;
	end_v6(&key.server, sk, src_ip6, sk->src_port);
	end_v6(&key.agent, ctx, user_ip6, bpf_ntohs(ctx->user_port));
	client = bpf_map_lookup_elem(&dials, &key);
	if (!client)
		return 1;
	ctx->user_ip6[0] = client->ip[0];
	ctx->user_ip6[1] = client->ip[1];
	ctx->user_ip6[2] = client->ip[2];
	ctx->user_ip6[3] = client->ip[3];
	ctx->user_port = bpf_htons(client->port);
	count(TALLY_PEER_TOLD);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
