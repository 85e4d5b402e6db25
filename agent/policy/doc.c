/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/doc.h"

#include <stdlib.h>
#include <yaml.h>

#include "base/own.h"

struct parse {
	struct doc *doc;
	const char *file;
	struct policy_report *report;
	struct {
		uint32_t node, last; /* the collection that is open, and its last child */
		size_t children;
	} open[DOC_DEPTH_MAX];
	size_t depth;
	bool bad;
};

static struct mark mark_of(yaml_mark_t m)
{
	return (struct mark){ m.line + 1, m.column + 1 };
}

static void mistake(struct parse *p, struct mark at, const char *what)
{
	report_mistake(p->report, p->file, at, "%s", what);
	p->bad = true;
}

void doc_free(struct doc *d)
{
	for (size_t i = 0; i < d->text_count; i++)
		free(d->texts[i]);
	free(d->texts);
	free(d->nodes);
	*d = (struct doc){ 0 };
}

static bool reserve(struct doc *d)
{
	if (d->count + 2 > d->room) {
		size_t room = d->room ? 2 * d->room : 64;
		struct doc_node *nodes = realloc(d->nodes, room * sizeof(*nodes));

		if (!nodes)
			return false;
		d->nodes = nodes;
		d->room = room;
	}
	if (d->text_count == d->text_room) {
		size_t room = d->text_room ? 2 * d->text_room : 64;
		void **texts = realloc(d->texts, room * sizeof(*texts));

		if (!texts)
			return false;
		d->texts = texts;
		d->text_room = room;
	}
	return true;
}

static bool known_key(const struct doc *d, uint32_t map, uint32_t before, struct slice key)
{
	for (uint32_t k = d->nodes[map].first; k && k != before; k = d->nodes[d->nodes[k].next].next)
		if (slice_is(d->nodes[k].text, key))
			return true;
	return false;
}

#define KEYS_MAX 64 /* of one mapping: no pack has more, and looking for doubles stays cheap */

static uint32_t add(struct parse *p, struct doc_node node)
{
	struct doc *d = p->doc;
	uint32_t at;

	if (!reserve(d)) {
		mistake(p, node.mark, "out of memory");
		return 0;
	}
	if (!d->count)
		d->nodes[d->count++] = (struct doc_node){ 0 };
	at = (uint32_t)d->count++;
	d->nodes[at] = node;
	if (!p->depth)
		return at;
	__auto_type open = &p->open[p->depth - 1];
	if (open->last)
		d->nodes[open->last].next = at;
	else
		d->nodes[open->node].first = at;
	open->last = at;
	if (d->nodes[open->node].kind == DOC_MAP && open->children++ % 2 == 0) {
		char quoted[REPORT_QUOTE_MAX];

		if (node.kind != DOC_TEXT) {
			mistake(p, node.mark, "a key must be text");
		} else if (open->children / 2 >= KEYS_MAX) {
			mistake(p, node.mark, "too many keys in one mapping");
		} else if (known_key(d, open->node, at, node.text)) {
			/* The tree is whole all the same, so that its other mistakes are found too. */
			report_mistake(p->report, p->file, node.mark, "key '%s' is there twice",
			               report_quote(node.text, quoted));
		}
	}
	return at;
}

static bool decorated(struct parse *p, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		mistake(p, mark_of(e->start_mark), "anchors are not supported");
	if (tag)
		mistake(p, mark_of(e->start_mark), "tags are not supported");
	return anchor || tag;
}

static void on_text(struct parse *p, yaml_event_t *e)
{
	struct slice text = slice_of(e->data.scalar.value, e->data.scalar.length);

	if (decorated(p, e, e->data.scalar.anchor, e->data.scalar.tag))
		return;
	if (!add(p, (struct doc_node){ DOC_TEXT, mark_of(e->start_mark), text, 0, 0 }))
		return;
	p->doc->texts[p->doc->text_count++] = TAKE(e->data.scalar.value);
}

static void on_open(struct parse *p, const yaml_event_t *e, enum doc_kind kind)
{
	uint32_t at;

	if (kind == DOC_MAP ? decorated(p, e, e->data.mapping_start.anchor, e->data.mapping_start.tag)
	                    : decorated(p, e, e->data.sequence_start.anchor, e->data.sequence_start.tag))
		return;
	if (p->depth == DOC_DEPTH_MAX) {
		mistake(p, mark_of(e->start_mark), "nested too deeply");
		return;
	}
	at = add(p, (struct doc_node){ kind, mark_of(e->start_mark), { 0 }, 0, 0 });
	if (!at)
		return;
	p->open[p->depth].node = at;
	p->open[p->depth].last = 0;
	p->open[p->depth++].children = 0;
}

/* Takes one event; false: nothing more to read. */
static bool on_event(struct parse *p, yaml_event_t *e)
{
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		mistake(p, mark_of(e->start_mark), "aliases are not supported");
		break;
	case YAML_SCALAR_EVENT:
		on_text(p, e);
		break;
	case YAML_SEQUENCE_START_EVENT:
		on_open(p, e, DOC_LIST);
		break;
	case YAML_MAPPING_START_EVENT:
		on_open(p, e, DOC_MAP);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		p->depth--;
		break;
	case YAML_DOCUMENT_START_EVENT:
		if (p->doc->count)
			mistake(p, mark_of(e->start_mark), "one document a file");
		break;
	case YAML_STREAM_END_EVENT:
		return false;
	default:
		break;
	}
	return true;
}

static struct mark mark_of_byte(struct slice bytes, size_t offset)
{
	struct mark m = { 1, 1 };

	for (size_t i = 0; i < offset && i < bytes.len; i++) {
		if (bytes.at[i] == '\n')
			m = (struct mark){ m.line + 1, 1 };
		else if ((bytes.at[i] & 0xc0) != 0x80)
			m.column++;
	}
	return m;
}

static void syntax(struct parse *p, const yaml_parser_t *y, struct slice bytes)
{
	struct mark at = y->error == YAML_READER_ERROR ? mark_of_byte(bytes, y->problem_offset)
	                                               : mark_of(y->problem_mark);

	report_mistake(p->report, p->file, at, "not YAML: %s", y->problem ? y->problem : "out of memory");
	p->bad = true;
}

bool doc_parse(struct doc *d, const char *file, struct slice bytes, struct policy_report *report)
{
	struct parse p = { .doc = d, .file = file, .report = report };
	owned(yaml_parser_delete) yaml_parser_t y;
	bool more = true;

	if (!yaml_parser_initialize(&y)) {
		mistake(&p, (struct mark){ 1, 1 }, "out of memory");
		memset(&y, 0, sizeof(y));
		return false;
	}
	yaml_parser_set_encoding(&y, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y, bytes.at ? bytes.at : (const uint8_t *)"", bytes.len);
	/* The first mistake in the tree ends this file's reading: what follows would be its consequence. */
	while (more && !p.bad) {
		yaml_event_t e;

		if (!yaml_parser_parse(&y, &e)) {
			syntax(&p, &y, bytes);
			break;
		}
		more = on_event(&p, &e);
		yaml_event_delete(&e);
	}
	if (!p.bad && !d->count)
		mistake(&p, (struct mark){ 1, 1 }, "empty file");
	return !p.bad;
}
