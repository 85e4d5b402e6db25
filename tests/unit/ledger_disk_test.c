/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger_disk_test.c - disks that fail, lie or lose power, and a writer that is killed.
 *
 * The file operations under test go through the table below: they count, fail on order and remember what was promised.
 */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/ledger.h"

static struct found found;

/* The disk's orders: fail the n-th call of a kind (from 1; 0: never), and all after it if `stays`. */
static struct {
	int fail_append, fail_sync, fail_open, fail_reserve, err;
	bool stays, short_writes, no_truncate;
	atomic_int appends, syncs, opens, reserves;
	atomic_bool in_sync;
	atomic_uint_least64_t written, durable; /* bytes */
} disk;

static bool due(int order, int count)
{
	return order && (disk.stays ? count >= order : count == order);
}

static bool is_segment[1024]; /* by descriptor: checkpoints and tiles come and go by the clock and are not counted */

static int disk_open(int dir, const char *name, int flags)
{
	size_t len = strlen(name);
	bool segment = len > 4 && !strcmp(name + len - 4, ".seg");
	int fd = segment && due(disk.fail_open, ++disk.opens) ? -disk.err : file_system.open(dir, name, flags);

	if (fd >= 0 && fd < (int)ARRAY_LEN(is_segment))
		is_segment[fd] = segment;
	return fd;
}

static ssize_t disk_append(int fd, const void *at, size_t len)
{
	ssize_t n;

	if (!is_segment[fd])
		return file_system.append(fd, at, len);
	if (due(disk.fail_append, ++disk.appends)) {
		/* Half of it goes through, as on a disk that fills up. */
		if (len > 1)
			(void)!file_system.append(fd, at, len / 2);
		return -disk.err;
	}
	n = file_system.append(fd, at, disk.short_writes && len > 7 ? 7 : len);
	disk.written += n > 0 ? (uint64_t)n : 0;
	return n;
}

static int disk_reserve(int fd, uint64_t bytes)
{
	return due(disk.fail_reserve, ++disk.reserves) ? -disk.err : file_system.reserve(fd, bytes);
}

static int disk_sync(int fd)
{
	uint64_t written = disk.written;
	int err;

	if (!is_segment[fd])
		return file_system.sync(fd);
	if (due(disk.fail_sync, ++disk.syncs))
		return -disk.err;
	disk.in_sync = true;
	err = file_system.sync(fd);
	disk.in_sync = false;
	if (!err)
		disk.durable = written;
	return err;
}

static int disk_truncate(int fd, uint64_t size)
{
	return disk.no_truncate ? -EIO : file_system.truncate(fd, size);
}

static int disk_rename(int dir, const char *from, const char *to)
{
	return file_system.rename(dir, from, to);
}

static int disk_sync_dir(int dir)
{
	return file_system.sync_dir(dir);
}

static int disk_remove(int dir, const char *name)
{
	return file_system.remove(dir, name);
}

static int disk_make_dir(int dir, const char *name)
{
	return file_system.make_dir(dir, name);
}

static int disk_space(int dir, uint64_t *left)
{
	return file_system.space(dir, left);
}

static _Atomic int64_t clock_step; /* of the real time, nanoseconds */

static uint64_t disk_clock(clockid_t which)
{
	return file_system.clock(which) + (which == CLOCK_REALTIME ? (uint64_t)clock_step : 0);
}

static const struct file_ops fake = {
	.open = disk_open,
	.append = disk_append,
	.reserve = disk_reserve,
	.sync = disk_sync,
	.truncate = disk_truncate,
	.rename = disk_rename,
	.sync_dir = disk_sync_dir,
	.remove = disk_remove,
	.make_dir = disk_make_dir,
	.space = disk_space,
	.clock = disk_clock,
};

static struct ledger *open_fake(const char *dir)
{
	struct ledger *l = NULL;

	cr_assert_eq(ledger_open_on(&l, &(struct ledger_options){ .dir = dir, .segment_bytes = 1 << 20 }, &fake), 0);
	return l;
}

static void refuse_next(bool in_append, int err)
{
	disk.err = err;
	if (in_append)
		disk.fail_append = disk.appends + 1;
	else
		disk.fail_sync = disk.syncs + 1;
}

/* The disk refuses once: the record is durable all the same, elsewhere, and the gap is named. */
static void refuses_once(bool in_append, int err, bool no_truncate)
{
	char dir[64];
	struct ledger *l = open_fake(new_dir(dir));
	struct ledger_stats stats;
	uint64_t seq;

	cr_assert_eq(append_wait(l, "before", NULL), 0);
	disk.no_truncate = no_truncate;
	refuse_next(in_append, err);
	cr_assert_eq(append_wait(l, "during", &seq), 0);
	cr_assert_eq(append_wait(l, "after", NULL), 0);
	ledger_stats(l, &stats);
	cr_assert_eq(stats.sync_failures, 1);
	cr_assert(!stats.failed && !stats.lost);
	ledger_close(&l);
	read_all(dir, &found);
	cr_assert_eq(found.errors, 0);
	cr_assert(found.in_order && found.recoveries == 1 && found.kind == RECOVERY__KIND__FAILED);
	cr_assert_eq(seq, 3, "1 was used on the bad disk, 2 is the Recovery");
	cr_assert_eq(found.gap_next, 2);
	cr_assert_str_eq(found.seen[found.n - 1].name, "after");
	cr_assert_str_eq(found.seen[found.n - 2].name, "during");
	cr_assert_eq(found.seen[found.n - 2].seq, seq);
	remove_dir(dir);
}

TEST(ledger_disk, a_write_fails_once)
{
	refuses_once(true, EIO, false);
}

TEST(ledger_disk, a_write_fails_once_and_its_half_stays)
{
	refuses_once(true, ENOSPC, true);
}

TEST(ledger_disk, a_sync_fails_once)
{
	refuses_once(false, EIO, false);
	cr_assert_eq(disk.appends, 6, "a header, before, during, and in the second segment a header, the group, after");
}

/* The disk refuses for good: waiting and later records are told, the earlier ones stay. */
static void refuses(bool in_append, int err)
{
	char dir[64];
	struct ledger *l = open_fake(new_dir(dir));
	struct ledger_stats stats;

	cr_assert_eq(append_wait(l, "before", NULL), 0);
	disk.stays = true;
	refuse_next(in_append, err);
	cr_assert_eq(append_wait(l, "during", NULL), -EIO);
	cr_assert_eq(append_named(l, "after", NULL), -EIO);
	ledger_stats(l, &stats);
	cr_assert(stats.failed && stats.lost == 2 && stats.records == 1 && stats.sync_failures == 2);
	ledger_close(&l);
	memset(&disk, 0, sizeof(disk));
	l = open_fake(dir);
	cr_assert_eq(append_wait(l, "later", NULL), 0);
	ledger_close(&l);
	read_all(dir, &found);
	cr_assert(found.in_order && found.n == 2);
	cr_assert_str_eq(found.seen[0].name, "before");
	cr_assert_str_eq(found.seen[1].name, "later");
	remove_dir(dir);
}

TEST(ledger_disk, writes_fail)
{
	refuses(true, EIO);
}

/* A full disk is told to who waits, and nothing is lost: what was not durable follows when there is space. */
TEST(ledger_disk, the_disk_is_full)
{
	char dir[64];
	struct ledger *l = open_fake(new_dir(dir));
	struct ledger_stats stats;

	cr_assert_eq(append_wait(l, "before", NULL), 0);
	disk.stays = true;
	refuse_next(true, ENOSPC);
	cr_assert_eq(append_wait(l, "during", NULL), -ENOSPC);
	cr_assert_eq(append_named(l, "waits", NULL), 0);
	cr_assert_eq(append_wait(l, "asks", NULL), -ENOSPC, "nobody waits for space");
	ledger_stats(l, &stats);
	cr_assert(stats.full && !stats.failed && !stats.lost && !ledger_is_sound(l));
	disk.fail_append = 0;
	for (int i = 0; i < 5000 && !ledger_is_sound(l); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	cr_assert_eq(append_wait(l, "after", NULL), 0);
	ledger_stats(l, &stats);
	cr_assert(!stats.full && !stats.lost && ledger_is_sound(l));
	ledger_close(&l);
	read_all(dir, &found);
	cr_assert_eq(found.errors, 0);
	cr_assert(found.in_order && found.recoveries == 1 && found.kind == RECOVERY__KIND__FAILED);
	cr_assert_eq(found.n, 5);
	for (int i = 0; i < 5; i++)
		cr_assert_str_eq(found.seen[i].name,
		                 ((const char *[]){ "before", "during", "waits", "asks", "after" })[i]);
	remove_dir(dir);
}

/* The daemon ends before there is space: what waited is lost, and nothing else is. */
TEST(ledger_disk, full_to_the_end)
{
	char dir[64];
	struct ledger *l = open_fake(new_dir(dir));

	cr_assert_eq(append_wait(l, "before", NULL), 0);
	disk.stays = true;
	refuse_next(true, ENOSPC);
	cr_assert_eq(append_wait(l, "during", NULL), -ENOSPC);
	ledger_close(&l);
	memset(&disk, 0, sizeof(disk));
	l = open_fake(dir);
	cr_assert_eq(append_wait(l, "later", NULL), 0);
	ledger_close(&l);
	read_all(dir, &found);
	cr_assert(!found.errors && found.in_order && found.n == 2);
	remove_dir(dir);
}

/* Suspended: nothing is taken, and the number of what was not is on record. */
TEST(ledger_disk, suspended)
{
	char dir[64];
	struct ledger *l = open_fake(new_dir(dir));
	struct ledger_reader *r = NULL;
	const Record *rec;
	uint64_t lost = 0;

	ledger_suspend(l, true);
	cr_assert(!ledger_is_sound(l));
	for (int i = 0; i < 3; i++)
		cr_assert_eq(append_named(l, "not taken", NULL), -ENOSPC);
	ledger_suspend(l, false);
	cr_assert_eq(append_wait(l, "taken", NULL), 0);
	ledger_close(&l);
	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	while (ledger_next(r, &rec) == 1)
		lost += rec->body_case == RECORD__BODY_LOSS ? rec->loss->count : 0;
	ledger_reader_close(&r);
	cr_assert_eq(lost, 3);
	remove_dir(dir);
}

/* A file system of four megabytes that others fill and empty again. */
TEST(ledger_disk, a_real_disk_is_full)
{
	char dir[64], inner[96], ballast[96];
	static uint8_t block[65536];
	struct ledger *l = NULL;
	struct ledger_stats stats;
	struct ledger_options o = { .dir = inner, .segment_bytes = 256 << 10, .checkpoint_ms = 20 };
	struct verify_options v = { .dir = inner };
	struct verify_result result;
	int fd, told = 0;
	unsigned n = 0;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", new_dir(dir), "tmpfs", 0, "size=4m"))
		cr_skip_test("no mount namespace here");
	snprintf(inner, sizeof(inner), "%s/log", dir);
	snprintf(ballast, sizeof(ballast), "%s/ballast", dir);
	cr_assert_eq(ledger_open(&l, &o), 0);
	cr_assert_eq(append_wait(l, "first", NULL), 0);
	fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	/* The space that the segment has in reserve is used up; then the next one finds none. */
	for (; !told && n < 20000; n++)
		told = append_wait(l, "a record of some length, so that it fills", NULL);
	cr_assert_eq(told, -ENOSPC);
	ledger_stats(l, &stats);
	cr_assert(stats.full && !stats.failed && !stats.lost);
	cr_assert(!ftruncate(fd, 0));
	close(fd);
	for (int i = 0; i < 8000 && !ledger_is_sound(l); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	cr_assert_eq(append_wait(l, "last", NULL), 0);
	ledger_close(&l);
	cr_assert_eq(ledger_verify(&result, &v), 0);
	cr_assert(!result.faults && result.size >= n + 2, "%u asked, %u on record", n, (unsigned)result.size);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

TEST(ledger_disk, syncs_fail)
{
	refuses(false, EIO);
}

TEST(ledger_disk, no_space_to_begin_with)
{
	char dir[64];
	struct ledger *l = NULL;
	struct ledger_options o = { .dir = new_dir(dir) };

	disk.fail_reserve = 1;
	disk.err = ENOSPC;
	cr_assert_eq(ledger_open_on(&l, &o, &fake), -ENOSPC);
	cr_assert_null(l);
	disk.fail_reserve = 2;
	disk.err = EOPNOTSUPP; /* not every file system can */
	cr_assert_eq(ledger_open_on(&l, &o, &fake), 0);
	cr_assert_eq(append_wait(l, "x", NULL), 0);
	ledger_close(&l);
	remove_dir(dir);
}

TEST(ledger_disk, short_writes_are_finished)
{
	char dir[64];
	struct ledger *l;

	disk.short_writes = true;
	l = open_fake(new_dir(dir));
	for (int i = 0; i < 50; i++)
		cr_assert_eq(append_named(l, "x", NULL), 0);
	cr_assert_eq(append_wait(l, "last", NULL), 0);
	ledger_close(&l);
	read_all(dir, &found);
	cr_assert(found.records == 51 && !found.errors && !found.recoveries);
	remove_dir(dir);
}

struct watcher {
	struct ledger_note note;
	uint64_t expected;
	bool right;
	sem_t told;
};

static void watch_order(struct ledger_note *n, uint64_t seq, int err)
{
	struct watcher *w = container_of(n, struct watcher, note);

	w->right = !err && seq == w->expected && !disk.in_sync && disk.durable == disk.written;
	sem_post(&w->told);
}

TEST(ledger_disk, notes_are_told_after_the_sync_and_in_order)
{
	char dir[64];
	struct ledger *l = open_fake(new_dir(dir));
	static struct watcher w[200];

	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		w[i].note.done = watch_order;
		w[i].expected = i;
		sem_init(&w[i].told, 0, 0);
		cr_assert_eq(append_named(l, "x", &w[i].note), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		sem_wait(&w[i].told);
		cr_assert(w[i].right, "note %zu", i);
	}
	cr_assert_lt(disk.syncs, 201);
	ledger_close(&l);
	remove_dir(dir);
}

/* Somebody sets the clock: the record says by how much. */
TEST(ledger_disk, a_step_of_the_clock_is_recorded)
{
	static const int64_t steps[] = { 3600, -7200, 0 };
	char dir[64];
	struct ledger *l = open_fake(new_fast_dir(dir));
	struct ledger_reader *r = NULL;
	const Record *rec;
	struct ledger_stats stats;
	size_t told = 0;

	cr_assert_eq(append_wait(l, "before", NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		clock_step = steps[i] * 1000000000;
		cr_assert_eq(append_wait(l, "after", NULL), 0);
	}
	clock_step = 400000000; /* less than a second: as the network time does it */
	cr_assert_eq(append_wait(l, "slewed", NULL), 0);
	ledger_stats(l, &stats);
	cr_assert_eq(stats.clock_steps, ARRAY_LEN(steps));
	ledger_close(&l);
	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	while (ledger_next(r, &rec) == 1)
		if (rec->body_case == RECORD__BODY_CLOCK) {
			int64_t step = (steps[told] - (told ? steps[told - 1] : 0)) * 1000000000;

			cr_assert_lt(llabs(rec->clock->step_nano - step), 100000000);
			told++;
		}
	cr_assert_eq(told, ARRAY_LEN(steps));
	ledger_reader_close(&r);
	remove_dir(dir);
}

/* ---- power loss: what was not synced may be gone, torn at sectors, zero, or there without what stands before it ----
 */

#define SECTOR 512

enum loss { DROPPED, TORN, ZEROED, REORDERED, LOSS_COUNT };

static uint8_t image[64 << 10], after[64 << 10];

static size_t lose(enum loss how, size_t durable, size_t len, size_t sector)
{
	size_t from = durable + sector * SECTOR < len ? durable + sector * SECTOR : len;

	memcpy(after, image, len);
	switch (how) {
	case DROPPED:
		return durable;
	case TORN:
		return from;
	case ZEROED:
		memset(after + from, 0, len - from);
		return len;
	default:
		memset(after + durable, 0, from - durable);
		return len;
	}
}

TEST(ledger_disk, power_loss_takes_nothing_that_was_promised)
{
	char dir[64], path[128], name[24];
	struct ledger *l = open_fake(new_fast_dir(dir));
	size_t durable, len, kept = 10;

	for (size_t i = 0; i < kept; i++) {
		snprintf(name, sizeof(name), "r%zu", i);
		cr_assert_eq(append_wait(l, name, NULL), 0);
	}
	durable = disk.durable;
	for (int i = 0; i < 100; i++) /* written, but let us say never synced */
		cr_assert_eq(append_named(l, "unpromised", NULL), 0);
	ledger_close(&l);
	len = read_file(path_of(path, dir, 0), image, sizeof(image));
	cr_assert_gt(len, durable + 8 * SECTOR);
	remove_dir(dir);

	for (enum loss how = 0; how < LOSS_COUNT; how++)
		for (size_t sector = 0; sector * SECTOR < len - durable + SECTOR; sector++) {
			cr_assert_eq(mkdir(dir, 0700), 0);
			write_file(path, after, lose(how, durable, len, sector));
			cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = dir, .segment_bytes = 65536 }),
			             0);
			cr_assert_eq(append_wait(l, "after", NULL), 0);
			ledger_close(&l);
			read_all(dir, &found);
			cr_assert(found.in_order && found.n > kept, "loss %d sector %zu", how, sector);
			for (size_t i = 0; i < kept; i++) {
				snprintf(name, sizeof(name), "r%zu", i);
				cr_assert_eq(found.seen[i].seq, i);
				cr_assert_str_eq(found.seen[i].name, name);
			}
			cr_assert_str_eq(found.seen[found.n - 1].name, "after");
			remove_dir(dir);
		}
}

/* ---- kill -9 ---- */

struct promise {
	struct ledger_note note;
	int fd;
};

static void promised(struct ledger_note *n, uint64_t seq, int err)
{
	if (!err)
		(void)!write(container_of(n, struct promise, note)->fd, &seq, sizeof(seq));
	free(container_of(n, struct promise, note));
}

static void append_until_killed(const char *dir, int fd)
{
	struct ledger *l = NULL;

	if (ledger_open(&l, &(struct ledger_options){ .dir = dir, .segment_bytes = 8192 }))
		_exit(1);
	for (;;) {
		struct promise *p = malloc(sizeof(*p));

		*p = (struct promise){ { promised }, fd };
		if (append_named(l, "x", &p->note))
			_exit(2);
		usleep(50);
	}
}

TEST(ledger_disk, killed_writers_keep_their_promises)
{
	char dir[64];
	static bool told[1 << 20], there[1 << 20];
	uint64_t promises = 0;

	new_dir(dir);
	srand(7);
	for (int round = 0; round < 50; round++) {
		int pipes[2];
		uint64_t seq;
		pid_t child;

		cr_assert_eq(pipe(pipes), 0);
		child = fork();
		if (!child)
			append_until_killed(dir, pipes[1]);
		close(pipes[1]);
		/* From before the recovery is over to well behind it. */
		if (round % 4)
			poll(&(struct pollfd){ pipes[0], POLLIN, 0 }, 1, 5000);
		usleep((useconds_t)(rand() % 30000));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		while (read(pipes[0], &seq, sizeof(seq)) == sizeof(seq)) {
			cr_assert_lt(seq, ARRAY_LEN(told));
			cr_assert(!told[seq], "seq %llu promised twice", (unsigned long long)seq);
			told[seq] = true;
			promises++;
		}
		close(pipes[0]);
	}
	{
		struct ledger *l = NULL;
		struct ledger_reader *r = NULL;
		const Record *rec;
		int got;

		int err = ledger_open(&l, &(struct ledger_options){ .dir = dir, .segment_bytes = 65536 });

		cr_assert_eq(err, 0, "%s", strerror(-err));
		ledger_close(&l);
		cr_assert_eq(ledger_reader_open(&r, dir), 0);
		while ((got = ledger_next(r, &rec)) == 1)
			there[rec->seq] = true;
		cr_assert_eq(got, 0);
		ledger_reader_close(&r);
	}
	cr_assert_gt(promises, 100);
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		cr_assert(!told[i] || there[i], "seq %zu is lost", i);
	remove_dir(dir);
}
