/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_test.c - whatever way a question goes (threads, indexes, from the end), the answer is the one that reading
 * every record gives: random logs, random filters, damaged indexes, a segment that grows meanwhile.
 */
#include <glob.h>
#include <sys/stat.h>

#include "record/crc32c.h"
#include "record/filter.h"
#include "record/gz.h"
#include "record/index.h"
#include "tests/lib/craft.h"

#define SEGMENTS 6
#define RECORDS  900

static char dir[64];
static uint64_t next;

/* A record that says one of few things in most fields, and something of its own in one. */
static Record *random_record(void)
{
	static const char *const models[] = { "qwen", "llama", "mistral", "gemma" };
	static char id[32];
	Record *r;

	switch (rand() % 16) {
	case 0:
		r = craft_lifecycle();
		r->lifecycle->kind = (Lifecycle__Kind)(rand() % 4);
		return r;
	case 1:
	case 2:
		r = craft_finding();
		r->finding->verdict = (Verdict)(rand() % 6);
		r->finding->risks[0]->keyword_id = (uint32_t)rand() % 1000;
		r->finding->risks[0]->rule_id = rand() % 50 ? "weapons.nerve-agent" : "rare.rule";
		return r;
	default:
		r = craft_exchange();
		snprintf(id, sizeof(id), "chatcmpl-%d", rand() % 100000);
		r->exchange->request_id = id;
		r->exchange->service->model = (char *)models[rand() % (next < RECORDS ? 2 : 4)];
		r->exchange->verdict = rand() % 200 ? VERDICT__CLEARED : VERDICT__BLOCKED;
		r->exchange->status = rand() % 100 ? 200 : 503;
		r->exchange->coverage->in = (uint64_t)rand() % 5;
		return r;
	}
}

static void write_segment_of(size_t n)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct segment_head head = { .origin = "test", .first_seq = next, .tree_size = next, .proven = true };
	struct segment s;

	cr_assert_eq(segment_create(&s, &file_system, at, &head, 0), 0);
	for (size_t i = 0; i < n; i++, next++) {
		/* Now and then the clock steps. */
		uint64_t time = CRAFT_TIME + next * 1000000000u - (next % 97 ? 0 : 500000000000u);
		struct stamp stamp = { next, time, 7000 + i, { 0xB0, 0x07 } };
		Record *r = random_record();
		uint8_t body[4096], frame[5000];
		size_t len = record__get_packed_size(r);

		cr_assert_leq(len, sizeof(body));
		record__pack(r, body);
		len = frame_record(frame, &stamp, slice_of(body, len));
		cr_assert_eq(segment_write(&s, &file_system, slice_of(frame, len)), 0);
	}
	segment_finish(&s, &file_system);
	close(at);
}

/* Segments of which the first are sealed, most of those with an index, and the last two raw. */
static void make(unsigned seed)
{
	int at;

	new_dir(dir);
	next = 0;
	srand(seed);
	for (size_t i = 0; i < SEGMENTS; i++)
		write_segment_of(RECORDS + (size_t)rand() % RECORDS);
	at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct segment_name *list = NULL;
	size_t n = 0;
	cr_assert_eq(segment_list(at, &list, &n), 0);
	for (size_t i = 0; i + 2 < n; i++) {
		struct seal s = { .name = list[i], .records = list[i + 1].first_seq - list[i].first_seq };

		cr_assert_eq(gz_seal(&file_system, at, &s), 0);
		if (i != 1)
			cr_assert_eq(index_build(&file_system, at, list[i].first_seq, NULL, NULL), 0);
	}
	free(list);
	close(at);
}

static void pick_filter(struct record_filter **out, char text[256])
{
	static const char *const matches[] = {
		"verdict=BLOCKED",
		"verdict=CLEARED",
		"type=finding",
		"type=lifecycle",
		"rule_id=rare.rule",
		"service.model=gemma",
		"model=qwen",
		"status=503",
		"exchange.status=200",
		"coverage.in=3",
		"keyword_id=17",
		"kind=KIND_UNSPECIFIED",
		"kind=STOP",
		"exchange_id=deadbeef",
		"exception=",
		"seq=1000",
		"path=/v1/nothing",
		"request_id=chatcmpl-5",
		"choice=0",
		"type=access",
		"verdict=FLAGGED",
		"risk_id=A.1.d",
		"keyword_id=0",
		"score=0.5",
		"service.name=vllm",
		"reason=x",
		"withheld=10",
		"verdict=VERDICT_UNSPECIFIED",
		"port=51234",
		"dst.port=8000",
		"coverage.in=4",
		"coverage.scanned=77",
		"max_hold_us=9",
		"seq=1500",
		"boot_id=b0070000000000000000000000000000",
		"request_id=chatcmpl-77",
		"model=gemm",
	};
	static const char *const patterns[] = {
		"gemma|rare", "^chatcmpl-12", "STOP",    "x1b",      "nothing at all", "GEMMA",       "mis?tral",
		"r[ae]re",    "nerve.agent",  "finding", "blocked",  "(?i)GEMMA",      "\\Qgemma\\E", "l+ama{1,2}",
		"cmpl-(1|2)", "\\.rule$",     "ge(m)+a", "qw\\x65n", "rare|",          "LLAMA|nerve", "deadbeef",
	};
	char why[128];
	size_t n = (size_t)rand() % 4, len = 0;

	cr_assert_eq(record_filter_new(out), 0);
	text[0] = 0;
	for (size_t i = 0; i < n; i++) {
		const char *match = matches[(size_t)rand() % ARRAY_LEN(matches)];

		if (i && !(rand() % 4)) {
			cr_assert_null(record_filter_add(*out, "+"));
			len += (size_t)snprintf(text + len, 256 - len, "+ ");
		}
		cr_assert_null(record_filter_add(*out, match), "%s", match);
		len += (size_t)snprintf(text + len, 256 - len, "%s ", match);
	}
	if (!(rand() % 3)) {
		const char *pattern = patterns[(size_t)rand() % ARRAY_LEN(patterns)];
		bool caseless = rand() % 2;

		cr_assert_eq(record_filter_grep(*out, pattern, caseless, why, sizeof(why)), 0);
		len += (size_t)snprintf(text + len, 256 - len, "-g %s%s ", pattern, caseless ? " caseless" : "");
	}
	if (!(rand() % 3)) {
		uint64_t from = (uint64_t)rand() % next, to = from + (uint64_t)rand() % 2000;

		record_filter_times(*out, CRAFT_TIME + from * 1000000000u, CRAFT_TIME + to * 1000000000u);
		snprintf(text + len, 256 - len, "seconds %d..%d ", (int)from, (int)to);
	}
	if (!(rand() % 5))
		record_filter_severity(*out, SEVERITY_MEDIUM, SEVERITY_CRITICAL);
}

/* The seqs that come, and how many errors. */
static size_t ask(const struct record_filter *f, uint64_t from, bool plain, bool no_index, uint64_t last,
                  uint64_t *seqs, unsigned *errors)
{
	struct ledger_reader *r = NULL;
	const Record *rec;
	size_t n = 0;
	int got;

	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	ledger_reader_filter(r, f);
	ledger_seek_seq(r, from);
	ledger_reader_plainly(r, no_index, plain);
	if (last)
		cr_assert_eq(ledger_read_backwards(r, last), 0);
	*errors = 0;
	while ((got = ledger_next(r, &rec)) != 0) {
		cr_assert(got == 1 || got == -EBADMSG, "%d", got);
		if (got == 1 && (!last || n < last))
			seqs[n++] = rec->seq;
		else if (got != 1)
			++*errors;
	}
	ledger_reader_close(&r);
	return n;
}

/* The linear reader is the yardstick: it tests each record's bytes, in order, in one thread. */
static void same_every_way(const struct record_filter *f, const char *text)
{
	static uint64_t truth[3 * SEGMENTS * RECORDS], seqs[3 * SEGMENTS * RECORDS];
	uint64_t from = rand() % 3 ? 0 : (uint64_t)rand() % next;
	unsigned bad, errors;
	size_t n = ask(f, from, true, true, 0, truth, &bad), got;

	for (int way = 0; way < 2; way++) {
		got = ask(f, from, false, way, 0, seqs, &errors);
		cr_assert_eq(got, n, "%s: %zu, not %zu", text, got, n);
		cr_assert_eq(memcmp(seqs, truth, n * sizeof(*seqs)), 0, "%s", text);
		cr_assert_eq(errors, bad, "%s", text);
	}
	for (int way = 0; way < 4; way++) {
		uint64_t last = way & 2 ? UINT64_MAX : 1 + (uint64_t)rand() % 40;
		size_t most = n < last ? n : (size_t)last;

		got = ask(f, from, false, way & 1, last, seqs, &errors);
		cr_assert_eq(got, most, "%s from the end: %zu, not %zu", text, got, most);
		for (size_t i = 0; i < most; i++)
			cr_assert_eq(seqs[i], truth[n - 1 - i], "%s from the end", text);
	}
}

static void random_questions(int n)
{
	for (int i = 0; i < n; i++) {
		struct record_filter *f = NULL;
		char text[256];

		pick_filter(&f, text);
		same_every_way(f, text);
		record_filter_free(&f);
	}
}

TEST(query, every_way_gives_the_same_answer)
{
	for (unsigned seed = 1; seed <= 3; seed++) {
		make(seed);
		random_questions(60);
		remove_dir(dir);
	}
}

/* Of one index file: changed, cut, of another segment, gone. */
TEST(query, a_damaged_index_changes_no_answer)
{
	static uint8_t file[1 << 20], copy[1 << 20];
	char pattern[96];
	glob_t found;

	make(7);
	snprintf(pattern, sizeof(pattern), "%s/*.idx", dir);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	cr_assert_geq(found.gl_pathc, 3);
	for (int i = 0; i < 40; i++) {
		const char *path = found.gl_pathv[(size_t)rand() % found.gl_pathc];
		size_t len = read_file(path, file, sizeof(file)), other;

		memcpy(copy, file, len);
		switch (i % 5) {
		case 0:
			copy[(size_t)rand() % len] ^= (uint8_t)(1 << rand() % 8);
			write_file(path, copy, len);
			break;
		case 1:
			write_file(path, copy, (size_t)rand() % len);
			break;
		case 2:
			other = read_file(found.gl_pathv[0], copy, sizeof(copy));
			write_file(path, copy, other);
			break;
		case 3: { /* a forger's: places and lengths that lie, under a right CRC */
			uint32_t crc;

			copy[40 + (size_t)rand() % 24] ^= 1;
			crc = htole32(crc32c(0, copy, len - 4));
			memcpy(copy + len - 4, &crc, 4);
			write_file(path, copy, len);
			break;
		}
		default:
			cr_assert_eq(unlink(path), 0);
		}
		random_questions(2);
		write_file(path, file, len);
	}
	globfree(&found);
	remove_dir(dir);
}

/* Who may write beside the log can forge an index whose CRC is right. It can make a reader pass over records, which
 * --no-index and verify do not, but shows none that is not there, in no other order, and no damage where there is none.
 */
TEST(query, a_forged_index_can_hide_and_nothing_else)
{
	static uint64_t truth[3 * SEGMENTS * RECORDS], seqs[3 * SEGMENTS * RECORDS];
	static uint8_t file[1 << 20], copy[1 << 20];
	char pattern[96];
	glob_t found;

	make(17);
	snprintf(pattern, sizeof(pattern), "%s/*.idx", dir);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	for (int i = 0; i < 60; i++) {
		const char *path = found.gl_pathv[(size_t)rand() % found.gl_pathc];
		size_t len = read_file(path, file, sizeof(file)), n, got, k = 0;
		uint64_t last = rand() % 2 ? 0 : UINT64_MAX;
		struct record_filter *f = NULL;
		unsigned bad, errors;
		char text[256];
		uint32_t crc;

		memcpy(copy, file, len);
		for (int flips = 1 + rand() % 40; flips; flips--)
			copy[12 + (size_t)rand() % (len - 16)] ^= (uint8_t)(1 << rand() % 8);
		/* As of this segment still, or it would not be read. */
		memcpy(copy + 12, file + 12, 28);
		crc = htole32(crc32c(0, copy, len - 4));
		memcpy(copy + len - 4, &crc, 4);
		write_file(path, copy, len);
		pick_filter(&f, text);
		n = ask(f, 0, true, true, 0, truth, &bad);
		got = ask(f, 0, false, false, last, seqs, &errors);
		cr_assert_leq(got, n, "%s", text);
		for (size_t j = 0; j < got; j++, k++) {
			while (k < n && truth[last ? n - 1 - k : k] != seqs[j])
				k++;
			cr_assert_lt(k, n, "%s: %llu", text, (unsigned long long)seqs[j]);
		}
		cr_assert_eq(errors, bad);
		cr_assert_eq(ask(f, 0, false, true, 0, seqs, &errors), n, "without the index");
		record_filter_free(&f);
		write_file(path, file, len);
	}
	globfree(&found);
	remove_dir(dir);
}

TEST(query, a_segment_that_grows)
{
	struct ledger_reader *r = NULL;
	struct record_filter *f = NULL;
	const Record *rec;
	uint64_t seen = 0, wanted = 0, all;

	make(9);
	all = next;
	cr_assert_eq(record_filter_new(&f), 0);
	cr_assert_null(record_filter_add(f, "type=exchange"));
	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	ledger_reader_filter(r, f);
	while (ledger_next(r, &rec) == 1)
		seen++;
	for (int i = 0; i < 5; i++) {
		struct ledger_reader *again = NULL;

		write_segment_of(50); /* the old one is finished, a new one is there */
		while (ledger_next(r, &rec) == 1) {
			cr_assert_geq(rec->seq, all);
			seen++;
		}
		wanted = 0;
		cr_assert_eq(ledger_reader_open(&again, dir), 0);
		ledger_reader_filter(again, f);
		ledger_reader_plainly(again, true, true);
		while (ledger_next(again, &rec) == 1)
			wanted++;
		ledger_reader_close(&again);
		cr_assert_eq(seen, wanted);
	}
	ledger_reader_close(&r);
	record_filter_free(&f);
	remove_dir(dir);
}

/* The raw bytes are asked the same as the unpacked record would be. */
TEST(query, damage_in_a_segment_is_told_by_every_way_that_reads_it)
{
	static uint8_t file[1 << 20];
	static uint64_t a[3 * SEGMENTS * RECORDS], b[3 * SEGMENTS * RECORDS];
	char path[128];
	unsigned plain, quick, back;
	size_t len, n;
	int at;

	make(11);
	at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct segment_name *list = NULL;
	cr_assert_eq(segment_list(at, &list, &n), 0);
	for (size_t i = 0; i + 1 < n; i++) {
		char name[NAME_ROOM];

		segment_name_text(name, &list[i]);
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		len = read_file(path, file, sizeof(file));
		file[len / 2] ^= 0x40;
		write_file(path, file, len);
	}
	free(list);
	close(at);
	n = ask(NULL, 0, true, true, 0, a, &plain);
	cr_assert_eq(ask(NULL, 0, false, true, 0, b, &quick), n);
	cr_assert_eq(memcmp(a, b, n * sizeof(*a)), 0);
	cr_assert_eq(ask(NULL, 0, false, true, UINT64_MAX, b, &back), n);
	cr_assert_eq(plain, SEGMENTS - 1);
	cr_assert_eq(quick, plain);
	cr_assert_eq(back, plain);
	remove_dir(dir);
}

TEST(query, a_cursor_knows_its_record)
{
	struct ledger_reader *r = NULL;
	char cursor[LEDGER_CURSOR], wrong[LEDGER_CURSOR];
	const uint8_t *raw;
	uint64_t seq = 0;
	size_t len;

	make(13);
	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	ledger_seek_seq(r, 1234);
	cr_assert_eq(ledger_step(r), 1);
	ledger_raw(r, &raw, &len);
	cr_assert_eq(ledger_cursor(dir, raw, len, cursor), 0);
	ledger_reader_close(&r);
	cr_assert_eq(ledger_find_cursor(dir, cursor, strlen(cursor), &seq), 0);
	cr_assert_eq(seq, 1234);
	memcpy(wrong, cursor, sizeof(wrong));
	wrong[strlen(wrong) - 1] ^= 1;
	cr_assert_eq(ledger_find_cursor(dir, wrong, strlen(wrong), &seq), -ESTALE, "the log was written anew");
	memcpy(wrong, cursor, sizeof(wrong));
	wrong[2] = 'T';
	cr_assert_eq(ledger_find_cursor(dir, wrong, strlen(wrong), &seq), -ENOENT, "another log's");
	static const char *const none[] = { "",
		                            "x",
		                            "o=test;s=1",
		                            "o=test;s=;h=0123456789abcdef",
		                            "o=test;s=-1;h=0123456789abcdef",
		                            "o=test;h=0123456789abcdef;s=1" };
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		cr_assert_eq(ledger_find_cursor(dir, none[i], strlen(none[i]), &seq), -EINVAL, "%s", none[i]);
	cr_assert_eq(ledger_find_cursor(dir, "o=test;s=99999999;h=0123456789abcdef", 36, &seq), -ESTALE,
	             "the log is shorter than it was");
	remove_dir(dir);
}
