/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_import_write.c - what policy import writes.
 *
 * One CSV with the words and their risks, and a pack with a rule for each risk that takes its rows: lists change often,
 * rules seldom. Both are tried before they get their names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "cli/policy_import.h"

static void put_field(FILE *f, struct slice text)
{
	bool quotes = false;

	for (size_t i = 0; i < text.len; i++)
		quotes |= text.at[i] == ',' || text.at[i] == '"' || text.at[i] < 0x20;
	if (!quotes) {
		fwrite(text.at, 1, text.len, f);
		return;
	}
	fputc('"', f);
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '"')
			fputc('"', f);
		fputc(text.at[i], f);
	}
	fputc('"', f);
}

static void put_list(const struct importing *x, FILE *f)
{
	fputs("keyword,risk\n", f);
	for (size_t i = 0; i < import_count(x->words); i++) {
		const struct import_word *w = import_word_at(x->words, i);

		if (w->fate != IMPORT_TAKEN)
			continue;
		put_field(f, w->text);
		fprintf(f, ",%.*s\n", SLICE_ARG(w->risk));
	}
}

static void put_pack(const struct importing *x, FILE *f)
{
	time_t now = time(NULL);
	char day[16] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(day, sizeof(day), "%Y.%m.%d", &tm);
	fprintf(f, "pack: %s\nversion: \"%s\"\nrules:\n", x->pack, day);
	for (size_t n = 0; n < x->risk_count; n++)
		fprintf(f, "  - id: %s.%.*s\n    risk: %.*s\n    action: %s\n    keywords_file: %s.csv\n", x->pack,
		        SLICE_ARG(x->risks[n].name), SLICE_ARG(x->risks[n].name), action_names[x->action], x->pack);
}

/* A file of the folder in which it is tried. */
static int write_try(struct importing *x, const char *name, void (*put)(const struct importing *, FILE *))
{
	owned(own_free) char *path = NULL;
	FILE *f;
	int bad;

	if (asprintf(&path, "%s/%s", x->try, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	f = fopen(path, "wxe");
	if (!f)
		return -errno;
	put(x, f);
	bad = ferror(f);
	return fclose(f) || bad ? -EIO : 0;
}

static int copy(const char *from, const char *to, const char *name, bool force)
{
	owned(own_free) char *source = NULL, *target = NULL, *fresh = NULL;
	owned(own_free) uint8_t *data = NULL;
	size_t len = 0, done = 0;
	owned(own_close) int fd = -1;
	int err;

	if (asprintf(&source, "%s/%s", from, name) < 0 || asprintf(&target, "%s/%s", to, name) < 0 ||
	    asprintf(&fresh, "%s/.%s.new", to, name) < 0)
		return -ENOMEM;
	err = cli_read(source, 64u << 20, &data, &len);
	if (err)
		return err;
	if (!force && !access(target, F_OK))
		return -EEXIST;
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	while (done < len) {
		ssize_t n = write(fd, data + done, len - done);

		if (n < 0) {
			err = -errno;
			unlink(fresh);
			return err;
		}
		done += (size_t)n;
	}
	if (fsync(fd) || rename(fresh, target)) {
		err = -errno;
		unlink(fresh);
	}
	return err;
}

/* The list before the pack that names it. */
static int install(const struct importing *x, const char *from, const char *const *names, size_t count)
{
	owned(own_free) char *target = NULL;

	if (mkdir(x->into, 0755) && errno != EEXIST) {
		fprintf(stderr, "sluicectl: %s: %s\n", x->into, strerror(errno));
		return 2;
	}
	for (size_t i = 0; i < 2 * count; i++) {
		const char *name = names[i % count];
		int err = 0;

		if (i >= count)
			err = copy(from, x->into, name, true);
		else if (asprintf(&target, "%s/%s", x->into, name) < 0)
			target = NULL;
		else if (!x->force && !access(target, F_OK))
			err = -EEXIST; /* all are looked at before the first is written */
		if (i < count) {
			free(target);
			target = NULL;
		}
		if (err) {
			fprintf(stderr, "sluicectl: %s/%s: %s%s\n", x->into, name, strerror(-err),
			        err == -EEXIST ? " (--force writes over it)" : "");
			return 2;
		}
		if (i >= count && !x->json)
			printf("wrote %s/%s\n", x->into, name);
	}
	return 0;
}

static void remove_try(struct importing *x, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		owned(own_free) char *path = NULL;

		if (asprintf(&path, "%s/%s", x->try, names[i]) < 0)
			path = NULL;
		else
			unlink(path);
	}
	rmdir(x->try);
}

int import_write_pack(struct importing *x)
{
	owned(own_free) char *list = NULL, *pack = NULL;
	owned(policy_report_free) struct policy_report report = {};
	owned(ruleset_put) struct ruleset *rules = NULL;
	const char *dir = getenv("TMPDIR");
	int err, status = 2;

	if (asprintf(&list, "%s.csv", x->pack) < 0)
		list = NULL;
	if (asprintf(&pack, "%s.yaml", x->pack) < 0)
		pack = NULL;
	if (!list || !pack)
		return 2;
	const char *const names[] = { list, pack };

	if ((size_t)snprintf(x->try, sizeof(x->try), "%s/sluice-import-XXXXXX", dir && *dir ? dir : "/tmp") >=
	            sizeof(x->try) ||
	    !mkdtemp(x->try)) {
		fprintf(stderr, "sluicectl: a folder to try the pack in: %s\n", strerror(errno));
		return 2;
	}
	err = write_try(x, list, put_list);
	err = err ? err : write_try(x, pack, put_pack);
	if (err) {
		fprintf(stderr, "sluicectl: %s: %s\n", x->try, strerror(-err));
	} else if (ruleset_load(&rules, x->try, &report)) {
		fwrite(report.text ? report.text : "", 1, report.len, stderr);
		status = 1;
	} else {
		status = install(x, x->try, names, ARRAY_LEN(names));
	}
	remove_try(x, names, ARRAY_LEN(names));
	return status;
}

/* ---- packs ---- */

#define FILES_MAX 256

struct files {
	char *names[2 * FILES_MAX]; /* owned; lists, then the pack, each with its signature */
	size_t count;
};

static void files_free(struct files *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->names[i]);
}

static bool add_file(struct files *f, const char *name, bool is_signed)
{
	for (size_t i = 0; i < f->count; i++)
		if (!strcmp(f->names[i], name))
			return true;
	if (f->count + 2 > ARRAY_LEN(f->names))
		return false;
	f->names[f->count] = strdup(name);
	f->count += f->names[f->count] != NULL;
	if (is_signed && asprintf(&f->names[f->count], "%s.sig", name) >= 0)
		f->count++;
	return true;
}

int import_copy_pack(struct importing *x, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	owned(own_free) char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	owned(ruleset_put) struct ruleset *rules = NULL;
	owned(files_free) struct files files = { .count = 0 };
	struct policy_word w;
	bool fits = true;

	if (!x->into) {
		fputs("sluicectl: -o DIR says where the pack goes\n", stderr);
		return 2;
	}
	if (!dir)
		return 2;
	if (ruleset_load_pack(&rules, dir, name, x->signer, &x->report)) {
		fwrite(x->report.text ? x->report.text : "", 1, x->report.len, stderr);
		return 1;
	}
	for (size_t i = 0; ruleset_word(rules, i, &w); i++) {
		if (strchr(w.file, '/')) {
			fprintf(stderr, "sluicectl: %s: the list '%s' is in another folder: lay it beside the pack\n",
			        path, w.file);
			return 1;
		}
		fits &= !strcmp(w.file, name) || add_file(&files, w.file, x->signer);
	}
	if (!fits || !add_file(&files, name, x->signer)) {
		fprintf(stderr, "sluicectl: %s: too many lists\n", path);
		return 2;
	}
	return install(x, dir, (const char *const *)files.names, files.count);
}
