// SPDX-License-Identifier: Apache-2.0
/*
 * places.c - the ways that lead to units, so that a unit's cgroup is known whenever and wherever it is made.
 *
 * A unit is known by its name below slices of the service manager, which nobody else can make directories in; a
 * configured path is known step by step from the mount. The kernel side (bpf/born.bpf.c) goes by the same rules as
 * the walk here: it learns what is made later, the walk finds what is there.
 */
#include "capture/state.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include "base/log.h"
#include "base/own.h"

#define DEEPEST      32              /* directories below the mount */
#define SEARCH_DEPTH 8               /* for a unit that is not where units are */
#define LINGER_NS    900000000000ULL /* orphaned sockets are given up by the kernel well before */

struct ids {
	uint64_t *at;
	size_t count;
};

static int ids_add(struct ids *l, uint64_t id)
{
	uint64_t *more;

	if (!(l->count & (l->count + 1))) { /* grows at 0, 1, 3, 7, … */
		more = realloc(l->at, (l->count + 1) * 2 * sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->at = more;
	}
	l->at[l->count++] = id;
	return 0;
}

static bool ids_have(const struct ids *l, uint64_t id)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->at[i] == id)
			return true;
	return false;
}

static void ids_free(struct ids *l)
{
	free(l->at);
}

/* The same place at each start, so that what an earlier run wrote stays true. */
static uint32_t place_id(uint32_t from, const char *name, size_t len)
{
	uint32_t h = 0x811c9dc5 ^ from;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x01000193;
	return h > PLACE_ROOT ? h : h + PLACE_ROOT + 1;
}

static const struct place *route_find(const struct capture *c, uint32_t from, const char *name)
{
	for (size_t i = 0; i < c->route_count; i++)
		if (c->routes[i].step.place == from && !strcmp(c->routes[i].step.name, name))
			return &c->routes[i].to;
	return NULL;
}

static int route_add(struct capture *c, uint32_t from, const char *name, size_t len, struct place to)
{
	struct route *more, *r;

	for (size_t i = 0; i < c->route_count; i++) {
		r = &c->routes[i];
		if (r->step.place != from || strncmp(r->step.name, name, len) || r->step.name[len])
			continue;
		if (r->to.service && to.service && r->to.service != to.service)
			return -EEXIST;
		r->to.service = to.service ? to.service : r->to.service;
		r->to.place = to.place ? to.place : r->to.place;
		return 0;
	}
	more = realloc(c->routes, (c->route_count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->routes = more;
	r = &c->routes[c->route_count++];
	*r = (struct route){ .step.place = from, .to = to };
	memcpy(r->step.name, name, len);
	return 0;
}

static int route_path(struct capture *c, const char *path, uint32_t service)
{
	uint32_t from = PLACE_ROOT;
	int err = 0;

	while (*path && !err) {
		size_t len = strcspn(path, "/");
		struct place to = { 0 };

		if (path[len])
			to.place = place_id(from, path, len);
		else
			to.service = service;
		err = route_add(c, from, path, len, to);
		from = to.place;
		path += len + !!path[len];
	}
	return err;
}

static int routes_put(struct capture *c, struct why why)
{
	for (size_t i = 0; i < c->route_count; i++)
		if (bpf_map_update_elem(c->maps[MAP_PLACES], &c->routes[i].step, &c->routes[i].to, BPF_ANY))
			return because(why, -errno, "the ways to the services do not fit into the map places");
	return 0;
}

int places_write(struct capture *c, struct why why)
{
	struct step next, last;
	bool more;

	for (size_t i = 0; i < c->service_count; i++) {
		const struct watched *s = &c->services[i];
		int err = 0;

		if (s->unit)
			err = route_add(c, PLACE_SLICE, s->unit, strlen(s->unit), (struct place){ .service = s->id });
		if (!err && s->cgroup)
			err = route_path(c, s->cgroup, s->id);
		if (err == -EEXIST)
			return because(why, err, "service %s: another service has the same unit or cgroup", s->name);
		if (err)
			return because(why, err, "out of memory");
	}
	for (more = !bpf_map_get_next_key(c->maps[MAP_PLACES], NULL, &next); more;) {
		last = next;
		more = !bpf_map_get_next_key(c->maps[MAP_PLACES], &last, &next);
		if (!route_find(c, last.place, last.name))
			bpf_map_delete_elem(c->maps[MAP_PLACES], &last);
	}
	return routes_put(c, why);
}

void places_free(struct capture *c)
{
	free(TAKE(c->routes));
	c->route_count = 0;
}

static bool is_slice(const char *name)
{
	size_t len = strlen(name);

	return len >= 6 && !strcmp(name + len - 6, ".slice");
}

/* What a directory is, by what its parent is. As bpf/born.bpf.c does it. */
static struct member placed(const struct capture *c, const struct member *up, const char *name)
{
	struct member m = { .service = up->service };
	const struct place *to = NULL;

	if (m.service)
		return m;
	m.slice = up->slice && is_slice(name);
	if (up->place)
		to = route_find(c, up->place, name);
	if (!to && up->slice)
		to = route_find(c, PLACE_SLICE, name);
	if (to) {
		m.service = to->service;
		m.place = to->place;
	}
	return m;
}

static int walk(struct capture *c, const char *dir, const struct member *self, unsigned depth, struct ids *seen)
{
	struct dirent *entry;
	uint64_t id;
	int err = cgroup_id(dir, &id);
	DIR *d;

	if (err)
		return err == -ENOENT ? 0 : err; /* gone meanwhile */
	if (bpf_map_update_elem(c->maps[MAP_MEMBERS], &id, self, BPF_ANY))
		return -errno;
	err = ids_add(seen, id);
	if (err || depth >= DEEPEST)
		return err;
	d = opendir(dir);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (entry = readdir(d))) {
		owned(own_free) char *path = NULL;
		struct member m;

		if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		m = placed(c, self, entry->d_name);
		if (!m.service && !m.place && !m.slice)
			continue;
		if (asprintf(&path, "%s/%s", dir, entry->d_name) < 0) {
			path = NULL;
			err = -ENOMEM;
			break;
		}
		err = walk(c, path, &m, depth + 1, seen);
	}
	closedir(d);
	return err;
}

/* Looks for a directory of this name that root has made; writes its path below the mount. */
static bool search(const char *dir, const char *name, unsigned depth, char *found, size_t len)
{
	struct dirent *entry;
	bool there = false;
	DIR *d = opendir(dir);

	while (d && !there && (entry = readdir(d))) {
		owned(own_free) char *path = NULL;
		struct stat st;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    asprintf(&path, "%s/%s", dir, entry->d_name) < 0) {
			path = NULL;
			continue;
		}
		/* Below a directory that a user was given, names are the user's. */
		if (stat(path, &st) || st.st_uid)
			continue;
		if (!strcmp(entry->d_name, name))
			there = snprintf(found, len, "%s", path) < (int)len;
		else if (depth)
			there = search(path, name, depth - 1, found, len);
	}
	if (d)
		closedir(d);
	return there;
}

static bool has_member(struct capture *c, uint32_t service, const struct ids *seen)
{
	struct member m;

	for (size_t i = 0; i < seen->count; i++)
		if (!bpf_map_lookup_elem(c->maps[MAP_MEMBERS], &seen->at[i], &m) && m.service == service)
			return true;
	return false;
}

/* Units that run where no slice leads, in a container's tree for one. Returns how many were found. */
static int search_units(struct capture *c, const struct ids *seen)
{
	char path[PATH_MAX];
	int found = 0;

	for (size_t i = 0; i < c->service_count; i++) {
		const struct watched *s = &c->services[i];

		if (!s->unit || has_member(c, s->id, seen) ||
		    !search(c->mount, s->unit, SEARCH_DEPTH, path, sizeof(path)))
			continue;
		log_info("unit found outside the slices service=%s cgroup=%s", s->name, path);
		if (!route_path(c, path + strlen(c->mount) + 1, s->id))
			found++;
	}
	return found;
}

static uint64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool lingers(const struct capture *c, const struct member *m, uint64_t now)
{
	return m->gone && now - m->gone < LINGER_NS && service_by_id(c, m->service);
}

static int members_list(struct capture *c, struct ids *out)
{
	uint64_t next, last;
	bool more = !bpf_map_get_next_key(c->maps[MAP_MEMBERS], NULL, &next);
	int err = 0;

	while (more && !err) {
		err = ids_add(out, next);
		last = next;
		more = !bpf_map_get_next_key(c->maps[MAP_MEMBERS], &last, &next);
	}
	return err;
}

int places_walk(struct capture *c, struct why why)
{
	static const struct member root = { .place = PLACE_ROOT, .slice = 1 };
	owned(ids_free) struct ids before = { 0 };
	owned(ids_free) struct ids seen = { 0 };
	const struct watched *s;
	struct member m;
	int err = members_list(c, &before);

	if (!err)
		err = walk(c, c->mount, &root, 0, &seen);
	if (!err && search_units(c, &seen)) {
		err = routes_put(c, why);
		if (err)
			return err;
		err = walk(c, c->mount, &root, 0, &seen);
	}
	if (err)
		return because(why, err, "cannot list the cgroups below %s: %s", c->mount, strerror(-err));
	/* Of an earlier run: gone meanwhile, or of no service now. */
	for (size_t i = 0; i < before.count; i++)
		if (!ids_have(&seen, before.at[i]) && !bpf_map_lookup_elem(c->maps[MAP_MEMBERS], &before.at[i], &m) &&
		    !lingers(c, &m, monotonic()))
			bpf_map_delete_elem(c->maps[MAP_MEMBERS], &before.at[i]);
	if (!bpf_map_lookup_elem(c->maps[MAP_MEMBERS], &c->own_id, &m) && m.service) {
		s = service_by_id(c, m.service);
		return because(why, -EINVAL, "the daemon is inside the cgroup of service %s, which it cannot guard",
		               s ? s->name : "?");
	}
	return 0;
}

void places_forget(struct capture *c)
{
	owned(ids_free) struct ids all = { 0 };
	uint64_t now = monotonic();
	struct member m;

	if (members_list(c, &all))
		return;
	for (size_t i = 0; i < all.count; i++)
		if (!bpf_map_lookup_elem(c->maps[MAP_MEMBERS], &all.at[i], &m) && m.gone && !lingers(c, &m, now))
			bpf_map_delete_elem(c->maps[MAP_MEMBERS], &all.at[i]);
}
