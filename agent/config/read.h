/* SPDX-License-Identifier: Apache-2.0 */
/* read.h - values of a YAML document: each reader names what is wrong with line and column. Private to config. */
#pragma once

#include <stdio.h>
#include <yaml.h>

#include "config/config.h"

#define MISTAKES_MAX 50 /* named one by one */

struct reader {
	const char *file;
	yaml_document_t doc;
	struct config *config;
	struct config_service *service; /* the one being read */
	struct config_opinion *opinion; /* likewise */
	struct config_witness *witness; /* likewise */
	const yaml_node_t *retain_at;   /* record.retain */
	const yaml_node_t *evidence_at; /* record.evidence */
	FILE *report;
	size_t mistakes;
};

struct key {
	const char *name;
	void (*read)(struct reader *r, yaml_node_t *value);
	const char *not_yet; /* known, but not in this version */
};

/* Counts a mistake and says where it is. */
void read_wrong(struct reader *r, const yaml_node_t *at, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A single value, borrowed from the document; NULL if it is none. */
const char *read_scalar(struct reader *r, const yaml_node_t *n, const char *what);

/* A copy of a value that is not empty takes the place of *to. */
void read_text(struct reader *r, const yaml_node_t *n, const char *what, char **to);

/* A whole number with one of the given units, each a letter or word and what it multiplies by. */
struct unit {
	const char *name;
	uint64_t times;
};

extern const struct unit size_units[]; /* bytes */

bool read_number(struct reader *r, const yaml_node_t *n, const char *what, const struct unit *units, uint64_t low,
                 uint64_t high, uint64_t *to);

/* One of the given words; its place in the list. */
bool read_one_of(struct reader *r, const yaml_node_t *n, const char *what, const char *const *words, size_t count,
                 size_t *to);

extern const struct unit ms_units[]; /* milliseconds */

/* The section `record`, in record.c. */
void read_record(struct reader *r, yaml_node_t *n);

/* The section `opinions`, in opinions.c. */
void read_opinions(struct reader *r, yaml_node_t *n);
void opinions_config_free(struct config *c);
/* record.witnesses, in witness.c. */
void read_witnesses(struct reader *r, yaml_node_t *n);

/* The section `alerts`, in alerts.c. */
void read_alerts(struct reader *r, yaml_node_t *n);

/* Reads a mapping by a table of keys that ends with an empty row. */
void read_mapping(struct reader *r, yaml_node_t *n, const char *what, const struct key *keys);
