/* SPDX-License-Identifier: Apache-2.0 */
/* read.c - values of a YAML document, read strictly. */
#include "config/read.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void read_wrong(struct reader *r, const yaml_node_t *at, const char *format, ...)
{
	va_list ap;

	if (r->mistakes++ >= MISTAKES_MAX)
		return;
	fprintf(r->report, "%s:%zu:%zu: ", r->file, at->start_mark.line + 1, at->start_mark.column + 1);
	va_start(ap, format);
	vfprintf(r->report, format, ap);
	va_end(ap);
	fputc('\n', r->report);
}

const char *read_scalar(struct reader *r, const yaml_node_t *n, const char *what)
{
	if (n->type != YAML_SCALAR_NODE) {
		read_wrong(r, n, "%s must be a single value", what);
		return NULL;
	}
	if (memchr(n->data.scalar.value, 0, n->data.scalar.length)) {
		read_wrong(r, n, "%s contains a NUL", what);
		return NULL;
	}
	return (const char *)n->data.scalar.value;
}

void read_text(struct reader *r, const yaml_node_t *n, const char *what, char **to)
{
	const char *value = read_scalar(r, n, what);

	if (!value)
		return;
	if (!*value) {
		read_wrong(r, n, "%s is empty", what);
		return;
	}
	free(*to);
	*to = strdup(value);
	if (!*to)
		read_wrong(r, n, "%s: out of memory", what);
}

const struct unit size_units[] = {
	{ "", 1 }, { "K", 1024 }, { "M", 1048576 }, { "G", 1073741824 }, { "KiB", 1024 }, { "MiB", 1048576 }, {}
};

bool read_number(struct reader *r, const yaml_node_t *n, const char *what, const struct unit *units, uint64_t low,
                 uint64_t high, uint64_t *to)
{
	const char *value = read_scalar(r, n, what);
	unsigned long long got;
	char *end;

	if (!value)
		return false;
	errno = 0;
	got = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || errno) {
		read_wrong(r, n, "%s must be a whole number, not '%.64s'", what, value);
		return false;
	}
	for (; units && units->name; units++)
		if (!strcmp(end, units->name)) {
			got = got <= UINT64_MAX / units->times ? got * units->times : UINT64_MAX;
			end = "";
			break;
		}
	if (*end) {
		read_wrong(r, n, "%s: unknown unit '%.32s'", what, end);
		return false;
	}
	if (got < low || got > high) {
		read_wrong(r, n, "%s must be from %llu to %llu", what, (unsigned long long)low,
		           (unsigned long long)high);
		return false;
	}
	*to = got;
	return true;
}

bool read_one_of(struct reader *r, const yaml_node_t *n, const char *what, const char *const *words, size_t count,
                 size_t *to)
{
	const char *value = read_scalar(r, n, what);
	char all[128] = "";

	if (!value)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(value, words[i])) {
			*to = i;
			return true;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? " | " : "", words[i]);
	}
	read_wrong(r, n, "%s must be %s, not '%.64s'", what, all, value);
	return false;
}

void read_mapping(struct reader *r, yaml_node_t *n, const char *what, const struct key *keys)
{
	if (n->type != YAML_MAPPING_NODE) {
		read_wrong(r, n, "%s must be a mapping", what);
		return;
	}
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
		yaml_node_t *value = yaml_document_get_node(&r->doc, p->value);
		const char *name = read_scalar(r, key, "a key");
		const struct key *k = keys;

		if (!name)
			continue;
		for (yaml_node_pair_t *q = n->data.mapping.pairs.start; q < p; q++) {
			yaml_node_t *before = yaml_document_get_node(&r->doc, q->key);

			if (before->type == YAML_SCALAR_NODE && !strcmp((char *)before->data.scalar.value, name))
				read_wrong(r, key, "'%.64s' is given twice", name);
		}
		while (k->name && strcmp(k->name, name))
			k++;
		if (!k->name)
			read_wrong(r, key, "unknown key '%.64s' in %s", name, what);
		else if (k->not_yet)
			read_wrong(r, key, "'%s' is not supported by this version: %s", name, k->not_yet);
		else
			k->read(r, value);
	}
}
