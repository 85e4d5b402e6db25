/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c - what the daemon counts, for Prometheus, and whether it is well.
 *
 * Names end in their unit, counters in _total. docs/runbook.md and packaging/prometheus/ live by these names.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/own.h"
#include "report.h"

static void head(struct buf *out, const char *name, const char *type, const char *about)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, about, name, type);
}

static void metric(struct buf *out, const char *name, const char *type, const char *about, uint64_t value)
{
	head(out, name, type, about);
	buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void seconds(struct buf *out, const char *name, const char *type, const char *about, uint64_t nanoseconds)
{
	head(out, name, type, about);
	buf_printf(out, "%s %.9g\n", name, (double)nanoseconds / 1e9);
}

/* A label's value: what the configuration calls a service may hold anything. */
static void value_of(struct buf *out, const char *label, const char *text)
{
	buf_printf(out, "%s=\"", label);
	for (; *text; text++)
		if (*text == '\n')
			buf_printf(out, "\\n");
		else
			buf_printf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	buf_printf(out, "\"");
}

/* `unit`: what the bounds and the sum are divided by. */
static void histogram(struct buf *out, const char *name, const char *about, const struct histogram *h,
                      const uint64_t bounds[HISTOGRAM_BOUNDS], double unit)
{
	uint64_t all = 0;

	head(out, name, "histogram", about);
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		all += h->counts[i];
		buf_printf(out, "%s_bucket{le=\"%.9g\"} %llu\n", name, (double)bounds[i] / unit,
		           (unsigned long long)all);
	}
	all += h->counts[HISTOGRAM_BOUNDS];
	buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name, (unsigned long long)all,
	           name, (double)h->sum / unit, name, (unsigned long long)all);
}

static void counters(struct buf *out, const struct daemon *d, const struct worker_stats *s,
                     const struct ledger_stats *l)
{
	struct evidence_stats kept = { 0 };

	if (d->evidence)
		evidence_stats(d->evidence, &kept);
	const struct {
		const char *name, *about;
		uint64_t value;
	} rows[] = {
		{ "sluice_worker_restarts_total", "Workers that ended and were made again.", d->restarts },
		{ "sluice_connections_accepted_total", "Connections taken from clients.", s->accepted },
		{ "sluice_dials_failed_total", "Servers that could not be reached.", s->dial_failed },
		{ "sluice_events_total", "Events of streamed answers read.", s->events },
		{ "sluice_bytes_inspected_total", "Bytes that servers sent.", s->bytes_in },
		{ "sluice_bytes_released_total", "Bytes of answers that clients got.", s->bytes_released },
		{ "sluice_stops_requested_total", "Generations that were to be stopped.", s->stopped },
		{ "sluice_stops_confirmed_total", "Generations known to be stopped.", s->stop_confirmed },
		{ "sluice_stops_not_confirmed_total", "Generations that the server did not confirm to have stopped.",
		  s->stop_not_confirmed },
		{ "sluice_audit_records_total", "Records made durable.", l->records },
		{ "sluice_audit_sync_failures_total", "Syncs of the ledger that failed.", l->sync_failures },
		{ "sluice_evidence_kept_total", "Texts sealed and made durable.", kept.kept },
		{ "sluice_evidence_lost_total", "Texts that a rule asked for and that could not be written.",
		  kept.lost },
		{ "sluice_coverage_mismatch_total", "Answers whose bytes did not add up: anything but 0 is a fault.",
		  s->coverage_mismatches },
		{ "sluice_events_lost_total", "Records that could not be queued.", s->records_lost },
		{ "sluice_clock_steps_total", "Steps of the host's clock, a second or more, since this run began.",
		  l->clock_steps },
		{ "sluice_fail_open_connections_total", "Connections that passed unread before this run.",
		  d->open_passed },
	};

	head(out, "sluice_bypass_total", "counter",
	     "Connections that passed unread, because the configuration says so.");
	buf_printf(out, "sluice_bypass_total{reason=\"upgrade\"} %llu\n", (unsigned long long)s->upgrades);
	head(out, "sluice_uninspected_bytes_total", "counter", "Bytes that passed unread.");
	buf_printf(out, "sluice_uninspected_bytes_total{reason=\"upgrade\"} %llu\n",
	           (unsigned long long)s->upgrade_bytes);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		metric(out, rows[i].name, "counter", rows[i].about, rows[i].value);
	seconds(out, "sluice_fail_open_seconds_total", "counter",
	        "Time that fail: open services passed unread before this run.", d->open_ns);
}

static void gauges(struct buf *out, const struct daemon *d, const struct worker_stats *s, const struct ledger_stats *l)
{
	struct rlimit files = {};

	getrlimit(RLIMIT_NOFILE, &files);
	metric(out, "sluice_up", "gauge", "The daemon is ready.", d->ready);
	metric(out, "sluice_connections_open", "gauge", "Connections open now.", s->open);
	metric(out, "sluice_streams_open", "gauge", "Streamed answers under way.", s->streams);
	metric(out, "sluice_memory_bytes", "gauge", "What all connections hold.",
	       atomic_load_explicit(&d->memory.used, memory_order_relaxed));
	metric(out, "sluice_memory_limit_bytes", "gauge", "What all connections may hold: limits.memory.",
	       d->memory.most);
	metric(out, "sluice_loops_stuck", "gauge", "Loops that have not turned for ten seconds.", d->stuck);
	metric(out, "sluice_audit_disk_free_bytes", "gauge", "Space left where the record is.", l->space_left);
	metric(out, "sluice_audit_writable", "gauge", "The ledger takes records and makes them durable.",
	       ledger_is_sound(d->ledger));
	metric(out, "sluice_record_failed", "gauge", "The ledger takes no more records.", l->failed);
	metric(out, "sluice_policy_rules", "gauge", "Rules in force.", ruleset_rules(d->rules));
	metric(out, "sluice_policy_keywords", "gauge", "Keywords in force.", report_keywords(d->rules));
	metric(out, "sluice_policy_refused", "gauge", "The last reload was refused, an older policy is in force.",
	       *d->policy_error != 0);
	seconds(out, "sluice_policy_loaded_timestamp_seconds", "gauge", "When the policy in force was read.",
	        d->policy_loaded_unix);
	seconds(out, "process_start_time_seconds", "gauge", "When the worker began.", d->started_unix);
	metric(out, "process_max_fds", "gauge", "Descriptors that the worker may hold, two a connection.",
	       files.rlim_cur);
}

static void by_service(struct buf *out, const struct daemon *d)
{
	size_t services = d->config->service_count;

	head(out, "sluice_exchanges_total", "counter", "Answers by service and verdict.");
	for (int pass = 0; pass < 2; pass++) {
		if (pass)
			head(out, "sluice_exceptions_total", "counter",
			     "Answers not inspected, by service and exception.");
		for (size_t i = 0; i < services; i++) {
			struct service_stats sum;

			report_service(d, i, &sum);
			for (int k = pass; k < (pass ? (int)EXCEPTION_COUNT : (int)VERDICT_COUNT); k++) {
				buf_printf(out, pass ? "sluice_exceptions_total{" : "sluice_exchanges_total{");
				value_of(out, "service", d->names[i]);
				buf_printf(out, ",%s=\"%s\"} %llu\n", pass ? "exception" : "verdict",
				           pass ? exception_table[k].name : verdict_names[k],
				           (unsigned long long)(pass ? sum.exceptions[k] : sum.verdicts[k]));
			}
		}
	}
}

static void finding(void *arg, const struct finding_count *row)
{
	struct buf *out = arg;

	buf_printf(out, "sluice_findings_total{");
	value_of(out, "service", row->service);
	buf_printf(out, ",");
	value_of(out, "rule", row->rule);
	buf_printf(out, ",");
	value_of(out, "risk", row->risk);
	buf_printf(out, ",action=\"%s\"} %llu\n", row->action, (unsigned long long)row->count);
}

static void opinions(struct buf *out, const struct daemon *d)
{
	struct opinion_stats all[CONFIG_OPINIONS_MAX];
	struct histogram latency = {};

	for (size_t i = 0; i < d->config->opinion_count; i++) {
		opinions_stats(d->opinions, i, &all[i]);
		for (size_t k = 0; k < sizeof(latency) / sizeof(uint64_t); k++)
			((uint64_t *)&latency)[k] += ((uint64_t *)&all[i].latency)[k];
	}
	head(out, "sluice_opinions_total", "counter", "Opinions that were asked for, by how that ended.");
	for (size_t i = 0; i < d->config->opinion_count; i++)
		for (int k = 0; k < OPINION_OUTCOME_COUNT; k++) {
			buf_printf(out, "sluice_opinions_total{");
			value_of(out, "opinion", d->config->opinions[i].name);
			buf_printf(out, ",outcome=\"%s\"} %llu\n", opinion_outcome_names[k],
			           (unsigned long long)all[i].outcomes[k]);
		}
	for (int k = 0; k < 4; k++) {
		static const struct {
			const char *name, *type, *about;
			size_t at;
		} rows[] = {
			{ "sluice_opinion_breaker_open", "gauge", "It failed too often, and is left alone for a while.",
			  offsetof(struct opinion_stats, breaker_open) },
			{ "sluice_opinion_breaker_opened_total", "counter", "How often it was left alone.",
			  offsetof(struct opinion_stats, breaker_opened) },
			{ "sluice_opinion_waiting", "gauge", "Questions that wait for their turn.",
			  offsetof(struct opinion_stats, waiting) },
			{ "sluice_opinion_running", "gauge", "Questions under way.",
			  offsetof(struct opinion_stats, running) },
		};

		head(out, rows[k].name, rows[k].type, rows[k].about);
		for (size_t i = 0; i < d->config->opinion_count; i++) {
			buf_printf(out, "%s{", rows[k].name);
			value_of(out, "opinion", d->config->opinions[i].name);
			buf_printf(out, "} %llu\n", (unsigned long long)*(uint64_t *)((char *)&all[i] + rows[k].at));
		}
	}
	histogram(out, "sluice_opinion_seconds", "From the question to the opinion, of those that came.", &latency,
	          histogram_times, 1e9);
}

static void guard(struct buf *out, struct daemon *d)
{
	owned(guard_status_drop) GuardStatus *g = report_ask_guard(d);

	metric(out, "sluice_guard_known", "gauge", "The keeper says what is guarded.", g != NULL);
	if (!g)
		return;
	metric(out, "sluice_kernel_lacks", "gauge", "Features that this host lacks: sluicectl status names them.",
	       g->n_missing);
	metric(out, "sluice_uncovered", "gauge",
	       "Listeners and sockets that are not covered: sluicectl status names them.", g->n_uncovered);
	head(out, "sluice_guarded_addresses", "gauge", "Addresses guarded now.");
	for (size_t i = 0; i < g->n_services; i++) {
		buf_printf(out, "sluice_guarded_addresses{");
		value_of(out, "service", g->services[i]->name);
		buf_printf(out, "} %zu\n", g->services[i]->n_addresses);
	}
	head(out, "sluice_capture_total", "counter", "What the programs in the kernel decided, by reason.");
	for (size_t i = 0; i < g->n_tallies; i++) {
		const char *name = g->tallies[i]->name;

		buf_printf(out, "sluice_capture_total{reason=\"%s\"} %llu\n",
		           name + (strncmp(name, "capture_", 8) ? 0 : 8), (unsigned long long)g->tallies[i]->value);
	}
}

/* Of the herald, which is a process of its own. */
static void alerts(struct buf *out, const struct daemon *d)
{
	const struct alert_counts *c = d->alert_counts;

	if (!c)
		return;
	metric(out, "sluice_alert_messages_total", "counter", "Messages about alerts that arrived.",
	       atomic_load(&c->delivered));
	metric(out, "sluice_alert_failures_total", "counter", "Attempts to deliver one that failed.",
	       atomic_load(&c->failed));
	metric(out, "sluice_alerts_dropped_total", "counter", "Changes of alerts that no queue had room for.",
	       atomic_load(&c->dropped));
}

void report_metrics(void *arg, struct buf *out)
{
	struct daemon *d = arg;
	struct worker_stats s;
	struct ledger_stats l;

	report_totals(d, &s);
	ledger_stats(d->ledger, &l);
	head(out, "sluice_build_info", "gauge", "Constant 1.");
	buf_printf(out, "sluice_build_info{version=\"%s\"} 1\n", SLUICE_VERSION);
	gauges(out, d, &s, &l);
	counters(out, d, &s, &l);
	witnessed_metrics(d, out);
	by_service(out, d);
	head(out, "sluice_findings_total", "counter", "Findings by service, rule, its first risk, and action.");
	tally_each(d->tally, finding, out);
	histogram(out, "sluice_added_seconds", "From the turn in which bytes could move until they were written.",
	          &s.added, histogram_times, 1e9);
	histogram(out, "sluice_hold_seconds", "The longest that text of a streamed answer waited.", &s.hold_time,
	          histogram_times, 1e9);
	histogram(out, "sluice_hold_characters", "The most characters of a streamed answer that waited at a time.",
	          &s.hold_chars, histogram_characters, 1);
	histogram(out, "sluice_record_wait_seconds", "What a refusal waited for its record to be durable.",
	          &s.record_wait, histogram_times, 1e9);
	if (d->opinions)
		opinions(out, d);
	alerts(out, d);
	guard(out, d);
}

bool report_health(void *arg, struct buf *out)
{
	struct daemon *d = arg;
	struct ledger_stats l;
	size_t before = buf_len(out);

	ledger_stats(d->ledger, &l);
	if (!d->ready)
		buf_printf(out, "not ready\n");
	if (d->stuck)
		buf_printf(out, "%u loops stand still\n", d->stuck);
	if (l.failed)
		buf_printf(out, "record: failed\n");
	else if (!ledger_is_sound(d->ledger) || !ledger_is_sound(d->control))
		buf_printf(out, "record: not written, the disk is full\n");
	if (atomic_load(&d->stopped))
		buf_printf(out, "nobody is served, as the configuration says of the disk\n");
	if (buf_len(out) != before)
		return false;
	buf_printf(out, "ok\n");
	return true;
}
