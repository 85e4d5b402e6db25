/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c - what all connections together may hold.
 *
 * Each connection has bounds of its own; many at their bounds would still be too much. Above the limit no new request
 * is taken, and a large connection that grows is cut; a quarter above it any that grows is. So the small ones, which
 * are nearly all, go on while a few large ones are the trouble. Who does not read what waits for it is reset: else a
 * crowd of such clients would keep everybody out.
 */
#include <stdatomic.h>

#include "base/log.h"
#include "flow/private.h"

#define SMALL_BYTES 65536u
#define SWEEP_NS    1000000000u
#define STALLED_NS  10000000000u

static uint64_t used(const struct worker *w)
{
	return w->o.memory ? atomic_load_explicit(&w->o.memory->used, memory_order_relaxed) : 0;
}

bool memory_is_short(const struct worker *w)
{
	return w->o.memory && used(w) > w->o.memory->most;
}

static size_t held_by(const struct flow *f)
{
	return f->state == FLOW_DEAD ? 0 : f->up.buf.room + f->down.buf.room + (f->x ? exchange_memory(f->x) : 0);
}

bool memory_charge(struct flow *f)
{
	struct memory *m = f->worker->o.memory;
	size_t before = f->charged, now = m ? held_by(f) : before;
	uint64_t sum;

	if (now == before)
		return true;
	f->charged = now;
	sum = atomic_fetch_add_explicit(&m->used, now - before, memory_order_relaxed) + (now - before);
	return now < before || sum <= m->most || (now <= SMALL_BYTES && sum <= m->most + m->most / 4);
}

/* What waits for a client that takes nothing of it. */
static bool is_stalled(const struct flow *f)
{
	return f->charged > SMALL_BYTES && f->down.cleared && loop_now(f->worker->loop) - f->moved_at > STALLED_NS;
}

void memory_sweep(struct worker *w)
{
	uint64_t now = loop_now(w->loop);
	unsigned n = 0;

	if (now - w->swept_at < SWEEP_NS)
		return;
	w->swept_at = now;
	for (struct flow *f = w->flows, *next; f; f = next) {
		next = f->next;
		if (!is_stalled(f) || (f->state != FLOW_OPEN && f->state != FLOW_ENDING))
			continue;
		if (f->x && f->state == FLOW_OPEN)
			exchange_except(f->x, EXCEPTION_MEMORY, "the client does not read");
		flow_end(f, END_RST);
		n++;
	}
	log_event(EVENT_MEMORY_SHORT, "memory: connections together hold more than limits.memory: bytes=%llu reset=%u",
	          (unsigned long long)used(w), n);
}
