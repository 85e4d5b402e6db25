/* SPDX-License-Identifier: Apache-2.0 */
/* alert_test.c - facts become alerts, once each, and alerts become messages. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

#include "alert/alert.h"
#include "base/own.h"

#define UNIX 1795000000u

static const struct alert_limits limits = { .window_s = 100, .blocks = 10, .policy_age_s = 1000 };
static const struct alert_facts well = {
	.started_unix = UNIX - 500, .policy_loaded_unix = UNIX - 500, .patience_s = 15, .record_sound = true
};

static char told[1024];

static void changed(void *arg, const struct alert_change *c)
{
	size_t len = strlen(told);

	(void)arg;
	snprintf(told + len, sizeof(told) - len, "%s%s%s/%u", len ? " " : "", c->firing ? "+" : "-",
	         alert_table[c->kind].name + strlen("Sluice"), c->service);
}

/* What changes when the judge looks, `at` seconds after it began. */
static const char *look(struct alert_judge *j, uint64_t at)
{
	told[0] = '\0';
	alert_look(j, 1000 + at, UNIX + at, changed, NULL);
	return told;
}

static void hear(struct alert_judge *j, const struct alert_facts *f, uint64_t at)
{
	alert_hear(j, f, 1000 + at);
}

static struct alert_judge *judge(void)
{
	static struct alert_judge j;

	alert_judge_init(&j, &limits, 2, 1000);
	return &j;
}

TEST(alert, nothing_is_said_of_a_host_that_is_well)
{
	struct alert_judge *j = judge();

	cr_assert_str_eq(look(j, 90), "", "before anything was heard");
	for (uint64_t t = 0; t < 400; t++) {
		hear(j, &well, t);
		cr_assert_str_eq(look(j, t), "");
	}
}

TEST(alert, each_begins_and_ends_once)
{
	static const struct {
		struct alert_facts sick;
		const char *begin, *end;
		uint64_t heard, at,
			over; /* when the sick facts come, when they are an alert, when they no longer are */
	} rows[] = {
		{ { .record_sound = false }, "+RecordFailed/0", "-RecordFailed/0", 10, 10, 11 },
		{ { .record_sound = true, .uncovered = 3 }, "+Uncovered/0", "-Uncovered/0", 10, 10, 11 },
		{ { .record_sound = true, .breakers_open = 1 }, "+OpinionBreaker/0", "-OpinionBreaker/0", 10, 10, 11 },
		/* One that opened and closed between two looks. */
		{ { .record_sound = true, .breakers_opened = 1 },
		  "+OpinionBreaker/0",
		  "-OpinionBreaker/0",
		  10,
		  10,
		  110 },
		{ { .record_sound = true, .stops_not_confirmed = 1 },
		  "+StopNotConfirmed/0",
		  "-StopNotConfirmed/0",
		  10,
		  10,
		  110 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct alert_judge *j = judge();
		struct alert_facts f = rows[i].sick, after = well;

		f.started_unix = well.started_unix;
		f.policy_loaded_unix = well.policy_loaded_unix;
		after.stops_not_confirmed = f.stops_not_confirmed;
		after.breakers_opened = f.breakers_opened;
		hear(j, &well, 1);
		cr_assert_str_eq(look(j, 1), "");
		hear(j, &f, rows[i].heard);
		cr_assert_str_eq(look(j, rows[i].at), rows[i].begin);
		cr_assert_str_eq(look(j, rows[i].at), "", "it is said once");
		hear(j, &after, rows[i].over - 1);
		if (rows[i].over > rows[i].at + 1)
			cr_assert_str_eq(look(j, rows[i].over - 1), "");
		hear(j, &after, rows[i].over);
		cr_assert_str_eq(look(j, rows[i].over), rows[i].end);
	}
}

TEST(alert, silence_is_the_end_of_the_worker)
{
	struct alert_judge *j = judge();
	struct alert_facts f = well;

	hear(j, &f, 0);
	cr_assert_str_eq(look(j, 15), "");
	cr_assert_str_eq(look(j, 16), "+Down/0");
	hear(j, &f, 17);
	cr_assert_str_eq(look(j, 17), "-Down/0");
	f.patience_s = 120; /* a policy is read */
	hear(j, &f, 20);
	cr_assert_str_eq(look(j, 140), "");
	cr_assert_str_eq(look(j, 141), "+Down/0");
}

TEST(alert, what_passed_before_this_run_is_told_for_a_window)
{
	struct alert_judge *j = judge();
	struct alert_facts f = well;

	f.started_unix = UNIX;
	f.open_passed = 4;
	hear(j, &f, 0);
	cr_assert_str_eq(look(j, 1), "+FailOpen/0");
	hear(j, &f, 90);
	cr_assert_str_eq(look(j, 99), "");
	hear(j, &f, 100);
	cr_assert_str_eq(look(j, 100), "-FailOpen/0");
}

TEST(alert, a_policy_that_nobody_reloads)
{
	struct alert_judge *j = judge();
	struct alert_facts f = well;

	hear(j, &f, 500);
	cr_assert_str_eq(look(j, 500), "");
	cr_assert_str_eq(look(j, 501), "+PolicyOld/0");
	f.policy_loaded_unix = UNIX + 502;
	hear(j, &f, 502);
	cr_assert_str_eq(look(j, 502), "-PolicyOld/0");
}

TEST(alert, blocks_are_counted_by_service_in_a_window_that_slides)
{
	struct alert_judge *j = judge();
	struct alert_facts f = well;

	f.patience_s = 0;
	f.blocked[0] = 1000; /* an older worker's */
	hear(j, &f, 0);
	cr_assert_str_eq(look(j, 0), "", "what was counted before is not news");
	f.blocked[1] = 10;
	hear(j, &f, 1);
	cr_assert_str_eq(look(j, 1), "", "as many as may be");
	f.blocked[1] = 11;
	hear(j, &f, 50);
	cr_assert_str_eq(look(j, 50), "+BlocksMany/1");
	cr_assert_str_eq(look(j, 99), "");
	cr_assert_str_eq(look(j, 100), "-BlocksMany/1", "ten of them are a window ago");
	f.blocked[0] = f.blocked[1] = 4; /* a new worker counts from 0 */
	hear(j, &f, 101);
	cr_assert_str_eq(look(j, 101), "");
	f.blocked[0] = 11;
	hear(j, &f, 102);
	cr_assert_str_eq(look(j, 102), "+BlocksMany/0");
	cr_assert_str_eq(look(j, 400), "-BlocksMany/0");
}

static const char *const names[] = { "vllm", "a \"b\"\\\n" };
static const struct alert_words words = { .host = "gpu-1", .services = names };

static void is_text(struct buf *b, const char *text)
{
	cr_assert_eq(buf_add(b, slice_of((const uint8_t *)"", 1)), 0);
	cr_assert_str_eq((const char *)buf_slice(b).at, text);
	buf_free(b);
}

TEST(alert, as_alertmanager_has_it)
{
	struct buf b = BUF(65536);
	struct alert_change c = { .kind = ALERT_BLOCKS_MANY, .firing = true, .at_unix = UNIX };

	cr_assert_eq(alert_for_alertmanager(&b, &c, &words, UNIX + 240), 0);
	c = (struct alert_change){ .kind = ALERT_FAIL_OPEN, .at_unix = UNIX + 1 };
	cr_assert_eq(alert_for_alertmanager(&b, &c, &words, UNIX + 240), 0);
	is_text(&b,
	        "[{\"labels\":{\"alertname\":\"SluiceBlocksMany\",\"severity\":\"warning\",\"job\":\"sluice\","
	        "\"instance\":\"gpu-1\",\"service\":\"vllm\"},\"annotations\":{\"summary\":\"more answers of vllm are "
	        "blocked than usual\",\"runbook\":\"docs/runbook.md#sluiceblocksmany\"},"
	        "\"startsAt\":\"2026-11-18T11:06:40Z\",\"endsAt\":\"2026-11-18T11:10:40Z\"},"
	        "{\"labels\":{\"alertname\":\"SluiceFailOpen\",\"severity\":\"critical\",\"job\":\"sluice\","
	        "\"instance\":\"gpu-1\"},\"annotations\":{\"summary\":\"connections passed unread while sluice was "
	        "gone\",\"runbook\":\"docs/runbook.md#sluicefailopen\"},\"endsAt\":\"2026-11-18T11:06:41Z\"}");
}

TEST(alert, as_the_webhook_has_it)
{
	struct buf b = BUF(65536);
	struct alert_change c = { .kind = ALERT_BLOCKS_MANY, .service = 1, .firing = true, .at_unix = UNIX };

	cr_assert_eq(alert_for_webhook(&b, &c, &words, 3), 0);
	c = (struct alert_change){ .kind = ALERT_DOWN, .at_unix = UNIX };
	cr_assert_eq(alert_for_webhook(&b, &c, &words, 3), 0);
	is_text(&b, "{\"version\":1,\"source\":\"sluice\",\"host\":\"gpu-1\",\"dropped\":3,\"alerts\":["
	            "{\"alert\":\"SluiceBlocksMany\",\"status\":\"firing\",\"severity\":\"warning\","
	            "\"at\":\"2026-11-18T11:06:40Z\",\"service\":\"a \\\"b\\\"\\\\\\u000a\",\"summary\":\"more answers "
	            "of a "
	            "\\\"b\\\"\\\\\\u000a are blocked than usual\",\"runbook\":\"docs/runbook.md#sluiceblocksmany\"},"
	            "{\"alert\":\"SluiceDown\",\"status\":\"resolved\",\"severity\":\"critical\","
	            "\"at\":\"2026-11-18T11:06:40Z\",\"summary\":\"nothing is read: the worker is gone\","
	            "\"runbook\":\"docs/runbook.md#sluicedown\"}");
}

/* A message that has no room is no message. */
TEST(alert, a_message_without_room)
{
	struct alert_change c = { .kind = ALERT_BLOCKS_MANY, .firing = true, .at_unix = UNIX };

	for (size_t room = 0; room < 200; room++) {
		struct buf b = BUF(room);

		cr_assert_eq(alert_for_alertmanager(&b, &c, &words, UNIX), -ENOBUFS);
		buf_free(&b);
		b = BUF(room);
		cr_assert_eq(alert_for_webhook(&b, &c, &words, 0), -ENOBUFS);
		buf_free(&b);
	}
}
