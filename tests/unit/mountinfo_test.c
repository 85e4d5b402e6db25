/* SPDX-License-Identifier: Apache-2.0 */
/* mountinfo_test.c - capture's parts that need no kernel: where cgroup2 is mounted, how addresses read. */
#include "tests/lib/test.h"
#include "capture/state.h"
#include "base/own.h"

#include <arpa/inet.h>
#include <errno.h>

struct mount {
	const char *text, *dir, *root;
};

TEST(mountinfo, layouts, .timeout = 10)
{
	static const struct mount mounts[] = {
		{ "24 1 0:22 / /sys rw - sysfs sysfs rw\n30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 "
		  "cgroup2 rw\n",
		  "/sys/fs/cgroup", "/" },
		{ "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
		  "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
		  "/sys/fs/cgroup/unified", "/" },
		{ "41 31 0:38 /docker/ab\\040c /sys/fs\\134x\\011y rw - cgroup2 none rw", "/sys/fs\\x\ty",
		  "/docker/ab c" },
		/* the first one is taken */
		{ "1 2 0:1 / /a rw - cgroup2 x rw\n1 2 0:1 / /b rw - cgroup2 x rw\n", "/a", "/" },
		/* not just a prefix of the type */
		{ "1 2 0:1 / /x rw - cgroup2x y rw\n1 2 0:1 / /b rw - cgroup2 x rw\n", "/b", "/" },
	};

	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		owned(own_free) char *dir = NULL;
		owned(own_free) char *root = NULL;

		cr_assert_eq(mountinfo_cgroup2(mounts[i].text, &dir, &root), 0);
		cr_assert_str_eq(dir, mounts[i].dir);
		cr_assert_str_eq(root, mounts[i].root);
	}
}

TEST(mountinfo, none, .timeout = 10)
{
	static const char *const texts[] = {
		"", "\n", "\n\n - ", "1 2 0:1 / /a rw - cgroup x rw\n", "cgroup2", " - cgroup2 ", "1 2 - cgroup2 x"
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *dir = NULL, *root = NULL;

		cr_assert_lt(mountinfo_cgroup2(texts[i], &dir, &root), 0, "%s", texts[i]);
		cr_assert_null(dir);
		cr_assert_null(root);
	}
}

TEST(mountinfo, end_text, .timeout = 10)
{
	struct end v4 = { .ip = { 0, 0, htonl(0xffff), htonl(0x0a090001) }, .port = 80 }, any4 = v4,
		   any = { .port = 8001 };
	char text[64];

	end_text(&v4, text, sizeof(text));
	cr_assert_str_eq(text, "10.9.0.1:80");
	any4.ip[3] = 0;
	end_text(&any4, text, sizeof(text));
	cr_assert_str_eq(text, "0.0.0.0:80");
	end_text(&any, text, sizeof(text));
	cr_assert_str_eq(text, "[::]:8001");
	cr_assert(end_is(&v4, &v4));
	cr_assert_not(end_is(&v4, &any4));
}

TEST(mountinfo, end_of_sockaddr, .timeout = 10)
{
	struct sockaddr_storage a = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
	struct end from4, from6;

	v4->sin_family = AF_INET;
	v4->sin_port = htons(443);
	v4->sin_addr.s_addr = htonl(0x01020304);
	end_of(&a, &from4);
	memset(&a, 0, sizeof(a));
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(443);
	inet_pton(AF_INET6, "::ffff:1.2.3.4", &v6->sin6_addr);
	end_of(&a, &from6);
	cr_assert(end_is(&from4, &from6), "one key for both spellings");
	cr_assert(end_is_v4(&from6));
	cr_assert_eq(from4.port, 443);
}
