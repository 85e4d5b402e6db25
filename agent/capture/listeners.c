// SPDX-License-Identifier: Apache-2.0
/*
 * listeners.c - which addresses are guarded, for listeners older than the guard; and the end of connections that are
 * older than it.
 */
#include "capture/state.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include "base/log.h"
#include "base/own.h"

int guarded_owner(const struct capture *c, uint64_t netns, const struct end *at, struct owner *owner)
{
	struct address key = { .at = *at, .netns = netns };
	struct address any = { .at.port = at->port, .netns = netns };

	key.at.zero = 0;
	if (!bpf_map_lookup_elem(c->maps[MAP_GUARDED], &key, owner))
		return 0;
	if (end_is_v4(at)) {
		any.at.ip[2] = htonl(0xffff);
		if (!bpf_map_lookup_elem(c->maps[MAP_GUARDED], &any, owner))
			return 0;
		any.at.ip[2] = 0;
	}
	return bpf_map_lookup_elem(c->maps[MAP_GUARDED], &any, owner) ? -ENOENT : 0;
}

int listener_guard(struct capture *c, const struct watched *s, const struct space *in, const struct end *at,
                   const char *how)
{
	struct address key = { .at = *at, .netns = in->netns };
	struct owner owner = { s->id, s->fail_open }, old;
	char text[64], where[32];

	/* An address that two services claim stays with the one that had it: taking it in turns would help nobody. */
	if (!bpf_map_lookup_elem(c->maps[MAP_GUARDED], &key, &old) && service_by_id(c, old.service))
		return 0;
	end_text(at, text, sizeof(text));
	space_text(c, in, where, sizeof(where));
	if (bpf_map_update_elem(c->maps[MAP_GUARDED], &key, &owner, BPF_ANY)) {
		int err = -errno;

		log_error("listener cannot be guarded address=%s service=%s cause=\"%s\"", text, s->name,
		          strerror(-err));
		return err;
	}
	log_info("guarded address=%s service=%s found=%s%s%s", text, s->name, how, *where ? " namespace=" : "", where);
	return 0;
}

static const struct watched *service_in(const struct capture *c, uint64_t cgroup)
{
	struct member m;

	return cgroup && !bpf_map_lookup_elem(c->maps[MAP_MEMBERS], &cgroup, &m) ? service_by_id(c, m.service) : NULL;
}

/* A service that is looked for elsewhere now: what it has not found again, it has not. */
static void moved_forget(struct capture *c, const struct watched *s, const struct space *in,
                         const struct diag_list *listeners)
{
	struct address next, last;
	bool more = !bpf_map_get_next_key(c->maps[MAP_GUARDED], NULL, &next);

	while (more) {
		struct owner owner;
		bool found = false;

		last = next;
		more = !bpf_map_get_next_key(c->maps[MAP_GUARDED], &last, &next);
		if (bpf_map_lookup_elem(c->maps[MAP_GUARDED], &last, &owner) || owner.service != s->id ||
		    last.netns != in->netns)
			continue;
		for (size_t i = 0; i < listeners->count && !found; i++)
			found = end_is(&listeners->at[i].local, &last.at) &&
			        service_in(c, listeners->at[i].cgroup) == s;
		if (!found)
			bpf_map_delete_elem(c->maps[MAP_GUARDED], &last);
	}
}

static int seed(struct capture *c, const struct space *in)
{
	owned(diag_free) struct diag_list all = { 0 };
	int err = diag_list(c, in, DIAG_LISTEN, &all), failed = 0;

	if (err)
		return err;
	for (size_t i = 0; i < all.count; i++) {
		const struct watched *s = service_in(c, all.at[i].cgroup);

		if (s && service_wants(s, all.at[i].local.port)) {
			err = listener_guard(c, s, in, &all.at[i].local, "listening");
			failed = failed ? failed : err;
		}
	}
	for (size_t i = 0; i < c->service_count; i++) {
		struct watched *s = &c->services[i];

		if (s->moved)
			moved_forget(c, s, in, &all);
		for (size_t j = 0; in == c->spaces[0] && service_by_port_alone(s) && j < s->port_count; j++) {
			struct end any = { .port = s->ports[j] };

			err = listener_guard(c, s, in, &any, "configured");
			any.ip[2] = htonl(0xffff);
			if (!err)
				err = listener_guard(c, s, in, &any, "configured");
			failed = failed ? failed : err;
		}
	}
	return failed;
}

int listeners_seed(struct capture *c)
{
	int failed = 0;

	for (size_t i = 0; i < c->space_count; i++) {
		int err = seed(c, c->spaces[i]);

		failed = failed ? failed : err;
	}
	for (size_t i = 0; i < c->service_count; i++)
		c->services[i].moved = false;
	return failed;
}

int listeners_begin(struct capture *c, const struct space *in)
{
	int err = seed(c, in);

	if (!err)
		connections_destroy(c, in);
	return err;
}

static struct dial tuple_of(const struct space *in, const struct diag_socket *server)
{
	return (struct dial){ .server = server->local, .agent = server->remote, .netns = in->netns };
}

static bool inner_add(struct capture *c, const struct dial *key)
{
	struct dial *more = realloc(c->inner, (c->inner_count + 1) * sizeof(*more));

	if (!more)
		return false;
	c->inner = more;
	c->inner[c->inner_count++] = *key;
	return true;
}

/* Both ends in the same unit, both older than the guard: the tuple that the callback would have written. */
static bool keeps_inner(struct capture *c, const struct space *in, const struct diag_list *all,
                        const struct diag_socket *server)
{
	const struct watched *s = service_in(c, server->cgroup);
	struct dial key = tuple_of(in, server);

	for (size_t i = 0; s && i < all->count; i++) {
		const struct diag_socket *client = &all->at[i];

		if (!end_is(&client->local, &server->remote) || !end_is(&client->remote, &server->local) ||
		    service_in(c, client->cgroup) != s)
			continue;
		return inner_add(c, &key) && !bpf_map_update_elem(c->maps[MAP_DIALS], &key, &key.agent, BPF_ANY);
	}
	return false;
}

/* An accepted connection of ours leaves from the guarded address, too. */
static bool is_ours(const struct capture *c, uint64_t cgroup)
{
	char pin[PATH_MAX];

	if (cgroup == c->own_id)
		return true;
	snprintf(pin, sizeof(pin), "%s/link_dialled_%llx", c->pins, (unsigned long long)cgroup);
	return cgroup && !access(pin, F_OK); /* a daemon that is handing over to us */
}

static void destroy_missing(struct capture *c)
{
	pthread_mutex_lock(&c->seen);
	lines_add(&c->missing,
	          "SOCK_DESTROY: connections older than the guard are not ended, the egress backstop starves them");
	pthread_mutex_unlock(&c->seen);
}

unsigned connections_destroy(struct capture *c, const struct space *in)
{
	owned(diag_free) struct diag_list all = { 0 };
	unsigned destroyed = 0;
	int err = diag_list(c, in, DIAG_CONNECTED, &all);

	if (err) {
		log_error("connections older than the guard cannot be listed cause=\"%s\"", strerror(-err));
		return 0;
	}
	for (size_t i = 0; i < all.count; i++) {
		const struct diag_socket *s = &all.at[i];
		struct dial key = tuple_of(in, s);
		struct owner owner;
		struct end client;
		char text[64];

		if (guarded_owner(c, in->netns, &s->local, &owner) || is_ours(c, s->cgroup) ||
		    !bpf_map_lookup_elem(c->maps[MAP_DIALS], &key, &client) || keeps_inner(c, in, &all, s))
			continue;
		err = diag_destroy(c, in, s);
		end_text(&s->remote, text, sizeof(text));
		if (!err)
			destroyed++;
		else if (err == -EOPNOTSUPP)
			destroy_missing(c);
		else if (err != -ENOENT)
			log_error("connection older than the guard cannot be destroyed client=%s cause=\"%s\"", text,
			          strerror(-err));
	}
	if (destroyed)
		log_info("connections older than the guard destroyed count=%u", destroyed);
	return destroyed;
}

static bool has_dialler(const struct diag_list *all, const struct dial *key)
{
	for (size_t i = 0; i < all->count; i++)
		if (end_is(&all->at[i].local, &key->agent) && end_is(&all->at[i].remote, &key->server))
			return true;
	return false;
}

static void inner_drop(struct capture *c, size_t i)
{
	bpf_map_delete_elem(c->maps[MAP_DIALS], &c->inner[i]);
	c->inner[i] = c->inner[--c->inner_count];
}

static void inner_forget_in(struct capture *c, const struct space *in)
{
	owned(diag_free) struct diag_list all = { 0 };
	size_t of_it = 0;

	for (size_t i = 0; i < c->inner_count; i++)
		of_it += c->inner[i].netns == in->netns;
	if (!of_it || diag_list(c, in, DIAG_CONNECTED, &all))
		return;
	for (size_t i = c->inner_count; i-- > 0;)
		if (c->inner[i].netns == in->netns && !has_dialler(&all, &c->inner[i]))
			inner_drop(c, i);
}

void inner_forget(struct capture *c)
{
	for (size_t i = 0; i < c->space_count; i++)
		inner_forget_in(c, c->spaces[i]);
	for (size_t i = c->inner_count; i-- > 0;)
		if (!space_by_netns(c, c->inner[i].netns))
			inner_drop(c, i);
}

/* The callback takes every tuple away; this is for those of inner_forget() whose daemon was killed, which would let
 * whoever binds their port through. */
static void dials_reconcile_in(struct capture *c, const struct space *in)
{
	owned(diag_free) struct diag_list all = { 0 };
	struct dial next, last;
	struct end client;
	bool more = !bpf_map_get_next_key(c->maps[MAP_DIALS], NULL, &next);

	if (!more || diag_list(c, in, DIAG_CONNECTED, &all))
		return;
	while (more) {
		last = next;
		more = !bpf_map_get_next_key(c->maps[MAP_DIALS], &last, &next);
		/* Only talk inside units; our dials live and die by the callback, also between these two looks. */
		if (bpf_map_lookup_elem(c->maps[MAP_DIALS], &last, &client) || !end_is(&client, &last.agent))
			continue;
		if (last.netns != in->netns ? !space_by_netns(c, last.netns) : !has_dialler(&all, &last))
			bpf_map_delete_elem(c->maps[MAP_DIALS], &last);
		else if (last.netns == in->netns)
			inner_add(c, &last); /* it may be one of those; for the others it costs a look */
	}
}

void dials_reconcile(struct capture *c)
{
	for (size_t i = 0; i < c->space_count; i++)
		dials_reconcile_in(c, c->spaces[i]);
}
