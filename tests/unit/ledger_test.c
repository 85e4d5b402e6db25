/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_test.c - what is appended is read again, and what is not right is noticed. Bad disks: ledger_disk_test.c. */
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "record/crc32c.h"
#include "tests/lib/ledger.h"

static struct found found;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A ledger of n records, named r0, r1, ... */
static void make(const char *dir, int n)
{
	struct ledger_options o = { .dir = dir, .origin = "test.example/log" };
	struct ledger *l = NULL;
	char name[24];

	cr_assert_eq(ledger_open(&l, &o), 0);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		cr_assert_eq(append_named(l, name, NULL), 0);
	}
	ledger_close(&l);
	cr_assert_null(l);
}

TEST(ledger, crc_is_castagnoli)
{
	uint8_t zeros[32] = { 0 };

	cr_assert_eq(crc32c(0, "123456789", 9), 0xE3069283);       /* the usual check value */
	cr_assert_eq(crc32c(0, zeros, sizeof(zeros)), 0x8A9136AA); /* RFC 3720, B.4 */
	cr_assert_eq(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
}

TEST(ledger, what_is_appended_is_read)
{
	char dir[64], path[128];
	struct ledger_options o = { .dir = new_dir(dir), .origin = "test" };
	struct ledger_stats stats;
	struct ledger *l = NULL;
	struct stat st;
	uint64_t seq = 9;

	cr_assert_eq(ledger_open(&l, &o), 0);
	cr_assert_eq(append_wait(l, "a", &seq), 0);
	cr_assert_eq(seq, 0);
	cr_assert_eq(append_wait(l, "b", &seq), 0);
	cr_assert_eq(seq, 1);
	read_all(dir, &found); /* the writer is alive */
	cr_assert_eq(found.records, 2);
	cr_assert_str_eq(found.seen[1].name, "b");
	ledger_stats(l, &stats);
	cr_assert(stats.next_seq == 2 && stats.records == 2 && !stats.failed && !stats.lost && stats.syncs == 2);
	ledger_close(&l);
	cr_assert_eq(stat(path_of(path, dir, 0), &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0640);

	cr_assert_eq(ledger_open(&l, &o), 0);
	cr_assert_eq(append_wait(l, "c", &seq), 0);
	cr_assert_eq(seq, 2);
	ledger_close(&l);
	read_all(dir, &found);
	cr_assert(found.records == 3 && !found.errors && !found.recoveries && found.in_order);
	remove_dir(dir);
}

TEST(ledger, sets_clocks_and_boot)
{
	char dir[64];
	struct ledger_reader *r = NULL;
	const Record *rec = NULL;
	struct timespec now;

	make(new_dir(dir), 1);
	clock_gettime(CLOCK_REALTIME, &now);
	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	cr_assert_eq(ledger_next(r, &rec), 1);
	cr_assert_eq(rec->boot_id.len, 16);
	cr_assert(rec->boottime_nano);
	cr_assert_leq(rec->time_unix_nano / 1000000000u, (uint64_t)now.tv_sec);
	cr_assert_geq(rec->time_unix_nano / 1000000000u, (uint64_t)now.tv_sec - 10);
	cr_assert_eq(ledger_next(r, &rec), 0);
	ledger_reader_close(&r);
	remove_dir(dir);
}

TEST(ledger, too_long_is_refused)
{
	char dir[64];
	struct ledger_options o = { .dir = new_dir(dir), .queue_bytes = 1 };
	static char longest[70000];
	struct ledger *l = NULL;
	size_t len = 65000;

	memset(longest, 'x', sizeof(longest) - 1);
	cr_assert_eq(ledger_open(&l, &o), 0);
	cr_assert_eq(append_named(l, longest, NULL), -EMSGSIZE);
	cr_assert_eq(append_named(l, "no room in the queue", NULL), -ENOBUFS);
	ledger_close(&l);
	o.queue_bytes = 0;
	cr_assert_eq(ledger_open(&l, &o), 0);
	for (size_t step = 512; step; step /= 2) { /* to the very last length that is taken */
		longest[len + step] = 0;
		if (!append_named(l, longest, NULL))
			len += step;
		memset(longest, 'x', sizeof(longest) - 1);
	}
	longest[len] = 0;
	cr_assert_eq(append_wait(l, longest, NULL), 0);
	ledger_close(&l);
	cr_assert_eq(len, 65535 - 50 - 9, "stamp and CRC, and tag and length of exchange and text");
	read_all(dir, &found);
	cr_assert_eq(found.errors, 0);
	cr_assert_geq(found.records, 2);
	remove_dir(dir);
}

TEST(ledger, one_writer_at_a_time)
{
	char dir[64];
	struct ledger_options o = { .dir = new_dir(dir) };
	struct ledger *l = NULL, *second = NULL;

	cr_assert_eq(ledger_open(&l, &o), 0);
	cr_assert_eq(ledger_open(&second, &o), -EBUSY);
	cr_assert_null(second);
	ledger_close(&l);
	cr_assert_eq(ledger_open(&second, &o), 0);
	ledger_close(&second);
	remove_dir(dir);
}

TEST(ledger, segments_roll)
{
	char dir[64], path[128];
	struct ledger_options o = { .dir = new_dir(dir), .segment_bytes = 1000 };
	struct ledger *l = NULL;
	struct ledger_reader *r = NULL;
	const Record *rec;
	struct stat st;

	cr_assert_eq(ledger_open(&l, &o), 0);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(append_named(l, "x", NULL), 0);
	ledger_close(&l);
	read_all(dir, &found);
	cr_assert(found.records == 100 && !found.errors && found.in_order && found.last_seq == 99);
	if (!stat(path_of(path, dir, 0), &st)) /* else it is sealed already */
		cr_assert(st.st_size <= 1000 && st.st_size > 800);

	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	for (uint64_t n = 0; n <= 110; n++) {
		cr_assert_eq(ledger_seek_last(r, n), 0);
		for (uint64_t i = n < 100 ? 100 - n : 0; i < 100; i++) {
			cr_assert_eq(ledger_next(r, &rec), 1);
			cr_assert_eq(rec->seq, i);
		}
		cr_assert_eq(ledger_next(r, &rec), 0);
	}
	ledger_reader_close(&r);
	remove_dir(dir);
}

TEST(ledger, protoc_reads_it)
{
	char dir[64], command[512], line[512];
	int records = 0, nameless = 0;
	FILE *p;

	if (system("command -v protoc > /dev/null 2>&1")) {
		printf("skip: protoc missing\n");
		fflush(stdout);
		return;
	}
	make(new_dir(dir), 20);
	snprintf(command, sizeof(command), "protoc --proto_path=proto --decode=Segment record.proto < %s/%020d.seg",
	         dir, 0);
	p = popen(command, "r");
	cr_assert_not_null(p);
	while (fgets(line, sizeof(line), p)) {
		records += !strncmp(line, "record {", 8);
		nameless += line[strspn(line, " ")] >= '0' && line[strspn(line, " ")] <= '9';
	}
	cr_assert_eq(pclose(p), 0);
	cr_assert_eq(records, 20);
	cr_assert_eq(nameless, 0);
	remove_dir(dir);
}

/* Every length a crash can leave: the complete records, in order, the Recovery, and on with the next seq. */
TEST(ledger, each_truncation_recovers)
{
	char dir[64], path[128];
	struct ledger_options o = { .dir = new_fast_dir(dir), .origin = "test.example/log", .segment_bytes = 65536 };
	static uint8_t file[4096];
	size_t len, ends[8], n = 0;
	struct birth birth;
	struct frame f;

	make_birth(&birth, dir, &o);
	make(dir, 4);
	path_of(path, dir, 0);
	len = read_file(path, file, sizeof(file));
	for (size_t i = 0; i < len && frame_read(slice_of(file + i, len - i), &f) == FRAME_ITEM; i += f.used)
		ends[n++] = i + f.used;
	cr_assert_eq(n, 5);
	EACH_CUT (at, len) {
		struct ledger *l = NULL;
		size_t whole = 0;
		bool torn = true;
		uint64_t seq;

		for (size_t i = 0; i < n; i++) {
			whole += i && ends[i] <= at;
			torn &= ends[i] != at;
		}
		bear_again(&birth, dir);
		write_file(path, file, at);
		cr_assert_eq(ledger_open(&l, &o), 0, "cut at %zu", at);
		cr_assert_eq(append_wait(l, "after", &seq), 0);
		ledger_close(&l);
		read_all(dir, &found);
		cr_assert_eq(found.n, whole + 1, "cut at %zu", at);
		cr_assert(found.in_order && !found.errors);
		cr_assert_eq(found.recoveries, torn, "cut at %zu", at);
		cr_assert(!torn || found.kind == RECOVERY__KIND__TORN);
		cr_assert_eq(seq, whole + torn);
	}
	remove_dir(dir);
}

TEST(ledger, each_flipped_bit_is_noticed)
{
	char dir[64], path[128];
	static uint8_t file[4096];
	size_t len;

	make(new_fast_dir(dir), 3);
	path_of(path, dir, 0);
	len = read_file(path, file, sizeof(file));
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			file[i] ^= (uint8_t)(1 << bit);
			write_file(path, file, len);
			read_all(dir, &found);
			cr_assert_eq(found.errors, 1, "byte %zu bit %d", i, bit);
			cr_assert(found.in_order && found.records < 3);
			file[i] ^= (uint8_t)(1 << bit);
		}
	remove_dir(dir);
}

/* Recovery of the same: no number is used twice, what is whole in front is kept, and it is on record. */
TEST(ledger, each_flipped_byte_recovers)
{
	char dir[64], path[128];
	struct ledger_options o = { .dir = new_fast_dir(dir), .origin = "test.example/log", .segment_bytes = 65536 };
	static uint8_t file[4096];
	struct birth birth;
	size_t len;

	make_birth(&birth, dir, &o);
	make(dir, 3);
	path_of(path, dir, 0);
	len = read_file(path, file, sizeof(file));
	for (size_t i = 0; i < len; i++) {
		struct ledger *l = NULL;
		uint64_t seq;

		bear_again(&birth, dir);
		file[i] ^= 0x04;
		write_file(path, file, len);
		file[i] ^= 0x04;
		read_all(dir, &found);
		size_t before = found.n;

		cr_assert_eq(ledger_open(&l, &o), 0);
		cr_assert_eq(append_wait(l, "after", &seq), 0);
		ledger_close(&l);
		read_all(dir, &found);
		cr_assert(found.in_order && found.recoveries == 1, "byte %zu", i);
		cr_assert_gt(seq, 3, "byte %zu: seq %llu", i, (unsigned long long)seq);
		cr_assert_eq(found.n, before + 1);
	}
	remove_dir(dir);
}

/* A segment of a header that proves nothing, and a trailer if asked for: neither is what this daemon leaves behind. */
static void write_empty_segment(const char *path, bool ended)
{
	SegmentHeader h = SEGMENT_HEADER__INIT;
	SegmentTrailer t = SEGMENT_TRAILER__INIT;
	uint8_t file[256], sum[32] = { 0 };
	size_t len, body;

	h.format = 1;
	h.origin = "test";
	body = segment_header__get_packed_size(&h);
	len = frame_start(file, TAG_HEADER, body + CRC_LEN);
	segment_header__pack(&h, file + len);
	frame_seal(file + len, body);
	len += body + CRC_LEN;
	t.length = len;
	t.root = t.sha256 = (ProtobufCBinaryData){ sizeof(sum), sum };
	if (ended) {
		body = segment_trailer__get_packed_size(&t);
		len += frame_start(file + len, TAG_TRAILER, body);
		len += segment_trailer__pack(&t, file + len);
	}
	write_file(path, file, len);
}

/* What is written behind such a file must be found by who reads the log. */
TEST(ledger, goes_on_where_nothing_was_written)
{
	for (int ended = 0; ended < 2; ended++) {
		char dir[64], path[128];
		struct ledger_options o = { .dir = new_dir(dir), .origin = "test" };
		struct ledger *l = NULL;

		write_empty_segment(path_of(path, dir, 0), ended);
		read_all(dir, &found);
		cr_assert(!found.errors && !found.n);
		cr_assert_eq(ledger_open(&l, &o), 0);
		cr_assert_eq(append_wait(l, "after", NULL), 0);
		ledger_close(&l);
		read_all(dir, &found);
		cr_assert(found.n && found.in_order && !found.errors);
		cr_assert_str_eq(found.seen[found.n - 1].name, "after");
		cr_assert_eq(!access(strcat(path, ".corrupt"), F_OK), ended,
		             "an end before the first record is damage");
		cr_assert(!ended || found.recoveries);
		remove_dir(dir);
	}
}

TEST(ledger, a_damaged_segment_is_set_aside)
{
	char dir[64], path[128];
	struct ledger_options o = { .dir = new_dir(dir), .origin = "test.example/log" };
	static uint8_t file[4096];
	struct ledger *l = NULL;
	uint64_t seq;
	size_t len;

	make(dir, 10);
	path_of(path, dir, 0);
	len = read_file(path, file, sizeof(file));
	file[len / 2] ^= 1;
	write_file(path, file, len);
	cr_assert_eq(ledger_open(&l, &o), 0);
	cr_assert_eq(append_wait(l, "after", &seq), 0);
	cr_assert_geq(seq, 10, "no seq that was seen is used again");
	ledger_close(&l);
	cr_assert_neq(access(path, F_OK), 0);
	strcat(path, ".corrupt");
	cr_assert_eq(access(path, F_OK), 0);
	read_all(dir, &found);
	cr_assert(found.kind == RECOVERY__KIND__CORRUPT && found.recoveries == 1 && found.errors == 1);
	cr_assert_geq(found.n, 4, "what stands before the damage is still read");
	cr_assert_str_eq(found.seen[found.n - 1].name, "after");
	cr_assert(found.in_order && found.gap_next >= 10);

	cr_assert_eq(ledger_open(&l, &o), 0);
	ledger_close(&l);
	read_all(dir, &found);
	cr_assert_eq(found.recoveries, 1, "told once");
	remove_dir(dir);
}

TEST(ledger, a_half_written_record_is_the_end_for_now)
{
	char dir[64], path[128];
	static uint8_t file[4096];
	struct ledger_reader *r = NULL;
	const Record *rec;
	size_t len;

	make(new_dir(dir), 3);
	path_of(path, dir, 0);
	len = read_file(path, file, sizeof(file));
	write_file(path, file, len - 20);
	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	cr_assert_eq(ledger_next(r, &rec), 1);
	cr_assert_eq(ledger_next(r, &rec), 1);
	for (size_t i = len - 20; i < len; i++) {
		cr_assert_eq(ledger_next(r, &rec), 0);
		write_file(path, file, i + 1);
	}
	cr_assert_eq(ledger_next(r, &rec), 1);
	cr_assert_eq(rec->seq, 2);
	cr_assert_eq(ledger_next(r, &rec), 0);
	ledger_reader_close(&r);
	remove_dir(dir);
}

static void *append_many(void *arg)
{
	for (int i = 0; i < 250; i++)
		cr_assert_eq(append_wait(arg, "x", NULL), 0);
	return NULL;
}

TEST(ledger, four_threads_share_syncs)
{
	char dir[64];
	struct ledger_options o = { .dir = new_dir(dir) };
	struct ledger *l = NULL;
	struct ledger_stats stats, more;
	pthread_t thread[4];

	cr_assert_eq(ledger_open(&l, &o), 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, append_many, l);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	ledger_stats(l, &stats);
	cr_assert_eq(stats.records, 1000);
	cr_assert_lt(stats.syncs, 800, "%llu syncs", (unsigned long long)stats.syncs);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(append_named(l, "nobody waits", NULL), 0);
	cr_assert_eq(append_wait(l, "all", NULL), 0);
	ledger_stats(l, &more);
	cr_assert_leq(more.syncs - stats.syncs, 40);
	ledger_close(&l);
	read_all(dir, &found);
	cr_assert(found.records == 2001 && found.in_order && !found.errors);
	remove_dir(dir);
}

TEST(ledger, a_follower_is_woken)
{
	char dir[64];
	struct ledger_options o = { .dir = new_dir(dir), .segment_bytes = 600 };
	struct ledger *l = NULL;
	struct ledger_reader *r = NULL;
	const Record *rec;

	cr_assert_eq(ledger_open(&l, &o), 0);
	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	cr_assert_geq(ledger_reader_fd(r), 0);
	cr_assert_eq(ledger_next(r, &rec), 0);
	for (int i = 0; i < 40; i++) { /* several segments */
		uint64_t from = now_ns();
		int got;

		cr_assert_eq(append_named(l, "x", NULL), 0);
		while (!(got = ledger_next(r, &rec)))
			cr_assert_eq(poll(&(struct pollfd){ ledger_reader_fd(r), POLLIN, 0 }, 1, 1000), 1);
		cr_assert_eq(got, 1);
		cr_assert_eq(rec->seq, (uint64_t)i);
		cr_assert_lt(now_ns() - from, 100000000u);
	}
	ledger_reader_close(&r);
	ledger_close(&l);
	remove_dir(dir);
}

TEST(ledger, no_folder_is_said)
{
	struct ledger_reader *r = NULL;
	struct ledger *l = NULL;

	cr_assert_eq(ledger_reader_open(&r, "/nonexistent/ledger"), -ENOENT);
	cr_assert_null(r);
	cr_assert_lt(ledger_open(&l, &(struct ledger_options){ .dir = "/proc/ledger" }), 0);
	cr_assert_null(l);
}
