/* SPDX-License-Identifier: Apache-2.0 */
/* prune_test.c - segments go when their term is over, not before, and what is left is proven all the same. */
#include <stdatomic.h>
#include <time.h>

#include "record/segment.h"
#include "tests/lib/ledger.h"
#include "tests/lib/stranger.h"

#define DAYS(n) ((n)*86400ull)

static char dir[64], said[8192];
static _Atomic uint64_t ahead_s; /* of the real time */
static atomic_bool hold;
static _Atomic uint64_t asked_last;

static uint64_t later(clockid_t which)
{
	return file_system.clock(which) + (which == CLOCK_REALTIME ? ahead_s * 1000000000ull : 0);
}

static bool is_held(void *arg, uint64_t first, uint64_t last)
{
	(void)arg;
	(void)first;
	asked_last = last;
	return hold;
}

static struct ledger *open_at(uint64_t days)
{
	static struct file_ops ops;
	struct ledger_options o = { .dir = dir,
		                    .segment_bytes = 32 << 10,
		                    .checkpoint_ms = 10,
		                    .floor_days = LOG_LEDGER_FLOOR_DAYS,
		                    .retain_s = DAYS(200),
		                    .retain_policy = "record.retain 200d",
		                    .held = is_held };
	struct ledger *l = NULL;

	ops = file_system;
	ops.clock = later;
	ahead_s = DAYS(days);
	cr_assert_eq(ledger_open_on(&l, &o, &ops), 0);
	return l;
}

static size_t segments(uint64_t *first)
{
	owned(own_free) struct segment_name *list = NULL;
	owned(own_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0;

	cr_assert_eq(segment_list(fd, &list, &n), 0);
	*first = n ? list[0].first_seq : UINT64_MAX;
	return n;
}

static void append_some(struct ledger *l, int n)
{
	for (int i = 0; i < n; i++)
		cr_assert_eq(append_named(l, "a record that is as long as they usually are, or nearly so", NULL), 0);
	cr_assert_eq(append_wait(l, "end", NULL), 0);
}

/* Until nothing is raw but the newest, and the pruner has looked. */
static void settle(struct ledger *l, uint64_t pruned)
{
	struct ledger_stats s;

	for (int i = 0; i < 1500; i++) {
		ledger_stats(l, &s);
		if (pruned && s.pruned >= pruned)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		if (!pruned && i > 100)
			return;
	}
}

static void collect(void *arg, enum fault what, const char *text)
{
	size_t len = strlen(said);

	(void)arg;
	snprintf(said + len, sizeof(said) - len, "%s: %s\n", fault_names[what], text);
}

static struct verify_result verify(void)
{
	struct verify_options o = { .dir = dir, .fault = collect };
	struct verify_result r;

	said[0] = '\0';
	cr_assert_eq(ledger_verify(&r, &o), 0);
	return r;
}

static size_t fill(void)
{
	struct ledger *l;
	uint64_t first;
	size_t n;

	new_dir(dir);
	l = open_at(0);
	append_some(l, 2000);
	settle(l, 0);
	ledger_close(&l);
	cr_assert(!verify().faults, "%s", said);
	n = segments(&first);
	cr_assert(n > 4 && !first);
	return n;
}

TEST(prune, in_its_time)
{
	size_t n = fill(), left;
	struct ledger_stats s;
	struct ledger *l = open_at(199);
	struct verify_result r;
	char path[128];
	uint64_t first;

	append_some(l, 10);
	settle(l, 0);
	ledger_stats(l, &s);
	cr_assert(!s.pruned && !s.prune_failures, "199 days");
	ledger_close(&l);
	l = open_at(201);
	settle(l, n - 1);
	ledger_stats(l, &s);
	cr_assert(s.pruned >= n - 1 && !s.prune_failures, "%d of %zu", (int)s.pruned, n);
	append_some(l, 500);
	ledger_close(&l);
	left = segments(&first);
	cr_assert(first > 1000, "%d", (int)first);
	r = verify();
	cr_assert(!r.faults && r.pruned > 1000, "%s", said);
	cr_assert_eq(stranger(dir), 0, "nor does another verifier miss anything");
	/* What no Prune names is missing. */
	cr_assert(left > 1);
	snprintf(path, sizeof(path), "%s/%020llu.seg.gz", dir, (unsigned long long)first);
	if (unlink(path)) {
		path[strlen(path) - 3] = '\0';
		cr_assert(!unlink(path));
	}
	cr_assert(verify().faults && strstr(said, "missing: "), "%s", said);
	cr_assert_eq(stranger(dir), 1);
	remove_dir(dir);
}

/* The keys of today are vouched for by the first one, whose vouching was pruned. */
TEST(prune, changes_of_key_stay)
{
	struct ledger *l;
	size_t n = fill();
	char path[128];
	uint64_t first;

	/* The clock of the keys is the host's: each opening at a later day changes the key. */
	l = open_at(30);
	append_some(l, 1000);
	settle(l, 0);
	ledger_close(&l);
	cr_assert(verify().keys > 2);
	n = segments(&first);
	l = open_at(300);
	settle(l, n - 1);
	append_some(l, 10);
	ledger_close(&l);
	segments(&first);
	cr_assert(first > 2000, "%d", (int)first);
	cr_assert(!verify().faults, "%s", said);
	snprintf(path, sizeof(path), "%s/rotations", dir);
	cr_assert(!access(path, R_OK));
	cr_assert_eq(stranger(dir), 0);
	unlink(path);
	cr_assert(verify().faults && strstr(said, "unsigned: "), "%s", said);
	cr_assert_eq(stranger(dir), 1);
	remove_dir(dir);
}

TEST(prune, not_under_a_hold)
{
	size_t n = fill();
	struct ledger_stats s;
	struct ledger *l;
	uint64_t first;

	hold = true;
	l = open_at(201);
	s.held = 0;
	for (int i = 0; i < 500 && !s.held; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		ledger_stats(l, &s);
	}
	cr_assert(!s.pruned && s.held == 1 && asked_last > 0);
	ledger_close(&l);
	cr_assert(segments(&first) >= n && !first);
	hold = false;
	l = open_at(201);
	settle(l, n - 1);
	ledger_stats(l, &s);
	cr_assert(s.pruned >= n - 1 && !s.held);
	ledger_close(&l);
	cr_assert(!verify().faults, "%s", said);
	remove_dir(dir);
}
