/* SPDX-License-Identifier: Apache-2.0 */
/* check_test.c - numbers of a kind, and numbers that only look like it. All are made up. */
#include "tests/lib/test.h"

#include "base/own.h"
#include "scan/check.h"

static const struct {
	const char *check, *text;
	bool good;
} cases[] = {
	{ "cn-resident-id", "11010519491231002X", true },
	{ "cn-resident-id", "11010519491231002x", true },
	{ "cn-resident-id", "440524188001010014", false }, /* born in 1880 */
	{ "cn-resident-id", "110105194912310020", false }, /* check digit */
	{ "cn-resident-id", "11010519490230002X", false }, /* 30 February */
	{ "cn-resident-id", "99010519491231002X", false }, /* no such province */
	{ "cn-resident-id", "1101051949123100", false },
	{ "cn-uscc", "91350100M000100Y43", true },
	{ "cn-uscc", "91350100M000100Y44", false },
	{ "cn-uscc", "91350100O000100Y43", false }, /* a letter that is not used */
	{ "cn-uscc", "00350100M000100Y43", false },
	{ "cn-mobile", "13800138000", true },
	{ "cn-mobile", "138-0013-8000", true },
	{ "cn-mobile", "+86 139 1234 5678", true },
	{ "cn-mobile", "008619912345678", true },
	{ "cn-mobile", "12800138000", false },
	{ "cn-mobile", "15412345678", false },
	{ "cn-mobile", "1380013800", false },
	{ "cn-mobile", "+85 139 1234 5678", false },
	{ "luhn", "4111111111111111", true },
	{ "luhn", "4111 1111 1111 1111", true },
	{ "luhn", "6222021234567890123", false },
	{ "luhn", "4111111111111112", false },
	{ "luhn", "0000000000000000", false },
	{ "luhn", "42", false },
	{ "iban", "DE89370400440532013000", true },
	{ "iban", "GB82 WEST 1234 5698 7654 32", true },
	{ "iban", "DE89370400440532013001", false },
	{ "iban", "DE8937040044053201300", false },
	{ "iban", "ZZ89370400440532013000", false },
	{ "email", "zhang.san@mail.cn", true },
	{ "email", "a+b@sub.domain.co.uk", true },
	{ "email", "a@example.com", false },
	{ "email", "a@mail.example.org", false },
	{ "email", "a@notexample.com", true },
	{ "email", "a..b@mail.cn", false },
	{ "email", ".a@mail.cn", false },
	{ "email", "a@-mail.cn", false },
	{ "email", "a@mail-.cn", false },
	{ "email", "a@mail.c1", false },
	{ "email", "a@localhost", false },
	{ "ipv4", "192.168.0.1", true },
	{ "ipv4", "256.1.1.1", false },
	{ "ipv4", "01.1.1.1", false },
	{ "ipv4-public", "114.114.114.114", true },
	{ "ipv4-public", "192.168.0.1", false },
	{ "ipv4-public", "10.255.0.1", false },
	{ "ipv4-public", "172.31.0.1", false },
	{ "ipv4-public", "172.32.0.1", true },
	{ "ipv4-public", "203.0.113.7", false },
	{ "ipv4-public", "255.255.255.255", false },
	{ "ipv6", "::1", true },
	{ "ipv6", "1:2:3", false },
	{ "ipv6-public", "2400:3200::1", true },
	{ "ipv6-public", "2001:db8::1", false },
	{ "ipv6-public", "fe80::1", false },
	{ "entropy", "api_key=9f8Kd02LmQx7Tb41ZpWc", true },
	{ "entropy", "0123456789abcdef0123456789abcdef", true },
	{ "entropy", "aaaaaaaaaaaaaaaaaaaaaaaa1", false },
	{ "entropy", "your_api_key_goes_in_here", false },
	{ "entropy", "short1A", false },
};

TEST(check, good_and_bad)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct check *c = check_find(slice_str(cases[i].check));

		cr_assert_not_null(c, "%s", cases[i].check);
		cr_expect_eq(c->holds(slice_str(cases[i].text)), cases[i].good, "%s %s", cases[i].check, cases[i].text);
	}
}

TEST(check, each_has_both)
{
	for (const struct check *c = checks; c->name; c++)
		for (int good = 0; good < 2; good++) {
			bool met = false;

			for (size_t i = 0; i < ARRAY_LEN(cases); i++)
				met |= !strcmp(cases[i].check, c->name) && cases[i].good == good;
			cr_expect(met, "%s", c->name);
		}
	cr_expect_null(check_find(SLICE("cn")));
}

TEST(check, odd_bytes)
{
	for (const struct check *c = checks; c->name; c++)
		for (unsigned b = 0; b < 256; b++) {
			uint8_t text[40];

			memset(text, (int)b, sizeof(text));
			for (size_t n = 1; n <= sizeof(text); n++)
				cr_expect_not(c->holds(slice_of(text, n)) && b < '0', "%s %u", c->name, b);
		}
}
