/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/craft.h"

static void is_json(const Record *r, const char *expected)
{
	owned(own_free) char *text = NULL;
	size_t len = 0;

	cr_assert_eq(record_json(r, &text, &len), 0);
	cr_assert_eq(len, strlen(text));
	cr_assert_str_eq(text, expected);
}

TEST(record_json, nothing_but_a_seq)
{
	Record r = RECORD__INIT;

	is_json(&r, "{\"seq\":0}");
}

TEST(record_json, a_finding)
{
	Record *r = craft_finding();

	r->seq = 18446744073709551615u;
	r->time_unix_nano = CRAFT_TIME;
	r->boot_id = (ProtobufCBinaryData){ sizeof(craft_id), craft_id };
	is_json(r,
	        "{\"seq\":18446744073709551615,\"time_unix_nano\":\"2026-11-21T10:00:00.123456789Z\",\"boot_id\":"
	        "\"deadbeef\",\"type\":\"finding\",\"finding\":{\"exchange_id\":\"deadbeef\",\"channel\":\"CONTENT\","
	        "\"risks\":[{\"risk_id\":\"A.1.d\",\"rule_id\":\"weapons.nerve-agent\",\"score\":0.5}],\"verdict\":"
	        "\"BLOCKED\",\"action\":\"BLOCK\",\"offset\":12,\"length\":6,\"stop_generation\":{\"method\":\"fin\","
	        "\"result\":\"CONFIRMED\",\"at_unix_nano\":\"2026-11-21T10:00:00.123456789Z\"},"
	        "\"automated_detection\":true}}");
}

TEST(record_json, a_sum_shows_its_zeros)
{
	Coverage c = COVERAGE__INIT;
	Exchange x = EXCHANGE__INIT;
	Record r = RECORD__INIT;

	c.in = c.scanned = 5;
	x.coverage = &c;
	r.body_case = RECORD__BODY_EXCHANGE;
	r.exchange = &x;
	is_json(&r,
	        "{\"seq\":0,\"type\":\"exchange\",\"exchange\":{\"coverage\":{\"in\":5,\"scanned\":5,\"structural\":0,"
	        "\"withheld\":0,\"released\":0,\"unscanned\":0}}}");
}

TEST(record_json, what_a_stranger_sent_is_escaped)
{
	Exchange x = EXCHANGE__INIT;
	Record r = RECORD__INIT;

	x.path = "/\"\\\n\x7f\xc2\x9b|\xff|\xed\xa0\x80|\xc0\x80|\xf0\x9f\x98\x80|\xe4\xbd";
	r.body_case = RECORD__BODY_EXCHANGE;
	r.exchange = &x;
	is_json(&r,
	        "{\"seq\":0,\"type\":\"exchange\",\"exchange\":{\"path\":\"/\\\"\\\\\\u000a\\u007f\\u009b|\xEF\xBF\xBD|"
	        "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD|\xEF\xBF\xBD\xEF\xBF\xBD|\xf0\x9f\x98\x80|"
	        "\xEF\xBF\xBD\xEF\xBF\xBD\"}}");
}

TEST(record_json, numbers_and_unknown_names)
{
	ClockChange clock = CLOCK_CHANGE__INIT;
	Exchange x = EXCHANGE__INIT;
	Record r = RECORD__INIT;

	clock.step_nano = -5000000000;
	r.body_case = RECORD__BODY_CLOCK;
	r.clock = &clock;
	is_json(&r, "{\"seq\":0,\"type\":\"clock\",\"clock\":{\"step_nano\":-5000000000}}");
	x.verdict = 99;
	r.body_case = RECORD__BODY_EXCHANGE;
	r.exchange = &x;
	is_json(&r, "{\"seq\":0,\"type\":\"exchange\",\"exchange\":{\"verdict\":99}}");
}

TEST(record_json, appends)
{
	owned(own_free) char *text = strdup("x");
	Record r = RECORD__INIT;
	size_t len = 1;

	cr_assert_eq(record_json(&r, &text, &len), 0);
	cr_assert_str_eq(text, "x{\"seq\":0}");
}
