/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_test.c - what is handed out of a log that goes on is sound by itself, and holds nothing that is not proven. */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/ledger.h"

static char scratch[64], dir[96];
static char said[8192];

/* Writes the files of a bundle below a folder. */
struct folder {
	struct bundle_sink sink;
	const char *at;
	int fd;
	uint64_t left;
};

static int begin(struct bundle_sink *s, const char *path, uint64_t len)
{
	struct folder *f = container_of(s, struct folder, sink);
	char name[400];

	cr_assert_eq(f->left, 0, "%s", path);
	own_close(&f->fd);
	snprintf(name, sizeof(name), "%s/%s", f->at, path);
	for (char *slash = strchr(name + strlen(f->at) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(name, 0750);
		*slash = '/';
	}
	f->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	cr_assert_geq(f->fd, 0, "%s", name);
	f->left = len;
	return 0;
}

static int bytes(struct bundle_sink *s, struct slice what)
{
	struct folder *f = container_of(s, struct folder, sink);

	cr_assert_leq(what.len, f->left);
	cr_assert_eq(write(f->fd, what.at, what.len), (ssize_t)what.len);
	f->left -= what.len;
	return 0;
}

static void collect(void *arg, enum fault what, const char *text)
{
	size_t len = strlen(said);

	(void)arg;
	snprintf(said + len, sizeof(said) - len, "%s: %s\n", fault_names[what], text);
}

/* Hands the log out into `to` and looks at it; how many records. */
static uint64_t hand_out(const char *to)
{
	struct folder f = { .sink = { .begin = begin, .bytes = bytes }, .at = to, .fd = -1 };
	struct verify_options o = { .fault = collect };
	struct verify_result r;
	uint64_t records = 0;
	char path[300];

	cr_assert_eq(mkdir(to, 0750), 0);
	cr_assert_eq(bundle_log(&f.sink, dir, "record", "ledger", NULL, &records), 0);
	cr_assert_eq(f.left, 0);
	own_close(&f.fd);
	snprintf(path, sizeof(path), "%s/record/ledger", to);
	o.dir = path;
	said[0] = '\0';
	cr_assert_eq(ledger_verify(&r, &o), 0);
	cr_assert_eq(r.faults, 0, "%s", said);
	cr_assert_eq(r.size, records);
	return r.size;
}

static struct ledger *open_log(uint32_t rotate_s)
{
	struct ledger_options o = { .dir = dir,
		                    .origin = "test.example/log",
		                    .segment_bytes = 9000,
		                    .checkpoint_ms = 5,
		                    .rotate_s = rotate_s };
	struct ledger *l = NULL;

	cr_assert_eq(ledger_open(&l, &o), 0);
	return l;
}

static void make_scratch(void)
{
	new_fast_dir(scratch);
	snprintf(dir, sizeof(dir), "%s/record/ledger", scratch);
}

static void clean(void)
{
	char key[160];

	snprintf(key, sizeof(key), "%s.key", dir);
	unlink(key);
	remove_dir(scratch);
}

static atomic_bool over;

static void *write_on(void *arg)
{
	struct ledger *l = arg;
	char name[24];

	for (int i = 0; !atomic_load(&over); i++) {
		snprintf(name, sizeof(name), "r%d", i);
		if (append_named(l, name, NULL))
			usleep(1000);
		if (i % 20 == 0)
			usleep(1000);
	}
	return NULL;
}

TEST(bundle, of_a_log_that_goes_on)
{
	uint64_t last = 0;
	struct ledger *l;
	pthread_t thread;
	char to[160];

	make_scratch();
	l = open_log(1);
	cr_assert_eq(append_wait(l, "first", NULL), 0);
	cr_assert_eq(pthread_create(&thread, NULL, write_on, l), 0);
	for (int i = 0; i < 30; i++) {
		uint64_t now;

		snprintf(to, sizeof(to), "%s/out%d", scratch, i);
		now = hand_out(to);
		cr_assert_geq(now, last);
		last = now;
		remove_dir(to);
	}
	cr_assert_gt(last, 100, "%llu", (unsigned long long)last);
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	ledger_close(&l);
	snprintf(to, sizeof(to), "%s/end", scratch);
	cr_assert_gt(hand_out(to), last);
	clean();
}

TEST(bundle, of_nothing_yet)
{
	struct ledger *l;
	char to[160];

	make_scratch();
	l = open_log(1);
	ledger_close(&l);
	snprintf(to, sizeof(to), "%s/end", scratch);
	hand_out(to);
	clean();
}

/* Chosen records: those and no others, and not one that is no longer what was signed. */
TEST(bundle, of_a_choice)
{
	struct folder f = { .sink = { .begin = begin, .bytes = bytes }, .fd = -1 };
	owned(record_filter_free) struct record_filter *filter = NULL;
	struct bundle_choice choice = { .first = 10, .last = 19, .most = 10 };
	static uint8_t data[1 << 16];
	uint64_t records = 0;
	char to[160], path[300];
	struct ledger *l;
	size_t len;

	make_scratch();
	l = open_log(0);
	for (int i = 0; i < 40; i++)
		cr_assert_eq(append_wait(l, i == 15 ? "that-one" : "another", NULL), 0);
	ledger_close(&l);
	snprintf(to, sizeof(to), "%s/chosen", scratch);
	cr_assert_eq(mkdir(to, 0750), 0);
	f.at = to;
	cr_assert_eq(record_filter_new(&filter), 0);
	choice.filter = filter;
	cr_assert_eq(bundle_records(&f.sink, dir, "all", &choice, &records), 0);
	cr_assert_eq(records, 10);
	choice.most = 9;
	cr_assert_eq(bundle_records(&f.sink, dir, "fewer", &choice, &records), -E2BIG);
	f.left = 0;
	cr_assert_null(record_filter_add(filter, "request_id=that-one"));
	cr_assert_eq(bundle_records(&f.sink, dir, "one", &choice, &records), 0);
	cr_assert_eq(records, 1);
	snprintf(path, sizeof(path), "%s/one/records.json", to);
	own_close(&f.fd);
	f.fd = -1;
	len = read_file(path, data, sizeof(data) - 1);
	data[len] = '\0';
	cr_assert_not_null(strstr((char *)data, "that-one"));
	cr_assert_null(strstr((char *)data, "another"));

	/* Changed, with a CRC that is right. */
	len = read_file(path_of(path, dir, 0), data, sizeof(data));
	for (size_t at = 0; at < len;) {
		struct frame frame;
		uint64_t seq = 0;

		cr_assert_eq(frame_read(slice_of(data + at, len - at), &frame), FRAME_ITEM);
		if (frame.tag == TAG_RECORD && frame_seq(frame.body, &seq) && seq == 15) {
			((uint8_t *)frame.body.at)[10] ^= 1;
			frame_seal((uint8_t *)frame.body.at, frame.body.len - CRC_LEN);
		}
		at += frame.used;
	}
	write_file(path, data, len);
	cr_assert_eq(bundle_records(&f.sink, dir, "changed", &choice, &records), -EBADMSG);
	own_close(&f.fd);
	clean();
}
