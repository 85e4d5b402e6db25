/* SPDX-License-Identifier: Apache-2.0 */
/* subject_test.c - the keys of pseudonyms go when their records have gone, and not before. */
#include <time.h>

#include "tests/lib/ledger.h"

static void put_key(const char *dir, long day)
{
	static const uint8_t key[32] = { 7 };
	char path[128];

	snprintf(path, sizeof(path), "%s/subject-%ld.key", dir, day);
	write_file(path, key, sizeof(key));
}

static bool has_key(const char *dir, long day)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/subject-%ld.key", dir, day);
	return !access(path, F_OK);
}

TEST(subject, keys_are_forgotten_in_time)
{
	long now = (long)(time(NULL) / 86400);
	uint8_t before[SUBJECT_TAG], after[SUBJECT_TAG], who[32] = { 1 };
	struct subjects *s = NULL;
	char dir[64];

	new_dir(dir);
	put_key(dir, now - 231); /* its last day was 201 days ago */
	put_key(dir, now - 229);
	put_key(dir, now - 10);
	put_key(dir, now + 400);
	cr_assert_eq(subjects_open(&s, dir), 0);
	cr_assert_eq(subjects_tag(s, who, sizeof(who), before), 0);
	cr_assert_eq(subjects_forget(s, 200), 1);
	cr_assert(!has_key(dir, now - 231) && has_key(dir, now - 229) && has_key(dir, now - 10) &&
	          has_key(dir, now + 400));
	cr_assert_eq(subjects_forget(s, 200), 0);
	cr_assert_eq(subjects_tag(s, who, sizeof(who), after), 0);
	cr_assert(!memcmp(before, after, sizeof(before)));
	subjects_close(&s);
	remove_dir(dir);
}

/* Each key that is left makes a name of its own, for its days; one that is gone makes none. */
TEST(subject, a_name_for_each_key)
{
	long now = (long)(time(NULL) / 86400);
	uint8_t tag[SUBJECT_TAG], who[32] = { 1 };
	struct subject_name *list = NULL;
	struct subjects *s = NULL;
	char dir[64], path[128];
	size_t n = 0;

	new_dir(dir);
	put_key(dir, now - 90);
	put_key(dir, now - 61);
	put_key(dir, now - 10);
	snprintf(path, sizeof(path), "%s/subject-1.key.old", dir);
	write_file(path, who, 6);
	cr_assert_eq(subjects_open(&s, dir), 0);
	cr_assert_eq(subjects_names(s, who, sizeof(who), &list, &n), 0);
	cr_assert_eq(n, 3);
	cr_assert(list[0].first_day == now - 90 && list[0].last_day == now - 61);
	cr_assert(list[1].first_day == now - 61 && list[1].last_day == now - 31);
	cr_assert(list[2].first_day == now - 10 && list[2].last_day == now + 20);
	cr_assert_eq(subjects_tag(s, who, sizeof(who), tag), 0);
	cr_assert(!memcmp(tag, list[2].tag, sizeof(tag)), "the one of these days is among them");
	free(list);
	cr_assert_eq(subjects_forget(s, 55), 1);
	cr_assert_eq(subjects_names(s, who, sizeof(who), &list, &n), 0);
	cr_assert_eq(n, 2);
	free(list);
	snprintf(path, sizeof(path), "%s/subject-%ld.key", dir, now - 61);
	write_file(path, who, 5);
	list = NULL;
	cr_assert_eq(subjects_names(s, who, sizeof(who), &list, &n), -EBADMSG, "a torn key is said, not left out");
	cr_assert(!list && n == 2);
	subjects_close(&s);
	remove_dir(dir);
}
