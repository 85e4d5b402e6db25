/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doc.h - one YAML document as a tree whose every node knows where it stands.
 *
 * Only what packs need: mappings, lists and text. Anchors, aliases and tags are refused, which leaves nothing that
 * could be cyclic or grow without its bytes being in the file.
 */
#pragma once

#include "policy/report.h"

#define DOC_DEPTH_MAX 16
#define DOC_BYTES_MAX (16u << 20)

enum doc_kind { DOC_TEXT, DOC_LIST, DOC_MAP };

struct doc_node {
	enum doc_kind kind;
	struct mark mark;
	struct slice text; /* DOC_TEXT */
	uint32_t first;    /* first child, 0: none. In a map keys and values take turns; keys are text, and unique */
	uint32_t next;     /* next of the same parent, 0: none */
};

struct doc {
	struct doc_node *nodes; /* owned; nodes[1] is the root */
	size_t count, room;
	void **texts; /* owned: what the parser allocated for each text */
	size_t text_count, text_room;
};

/* Parses bytes. `file` names them in mistakes. Returns whether there is a document: with any mistake there is none.
 * -ENOMEM is a mistake too. The caller frees in each case. */
bool doc_parse(struct doc *d, const char *file, struct slice bytes, struct policy_report *report);
void doc_free(struct doc *d);
