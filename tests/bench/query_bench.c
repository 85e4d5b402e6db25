/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_bench.c - questions to five million records: raw segments, sealed ones without an index, sealed ones with one;
 * and the first line of `events -f`.
 *
 * One JSON object a line: name, value, unit, and bar and ok where there is a bar. --quick takes a tenth of the records,
 * and a tenth of the bars.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/own.h"
#include "record/frame.h"
#include "record/gz.h"
#include "record/index.h"
#include "record/segment.h"

#define START   1795255200000000000u
#define SEGMENT (64u << 20)

static char dir[256];
static uint64_t records = 5000000, rare;
static double scale = 1;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "query_bench: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void judged(const char *name, double value, const char *unit, double bar)
{
	printf("{\"name\":\"query: %s\",\"value\":%.4g,\"unit\":\"%s\",\"bar\":%g,\"ok\":%s}\n", name, value, unit, bar,
	       value <= bar ? "true" : "false");
	fflush(stdout);
}

static void result(const char *name, double value, const char *unit)
{
	printf("{\"name\":\"query: %s\",\"value\":%.4g,\"unit\":\"%s\"}\n", name, value, unit);
	fflush(stdout);
}

/* ---- a log ---- */

static uint64_t random_state = 88172645463325252u;

static uint64_t draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Answers, a few of them blocked, those with a finding behind them; in one place a model that is seen nowhere else. */
static size_t make_record(uint64_t seq, uint8_t *to)
{
	static const char *const models[] = { "qwen2.5-7b-instruct", "llama-3.1-8b", "mistral-7b" };
	Record r = RECORD__INIT;
	Exchange x = EXCHANGE__INIT;
	Finding f = FINDING__INIT;
	RiskHit hit = RISK_HIT__INIT, *hits[1] = { &hit };
	Service service = SERVICE__INIT;
	Endpoint src = ENDPOINT__INIT, dst = ENDPOINT__INIT;
	Coverage c = COVERAGE__INIT;
	struct stamp stamp = { seq, START + seq * 1000000u, seq * 1000000u, { 1, 2, 3 } };
	char request[40], client[20];
	uint64_t id[2] = { draw(), draw() }, tag[2] = { seq % 5003, 7 };
	uint8_t digest[32] = { 9 }, body[1024];
	bool finding = !(seq % 200);

	if (finding) {
		hit.risk_id = "A.1.d";
		hit.rule_id = seq % 100000 ? "weapons.nerve-agent" : "violence.threat";
		hit.engine = "keyword";
		hit.keyword_id = (uint32_t)(draw() % 10000);
		f.exchange_id = (ProtobufCBinaryData){ 16, (uint8_t *)id };
		f.n_risks = 1;
		f.risks = hits;
		f.verdict = VERDICT__BLOCKED;
		f.action = ACTION__BLOCK;
		f.channel = CHANNEL__CONTENT;
		f.offset = draw() % 4000;
		f.length = 6;
		r.body_case = RECORD__BODY_FINDING;
		r.finding = &f;
	} else {
		snprintf(request, sizeof(request), "chatcmpl-%016llx", (unsigned long long)draw());
		snprintf(client, sizeof(client), "10.1.%u.%u", (unsigned)(seq % 7), (unsigned)(seq % 251));
		service.name = "vllm";
		service.model = (char *)(seq == rare ? "tried-once" : models[seq % 3]);
		src.address = client;
		src.port = (uint32_t)(20000 + draw() % 40000);
		dst.address = "10.1.2.4";
		dst.port = 8000;
		c.in = c.released = 2000 + draw() % 40000;
		c.scanned = c.in / 5;
		c.structural = c.in - c.scanned;
		x.exchange_id = (ProtobufCBinaryData){ 16, (uint8_t *)id };
		x.request_id = request;
		x.service = &service;
		x.src = &src;
		x.dst = &dst;
		x.coverage = &c;
		x.subject_tag = (ProtobufCBinaryData){ 16, (uint8_t *)tag };
		x.policy_digest = (ProtobufCBinaryData){ sizeof(digest), digest };
		x.dialect = "openai";
		x.verdict = seq % 200 == 199 ? VERDICT__BLOCKED : VERDICT__CLEARED;
		x.action = seq % 200 == 199 ? ACTION__BLOCK : ACTION__PASS;
		x.finish = "complete";
		x.method = "POST";
		x.path = "/v1/chat/completions";
		x.status = 200;
		r.body_case = RECORD__BODY_EXCHANGE;
		r.exchange = &x;
	}
	return frame_record(to, &stamp, slice_of(body, record__pack(&r, body)));
}

static uint64_t make_log(int at)
{
	uint64_t bytes = 0;

	for (uint64_t seq = 0; seq < records;) {
		struct segment_head head = { .origin = "bench", .first_seq = seq, .tree_size = seq, .proven = true };
		static uint8_t batch[1 << 20];
		struct segment s;
		size_t len = 0;
		int err = segment_create(&s, &file_system, at, &head, 0);

		for (; !err && seq < records && s.size + len < SEGMENT; seq++) {
			len += make_record(seq, batch + len);
			if (len > sizeof(batch) - 2048) {
				err = segment_write(&s, &file_system, slice_of(batch, len));
				len = 0;
			}
		}
		err = err ? err : segment_write(&s, &file_system, slice_of(batch, len));
		if (err)
			die("segment", err);
		bytes += s.size;
		segment_finish(&s, &file_system);
	}
	return bytes;
}

/* ---- questions ---- */

static uint64_t ask(const struct record_filter *f, bool no_index, bool first)
{
	struct ledger_reader *r = NULL;
	uint64_t n = 0;
	int got = ledger_reader_open(&r, dir);

	if (got)
		die(dir, got);
	ledger_reader_filter(r, f);
	ledger_reader_plainly(r, no_index, false);
	while ((got = ledger_step(r)) == 1) {
		n++;
		if (first)
			break;
	}
	if (got < 0)
		die(ledger_reader_why(r), got);
	ledger_reader_close(&r);
	return n;
}

static const struct question {
	const char *name, *text;
	double raw, sealed, indexed; /* bars, in seconds */
	bool grep;
} questions[] = {
	{ "a value of few records", "model=tried-once", 0.2, 2.5, 0.2, false },
	{ "a value that is nowhere", "request_id=chatcmpl-none", 0.2, 2.5, 0.2, false },
	/* Every block has to be unpacked: the bar is that of sealed segments, whatever the index knows. */
	{ "1 % of the records, in every block", "verdict=BLOCKED", 0.2, 2.5, 2.5, false },
	{ "a tally's value that is nowhere", "withheld=17", 0.2, 2.5, 0.2, false },
	{ "a client's port", "src.port=51234", 0.2, 2.5, 0.2, false },
	{ "a rule, 1 record in 100,000", "rule_id=violence.threat", 0.2, 2.5, 0.2, false },
	{ "-g of a word", "tried-once", 0.5, 2.5, 0.5, true },
	{ "-g of a pattern", "threat|^tried", 0.5, 2.5, 0.5, true },
};

static double cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double ask_one(const struct question *q, bool no_index, uint64_t *found, double *cpu)
{
	struct record_filter *f = NULL;
	double best = 1e9, before = cpu_s();
	char why[128];

	if (record_filter_new(&f) || (!q->grep && record_filter_add(f, q->text)) ||
	    (q->grep && record_filter_grep(f, q->text, false, why, sizeof(why))))
		die(q->name, -EINVAL);
	for (int turn = 0; turn < 3; turn++) {
		uint64_t from = now_ns();
		double seconds;

		*found = ask(f, no_index, false);
		seconds = (double)(now_ns() - from) / 1e9;
		best = seconds < best ? seconds : best;
	}
	*cpu = (cpu_s() - before) / 3;
	record_filter_free(&f);
	return best;
}

static void ask_all(const char *where, bool no_index, double (*bar)(const struct question *q), uint64_t found[])
{
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		uint64_t n = 0;
		double cpu, seconds = ask_one(&questions[i], no_index, &n, &cpu);
		char name[160];

		snprintf(name, sizeof(name), "%s, %s", questions[i].name, where);
		judged(name, seconds, "s", bar(&questions[i]) * scale);
		if (found[i] != UINT64_MAX && found[i] != n)
			die(name, -EBADMSG);
		found[i] = n;
		snprintf(name, sizeof(name), "%s, %s: CPU", questions[i].name, where);
		result(name, cpu, "s");
	}
}

static double raw_bar(const struct question *q)
{
	return q->raw;
}

static double sealed_bar(const struct question *q)
{
	return q->sealed;
}

static double indexed_bar(const struct question *q)
{
	return q->indexed;
}

/* From the start of the program to the first line of a follower. */
static double first_line_ms(void)
{
	uint64_t from = now_ns();
	int pipes[2];
	char byte;
	pid_t child;
	double ms;

	if (pipe(pipes))
		die("pipe", -errno);
	child = fork();
	if (!child) {
		dup2(pipes[1], 1);
		execl("build/sluicectl", "sluicectl", "events", "-f", "-D", dir, NULL);
		_exit(127);
	}
	close(pipes[1]);
	if (read(pipes[0], &byte, 1) != 1)
		die("build/sluicectl events -f", -EIO);
	ms = (double)(now_ns() - from) / 1e6;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(pipes[0]);
	return ms;
}

static double best_first_line(void)
{
	double best = 1e9;

	for (int i = 0; i < 5; i++) {
		double ms = first_line_ms();

		best = ms < best ? ms : best;
	}
	return best;
}

static void seal_all(int at)
{
	owned(own_free) struct segment_name *list = NULL;
	size_t n = 0;
	uint64_t from = now_ns();
	int err = segment_list(at, &list, &n);

	for (size_t i = 0; i + 1 < n && !err; i++) {
		struct seal s = { .name = list[i], .records = list[i + 1].first_seq - list[i].first_seq };

		err = gz_seal(&file_system, at, &s);
	}
	if (err)
		die("seal", err);
	result("sealing", (double)(now_ns() - from) / 1e9, "s");
}

static uint64_t bytes_of(const char *suffix)
{
	char command[400];
	unsigned long long sum = 0;
	FILE *in;

	snprintf(command, sizeof(command), "cat %s/*%s | wc -c", dir, suffix);
	in = popen(command, "r");
	if (!in || fscanf(in, "%llu", &sum) != 1)
		die(command, -EIO);
	pclose(in);
	return sum;
}

int main(int argc, char **argv)
{
	const char *base = getenv("TMPDIR");
	uint64_t found[ARRAY_LEN(questions)], made = 0, from;
	char command[400];
	int at;

	if (argc > 1 && !strcmp(argv[1], "--quick")) {
		records /= 10;
		scale = 0.1;
	}
	rare = records / 2 + 1;
	memset(found, 0xFF, sizeof(found));
	snprintf(dir, sizeof(dir), "%s/sluice-query-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(dir))
		die(dir, -errno);
	at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	result("records", (double)records, "records");
	result("bytes of a record, raw", (double)make_log(at) / (double)records, "bytes");
	ask_all("raw", false, raw_bar, found);
	judged("first line of events -f, raw", best_first_line(), "ms", 50);
	seal_all(at);
	result("bytes of a record, sealed", (double)bytes_of(".seg.gz") / (double)records, "bytes");
	ask_all("sealed", true, sealed_bar, found);
	from = now_ns();
	if (ledger_reindex(dir, true, &made))
		die("reindex", -EIO);
	result("making the index", (double)(now_ns() - from) / (double)records, "ns/record");
	result("bytes of index a record", (double)bytes_of(".idx") / (double)records, "bytes");
	ask_all("sealed, with index", false, indexed_bar, found);
	judged("first line of events -f, sealed", best_first_line(), "ms", 50);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) ? 1 : 0;
}
