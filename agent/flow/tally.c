/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.c - findings by service and rule, for the metrics.
 *
 * One table for all workers: a finding is rare beside the bytes it is found in. It outlives the rulesets, so that a
 * counter never falls. Full, it counts what is new under the rule "other": labels have a bound.
 */
#include "flow/private.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/own.h"

#define SLOTS    8192 /* a power of two, twice the rows */
#define ROWS_MAX (SLOTS / 2)

struct row {
	struct finding_count shown;
	char *rule, *risk; /* owned */
	uint64_t taken;    /* of its count */
};

struct tally {
	pthread_mutex_t lock;
	struct row *slots[SLOTS];
	size_t count;
};

int tally_new(struct tally **out)
{
	struct tally *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	*out = t;
	return 0;
}

void tally_free(struct tally **at)
{
	struct tally *t = *at;

	for (size_t i = 0; t && i < SLOTS; i++)
		if (t->slots[i]) {
			free(t->slots[i]->rule);
			free(t->slots[i]->risk);
			free(t->slots[i]);
		}
	if (t)
		pthread_mutex_destroy(&t->lock);
	free(t);
	*at = NULL;
}

static uint32_t hash_of(const char *service, const char *rule, const char *action)
{
	const char *parts[] = { service, rule, action };
	uint32_t h = 0x811c9dc5;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		for (const char *p = parts[i];; p++) {
			h = (h ^ (uint8_t)*p) * 0x01000193;
			if (!*p)
				break;
		}
	return h;
}

/* The row, or the empty slot where it belongs: the table is never full. */
static struct row **slot_of(struct tally *t, const char *service, const char *rule, const char *risk,
                            const char *action)
{
	uint32_t i = hash_of(service, rule, action) % SLOTS;

	for (; t->slots[i]; i = (i + 1) % SLOTS) {
		const struct finding_count *r = &t->slots[i]->shown;

		if (!strcmp(r->rule, rule) && !strcmp(r->service, service) && !strcmp(r->action, action) &&
		    !strcmp(r->risk, risk))
			break;
	}
	return &t->slots[i];
}

static struct row *row_new(const char *service, const char *rule, const char *risk, const char *action)
{
	struct row *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->rule = strdup(rule);
	r->risk = strdup(risk);
	if (!r->rule || !r->risk) {
		free(r->rule);
		free(r->risk);
		free(r);
		return NULL;
	}
	r->shown = (struct finding_count){ .service = service, .rule = r->rule, .risk = r->risk, .action = action };
	return r;
}

static void add(struct tally *t, const char *service, const struct rule *rule, size_t most, uint64_t by)
{
	const char *action = action_names[rule->action], *id = rule->id, *risk = rule->risk_count ? rule->risks[0] : "";
	struct row **at;

	pthread_mutex_lock(&t->lock);
	at = slot_of(t, service, id, risk, action);
	if (!*at && t->count >= most && by) {
		id = risk = "other";
		at = slot_of(t, service, id, risk, action);
	}
	/* The rows of "other" are few, a service and an action each: they fit in what ROWS_MAX leaves. */
	if (!*at && (by || t->count < most) && (*at = row_new(service, id, risk, action)) != NULL)
		t->count++;
	if (*at)
		(*at)->shown.count += by;
	pthread_mutex_unlock(&t->lock);
}

void tally_add(struct tally *t, const char *service, const struct rule *rule)
{
	add(t, service, rule, ROWS_MAX, 1);
}

/* Half of the rows are left to what is found. */
void tally_expect(struct tally *t, const char *service, const struct ruleset *rules)
{
	const struct scope scope = { .service = service };

	for (size_t i = 0; i < ruleset_rules(rules); i++) {
		const struct rule *rule = ruleset_rule_at(rules, i);

		if (rule->action == ACTION_SHADOW && rule_applies(rule, &scope))
			add(t, service, rule, ROWS_MAX / 2, 0);
	}
}

void tally_each(struct tally *t, void (*each)(void *arg, const struct finding_count *row), void *arg)
{
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < SLOTS; i++)
		if (t->slots[i])
			each(arg, &t->slots[i]->shown);
	pthread_mutex_unlock(&t->lock);
}

void tally_take(struct tally *t, bool (*each)(void *arg, const struct finding_count *row), void *arg)
{
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < SLOTS; i++) {
		struct row *r = t->slots[i];
		struct finding_count grown;

		if (!r || r->shown.count == r->taken)
			continue;
		grown = r->shown;
		grown.count -= r->taken;
		if (each(arg, &grown))
			r->taken = r->shown.count;
	}
	pthread_mutex_unlock(&t->lock);
}
