/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c - facts become alerts. */
#include <string.h>

#include "alert/alert.h"

const struct alert_row alert_table[ALERT_KIND_COUNT] = {
	[ALERT_DOWN] = { "SluiceDown", "critical", "nothing is read: the worker is gone", false },
	[ALERT_RECORD_FAILED] = { "SluiceRecordFailed", "critical", "the record does not get to the disk", false },
	[ALERT_FAIL_OPEN] = { "SluiceFailOpen", "critical", "connections passed unread while sluice was gone", false },
	[ALERT_UNCOVERED] = { "SluiceUncovered", "warning", "listeners or sockets are not covered", false },
	[ALERT_STOP_NOT_CONFIRMED] = { "SluiceStopNotConfirmed", "warning",
	                               "a server did not confirm that a generation stopped", false },
	[ALERT_POLICY_OLD] = { "SluicePolicyOld", "warning", "nobody has reloaded the policy for long", false },
	[ALERT_OPINION_BREAKER] = { "SluiceOpinionBreaker", "warning",
	                            "a model that rules ask failed too often, and is left alone", false },
	[ALERT_BLOCKS_MANY] = { "SluiceBlocksMany", "warning", "more answers of %s are blocked than usual", true },
};

void alert_judge_init(struct alert_judge *j, const struct alert_limits *limits, size_t services, uint64_t now)
{
	*j = (struct alert_judge){ .limits = *limits, .services = services, .heard_at = now, .slice_at = now };
}

/* A counter that fell began anew. */
static uint64_t since(uint64_t last, uint64_t now)
{
	return now < last ? now : now - last;
}

/* Seconds of a slice, and how many of them are a window. */
static uint32_t width_of(const struct alert_judge *j)
{
	return (j->limits.window_s + ALERT_SLICES - 1) / ALERT_SLICES;
}

static uint32_t slices_of(const struct alert_judge *j)
{
	return (j->limits.window_s + width_of(j) - 1) / width_of(j);
}

static void slide(struct alert_judge *j, uint64_t now)
{
	uint64_t width = width_of(j), by = (now - j->slice_at) / width;

	if (!by)
		return;
	j->slice_at += by * width;
	by = by > ALERT_SLICES ? ALERT_SLICES : by;
	for (size_t s = 0; s < j->services; s++) {
		memmove(j->slices[s] + by, j->slices[s], (ALERT_SLICES - by) * sizeof(j->slices[s][0]));
		memset(j->slices[s], 0, by * sizeof(j->slices[s][0]));
	}
}

void alert_hear(struct alert_judge *j, const struct alert_facts *f, uint64_t now)
{
	slide(j, now);
	/* What a worker counted before anybody listened was not missed: it began at 0. But for the first one of all,
	 * which may be older than this judge. */
	for (size_t s = 0; s < j->services; s++)
		if (j->known)
			j->slices[s][0] += (uint32_t)since(j->last.blocked[s], f->blocked[s]);
	if (j->known && since(j->last.stops_not_confirmed, f->stops_not_confirmed))
		j->not_confirmed_at = now;
	if (j->known && since(j->last.breakers_opened, f->breakers_opened))
		j->breaker_at = now;
	j->last = *f;
	j->known = true;
	j->heard_at = now;
}

static bool is_so(const struct alert_judge *j, enum alert_kind kind, size_t service, uint64_t now, uint64_t now_unix)
{
	const struct alert_facts *f = &j->last;
	uint64_t blocks = 0;

	switch (kind) {
	case ALERT_DOWN:
		return f->patience_s && now - j->heard_at > f->patience_s;
	case ALERT_RECORD_FAILED:
		return !f->record_sound;
	case ALERT_FAIL_OPEN:
		return f->open_passed && now_unix < f->started_unix + j->limits.window_s;
	case ALERT_UNCOVERED:
		return f->uncovered;
	case ALERT_STOP_NOT_CONFIRMED:
		return j->not_confirmed_at && now - j->not_confirmed_at < j->limits.window_s;
	case ALERT_OPINION_BREAKER:
		return f->breakers_open || (j->breaker_at && now - j->breaker_at < j->limits.window_s);
	case ALERT_POLICY_OLD:
		return now_unix > f->policy_loaded_unix + j->limits.policy_age_s;
	case ALERT_BLOCKS_MANY:
		for (size_t i = 0; i < slices_of(j); i++)
			blocks += j->slices[service][i];
		return blocks > j->limits.blocks;
	case ALERT_KIND_COUNT:
		break;
	}
	return false;
}

void alert_look(struct alert_judge *j, uint64_t now, uint64_t now_unix,
                void (*changed)(void *arg, const struct alert_change *c), void *arg)
{
	if (!j->known)
		return;
	slide(j, now);
	for (int k = 0; k < ALERT_KIND_COUNT; k++)
		for (size_t s = 0; s < (alert_table[k].by_service ? j->services : 1); s++) {
			bool so = is_so(j, (enum alert_kind)k, s, now, now_unix);
			struct alert_change c = {
				.kind = (enum alert_kind)k, .service = (uint16_t)s, .firing = so, .at_unix = now_unix
			};

			if (so == j->firing[k][s])
				continue;
			j->firing[k][s] = so;
			changed(arg, &c);
		}
}
