// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* ktls.bpf.c - no kernel TLS inside a guarded unit: its ciphertext is made where nothing of ours can read before it. */
#include "maps.bpf.h"
#include <linux/in.h>
#include <linux/tcp.h>

#define PAGE 4096

SEC("cgroup/setsockopt")
int ktls(struct bpf_sockopt *ctx)
{
	if (ctx->level == IPPROTO_TCP && ctx->optname == TCP_ULP && service_in(bpf_get_current_cgroup_id())) {
		count(TALLY_KTLS);
		return 0; /* EPERM; TLS libraries then encrypt themselves */
	}
	if (ctx->optlen > PAGE)
		ctx->optlen = 0; /* more than the kernel shows a program; 0: take what the caller gave */
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
