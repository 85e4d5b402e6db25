/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect.c - the APIs we know, as tables. Adding a field is adding a row; adding an API is adding tables.
 *
 * A field that stands in no table is not passed unread: its strings are CHANNEL_OTHER, its keys CHANNEL_KEY. A row says
 * only which texts belong together, what may be remembered, and which strings are names and not prose.
 */
#include "stream/field.h"

const char *const channel_names[CHANNEL_COUNT] = {
	[CHANNEL_NONE] = "none",       [CHANNEL_CONTENT] = "content",     [CHANNEL_REASONING] = "reasoning",
	[CHANNEL_REFUSAL] = "refusal", [CHANNEL_TOOL_NAME] = "tool_name", [CHANNEL_TOOL_ARGUMENTS] = "tool_arguments",
	[CHANNEL_TEXT] = "text",       [CHANNEL_LABEL] = "label",         [CHANNEL_OTHER] = "other",
	[CHANNEL_KEY] = "key",         [CHANNEL_HEADER] = "header",       [CHANNEL_LOGPROBS] = "logprobs",
};

/* Whatever is in no other table: choices are told apart, all strings are text. */
static const struct field generic_choice[] = { INDEX("index", ROLE_CHOICE), {} };
static const struct field generic_message[] = { ITEMS("choices", ITEMS_CHOICES, generic_choice), {} };

static const struct field generic_whole_choice[] = { PLAIN("index"), {} };
static const struct field generic_whole[] = { ITEMS("choices", ITEMS_CHOICES_PLACED, generic_whole_choice), {} };

static const struct dialect generic = {
	.name = "generic",
	.method = METHOD_ANY,
	.message = generic_message,
	.whole = generic_whole,
};

/* A path that belongs to more than one is that of the first. */
static const struct dialect *const families[] = {
	openai_dialects, responses_dialects, anthropic_dialects, ollama_dialects, kserve_dialects, native_dialects,
};

static bool method_is(enum method method, struct slice said)
{
	return method == METHOD_ANY || slice_is(said, method == METHOD_GET ? SLICE("GET") : SLICE("POST"));
}

/* From the end on: '*' is one segment that is not empty. */
static bool path_is(struct slice path, const char *pattern)
{
	bool whole = *pattern == '^';
	struct slice left = slice_str(pattern + whole);

	while (left.len) {
		uint8_t c = left.at[--left.len];
		size_t was = path.len;

		if (c != '*') {
			if (!path.len || path.at[--path.len] != c)
				return false;
			continue;
		}
		while (path.len && path.at[path.len - 1] != '/')
			path.len--;
		if (path.len == was)
			return false;
	}
	return !whole || !path.len;
}

const struct dialect *dialect_of(struct slice method, struct slice path)
{
	if (path.len > 1 && path.at[path.len - 1] == '/')
		path.len--;
	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
		for (const struct dialect *d = families[i]; d->name; d++)
			if (method_is(d->method, method) && path_is(path, d->path))
				return d;
	return &generic;
}
