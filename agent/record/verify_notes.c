/* SPDX-License-Identifier: Apache-2.0 */
/* verify_notes.c - are the checkpoints there, of one history, and signed by who may sign them? */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/own.h"
#include "record/verify.h"

#define RETRIES  50 /* a live log issues a checkpoint between two looks */
#define RETRY_NS 2000000

void verify_free(struct verify *v)
{
	for (size_t i = 0; i < v->file_count; i++)
		free(v->files[i]);
	free(v->notes);
	free(v->keys);
	own_close(&v->dir);
}

/* ---- notes ---- */

int verify_add_note(struct verify *v, struct slice bytes, const char *file, bool kept, struct signed_note **out)
{
	struct signed_note n = { .note = bytes, .file = file, .kept = kept };

	if (v->note_count == v->note_room) {
		size_t room = v->note_room ? 2 * v->note_room : 64;
		struct signed_note *grown = reallocarray(v->notes, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		v->notes = grown;
		v->note_room = room;
	}
	n.read = !note_split(bytes, &n.text, &n.signatures) && !checkpoint_read(&n.c, n.text);
	v->notes[v->note_count] = n;
	*out = &v->notes[v->note_count++];
	return 0;
}

int verify_keep_file(struct verify *v, int dir, const char *name, size_t most, struct slice *out)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int err = v->file_count < ARRAY_LEN(v->files) ? history_read(dir, name, most, &data, &len) : -E2BIG;

	if (err)
		return err;
	v->files[v->file_count++] = data;
	*out = slice_of(data, len);
	return 0;
}

struct newest_files {
	struct slice now, next, all; /* `checkpoint`, `checkpoint.new`, `checkpoints` */
	int now_err, all_err;
};

static bool last_entry(struct slice all, struct slice *last, struct slice *before, struct slice *torn)
{
	bool any = false;

	*last = *before = (struct slice){ NULL, 0 };
	for (struct slice note; history_next(&all, &note); any = true) {
		*before = *last;
		*last = note;
	}
	*torn = all;
	return any;
}

static bool in_history(struct slice all, struct slice wanted)
{
	for (struct slice note; history_next(&all, &note);)
		if (slice_is(note, wanted))
			return true;
	return false;
}

/* Whether the two files tell one story: the newest is the last of all, or was just not made the newest. */
static bool agree(const struct newest_files *f)
{
	struct slice last, before, torn;

	if (f->now_err || f->all_err || !last_entry(f->all, &last, &before, &torn) || torn.len)
		return false;
	return slice_is(last, f->now) || (slice_is(last, f->next) && slice_is(before, f->now));
}

static void look(struct verify *v, struct newest_files *f)
{
	*f = (struct newest_files){ 0 };
	f->now_err = verify_keep_file(v, v->dir, CHECKPOINT_FILE, NOTE_MAX, &f->now);
	f->all_err = verify_keep_file(v, v->dir, CHECKPOINTS_FILE, HISTORY_BYTES_MOST, &f->all);
	(void)verify_keep_file(v, v->dir, CHECKPOINT_NEW, NOTE_MAX, &f->next);
}

static bool same(const struct newest_files *a, const struct newest_files *b)
{
	return a->now_err == b->now_err && a->all_err == b->all_err && slice_is(a->now, b->now) &&
	       a->all.len == b->all.len;
}

/* A log that is being written may go on between two files: then the next look is another. What stays is the truth. */
static int read_newest(struct verify *v, struct newest_files *f)
{
	for (int turn = 0; turn < RETRIES; turn++) {
		struct newest_files before = *f;
		size_t files = v->file_count;

		look(v, f);
		if (f->now_err == -ENOMEM || f->all_err == -ENOMEM)
			return -ENOMEM;
		if (agree(f) || (turn && same(f, &before)))
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = RETRY_NS }, NULL);
		/* The look before is still compared with: its bytes go one turn later. */
		if (turn && turn + 1 < RETRIES) {
			size_t drop = files - v->kept_from;

			for (size_t i = 0; i < drop; i++)
				free(v->files[v->kept_from + i]);
			memmove(&v->files[v->kept_from], &v->files[files], (v->file_count - files) * sizeof(*v->files));
			v->file_count -= drop;
		}
	}
	return 0;
}

static void tell_disagreement(struct verify *v, const struct newest_files *f)
{
	struct slice last, before, torn;

	if (f->now_err)
		verify_fault(v, FAULT_MISSING, "checkpoint: %s", strerror(-f->now_err));
	if (f->all_err)
		verify_fault(v, FAULT_MISSING, "checkpoints: %s", strerror(-f->all_err));
	if (f->now_err || f->all_err)
		return;
	last_entry(f->all, &last, &before, &torn);
	if (torn.len)
		verify_fault(v, FAULT_TRUNCATED, "checkpoints: the end is not a whole entry");
	if (slice_is(last, f->now))
		return;
	if (in_history(f->all, f->now))
		verify_fault(v, FAULT_ROLLED_BACK, "checkpoint: a newer one is in checkpoints");
	else
		verify_fault(v, FAULT_TRUNCATED, "checkpoints: the newest checkpoint is not in it");
}

static int load_log_notes(struct verify *v)
{
	struct newest_files f = { 0 };
	struct signed_note *n;
	struct slice rest, note, old;
	int err;

	v->kept_from = v->file_count;
	err = read_newest(v, &f);
	if (err)
		return err;
	if (!agree(&f))
		tell_disagreement(v, &f);
	if (!f.now_err)
		err = verify_add_note(v, f.now, CHECKPOINT_FILE, false, &n);
	for (rest = f.all; !err && !f.all_err && history_next(&rest, &note);)
		err = verify_add_note(v, note, CHECKPOINTS_FILE, false, &n);
	if (!err && !verify_keep_file(v, v->dir, CHECKPOINTS_OLD, HISTORY_BYTES_MOST, &old))
		for (rest = old; !err && history_next(&rest, &note);)
			err = verify_add_note(v, note, CHECKPOINTS_OLD, false, &n);
	return err;
}

static int load_kept(struct verify *v)
{
	for (size_t i = 0; i < v->o->kept_count; i++) {
		struct signed_note *n;
		struct slice bytes;
		int err = verify_keep_file(v, AT_FDCWD, v->o->kept[i], NOTE_MAX, &bytes);

		err = err ? err : verify_add_note(v, bytes, v->o->kept[i], true, &n);
		if (!err && !n->read)
			err = -EBADMSG;
		if (err)
			return err;
	}
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const struct signed_note *x = a, *y = b;

	return x->c.size < y->c.size ? -1 : x->c.size > y->c.size;
}

/* ---- keys ---- */

static int add_key(struct verify *v, const struct note_key *key, uint64_t from, uint64_t until, bool trusted)
{
	struct chain_key *grown = reallocarray(v->keys, v->key_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	v->keys = grown;
	v->keys[v->key_count++] = (struct chain_key){ .key = *key, .from = from, .until = until, .trusted = trusted };
	return 0;
}

/* The folder's own: the first key, and the lasting one if there is one. They are trusted only if nobody gave better. */
static int load_keys(struct verify *v)
{
	struct slice text = { NULL, 0 };
	struct note_key key;
	bool own = !v->o->vkey_count, first = true;
	int err;

	for (size_t i = 0; i < v->o->vkey_count; i++) {
		if (note_key_read(&key, slice_str(v->o->vkeys[i])))
			return -EINVAL;
		err = add_key(v, &key, 0, UINT64_MAX, true);
		if (err)
			return err;
	}
	err = verify_keep_file(v, v->dir, VKEY_FILE, NOTE_MAX, &text);
	if (err == -ENOMEM)
		return err;
	if (err)
		verify_fault(v, FAULT_MISSING, VKEY_FILE ": %s", strerror(-err));
	while (text.len) {
		const uint8_t *end = memchr(text.at, '\n', text.len);
		size_t len = end ? (size_t)(end - text.at) : text.len;

		if (!end || note_key_read(&key, slice_of(text.at, len))) {
			verify_fault(v, FAULT_TAMPERED, VKEY_FILE ": it does not hold keys");
			break;
		}
		err = add_key(v, &key, 0, UINT64_MAX, own);
		if (err)
			return err;
		if (!first) /* the lasting key is never replaced */
			v->keys[v->key_count - 1].from = 0;
		first = false;
		text = slice_from(text, len + 1);
	}
	return 0;
}

static struct chain_key *key_by_id(struct verify *v, const ProtobufCBinaryData *id, uint64_t size)
{
	struct chain_key *found = NULL;

	for (size_t i = 0; i < v->key_count && id->len == KEY_ID; i++) {
		struct chain_key *k = &v->keys[i];

		if (!memcmp(k->key.id, id->data, KEY_ID) && size >= k->from && size <= k->until &&
		    (!found || k->trusted > found->trusted))
			found = k;
	}
	return found;
}

void verify_rotation(struct verify *v, const KeyRotation *k, uint64_t index, const struct hash *root,
                     uint64_t earlier_size, const struct hash *earlier)
{
	char text[NOTE_NAME + VKEY_MAX + 256];
	struct chain_key *old;
	struct note_key key;
	bool trusted = false;
	int len;

	if (note_key_read(&key, slice_str(k->new_vkey)) || k->new_public_key.len != KEY_LEN ||
	    memcmp(key.key, k->new_public_key.data, KEY_LEN) != 0 || strcmp(key.name, v->newest.origin) != 0) {
		verify_fault(v, FAULT_TAMPERED, "record %" PRIu64 ": a change of key that names no key", index);
		return;
	}
	old = key_by_id(v, &k->old_key_id, index);
	if (!k->signature.len) {
		verify_fault(v, FAULT_UNSIGNED, "record %" PRIu64 ": the signing key was lost and replaced by %s",
		             index, k->new_vkey);
	} else if (!old || k->signature.len != SIG_LEN || k->root.len != HASH_LEN) {
		verify_fault(v, FAULT_UNSIGNED, "record %" PRIu64 ": a new key that no known key vouches for", index);
	} else {
		struct hash said;
		bool right;

		memcpy(said.at, k->root.data, HASH_LEN);
		len = rotation_text(text, sizeof(text), v->newest.origin, k->tree_size, &said, k->new_vkey);
		right = (k->tree_size == index && hash_is(&said, root)) ||
		        (earlier && k->tree_size == earlier_size && index == earlier_size + 1 &&
		         hash_is(&said, earlier));
		if (!right)
			verify_fault(v, FAULT_FORKED,
			             "record %" PRIu64 ": the old key vouched for another history before it", index);
		else if (len < 0 || !note_verify_bytes(old->key.key, slice_of(text, (size_t)len), k->signature.data))
			verify_fault(v, FAULT_UNSIGNED, "record %" PRIu64 ": the old key did not sign the new one",
			             index);
		else
			trusted = old->trusted;
		old->until = index;
	}
	if (add_key(v, &key, index, UINT64_MAX, trusted))
		verify_fault(v, FAULT_UNSIGNED, "record %" PRIu64 ": out of memory", index);
}

/* ---- all of it ---- */

int verify_load(struct verify *v)
{
	int err = load_keys(v);

	/* A live log issues a checkpoint first, then it is cosigned. */
	err = err ? err : verify_load_cosigned(v);
	err = err ? err : load_log_notes(v);
	err = err ? err : load_kept(v);
	if (err)
		return err;
	for (size_t i = 0; i < v->note_count; i++) {
		struct signed_note *n = &v->notes[i];

		if (!n->read && !n->kept)
			verify_fault(v, FAULT_TAMPERED, "%s: an entry is not a checkpoint", n->file);
		if (n->read && !n->kept && (!v->has_newest || n->c.size > v->newest.size)) {
			v->newest = n->c;
			v->newest_note = n->note;
			v->has_newest = true;
		}
	}
	if (v->note_count)
		qsort(v->notes, v->note_count, sizeof(*v->notes), by_size);
	return 0;
}

void verify_sizes(struct verify *v, const struct tree *t)
{
	struct hash root;
	bool have = false;

	while (v->next_note < v->note_count && v->notes[v->next_note].c.size < t->size)
		v->next_note++;
	for (; v->next_note < v->note_count && v->notes[v->next_note].c.size == t->size; v->next_note++) {
		struct signed_note *n = &v->notes[v->next_note];

		if (!have)
			tree_root(t, &root);
		have = true;
		n->seen = true;
		n->right = hash_is(&root, &n->c.root);
	}
}

static bool is_signed(const struct verify *v, const struct signed_note *n, bool *trusted, bool *forged)
{
	bool any = false;

	for (size_t i = 0; i < v->key_count; i++) {
		const struct chain_key *k = &v->keys[i];

		if (!note_names(n->signatures, &k->key))
			continue;
		if (!note_signed_by(n->text, n->signatures, &k->key, NULL)) {
			*forged = true;
		} else if (n->c.size >= k->from && n->c.size <= k->until) {
			any = true;
			*trusted |= k->trusted;
		}
	}
	return any && !*forged;
}

static void judge_note(struct verify *v, const struct signed_note *n)
{
	bool trusted = false, forged = false;

	if (!n->read)
		return;
	v->r.checkpoints++;
	if (strcmp(n->c.origin, v->newest.origin) != 0) {
		verify_fault(v, FAULT_UNSIGNED, "%s: of another log: %s", n->file, n->c.origin);
		return;
	}
	if (!is_signed(v, n, &trusted, &forged)) {
		verify_fault(v, forged ? FAULT_TAMPERED : FAULT_UNSIGNED,
		             "%s: size %" PRIu64 ": not signed by a key of this log", n->file, n->c.size);
		return;
	}
	if (!trusted && (n->note.at == v->newest_note.at || n->kept)) {
		verify_fault(v, FAULT_UNSIGNED, "%s: size %" PRIu64 ": not signed by a key that was given", n->file,
		             n->c.size);
		return;
	}
	if (n->c.size > v->newest.size)
		verify_fault(v, FAULT_ROLLED_BACK,
		             "%s: it counts %" PRIu64 " records, the log's newest checkpoint %" PRIu64, n->file,
		             n->c.size, v->newest.size);
	else if (n->seen && !n->right)
		verify_fault(v, FAULT_FORKED, "%s: size %" PRIu64 ": the records give another root", n->file,
		             n->c.size);
	else if (!n->seen)
		verify_fault(v, FAULT_MISSING, "%s: size %" PRIu64 ": the records are not there", n->file, n->c.size);
}

void verify_signatures(struct verify *v)
{
	for (size_t i = 0; i < v->note_count; i++)
		judge_note(v, &v->notes[i]);
	v->r.keys = v->key_count;
	verify_witnesses(v);
}
