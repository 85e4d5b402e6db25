/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_fuzz.c - any bytes as a segment: the reader ends, says what is wrong, and what it gives is a record that has
 * a seq, prints as JSON and was sealed. Recovery of the same bytes leaves a ledger that reads without an error, but for
 * what it set aside.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/own.h"
#include "record/frame.h"
#include "record/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];

static void empty(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[256];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%.100s", folder, e->d_name);
		if (unlink(path)) {
			empty(path);
			rmdir(path);
		}
	}
	if (d)
		closedir(d);
}

static void remove_files(void)
{
	char key[128];

	empty(dir);
	snprintf(key, sizeof(key), "%s.key", dir);
	unlink(key);
}

static void at_exit(void)
{
	remove_files();
	rmdir(dir);
}

static void make_dir(void)
{
	strcpy(dir, "/dev/shm/sluice-fuzz-XXXXXX");
	if (!mkdtemp(dir)) {
		strcpy(dir, "/tmp/sluice-fuzz-XXXXXX");
		if (!mkdtemp(dir))
			abort();
	}
	atexit(at_exit);
}

static void write_segment(const uint8_t *data, size_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%020d.seg", dir, 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

static void check_record(const struct ledger_reader *r, const Record *rec)
{
	owned(own_free) char *text = NULL;
	const uint8_t *raw;
	size_t len = 0, raw_len;

	ledger_raw(r, &raw, &raw_len);
	if (!frame_sealed(slice_of(raw, raw_len)))
		abort();
	if (record_json(rec, &text, &len) || strlen(text) != len || strchr(text, '\n'))
		abort();
}

static unsigned read_all(void)
{
	struct ledger_reader *r = NULL;
	const Record *rec;
	unsigned errors = 0;
	int got;

	if (ledger_reader_open(&r, dir))
		abort();
	while ((got = ledger_next(r, &rec))) {
		if (got > 0)
			check_record(r, rec);
		else if (got != -EBADMSG || ++errors > 2 || !*ledger_reader_why(r))
			abort();
	}
	if (ledger_seek_last(r, 3))
		abort();
	while (ledger_next(r, &rec) > 0)
		;
	ledger_reader_close(&r);
	return errors;
}

/* The seed's CRCs are wrong after most mutations: the first byte may ask for them to be made right, so that what
 * stands behind them is reached, too. */
static void reseal(uint8_t *data, size_t size)
{
	struct frame f;

	for (size_t i = 0; frame_read(slice_of(data + i, size - i), &f) == FRAME_ITEM; i += f.used)
		if (f.body.len > CRC_LEN)
			frame_seal((uint8_t *)f.body.at, f.body.len - CRC_LEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned(own_free) uint8_t *copy = NULL;
	struct ledger *l = NULL;

	if (!*dir)
		make_dir();
	if (!size)
		return 0;
	copy = malloc(size);
	memcpy(copy, data, size);
	if (copy[0] & 1)
		reseal(copy + 1, size - 1);
	write_segment(copy + 1, size - 1);
	read_all();
	if (copy[0] & 2) {
		if (ledger_open(&l, &(struct ledger_options){ .dir = dir, .segment_bytes = 4096 }))
			abort();
		ledger_close(&l);
		if (read_all() > 1)
			abort();
		remove_files();
	}
	return 0;
}
