/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notary.c - tiles and checkpoints of what is durable.
 *
 * A checkpoint follows the tiles it needs and the segments it counts: whoever reads it finds all of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/own.h"
#include "record/private.h"

/* ---- what is to be published ---- */

/* A copy of the tree, and the complete tiles behind those still to be written. */
static void take_shot(struct ledger *l)
{
	struct tiles *shot = l->shot;
	struct tile *waiting = shot->full, **last = waiting ? shot->last : &shot->full;

	pthread_mutex_lock(&l->proof_lock);
	*last = l->tiles.full;
	if (l->tiles.full)
		last = l->tiles.last;
	l->tiles.full = NULL;
	l->tiles.last = &l->tiles.full;
	shot->tree = l->tiles.tree;
	for (unsigned level = 0; level < TILE_LEVELS; level++)
		memcpy(shot->edge[level], l->tiles.edge[level],
		       tiles_partial(shot->tree.size, level) * sizeof(struct hash));
	pthread_mutex_unlock(&l->proof_lock);
	if (shot->full)
		shot->last = last;
}

/* Text, signature, and the lasting key's signature. Returns the length, or -errno. Sign_lock held. */
static int make_note(struct ledger *l, char *to, size_t room)
{
	uint64_t now = ledger_clock(l, CLOCK_REALTIME) / NS;
	struct checkpoint c = { .size = l->shot->tree.size };
	struct slice text;
	int len, n;

	snprintf(c.origin, sizeof(c.origin), "%s", l->origin);
	tree_root(&l->shot->tree, &c.root);
	len = checkpoint_text(&c, to, room);
	if (len < 0)
		return len;
	text = slice_of(to, (size_t)len);
	to[len++] = '\n';
	n = note_signature(&l->keys.now, text, now, to + len, room - (size_t)len);
	if (n < 0)
		return n;
	len += n;
	if (!l->keys.has_origin)
		return len;
	n = note_signature(&l->keys.origin, text, now, to + len, room - (size_t)len);
	return n < 0 ? n : len + n;
}

/* ---- files ---- */

static void remove_partial(struct ledger *l, unsigned level, bool folder)
{
	char path[TILE_PATH];

	if (!l->partial[level])
		return;
	tile_path(path, level, l->partial_index[level], l->partial[level]);
	(void)l->ops->remove(l->dir, path);
	*strrchr(path, '/') = '\0';
	if (folder)
		(void)l->ops->remove(l->dir, path);
	l->partial[level] = 0;
}

static int write_full(struct ledger *l)
{
	struct tiles *shot = l->shot;

	while (shot->full) {
		struct tile *t = shot->full;
		int err = tile_write(l->ops, l->dir, t->level, t->index, t->hash, TILE_WIDTH);

		if (err)
			return err;
		shot->full = t->next;
		free(t);
	}
	return 0;
}

/* The unfinished tile of each level; what stood there before goes when the checkpoint that needs it has gone. */
static int write_partial(struct ledger *l)
{
	uint64_t size = l->shot->tree.size;

	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		unsigned width = tiles_partial(size, level);
		uint64_t index = size >> (TILE_BITS * level) >> TILE_BITS;
		int err;

		if (!width || (width == l->partial[level] && index == l->partial_index[level]))
			continue;
		err = tile_write(l->ops, l->dir, level, index, l->shot->edge[level], width);
		if (err)
			return err;
	}
	return 0;
}

static void forget_partial(struct ledger *l)
{
	uint64_t size = l->shot->tree.size;

	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		unsigned width = tiles_partial(size, level);
		uint64_t index = size >> (TILE_BITS * level) >> TILE_BITS;

		if (width != l->partial[level] || index != l->partial_index[level])
			remove_partial(l, level, index != l->partial_index[level] || !width);
		l->partial[level] = width;
		l->partial_index[level] = index;
	}
}

static void count(struct ledger *l, uint64_t size, int err)
{
	pthread_mutex_lock(&l->lock);
	l->stats.checkpoint_failures += err != 0;
	if (!err) {
		l->stats.checkpoint_size = size;
		l->stats.checkpoint_unix = ledger_clock(l, CLOCK_REALTIME) / NS;
	}
	pthread_mutex_unlock(&l->lock);
}

/* Here, because it may wait for the disk. */
void ledger_look_at_space(struct ledger *l)
{
	uint64_t left;

	if (l->ops->space(l->dir, &left))
		return;
	pthread_mutex_lock(&l->lock);
	l->stats.space_left = left;
	pthread_mutex_unlock(&l->lock);
}

int notary_publish(struct ledger *l)
{
	char note[NOTE_MAX];
	uint64_t size;
	int len, err;

	/* No key may change between looking at the tree and signing it. */
	pthread_mutex_lock(&l->sign_lock);
	take_shot(l);
	size = l->shot->tree.size;
	len = make_note(l, note, sizeof(note));
	pthread_mutex_unlock(&l->sign_lock);
	err = len < 0 ? len : write_full(l);
	if (!err && l->has_published && size == l->published)
		return 0;
	err = err ? err : write_partial(l);
	err = err ? err : history_issue(&l->history, l->ops, l->dir, slice_of(note, (size_t)len));
	if (!err) {
		forget_partial(l);
		l->published = size;
		l->has_published = true;
		if (l->o.issued)
			l->o.issued(l->o.arg, note, (size_t)len);
	}
	count(l, size, err);
	return err;
}

/* ---- the thread ---- */

static bool is_stale(struct ledger *l)
{
	bool stale;

	pthread_mutex_lock(&l->proof_lock);
	stale = l->tiles.tree.size != l->published;
	pthread_mutex_unlock(&l->proof_lock);
	return stale;
}

/* The wait is the kernel's clock, whatever clock the records have. */
static void wait_ms(struct ledger *l, uint32_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= (long)NS) {
		t.tv_nsec -= (long)NS;
		t.tv_sec++;
	}
	pthread_cond_timedwait(&l->notary_wake, &l->notary_lock, &t);
}

void *notary_run(void *arg)
{
	struct ledger *l = arg;

	pthread_setname_np(pthread_self(), "notary");
	pthread_mutex_lock(&l->notary_lock);
	while (!l->notary_stop) {
		wait_ms(l, l->o.checkpoint_ms);
		pthread_mutex_unlock(&l->notary_lock);
		if (is_stale(l))
			(void)notary_publish(l);
		ledger_look_at_space(l);
		pthread_mutex_lock(&l->notary_lock);
	}
	pthread_mutex_unlock(&l->notary_lock);
	return NULL;
}

void notary_stop(struct ledger *l)
{
	pthread_mutex_lock(&l->notary_lock);
	l->notary_stop = true;
	pthread_cond_signal(&l->notary_wake);
	pthread_mutex_unlock(&l->notary_lock);
	pthread_join(l->notary, NULL);
	l->notarising = false;
}
