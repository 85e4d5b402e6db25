// SPDX-License-Identifier: Apache-2.0
/*
 * programs.c - loads the BPF objects over the pinned maps, and attaches them in the order that leaves no gap.
 *
 * Probing is loading: what this kernel takes is known by trying. The units' programs hang on the cgroup2 mount itself
 * and ask for the unit by id: a slice goes with its last unit, and a unit comes back in another slice when its
 * configuration says so; a link further down would then hang on nothing.
 */
#include "capture/state.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include "base/log.h"
#include "base/own.h"
#include "born.skel.h"
#include "fence.skel.h"
#include "ktls.skel.h"
#include "life.skel.h"
#include "lsm.skel.h"
#include "peer.skel.h"
#include "steer.skel.h"

/* One loading at a time is under way in a process; libbpf's printer has no argument to carry these. */
static struct {
	struct steer *steer;
	struct life *life;
	struct peer *peer;
	struct born *born;
	struct fence *fence;
	struct ktls *ktls;
	struct lsm *lsm;
	char said[512]; /* libbpf's first complaint */
} now;

static int hear(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && !now.said[0]) {
		vsnprintf(now.said, sizeof(now.said), format, args);
		now.said[strcspn(now.said, "\n")] = 0;
	}
	return 0;
}

void programs_free(void)
{
	steer__destroy(TAKE(now.steer));
	life__destroy(TAKE(now.life));
	peer__destroy(TAKE(now.peer));
	born__destroy(TAKE(now.born));
	fence__destroy(TAKE(now.fence));
	ktls__destroy(TAKE(now.ktls));
	lsm__destroy(TAKE(now.lsm));
}

static const char *const map_names[MAP_COUNT] = {
	[MAP_GUARDED] = "guarded", [MAP_DIALS] = "dials",       [MAP_DOORS] = "doors",
	[MAP_MEMBERS] = "members", [MAP_TALLY] = "tally",       [MAP_VERSION] = "version",
	[MAP_LETTERS] = "letters", [MAP_SERVICES] = "services", [MAP_SERVICE_PORTS] = "service_ports",
	[MAP_PLACES] = "places",   [MAP_LISTENS] = "listens",
};

static int map_pin(const struct capture *c, enum map_id map)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", c->pins, map_names[map]);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

#define UNFIT "the pins in %s are of another sluice: run sluiced --unpin (this opens the gate), then start again"

/* Before anything is loaded over them. */
int programs_fit(const struct capture *c, struct why why)
{
	owned(own_close) int fd = map_pin(c, MAP_VERSION);
	uint32_t zero = 0, version;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0 || bpf_map_lookup_elem(fd, &zero, &version) || (version && version != ABI_VERSION))
		return because(why, -ESTALE, UNFIT, c->pins);
	return 0;
}

/* What loading an object came to, in the operator's words. */
static int loaded(struct capture *c, const char *what, int err, struct why why)
{
	if (!err)
		return 0;
	if (strstr(now.said, "parameter mismatch"))
		return because(why, -ESTALE, UNFIT, c->pins);
	return because(why, err, "this kernel does not take %s: %s (%s)", what, strerror(-err), now.said);
}

#define OPEN_AND_LOAD(c, o, setup)                                                                                     \
	({                                                                                                             \
		LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = (c)->pins);                                   \
		int failed = 0;                                                                                        \
                                                                                                                       \
		now.said[0] = 0;                                                                                       \
		now.o = o##__open_opts(&opts);                                                                         \
		if (!now.o) {                                                                                          \
			failed = -errno;                                                                               \
		} else {                                                                                               \
			setup;                                                                                         \
			failed = o##__load(now.o);                                                                     \
		}                                                                                                      \
		failed;                                                                                                \
	})

/* Without "bpf" in the kernel's LSM list, or where its owner forbids it, the guard is thinner, and says so. */
static void load_lsm(struct capture *c)
{
	if (!OPEN_AND_LOAD(c, lsm, ))
		return;
	lsm__destroy(TAKE(now.lsm));
	if (!OPEN_AND_LOAD(c, lsm, bpf_program__set_autoload(now.lsm->progs.families, false))) {
		lines_add(&c->missing, "lsm_cgroup/socket_create: packet and vsock sockets of a unit are not refused");
		return;
	}
	log_debug("LSM programs not loaded cause=\"%s\"", now.said);
	lsm__destroy(TAKE(now.lsm));
	lines_add(&c->missing,
	          "BPF LSM: packet sockets, sockets from outside and Unix sockets of a unit are not guarded");
}

static int maps_open(struct capture *c, struct why why)
{
	uint32_t zero = 0, version = ABI_VERSION;

	for (int i = 0; i < MAP_COUNT; i++) {
		c->maps[i] = map_pin(c, (enum map_id)i);
		if (c->maps[i] < 0)
			return because(why, c->maps[i], "cannot open the pinned map %s/%s", c->pins, map_names[i]);
	}
	if (bpf_map_update_elem(c->maps[MAP_VERSION], &zero, &version, BPF_ANY))
		return because(why, -errno, "cannot write the pinned map %s/version", c->pins);
	c->letters =
		mmap(NULL, LETTERS * sizeof(*c->letters), PROT_READ | PROT_WRITE, MAP_SHARED, c->maps[MAP_LETTERS], 0);
	if (c->letters == MAP_FAILED) {
		c->letters = NULL;
		return because(why, -errno, "cannot map the letters: %s", strerror(errno));
	}
	return 0;
}

int programs_load(struct capture *c, struct why why)
{
	int err = programs_fit(c, why);

	if (err)
		return err;
	libbpf_set_print(hear);
	err = loaded(c, "sk_lookup and sockops", OPEN_AND_LOAD(c, steer, now.steer->rodata->netns = c->netns), why);
	if (!err)
		err = loaded(c, "sockops of the units", OPEN_AND_LOAD(c, life, now.life->rodata->netns = c->netns),
		             why);
	if (!err)
		err = loaded(c, "cgroup/getpeername", OPEN_AND_LOAD(c, peer, ), why);
	if (!err)
		err = loaded(c, "tp_btf/cgroup_mkdir", OPEN_AND_LOAD(c, born, ), why);
	if (!err)
		err = loaded(c, "cgroup_skb/egress", OPEN_AND_LOAD(c, fence, now.fence->rodata->netns = c->netns), why);
	if (err)
		return err;
	if (OPEN_AND_LOAD(c, ktls, )) {
		ktls__destroy(TAKE(now.ktls));
		lines_add(&c->missing, "cgroup/setsockopt: kernel TLS of a unit is not refused");
	}
	load_lsm(c);
	return maps_open(c, why);
}

static int attached(const char *what, const char *where, int err, struct why why)
{
	return err ? because(why, err, "cannot attach %s to %s: %s", what, where, strerror(-err)) : 0;
}

#define PROG(o, p) bpf_program__fd(now.o->progs.p)

int programs_attach_births(struct capture *c, struct why why)
{
	int err = attached("tp_btf/cgroup_mkdir", "the kernel", pins_tracing(c, "born", PROG(born, born)), why);

	return err ? err
	           : attached("tp_btf/cgroup_rmdir", "the kernel", pins_tracing(c, "died", PROG(born, died)), why);
}

static void attach_lsm(struct capture *c)
{
	int err = 0;

	if (!now.lsm)
		return;
	if (bpf_program__autoload(now.lsm->progs.families))
		err = pins_cgroup(c, "families", PROG(lsm, families), BPF_LSM_CGROUP, c->mount);
	if (!err)
		err = pins_tracing(c, "old_socket", PROG(lsm, old_socket));
	if (!err)
		err = pins_tracing(c, "side_door", PROG(lsm, side_door));
	c->fenced_unix = !err;
	if (err)
		lines_add(&c->missing, "BPF LSM: loaded, but cannot be attached: %s", strerror(-err));
}

int programs_attach(struct capture *c, struct why why)
{
	char name[64];
	int err;

	/* The backstop first, then what lets our dials through, then discovery, last what turns connections away. */
	err = attached("cgroup_skb/egress", c->mount,
	               pins_cgroup(c, "fence", PROG(fence, fence), BPF_CGROUP_INET_EGRESS, c->mount), why);
	if (err)
		return err;
	attach_lsm(c);
	if (now.ktls) {
		err = pins_cgroup(c, "ktls", PROG(ktls, ktls), BPF_CGROUP_SETSOCKOPT, c->mount);
		if (err)
			lines_add(&c->missing, "cgroup/setsockopt: cannot be attached: %s", strerror(-err));
	}
	snprintf(name, sizeof(name), "dialled_%llx", (unsigned long long)c->own_id);
	err = attached("sockops", c->own, pins_cgroup(c, name, PROG(steer, dialled), BPF_CGROUP_SOCK_OPS, c->own), why);
	if (!err)
		err = attached("sockops", c->mount,
		               pins_cgroup(c, "life", PROG(life, life), BPF_CGROUP_SOCK_OPS, c->mount), why);
	if (!err)
		err = attached("getpeername4", c->mount,
		               pins_cgroup(c, "peer4", PROG(peer, peer4), BPF_CGROUP_INET4_GETPEERNAME, c->mount), why);
	if (!err)
		err = attached("getpeername6", c->mount,
		               pins_cgroup(c, "peer6", PROG(peer, peer6), BPF_CGROUP_INET6_GETPEERNAME, c->mount), why);
	if (!err)
		err = attached("sk_lookup", "the network namespace",
		               pins_netns(c, "steer", PROG(steer, steer), c->spaces[0]->ns), why);
	if (!err) {
		pins_sweep_dialled(c);
		pins_sweep_steer(c);
	}
	return err;
}

int programs_steer(struct capture *c, const struct space *s, struct why why)
{
	char name[64];
	int err = loaded(c, "sk_lookup",
	                 OPEN_AND_LOAD(c, steer,
	                               {
					       now.steer->rodata->netns = s->netns;
					       bpf_program__set_autoload(now.steer->progs.dialled, false);
				       }),
	                 why);

	snprintf(name, sizeof(name), "steer_%llx", (unsigned long long)s->netns);
	if (!err)
		err = attached("sk_lookup", "the network namespace", pins_netns(c, name, PROG(steer, steer), s->ns),
		               why);
	programs_free();
	return err;
}
