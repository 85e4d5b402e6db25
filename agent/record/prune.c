/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prune.c - whole segments go when their term is over, the oldest first.
 *
 * In this order: the changes of key in them are copied into `rotations`, a Prune record says what goes and what root
 * the tree had there, a checkpoint covers that record, the files go. A crash in between leaves more than was said,
 * never less. The tiles stay: each record that is left is proven as before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/own.h"
#include "record/private.h"

#define POLL_NS 20000000
#define WAIT_MS 60000

struct going {
	const struct segment_name *list;
	size_t n;                /* segments that go: the first of the list */
	struct segment_head end; /* of the one behind them */
	uint64_t last_seq;
};

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A segment ended when the next was born. Its records must stay for the longer of the term and its own floor. */
static bool is_due(const struct ledger *l, const struct segment_head *mine, const struct segment_head *next)
{
	uint64_t now = ledger_clock(l, CLOCK_REALTIME), floor = mine->not_before_delete_unix_nano,
		 term = l->o.retain_s * NS;

	if (floor > mine->created_unix_nano)
		term = most(term, floor - mine->created_unix_nano);
	return next->created_unix_nano < now && now - next->created_unix_nano >= term;
}

/* How many of the oldest may go. Damaged ones stay, and all behind them: they are evidence. */
static void find(struct ledger *l, const struct segment_name *list, size_t n, struct going *out)
{
	struct segment_head mine, next;
	uint64_t held = 0;

	*out = (struct going){ .list = list };
	if (!n || sealer_head(l->dir, &list[0], &mine))
		return;
	pthread_mutex_lock(&l->lock);
	l->stats.oldest_unix = mine.created_unix_nano / NS;
	pthread_mutex_unlock(&l->lock);
	for (size_t i = 0; i + 1 < n; i++, mine = next) {
		uint64_t last = list[i + 1].first_seq - 1;

		if (!list[i].sealed || list[i + 1].corrupt || sealer_head(l->dir, &list[i + 1], &next) ||
		    !is_due(l, &mine, &next))
			break;
		if (l->o.held && l->o.held(l->o.held_arg, list[i].first_seq, last)) {
			held++;
			break;
		}
		out->n = i + 1;
		out->end = next;
		out->last_seq = last;
	}
	pthread_mutex_lock(&l->lock);
	l->stats.held = held;
	pthread_mutex_unlock(&l->lock);
}

/* ---- the changes of key ---- */

static int copy_rotations(struct ledger *l, const struct segment_name *name, FILE *to)
{
	owned(segment_walk_stop) struct segment_walk w = { .fd = -1 };
	struct slice raw;
	int err = segment_walk_open(&w, l->dir, name), step;

	if (err)
		return err;
	while ((step = segment_walk_next(&w, &raw)) == WALK_RECORD) {
		uint8_t head[16];

		if (!frame_holds(raw, RECORD__BODY_KEY))
			continue;
		fwrite(head, 1, frame_start(head, TAG_RECORD, raw.len), to);
		fwrite(raw.at, 1, raw.len, to);
	}
	return step < 0 ? step : step == WALK_END ? 0 : -EBADMSG;
}

static int keep_rotations(struct ledger *l, const struct going *g)
{
	owned(own_free) uint8_t *before = NULL;
	owned(own_free) char *text = NULL;
	size_t before_len = 0, len = 0;
	int err = history_read(l->dir, ROTATIONS_FILE, ROTATIONS_MAX, &before, &before_len);
	FILE *to;

	if (err && err != -ENOENT)
		return err;
	to = open_memstream(&text, &len);
	if (!to)
		return -ENOMEM;
	err = 0;
	for (size_t i = 0; !err && i < g->n; i++)
		err = copy_rotations(l, &g->list[i], to);
	if (fclose(to) && !err)
		err = -ENOMEM;
	if (err || !len)
		return err;
	/* A crash after an earlier copy: the same bytes are there already. */
	if (before_len >= len && !memcmp(before + before_len - len, text, len))
		return 0;
	{
		owned(own_free) uint8_t *all = malloc(before_len + len);

		if (!all)
			return -ENOMEM;
		if (before_len)
			memcpy(all, before, before_len);
		memcpy(all + before_len, text, len);
		return history_replace(l->ops, l->dir, ROTATIONS_FILE, ROTATIONS_FILE ".new",
		                       slice_of(all, before_len + len));
	}
}

/* ---- the record, and the files ---- */

static void told(struct ledger_note *n, uint64_t seq, int err)
{
	struct waiting *w = container_of(n, struct waiting, note);

	(void)seq;
	w->err = err;
	sem_post(&w->told);
}

/* The writer tells every note before it ends: this comes back. */
static int say_prune(struct ledger *l, struct going *g)
{
	struct waiting *w = &l->prune_note;
	Prune body = PRUNE__INIT;
	Record r = RECORD__INIT;
	int err;

	body.first_seq = g->list[0].first_seq;
	body.last_seq = g->last_seq;
	body.tree_size = g->end.tree_size;
	body.root = (ProtobufCBinaryData){ HASH_LEN, g->end.root.at };
	body.policy = (char *)(l->o.retain_policy ? l->o.retain_policy : "");
	r.body_case = RECORD__BODY_PRUNE;
	r.prune = &body;
	sem_init(&w->told, 0, 0);
	w->note.done = told;
	err = ledger_append(l, &r, &w->note);
	while (!err && sem_wait(&w->told) && errno == EINTR)
		;
	sem_destroy(&w->told);
	return err ? err : w->err;
}

/* Until a checkpoint covers what is durable now. */
static int wait_checkpoint(struct ledger *l)
{
	uint64_t due;
	struct ledger_stats s;

	/* The leaf is added behind the note. */
	nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	pthread_mutex_lock(&l->proof_lock);
	due = l->tiles.tree.size;
	pthread_mutex_unlock(&l->proof_lock);
	for (unsigned ms = 0; ms < WAIT_MS; ms += POLL_NS / 1000000) {
		ledger_stats(l, &s);
		if (s.checkpoint_size >= due)
			return 0;
		if (sealer_must_stop(l))
			return -ECANCELED;
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	}
	return -ETIMEDOUT;
}

static int remove_files(struct ledger *l, const struct going *g)
{
	int err = 0;

	for (size_t i = 0; i < g->n && !err; i++) {
		char name[NAME_ROOM], beside[NAME_ROOM + 16];

		segment_name_text(name, &g->list[i]);
		err = l->ops->remove(l->dir, name);
		snprintf(beside, sizeof(beside), "%s" SUM_SUFFIX, name);
		(void)l->ops->remove(l->dir, beside);
		snprintf(beside, sizeof(beside), "%020llu.idx", (unsigned long long)g->list[i].first_seq);
		(void)l->ops->remove(l->dir, beside);
	}
	return err ? err : l->ops->sync_dir(l->dir);
}

void prune_old(struct ledger *l)
{
	owned(own_free) struct segment_name *list = NULL;
	struct going g;
	size_t n = 0;
	int err;

	if (segment_list(l->dir, &list, &n))
		return;
	find(l, list, n, &g);
	if (!g.n || sealer_must_stop(l))
		return;
	err = keep_rotations(l, &g);
	err = err ? err : say_prune(l, &g);
	err = err ? err : wait_checkpoint(l);
	err = err ? err : remove_files(l, &g);
	pthread_mutex_lock(&l->lock);
	l->stats.pruned += err ? 0 : g.n;
	l->stats.prune_failures += err && err != -ECANCELED;
	pthread_mutex_unlock(&l->lock);
}
