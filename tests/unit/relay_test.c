/* SPDX-License-Identifier: Apache-2.0 */
/* relay_test.c - a log changes hands: each record is in it once, and who waits for one hears of it, whoever dies. */
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/loop.h"
#include "record/relay.h"
#include "tests/lib/ledger.h"

/* The process that writes the log after the hand-over: its ledger, and the loop that takes what comes. */
struct heir {
	struct ledger *ledger;
	struct ledger_inlet *inlet;
	struct loop *loop;
	pthread_t thread;
};

static void *run(void *loop)
{
	loop_run(loop);
	return NULL;
}

static void heir_born(struct heir *h, const char *dir, int fd)
{
	*h = (struct heir){};
	cr_assert_eq(ledger_open(&h->ledger, &(struct ledger_options){ .dir = dir }), 0);
	cr_assert_eq(loop_new(&h->loop), 0);
	cr_assert_eq(ledger_inlet_open(&h->inlet, h->ledger, LOG_LEDGER, h->loop, fd), 0);
	cr_assert_eq(pthread_create(&h->thread, NULL, run, h->loop), 0);
}

/* As the daemon does it: what came is committed, confirmed, and nothing is left. */
static void heir_gone(struct heir *h)
{
	loop_stop(h->loop);
	pthread_join(h->thread, NULL);
	ledger_close(&h->ledger);
	ledger_inlet_close(&h->inlet);
	loop_run(h->loop);
	loop_free(&h->loop);
}

static void two(int both[2])
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both), 0);
}

static unsigned times_there(const char *dir, const char *name)
{
	struct ledger_reader *r = NULL;
	const Record *record;
	unsigned n = 0;

	cr_assert_eq(ledger_reader_open(&r, dir), 0);
	while (ledger_next(r, &record) == 1)
		n += record->body_case == RECORD__BODY_EXCHANGE && !strcmp(record->exchange->request_id, name);
	ledger_reader_close(&r);
	return n;
}

static bool until_none_waits(struct ledger *l)
{
	for (int i = 0; i < 1000 && ledger_waiting(l); i++)
		usleep(10000);
	return !ledger_waiting(l);
}

TEST(relay, what_comes_later_goes_to_the_next)
{
	struct waiter before = {}, after = {};
	struct ledger *l = NULL;
	struct heir heir;
	char dir[64];
	int both[2];

	waiter_init(&before);
	waiter_init(&after);
	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = new_dir(dir) }), 0);
	cr_assert_eq(append_named(l, "before", &before.note), 0);
	two(both);
	cr_assert_eq(ledger_hand_over(l, both[0]), 0);
	cr_assert_eq(wait_told(&before), 0);
	cr_assert_eq(append_named(l, "between", NULL), 0, "nobody writes the log now: it waits");
	cr_assert(ledger_waiting(l) > 0);
	heir_born(&heir, dir, both[1]);
	for (int i = 0; i < 500; i++)
		cr_assert_eq(append_named(l, "many", NULL), 0);
	cr_assert_eq(append_named(l, "after", &after.note), 0);
	cr_assert_eq(wait_told(&after), 0);
	cr_assert(after.seq > before.seq);
	cr_assert_eq(times_there(dir, "after"), 1, "it was durable when it was told");
	cr_assert(until_none_waits(l));
	ledger_close(&l);
	heir_gone(&heir);
	cr_assert_eq(times_there(dir, "between"), 1);
	cr_assert_eq(times_there(dir, "many"), 500);
	remove_dir(dir);
}

TEST(relay, what_was_not_confirmed_goes_to_the_one_after)
{
	struct waiter w = {};
	struct ledger *l = NULL;
	struct heir heir;
	char dir[64];
	int both[2];

	waiter_init(&w);
	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = new_dir(dir) }), 0);
	two(both);
	cr_assert_eq(ledger_hand_over(l, both[0]), 0);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(append_named(l, "lost", NULL), 0);
	cr_assert_eq(append_named(l, "waits", &w.note), 0);
	/* This one takes some, and dies. */
	cr_assert_eq(poll(&(struct pollfd){ .fd = both[1], .events = POLLIN }, 1, 10000), 1);
	for (int i = 0; i < 3; i++) {
		uint8_t message[256];

		cr_assert(recv(both[1], message, sizeof(message), 0) > 0);
	}
	close(both[1]);
	two(both);
	cr_assert_eq(ledger_hand_over(l, both[0]), 0);
	heir_born(&heir, dir, both[1]);
	cr_assert_eq(wait_told(&w), 0);
	cr_assert(until_none_waits(l));
	ledger_close(&l);
	heir_gone(&heir);
	cr_assert_eq(times_there(dir, "lost"), 20);
	cr_assert_eq(times_there(dir, "waits"), 1);
	remove_dir(dir);
}

/* Who confirms may wait with reading until its confirmations are taken: neither may wait for the other. */
TEST(relay, what_is_confirmed_is_heard_while_no_more_can_be_sent)
{
	struct ledger *l = NULL;
	const unsigned many = 3000, taken = 5;
	char dir[64];
	int both[2];

	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = new_dir(dir) }), 0);
	two(both);
	cr_assert_eq(ledger_hand_over(l, both[0]), 0);
	for (unsigned i = 0; i < many; i++)
		cr_assert_eq(append_named(l, "many", NULL), 0);
	for (unsigned i = 0; i < taken; i++) {
		uint8_t message[256];
		struct relay_ack ack = {};

		cr_assert(recv(both[1], message, sizeof(message), 0) > 0);
		usleep(50000); /* the room that this has made is used */
		memcpy(&ack.no, message + offsetof(struct relay_head, no), sizeof(ack.no));
		cr_assert_eq(send(both[1], &ack, sizeof(ack), 0), (ssize_t)sizeof(ack));
	}
	for (int i = 0; i < 1000 && ledger_waiting(l) > many - taken; i++)
		usleep(10000);
	cr_assert_eq(ledger_waiting(l), many - taken, "%llu wait", (unsigned long long)ledger_waiting(l));
	close(both[1]);
	ledger_close(&l);
	remove_dir(dir);
}

TEST(relay, from_hand_to_hand)
{
	struct ledger *l = NULL;
	struct heir first, second;
	char dir[64];
	int a[2], b[2], c[2];

	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = new_dir(dir) }), 0);
	two(a);
	cr_assert_eq(ledger_hand_over(l, a[0]), 0);
	heir_born(&first, dir, a[1]);
	for (int i = 0; i < 300; i++)
		cr_assert_eq(append_named(l, "many", NULL), 0);
	/* The heir gives way in the middle of it: its log first, then what it took from others is confirmed. */
	loop_stop(first.loop);
	pthread_join(first.thread, NULL);
	two(b);
	two(c);
	cr_assert_eq(ledger_hand_over(first.ledger, b[0]), 0);
	ledger_inlet_close(&first.inlet);
	loop_run(first.loop);
	cr_assert_eq(ledger_hand_over(l, c[0]), 0);
	heir_born(&second, dir, c[1]);
	close(b[1]);
	cr_assert_eq(append_named(l, "last", NULL), 0);
	cr_assert(until_none_waits(l));
	ledger_close(&l);
	ledger_close(&first.ledger);
	loop_free(&first.loop);
	heir_gone(&second);
	cr_assert_eq(times_there(dir, "many"), 300, "none lost, none twice");
	cr_assert_eq(times_there(dir, "last"), 1);
	remove_dir(dir);
}

TEST(relay, nobody_comes)
{
	struct waiter w = {};
	struct ledger *l = NULL;
	char dir[64];
	int both[2];

	waiter_init(&w);
	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = new_dir(dir) }), 0);
	two(both);
	cr_assert_eq(ledger_hand_over(l, both[0]), 0);
	close(both[1]);
	cr_assert_eq(append_named(l, "waits", &w.note), 0);
	ledger_close(&l);
	cr_assert_eq(wait_told(&w), -EIO, "nobody who waits is left waiting");
	remove_dir(dir);
}

/* What is confirmed and was never sent, again, or in another order. */
TEST(relay, confirmations_are_read_as_a_strangers)
{
	struct relay_ack wrong[] = { { .no = 7 }, { .no = UINT64_MAX, .err = -EIO }, { .no = 1, .err = 5 }, { .no = 1 },
		                     { .no = 1 }, { .no = 0, .err = -ENOSPC } };
	struct waiter first = {}, second = {};
	struct ledger *l = NULL;
	char dir[64];
	int both[2];

	waiter_init(&first);
	waiter_init(&second);
	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = new_dir(dir) }), 0);
	two(both);
	cr_assert_eq(ledger_hand_over(l, both[0]), 0);
	cr_assert_eq(append_named(l, "first", &first.note), 0);
	cr_assert_eq(append_named(l, "second", &second.note), 0);
	for (int i = 0; i < 2; i++) {
		uint8_t message[256];

		cr_assert(recv(both[1], message, sizeof(message), 0) > 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		cr_assert_eq(send(both[1], &wrong[i], sizeof(wrong[i]), 0), sizeof(wrong[i]));
	cr_assert_eq(wait_told(&second), 0);
	cr_assert_eq(wait_told(&first), -ENOSPC);
	cr_assert_eq(ledger_waiting(l), 0);
	cr_assert(!ledger_is_sound(l), "the last one said that there is no space");
	ledger_close(&l);
	close(both[1]);
	remove_dir(dir);
}

static bool is_taken(const void *message, size_t len)
{
	struct ledger_inlet *in = NULL;
	struct ledger *l = NULL;
	struct loop *loop = NULL;
	struct relay_ack ack;
	char dir[64];
	bool bad = false, taken = false, over = false;
	int both[2];

	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = new_dir(dir) }), 0);
	cr_assert_eq(loop_new(&loop), 0);
	two(both);
	cr_assert_eq(ledger_inlet_open(&in, l, LOG_LEDGER, loop, both[1]), 0);
	cr_assert_eq(send(both[0], message, len, 0), (ssize_t)len);
	pthread_t id;

	cr_assert_eq(pthread_create(&id, NULL, run, loop), 0);
	for (int i = 0; i < 1000 && !taken && !over; i++) {
		usleep(2000);
		taken = recv(both[0], &ack, sizeof(ack), MSG_DONTWAIT) == sizeof(ack) && !ack.err;
		over = ledger_inlet_over(in, &bad);
	}
	loop_stop(loop);
	pthread_join(id, NULL);
	cr_assert(taken || bad);
	ledger_close(&l);
	ledger_inlet_close(&in);
	loop_run(loop);
	loop_free(&loop);
	close(both[0]);
	remove_dir(dir);
	return taken;
}

static size_t message_of(uint8_t *to, const Record *r, uint32_t version)
{
	struct relay_head head = { .version = version };

	memcpy(to, &head, sizeof(head));
	return sizeof(head) + record__pack(r, to + sizeof(head));
}

TEST(relay, only_records_of_the_log_are_taken)
{
	uint8_t message[512] = {};
	Record r = RECORD__INIT;
	Loss loss = LOSS__INIT;
	Hold hold = HOLD__INIT;

	r.body_case = RECORD__BODY_LOSS;
	r.loss = &loss;
	cr_assert(is_taken(message, message_of(message, &r, RELAY_VERSION)));
	cr_assert(!is_taken(message, message_of(message, &r, RELAY_VERSION + 1)), "of another version");
	r.body_case = RECORD__BODY_HOLD;
	r.hold = &hold;
	cr_assert(!is_taken(message, message_of(message, &r, RELAY_VERSION)), "a hold is the control log's");
	r.body_case = RECORD__BODY__NOT_SET;
	cr_assert(!is_taken(message, message_of(message, &r, RELAY_VERSION)), "no record at all");
	cr_assert(!is_taken(message, 3), "half a head");
	memset(message, 0xff, sizeof(message));
	memcpy(message, &(struct relay_head){ .version = RELAY_VERSION }, sizeof(struct relay_head));
	cr_assert(!is_taken(message, sizeof(message)), "no protobuf");
}
