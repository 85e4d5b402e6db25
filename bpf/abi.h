/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* abi.h - what the kernel side and the agent agree on. Fixed widths, explicit padding, compiled by both compilers. */
#pragma once

#include <linux/types.h>

#define ABI_SIZE(type, n) _Static_assert(sizeof(type) == (n), #type " changed: raise ABI_VERSION and this size")

/* Kept in the pinned map `version`: pins of another number are refused, never guessed at. */
#define ABI_VERSION 2

/* One end of a connection. IPv4 is kept v4-mapped, so one key fits both families. */
struct end {
	__u32 ip[4]; /* network order */
	__u16 port;  /* host order; 0: nobody */
	__u16 zero;
};
ABI_SIZE(struct end, 20);

/* A connection that the agent dialled, as the guarded server sees it. Key of `dials`. */
struct dial {
	struct end server;
	struct end agent;
	__u64 netns; /* cookie; the same addresses exist once per namespace */
};
ABI_SIZE(struct dial, 48);

/* The client that the next dial from a local port speaks for. The cookie says which socket may take it: another one can
 * have the same port on another address. Array elements are a multiple of 8 bytes apart, also through mmap: a struct of
 * another size would be read at the wrong place. */
struct letter {
	struct end client;
	__u32 zero;
	__u64 cookie;
};
ABI_SIZE(struct letter, 32);

/* A listening end. Key of `guarded`. */
struct address {
	struct end at;
	__u32 zero;
	__u64 netns;
};
ABI_SIZE(struct address, 32);

/* The agent's listener of a network namespace and family. Key of `doors`. */
struct door {
	__u64 netns;
	__u32 v6, zero;
};
ABI_SIZE(struct door, 16);

/* Network namespaces that are guarded at a time, ours among them. */
#define NAMESPACES_MOST 65

/* Services and places are known by a hash of their name or path, not by a running number: the maps outlive the daemon,
 * and the next one may have its services in another order. 0: none. */

/* Whose a guarded address is. Value of `guarded`. */
struct owner {
	__u32 service;
	__u32 fail_open; /* 1: pass while there is no door */
};
ABI_SIZE(struct owner, 8);

/* Value of `services`. */
struct service {
	__u32 fail_open;
	__u32 all_ports; /* 0: only those in `service_ports` */
	__u64 origin;    /* hash of where it is looked for; another one makes old addresses stale */
	char name[64];
};
ABI_SIZE(struct service, 80);

/* Key of `service_ports`. */
struct service_port {
	__u32 service;
	__u32 port;
};
ABI_SIZE(struct service_port, 8);

/* What a cgroup is to us. Value of `members`, keyed by cgroup id. */
struct member {
	__u32 service; /* 0: not of a unit, but on the way to one */
	__u32 place;   /* where on the way; 0: nowhere */
	__u32 slice;   /* 1: this and all above it are slices of the service manager */
	__u32 zero;
	__u64 gone; /* monotonic ns of its rmdir; its sockets may still have text to send */
};
ABI_SIZE(struct member, 24);

/* Below a slice: a unit is known by its name wherever the service manager puts it. */
#define PLACE_SLICE 1
/* The cgroup2 mount itself, where configured paths begin. */
#define PLACE_ROOT 2

/* One step from a place to a directory in it. Key of `places`. */
struct step {
	__u32 place;
	char name[124];
};
ABI_SIZE(struct step, 128);

struct place {
	__u32 service; /* 0: a directory on the way */
	__u32 place;
};
ABI_SIZE(struct place, 8);

/* What was done, counted; index of `tally`. */
enum tally {
	TALLY_OWN_DIAL,    /* sk_lookup: our own dial, passed */
	TALLY_STEERED,     /* sk_lookup: handed to the agent */
	TALLY_UNATTENDED,  /* sk_lookup: guarded, nobody listening: refused */
	TALLY_OPEN_PASSED, /* sk_lookup: guarded, nobody listening, fail: open: passed */
	TALLY_DIAL_LOST,   /* sockops: `dials` full, this dial will meet ourselves */
	TALLY_LISTEN_LOST, /* sockops: `guarded` full, a listener is not guarded */
	TALLY_UNIT_LOST,   /* cgroup_mkdir: `members` full, a new cgroup of a unit is not known */
	TALLY_PEER_TOLD,   /* getpeername: the server was given the client */
	TALLY_FENCED,      /* egress: text to somebody else than us, dropped */
	TALLY_KTLS,        /* setsockopt: kernel TLS refused */
	TALLY_FAMILY,      /* LSM: socket family refused */
	TALLY_OLD_SOCKET,  /* LSM: send on a socket of another cgroup refused */
	TALLY_SIDE_DOOR,   /* LSM: outside client of a guarded Unix socket refused */
	TALLY_OPEN_TOLD,   /* the agent: how many of OPEN_PASSED are on record */
	TALLY_COUNT
};
