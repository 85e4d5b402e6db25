/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - sluiced: what it was called for.
 *
 * Order of birth: configuration and policy (a broken one stops us before anything is touched), capture (the gate is
 * closed now), the worker (keeper.c, work.c) with its ledger, the doors (the gate is open to us), control.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/own.h"
#include "keeper.h"
#include "report.h"

void daemon_print_report(const struct policy_report *report)
{
	if (report->text)
		fwrite(report->text, 1, report->len, stderr);
}

static void raise_limits(void)
{
	struct rlimit r;

	/* Two descriptors a connection. */
	if (!getrlimit(RLIMIT_NOFILE, &r) && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluiced [-c FILE] [--check | --unpin | --version | --help]\n"
	      "\n"
	      "  -c, --config FILE  configuration (" CONFIG_FILE ")\n"
	      "      --check        read configuration and policy, name every mistake, guard nothing\n"
	      "      --unpin        take the guard down: what an earlier run left in the kernel is removed\n"
	      "      --version\n"
	      "\n"
	      "Runs in the foreground. SIGHUP takes configuration and policy in again, SIGUSR2 goes over to the\n"
	      "program that is there now, SIGTERM stops; the gate then stays as each service's `fail` says.\n",
	      to);
	return status;
}

static int load_config(struct daemon *d)
{
	owned(own_free) char *mistakes = NULL;
	int err = config_load(&d->config, d->config_file, &mistakes);

	if (err)
		fputs(mistakes && *mistakes ? mistakes : "out of memory\n", stderr);
	return err;
}

int daemon_opinions(const struct config *c, const struct ruleset *rules, char *why, size_t room)
{
	for (size_t i = 0; i < ruleset_rules(rules); i++) {
		const struct rule *rule = ruleset_rule_at(rules, i);
		size_t k = 0;

		while (rule->opinion && k < c->opinion_count && strcmp(c->opinions[k].name, rule->opinion))
			k++;
		if (rule->opinion && k == c->opinion_count) {
			snprintf(why, room, "rule '%s' asks for the opinion '%s', which sluice.yaml does not have",
			         rule->id, rule->opinion);
			return -ENOENT;
		}
	}
	return 0;
}

_Static_assert((int)KEEP_COUNT == (int)EVIDENCE_COUNT && (int)KEEP_SPAN == (int)EVIDENCE_SPAN,
               "evidence is numbered alike in the configuration and in policies");

struct policy_terms daemon_terms(const struct daemon *d)
{
	return (struct policy_terms){ .evidence = (enum evidence)d->config->evidence,
		                      .sealed = d->config->recipient_count,
		                      .key = d->policy_key };
}

/* Once: a worker that reloads may not read it, and the key of a running guard does not change under it. */
int daemon_policy_key(struct daemon *d)
{
	int err;

	if (!d->config->policy_key || d->policy_key)
		return 0;
	err = pack_key_load(&d->policy_key, d->config->policy_key);
	if (err)
		fprintf(stderr, "%s: %s\n", d->config->policy_key,
		        err == -EINVAL ? "not the public key of Ed25519 in PEM" : strerror(-err));
	return err;
}

int daemon_policy(struct daemon *d)
{
	owned(policy_report_free) struct policy_report report = {};
	struct policy_terms terms;
	char why[512];
	int err = daemon_policy_key(d);

	if (err)
		return err;
	terms = daemon_terms(d);
	err = ruleset_load_on(&d->rules, d->config->policy, &terms, &report);
	daemon_print_report(&report);
	if (err && !report.text)
		fprintf(stderr, "%s: %s\n", d->config->policy, strerror(-err));
	if (!err) {
		err = daemon_opinions(d->config, d->rules, why, sizeof(why));
		if (err)
			fprintf(stderr, "%s: %s\n", d->config->policy, why);
	}
	return err;
}

static int check(struct daemon *d)
{
	char why[512];
	int err = capture_fits(d->config->pins, why, sizeof(why));

	if (err) {
		fprintf(stderr, "%s\n", why);
		return err;
	}
	printf("%s: good; %s: %zu rules, %u keywords\n", d->config_file, d->config->policy, ruleset_rules(d->rules),
	       report_keywords(d->rules));
	return fflush(stdout) ? -errno : 0;
}

/* Needs no good policy: it is what is left when everything else fails. */
static int take_down(struct daemon *d)
{
	int err = capture_unpin(d->config->pins);

	if (err)
		fprintf(stderr, "sluiced: %s: %s\n", d->config->pins, strerror(-err));
	return err;
}

static int run(struct daemon *d)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	log_set_level(d->config->log_level);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	d->thread_count = d->config->loops ? d->config->loops : cores > 0 ? (unsigned)cores : 1;
	return keeper_run(d);
}

int main(int argc, char **argv)
{
	enum { CHECK = 256, UNPIN, VERSION };
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, CHECK },
		{ "unpin", no_argument, NULL, UNPIN },      { "version", no_argument, NULL, VERSION },
		{ "help", no_argument, NULL, 'h' },         {},
	};
	struct daemon d = { .config_file = CONFIG_FILE,
		            .signals = { .fd = -1 },
		            .sockets = SERVE_SOCKETS,
		            .generation = 1,
		            .commands = -1 };
	int (*what)(struct daemon *) = run;
	int c, err;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			d.config_file = optarg;
			break;
		case CHECK:
			what = check;
			break;
		case UNPIN:
			what = take_down;
			break;
		case VERSION:
			puts("sluiced " SLUICE_VERSION);
			return 0;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind < argc)
		return usage(stderr, 2);
	err = load_config(&d);
	/* The next worker reads it, while the last one serves. */
	if (!err && what != take_down && !(what == run && keeper_goes_on()))
		err = daemon_policy(&d);
	if (!err)
		err = what(&d);
	ruleset_put(&d.rules);
	pack_key_free(&d.policy_key);
	config_free(&d.config);
	free(d.guards);
	return err ? 1 : 0;
}
