/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_submit.c - asks witnesses for cosignatures. A process of its own, so that no witness, however slow or
 * hostile, is in the way of what the daemon does: an answer has a bound in bytes and in seconds, and nothing of it is
 * taken but a cosignature that is right.
 */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "cli/witness.h"

#define ANSWER_MOST 16384
#define HEAD_MOST   65536

struct answer {
	long status;
	bool size_type;   /* text/x.tlog.size */
	size_t head, len; /* bytes */
	uint8_t body[ANSWER_MOST];
};

static size_t take_body(char *at, size_t one, size_t n, void *arg)
{
	struct answer *a = arg;

	(void)one;
	if (n > sizeof(a->body) - a->len)
		return 0; /* ends the transfer */
	memcpy(a->body + a->len, at, n);
	a->len += n;
	return n;
}

static size_t take_head(char *at, size_t one, size_t n, void *arg)
{
	struct answer *a = arg;

	(void)at;
	(void)one;
	a->head += n;
	return a->head > HEAD_MOST ? 0 : n;
}

static void own_curl(CURL **c)
{
	curl_easy_cleanup(*c);
}

static void own_list(struct curl_slist **l)
{
	curl_slist_free_all(*l);
}

/* 0, or -1 with `why`. */
static int post(const char *base, const char *body, size_t len, unsigned seconds, struct answer *a,
                char why[CURL_ERROR_SIZE])
{
	owned(own_curl) CURL *c = curl_easy_init();
	owned(own_list) struct curl_slist *fields = NULL;
	owned(own_free) char *url = NULL;
	size_t base_len = strlen(base);
	char *type = NULL;
	int err;

	while (base_len && base[base_len - 1] == '/')
		base_len--;
	fields = curl_slist_append(NULL, "Content-Type: text/plain; charset=utf-8");
	if (!c || !fields || asprintf(&url, "%.*s/add-checkpoint", (int)base_len, base) < 0) {
		snprintf(why, CURL_ERROR_SIZE, "out of memory");
		return -1;
	}
	a->head = a->len = 0;
	a->size_type = false;
	*why = '\0';
	/* No redirects, no other protocols: what is asked is what was configured. */
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "sluicectl/" SLUICE_VERSION);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)seconds);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, a);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
	err = (int)curl_easy_perform(c);
	if (err && !*why)
		snprintf(why, CURL_ERROR_SIZE, "%s", curl_easy_strerror((CURLcode)err));
	if (err == CURLE_WRITE_ERROR)
		snprintf(why, CURL_ERROR_SIZE, "its answer is longer than any cosignature");
	if (err)
		return -1;
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->status);
	curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &type);
	a->size_type = type && !strncmp(type, "text/x.tlog.size", 16);
	return 0;
}

/* The size that a 409 names; false: none. */
static bool read_size(const struct answer *a, uint64_t *size)
{
	char text[24], *end;

	if (!a->size_type || a->len < 2 || a->len >= sizeof(text) || a->body[a->len - 1] != '\n')
		return false;
	memcpy(text, a->body, a->len - 1);
	text[a->len - 1] = '\0';
	if (text[strspn(text, "0123456789")])
		return false;
	errno = 0;
	*size = strtoull(text, &end, 10);
	return !errno && !*end;
}

/* A log and a witness: what is said of each line. */
struct turn {
	struct cosigning *c;
	const struct asked *w;
	unsigned seconds;
};

static int complain(const struct turn *t, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int complain(const struct turn *t, int status, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "witness: %s: %.*s: ", cosigning_origin(t->c), (int)strcspn(t->w->key, "+"), t->w->key);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

static int judge(const struct turn *t, const struct answer *a, uint64_t old)
{
	uint64_t size;

	switch (a->status) {
	case 200:
		if (cosigning_take(t->c, t->w->key, a->body, a->len))
			return complain(t, WITNESS_ERROR, "its answer has no cosignature of its key");
		printf("%s: cosigned by %.*s: size=%" PRIu64 "\n", cosigning_origin(t->c), (int)strcspn(t->w->key, "+"),
		       t->w->key, cosigning_size(t->c));
		return WITNESS_OK;
	case 403:
		return complain(t, WITNESS_ERROR,
		                "it does not know a key that signed the checkpoint: give it the log's "
		                "lasting key");
	case 404:
		return complain(t, WITNESS_ERROR, "it does not watch this log, or there is no witness at %s",
		                t->w->url);
	case 409:
		if (!read_size(a, &size))
			return complain(t, WITNESS_ERROR, "a conflict, and it does not say of which size");
		if (size > cosigning_size(t->c))
			return complain(t, WITNESS_REFUSED,
			                "ROLLED BACK: it has cosigned %" PRIu64 " records, the log has %" PRIu64, size,
			                cosigning_size(t->c));
		return complain(t, WITNESS_REFUSED,
		                "FORKED: it has cosigned another history of %" PRIu64 " records (asked from %" PRIu64
		                ")",
		                size, old);
	case 422:
		return complain(t, WITNESS_REFUSED,
		                "FORKED: the log is no continuation of the %" PRIu64 " records that it has cosigned",
		                old);
	default:
		return complain(t, WITNESS_ERROR, "status %ld", a->status);
	}
}

static int ask_one(const struct turn *t)
{
	owned(own_free) struct answer *a = malloc(sizeof(*a));
	char why[CURL_ERROR_SIZE];
	uint64_t old = 0, when = 0;
	int err = a ? cosigning_known(t->c, t->w->key, &old, &when) : -ENOMEM;

	if (err)
		return complain(t, WITNESS_ERROR, "%s",
		                err == -EINVAL ? "its key is none of cosignature/v1 (name+id+key)" : strerror(-err));
	/* What it has seen need not be what we keep of it: once more, from where it says. */
	for (int turn = 0;; turn++) {
		owned(own_free) char *body = NULL;
		uint64_t size = 0;
		size_t len = 0;

		err = old > cosigning_size(t->c) ? -ERANGE : cosigning_request(t->c, old, &body, &len);
		if (err == -ERANGE)
			return complain(t, WITNESS_REFUSED,
			                "ROLLED BACK: it has cosigned %" PRIu64 " records, the log has %" PRIu64, old,
			                cosigning_size(t->c));
		if (err)
			return complain(t, WITNESS_ERROR, "no proof from %" PRIu64 " on: %s", old, strerror(-err));
		if (post(t->w->url, body, len, t->seconds, a, why))
			return complain(t, WITNESS_ERROR, "%s", why);
		if (turn || a->status != 409 || !read_size(a, &size) || size == old || size > cosigning_size(t->c))
			return judge(t, a, old);
		old = size;
	}
}

static int worst(int a, int b)
{
	return a == WITNESS_REFUSED || b == WITNESS_REFUSED ? WITNESS_REFUSED : a > b ? a : b;
}

static int submit_log(const char *dir, const struct asked *list, size_t n, unsigned seconds)
{
	owned(cosigning_close) struct cosigning *c = NULL;
	int err = cosigning_open(&c, dir), status = WITNESS_OK;

	if (err) {
		fprintf(stderr, "witness: %s: %s\n", dir, err == -EBADMSG ? "its checkpoint is none" : strerror(-err));
		return WITNESS_ERROR;
	}
	for (size_t i = 0; i < n; i++) {
		struct turn t = { c, &list[i], seconds };

		status = worst(status, ask_one(&t));
	}
	err = cosigning_keep(c);
	if (!err)
		return status;
	fprintf(stderr, "witness: %s: what was cosigned cannot be kept: %s\n", dir, strerror(-err));
	return worst(status, WITNESS_ERROR);
}

static int list_log(const char *dir, const struct asked *list, size_t n)
{
	owned(cosigning_close) struct cosigning *c = NULL;
	int err = cosigning_open(&c, dir), status = WITNESS_OK;

	for (size_t i = 0; !err && i < n; i++) {
		uint64_t size, unix_s;
		char when[32] = "-";
		struct tm tm;
		time_t t;

		if (cosigning_known(c, list[i].key, &size, &unix_s)) {
			err = -EINVAL;
			break;
		}
		t = (time_t)unix_s;
		if (unix_s && gmtime_r(&t, &tm))
			strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
		printf("%s\t%.*s\t%" PRIu64 " of %" PRIu64 "\t%s\n", cosigning_origin(c),
		       (int)strcspn(list[i].key, "+"), list[i].key, size, cosigning_size(c), when);
		status = unix_s ? status : WITNESS_REFUSED;
	}
	if (!err)
		return status;
	fprintf(stderr, "witness: %s: %s\n", dir, err == -EINVAL ? "a witness's key is none" : strerror(-err));
	return WITNESS_ERROR;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* The logs of a record directory, or the one that it is. */
static int each_log(const char *dir, const struct asked *list, size_t n, unsigned seconds)
{
	static const char *const logs[] = { "ledger", "control" };
	int status = WITNESS_OK;
	bool any = false;

	for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
		owned(own_free) char *inner = NULL;

		if (asprintf(&inner, "%s/%s", dir, logs[i]) < 0)
			return WITNESS_ERROR;
		if (!is_dir(inner))
			continue;
		any = true;
		status = worst(status, seconds ? submit_log(inner, list, n, seconds) : list_log(inner, list, n));
	}
	if (any)
		return status;
	return seconds ? submit_log(dir, list, n, seconds) : list_log(dir, list, n);
}

int witness_submit(const char *dir, const struct asked *list, size_t n, unsigned seconds)
{
	int status;

	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return WITNESS_ERROR;
	status = each_log(dir, list, n, seconds);
	curl_global_cleanup();
	return status;
}

int witness_list(const char *dir, const struct asked *list, size_t n)
{
	return each_log(dir, list, n, 0);
}
