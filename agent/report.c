/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - what the daemon says of itself: status and metrics. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "keeper.h"
#include "report.h"

uint32_t report_keywords(const struct ruleset *rules)
{
	size_t n = 0;

	for (size_t i = 0; i < ruleset_rules(rules); i++)
		n += ruleset_rule_at(rules, i)->keywords;
	return (uint32_t)n;
}

void report_totals(const struct daemon *d, struct worker_stats *sum)
{
	*sum = (struct worker_stats){};
	for (unsigned i = 0; i < d->thread_count; i++) {
		struct worker_stats one;

		worker_stats(d->threads[i].worker, &one);
		for (size_t k = 0; k < sizeof(one) / sizeof(uint64_t); k++)
			((uint64_t *)sum)[k] += ((uint64_t *)&one)[k];
	}
}

void report_service(const struct daemon *d, size_t service, struct service_stats *sum)
{
	*sum = (struct service_stats){};
	for (unsigned i = 0; i < d->thread_count; i++) {
		struct service_stats one;

		worker_service_stats(d->threads[i].worker, service, &one);
		for (size_t k = 0; k < sizeof(one) / sizeof(uint64_t); k++)
			((uint64_t *)sum)[k] += ((uint64_t *)&one)[k];
	}
}

struct named {
	const char *name;
	size_t at;
};

#define STAT(field)                                                                                                    \
	{                                                                                                              \
#field, offsetof(struct worker_stats, field)                                                           \
	}
static const struct named stat_names[] = {
	STAT(accepted),       STAT(open),
	STAT(streams),        STAT(dial_failed),
	STAT(refused),        STAT(exchanges),
	STAT(events),         STAT(bytes_in),
	STAT(bytes_released), STAT(stopped),
	STAT(stop_confirmed), STAT(stop_not_confirmed),
	STAT(records_lost),   STAT(coverage_mismatches),
	STAT(upgrades),       STAT(upgrade_bytes),
};

static void add_counter(Counter ***list, size_t *n, const char *name, uint64_t value)
{
	Counter *c = malloc(sizeof(*c)), **more = realloc(*list, (*n + 1) * sizeof(*more));

	if (more)
		*list = more;
	if (!c || !more) {
		free(c);
		return;
	}
	*c = (Counter)COUNTER__INIT;
	c->name = strdup(name);
	c->value = value;
	(*list)[(*n)++] = c;
}

static void add_string(char ***list, size_t *n, const char *text)
{
	char **more = realloc(*list, (*n + 1) * sizeof(*more)), *copy = strdup(text);

	if (more)
		*list = more;
	if (more && copy)
		(*list)[(*n)++] = copy;
	else
		free(copy);
}

static void add_service(struct daemon *d, GuardStatus *s, const struct capture_status *c, size_t index)
{
	ServiceStatus *one = malloc(sizeof(*one));
	const struct guard *g = &d->guards[index];
	size_t prefix = strlen(g->name);

	if (!one)
		return;
	*one = (ServiceStatus)SERVICE_STATUS__INIT;
	one->name = strdup(g->name);
	one->mode = strdup(g->fail_open ? "open" : "closed");
	one->ports = calloc(c->address_count + 1, sizeof(*one->ports));
	for (size_t i = 0; i < c->address_count; i++) {
		const char *colon = strrchr(c->addresses[i].text, ':');

		if (c->addresses[i].service != index)
			continue;
		add_string(&one->addresses, &one->n_addresses, c->addresses[i].text);
		add_string(&one->namespaces, &one->n_namespaces, c->addresses[i].namespace);
		if (one->ports && colon)
			one->ports[one->n_ports++] = (uint32_t)strtoul(colon + 1, NULL, 10);
	}
	for (size_t i = 0; i < c->uncovered_count; i++)
		if (!strncmp(c->uncovered[i], g->name, prefix) && c->uncovered[i][prefix] == ':')
			add_string(&one->uncovered, &one->n_uncovered, c->uncovered[i]);
	s->services[s->n_services++] = one;
}

GuardStatus *report_guard(struct daemon *d)
{
	struct capture_status c = {};
	GuardStatus *s = malloc(sizeof(*s));
	char name[96];

	if (!s)
		return NULL;
	*s = (GuardStatus)GUARD_STATUS__INIT;
	if (!capture_status(d->capture, &c)) {
		s->services = calloc(d->config->service_count, sizeof(*s->services));
		for (size_t i = 0; s->services && i < d->config->service_count; i++)
			add_service(d, s, &c, i);
		for (size_t i = 0; i < c.uncovered_count; i++)
			add_string(&s->uncovered, &s->n_uncovered, c.uncovered[i]);
		for (size_t i = 0; i < c.missing_count; i++)
			add_string(&s->missing, &s->n_missing, c.missing[i]);
		for (size_t i = 0; i < c.tally_count; i++) {
			snprintf(name, sizeof(name), "capture_%s", c.tally_names[i]);
			add_counter(&s->tallies, &s->n_tallies, name, c.tallies[i]);
		}
		s->dials = (uint32_t)c.dials;
		s->namespaces = (uint32_t)c.spaces;
	}
	capture_status_free(&c);
	if (*d->user_lack)
		add_string(&s->missing, &s->n_missing, d->user_lack);
	return s;
}

GuardStatus *report_ask_guard(struct daemon *d)
{
	owned(own_free) uint8_t *packed = malloc(GUARD_STATUS_MAX);
	ssize_t n = packed ? keeper_ask(d->keeper, TELL_STATUS, packed, GUARD_STATUS_MAX, ASK_MS) : -ENOMEM;
	GuardStatus *g = n > 0 ? guard_status__unpack(NULL, (size_t)n, packed) : NULL;

	if (!g)
		log_warn("keeper: it does not say what is guarded: error=%s",
		         n < 0 ? strerrorname_np((int)-n) : "none");
	return g;
}

/* The lists change hands. */
static void take_guard(struct daemon *d, StatusReply *s)
{
	owned(guard_status_drop) GuardStatus *g = report_ask_guard(d);

	if (!g)
		return;
	s->services = TAKE(g->services), s->n_services = g->n_services, g->n_services = 0;
	s->missing = TAKE(g->missing), s->n_missing = g->n_missing, g->n_missing = 0;
	s->uncovered = TAKE(g->uncovered), s->n_uncovered = g->n_uncovered, g->n_uncovered = 0;
	s->counters = TAKE(g->tallies), s->n_counters = g->n_tallies, g->n_tallies = 0;
	s->dials = g->dials;
}

static void add_traffic(const struct daemon *d, StatusReply *s)
{
	s->traffic = calloc(d->config->service_count, sizeof(*s->traffic));
	for (size_t i = 0; s->traffic && i < d->config->service_count; i++) {
		ServiceTraffic *one = malloc(sizeof(*one));
		struct service_stats sum;

		if (!one)
			return;
		*one = (ServiceTraffic)SERVICE_TRAFFIC__INIT;
		one->name = strdup(d->config->services[i].name);
		report_service(d, i, &sum);
		for (int v = 0; v < VERDICT_COUNT; v++)
			add_counter(&one->verdicts, &one->n_verdicts, verdict_names[v], sum.verdicts[v]);
		s->traffic[s->n_traffic++] = one;
	}
}

static void add_latency(StatusReply *s, const char *name, const struct histogram *h)
{
	Latency *one = malloc(sizeof(*one));

	if (!one)
		return;
	*one = (Latency)LATENCY__INIT;
	one->name = strdup(name);
	one->bounds = malloc(sizeof(histogram_times));
	one->counts = malloc(sizeof(h->counts));
	if (one->bounds && one->counts) {
		memcpy(one->bounds, histogram_times, sizeof(histogram_times));
		memcpy(one->counts, h->counts, sizeof(h->counts));
		one->n_bounds = HISTOGRAM_BOUNDS;
		one->n_counts = HISTOGRAM_BOUNDS + 1;
	}
	s->latencies[s->n_latencies++] = one;
}

static void add_latencies(StatusReply *s, const struct worker_stats *sum)
{
	s->latencies = calloc(3, sizeof(*s->latencies));
	if (!s->latencies)
		return;
	add_latency(s, "added", &sum->added);
	add_latency(s, "hold", &sum->hold_time);
	add_latency(s, "record_wait", &sum->record_wait);
}

void report_status(struct daemon *d, StatusReply *s)
{
	struct ledger_stats l;
	struct worker_stats sum;
	char name[96];

	take_guard(d, s);
	s->ready = d->ready;
	s->version = strdup(SLUICE_VERSION);
	s->pid = (uint32_t)d->parent;
	s->worker_pid = (uint32_t)getpid();
	s->started_unix_nano = d->started_unix;
	s->policy_digest.data = malloc(RULESET_DIGEST);
	if (s->policy_digest.data) {
		memcpy(s->policy_digest.data, ruleset_digest(d->rules), RULESET_DIGEST);
		s->policy_digest.len = RULESET_DIGEST;
	}
	s->policy_rules = (uint32_t)ruleset_rules(d->rules);
	s->policy_keywords = report_keywords(d->rules);
	s->policy_patterns = (uint32_t)ruleset_patterns(d->rules);
	s->policy_patterns_compiled = (uint32_t)ruleset_patterns_compiled(d->rules);
	s->policy_error = strdup(d->policy_error);
	s->loops = d->thread_count;
	s->generation = d->generation;
	s->refused_generation = d->refused_generation;
	s->refused_why = strdup(d->refused_why);
	if (*d->sandbox_lack)
		add_string(&s->missing, &s->n_missing, d->sandbox_lack);
	report_totals(d, &sum);
	for (size_t i = 0; i < ARRAY_LEN(stat_names); i++)
		add_counter(&s->counters, &s->n_counters, stat_names[i].name,
		            *(uint64_t *)((char *)&sum + stat_names[i].at));
	for (int v = 0; v < VERDICT_COUNT; v++) {
		snprintf(name, sizeof(name), "verdict_%s", verdict_names[v]);
		add_counter(&s->counters, &s->n_counters, name, sum.verdicts[v]);
	}
	for (int e = 1; e < EXCEPTION_COUNT; e++)
		if (sum.exceptions[e]) {
			snprintf(name, sizeof(name), "exception_%s", exception_table[e].name);
			add_counter(&s->counters, &s->n_counters, name, sum.exceptions[e]);
		}
	add_traffic(d, s);
	add_latencies(s, &sum);
	ledger_stats(d->ledger, &l);
	s->record_failed = l.failed;
	s->record_next_seq = l.next_seq;
	add_counter(&s->counters, &s->n_counters, "worker_restarts", d->restarts);
	add_counter(&s->counters, &s->n_counters, "memory",
	            atomic_load_explicit(&d->memory.used, memory_order_relaxed));
	add_counter(&s->counters, &s->n_counters, "records", l.records);
	add_counter(&s->counters, &s->n_counters, "record_syncs", l.syncs);
	add_counter(&s->counters, &s->n_counters, "record_sync_failures", l.sync_failures);
	add_counter(&s->counters, &s->n_counters, "record_space_left", l.space_left);
	add_counter(&s->counters, &s->n_counters, "record_full", l.full);
	add_counter(&s->counters, &s->n_counters, "record_not_taken", l.lost);
}
