/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - `sluicectl stats`: how many, of what, how often; with bars for a terminal. And `reindex`. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/events.h"

#define NS        1000000000ull
#define ROWS_MOST 4096 /* of one table; what is beyond is one row, "(others)" */
#define BAR_MOST  40
#define BAR_LEAST 10

struct tally {
	char *name;
	uint64_t count, blocked; /* of reviews: that were wrong */
};

struct table {
	const struct dimension *by;
	struct tally *rows;
	size_t n, room;
	uint64_t total;
};

struct stats {
	struct event_options o;
	struct event_logs logs;
	struct table *tables;
	struct reviews *reviews; /* owned */
	size_t count;
	uint64_t records, first, last;
	bool gone;
};

struct dimension {
	const char *name;
	const char *of; /* what is counted */
	bool by_name;   /* in the order of names, not of counts */
	bool reviews;   /* what is told is how many were overturned */
	int (*add)(struct stats *s, struct table *t, const Record *r);
};

static bool is_blocked(const Record *r)
{
	return (r->body_case == RECORD__BODY_EXCHANGE && r->exchange->verdict == VERDICT__BLOCKED) ||
	       (r->body_case == RECORD__BODY_FINDING && r->finding->verdict == VERDICT__BLOCKED);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct tally *)a)->name, ((const struct tally *)b)->name);
}

static int by_count(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	return x->count != y->count ? (x->count < y->count ? 1 : -1) : by_text(a, b);
}

/* Rows are kept in the order of their names. */
static int count(struct table *t, const char *name, bool blocked)
{
	struct tally wanted = { .name = (char *)(name && *name ? name : "(none)") }, *row;
	size_t low = 0, high;

	row = t->n ? bsearch(&wanted, t->rows, t->n, sizeof(*t->rows), by_text) : NULL;
	if (!row && t->n >= ROWS_MOST) {
		wanted.name = (char *)"(others)";
		row = bsearch(&wanted, t->rows, t->n, sizeof(*t->rows), by_text);
	}
	if (!row) {
		if (t->n == t->room) {
			size_t room = t->room ? 2 * t->room : 32;
			struct tally *more = reallocarray(t->rows, room, sizeof(*more));

			if (!more)
				return -ENOMEM;
			t->rows = more;
			t->room = room;
		}
		wanted.name = strdup(wanted.name);
		if (!wanted.name)
			return -ENOMEM;
		for (high = t->n; low < high;) {
			size_t mid = (low + high) / 2;

			if (by_text(&t->rows[mid], &wanted) < 0)
				low = mid + 1;
			else
				high = mid;
		}
		memmove(&t->rows[low + 1], &t->rows[low], (t->n - low) * sizeof(*t->rows));
		t->rows[low] = wanted;
		t->n++;
		row = &t->rows[low];
	}
	row->count++;
	row->blocked += blocked;
	t->total++;
	return 0;
}

static int count_enum(struct table *t, const ProtobufCEnumDescriptor *d, int value, bool blocked)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);
	char number[16];

	snprintf(number, sizeof(number), "%d", value);
	return count(t, v ? v->name : number, blocked);
}

static int add_risk(struct stats *s, struct table *t, const Record *r)
{
	int err = 0;

	(void)s;
	for (size_t i = 0; r->body_case == RECORD__BODY_FINDING && i < r->finding->n_risks && !err; i++)
		err = count(t, r->finding->risks[i]->risk_id, is_blocked(r));
	return err;
}

static int add_rule(struct stats *s, struct table *t, const Record *r)
{
	int err = 0;

	(void)s;
	for (size_t i = 0; r->body_case == RECORD__BODY_FINDING && i < r->finding->n_risks && !err; i++)
		err = count(t, r->finding->risks[i]->rule_id, is_blocked(r));
	return err;
}

static int add_verdict(struct stats *s, struct table *t, const Record *r)
{
	(void)s;
	return r->body_case == RECORD__BODY_EXCHANGE
	               ? count_enum(t, &verdict__descriptor, (int)r->exchange->verdict, is_blocked(r))
	               : 0;
}

static int add_action(struct stats *s, struct table *t, const Record *r)
{
	(void)s;
	return r->body_case == RECORD__BODY_EXCHANGE
	               ? count_enum(t, &action__descriptor, (int)r->exchange->action, is_blocked(r))
	               : 0;
}

static int add_service(struct stats *s, struct table *t, const Record *r)
{
	(void)s;
	return r->body_case == RECORD__BODY_EXCHANGE
	               ? count(t, r->exchange->service ? r->exchange->service->name : NULL, is_blocked(r))
	               : 0;
}

static int add_model(struct stats *s, struct table *t, const Record *r)
{
	(void)s;
	return r->body_case == RECORD__BODY_EXCHANGE
	               ? count(t, r->exchange->service ? r->exchange->service->model : NULL, is_blocked(r))
	               : 0;
}

static int add_type(struct stats *s, struct table *t, const Record *r)
{
	const ProtobufCFieldDescriptor *f =
		r->body_case ? protobuf_c_message_descriptor_get_field(&record__descriptor, r->body_case) : NULL;

	(void)s;
	return count(t, f ? f->name : NULL, is_blocked(r));
}

static int add_time(struct stats *s, struct table *t, const Record *r, const char *form)
{
	time_t seconds = (time_t)(r->time_unix_nano / NS);
	char text[40];
	struct tm tm;

	if (r->body_case != RECORD__BODY_EXCHANGE)
		return 0;
	if (s->o.utc)
		gmtime_r(&seconds, &tm);
	else
		localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), form, &tm);
	return count(t, text, is_blocked(r));
}

static int add_hour(struct stats *s, struct table *t, const Record *r)
{
	return add_time(s, t, r, "%Y-%m-%d %H:00");
}

static int add_day(struct stats *s, struct table *t, const Record *r)
{
	return add_time(s, t, r, "%Y-%m-%d");
}

/* Counted when all are known: the last one of a finding is the one that counts. */
static int add_review(struct stats *s, struct table *t, const Record *r)
{
	int err = 0;

	(void)t;
	if (r->body_case != RECORD__BODY_REVIEW)
		return 0;
	err = s->reviews ? 0 : reviews_new(&s->reviews);
	err = err ? err : reviews_apply(s->reviews, r->review);
	return err == -EINVAL ? 0 : err; /* of a later version */
}

static int count_review(void *arg, const struct review_entry *one)
{
	if (one->outcome != REVIEW_CORRECT && one->outcome != REVIEW_WRONG)
		return 0;
	return count(arg, one->rule, one->outcome == REVIEW_WRONG);
}

static const struct dimension dimensions[] = {
	{ "verdict", "exchanges", .add = add_verdict },
	{ "risk", "hits of findings", .add = add_risk },
	{ "rule", "hits of findings", .add = add_rule },
	{ "service", "exchanges", .add = add_service },
	{ "model", "exchanges", .add = add_model },
	{ "hour", "exchanges", .by_name = true, .add = add_hour },
	{ "day", "exchanges", .by_name = true, .add = add_day },
	{ "action", "exchanges", .add = add_action },
	{ "type", "records", .add = add_type },
	{ "review", "findings called correct or wrong, by rule", .reviews = true, .add = add_review },
};

#define USUAL "verdict,risk,rule,service,model,hour,review"

static void stats_free(struct stats *s)
{
	for (size_t i = 0; i < s->count; i++) {
		for (size_t k = 0; k < s->tables[i].n; k++)
			free(s->tables[i].rows[k].name);
		free(s->tables[i].rows);
	}
	free(s->tables);
	reviews_close(&s->reviews);
	events_close(&s->logs);
	events_options_free(&s->o);
}

static int choose_tables(struct stats *s)
{
	const char *p = s->o.by ? s->o.by : USUAL;

	s->tables = calloc(ARRAY_LEN(dimensions), sizeof(*s->tables));
	if (!s->tables)
		return EVENTS_ERROR;
	for (;;) {
		size_t len = strcspn(p, ","), i = 0;

		while (i < ARRAY_LEN(dimensions) &&
		       (strlen(dimensions[i].name) != len || strncmp(dimensions[i].name, p, len) != 0))
			i++;
		if (i == ARRAY_LEN(dimensions) || s->count == ARRAY_LEN(dimensions)) {
			fprintf(stderr,
			        "stats: --by: %.*s: not one of risk, rule, verdict, action, type, service, model, "
			        "hour, day, review, each once\n",
			        (int)len, p);
			return EVENTS_ERROR;
		}
		s->tables[s->count++].by = &dimensions[i];
		if (!p[len])
			return 0;
		p += len + 1;
	}
}

static int count_all(struct stats *s)
{
	const Record *r;
	struct slice raw;
	int got, err = 0;

	while (!err && (got = events_next(&s->logs, &r, &raw)) > 0) {
		s->first = !s->records || r->time_unix_nano < s->first ? r->time_unix_nano : s->first;
		s->last = r->time_unix_nano > s->last ? r->time_unix_nano : s->last;
		s->records++;
		for (size_t i = 0; i < s->count && !err; i++)
			err = s->tables[i].by->add(s, &s->tables[i], r);
	}
	for (size_t i = 0; i < s->count && s->reviews && !err; i++)
		if (s->tables[i].by->reviews)
			err = reviews_each(s->reviews, count_review, &s->tables[i]);
	return err ? err : got;
}

/* Of the time asked for, as far as there are records. */
static double hours(const struct stats *s)
{
	double seconds = (double)(s->last - s->first) / (double)NS;

	return seconds < 1 ? 1.0 / 3600 : seconds / 3600;
}

static void print_json(const struct stats *s, const struct table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct tally *row = &t->rows[i];

		printf("{\"by\":\"%s\",\"name\":", t->by->name);
		cli_json_string(stdout, row->name);
		printf(",\"count\":%" PRIu64 ",\"%s\":%" PRIu64 ",\"share\":%.6f", row->count,
		       t->by->reviews ? "wrong" : "blocked", row->blocked, (double)row->count / (double)t->total);
		if (t->by->reviews)
			printf(",\"overturned\":%.6f}\n", (double)row->blocked / (double)row->count);
		else
			printf(",\"per_hour\":%.6g}\n", (double)row->count / hours(s));
	}
}

/* Names come from servers: controls do not reach the terminal. Returns the columns used. */
static int put_name(const char *name, int width)
{
	int n = 0;

	for (const unsigned char *p = (const unsigned char *)name; *p && n < width; p++) {
		putchar(*p < 0x20 || *p == 0x7F || (*p == 0xC2 && p[1] < 0xA0 && p[1] >= 0x80) ? '?' : *p);
		n += (*p & 0xC0) != 0x80;
	}
	return n;
}

static int terminal_width(void)
{
	struct winsize w;

	return isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col ? w.ws_col : 80;
}

/* A bar of eighths of a column. */
static void put_bar(uint64_t value, uint64_t most, int width)
{
	static const char *const part[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	uint64_t eighths = most ? value * 8 * (uint64_t)width / most : 0;

	for (; eighths >= 8; eighths -= 8)
		fputs("█", stdout);
	fputs(part[eighths], stdout);
}

static void print_table(const struct stats *s, const struct table *t)
{
	int wide = 8, bar;
	uint64_t most = 0;

	for (size_t i = 0; i < t->n; i++) {
		int len = (int)strlen(t->rows[i].name);

		wide = len > wide ? len : wide;
		most = t->rows[i].count > most ? t->rows[i].count : most;
	}
	wide = wide > 32 ? 32 : wide;
	bar = terminal_width() - wide - 42;
	bar = bar > BAR_MOST ? BAR_MOST : bar < BAR_LEAST ? BAR_LEAST : bar;
	printf("by %s (%s: %" PRIu64 ")\n", t->by->name, t->by->of, t->total);
	printf("  %-*s %10s %7s %9s %10s\n", wide, "", "count", "share", t->by->reviews ? "wrong" : "blocked",
	       t->by->reviews ? "overturned" : "per hour");
	for (size_t i = 0; i < t->n; i++) {
		const struct tally *row = &t->rows[i];

		fputs("  ", stdout);
		printf("%*s", wide - put_name(row->name, wide), "");
		printf(" %10" PRIu64 " %6.2f%% %9" PRIu64, row->count, 100.0 * (double)row->count / (double)t->total,
		       row->blocked);
		if (t->by->reviews)
			printf(" %9.2f%% ", 100.0 * (double)row->blocked / (double)row->count);
		else
			printf(" %10.4g ", (double)row->count / hours(s));
		put_bar(row->count, most, bar);
		putchar('\n');
	}
	putchar('\n');
}

int stats_main(int argc, char **argv)
{
	owned(stats_free) struct stats s = { .records = 0 };
	int err = events_options(&s.o, FOR_STATS, argc, argv);

	if (err)
		return err;
	if (s.o.help) {
		events_usage(FOR_STATS);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	if (choose_tables(&s) || events_choose_dir(&s.o) || events_open(&s.logs, &s.o))
		return EVENTS_ERROR;
	err = count_all(&s);
	if (err) {
		fprintf(stderr, "stats: %s\n", strerror(-err));
		return EVENTS_ERROR;
	}
	for (size_t i = 0; i < s.count; i++) {
		struct table *t = &s.tables[i];

		if (!t->n)
			continue;
		if (!t->by->by_name)
			qsort(t->rows, t->n, sizeof(*t->rows), by_count);
		if (s.o.json)
			print_json(&s, t);
		else
			print_table(&s, t);
	}
	return s.logs.damaged ? EVENTS_DAMAGED : s.records ? EVENTS_FOUND : EVENTS_NOTHING;
}

/* ---- reindex ---- */

static int reindex_one(const char *dir)
{
	uint64_t made = 0;
	int err = ledger_reindex(dir, true, &made);

	if (err)
		fprintf(stderr, "reindex: %s: %s\n", dir, err == -EBADMSG ? "a segment is damaged" : strerror(-err));
	else
		printf("%s: indexes=%" PRIu64 "\n", dir, made);
	return err ? EVENTS_ERROR : 0;
}

int reindex_main(int argc, char **argv)
{
	static const char *const logs[] = { "ledger", "control" };
	owned(own_free) char *dir = NULL;
	bool any = false, help = argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"));
	int status = 0;

	if (help || (argc != 1 && (argc != 3 || (strcmp(argv[1], "-D") && strcmp(argv[1], "--directory"))))) {
		fputs("usage: sluicectl reindex [-D dir]\n"
		      "  -D, --directory DIR    the record's folder, or a copy\n"
		      "Writes the indexes of sealed segments anew. They only make answers quicker, and may be "
		      "deleted.\n"
		      "Exit status: 0 good, 2 error.\n",
		      help ? stdout : stderr);
		return help ? 0 : EVENTS_ERROR;
	}
	dir = argc == 3 ? strdup(argv[2]) : NULL;
	if (!dir && cli_record_dir(&dir))
		return EVENTS_ERROR;
	for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
		owned(own_free) char *inner = NULL;
		struct stat st;

		if (asprintf(&inner, "%s/%s", dir, logs[i]) < 0) {
			inner = NULL;
			return EVENTS_ERROR;
		}
		if (stat(inner, &st) || !S_ISDIR(st.st_mode))
			continue;
		any = true;
		status = reindex_one(inner) ? EVENTS_ERROR : status;
	}
	return any ? status : reindex_one(dir);
}
