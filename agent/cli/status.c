/* SPDX-License-Identifier: Apache-2.0 */
/* status.c - sluicectl status and services: what the daemon says of itself. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/cli.h"
#include "serve/serve.h"

#define ASK_TIMEOUT_MS 5000
#define WAIT_STEP_MS   100
#define WAIT_MOST_S    3600

/* Where the daemon listens; the string is the caller's. */
static int control_path(char **out)
{
	owned(config_free) struct config *config = NULL;
	owned(own_free) char *mistakes = NULL;
	const char *control = cli_globals.control;
	int err;

	if (!control) {
		err = config_load(&config, cli_globals.config ? cli_globals.config : CONFIG_FILE, &mistakes);
		if (err && cli_globals.config) {
			fputs(mistakes ? mistakes : "out of memory\n", stderr);
			return err;
		}
		control = err ? "/run/sluice/control.sock" : config->control;
	}
	*out = strdup(control);
	return *out ? 0 : -ENOMEM;
}

int cli_ask(ControlReply **out, const ControlRequest *request)
{
	owned(own_free) char *control = NULL;
	int err = control_path(&control);

	if (err)
		return err;
	err = serve_ask(out, control, request, ASK_TIMEOUT_MS);
	if (err == -ENOENT || err == -ECONNREFUSED)
		fprintf(stderr, "sluicectl: %s: no daemon answers here\n", control);
	else if (err)
		fprintf(stderr, "sluicectl: %s: %s\n", control, strerror(-err));
	return err;
}

int cli_status_quietly(ControlReply **out)
{
	owned(own_free) char *control = NULL;
	ControlRequest request = CONTROL_REQUEST__INIT;
	StatusRequest body = STATUS_REQUEST__INIT;
	int err = control_path(&control);

	request.op_case = CONTROL_REQUEST__OP_STATUS;
	request.status = &body;
	return err ? err : serve_ask(out, control, &request, ASK_TIMEOUT_MS);
}

static int ask_status(ControlReply **reply)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	StatusRequest body = STATUS_REQUEST__INIT;
	int err;

	request.op_case = CONTROL_REQUEST__OP_STATUS;
	request.status = &body;
	err = cli_ask(reply, &request);
	if (!err && !(*reply)->status) {
		control_reply__free_unpacked(*reply, NULL);
		fputs("sluicectl: the daemon did not say how it is\n", stderr);
		err = -EBADMSG;
	}
	return err;
}

static void json_strings(const char *name, char **list, size_t n)
{
	printf("\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		fputs(i ? "," : "", stdout);
		cli_json_string(stdout, list[i]);
	}
	fputs("]", stdout);
}

static void json_service(const ServiceStatus *s)
{
	fputs("{\"name\":", stdout);
	cli_json_string(stdout, s->name);
	printf(",\"mode\":\"%s\",", s->mode);
	json_strings("addresses", s->addresses, s->n_addresses);
	fputs(",", stdout);
	json_strings("namespaces", s->namespaces, s->n_namespaces);
	fputs(",\"ports\":[", stdout);
	for (size_t i = 0; i < s->n_ports; i++)
		printf("%s%" PRIu32, i ? "," : "", s->ports[i]);
	fputs("],", stdout);
	json_strings("uncovered", s->uncovered, s->n_uncovered);
	fputs("}", stdout);
}

static void print_json(const StatusReply *s)
{
	printf("{\"ready\":%s,\"version\":", s->ready ? "true" : "false");
	cli_json_string(stdout, s->version);
	printf(",\"pid\":%" PRIu32 ",\"worker_pid\":%" PRIu32 ",\"loops\":%" PRIu32 ",\"generation\":%" PRIu64
	       ",\"refused\":",
	       s->pid, s->worker_pid, s->loops, s->generation);
	if (s->refused_why[0])
		cli_json_string(stdout, s->refused_why);
	else
		fputs("null", stdout);
	fputs(",\"services\":[", stdout);
	for (size_t i = 0; i < s->n_services; i++) {
		fputs(i ? "," : "", stdout);
		json_service(s->services[i]);
	}
	fputs("],", stdout);
	json_strings("uncovered", s->uncovered, s->n_uncovered);
	fputs(",", stdout);
	json_strings("missing", s->missing, s->n_missing);
	fputs(",\"policy\":{\"digest\":\"", stdout);
	for (size_t i = 0; i < s->policy_digest.len; i++)
		printf("%02x", s->policy_digest.data[i]);
	printf("\",\"rules\":%" PRIu32 ",\"keywords\":%" PRIu32 ",\"patterns\":%" PRIu32
	       ",\"patterns_compiled\":%" PRIu32 ",\"error\":",
	       s->policy_rules, s->policy_keywords, s->policy_patterns, s->policy_patterns_compiled);
	if (s->policy_error[0])
		cli_json_string(stdout, s->policy_error);
	else
		fputs("null", stdout);
	printf("},\"record\":{\"failed\":%s,\"next_seq\":%" PRIu64 "},\"dials\":%" PRIu32 ",\"counters\":{",
	       s->record_failed ? "true" : "false", s->record_next_seq, s->dials);
	for (size_t i = 0; i < s->n_counters; i++)
		printf("%s\"%s\":%" PRIu64, i ? "," : "", s->counters[i]->name, s->counters[i]->value);
	fputs("}}\n", stdout);
}

static void print_service(const ServiceStatus *one)
{
	printf("%-16s fail: %-7s", one->name, one->mode);
	for (size_t k = 0; k < one->n_addresses; k++) {
		const char *in = k < one->n_namespaces ? one->namespaces[k] : "";

		printf(" %s%s%s", one->addresses[k], *in ? "@" : "", in);
	}
	puts(one->n_addresses ? "" : " not listening");
	for (size_t k = 0; k < one->n_uncovered; k++)
		printf("  not covered: %s\n", one->uncovered[k]);
}

static void print_services(const StatusReply *s)
{
	for (size_t i = 0; i < s->n_services; i++)
		print_service(s->services[i]);
}

/* Compiled or interpreted: all alike, unless PCRE2 cannot compile one of them. */
static void print_patterns(const StatusReply *s)
{
	if (!s->policy_patterns)
		return;
	if (s->policy_patterns_compiled)
		printf("patterns: %" PRIu32 " of %" PRIu32 " compiled\n", s->policy_patterns_compiled,
		       s->policy_patterns);
	else
		printf("patterns: %" PRIu32 ", interpreted: this unit or host lets no memory be written and run\n",
		       s->policy_patterns);
}

static void print_text(const StatusReply *s)
{
	printf("sluiced %s, pid %" PRIu32 ", worker %" PRIu32 ", %s, %" PRIu32 " loops\n", s->version, s->pid,
	       s->worker_pid, s->ready ? "ready" : "not ready", s->loops);
	print_services(s);
	for (size_t i = 0; i < s->n_missing; i++)
		printf("this host lacks: %s\n", s->missing[i]);
	printf("policy: %" PRIu32 " rules, %" PRIu32 " keywords\n", s->policy_rules, s->policy_keywords);
	print_patterns(s);
	if (s->policy_error[0])
		printf("policy: the last reload was refused: %s\n", s->policy_error);
	if (s->refused_why[0])
		printf("change: the last one was refused: %s\n", s->refused_why);
	printf("record: next %" PRIu64 "%s\n", s->record_next_seq, s->record_failed ? ", FAILED" : "");
	for (size_t i = 0; i < s->n_counters; i++)
		if (s->counters[i]->value)
			printf("  %-32s %" PRIu64 "\n", s->counters[i]->name, s->counters[i]->value);
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl status [--json]\n"
	      "       sluicectl services [--wait SECONDS] [NAME...]\n"
	      "\n"
	      "services prints all, or those that are named, which must be guarded. Exit status: 0 the daemon is "
	      "ready,\n"
	      "1 it is not, or does not guard what was named, 2 no daemon.\n"
	      "\n"
	      "      --json          everything, as one object\n"
	      "      --wait SECONDS  until the daemon is ready\n",
	      to);
	return status;
}

int status_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	ControlReply *reply = NULL;
	bool json = false, ready;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout, 0);
		if (c != 'j')
			return usage(stderr, 2);
		json = true;
	}
	if (optind < argc)
		return usage(stderr, 2);
	if (ask_status(&reply))
		return 2;
	if (json)
		print_json(reply->status);
	else
		print_text(reply->status);
	ready = reply->status->ready;
	control_reply__free_unpacked(reply, NULL);
	return ready ? 0 : 1;
}

/* The named services, or all. 1: the daemon does not guard one of them, or is not ready yet. */
static int named_services(const StatusReply *s, char **names, int count)
{
	int status = s->ready ? 0 : 1;

	for (int i = 0; i < count; i++) {
		size_t k = 0;

		while (k < s->n_services && strcmp(s->services[k]->name, names[i]))
			k++;
		if (k < s->n_services) {
			print_service(s->services[k]);
			continue;
		}
		fprintf(stderr, "sluicectl: %s is not guarded\n", names[i]);
		status = 1;
	}
	if (!count)
		print_services(s);
	return status;
}

/* Asks until the daemon is ready or the time is up; what is wrong is said once, by the last attempt. */
static bool wait_ready(int seconds)
{
	for (int i = 0; i < seconds * 1000 / WAIT_STEP_MS; i++) {
		ControlReply *reply = NULL;
		bool ready;

		if (!cli_status_quietly(&reply)) {
			ready = reply->status && reply->status->ready;
			control_reply__free_unpacked(reply, NULL);
			if (ready)
				return true;
		}
		usleep(WAIT_STEP_MS * 1000);
	}
	return false;
}

int services_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "wait", required_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	ControlReply *reply = NULL;
	char *end = NULL;
	long seconds = 0;
	int c, status;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout, 0);
		if (c == 'w')
			seconds = strtol(optarg, &end, 10);
		if (c != 'w' || end == optarg || *end || seconds < 0 || seconds > WAIT_MOST_S)
			return usage(stderr, 2);
	}
	if (seconds && !wait_ready((int)seconds))
		fprintf(stderr, "sluicectl: the guard was not ready within %ld seconds\n", seconds);
	if (ask_status(&reply))
		return 2;
	status = named_services(reply->status, argv + optind, argc - optind);
	control_reply__free_unpacked(reply, NULL);
	return status;
}
