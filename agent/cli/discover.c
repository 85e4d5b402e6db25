/* SPDX-License-Identifier: Apache-2.0 */
/* discover.c - sluicectl discover: inference servers on this host that nobody guards. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/discover.h"

#define TIMEOUT_MS      500
#define TIMEOUT_MOST_MS 10000

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl discover [--all] [--json] [--timeout MS]\n"
	      "\n"
	      "Lists the inference servers of this host that nobody guards: by the process that listens, and by how "
	      "it\n"
	      "answers a few harmless requests on loopback. Without a daemon nobody guards anything. Run it as root:\n"
	      "others do not see whose a listener is. Exit status: 0 none is unguarded, 1 there is one, 2 error.\n"
	      "\n"
	      "      --all         guarded ones, too\n"
	      "      --json        one object a line: address, netns, pid, process, unit, server, api, guarded, "
	      "service\n"
	      "      --timeout MS  for each request (500)\n",
	      to);
	return status;
}

static void address_text(const struct listener *l, char *to, size_t room)
{
	char ip[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(&l->ip))
		snprintf(to, room, "%s:%u", inet_ntop(AF_INET, &l->ip.s6_addr[12], ip, sizeof(ip)), l->port);
	else
		snprintf(to, room, "[%s]:%u", inet_ntop(AF_INET6, &l->ip, ip, sizeof(ip)), l->port);
}

/* As status has it; empty for ours, which is taken to be the daemon's. */
static void namespace_text(const struct listener *l, char *to, size_t room)
{
	*to = '\0';
	if (l->elsewhere)
		snprintf(to, room, "net:[%llu]", (unsigned long long)l->netns);
}

/* The service that guards the listener, NULL: none. A wildcard covers the addresses of its family, [::] both. */
static const char *guarded_by(const StatusReply *s, const struct listener *l)
{
	char exact[80], any[24], in[32];

	if (!s || !s->ready)
		return NULL;
	namespace_text(l, in, sizeof(in));
	address_text(l, exact, sizeof(exact));
	snprintf(any, sizeof(any), "0.0.0.0:%u", l->port);
	for (size_t i = 0; i < s->n_services; i++)
		for (size_t k = 0; k < s->services[i]->n_addresses; k++) {
			const char *at = s->services[i]->addresses[k];
			char any6[24];

			if (strcmp(k < s->services[i]->n_namespaces ? s->services[i]->namespaces[k] : "", in))
				continue;
			snprintf(any6, sizeof(any6), "[::]:%u", l->port);
			if (!strcmp(at, exact) || !strcmp(at, any6) ||
			    (IN6_IS_ADDR_V4MAPPED(&l->ip) && !strcmp(at, any)))
				return s->services[i]->name;
		}
	return NULL;
}

static void json_or_null(const char *name, const char *text)
{
	printf(",\"%s\":", name);
	if (text && *text)
		cli_json_string(stdout, text);
	else
		fputs("null", stdout);
}

static void print_json(const struct listener *l, const char *service)
{
	char address[80], in[32];

	address_text(l, address, sizeof(address));
	namespace_text(l, in, sizeof(in));
	printf("{\"address\":\"%s\",\"pid\":", address);
	if (l->pid)
		printf("%d", l->pid);
	else
		fputs("null", stdout);
	json_or_null("process", l->process);
	json_or_null("unit", l->unit);
	json_or_null("server", l->kind);
	json_or_null("api", l->api);
	json_or_null("answered", l->asked);
	printf(",\"namespace\":\"%s\",\"guarded\":%s", l->elsewhere ? "other" : "ours", service ? "true" : "false");
	json_or_null("netns", in);
	json_or_null("service", service);
	puts("}");
}

static void print_text(const struct listener *l, const char *service)
{
	char address[80];

	address_text(l, address, sizeof(address));
	printf("%-24s %-12s %-10s %-8d %-16s %s%s%s%s\n", address, l->kind ? l->kind : "?", l->api ? l->api : "-",
	       l->pid, *l->process ? l->process : "?", service ? "guarded as " : "NOT GUARDED", service ? service : "",
	       *l->unit && !service ? ", unit " : "", *l->unit && !service ? l->unit : "");
	if (l->elsewhere)
		printf("  in another network namespace: net:[%llu]%s\n", (unsigned long long)l->netns,
		       service ? "" : ", not asked");
}

struct view {
	const StatusReply *status; /* NULL: nobody guards */
	bool json, all;
	int timeout_ms;
};

static size_t report(const struct view *v, struct listener *list, size_t count)
{
	size_t unguarded = 0, shown = 0;

	for (size_t i = 0; i < count; i++) {
		struct listener *l = &list[i];
		const char *service = guarded_by(v->status, l);

		/* A guarded server is not asked: its answers would be on record. */
		if (!service && !l->elsewhere && !l->never_http)
			discover_probe(l, v->timeout_ms);
		if (service ? !v->all : !l->kind && !l->api)
			continue;
		if (!v->json && !shown++)
			printf("%-24s %-12s %-10s %-8s %s\n", "ADDRESS", "SERVER", "API", "PID", "PROCESS");
		if (v->json)
			print_json(l, service);
		else
			print_text(l, service);
		unguarded += !service;
	}
	if (!v->json && !unguarded)
		puts("no inference server is unguarded");
	return unguarded;
}

static int discover(struct view *v)
{
	owned(own_free) struct listener *list = NULL;
	ControlReply *reply = NULL;
	size_t count = 0, unguarded;
	int err = cli_status_quietly(&reply);

	if (err == -ENOENT || err == -ECONNREFUSED) {
		fputs("sluicectl: no daemon answers: nobody guards anything\n", stderr);
	} else if (err) {
		fprintf(stderr, "sluicectl: what is guarded cannot be asked: %s\n", strerror(-err));
		return 2;
	}
	v->status = reply ? reply->status : NULL;
	err = discover_listeners(&list, &count);
	if (err)
		fprintf(stderr, "sluicectl: /proc: %s\n", strerror(-err));
	unguarded = err ? 0 : report(v, list, count);
	if (reply)
		control_reply__free_unpacked(reply, NULL);
	return err ? 2 : unguarded ? 1 : 0;
}

int discover_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "json", no_argument, NULL, 'j' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	struct view v = { .timeout_ms = TIMEOUT_MS };
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			v.all = true;
			break;
		case 'j':
			v.json = true;
			break;
		case 't':
			v.timeout_ms = (int)strtol(optarg, &end, 10);
			if (end == optarg || *end || v.timeout_ms < 1 || v.timeout_ms > TIMEOUT_MOST_MS)
				return usage(stderr, 2);
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	return optind < argc ? usage(stderr, 2) : discover(&v);
}
