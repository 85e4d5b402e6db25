/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top.c - sluicectl top: what the daemon does now, drawn again and again.
 *
 * A terminal is spoken to in the few sequences of ECMA-48 that every one knows. What comes from the configuration goes
 * through clean(): a name must not be able to say anything to the terminal.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/cli.h"

#define NS         1000000000ull
#define NAME_MOST  24
#define SCREEN_ON  "\033[?1049h\033[?25l"
#define SCREEN_OFF "\033[?25h\033[?1049l"
#define HOME       "\033[H"
#define LINE_END   "\033[K\n"
#define REST       "\033[J"

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

struct top {
	bool batch;
	double delay_s;
	long views;           /* 0: until it is told to end */
	ControlReply *last;   /* of the view before; NULL: there was none */
	uint64_t last_at;     /* monotonic nanoseconds */
	unsigned lines, most; /* of the terminal; 0: any number */
	unsigned columns;
};

static uint64_t nanos(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

/* ---- numbers ---- */

static uint64_t of(Counter **list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i]->name, name))
			return list[i]->value;
	return 0;
}

static uint64_t counter(const ControlReply *r, const char *name)
{
	return r ? of(r->status->counters, r->status->n_counters, name) : 0;
}

/* A counter that fell began anew, with another worker. */
static uint64_t since(uint64_t before, uint64_t now)
{
	return now < before ? now : now - before;
}

static const ServiceTraffic *traffic(const ControlReply *r, const char *name)
{
	for (size_t i = 0; r && i < r->status->n_traffic; i++)
		if (!strcmp(r->status->traffic[i]->name, name))
			return r->status->traffic[i];
	return NULL;
}

static uint64_t answers(const ServiceTraffic *t)
{
	uint64_t sum = 0;

	for (size_t i = 0; t && i < t->n_verdicts; i++)
		sum += t->verdicts[i]->value;
	return sum;
}

/* The value that a share of all is not above, in nanoseconds, as if each bucket were evenly filled. Negative: none
 * came; or -bound - 1, above the last bound. */
static double quantile(const Latency *now, const Latency *before, double share)
{
	uint64_t counts[64], all = 0, sum = 0;
	size_t n = now->n_counts;

	if (n < 2 || n > 64 || now->n_bounds != n - 1)
		return -1;
	for (size_t i = 0; i < n; i++) {
		bool same = before && before->n_counts == n;

		counts[i] = since(same ? before->counts[i] : 0, now->counts[i]);
		all += counts[i];
	}
	for (size_t i = 0; all && i < n; i++) {
		double low = i ? (double)now->bounds[i - 1] : 0;

		if ((double)(sum + counts[i]) < share * (double)all || !counts[i]) {
			sum += counts[i];
			continue;
		}
		if (i == n - 1)
			return -(double)now->bounds[n - 2] - 1;
		return low + ((double)now->bounds[i] - low) * (share * (double)all - (double)sum) / (double)counts[i];
	}
	return -1;
}

static const char *time_text(char to[24], double ns)
{
	const char *above = ns < -1 ? ">" : "";

	ns = ns < -1 ? -ns - 1 : ns;
	if (ns < 0)
		snprintf(to, 24, "-");
	else if (ns < 1e6)
		snprintf(to, 24, "%s%.0f us", above, ns / 1e3);
	else if (ns < 1e9)
		snprintf(to, 24, "%s%.1f ms", above, ns / 1e6);
	else
		snprintf(to, 24, "%s%.1f s", above, ns / 1e9);
	return to;
}

static const char *size_text(char to[24], double bytes)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	size_t i = 0;

	for (; bytes >= 10000 && i + 1 < ARRAY_LEN(units); i++)
		bytes /= 1000;
	snprintf(to, 24, "%.0f %s", bytes, units[i]);
	return to;
}

/* ---- lines ---- */

/* What a terminal could take for more than characters is '?'. Cut to fit, never inside a character. */
static const char *clean(char to[NAME_MOST + 1], const char *text)
{
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p && n < NAME_MOST; p++)
		to[n++] = (char)(*p < 0x20 || *p >= 0x7f ? '?' : *p);
	to[n] = '\0';
	return to;
}

/* One line, as far as the terminal is wide and has lines left. ASCII only. */
static void __attribute__((format(printf, 2, 3))) line(struct top *t, const char *format, ...)
{
	char text[512];
	va_list ap;

	if (t->most && t->lines >= t->most)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (t->columns && strlen(text) > t->columns)
		text[t->columns] = '\0';
	printf("%s%s", text, t->batch ? "\n" : LINE_END);
	t->lines++;
}

static void head(struct top *t, const ControlReply *now, double seconds)
{
	const StatusReply *s = now->status;
	char clock[32], bytes[24], memory[24], version[NAME_MOST + 1];
	time_t at = time(NULL);
	struct tm tm;
	uint64_t open = counter(now, "open");

	localtime_r(&at, &tm);
	strftime(clock, sizeof(clock), "%T", &tm);
	line(t,
	     "sluiced %s, %s, %" PRIu32 " loops, %" PRIu64 " workers before this one, policy of %" PRIu32
	     " rules%s  %s",
	     clean(version, s->version), s->ready ? "ready" : "not ready", s->loops, counter(now, "worker_restarts"),
	     s->policy_rules, s->policy_error[0] ? " (a reload was refused)" : "", clock);
	line(t, "connections %" PRIu64 ", streams %" PRIu64 ", %.1f answers/s, %.1f events/s, %s/s read, %s held", open,
	     counter(now, "streams"), (double)since(counter(t->last, "exchanges"), counter(now, "exchanges")) / seconds,
	     (double)since(counter(t->last, "events"), counter(now, "events")) / seconds,
	     size_text(bytes, (double)since(counter(t->last, "bytes_in"), counter(now, "bytes_in")) / seconds),
	     size_text(memory, (double)counter(now, "memory")));
	line(t, "record: next %" PRIu64 "%s; stops not confirmed %" PRIu64 "; not covered %zu, lacking %zu",
	     s->record_next_seq,
	     s->record_failed              ? ", FAILED"
	     : counter(now, "record_full") ? ", DISK FULL"
	                                   : "",
	     counter(now, "stop_not_confirmed"), s->n_uncovered, s->n_missing);
}

static void services(struct top *t, const ControlReply *now, double seconds)
{
	static const char *const verdicts[] = { "cleared", "redacted", "blocked", "flagged", "shadowed", "exception" };
	const StatusReply *s = now->status;
	char name[NAME_MOST + 1], row[512];

	line(t, "%s", "");
	line(t, "%-*s %-6s %4s %8s %9s %9s %9s %9s %9s %9s", NAME_MOST, "SERVICE", "FAIL", "ADDR", "ANS/S", "CLEARED",
	     "REDACTED", "BLOCKED", "FLAGGED", "SHADOWED", "EXCEPTION");
	for (size_t i = 0; i < s->n_traffic; i++) {
		const ServiceTraffic *one = s->traffic[i], *before = traffic(t->last, one->name);
		const ServiceStatus *guard = NULL;
		size_t n;

		for (size_t k = 0; k < s->n_services && !guard; k++)
			if (!strcmp(s->services[k]->name, one->name))
				guard = s->services[k];
		n = (size_t)snprintf(row, sizeof(row), "%-*s %-6s %4zu %8.1f", NAME_MOST, clean(name, one->name),
		                     guard ? guard->mode : "?", guard ? guard->n_addresses : 0,
		                     (double)since(answers(before), answers(one)) / seconds);
		for (size_t v = 0; v < ARRAY_LEN(verdicts) && n < sizeof(row); v++)
			n += (size_t)snprintf(row + n, sizeof(row) - n, " %9" PRIu64,
			                      of(one->verdicts, one->n_verdicts, verdicts[v]));
		line(t, "%s", row);
	}
}

static void latencies(struct top *t, const ControlReply *now)
{
	static const struct {
		const char *name, *about;
	} rows[] = {
		{ "added", "added to a message" },
		{ "hold", "longest wait of a text" },
		{ "record_wait", "refusal for its record" },
	};
	static const double shares[] = { 0.5, 0.9, 0.99 };

	line(t, "%s", "");
	line(t, "%-*s %10s %10s %10s", NAME_MOST, "LATENCY", "P50", "P90", "P99");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t k = 0; k < now->status->n_latencies; k++) {
			const Latency *l = now->status->latencies[k], *before = NULL;
			char text[3][24];

			if (strcmp(l->name, rows[i].name))
				continue;
			for (size_t b = 0; t->last && b < t->last->status->n_latencies; b++)
				if (!strcmp(t->last->status->latencies[b]->name, l->name))
					before = t->last->status->latencies[b];
			for (size_t q = 0; q < ARRAY_LEN(shares); q++)
				time_text(text[q], quantile(l, before, shares[q]));
			line(t, "%-*s %10s %10s %10s", NAME_MOST, rows[i].about, text[0], text[1], text[2]);
		}
}

/* ---- views ---- */

static void forget(ControlReply **at)
{
	if (*at)
		control_reply__free_unpacked(*at, NULL);
	*at = NULL;
}

static void view(struct top *t, ControlReply *now)
{
	uint64_t at = nanos(CLOCK_MONOTONIC), began = now->status->started_unix_nano, wall = nanos(CLOCK_REALTIME);
	double seconds = (double)(t->last ? at - t->last_at : wall > began ? wall - began : NS) / (double)NS;

	/* Another worker counts from 0. */
	if (t->last && t->last->status->started_unix_nano != began)
		forget(&t->last);
	seconds = seconds > 0.001 ? seconds : 0.001;
	head(t, now, seconds);
	services(t, now, seconds);
	latencies(t, now);
	forget(&t->last);
	t->last = now;
	t->last_at = at;
}

/* 0, or 2 where nobody answers; a terminal is told, and asks again. */
static int look(struct top *t)
{
	ControlReply *now = NULL;
	struct winsize w = {};
	int err;

	t->lines = t->most = t->columns = 0;
	if (!t->batch) {
		if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_row && w.ws_col) {
			t->most = w.ws_row - 1u;
			t->columns = w.ws_col;
		}
		fputs(HOME, stdout);
	}
	err = cli_status_quietly(&now);
	if (!err && !now->status) {
		forget(&now);
		err = -EBADMSG;
	}
	if (!err)
		view(t, now);
	else if (t->batch)
		fprintf(stderr, "sluicectl: no daemon answers: %s\n", strerror(-err));
	else
		line(t, "no daemon answers: %s", strerror(-err));
	if (!t->batch)
		fputs(REST, stdout);
	fflush(stdout);
	return err && t->batch ? 2 : 0;
}

/* Waits; true when it is told to end. */
static bool pause_for(const struct top *t)
{
	struct pollfd p = { .fd = t->batch ? -1 : STDIN_FILENO, .events = POLLIN };
	uint64_t until = nanos(CLOCK_MONOTONIC) + (uint64_t)(t->delay_s * (double)NS), now;
	char key;

	while (!ended && (now = nanos(CLOCK_MONOTONIC)) < until) {
		if (poll(&p, 1, (int)((until - now + NS / 1000 - 1) / (NS / 1000))) <= 0)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')
			return true;
		return false;
	}
	return ended;
}

static int watch(struct top *t)
{
	int status = 0;

	for (long i = 0; !t->views || i < t->views; i++) {
		if (i && pause_for(t))
			break;
		if (i && t->batch)
			putchar('\n');
		status = look(t);
		if (status || ended)
			break;
	}
	forget(&t->last);
	return status;
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl top [-b] [-n NUMBER] [-d SECONDS]\n"
	      "\n"
	      "Rates and latencies are of the time since the view before, the first of the time since the worker\n"
	      "began; verdicts are counted since then. 'q' ends it. Exit status: 2 no daemon (with -b).\n"
	      "\n"
	      "  -b, --batch          print, do not draw\n"
	      "  -n, --number NUMBER  of views\n"
	      "  -d, --delay SECONDS  between two of them, 0.1 to 3600 (2)\n",
	      to);
	return status;
}

int top_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "batch", no_argument, NULL, 'b' },
		{ "number", required_argument, NULL, 'n' },
		{ "delay", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	struct top t = { .delay_s = 2 };
	struct termios was, raw;
	char *stop;
	int c, status;

	while ((c = getopt_long(argc, argv, "bn:d:h", options, NULL)) != -1)
		switch (c) {
		case 'b':
			t.batch = true;
			break;
		case 'n':
			t.views = strtol(optarg, &stop, 10);
			if (stop == optarg || *stop || t.views < 1)
				return usage(stderr, 2);
			break;
		case 'd':
			t.delay_s = strtod(optarg, &stop);
			if (stop == optarg || *stop || !(t.delay_s >= 0.1 && t.delay_s <= 3600))
				return usage(stderr, 2);
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	if (optind < argc)
		return usage(stderr, 2);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = end }, NULL);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = end }, NULL);
	if (t.batch)
		return watch(&t);
	if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &was)) {
		fputs("sluicectl: no terminal: -b prints instead\n", stderr);
		return 2;
	}
	raw = was;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs(SCREEN_ON, stdout);
	status = watch(&t);
	fputs(SCREEN_OFF, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &was);
	return status;
}
