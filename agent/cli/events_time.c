/* SPDX-License-Identifier: Apache-2.0 */
/* events_time.c - time words, as journalctl takes them. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/own.h"
#include "cli/events.h"

#define NS ((uint64_t)1000000000)

static const struct {
	const char *name;
	uint64_t seconds;
} units[] = {
	{ "s", 1 },       { "sec", 1 },       { "second", 1 },     { "seconds", 1 }, { "m", 60 },
	{ "min", 60 },    { "minute", 60 },   { "minutes", 60 },   { "h", 3600 },    { "hr", 3600 },
	{ "hour", 3600 }, { "hours", 3600 },  { "d", 86400 },      { "day", 86400 }, { "days", 86400 },
	{ "w", 604800 },  { "week", 604800 }, { "weeks", 604800 },
};

static const char *skip_space(const char *s)
{
	while (*s == ' ')
		s++;
	return s;
}

/* Exactly `digits` digits within the bounds. */
static bool number(const char **s, int digits, int least, int most, int *out)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		if (!isdigit((unsigned char)(*s)[i]))
			return false;
		value = 10 * value + ((*s)[i] - '0');
	}
	*s += digits;
	*out = value;
	return value >= least && value <= most;
}

static bool fraction(const char **s, uint64_t *nano)
{
	uint64_t unit = NS / 10;

	*nano = 0;
	if (**s != '.')
		return true;
	if (!isdigit((unsigned char)*++*s))
		return false;
	for (; isdigit((unsigned char)**s); ++*s, unit /= 10)
		*nano += (uint64_t)(**s - '0') * unit;
	return true;
}

/* "1h", "2 days", "1h30min": seconds. Stops where no number follows. */
static bool span(const char **at, uint64_t *out)
{
	const char *s = skip_space(*at);
	bool any = false;

	*out = 0;
	while (isdigit((unsigned char)*s)) {
		char *end;
		unsigned long long n = strtoull(s, &end, 10);
		size_t len, i;

		s = skip_space(end);
		for (len = 0; isalpha((unsigned char)s[len]); len++)
			;
		for (i = 0; i < ARRAY_LEN(units); i++)
			if (strlen(units[i].name) == len && !strncasecmp(units[i].name, s, len))
				break;
		if (i == ARRAY_LEN(units) || n > UINT32_MAX)
			return false;
		*out += n * units[i].seconds;
		s = skip_space(s + len);
		any = true;
	}
	*at = s;
	return any;
}

static bool relative(const char *s, uint64_t now, uint64_t *out)
{
	char sign = *s == '-' || *s == '+' ? *s++ : 0;
	uint64_t seconds;

	if (!span(&s, &seconds))
		return false;
	if (!sign && strcasecmp(s, "ago") != 0)
		return false;
	if (sign && *s)
		return false;
	if (sign == '+')
		*out = now + seconds * NS;
	else
		*out = seconds * NS > now ? 0 : now - seconds * NS;
	return true;
}

static bool epoch(const char *s, uint64_t *out)
{
	uint64_t seconds, nano;
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	seconds = strtoull(s, &end, 10);
	s = end;
	if (!fraction(&s, &nano) || *s || seconds > UINT64_MAX / NS - 1)
		return false;
	*out = seconds * NS + nano;
	return true;
}

/* Midnight of the day `days` from today. */
static uint64_t midnight(uint64_t now, int days)
{
	time_t seconds = (time_t)(now / NS);
	struct tm tm;

	localtime_r(&seconds, &tm);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_mday += days;
	tm.tm_isdst = -1;
	return (uint64_t)mktime(&tm) * NS;
}

static bool clock_time(const char **s, struct tm *tm, uint64_t *nano)
{
	*nano = 0;
	if (!number(s, 2, 0, 23, &tm->tm_hour) || *(*s)++ != ':' || !number(s, 2, 0, 59, &tm->tm_min))
		return false;
	if (**s != ':')
		return true;
	++*s;
	return number(s, 2, 0, 60, &tm->tm_sec) && fraction(s, nano);
}

/* "Z", "UTC", "+08:00", "+0800". */
static bool zone(const char *s, bool *given, int *offset)
{
	int hours, minutes, sign;

	s = skip_space(s);
	*given = *s;
	*offset = 0;
	if (!*s || !strcasecmp(s, "z") || !strcasecmp(s, "utc"))
		return true;
	sign = *s == '-' ? -1 : 1;
	if (*s != '-' && *s != '+')
		return false;
	s++;
	if (!number(&s, 2, 0, 23, &hours))
		return false;
	s += *s == ':';
	if (!number(&s, 2, 0, 59, &minutes) || *s)
		return false;
	*offset = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool date(const char *s, uint64_t now, uint64_t *out)
{
	time_t seconds = (time_t)(now / NS);
	struct tm tm, before;
	uint64_t nano = 0;
	bool given;
	int offset;

	localtime_r(&seconds, &tm);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	if (strlen(s) >= 10 && s[4] == '-') {
		if (!number(&s, 4, 1970, 2500, &tm.tm_year) || *s++ != '-' || !number(&s, 2, 1, 12, &tm.tm_mon) ||
		    *s++ != '-' || !number(&s, 2, 1, 31, &tm.tm_mday))
			return false;
		tm.tm_year -= 1900;
		tm.tm_mon--;
		if (*s && *s != ' ' && *s != 'T' && *s != 't')
			return false;
		s += *s != 0;
		if (*s && !clock_time(&s, &tm, &nano))
			return false;
	} else if (!clock_time(&s, &tm, &nano)) {
		return false;
	}
	if (!zone(s, &given, &offset))
		return false;
	tm.tm_isdst = -1;
	before = tm;
	seconds = given ? timegm(&tm) - offset : mktime(&tm);
	if (tm.tm_mday != before.tm_mday || seconds < 0) /* the 30th of February */
		return false;
	*out = (uint64_t)seconds * NS + nano;
	return true;
}

/* When the machine started. */
static bool boot_time(uint64_t now, uint64_t *out)
{
	struct timespec t;

	if (clock_gettime(CLOCK_BOOTTIME, &t))
		return false;
	*out = now - ((uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec);
	return true;
}

/* ausearch's words. The day: 0 as it is, else set to. */
static bool calendar(const char *word, uint64_t now, uint64_t *out)
{
	time_t seconds = (time_t)(now / NS);
	struct tm tm;

	localtime_r(&seconds, &tm);
	tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	if (!strcasecmp(word, "this-hour")) {
		*out = (uint64_t)mktime(&tm) * NS;
		return true;
	}
	tm.tm_hour = 0;
	if (!strcasecmp(word, "this-week")) /* from Sunday on */
		tm.tm_mday -= tm.tm_wday;
	else if (!strcasecmp(word, "week-ago"))
		tm.tm_mday -= 7;
	else if (!strcasecmp(word, "this-month"))
		tm.tm_mday = 1;
	else if (!strcasecmp(word, "this-year"))
		tm.tm_mday = 1, tm.tm_mon = 0;
	else
		return false;
	*out = (uint64_t)mktime(&tm) * NS;
	return true;
}

bool events_time(const char *text, uint64_t now_nano, uint64_t *out)
{
	static const struct {
		const char *word;
		int days;
	} days[] = { { "today", 0 }, { "yesterday", -1 }, { "tomorrow", 1 } };
	uint64_t at;

	if (!strcasecmp(text, "now")) {
		*out = now_nano;
		return true;
	}
	if (!strcasecmp(text, "recent")) {
		*out = now_nano - 600 * NS;
		return true;
	}
	if (!strcasecmp(text, "boot"))
		return boot_time(now_nano, out);
	if (calendar(text, now_nano, out))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(days); i++)
		if (!strcasecmp(text, days[i].word)) {
			*out = midnight(now_nano, days[i].days);
			return true;
		}
	if (*text == '@' ? !epoch(text + 1, &at) : !relative(text, now_nano, &at) && !date(text, now_nano, &at))
		return false;
	*out = at;
	return true;
}
