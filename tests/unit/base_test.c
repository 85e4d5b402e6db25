/* SPDX-License-Identifier: Apache-2.0 */
/* base_test.c - the byte queue and the event loop. */
#include "tests/lib/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/dirs.h"
#include "base/loop.h"
#include "base/own.h"

#define MS 1000000u

/* ---- buf ---- */

static bool holds(const struct buf *b, const char *text)
{
	return slice_is(buf_slice(b), slice_str(text));
}

TEST(buf, what_is_added_is_taken)
{
	owned(buf_free) struct buf b = BUF(100);

	cr_assert_eq(buf_len(&b), 0);
	cr_assert_null(b.data);
	cr_assert_eq(buf_add(&b, SLICE("")), 0);
	cr_assert_null(b.data, "nothing is allocated for nothing");
	cr_assert_eq(buf_add(&b, SLICE("hello ")), 0);
	cr_assert_eq(buf_add(&b, SLICE("world")), 0);
	cr_assert(holds(&b, "hello world"));
	buf_take(&b, 6);
	cr_assert(holds(&b, "world"));
	buf_cut(&b, 3);
	cr_assert(holds(&b, "wor"));
	buf_take(&b, 3);
	cr_assert_eq(buf_len(&b), 0);
}

TEST(buf, cap_is_kept_and_refusal_changes_nothing)
{
	owned(buf_free) struct buf b = BUF(8), none = BUF(0);

	cr_assert_eq(buf_add(&none, SLICE("x")), -ENOBUFS);
	cr_assert_eq(buf_add(&b, SLICE("12345678")), 0);
	cr_assert_eq(buf_add(&b, SLICE("9")), -ENOBUFS);
	cr_assert(holds(&b, "12345678"));
	cr_assert_null(buf_want(&b, 1));
	cr_assert_null(buf_want(&b, SIZE_MAX));
	buf_take(&b, 4);
	cr_assert_eq(buf_add(&b, SLICE("abcd")), 0);
	cr_assert(holds(&b, "5678abcd"));
	cr_assert_eq(buf_printf(&b, "%d", 1), -ENOBUFS);
	cr_assert_eq(buf_splice(&b, 0, 1, SLICE("ab")), -ENOBUFS);
	cr_assert(holds(&b, "5678abcd"));
}

TEST(buf, cap_counts_live_bytes_however_long_it_lives)
{
	owned(buf_free) struct buf b = BUF(1000);
	uint8_t in = 0, out = 0;

	for (int round = 0; round < 5000; round++) {
		size_t n = (size_t)(round * 7 % 97);

		for (size_t i = 0; i < n && buf_len(&b) < 1000; i++, in++)
			cr_assert_eq(buf_add(&b, slice_of(&in, 1)), 0);
		for (size_t i = (size_t)(round * 5 % 89); i && buf_len(&b); i--, out++) {
			cr_assert_eq(*buf_slice(&b).at, out);
			buf_take(&b, 1);
		}
		cr_assert_leq(b.room, 2048, "room %zu", b.room);
	}
}

TEST(buf, grows_by_doubling_and_gives_large_memory_back)
{
	owned(buf_free) struct buf b = BUF(1 << 20);
	char block[1000];

	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(buf_add(&b, slice_of(block, sizeof(block))), 0);
	cr_assert_eq(b.room, 1 << 20);
	buf_take(&b, 999 * sizeof(block));
	cr_assert_eq(buf_len(&b), sizeof(block));
	buf_take(&b, sizeof(block));
	cr_assert_null(b.data);
	cr_assert_eq(buf_add(&b, SLICE("small")), 0);
	buf_take(&b, 5);
	cr_assert_not_null(b.data, "small memory stays");
}

TEST(buf, splice_replaces_anywhere)
{
	static const struct {
		size_t at, del;
		const char *bytes, *result;
	} rows[] = {
		{ 0, 0, "", "abcdef" },       { 0, 6, "", "" },      { 0, 1, "XYZ", "XYZbcdef" },
		{ 2, 2, "XY", "abXYef" },     { 2, 3, "Z", "abZf" }, { 6, 0, "end", "abcdefend" },
		{ 3, 0, "mid", "abcmiddef" }, { 5, 1, "", "abcde" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		owned(buf_free) struct buf b = BUF(1000);

		buf_add(&b, SLICE("__abcdef"));
		buf_take(&b, 2);
		cr_assert_eq(buf_splice(&b, rows[i].at, rows[i].del, slice_str(rows[i].bytes)), 0);
		cr_assert(holds(&b, rows[i].result), "row %zu", i);
	}
	owned(buf_free) struct buf big = BUF(100000);

	buf_add(&big, SLICE("ab"));
	for (int i = 0; i < 5000; i++)
		cr_assert_eq(buf_splice(&big, 1, 0, SLICE("0123456789")), 0);
	cr_assert_eq(buf_len(&big), 50002);
	cr_assert_eq(*(buf_slice(&big).at + 50001), 'b');
}

TEST(buf, printf_adds_no_terminator)
{
	owned(buf_free) struct buf b = BUF(4096);

	cr_assert_eq(buf_printf(&b, "%s-%d", "a", 7), 0);
	cr_assert_eq(buf_printf(&b, "%s", ""), 0);
	cr_assert_eq(buf_printf(&b, "%01000d", 1), 0);
	cr_assert_eq(buf_len(&b), 1003);
	buf_cut(&b, 3);
	cr_assert(holds(&b, "a-7"));
}

/* ---- loop ---- */

struct ring {
	struct timer timer;
	struct loop *loop;
	char name;
};

static char order[64];
static size_t ordered;

static void note(char what)
{
	if (ordered < sizeof(order) - 1)
		order[ordered++] = what;
}

static void rings(struct timer *t)
{
	struct ring *r = container_of(t, struct ring, timer);

	note(r->name);
	if (r->name == '.')
		loop_stop(r->loop);
}

static struct ring ring(struct loop *l, char name)
{
	return (struct ring){ .timer = { .due = rings }, .loop = l, .name = name };
}

TEST(loop, timers_run_in_order_and_can_be_stopped_and_restarted)
{
	owned(loop_free) struct loop *l = NULL;
	struct ring a, b, c, d, end;

	cr_assert_eq(loop_new(&l), 0);
	a = ring(l, 'a'), b = ring(l, 'b'), c = ring(l, 'c'), d = ring(l, 'd'), end = ring(l, '.');
	loop_timer(l, &end.timer, 60 * MS);
	loop_timer(l, &c.timer, 30 * MS);
	loop_timer(l, &a.timer, 10 * MS);
	loop_timer(l, &d.timer, 5 * MS);
	loop_timer(l, &b.timer, 1 * MS);
	loop_timer(l, &b.timer, 20 * MS); /* later */
	loop_timer_stop(l, &d.timer);
	loop_timer_stop(l, &d.timer); /* twice does nothing */
	loop_run(l);
	cr_assert_str_eq(order, "abc.");
}

TEST(loop, many_timers_are_never_early)
{
	owned(loop_free) struct loop *l = NULL;
	static struct ring many[1000];
	struct ring end;
	uint32_t seed = 1;

	cr_assert_eq(loop_new(&l), 0);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		many[i] = ring(l, 'x');
		seed = seed * 1664525 + 1013904223;
		loop_timer(l, &many[i].timer, seed % (20 * MS));
	}
	for (size_t i = 0; i < ARRAY_LEN(many); i += 3)
		loop_timer_stop(l, &many[i].timer);
	for (size_t i = 1; i < ARRAY_LEN(many); i += 3)
		loop_timer(l, &many[i].timer, 3600000ull * MS);
	end = ring(l, '.');
	loop_timer(l, &end.timer, 30 * MS);
	loop_run(l);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		cr_assert_eq(many[i].timer.place > 0, i % 3 == 1, "timer %zu", i);
}

struct pipe_end {
	struct watch watch;
	struct loop *loop;
	char name;
	int turns;
	struct pipe_end *other;
};

/* Asks for turn after turn: both get theirs alternately. */
static void busy(struct watch *w, uint32_t events)
{
	struct pipe_end *p = container_of(w, struct pipe_end, watch);

	(void)events;
	note(p->name);
	if (--p->turns)
		loop_again(p->loop, w);
	else if (!p->other->turns)
		loop_stop(p->loop);
}

TEST(loop, again_is_fair)
{
	owned(loop_free) struct loop *l = NULL;
	struct pipe_end a, b;

	cr_assert_eq(loop_new(&l), 0);
	a = (struct pipe_end){ { .ready = busy, .fd = -1 }, l, 'a', 4, &b };
	b = (struct pipe_end){ { .ready = busy, .fd = -1 }, l, 'b', 4, &a };
	loop_again(l, &a.watch);
	loop_again(l, &a.watch); /* asking twice is asking once */
	loop_again(l, &b.watch);
	loop_run(l);
	cr_assert_str_eq(order, "abababab");
}

/* Whoever comes first takes the other away and ends: no call for the other may follow. */
static void murder(struct watch *w, uint32_t events)
{
	struct pipe_end *p = container_of(w, struct pipe_end, watch);

	(void)events;
	note('m');
	if (p->other) {
		loop_del(p->loop, &p->other->watch);
		memset(p->other, 0xee, sizeof(*p->other));
		p->other = NULL;
	}
	loop_stop(p->loop);
}

TEST(loop, nothing_is_called_after_del)
{
	owned(loop_free) struct loop *l = NULL;
	struct pipe_end *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b)), *c = malloc(sizeof(*c));
	int fds[2];

	cr_assert_eq(loop_new(&l), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*a = (struct pipe_end){ { .ready = murder, .fd = fds[0] }, l, 'a', 1, b };
	*b = (struct pipe_end){ { .ready = murder, .fd = fds[1] }, l, 'b', 1, a };
	cr_assert_eq(loop_add(l, &a->watch), 0);
	cr_assert_eq(loop_add(l, &b->watch), 0);
	cr_assert_eq(write(fds[0], "x", 1), 1);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	loop_again(l, &a->watch);
	loop_again(l, &b->watch);
	/* Taking out the last and the only one of the queue leaves it good. */
	*c = (struct pipe_end){ { .ready = busy, .fd = -1 }, l, 'c', 1, c };
	loop_again(l, &c->watch);
	loop_del(l, &c->watch);
	loop_again(l, &c->watch);
	loop_del(l, &c->watch);
	free(c);
	loop_run(l);
	cr_assert_str_eq(order, "mm"); /* the event, and the turn that it had asked for itself */
	free(a);
	free(b);
	close(fds[0]);
	close(fds[1]);
}

TEST(loop, del_of_one_that_asked_again)
{
	owned(loop_free) struct loop *l = NULL;
	struct pipe_end a, b, c;

	cr_assert_eq(loop_new(&l), 0);
	a = (struct pipe_end){ { .ready = busy, .fd = -1 }, l, 'a', 1, &b };
	b = (struct pipe_end){ { .ready = busy, .fd = -1 }, l, 'b', 0, &a };
	c = (struct pipe_end){ { .ready = busy, .fd = -1 }, l, 'c', 1, &b };
	loop_again(l, &a.watch);
	loop_again(l, &b.watch);
	loop_del(l, &b.watch);
	loop_again(l, &c.watch);
	loop_run(l);
	cr_assert_str_eq(order, "ac");
}

struct parcel {
	struct post post;
	atomic_int *left;
	struct loop *loop;
};

static void arrives(struct post *p)
{
	struct parcel *parcel = container_of(p, struct parcel, post);

	if (atomic_fetch_sub(parcel->left, 1) == 1)
		loop_stop(parcel->loop);
}

struct sender {
	struct loop *loop;
	struct parcel parcels[2000];
};

static void *sends(void *arg)
{
	struct sender *s = arg;

	for (size_t i = 0; i < ARRAY_LEN(s->parcels); i++)
		loop_post(s->loop, &s->parcels[i].post);
	return NULL;
}

TEST(loop, posts_of_many_threads_all_arrive_once)
{
	owned(loop_free) struct loop *l = NULL;
	static struct sender senders[4];
	atomic_int left = ARRAY_LEN(senders) * ARRAY_LEN(senders[0].parcels);
	pthread_t threads[ARRAY_LEN(senders)];

	cr_assert_eq(loop_new(&l), 0);
	for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
		senders[i].loop = l;
		for (size_t k = 0; k < ARRAY_LEN(senders[i].parcels); k++)
			senders[i].parcels[k] = (struct parcel){ { .run = arrives }, &left, l };
		pthread_create(&threads[i], NULL, sends, &senders[i]);
	}
	loop_run(l);
	for (size_t i = 0; i < ARRAY_LEN(senders); i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(atomic_load(&left), 0);
}

TEST(loop, what_was_posted_runs_also_when_it_stops)
{
	owned(loop_free) struct loop *l = NULL;
	atomic_int left = 1;
	struct parcel p;

	cr_assert_eq(loop_new(&l), 0);
	p = (struct parcel){ { .run = arrives }, &left, l };
	loop_post(l, &p.post);
	loop_stop(l);
	loop_run(l);
	cr_assert_eq(atomic_load(&left), 0);
}

static void level(struct watch *w, uint32_t events)
{
	struct pipe_end *p = container_of(w, struct pipe_end, watch);

	note(events & EPOLLIN ? 'i' : '?');
	if (!--p->turns)
		loop_stop(p->loop);
}

TEST(loop, level_watches_are_told_until_it_is_read)
{
	owned(loop_free) struct loop *l = NULL;
	struct pipe_end a;
	int fds[2];

	cr_assert_eq(loop_new(&l), 0);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	a = (struct pipe_end){ { .ready = level, .fd = fds[0] }, l, 'a', 3, NULL };
	cr_assert_eq(loop_add_level(l, &a.watch, EPOLLIN), 0);
	cr_assert_eq(loop_add_level(l, &a.watch, EPOLLIN), -EEXIST);
	loop_run(l);
	cr_assert_str_eq(order, "iii");
	loop_del(l, &a.watch);
	close(fds[0]);
	close(fds[1]);
}

TEST(base, dirs_are_made)
{
	char top[] = "/tmp/sluice-dirs-XXXXXX", path[64], deep[64];
	struct stat st;

	cr_assert_not_null(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/a/b", top);
	snprintf(deep, sizeof(deep), "%s/a/b/c/file", top);
	cr_expect_eq(make_dirs(path, 0700), 0);
	cr_expect_eq(make_dirs(path, 0700), 0, "again");
	cr_expect(!stat(path, &st) && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
	cr_expect_eq(make_parents(deep, 0700), 0);
	cr_expect_eq(stat(deep, &st), -1, "the last part is not made");
	cr_expect_eq(make_dirs("", 0700), -ENOENT);
	cr_expect_eq(make_dirs("/proc/version/x", 0700), -ENOTDIR);
	for (const char *const *one = (const char *const[]){ "/a/b/c", "/a/b", "/a", "", NULL }; *one; one++) {
		snprintf(path, sizeof(path), "%s%s", top, *one);
		cr_expect_eq(rmdir(path), 0, "%s", path);
	}
}
