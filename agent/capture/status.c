// SPDX-License-Identifier: Apache-2.0
/* status.c - what is guarded, what is not, and what was counted; and the regular look for changes. */
#include "capture/state.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include "base/log.h"
#include "base/own.h"

#define LINES_MOST    64
#define OUTSIDE_EVERY 5 /* audits; /proc and all sockets are dear */
#define FORGET_EVERY  60
#define DESTROY_FIRST 3 /* audits: handshakes that were under way when the gate went up have ended by then */

static const char *const tally_names[] = {
	[TALLY_OWN_DIAL] = "own_dial",
	[TALLY_STEERED] = "steered",
	[TALLY_UNATTENDED] = "unattended",
	[TALLY_OPEN_PASSED] = "open_passed",
	[TALLY_DIAL_LOST] = "dial_lost",
	[TALLY_LISTEN_LOST] = "listen_lost",
	[TALLY_UNIT_LOST] = "unit_lost",
	[TALLY_PEER_TOLD] = "peer_told",
	[TALLY_FENCED] = "fenced",
	[TALLY_KTLS] = "ktls_refused",
	[TALLY_FAMILY] = "family_refused",
	[TALLY_OLD_SOCKET] = "old_socket_refused",
	[TALLY_SIDE_DOOR] = "side_door_refused",
	[TALLY_OPEN_TOLD] = "open_passed_recorded",
};
_Static_assert(ARRAY_LEN(tally_names) == TALLY_COUNT && TALLY_COUNT <= CAPTURE_TALLIES, "a tally has no name or place");

void lines_add(struct lines *l, const char *format, ...)
{
	char line[LINE];
	va_list args;
	void *more;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (lines_have(l, line))
		return;
	if (l->count >= LINES_MOST) {
		l->more++;
		return;
	}
	more = realloc(l->at, (l->count + 1) * sizeof(*l->at));
	if (!more)
		return;
	l->at = more;
	memcpy(l->at[l->count++], line, sizeof(line));
}

bool lines_have(const struct lines *l, const char *line)
{
	for (size_t i = 0; i < l->count; i++)
		if (!strcmp(l->at[i], line))
			return true;
	return false;
}

void lines_free(struct lines *l)
{
	free(l->at);
	*l = (struct lines){ 0 };
}

/* Lost entries are holes in the guard: said each time they grow. */
static void losses_tell(struct capture *c)
{
	static const enum tally holes[] = { TALLY_DIAL_LOST, TALLY_LISTEN_LOST, TALLY_UNIT_LOST };

	for (size_t i = 0; i < ARRAY_LEN(holes); i++) {
		uint32_t key = holes[i];
		uint64_t n = 0;

		if (bpf_map_lookup_elem(c->maps[MAP_TALLY], &key, &n) || n <= c->lost_told[key])
			continue;
		log_error("a map of the guard is full tally=%s count=%llu", tally_names[key], (unsigned long long)n);
		c->lost_told[key] = n;
	}
}

/* Takes the new lines; tells what came and what went. */
static void uncovered_turn(struct capture *c, struct lines *fresh)
{
	struct lines old;

	pthread_mutex_lock(&c->seen);
	old = c->uncovered;
	c->uncovered = *fresh;
	*fresh = old;
	pthread_mutex_unlock(&c->seen);
	for (size_t i = 0; i < c->uncovered.count; i++)
		if (!lines_have(&old, c->uncovered.at[i]))
			log_warn("not covered what=\"%s\"", c->uncovered.at[i]);
	for (size_t i = 0; i < old.count; i++)
		if (!lines_have(&c->uncovered, old.at[i]))
			log_info("no longer uncovered what=\"%s\"", old.at[i]);
}

static void look_outside(struct capture *c)
{
	owned(lines_free) struct lines fresh = { 0 };

	for (size_t i = 0; i < c->service_count; i++)
		if (service_by_port_alone(&c->services[i]))
			lines_add(&fresh, "%s: guarded by port alone: egress backstop does not apply",
			          c->services[i].name);
	outside_look(c, &fresh);
	uncovered_turn(c, &fresh);
}

void capture_audit(struct capture *c)
{
	int err;

	spaces_look(c);
	err = listeners_seed(c);
	if (err)
		log_error("listeners cannot be listed or guarded cause=\"%s\"", strerror(-err));
	if (c->audits % OUTSIDE_EVERY == 0)
		look_outside(c);
	for (size_t i = 0; i < c->space_count; i++) {
		if (c->spaces[i]->looks && c->spaces[i]->looks <= DESTROY_FIRST)
			connections_destroy(c, c->spaces[i]);
		c->spaces[i]->looks++;
	}
	if (c->audits % FORGET_EVERY == 0) {
		places_forget(c);
		orphans_forget(c);
	}
	if (c->audits % OUTSIDE_EVERY == 0)
		inner_forget(c);
	losses_tell(c);
	c->audits++;
}

static int addresses(struct capture *c, struct capture_status *out)
{
	struct address next, last;
	bool more = !bpf_map_get_next_key(c->maps[MAP_GUARDED], NULL, &next);

	while (more) {
		const struct space *in;
		const struct watched *s = NULL;
		struct capture_address *grown;
		struct owner owner;

		last = next;
		more = !bpf_map_get_next_key(c->maps[MAP_GUARDED], &last, &next);
		if (!bpf_map_lookup_elem(c->maps[MAP_GUARDED], &last, &owner))
			s = service_by_id(c, owner.service);
		in = space_by_netns(c, last.netns);
		if (!s || !in)
			continue; /* of a namespace that is gone, or that nobody has looked into yet */
		grown = realloc(out->addresses, (out->address_count + 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		out->addresses = grown;
		grown += out->address_count++;
		space_text(c, in, grown->namespace, sizeof(grown->namespace));
		end_text(&last.at, grown->text, sizeof(grown->text));
		grown->service = (size_t)(s - c->services);
	}
	return 0;
}

/* Bounded: keys that come and go make the walk begin anew. */
static size_t dials_count(struct capture *c)
{
	struct dial next, last;
	size_t n = 0;
	bool more = !bpf_map_get_next_key(c->maps[MAP_DIALS], NULL, &next);

	while (more && n < LETTERS) {
		n++;
		last = next;
		more = !bpf_map_get_next_key(c->maps[MAP_DIALS], &last, &next);
	}
	return n;
}

static int texts(struct capture *c, struct capture_status *out)
{
	int err = 0;

	pthread_mutex_lock(&c->seen);
	out->uncovered = calloc(c->uncovered.count + 2, sizeof(*out->uncovered));
	out->missing = calloc(c->missing.count + 1, sizeof(*out->missing));
	if (!out->uncovered || !out->missing)
		err = -ENOMEM;
	for (size_t i = 0; !err && i < c->uncovered.count; i++)
		snprintf(out->uncovered[out->uncovered_count++], sizeof(*out->uncovered), "%s", c->uncovered.at[i]);
	if (!err && c->uncovered.more)
		snprintf(out->uncovered[out->uncovered_count++], sizeof(*out->uncovered), "and %zu more",
		         c->uncovered.more);
	for (size_t i = 0; !err && i < c->missing.count; i++)
		snprintf(out->missing[out->missing_count++], sizeof(*out->missing), "%s", c->missing.at[i]);
	pthread_mutex_unlock(&c->seen);
	return err;
}

uint64_t capture_open_passed(struct capture *c)
{
	uint32_t passed = TALLY_OPEN_PASSED, told = TALLY_OPEN_TOLD;
	uint64_t now = 0, before = 0;

	if (bpf_map_lookup_elem(c->maps[MAP_TALLY], &passed, &now) ||
	    bpf_map_lookup_elem(c->maps[MAP_TALLY], &told, &before) || now <= before)
		return 0;
	bpf_map_update_elem(c->maps[MAP_TALLY], &told, &now, BPF_ANY);
	return now - before;
}

int capture_status(struct capture *c, struct capture_status *ret)
{
	struct capture_status out = { .tally_count = TALLY_COUNT };
	int err = addresses(c, &out);

	if (!err)
		err = texts(c, &out);
	if (err) {
		capture_status_free(&out);
		return err;
	}
	for (uint32_t i = 0; i < TALLY_COUNT; i++) {
		out.tally_names[i] = tally_names[i];
		bpf_map_lookup_elem(c->maps[MAP_TALLY], &i, &out.tallies[i]);
	}
	out.dials = dials_count(c);
	out.spaces = c->space_count - 1;
	*ret = out;
	return 0;
}

void capture_status_free(struct capture_status *s)
{
	free(s->addresses);
	free(s->uncovered);
	free(s->missing);
	*s = (struct capture_status){ 0 };
}
