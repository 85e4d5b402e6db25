/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.h - the door of capture: connections of guarded services reach us, ours reach the servers, and nothing else
 * passes. The only room that talks to BPF, cgroups and socket diagnosis, and the only one that needs privilege.
 *
 * What it hands over are plain descriptors. Logs what it could not do; what is not covered is in the status, never
 * claimed. Everything attached is pinned and outlives the process: a daemon that dies leaves the gate closed
 * (or open, for services with fail_open).
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct capture;

/* A service to guard. At least one of unit, cgroup, ports. */
struct guard {
	const char *name;
	const char *unit;      /* systemd unit name, or NULL */
	const char *cgroup;    /* path below the cgroup2 mount, with or without a leading slash, or NULL */
	const uint16_t *ports; /* NULL: every TCP port that the unit or cgroup listens on */
	size_t port_count;
	bool fail_open;
};

/* Who is told of other network namespaces that are guarded from now on, or no more. They are known by their cookie, and
 * to people by an inode. */
struct capture_watcher {
	void (*came)(void *arg, uint64_t netns);
	void (*went)(void *arg, uint64_t netns);
	void *arg;
};

struct capture_options {
	const char *pins;       /* directory on a bpffs; made if missing. NULL: /sys/fs/bpf/sluice */
	const char *own_cgroup; /* path below the cgroup2 mount that the daemon makes and enters;
	                         * NULL: stay where we are (a service manager made us one) */
	const struct guard *guards;
	size_t guard_count;
	unsigned loops;  /* listeners to make per family, in each namespace */
	const int *kept; /* descriptors of the program that this one goes on from, as capture_keep() gave them; taken
	                  * over. NULL: they are made */
	size_t kept_count;
	struct capture_watcher watcher;
};

/* Loads, attaches and pins, in the order of reference/kernel.md 1.1, but puts no door in place: until capture_doors()
 * the guarded addresses answer RST (or pass, where fail_open). Takes over the pins of an earlier run. Errors: -errno,
 * with the cause written to `why` in words that name the missing kernel feature, the service or the path. */
int capture_open(struct capture **out, const struct capture_options *o, char *why, size_t why_len);

/* The listener of loop `loop` for `family` (AF_INET, AF_INET6): non-blocking, borrowed until capture_close(); -1 if
 * this host has no such family. */
int capture_listener(const struct capture *c, unsigned loop, int family);

/* Opens the gate to us: puts the doors in place, finds older listeners, destroys connections older than the guard. */
int capture_doors(struct capture *c);

/* Other services from now on: what is new is guarded, what is not among them any more is let go; connections older than
 * the guard of what is new are destroyed. Dials go on as they did, by the services that their process knows. Errors:
 * -errno with the cause in `why`; the services are the old ones then. */
int capture_change(struct capture *c, const struct guard *guards, size_t count, char *why, size_t why_len);

/* In the fork that will serve other services than its parent guards yet: which they are. Asks the kernel for nothing.
 * Errors: as above. */
int capture_expect(struct capture *c, const struct guard *guards, size_t count, char *why, size_t why_len);

/* Before another program takes this process over: all listeners of all namespaces and what names those. *fds is the
 * caller's; each is to be made to survive execve(2), -1 stands where there is none. -ENOMEM. */
int capture_keep(const struct capture *c, int **fds, size_t *count);

/* ---- other network namespaces: a process that cannot enter them is given what was made there ---- */

#define CAPTURE_SPACES 64 /* that are guarded beside ours */

/* Cookies of those that are guarded; at most `room`. Returns how many there are. */
size_t capture_spaces(const struct capture *c, uint64_t *netns, size_t room);
/* A listener of that namespace: as capture_listener(). */
int capture_listener_in(const struct capture *c, uint64_t netns, unsigned loop, int family);
/* Its inode; 0 if it is ours or not known. */
uint64_t capture_inode(const struct capture *c, uint64_t netns);
/* Makes sockets there to dial with; the caller owns them. How many, or -errno. */
int capture_make_dials(const struct capture *c, uint64_t netns, int family, int *fds, size_t count);

/* In the process that only dials: there is a namespace more, whose listeners these are, 2 * loops, taken over. -errno
 * leaves them the caller's. */
int capture_space_came(struct capture *c, uint64_t netns, uint64_t inode, const int *listeners);
/* It is gone: what was made there is closed. */
void capture_space_went(struct capture *c, uint64_t netns);
/* Sockets to dial with, taken over. */
void capture_take_dials(struct capture *c, uint64_t netns, int family, const int *fds, size_t count);
/* Whether the namespace that a listener is in can be dialled in now. If not, or not for long, `ask` is called, at most
 * every 100 ms, from whichever thread asks. Always true for ours, and where the process may enter it. */
bool capture_can_dial(struct capture *c, uint64_t netns, int family);
void capture_ask_with(struct capture *c, void (*ask)(void *arg, uint64_t netns, int family), void *arg);

/* Readable when a listener came up in another namespace: capture_heard() then looks. Borrowed. */
int capture_listens(const struct capture *c);
void capture_heard(struct capture *c);

/* Whether this program can take over what is pinned there: 0 also where nothing is, or who asks may not look. -ESTALE
 * with the cause in `why`. */
int capture_fits(const char *pins, char *why, size_t why_len);

/* In the fork that only accepts and dials: gives up all of the guard but what capture_listener() and capture_dial()
 * need, which ask the kernel for nothing but to look up one map. */
void capture_narrow(struct capture *c);

/* One connection, as both ends believe it to be. */
struct ends {
	struct sockaddr_storage client, server;
	uint64_t inode; /* of the server's network namespace; 0: it is ours */
};

/* Dials the server that the accepted socket `client` was meant for. On success *fd is the caller's, non-blocking,
 * connect(2) under way (EPOLLOUT tells; SO_ERROR says how it went); *ends and *service (index of the guard) are set.
 * Thread-safe. Errors: -ELOOP when the connection is one of our own dials or was made to a door directly: close it;
 * -errno of socket(2), bind(2), connect(2), -ENOENT when the address is no longer guarded, -ENOBUFS when the kernel
 * side has no room for the dial: the client should see RST, as it would have without us. */
int capture_dial(struct capture *c, int client, int *fd, struct ends *ends, size_t *service);

/* Both ends of a connection that another process has accepted at the doors, and its service. Thread-safe. -errno;
 * -ENOENT: its address is guarded for no service that this process knows. */
int capture_ends(struct capture *c, int client, struct ends *ends, size_t *service);

/* Looks again for listeners and for what is not covered; call every second or so from one thread. Logs changes. */
void capture_audit(struct capture *c);

struct capture_address {
	char text[64];      /* "0.0.0.0:8000", "[::]:8001" */
	char namespace[32]; /* "net:[4026532001]"; empty: ours */
	size_t service;
};

#define CAPTURE_TALLIES 16

struct capture_status {
	struct capture_address *addresses; /* owned, guarded now */
	size_t address_count;
	char (*uncovered)[192]; /* owned, "service: what and why" */
	size_t uncovered_count;
	char (*missing)[192]; /* owned, features this kernel lacks */
	size_t missing_count;
	const char *tally_names[CAPTURE_TALLIES];
	uint64_t tallies[CAPTURE_TALLIES];
	size_t tally_count;
	size_t dials;  /* entries of the dials map */
	size_t spaces; /* network namespaces that are guarded beside ours */
};

/* Connections of fail_open services that passed unread since this was asked last, over restarts: for the record. */
uint64_t capture_open_passed(struct capture *c);

/* Fills *out, which the caller frees with capture_status_free(). */
int capture_status(struct capture *c, struct capture_status *out);
void capture_status_free(struct capture_status *s);

/* Closes listeners; leaves everything pinned: the gate stays as fail_open says. */
void capture_close(struct capture **at);

/* Takes the guard down for good: removes links, maps and `pins`. 0 also when there is none. */
int capture_unpin(const char *pins);
