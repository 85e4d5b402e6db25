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

struct capture_options {
	const char *pins;       /* directory on a bpffs; made if missing. NULL: /sys/fs/bpf/sluice */
	const char *own_cgroup; /* path below the cgroup2 mount that the daemon makes and enters;
	                         * NULL: stay where we are (a service manager made us one) */
	const struct guard *guards;
	size_t guard_count;
	unsigned loops;   /* listeners to make per family */
	const int *doors; /* listeners of the process that this one goes on from, as capture_doors_keep() gave them;
	                   * taken over. NULL: they are made */
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

/* Before another program takes this process over: all listeners, two of each loop, -1 where there is none; they
 * survive execve(2) from here on. `fds` has room for 2 * loops. */
void capture_doors_keep(const struct capture *c, int *fds);

/* Whether this program can take over what is pinned there: 0 also where nothing is, or who asks may not look. -ESTALE
 * with the cause in `why`. */
int capture_fits(const char *pins, char *why, size_t why_len);

/* In the fork that only accepts and dials: gives up all of the guard but what capture_listener() and capture_dial()
 * need, which ask the kernel for nothing but to look up one map. */
void capture_narrow(struct capture *c);

/* One connection, as both ends believe it to be. */
struct ends {
	struct sockaddr_storage client, server;
};

/* Dials the server that the accepted socket `client` was meant for. On success *fd is the caller's, non-blocking,
 * connect(2) under way (EPOLLOUT tells; SO_ERROR says how it went); *ends and *service (index of the guard) are set.
 * Thread-safe. Errors: -ELOOP when the connection is one of our own dials or was made to a door directly: close it;
 * -errno of socket(2), bind(2), connect(2), -ENOENT when the address is no longer guarded, -ENOBUFS when the kernel
 * side has no room for the dial: the client should see RST, as it would have without us. */
int capture_dial(struct capture *c, int client, int *fd, struct ends *ends, size_t *service);

/* Both ends of a connection that another process has accepted at the doors, and its service. Thread-safe. -errno;
 * -ENOENT: its address is guarded for no service that this process knows. */
int capture_ends(const struct capture *c, int client, struct ends *ends, size_t *service);

/* Looks again for listeners and for what is not covered; call every second or so from one thread. Logs changes. */
void capture_audit(struct capture *c);

struct capture_address {
	char text[64]; /* "0.0.0.0:8000", "[::]:8001" */
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
	size_t dials; /* entries of the dials map */
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
