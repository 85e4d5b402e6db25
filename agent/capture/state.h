/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - what the files of capture share: the state behind the door, and what each file does with it.
 *
 * All functions: 0 or -errno. Those that take a `struct why` write the cause there, in words for the operator.
 */
#pragma once

#include "capture/capture.h"

#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include "bpf/abi.h"

/* The pinned maps that the agent itself reads or writes. */
enum map_id {
	MAP_GUARDED,
	MAP_DIALS,
	MAP_DOORS,
	MAP_MEMBERS,
	MAP_TALLY,
	MAP_VERSION,
	MAP_LETTERS,
	MAP_SERVICES,
	MAP_SERVICE_PORTS,
	MAP_PLACES,
	MAP_LISTENS,
	MAP_COUNT
};

#define LINE          192 /* longest line about what is not covered */
#define NAME_MOST     63
#define STEP_MOST     (sizeof(((struct step *)0)->name) - 2) /* shorter than the kernel side cuts: no two fall together */
#define SERVICES_MOST 256
#define LETTERS       65536

struct ring_buffer;

struct why {
	char *text;
	size_t len;
};

/* Writes the cause and returns `err`. */
__attribute__((format(printf, 3, 4))) int because(struct why why, int err, const char *format, ...);

/* A service as configured; our own copy. */
struct watched {
	char *name;
	char *unit;   /* or NULL */
	char *cgroup; /* without slashes at the ends; or NULL */
	uint16_t *ports;
	size_t port_count;
	bool fail_open;
	uint32_t id;     /* hash of the name; what the maps know it by */
	uint64_t origin; /* hash of unit and cgroup */
	bool moved;      /* an earlier run looked for it elsewhere */
};

/* A step towards a unit, as in the map `places`. */
struct route {
	struct step step;
	struct place to;
};

struct lines {
	char (*at)[LINE];
	size_t count;
	size_t more; /* that did not fit */
};

#define POOL_MOST 128 /* sockets to dial with, of one family of a namespace */
#define POOL_LOW  64  /* more are asked for */

/* Sockets that were made in another namespace for a process that cannot enter it. */
struct pool {
	int at[POOL_MOST];
	size_t count;
	uint64_t asked_ns; /* monotonic; 0: nobody was asked since some came */
};

/* A network namespace that is guarded. */
struct space {
	uint64_t netns; /* its cookie, never used again */
	uint64_t inode; /* "net:[inode]" of /proc */
	int ns;         /* by which it is entered; -1 in a process that does not */
	int *listeners; /* 2 * loops: IPv4, then IPv6; -1 where there is none */
	uint16_t door_port[2];
	bool up;         /* steered */
	unsigned looks;  /* since it is guarded */
	unsigned unseen; /* of those the last without a process of a unit */
	struct pool pools[2];

	/* Of dials, behind `dialling`: */
	unsigned share_dials;      /* so many do not ask for a free port */
	uint16_t last_shared;      /* the last port that was taken by its number */
	uint8_t used[LETTERS / 8]; /* ports that the kernel has chosen */
};

/* A namespace that cannot be guarded, and why; its servers are fenced. */
struct refused {
	uint64_t inode;
	bool seen; /* in this look */
	char why[96];
};

struct capture {
	char *pins;
	char *mount; /* where cgroup2 is mounted */
	char *own;   /* directory of our cgroup */
	uint64_t own_id;
	uint64_t netns; /* cookie of our network namespace */

	struct space *spaces[NAMESPACES_MOST]; /* the first one is ours */
	size_t space_count;
	struct refused refused[NAMESPACES_MOST];
	size_t refused_count;
	bool open;        /* doors are put in place as they are made */
	uint64_t look_ns; /* when the look for namespaces began, monotonic */
	bool look_late;   /* it has left some for the next */
	struct capture_watcher watcher;
	struct ring_buffer *listens; /* NULL in a process that only dials */
	void (*ask)(void *arg, uint64_t netns, int family);
	void *ask_arg;

	struct watched *services;
	size_t service_count;
	struct route *routes;
	size_t route_count;

	int maps[MAP_COUNT];
	struct letter *letters;

	unsigned loops;

	/* From bind to the return of connect: a letter lies in a box that only has the port on it. In a process that
	 * only dials also the namespaces and their sockets, which come and go. */
	pthread_mutex_t dialling;
	uint8_t lost[LETTERS / 8]; /* ports of dials that `dials` had no room for */

	pthread_mutex_t seen; /* guards what follows */
	struct lines uncovered, missing;
	bool fenced_unix; /* the LSM program stands before Unix listeners */
	unsigned audits;
	uint64_t lost_told[TALLY_COUNT];
	struct dial *inner; /* talk inside units that is older than the guard; its tuples are ours to take away */
	size_t inner_count;
};

/* ---- services.c: the configuration, and its maps ---- */
int services_copy(struct capture *c, const struct guard *guards, size_t count, struct why why);
void services_free(struct capture *c);
/* Copies of `guards` in the place of the services that there were, which the caller has to free. */
int services_replace(struct capture *c, const struct guard *guards, size_t count, struct capture *old, struct why why);
/* Writes services and ports; notes which have moved since the pins were made. */
int services_write(struct capture *c, struct why why);
/* After everything is found again: forgets what no configured service has. */
void services_sweep(struct capture *c);
const struct watched *service_by_id(const struct capture *c, uint32_t id);
bool service_wants(const struct watched *s, uint16_t port);
static inline bool service_by_port_alone(const struct watched *s)
{
	return !s->unit && !s->cgroup;
}

/* ---- cgroups.c: where they are, which are ours, which are the units' ---- */
/* Returns an owned directory: where cgroup2 is mounted, from the text of mountinfo. -ENOENT if it is not. */
int mountinfo_cgroup2(const char *text, char **dir, char **root);
/* Finds the mount and our own cgroup; makes and enters `own` if it is not NULL. */
int cgroups_find(struct capture *c, const char *own, struct why why);
int cgroup_id(const char *dir, uint64_t *id);

/* ---- places.c: the ways that lead to units ---- */
/* Works out the routes to all units, and writes them. */
int places_write(struct capture *c, struct why why);
/* Enters the cgroups that are there into `members`, forgets those that are not, and checks that we are not one. */
int places_walk(struct capture *c, struct why why);
/* Forgets members whose cgroup went long ago. */
void places_forget(struct capture *c);
void places_free(struct capture *c);

/* ---- pins.c: the directory of pins ---- */
int pins_prepare(struct capture *c, struct why why);
/* Attaches `prog` to the directory `cgroup` and pins it, or puts it in the place of the pinned one in one step. */
int pins_cgroup(struct capture *c, const char *name, int prog, int attach_type, const char *cgroup);
/* The same for the namespace that `ns` is open on. */
int pins_netns(struct capture *c, const char *name, int prog, int ns);
/* Tracing and LSM: the new one is there before the old one goes. */
int pins_tracing(struct capture *c, const char *name, int prog);

/* Drops the links of own cgroups that are gone. */
void pins_sweep_dialled(struct capture *c);
/* And those of namespaces that are gone, with the addresses there. */
void pins_sweep_steer(struct capture *c);
/* Whether a link of that namespace, which is not ours, is pinned. */
bool pins_steered(const struct capture *c, uint64_t netns);

/* ---- programs.c: loading and attaching ---- */
int programs_load(struct capture *c, struct why why); /* also opens the maps */
/* Whether the pins are of this layout. 0 also where there is nothing yet. */
int programs_fit(const struct capture *c, struct why why);
int programs_attach_births(struct capture *c, struct why why);
int programs_attach(struct capture *c, struct why why);
/* In another namespace than ours. */
int programs_steer(struct capture *c, const struct space *s, struct why why);
void programs_free(void);

/* ---- diag.c: the kernel's sockets, by netlink ---- */
struct diag_socket {
	struct end local, remote;
	uint64_t cgroup; /* 0: the kernel did not say */
	uint32_t inode;
	uint8_t family, state;
	uint32_t scope, cookie[2];
};

struct diag_list {
	struct diag_socket *at;
	size_t count;
};

#define DIAG_LISTEN (1u << 10)
/* Everything that still has two ends: all but CLOSE, LISTEN and TIME_WAIT. */
#define DIAG_CONNECTED (1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 8 | 1u << 9 | 1u << 11)

/* Lists TCP sockets of a network namespace in any of `states`; the caller frees with diag_free(). */
int diag_list(const struct capture *c, const struct space *in, uint32_t states, struct diag_list *out);
void diag_free(struct diag_list *list);
int diag_destroy(const struct capture *c, const struct space *in, const struct diag_socket *s);

/* ---- listeners.c: what is guarded ---- */
/* Whose an end is, as the kernel side would say. 0, or -ENOENT. */
int guarded_owner(const struct capture *c, uint64_t netns, const struct end *at, struct owner *owner);
/* Guards what services name by port alone, and listeners that units already have, in all namespaces. */
int listeners_seed(struct capture *c);
/* In one: guards the listeners, and ends connections that do not come through us. */
int listeners_begin(struct capture *c, const struct space *in);
/* Guards one end for a service, by address. */
int listener_guard(struct capture *c, const struct watched *s, const struct space *in, const struct end *at,
                   const char *how);
/* Destroys connections to guarded ends that do not come through us. Returns how many. */
unsigned connections_destroy(struct capture *c, const struct space *in);
/* Takes away tuples whose connection has ended without a callback. */
void inner_forget(struct capture *c);
/* At start: tuples that no socket has. */
void dials_reconcile(struct capture *c);

/* ---- outside.c: what the cgroup hooks cannot see, from /proc ---- */
/* Adds lines to `out`; guards listeners that were made outside their unit's cgroup by address. */
void outside_look(struct capture *c, struct lines *out);
/* Calls `each` for every process of a unit. False: it said no, or there are too many, and not all were seen. */
bool outside_each(struct capture *c, bool (*each)(void *arg, int pid, const struct watched *s), void *arg);
uint64_t netns_inode(int pid);

/* ---- spaces.c: network namespaces ---- */
/* Ours; makes its doors or takes over `kept`, as capture_keep() gave them, and those of others with it. */
int spaces_begin(struct capture *c, const int *kept, size_t kept_count, struct why why);
/* Goes into namespaces in which processes of units are, and leaves those in which none is any more. */
void spaces_look(struct capture *c);
struct space *space_by_netns(const struct capture *c, uint64_t netns);
struct space *space_by_inode(const struct capture *c, uint64_t inode);
/* Makes a socket in it. The descriptor, or -errno. */
int space_socket(const struct capture *c, const struct space *s, int family, int type, int protocol);
/* A new one without doors, in the table. NULL: there is no room or memory. */
struct space *space_add(struct capture *c, uint64_t netns, uint64_t inode, int ns);
void space_remove(struct capture *c, struct space *s);
/* Listens for listeners. */
int spaces_watch(struct capture *c, struct why why);
void spaces_unwatch(struct capture *c);
/* Forgets the addresses of a namespace that is gone. */
void space_gone(struct capture *c, uint64_t netns);
/* Why it is not guarded. */
const char *refused_why(const struct capture *c, uint64_t inode);
/* "net:[4026531840]"; at least 32 bytes. Empty for ours. */
void space_text(const struct capture *c, const struct space *s, char *text, size_t len);
/* Forgets addresses of namespaces that have been gone for long. */
void orphans_forget(struct capture *c);

/* ---- dial.c ---- */
/* Makes them, or takes over `given`, 2 * loops. */
int doors_make(struct capture *c, struct space *s, const int *given, struct why why);
int doors_open(struct capture *c, const struct space *s);
void doors_close(struct capture *c, struct space *s);

/* ---- ends.c: addresses in their three shapes ---- */
void end_of(const struct sockaddr_storage *from, struct end *to);
bool end_is(const struct end *a, const struct end *b);
/* "10.0.0.1:80", "[::]:80"; at least 64 bytes. */
void end_text(const struct end *e, char *text, size_t len);
static inline bool end_is_v4(const struct end *e)
{
	return !e->ip[0] && !e->ip[1] && e->ip[2] == htonl(0xffff);
}

/* ---- status.c ---- */
__attribute__((format(printf, 2, 3))) void lines_add(struct lines *l, const char *format, ...);
bool lines_have(const struct lines *l, const char *line);
void lines_free(struct lines *l);
