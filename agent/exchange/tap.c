/* SPDX-License-Identifier: Apache-2.0 */
/* tap.c - values of an answer that a refusal repeats, and that say which choices there are and when they end. */
#include "exchange/private.h"

/* A string of at most room - 1 bytes, NUL-terminated. */
static void keep_string(struct exchange *x, const struct leaf *leaf, char *to, size_t room)
{
	size_t n = leaf->text.len;

	if (leaf->begin)
		x->tap_at = 0;
	x->tap_open = !leaf->end;
	if (n > room - 1 - x->tap_at)
		n = room - 1 - x->tap_at;
	if (n)
		memcpy(to + x->tap_at, leaf->text.at, n);
	x->tap_at += n;
	to[x->tap_at] = '\0';
}

static void keep_number(const struct leaf *leaf, uint64_t *number)
{
	if (leaf->begin)
		*number = 0;
	for (size_t i = 0; i < leaf->text.len; i++)
		if (leaf->text.at[i] >= '0' && leaf->text.at[i] <= '9' && *number < UINT64_MAX / 16)
			*number = *number * 10 + (leaf->text.at[i] - '0');
}

/* The first unit that says so counts. */
static void remember(const struct exchange *x, bool *said, uint64_t *at)
{
	if (!*said)
		*at = x->unit.wire;
	*said = true;
}

/* Of the two, the last one said. */
static void reopen(const struct exchange *x, bool *opened, uint64_t *at, bool *shut)
{
	*opened = true;
	*at = x->unit.wire;
	*shut = false;
}

/* What is said of one choice. */
static enum exception choice_tap(struct exchange *x, const struct leaf *leaf)
{
	struct choice *c = choice_of(x, leaf->choice);

	if (!c)
		return EXCEPTION_TOO_MANY_TEXTS;
	switch (leaf->tap) {
	case TAP_OPEN:
		reopen(x, &c->opened, &c->open_at, &c->shut);
		break;
	case TAP_SHUT:
		remember(x, &c->shut, &c->shut_at);
		break;
	case TAP_PART_OPEN:
		c->part = leaf->sub;
		reopen(x, &c->part_opened, &c->part_open_at, &c->part_shut);
		break;
	case TAP_PART_SHUT:
		remember(x, &c->part_shut, &c->part_shut_at);
		break;
	case TAP_CHOICE_ID:
		if (!leaf->string || c->has_id)
			break;
		keep_string(x, leaf, c->id, sizeof(c->id));
		c->has_id = leaf->end;
		break;
	default:
		c->what = leaf->tap;
	}
	return EXCEPTION_NONE;
}

static void number_tap(struct exchange *x, const struct leaf *leaf, uint64_t *number, bool is_usage)
{
	if (leaf->string)
		return;
	keep_number(leaf, number);
	if (is_usage && leaf->end)
		remember(x, &x->has_usage, &x->usage_at);
}

/* The client chooses what it asks for, and a server may answer with another model: the rules for that one count, too.
 * What was read without them is not read again. */
static enum exception model_named(struct exchange *x)
{
	const char *model = x->report.model;
	struct scope before = x->scope;

	if (!strcmp(model, x->asked_model) || !strcmp(model, x->named_model))
		return EXCEPTION_NONE;
	/* More than one: it is not known which. */
	if (*x->named_model)
		x->scope.model = "";
	memcpy(x->named_model, model, sizeof(x->named_model));
	x->scope.named = x->named_model;
	if (!ruleset_widens(x->rules, &before, &x->scope))
		return EXCEPTION_NONE;
	x->labels_known = 0;
	template_forget(x);
	return x->words_read ? EXCEPTION_MODEL_NAMED_LATE : EXCEPTION_NONE;
}

enum exception tap_read(struct exchange *x, const struct leaf *leaf)
{
	struct exchange_report *r = &x->report;

	switch (leaf->tap) {
	case TAP_FINISH:
		/* Some servers write an empty string where others write null. */
		return text_choice(x, leaf->choice, leaf->string && leaf->text.len);
	case TAP_DONE:
		return text_choice(x, leaf->choice, !leaf->string && slice_is(leaf->text, SLICE("true")));
	case TAP_CLOSE:
		return text_choice(x, leaf->choice, true);
	case TAP_END:
	case TAP_STOP:
		if (leaf->tap == TAP_STOP && !(leaf->string && leaf->text.len))
			break;
		text_choices_finish(x);
		remember(x, &x->message_ended, &x->ended_at);
		break;
	case TAP_BEGIN:
		remember(x, &x->message_begun, &x->begun_at);
		break;
	case TAP_OPEN:
	case TAP_SHUT:
	case TAP_PART_OPEN:
	case TAP_PART_SHUT:
	case TAP_CHOICE_ID:
	case TAP_MESSAGE:
	case TAP_CALL:
	case TAP_REASONING:
		return choice_tap(x, leaf);
	case TAP_ID:
		if (leaf->string)
			keep_string(x, leaf, r->id, sizeof(r->id));
		break;
	case TAP_MODEL:
		if (!leaf->string)
			break;
		keep_string(x, leaf, r->model, sizeof(r->model));
		return leaf->end ? model_named(x) : EXCEPTION_NONE;
	case TAP_FINGERPRINT:
		if (leaf->string)
			keep_string(x, leaf, x->fingerprint_text, sizeof(x->fingerprint_text));
		break;
	case TAP_TIME:
		if (leaf->string)
			keep_string(x, leaf, x->time_text, sizeof(x->time_text));
		break;
	case TAP_CREATED:
		number_tap(x, leaf, &x->created, false);
		break;
	case TAP_SEQUENCE:
		number_tap(x, leaf, &x->number, false);
		if (!leaf->string && leaf->end && x->number < UINT32_MAX)
			x->here.sequence = (uint32_t)x->number + 1;
		break;
	case TAP_PROMPT_TOKENS:
	case TAP_COMPLETION_TOKENS:
	case TAP_TOTAL_TOKENS:
		number_tap(x, leaf, &x->usage[leaf->tap - TAP_PROMPT_TOKENS], true);
		break;
	case TAP_INPUT_TOKENS:
	case TAP_OUTPUT_TOKENS:
		number_tap(x, leaf, &x->usage[leaf->tap - TAP_INPUT_TOKENS], true);
		break;
	case TAP_SIZE:
		number_tap(x, leaf, &x->number, false);
		if (!leaf->string && leaf->end && x->tensors.size_count < TENSORS_MAX)
			x->tensors.sizes[x->tensors.size_count++] = x->number;
		break;
	case TAP_IDS:
		x->ids_seen = true;
		break;
	default:
		break;
	}
	return EXCEPTION_NONE;
}
