/* SPDX-License-Identifier: Apache-2.0 */
/* hold_test.c - holds are what the Hold records come to, also after a restart. */
#include "tests/lib/ledger.h"

static Hold hold_of(const char *id, const char *filter, bool released)
{
	Hold h = HOLD__INIT;

	h.id = (char *)id;
	h.filter = (char *)filter;
	h.released = released;
	return h;
}

static int apply(struct holds *s, const char *id, const char *filter, bool released)
{
	Hold h = hold_of(id, filter, released);

	return holds_apply(s, &h);
}

TEST(hold, set_and_released)
{
	struct holds *s = NULL;
	Hold over = hold_of("over", "all", false);

	cr_assert_eq(holds_open(&s, "/nonexistent/control"), 0);
	cr_assert_eq(apply(s, "a", "10-20", false), 0);
	cr_assert_eq(apply(s, "a", "30-40", false), -EEXIST);
	cr_assert(holds_on_ledger(s, 0, 10) && holds_on_ledger(s, 20, 99) && holds_on_ledger(s, 12, 13));
	cr_assert(!holds_on_ledger(s, 0, 9) && !holds_on_ledger(s, 21, 99) && !holds_on_control(s, 0, 99));
	cr_assert_eq(apply(s, "b", "all", false), 0);
	cr_assert(holds_on_ledger(s, 500, 600) && holds_on_control(s, 0, 1));
	cr_assert_eq(apply(s, "b", "", true), 0);
	cr_assert_eq(apply(s, "b", "", true), -ENOENT);
	cr_assert(!holds_on_ledger(s, 500, 600));
	over.until_unix_nano = 1;
	cr_assert_eq(holds_apply(s, &over), 0);
	cr_assert(!holds_on_ledger(s, 500, 600), "its time is over");
	cr_assert_eq(apply(s, "", "all", false), -EINVAL);
	cr_assert_eq(apply(s, "c", "20-10", false), -EINVAL);
	cr_assert_eq(apply(s, "c", "a filter of a later version", false), 0);
	cr_assert(holds_on_ledger(s, 500, 600), "rather too much than too little");
	holds_close(&s);
}

TEST(hold, the_log_is_the_list)
{
	char dir[64];
	struct ledger *l = NULL;
	struct holds *s = NULL;
	Hold list[] = { hold_of("a", "1-2", false), hold_of("b", "5-6", false), hold_of("a", "", true) };

	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = new_dir(dir) }), 0);
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		Record r = RECORD__INIT;

		r.body_case = RECORD__BODY_HOLD;
		r.hold = &list[i];
		cr_assert_eq(ledger_append(l, &r, NULL), 0);
	}
	ledger_close(&l);
	cr_assert_eq(holds_open(&s, dir), 0);
	cr_assert(!holds_has(s, "a") && holds_has(s, "b"));
	cr_assert(!holds_on_ledger(s, 1, 2) && holds_on_ledger(s, 5, 5));
	holds_close(&s);
	remove_dir(dir);
}
