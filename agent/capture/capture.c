// SPDX-License-Identifier: Apache-2.0
/* capture.c - the order of steps: up, open, down. */
#include "capture/capture.h"
#include "capture/state.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include "base/log.h"
#include "base/own.h"

#define DEFAULT_PINS "/sys/fs/bpf/sluice"

int because(struct why why, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why.text, why.len, format, args);
	va_end(args);
	return err;
}

static int up(struct capture *c, const struct capture_options *o, struct why why)
{
	int err = services_copy(c, o->guards, o->guard_count, why);

	if (!err)
		err = cgroups_find(c, o->own_cgroup, why);
	if (!err)
		err = pins_prepare(c, why);
	if (!err)
		err = spaces_begin(c, o->kept, o->kept_count, why);
	if (!err)
		err = programs_load(c, why);
	if (!err)
		err = spaces_watch(c, why);
	if (!err)
		err = services_write(c, why);
	if (!err)
		err = places_write(c, why);
	/* Births first: what is made while we walk is seen by one of the two. */
	if (!err)
		err = programs_attach_births(c, why);
	if (!err)
		err = places_walk(c, why);
	if (!err)
		err = programs_attach(c, why);
	if (!err) {
		err = listeners_seed(c);
		if (err)
			because(why, err, "listeners cannot be found by socket diagnosis: %s", strerror(-err));
	}
	if (!err) {
		services_sweep(c);
		programs_free();
		spaces_look(c);
		dials_reconcile(c);
	}
	return err;
}

int capture_open(struct capture **out, const struct capture_options *o, char *text, size_t len)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct why why = { text, len };
	int err;

	if (len)
		*text = 0;
	if (!c)
		return because(why, -ENOMEM, "out of memory");
	for (int i = 0; i < MAP_COUNT; i++)
		c->maps[i] = -1;
	pthread_mutex_init(&c->dialling, NULL);
	pthread_mutex_init(&c->seen, NULL);
	c->loops = o->loops ? o->loops : 1;
	c->watcher = o->watcher;
	c->pins = strdup(o->pins ? o->pins : DEFAULT_PINS);
	err = c->pins ? up(c, o, why) : because(why, -ENOMEM, "out of memory");
	programs_free(); /* the pins hold them */
	if (err) {
		capture_close(&c);
		return err;
	}
	for (size_t i = 0; i < c->missing.count; i++)
		log_warn("this kernel lacks what=\"%s\"", c->missing.at[i]);
	*out = c;
	return 0;
}

int capture_doors(struct capture *c)
{
	int err = 0;

	c->open = true;
	for (size_t i = 0; i < c->space_count && !err; i++)
		err = doors_open(c, c->spaces[i]);
	err = err ? err : listeners_seed(c);
	if (err)
		return err;
	for (size_t i = 0; i < c->space_count; i++)
		connections_destroy(c, c->spaces[i]);
	capture_audit(c);
	return 0;
}

/* The maps from the services that are in `c` now: overwritten first and swept last, as at a start. */
static int rewrite(struct capture *c, struct why why)
{
	int err;

	places_free(c);
	err = services_write(c, why);
	err = err ? err : places_write(c, why);
	err = err ? err : places_walk(c, why);
	if (err)
		return err;
	err = listeners_seed(c);
	if (err)
		return because(why, err, "listeners cannot be guarded: %s", strerror(-err));
	services_sweep(c);
	return 0;
}

int capture_change(struct capture *c, const struct guard *guards, size_t count, char *text, size_t len)
{
	struct capture old = { 0 };
	struct why why = { text, len }, none = { NULL, 0 };
	int err = services_replace(c, guards, count, &old, why);

	if (err)
		return err;
	err = rewrite(c, why);
	if (err) {
		services_free(c);
		c->services = TAKE(old.services);
		c->service_count = old.service_count;
		if (rewrite(c, none))
			log_error("capture: the services that were guarded could not all be written again");
		return err;
	}
	services_free(&old);
	for (size_t i = 0; i < c->space_count; i++)
		connections_destroy(c, c->spaces[i]);
	capture_audit(c);
	return 0;
}

int capture_expect(struct capture *c, const struct guard *guards, size_t count, char *text, size_t len)
{
	struct capture old = { 0 };
	int err = services_replace(c, guards, count, &old, (struct why){ text, len });

	services_free(&old);
	return err;
}

int capture_fits(const char *pins, char *text, size_t len)
{
	struct capture c = { .pins = (char *)(pins ? pins : DEFAULT_PINS) };

	if (len)
		*text = 0;
	/* Who may not see them cannot say that they are wrong. */
	return access(c.pins, R_OK | X_OK) ? 0 : programs_fit(&c, (struct why){ text, len });
}

void capture_narrow(struct capture *c)
{
	spaces_unwatch(c);
	for (int i = 0; i < MAP_COUNT; i++)
		if (i != MAP_GUARDED && c->maps[i] >= 0) {
			close(c->maps[i]);
			c->maps[i] = -1;
		}
	for (size_t i = 0; i < c->space_count; i++)
		if (c->spaces[i]->ns >= 0) {
			close(c->spaces[i]->ns);
			c->spaces[i]->ns = -1;
		}
}

void capture_close(struct capture **at)
{
	struct capture *c = *at;

	*at = NULL;
	if (!c)
		return;
	spaces_unwatch(c);
	while (c->space_count)
		space_remove(c, c->spaces[c->space_count - 1]);
	if (c->letters)
		munmap(c->letters, LETTERS * sizeof(*c->letters));
	for (int i = 0; i < MAP_COUNT; i++)
		if (c->maps[i] >= 0)
			close(c->maps[i]);
	places_free(c);
	services_free(c);
	lines_free(&c->uncovered);
	lines_free(&c->missing);
	free(c->inner);
	free(c->pins);
	free(c->mount);
	free(c->own);
	pthread_mutex_destroy(&c->dialling);
	pthread_mutex_destroy(&c->seen);
	free(c);
}
