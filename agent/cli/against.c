/* SPDX-License-Identifier: Apache-2.0 */
/*
 * against.c - what a change of the policy comes to, on exchanges or texts that are at hand.
 *
 * Rules are the same if their ids are. Of a text it is counted whether a rule finds something, and what the heaviest of
 * its actions is.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "cli/replay.h"

/* One id of either policy. */
struct change {
	const char *id;
	size_t before, after; /* texts in which it found something */
	size_t gained, lost;
};

struct changes {
	struct change *at; /* owned; in order of id */
	size_t count;
	size_t texts, differ;
	size_t verdicts[ACTION_COUNT + 1][ACTION_COUNT + 1]; /* before, after; last: nothing */
};

static void changes_free(struct changes *c)
{
	free(c->at);
}

static int by_id(const void *x, const void *y)
{
	return strcmp(((const struct change *)x)->id, ((const struct change *)y)->id);
}

static int changes_of(struct changes *c, const struct ruleset *a, const struct ruleset *b)
{
	size_t n = 0, left = 0;

	c->at = calloc(ruleset_rules(a) + ruleset_rules(b) + 1, sizeof(*c->at));
	if (!c->at)
		return -ENOMEM;
	for (size_t i = 0; i < ruleset_rules(a); i++)
		c->at[n++].id = ruleset_rule_at(a, i)->id;
	for (size_t i = 0; i < ruleset_rules(b); i++)
		c->at[n++].id = ruleset_rule_at(b, i)->id;
	qsort(c->at, n, sizeof(*c->at), by_id);
	for (size_t i = 0; i < n; i++)
		if (!left || strcmp(c->at[left - 1].id, c->at[i].id))
			c->at[left++] = c->at[i];
	c->count = left;
	return 0;
}

/* What one policy found in one text: bit in `seen` by change. */
struct finds {
	struct changes *changes;
	uint8_t *seen;
	enum action heaviest;
	bool any;
};

static void add_rule(struct finds *f, const struct rule *rule)
{
	struct change key = { .id = rule->id };
	struct change *c = bsearch(&key, f->changes->at, f->changes->count, sizeof(key), by_id);

	if (c)
		f->seen[c - f->changes->at] = 1;
	if (!f->any || rule->action > f->heaviest)
		f->heaviest = rule->action;
	f->any = true;
}

static int on_sight(void *to, const struct sight *s)
{
	add_rule(to, s->rule);
	return 0;
}

static int look(const struct ruleset *rules, struct slice text, struct finds *f)
{
	struct scope anywhere = {};
	struct lookout w = {};
	int err = lookout_feed(rules, &anywhere, &w, text, on_sight, f);

	if (!err)
		err = lookout_end(rules, &anywhere, &w, on_sight, f);
	lookout_free(&w);
	return err;
}

static void compare(struct changes *c, const struct finds *before, const struct finds *after)
{
	size_t a = before->any ? before->heaviest : ACTION_COUNT, b = after->any ? after->heaviest : ACTION_COUNT;
	bool differ = a != b;

	for (size_t i = 0; i < c->count; i++) {
		c->at[i].before += before->seen[i];
		c->at[i].after += after->seen[i];
		c->at[i].gained += after->seen[i] && !before->seen[i];
		c->at[i].lost += before->seen[i] && !after->seen[i];
		differ |= before->seen[i] != after->seen[i];
	}
	c->verdicts[a][b]++;
	c->texts++;
	c->differ += differ;
}

static const char *verdict_of(size_t action)
{
	return action == ACTION_COUNT ? "nothing" : action_names[action];
}

static void print_changes(const struct changes *c, bool json)
{
	bool first = true;

	if (json)
		printf("{\"texts\":%zu,\"differ\":%zu,\"rules\":[", c->texts, c->differ);
	for (size_t i = 0; i < c->count; i++) {
		const struct change *r = &c->at[i];

		if (!r->gained && !r->lost)
			continue;
		if (json) {
			fputs(first ? "{\"rule\":" : ",{\"rule\":", stdout);
			cli_json_string(stdout, r->id);
			printf(",\"before\":%zu,\"after\":%zu,\"gained\":%zu,\"lost\":%zu}", r->before, r->after,
			       r->gained, r->lost);
		} else {
			printf("%s: in %zu before, %zu after; gained %zu, lost %zu\n", r->id, r->before, r->after,
			       r->gained, r->lost);
		}
		first = false;
	}
	if (json)
		fputs("],\"actions\":[", stdout);
	first = true;
	for (size_t a = 0; a <= ACTION_COUNT; a++)
		for (size_t b = 0; b <= ACTION_COUNT; b++) {
			if (a == b || !c->verdicts[a][b])
				continue;
			printf(json ? "%s{\"before\":\"%s\",\"after\":\"%s\",\"texts\":%zu}"
			            : "%s%s -> %s: %zu texts\n",
			       json && !first ? "," : "", verdict_of(a), verdict_of(b), c->verdicts[a][b]);
			first = false;
		}
	if (json)
		puts("]}");
	else
		printf("%zu of %zu texts differ\n", c->differ, c->texts);
}

static int compare_texts(struct changes *c, const struct ruleset *a, const struct ruleset *b, const struct bank *bank,
                         uint8_t *seen)
{
	int err = 0;

	for (size_t i = 0; i < bank_count(bank) && !err; i++) {
		struct finds before = { c, seen, 0, false }, after = { c, seen + c->count, 0, false };

		memset(seen, 0, 2 * c->count);
		err = look(a, bank_text(bank, i), &before);
		if (!err)
			err = look(b, bank_text(bank, i), &after);
		if (!err)
			compare(c, &before, &after);
	}
	return err;
}

int against_texts(struct ruleset *rules, struct ruleset *other, char *const *files, size_t count, bool json)
{
	owned(changes_free) struct changes c = {};
	owned(own_free) uint8_t *seen = NULL;
	int err = changes_of(&c, rules, other);

	if (!err && !(seen = malloc(2 * c.count + 1)))
		err = -ENOMEM;
	for (size_t i = 0; i < count && !err; i++) {
		owned(bank_free) struct bank *bank = NULL;

		err = bank_load(&bank, files[i]);
		if (!err)
			err = compare_texts(&c, rules, other, bank, seen);
		if (err)
			fprintf(stderr, "sluicectl: %s: %s\n", files[i], strerror(-err));
	}
	if (err)
		return 2;
	print_changes(&c, json);
	return c.differ != 0;
}

static bool has(const struct outcome *o, const char *id)
{
	for (size_t i = 0; i < o->found_count; i++)
		if (!strcmp(o->found[i]->id, id))
			return true;
	return false;
}

static void print_found(const struct outcome *o, const struct outcome *other, bool json)
{
	bool first = true;

	for (size_t i = 0; i < o->found_count; i++) {
		if (has(other, o->found[i]->id))
			continue;
		fputs(first ? "" : json ? "," : " ", stdout);
		if (json)
			cli_json_string(stdout, o->found[i]->id);
		else
			fputs(o->found[i]->id, stdout);
		first = false;
	}
}

int against_exchange(struct ruleset *rules, struct ruleset *other, const struct input *request,
                     const struct input *response, bool json)
{
	owned(own_free) struct outcome *o = calloc(2, sizeof(*o));
	struct outcome *a = o, *b = o + 1;
	int err = o ? replay_run(rules, request, response, CUT_NONE, false, a) : -ENOMEM;
	bool differ = false;

	if (!err)
		err = replay_run(other, request, response, CUT_NONE, false, b);
	if (!err) {
		differ = a->verdict != b->verdict || a->exception != b->exception ||
		         !slice_is(buf_slice(&a->out), buf_slice(&b->out)) || a->found_count != b->found_count;
		for (size_t i = 0; i < a->found_count; i++)
			differ |= !has(b, a->found[i]->id);
		printf(json ? "{\"before\":\"%s\",\"after\":\"%s\",\"released\":[%zu,%zu],\"lost\":["
		            : "%s -> %s, client bytes %zu -> %zu; lost: ",
		       verdict_names[a->verdict], verdict_names[b->verdict], buf_len(&a->out), buf_len(&b->out));
		print_found(a, b, json);
		fputs(json ? "],\"gained\":[" : "; gained: ", stdout);
		print_found(b, a, json);
		puts(json ? "]}" : "");
	} else {
		fprintf(stderr, "sluicectl: replay: %s\n", strerror(-err));
	}
	if (o) {
		buf_free(&a->out);
		buf_free(&b->out);
	}
	return err ? 2 : differ;
}
