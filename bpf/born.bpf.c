// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * born.bpf.c - the cgroups of guarded units are known from birth, when nobody can be in them yet.
 *
 * A restarted unit gets a new cgroup. A new directory is placed by its parent: below a unit it is the unit's; on a
 * configured path it is a step of it; below slices of the service manager a unit is known by its name. Names alone
 * would let anybody with a delegated cgroup call himself a unit and talk to its server from inside.
 */
#include "maps.bpf.h"
#include "kernel.bpf.h"
#include <bpf/bpf_tracing.h>

/* The steps that lead to units. Written: agent. Read: here. Full: the agent refuses to start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct step);
	__type(value, struct place);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} places SEC(".maps");

static __always_inline int is_slice(const char *name, long n)
{
	char tail[8] = {}, want[8] = ".slice";

	if (n < 7 || bpf_probe_read_kernel(tail, 6, name + n - 7))
		return 0;
	return *(__u64 *)tail == *(__u64 *)want;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(born, struct cgroup *cg, const char *path)
{
	struct cgroup_subsys_state *css = cg->self.parent;
	struct kernfs_node *kn = cg->kn, *up_kn;
	struct cgroup_root *root = cg->root;
	struct place *place = NULL;
	struct member m = {}, *up;
	struct step step = {};
	struct cgroup *parent;
	const char *name;
	__u64 id, up_id;
	long n;

	if (!css || !kn || !root || root->hierarchy_id) /* 0 is cgroup2; v1 directories come here too */
		return 0;
	parent = css->cgroup;
	if (!parent)
		return 0;
	up_kn = parent->kn;
	if (!up_kn)
		return 0;
	up_id = up_kn->id;
	up = bpf_map_lookup_elem(&members, &up_id);
	if (!up)
		return 0;
	id = kn->id;
	m.service = up->service;
	if (!m.service) {
		name = kn->name;
		n = bpf_probe_read_kernel_str(step.name, sizeof(step.name), name);
		m.slice = up->slice && is_slice(name, n);
		if (up->place) {
			step.place = up->place;
			place = bpf_map_lookup_elem(&places, &step);
		}
		if (!place && up->slice) {
			step.place = PLACE_SLICE;
			place = bpf_map_lookup_elem(&places, &step);
		}
		if (place) {
			m.service = place->service;
			m.place = place->place;
		}
		if (!m.service && !m.place && !m.slice)
			return 0;
	}
	if (bpf_map_update_elem(&members, &id, &m, BPF_ANY))
		count(TALLY_UNIT_LOST);
	return 0;
}

/* Not forgotten yet: orphaned sockets of the dead may still send what the fence held back. The agent forgets later. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(died, struct cgroup *cg, const char *path)
{
	struct cgroup_root *root = cg->root;
	struct kernfs_node *kn = cg->kn;
	struct member *m;
	__u64 id;

	if (!kn || !root || root->hierarchy_id)
		return 0;
	id = kn->id;
	m = bpf_map_lookup_elem(&members, &id);
	if (!m)
		return 0;
	if (m->service)
		m->gone = bpf_ktime_get_ns();
	else
		bpf_map_delete_elem(&members, &id);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
