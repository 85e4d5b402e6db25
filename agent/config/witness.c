/* SPDX-License-Identifier: Apache-2.0 */
/* witness.c - record.witnesses: who is asked to cosign the record's checkpoints. */
#include <string.h>

#include "config/read.h"

static void witness_url(struct reader *r, yaml_node_t *n)
{
	char **to = &r->witness->url;

	read_text(r, n, "a witness's url", to);
	if (*to && strncmp(*to, "http://", 7) != 0 && strncmp(*to, "https://", 8) != 0)
		read_wrong(r, n, "a witness's url begins with http:// or https://, not '%.64s'", *to);
}

static void witness_key(struct reader *r, yaml_node_t *n)
{
	const char *first, *second;

	read_text(r, n, "a witness's key", &r->witness->key);
	first = r->witness->key ? strchr(r->witness->key, '+') : NULL;
	second = first ? strchr(first + 1, '+') : NULL;
	if (r->witness->key && (!second || second - first != 9))
		read_wrong(r, n, "a witness's key is name+id+key, as `sluicectl witness key` prints it");
}

static const struct key witness_keys[] = { { "url", witness_url, NULL }, { "key", witness_key, NULL }, {} };

void read_witnesses(struct reader *r, yaml_node_t *n)
{
	struct config *c = r->config;
	size_t count = 0;

	if (n->type == YAML_SEQUENCE_NODE)
		count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	if (c->witnesses || !count || count > CONFIG_WITNESSES_MAX) {
		read_wrong(r, n, "record.witnesses: one list, of at most %d with url and key", CONFIG_WITNESSES_MAX);
		return;
	}
	c->witnesses = calloc(count, sizeof(*c->witnesses));
	for (size_t i = 0; c->witnesses && i < count; i++) {
		yaml_node_t *item = yaml_document_get_node(&r->doc, n->data.sequence.items.start[i]);

		r->witness = &c->witnesses[c->witness_count++];
		read_mapping(r, item, "a witness", witness_keys);
		if (!r->witness->url || !r->witness->key)
			read_wrong(r, item, "a witness needs a url and a key");
	}
}
