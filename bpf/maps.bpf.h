/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* maps.bpf.h - maps that several objects share, by name, through the pin directory. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

#define AF_UNIX  1
#define AF_INET  2
#define AF_INET6 10

/* Listening ends whose new connections go to the agent, of all network namespaces.
 * Written: sockops of the guarded cgroups, and the agent for listeners older than itself. Read: sk_lookup, egress,
 * agent. Full: TALLY_LISTEN_LOST, the listener is unguarded and the agent raises an alarm. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct address);
	__type(value, struct owner);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} guarded SEC(".maps");

/* Live dials of the agent and the client each one speaks for; also what a unit says to itself.
 * Written: sockops of the two kinds of cgroup; the agent alone for talk inside a unit that is older than the guard.
 * Read: sk_lookup, getpeername, egress. Full: TALLY_DIAL_LOST, the dial is steered back to us and is refused there. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct dial);
	__type(value, struct end);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} dials SEC(".maps");

/* The agent's listeners, one a family in each namespace: one of another namespace would take connections and complete
 * none. Written: agent, when it is ready; the kernel takes an entry out when its socket closes, which is what closes
 * the gate. Read: sk_lookup, egress. Cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2 * NAMESPACES_MOST);
	__type(key, struct door);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} doors SEC(".maps");

/* Cgroups of the units, and those on the way to them, by id. Written: agent at start, cgroup_mkdir, cgroup_rmdir; the
 * agent forgets the gone. Read: sockops, egress, setsockopt, LSM, agent. Full: TALLY_UNIT_LOST, the agent raises an
 * alarm and its audit guards the listeners by address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct member);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} members SEC(".maps");

/* Written: all programs. Read: agent. Cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TALLY_COUNT);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} tally SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&tally, &what);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline void end_v4(struct end *to, __u32 ip, __u16 port)
{
	to->ip[2] = bpf_htonl(0xffff);
	to->ip[3] = ip;
	to->port = port;
}

/* Reads one field of a context where it stands. Written in C, clang joins the IPv4 and the IPv6 branch into one load
 * through a computed pointer, and the verifier answers "dereference of modified ctx ptr". */
#define FIELD(size, ctx, f)                                                                                            \
	({                                                                                                             \
		__u64 got;                                                                                             \
		asm volatile("%0 = *(u" #size " *)(%1 + %2)"                                                           \
		             : "=r"(got)                                                                               \
		             : "r"(ctx), "i"(__builtin_offsetof(typeof(*(ctx)), f)));                                  \
		(__u32) got;                                                                                           \
	})

#define end_v6(to, ctx, f, at_port)                                                                                    \
	do {                                                                                                           \
		(to)->ip[0] = FIELD(32, ctx, f[0]);                                                                    \
		(to)->ip[1] = FIELD(32, ctx, f[1]);                                                                    \
		(to)->ip[2] = FIELD(32, ctx, f[2]);                                                                    \
		(to)->ip[3] = FIELD(32, ctx, f[3]);                                                                    \
		(to)->port = (at_port);                                                                                \
	} while (0)

/* Both ends of a sock_ops socket. */
#define ends_of(s, local, remote)                                                                                      \
	do {                                                                                                           \
		__u16 here = FIELD(32, s, local_port);                                                                 \
		__u16 there = bpf_ntohl(FIELD(32, s, remote_port));                                                    \
                                                                                                                       \
		if ((s)->family == AF_INET) {                                                                          \
			end_v4(local, FIELD(32, s, local_ip4), here);                                                  \
			end_v4(remote, FIELD(32, s, remote_ip4), there);                                               \
		} else {                                                                                               \
			end_v6(local, s, local_ip6, here);                                                             \
			end_v6(remote, s, remote_ip6, there);                                                          \
		}                                                                                                      \
	} while (0)

/* Who guards this end: its exact address, any IPv4 address, any address; NULL: nobody. */
static __always_inline struct owner *owner_of(const struct end *at, __u64 netns)
{
	struct address key = { .at = *at, .netns = netns };
	struct owner *owner = bpf_map_lookup_elem(&guarded, &key);

	if (owner)
		return owner;
	key.at.ip[3] = 0;
	if (!at->ip[0] && !at->ip[1] && at->ip[2] == bpf_htonl(0xffff)) {
		owner = bpf_map_lookup_elem(&guarded, &key);
		if (owner)
			return owner;
	}
	key.at.ip[0] = key.at.ip[1] = key.at.ip[2] = 0;
	return bpf_map_lookup_elem(&guarded, &key);
}

/* The service whose unit the cgroup is in; 0: none. */
static __always_inline __u32 service_in(__u64 cgroup)
{
	struct member *m = bpf_map_lookup_elem(&members, &cgroup);

	return m ? m->service : 0;
}

static __always_inline void put_sk(struct bpf_sock **sk)
{
	if (*sk)
		bpf_sk_release(*sk);
}
