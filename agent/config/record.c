/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - the keys of `record:`: where it is, how long it stays, and what its disk may come to. */
#include <string.h>

#include "config/read.h"

#define RETAIN_FLOOR_DAYS 184 /* six calendar months, the longest of them */

static const struct unit day_units[] = { { "d", 1 }, { "w", 7 }, { "y", 366 }, {} };

static void record_dir(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "record.dir", &r->config->record_dir);
}

/* Judged when `unsafe` is known, which may stand behind it. */
static void record_retain(struct reader *r, yaml_node_t *n)
{
	uint64_t days;

	r->retain_at = n;
	if (read_number(r, n, "record.retain", day_units, 1, 36600, &days))
		r->config->retain_days = (uint32_t)days;
}

static void record_unsafe(struct reader *r, yaml_node_t *n)
{
	static const char *const words[] = { "false", "true" };
	size_t which;

	if (read_one_of(r, n, "record.unsafe", words, 2, &which))
		r->config->retain_unsafe = which;
}

static void record_segment(struct reader *r, yaml_node_t *n)
{
	read_number(r, n, "record.segment", size_units, 128 << 10, 1u << 30, &r->config->segment_bytes);
}

static void record_exchanges(struct reader *r, yaml_node_t *n)
{
	static const char *const words[] = { "flagged", "all" };
	size_t which;

	if (read_one_of(r, n, "record.exchanges", words, 2, &which))
		r->config->record_all = which;
}

static void record_on_failure(struct reader *r, yaml_node_t *n)
{
	static const char *const words[] = { "continue", "closed" };
	size_t which;

	if (read_one_of(r, n, "record.on_record_failure", words, 2, &which))
		r->config->disk.closed = which;
}

static void record_space_left(struct reader *r, yaml_node_t *n)
{
	read_number(r, n, "record.space_left", size_units, 0, UINT64_MAX, &r->config->disk.space_left);
}

static void record_admin_space_left(struct reader *r, yaml_node_t *n)
{
	read_number(r, n, "record.admin_space_left", size_units, 0, UINT64_MAX, &r->config->disk.admin_space_left);
}

const char *const disk_action_names[DISK_ACTION_COUNT] = {
	[DISK_IGNORE] = "ignore",
	[DISK_SYSLOG] = "syslog",
	[DISK_SUSPEND] = "suspend",
	[DISK_STOP_SERVING] = "stop-serving",
};

static void disk_action(struct reader *r, yaml_node_t *n, const char *what, enum disk_action *to)
{
	const char *value = n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : "";
	size_t which;

	if (!strcmp(value, "exec") || !strcmp(value, "email") || !strcmp(value, "rotate"))
		read_wrong(r, n, "%s: '%s' is not supported by this version", what, value);
	else if (!strcmp(value, "halt") || !strcmp(value, "single"))
		read_wrong(r, n, "%s: the host is not sluice's to stop: stop-serving refuses the guarded services",
		           what);
	else if (read_one_of(r, n, what, disk_action_names, DISK_ACTION_COUNT, &which))
		*to = (enum disk_action)which;
}

static void record_space_left_action(struct reader *r, yaml_node_t *n)
{
	disk_action(r, n, "record.space_left_action", &r->config->disk.space_left_action);
}

static void record_admin_space_left_action(struct reader *r, yaml_node_t *n)
{
	disk_action(r, n, "record.admin_space_left_action", &r->config->disk.admin_space_left_action);
}

static void record_disk_full_action(struct reader *r, yaml_node_t *n)
{
	disk_action(r, n, "record.disk_full_action", &r->config->disk.disk_full_action);
}

static void record_disk_error_action(struct reader *r, yaml_node_t *n)
{
	disk_action(r, n, "record.disk_error_action", &r->config->disk.disk_error_action);
}

static const struct key record_keys[] = {
	{ "dir", record_dir, NULL },
	{ "retain", record_retain, NULL },
	{ "exchanges", record_exchanges, NULL },
	{ "segment", record_segment, NULL },
	{ "unsafe", record_unsafe, NULL },
	{ "on_record_failure", record_on_failure, NULL },
	{ "space_left", record_space_left, NULL },
	{ "space_left_action", record_space_left_action, NULL },
	{ "admin_space_left", record_admin_space_left, NULL },
	{ "admin_space_left_action", record_admin_space_left_action, NULL },
	{ "disk_full_action", record_disk_full_action, NULL },
	{ "disk_error_action", record_disk_error_action, NULL },
	{ "witnesses", read_witnesses, NULL },
	{ "recipients", NULL, "evidence is not kept" },
	{},
};

void read_record(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "record", record_keys);
	if (r->config->retain_days < RETAIN_FLOOR_DAYS && !r->config->retain_unsafe)
		read_wrong(r, r->retain_at, "record.retain must be from %d to 36600, or unsafe: true beside it",
		           RETAIN_FLOOR_DAYS);
	if (r->config->disk.admin_space_left > r->config->disk.space_left)
		read_wrong(r, n, "record.admin_space_left must not be above record.space_left");
}
