/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - what a pattern found is looked at once more: a number of that form is not yet a number of that kind. */
#include "scan/check.h"

#include <arpa/inet.h>
#include <math.h>

static bool digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool letter(uint8_t c)
{
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

/* The digits of s without spaces and hyphens; 0 if there is anything else or more than `most`. */
static size_t digits_of(struct slice s, uint8_t *to, size_t most)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == ' ' || s.at[i] == '-')
			continue;
		if (!digit(s.at[i]) || n == most)
			return 0;
		to[n++] = s.at[i] - '0';
	}
	return n;
}

static bool is_date(unsigned year, unsigned month, unsigned day)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (unsigned)(month == 2 && leap);
}

static unsigned number(const uint8_t *digits, size_t n)
{
	unsigned v = 0;

	while (n--)
		v = v * 10 + *digits++;
	return v;
}

/* GB 11643-1999: province, date of birth, ISO 7064 MOD 11-2. */
static bool cn_resident_id(struct slice s)
{
	static const uint8_t provinces[] = { 11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43,
		                             44, 45, 46, 50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83, 91 };
	static const uint8_t weights[] = { 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2 };
	uint8_t d[17];
	unsigned sum = 0, year;

	if (s.len != 18 || digits_of(slice_of(s.at, 17), d, 17) != 17)
		return false;
	year = number(d + 6, 4);
	if (!memchr(provinces, (int)number(d, 2), sizeof(provinces)) || year < 1900 || year > 2099 ||
	    !is_date(year, number(d + 10, 2), number(d + 12, 2)))
		return false;
	for (size_t i = 0; i < 17; i++)
		sum += d[i] * weights[i];
	return "10X98765432"[sum % 11] == (s.at[17] == 'x' ? 'X' : s.at[17]);
}

static bool one_of(uint8_t c, struct slice set)
{
	return memchr(set.at, c, set.len);
}

/* GB 32100-2015: 18 of 31 characters, the last one a check. */
static bool cn_uscc(struct slice s)
{
	static const char set[] = "0123456789ABCDEFGHJKLMNPQRTUWXY";
	unsigned sum = 0, weight = 1;
	const char *c = NULL;

	/* The authorities and kinds in use. */
	if (s.len != 18 || !one_of(s.at[0], SLICE("123456789ANY")) || !one_of(s.at[1], SLICE("123459")))
		return false;
	for (size_t i = 0; i < 18; i++) {
		c = s.at[i] ? strchr(set, s.at[i]) : NULL;
		if (!c)
			return false;
		if (i < 17)
			sum += (unsigned)(c - set) * weight;
		weight = weight * 3 % 31;
	}
	return (unsigned)(c - set) == (31 - sum % 31) % 31;
}

/* ISO/IEC 7812: the number of a card. */
static bool luhn(struct slice s)
{
	uint8_t d[19];
	size_t n = digits_of(s, d, sizeof(d)), same = 1;
	unsigned sum = 0;

	if (n < 12)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned v = d[n - 1 - i];

		sum += i % 2 ? 2 * v - (v > 4 ? 9 : 0) : v;
		same += i && d[i] == d[i - 1];
	}
	return same < n && sum % 10 == 0;
}

/* The blocks of the mobile plan; +86, 0086 or 86 may stand in front. */
static bool cn_mobile(struct slice s)
{
	static const char plan[10][11] = {
		['3' - '0'] = "0123456789", ['4' - '0'] = "01456789",   ['5' - '0'] = "012356789", ['6' - '0'] = "2567",
		['7' - '0'] = "012345678",  ['8' - '0'] = "0123456789", ['9' - '0'] = "012356789",
	};
	uint8_t d[15], *at = d;
	size_t n;

	if (s.len && s.at[0] == '+')
		s = slice_from(s, 1);
	n = digits_of(s, d, sizeof(d));
	if (n == 15 && !d[0] && !d[1])
		at += 2, n -= 2;
	if (n == 13 && at[0] == 8 && at[1] == 6)
		at += 2, n -= 2;
	return n == 11 && at[0] == 1 && strchr(plan[at[1]], '0' + at[2]);
}

static bool address(int family, struct slice s, uint8_t to[16])
{
	char text[INET6_ADDRSTRLEN];

	if (s.len >= sizeof(text))
		return false;
	memcpy(text, s.at, s.len);
	text[s.len] = '\0';
	return inet_pton(family, text, to) == 1;
}

static bool ipv4(struct slice s)
{
	uint8_t a[16];

	return address(AF_INET, s, a);
}

/* An address that a host on the internet can have (RFC 6890). */
static bool ipv4_public(struct slice s)
{
	static const struct {
		uint32_t net;
		unsigned bits;
	} not_public[] = {
		{ 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 }, { 0x7f000000, 8 },  { 0xa9fe0000, 16 },
		{ 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0000200, 24 }, { 0xc0a80000, 16 }, { 0xc6120000, 15 },
		{ 0xc6336400, 24 }, { 0xcb007100, 24 }, { 0xe0000000, 3 },
	};
	uint8_t a[16];
	uint32_t ip;

	if (!address(AF_INET, s, a))
		return false;
	ip = (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | a[3];
	for (size_t i = 0; i < sizeof(not_public) / sizeof(*not_public); i++)
		if ((ip ^ not_public[i].net) >> (32 - not_public[i].bits) == 0)
			return false;
	return true;
}

static bool ipv6(struct slice s)
{
	uint8_t a[16];

	return address(AF_INET6, s, a);
}

/* 2000::/3 without the addresses of documentation (RFC 3849). */
static bool ipv6_public(struct slice s)
{
	static const uint8_t documentation[] = { 0x20, 0x01, 0x0d, 0xb8 };
	uint8_t a[16];

	return address(AF_INET6, s, a) && a[0] >> 5 == 1 && memcmp(a, documentation, sizeof(documentation)) != 0;
}

/* ISO 13616: the country's length, then MOD 97-10. */
static bool iban(struct slice s)
{
	static const char lengths[] = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29"
				      "ES24FI18FO18FR27GB22GE22"
				      "GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21"
				      "LY25MC27MD24ME22MK19MR27"
				      "MT31MU30NL18NO15PK24PL28PS29PT25QA29RO24RS22SA24SC31SE24SI19SK24SM27ST25SV28TL23"
				      "TN24TR26UA29VA22VG24XK20";
	char text[34];
	size_t n = 0, want = 0;
	unsigned rest = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == ' ')
			continue;
		if ((!digit(s.at[i]) && !letter(s.at[i])) || n == sizeof(text))
			return false;
		text[n++] = (char)(letter(s.at[i]) ? s.at[i] & 0xdf : s.at[i]);
	}
	for (const char *l = lengths; *l && n > 4; l += 4)
		if (l[0] == text[0] && l[1] == text[1])
			want = (size_t)(l[2] - '0') * 10 + (size_t)(l[3] - '0');
	if (!want || n != want)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)text[(i + 4) % n];

		rest = digit(c) ? (rest * 10 + (c - '0')) % 97 : (rest * 100 + (c - 'A' + 10u)) % 97;
	}
	return rest == 1;
}

static bool ends_in(struct slice s, const char *name)
{
	size_t n = strlen(name);

	return s.len >= n && slice_is_nocase(slice_from(s, s.len - n), slice_str(name)) &&
	       (s.len == n || s.at[s.len - n - 1] == '.');
}

/* RFC 5321 lengths, host names as RFC 1123 has them; names that RFC 2606 keeps for examples belong to nobody. */
static bool email(struct slice s)
{
	static const char *const nobodys[] = { "example", "example.com", "example.net", "example.org",
		                               "test",    "invalid",     "localhost",   "local" };
	const uint8_t *sign = memchr(s.at, '@', s.len);
	size_t label = 0, labels = 1;
	struct slice host;

	if (!sign || s.len > 254 || sign == s.at || sign - s.at > 64 || s.at[0] == '.' || sign[-1] == '.' ||
	    memmem(s.at, s.len, "..", 2))
		return false;
	host = slice_from(s, (size_t)(sign - s.at) + 1);
	for (size_t i = 0; i < host.len; i++, label++) {
		uint8_t c = host.at[i];

		if (c == '.') {
			if (!label || label > 63 || host.at[i - 1] == '-')
				return false;
			label = (size_t)-1;
			labels++;
		} else if (!digit(c) && !letter(c) && (c != '-' || !label)) {
			return false;
		}
	}
	if (labels < 2 || label < 2 || label > 63 || !letter(host.at[host.len - 1]) || !letter(host.at[host.len - 2]))
		return false;
	for (size_t i = 0; i < sizeof(nobodys) / sizeof(*nobodys); i++)
		if (ends_in(host, nobodys[i]))
			return false;
	return true;
}

static bool token(uint8_t c)
{
	return digit(c) || letter(c) || c == '+' || c == '/' || c == '_' || c == '-';
}

/* The longest run of token characters looks drawn by lot: letters and digits, and many different ones (Shannon's
 * measure, in bits a character; hexadecimal cannot have more than 4). */
static bool entropy(struct slice s)
{
	unsigned count[256] = { 0 };
	struct slice run = { s.at, 0 };
	bool digits = false, letters = false, hex = true;
	double bits = 0;

	for (size_t i = 0, from = 0; i <= s.len; i++) {
		if (i < s.len && token(s.at[i]))
			continue;
		if (i - from > run.len)
			run = slice_of(s.at + from, i - from);
		from = i + 1;
	}
	if (run.len < 16)
		return false;
	for (size_t i = 0; i < run.len; i++) {
		uint8_t c = run.at[i];

		count[c]++;
		digits |= digit(c);
		letters |= letter(c);
		hex = hex && (digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f'));
	}
	for (size_t i = 0; i < 256; i++)
		if (count[i])
			bits -= count[i] * log2((double)count[i] / (double)run.len);
	return digits && letters && bits / (double)run.len >= (hex ? 2.8 : 3.3);
}

const struct check checks[] = {
	{ "cn-resident-id", cn_resident_id, "GB 11643: province, date of birth and check digit" },
	{ "cn-uscc", cn_uscc, "GB 32100: unified social credit code with its check character" },
	{ "cn-mobile", cn_mobile, "a block of the Chinese mobile plan" },
	{ "luhn", luhn, "ISO/IEC 7812: 12 to 19 digits with their check digit" },
	{ "iban", iban, "ISO 13616: length of the country and MOD 97-10" },
	{ "email", email, "lengths and host name of RFC 5321; no domain kept for examples" },
	{ "ipv4", ipv4, "four numbers up to 255" },
	{ "ipv4-public", ipv4_public, "and not private, local or kept for examples" },
	{ "ipv6", ipv6, "RFC 4291 text form" },
	{ "ipv6-public", ipv6_public, "and a global address" },
	{ "entropy", entropy, "a run of 16 or more that looks drawn by lot" },
	{ NULL, NULL, NULL },
};

const struct check *check_find(struct slice name)
{
	for (const struct check *c = checks; c->name; c++)
		if (slice_is(name, slice_str(c->name)))
			return c;
	return NULL;
}

const char *check_name(const struct check *c)
{
	return c->name;
}
