// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * life.bpf.c - a guarded unit's server is found when it listens, and the unit may talk to itself.
 *
 * Attached above the units, so it sees other cgroups too and asks `members` first. It runs by the cgroup that the
 * *socket* was created in: inherited and socket-activated listeners are not seen here, the agent's audit finds them.
 */
#include "maps.bpf.h"
#include "kernel.bpf.h"

/* The agent's own. It steers in others, too, but has to be told of those that are new. */
const volatile __u64 netns = 0;

/* Listeners in other namespaces, by cookie, so that the agent looks at once. Written: here. Read and emptied: agent.
 * Full: it looks every second anyway, and the fence stands from the moment that the address is guarded. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} listens SEC(".maps");

/* Written and read out: agent. Read: here. Full: the agent refuses to start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct service);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} services SEC(".maps");

/* The ports of services that do not guard all. Written: agent. Read: here. Full: the agent refuses to start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct service_port);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} service_ports SEC(".maps");

static __always_inline __u32 service_of(struct bpf_sock_ops *s)
{
	struct sock *sk = tcp_sock_of(s->sk);

	return sk ? service_in(cgroup_of(sk)) : 0;
}

/* An address stays guarded when its listener closes: the next server of the unit must not be met unread. */
static __always_inline void listening(struct bpf_sock_ops *s)
{
	struct service_port port = { .service = service_of(s) };
	struct owner owner = { .service = port.service };
	struct service *service;
	struct address key = { .netns = bpf_get_netns_cookie(s) };
	int fresh;

	if (!port.service)
		return;
	service = bpf_map_lookup_elem(&services, &port.service);
	if (!service)
		return;
	port.port = s->local_port;
	if (!service->all_ports && !bpf_map_lookup_elem(&service_ports, &port))
		return;
	if (s->family == AF_INET)
		end_v4(&key.at, FIELD(32, s, local_ip4), port.port);
	else
		end_v6(&key.at, s, local_ip6, port.port);
	owner.fail_open = service->fail_open;
	fresh = !bpf_map_lookup_elem(&guarded, &key);
	if (bpf_map_update_elem(&guarded, &key, &owner, BPF_ANY))
		count(TALLY_LISTEN_LOST);
	if (fresh && key.netns != netns)
		bpf_ringbuf_output(&listens, &key.netns, sizeof(key.netns), 0);
}

/* Ranks, rendezvous, health checks: nothing leaves the unit, so nothing is steered. Its own address as client keeps
 * getpeername true. Only to ends of its own service: the text of another one is not its to read. */
static __always_inline void connecting(struct bpf_sock_ops *s)
{
	__u32 service = service_of(s);
	struct dial key = {};
	struct owner *owner;

	if (!service)
		return;
	ends_of(s, &key.agent, &key.server);
	key.netns = bpf_get_netns_cookie(s);
	owner = owner_of(&key.server, key.netns);
	if (!owner || owner->service != service)
		return;
	if (bpf_map_update_elem(&dials, &key, &key.agent, BPF_ANY))
		count(TALLY_DIAL_LOST);
	bpf_sock_ops_cb_flags_set(s, s->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

SEC("sockops")
int life(struct bpf_sock_ops *s)
{
	struct dial key = {};

	switch (s->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		listening(s);
		return 1;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		connecting(s);
		return 1;
	case BPF_SOCK_OPS_STATE_CB:
		/* Its own ends are the key, so whoever else set the flag, only its own tuple goes. */
		if (s->args[1] == BPF_TCP_CLOSE) {
			ends_of(s, &key.agent, &key.server);
			key.netns = bpf_get_netns_cookie(s);
			bpf_map_delete_elem(&dials, &key);
		}
		return 1;
	}
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
