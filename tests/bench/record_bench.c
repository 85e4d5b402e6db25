/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_bench.c - durable records: how many in a second, and how long one waits. Beside SQLite in WAL mode with full
 * synchronisation, the same number of records a transaction, and a journald of its own.
 *
 * One JSON object a line: name, value, unit, and bar and ok where there is a bar. --quick takes a tenth of the time.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "record/record.h"
#include "tests/bench/journald.h"

#define GROUP    256
#define IN_QUEUE (8 << 20) /* bytes waiting: what appends faster than the disk takes waits itself */
#define PACE     10000     /* records a second, for the waiting time */

static char dir[256];
static bool quick;

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void result(const char *name, double value, const char *unit)
{
	printf("{\"name\":\"record: %s\",\"value\":%.4g,\"unit\":\"%s\"}\n", name, value, unit);
	fflush(stdout);
}

static void judged(const char *name, double value, const char *unit, double bar, bool ok)
{
	printf("{\"name\":\"record: %s\",\"value\":%.4g,\"unit\":\"%s\",\"bar\":%g,\"ok\":%s}\n", name, value, unit,
	       bar, ok ? "true" : "false");
	fflush(stdout);
}

/* What an answer without findings leaves. */
static void fill(Record *r, Exchange *x, Service *service, Endpoint *src, Endpoint *dst, Coverage *c, uint8_t id[16])
{
	static uint8_t tag[16], digest[32];

	record__init(r);
	exchange__init(x);
	service__init(service);
	endpoint__init(src);
	endpoint__init(dst);
	coverage__init(c);
	service->name = "vllm";
	service->model = "qwen2.5-7b-instruct";
	src->address = "10.1.2.3";
	src->port = 51234;
	dst->address = "10.1.2.4";
	dst->port = 8000;
	c->in = c->released = 20480;
	c->scanned = 4096;
	c->structural = 16384;
	x->exchange_id = (ProtobufCBinaryData){ 16, id };
	x->request_id = "chatcmpl-5f1c2d3e4a5b6c7d";
	x->service = service;
	x->src = src;
	x->dst = dst;
	x->coverage = c;
	x->subject_tag = (ProtobufCBinaryData){ sizeof(tag), tag };
	x->policy_digest = (ProtobufCBinaryData){ sizeof(digest), digest };
	x->dialect = "openai";
	x->verdict = VERDICT__CLEARED;
	x->action = ACTION__PASS;
	x->finish = "complete";
	x->method = "POST";
	x->path = "/v1/chat/completions";
	x->status = 200;
	r->body_case = RECORD__BODY_EXCHANGE;
	r->exchange = x;
}

struct sample {
	Record r;
	Exchange x;
	Service service;
	Endpoint src, dst;
	Coverage c;
	uint8_t id[16];
};

static void sample_init(struct sample *s)
{
	fill(&s->r, &s->x, &s->service, &s->src, &s->dst, &s->c, s->id);
}

static void die(const char *what, int err)
{
	fprintf(stderr, "record_bench: %s: %s\n", what, strerror(-err));
	exit(1);
}

static struct ledger *open_log(const char *name)
{
	char path[300];
	struct ledger_options o = { .dir = path, .queue_bytes = IN_QUEUE };
	struct ledger *l = NULL;
	int err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	err = ledger_open(&l, &o);
	if (err)
		die(path, err);
	return l;
}

struct last {
	struct ledger_note note;
	sem_t told;
};

static void last_told(struct ledger_note *n, uint64_t seq, int err)
{
	(void)seq;
	if (err)
		die("sync", err);
	sem_post(&container_of(n, struct last, note)->told);
}

static double ledger_rate(uint64_t records)
{
	struct ledger *l = open_log("rate");
	struct ledger_stats stats;
	struct sample s;
	struct last last = { .note = { last_told } };
	uint64_t from = now_ns(CLOCK_MONOTONIC);
	double cpu = cpu_s(), seconds;

	sem_init(&last.told, 0, 0);
	sample_init(&s);
	for (uint64_t i = 0; i < records; i++) {
		int err;

		memcpy(s.id, &i, sizeof(i));
		while ((err = ledger_append(l, &s.r, i + 1 == records ? &last.note : NULL)) == -ENOBUFS)
			usleep(200);
		if (err)
			die("append", err);
	}
	while (sem_wait(&last.told))
		;
	seconds = (double)(now_ns(CLOCK_MONOTONIC) - from) / 1e9;
	cpu = cpu_s() - cpu;
	ledger_stats(l, &stats);
	result("CPU for one durable record, tree and CRC included", cpu / (double)records * 1e6, "us");
	judged("durable records for a second of CPU", (double)records / cpu, "records/s", 100000,
	       (double)records / cpu >= 100000);
	result("bytes of a record, raw", (double)stats.bytes / (double)records, "bytes");
	result("records a sync", (double)records / (double)stats.syncs, "records");
	ledger_close(&l);
	return (double)records / seconds;
}

/* ---- waiting ---- */

struct wait {
	struct ledger_note note;
	uint64_t from, us;
};

static atomic_uint waiting;

static void waited(struct ledger_note *n, uint64_t seq, int err)
{
	struct wait *w = container_of(n, struct wait, note);

	(void)seq;
	if (err)
		die("sync", err);
	w->us = (now_ns(CLOCK_MONOTONIC) - w->from) / 1000;
	atomic_fetch_sub(&waiting, 1);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double percentile(uint64_t *v, size_t n, double p)
{
	qsort(v, n, sizeof(*v), by_value);
	return (double)v[(size_t)((double)(n - 1) * p)];
}

/* What one write and sync of a group's size costs here by itself. */
static double plain_sync_p99(void)
{
	static uint8_t bytes[64 * 250];
	uint64_t us[4000];
	size_t n = quick ? 400 : 4000;
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/plain", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 64 << 20))
		die(path, -errno);
	for (size_t i = 0; i < n; i++) {
		uint64_t from = now_ns(CLOCK_MONOTONIC);

		if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes) || fdatasync(fd))
			die(path, -errno);
		us[i] = (now_ns(CLOCK_MONOTONIC) - from) / 1000;
	}
	close(fd);
	return percentile(us, n, 0.99);
}

static void ledger_wait(double sync_p99)
{
	size_t n = quick ? PACE / 2 : PACE * 3;
	struct ledger *l = open_log("wait");
	struct wait *w = calloc(n, sizeof(*w));
	uint64_t *us = calloc(n, sizeof(*us)), start = now_ns(CLOCK_MONOTONIC);
	struct sample s;
	double p99;

	sample_init(&s);
	for (size_t i = 0; i < n; i++) {
		uint64_t due = start + i * 1000000000u / PACE;
		int err;

		while (now_ns(CLOCK_MONOTONIC) < due)
			nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
		w[i].note.done = waited;
		w[i].from = now_ns(CLOCK_MONOTONIC);
		atomic_fetch_add(&waiting, 1);
		err = ledger_append(l, &s.r, &w[i].note);
		if (err)
			die("append", err);
	}
	while (atomic_load(&waiting))
		usleep(1000);
	for (size_t i = 0; i < n; i++)
		us[i] = w[i].us;
	p99 = percentile(us, n, 0.99);
	result("append to durable at 10,000 a second, p50", percentile(us, n, 0.5), "us");
	judged("append to durable at 10,000 a second, p99", p99, "us", 15000, p99 <= 15000);
	result("one write and fdatasync by itself, p99", sync_p99, "us");
	judged("append to durable less one fdatasync, p99", p99 - sync_p99, "us", 5000, p99 - sync_p99 <= 5000);
	ledger_close(&l);
	free(w);
	free(us);
}

/* ---- others ---- */

static void sql(sqlite3 *db, const char *text)
{
	char *why = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) {
		fprintf(stderr, "record_bench: %s: %s\n", text, why);
		exit(1);
	}
}

static double sqlite_rate(uint64_t records)
{
	char path[300];
	sqlite3 *db = NULL;
	sqlite3_stmt *put = NULL;
	struct sample s;
	uint8_t body[4096];
	uint64_t from;
	double seconds;

	snprintf(path, sizeof(path), "%s/sqlite.db", dir);
	if (sqlite3_open(path, &db) != SQLITE_OK)
		exit(1);
	sql(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
	        "CREATE TABLE record(seq INTEGER PRIMARY KEY, time INTEGER, body BLOB)");
	sqlite3_prepare_v2(db, "INSERT INTO record(time, body) VALUES(?, ?)", -1, &put, NULL);
	sample_init(&s);
	from = now_ns(CLOCK_MONOTONIC);
	for (uint64_t i = 0; i < records; i++) {
		size_t len;

		if (i % GROUP == 0)
			sql(db, "BEGIN");
		memcpy(s.id, &i, sizeof(i));
		len = record__pack(&s.r, body);
		sqlite3_bind_int64(put, 1, (sqlite3_int64)now_ns(CLOCK_REALTIME));
		sqlite3_bind_blob(put, 2, body, (int)len, SQLITE_STATIC);
		if (sqlite3_step(put) != SQLITE_DONE)
			exit(1);
		sqlite3_reset(put);
		if (i % GROUP == GROUP - 1 || i + 1 == records)
			sql(db, "COMMIT");
	}
	seconds = (double)(now_ns(CLOCK_MONOTONIC) - from) / 1e9;
	sqlite3_finalize(put);
	sqlite3_close(db);
	return (double)records / seconds;
}

/* journald makes nothing durable before minutes have passed: all that is sent, and one sync of it. */
static void journal_ratio(double mine, uint64_t messages)
{
	struct journald j = { 0 };
	char path[300];
	double theirs;

	snprintf(path, sizeof(path), "%s/journald", dir);
	if (!journald_measure(&j, path, messages)) {
		printf("record_bench: journald does not run here (%llu of %llu messages), left out\n", j.messages,
		       (unsigned long long)messages);
		return;
	}
	theirs = (double)messages / j.seconds;
	result("journald, sd_journal_send, one sync at the end", theirs, "records/s");
	result("bytes of a record, journald", (double)j.bytes / (double)messages, "bytes");
	judged("durable records a second / journald", mine / theirs, "ratio", 1, mine >= theirs);
}

static void clean(void)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	(void)!system(command);
}

int main(int argc, char **argv)
{
	uint64_t records;
	double mine, theirs;
	cpu_set_t one;

	quick = argc > 1 && !strcmp(argv[1], "--quick");
	records = quick ? 100000 : 1000000;
	snprintf(dir, sizeof(dir), "%s/sluice-record-bench-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp");
	if (!mkdtemp(dir))
		die(dir, -errno);
	atexit(clean);
	/* All of it on one core: who appends, who writes, who signs, who compresses. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("affinity", -errno);
	mine = ledger_rate(records);
	judged("durable records a second, one core", mine, "records/s", 100000, mine >= 100000);
	theirs = sqlite_rate(records / 4);
	result("SQLite, WAL, synchronous=FULL, 256 a transaction", theirs, "records/s");
	judged("durable records a second / SQLite", mine / theirs, "ratio", 1, mine >= theirs);
	journal_ratio(mine, records / 20);
	ledger_wait(plain_sync_p99());
	return 0;
}
