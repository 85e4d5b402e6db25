/* SPDX-License-Identifier: Apache-2.0 */
/* scope.c - for whom and when a rule counts. */
#include "policy/ruleset.h"

static bool named(const char *const *names, const char *name)
{
	if (!names || !name || !*name)
		return true;
	for (; *names; names++) {
		size_t n = strlen(*names);

		if (n && (*names)[n - 1] == '*' ? !strncmp(*names, name, n - 1) : !strcmp(*names, name))
			return true;
	}
	return false;
}

bool rule_applies(const struct rule *rule, const struct scope *scope)
{
	const struct validity *v = &rule->validity;

	if (scope->now && ((v->from && scope->now < v->from) || (v->until && scope->now >= v->until)))
		return false;
	return named(v->services, scope->service) &&
	       (named(v->models, scope->model) || (scope->named && *scope->named && named(v->models, scope->named)));
}

bool ruleset_widens(const struct ruleset *r, const struct scope *before, const struct scope *now)
{
	for (size_t i = 0; i < r->rule_count; i++)
		if (rule_applies(&r->rules[i], now) && !rule_applies(&r->rules[i], before))
			return true;
	return false;
}
