/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dropin.c - sluicectl dropin: guarded units start behind the guard.
 *
 * Wants= and After=, not Requires=: a guard that is restarted must not take a server with it that needs minutes to load
 * its model. That the server of a closed service never starts in front of the guard is seen to by ExecStartPre=.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/own.h"
#include "cli/cli.h"

#define DROPIN_FILE "50-sluice.conf"
#define WAIT_S      60 /* for the guard, when both start with the host */
#define WAIT_MOST_S 3600

static inline void own_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl dropin [--install] [--root DIR] [--wait SECONDS]\n"
	      "\n"
	      "Prints a drop-in for each unit in the configuration, so that it starts behind the guard; with\n"
	      "fail: closed not at all while the guard is not there. Exit status: 0 good, 1 no service has a unit,\n"
	      "2 error.\n"
	      "\n"
	      "      --install       write them below /etc/systemd/system; `systemctl daemon-reload` takes them in\n"
	      "      --root DIR      below this folder instead of /\n"
	      "      --wait SECONDS  for the guard, before the unit of a closed service fails (60)\n",
	      to);
	return status;
}

/* A unit name becomes a folder's name: what systemd takes for one, and no way out of that folder. */
static bool is_unit(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";

	return *name && *name != '.' && !name[strspn(name, good)];
}

/* Service names are plain words; everything else is kept from systemd's own syntax. */
static void put_argument(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		if (*text == '%' || *text == '$')
			fputc(*text, to);
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			fprintf(to, "\\x%02x", (unsigned char)*text);
		else
			fputc(*text, to);
	}
	fputc('"', to);
}

/* What every drop-in of one call has in common. */
struct order {
	const struct config *config;
	const char *program; /* of ours, absolute */
	const char *root;
	const char *config_file; /* absolute; NULL: where it is looked for anyway */
	long wait_s;
	bool write;
};

static void write_dropin(FILE *to, const struct order *o, const char *unit)
{
	const struct config *c = o->config;
	bool closed = false;

	fputs("# Written by `sluicectl dropin`.\n[Unit]\nWants=sluice.service\nAfter=sluice.service\n", to);
	for (size_t i = 0; i < c->service_count; i++)
		closed |= c->services[i].unit && !strcmp(c->services[i].unit, unit) && !c->services[i].fail_open;
	if (!closed)
		return;
	fputs("\n[Service]\n# Fails, and the unit with it, where the guard is not there in time.\nExecStartPre=+", to);
	fprintf(to, "%s ", o->program);
	if (o->config_file) {
		fputs("-c ", to);
		put_argument(to, o->config_file);
		fputc(' ', to);
	}
	fprintf(to, "services --wait %ld", o->wait_s);
	for (size_t i = 0; i < c->service_count; i++)
		if (c->services[i].unit && !strcmp(c->services[i].unit, unit)) {
			fputc(' ', to);
			put_argument(to, c->services[i].name);
		}
	fputc('\n', to);
}

static int install(const struct order *o, const char *unit)
{
	owned(own_free) char *path = NULL;
	owned(own_file) FILE *f = NULL;
	int err;

	if (asprintf(&path, "%s/etc/systemd/system/%s.d/" DROPIN_FILE, o->root, unit) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	err = make_parents(path, 0755);
	f = err ? NULL : fopen(path, "we");
	if (f) {
		write_dropin(f, o, unit);
		err = fflush(f) ? -errno : 0;
	} else if (!err) {
		err = -errno;
	}
	if (err)
		fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(-err));
	else
		printf("%s\n", path);
	return err;
}

/* The first service that names the unit speaks for all that do. */
static bool named_before(const struct config *c, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (c->services[i].unit && !strcmp(c->services[i].unit, c->services[at].unit))
			return true;
	return false;
}

static int each_unit(const struct order *o)
{
	const struct config *c = o->config;
	size_t units = 0;
	int err = 0;

	for (size_t i = 0; i < c->service_count && !err; i++) {
		const struct config_service *s = &c->services[i];

		if (!s->unit) {
			fprintf(stderr, "sluicectl: %s has no unit: order it behind sluice.service by hand\n", s->name);
			continue;
		}
		if (!is_unit(s->unit)) {
			fprintf(stderr, "sluicectl: %s: '%s' is not the name of a unit\n", s->name, s->unit);
			return -EINVAL;
		}
		if (named_before(c, i))
			continue;
		units++;
		if (o->write) {
			err = install(o, s->unit);
			continue;
		}
		printf("%s# %s/etc/systemd/system/%s.d/" DROPIN_FILE "\n", units > 1 ? "\n" : "", o->root, s->unit);
		write_dropin(stdout, o, s->unit);
	}
	if (!err && o->write && units)
		fputs("sluicectl: 'systemctl daemon-reload' takes them in\n", stderr);
	return err ? err : units ? 0 : -ENOENT;
}

int dropin_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "install", no_argument, NULL, 'i' },
		{ "root", required_argument, NULL, 'r' },
		{ "wait", required_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(config_free) struct config *config = NULL;
	owned(own_free) char *mistakes = NULL, *file = NULL;
	char program[PATH_MAX], *end;
	struct order o = { .program = program, .root = "", .wait_s = WAIT_S };
	ssize_t n;
	int c, err;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'i':
			o.write = true;
			break;
		case 'r':
			o.root = optarg;
			break;
		case 'w':
			o.wait_s = strtol(optarg, &end, 10);
			if (end == optarg || *end || o.wait_s < 1 || o.wait_s > WAIT_MOST_S)
				return usage(stderr, 2);
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind < argc)
		return usage(stderr, 2);
	n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (n <= 0) {
		fprintf(stderr, "sluicectl: /proc/self/exe: %s\n", strerror(errno));
		return 2;
	}
	program[n] = '\0';
	if (config_load(&config, cli_globals.config ? cli_globals.config : CONFIG_FILE, &mistakes)) {
		fputs(mistakes && *mistakes ? mistakes : "out of memory\n", stderr);
		return 2;
	}
	if (cli_globals.config)
		o.config_file = file = realpath(cli_globals.config, NULL);
	if (cli_globals.config && !file) {
		fprintf(stderr, "sluicectl: %s: %s\n", cli_globals.config, strerror(errno));
		return 2;
	}
	o.config = config;
	err = each_unit(&o);
	return !err ? 0 : err == -ENOENT ? 1 : 2;
}
