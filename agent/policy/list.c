/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.c - word lists, in UTF-8: one keyword a line with '#' comments, or CSV (RFC 4180) with a line that names the
 * columns. Of a CSV a rule takes the keywords of its own risks: one list may serve all rules.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/own.h"
#include "policy/csv.h"
#include "policy/draft.h"
#include "policy/taxonomy.h"

#define LIST_BYTES_MAX (64u << 20)

const char *draft_why(int error)
{
	switch (error) {
	case -EFBIG:
		return "too large";
	case -EINVAL:
		return "not a regular file";
	default:
		return strerror(-error);
	}
}

int draft_read(struct arena *to, const char *path, size_t most, struct slice *out)
{
	/* Not blocking: a pipe under the name of a list must not stop the loader. */
	owned(own_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	uint8_t *at;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size < 0 || (size_t)st.st_size > most)
		return -EFBIG;
	at = arena_take(to, (size_t)st.st_size + 1);
	if (!at)
		return -ENOMEM;
	while (n < (size_t)st.st_size) {
		ssize_t got = read(fd, at + n, (size_t)st.st_size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		n += (size_t)got;
	}
	*out = slice_of(at, n);
	return 0;
}

/* The real path of `path` below the folder, or NULL with *why. Links may lead about inside the folder, not out of it:
 * a pack from elsewhere must not be able to read what the daemon can. */
static char *inside(const char *dir, struct slice path, const char **why)
{
	owned(own_free) char *root = realpath(dir, NULL), *joined = NULL, *real = NULL;
	size_t n;

	*why = "cannot be read";
	if (!root || memchr(path.at, 0, path.len) || asprintf(&joined, "%s/%.*s", root, SLICE_ARG(path)) < 0) {
		joined = NULL;
		return NULL;
	}
	*why = "must be inside the policy folder";
	if (path.at[0] == '/')
		return NULL;
	real = realpath(joined, NULL);
	if (!real) {
		*why = strerror(errno);
		return NULL;
	}
	n = strlen(root);
	if (strncmp(real, root, n) || (n > 1 && real[n] != '/'))
		return NULL;
	return TAKE(real);
}

static void read_lines(struct draft *d, const char *who, const char *name, struct slice bytes)
{
	struct mark at = { 1, 1 };

	bytes = csv_without_bom(bytes);
	for (; bytes.len; at.line++) {
		const uint8_t *end = memchr(bytes.at, '\n', bytes.len);
		struct slice line = { bytes.at, end ? (size_t)(end - bytes.at) : bytes.len };

		bytes = slice_from(bytes, line.len + (end != NULL));
		if (memchr(line.at, 0, line.len)) {
			report_mistake(d->report, name, at, "%s: binary, not a word list", who);
			return;
		}
		line = csv_trim(line);
		if (line.len && line.at[0] != '#')
			draft_keyword(d, ROLE_KEYWORD, who, name, at, line);
	}
}

/* ---- CSV ---- */

static bool has_risk(const struct rule *rule, struct slice name)
{
	for (size_t i = 0; i < rule->risk_count; i++)
		if (slice_is(name, slice_str(rule->risks[i])))
			return true;
	return false;
}

static void add_row(struct draft *d, const char *who, const char *name, struct mark at, const struct row *row,
                    size_t keyword, size_t risk)
{
	const struct rule *rule = &d->rules[d->rule_count - 1].rule;
	char quoted[REPORT_QUOTE_MAX];
	struct slice known;
	uint16_t number;

	if (row->count == 1 && !row->at[0].len)
		return;
	if (keyword >= row->count || risk >= row->count)
		report_mistake(d->report, name, at, "%s: no column '%s'", who,
		               keyword >= row->count ? "keyword" : "risk");
	else if (!taxonomy_find(row->at[risk], &known, &number))
		report_mistake(d->report, name, at, "%s: unknown risk '%s'", who, report_quote(row->at[risk], quoted));
	else if (has_risk(rule, known)) {
		d->risk = number;
		draft_keyword(d, ROLE_KEYWORD, who, name, at, row->at[keyword]);
		d->risk = 0;
	}
}

static void read_csv(struct draft *d, const char *who, const char *name, struct slice bytes)
{
	size_t keyword = 0, risk = 0;
	struct mark at = { 1, 1 };
	struct row row;

	bytes = csv_without_bom(bytes);
	if (memchr(bytes.at, 0, bytes.len)) {
		report_mistake(d->report, name, at, "%s: binary, not a word list", who);
		return;
	}
	for (bool first = true; bytes.len; first = false, at.line += row.lines) {
		const char *why = csv_row(&d->texts, &bytes, &row);

		if (why) {
			report_mistake(d->report, name, at, "%s: %s", who, why);
			return;
		}
		if (!first) {
			add_row(d, who, name, at, &row, keyword, risk);
			continue;
		}
		keyword = csv_column(&row, SLICE("keyword"));
		risk = csv_column(&row, SLICE("risk"));
		if (keyword < row.count && risk < row.count)
			continue;
		report_mistake(d->report, name, at,
		               "%s: the first line must name the columns, 'keyword' and 'risk' among them", who);
		return;
	}
}

static bool list_signed(const struct draft *d, const char *file, struct mark at, struct slice path, struct slice bytes)
{
	owned(own_free) char *full = NULL;

	if (d->key && asprintf(&full, "%s/%.*s", d->dir, SLICE_ARG(path)) < 0) {
		full = NULL;
		report_mistake(d->report, file, at, "%s", strerror(ENOMEM));
		return false;
	}
	return draft_signed(d, file, at, full, bytes);
}

void draft_list(struct draft *d, const char *who, const char *file, struct mark at, struct slice path)
{
	char quoted[REPORT_QUOTE_MAX];
	owned(own_free) char *real = NULL;
	const char *why = "cannot be read", *name;
	struct slice bytes = { 0 };
	int error;

	report_quote(path, quoted);
	if (d->dir && path.len && path.len < PATH_MAX)
		real = inside(d->dir, path, &why);
	if (real) {
		error = draft_read(&d->texts, real, LIST_BYTES_MAX, &bytes);
		if (!error) {
			/* By the name that the pack gives it: what a link leads to has its signature beside the link.
			 */
			if (!list_signed(d, file, at, path, bytes))
				return;
			name = arena_copy(&d->texts, path);
			if (path.len > 4 && slice_is_nocase(slice_from(path, path.len - 4), SLICE(".csv")))
				read_csv(d, who, name ? name : file, bytes);
			else
				read_lines(d, who, name ? name : file, bytes);
			return;
		}
		why = draft_why(error);
	}
	report_mistake(d->report, file, at, "%s: keywords_file '%s': %s", who, quoted, why);
}
