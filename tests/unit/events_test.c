/* SPDX-License-Identifier: Apache-2.0 */
/* events_test.c - `events` run as from the shell, on crafted ledgers. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/events.h"
#include "tests/lib/craft.h"

static char dir[64], out[1 << 16], err[1 << 16];

static void setup(void)
{
	Record *const first[] = { craft_lifecycle(), craft_exchange() }, *const second[] = { craft_finding() };

	setenv("TZ", "UTC", 1);
	tzset();
	new_dir(dir);
	craft(dir, 0, first, ARRAY_LEN(first));
	craft(dir, 2, second, ARRAY_LEN(second));
}

static void teardown(void)
{
	remove_dir(dir);
}

static void load(int fd, char *to, size_t room)
{
	ssize_t n = pread(fd, to, room - 1, 0);

	to[n > 0 ? n : 0] = 0;
}

/* Runs it in this process with both outputs in `out` and `err`. The words are split at spaces. */
static int run(const char *words)
{
	char line[512], *argv[32] = { "events", "-D", dir }, *save = NULL;
	int argc = 3, status, old_out = dup(1), old_err = dup(2);
	FILE *o = tmpfile(), *e = tmpfile();

	snprintf(line, sizeof(line), "%s", words);
	for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	fflush(NULL);
	dup2(fileno(o), 1);
	dup2(fileno(e), 2);
	status = events_main(argc, argv);
	fflush(NULL);
	dup2(old_out, 1);
	dup2(old_err, 2);
	close(old_out);
	close(old_err);
	load(fileno(o), out, sizeof(out));
	load(fileno(e), err, sizeof(err));
	fclose(o);
	fclose(e);
	return status;
}

#define EXCHANGE_TEXT                                                                                                  \
	"verdict=BLOCKED action=BLOCK service=vllm method=POST path=/v1/chat/completions status=200 finish=cut "       \
	"in=700 "                                                                                                      \
	"scanned=500 structural=190 withheld=10 released=650 exchange=deadbeef\n"
#define FINDING_TEXT                                                                                                   \
	"rule=weapons.nerve-agent risk=A.1.d verdict=BLOCKED action=BLOCK channel=CONTENT choice=0 offset=12 "         \
	"length=6 "                                                                                                    \
	"stop=CONFIRMED by=fin exchange=deadbeef\n"
#define LIFECYCLE_TEXT "kind=START reason=\"a \\x1b[31m\\\"b\\\" \\xff\xe4\xbd\xa0\" version=0.1.0\n"

TEST(events, cat, .init = setup, .fini = teardown)
{
	cr_assert_eq(run("-o cat"), 0);
	cr_assert_str_eq(out, LIFECYCLE_TEXT EXCHANGE_TEXT FINDING_TEXT);
	cr_assert_str_eq(err, "");
}

TEST(events, short_lines, .init = setup, .fini = teardown)
{
	char host[65] = { 0 }, expected[1024];

	gethostname(host, sizeof(host) - 1);
	cr_assert_eq(run("-n 1"), 0);
	snprintf(expected, sizeof(expected), "Nov 21 10:00:02 %s sluice[finding]: %s", host, FINDING_TEXT);
	cr_assert_str_eq(out, expected);
	setenv("TZ", "UTC-8", 1);
	tzset();
	cr_assert_eq(run("--lines=1"), 0);
	cr_assert_eq(strncmp(out, "Nov 21 18:00:02 ", 16), 0);
	cr_assert_eq(run("--lines 1 --utc"), 0);
	cr_assert_eq(strncmp(out, "Nov 21 10:00:02 ", 16), 0);
}

TEST(events, json, .init = setup, .fini = teardown)
{
	cr_assert_eq(run("-ojson type=lifecycle"), 0);
	cr_assert_eq(strncmp(out,
	                     "{\"seq\":0,\"time_unix_nano\":\"2026-11-21T10:00:00.123456789Z\",\"boottime_nano\":7000,",
	                     80),
	             0);
	cr_assert_not_null(strstr(
		out, "\"type\":\"lifecycle\",\"lifecycle\":{\"kind\":\"START\",\"reason\":\"a \\u001b[31m\\\"b\\\" "
		     "\xEF\xBF\xBD\xe4\xbd\xa0\",\"version\":\"0.1.0\"}}\n"));
	cr_assert_eq(run("--output=json"), 0);
	cr_assert_eq(out[strlen(out) - 1], '\n');
}

TEST(events, pb_is_a_segment, .init = setup, .fini = teardown)
{
	cr_assert_eq(run("-o pb seq=1"), 0);
	cr_assert_eq(out[0], 0x0A);
}

/* Each row: arguments, status, the seqs that come, as letters. */
TEST(events, filters_order_and_limits, .init = setup, .fini = teardown)
{
	static const struct {
		const char *words;
		int status;
		const char *seqs;
	} rows[] = {
		{ "", 0, "012" },
		{ "-r", 0, "210" },
		{ "-r -n 2", 0, "21" },
		{ "-rn2", 0, "21" },
		{ "-n 2", 0, "12" },
		{ "-n all", 0, "012" },
		{ "-n 0", 1, "" },
		{ "-n 99 -q --no-pager", 0, "012" },
		{ "verdict=BLOCKED", 0, "12" },
		{ "verdict=blocked -n 1", 0, "2" },
		{ "exchange.verdict=BLOCKED", 0, "1" },
		{ "finding.verdict=BLOCKED", 0, "2" },
		{ "verdict=CLEARED", 1, "" },
		{ "verdict=CLEARED verdict=BLOCKED", 0, "12" },
		{ "verdict=BLOCKED type=exchange", 0, "1" },
		{ "type=exchange type=lifecycle", 0, "01" },
		{ "type=exchange type=lifecycle verdict=BLOCKED", 0, "1" },
		{ "rule_id=weapons.nerve-agent", 0, "2" },
		{ "finding.risks.rule_id=weapons.nerve-agent", 0, "2" },
		{ "risks.risk_id=A.1.d", 0, "2" },
		{ "exchange_id=DEADbeef", 0, "12" },
		{ "exchange_id=dead", 1, "" },
		{ "status=200 coverage.withheld=10", 0, "1" },
		{ "service.name=vllm", 0, "1" },
		{ "exception=", 0, "1" },
		{ "choice=0", 0, "2" },
		{ "score=0.5", 0, "2" },
		{ "automated_detection=true", 0, "2" },
		{ "result=confirmed", 0, "2" },
		{ "at_unix_nano=2026-11-21T10:00:00.123456789Z", 0, "2" },
		{ "seq=0", 0, "0" },
		{ "-S 2026-11-21T10:00:01Z", 0, "12" },
		{ "-S 2026-11-21T18:00:02+08:00", 0, "2" },
		{ "-U @1795255201", 0, "0" },
		{ "-S @1795255201 --until=@1795255202", 0, "1" },
		{ "--since=@1795255201 -r", 0, "21" },
		{ "-S now -n 1", 1, "" },
		{ "verdict=CLEARED + seq=0", 0, "0" },
		{ "verdict=BLOCKED type=finding + kind=START", 0, "02" },
		{ "verdict=nonsense", 1, "" },
		{ "-p high", 0, "12" },
		{ "-p low..medium", 0, "0" },
		{ "-p critical", 1, "" },
		{ "-g nerve", 0, "2" },
		{ "-g NERVE", 1, "" },
		{ "-g NERVE --case-sensitive=no", 0, "2" },
		{ "-g ^blocked$", 0, "12" },
		{ "-g ^finding$", 0, "2" },
		{ "-g chat.comp -r", 0, "1" },
		{ "--rule weapons.nerve-agent", 0, "2" },
		{ "--verdict=BLOCKED --service=vllm", 0, "1" },
		{ "-ts @1795255201 -te @1795255202", 0, "1" },
		{ "--no-index verdict=BLOCKED", 0, "12" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char words[256], seqs[16] = { 0 };
		size_t n = 0;

		snprintf(words, sizeof(words), "-o json %s", rows[i].words);
		cr_assert_eq(run(words), rows[i].status, "%s: %s", words, err);
		for (const char *p = out; (p = strstr(p, "{\"seq\":")) && n < sizeof(seqs) - 1; p += 7)
			seqs[n++] = p[7];
		cr_assert_str_eq(seqs, rows[i].seqs, "%s gave %s", words, seqs);
	}
}

TEST(events, what_is_not_there_is_refused_by_name, .init = setup, .fini = teardown)
{
	static const char *const rows[][2] = {
		{ "-F x", "events: -F is not supported by this version\n" },
		{ "--filter=x", "events: --filter is not supported by this version\n" },
		{ "--by=risk", "events: --by is not supported by this version\n" },
		{ "-p grave", "events: grave: not a level (info, low, medium, high, critical)\n" },
		{ "-p low..grave", "events: low..grave: not a level (info, low, medium, high, critical)\n" },
		{ "-g (", "events: (: not a pattern: missing closing parenthesis at offset 1\n" },
		{ "--cursor=x", "events: x: not a cursor\n" },
		{ "--cursor=o=other;s=1;h=0123456789abcdef",
		  "events: o=other;s=1;h=0123456789abcdef: a cursor of no log here\n" },
		{ "--cursor=o=test;s=1;h=0123456789abcdef --cursor-file=x",
		  "events: --cursor and --cursor-file exclude each other\n" },
		{ "--log=other", "events: other: not a log (ledger, control, all)\n" },
		{ "-o ocsf", "events: -o ocsf is not supported by this version\n" },
		{ "+", "events: +: stands between matches\n" },
		{ "seq=1 +", "events: +: stands between matches\n" },
		{ "-n", "events: -n needs a value\n" },
		{ "--since", "events: --since needs a value\n" },
		{ "--follow=1", "events: --follow takes no value\n" },
		{ "-n x", "events: x: not a number of lines\n" },
		{ "-S someday", "events: someday: not a time\n" },
		{ "-fr", "events: -f and -r exclude each other\n" },
		{ "word", "events: word: not FIELD=VALUE\n" },
		{ "verdikt=BLOCKED", "events: verdikt=BLOCKED: no record has such a field\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cr_assert_eq(run(rows[i][0]), 2, "%s", rows[i][0]);
		cr_assert_str_eq(err, rows[i][1]);
		cr_assert_str_eq(out, "");
	}
	cr_assert_eq(run("-D /nonexistent"), 2);
	cr_assert_str_eq(err, "events: /nonexistent: No such file or directory\n");
	cr_assert_eq(run("--help"), 0);
	cr_assert_not_null(strstr(out, "usage: sluicectl events"));
}

TEST(events, damage_is_told_and_the_rest_is_shown, .init = setup, .fini = teardown)
{
	static uint8_t file[4096];
	char path[128];
	size_t len = read_file(path_of(path, dir, 0), file, sizeof(file));

	file[len - 1] ^= 1;
	write_file(path, file, len);
	cr_assert_eq(run("-o cat"), 3);
	cr_assert_str_eq(out, LIFECYCLE_TEXT FINDING_TEXT);
	cr_assert_not_null(strstr(err, "/00000000000000000000.seg: offset "));
	cr_assert_not_null(strstr(err, ": the CRC is wrong\n"));
	cr_assert_eq(run("-o cat -r"), 3);
	cr_assert_str_eq(out, FINDING_TEXT LIFECYCLE_TEXT);
	cr_assert_eq(strchr(err, '\n')[1], 0, "told once");
}

TEST(events, the_last_of_many, .init = setup, .fini = teardown)
{
	struct ledger *l = NULL;

	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = dir, .segment_bytes = 20000 }), 0);
	for (int i = 0; i < 5000; i++)
		cr_assert_eq(append_named(l, "x", NULL), 0);
	ledger_close(&l);
	cr_assert_eq(run("-o cat -n 2 verdict=BLOCKED"), 0); /* far back */
	cr_assert_str_eq(out, EXCHANGE_TEXT FINDING_TEXT);
	cr_assert_eq(run("-o cat -r -n 3 verdict=BLOCKED"), 0);
	cr_assert_str_eq(out, FINDING_TEXT EXCHANGE_TEXT);
	cr_assert_eq(run("-o json -n 1"), 0);
	cr_assert_eq(strncmp(out, "{\"seq\":5003,", 12), 0,
	             "the first of the ledger's says that there was no checkpoint");
}

TEST(events, reads_the_ledger_inside_a_record_directory, .init = setup, .fini = teardown)
{
	char inner[128], from[128], to[256];

	snprintf(inner, sizeof(inner), "%s/ledger", dir);
	cr_assert_eq(mkdir(inner, 0700), 0);
	snprintf(to, sizeof(to), "%s/%020d.seg", inner, 2);
	cr_assert_eq(rename(path_of(from, dir, 2), to), 0);
	cr_assert_eq(run("-o cat"), 0);
	cr_assert_str_eq(out, FINDING_TEXT);
}

TEST(events, time_words)
{
	static const struct {
		const char *text;
		int64_t seconds; /* -1: refused */
	} rows[] = {
		{ "now", 1795255200 },
		{ "today", 1795219200 },
		{ "yesterday", 1795132800 },
		{ "-1h", 1795251600 },
		{ "-30min", 1795253400 },
		{ "-2d", 1795082400 },
		{ "1 hour ago", 1795251600 },
		{ "2 days ago", 1795082400 },
		{ "-1h30min", 1795249800 },
		{ "+1h", 1795258800 },
		{ "@17", 17 },
		{ "2026-11-21", 1795219200 },
		{ "2026-11-21 10:00", 1795255200 },
		{ "2026-11-21 10:00:07", 1795255207 },
		{ "2026-11-21T10:00:00Z", 1795255200 },
		{ "2026-11-21T10:00:00.5+01:00", 1795251600 },
		{ "09:00", 1795251600 },
		{ "2026-02-30", -1 },
		{ "2026-13-01", -1 },
		{ "2026-11-21x", -1 },
		{ "-1", -1 },
		{ "-1parsec", -1 },
		{ "1 hour", -1 },
		{ "@", -1 },
		{ "@99999999999999999999", -1 },
		{ "", -1 },
	};

	setenv("TZ", "UTC", 1);
	tzset();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t at = 0;
		bool ok = events_time(rows[i].text, 1795255200000000000u, &at);

		cr_assert_eq(ok, rows[i].seconds >= 0, "%s", rows[i].text);
		cr_assert(!ok || (int64_t)(at / 1000000000u) == rows[i].seconds, "%s: %llu", rows[i].text,
		          (unsigned long long)at);
	}
}

/* Follows in a child; each new record must come out within 100 ms, and a closed pipe ends it. */
TEST(events, follows, .init = setup, .fini = teardown)
{
	struct ledger *l = NULL;
	char line[4096];
	int pipes[2], status;
	pid_t child;
	FILE *in;

	cr_assert_eq(pipe(pipes), 0);
	child = fork();
	if (!child) {
		char *argv[] = { "events", "-f", "-n", "2", "-o", "cat", "-D", dir, NULL };

		close(pipes[0]);
		dup2(pipes[1], 1);
		_exit(events_main(8, argv));
	}
	close(pipes[1]);
	in = fdopen(pipes[0], "r");
	cr_assert_not_null(fgets(line, sizeof(line), in));
	cr_assert_str_eq(line, EXCHANGE_TEXT);
	cr_assert_not_null(fgets(line, sizeof(line), in));
	cr_assert_str_eq(line, FINDING_TEXT);
	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = dir }), 0);
	cr_assert_not_null(fgets(line, sizeof(line), in));
	cr_assert_not_null(strstr(line, "kind=UNPROVEN"));
	for (int i = 0; i < 20; i++) {
		struct timespec from, to;

		cr_assert_eq(ledger_append(l, craft_finding(), NULL), 0);
		clock_gettime(CLOCK_MONOTONIC, &from);
		cr_assert_not_null(fgets(line, sizeof(line), in));
		clock_gettime(CLOCK_MONOTONIC, &to);
		cr_assert_str_eq(line, FINDING_TEXT);
		cr_assert_lt((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000, 100);
	}
	fclose(in);
	cr_assert_eq(ledger_append(l, craft_finding(), NULL), 0);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ledger_close(&l);
}
