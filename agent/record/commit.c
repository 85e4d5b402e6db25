/* SPDX-License-Identifier: Apache-2.0 */
/* commit.c - groups of records become durable, and leaves of the tree. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"
#include "record/private.h"

#define CLOCK_STEP_NS 1000000000

/* Stamps and seals the items behind one another. Each attempt takes new numbers. */
static size_t fill_batch(struct ledger *l, struct item *list)
{
	size_t n = 0;

	for (struct item *i = list; i; i = i->next) {
		struct stamp s = { .seq = l->next_seq++,
			           .time_unix_nano = i->time_unix_nano,
			           .boottime_nano = i->boottime_nano };

		memcpy(s.boot_id, l->boot_id, BOOT_ID_LEN);
		i->seq = s.seq;
		n += frame_record(l->batch + n, &s, (struct slice){ i->body, i->len });
	}
	return n;
}

static int sync_segment(struct ledger *l)
{
	uint64_t from = ledger_clock(l, CLOCK_MONOTONIC), us;
	int err = segment_sync(&l->segment, l->ops);

	us = (ledger_clock(l, CLOCK_MONOTONIC) - from) / 1000;
	pthread_mutex_lock(&l->lock);
	l->stats.syncs++;
	if (us > l->stats.sync_max_us)
		l->stats.sync_max_us = us;
	pthread_mutex_unlock(&l->lock);
	return err;
}

void commit_head(struct ledger *l, struct segment_head *head)
{
	*head = (struct segment_head){ .first_seq = l->next_seq,
		                       .tree_size = l->tiles.tree.size,
		                       .proven = true,
		                       .retention_class = l->o.retention_class,
		                       .floor_days = l->o.floor_days };
	snprintf(head->origin, sizeof(head->origin), "%s", l->origin);
	tree_root(&l->tiles.tree, &head->root);
	memcpy(head->key_id, l->keys.now.pub.id, KEY_ID);
}

static bool segment_is_over(const struct ledger *l, size_t more)
{
	const struct segment *s = &l->segment;
	uint64_t now = ledger_clock(l, CLOCK_REALTIME);

	if (s->fd < 0 || s->size <= s->header)
		return false;
	return s->size + more > l->o.segment_bytes ||
	       (now > s->created_unix_nano && now - s->created_unix_nano > l->o.segment_s * NS);
}

static int write_batch(struct ledger *l, struct item *list, size_t most)
{
	struct segment *s = &l->segment;
	bool rolled = false;
	int err = 0;

	if (segment_is_over(l, most)) {
		segment_finish(s, l->ops);
		rolled = true;
	}
	if (s->fd < 0) {
		struct segment_head head;

		commit_head(l, &head);
		err = segment_create(s, l->ops, l->dir, &head, l->o.segment_bytes);
	}
	if (err)
		return err;
	if (rolled)
		sealer_poke(l);
	l->batch_len = fill_batch(l, list);
	err = segment_write(s, l->ops, (struct slice){ l->batch, l->batch_len });
	return err ? err : sync_segment(l);
}

/* What is durable becomes leaves. After the notes: nobody waits for it. */
static void grow_tree(struct ledger *l)
{
	struct slice rest = { l->batch, l->batch_len };
	struct frame f;

	pthread_mutex_lock(&l->proof_lock);
	for (; frame_read(rest, &f) == FRAME_ITEM; rest = slice_from(rest, f.used)) {
		struct hash leaf;

		hash_leaf(&leaf, f.body);
		tiles_add(&l->tiles, &leaf);
	}
	pthread_mutex_unlock(&l->proof_lock);
}

/* The record that the next segment begins with. */
static int recovery_item(struct ledger *l, struct item **out)
{
	Recovery body = RECOVERY__INIT;
	Record r = RECORD__INIT;

	body.kind = RECOVERY__KIND__FAILED;
	body.segment = l->left.name;
	body.first_bad_offset = l->left.offset;
	body.bytes = l->left.bytes;
	body.last_seq = l->left.last_seq;
	body.next_seq = l->next_seq;
	r.body_case = RECORD__BODY_RECOVERY;
	r.recovery = &body;
	return item_new(l, out, &r, NULL);
}

/* Its name is used even if no record was written: a name is a seq. */
static void use_name(struct ledger *l)
{
	if (l->next_seq <= l->segment.name.first_seq)
		l->next_seq = l->segment.name.first_seq + 1;
}

/* Leaves the failed segment behind; the next one says so. */
static void leave_segment(struct ledger *l, uint64_t last_seq)
{
	struct left *left = &l->left;

	use_name(l);
	left->is = true;
	segment_name_text(left->name, &l->segment.name);
	left->offset = l->segment.durable;
	left->bytes = l->segment.size - l->segment.durable;
	left->last_seq = last_seq;
	segment_abandon(&l->segment, l->ops);
}

/* The second one failed, too. Of a full disk nothing stays: there may be many tries. */
static void drop_segment(struct ledger *l, bool full)
{
	struct segment *s = &l->segment;
	char name[NAME_ROOM];
	bool empty = s->durable <= s->header;

	use_name(l);
	segment_name_text(name, &s->name);
	segment_abandon(s, l->ops);
	if (full && empty)
		(void)l->ops->remove(l->dir, name);
}

static void count_commit(struct ledger *l, const struct item *list, uint64_t failures, int err)
{
	pthread_mutex_lock(&l->lock);
	for (const struct item *i = list; i; i = i->next) {
		l->stats.records += !err;
		l->stats.lost += err && !l->full;
		l->stats.bytes += err ? 0 : item_frame(i);
	}
	l->stats.sync_failures += failures;
	l->stats.next_seq = l->next_seq;
	l->stats.failed = l->failed;
	l->stats.full = l->full;
	sound_set(l);
	pthread_mutex_unlock(&l->lock);
}

/* Tells the notes in order and frees the list, or gives it back; returns the queue's bytes set free. */
static uint64_t tell(struct item *list, struct item **back, int err)
{
	uint64_t bytes = 0;
	bool keep = back && err == -ENOSPC;

	if (keep)
		*back = list;
	while (list) {
		struct item *i = list;

		list = i->next;
		if (i->note)
			i->note->done(i->note, i->seq, err);
		i->note = NULL;
		if (keep)
			continue;
		bytes += item_frame(i);
		free(i);
	}
	return bytes;
}

static bool no_space(int err)
{
	return err == -ENOSPC || err == -EDQUOT;
}

/* In a second segment if the first refuses. 0, -ENOSPC, or -EIO, and then the log has failed. */
static int make_durable(struct ledger *l, struct item *list, size_t most)
{
	owned(own_free) struct item *recovery = NULL;
	uint64_t last_seq = l->next_seq ? l->next_seq - 1 : 0, failures = 0;
	int err = l->failed ? -EIO : 0;

	if (!err && !l->left.is) {
		err = write_batch(l, list, most);
		if (err) {
			failures++;
			leave_segment(l, last_seq);
		}
	}
	if (!l->failed && l->left.is) {
		err = recovery_item(l, &recovery);
		if (!err) {
			recovery->next = list;
			err = write_batch(l, recovery, most + item_frame(recovery));
			failures += err != 0;
		}
		if (err)
			drop_segment(l, no_space(err));
		l->left.is = err != 0;
		l->failed = err && !no_space(err);
	}
	l->full = no_space(err);
	count_commit(l, recovery && !err ? recovery : list, failures, err);
	return !err ? 0 : l->full ? -ENOSPC : -EIO;
}

uint64_t commit(struct ledger *l, struct item *list, size_t most, struct item **back, int *ret_err)
{
	int err = make_durable(l, list, most);
	uint64_t bytes = tell(list, back, err);

	if (!err)
		grow_tree(l);
	*ret_err = err;
	return bytes;
}

int commit_record(struct ledger *l, Record *r)
{
	struct item *i = NULL;
	int err = item_new(l, &i, r, NULL);

	if (!err)
		commit(l, i, item_frame(i), NULL, &err);
	return err;
}

/* ---- what the log says by itself ---- */

static void look_at_clock(struct ledger *l)
{
	int64_t offset = (int64_t)(ledger_clock(l, CLOCK_REALTIME) - ledger_clock(l, CLOCK_BOOTTIME));
	int64_t step = offset - l->clock_offset;
	ClockChange body = CLOCK_CHANGE__INIT;
	Record r = RECORD__INIT;

	if (l->clock_known && step > -CLOCK_STEP_NS && step < CLOCK_STEP_NS)
		return;
	l->clock_offset = offset;
	if (!l->clock_known) {
		l->clock_known = true;
		return;
	}
	body.step_nano = step;
	r.body_case = RECORD__BODY_CLOCK;
	r.clock = &body;
	if (!commit_record(l, &r)) {
		pthread_mutex_lock(&l->lock);
		l->stats.clock_steps++;
		pthread_mutex_unlock(&l->lock);
	}
}

/* The old key vouches for the new one and for all that was before it. */
static int say_rotation(struct ledger *l, KeyRotation *body)
{
	char text[NOTE_NAME + VKEY_MAX + 256], vkey[VKEY_MAX];
	uint8_t signature[SIG_LEN];
	Record r = RECORD__INIT;
	struct hash root;
	int len, err;

	note_key_text(&l->keys.next.pub, vkey);
	tree_root(&l->tiles.tree, &root);
	len = rotation_text(text, sizeof(text), l->origin, l->tiles.tree.size, &root, vkey);
	err = len < 0 ? len : note_sign_bytes(&l->keys.now, slice_of(text, (size_t)len), signature);
	if (err)
		return err;
	body->old_key_id = (ProtobufCBinaryData){ KEY_ID, l->keys.now.pub.id };
	body->new_public_key = (ProtobufCBinaryData){ KEY_LEN, l->keys.next.pub.key };
	body->signature = (ProtobufCBinaryData){ SIG_LEN, signature };
	body->new_vkey = vkey;
	body->tree_size = l->tiles.tree.size;
	body->root = (ProtobufCBinaryData){ HASH_LEN, root.at };
	r.body_case = RECORD__BODY_KEY;
	r.key = body;
	return commit_record(l, &r);
}

static void look_at_key(struct ledger *l)
{
	uint64_t now = ledger_clock(l, CLOCK_REALTIME) / NS;
	KeyRotation body = KEY_ROTATION__INIT;
	int err;

	if (l->failed || now < l->keys.made_unix + l->o.rotate_s)
		return;
	/* Held over the record and the change: no checkpoint in between. */
	pthread_mutex_lock(&l->sign_lock);
	err = keys_prepare(&l->keys);
	err = err ? err : say_rotation(l, &body);
	if (!err)
		err = keys_advance(&l->keys);
	else
		keys_discard(&l->keys);
	pthread_mutex_unlock(&l->sign_lock);
	pthread_mutex_lock(&l->lock);
	l->stats.rotations += !err;
	l->stats.rotation_failures += err != 0;
	pthread_mutex_unlock(&l->lock);
}

void commit_own(struct ledger *l)
{
	if (l->full)
		return;
	look_at_clock(l);
	look_at_key(l);
	loss_tell(l);
}
