/* SPDX-License-Identifier: Apache-2.0 */
/* import.c - the forms in which word lists are passed around become words with a category and a line. */
#include "policy/import.h"

#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "policy/doc.h"
#include "policy/taxonomy.h"

#define IMPORT_BYTES_MAX (64u << 20)

const char *const import_form_names[IMPORT_FORM_COUNT] = { "auto", "lines", "csv", "tsv", "pairs", "json" };

/* What columns and keys are called. */
static const char *const word_names[] = { "keyword", "word",   "text",   "term", "词",
	                                  "词语",    "关键词", "敏感词", "词汇", NULL };
static const char *const category_names[] = { "risk", "category", "label", "type", "class", "类别",
	                                      "分类", "类型",     "风险",  "标签", NULL };
/* Keys of a list that stand for no category. */
static const char *const list_names[] = { "words", "keywords", "list", "data", "terms", NULL };

/* A file that is being read. */
struct importing {
	struct import *to;
	const struct import_how *how;
	const char *file;
	struct policy_report *report;
};

int import_new(struct import **out)
{
	struct import *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	*out = x;
	return 0;
}

void import_free(struct import **at)
{
	if (!*at)
		return;
	arena_free(&(*at)->bytes);
	free((*at)->words);
	free(*at);
	*at = NULL;
}

size_t import_count(const struct import *x)
{
	return x->count;
}

const struct import_word *import_word_at(const struct import *x, size_t i)
{
	return &x->words[i];
}

static void mistake(const struct importing *r, size_t line, const char *what)
{
	report_mistake(r->report, r->file, (struct mark){ line, line != 0 }, "%s", what);
}

static void add(const struct importing *r, size_t line, struct slice text, struct slice category)
{
	struct import *x = r->to;
	struct import_word w = { .text = text, .category = category, .file = r->file, .line = (uint32_t)line };
	size_t bad;

	if (!text.len)
		return;
	if (r->how->base64 && (!import_base64(&x->bytes, text, &w.text) ||
	                       import_text(&x->bytes, r->how->encoding, w.text, &w.text, &bad))) {
		w.text = text;
		w.fate = IMPORT_BROKEN;
	}
	w.text = csv_trim(w.text);
	if (!draft_reserve((void **)&x->words, &x->room, x->count, sizeof(*x->words)))
		mistake(r, line, "out of memory");
	else
		x->words[x->count++] = w;
}

/* ---- lines and rows ---- */

/* Takes a line off the text. */
static struct slice next_line(struct slice *text)
{
	const uint8_t *end = memchr(text->at, '\n', text->len);
	struct slice line = { text->at, end ? (size_t)(end - text->at) : text->len };

	*text = slice_from(*text, line.len + (end != NULL));
	return csv_trim(line);
}

static bool is_comment(struct slice line)
{
	return !line.len || line.at[0] == '#';
}

static void read_lines(const struct importing *r, struct slice text)
{
	for (size_t line = 1; text.len; line++) {
		struct slice word = next_line(&text);

		if (!is_comment(word))
			add(r, line, word, SLICE(""));
	}
}

/* Splits a line; what is too much for a row stays in its last field. */
static void split(struct slice line, uint8_t separator, struct row *row)
{
	row->count = 0;
	row->lines = 1;
	for (bool more = true; more;) {
		const uint8_t *end = row->count + 1 < COLUMNS_MAX ? memchr(line.at, separator, line.len) : NULL;
		struct slice field = { line.at, end ? (size_t)(end - line.at) : line.len };

		more = end != NULL;
		line = slice_from(line, field.len + more);
		row->at[row->count++] = csv_trim(field);
	}
}

static const char *next_row(const struct importing *r, enum import_form form, struct slice *text, struct row *row)
{
	if (form == IMPORT_CSV)
		return csv_row(&r->to->bytes, text, row);
	split(next_line(text), form == IMPORT_TSV ? '\t' : '|', row);
	return NULL;
}

static size_t named_column(const struct row *row, const char *const *names)
{
	size_t i = row->count;

	for (; *names && i == row->count; names++)
		i = csv_column(row, slice_str(*names));
	return i;
}

/* The column that was asked for; *named: by a name of the first row. SIZE_MAX: there is none of that name. */
static size_t asked_column(const struct row *first, const char *asked, const char *const *usual, size_t otherwise,
                           bool *named)
{
	size_t i;

	if (asked && *asked && strspn(asked, "0123456789") == strlen(asked) && strlen(asked) < 4)
		return (size_t)strtoul(asked, NULL, 10) - 1;
	i = asked ? csv_column(first, slice_str(asked)) : named_column(first, usual);
	if (i < first->count)
		*named = true;
	else
		i = asked ? SIZE_MAX : otherwise;
	return i;
}

static void read_rows(const struct importing *r, enum import_form form, struct slice text)
{
	size_t word = 0, category = 0, line = 1;
	struct row row;

	for (bool first = true; text.len; line += row.lines) {
		const char *why = next_row(r, form, &text, &row);
		bool named = false;

		if (why) {
			mistake(r, line, why);
			return;
		}
		if (form != IMPORT_CSV && is_comment(row.at[0]))
			continue;
		if (first) {
			word = asked_column(&row, r->how->word_column, word_names, 0, &named);
			category =
				asked_column(&row, r->how->category_column, category_names, word == 1 ? 0 : 1, &named);
			if (word == SIZE_MAX || category == SIZE_MAX) {
				mistake(r, line, "the first row has no column of that name");
				return;
			}
			first = false;
			if (named)
				continue;
		}
		if (word < row.count)
			add(r, line, row.at[word], category < row.count ? row.at[category] : SLICE(""));
		else
			mistake(r, line, "the row has no such column");
	}
}

/* ---- JSON ---- */

static bool one_of(struct slice text, const char *const *names)
{
	while (*names && !slice_is_nocase(text, slice_str(*names)))
		names++;
	return *names;
}

/* A copy: the document goes before the words do. */
static struct slice keep(const struct importing *r, struct slice text)
{
	const char *copy = arena_copy(&r->to->bytes, text);

	if (!copy)
		mistake(r, 0, "out of memory");
	return slice_of(copy, copy ? text.len : 0);
}

static void read_object(const struct importing *r, const struct doc *d, const struct doc_node *map)
{
	struct slice word = { 0 }, category = { 0 };

	for (uint32_t k = map->first; k; k = d->nodes[d->nodes[k].next].next) {
		const struct doc_node *key = &d->nodes[k], *value = &d->nodes[key->next];

		if (value->kind != DOC_TEXT)
			continue;
		if (r->how->word_column ? slice_is(key->text, slice_str(r->how->word_column))
		                        : one_of(key->text, word_names))
			word = value->text;
		if (r->how->category_column ? slice_is(key->text, slice_str(r->how->category_column))
		                            : one_of(key->text, category_names))
			category = value->text;
	}
	if (word.len)
		add(r, map->mark.line, csv_trim(keep(r, word)), csv_trim(keep(r, category)));
	else
		mistake(r, map->mark.line, "an object without a word");
}

static void read_list(const struct importing *r, const struct doc *d, const struct doc_node *list,
                      struct slice category)
{
	for (uint32_t i = list->first; i; i = d->nodes[i].next) {
		const struct doc_node *n = &d->nodes[i];

		if (n->kind == DOC_TEXT)
			add(r, n->mark.line, csv_trim(keep(r, n->text)), category);
		else if (n->kind == DOC_MAP)
			read_object(r, d, n);
		else
			mistake(r, n->mark.line, "a list in a list: words are text or objects");
	}
}

static void read_json(const struct importing *r, struct slice text)
{
	owned(doc_free) struct doc doc = { 0 };
	const struct doc_node *root;

	if (text.len > DOC_BYTES_MAX) {
		mistake(r, 0, "too large for JSON; lines have no such limit");
		return;
	}
	if (!import_join_surrogates(&r->to->bytes, text, &text)) {
		mistake(r, 0, "out of memory");
		return;
	}
	if (!doc_parse(&doc, r->file, text, r->report))
		return;
	root = &doc.nodes[1];
	if (root->kind == DOC_LIST)
		read_list(r, &doc, root, SLICE(""));
	else if (root->kind == DOC_TEXT)
		mistake(r, 1, "neither a list nor an object");
	for (uint32_t k = root->kind == DOC_MAP ? root->first : 0; k; k = doc.nodes[doc.nodes[k].next].next) {
		const struct doc_node *key = &doc.nodes[k], *value = &doc.nodes[key->next];

		if (value->kind == DOC_LIST)
			read_list(r, &doc, value, one_of(key->text, list_names) ? SLICE("") : keep(r, key->text));
		else
			mistake(r, value->mark.line, "each key must have a list of words: {\"category\": [\"word\"]}");
	}
}

/* ---- a file ---- */

static bool ends_in(const char *path, const char *end)
{
	size_t n = strlen(path), m = strlen(end);

	return n > m && slice_is_nocase(slice_str(path + n - m), slice_str(end));
}

static enum import_form form_of(const char *path, struct slice text)
{
	if (ends_in(path, ".json"))
		return IMPORT_JSON;
	if (ends_in(path, ".csv"))
		return IMPORT_CSV;
	if (ends_in(path, ".tsv"))
		return IMPORT_TSV;
	while (text.len) {
		struct slice line = next_line(&text);

		if (is_comment(line))
			continue;
		return memchr(line.at, '\t', line.len)  ? IMPORT_TSV
		       : memchr(line.at, '|', line.len) ? IMPORT_PAIRS
		                                        : IMPORT_LINES;
	}
	return IMPORT_LINES;
}

int import_add(struct import *x, const char *path, const struct import_how *how, enum import_form *form,
               struct policy_report *report)
{
	const struct draft d = { .report = report, .key = how->key };
	struct importing r = { x, how, arena_copy(&x->bytes, slice_str(path)), report };
	size_t mistakes = report->errors, line = 0;
	struct slice bytes = { 0 }, text = { 0 };
	enum import_form is = how->form;
	const char *why;
	int error;

	if (!r.file)
		return -ENOMEM;
	error = draft_read(&x->bytes, path, IMPORT_BYTES_MAX, &bytes);
	if (error) {
		report_mistake(report, path, (struct mark){ 0 }, "%s", draft_why(error));
		return error;
	}
	if (!draft_signed(&d, path, (struct mark){ 0 }, path, bytes))
		return -EINVAL;
	why = import_text(&x->bytes, how->base64 ? NULL : how->encoding, bytes, &text, &line);
	if (!why && memchr(text.at, 0, text.len))
		why = "binary, not a word list";
	if (why) {
		mistake(&r, line, why);
		return -EINVAL;
	}
	if (is == IMPORT_AUTO)
		is = form_of(path, text);
	if (is == IMPORT_JSON)
		read_json(&r, text);
	else if (is == IMPORT_LINES)
		read_lines(&r, text);
	else
		read_rows(&r, is, text);
	if (report->errors > mistakes)
		return -EINVAL;
	*form = is;
	return 0;
}

/* ---- risks ---- */

/* The entry of a category; `count`: none. */
static size_t find_risk(const struct import_risk *map, size_t count, struct slice category)
{
	size_t any = count;

	for (size_t i = 0; i < count; i++) {
		if (slice_is(map[i].category, category))
			return i;
		if (slice_is(map[i].category, SLICE("*")))
			any = i;
	}
	return any;
}

static struct slice of_taxonomy(struct slice category)
{
	struct slice name;
	uint16_t number;

	if (taxonomy_find(category, &name, &number))
		return name;
	for (size_t i = 0; i < TAXONOMY_COUNT; i++)
		if (slice_is(category, slice_str(taxonomy[i].zh)) ||
		    slice_is_nocase(category, slice_str(taxonomy[i].en)))
			return slice_str(taxonomy[i].clause);
	return (struct slice){ 0 };
}

static void find_risk_of(struct import_word *w, const struct import_risk *map, size_t count, struct slice none)
{
	/* What the table says of a category by its name goes before what the taxonomy says, and that before "*". */
	size_t i = w->category.len ? find_risk(map, count, w->category) : count;
	struct slice known = w->category.len ? of_taxonomy(w->category) : none;

	if (i < count && (!known.len || !slice_is(map[i].category, SLICE("*"))))
		known = map[i].risk;
	if (slice_is(known, SLICE("-")))
		w->fate = IMPORT_LEFT;
	else
		w->risk = known;
}

int import_risks(struct import *x, const struct import_risk *map, size_t count, struct slice none,
                 struct policy_report *report)
{
	char quoted[REPORT_QUOTE_MAX];
	size_t before = report->errors;
	int error = 0;

	for (size_t i = 0; i < x->count && report->errors - before < REPORT_LINES_MAX; i++) {
		struct import_word *w = &x->words[i];

		if (w->fate != IMPORT_TAKEN)
			continue;
		find_risk_of(w, map, count, none);
		if (w->risk.len || w->fate == IMPORT_LEFT)
			continue;
		error = -EINVAL;
		if (w->category.len)
			report_mistake(report, w->file, (struct mark){ w->line, 1 },
			               "the category '%s' has no risk: --map names one, or '-' to leave it out",
			               report_quote(w->category, quoted));
		else
			report_mistake(report, w->file, (struct mark){ w->line, 1 },
			               "a word without a category: --risk names the risk of those");
		/* Once for each category. */
		for (size_t k = i + 1; k < x->count; k++)
			if (slice_is(x->words[k].category, w->category))
				x->words[k].fate = IMPORT_LEFT;
	}
	return error;
}
