/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witnessed.c - when others last signed the record, and when it was last signed here.
 *
 * Witnesses are asked by a process of its own (sluicectl witness submit), which keeps what they signed beside the
 * record. A signature counts here only if it is the witness's over this log: what lies in that file may be anybody's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/own.h"
#include "report.h"

static const char *const logs[] = { "ledger", "control" };

static bool is_new(struct timespec *seen, const char *path)
{
	struct stat st;

	if (stat(path, &st) || (st.st_mtim.tv_sec == seen->tv_sec && st.st_mtim.tv_nsec == seen->tv_nsec))
		return false;
	*seen = st.st_mtim;
	return true;
}

static void look(struct daemon *d, size_t log)
{
	owned(cosigning_close) struct cosigning *c = NULL;
	uint64_t *to = d->witnessed.unix_s[log], size;
	char dir[4096], path[4096];
	int err;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/%s", d->config->record_dir, logs[log]) >= sizeof(dir) ||
	    (size_t)snprintf(path, sizeof(path), "%s.cosigned/%s", d->config->record_dir, logs[log]) >= sizeof(path) ||
	    !is_new(&d->witnessed.seen[log], path))
		return;
	err = cosigning_open(&c, dir);
	for (size_t i = 0; i < d->config->witness_count && !err; i++)
		err = cosigning_known(c, d->config->witnesses[i].key, &size, &to[i]);
	if (err)
		log_warn("record: what witnesses signed cannot be read: log=%s error=%s", logs[log],
		         strerrorname_np(-err));
}

void witnessed_look(struct daemon *d)
{
	for (size_t i = 0; i < ARRAY_LEN(logs) && d->config->witness_count; i++)
		look(d, i);
}

static void row(struct buf *out, const char *name, const char *log, const char *witness, uint64_t value)
{
	buf_printf(out, "%s{log=\"%s\"", name, log);
	if (witness)
		buf_printf(out, ",witness=\"%.*s\"", (int)strcspn(witness, "+"), witness);
	buf_printf(out, "} %llu\n", (unsigned long long)value);
}

void witnessed_metrics(const struct daemon *d, struct buf *out)
{
	static const char about[] = "# HELP %s %s\n# TYPE %s gauge\n";
	const char *name = "sluice_audit_checkpoint_timestamp_seconds";
	struct ledger_stats s[2];

	ledger_stats(d->ledger, &s[0]);
	ledger_stats(d->control, &s[1]);
	buf_printf(out, about, name, "When the newest checkpoint was signed.", name);
	for (size_t i = 0; i < ARRAY_LEN(logs); i++)
		row(out, name, logs[i], NULL, s[i].checkpoint_unix);
	name = "sluice_audit_tree_size";
	buf_printf(out, about, name, "Records under the newest checkpoint.", name);
	for (size_t i = 0; i < ARRAY_LEN(logs); i++)
		row(out, name, logs[i], NULL, s[i].checkpoint_size);
	name = "sluice_audit_witness_timestamp_seconds";
	buf_printf(out, about, name, "When a witness of record.witnesses last cosigned the log; 0: never.", name);
	for (size_t i = 0; i < ARRAY_LEN(logs); i++)
		for (size_t k = 0; k < d->config->witness_count; k++)
			row(out, name, logs[i], d->config->witnesses[k].key, d->witnessed.unix_s[i][k]);
}
