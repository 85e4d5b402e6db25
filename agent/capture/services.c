// SPDX-License-Identifier: Apache-2.0
/*
 * services.c - the services to guard: our copy of the configuration, and what the kernel side is told of it.
 *
 * The maps outlive us, so a service is known there by a hash of its name. What an earlier run wrote is overwritten
 * first and swept last: at no moment is an address of a configured service unguarded.
 */
#include "capture/state.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include "base/log.h"
#include "base/own.h"

static uint64_t hash(uint64_t h, const char *text)
{
	for (; text && *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3;
	return (h ^ 0xff) * 0x100000001b3; /* so that "ab" + "c" is not "a" + "bc" */
}

#define HASH_START 0xcbf29ce484222325

/* "/a//b/" is a/b; a path that climbs is refused: it names something else than it says. */
static int plain_path(const char *path, char **ret)
{
	owned(own_free) char *out = calloc(1, strlen(path) + 1);
	size_t n = 0;

	if (!out)
		return -ENOMEM;
	while (*path) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (!len)
			break;
		if (len > STEP_MOST || (len <= 2 && !strncmp(path, "..", len)))
			return -EINVAL;
		if (n)
			out[n++] = '/';
		memcpy(out + n, path, len);
		n += len;
		path += len;
	}
	if (!n)
		return -EINVAL;
	*ret = TAKE(out);
	return 0;
}

static int copy_one(struct watched *s, const struct guard *g, struct why why)
{
	if (!g->name || !*g->name || strlen(g->name) > NAME_MOST)
		return because(why, -EINVAL, "service name must have 1 to %d bytes", NAME_MOST);
	if (!g->unit && !g->cgroup && !g->port_count)
		return because(why, -EINVAL, "service %s: needs a unit, a cgroup or ports", g->name);
	if (g->unit && (!*g->unit || strchr(g->unit, '/') || strlen(g->unit) > STEP_MOST))
		return because(why, -EINVAL, "service %s: \"%s\" cannot be a unit name", g->name, g->unit);
	s->name = strdup(g->name);
	s->unit = g->unit ? strdup(g->unit) : NULL;
	if (!s->name || (g->unit && !s->unit))
		return because(why, -ENOMEM, "out of memory");
	if (g->cgroup && plain_path(g->cgroup, &s->cgroup))
		return because(why, -EINVAL,
		               "service %s: cgroup \"%s\" must be a path below the cgroup2 mount, no name in it "
		               "longer than %zu bytes",
		               g->name, g->cgroup, STEP_MOST);
	if (g->port_count) {
		s->ports = calloc(g->port_count, sizeof(*s->ports));
		if (!s->ports)
			return because(why, -ENOMEM, "out of memory");
		memcpy(s->ports, g->ports, g->port_count * sizeof(*s->ports));
		s->port_count = g->port_count;
	}
	s->fail_open = g->fail_open;
	s->id = (uint32_t)hash(HASH_START, s->name);
	s->id += !s->id;
	s->origin = hash(hash(HASH_START, s->unit), s->cgroup);
	return 0;
}

int services_copy(struct capture *c, const struct guard *guards, size_t count, struct why why)
{
	if (count > SERVICES_MOST)
		return because(why, -E2BIG, "%zu services: at most %d can be guarded", count, SERVICES_MOST);
	c->services = calloc(count ? count : 1, sizeof(*c->services));
	if (!c->services)
		return because(why, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		int err;

		c->service_count = i + 1; /* what is half copied is freed, too */
		err = copy_one(&c->services[i], &guards[i], why);
		if (err)
			return err;
		for (size_t j = 0; j < i; j++)
			if (c->services[j].id == c->services[i].id)
				return because(why, -EEXIST,
				               "services %s and %s: names are equal or collide, change one",
				               c->services[j].name, c->services[i].name);
	}
	return 0;
}

void services_free(struct capture *c)
{
	for (size_t i = 0; i < c->service_count; i++) {
		free(c->services[i].name);
		free(c->services[i].unit);
		free(c->services[i].cgroup);
		free(c->services[i].ports);
	}
	free(TAKE(c->services));
	c->service_count = 0;
}

int services_replace(struct capture *c, const struct guard *guards, size_t count, struct capture *old, struct why why)
{
	struct watched *was = c->services;
	size_t were = c->service_count;
	int err;

	c->services = NULL;
	c->service_count = 0;
	err = services_copy(c, guards, count, why);
	if (err) {
		services_free(c);
		c->services = was;
		c->service_count = were;
		return err;
	}
	old->services = was;
	old->service_count = were;
	return 0;
}

const struct watched *service_by_id(const struct capture *c, uint32_t id)
{
	for (size_t i = 0; i < c->service_count; i++)
		if (c->services[i].id == id)
			return &c->services[i];
	return NULL;
}

bool service_wants(const struct watched *s, uint16_t port)
{
	for (size_t i = 0; i < s->port_count; i++)
		if (s->ports[i] == port)
			return true;
	return !s->port_count;
}

int services_write(struct capture *c, struct why why)
{
	for (size_t i = 0; i < c->service_count; i++) {
		struct watched *s = &c->services[i];
		struct service old,
			now = { .fail_open = s->fail_open, .all_ports = !s->port_count, .origin = s->origin };

		memcpy(now.name, s->name, strlen(s->name));
		s->moved = !bpf_map_lookup_elem(c->maps[MAP_SERVICES], &s->id, &old) && old.origin != s->origin;
		/* Ports first: a service that guards only some of them must not be there without. */
		for (size_t j = 0; j < s->port_count; j++) {
			struct service_port port = { s->id, s->ports[j] };
			uint32_t one = 1;

			if (bpf_map_update_elem(c->maps[MAP_SERVICE_PORTS], &port, &one, BPF_ANY))
				return because(why, -errno,
				               "service %s: its ports do not fit into the map service_ports", s->name);
		}
		if (bpf_map_update_elem(c->maps[MAP_SERVICES], &s->id, &now, BPF_ANY))
			return because(why, -errno, "service %s: does not fit into the map services", s->name);
	}
	return 0;
}

/* Calls `stale` for each key and deletes those it says yes to. */
static void sweep(struct capture *c, enum map_id map, size_t key_size, bool (*stale)(struct capture *, const void *))
{
	uint64_t next[16], last[16]; /* 128 bytes, the largest key */
	bool more = !bpf_map_get_next_key(c->maps[map], NULL, next);

	while (more) {
		memcpy(last, next, key_size);
		more = !bpf_map_get_next_key(c->maps[map], last, next);
		if (stale(c, last))
			bpf_map_delete_elem(c->maps[map], last);
	}
}

static bool stale_service(struct capture *c, const void *key)
{
	return !service_by_id(c, *(const uint32_t *)key);
}

static bool stale_port(struct capture *c, const void *key)
{
	const struct service_port *p = key;
	const struct watched *s = service_by_id(c, p->service);

	return !s || !s->port_count || !service_wants(s, (uint16_t)p->port);
}

/* Also writes the mode anew where it is another now. */
static bool stale_address(struct capture *c, const void *key)
{
	const struct address *at = key;
	const struct watched *s;
	struct owner owner;
	char text[64];

	if (bpf_map_lookup_elem(c->maps[MAP_GUARDED], at, &owner))
		return false;
	s = service_by_id(c, owner.service);
	end_text(&at->at, text, sizeof(text));
	if (!s || !service_wants(s, at->at.port)) {
		log_info("no longer guarded address=%s service=%s", text, s ? s->name : "(removed)");
		return true;
	}
	if (owner.fail_open != s->fail_open) {
		owner.fail_open = s->fail_open;
		bpf_map_update_elem(c->maps[MAP_GUARDED], at, &owner, BPF_EXIST);
	}
	return false;
}

void services_sweep(struct capture *c)
{
	sweep(c, MAP_SERVICES, sizeof(uint32_t), stale_service);
	sweep(c, MAP_SERVICE_PORTS, sizeof(struct service_port), stale_port);
	sweep(c, MAP_GUARDED, sizeof(struct address), stale_address);
}
